//! Runs the emulator until Ctrl-C.
#![expect(clippy::print_stdout, reason = "the addresses and keys are what a person starts it for")]
#![expect(clippy::print_stderr, reason = "why it does not run is for a person, too")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use leadsquared_emulator::{Emulator, Settings, StartError, Tenant};

/// A LeadSquared account on this machine.
#[derive(Parser)]
struct Arguments {
    /// Port on 127.0.0.1; a free one when absent.
    #[arg(long)]
    port: Option<u16>,
    /// Folder that keeps the data from one run to the next; in memory when absent.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// JSON file that describes the account; --print-account shows the default one to start from.
    #[arg(long, value_name = "FILE")]
    account: Option<PathBuf>,
    /// Prints the account as JSON, and ends.
    #[arg(long)]
    print_account: bool,
}

/// Why the emulator does not run.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the account file cannot be read")]
    Account(#[source] std::io::Error),
    #[error("the account file is not the JSON that --print-account shows")]
    Json(#[source] serde_json::Error),
    #[error(transparent)]
    Start(#[from] StartError),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let tenant = match &arguments.account {
        Some(file) => serde_json::from_slice(&std::fs::read(file).map_err(Failure::Account)?).map_err(Failure::Json)?,
        None => Tenant::default(),
    };
    if arguments.print_account {
        println!("{}", serde_json::to_string_pretty(&tenant).map_err(Failure::Json)?);
        return Ok(());
    }
    let settings = Settings { port: arguments.port, data: arguments.data, tenant, ..Settings::default() };
    let emulator = Emulator::start(settings).await?;
    let (access_key, secret_key) = emulator.keys();
    println!("LeadSquared emulator");
    println!("  core and portal API  {}", emulator.url());
    println!("  another region       {}", emulator.other_region_url());
    println!("  hosted portal page   {}", emulator.portal_page_url());
    println!("  mails, calls, faults {}", emulator.admin_url());
    println!("  access key           {access_key}");
    println!("  secret key           {secret_key}");
    println!("  portal id            {}", emulator.portal_id());
    println!("Press Ctrl-C to stop.");
    // Without a signal handler the default one ends the process just as well.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    emulator.shutdown().await;
    Ok(())
}

fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

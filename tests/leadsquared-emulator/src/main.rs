//! Runs the emulator until Ctrl-C.
#![expect(clippy::print_stdout, reason = "the addresses and keys are what a person starts it for")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use leadsquared_emulator::{Emulator, Settings, StartError};

/// A LeadSquared account on this machine.
#[derive(Parser)]
struct Arguments {
    /// Port on 127.0.0.1; a free one when absent.
    #[arg(long)]
    port: Option<u16>,
    /// Folder that keeps the data from one run to the next; in memory when absent.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), StartError> {
    let emulator =
        Emulator::start(Settings { port: arguments.port, data: arguments.data, ..Settings::default() }).await?;
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

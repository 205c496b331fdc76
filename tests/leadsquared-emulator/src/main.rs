//! Runs the emulator until Ctrl-C.
#![expect(clippy::print_stdout, reason = "a person who starts it needs the addresses and keys")]
#![expect(clippy::print_stderr, reason = "a person who starts it needs the reason of a failure")]

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use leadsquared_emulator::{Emulator, Settings, StartError, Tenant};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A LeadSquared account on this machine.
#[derive(Parser)]
struct Arguments {
    /// Port on 127.0.0.1. Default: a free one.
    #[arg(long)]
    port: Option<u16>,
    /// Folder that keeps the data over a restart. Default: data is in memory.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// JSON file that describes the account; --print-account prints the default one.
    #[arg(long, value_name = "FILE")]
    account: Option<PathBuf>,
    /// JSON file with settings (switches, wordings, lifetimes, limit, …); --print-settings prints the default ones.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Print the account as JSON and exit.
    #[arg(long)]
    print_account: bool,
    /// Print the settings as JSON and exit.
    #[arg(long)]
    print_settings: bool,
}

/// Why the emulator does not run.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("could not read the file {0}")]
    File(PathBuf, #[source] std::io::Error),
    #[error("the file {0} does not have the form that --print-account or --print-settings prints")]
    Json(PathBuf, #[source] serde_json::Error),
    #[error("could not print the output")]
    Print(#[source] std::io::Error),
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
    let tenant: Tenant = read(arguments.account)?;
    let settings: Settings = read(arguments.settings)?;
    if arguments.print_account {
        print_json(&tenant)?;
    }
    if arguments.print_settings {
        print_json(&settings)?;
    }
    if arguments.print_account || arguments.print_settings {
        return Ok(());
    }
    let settings = Settings { port: arguments.port, data: arguments.data, tenant, ..settings };
    let emulator = Emulator::start(settings).await?;
    let (access_key, secret_key) = emulator.keys();
    println!("LeadSquared emulator");
    if emulator.portal_api_url() == emulator.url() {
        println!("  core and portal API  {}", emulator.url());
    } else {
        println!("  core API             {}", emulator.url());
        println!("  portal API           {}", emulator.portal_api_url());
    }
    println!("  another region       {}", emulator.other_region_url());
    println!("  hosted portal page   {}", emulator.portal_page_url());
    println!("  mails, calls, faults {}", emulator.admin_url());
    println!("  access key           {access_key}");
    println!("  secret key           {secret_key}");
    println!("  portal id            {}", emulator.portal_id());
    println!("Press Ctrl-C to stop.");
    // Without a handler, Ctrl-C ends the process by default.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    emulator.shutdown().await;
    Ok(())
}

/// Reads a JSON file; returns the default without one.
fn read<T: DeserializeOwned + Default>(file: Option<PathBuf>) -> Result<T, Failure> {
    let Some(file) = file else { return Ok(T::default()) };
    match std::fs::read(&file) {
        Ok(json) => serde_json::from_slice(&json).map_err(|error| Failure::Json(file, error)),
        Err(error) => Err(Failure::File(file, error)),
    }
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let printed = serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from);
    match printed.and_then(|()| out.write_all(b"\n")) {
        // The reader has closed the pipe, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(Failure::Print),
    }
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

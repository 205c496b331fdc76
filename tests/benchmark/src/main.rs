//! Measurements of the built functions: `cargo run -p benchmark -- timing`.

#![expect(clippy::print_stdout, reason = "this program's output is what it is for")]

mod stage;
mod timing;
mod welch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures the built functions, with LeadSquared and AWS emulated on this machine.")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Whether the time that `portal-account` takes tells who has an account.
    Timing(timing::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let What::Timing(arguments) = Arguments::parse().what;
    let passed = timing::run(&arguments).await?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

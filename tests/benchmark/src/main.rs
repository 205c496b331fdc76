//! Measurements of the built functions: `cargo run -p benchmark -- timing` and `init`.

#![expect(clippy::print_stdout, reason = "this program's output is what it is for")]

mod init;
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
    /// How large the functions are as `sam build` makes them, and how long they take to start. Builds them first.
    Init(init::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let passed = match Arguments::parse().what {
        What::Timing(arguments) => timing::run(&arguments).await?,
        What::Init(arguments) => {
            init::run(&arguments).await?;
            true
        }
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

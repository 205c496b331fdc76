#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, reason = "the program reports to a person")]

mod init;
mod sandbox;
mod scale;
mod timing;
mod welch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures the built functions, with LeadSquared and AWS emulated on this machine.")]
struct Arguments {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Subcommand)]
enum Measurement {
    /// Whether the time of an answer of `portal-account` reveals who has an account.
    Timing(timing::Arguments),
    /// Size and start-up time of the functions as `sam build` makes them. Builds them first.
    Init(init::Arguments),
    /// Crowds of applicants on a virtual clock: times, calls, costs, and the waits of people who press a link.
    Scale,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let passed = match Arguments::parse().measurement {
        Measurement::Timing(arguments) => timing::run(&arguments).await?,
        Measurement::Init(arguments) => {
            init::run(&arguments).await?;
            true
        }
        Measurement::Scale => {
            scale::run();
            true
        }
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#![doc = include_str!("../../../shared/rustdoc-links.md")]
#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, reason = "the program reports to a person")]

mod artifacts;
mod comparison;
mod cost;
mod cpu_share;
mod events;
mod fakes;
mod guard;
mod picture;
mod process;
mod report;
mod results;
mod sandbox;
mod scale;
mod statistics;
mod subjects;
mod template;
mod timing;
mod welch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures the built functions, with LeadSquared and AWS emulated on this machine.")]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    measurement: Option<Measurement>,
    #[command(flatten)]
    comparison: comparison::Arguments,
}

#[derive(Subcommand)]
enum Measurement {
    /// Whether the time of an answer of `portal-account` reveals who has an account.
    Timing(timing::Arguments),
    /// Whether sizes, calls and instructions of the built functions are still those of the baseline.
    Guard(guard::Arguments),
    /// Crowds of applicants on a virtual clock: times, calls, costs, and the waits of people who press a link.
    Scale,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { measurement, comparison } = Arguments::parse();
    let passed = match measurement {
        Some(Measurement::Timing(arguments)) => timing::run(&arguments).await?,
        Some(Measurement::Guard(arguments)) => guard::run(&arguments).await?,
        None => {
            comparison::run(&comparison).await?;
            true
        }
        Some(Measurement::Scale) => {
            scale::run();
            true
        }
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

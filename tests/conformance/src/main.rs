//! Holds `functions/openapi.yaml` against the built functions: `cargo run -p conformance`.

#![expect(clippy::print_stdout, reason = "this program's output is what it is for")]

mod front;
mod people;
mod stage;
mod tally;

use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, ensure};
use clap::Parser;
use local_stack::steps::Steps;
use local_stack::yaml;
use serde_json::Value;
use tokio::process::Command;

use stage::{Stage, WEBHOOK_SECRET};

/// Has schemathesis ask the built functions for everything that functions/openapi.yaml has, and for much that it has not.
#[derive(Parser)]
struct Arguments {
    /// The program; unless said, the one that `bash tests/run` installs.
    #[arg(long, value_name = "PATH")]
    schemathesis: Option<PathBuf>,
    /// Handed on to `schemathesis run`, such as `--include-operation-id signIn`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    more: Vec<String>,
}

/// What the functions logged, beside the folder of this program.
const LOGS: &str = "conformance.log";

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let schemathesis = arguments.schemathesis.map_or_else(installed, Ok)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("this package is two folders down")?;
    let document = root.join("functions/openapi.yaml");

    let steps = Steps::shown();
    let stage = Stage::start(&steps).await?;
    let secrets = people::secrets(&stage, &steps).await?;
    // What it took to get there is not what is counted.
    stage.tally.clear();
    let status = ask(&schemathesis, &document, &stage.url, &secrets, &arguments.more).await?;
    let report = stage.tally.report(&yaml::read(&std::fs::read_to_string(&document)?)?)?;
    let logs = folder(LOGS)?;
    std::fs::write(&logs, stage.end().await?).with_context(|| format!("{} cannot be written", logs.display()))?;

    println!("\n{report}\n{} requests", report.requests());
    // Whoever asks for a part asks for no more than that.
    let unreached = if arguments.more.is_empty() { report.never_succeeded() } else { Vec::new() };
    if status.success() && unreached.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !unreached.is_empty() {
        println!("Never a success, so that nothing is known of what they are for: {}", unreached.join(", "));
    }
    println!("FAILED. What the functions logged is in {}.", logs.display());
    println!("The same again: cargo run -p conformance");
    println!("One operation:  cargo run -p conformance -- --include-operation-id signIn");
    Ok(ExitCode::FAILURE)
}

/// Runs schemathesis, which shows its progress and what it finds.
async fn ask(
    schemathesis: &Path,
    document: &Path,
    url: &str,
    secrets: &Value,
    more: &[String],
) -> anyhow::Result<ExitStatus> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis");
    let place = tempfile::tempdir()?;
    let known = place.path().join("secrets.json");
    std::fs::write(&known, secrets.to_string())?;
    let mut command = Command::new(schemathesis);
    command
        .arg("--config-file")
        .arg(own.join("schemathesis.toml"))
        .args(["run", "--url", url])
        .arg(document)
        .args(more);
    command.env("SCHEMATHESIS_HOOKS", own.join("hooks.py")).env("SECRETS", known);
    command.env("PRIVATE_KEY", secrets["private_key"].as_str().context("signing in gives a key")?);
    command.env("TO_BE_SIGNED", "hooks.py signs this").env("WEBHOOK_SECRET", WEBHOOK_SECRET);
    let status = command.current_dir(place.path()).kill_on_drop(true).status().await;
    status.with_context(|| format!("{} does not start", schemathesis.display()))
}

/// A path beside the folder of this program, which is one of cargo's.
fn folder(path: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).context("this program is in a folder of cargo's")?.join(path))
}

/// Where `tests/run` puts it.
fn installed() -> anyhow::Result<PathBuf> {
    let schemathesis = folder("schemathesis/bin/schemathesis")?;
    ensure!(
        schemathesis.exists(),
        "{} is not there: run `bash tests/run` once, or say --schemathesis",
        schemathesis.display()
    );
    Ok(schemathesis)
}

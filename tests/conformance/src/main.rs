#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, reason = "the program reports to a person")]

mod api_gateway;
mod deployment;
mod portal_users;
mod tally;

use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, ensure};
use clap::Parser;
use local_stack::steps::Steps;
use local_stack::yaml;
use serde_json::Value;
use tokio::process::Command;

use deployment::{Deployment, WEBHOOK_SECRET};

/// Checks the built functions against functions/openapi.yaml with schemathesis.
#[derive(Parser)]
struct Arguments {
    /// The schemathesis program. Default: the one that `bash tests/run` installs.
    #[arg(long, value_name = "PATH")]
    schemathesis: Option<PathBuf>,
    /// Options for `schemathesis run`, such as `--include-operation-id signIn`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    more: Vec<String>,
}

/// File for the functions' logs, beside the folder of this program.
const LOGS: &str = "conformance.log";

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let schemathesis = arguments.schemathesis.map_or_else(installed, Ok)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("this package is not two folders below the root")?;
    let document = root.join("functions/openapi.yaml");

    let steps = Steps::shown();
    let deployment = Deployment::start(&steps).await?;
    let secrets = portal_users::secrets(&deployment, &steps).await?;
    // The requests of the preparation do not count.
    deployment.tally.clear();
    let status = check(&schemathesis, &document, &deployment.url, &secrets, &arguments.more).await?;
    let report = deployment.tally.report(&yaml::read(&std::fs::read_to_string(&document)?)?)?;
    let logs = folder(LOGS)?;
    std::fs::write(&logs, deployment.end().await?).with_context(|| format!("could not write {}", logs.display()))?;

    println!("\n{report}\n{} requests", report.requests());
    // A run with options may check only some of the operations.
    let unreached = if arguments.more.is_empty() { report.never_succeeded() } else { Vec::new() };
    if status.success() && unreached.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !unreached.is_empty() {
        println!("Operations without a single successful answer: {}", unreached.join(", "));
    }
    println!("FAILED. The functions' logs are in {}.", logs.display());
    println!("Run it again:  cargo run -p conformance");
    println!("One operation: cargo run -p conformance -- --include-operation-id signIn");
    Ok(ExitCode::FAILURE)
}

/// Runs schemathesis, which prints its progress and its findings.
async fn check(
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
    command.env("PRIVATE_KEY", secrets["private_key"].as_str().context("the sign-in returned no key")?);
    command.env("TO_BE_SIGNED", "hooks.py signs this").env("WEBHOOK_SECRET", WEBHOOK_SECRET);
    let status = command.current_dir(place.path()).kill_on_drop(true).status().await;
    status.with_context(|| format!("could not start {}", schemathesis.display()))
}

/// A path beside cargo's folder of this program.
fn folder(path: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).context("this program is not in cargo's target folder")?.join(path))
}

/// The schemathesis that `tests/run` installs.
fn installed() -> anyhow::Result<PathBuf> {
    let schemathesis = folder("schemathesis/bin/schemathesis")?;
    ensure!(
        schemathesis.exists(),
        "{} does not exist: run `bash tests/run` once, or use --schemathesis",
        schemathesis.display()
    );
    Ok(schemathesis)
}

//! Sets up the account's webhooks, so that an address receives the wanted events:
//!
//! ```sh
//! cargo run -p leadsquared --example webhooks -- secret --secret-file webhook.secret
//! cargo run -p leadsquared --example webhooks -- plan --secret-file webhook.secret \
//!   --url https://api.example.com/crm-events --events lead-create,activity-create=201,lead-field-change=ProspectStage
//! cargo run -p leadsquared --example webhooks -- apply …
//! ```
//!
//! LeadSquared has no API for automations. An administrator adds the same address and header to an automation's webhook
//! action by hand.
//!
//! `secret` makes a secret unless the file exists, and prints the hash for the receiver's settings. `plan` shows the
//! steps and changes nothing. `apply` carries them out and reads back the result; a second `apply` changes nothing.
//! `examples/settings/mod.rs` lists the environment. Exit status 1 means that a step is left for a person.

#![expect(clippy::print_stdout, reason = "what it finds is for a person to read")]

mod settings;

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use leadsquared::crm::WebhookEvent;
use leadsquared::tools::webhook_setup::{Step, WebhookSetup};
use leadsquared::{Client, Error};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

/// Sets up the account's webhooks, so that an address receives the wanted events.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the secret that webhooks are to send along, and print its hash.
    Secret(SecretFile),
    /// Show the steps without carrying them out.
    Plan(Wanted),
    /// Carry out the steps, and read the result back.
    Apply(Wanted),
}

#[derive(Args)]
struct SecretFile {
    /// The file with the secret; `secret` makes it, readable for you alone.
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
}

#[derive(Args)]
struct Wanted {
    /// The address that is to be called.
    #[arg(long)]
    url: Url,
    /// The header that carries the secret.
    #[arg(long, default_value = "x-webhook-secret")]
    header: String,
    #[command(flatten)]
    secret: SecretFile,
    /// The events to call it for, such as lead-create,activity-create=201.
    #[arg(long, value_delimiter = ',', required = true)]
    events: Vec<WebhookEvent>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Secret(SecretFile { secret_file }) => {
            make(&secret_file)?;
            print_hash(&hash(&read(&secret_file)?));
            Ok(ExitCode::SUCCESS)
        }
        Command::Plan(wanted) => {
            let setup = wanted.setup()?;
            let steps = setup.plan(&settings::client()?).await?;
            Ok(show(&steps))
        }
        Command::Apply(wanted) => apply(&wanted.setup()?, &settings::client()?).await,
    }
}

async fn apply(setup: &WebhookSetup, client: &Client) -> anyhow::Result<ExitCode> {
    let steps = setup.plan(client).await?;
    show(&steps);
    for step in &steps {
        if let Err(error) = setup.carry_out(step, client).await {
            let hint = match error {
                Error::Duplicate { .. } => {
                    "; each field can have one webhook, and this one's has another: delete that one"
                }
                _ => "",
            };
            return Err(anyhow::Error::new(error).context(format!("not done: {step}{hint}")));
        }
    }
    // The stored webhooks are compared, because LeadSquared's event numbers differ between accounts.
    let left = setup.plan(client).await?;
    if let Some(step) = left.iter().find(|step| step.is_by_call()) {
        println!("\nWRONG      LeadSquared stored something else; this is still to do:\n{step}");
        return Ok(ExitCode::FAILURE);
    }
    println!("\nread back:");
    Ok(show(&left))
}

/// Prints the steps; fails if one is for a person to do.
fn show(steps: &[Step]) -> ExitCode {
    for step in steps {
        println!("{step}");
    }
    if steps.iter().any(Step::is_by_hand) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Wanted {
    fn setup(self) -> anyhow::Result<WebhookSetup> {
        const MARK: usize = 8;
        let secret = read(&self.secret.secret_file)?;
        let hash = hash(&secret);
        print_hash(&hash);
        let mark = hash.chars().take(MARK).collect();
        Ok(WebhookSetup { url: self.url, header: self.header, secret, mark, events: self.events })
    }
}

/// Makes a secret of 256 random bits, unless there is one.
fn make(file: &Path) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut made = match options.open(file) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        made => made.with_context(|| format!("{} cannot be made", file.display()))?,
    };
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).context("the system gave no random bits")?;
    writeln!(made, "{}", hex::encode(bits)).with_context(|| format!("{} cannot be written", file.display()))
}

fn read(file: &Path) -> anyhow::Result<SecretString> {
    const SHORTEST: usize = 32;
    let text = fs::read_to_string(file)
        .with_context(|| format!("{} cannot be read; the command `secret` makes one", file.display()))?;
    let secret = text.trim();
    let is_header = secret.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(
        secret.len() >= SHORTEST && is_header,
        "{} must hold at least {SHORTEST} visible ASCII characters, made at random; the command `secret` makes such a file",
        file.display()
    );
    Ok(secret.to_owned().into())
}

fn hash(secret: &SecretString) -> String {
    hex::encode(Sha256::digest(secret.expose_secret()))
}

fn print_hash(hash: &str) {
    println!("The receiver accepts the secret by its SHA-256 (WebhookSecretHashes):\n{hash}\n");
}

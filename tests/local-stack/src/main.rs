//! The command line: starts the whole system on this machine, takes one applicant or a thousand through it, and runs
//! the operator's commands.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Parser, Subcommand};
use local_stack::burst::{self, Trouble};
use local_stack::steps::Steps;
use local_stack::{Build, Keys, LocalStack, Logs, Moment, Options, Ports, smoke};
use operator::{ExitStatus, SystemClock};
use time::OffsetDateTime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The whole system on this machine: the built functions on an AWS emulator, a LeadSquared emulator, a form and a
/// mailbox. Without a command it starts everything and runs until Ctrl-C.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Start on free ports, take one applicant from the form to the portal, print a timeline, and stop.
    Smoke {
        /// Put a wrong secret key into Secrets Manager first: the run must fail and say what is wrong with the keys.
        #[arg(long)]
        wrong_keys: bool,
        /// Deploy what `sam build --build-dir` has put into this folder, through `sam deploy`.
        #[arg(long, value_name = "FOLDER")]
        sam: Option<PathBuf>,
    },
    /// Start on free ports, let many people apply at once, count the outcomes, and stop; fails if a promise is broken.
    Burst {
        /// How many people.
        #[arg(value_parser = clap::value_parser!(u32).range(1..=20_000))]
        people: u32,
        /// Print one JSON object as the last line.
        #[arg(long)]
        json: bool,
        /// Meanwhile a tenth of LeadSquared's answers are 502, a twentieth of its connections are cut, and the worker
        /// is killed three times. Takes most of an hour, because retries wait that long.
        #[arg(long)]
        faults: bool,
    },
    #[command(flatten)]
    Operator(operator::Command),
}

/// The exit code that a shell reports for a program that ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let steps = Steps::shown();
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return failed(&steps, &anyhow::Error::new(error).context("could not listen for signals")),
    };
    let stopped = if arguments.command.is_none() { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) };
    let mut work = Box::pin(run(arguments.command, steps.clone()));
    tokio::select! {
        outcome = &mut work => return outcome.map_or_else(|error| failed(&steps, &error), ExitCode::from),
        () = signals.next() => steps.say("Stopping. Press Ctrl-C again to stop at once."),
    }
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(INTERRUPTED.into());
    });
    // Returns when every process of the stack is gone.
    drop(work);
    stopped
}

async fn run(command: Option<Command>, steps: Steps) -> anyhow::Result<ExitStatus> {
    match command {
        None => serve(steps).await?,
        Some(Command::Smoke { wrong_keys, sam }) => smoke(wrong_keys, sam, steps).await?,
        Some(Command::Burst { people, json, faults }) => {
            let trouble = if faults { Trouble::Everywhere } else { Trouble::None };
            burst(people, trouble, json, steps).await?;
        }
        Some(Command::Operator(command)) => {
            let local_endpoint = format!("http://127.0.0.1:{}", Ports::USUAL.ministack.unwrap_or_default());
            return Ok(operator::run(command, &local_endpoint, &SystemClock, &mut std::io::stdout()).await?);
        }
    }
    Ok(ExitStatus::Done)
}

async fn smoke(wrong_keys: bool, sam: Option<PathBuf>, steps: Steps) -> anyhow::Result<()> {
    let keys = if wrong_keys { Keys::WrongSecretKey } else { Keys::Right };
    let build = sam.map_or(Build::Development, Build::Sam);
    let stack = LocalStack::start(Options { build, keys, steps: steps.clone(), ..Options::default() }).await?;
    let step = steps.begin("One applicant, from the form to the portal");
    let outcome = smoke::run(&stack).await;
    if outcome.is_ok() {
        step.done();
    } else {
        drop(step);
    }
    stack.shutdown().await;
    print(&outcome?)
}

async fn burst(people: u32, trouble: Trouble, json: bool, steps: Steps) -> anyhow::Result<()> {
    let stack = LocalStack::start(Options { steps: steps.clone(), ..Options::default() }).await?;
    let report = burst::run(&stack, usize::try_from(people)?, trouble, &steps).await;
    stack.shutdown().await;
    let report = report?;
    print(&report.to_string())?;
    if json {
        print(&format!("{}\n", serde_json::to_string(&report)?))?;
    }
    match report.broken_promises().as_slice() {
        [] => Ok(()),
        broken => bail!("{}", broken.join("; ")),
    }
}

/// Runs until Ctrl-C, and prints the events.
async fn serve(steps: Steps) -> anyhow::Result<()> {
    let mut stack = LocalStack::start(Options { ports: Ports::USUAL, steps, ..Options::default() }).await?;
    print(&format!(
        "\nEverything runs. First open the form, send it, then look into the mailbox and press the link.\nThen be the \
         sales team: on LeadSquared's page, add a lead and move it to the stage Applied.\n\n  \
         Form         {site}/apply\n  Mailbox      {site}/mailbox\n  What else    {site}/\n\n  \
         HTTP API     {api}/applications\n  LeadSquared  {leadsquared}\n  AWS          {aws}\n\n\
         {senders}\n\nCtrl-C stops it all.\n\n",
        senders = senders(&stack).await?,
        site = stack.site_url(),
        api = stack.api_url(),
        leadsquared = stack.emulator().admin_url(),
        aws = stack.ministack().url(),
    ))?;
    let (moments, logs) = (stack.moments(), stack.logs().clone());
    tokio::select! {
        printed = print_moments(moments) => printed,
        printed = print_notices(logs) => printed,
        error = stack.failure() => Err(error),
    }
}

/// Commands that send what a form builder, LeadSquared and another system send, with the secrets of this run.
async fn senders(stack: &LocalStack) -> anyhow::Result<String> {
    const LEAD: [(&str, &str); 3] =
        [("EmailAddress", "meera@example.com"), ("FirstName", "Meera"), ("ProspectStage", "Prospect")];
    const EVENT: &str = r#"{"type":"ApplicationSubmitted","data":{"version":"1","email":"asha@example.com","attributes":{"FirstName":"Asha"}}}"#;
    let (api, (header, webhook_secret)) = (stack.api_url(), stack.webhook_secret());
    let lead = stack.emulator().add_lead(&LEAD).map_err(anyhow::Error::msg)?;
    let change = serde_json::json!({
        "Before": {"ProspectID": lead, "ProspectStage": "Prospect", "ModifiedOn": "2026-01-01 00:00:00"},
        "After": {"ProspectID": lead, "ProspectStage": "Applied", "ModifiedOn": "2026-01-01 00:00:01"},
    });
    let secret = stack.event_signing_secret().await?;
    let key = secret.strip_prefix("whsec_").unwrap_or(&secret);
    Ok(format!(
        "What others send, with the secrets of this run:\n\n  \
         # a form builder, with its form key\n  \
         curl -sS -H 'X-Form-Key: {form_key}' -d email=asha@example.com -d first_name=Asha {api}/applications\n\n  \
         # LeadSquared, with the secret of its webhook; the lead exists\n  \
         curl -sS -H '{header}: {webhook_secret}' --json '{change}' \
         '{api}/crm-events?entityType=webhook&eventType=Lead_Field_Change'\n\n  \
         # another system, with a signature\n  \
         event='{EVENT}'; id=msg-$RANDOM; now=$(date +%s)\n  \
         key=$(printf %s '{key}' | base64 -d | od -An -v -tx1 | tr -d ' \\n')\n  \
         signature=$(printf %s \"$id.$now.$event\" | openssl dgst -sha256 -mac HMAC -macopt \"hexkey:$key\" -binary | base64)\n  \
         curl -sS -H \"webhook-id: $id\" -H \"webhook-timestamp: $now\" -H \"webhook-signature: v1,$signature\" \
         --json \"$event\" {api}/bus-events",
        form_key = stack.form_key(),
    ))
}

/// Prints one line for each event of an applicant.
async fn print_moments(mut moments: watch::Receiver<Vec<Moment>>) -> anyhow::Result<()> {
    let mut printed = 0;
    while moments.changed().await.is_ok() {
        let all = moments.borrow_and_update().clone();
        for moment in &all[printed..] {
            print_at(moment.at, &moment.event.to_string())?;
        }
        printed = all.len();
    }
    Ok(())
}

/// Prints one line for each error, refused form and unmailed invitation that a function logs.
async fn print_notices(logs: Logs) -> anyhow::Result<()> {
    const LOOK_EVERY: Duration = Duration::from_secs(2);
    let mut printed = BTreeMap::new();
    loop {
        for function in logs.functions() {
            // A MiniStack that does not answer has ended. Another part of the program reports that.
            let Ok(notices) = logs.notices(function).await else { continue };
            let done = printed.entry(function).or_insert(0);
            for notice in &notices[*done..] {
                print_at(OffsetDateTime::now_utc(), &format!("{function}: {notice}"))?;
            }
            *done = notices.len();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn print_at(time: OffsetDateTime, what: &str) -> anyhow::Result<()> {
    let (hour, minute, second, millisecond) = time.to_hms_milli();
    print(&format!("{hour:02}:{minute:02}:{second:02}.{millisecond:03} UTC  {what}\n"))
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(())
}

fn failed(steps: &Steps, error: &anyhow::Error) -> ExitCode {
    steps.say(&format!("\nerror: {error:#}"));
    ExitCode::FAILURE
}

/// Ctrl-C, an orderly kill, or a closed terminal.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

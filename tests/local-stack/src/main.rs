//! Starts everything on this machine, or takes one applicant through it and says what happened.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use local_stack::steps::Steps;
use local_stack::{Keys, LocalStack, Logs, Moment, Options, Ports, smoke};
use time::OffsetDateTime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The whole system on this machine: the built functions on an AWS emulator, a LeadSquared emulator, a form and a mailbox.
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
    },
}

/// What a shell reports for a program that ended by Ctrl-C.
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
        outcome = &mut work => return outcome.map_or_else(|error| failed(&steps, &error), |()| ExitCode::SUCCESS),
        () = signals.next() => steps.say("Stopping. Press Ctrl-C again to stop at once."),
    }
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(INTERRUPTED.into());
    });
    // Returns when every process that it started is gone.
    drop(work);
    stopped
}

async fn run(command: Option<Command>, steps: Steps) -> anyhow::Result<()> {
    match command {
        None => serve(steps).await,
        Some(Command::Smoke { wrong_keys }) => {
            let keys = if wrong_keys { Keys::WrongSecretKey } else { Keys::Right };
            let stack = LocalStack::start(Options { keys, steps: steps.clone(), ..Options::default() }).await?;
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
    }
}

/// Runs until somebody ends it, and prints what happens.
async fn serve(steps: Steps) -> anyhow::Result<()> {
    let mut stack = LocalStack::start(Options { ports: Ports::USUAL, steps, ..Options::default() }).await?;
    print(&format!(
        "\nEverything runs. First open the form, send it, then look into the mailbox and press the link.\n\n  \
         Form         {site}/apply\n  Mailbox      {site}/mailbox\n  What else    {site}/\n\n  \
         HTTP API     {api}/applications\n  LeadSquared  {leadsquared}\n  AWS          {aws}\n\nCtrl-C stops it all.\n\n",
        site = stack.site_url(),
        api = stack.api_url(),
        leadsquared = stack.emulator().admin_url(),
        aws = stack.ministack().url(),
    ))?;
    let (moments, logs) = (stack.moments(), stack.logs().clone());
    tokio::select! {
        printed = print_moments(moments) => printed,
        printed = print_errors(logs) => printed,
        error = stack.failure() => Err(error),
    }
}

/// One line for each thing that happens to an applicant.
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

/// One line for each error that a function logs.
async fn print_errors(logs: Logs) -> anyhow::Result<()> {
    const LOOK_EVERY: Duration = Duration::from_secs(2);
    let mut printed = BTreeMap::new();
    loop {
        for function in logs.functions() {
            // A MiniStack that does not answer has ended, and that is reported by itself.
            let Ok(errors) = logs.errors(function).await else { continue };
            let done = printed.entry(function).or_insert(0);
            for error in &errors[*done..] {
                print_at(OffsetDateTime::now_utc(), &format!("{function}: {error}"))?;
            }
            *done = errors.len();
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

//! Starts everything on this machine, takes one applicant or a thousand through it, or asks a deployed stack what
//! became of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::{Args, Parser, Subcommand};
use leadsquared::EmailAddress;
use local_stack::burst::{self, Trouble};
use local_stack::dead_letters::{self, Choice};
use local_stack::steps::Steps;
use local_stack::{
    Build, Keys, LocalStack, Logs, Moment, Options, Place, Ports, explain, forget, held, restore, smoke,
};
use onboarding::InvitationId;
use time::OffsetDateTime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The whole system on this machine: the built functions on an AWS emulator, a LeadSquared emulator, a form and a
/// mailbox.
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
    /// Start on free ports, let many people apply at once, count what came of it, and stop; fails if a promise is
    /// broken.
    Burst {
        /// How many people.
        #[arg(value_parser = clap::value_parser!(u32).range(1..=20_000))]
        people: u32,
        /// Print one JSON object as the last line.
        #[arg(long)]
        json: bool,
        /// Meanwhile a tenth of LeadSquared's answers are 502, a twentieth of its connections are cut, and the worker
        /// is killed three times. Takes the better part of an hour, since that is how patient retries are.
        #[arg(long)]
        faults: bool,
    },
    /// Show the dead letters of a running stack, put them back, or delete them.
    DeadLetters {
        #[command(subcommand)]
        what: DeadLetters,
    },
    /// Show the applications that a running stack holds because they were over a limit, accept them, or discard them.
    Held {
        #[command(subcommand)]
        what: HeldApplications,
    },
    /// Erase what a running stack has of a person: the ledger's items and dead letters. Says what else there is.
    Forget {
        /// Their e-mail address.
        email: EmailAddress,
        #[command(flatten)]
        which: Which,
    },
    /// Copy into a running stack's ledger what a table that was restored from its backups has and it has not.
    Restore {
        /// That table's name.
        table: String,
        #[command(flatten)]
        which: Which,
    },
    /// Tell the course of one invitation in a running stack.
    Explain {
        /// What the answer to the form and every log line of the invitation have as `receipt`.
        #[arg(value_parser = receipt)]
        receipt: String,
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Subcommand)]
enum DeadLetters {
    /// Count them by class and cause, with their age.
    List {
        #[command(flatten)]
        which: Which,
    },
    /// Put chosen ones back where they were to go, those that fit everything given: invitations on their queue, events
    /// to bus-event.
    PutBack {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        which: Which,
    },
    /// Delete chosen ones for good, those that fit everything given; shows them and deletes nothing without --yes.
    Discard {
        #[command(flatten)]
        chosen: Chosen,
        /// Delete them, without asking.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Subcommand)]
enum HeldApplications {
    /// Count them by cause and network, with their age and when the first is gone.
    List {
        #[command(flatten)]
        which: Which,
    },
    /// Put chosen ones on the queue of invitations, those that fit everything given: ten at a time, so that others do
    /// not wait.
    Accept {
        #[command(flatten)]
        chosen: ChosenHeld,
        #[command(flatten)]
        which: Which,
    },
    /// Discard chosen ones for good, those that fit everything given; shows them and discards nothing without --yes.
    Discard {
        #[command(flatten)]
        chosen: ChosenHeld,
        /// Discard them, without asking.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        which: Which,
    },
}

/// Which stack is asked.
#[derive(Args)]
struct Which {
    /// A stack on AWS, with the account and the region that the AWS CLI would use.
    #[arg(long, value_name = "NAME")]
    stack_name: Option<String>,
    /// The `AWS` address that `cargo run` prints, if it is not the usual one.
    #[arg(long, value_name = "URL", conflicts_with = "stack_name")]
    aws_endpoint: Option<String>,
}

impl Which {
    fn place(self) -> Place {
        let usual = || format!("http://127.0.0.1:{}", Ports::USUAL.ministack.unwrap_or_default());
        match self.stack_name {
            Some(name) => Place::Aws(name),
            None => Place::Here(self.aws_endpoint.unwrap_or_else(usual)),
        }
    }
}

#[derive(Args)]
#[group(id = "choice", required = true, multiple = true)]
struct Chosen {
    /// Those of this class: malformed, rejected, exhausted or undelivered.
    #[arg(long)]
    class: Option<String>,
    /// Those with this text in the cause.
    #[arg(long, value_name = "TEXT")]
    cause: Option<String>,
    /// That of this invitation.
    #[arg(long, value_name = "ID", value_parser = receipt)]
    receipt: Option<String>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["class", "cause", "receipt"])]
    all: bool,
}

impl From<Chosen> for Choice {
    fn from(Chosen { class, cause, receipt, all: _ }: Chosen) -> Self {
        Self { class, cause, receipt }
    }
}

#[derive(Args)]
struct ChosenHeld {
    #[command(flatten)]
    by: HeldBy,
    /// No more than this many, the oldest.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

#[derive(Args)]
#[group(id = "held_choice", required = true, multiple = true)]
struct HeldBy {
    /// Those that are held for this cause, such as network or honeypot.
    #[arg(long)]
    cause: Option<String>,
    /// That of this applicant.
    #[arg(long, value_name = "ID", value_parser = receipt)]
    receipt: Option<String>,
    /// Those from the network whose hash begins with these digits, as `held list` shows them.
    #[arg(long, value_name = "DIGITS", value_parser = network)]
    network: Option<String>,
    /// Those that have been held for longer than this, such as 90m, 36h or 3d.
    #[arg(long, value_name = "TIME", value_parser = held::duration)]
    older_than: Option<Duration>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["cause", "receipt", "network", "older_than"])]
    all: bool,
}

impl ChosenHeld {
    fn choice(self, now: OffsetDateTime) -> anyhow::Result<operator::held::Choice> {
        let HeldBy { cause, receipt, network, older_than, all: _ } = self.by;
        Ok(operator::held::Choice {
            cause,
            receipt: receipt.map(|text| text.parse::<InvitationId>()).transpose()?,
            network,
            held_before: older_than.map(|time| now - time),
            limit: self.limit.map(usize::try_from).transpose()?,
        })
    }
}

/// The beginning of a network's hash.
fn network(text: &str) -> Result<String, &'static str> {
    match text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("a network's hash is hexadecimal; give at least its first four digits"),
    }
}

/// A receipt as the functions write it.
fn receipt(text: &str) -> Result<String, &'static str> {
    let groups: Vec<&str> = text.split('-').collect();
    let hexadecimal = groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match hexadecimal && groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("a receipt looks like 4b9d1c6e-58a2-8f7b-9f0e-3c2d1a0b9e8f"),
    }
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
        Some(Command::Smoke { wrong_keys, sam }) => {
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
        Some(Command::Burst { people, json, faults }) => {
            let trouble = if faults { Trouble::Everywhere } else { Trouble::None };
            burst(people, trouble, json, steps).await
        }
        Some(Command::DeadLetters { what: DeadLetters::List { which } }) => {
            let found = dead_letters::list(&which.place(), &steps).await?;
            print(&dead_letters::table(&found, OffsetDateTime::now_utc()))
        }
        Some(Command::DeadLetters { what: DeadLetters::PutBack { chosen, which } }) => {
            let found = dead_letters::put_back(&which.place(), &chosen.into(), &steps).await?;
            print(&dead_letters::account(&found))
        }
        Some(Command::DeadLetters { what: DeadLetters::Discard { chosen, yes, which } }) => {
            let found = dead_letters::discard(&which.place(), &chosen.into(), yes, &steps).await?;
            print(&dead_letters::table(&found, OffsetDateTime::now_utc()))?;
            ensure!(yes || found.letters.is_empty(), "nothing was deleted; the same with --yes deletes them for good");
            print(&format!("{} deleted, {} left among the dead letters.\n", found.letters.len(), found.kept))
        }
        Some(Command::Held { what: HeldApplications::List { which } }) => {
            let found = held::list(&which.place(), &operator::held::Choice::default()).await?;
            print(&held::table(&found.applications, OffsetDateTime::now_utc()))
        }
        Some(Command::Held { what: HeldApplications::Accept { chosen, which } }) => {
            let choice = chosen.choice(OffsetDateTime::now_utc())?;
            let mut found = held::list(&which.place(), &choice).await?;
            print(&held::table(&found.applications, OffsetDateTime::now_utc()))?;
            if found.applications.is_empty() {
                return Ok(());
            }
            print(&found.plan(&choice).await?)?;
            print(&held::accepted(&found.accept(&steps).await?))
        }
        Some(Command::Held { what: HeldApplications::Discard { chosen, yes, which } }) => {
            let found = held::list(&which.place(), &chosen.choice(OffsetDateTime::now_utc())?).await?;
            print(&held::table(&found.applications, OffsetDateTime::now_utc()))?;
            if found.applications.is_empty() {
                return Ok(());
            }
            ensure!(yes, "nothing was discarded; the same with --yes discards them for good");
            print(&held::discarded(&found.discard().await?))
        }
        Some(Command::Forget { email, which }) => {
            let forgotten = forget::forget(&which.place(), &email, &steps).await?;
            print(&forgotten.to_string())
        }
        Some(Command::Restore { table, which }) => {
            let restored = restore::restore(&which.place(), &table, &steps).await?;
            print(&restored.to_string())
        }
        Some(Command::Explain { receipt, which }) => {
            let course = explain::look_up(&which.place(), &receipt, &steps).await?;
            print(&explain::timeline(&course, &receipt, OffsetDateTime::now_utc()))
        }
    }
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

/// Runs until somebody ends it, and prints what happens.
async fn serve(steps: Steps) -> anyhow::Result<()> {
    let mut stack = LocalStack::start(Options { ports: Ports::USUAL, steps, ..Options::default() }).await?;
    print(&format!(
        "\nEverything runs. First open the form, send it, then look into the mailbox and press the link.\nThen be the \
         sales team: on LeadSquared's page, add a lead and move it to the stage Applied.\n\n  \
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

//! The command line of the operator's commands.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use leadsquared::{EmailAddress, LeadId};
use onboarding::InvitationId;
use time::OffsetDateTime;

use crate::{Clock, OperatorError, StackLocation, dead_letters, explain, forget, held, restore};

/// How a command ended. Its number is the exit code of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// The whole task is done.
    Done = 0,
    /// Part of the task is left. The operator has to confirm it, or to run the command again. The output says which.
    Unfinished = 3,
}

impl From<ExitStatus> for ExitCode {
    fn from(ending: ExitStatus) -> Self {
        Self::from(ending as u8)
    }
}

/// The operator's commands on a deployed stack.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show the dead letters of a stack, put them back, or delete them.
    DeadLetters {
        /// What to do.
        #[command(subcommand)]
        task: DeadLettersCommand,
    },
    /// Show the history of one invitation, and where it is now.
    Explain {
        /// The receipt: the form's answer and every log line of the invitation have it.
        #[arg(value_parser = receipt)]
        receipt: InvitationId,
        /// Which stack.
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Erase the data of a person in a stack, and report what stays where and until when. Without --yes it only shows
    /// the data.
    #[command(group = clap::ArgGroup::new("whom").required(true).multiple(true).args(["email", "leads"]))]
    Forget {
        /// The person's e-mail address.
        email: Option<EmailAddress>,
        /// The person's lead in LeadSquared. Needed where LeadSquared no longer has the lead. Can be repeated.
        #[arg(long = "lead", value_name = "ID")]
        leads: Vec<LeadId>,
        /// Erase the data without asking.
        #[arg(long)]
        yes: bool,
        /// Which stack.
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Show the held applications of a stack, which were over a limit. Accept them, or discard them.
    Held {
        /// What to do.
        #[command(subcommand)]
        task: HeldCommand,
    },
    /// Copy lost items into a stack's ledger, from a table that DynamoDB restored from its backups.
    Restore {
        /// The restored table's name.
        table: String,
        /// Which stack.
        #[command(flatten)]
        stack: StackArgs,
    },
}

/// The tasks of `dead-letters`.
#[derive(Clone, Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Count them by class and cause, with their age.
    List {
        /// Which stack.
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Put back the dead letters that match every given option: invitations on their queue, events to bus-event.
    PutBack {
        /// Which ones.
        #[command(flatten)]
        chosen: ChosenLetters,
        /// Which stack.
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Delete the dead letters that match every given option for good. Without --yes it only shows them.
    Discard {
        /// Which ones.
        #[command(flatten)]
        chosen: ChosenLetters,
        /// Delete them, without asking.
        #[arg(long)]
        yes: bool,
        /// Which stack.
        #[command(flatten)]
        stack: StackArgs,
    },
}

/// The tasks of `held`.
#[derive(Clone, Debug, Subcommand)]
pub enum HeldCommand {
    /// Count them by cause and network, with their age and when the first one expires.
    List {
        /// Which stack.
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Put the applications that match every given option on the queue of invitations: ten at a time, so that other
    /// people's invitations do not wait.
    Accept {
        /// Which ones.
        #[command(flatten)]
        chosen: ChosenHeld,
        /// Which stack.
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Discard the applications that match every given option for good. Without --yes it only shows them.
    Discard {
        /// Which ones.
        #[command(flatten)]
        chosen: ChosenHeld,
        /// Discard them, without asking.
        #[arg(long)]
        yes: bool,
        /// Which stack.
        #[command(flatten)]
        stack: StackArgs,
    },
}

/// The stack to use. Default: the stack that `cargo run` has started.
#[derive(Args, Clone, Debug)]
pub struct StackArgs {
    /// A stack on AWS, with the account and the region that the AWS CLI would use.
    #[arg(long, value_name = "NAME")]
    stack_name: Option<String>,
    /// The AWS address that `cargo run` prints, if it is not the usual one.
    #[arg(long, value_name = "URL", conflicts_with = "stack_name")]
    aws_endpoint: Option<String>,
}

/// Which dead letters to choose.
#[derive(Args, Clone, Debug)]
#[group(id = "letters", required = true, multiple = true)]
pub struct ChosenLetters {
    /// Only dead letters of this class: malformed, rejected, reduced, exhausted or undelivered.
    #[arg(long, value_parser = dead_letters::CLASSES)]
    class: Option<String>,
    /// Only dead letters with this text in the cause.
    #[arg(long, value_name = "TEXT")]
    cause: Option<String>,
    /// Only the dead letter of this invitation.
    #[arg(long, value_name = "ID", value_parser = receipt)]
    receipt: Option<InvitationId>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["class", "cause", "receipt"])]
    all: bool,
}

/// Which held applications to choose.
#[derive(Args, Clone, Debug)]
pub struct ChosenHeld {
    #[command(flatten)]
    by: HeldBy,
    /// At most this many, the oldest first.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

#[derive(Args, Clone, Debug)]
#[group(id = "applications", required = true, multiple = true)]
struct HeldBy {
    /// Only applications held for this cause, such as network or honeypot.
    #[arg(long)]
    cause: Option<String>,
    /// Only the application with this receipt.
    #[arg(long, value_name = "ID", value_parser = receipt)]
    receipt: Option<InvitationId>,
    /// Only applications from the network whose hash begins with these digits. `held list` shows them.
    #[arg(long, value_name = "DIGITS", value_parser = network)]
    network: Option<String>,
    /// Only applications that have been held for longer than this, such as 90m, 36h or 3d.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    older_than: Option<Duration>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["cause", "receipt", "network", "older_than"])]
    all: bool,
}

/// Runs a command and writes its result to `out`. `local_endpoint` is the usual AWS endpoint of a local stack.
///
/// # Errors
/// When the command cannot be completed. The error says what to check. Running the command again continues.
pub async fn run(
    command: Command,
    local_endpoint: &str,
    clock: &impl Clock,
    out: &mut impl Write,
) -> Result<ExitStatus, OperatorError> {
    let stack_of = async |stack: StackArgs| stack.location(local_endpoint).stack().await;
    match command {
        Command::DeadLetters { task } => {
            let (task, stack) = task.split();
            dead_letters::run(&stack_of(stack).await?, &task, clock, out).await
        }
        Command::Explain { receipt, stack } => explain::run(&stack_of(stack).await?, receipt, clock, out).await,
        Command::Forget { email, leads, yes, stack } => {
            let request = forget::Request { email, leads };
            forget::run(&stack_of(stack).await?, &request, yes, clock, out).await
        }
        Command::Held { task } => {
            let (task, stack) = task.split(clock.now());
            held::run(&stack_of(stack).await?, &task, clock, out).await
        }
        Command::Restore { table, stack } => restore::run(&stack_of(stack).await?, &table, clock, out).await,
    }
}

impl StackArgs {
    fn location(self, local_endpoint: &str) -> StackLocation {
        match self.stack_name {
            Some(name) => StackLocation::Aws(name),
            None => StackLocation::Local(self.aws_endpoint.unwrap_or_else(|| local_endpoint.to_owned())),
        }
    }
}

impl DeadLettersCommand {
    fn split(self) -> (dead_letters::DeadLettersTask, StackArgs) {
        match self {
            Self::List { stack } => (dead_letters::DeadLettersTask::List, stack),
            Self::PutBack { chosen, stack } => (dead_letters::DeadLettersTask::PutBack(chosen.into()), stack),
            Self::Discard { chosen, yes, stack } => {
                (dead_letters::DeadLettersTask::Discard { filter: chosen.into(), confirmed: yes }, stack)
            }
        }
    }
}

impl HeldCommand {
    fn split(self, now: OffsetDateTime) -> (held::HeldTask, StackArgs) {
        match self {
            Self::List { stack } => (held::HeldTask::List, stack),
            Self::Accept { chosen, stack } => (held::HeldTask::Accept(chosen.at(now)), stack),
            Self::Discard { chosen, yes, stack } => {
                (held::HeldTask::Discard { filter: chosen.at(now), confirmed: yes }, stack)
            }
        }
    }
}

impl From<ChosenLetters> for dead_letters::DeadLetterFilter {
    fn from(ChosenLetters { class, cause, receipt, all: _ }: ChosenLetters) -> Self {
        Self { class, cause, receipt }
    }
}

impl ChosenHeld {
    fn at(self, now: OffsetDateTime) -> held::HeldFilter {
        let HeldBy { cause, receipt, network, older_than, all: _ } = self.by;
        let held_before = older_than.map(|time| now - time);
        let limit = self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        held::HeldFilter { cause, receipt, network, held_before, limit }
    }
}

/// A receipt in the format that the functions write.
fn receipt(text: &str) -> Result<InvitationId, &'static str> {
    const LENGTH: usize = 36;
    let receipt = text.parse().ok().filter(|_| text.len() == LENGTH);
    receipt.ok_or("a receipt looks like 4b9d1c6e-58a2-8f7b-9f0e-3c2d1a0b9e8f")
}

/// The beginning of a network's hash.
fn network(text: &str) -> Result<String, &'static str> {
    match text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("a network's hash is hexadecimal; give at least its first four digits"),
    }
}

/// A duration such as `90m`, `36h` or `3d`.
fn duration(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "a duration looks like 90m, 36h or 3d";
    let unit = match text.chars().next_back() {
        Some('m') => 60,
        Some('h') => 60 * 60,
        Some('d') => 24 * 60 * 60,
        _ => return Err(EXPECTED),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| EXPECTED)?;
    Ok(Duration::from_secs(u64::from(count) * unit))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(subcommand)]
        command: Command,
    }

    fn typed(line: &str) -> Option<Command> {
        Typed::try_parse_from(["operator"].into_iter().chain(line.split(' '))).ok().map(|typed| typed.command)
    }

    #[test]
    fn a_destructive_command_needs_a_choice() {
        const RECEIPT: &str = "4b9d1c6e-58a2-8f7b-9f0e-3c2d1a0b9e8f";
        for line in
            ["dead-letters put-back", "dead-letters discard --yes", "held accept", "held discard --yes", "forget"]
        {
            assert!(typed(line).is_none(), "{line}");
        }
        for line in [
            "dead-letters put-back --all --class rejected",
            "dead-letters discard --class rejectd --yes",
            "held accept --all --cause network",
            "held list --stack-name a --aws-endpoint b",
            "explain 4b9d1c6e58a28f7b9f0e3c2d1a0b9e8f",
        ] {
            assert!(typed(line).is_none(), "{line}");
        }
        let lead = "forget --lead 11111111-1111-4111-8111-111111111111";
        for line in ["dead-letters discard --cause mx --class rejected", lead, &format!("{lead} a@example.com --yes")] {
            assert!(typed(line).is_some(), "{line}");
        }
        assert!(typed(&format!("explain {RECEIPT} --stack-name applicants")).is_some());
    }

    #[test]
    fn a_stack_is_local_unless_it_is_named() {
        let location = |line: &str| match typed(line) {
            Some(Command::Restore { stack, .. }) => stack.location("http://127.0.0.1:4303"),
            other => panic!("{other:?}"),
        };
        assert_eq!(location("restore t"), StackLocation::Local("http://127.0.0.1:4303".to_owned()));
        assert_eq!(
            location("restore t --aws-endpoint http://127.0.0.1:1"),
            StackLocation::Local("http://127.0.0.1:1".to_owned())
        );
        assert_eq!(location("restore t --stack-name applicants"), StackLocation::Aws("applicants".to_owned()));
    }

    #[test]
    fn a_duration_has_a_unit() {
        let seconds = |text| duration(text).map(|time| time.as_secs());
        assert_eq!([seconds("90m"), seconds("36h"), seconds("3d")], [Ok(5400), Ok(129_600), Ok(259_200)]);
        for text in ["", "3", "d", "-1d", "3 d", "3w", "9999999999d", "3ä"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}

//! `dead-letters`: listing, putting back and deleting dead letters and undelivered events.
//!
//! No output shows personal data. Of a message it shows only its receipt and the attributes that the functions and AWS
//! wrote.

mod letter;
mod report;

use std::collections::BTreeMap;
use std::io::Write;

use onboarding::InvitationId;
use onboarding::worker::REDUCED;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::received::{Queue, ReceivedMessage, with_messages};
use crate::signed::{Operation, SignedClient};
use crate::{Clock, ExitStatus, OperatorError, Stack};

pub use letter::DeadLetter;
pub(crate) use letter::parsed;
pub use report::{put_back_report, table};

/// The classes of dead letters: those that the functions write, and `undelivered` for one without a class.
pub(crate) const CLASSES: [&str; 5] = ["malformed", "rejected", REDUCED, "exhausted", UNDELIVERED];

/// The class of an event that did not reach bus-event.
const UNDELIVERED: &str = "undelivered";

/// The queues with dead letters.
pub(crate) const QUEUES: [Queue; 2] = [Queue::DeadLetters, Queue::UndeliveredEvents];

/// The function that receives other systems' events.
const BUS_EVENT: &str = "BusEventFunction";

/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
const INVOKE: Operation = Operation { service: "lambda", action: "lambda:InvokeFunction", target: None };

/// SQS drops a second message with the same deduplication id within five minutes as a copy of the first. This is a
/// minute more, because clocks differ.
const DEDUPLICATED_FOR: Duration = Duration::minutes(6);

/// The dead letters that could be read.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// All of them, in no order. After putting back, only those that were put back.
    pub letters: Vec<DeadLetter>,
    /// The approximate number of dead letters that could not be read. They wait behind ten others of one person, or
    /// another consumer has received them.
    pub out_of_sight: u64,
    /// How many remain after putting back or deleting.
    pub kept: u64,
    /// How many of the remaining ones are events that bus-event refused, by its reason.
    pub refused: BTreeMap<String, u64>,
    /// How many of the chosen ones are not put back, because their person is registered: they keep what must be entered
    /// into the lead.
    pub to_enter: u64,
}

/// Which dead letters to choose: those that match every given condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only dead letters of this class.
    pub class: Option<String>,
    /// Only dead letters with this text in the cause. The comparison ignores case.
    pub cause: Option<String>,
    /// Only the dead letter of this invitation.
    pub receipt: Option<InvitationId>,
}

impl DeadLetterFilter {
    fn matches(&self, letter: &DeadLetter) -> bool {
        let in_cause = |text: &String| letter.cause.to_lowercase().contains(&text.to_lowercase());
        self.class.as_ref().is_none_or(|class| *class == letter.class)
            && self.cause.as_ref().is_none_or(in_cause)
            && self.receipt.is_none_or(|receipt| letter.receipt == Some(receipt))
    }
}

/// The task of a `dead-letters` command.
#[derive(Clone, Debug)]
pub enum DeadLettersTask {
    /// Show all dead letters.
    List,
    /// Put the chosen dead letters back.
    PutBack(DeadLetterFilter),
    /// Delete the chosen dead letters for good.
    Discard {
        /// The chosen ones.
        filter: DeadLetterFilter,
        /// Whether the operator confirmed it. Otherwise they are only shown.
        confirmed: bool,
    },
}

/// Does the task and reports it.
///
/// # Errors
/// When AWS does not answer. The dead letters that were not put back or deleted by then stay where they are.
pub async fn run(
    stack: &Stack,
    task: &DeadLettersTask,
    clock: &impl Clock,
    out: &mut impl Write,
) -> Result<ExitStatus, OperatorError> {
    match task {
        DeadLettersTask::List => {
            out.write_all(table(&list(stack).await?, clock.now()).as_bytes())?;
            Ok(ExitStatus::Done)
        }
        DeadLettersTask::PutBack(filter) => {
            let found = put_back(stack, filter, clock.now()).await?;
            out.write_all(put_back_report(&found).as_bytes())?;
            Ok(if found.refused.is_empty() && found.to_enter + found.out_of_sight == 0 {
                ExitStatus::Done
            } else {
                ExitStatus::Unfinished
            })
        }
        DeadLettersTask::Discard { filter, confirmed } => {
            let found = discard(stack, filter, *confirmed).await?;
            if found.letters.is_empty() && found.kept > 0 {
                writeln!(out, "No dead letter matches. {} have another class, cause or receipt.", found.kept)?;
                return Ok(ExitStatus::Done);
            }
            out.write_all(table(&found, clock.now()).as_bytes())?;
            if found.letters.is_empty() {
                return Ok(ExitStatus::Done);
            }
            if !confirmed {
                writeln!(out, "Nothing was deleted. Run the same command with --yes to delete them for good.")?;
                return Ok(ExitStatus::Unfinished);
            }
            writeln!(out, "{} deleted, {} dead letters remain.", found.letters.len(), found.kept)?;
            Ok(ExitStatus::Done)
        }
    }
}

/// Reads every dead letter. They stay where they are.
///
/// # Errors
/// When AWS does not answer.
pub async fn list(stack: &Stack) -> Result<Found, OperatorError> {
    with_messages(stack, &QUEUES, async |received| {
        let letters = received.messages().iter().map(|message| DeadLetter::of(message)).collect();
        Ok(Found { letters, out_of_sight: received.out_of_sight(&QUEUES).await?, ..Found::default() })
    })
    .await
}

/// Puts the chosen dead letters back, then deletes them: invitations on their queue, events to bus-event. A repeat has
/// no second effect. An event that bus-event refuses stays, and so does a dead letter of the class [`REDUCED`].
///
/// # Errors
/// When AWS does not answer. Some may have been put back by then; the rest stay where they are.
pub async fn put_back(stack: &Stack, choice: &DeadLetterFilter, now: OffsetDateTime) -> Result<Found, OperatorError> {
    with_messages(stack, &QUEUES, async |received| {
        let mut found = Found::default();
        // All were received before the first is put back. So a letter that is dead-lettered again is not handled twice.
        let all = received.messages().to_vec();
        let mut bus_event = None;
        for message in &all {
            let letter = DeadLetter::of(message);
            if !choice.matches(&letter) {
                continue;
            }
            if letter.class == REDUCED {
                found.to_enter += 1;
                continue;
            }
            let reply = match letter::event(message) {
                None => {
                    send_again(stack, message).await?;
                    Reply::Accepted
                }
                Some(event) => {
                    if bus_event.is_none() {
                        bus_event = Some(bus_event_name(stack).await?);
                    }
                    invoke(stack, bus_event.as_deref().unwrap_or_default(), &event).await?
                }
            };
            if reply.replaces(message, now) {
                received.delete(message).await?;
            }
            match reply {
                Reply::Accepted => found.letters.push(letter),
                Reply::DeadLettered => *found.refused.entry("dead-lettered again".to_owned()).or_default() += 1,
                Reply::Failed(error) => *found.refused.entry(error).or_default() += 1,
            }
        }
        found.kept = (all.len() - found.letters.len()) as u64;
        found.out_of_sight = received.out_of_sight(&QUEUES).await?;
        Ok(found)
    })
    .await
}

/// Deletes the chosen dead letters for good, if that is confirmed; otherwise only finds them.
///
/// # Errors
/// When AWS does not answer. Some may have been deleted by then; the rest stay where they are.
pub async fn discard(stack: &Stack, choice: &DeadLetterFilter, confirmed: bool) -> Result<Found, OperatorError> {
    with_messages(stack, &QUEUES, async |received| {
        let mut found = Found::default();
        for message in received.messages().to_vec() {
            let letter = DeadLetter::of(&message);
            if choice.matches(&letter) {
                if confirmed {
                    received.delete(&message).await?;
                }
                found.letters.push(letter);
            }
        }
        found.kept = received.messages().len() as u64;
        found.out_of_sight = received.out_of_sight(&QUEUES).await?;
        Ok(found)
    })
    .await
}

/// Sends an invitation to its queue again. If its dead letter then cannot be deleted, a repeat has no second effect,
/// because the deduplication id is the same.
async fn send_again(stack: &Stack, message: &ReceivedMessage) -> Result<(), OperatorError> {
    let send = stack
        .sqs
        .send_message()
        .queue_url(stack.output("InvitationsQueueUrl")?)
        .message_body(&message.body)
        .message_group_id(message.group.as_deref().unwrap_or(&message.id))
        .message_deduplication_id(format!("put-back-{}", message.id));
    send.send().await.map(drop).map_err(OperatorError::call("sqs:SendMessage"))
}

async fn bus_event_name(stack: &Stack) -> Result<String, OperatorError> {
    let missing = || OperatorError::Missing { name: stack.name.clone(), wanted: format!("function {BUS_EVENT}") };
    Ok(stack.functions().await?.remove(BUS_EVENT).ok_or_else(missing)?.name)
}

/// The reply of bus-event to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    /// It accepted the event.
    Accepted,
    /// It dead-lettered the event again.
    DeadLettered,
    /// It failed with this error type.
    Failed(String),
}

impl Reply {
    /// Reads bus-event's answer, which has a status for each event or is an error.
    fn of(answer: &Value, function_error: Option<&str>) -> Self {
        if let Some(error) = function_error {
            return Self::Failed(answer["errorType"].as_str().unwrap_or(error).to_owned());
        }
        let fates = answer.as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
        let statuses: Option<Vec<_>> = fates.iter().map(|fate| fate["status"].as_str()).collect();
        match statuses.as_deref() {
            None | Some([]) => Self::Failed("an answer without a status".to_owned()),
            Some(statuses) if statuses.iter().all(|status| *status == "accepted") => Self::Accepted,
            Some(_) => Self::DeadLettered,
        }
    }

    /// Whether the event is stored elsewhere now, so that its dead letter can be deleted. Within minutes of the first
    /// dead letter, SQS drops a second one of the same event as a copy.
    fn replaces(&self, message: &ReceivedMessage, now: OffsetDateTime) -> bool {
        match self {
            Self::Accepted => true,
            Self::DeadLettered => message.queue != Queue::DeadLetters || now - message.sent_at >= DEDUPLICATED_FOR,
            Self::Failed(_) => false,
        }
    }
}

/// Invokes bus-event with an event and waits for its answer.
async fn invoke(stack: &Stack, function: &str, event: &Value) -> Result<Reply, OperatorError> {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let answer = SignedClient::new(&stack.config).call(INVOKE, &path, event).await?;
    let function_error = answer.headers.get("x-amz-function-error").and_then(|value| value.to_str().ok());
    Ok(Reply::of(&answer.body, function_error))
}

#[cfg(test)]
mod tests;

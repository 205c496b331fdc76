//! `held`: listing, accepting and discarding held applications, and forgetting those of a person.
//!
//! Every step can be repeated. One conditional write accepts an application. Then its message is put on the queue, and
//! then the message is removed from the item. After a crash, accepting again continues with the accepted applications
//! that still have a message. No output shows personal data: it has only receipts and the hashes of networks.

mod pace;
mod report;

use std::io::Write;

use aws_sdk_sqs::types::QueueAttributeName;
use futures::future::try_join_all;
use ledger::HeldMessage;
pub use ledger::{Held, HeldDecision};
use onboarding::{Invitation, InvitationId};
use time::OffsetDateTime;

use crate::{Clock, ExitStatus, OperatorError, Stack};

pub use pace::Pace;

/// How many applications are decided on at a time.
const BATCH: usize = 10;

/// How many untried invitations may be on the queue while more are accepted. An invitation behind them waits for a
/// minute or two.
const BACKLOG: u64 = 50;

/// Which held applications to choose: those that match every given condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldFilter {
    /// Only applications held for exactly this cause.
    pub cause: Option<String>,
    /// Only the application with this receipt.
    pub receipt: Option<InvitationId>,
    /// Only applications from the network whose hash begins with this.
    pub network: Option<String>,
    /// Only applications held before this moment.
    pub held_before: Option<OffsetDateTime>,
    /// At most this many, the oldest first.
    pub limit: Option<usize>,
}

impl HeldFilter {
    fn matches(&self, held: &Held) -> bool {
        self.cause.as_ref().is_none_or(|cause| *cause == held.cause)
            && self.receipt.is_none_or(|receipt| receipt == held.id)
            && self.network.as_ref().is_none_or(|start| held.network.as_ref().is_some_and(|it| it.starts_with(start)))
            && self.held_before.is_none_or(|before| held.held_at < before)
    }
}

/// A held application that was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The application.
    pub held: Held,
    /// Whether it still has its message. An application that is on the queue, or discarded, has none.
    pub has_message: bool,
}

impl Found {
    /// Whether the application waits for an operator.
    fn is_waiting(&self) -> bool {
        self.held.decision.is_none() || self.has_message
    }
}

/// The result of accepting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Accepted and on the queue.
    pub accepted: u64,
    /// Accepted by an earlier command that was interrupted; on the queue now.
    pub continued: u64,
    /// Decided by another operator in the meantime, expired or forgotten.
    pub gone: u64,
    /// Their messages are of a newer version than this command. They still wait.
    pub unreadable: u64,
    /// How many messages are on the queue, while the command waits for it.
    pub waiting_for: Option<u64>,
}

/// The result of discarding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Discarded.
    pub discarded: u64,
    /// Decided earlier, expired or forgotten.
    pub gone: u64,
}

/// The task of a `held` command.
#[derive(Clone, Debug)]
pub enum HeldTask {
    /// Show all waiting applications.
    List,
    /// Accept the chosen applications.
    Accept(HeldFilter),
    /// Discard the chosen applications for good.
    Discard {
        /// The chosen ones.
        filter: HeldFilter,
        /// Whether the operator confirmed it. Otherwise they are only shown.
        confirmed: bool,
    },
}

/// Does the task and reports it.
///
/// # Errors
/// When AWS does not answer, or no more may be accepted today. Running it again continues.
pub async fn run(
    stack: &Stack,
    task: &HeldTask,
    clock: &impl Clock,
    out: &mut impl Write,
) -> Result<ExitStatus, OperatorError> {
    let choice = match task {
        HeldTask::List => &HeldFilter::default(),
        HeldTask::Accept(filter) | HeldTask::Discard { filter, .. } => filter,
    };
    let mut chosen = list(stack, choice, clock.now()).await?;
    out.write_all(report::table(&chosen, clock.now()).as_bytes())?;
    match task {
        HeldTask::List => Ok(ExitStatus::Done),
        _ if chosen.is_empty() => Ok(ExitStatus::Done),
        HeldTask::Accept(choice) => {
            let pace = Pace::of(stack.parameters());
            let all = chosen.len();
            // A limit or a receipt that the operator gives may go beyond the day's share.
            if choice.limit.is_none() && choice.receipt.is_none() {
                chosen.truncate(left_today(stack, &pace, clock.now()).await?);
            }
            if chosen.is_empty() {
                return Err(OperatorError::DayUsedUp { a_day: pace.a_day });
            }
            out.write_all(report::plan(all, chosen.len(), &pace).as_bytes())?;
            let progress = |done: &Accepted| drop(out.write_all(report::progress(done, chosen.len()).as_bytes()));
            let done = accept(stack, &chosen, &pace, clock, progress).await?;
            out.write_all(report::accepted(&done).as_bytes())?;
            Ok(if chosen.len() < all || done.unreadable > 0 { ExitStatus::Unfinished } else { ExitStatus::Done })
        }
        HeldTask::Discard { confirmed: false, .. } => {
            writeln!(out, "Nothing was discarded. Run the same command with --yes to discard them for good.")?;
            Ok(ExitStatus::Unfinished)
        }
        HeldTask::Discard { confirmed: true, .. } => {
            let done = discard(stack, &chosen, clock).await?;
            out.write_all(report::discarded(&done).as_bytes())?;
            Ok(ExitStatus::Done)
        }
    }
}

/// The chosen applications among the waiting ones, the oldest first.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn list(stack: &Stack, choice: &HeldFilter, now: OffsetDateTime) -> Result<Vec<Held>, OperatorError> {
    let waiting = match choice.receipt {
        Some(receipt) => {
            let found = find(stack, receipt, now).await?.filter(Found::is_waiting);
            found.map(|found| found.held).into_iter().collect()
        }
        None => stack.ledger.held_waiting(now).await?,
    };
    let chosen = waiting.into_iter().filter(|held| choice.matches(held));
    Ok(chosen.take(choice.limit.unwrap_or(usize::MAX)).collect())
}

/// The held application with this receipt, if there is one that has not expired.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn find(stack: &Stack, receipt: InvitationId, now: OffsetDateTime) -> Result<Option<Found>, OperatorError> {
    let found = stack.ledger.held(receipt, now).await?;
    Ok(found.map(|HeldMessage { held, message }| Found { held, has_message: message.is_some() }))
}

/// How many more applications may be accepted today without using up the day's mails and calls.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn left_today(stack: &Stack, pace: &Pace, now: OffsetDateTime) -> Result<usize, OperatorError> {
    Ok(pace.left(stack.ledger.held_accepted_on(now).await?))
}

/// Accepts these applications, ten at a time, and puts each on the queue. It waits between batches, and longer while
/// the queue is long. `report` gets the progress.
///
/// # Errors
/// When the ledger or the queue fails. Accepting again continues.
pub async fn accept(
    stack: &Stack,
    chosen: &[Held],
    pace: &Pace,
    clock: &impl Clock,
    mut report: impl FnMut(&Accepted),
) -> Result<Accepted, OperatorError> {
    let mut done = Accepted::default();
    for (number, batch) in chosen.chunks(BATCH).enumerate() {
        if number > 0 {
            clock.sleep(pace.every).await;
        }
        loop {
            let untried = untried(stack).await?;
            done.waiting_for = Some(untried).filter(|untried| *untried > BACKLOG);
            if done.waiting_for.is_none() {
                break;
            }
            report(&done);
            clock.sleep(pace.every).await;
        }
        accept_batch(stack, batch, clock.now(), &mut done).await?;
        report(&done);
    }
    Ok(done)
}

async fn accept_batch(
    stack: &Stack,
    batch: &[Held],
    now: OffsetDateTime,
    done: &mut Accepted,
) -> Result<(), OperatorError> {
    let found = try_join_all(batch.iter().map(|held| stack.ledger.held(held.id, now))).await?;
    let (mut open, mut to_send) = (Vec::new(), Vec::new());
    for found in found {
        let Some(HeldMessage { held, message: Some(message) }) = found else {
            done.gone += 1;
            continue;
        };
        match (Invitation::decode(&message), held.decision) {
            (Err(_), _) => done.unreadable += 1,
            (Ok(invitation), None) => open.push((held.id, invitation)),
            (Ok(invitation), Some(_)) => to_send.push((held.id, invitation)),
        }
    }
    done.continued += to_send.len() as u64;
    let ids: Vec<_> = open.iter().map(|(id, _)| *id).collect();
    let decided = stack.ledger.decide_held(&ids, HeldDecision::Accepted, now).await?;
    done.accepted += decided.len() as u64;
    done.gone += (ids.len() - decided.len()) as u64;
    to_send.extend(open.into_iter().filter(|(id, _)| decided.contains(id)));
    // The messages are sent one after another, so that a person's applications keep their order.
    for (id, invitation) in to_send {
        stack.invitations.send(&invitation).await?;
        stack.ledger.held_sent(id).await?;
    }
    Ok(())
}

/// The approximate number of invitations on the queue that no worker has received yet.
async fn untried(stack: &Stack) -> Result<u64, OperatorError> {
    let queue = stack.output("InvitationsQueueUrl")?;
    stack.count_messages(queue, &[QueueAttributeName::ApproximateNumberOfMessages]).await
}

/// Discards these applications: the applicants are not invited, and their data is erased.
///
/// # Errors
/// When the ledger fails. Discarding again continues.
pub async fn discard(stack: &Stack, chosen: &[Held], clock: &impl Clock) -> Result<Discarded, OperatorError> {
    let mut done = Discarded::default();
    for batch in chosen.chunks(BATCH) {
        let ids: Vec<_> = batch.iter().map(|held| held.id).collect();
        let decided = stack.ledger.decide_held(&ids, HeldDecision::Discarded, clock.now()).await?;
        done.discarded += decided.len() as u64;
        done.gone += (ids.len() - decided.len()) as u64;
    }
    Ok(done)
}

//! Held applications: listing, accepting and discarding them, and forgetting those of a person.
//!
//! Every step can be repeated. An application is accepted in one conditional write; then its message is put on the
//! queue, and then removed from the item. After a crash, accepting again continues with those that are accepted and
//! still have a message.

use std::time::Duration;

use futures::future::try_join_all;
use ledger::HeldMessage;
pub use ledger::{Held, HeldDecision};
use onboarding::{Invitation, InvitationId, PersonKey};
use time::OffsetDateTime;

use crate::{OperatorError, Parameters, Stack};

/// How many applications are decided on at a time.
const BATCH: usize = 10;

/// How many invitations may be on the queue untried while more are accepted: what is behind them waits for a minute or
/// two.
const BACKLOG: u64 = 50;

/// How many calls to LeadSquared one invitation needs.
const CALLS_EACH: u64 = 3;

/// Accepted applications use one part in this many of the worker's time, of the day's calls and of the day's mails.
const SHARE: u64 = 2;

/// Which held applications are meant: those that match everything given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Held for exactly this cause.
    pub cause: Option<String>,
    /// With this receipt.
    pub receipt: Option<InvitationId>,
    /// From the network whose hash begins so.
    pub network: Option<String>,
    /// Held before this moment.
    pub held_before: Option<OffsetDateTime>,
    /// No more than this many, the oldest.
    pub limit: Option<usize>,
}

impl Choice {
    fn fits(&self, held: &Held) -> bool {
        self.cause.as_ref().is_none_or(|cause| *cause == held.cause)
            && self.receipt.is_none_or(|receipt| receipt == held.id)
            && self.network.as_ref().is_none_or(|start| held.network.as_ref().is_some_and(|it| it.starts_with(start)))
            && self.held_before.is_none_or(|before| held.held_at < before)
    }
}

/// The time: the system's, or a test's.
pub trait Clock {
    /// The present moment.
    fn now(&self) -> OffsetDateTime;

    /// Waits for so long.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}

/// How fast applications are accepted, so that invitations of other people do not wait behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time from one batch of ten to the next: in it the worker does twice as many.
    pub every: Duration,
    /// How many a day: half of what the day's mails and the plan's daily calls are enough for.
    pub a_day: u64,
}

impl Pace {
    /// The pace for a stack with these parameters; one that an older template lacks counts with its default.
    pub fn of(parameters: &Parameters) -> Self {
        let calls: u64 = parameters.number("AllowanceCalls", 10).max(1);
        let window: u64 = parameters.number("AllowanceWindowSeconds", 5).max(1);
        let share: u64 = parameters.number("AllowanceShare", 100).clamp(1, 100);
        let mails: u64 = parameters.number("MailBudget", 10_000);
        let of_plan = if calls <= 10 { 10_000 } else { 100_000 } * share / 100;
        let daily = match parameters.text("AllowanceDaily") {
            Some("none") => u64::MAX,
            _ => parameters.number("AllowanceDaily", of_plan),
        };
        let milliseconds = BATCH as u64 * CALLS_EACH * SHARE * window * 1000 * 100 / (calls * share);
        Self { every: Duration::from_millis(milliseconds), a_day: (mails.min(daily / CALLS_EACH) / SHARE).max(1) }
    }

    /// How long it takes to accept so many.
    pub fn time_for(&self, count: usize) -> Duration {
        let pauses = count.div_ceil(BATCH).saturating_sub(1);
        self.every.saturating_mul(u32::try_from(pauses).unwrap_or(u32::MAX))
    }

    /// How many more may be accepted today.
    fn left(&self, accepted_today: u64) -> usize {
        usize::try_from(self.a_day.saturating_sub(accepted_today)).unwrap_or(usize::MAX)
    }
}

/// A held application that was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The application.
    pub held: Held,
    /// Whether it still has its message. Once it is on the queue, or discarded, it has none.
    pub has_message: bool,
}

impl Found {
    /// Whether an applicant waits for an operator.
    fn is_waiting(&self) -> bool {
        self.held.decision.is_none() || self.has_message
    }
}

/// What came of accepting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Accepted and on the queue.
    pub accepted: u64,
    /// Accepted before, by a command that broke off; on the queue now.
    pub continued: u64,
    /// Decided on by somebody else meanwhile, expired or forgotten.
    pub gone: u64,
    /// Of a message that this command cannot read; they wait for a newer one.
    pub unreadable: u64,
    /// Messages on the queue that this command waits for, while it does.
    pub waiting_for: Option<u64>,
}

/// What came of discarding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Discarded.
    pub discarded: u64,
    /// Decided on before, expired or forgotten.
    pub gone: u64,
}

/// The held applications of this choice that wait, the oldest first.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn list(stack: &Stack, choice: &Choice, now: OffsetDateTime) -> Result<Vec<Held>, OperatorError> {
    let waiting = match choice.receipt {
        Some(receipt) => {
            let found = find(stack, receipt, now).await?.filter(Found::is_waiting);
            found.map(|found| found.held).into_iter().collect()
        }
        None => stack.ledger.held_waiting(now).await?,
    };
    let chosen = waiting.into_iter().filter(|held| choice.fits(held));
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

/// Accepts these applications, ten at a time, and puts each on the queue. It waits from one batch to the next, and
/// longer while the queue is long. `report` hears how far it came.
///
/// # Errors
/// When the ledger or the queue does not do its part. Accepting again continues.
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
            let untried = stack.untried().await?;
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
    // One after another, so that a person's applications keep their order.
    for (id, invitation) in to_send {
        stack.invitations.send(&invitation).await?;
        stack.ledger.held_sent(id).await?;
    }
    Ok(())
}

/// Discards these applications: nobody is invited, and what the applicants typed is erased.
///
/// # Errors
/// When the ledger does not say. Discarding again continues.
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

/// Erases the held applications of a person; how many there were.
///
/// # Errors
/// When the ledger does not say. What was left then is erased the next time.
pub async fn forget(stack: &Stack, person: &PersonKey, now: OffsetDateTime) -> Result<u64, OperatorError> {
    Ok(stack.ledger.forget_held(person, now).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(values: &[(&str, &str)]) -> Parameters {
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn accepted_applications_leave_half_of_the_calls_and_mails_to_others() {
        for (values, every, a_day) in [
            // 10 calls in 5 s are 40 invitations a minute; ten of them and as many of other people's take 30 s.
            (&[][..], 30_000, 1_666),
            (&[("AllowanceDaily", "")], 30_000, 1_666),
            (&[("AllowanceShare", "50")], 60_000, 833),
            (&[("AllowanceCalls", "20")], 15_000, 5_000),
            (&[("AllowanceDaily", "none")], 30_000, 5_000),
            (&[("AllowanceDaily", "600")], 30_000, 100),
            (&[("AllowanceDaily", "1")], 30_000, 1),
            (&[("MailBudget", "100")], 30_000, 50),
        ] {
            let pace = Pace::of(&parameters(values));
            assert_eq!((pace.every, pace.a_day), (Duration::from_millis(every), a_day), "{values:?}");
        }
    }

    #[test]
    fn how_long_it_takes_is_known_before() {
        let pace = Pace::of(&Parameters::default());
        let minutes = [0, 1, 10, 11, 100, 10_000].map(|count| pace.time_for(count).as_secs() / 60);
        assert_eq!(minutes, [0, 0, 0, 0, 4, 499]);
        assert_eq!([pace.left(0), pace.left(1_666), pace.left(2_000)], [1_666, 0, 0]);
    }
}

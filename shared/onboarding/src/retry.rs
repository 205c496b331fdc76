//! Retry decisions: how long a failed message is tried, how long it waits for the next attempt, and when an operator
//! must act.

use std::time::Duration;

use leadsquared::Error;
use time::OffsetDateTime;

use crate::{Postponed, ServiceFailure};

/// How often SQS delivers a message before SQS itself moves it to the dead letters, without a reason: the queue's
/// `maxReceiveCount`.
pub const MAX_RECEIVES: u32 = 1000;

/// How long SQS keeps a message before it deletes it: the queue's `MessageRetentionPeriod`.
pub const RETENTION: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// From this delivery on, a failed message becomes a dead letter whatever its age, so that it has a reason.
pub const LAST_RECEIVE: u32 = MAX_RECEIVES - 10;

/// How long a message is tried while a failure is expected to pass: longer than LeadSquared's longest known outage.
pub const RETRY_HORIZON: time::Duration = time::Duration::hours(36);

/// How long a message is tried while an operator has something to fix: nearly as long as SQS keeps it.
pub const OPERATOR_HORIZON: time::Duration = time::Duration::days(13);

/// The longest wait between two attempts. SQS keeps a received message invisible for at most 12 hours
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>).
pub const LONGEST_WAIT: Duration = Duration::from_secs(11 * 60 * 60);

/// After this time, a failure that usually passes by itself (such as one of Secrets Manager) needs an operator.
pub const USUALLY_PASSES_WITHIN: Duration = Duration::from_secs(60 * 60);

/// From this age on, a message that LeadSquared does not answer is sent to a message group of its own, so that the
/// person's next message is handled within the hour.
pub const MAKES_WAY_AT: Duration = Duration::from_secs(30 * 60);

/// How long a message waits after its handling panicked: a bug is not fixed within seconds.
pub const AFTER_PANIC: Duration = Duration::from_secs(5 * 60);

/// How long the one repeat of a mail waits if it is unknown whether the first was sent.
const AFTER_UNKNOWN_MAIL: Duration = Duration::from_secs(15 * 60);

/// How long a question that comes before the waiting ones waits for a look-up, at least; at most ten times as long.
const LEAST_WAIT_FOR_A_LOOKUP: Duration = Duration::from_secs(6 * 60);

/// How long the others wait, at least: up to ten hours, so that a bulk edit's thousands do not keep the worker busy.
const LEAST_WAIT_FOR_A_LATE_LOOKUP: Duration = Duration::from_secs(60 * 60);

/// How long messages are tried before they become dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizons {
    /// While the failure is expected to pass.
    pub retry: time::Duration,
    /// While an operator has something to fix, and while the message is not at fault.
    pub operator: time::Duration,
}

impl Default for Horizons {
    /// [`RETRY_HORIZON`] and [`OPERATOR_HORIZON`].
    fn default() -> Self {
        Self { retry: RETRY_HORIZON, operator: OPERATOR_HORIZON }
    }
}

/// Why an attempt at a message failed. Its text and its name hold no personal data.
#[derive(Debug, thiserror::Error)]
pub enum AttemptFailure {
    /// The invocation had no time left for an attempt.
    #[error("the invocation has no time left for an attempt")]
    NoTime,
    /// A newer function wrote the message.
    #[error("the message has version {0}, which this worker does not know: deploy the newer worker")]
    NewerVersion(u64),
    /// The worker panicked while it handled the message.
    #[error("the handling of the message panicked")]
    Panicked,
    /// The keys for LeadSquared could not be read.
    #[error(transparent)]
    NoKeys(ServiceFailure),
    /// The chosen password could not be opened.
    #[error(transparent)]
    NoPassword(ServiceFailure),
    /// The day's LeadSquared calls are used up, as far as the worker may use them.
    #[error("no LeadSquared call is left today")]
    DayUsedUp {
        /// The time until the next day.
        until_next_day: Duration,
        /// The step that had no call.
        #[source]
        postponed: Postponed,
    },
    /// The ledger fails in a way that only an operator can change.
    #[error(transparent)]
    BrokenLedger(Postponed),
    /// A step of the flow did not succeed.
    #[error(transparent)]
    Postponed(#[from] Postponed),
}

impl AttemptFailure {
    /// The failure's word in metrics and dead letters.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoTime => "NoTime",
            Self::NewerVersion(_) => "NewerVersion",
            Self::Panicked => "Panicked",
            Self::NoKeys(_) => "NoKeys",
            Self::NoPassword(_) => "NoPassword",
            Self::DayUsedUp { .. } => "DayUsedUp",
            Self::BrokenLedger(postponed) | Self::Postponed(postponed) => postponed.name(),
        }
    }

    /// LeadSquared's error, if LeadSquared failed.
    pub fn leadsquared(&self) -> Option<&Error> {
        match self {
            Self::DayUsedUp { postponed, .. } | Self::Postponed(postponed) => postponed.leadsquared(),
            Self::NoTime | Self::NewerVersion(_) | Self::Panicked | Self::BrokenLedger(_) => None,
            Self::NoKeys(_) | Self::NoPassword(_) => None,
        }
    }

    /// Whether an operator must act. A failure that usually passes by itself counts once it has lasted.
    pub(crate) fn needs_operator(&self, age: Duration) -> bool {
        let lasts = age >= USUALLY_PASSES_WITHIN;
        match self {
            Self::Panicked | Self::BrokenLedger(_) => true,
            Self::NoKeys(unavailable) | Self::NoPassword(unavailable) => unavailable.needs_operator(age),
            Self::NoTime | Self::NewerVersion(_) | Self::Postponed(Postponed::NotSupported) => lasts,
            Self::DayUsedUp { .. } => false,
            Self::Postponed(postponed) => {
                // The first two are about one person: LeadSquared works for others, or may do so.
                let may_pass = matches!(
                    postponed,
                    Postponed::Lone { .. } | Postponed::LeadSquared { source: Error::MailNotDeliverable, .. }
                );
                postponed.leadsquared().is_some_and(Error::is_configuration) && (lasts || !may_pass)
            }
        }
    }

    /// Whether LeadSquared has given this message no answer of its own, as far as the attempts show. It may have one
    /// for the person's next message.
    pub(crate) fn is_without_answer(&self) -> bool {
        match self {
            Self::Postponed(Postponed::BackingOff { .. }) => true,
            Self::Postponed(Postponed::LeadSquared { source, .. } | Postponed::Lone { source, .. }) => {
                source.is_unanswered()
            }
            _ => false,
        }
    }

    /// How long a message with this failure is tried, counted from when it was put on the queue. Every horizon ends
    /// before SQS deletes the message.
    pub(crate) fn horizon(&self, horizons: &Horizons) -> time::Duration {
        match self {
            // Not the message's fault, or one that only the operator can change.
            Self::NoTime | Self::NewerVersion(_) | Self::NoKeys(_) | Self::NoPassword(_) => horizons.operator,
            Self::DayUsedUp { .. } => horizons.operator,
            Self::Postponed(Postponed::MailBudget { .. } | Postponed::RuleLookups { .. }) => horizons.operator,
            // Only an attempt that makes a call ends an invitation, so that the dead letter names what failed.
            Self::Postponed(Postponed::BackingOff { .. } | Postponed::NotSupported) => horizons.operator,
            Self::Postponed(Postponed::Lone { .. }) => horizons.retry,
            Self::Postponed(Postponed::LeadSquared { source, .. } | Postponed::MailUnknown(source)) => {
                if source.is_configuration() { horizons.operator } else { horizons.retry }
            }
            Self::Postponed(Postponed::Held | Postponed::MailBookChanged | Postponed::Ledger(_)) => horizons.retry,
            Self::Postponed(Postponed::RulesUndecided { .. }) => horizons.retry,
            Self::BrokenLedger(_) | Self::Panicked => horizons.retry,
        }
    }

    /// How long the message waits for the next attempt.
    pub(crate) fn wait(&self, receive_count: u32, now: OffsetDateTime, random: &dyn Fn() -> u32) -> Duration {
        match self {
            Self::NoTime => after_no_time(receive_count, random()),
            Self::Panicked => AFTER_PANIC,
            Self::DayUsedUp { until_next_day, .. } => in_first_hour_after(*until_next_day, random()),
            Self::Postponed(Postponed::MailBudget { until }) => {
                in_first_hour_after(Duration::try_from(*until - now).unwrap_or_default(), random())
            }
            Self::Postponed(Postponed::RuleLookups { is_first, .. }) => {
                let least = if *is_first { LEAST_WAIT_FOR_A_LOOKUP } else { LEAST_WAIT_FOR_A_LATE_LOOKUP };
                least + part(least * 9, random())
            }
            Self::Postponed(Postponed::RulesUndecided { until }) => {
                Duration::try_from(*until - now).unwrap_or_default() + Duration::from_secs(1)
            }
            // Up to a minute more, because many may wait for the end of one outage.
            Self::Postponed(Postponed::BackingOff { until }) => {
                Duration::try_from(*until - now).unwrap_or_default() + part(Duration::from_secs(60), random())
            }
            Self::Postponed(Postponed::MailUnknown(_)) => AFTER_UNKNOWN_MAIL,
            Self::Postponed(Postponed::Lone { .. }) => backoff_up_to(LONGEST_LONE_BACKOFF, receive_count, random()),
            // Only the allowance had no call left for it.
            Self::Postponed(Postponed::LeadSquared {
                source: Error::RateLimited { .. } | Error::TurnedAway(_) | Error::OutOfTime,
                ..
            }) => after_throttling(receive_count, random()),
            _ => backoff(receive_count, random()),
        }
    }
}

/// The wait until somewhere in the first hour of the new day, so that the waiting messages do not all start at once.
fn in_first_hour_after(day_end: Duration, random: u32) -> Duration {
    (day_end + part(Duration::from_secs(60 * 60), random)).min(LONGEST_WAIT)
}

/// The longest wait before the first repeat.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);

/// The longest wait before any repeat.
const LONGEST_BACKOFF: Duration = Duration::from_secs(15 * 60);

/// The longest wait before a repeat of what works for other people: within the hour it is decided, and the person's
/// next message is not held up.
const LONGEST_LONE_BACKOFF: Duration = Duration::from_secs(5 * 60);

/// After this many deliveries, which take about a day, the waits may grow to [`LONGEST_LATE_BACKOFF`].
const LATE_AFTER_RECEIVES: u32 = 200;

/// The longest wait from then on.
const LONGEST_LATE_BACKOFF: Duration = Duration::from_secs(60 * 60);

/// How long a message waits before its next delivery: exponential, with full jitter.
///
/// `receive_count` is how often it was delivered so far, from 1; `random` is uniform over all of `u32`. Between 1 s
/// and 10 s after the first delivery, up to 15 min from the eighth on, and up to an hour after 200. Jitter covers the
/// whole range, so that a thousand messages that failed together are not retried together
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
pub fn backoff(receive_count: u32, random: u32) -> Duration {
    let longest = if receive_count > LATE_AFTER_RECEIVES { LONGEST_LATE_BACKOFF } else { LONGEST_BACKOFF };
    backoff_up_to(longest, receive_count, random)
}

fn backoff_up_to(longest: Duration, receive_count: u32, random: u32) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(1 << receive_count.saturating_sub(1).min(16));
    part(doubled.min(longest), random).max(Duration::from_secs(1))
}

/// How often a message may find no call of the allowance left before its waits grow.
const THROTTLED_RECEIVES: u32 = 50;

/// How long a message waits that found no call of the allowance left: 5 s to 20 s, however often this happens within
/// a quarter of an hour. Then its waits grow like those of any other failure.
pub fn after_throttling(receive_count: u32, random: u32) -> Duration {
    match receive_count.checked_sub(THROTTLED_RECEIVES) {
        None | Some(0) => Duration::from_secs(5) + part(Duration::from_secs(15), random),
        Some(further) => backoff(further, random),
    }
}

/// How often a message may find no time left in an invocation before it waits.
const IMMEDIATE_RETRIES: u32 = 3;

/// How long a message waits for which an invocation had no time left. The first times it does not wait, because the
/// messages before it in its batch took the time. If it happens again, the function's time-out is too short for any
/// message, and without a wait all deliveries would be used up within minutes.
pub fn after_no_time(receive_count: u32, random: u32) -> Duration {
    match receive_count.checked_sub(IMMEDIATE_RETRIES) {
        None | Some(0) => Duration::ZERO,
        Some(further) => backoff(further, random),
    }
}

/// SQS moves a message to the dead letters at least this long before it would delete it.
const DELETION_MARGIN: Duration = Duration::from_secs(2 * 60 * 60);

/// How long a message waits whose dead letter cannot be written: so short that its deliveries are used up before SQS
/// deletes it. Then SQS itself moves it to the dead letters, which needs neither the function's role nor its settings.
pub fn before_retention_ends(receive_count: u32, age: Duration) -> Duration {
    let deliveries = (MAX_RECEIVES + 1).saturating_sub(receive_count).max(1);
    let left = RETENTION.saturating_sub(DELETION_MARGIN).saturating_sub(age);
    (left / deliveries).clamp(Duration::from_secs(1), LONGEST_LATE_BACKOFF)
}

/// The estimated age of a message of which only the number of deliveries is known: the sum of the usual waits.
pub fn usual_age(receive_count: u32) -> Duration {
    const MIDDLE: u32 = u32::MAX / 2;
    (1..receive_count.min(2 * MAX_RECEIVES)).map(|count| backoff(count, MIDDLE)).sum()
}

/// A random part of a duration.
fn part(whole: Duration, random: u32) -> Duration {
    whole.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use leadsquared::TurnedAway;

    use super::*;

    #[test]
    fn an_invitation_without_a_call_today_is_retried_in_the_first_hour_of_the_next_day_for_13_days() {
        let turned_away = |retry_after| Postponed::LeadSquared {
            step: "registering the lead",
            source: Error::TurnedAway(TurnedAway { retry_after: Some(retry_after), source: None }),
        };
        let (hour, now) = (Duration::from_secs(60 * 60), OffsetDateTime::UNIX_EPOCH);
        let used_up =
            |until_next_day| AttemptFailure::DayUsedUp { until_next_day, postponed: turned_away(until_next_day) };
        // However often it was tried before.
        for receive_count in [1, 500] {
            assert_eq!(used_up(hour * 5).wait(receive_count, now, &|| 0), hour * 5);
            assert_eq!(used_up(hour * 5).wait(receive_count, now, &|| u32::MAX), hour * 6);
            assert_eq!(used_up(hour * 20).wait(receive_count, now, &|| 0), LONGEST_WAIT);
        }
        let horizons = Horizons::default();
        assert_eq!((used_up(hour).name(), used_up(hour).horizon(&horizons)), ("DayUsedUp", OPERATOR_HORIZON));

        let busy = AttemptFailure::from(turned_away(hour));
        assert_eq!(busy.wait(1, now, &|| 0), Duration::from_secs(5));
        assert_eq!((busy.name(), busy.horizon(&horizons)), ("TurnedAway", RETRY_HORIZON));
    }

    #[test]
    fn a_question_waits_for_a_lookup_for_hours_unless_it_is_first_and_is_never_exhausted_before_13_days() {
        let (minute, now) = (Duration::from_secs(60), OffsetDateTime::UNIX_EPOCH);
        for (is_first, least, most) in [(true, minute * 6, minute * 60), (false, minute * 60, minute * 600)] {
            let failure = AttemptFailure::from(Postponed::RuleLookups { a_day: 1, is_first });
            for receive_count in [1, 500] {
                assert_eq!(failure.wait(receive_count, now, &|| 0), least);
                assert_eq!(failure.wait(receive_count, now, &|| u32::MAX), most);
            }
            assert!(most <= LONGEST_WAIT && !failure.needs_operator(RETENTION));
            assert_eq!((failure.name(), failure.horizon(&Horizons::default())), ("RuleLookups", OPERATOR_HORIZON));
        }
    }

    #[test]
    fn an_invitation_that_backs_off_waits_until_its_check_and_up_to_a_minute_more() {
        let (minute, now) = (Duration::from_secs(60), OffsetDateTime::UNIX_EPOCH);
        let failure = AttemptFailure::from(Postponed::BackingOff { until: now + minute * 15 });
        assert_eq!([0, u32::MAX].map(|random| failure.wait(9, now, &|| random)), [minute * 15, minute * 16]);
        assert_eq!(failure.wait(9, now + minute * 20, &|| 0), Duration::ZERO);
        assert_eq!((failure.name(), failure.horizon(&Horizons::default())), ("BackingOff", OPERATOR_HORIZON));
    }

    #[test]
    fn a_mail_that_is_not_delivered_needs_an_operator_once_that_lasts() {
        let failure = |source| AttemptFailure::from(Postponed::LeadSquared { step: "sending the mail", source });
        let hour = Duration::from_secs(60 * 60);
        let needs = |error: Error| [Duration::ZERO, hour].map(|age| failure(error.clone()).needs_operator(age));
        assert_eq!(needs(Error::MailNotDeliverable), [false, true]);
        assert_eq!(needs(Error::BadSender), [true, true]);
        assert_eq!(failure(Error::MailNotDeliverable).horizon(&Horizons::default()), OPERATOR_HORIZON);
    }

    #[test]
    fn a_page_for_one_message_needs_an_operator_at_once_only_while_it_fails_for_everyone() {
        let page = || Error::NoSuchCall { status: 405, is_page: true };
        let for_everyone = AttemptFailure::from(Postponed::LeadSquared { step: "registering", source: page() });
        let alone = AttemptFailure::from(Postponed::Lone { step: "registering", source: page() });
        let hour = Duration::from_secs(60 * 60);
        let needs = |failure: &AttemptFailure| [Duration::ZERO, hour].map(|age| failure.needs_operator(age));
        assert_eq!((needs(&for_everyone), needs(&alone)), ([true, true], [false, true]));
        assert_eq!((alone.name(), alone.horizon(&Horizons::default())), ("NoSuchCall", RETRY_HORIZON));
        assert_eq!(alone.wait(100, OffsetDateTime::UNIX_EPOCH, &|| u32::MAX), LONGEST_LONE_BACKOFF);
        let fault = AttemptFailure::from(Postponed::Lone { step: "", source: Error::ServerFault { status: 403 } });
        assert_eq!(needs(&fault), [false, false]);
    }

    #[test]
    fn a_mail_with_an_unknown_result_is_repeated_after_a_quarter_of_an_hour() {
        let unknown = AttemptFailure::from(Postponed::MailUnknown(Error::ServerFault { status: 502 }));
        let wait = unknown.wait(1, OffsetDateTime::UNIX_EPOCH, &|| 0);
        assert_eq!((unknown.name(), wait), ("MailUnknown", Duration::from_secs(15 * 60)));
    }

    #[test]
    fn a_message_whose_dead_letter_cannot_be_written_uses_up_its_deliveries_in_time() {
        for (first, day) in [(1, 13), (30, 13), (774, 13), (999, 13), (1, 1)] {
            let mut age = Duration::from_secs(day * 86_400);
            for received in first..=MAX_RECEIVES {
                age += before_retention_ends(received, age);
            }
            assert!(age < RETENTION - Duration::from_secs(3600), "from delivery {first} on day {day}: {age:?}");
        }
        assert_eq!(before_retention_ends(u32::MAX, RETENTION), Duration::from_secs(1));
    }

    #[test]
    fn a_message_without_time_is_retried_at_once_three_times_and_then_waits() {
        let waits: Vec<u64> = [0, 1, 3, 4, 5].map(|count| after_no_time(count, u32::MAX).as_secs()).into();
        assert_eq!(waits, [0, 0, 0, 10, 20]);
    }

    #[test]
    fn the_range_doubles_up_to_a_quarter_of_an_hour() {
        let longest: Vec<u64> = (0..=10).map(|count| backoff(count, u32::MAX).as_secs()).collect();
        assert_eq!(longest, [10, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]);
        assert_eq!([backoff(200, u32::MAX), backoff(201, u32::MAX)], [LONGEST_BACKOFF, LONGEST_LATE_BACKOFF]);
        assert_eq!(backoff(u32::MAX, u32::MAX), LONGEST_LATE_BACKOFF);
    }

    #[test]
    fn waits_after_throttling_do_not_grow_for_fifty_deliveries() {
        let waits: Vec<u64> = [1, 2, 50, 51, 52].map(|count| after_throttling(count, u32::MAX).as_secs()).into();
        assert_eq!(waits, [20, 20, 20, 10, 20]);
        assert_eq!(after_throttling(1, 0), Duration::from_secs(5));
    }

    #[test]
    fn the_wait_is_anywhere_in_the_range_and_at_least_a_second() {
        assert_eq!(backoff(5, 0), Duration::from_secs(1));
        assert_eq!(backoff(5, u32::MAX / 2).as_secs(), 79);
    }
}

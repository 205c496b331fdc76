//! Failures that depend on what one message contains, such as a text that a firewall in front of LeadSquared blocks.
//!
//! Such a failure looks like an outage. What tells them apart is the others: LeadSquared registers other people
//! meanwhile.

use leadsquared::Error;
use time::OffsetDateTime;

use crate::Rejection;

/// After this many lone failures, the content of the message is their cause.
const LONE_FAILURES: u32 = 2;

/// What the attempts at one invitation know about failures of its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentFailures {
    /// Lone failures of the current registration: LeadSquared gave no answer of its own, and then registered another
    /// person.
    pub alone: u32,
    /// When the last attempt began that LeadSquared gave no answer of its own.
    pub last: Option<OffsetDateTime>,
    /// Whether the person is registered with the identifying attributes only.
    pub is_reduced: bool,
}

impl ContentFailures {
    /// Takes note of an attempt that began at `now` and failed with `error`. `others_registered_at`: when the last
    /// attempt began that registered another person.
    ///
    /// When the content is the cause, the next attempts register the person with the identifying attributes only. If
    /// these fail in the same way, returns the reason to give the invitation up.
    pub(crate) fn failed(
        &mut self,
        error: &Error,
        others_registered_at: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Option<Rejection> {
        if !error.may_have_taken_effect() {
            return None;
        }
        let was_alone = self.last.zip(others_registered_at).is_some_and(|(failed, registered)| registered > failed);
        self.alone += u32::from(was_alone);
        self.last = Some(now);
        if self.alone < LONE_FAILURES {
            return None;
        }
        if self.is_reduced {
            return Some(Rejection::Content { failure: error.name() });
        }
        (self.is_reduced, self.alone) = (true, 0);
        None
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    const BEGIN: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const BLOCKED: Error = Error::ServerFault { status: 403 };

    fn minute(minutes: i64) -> OffsetDateTime {
        BEGIN + Duration::minutes(minutes)
    }

    #[test]
    fn an_invitation_that_fails_while_others_succeed_is_reduced_and_then_given_up() {
        let mut failures = ContentFailures::default();
        let mut ends = Vec::new();
        for attempt in 1..=5 {
            // Another person is registered half a minute before each attempt.
            let other = minute(attempt) - Duration::seconds(30);
            ends.push((failures.failed(&BLOCKED, Some(other), minute(attempt)), failures.is_reduced));
        }
        let given_up = Rejection::Content { failure: "ServerFault" };
        assert_eq!(ends[..4], [(None, false), (None, false), (None, true), (None, true)]);
        assert_eq!((ends[4].0.as_ref(), given_up.to_string()), (Some(&given_up), "content: ServerFault".to_owned()));
    }

    #[test]
    fn an_outage_reduces_nothing_however_long_it_lasts() {
        let mut failures = ContentFailures::default();
        for others in [None, Some(BEGIN)] {
            for attempt in 1..=100 {
                assert_eq!(failures.failed(&BLOCKED, others, minute(attempt)), None);
            }
        }
        // One registration after a failure proves one lone failure, not two.
        for attempt in 101..=200 {
            assert_eq!(failures.failed(&BLOCKED, Some(minute(100) + Duration::SECOND), minute(attempt)), None);
        }
        assert_eq!((failures.alone, failures.is_reduced), (1, false));
    }

    #[test]
    fn a_call_that_certainly_had_no_effect_says_nothing_about_the_content() {
        let mut failures = ContentFailures::default();
        for attempt in 1..=100 {
            let limited = Error::RateLimited { limit: None };
            assert_eq!(failures.failed(&limited, Some(minute(attempt)), minute(attempt)), None);
        }
        assert_eq!(failures, ContentFailures::default());
    }
}

//! What an invitation costs of the day's calls and mails, and how its attempts share out the calls.
//!
//! Intake charges [`Cost::of`], which is what an invitation needs when nothing fails. A message that always fails costs
//! more, and any visitor can write one: a firewall in front of LeadSquared blocks what they typed. So the record counts
//! the calls of all attempts ([`CallsMade`]), and a message of a form is tried ever more slowly, whether its sender is
//! anonymous or has a form key. Each attempt makes one call where every call fails, and two where only `Register` does.
//! Once the content is suspected, an attempt with two registrations makes four. A question is slowed in the same way,
//! because each of its attempts takes one of the day's look-ups.
//!
//! | a message that is always blocked, and others are registered | every 3 minutes | once in an hour | never |
//! | --- | --- | --- | --- |
//! | request for a link, form with a blocked address | 18 calls in 2 hours | 23 in 36 hours | 18 in 36 hours |
//! | form with a blocked identifier | 27 in 90 minutes | 27 in 18 hours | 21 in 36 hours |
//! | form with a blocked text | 15 in 35 minutes | 15 in 35 minutes | 13 in 35 minutes |
//!
//! These are the most calls, and the longest time until the message is registered without the text or given up.
//!
//! An outage looks the same at first. The waits double from a minute on, so after an outage nobody waits much longer
//! than it has lasted. When LeadSquared has worked for another person since the last attempt, a waiting message is
//! tried within a quarter of an hour, however many calls it has made. So no applicant waits for hours after an outage
//! on a site with other applicants. Once the content is suspected, the message waits for a success of the last three
//! minutes: without one, its failure would show nothing.

use time::{Duration, OffsetDateTime};

use crate::Action;
use crate::content::{ContentFailures, WORKS_FOR};

/// The calls to LeadSquared and the mails that an invitation of a new lead needs, when nothing fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Calls to LeadSquared.
    pub calls: u32,
    /// Mails.
    pub mails: u32,
}

impl Cost {
    /// The cost of an invitation with this action.
    pub fn of(action: Action) -> Self {
        let (calls, mails) = match action {
            Action::Invite => (3, 1),
            Action::MailLink => (2, 1),
            Action::Activity => (1, 0),
        };
        Self { calls, mails }
    }
}

/// The attempts of a message that has made fewer calls than this do not wait for each other.
const CALLS_AT_ONCE: u32 = 3;

/// The least time before the next attempt at a message that has made so many calls. It doubles with each call more.
const FIRST_DISTANCE: Duration = Duration::MINUTE;

/// The longest that it becomes.
const LONGEST_DISTANCE: Duration = Duration::hours(4);

/// The same while LeadSquared works for others, and before the first attempt with a suspected content. A waiting
/// message looks as often whether it works.
const SHORT_DISTANCE: Duration = Duration::minutes(5);

/// The least time before a later attempt with a suspected content while LeadSquared works for no other person: such an
/// attempt makes four calls, not one.
const DISTANCE_IF_SUSPECTED: Duration = Duration::hours(12);

/// The calls that the attempts at an invitation have made, apart from mails, which have limits of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallsMade {
    /// How many.
    pub count: u32,
    /// When the attempt began after which the next one backs off: LeadSquared gave one of its calls no answer of its
    /// own.
    pub last: Option<OffsetDateTime>,
}

impl CallsMade {
    /// The last attempt, if the next one has to back off.
    pub(crate) fn backs_off_from(&self) -> Option<OffsetDateTime> {
        self.last.filter(|_| self.count >= CALLS_AT_ONCE)
    }

    /// When a message that backs off checks again whether it may make a call; none if it may make one now.
    ///
    /// `others`: when LeadSquared last did for another person what this message asks for.
    pub(crate) fn wait_until(
        &self,
        others: Option<OffsetDateTime>,
        content: &ContentFailures,
        now: OffsetDateTime,
    ) -> Option<OffsetDateTime> {
        let last = self.backs_off_from()?;
        let doublings = (self.count - CALLS_AT_ONCE).min(16);
        let doubled = (FIRST_DISTANCE * (1_i32 << doublings)).min(LONGEST_DISTANCE);
        let after = if content.is_suspected { last.max(now - WORKS_FOR) } else { last };
        let it_works = others.is_some_and(|others| others > after);
        let distance = match content.is_suspected {
            false if it_works => doubled.min(SHORT_DISTANCE),
            false => doubled,
            true if it_works || content.is_suspected_since_last_attempt() => SHORT_DISTANCE,
            true => DISTANCE_IF_SUSPECTED,
        };
        let until = (last + distance).min(content.is_decided_at().unwrap_or(last + distance));
        // LeadSquared may work for others soon.
        (now < until).then(|| until.min(now + SHORT_DISTANCE))
    }
}

//! Failures that depend on what one message contains, such as a text that a firewall in front of LeadSquared blocks.
//!
//! Such a failure looks like an outage. The difference is that LeadSquared works meanwhile: it does for other
//! people what fails for this one, or it answers the attempt's own look-up of the person.

use time::{Duration, OffsetDateTime};

/// After this many lone failures, and [`SPAN`] or more, their cause is the invitation.
const LONE_FAILURES: u32 = 3;

/// After this many more failed calls, the invitation is given up. A suspicion costs two calls, and a wrong end the
/// person: while LeadSquared fails a part of all calls, three in a row of one person are no rarity among hundreds.
const FAILURES_TO_GIVE_UP: u32 = 6;

/// The least time between the first of these failures, or the suspicion, and the last: while LeadSquared fails a part
/// of all calls, it seldom fails all attempts of this time.
const SPAN: Duration = Duration::minutes(15);

/// How long a success of others shows that LeadSquared works. In an outage that lets a few calls through, one attempt
/// in a quarter of an hour would nearly always come after one of them.
pub(crate) const WORKS_FOR: Duration = Duration::minutes(3);

/// Failures of one invitation. One is lone if LeadSquared has worked since the failure before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoneFailures {
    /// How many of them are lone. Two failed registrations of one attempt are two.
    pub count: u32,
    /// When the attempt began that had the first lone one, or that led to the suspicion.
    pub first: Option<OffsetDateTime>,
    /// When the last attempt began that failed.
    pub last: Option<OffsetDateTime>,
}

impl LoneFailures {
    /// Whether a failure now is lone. `others`: when the last attempt began in which LeadSquared did for another person
    /// what failed now.
    pub(crate) fn is_alone(&self, others: Option<OffsetDateTime>) -> bool {
        self.last.zip(others).is_some_and(|(last, others)| others > last)
    }

    /// Takes note of a failed attempt that began at `now`. Whether the lone failures show, over at least `span`, that
    /// the invitation is their cause.
    pub(crate) fn add(&mut self, is_alone: bool, span: Duration, now: OffsetDateTime) -> bool {
        self.reaches(LONE_FAILURES, u32::from(is_alone), span, now)
    }

    fn reaches(&mut self, enough: u32, lone: u32, span: Duration, now: OffsetDateTime) -> bool {
        self.last = Some(now);
        if lone == 0 {
            return false;
        }
        self.count += lone;
        let first = *self.first.get_or_insert(now);
        self.count >= enough && now - first >= span
    }
}

/// What the attempts at one invitation know about failures of its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentFailures {
    /// The failures without an answer of LeadSquared's own: since the content is suspected, or before.
    pub failures: LoneFailures,
    /// Whether the content may be the cause. A registration that fails is then repeated with the identifying attributes
    /// only.
    pub is_suspected: bool,
}

/// What a failure shows of its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// LeadSquared may be unavailable for everyone.
    Unclear,
    /// LeadSquared works for other people: the invitation is the likely cause.
    Lone,
    /// The content of the invitation is the cause, and nothing can be left out that helps.
    GiveUp,
}

impl ContentFailures {
    /// Whether the last attempt led to the suspicion, so that none without some of the content was made.
    pub(crate) fn is_suspected_since_last_attempt(&self) -> bool {
        self.is_suspected && self.failures.count == 0 && self.failures.first == self.failures.last
    }

    /// When an attempt decides whether the content is suspected, if enough failures are lone and only [`SPAN`] is not
    /// over.
    pub(crate) fn is_decided_at(&self) -> Option<OffsetDateTime> {
        let LoneFailures { count, first, last } = self.failures;
        let at = first.filter(|_| !self.is_suspected && count >= LONE_FAILURES)? + SPAN;
        last.is_some_and(|last| last < at).then_some(at)
    }

    /// Takes note of an attempt that began at `now` and got no answer of LeadSquared's own.
    ///
    /// `others`: as in [`LoneFailures::is_alone`]. `has_answer`: whether LeadSquared answered another call of this
    /// attempt. That is enough to suspect the content, and so to try without some of it. It is not enough to give the
    /// invitation up: while one of LeadSquared's calls is unavailable, it answers the others. `has_tried_less`: whether
    /// a registration with the identifying attributes failed too.
    pub(crate) fn failed(
        &mut self,
        others: Option<OffsetDateTime>,
        has_answer: bool,
        has_tried_less: bool,
        now: OffsetDateTime,
    ) -> Verdict {
        // Before the first failure, LeadSquared has worked if it did so a moment ago.
        let works_for_others = others.is_some_and(|others| others > self.failures.last.unwrap_or(now - SPAN));
        let others_recently = others.filter(|others| *others > now - WORKS_FOR);
        let is_alone = self.failures.is_alone(others_recently) || has_answer && !self.is_suspected;
        let enough = if self.is_suspected { FAILURES_TO_GIVE_UP } else { LONE_FAILURES };
        let lone = u32::from(is_alone) * (1 + u32::from(has_tried_less));
        match (self.failures.reaches(enough, lone, SPAN, now), self.is_suspected) {
            (true, true) => return Verdict::GiveUp,
            (true, false) => {
                let failures = LoneFailures { count: 0, first: Some(now), last: Some(now) };
                *self = Self { failures, is_suspected: true };
            }
            (false, _) => {}
        }
        if works_for_others { Verdict::Lone } else { Verdict::Unclear }
    }
}

/// What LeadSquared did for the person of an invitation in one attempt. It shows other invitations that LeadSquared
/// works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// It answered a look-up of the person.
    LookedUp,
    /// It registered the person.
    Registered,
}

/// When LeadSquared last worked for an invitation of the account, on one UTC day. Each is the time at which the attempt
/// began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSuccesses {
    /// [`Success::LookedUp`].
    pub looked_up: Option<OffsetDateTime>,
    /// [`Success::Registered`].
    pub registered: Option<OffsetDateTime>,
    /// It sent the mail.
    pub mailed: Option<OffsetDateTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn minute(minutes: i64) -> OffsetDateTime {
        BEGIN + Duration::DAY + Duration::minutes(minutes)
    }

    /// The verdicts on an attempt in each of these minutes.
    fn verdicts(
        content: &mut ContentFailures,
        minutes: impl IntoIterator<Item = i64>,
        others: impl Fn(i64) -> Option<OffsetDateTime>,
        has_answer: bool,
    ) -> Vec<(i64, Verdict, bool)> {
        let verdict = |at| (at, content.failed(others(at), has_answer, false, minute(at)), content.is_suspected);
        minutes.into_iter().map(verdict).collect()
    }

    fn a_moment_before(at: i64) -> Option<OffsetDateTime> {
        Some(minute(at) - Duration::seconds(30))
    }

    #[test]
    fn failures_of_a_quarter_of_an_hour_while_others_succeed_are_suspected_and_those_of_another_are_final() {
        use Verdict::{GiveUp, Lone};
        let mut content = ContentFailures::default();
        let found = verdicts(&mut content, [0, 1, 8, 15, 16, 20, 24, 25, 26, 27, 31], a_moment_before, false);
        let suspected = |from: usize| found[from..].iter().map(|(at, _, is_suspected)| (*at, *is_suspected));
        assert!(suspected(0).all(|(at, is_suspected)| is_suspected == (at >= 16)), "{found:?}");
        let (last, before) = found.split_last().unwrap();
        assert_eq!(last.1, GiveUp, "the suspicion began in minute 16");
        assert!(before.iter().all(|(_, verdict, _)| *verdict == Lone), "{found:?}");
        assert!(
            LONE_FAILURES == 3
                && verdicts(&mut ContentFailures::default(), [0, 1, 16], a_moment_before, false)
                    .iter()
                    .all(|(.., is_suspected)| !is_suspected),
            "two lone failures are too few"
        );
    }

    #[test]
    fn without_other_people_an_answer_to_the_attempts_own_look_up_is_enough_to_suspect_and_not_to_give_up() {
        let mut content = ContentFailures::default();
        let found = verdicts(&mut content, 0..1000, |_| None, true);
        assert!(
            found
                .iter()
                .all(|(at, verdict, is_suspected)| { *verdict == Verdict::Unclear && *is_suspected == (*at >= 15) })
        );
    }

    #[test]
    fn an_outage_shows_nothing_however_long_it_lasts() {
        let mut content = ContentFailures::default();
        verdicts(&mut content, 0..100, |_| None, false);
        // One success after a failure shows one lone failure, not two.
        verdicts(&mut content, 100..200, |_| Some(minute(99) + Duration::SECOND), false);
        assert_eq!((content.failures.count, content.is_suspected), (1, false));
    }
}

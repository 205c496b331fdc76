//! The line itself: what is asked of it, what it answers, and how its state goes on.

use std::time::Duration;

use leadsquared::{Lane, Limit};
use time::OffsetDateTime;

use crate::settings::{LONGEST, Rules};

/// A line of slots that everybody who calls LeadSquared for one account books in.
///
/// Times are arguments: they are read on the asker's clock.
pub trait Line: Send + Sync {
    /// The rules it was made with.
    fn rules(&self) -> &Rules;

    /// Books a slot if one can be had; otherwise nothing changes.
    ///
    /// # Errors
    /// When the line cannot be reached or read. Nobody may call then, for nobody knows how many others do.
    fn book(&self, ask: Ask) -> impl Future<Output = Result<Answer, LineError>> + Send;

    /// LeadSquared said at `now` that there were too many calls, and perhaps which limit it counts by.
    ///
    /// No slot of the next full window is given out, and a slower limit holds for an hour. Slots that were booked before
    /// stay with those who booked them.
    ///
    /// # Errors
    /// As for [`book`](Self::book).
    fn push_back(
        &self,
        now: OffsetDateTime,
        limit: Option<Limit>,
    ) -> impl Future<Output = Result<(), LineError>> + Send;
}

/// A wish for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who asks.
    pub lane: Lane,
    /// When, on the asker's clock.
    pub now: OffsetDateTime,
    /// The last moment at which a slot is still of use.
    pub latest: OffsetDateTime,
}

/// What became of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The slot is the asker's: the call is to leave then.
    Leave {
        /// On the asker's clock; not before it asked.
        slot: OffsetDateTime,
    },
    /// Not yet; ask again then.
    Later {
        /// After the asking.
        at: OffsetDateTime,
    },
    /// All slots of use are taken.
    Full {
        /// When those that are booked now will be over.
        until: OffsetDateTime,
    },
    /// The day's calls are used up.
    DayUsedUp {
        /// When the next day begins.
        until: OffsetDateTime,
    },
}

/// Why a line could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// DynamoDB did not answer, or not with success.
    #[error(
        "DynamoDB did not carry out the request ({cause}); if this lasts, check the table's name and the function's role"
    )]
    Unavailable {
        /// DynamoDB's error code, or what happened on the way.
        cause: String,
    },
    /// Others changed the line again and again between looking at it and booking; asking again will do.
    #[error("the line was changed by others each time; ask again")]
    Contended,
    /// The line's item is not as this code writes it.
    #[error("the item {pk} has no usable attribute {attribute}; delete the item and the line starts anew")]
    Corrupt {
        /// The item's key.
        pk: &'static str,
        /// The attribute that is missing or of the wrong type.
        attribute: &'static str,
    },
}

/// How long a limit that LeadSquared named instead of ours is kept to.
const ADOPTED_FOR: Duration = Duration::from_secs(60 * 60);

/// Nobody books so far ahead: a line that has come here was led by a clock that is wrong.
const FAR: Duration = LONGEST.saturating_mul(4);

/// Where the line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The first slot that is not booked; in the past when the line is idle.
    pub(crate) head: OffsetDateTime,
    /// When the background has its next turn.
    pub(crate) turn: OffsetDateTime,
    /// The day that `used` is about, counted from 1970.
    pub(crate) day: i64,
    /// How many slots of that day were booked.
    pub(crate) used: u32,
    /// A slower interval than that of the rules holds...
    pub(crate) slower: Duration,
    /// ...until then.
    pub(crate) slower_until: OffsetDateTime,
}

/// A slot that can be had.
pub(crate) struct Booking {
    pub(crate) slot: OffsetDateTime,
    /// How far the head moves on from the slot.
    pub(crate) interval: Duration,
    /// The last slot that would have been as good on the same day.
    pub(crate) last: OffsetDateTime,
    /// It is one of the background's turns.
    pub(crate) on_turn: bool,
    pub(crate) after: State,
}

impl State {
    /// A line that nobody has used yet.
    pub(crate) const NEW: Self = Self {
        head: OffsetDateTime::UNIX_EPOCH,
        turn: OffsetDateTime::UNIX_EPOCH,
        day: 0,
        used: 0,
        slower: Duration::ZERO,
        slower_until: OffsetDateTime::UNIX_EPOCH,
    };

    /// The slot for an asker, or the answer that there is none.
    pub(crate) fn book(&self, rules: &Rules, ask: &Ask) -> Result<Booking, Answer> {
        let state = self.without_wrong_clocks(rules, ask.now);
        let interval = state.interval(rules, ask.now);
        let slot = state.head.max(ask.now);
        let is_near = slot <= ask.now + rules.ahead();
        let (ahead, on_turn) = match ask.lane {
            Lane::Interactive => (rules.settings().patience, false),
            Lane::Background if is_near => (rules.ahead(), false),
            Lane::Background if state.turn <= ask.now => (rules.ahead_on_turn(), true),
            Lane::Background => {
                let at = state.turn.min(slot - rules.ahead());
                return Err(if at < ask.latest { Answer::Later { at } } else { Answer::Full { until: slot } });
            }
        };
        let last = ask.latest.min(ask.now + ahead);
        if slot > last {
            return Err(Answer::Full { until: slot });
        }
        // The slot's own day: the head never goes back over midnight, whoever's clock is behind.
        let day = day_of(slot);
        let used = if day == state.day { state.used } else { 0 };
        if rules.settings().daily.is_some_and(|daily| used >= daily) {
            return Err(Answer::DayUsedUp { until: end_of(day) });
        }
        let turn = if on_turn { ask.now.max(state.turn + rules.between_turns(interval)) } else { state.turn };
        Ok(Booking {
            slot,
            interval,
            last: last.min(end_of(day) - Duration::from_nanos(1)),
            on_turn,
            after: Self { head: slot + interval, turn, day, used: used.saturating_add(1), ..state },
        })
    }

    /// The line after LeadSquared complained.
    pub(crate) fn pushed_back(&self, rules: &Rules, now: OffsetDateTime, limit: Option<Limit>) -> Self {
        let mut state = self.without_wrong_clocks(rules, now);
        let mut window = rules.settings().limit.window;
        if let Some((limit, slower)) = limit.and_then(|limit| Some((limit, rules.slower(limit)?))) {
            window = window.max(limit.window);
            state.slower = if state.slower_until > now { slower.max(state.slower) } else { slower };
            state.slower_until = now + ADOPTED_FOR;
        }
        // Not later and later with each of the complaints that a few calls at once cause.
        state.head = state.head.max(now + window);
        state
    }

    fn interval(&self, rules: &Rules, now: OffsetDateTime) -> Duration {
        if self.slower_until > now { rules.interval().max(self.slower) } else { rules.interval() }
    }

    /// One clock that is hours ahead would otherwise stop everybody for hours. Who finds its traces starts anew, a window
    /// from now.
    fn without_wrong_clocks(&self, rules: &Rules, now: OffsetDateTime) -> Self {
        let mut state = *self;
        if state.head > now + FAR {
            state.head = now + rules.settings().limit.window;
        }
        if state.turn > now + FAR {
            state.turn = now;
        }
        if state.slower_until > now + ADOPTED_FOR + FAR {
            state.slower_until = now + ADOPTED_FOR;
        }
        state
    }
}

fn day_of(time: OffsetDateTime) -> i64 {
    time.unix_timestamp().div_euclid(SECONDS_PER_DAY)
}

fn end_of(day: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(day.saturating_add(1).saturating_mul(SECONDS_PER_DAY))
}

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

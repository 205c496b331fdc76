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
    /// No slot of the next full window is given out, and a slower limit holds for an hour. Slots that were booked
    /// before stay with those who booked them.
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

/// More slots than this are never kept for the background at once: the item stays small whatever the limit is.
const MOST_RESERVED: u32 = 32;

/// Where the line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The first slot behind all those that are booked or reserved; in the past when the line is idle.
    pub head: OffsetDateTime,
    /// When the background has its next turn.
    pub turn: OffsetDateTime,
    /// The day that `used` is about, counted from 1970.
    pub day: i64,
    /// How many slots of that day were booked.
    pub used: u32,
    /// A slower interval than that of the rules holds...
    pub slower: Duration,
    /// ...until then.
    pub slower_until: OffsetDateTime,
    /// What is kept for the background.
    pub reserve: Reserve,
}

/// The slots that people have left free for the background on their way further ahead.
///
/// Bookings count for the day and the account; reserved slots do not before somebody books them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// How many more slots people leave free. The background earns them with each of its bookings, so that nothing is
    /// kept for a background that has stopped asking.
    pub left: u32,
    /// The next reserved slot lies there or behind it.
    pub due: OffsetDateTime,
    /// The slots, in their order and all before the head. Those in the past are of no use to anybody.
    pub slots: Vec<OffsetDateTime>,
}

impl Reserve {
    /// Nothing is kept and nothing is to be.
    pub const NONE: Self = Self { left: 0, due: OffsetDateTime::UNIX_EPOCH, slots: Vec::new() };

    /// Without the slots that are over. One that keeps nothing and never will is none.
    fn tidied(mut self, now: OffsetDateTime) -> Self {
        self.slots.retain(|slot| *slot >= now);
        if self.left == 0 && self.slots.is_empty() { Self::NONE } else { self }
    }
}

/// A slot that can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// The slot.
    pub slot: OffsetDateTime,
    /// How far the head moves on from the slot.
    pub interval: Duration,
    /// The last slot that would have been as good on the same day.
    pub last: OffsetDateTime,
    /// It is one of the background's turns.
    pub on_turn: bool,
    /// The line with the booking.
    pub after: State,
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
        reserve: Reserve::NONE,
    };

    /// The slot for an asker, or the answer that there is none.
    pub(crate) fn book(&self, rules: &Rules, ask: &Ask) -> Result<Booking, Answer> {
        let state = self.without_wrong_clocks(rules, ask.now);
        let (last_day, used) = (state.day, state.used);
        let booking = match ask.lane {
            Lane::Interactive => state.book_for_a_person(rules, ask),
            Lane::Background => state.book_in_background(rules, ask),
        }?;
        // The slot's own day: the head never goes back over midnight, whoever's clock is behind.
        let day = day_of(booking.slot);
        let used = if day == last_day { used } else { 0 };
        if rules.daily(ask.lane).is_some_and(|daily| used >= daily) {
            return Err(Answer::DayUsedUp { until: end_of(day) });
        }
        Ok(Booking {
            last: booking.last.min(end_of(day) - Duration::from_nanos(1)),
            after: Self { day, used: used.saturating_add(1), ..booking.after },
            ..booking
        })
    }

    /// A slot up to the patience ahead. Those that are due to the background stay free on the way there; what it has
    /// not booked of them at the last moment is for whoever comes then.
    fn book_for_a_person(self, rules: &Rules, ask: &Ask) -> Result<Booking, Answer> {
        let interval = self.interval(rules, ask.now);
        let head = self.head.max(ask.now);
        if let Some(slot) = self.first_reserved(ask) {
            // Where the line is short, the background can book at its end.
            let is_short = head <= ask.now + rules.ahead();
            if is_short || slot <= ask.now + rules.handover(interval) {
                return Ok(self.take_reserved(slot, interval, ask.now));
            }
        }
        let last = ask.latest.min(ask.now + rules.settings().patience);
        // A person who comes alone is not sent behind a free slot.
        let alone = ask.now + rules.longest_wait_alone(interval);
        let mut slot = head;
        let mut reserve = self.reserve.clone();
        let mut last_without_reserve = last;
        if reserve.left > 0 {
            let from = reserve.due.max(alone + Duration::from_nanos(1));
            if head >= from {
                reserve = reserve.tidied(ask.now);
                while reserve.left > 0 && slot >= reserve.due && slot <= last {
                    reserve.left -= 1;
                    reserve.slots.push(slot);
                    reserve.due = reserve.due.max(slot - interval) + rules.between_turns(interval);
                    slot += interval;
                }
            } else {
                last_without_reserve = last.min(from - Duration::from_nanos(1));
            }
        }
        if slot > last {
            return Err(Answer::Full { until: head });
        }
        let after = Self { head: slot + interval, reserve, ..self };
        Ok(Booking { slot, interval, last: last_without_reserve, on_turn: false, after })
    }

    /// A slot that people left free, or one of the nearest; on its turn one behind the people who have booked.
    fn book_in_background(self, rules: &Rules, ask: &Ask) -> Result<Booking, Answer> {
        let interval = self.interval(rules, ask.now);
        let next_turn = ask.now.max(self.turn + rules.between_turns(interval));
        let most = rules.most_reserved(interval).min(MOST_RESERVED);
        if let Some(slot) = self.first_reserved(ask) {
            let mut booking = self.take_reserved(slot, interval, ask.now);
            booking.after.turn = next_turn;
            // Two for one, so that the slots become more as long as all of them are used, and half as many as are used
            // when they are not.
            let reserve = &mut booking.after.reserve;
            reserve.left = reserve.left.saturating_add(2).min(most);
            return Ok(booking);
        }
        let slot = self.head.max(ask.now);
        let is_near = slot <= ask.now + rules.ahead();
        let on_turn = !is_near && self.turn <= ask.now;
        if !is_near && !on_turn {
            let at = self.turn.min(slot - rules.ahead());
            return Err(if at < ask.latest { Answer::Later { at } } else { Answer::Full { until: slot } });
        }
        let last = ask.latest.min(ask.now + if on_turn { rules.ahead_on_turn() } else { rules.ahead() });
        if slot > last {
            return Err(Answer::Full { until: slot });
        }
        let turn = if on_turn { next_turn } else { self.turn };
        let reserve = Reserve { left: self.reserve.left.max(most), ..self.reserve };
        let after = Self { head: slot + interval, turn, reserve, ..self };
        Ok(Booking { slot, interval, last, on_turn, after })
    }

    /// The first slot kept for the background that is still of use. None of a day before the one that is counted.
    fn first_reserved(&self, ask: &Ask) -> Option<OffsetDateTime> {
        let of_use = |slot: &&OffsetDateTime| **slot >= ask.now && day_of(**slot) >= self.day;
        self.reserve.slots.iter().find(of_use).copied().filter(|slot| *slot <= ask.latest)
    }

    fn take_reserved(self, slot: OffsetDateTime, interval: Duration, now: OffsetDateTime) -> Booking {
        let mut reserve = self.reserve;
        reserve.slots.retain(|other| *other != slot);
        let after = Self { reserve: reserve.tidied(now), ..self };
        Booking { slot, interval, last: slot, on_turn: false, after }
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
        state.reserve.slots.clear();
        // Not later and later with each of the complaints that a few calls at once cause.
        let after = now + window;
        if state.head < after {
            state.head = after;
            // The first slot after it is for whoever asks first: everything before it is empty.
            state.reserve.due = state.reserve.due.max(after + state.interval(rules, now));
        }
        state.reserve = state.reserve.tidied(now);
        state
    }

    fn interval(&self, rules: &Rules, now: OffsetDateTime) -> Duration {
        if self.slower_until > now { rules.interval().max(self.slower) } else { rules.interval() }
    }

    /// One clock that is hours ahead would otherwise stop everybody for hours. Who finds its traces starts anew, a
    /// window from now.
    fn without_wrong_clocks(&self, rules: &Rules, now: OffsetDateTime) -> Self {
        let mut state = self.clone();
        if state.head > now + FAR {
            state.head = now + rules.settings().limit.window;
            state.reserve = Reserve::NONE;
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

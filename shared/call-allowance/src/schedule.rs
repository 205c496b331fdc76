//! The call schedule: the trait, and the pure rules by which a booking changes its state.

use std::time::Duration;

use leadsquared::{Lane, RateLimit};
use time::OffsetDateTime;

use crate::settings::{AllowanceRules, LONGEST};

/// A schedule of slots. All callers of one LeadSquared account book their slots in it.
///
/// Times are arguments. They are read on the caller's clock.
pub trait CallSchedule: Send + Sync {
    /// The rules of the schedule.
    fn rules(&self) -> &AllowanceRules;

    /// Books a slot if one is free. Otherwise the schedule does not change.
    ///
    /// # Errors
    /// When the schedule is unavailable or unreadable. The caller must not call LeadSquared then, because it does not
    /// know how many calls the others make.
    fn book(&self, request: SlotRequest) -> impl Future<Output = Result<SlotDecision, ScheduleError>> + Send;

    /// Slows the schedule down after LeadSquared refused a call at `now` as one too many, and perhaps named its limit.
    ///
    /// No slot of the next full window is given out, and a slower limit applies for an hour. Slots that were booked
    /// before stay booked.
    ///
    /// # Errors
    /// When the schedule is unavailable or unreadable.
    fn back_off(
        &self,
        now: OffsetDateTime,
        limit: Option<RateLimit>,
    ) -> impl Future<Output = Result<(), ScheduleError>> + Send;
}

/// A request for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRequest {
    /// The lane of the caller.
    pub lane: Lane,
    /// The time of the request, on the caller's clock.
    pub now: OffsetDateTime,
    /// The latest slot that the caller can use.
    pub latest: OffsetDateTime,
    /// Whether the caller also takes the next slot, for the call that follows.
    pub takes_next: bool,
}

/// The decision about a [`SlotRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotDecision {
    /// The slot belongs to the caller, who starts the call then.
    Granted {
        /// The time of the slot on the caller's clock, not before the request.
        slot: OffsetDateTime,
        /// The next slot, if the caller took it too and it was free.
        next: Option<OffsetDateTime>,
    },
    /// No slot can be booked yet. The caller asks again at this time.
    Later {
        /// A time after the request.
        at: OffsetDateTime,
    },
    /// No slot is free that the caller can use.
    Full {
        /// The end of the slots that are booked now.
        until: OffsetDateTime,
    },
    /// The daily cap is reached.
    DayUsedUp {
        /// The beginning of the next day.
        until: OffsetDateTime,
    },
}

/// Why a schedule could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// DynamoDB failed or did not answer.
    #[error(
        "DynamoDB did not carry out the request ({cause}); if this lasts, check the table's name and the function's role"
    )]
    Unavailable {
        /// DynamoDB's error code, or how the call failed.
        cause: String,
    },
    /// Other callers changed the schedule between reading and writing it, at every attempt. The caller can try again.
    #[error("other callers changed the call schedule at every attempt; the call is retried, no action needed")]
    Contended,
    /// The schedule's item lacks an attribute.
    #[error("the item {pk} has no usable attribute {attribute}; delete the item, and the call schedule starts empty")]
    Corrupt {
        /// The item's key.
        pk: String,
        /// The attribute that is missing or of the wrong type.
        attribute: &'static str,
    },
}

/// How long a slower limit that LeadSquared named is applied.
const SLOWER_LIMIT_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// No correct clock leads to bookings this far ahead. A schedule with such a booking was changed by a wrong clock.
const WRONG_CLOCK: Duration = LONGEST.saturating_mul(4);

/// The most slots that are reserved for the background at once, so that the item stays small under any limit.
const MOST_RESERVED: u32 = 32;

impl SlotBooking {
    /// The distance from the first slot to the new head.
    pub fn span(&self) -> Duration {
        self.interval * self.calls
    }

    /// The decision, with this first slot.
    pub(crate) fn granted(&self, slot: OffsetDateTime) -> SlotDecision {
        SlotDecision::Granted { slot, next: (self.calls > 1).then(|| slot + self.interval) }
    }

    /// The same booking with the next slot as well, if that one is free and of the same day.
    fn with_next(self) -> Option<Self> {
        let day = day_of(self.slot);
        if !self.next_is_free || day_of(self.slot + self.interval) != day {
            return None;
        }
        let (head, turn) = (self.after.head + self.interval, self.after.turn + self.interval);
        let after = ScheduleState { head, turn, used: self.after.used.saturating_add(1), ..self.after };
        let last = self.last.min(end_of(day) - Duration::from_nanos(1) - self.interval);
        Some(Self { calls: self.calls + 1, last, after, ..self })
    }
}

/// The state of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleState {
    /// The first slot after all booked and reserved ones. It is in the past while the schedule is idle.
    pub head: OffsetDateTime,
    /// The time of the background's next turn.
    pub turn: OffsetDateTime,
    /// The day that `used` counts, in days since 1970.
    pub day: i64,
    /// The number of booked slots of that day.
    pub used: u32,
    /// The interval under a slower limit that LeadSquared named.
    pub slower: Duration,
    /// The time until which `slower` applies.
    pub slower_until: OffsetDateTime,
    /// The slots that are reserved for the background.
    pub reserve: Reserve,
}

/// The slots that stay free for the background when people book further ahead.
///
/// A reserved slot counts for the daily cap only when it is booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// How many more slots are reserved. Each booking of the background adds some, so that nothing is reserved for a
    /// background that no longer books.
    pub left: u32,
    /// The earliest time of the next slot to be reserved.
    pub due: OffsetDateTime,
    /// The reserved slots in ascending order, all before the head. Slots in the past are no longer usable.
    pub slots: Vec<OffsetDateTime>,
}

impl Reserve {
    /// No slot is reserved, and none is to be.
    pub const NONE: Self = Self { left: 0, due: OffsetDateTime::UNIX_EPOCH, slots: Vec::new() };

    /// The same reserve without slots in the past. If nothing remains, [`NONE`](Self::NONE).
    fn tidied(mut self, now: OffsetDateTime) -> Self {
        self.slots.retain(|slot| *slot >= now);
        if self.left == 0 && self.slots.is_empty() { Self::NONE } else { self }
    }
}

/// A slot that can be booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotBooking {
    /// The slot.
    pub slot: OffsetDateTime,
    /// The number of slots: the one, or the next one as well.
    pub calls: u32,
    /// The distance from one slot to the next.
    pub interval: Duration,
    /// The last slot on the same day that would have served as well.
    pub last: OffsetDateTime,
    /// Whether the background can book the next slot as well.
    pub(crate) next_is_free: bool,
    /// The state after the booking.
    pub after: ScheduleState,
}

impl ScheduleState {
    /// A schedule without bookings.
    pub(crate) const NEW: Self = Self {
        head: OffsetDateTime::UNIX_EPOCH,
        turn: OffsetDateTime::UNIX_EPOCH,
        day: 0,
        used: 0,
        slower: Duration::ZERO,
        slower_until: OffsetDateTime::UNIX_EPOCH,
        reserve: Reserve::NONE,
    };

    /// The slot for a request, or the reason why there is none.
    pub(crate) fn book(&self, rules: &AllowanceRules, request: &SlotRequest) -> Result<SlotBooking, SlotDecision> {
        let state = self.without_wrong_clocks(rules, request.now);
        let (last_day, used) = (state.day, state.used);
        let booking = match request.lane {
            Lane::Interactive => state.book_for_a_person(rules, request),
            Lane::Background => state.book_in_background(rules, request),
        }?;
        // The day of the slot, not of the clock: the head never moves back over midnight, even if a clock is behind.
        let day = day_of(booking.slot);
        let used = if day == last_day { used } else { 0 };
        if rules.daily(request.lane).is_some_and(|daily| used >= daily) {
            return Err(SlotDecision::DayUsedUp { until: end_of(day) });
        }
        let booking = SlotBooking {
            last: booking.last.min(end_of(day) - Duration::from_nanos(1)),
            after: Self { day, used: used.saturating_add(1), ..booking.after },
            ..booking
        };
        let has_next = request.takes_next && rules.daily(request.lane).is_none_or(|daily| booking.after.used < daily);
        Ok(match has_next.then(|| booking.clone().with_next()).flatten() {
            Some(both) => both,
            None => booking,
        })
    }

    /// A slot for a person, up to the patience ahead. Slots that are due to the background stay free before it. A
    /// reserved slot that is still free shortly before its time goes to the next person.
    fn book_for_a_person(self, rules: &AllowanceRules, request: &SlotRequest) -> Result<SlotBooking, SlotDecision> {
        let interval = self.interval(rules, request.now);
        let head = self.head.max(request.now);
        if let Some(slot) = self.first_reserved(request) {
            // If few slots are booked, the background can book at the end of the schedule.
            let is_short = head <= request.now + rules.ahead();
            if is_short || slot <= request.now + rules.handover(interval) {
                return Ok(self.take_reserved(slot, interval, request.now));
            }
        }
        let last = request.latest.min(request.now + rules.settings().patience);
        // A person who arrives alone does not have to wait for a slot behind a reserved one.
        let alone = request.now + rules.longest_wait_alone(interval);
        let mut slot = head;
        let mut reserve = self.reserve.clone();
        let mut last_without_reserve = last;
        if reserve.left > 0 {
            let from = reserve.due.max(alone + Duration::from_nanos(1));
            if head >= from {
                reserve = reserve.tidied(request.now);
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
            return Err(SlotDecision::Full { until: head });
        }
        let after = Self { head: slot + interval, reserve, ..self };
        Ok(SlotBooking { slot, calls: 1, interval, last: last_without_reserve, next_is_free: false, after })
    }

    /// A slot for the background: a reserved one, or one of the nearest, or on its turn one behind the people's
    /// bookings.
    fn book_in_background(self, rules: &AllowanceRules, request: &SlotRequest) -> Result<SlotBooking, SlotDecision> {
        let interval = self.interval(rules, request.now);
        let next_turn = request.now.max(self.turn + rules.between_turns(interval));
        let most = rules.most_reserved(interval).min(MOST_RESERVED);
        if let Some(slot) = self.first_reserved(request) {
            let mut booking = self.take_reserved(slot, interval, request.now);
            booking.after.turn = next_turn;
            // Each booking of a reserved slot reserves two more. The reserve grows while all its slots are used, and
            // shrinks when some expire unused.
            let reserve = &mut booking.after.reserve;
            reserve.left = reserve.left.saturating_add(2).min(most);
            return Ok(booking);
        }
        let is_idle = self.head <= request.now;
        let slot = self.head.max(request.now);
        let is_near = slot <= request.now + rules.ahead();
        let on_turn = !is_near && self.turn <= request.now;
        if !is_near && !on_turn {
            let at = self.turn.min(slot - rules.ahead());
            return Err(if at < request.latest {
                SlotDecision::Later { at }
            } else {
                SlotDecision::Full { until: slot }
            });
        }
        let last = request.latest.min(request.now + if on_turn { rules.ahead_on_turn() } else { rules.ahead() });
        if slot > last {
            return Err(SlotDecision::Full { until: slot });
        }
        // A slot that people left to it counts as a turn too, or the background would use its turn right behind it.
        let turn = if on_turn { next_turn } else { slot + rules.between_turns(interval) };
        let reserve = Reserve { left: self.reserve.left.max(most), ..self.reserve };
        let after = Self { head: slot + interval, turn, reserve, ..self };
        // Beside a crowd, a person who arrives now would wait for two slots.
        Ok(SlotBooking { slot, calls: 1, interval, last, next_is_free: is_idle, after })
    }

    /// The first reserved slot that the caller can use. A slot of an earlier day than the counted one is not usable.
    fn first_reserved(&self, request: &SlotRequest) -> Option<OffsetDateTime> {
        let is_usable = |slot: &&OffsetDateTime| **slot >= request.now && day_of(**slot) >= self.day;
        self.reserve.slots.iter().find(is_usable).copied().filter(|slot| *slot <= request.latest)
    }

    fn take_reserved(self, slot: OffsetDateTime, interval: Duration, now: OffsetDateTime) -> SlotBooking {
        let mut reserve = self.reserve;
        reserve.slots.retain(|other| *other != slot);
        let after = Self { reserve: reserve.tidied(now), ..self };
        SlotBooking { slot, calls: 1, interval, last: slot, next_is_free: false, after }
    }

    /// The state after LeadSquared refused a call as one too many.
    pub(crate) fn backed_off(&self, rules: &AllowanceRules, now: OffsetDateTime, limit: Option<RateLimit>) -> Self {
        let mut state = self.without_wrong_clocks(rules, now);
        let mut window = rules.settings().limit.window;
        if let Some((limit, slower)) = limit.and_then(|limit| Some((limit, rules.slower(limit)?))) {
            window = window.max(limit.window);
            state.slower = if state.slower_until > now { slower.max(state.slower) } else { slower };
            state.slower_until = now + SLOWER_LIMIT_LIFETIME;
        }
        state.reserve.slots.clear();
        // A maximum, not a sum: several refusals at the same time delay the schedule only once.
        let after = now + window;
        if state.head < after {
            state.head = after;
            // The first slot after the pause is not reserved, because no slot before it is booked.
            state.reserve.due = state.reserve.due.max(after + state.interval(rules, now));
        }
        state.reserve = state.reserve.tidied(now);
        state
    }

    fn interval(&self, rules: &AllowanceRules, now: OffsetDateTime) -> Duration {
        if self.slower_until > now { rules.interval().max(self.slower) } else { rules.interval() }
    }

    /// The state without the effects of a wrong clock. A worker whose clock is hours ahead would otherwise stop all
    /// callers for hours. The schedule then starts again one window from now.
    fn without_wrong_clocks(&self, rules: &AllowanceRules, now: OffsetDateTime) -> Self {
        let mut state = self.clone();
        if state.head > now + WRONG_CLOCK {
            state.head = now + rules.settings().limit.window;
            state.reserve = Reserve::NONE;
        }
        if state.turn > now + WRONG_CLOCK {
            state.turn = now;
        }
        if state.slower_until > now + SLOWER_LIMIT_LIFETIME + WRONG_CLOCK {
            state.slower_until = now + SLOWER_LIMIT_LIFETIME;
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

//! A call schedule whose state is in a store, for all processes that share the store.

use std::sync::{Mutex, MutexGuard, PoisonError};

use leadsquared::{Lane, RateLimit};
use time::OffsetDateTime;

use crate::schedule::{CallSchedule, ScheduleError, ScheduleState, SlotBooking, SlotDecision, SlotRequest};
use crate::settings::AllowanceRules;

/// How often a booking is tried when other processes write first. Each time, one of them has made progress.
const ATTEMPTS: usize = 60;

/// Stores the state of one schedule. Each write is conditional, and returns the state after it.
pub trait ScheduleStore: Send + Sync {
    /// The stored state; none before the first booking.
    fn read(&self) -> impl Future<Output = Result<Option<StoredSchedule>, ScheduleError>> + Send;

    /// Replaces the state that has this revision. Without a revision, it writes the first state.
    fn replace(
        &self,
        revision: Option<i128>,
        state: &ScheduleState,
    ) -> impl Future<Output = Result<Written, ScheduleError>> + Send;

    /// Adds a booking to the stored state, which may have changed since it was `seen`. The condition: the schedule is
    /// still as busy as then, and with the booking at most `daily` calls of the day are booked.
    fn add(
        &self,
        seen: &ScheduleState,
        booking: &SlotBooking,
        now: OffsetDateTime,
        daily: u32,
    ) -> impl Future<Output = Result<Written, ScheduleError>> + Send;
}

/// A stored state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSchedule {
    /// The number of writes so far.
    pub revision: i128,
    /// The state.
    pub state: ScheduleState,
}

/// The result of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was carried out, and this is the stored state now.
    Done(StoredSchedule),
    /// Nothing was written, because another process wrote first. Holds that state, if the store returned it.
    Outdated(Option<StoredSchedule>),
}

/// A schedule for all processes that share its store.
///
/// A process remembers the last state that it saw, and books from there. On a busy schedule a booking is one update,
/// which also works if other processes have booked in between. In other cases the whole state is replaced, if it is
/// still the one that was seen. These are: the schedule is idle, a day begins, a slower limit begins or ends, or a
/// booking changes the slots reserved for the background.
///
/// **Crowds.** A refused request writes nothing. If the last state that a process saw was full, it reads the state
/// before it writes: DynamoDB serves six times as many reads of one item as writes, and reads do not delay other
/// bookings. Within one interval it does not even read. A booking that competes for the item fails only if another one
/// succeeds. That cannot happen more often in a row than there are free slots within the patience.
#[derive(Debug)]
pub struct SharedSchedule<S> {
    store: S,
    rules: AllowanceRules,
    seen: Mutex<Option<Seen>>,
}

/// The last state that this process saw.
#[derive(Clone, Debug)]
struct Seen {
    kept: StoredSchedule,
    /// When it was seen, on the clock of the request.
    at: OffsetDateTime,
}

impl<S: ScheduleStore> SharedSchedule<S> {
    /// The schedule in this store.
    pub fn new(store: S, rules: AllowanceRules) -> Self {
        Self { store, rules, seen: Mutex::new(None) }
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the state that a write at this moment returned. Returns the new state if the write was carried out.
    fn remember(&self, written: Written, at: OffsetDateTime) -> Option<ScheduleState> {
        let (kept, done) = match written {
            Written::Done(kept) => (Some(kept.clone()), Some(kept.state)),
            Written::Outdated(kept) => (kept, None),
        };
        *self.seen() = kept.map(|kept| Seen { kept, at });
        done
    }

    /// Reads the current state. A failure does no harm, because every slot needs a write.
    async fn look(&self, now: OffsetDateTime) {
        let Ok(Some(kept)) = self.store.read().await else { return };
        let mut seen = self.seen();
        // A read may return an older state than an earlier write.
        if seen.as_ref().is_none_or(|seen| seen.kept.revision <= kept.revision) {
            *seen = Some(Seen { kept, at: now });
        }
    }

    /// Whether the state must be read again before this refusal is returned or this booking is tried.
    fn is_outdated(&self, seen: &Seen, ask: &SlotRequest, booked: Result<&SlotBooking, &SlotDecision>) -> bool {
        let head = seen.kept.state.head;
        let is_recent = seen.at <= ask.now && ask.now < seen.at + self.rules.interval();
        match (booked, ask.lane) {
            // The number of calls of a day never falls.
            (Err(SlotDecision::DayUsedUp { .. }), _) => false,
            // People may have left slots free for the background since then.
            (Err(_), Lane::Background) => true,
            // A reserved slot goes to people shortly before its time, but a new reserved slot is too far ahead for
            // that. Only a rate limit can turn a slot that was to be reserved into one for people.
            (Err(_), Lane::Interactive) => {
                let last = ask.latest.min(ask.now + self.rules.settings().patience);
                !is_recent || head <= last
            }
            // The schedule was full, and in a crowd it still is: another process may have booked the slot.
            (Ok(_), Lane::Interactive) => {
                let full = self.rules.settings().patience.saturating_sub(self.rules.interval() * 2);
                seen.at != ask.now && head > seen.at + full
            }
            (Ok(_), Lane::Background) => false,
        }
    }
}

impl<S: ScheduleStore> CallSchedule for SharedSchedule<S> {
    fn rules(&self) -> &AllowanceRules {
        &self.rules
    }

    async fn book(&self, ask: SlotRequest) -> Result<SlotDecision, ScheduleError> {
        let mut has_looked = false;
        for _ in 0..ATTEMPTS {
            let seen = self.seen().clone();
            let booked = seen.as_ref().map_or(&ScheduleState::NEW, |seen| &seen.kept.state).book(&self.rules, &ask);
            if let Some(seen) = &seen
                && !has_looked
                && self.is_outdated(seen, &ask, booked.as_ref())
            {
                has_looked = true;
                self.look(ask.now).await;
                continue;
            }
            // The schedule only fills up: if the seen state had no slot, the stored one has none either.
            let booking = match booked {
                Ok(booking) => booking,
                Err(answer) => return Ok(answer),
            };
            // The state that a write returns is as current as a read.
            has_looked = true;
            let slot = match &seen {
                Some(Seen { kept, .. }) if booking.only_adds_to(&kept.state) => {
                    let daily = self.rules.daily(ask.lane).unwrap_or(u32::MAX);
                    let added = self.store.add(&kept.state, &booking, ask.now, daily).await?;
                    self.remember(added, ask.now).map(|state| state.head - booking.span())
                }
                seen => {
                    let revision = seen.as_ref().map(|seen| seen.kept.revision);
                    let replaced = self.store.replace(revision, &booking.after).await?;
                    self.remember(replaced, ask.now).map(|_| booking.slot)
                }
            };
            if let Some(slot) = slot {
                return Ok(booking.granted(slot));
            }
        }
        Err(ScheduleError::Contended)
    }

    async fn back_off(&self, now: OffsetDateTime, limit: Option<RateLimit>) -> Result<(), ScheduleError> {
        for _ in 0..ATTEMPTS {
            let seen = self.seen().clone().map(|seen| seen.kept);
            let state =
                seen.as_ref().map_or(&ScheduleState::NEW, |kept| &kept.state).backed_off(&self.rules, now, limit);
            let written = self.store.replace(seen.map(|kept| kept.revision), &state).await?;
            if self.remember(written, now).is_some() {
                return Ok(());
            }
        }
        Err(ScheduleError::Contended)
    }
}

impl SlotBooking {
    /// Whether this booking is still right after another process's booking in between.
    fn only_adds_to(&self, state: &ScheduleState) -> bool {
        let head = state.head + self.span();
        let added = ScheduleState { head, used: self.after.used, turn: self.after.turn, ..state.clone() };
        self.after == added
    }
}

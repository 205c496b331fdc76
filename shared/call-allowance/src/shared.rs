//! A line whose state is kept in a store, for all processes that share the store.

use std::sync::{Mutex, MutexGuard, PoisonError};

use leadsquared::{Lane, Limit};
use time::OffsetDateTime;

use crate::schedule::{CallSchedule, ScheduleError, ScheduleState, SlotBooking, SlotDecision, SlotRequest};
use crate::settings::AllowanceRules;

/// How often a booking starts again because other processes were quicker: each time one of them has made progress.
const ATTEMPTS: usize = 60;

/// Keeps the state of one line. Each write carries a condition, and returns what is kept afterwards.
pub trait ScheduleStore: Send + Sync {
    /// What is kept; none before the first booking.
    fn read(&self) -> impl Future<Output = Result<Option<StoredSchedule>, ScheduleError>> + Send;

    /// Keeps a state in place of the one with this revision; without a revision, in place of none.
    fn replace(
        &self,
        revision: Option<i128>,
        state: &ScheduleState,
    ) -> impl Future<Output = Result<Written, ScheduleError>> + Send;

    /// Adds a booking to whatever the line has become since it was `seen`, if the line is still as busy as it was then
    /// and fewer than `daily` calls of the day are booked.
    fn add(
        &self,
        seen: &ScheduleState,
        booking: &SlotBooking,
        now: OffsetDateTime,
        daily: u32,
    ) -> impl Future<Output = Result<Written, ScheduleError>> + Send;
}

/// A line's state as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSchedule {
    /// How many writes led to it.
    pub revision: i128,
    /// The state.
    pub state: ScheduleState,
}

/// What a conditional write led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was carried out, and this is kept now.
    Done(StoredSchedule),
    /// Nothing was written, because another process wrote first; what it wrote, if the store returned that.
    Outdated(Option<StoredSchedule>),
}

/// A line for all processes that share its store.
///
/// What was seen last is remembered, and the next booking starts from there. On a busy line it is one update that adds
/// to whatever the others have made of the line meanwhile. Where that is not possible, because the line is idle, a day
/// begins, a slower limit comes or goes, or a slot is reserved for the background or taken from its reserve, the state
/// as a whole is replaced if it is still the one that was seen.
///
/// **Crowds.** An attempt that is turned away writes nothing. When a process has last seen a line that was full, it
/// reads the state before it writes: DynamoDB serves six times as many reads of one item as writes, and reads do not
/// delay the bookings of others. For one interval even that is not needed. Bookings that compete for the item fail only
/// because others succeed, and there are never more of those in a row than free slots within the patience.
#[derive(Debug)]
pub struct SharedSchedule<S> {
    store: S,
    rules: AllowanceRules,
    seen: Mutex<Option<Seen>>,
}

/// The state as it was seen last.
#[derive(Clone, Debug)]
struct Seen {
    kept: StoredSchedule,
    /// When, on the clock of the process that asked then.
    at: OffsetDateTime,
}

impl<S: ScheduleStore> SharedSchedule<S> {
    /// The line in this store.
    pub fn new(store: S, rules: AllowanceRules) -> Self {
        Self { store, rules, seen: Mutex::new(None) }
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what a write at this moment returned. The state that the write led to, if it was carried out.
    fn remember(&self, written: Written, at: OffsetDateTime) -> Option<ScheduleState> {
        let (kept, done) = match written {
            Written::Done(kept) => (Some(kept.clone()), Some(kept.state)),
            Written::Outdated(kept) => (kept, None),
        };
        *self.seen() = kept.map(|kept| Seen { kept, at });
        done
    }

    /// Reads the state, to know more than was seen. A failure does no harm: no slot is had without a write.
    async fn look(&self, now: OffsetDateTime) {
        let Ok(Some(kept)) = self.store.read().await else { return };
        let mut seen = self.seen();
        // A read may be older than a write that was answered before it.
        if seen.as_ref().is_none_or(|seen| seen.kept.revision <= kept.revision) {
            *seen = Some(Seen { kept, at: now });
        }
    }

    /// Whether the state has to be read before this answer is believed or this booking tried.
    fn is_outdated(&self, seen: &Seen, ask: &SlotRequest, booked: Result<&SlotBooking, &SlotDecision>) -> bool {
        let head = seen.kept.state.head;
        let is_recent = seen.at <= ask.now && ask.now < seen.at + self.rules.interval();
        match (booked, ask.lane) {
            // A day only fills up.
            (Err(SlotDecision::DayUsedUp { .. }), _) => false,
            // People may have left slots for it since.
            (Err(_), Lane::Background) => true,
            // At the last moment those are for people too. They lie too far ahead for that when they are made. Only a
            // slot that was to be reserved may have become one for people, after a complaint.
            (Err(_), Lane::Interactive) => {
                let last = ask.latest.min(ask.now + self.rules.settings().patience);
                !is_recent || head <= last
            }
            // The line was full, and still is if there is a crowd: another process may have booked the slot.
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
            // A line only fills up: where it had no slot it has none now.
            let booking = match booked {
                Ok(booking) => booking,
                Err(answer) => return Ok(answer),
            };
            // What a write returns is as good as a read.
            has_looked = true;
            let slot = match &seen {
                Some(Seen { kept, .. }) if booking.only_adds_to(&kept.state) => {
                    let daily = self.rules.daily(ask.lane).unwrap_or(u32::MAX);
                    let added = self.store.add(&kept.state, &booking, ask.now, daily).await?;
                    self.remember(added, ask.now).map(|state| state.head - booking.interval)
                }
                seen => {
                    let revision = seen.as_ref().map(|seen| seen.kept.revision);
                    let replaced = self.store.replace(revision, &booking.after).await?;
                    self.remember(replaced, ask.now).map(|_| booking.slot)
                }
            };
            if let Some(slot) = slot {
                return Ok(SlotDecision::Granted { slot });
            }
        }
        Err(ScheduleError::Contended)
    }

    async fn back_off(&self, now: OffsetDateTime, limit: Option<Limit>) -> Result<(), ScheduleError> {
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
    /// Whether another process's booking in between would not matter.
    fn only_adds_to(&self, state: &ScheduleState) -> bool {
        let head = state.head + self.interval;
        let added = ScheduleState { head, used: self.after.used, turn: self.after.turn, ..state.clone() };
        self.after == added
    }
}

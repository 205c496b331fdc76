//! Makes a call schedule the admission of a LeadSquared client: each call waits here for its slot.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leadsquared::{Admission, BoxFuture, Lane, PlannedCall, Throttled, TurnedAway};
use time::OffsetDateTime;

use crate::clock::{Clock, SystemClock};
use crate::schedule::{CallSchedule, SlotDecision, SlotRequest};

/// The time that a call needs between its slot and its deadline. With less time the call would be cut off, and its
/// result would be unknown.
const CALL_TIME: Duration = Duration::from_secs(1);

/// When a caller should try again after the schedule was unavailable.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Admits each call in a slot of a schedule. Used as [`Options::admission`](leadsquared::Options::admission).
///
/// A call in the interactive lane that another one follows gets a slot in the first half of its time, or none.
///
/// A call in the background lane that another one follows books the next slot too, in one request to the schedule. The
/// next call in that lane uses it. If that call comes too late, because LeadSquared takes longer than an interval to
/// answer, the slot is lost. Then no next slot is booked for an hour.
#[derive(Debug)]
pub struct Allowance<L, C = SystemClock> {
    schedule: L,
    clock: C,
    next: Mutex<NextSlot>,
}

/// The slot of the background lane's next call.
#[derive(Clone, Copy, Debug)]
enum NextSlot {
    /// It is booked together with the slot of a call that it follows.
    Unbooked,
    /// It is booked.
    Booked(OffsetDateTime),
    /// One was lost: each call books its own slot until this time.
    Lost { until: OffsetDateTime },
}

/// How long no next slot is booked after one was lost. A lost slot counts as a call of the day.
const NO_NEXT_SLOT: Duration = Duration::from_secs(60 * 60);

impl<L: CallSchedule> Allowance<L> {
    /// Admits calls by the machine's clock.
    pub fn new(schedule: L) -> Self {
        Self::with_clock(schedule, SystemClock)
    }
}

impl<L: CallSchedule, C: Clock> Allowance<L, C> {
    /// Admits calls by another clock.
    pub fn with_clock(schedule: L, clock: C) -> Self {
        Self { schedule, clock, next: Mutex::new(NextSlot::Unbooked) }
    }

    fn next(&self) -> NextSlot {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_next(&self, next: NextSlot) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// Waits for a slot of this caller. If DynamoDB or a busy machine delays the call by more than the schedule
    /// permits, it gives up the slot: it would come too close to the calls after it.
    async fn is_in_time_for(&self, slot: OffsetDateTime) -> bool {
        self.clock.sleep(until(slot, self.clock.time())).await;
        self.clock.time() <= slot + self.schedule.rules().lateness()
    }

    async fn wait_for_slot(&self, PlannedCall { lane, deadline, is_followed }: PlannedCall) -> Result<(), TurnedAway> {
        let is_background = lane == Lane::Background;
        loop {
            let now = self.clock.time();
            let remaining = deadline.saturating_duration_since(self.clock.instant());
            let Some(time) = remaining.checked_sub(CALL_TIME) else {
                return Err(TurnedAway { retry_after: None, source: None });
            };
            // The next call needs a slot in time too: the first calls of a crowd would leave the second ones none.
            let has_to_share = is_followed && !is_background;
            let latest = now.saturating_add(span(if has_to_share { time / 2 } else { time }));
            let next = if is_background { self.next() } else { NextSlot::Unbooked };
            if let NextSlot::Booked(slot) = next {
                self.set_next(NextSlot::Unbooked);
                // The margin for a call that leaves late is for delays that are rare, and a slow answer is not.
                let last = slot + self.schedule.rules().lateness() / 4;
                if now <= last && slot <= latest && self.is_in_time_for(slot).await {
                    return Ok(());
                }
                self.set_next(NextSlot::Lost { until: self.clock.time() + NO_NEXT_SLOT });
                continue;
            }
            let may_book_next = !matches!(next, NextSlot::Lost { until } if now < until);
            let request = SlotRequest { lane, now, latest, takes_next: is_background && is_followed && may_book_next };
            let decision = self.schedule.book(request).await;
            let now = self.clock.time();
            match decision {
                Ok(SlotDecision::Granted { slot, next }) => {
                    if let Some(next) = next {
                        self.set_next(NextSlot::Booked(next));
                    }
                    if self.is_in_time_for(slot).await {
                        return Ok(());
                    }
                }
                Ok(SlotDecision::Later { at }) => self.clock.sleep(until(at, now).max(Duration::from_millis(1))).await,
                Ok(SlotDecision::Full { until: free }) => {
                    return Err(TurnedAway { retry_after: Some(until(free, now)), source: None });
                }
                Ok(SlotDecision::DayUsedUp { until: tomorrow }) => {
                    let source = match lane {
                        Lane::Interactive => Arc::new(DayUsedUp) as _,
                        Lane::Background => Arc::new(BackgroundDayUsedUp) as _,
                    };
                    return Err(TurnedAway { retry_after: Some(until(tomorrow, now)), source: Some(source) });
                }
                Err(error) => {
                    let source = Some(Arc::new(error) as _);
                    return Err(TurnedAway { retry_after: Some(RETRY_AFTER_FAILURE), source });
                }
            }
        }
    }
}

impl<L: CallSchedule, C: Clock> Admission for Allowance<L, C> {
    fn admit(&self, call: PlannedCall) -> BoxFuture<'_, Result<(), TurnedAway>> {
        Box::pin(self.wait_for_slot(call))
    }

    fn throttled(&self, refusal: Throttled) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // The window that LeadSquared has to recover in reaches beyond the next slot.
            self.set_next(NextSlot::Unbooked);
            // A failure is ignored: while the schedule is unavailable, no caller gets a slot from it either.
            let _ = self.schedule.back_off(self.clock.time(), refusal.limit).await;
        })
    }
}

/// The source of a [`TurnedAway`] in the interactive lane, if the daily cap is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the day's calls are used up; wait for the next UTC day, or raise the daily cap if the account permits more")]
pub struct DayUsedUp;

/// The source of a [`TurnedAway`] in the background lane, if its part of the daily cap is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the background's part of the day's calls is used up, and the rest is kept for people who wait; the background \
     continues after midnight UTC, or sooner if the daily cap is raised because the account permits more"
)]
pub struct BackgroundDayUsedUp;

/// The time from the refusal to the next UTC day, if the call was refused because of the daily cap.
pub fn until_next_day(turned_away: &TurnedAway) -> Option<Duration> {
    let source = turned_away.source.as_ref()?;
    let is_day = source.is::<DayUsedUp>() || source.is::<BackgroundDayUsedUp>();
    turned_away.retry_after.filter(|_| is_day)
}

fn until(time: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::try_from(time - now).unwrap_or_default()
}

fn span(time: Duration) -> time::Duration {
    time::Duration::try_from(time).unwrap_or(time::Duration::MAX)
}

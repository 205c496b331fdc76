//! Makes a call schedule the admission of a LeadSquared client: each call waits here for its slot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leadsquared::{Admission, BoxFuture, Lane, Throttled, TurnedAway};
use time::OffsetDateTime;

use crate::clock::{Clock, SystemClock};
use crate::schedule::{CallSchedule, SlotDecision, SlotRequest};

/// The time that a call needs between its slot and its deadline. With less time the call would be cut off, and its
/// result would be unknown.
const CALL_TIME: Duration = Duration::from_secs(1);

/// When a caller should try again after the schedule was unavailable.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Admits each call in a slot of a schedule. Used as [`Options::admission`](leadsquared::Options::admission).
#[derive(Debug)]
pub struct Allowance<L, C = SystemClock> {
    schedule: L,
    clock: C,
}

impl<L: CallSchedule> Allowance<L> {
    /// Admits calls by the machine's clock.
    pub fn new(schedule: L) -> Self {
        Self::with_clock(schedule, SystemClock)
    }
}

impl<L: CallSchedule, C: Clock> Allowance<L, C> {
    /// Admits calls by another clock.
    pub fn with_clock(schedule: L, clock: C) -> Self {
        Self { schedule, clock }
    }

    async fn wait_for_slot(&self, lane: Lane, deadline: Instant) -> Result<(), TurnedAway> {
        loop {
            let now = self.clock.time();
            let remaining = deadline.saturating_duration_since(self.clock.instant());
            let Some(time) = remaining.checked_sub(CALL_TIME) else {
                return Err(TurnedAway { retry_after: None, source: None });
            };
            let decision = self.schedule.book(SlotRequest { lane, now, latest: now.saturating_add(span(time)) }).await;
            let now = self.clock.time();
            match decision {
                Ok(SlotDecision::Granted { slot }) => {
                    self.clock.sleep(until(slot, now)).await;
                    // If DynamoDB or a busy machine delayed the call by more than this, it gives up its slot. It would
                    // come too close to the calls after it.
                    if self.clock.time() <= slot + self.schedule.rules().lateness() {
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
    fn admit(&self, lane: Lane, deadline: Instant) -> BoxFuture<'_, Result<(), TurnedAway>> {
        Box::pin(self.wait_for_slot(lane, deadline))
    }

    fn throttled(&self, refusal: Throttled) -> BoxFuture<'_, ()> {
        Box::pin(async move {
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

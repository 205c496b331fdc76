use std::sync::Arc;
use std::time::{Duration, Instant};

use leadsquared::{Admission, BoxFuture, Lane, Limit, TurnedAway};
use time::OffsetDateTime;

use crate::clock::{Clock, SystemClock};
use crate::line::{Answer, Ask, Line};

/// A leave with less time than this before the deadline is of no use: the call would be cut off, and nobody would know
/// whether it was carried out.
const CALL_TIME: Duration = Duration::from_secs(1);

/// When to ask again after the line could not be used.
const AFTER_A_FAULT: Duration = Duration::from_secs(1);

/// Admits calls in the slots of a line: for [`Options::admission`](leadsquared::Options::admission).
#[derive(Debug)]
pub struct Allowance<L, C = SystemClock> {
    line: L,
    clock: C,
}

impl<L: Line> Allowance<L> {
    /// On the machine's clock.
    pub fn new(line: L) -> Self {
        Self::with_clock(line, SystemClock)
    }
}

impl<L: Line, C: Clock> Allowance<L, C> {
    /// On a clock of your own.
    pub fn with_clock(line: L, clock: C) -> Self {
        Self { line, clock }
    }

    async fn leave(&self, lane: Lane, deadline: Instant) -> Result<(), TurnedAway> {
        loop {
            let now = self.clock.time();
            let left = deadline.saturating_duration_since(self.clock.instant());
            let Some(time) = left.checked_sub(CALL_TIME) else {
                return Err(TurnedAway { retry_after: None, source: None });
            };
            let answer = self.line.book(Ask { lane, now, latest: now.saturating_add(span(time)) }).await;
            let now = self.clock.time();
            match answer {
                Ok(Answer::Leave { slot }) => {
                    self.clock.sleep(until(slot, now)).await;
                    // Held up on the way here, by DynamoDB or because the machine was busy: the place in the line is
                    // lost, or this call would crowd those after it.
                    if self.clock.time() <= slot + self.line.rules().lateness() {
                        return Ok(());
                    }
                }
                Ok(Answer::Later { at }) => self.clock.sleep(until(at, now).max(Duration::from_millis(1))).await,
                Ok(Answer::Full { until: free }) => {
                    return Err(TurnedAway { retry_after: Some(until(free, now)), source: None });
                }
                Ok(Answer::DayUsedUp { until: tomorrow }) => {
                    let source = match lane {
                        Lane::Interactive => Arc::new(DayUsedUp) as _,
                        Lane::Background => Arc::new(BackgroundDayUsedUp) as _,
                    };
                    return Err(TurnedAway { retry_after: Some(until(tomorrow, now)), source: Some(source) });
                }
                Err(error) => {
                    let source = Some(Arc::new(error) as _);
                    return Err(TurnedAway { retry_after: Some(AFTER_A_FAULT), source });
                }
            }
        }
    }
}

impl<L: Line, C: Clock> Admission for Allowance<L, C> {
    fn admit(&self, lane: Lane, deadline: Instant) -> BoxFuture<'_, Result<(), TurnedAway>> {
        Box::pin(self.leave(lane, deadline))
    }

    fn throttled(&self, _: Lane, limit: Option<Limit>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // If the line cannot be reached nobody gets leave from it either.
            let _ = self.line.push_back(self.clock.time(), limit).await;
        })
    }
}

/// The source of a [`TurnedAway`] in the interactive lane when the daily cap is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the day's calls are used up; wait for the next UTC day, or raise the daily cap if the account permits more")]
pub struct DayUsedUp;

/// The source of a [`TurnedAway`] in the background when its part of the daily cap is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the background's part of the day's calls is used up, and the rest is kept for people who wait; it goes on after \
     midnight UTC, or sooner if the daily cap is raised because the account permits more"
)]
pub struct BackgroundDayUsedUp;

/// The time from a refusal to the next UTC day, if the call was refused because the day's calls are used up.
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

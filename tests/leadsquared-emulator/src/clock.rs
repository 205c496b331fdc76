//! The emulator's time: the machine's clock, or one that a test moves by hand.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::watch;

/// The latest time of a clock, so that lifetimes can still be added to it.
const END: OffsetDateTime = datetime!(9000-01-01 00:00:00 UTC);

/// The clock for every lifetime, limit and timestamp of the emulator. Clones share the same time.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    stopped_at: Option<OffsetDateTime>,
    advanced: watch::Sender<Duration>,
}

impl Clock {
    /// The machine's clock; [`Clock::advance`] still moves it ahead.
    pub fn system() -> Self {
        Self::new(None)
    }

    /// A clock that stands still until it is advanced.
    pub fn stopped_at(time: OffsetDateTime) -> Self {
        Self::new(Some(time))
    }

    /// The current time, in UTC; the year 9000 at the latest.
    pub fn now(&self) -> OffsetDateTime {
        let started = self.0.stopped_at.unwrap_or_else(OffsetDateTime::now_utc);
        started.saturating_add((*self.0.advanced.borrow()).try_into().unwrap_or(time::Duration::MAX)).min(END)
    }

    /// Moves the clock ahead for all its clones, and wakes tasks whose time has come.
    pub fn advance(&self, by: Duration) {
        self.0.advanced.send_modify(|advanced| *advanced = advanced.saturating_add(by));
    }

    /// Returns once the clock shows `time` or later.
    pub(crate) async fn reached(&self, time: OffsetDateTime) {
        let mut advanced = self.0.advanced.subscribe();
        loop {
            let missing = time - self.now();
            let Ok(missing) = Duration::try_from(missing) else { return };
            if missing.is_zero() {
                return;
            }
            match self.0.stopped_at {
                // The sender lives in `self`: `changed` cannot report that it is gone.
                Some(_) => drop(advanced.changed().await),
                None => drop(tokio::time::timeout(missing, advanced.changed()).await),
            }
        }
    }

    fn new(stopped_at: Option<OffsetDateTime>) -> Self {
        Self(Arc::new(Inner { stopped_at, advanced: watch::Sender::new(Duration::ZERO) }))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stopped_clock_reaches_a_time_only_by_being_advanced() {
        let clock = Clock::stopped_at(OffsetDateTime::UNIX_EPOCH);
        let due = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(60);
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.reached(due).await;
                clock.now()
            }
        });
        clock.advance(Duration::from_secs(59));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(waiting.await.unwrap(), due);
    }
}

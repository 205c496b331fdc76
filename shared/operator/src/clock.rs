//! The time, as an argument: a command's own, or a test's.

use std::time::Duration;

use time::OffsetDateTime;

/// Where a command takes the time from.
pub trait Clock {
    /// The present moment.
    fn now(&self) -> OffsetDateTime;

    /// Waits for this long.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

//! The clock of a command. It is an argument, so that a test can replace it.

use std::time::Duration;

use time::OffsetDateTime;

/// The source of the time for a command.
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

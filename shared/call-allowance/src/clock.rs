use std::time::{Duration, Instant};

use leadsquared::BoxFuture;
use time::OffsetDateTime;

/// What time it is, and waiting.
pub trait Clock: Send + Sync {
    /// What deadlines are given in.
    fn instant(&self) -> Instant;

    /// What slots are given in: the time of day, which the other workers read as well.
    fn time(&self) -> OffsetDateTime;

    /// Waits.
    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn time(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

//! The clock that slots and deadlines are read on, so that tests can replace it.

use std::time::{Duration, Instant};

use leadsquared::BoxFuture;
use time::OffsetDateTime;

/// A clock that can be read and waited on.
pub trait Clock: Send + Sync {
    /// The time in which deadlines are given.
    fn instant(&self) -> Instant;

    /// The time in which slots are given: the time of day, which all workers share.
    fn time(&self) -> OffsetDateTime;

    /// Waits for this duration.
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
        Box::pin(async move {
            // Tokio rounds every wait up to whole milliseconds, also one that is over.
            if !duration.is_zero() {
                tokio::time::sleep(duration).await;
            }
        })
    }
}

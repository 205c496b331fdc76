//! A worker's clock: virtual time, from which it may be wrong.

use std::time::{Duration, Instant};

use call_allowance::Clock;
use leadsquared::{BoxFuture, Lane, PlannedCall};
use time::OffsetDateTime;
use virtual_clock::{Chance, VirtualClock};

use crate::suite::NOON;

/// The clock of one worker in a run that starts at [`NOON`].
#[derive(Clone)]
pub(crate) struct WorkerClock {
    pub(crate) true_time: VirtualClock,
    /// By how much the worker's time of day is ahead; negative when it is behind.
    pub(crate) error: time::Duration,
}

impl WorkerClock {
    /// A clock without error.
    pub(crate) fn exact(true_time: &VirtualClock) -> Self {
        Self { true_time: true_time.clone(), error: time::Duration::ZERO }
    }
}

impl Clock for WorkerClock {
    fn instant(&self) -> Instant {
        self.true_time.instant()
    }

    fn time(&self) -> OffsetDateTime {
        NOON + self.true_time.now() + self.error
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.true_time.sleep(duration))
    }
}

/// The time of a new run; the seed decides the order of workers that wake at the same time.
pub(crate) fn new_run(seed: u64) -> VirtualClock {
    VirtualClock::new(Chance::new(seed))
}

/// A length of time from zero to `most` milliseconds.
pub(crate) fn up_to(chance: &mut Chance, most: u64) -> Duration {
    chance.between(Duration::ZERO, Duration::from_millis(most))
}

/// A call that no other call follows.
pub(crate) fn planned(lane: Lane, deadline: Instant) -> PlannedCall {
    PlannedCall { lane, deadline, is_followed: false }
}

//! The time of a run as the clock of the call allowance.

use std::ops::Deref;
use std::time::{Duration, Instant};

use call_allowance::Clock;
use leadsquared::BoxFuture;
use time::OffsetDateTime;
use virtual_clock::VirtualClock;
pub(super) use virtual_clock::{Chance, Task};

use super::plan::START;

/// Virtual time that starts at [`START`].
#[derive(Clone)]
pub(super) struct Timeline(VirtualClock);

impl Timeline {
    /// The time of a new run. `order` decides the order of tasks that wake at the same time.
    pub(super) fn new(order: Chance) -> Self {
        Self(VirtualClock::new(order))
    }
}

impl Deref for Timeline {
    type Target = VirtualClock;

    fn deref(&self) -> &VirtualClock {
        &self.0
    }
}

impl Clock for Timeline {
    fn instant(&self) -> Instant {
        self.0.instant()
    }

    fn time(&self) -> OffsetDateTime {
        START + self.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.0.sleep(duration))
    }
}

//! Runs the suite on the schedule in memory.

use std::sync::Arc;

use call_allowance::{AllowanceRules, CallSchedule, InProcess, ScheduleError, SlotDecision, SlotRequest};
use futures::executor::block_on;
use leadsquared::RateLimit;
use time::OffsetDateTime;

use crate::suite;

/// A handle of a schedule that several workers share.
#[derive(Clone)]
pub(crate) struct Handle(Arc<InProcess>);

impl Handle {
    pub(crate) fn new(rules: AllowanceRules) -> Self {
        Self(Arc::new(InProcess::new(rules)))
    }
}

impl CallSchedule for Handle {
    fn rules(&self) -> &AllowanceRules {
        self.0.rules()
    }

    async fn book(&self, ask: SlotRequest) -> Result<SlotDecision, ScheduleError> {
        self.0.book(ask).await
    }

    async fn back_off(&self, now: OffsetDateTime, limit: Option<RateLimit>) -> Result<(), ScheduleError> {
        self.0.back_off(now, limit).await
    }
}

async fn lines(rules: AllowanceRules, workers: usize) -> Vec<Handle> {
    vec![Handle::new(rules); workers]
}

suite::tests!(block_on, lines);

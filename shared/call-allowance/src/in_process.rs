//! The call schedule in memory, for one process on its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use leadsquared::RateLimit;
use time::OffsetDateTime;

use crate::schedule::{CallSchedule, ScheduleError, ScheduleState, SlotDecision, SlotRequest};
use crate::settings::AllowanceRules;

/// A call schedule for a process that is the only one to call LeadSquared.
#[derive(Debug)]
pub struct InProcess {
    rules: AllowanceRules,
    state: Mutex<ScheduleState>,
}

impl InProcess {
    /// A schedule without bookings.
    pub fn new(rules: AllowanceRules) -> Self {
        Self { rules, state: Mutex::new(ScheduleState::NEW) }
    }

    fn state(&self) -> MutexGuard<'_, ScheduleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallSchedule for InProcess {
    fn rules(&self) -> &AllowanceRules {
        &self.rules
    }

    async fn book(&self, request: SlotRequest) -> Result<SlotDecision, ScheduleError> {
        let mut state = self.state();
        Ok(match state.book(&self.rules, &request) {
            Ok(booking) => {
                let granted = booking.granted(booking.slot);
                *state = booking.after;
                granted
            }
            Err(decision) => decision,
        })
    }

    async fn back_off(&self, now: OffsetDateTime, limit: Option<RateLimit>) -> Result<(), ScheduleError> {
        let mut state = self.state();
        *state = state.backed_off(&self.rules, now, limit);
        Ok(())
    }
}

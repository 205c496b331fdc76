//! The call schedule in memory, for one process on its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use leadsquared::Limit;
use time::OffsetDateTime;

use crate::line::{Answer, Ask, Line, LineError, State};
use crate::settings::Rules;

/// A call schedule for a process that is the only one to call LeadSquared.
#[derive(Debug)]
pub struct InProcess {
    rules: Rules,
    state: Mutex<State>,
}

impl InProcess {
    /// A schedule without bookings.
    pub fn new(rules: Rules) -> Self {
        Self { rules, state: Mutex::new(State::NEW) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line for InProcess {
    fn rules(&self) -> &Rules {
        &self.rules
    }

    async fn book(&self, ask: Ask) -> Result<Answer, LineError> {
        let mut state = self.state();
        Ok(match state.book(&self.rules, &ask) {
            Ok(booking) => {
                *state = booking.after;
                Answer::Leave { slot: booking.slot }
            }
            Err(answer) => answer,
        })
    }

    async fn push_back(&self, now: OffsetDateTime, limit: Option<Limit>) -> Result<(), LineError> {
        let mut state = self.state();
        *state = state.pushed_back(&self.rules, now, limit);
        Ok(())
    }
}

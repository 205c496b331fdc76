//! Runs the suite on the schedule in memory.

use std::sync::Arc;

use call_allowance::{Answer, Ask, InProcess, Line, LineError, Rules};
use futures::executor::block_on;
use leadsquared::Limit;
use time::OffsetDateTime;

use crate::suite;

/// A handle of a schedule that several workers share.
#[derive(Clone)]
pub(crate) struct Handle(Arc<InProcess>);

impl Handle {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(Arc::new(InProcess::new(rules)))
    }
}

impl Line for Handle {
    fn rules(&self) -> &Rules {
        self.0.rules()
    }

    async fn book(&self, ask: Ask) -> Result<Answer, LineError> {
        self.0.book(ask).await
    }

    async fn push_back(&self, now: OffsetDateTime, limit: Option<Limit>) -> Result<(), LineError> {
        self.0.push_back(now, limit).await
    }
}

async fn lines(rules: Rules, workers: usize) -> Vec<Handle> {
    vec![Handle::new(rules); workers]
}

suite::tests!(block_on, lines);

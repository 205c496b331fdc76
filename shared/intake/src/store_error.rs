//! Why an application, an event or a link request is not stored.

use std::time::Duration;

use ledger::LedgerError;
use queue::QueueError;
use web::TRY_AGAIN_AFTER;

/// Why a submission is not stored. Its sender is asked to send it again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue did not take it. It is not counted either.
    #[error(transparent)]
    Queue(QueueError),
    /// The table could not count it, or it is over a cap and the table could not hold it.
    #[error(transparent)]
    Ledger(LedgerError),
    /// The table is unavailable, and the limiter in the process is full.
    #[error("the ledger did not answer, and this process accepts no more submissions of this sender for now")]
    LimiterFull {
        /// The time until the limiter has room again.
        retry_after: Duration,
    },
}

impl StoreError {
    /// The name of the cause in the log.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Queue(_) => "Queue",
            Self::Ledger(_) => "Ledger",
            Self::LimiterFull { .. } => "LimiterFull",
        }
    }

    /// The time after which the sender should send it again.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Queue(_) | Self::Ledger(_) => TRY_AGAIN_AFTER,
            Self::LimiterFull { retry_after } => *retry_after,
        }
    }
}

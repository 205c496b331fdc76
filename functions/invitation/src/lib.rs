//! The worker: registers the lead as a portal user, makes the auto-login link, mails it, and writes down how it ended.
//!
//! Trigger: the invitations queue (SQS FIFO, with `ReportBatchItemFailures`).
//!
//! A repeat is safe: the ledger knows what was done of each invitation, and what nobody knows is looked up before it is
//! done again. A message leaves the queue in one of three ways: done, laid aside among the dead letters with its
//! reason, or coming back later.

mod config;
mod worker;

pub use config::{Config, TIMEOUTS};
pub use worker::{LONGEST_WAIT, OPERATOR_HORIZON, RETRY_HORIZON, TO_RECORD, WORTH_BEGINNING, Worker};

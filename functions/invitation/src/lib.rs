//! The worker: registers the lead as a portal user, makes the auto-login link, mails it, and writes down how it ended.
//!
//! Trigger: the invitations queue (SQS FIFO, with `ReportBatchItemFailures`).
//!
//! A repeat is safe: the ledger knows what was done of each invitation, and what nobody knows is looked up before it
//! is done again. A message is done, or becomes a dead letter with its reason, or comes back later; and whatever it
//! comes back for, it becomes a dead letter before SQS would delete it:
//!
//! | what fails | dead letter after |
//! | --- | --- |
//! | LeadSquared, for now; the ledger; another attempt under way; a panic | 36 h |
//! | keys, host, portal, sender, KMS; the day's mails; a newer version; no time in the invocation | 13 days |
//! | the dead letter itself cannot be written | from day 13 on so often that SQS moves it by day 14 |

mod config;
mod worker;

pub use config::Config;
pub use worker::{LASTING, LONGEST_WAIT, OPERATOR_HORIZON, RETRY_HORIZON, TO_RECORD, WORTH_BEGINNING, Worker};

//! Takes the website's application form and puts an invitation on the queue.
//!
//! Trigger: `POST /applications` on the HTTP API (payload 2.0), or a REST API or Function URL.
//! The answer goes out after the queue has the invitation, or the ledger holds it for an operator, and not before.
//! LeadSquared is not asked on the way: its outage loses no applicant and slows nobody down. The [`intake`] crate
//! decides which of both.
//!
//! A form that comes with a form key is its sender's word for what a visitor typed; every other one is anybody's. So a
//! password that came without a form key is discarded: its sender may have typed somebody else's address.
//!
//! A repeat is safe: the same form in the same five minutes of the clock, or ever with the same `Idempotency-Key`, is
//! the same invitation with the same receipt; across that boundary the worker's cool-down sees to it.

mod config;
mod handler;
mod sender;
mod submission;

pub use config::Config;
pub use handler::{Stores, answer};
pub use submission::{Submission, read};

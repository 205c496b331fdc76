//! Takes the website's application form and puts an invitation on the queue.
//!
//! Trigger: `POST /applications` on the HTTP API (payload 2.0), or a REST API or Function URL.
//! The answer goes out after the queue has the invitation and not before, and nothing else is asked on the way: an
//! outage of LeadSquared loses no applicant and slows nobody down.
//!
//! A repeat is safe: the same form in the same five minutes of the clock, or ever with the same `Idempotency-Key`, is the
//! same invitation with the same receipt; across that boundary the worker's cool-down sees to it.

mod config;
mod handler;
mod submission;

pub use config::Config;
pub use handler::{Stores, answer};
pub use submission::{Submission, read};

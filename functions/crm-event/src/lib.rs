//! Takes LeadSquared's webhooks and puts an invitation on the queue for each event that a rule fires for.
//!
//! Trigger: `POST /crm-events` on the HTTP API (payload 2.0), or a REST API or Function URL; `HEAD`, `GET` and an empty
//! `POST` are LeadSquared's handshake. The answer goes out after the queue has every invitation of the request.
//!
//! LeadSquared gives an event no id, repeats it up to three times, and tells of one edit through every webhook that fits. A
//! repeat is safe: an activity is its own id, a change is its lead, its time and the field the rule is about.

mod config;
mod handler;

pub use config::Config;
pub use handler::{Stores, answer};

//! The worker: registers the lead as a portal user, makes the auto-login link, mails it, and records how it ended.

mod config;
mod log;
mod services;
mod worker;

pub use config::{Config, TIMEOUTS};
pub use worker::Worker;

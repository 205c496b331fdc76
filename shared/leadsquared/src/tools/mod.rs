//! Tools that make several calls: `doctor` examines an account, `webhook_setup` sets up its webhooks.

#[cfg(feature = "doctor")]
pub mod doctor;
pub mod webhook_setup;

//! Tools over several calls: an examination of an account, and the setup of its webhooks.

pub mod doctor;
pub mod webhook_setup;

//! The core API, one file per service.

pub(crate) mod authentication;
pub(crate) mod email_marketing;
pub(crate) mod lead_management;
pub(crate) mod prospect_activity;
pub(crate) mod webhook;

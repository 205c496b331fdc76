#![doc = include_str!("../../rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod account;
mod portal_settings;
mod settings;

pub use call_allowance::{AllowanceRules, until_next_day};

pub use account::{Access, Account, AccountError, BACKGROUND_TIMEOUTS, INTERACTIVE_TIMEOUTS, StoredKeys};
pub use portal_settings::{mail_sender, unproven_field};
pub use settings::AccountSettings;

#![doc = include_str!("../README.md")]

mod account;
mod settings;

pub use call_allowance::{AllowanceRules, until_next_day};

pub use account::{Access, Account, AccountError, BACKGROUND_TIMEOUTS, INTERACTIVE_TIMEOUTS, StoredKeys};
pub use settings::{AccountSettings, mail_sender, unproven_field};

//! The LeadSquared account as our functions use it: keys from Secrets Manager, kept up to date, and every call in
//! line.

mod account;
mod settings;

pub use call_allowance::{AllowanceRules, until_next_day};

pub use account::{Access, Account, AccountError, StoredKeys};
pub use settings::AccountSettings;

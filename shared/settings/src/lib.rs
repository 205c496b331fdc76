//! Settings by name from the environment, and secrets from AWS Secrets Manager.
//!
//! Only a function's `main.rs` touches the environment; everything else is handed a [`Variables`].

mod secret;
mod variables;

pub use secret::{Secret, SecretError};
pub use variables::{SettingError, Variables};

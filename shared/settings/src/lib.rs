//! Settings by name from the environment, and secrets from AWS Secrets Manager.
//!
//! Only the crate `runtime` reads the environment; everything else gets a [`Variables`].

mod secret;
mod variables;

pub use secret::{Secret, SecretError};
pub use variables::{SettingError, Variables};

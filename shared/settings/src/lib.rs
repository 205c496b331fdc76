#![doc = include_str!("../README.md")]

mod secret;
mod variables;

pub use secret::{Secret, SecretError};
pub use variables::{SettingError, Variables};

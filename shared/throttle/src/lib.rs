#![doc = include_str!("../README.md")]

mod key;
mod network;
mod window;

pub use key::ThrottleKey;
pub use network::{Network, NetworkSalt};
pub use window::{AttemptLimit, Decision};

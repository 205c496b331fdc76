//! How often something may be done by one person, or from one network address: the arithmetic of a sliding window.
//!
//! The window slides: in *any* stretch of its length at most [`Limit::count`] attempts are admitted, however many ask
//! at once and wherever. [`ThrottleKey`] says what is counted together, [`Network`] what an address is counted by. The
//! `ledger` crate keeps the attempts, and admits them.

mod key;
mod network;
mod window;

pub use key::ThrottleKey;
pub use network::Network;
pub use window::{Decision, Limit};

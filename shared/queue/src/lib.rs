#![doc = include_str!("../../rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod batch;
mod invitations;

pub use batch::{MessageDelivery, Retries, each_record};
pub use invitations::{DeadLetters, Invitations, QueueError};

//! The queue of invitations: putting them on, taking batches off, coming back later, giving up.

mod batch;
mod invitations;

pub use batch::{Delivery, Retries, each_record};
pub use invitations::{DeadLetters, Invitations, QueueError};

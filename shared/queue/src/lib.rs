//! The queue of invitations: putting them on, taking batches off, coming back later, giving up.

mod backoff;
mod batch;
mod invitations;

pub use backoff::{after_throttling, backoff};
pub use batch::{Delivery, Returns, Verdict, each_record};
pub use invitations::{DeadLetters, Invitations, QueueError, Reason};

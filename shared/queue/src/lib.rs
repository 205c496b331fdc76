#![doc = include_str!("../README.md")]

mod backoff;
mod batch;
mod invitations;

pub use backoff::{
    LAST_RECEIVE, MOST_RECEIVES, RETENTION, after_no_time, after_throttling, backoff, before_retention_ends,
};
pub use batch::{AFTER_PANIC, Delivery, Disposition, Retries, each_record};
pub use invitations::{DeadLetterReason, DeadLetters, Invitations, QueueError};

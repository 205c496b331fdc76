//! The wire format: every call as data, and how an answer is read.

mod decode;
mod endpoint;
pub(crate) mod lenient;
mod success;

pub(crate) use decode::{Asked, Failed, judge};
pub use decode::{Texts, decode};
pub use endpoint::{Endpoint, Host, Paths, Presented, Verb};
pub(crate) use endpoint::{Need, Place, Repeat};
pub(crate) use success::Success;

//! LeadSquared's formats: every call as data, how an answer is decoded, and what a webhook delivers.

mod decode;
mod endpoint;
mod event_type;
pub(crate) mod lenient;
mod success;
pub mod webhook;

pub(crate) use decode::{Asked, Failed, judge};
pub use decode::{Texts, decode};
pub use endpoint::{Endpoint, Host, Paths, Presented, Verb};
pub(crate) use endpoint::{Need, Place, Repeat};
pub use event_type::EventType;
pub(crate) use success::Success;

//! LeadSquared's formats: every call as data, how an answer is decoded, and what a webhook delivers.

mod decode;
mod endpoint;
mod event_type;
pub(crate) mod lenient;
mod success;
pub mod webhook;

pub(crate) use decode::{CallContext, Failed, judge};
pub use decode::{Texts, decode};
pub use endpoint::{CredentialKind, Endpoint, Host, Paths, Verb};
pub(crate) use endpoint::{CredentialRequirement, Repeat, RequestPart};
pub use event_type::EventType;
pub(crate) use success::Success;

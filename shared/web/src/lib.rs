//! The HTTP side of our functions: forms in, answers out.
//!
//! Knows nothing of Lambda: requests and answers are the `http` crate's types.

mod form;
mod preference;
mod problem;
mod response;

pub use form::{BODY_LIMIT, Form, FormError, Value};
pub use preference::{Preference, preferred_language};
pub use problem::{FieldError, Problem};
pub use response::{allow_forms, json, notice, page, see_other};

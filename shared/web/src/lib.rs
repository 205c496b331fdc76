//! The HTTP side of our functions: forms in, answers out.
//!
//! Knows nothing of Lambda: requests and answers are the `http` crate's types.

mod answer;
mod form;
mod problem;

pub use answer::{Preference, json, notice, see_other};
pub use form::{BODY_LIMIT, Form, FormError, Value};
pub use problem::{FieldError, Problem};

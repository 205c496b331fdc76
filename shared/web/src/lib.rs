#![doc = include_str!("../../rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod form;
mod preference;
mod problem;
mod response;

pub use form::{BODY_LIMIT, Form, FormError, Value, one, spelling};
pub use preference::{Preference, preferred_language};
pub use problem::{FieldError, Problem, TRY_AGAIN_AFTER, expected_email, expected_phone, retry_after};
pub use response::{allow_forms, json, notice, page, see_other};

#![doc = include_str!("../../rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod fields;
mod sign_in_fields;

pub use fields::{DateFormat, Field, FieldKind, Fields, InvalidFields};
pub use sign_in_fields::{InvalidSignInFields, SignInField, SignInFields, SignInKind};

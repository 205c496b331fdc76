//! The application form's fields as the setting `FORM_FIELDS` has them: what the form takes, and where it goes.

mod fields;

pub use fields::{Field, FieldKind, Fields, InvalidFields, RESERVED};

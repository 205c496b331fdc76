#![doc = include_str!("../README.md")]

mod fields;

pub use fields::{DateFormat, Field, FieldKind, Fields, InvalidFields, RESERVED};

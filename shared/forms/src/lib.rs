#![doc = include_str!("../README.md")]

mod fields;

pub use fields::{Field, FieldKind, Fields, InvalidFields, RESERVED};

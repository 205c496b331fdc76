#![doc = include_str!("../../../shared/rustdoc-links.md")]
#![doc = include_str!("../README.md")]
#![doc = include_str!("../WEBSITE.md")]

mod config;
mod consent;
mod handler;
mod refused_forms;
mod sender;
mod sent_names;
mod submission;

pub use config::Config;
pub use handler::{Stores, answer};
pub use refused_forms::RefusedForms;
pub use submission::{FaultyForm, InvalidOptional, Submission, read};

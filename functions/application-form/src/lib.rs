#![doc = include_str!("../../../shared/rustdoc-links.md")]
#![doc = include_str!("../README.md")]
#![doc = include_str!("../WEBSITE.md")]

mod config;
mod handler;
mod refused_forms;
mod sender;
mod submission;

pub use config::Config;
pub use handler::{Stores, answer};
pub use refused_forms::RefusedForms;
pub use submission::{FaultyForm, Submission, read};

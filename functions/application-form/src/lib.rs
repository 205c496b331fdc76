#![doc = include_str!("../README.md")]

mod config;
mod handler;
mod sender;
mod submission;

pub use config::Config;
pub use handler::{Stores, answer};
pub use submission::{Submission, read};

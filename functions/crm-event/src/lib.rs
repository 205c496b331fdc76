#![doc = include_str!("../../../shared/rustdoc-links.md")]
#![doc = include_str!("../README.md")]
#![doc = include_str!("../ADMINISTRATOR.md")]

mod config;
mod handler;

pub use config::Config;
pub use handler::{Stores, answer};

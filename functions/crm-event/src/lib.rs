#![doc = include_str!("../README.md")]

mod config;
mod handler;

pub use config::Config;
pub use handler::{Stores, answer};

#![doc = include_str!("../README.md")]

mod check;
mod config;
mod held;

pub use check::{DailyCalls, Report, Reported, State, check};
pub use config::{Config, TIMEOUTS};

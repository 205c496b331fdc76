#![doc = include_str!("../../../shared/rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod check;
mod config;
mod held;

pub use check::{DailyCalls, Report, ReportLine, SubjectState, check};
pub use config::Config;

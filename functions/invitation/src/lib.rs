#![doc = include_str!("../../../shared/rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod config;
mod log;
mod services;
mod worker;

pub use config::Config;
pub use worker::SqsWorker;

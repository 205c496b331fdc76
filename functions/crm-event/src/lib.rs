#![doc = include_str!("../README.md")]

mod config;
mod handler;
mod rules;

pub use config::Config;
pub use handler::{Stores, answer};
pub use rules::{InvalidRules, Objection, Rule, Rules};

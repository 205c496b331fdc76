#![doc = include_str!("../README.md")]

mod config;
mod detail;
mod envelope;
mod handler;
mod signature;

pub use config::Config;
pub use detail::{Refusal, Request, detail_types, read};
pub use envelope::{Arrival, Delivered, Event};
pub use handler::{Answer, Bus, Fate, NotTaken};
pub use signature::{SignatureError, SigningSecrets};

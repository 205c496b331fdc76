#![doc = include_str!("../../../shared/rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod config;
mod detail;
mod envelope;
mod handler;
mod signature;

pub use config::Config;
pub use detail::{InvitationRequest, Refusal, detail_types, read};
pub use envelope::{BusEvent, DeliveredEvent, Envelope, PipedEvent};
pub use handler::{Bus, BusAnswer, EventOutcome, NotAccepted};
pub use signature::{SignatureError, SigningSecrets};

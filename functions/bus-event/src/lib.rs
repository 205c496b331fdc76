//! Takes events of other systems and puts invitations on the queue.
//!
//! Triggers: a rule on an EventBridge bus, an SNS topic, a direct invocation, and `POST /bus-events` on the HTTP API with a
//! Standard Webhooks signature. What may stand in an event is published in `events/schemas` and enforced here.
//!
//! A repeat is safe: an event is known by the id its envelope has, or by the key its sender put into it, and every copy of
//! it is the same invitation. Nothing is dropped: an event that is no good goes to the dead letters with the reason, or its
//! sender is told; when the queue is away, whoever brought the event is told to bring it again.

mod config;
mod detail;
mod envelope;
mod handler;
mod signature;

pub use config::Config;
pub use detail::{InvitationRequest, Refusal, detail_types, read};
pub use envelope::{BusEvent, DeliveredEvent, Envelope};
pub use handler::{Bus, BusAnswer, EventOutcome, NotAccepted};
pub use signature::{SignatureError, SigningSecrets};

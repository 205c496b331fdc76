//! A client for the LeadSquared APIs that bring a person into a portal.
//!
//! One [`Client`] is one account seen through one pair of [`Keys`]. Each method is one call, named after LeadSquared's own
//! name for it, with the page that describes it; only a look for a phone number can take two. What can go wrong is one [`Error`], one variant for each thing a caller can
//! do about it.
//!
//! LeadSquared publishes no reference for some details. What is inferred says so where it stands and is a setting:
//! [`Paths`] for addresses, [`Texts`] for the wording of answers.

mod admission;
mod client;
pub mod crm;
mod error;
mod hosts;
mod options;
pub mod portal;
pub mod tools;
mod values;
pub mod wire;

pub use admission::{Admission, BoxFuture, Lane, Limit, TurnedAway, Unlimited};
pub use client::Client;
pub use error::{DuplicateField, Error, HiddenText};
pub use hosts::Hosts;
pub use options::{Called, InvalidOptions, Options, Timeouts};
pub use values::{
    ActivityId, Attributes, AutoLoginKey, CallingCode, CodeChallenge, CodeRecipient, EmailAddress, InvalidEmailAddress,
    InvalidId, InvalidPhone, Keys, LeadId, LoginLink, OneTimeCode, Password, Phone, PortalId, SessionKey,
    TemporaryPassword, UserId, date_time,
};
pub use wire::{Endpoint, Paths, Texts, Verb};

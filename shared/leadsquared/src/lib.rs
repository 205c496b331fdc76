#![doc = include_str!("../README.md")]

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

pub use admission::{Admission, BoxFuture, Lane, PlannedCall, RateLimit, Throttled, TurnedAway, Unlimited};
pub use client::Client;
pub use error::{Cause, DuplicateField, Error, ErrorKind, HiddenText};
pub use hosts::Hosts;
pub use options::{CallReport, InvalidOptions, Options, Timeouts};
pub use values::{
    ActivityId, Attributes, AutoLoginKey, CodeChallenge, CodeRecipient, EmailAddress, InvalidEmailAddress, InvalidId,
    Keys, LeadId, LoginLink, OneTimeCode, Password, PortalId, SessionKey, TemporaryPassword, UserId, date_time,
    schema_name, text,
};
#[cfg(feature = "phone")]
pub use values::{CallingCode, Country, InvalidPhone, Phone, UnknownCallingCode};

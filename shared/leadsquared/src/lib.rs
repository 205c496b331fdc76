//! A client for the LeadSquared APIs that bring a person into a portal.
//!
//! One [`Client`] is one account seen through one pair of [`Keys`]. Each method is one call, named after LeadSquared's own
//! name for it, with the page that describes it. What can go wrong is one [`Error`], one variant for each thing a caller can
//! do about it.
//!
//! LeadSquared publishes no reference for some details. What is inferred says so where it stands and is a setting:
//! [`Paths`] for addresses, [`Texts`] for the wording of answers.

mod admission;
mod attributes;
mod auto_login;
mod client;
mod credentials;
pub mod date_time;
mod decode;
mod email_address;
mod endpoint;
mod error;
mod id;
mod leads;
mod mail;
mod options;
mod registration;
mod secret;
mod user;

pub use admission::{Admission, BoxFuture, Lane, TurnedAway, Unlimited};
pub use attributes::Attributes;
pub use auto_login::auto_login_link;
pub use client::Client;
pub use decode::{Presented, Texts, decode};
pub use email_address::{EmailAddress, InvalidEmailAddress};
pub use endpoint::{Endpoint, Host, Paths, Verb};
pub use error::{DuplicateField, Error, HiddenText, Limit};
pub use id::{InvalidId, LeadId, PortalId, UserId};
pub use leads::Lead;
pub use mail::{Content, EmailToLead, Recipient, Sender, SentEmail};
pub use options::{InvalidOptions, Options, Timeouts};
pub use registration::Registration;
pub use secret::{AutoLoginKey, Keys, LoginLink, Password, SessionKey};
pub use user::User;

//! A client for the LeadSquared APIs that bring a person into a portal.
//!
//! One [`Client`] is one account seen through one pair of [`Keys`]. Each method is one call, named after LeadSquared's own
//! name for it, with the page that describes it; only a look for a phone number can take two. What can go wrong is one [`Error`], one variant for each thing a caller can
//! do about it.
//!
//! LeadSquared publishes no reference for some details. What is inferred says so where it stands and is a setting:
//! [`Paths`] for addresses, [`Texts`] for the wording of answers.

mod activities;
mod admission;
mod attributes;
mod auto_login;
mod client;
mod credentials;
pub mod date_time;
mod decode;
pub mod doctor;
mod email_address;
mod endpoint;
mod error;
mod id;
mod lead_fields;
mod leads;
mod lenient;
mod mail;
mod options;
mod password;
mod phone;
mod registration;
mod secret;
mod sign_in;
mod user;
pub mod webhook_setup;
mod webhooks;

pub use activities::{Activity, ActivityPage, ActivityQuery, Datum, NewActivity, NewActivityType};
pub use admission::{Admission, BoxFuture, Lane, TurnedAway, Unlimited};
pub use attributes::Attributes;
pub use auto_login::auto_login_link;
pub use client::{Called, Client};
pub use decode::{Presented, Texts, decode};
pub use email_address::{EmailAddress, InvalidEmailAddress};
pub use endpoint::{Endpoint, Host, Paths, Verb};
pub use error::{DuplicateField, Error, HiddenText, Limit};
pub use id::{ActivityId, InvalidId, LeadId, PortalId, UserId};
pub use lead_fields::LeadField;
pub use leads::{Lead, UpdateBehavior};
pub use mail::{Content, EmailToLead, Recipient, Sender, SentEmail};
pub use options::{InvalidOptions, Options, Timeouts};
pub use password::PasswordReset;
pub use phone::{CallingCode, InvalidPhone, Phone};
pub use registration::Registration;
pub use secret::{
    AutoLoginKey, CodeChallenge, CodeRecipient, Keys, LoginLink, OneTimeCode, Password, SessionKey, TemporaryPassword,
};
pub use sign_in::{Identifier, SentCode, Session};
pub use user::{Hosts, User};
pub use webhooks::{InvalidWebhookEvent, NewWebhook, Webhook, WebhookEvent, WebhookState};

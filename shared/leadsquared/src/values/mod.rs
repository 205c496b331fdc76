//! The values that calls take and give: ids, addresses, attributes, secrets.

mod attributes;
pub mod date_time;
mod email_address;
mod ids;
#[cfg(feature = "phone")]
mod phone;
pub mod schema_name;
mod secrets;
pub mod text;

pub use attributes::Attributes;
pub use email_address::{EmailAddress, InvalidEmailAddress};
pub use ids::{ActivityId, InvalidId, LeadId, PortalId, UserId};
#[cfg(feature = "phone")]
pub use phone::{CallingCode, Country, InvalidPhone, Phone, UnknownCallingCode};
pub use secrets::{
    AutoLoginKey, CodeChallenge, CodeRecipient, KEY_LIFETIME, Keys, LoginLink, OneTimeCode, Password, SessionKey,
    TemporaryPassword,
};

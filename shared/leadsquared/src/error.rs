//! Why a call did not succeed: one variant for each thing a caller can do about it.

use std::fmt;
use std::sync::Arc;

use crate::admission::{Limit, TurnedAway};

/// Why a call to LeadSquared did not succeed.
///
/// What LeadSquared documents about errors is at <https://apidocs.leadsquared.com/error-handling/>; application errors
/// arrive under HTTP 500 and sometimes under 200, so nobody but [`decode`](crate::wire::decode()) looks at status codes. No
/// variant holds a key, an address of a request or a body, and none prints LeadSquared's free text.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// LeadSquared refused this call and would refuse it again.
    #[error("LeadSquared refused the call ({exception_type}); the same call will be refused again")]
    Refused {
        /// Its `ExceptionType`, such as `MXInvalidInputException`, or the HTTP status when it gave none.
        exception_type: String,
        /// Its text, which can contain personal data.
        message: HiddenText,
    },
    /// Another record already has this value of a unique field.
    #[error("another record has the same {field}")]
    Duplicate {
        /// The field, as far as the text tells.
        field: DuplicateField,
    },
    /// Register was asked for new leads only, and this one exists.
    #[error("the lead exists already, and only new leads were to be registered")]
    LeadExists,
    /// The account has no lead fields of these names; nothing of the call was stored.
    #[error("the account has no lead fields named {}; create them there or take them out of the mapping", .0.join(", "))]
    UnknownAttributes(Vec<String>),
    /// No lead has this id or address.
    #[error("LeadSquared has no such lead")]
    NoSuchLead,
    /// The lead exists but has never been registered with the portal.
    #[error("the lead is not a user of the portal; register it first")]
    NotAPortalUser,
    /// The account's call allowance is spent for now; the call was not carried out.
    #[error("LeadSquared's rate limit is reached; wait for a full window before the next call")]
    RateLimited {
        /// The limit that was exceeded, when the text named it.
        limit: Option<Limit>,
    },
    /// [`Admission`](crate::Admission) gave no leave; the call was not made.
    #[error("the call was not made")]
    TurnedAway(#[source] TurnedAway),
    /// The deadline passed before the call could be made.
    #[error("no time was left to make the call")]
    OutOfTime,
    /// The account lives in another region.
    #[error("this is the wrong host for the account; set it to {right_host}")]
    WrongHost {
        /// The host to set instead, of the same kind as the one that was asked: the core API's or the portal API's.
        right_host: String,
    },
    /// LeadSquared does not know the keys, or their user is inactive or, on the portal API, no administrator: it says 401 to
    /// all three.
    #[error(
        "LeadSquared does not accept the keys; check that both are complete and that their user is active and, for portal calls, an administrator"
    )]
    BadKeys,
    /// The keys' user may not do this; portal calls want an administrator.
    #[error("the keys' user is not permitted to make this call; use an administrator's keys")]
    NotPermitted,
    /// A derived credential was refused, and it is too early to fetch it anew; a later call will.
    #[error("a derived credential was refused; it will be fetched anew in a moment")]
    StaleCredential,
    /// A derived credential was refused although it had just been fetched.
    #[error("a newly fetched credential was refused; check that the portal id belongs to this account")]
    FreshCredentialRefused,
    /// The signed-in person's key has run out: they have to sign in again.
    #[error("the portal session has ended")]
    SessionEnded,
    /// The portal user gave a wrong password or code, or has no portal account; LeadSquared does not say which for sure.
    #[error("the portal password or code was not accepted")]
    BadPortalPassword,
    /// The sender of a mail is not a user of the account.
    #[error("the sender is not a LeadSquared user; use the address of one")]
    BadSender,
    /// The account may not deliver mail: no credits, or an unverified domain.
    #[error("the account cannot deliver mail; check its mail credits and its sending domain")]
    MailNotDeliverable,
    /// The host has no such path or verb.
    #[error("LeadSquared has no such call (HTTP {status}); check the hosts and the configured paths")]
    NoSuchCall {
        /// The HTTP status: 404 or 405.
        status: u16,
    },
    /// No connection came about: the call was certainly not made.
    #[error("LeadSquared could not be reached")]
    Unreachable(#[source] Arc<reqwest::Error>),
    /// The call was sent and no whole answer came back: it may have taken effect.
    #[error("no answer from LeadSquared; the call may have taken effect")]
    UnknownResult(#[source] Arc<reqwest::Error>),
    /// LeadSquared or something in front of it broke: the call may have taken effect.
    #[error("LeadSquared failed (HTTP {status}); the call may have taken effect")]
    ServerFault {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is none that LeadSquared documents: the call may have taken effect.
    #[error("LeadSquared's answer was not understood (HTTP {status}, line {line}, column {column})")]
    Undocumented {
        /// The HTTP status.
        status: u16,
        /// Where the body stopped making sense; zero when it was not read.
        line: usize,
        /// The column in that line.
        column: usize,
    },
}

impl Error {
    /// Whether the same call may succeed later without anybody mending anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::RateLimited { .. }
            | Error::TurnedAway(_)
            | Error::OutOfTime
            | Error::StaleCredential
            | Error::Unreachable(_)
            | Error::UnknownResult(_)
            | Error::ServerFault { .. }
            | Error::Undocumented { .. } => true,
            Error::Refused { .. }
            | Error::Duplicate { .. }
            | Error::LeadExists
            | Error::UnknownAttributes(_)
            | Error::NoSuchLead
            | Error::NotAPortalUser
            | Error::WrongHost { .. }
            | Error::BadKeys
            | Error::NotPermitted
            | Error::FreshCredentialRefused
            | Error::SessionEnded
            | Error::BadPortalPassword
            | Error::BadSender
            | Error::MailNotDeliverable
            | Error::NoSuchCall { .. } => false,
        }
    }

    /// Whether the operator has to mend something: every other call of this kind will fail as well until then.
    pub fn is_configuration(&self) -> bool {
        match self {
            Error::WrongHost { .. }
            | Error::BadKeys
            | Error::NotPermitted
            | Error::FreshCredentialRefused
            | Error::BadSender
            | Error::MailNotDeliverable
            | Error::NoSuchCall { .. } => true,
            Error::Refused { .. }
            | Error::Duplicate { .. }
            | Error::LeadExists
            | Error::UnknownAttributes(_)
            | Error::NoSuchLead
            | Error::NotAPortalUser
            | Error::RateLimited { .. }
            | Error::TurnedAway(_)
            | Error::OutOfTime
            | Error::StaleCredential
            | Error::SessionEnded
            | Error::BadPortalPassword
            | Error::Unreachable(_)
            | Error::UnknownResult(_)
            | Error::ServerFault { .. }
            | Error::Undocumented { .. } => false,
        }
    }

    /// Whether the call may have been carried out all the same: look before repeating one that must not happen twice.
    pub fn may_have_taken_effect(&self) -> bool {
        match self {
            Error::UnknownResult(_) | Error::ServerFault { .. } | Error::Undocumented { .. } => true,
            Error::Refused { .. }
            | Error::Duplicate { .. }
            | Error::LeadExists
            | Error::UnknownAttributes(_)
            | Error::NoSuchLead
            | Error::NotAPortalUser
            | Error::RateLimited { .. }
            | Error::TurnedAway(_)
            | Error::OutOfTime
            | Error::WrongHost { .. }
            | Error::BadKeys
            | Error::NotPermitted
            | Error::StaleCredential
            | Error::FreshCredentialRefused
            | Error::SessionEnded
            | Error::BadPortalPassword
            | Error::BadSender
            | Error::MailNotDeliverable
            | Error::NoSuchCall { .. }
            | Error::Unreachable(_) => false,
        }
    }

    /// The variant's name: a stable word for logs, metrics and alarms.
    pub fn name(&self) -> &'static str {
        match self {
            Error::Refused { .. } => "Refused",
            Error::Duplicate { .. } => "Duplicate",
            Error::LeadExists => "LeadExists",
            Error::UnknownAttributes(_) => "UnknownAttributes",
            Error::NoSuchLead => "NoSuchLead",
            Error::NotAPortalUser => "NotAPortalUser",
            Error::RateLimited { .. } => "RateLimited",
            Error::TurnedAway(_) => "TurnedAway",
            Error::OutOfTime => "OutOfTime",
            Error::WrongHost { .. } => "WrongHost",
            Error::BadKeys => "BadKeys",
            Error::NotPermitted => "NotPermitted",
            Error::StaleCredential => "StaleCredential",
            Error::FreshCredentialRefused => "FreshCredentialRefused",
            Error::SessionEnded => "SessionEnded",
            Error::BadPortalPassword => "BadPortalPassword",
            Error::BadSender => "BadSender",
            Error::MailNotDeliverable => "MailNotDeliverable",
            Error::NoSuchCall { .. } => "NoSuchCall",
            Error::Unreachable(_) => "Unreachable",
            Error::UnknownResult(_) => "UnknownResult",
            Error::ServerFault { .. } => "ServerFault",
            Error::Undocumented { .. } => "Undocumented",
        }
    }
}

/// LeadSquared's own words, which quote what was sent: for an operator's eyes when asked for, never for a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HiddenText(String);

impl HiddenText {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for HiddenText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for HiddenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HiddenText({} bytes)", self.0.len())
    }
}

/// The unique field of which another record has the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DuplicateField {
    /// `EmailAddress`.
    EmailAddress,
    /// `Phone` or `Mobile`.
    Phone,
    /// Another of the fields that were sent, by its schema name.
    Other(String),
    /// The text does not say, or says it in words that fit none of the fields that were sent.
    Unnamed,
}

impl fmt::Display for DuplicateField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DuplicateField::EmailAddress => "EmailAddress",
            DuplicateField::Phone => "Phone",
            DuplicateField::Other(name) => name,
            DuplicateField::Unnamed => "unique field",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_has_its_consequences() {
        const T: bool = true;
        const F: bool = false;
        let hidden = || HiddenText::from("asha@example.test".to_owned());
        let turned_away = TurnedAway { retry_after: None, source: None };
        for (error, transient, configuration, effect) in [
            (Error::Refused { exception_type: "MXFooException".to_owned(), message: hidden() }, F, F, F),
            (Error::Duplicate { field: DuplicateField::Phone }, F, F, F),
            (Error::LeadExists, F, F, F),
            (Error::UnknownAttributes(vec!["mx_Foo".to_owned()]), F, F, F),
            (Error::NoSuchLead, F, F, F),
            (Error::NotAPortalUser, F, F, F),
            (Error::RateLimited { limit: None }, T, F, F),
            (Error::TurnedAway(turned_away), T, F, F),
            (Error::OutOfTime, T, F, F),
            (Error::WrongHost { right_host: "api.leadsquared.com".to_owned() }, F, T, F),
            (Error::BadKeys, F, T, F),
            (Error::NotPermitted, F, T, F),
            (Error::StaleCredential, T, F, F),
            (Error::FreshCredentialRefused, F, T, F),
            (Error::SessionEnded, F, F, F),
            (Error::BadPortalPassword, F, F, F),
            (Error::BadSender, F, T, F),
            (Error::MailNotDeliverable, F, T, F),
            (Error::NoSuchCall { status: 404 }, F, T, F),
            (Error::ServerFault { status: 502 }, T, F, T),
            (Error::Undocumented { status: 200, line: 1, column: 2 }, T, F, T),
        ] {
            let name = error.name();
            let consequences = (error.is_transient(), error.is_configuration(), error.may_have_taken_effect());
            assert_eq!(consequences, (transient, configuration, effect), "{name}");
            assert!(format!("{error:?}").starts_with(name), "{name} is the variant's name");
            assert!(!format!("{error} {error:?}").contains("asha@"), "{name}");
        }
    }
}

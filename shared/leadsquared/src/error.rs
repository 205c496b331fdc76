//! Why a call did not succeed, and what the caller does about it.

use std::fmt;
use std::sync::Arc;

use crate::admission::{RateLimit, TurnedAway};
use crate::values::schema_name;

/// Why a call to LeadSquared did not succeed.
///
/// [`kind`](Self::kind) is the decision, the variant is the reason. LeadSquared documents its errors at
/// <https://apidocs.leadsquared.com/error-handling/>. Its application errors arrive under HTTP 500 and sometimes under
/// 200, so only [`decode`](crate::wire::decode()) looks at status codes. No variant holds a key, a request's address or
/// a body, and none prints LeadSquared's free text.
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
        /// The field, as far as the text names it.
        field: DuplicateField,
    },
    /// The registration was for a new lead only, and the lead exists.
    #[error("the lead exists already, and only new leads were to be registered")]
    LeadExists,
    /// The account has no lead fields of these names; nothing of the call was stored.
    #[error("the account has no lead fields named {}; create them or take them out of the mapping", .0.join(", "))]
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
        limit: Option<RateLimit>,
    },
    /// [`Admission`](crate::Admission) gave no slot in time. The call was not made.
    #[error("the call was not made")]
    TurnedAway(#[source] TurnedAway),
    /// The deadline passed before the call could be made.
    #[error("no time was left to make the call")]
    OutOfTime,
    /// The account lives in another region.
    #[error("this is the wrong host for the account; set it to {right_host}")]
    WrongHost {
        /// The host to set instead: the core API's for a core call, the portal API's for a portal call.
        right_host: String,
    },
    /// LeadSquared does not know the keys, or their user is inactive, or the user is no administrator and this is a
    /// portal call. LeadSquared answers 401 to all three.
    #[error(
        "LeadSquared does not accept the keys; check that both are complete and that their user is active and, for portal calls, an administrator"
    )]
    BadKeys,
    /// The keys' user may not do this. Portal calls need an administrator.
    #[error("the keys' user is not permitted to make this call; use an administrator's keys")]
    NotPermitted,
    /// A derived credential was refused, and it is too early to fetch it again. A later call fetches it.
    #[error("a derived credential was refused; a call in half a minute fetches it again")]
    StaleCredential,
    /// A derived credential was refused although it had just been fetched.
    #[error("a newly fetched credential was refused; check that the portal id belongs to this account")]
    FreshCredentialRefused,
    /// The signed-in person's key has expired: they have to sign in again.
    #[error("the portal session has ended")]
    SessionEnded,
    /// The portal user gave a wrong password or code, or has no portal account: LeadSquared's answer does not say
    /// which.
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
        /// Whether the answer is a page for browsers. A firewall blocks calls with such pages too.
        is_page: bool,
    },
    /// No connection could be made. The call was certainly not made.
    #[error("LeadSquared could not be reached")]
    Unreachable(#[source] Cause),
    /// The call was sent and no complete answer arrived. It may have taken effect.
    #[error("no answer from LeadSquared; the call may have taken effect")]
    UnknownResult(#[source] Cause),
    /// LeadSquared or a proxy in front of it failed. The call may have taken effect.
    #[error("LeadSquared failed (HTTP {status}); the call may have taken effect")]
    ServerFault {
        /// The HTTP status.
        status: u16,
    },
    /// LeadSquared does not document such an answer. The call may have taken effect.
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

/// What the caller does about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Call again later: the call had no effect, and the same call may succeed without a change to anything.
    Transient,
    /// Look up what happened, then call again: the call may have taken effect.
    Unknown,
    /// Fix the settings or the account: until then, other calls fail in the same way.
    Configuration,
    /// Give up on this call: LeadSquared refuses it for what it contains, and will refuse it again.
    Refusal,
}

impl Error {
    /// What the caller does about it.
    ///
    /// ```
    /// use leadsquared::{Error, ErrorKind};
    ///
    /// fn next_step(error: &Error) -> &'static str {
    ///     match error.kind() {
    ///         ErrorKind::Transient => "call again in a minute",
    ///         ErrorKind::Unknown => "look for the lead, then call again",
    ///         ErrorKind::Configuration => "alert the operator",
    ///         ErrorKind::Refusal => "show the applicant what to change",
    ///     }
    /// }
    /// assert_eq!(next_step(&Error::OutOfTime), "call again in a minute");
    /// assert_eq!(next_step(&Error::ServerFault { status: 502 }), "look for the lead, then call again");
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.name_and_kind().1
    }

    /// Whether LeadSquared refuses this call for what it contains, and will refuse it again.
    pub fn is_refusal(&self) -> bool {
        self.kind() == ErrorKind::Refusal
    }

    /// Whether the operator has to fix the settings or the account.
    pub fn is_configuration(&self) -> bool {
        self.kind() == ErrorKind::Configuration
    }

    /// Whether the call may have taken effect. Look up what happened before you repeat one that must not happen twice.
    pub fn may_have_taken_effect(&self) -> bool {
        self.kind() == ErrorKind::Unknown
    }

    /// Whether no answer of LeadSquared itself arrived, as far as one can see: none at all, or one that a firewall or
    /// proxy may have written. What this call contains may be the cause.
    pub fn is_unanswered(&self) -> bool {
        self.may_have_taken_effect() || matches!(self, Error::NoSuchCall { is_page: true, .. })
    }

    /// The variant's name: a stable word for logs, metrics and alarms.
    pub fn name(&self) -> &'static str {
        self.name_and_kind().0
    }

    /// The only table of the variants: whether a call is repeated, retried, given up or alarmed about follows from it.
    fn name_and_kind(&self) -> (&'static str, ErrorKind) {
        use ErrorKind::{Configuration, Refusal, Transient, Unknown};
        match self {
            Error::Refused { .. } => ("Refused", Refusal),
            Error::Duplicate { .. } => ("Duplicate", Refusal),
            Error::LeadExists => ("LeadExists", Refusal),
            Error::UnknownAttributes(_) => ("UnknownAttributes", Refusal),
            Error::NoSuchLead => ("NoSuchLead", Refusal),
            Error::NotAPortalUser => ("NotAPortalUser", Refusal),
            Error::SessionEnded => ("SessionEnded", Refusal),
            Error::BadPortalPassword => ("BadPortalPassword", Refusal),
            Error::RateLimited { .. } => ("RateLimited", Transient),
            Error::TurnedAway(_) => ("TurnedAway", Transient),
            Error::OutOfTime => ("OutOfTime", Transient),
            Error::StaleCredential => ("StaleCredential", Transient),
            Error::Unreachable(_) => ("Unreachable", Transient),
            Error::UnknownResult(_) => ("UnknownResult", Unknown),
            Error::ServerFault { .. } => ("ServerFault", Unknown),
            Error::Undocumented { .. } => ("Undocumented", Unknown),
            Error::WrongHost { .. } => ("WrongHost", Configuration),
            Error::BadKeys => ("BadKeys", Configuration),
            Error::NotPermitted => ("NotPermitted", Configuration),
            Error::FreshCredentialRefused => ("FreshCredentialRefused", Configuration),
            Error::BadSender => ("BadSender", Configuration),
            Error::MailNotDeliverable => ("MailNotDeliverable", Configuration),
            Error::NoSuchCall { .. } => ("NoSuchCall", Configuration),
        }
    }
}

/// What caused an error, such as a connection that was reset. It never prints the request's address, which holds keys.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// LeadSquared's own words. They quote what was sent: an operator may read them, a log must not hold them.
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
    /// The text names no field, or none of those that were sent.
    Unnamed,
}

impl fmt::Display for DuplicateField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DuplicateField::EmailAddress => schema_name::EMAIL_ADDRESS,
            DuplicateField::Phone => schema_name::PHONE,
            DuplicateField::Other(name) => name,
            DuplicateField::Unnamed => "unique field",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_kind_and_hides_what_was_sent() {
        use ErrorKind::{Configuration, Refusal, Transient, Unknown};
        let hidden = || HiddenText::from("asha@example.test".to_owned());
        let turned_away = TurnedAway { retry_after: None, source: None };
        let cause = || -> Cause { Arc::new(std::io::Error::other("connection reset")) };
        for (error, kind) in [
            (Error::Refused { exception_type: "MXFooException".to_owned(), message: hidden() }, Refusal),
            (Error::Duplicate { field: DuplicateField::Phone }, Refusal),
            (Error::LeadExists, Refusal),
            (Error::UnknownAttributes(vec!["mx_Foo".to_owned()]), Refusal),
            (Error::NoSuchLead, Refusal),
            (Error::NotAPortalUser, Refusal),
            (Error::RateLimited { limit: None }, Transient),
            (Error::TurnedAway(turned_away), Transient),
            (Error::OutOfTime, Transient),
            (Error::WrongHost { right_host: "api.leadsquared.com".to_owned() }, Configuration),
            (Error::BadKeys, Configuration),
            (Error::NotPermitted, Configuration),
            (Error::StaleCredential, Transient),
            (Error::FreshCredentialRefused, Configuration),
            (Error::SessionEnded, Refusal),
            (Error::BadPortalPassword, Refusal),
            (Error::BadSender, Configuration),
            (Error::MailNotDeliverable, Configuration),
            (Error::NoSuchCall { status: 404, is_page: true }, Configuration),
            (Error::Unreachable(cause()), Transient),
            (Error::UnknownResult(cause()), Unknown),
            (Error::ServerFault { status: 502 }, Unknown),
            (Error::Undocumented { status: 200, line: 1, column: 2 }, Unknown),
        ] {
            let name = error.name();
            assert_eq!(error.kind(), kind, "{name}");
            assert_eq!(error.is_unanswered(), kind == Unknown || name == "NoSuchCall", "{name}");
            assert!(format!("{error:?}").starts_with(name), "{name} is the variant's name");
            assert!(!format!("{error} {error:?}").contains("asha@"), "{name}");
        }
    }
}

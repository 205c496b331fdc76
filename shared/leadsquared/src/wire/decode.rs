//! Decodes an answer: from a status and a body to a value or an error. Pure.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::endpoint::{CredentialKind, Host};
use crate::admission::RateLimit;
use crate::error::{DuplicateField, Error, HiddenText};

/// Texts that identify an answer of LeadSquared where no type is documented.
///
/// A text matches if the answer contains it, in any letter case. Each field says where its defaults come from; replace
/// them if your account has other texts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Texts {
    /// The registration was for a new lead only, and the lead exists. Seen in a public client.
    pub lead_exists: Vec<String>,
    /// No lead has the id or address. Seen on live accounts.
    pub no_such_lead: Vec<String>,
    /// The whole text of an `MXInvalidEntityReferenceException` about a lead that does not exist. Its other texts quote
    /// values that people typed. Seen on live accounts.
    pub stale_lead: Vec<String>,
    /// The lead has no portal account. A guess.
    pub not_a_portal_user: Vec<String>,
    /// A password or code was wrong. The first was seen in a public client, the others are guesses.
    pub bad_portal_password: Vec<String>,
    /// A derived credential, or a signed-in person's private key, is refused. Guesses.
    pub stale_credential: Vec<String>,
    /// The rate limit was exceeded, under any status. Documented.
    pub rate_limited: Vec<String>,
    /// The sender of a mail is no user of the account. Seen on a live account.
    pub bad_sender: Vec<String>,
}

impl Default for Texts {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            lead_exists: texts(&["User already exists"]),
            no_such_lead: texts(&["Lead does not exist", "No lead found"]),
            stale_lead: texts(&["Lead not found"]),
            not_a_portal_user: texts(&["not a portal user"]),
            bad_portal_password: texts(&[
                "Account does not exist",
                "Invalid password",
                "Invalid username or password",
                "Invalid OTP",
                "expired OTP",
                "temporary password",
                "Incorrect",
            ]),
            stale_credential: texts(&[
                "Invalid auth key",
                "expired auth key",
                "auth key has expired",
                "Invalid token",
                "token has expired",
            ]),
            rate_limited: texts(&["API calls exceeded the limit"]),
            bad_sender: texts(&["Invalid Sender details"]),
        }
    }
}

/// Reads an answer: the body first, because LeadSquared's own errors have almost any status.
///
/// The client decides more exactly than this function: it also knows which host it asked and which fields it sent.
///
/// # Errors
/// Whenever the answer is not a documented success; see [`Error`] for the decisions. Never [`Error::Unreachable`],
/// [`Error::UnknownResult`], [`Error::TurnedAway`] or [`Error::OutOfTime`], which happen without an answer.
///
/// # Examples
/// ```
/// use leadsquared::Error;
/// use leadsquared::wire::{CredentialKind, Texts, decode};
///
/// // LeadSquared reports a missing lead under HTTP 500, which says "try again" in most other APIs.
/// let body = br#"{"Status": "Error", "ExceptionType": "MXException", "ExceptionMessage": "Lead does not exist"}"#;
/// let answer = decode::<String>(500, body, CredentialKind::Keys, &Texts::default());
/// assert!(matches!(answer, Err(Error::NoSuchLead)));
/// ```
pub fn decode<T: DeserializeOwned>(
    status: u16,
    body: &[u8],
    credential: CredentialKind,
    texts: &Texts,
) -> Result<T, Error> {
    let context = CallContext { credential, host: None, fields: &[] };
    judge(status, body, &context, texts).map_err(|failed| failed.error)
}

/// The parts of a call that decide what its answer means.
pub(crate) struct CallContext<'a> {
    pub(crate) credential: CredentialKind,
    /// The host that answers: which of the two, and its name.
    pub(crate) host: Option<(Host, &'a str)>,
    /// The schema names of the lead fields that were sent.
    pub(crate) fields: &'a [String],
}

/// An error, and how sure it is.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// Whether the call carried a person's secret and the client's, and the answer does not say which of them is wrong.
    pub(crate) unclear: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, unclear: false }
    }
}

/// [`decode`] for the answer to a known call.
pub(crate) fn judge<T: DeserializeOwned>(
    status: u16,
    body: &[u8],
    context: &CallContext<'_>,
    texts: &Texts,
) -> Result<T, Failed> {
    // .NET starts UTF-8 with a byte order mark, which JSON does not allow.
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    // The message of a serde_json error quotes the value that it failed on. Line and column do not.
    let undocumented = |error: serde_json::Error| {
        Failed::from(Error::Undocumented { status, line: error.line(), column: error.column() })
    };
    let is_success = (200..300).contains(&status);
    let envelope = match Envelope::read(body) {
        Ok(envelope) => envelope,
        // A body that cannot be read may report a failure.
        Err(error) if is_success => return Err(undocumented(error)),
        Err(_) => Envelope::default(),
    };
    if !is_success || envelope.is_failure() {
        return Err(failure(status, body, &envelope, context, texts));
    }
    serde_json::from_slice(body).map_err(undocumented)
}

fn failure(status: u16, body: &[u8], envelope: &Envelope, context: &CallContext<'_>, texts: &Texts) -> Failed {
    let message =
        envelope.message().unwrap_or_else(|| String::from_utf8_lossy(&body[..body.len().min(4096)]).into_owned());
    let exception_type = envelope.exception_type();
    let own_words = own_words(&message);
    let error = if is_rate_limit(status, &exception_type, &own_words, texts) {
        Error::RateLimited { limit: limit_in(&own_words) }
    } else if is_of_another(status, body, envelope) {
        Error::ServerFault { status }
    } else if status == 401 {
        return unauthorized(&own_words, context, texts);
    } else if let Some(failed) = failure_by_text(&exception_type, &message, &own_words, context.credential, texts) {
        return failed;
    } else {
        failure_by_type(status, exception_type, message, envelope, context.fields)
    };
    error.into()
}

/// The text without what it quotes. LeadSquared quotes what was sent, which a stranger may have typed to look like a
/// text of LeadSquared. A quoted value may itself have quotes: everything between the first and the last is left out.
fn own_words(message: &str) -> String {
    let mut words = message.to_owned();
    for (open, close) in [('\'', '\''), ('"', '"'), ('`', '`'), ('\u{2018}', '\u{2019}'), ('\u{201C}', '\u{201D}')] {
        if let (Some(first), Some(last)) = (words.find(open), words.rfind(close))
            && first < last
        {
            words.replace_range(first..last, "");
        }
    }
    words
}

/// Whether a firewall or a proxy answered in LeadSquared's place. Such an answer says nothing about keys, rights and
/// what was sent.
///
/// LeadSquared's API sends no pages for browsers, except for paths and verbs that it does not have: there it may be the
/// server's own page ([`Error::NoSuchCall`]). LeadSquared documents no 403, so a 403 is LeadSquared's only if it has
/// the form of its errors.
fn is_of_another(status: u16, body: &[u8], envelope: &Envelope) -> bool {
    match status {
        403 => !envelope.is_failure(),
        400..=499 => is_page(body) && !matches!(status, 404 | 405),
        _ => false,
    }
}

/// Whether an answer is a page for browsers.
fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

/// A type of LeadSquared's own with another meaning takes precedence: the text may be about the limit of a field.
fn is_rate_limit(status: u16, exception_type: &str, message: &str, texts: &Texts) -> bool {
    let is_untyped = !exception_type.starts_with("MX") || exception_type == "MXException";
    status == 429
        || exception_type == "MXAPIRateLimitExceededException"
        || is_untyped && contains_any(message, &texts.rate_limited)
}

fn unauthorized(message: &str, context: &CallContext<'_>, texts: &Texts) -> Failed {
    if let Some(right_host) = right_host(message, context.host) {
        return Error::WrongHost { right_host }.into();
    }
    match context.credential {
        CredentialKind::Keys => Error::BadKeys.into(),
        CredentialKind::Derived => Error::StaleCredential.into(),
        CredentialKind::Password | CredentialKind::Session if contains_any(message, &texts.bad_portal_password) => {
            Error::BadPortalPassword.into()
        }
        CredentialKind::Password if contains_any(message, &texts.stale_credential) => Error::StaleCredential.into(),
        CredentialKind::Password => Failed { error: Error::BadPortalPassword, unclear: true },
        CredentialKind::Session => Failed { error: Error::SessionEnded, unclear: true },
    }
}

/// The error that the text names. The types of the portal's errors are documented nowhere: only the text is left.
fn failure_by_text(
    exception_type: &str,
    message: &str,
    own_words: &str,
    credential: CredentialKind,
    texts: &Texts,
) -> Option<Failed> {
    let says = |any_of: &[String]| contains_any(own_words, any_of);
    match exception_type {
        "MXInvalidEntityReferenceException" => {
            let text = message.trim().trim_end_matches('.');
            let is_stale_lead = texts.stale_lead.iter().any(|stale| stale.eq_ignore_ascii_case(text));
            return is_stale_lead.then(|| Error::NoSuchLead.into());
        }
        // Each of these has one meaning, and its text quotes what was sent, which may be anything.
        "MXInvalidDataTypeException"
        | "MXInvalidActivityException"
        | "MXInvalidActivityFieldsException"
        | "MXUnknownAttributeException"
        | "MXUnknownProspectActivityException"
        | "MXDuplicateEntityNameException"
        | "MXMailDeliveryException"
        | "MXUnAuthorizedAccessException"
        | "MXUnauthorizedRequestException"
        | "MXXSSException" => return None,
        "MXDuplicateEntryException" => {
            let is_about_a_field = duplicate_name_in(message).is_some();
            return (!is_about_a_field && says(&texts.lead_exists)).then(|| Error::LeadExists.into());
        }
        _ => {}
    }
    let error = match credential {
        _ if says(&texts.lead_exists) => Error::LeadExists,
        _ if says(&texts.not_a_portal_user) => Error::NotAPortalUser,
        CredentialKind::Password | CredentialKind::Session if says(&texts.bad_portal_password) => {
            Error::BadPortalPassword
        }
        CredentialKind::Derived | CredentialKind::Password if says(&texts.stale_credential) => Error::StaleCredential,
        CredentialKind::Session if says(&texts.stale_credential) => {
            return Some(Failed { error: Error::SessionEnded, unclear: true });
        }
        _ if says(&texts.no_such_lead) => Error::NoSuchLead,
        _ if says(&texts.bad_sender) => Error::BadSender,
        _ => return None,
    };
    Some(error.into())
}

fn failure_by_type(
    status: u16,
    exception_type: String,
    message: String,
    envelope: &Envelope,
    fields: &[String],
) -> Error {
    let refused = |exception_type, message| Error::Refused { exception_type, message: HiddenText::from(message) };
    match exception_type.as_str() {
        "MXDuplicateEntryException" => Error::Duplicate { field: duplicate_field_in(&message, fields) },
        "MXUnknownAttributeException" => match attributes_in(&message, fields) {
            names if names.is_empty() => refused(exception_type, message),
            names => Error::UnknownAttributes(names),
        },
        "MXUnAuthorizedAccessException" | "MXUnauthorizedRequestException" => Error::NotPermitted,
        "MXMailDeliveryException" => Error::MailNotDeliverable,
        mx if mx.starts_with("MX") => refused(exception_type, message),
        other => match status {
            403 => Error::NotPermitted,
            404 | 405 => Error::NoSuchCall { status, is_page: is_page(message.as_bytes()) },
            // LeadSquared's application writes errors in its own form, with or without a type. A gateway does not.
            500 if other.is_empty() && envelope.denies() => refused(format!("HTTP {status}"), message),
            // A proxy answers 408 for a time-out; LeadSquared does not use it for a bad call.
            408 | 500..=599 => Error::ServerFault { status },
            400..=499 if other.is_empty() => refused(format!("HTTP {status}"), message),
            200..=299 if other.is_empty() => refused("unnamed".to_owned(), message),
            200..=299 | 400..=499 => refused(exception_type, message),
            _ => Error::Undocumented { status, line: 0, column: 0 },
        },
    }
}

/// The parts of an answer that distinguish failure from success. They are values, not texts: one odd part must not hide
/// the others.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Envelope {
    status: Value,
    exception_type: Value,
    exception_message: Value,
    message: Value,
    is_successful: Value,
    response_text: Value,
}

impl Envelope {
    /// Empty for a body that is no JSON object, such as a list of leads.
    fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        if body.trim_ascii_start().starts_with(b"{") { serde_json::from_slice(body) } else { Ok(Self::default()) }
    }

    fn denies(&self) -> bool {
        self.status.as_str().is_some_and(|status| !status.eq_ignore_ascii_case("success"))
    }

    fn is_failure(&self) -> bool {
        self.denies() || self.is_successful == Value::Bool(false) || self.exception_type.is_string()
    }

    /// The type, if it has the form of a type's name. It is printed, so nothing else may pass.
    fn exception_type(&self) -> String {
        let name = self.exception_type.as_str().unwrap_or_default();
        let plain = name.len() <= 80 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
        if plain { name.to_owned() } else { String::new() }
    }

    fn message(&self) -> Option<String> {
        let nested = self.message.get("Message").unwrap_or(&Value::Null);
        [&self.exception_message, &self.message, nested, &self.response_text]
            .into_iter()
            .find_map(Value::as_str)
            .map(str::to_owned)
    }
}

fn contains_any(message: &str, texts: &[String]) -> bool {
    let message = message.to_lowercase();
    texts.iter().any(|text| !text.is_empty() && message.contains(&text.to_lowercase()))
}

/// The `25` and `5` of "API calls exceeded the limit of 25 in 5 second(s)".
fn limit_in(message: &str) -> Option<RateLimit> {
    let (_, rest) = message.split_once("limit of ")?;
    let (calls, rest) = rest.split_once(" in ")?;
    let (seconds, _) = rest.split_once(' ')?;
    let (calls, seconds) = (calls.trim().parse().ok()?, seconds.trim().parse().ok()?);
    // Zero calls, or a period of zero seconds, is no limit.
    (calls > 0 && seconds > 0).then(|| RateLimit { calls, window: Duration::from_secs(seconds) })
}

/// The host that a text names instead of the one that was asked. LeadSquared may name the core API's host in an answer
/// of the portal API: only the region counts.
fn right_host(message: &str, answering: Option<(Host, &str)>) -> Option<String> {
    let Some((host, name)) = answering else { return api_hosts_in(message).next() };
    let counterpart = |named: String| {
        let core = named.strip_prefix("portal").unwrap_or(&named);
        match host {
            Host::Api => core.to_owned(),
            Host::Portal => format!("portal{core}"),
        }
    };
    // If the text names the host that was asked, something else is wrong.
    api_hosts_in(message).map(counterpart).find(|right| right != name)
}

/// Core and portal API hosts named in a text. LeadSquared's other hosts, such as its documentation's, do not count.
fn api_hosts_in(message: &str) -> impl Iterator<Item = String> {
    message
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'))
        .map(|word| word.trim_matches('.').to_ascii_lowercase())
        .filter(|word| {
            word.strip_suffix(".leadsquared.com")
                .and_then(|label| label.strip_prefix("portal").unwrap_or(label).strip_prefix("api"))
                .is_some_and(|region| region.is_empty() || region.starts_with('-') && !region.contains('.'))
        })
}

/// "A Lead with same Phone Number already exists." or "Duplicate entry 'x' for key 'UQ_Prospect_Base_EmailAddress'".
fn duplicate_name_in(message: &str) -> Option<&str> {
    // The quoted value comes first and may contain anything: search for the key from the end.
    match message.rsplit_once("for key '") {
        Some((_, rest)) => rest.split_once('\'').map(|(key, _)| key.strip_prefix("UQ_Prospect_Base_").unwrap_or(key)),
        None => message
            .split_once("with same ")
            .and_then(|(_, rest)| rest.split_once(" already exists"))
            .map(|(name, _)| name),
    }
}

/// The field that a text names, by its schema name. The text may have the display name or quote a value: only a field
/// that was sent counts.
fn duplicate_field_in(message: &str, sent: &[String]) -> DuplicateField {
    match duplicate_name_in(message).map(str::trim) {
        Some("Email" | "Email Address" | "EmailAddress") => DuplicateField::EmailAddress,
        Some("Phone" | "Phone Number" | "Mobile" | "Mobile Number") => DuplicateField::Phone,
        Some(name) => match sent.iter().find(|field| is_name_of(name, field)) {
            Some(field) => DuplicateField::Other(field.clone()),
            None => DuplicateField::Unnamed,
        },
        None => DuplicateField::Unnamed,
    }
}

/// Whether `PAN Number` or `mx_pan_number` can mean the field `mx_PAN_Number`.
fn is_name_of(name: &str, field: &str) -> bool {
    let plain = |name: &str| -> String {
        let name = name.strip_prefix("mx_").unwrap_or(name);
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    plain(name) == plain(field)
}

/// The names in "Attribute(s) does not exist - mx_Foo,mx_Bar.": names that were sent, and texts that can only be names.
fn attributes_in(message: &str, sent: &[String]) -> Vec<String> {
    let Some((_, names)) = message.split_once(" - ") else { return Vec::new() };
    let is_schema_name = |name: &str| {
        name.len() <= 80
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let names = names.trim().trim_end_matches('.').split(',').map(str::trim);
    names.filter(|name| is_schema_name(name) || sent.iter().any(|field| field == name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn outcome(status: u16, body: &str, credential: CredentialKind) -> String {
        match decode::<Value>(status, body.as_bytes(), credential, &Texts::default()) {
            Ok(value) => value.to_string(),
            Err(error) => error.name().to_owned(),
        }
    }

    fn refusal(exception_type: &str, message: &str) -> String {
        json!({ "Status": "Error", "ExceptionType": exception_type, "ExceptionMessage": message }).to_string()
    }

    #[test]
    fn a_401_is_about_the_credentials_of_the_call() {
        for (credential, expected) in [
            (CredentialKind::Keys, "BadKeys"),
            (CredentialKind::Derived, "StaleCredential"),
            (CredentialKind::Password, "BadPortalPassword"),
            (CredentialKind::Session, "SessionEnded"),
        ] {
            assert_eq!(outcome(401, "", credential), expected);
            assert_eq!(outcome(401, "use portalapi-in21.leadsquared.com.", credential), "WrongHost");
        }
    }

    #[test]
    fn only_api_hosts_are_hosts() {
        for (text, host) in [
            ("use https://api-in21.leadsquared.com/v2/ instead", Some("api-in21.leadsquared.com")),
            ("Use API.LEADSQUARED.COM.", Some("api.leadsquared.com")),
            ("(portalapi-us11.leadsquared.com)", Some("portalapi-us11.leadsquared.com")),
            ("see apidocs.leadsquared.com or help.leadsquared.com", None),
            ("api.leadsquared.com.example.com", None),
            ("api-x.y.leadsquared.com", None),
            ("leadsquared.com", None),
        ] {
            assert_eq!(api_hosts_in(text).next().as_deref(), host, "{text}");
        }
    }

    #[test]
    fn the_right_host_is_of_the_kind_that_was_asked() {
        let right = |message, host, name| right_host(message, Some((host, name)));
        let core = "use api-us11.leadsquared.com";
        assert_eq!(right(core, Host::Api, "api.leadsquared.com").as_deref(), Some("api-us11.leadsquared.com"));
        let portal = Some("portalapi-us11.leadsquared.com");
        assert_eq!(right(core, Host::Portal, "portalapi.leadsquared.com").as_deref(), portal);
        let both = "portalapi.leadsquared.com is wrong, use portalapi-us11.leadsquared.com";
        assert_eq!(right(both, Host::Portal, "portalapi.leadsquared.com").as_deref(), portal);
        assert_eq!(right(core, Host::Portal, "portalapi-us11.leadsquared.com"), None, "it is asked already");
    }

    #[test]
    fn a_401_that_names_its_own_host_is_about_the_credentials_of_the_call() {
        let body = refusal("MXUnAuthorizedAccessException", "denied by portalapi-in21.leadsquared.com");
        let host = Some((Host::Portal, "portalapi-in21.leadsquared.com"));
        for (credential, expected) in [
            (CredentialKind::Keys, "BadKeys"),
            (CredentialKind::Derived, "StaleCredential"),
            (CredentialKind::Password, "BadPortalPassword"),
            (CredentialKind::Session, "SessionEnded"),
        ] {
            let context = CallContext { credential, host, fields: &[] };
            let failed = judge::<Value>(401, body.as_bytes(), &context, &Texts::default()).unwrap_err();
            assert_eq!(failed.error.name(), expected);
        }
    }

    #[test]
    fn a_401_is_clear_if_its_text_names_the_wrong_secret() {
        let judged = |credential, message| {
            let context = CallContext { credential, host: None, fields: &[] };
            let body = refusal("MXUnAuthorizedAccessException", message);
            let failed = judge::<Value>(401, body.as_bytes(), &context, &Texts::default()).unwrap_err();
            (failed.error.name(), failed.unclear)
        };
        assert_eq!(judged(CredentialKind::Session, "Invalid username or password."), ("BadPortalPassword", false));
        assert_eq!(judged(CredentialKind::Session, "Invalid or expired auth key."), ("SessionEnded", true));
        assert_eq!(judged(CredentialKind::Password, "Invalid username or password."), ("BadPortalPassword", false));
        assert_eq!(judged(CredentialKind::Password, "Invalid or expired OTP."), ("BadPortalPassword", false));
        assert_eq!(judged(CredentialKind::Password, "Invalid or expired auth key."), ("StaleCredential", false));
        assert_eq!(judged(CredentialKind::Password, "Unauthorized"), ("BadPortalPassword", true));
    }

    #[test]
    fn a_stale_credential_need_not_come_as_a_401() {
        for (credential, expected) in [
            (CredentialKind::Keys, "Refused"),
            (CredentialKind::Derived, "StaleCredential"),
            (CredentialKind::Password, "StaleCredential"),
            (CredentialKind::Session, "SessionEnded"),
        ] {
            for message in ["Invalid auth key", "Auth key has expired"] {
                assert_eq!(outcome(500, &refusal("MXException", message), credential), expected, "{message}");
            }
        }
    }

    #[test]
    fn an_unambiguous_type_goes_before_the_text() {
        let long = "FirstName exceeded the limit of 100 characters";
        assert_eq!(outcome(500, &refusal("MXInvalidInputException", long), CredentialKind::Derived), "Refused");
        let limit = "API calls exceeded the limit of 25 in 5 second(s)";
        assert_eq!(outcome(500, &refusal("", limit), CredentialKind::Derived), "RateLimited");
        assert_eq!(outcome(500, &refusal("MXInvalidInputException", limit), CredentialKind::Derived), "Refused");
        for quoted in ["User already exists", "Lead does not exist", "not a portal user", "Invalid token"] {
            let message = format!("'{quoted}' is no option");
            let body = refusal("MXInvalidEntityReferenceException", &message);
            assert_eq!(outcome(500, &body, CredentialKind::Derived), "Refused", "{quoted}");
            let message = format!("Duplicate entry '{quoted}' for key 'mx_Motto'");
            assert_eq!(
                outcome(500, &refusal("MXDuplicateEntryException", &message), CredentialKind::Derived),
                "Duplicate"
            );
        }
    }

    #[test]
    fn a_text_that_was_typed_and_quoted_decides_nothing() {
        for quoted in [
            "API calls exceeded the limit of 1 in 9999 second(s)",
            "use api-us11.leadsquared.com",
            "User already exists",
            "Lead does not exist",
            "not a portal user",
            "Invalid token",
            "Invalid password",
            "Invalid Sender details",
            "x' Lead does not exist 'y",
        ] {
            for quotes in [('\'', '\''), ('"', '"'), ('\u{201C}', '\u{201D}')] {
                let message = format!("The value {}{quoted}{} is not valid", quotes.0, quotes.1);
                for exception_type in ["MXException", "MXInvalidInputException", ""] {
                    for credential in [CredentialKind::Keys, CredentialKind::Derived, CredentialKind::Session] {
                        let name = outcome(500, &refusal(exception_type, &message), credential);
                        assert_eq!(name, "Refused", "{exception_type} {message}");
                    }
                }
                let body = refusal("MXUnAuthorizedAccessException", &message);
                assert_eq!(outcome(401, &body, CredentialKind::Keys), "BadKeys", "{message}");
            }
        }
        let apostrophe = "The caller's API calls exceeded the limit of 25 in 5 second(s)";
        assert_eq!(outcome(500, &refusal("MXException", apostrophe), CredentialKind::Keys), "RateLimited");
    }

    #[test]
    fn a_page_of_a_firewall_says_nothing_about_keys_and_rights() {
        let page = "<html><head><title>403 Forbidden</title></head><body>Request blocked.</body></html>";
        for credential in [CredentialKind::Keys, CredentialKind::Derived, CredentialKind::Password] {
            for status in [400, 401, 403, 406, 500, 502] {
                assert_eq!(outcome(status, page, credential), "ServerFault", "{status}");
            }
            for body in ["", "Forbidden", r#"{"message":"Forbidden"}"#, "[]"] {
                assert_eq!(outcome(403, body, credential), "ServerFault", "{body}");
            }
        }
        // The server's own page for a path that it does not have, or a firewall's: an AWS CAPTCHA is a 405.
        for status in [404, 405] {
            for (body, is_unanswered) in [(page, true), (r#"{"Message":"No resource was found"}"#, false), ("", false)]
            {
                let error =
                    decode::<Value>(status, body.as_bytes(), CredentialKind::Keys, &Texts::default()).unwrap_err();
                assert_eq!((error.name(), error.is_unanswered()), ("NoSuchCall", is_unanswered), "{status} {body}");
            }
        }
        assert_eq!(outcome(403, &refusal("", "Access denied"), CredentialKind::Keys), "NotPermitted");
    }

    #[test]
    fn a_stale_lead_is_known_by_its_type_and_its_whole_text() {
        for (exception_type, message, expected) in [
            ("MXInvalidEntityReferenceException", "Lead not found", "NoSuchLead"),
            ("MXInvalidEntityReferenceException", " lead not found. ", "NoSuchLead"),
            ("MXInvalidEntityReferenceException", "Lead not found is no option of mx_Motto", "Refused"),
            ("MXInvalidEntityReferenceException", "'Lead not found' is no option of mx_Motto", "Refused"),
            ("MXInvalidEntityReferenceException", "", "Refused"),
            ("MXInvalidInputException", "Lead not found", "Refused"),
        ] {
            assert_eq!(outcome(500, &refusal(exception_type, message), CredentialKind::Keys), expected, "{message}");
        }
    }

    #[test]
    fn an_error_without_a_type_is_a_refusal_only_under_500_with_an_envelope() {
        let body = r#"{"Status":"Error","ExceptionMessage":"Password does not meet the policy"}"#;
        assert_eq!(outcome(500, body, CredentialKind::Derived), "Refused");
        assert_eq!(outcome(503, body, CredentialKind::Derived), "ServerFault");
        assert_eq!(outcome(500, r#"{"message":"Internal server error"}"#, CredentialKind::Derived), "ServerFault");
    }

    #[test]
    fn a_success_that_may_be_a_failure_is_not_a_success() {
        let twice = r#"{"Status":"Error","ExceptionType":"MXFooException","Status":"Success"}"#;
        assert_eq!(outcome(200, twice, CredentialKind::Keys), "Undocumented");
        assert_eq!(outcome(500, twice, CredentialKind::Keys), "ServerFault");
        assert_eq!(outcome(200, r#"["Error"]"#, CredentialKind::Keys), r#"["Error"]"#, "a list is no envelope");
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(outcome(200, "\u{feff}[]", CredentialKind::Keys), "[]");
        let body = format!("\u{feff}{}", refusal("MXFooException", "x"));
        assert_eq!(outcome(200, &body, CredentialKind::Keys), "Refused");
    }

    #[test]
    fn statuses_without_an_envelope() {
        for (status, expected) in [
            (204, "Undocumented"),
            (302, "Undocumented"),
            (400, "Refused"),
            (403, "ServerFault"),
            (404, "NoSuchCall"),
            (405, "NoSuchCall"),
            (408, "ServerFault"),
            (413, "Refused"),
            (429, "RateLimited"),
            (500, "ServerFault"),
            (503, "ServerFault"),
            (600, "Undocumented"),
        ] {
            assert_eq!(outcome(status, "", CredentialKind::Keys), expected, "{status}");
        }
    }

    #[test]
    fn an_mx_type_is_a_refusal_under_any_status() {
        for status in [200, 400, 403, 404, 500, 502] {
            assert_eq!(outcome(status, &refusal("MXFooException", "x"), CredentialKind::Keys), "Refused", "{status}");
        }
        assert_eq!(outcome(500, &refusal("System.NullReferenceException", "x"), CredentialKind::Keys), "ServerFault");
        assert_eq!(outcome(200, &refusal("System.NullReferenceException", "x"), CredentialKind::Keys), "Refused");
    }

    #[test]
    fn odd_parts_do_not_hide_the_others() {
        let message = "Attribute(s) does not exist - a";
        let body = json!({ "Status": 7, "ExceptionType": "MXUnknownAttributeException", "ExceptionMessage": message, "Message": [] });
        assert_eq!(outcome(500, &body.to_string(), CredentialKind::Keys), "UnknownAttributes");
        assert_eq!(outcome(200, r#"{"Status":7}"#, CredentialKind::Keys), r#"{"Status":7}"#);
        let nameless = refusal("MXUnknownAttributeException", "Attributes are odd");
        assert_eq!(outcome(500, &nameless, CredentialKind::Keys), "Refused");
    }

    #[test]
    fn texts_are_settings_and_match_in_any_case() {
        let lead_exists = vec!["bereits vorhanden".to_owned(), String::new()];
        let texts = Texts { lead_exists, ..Texts::default() };
        let name = |message| {
            let body = refusal("MXFooException", message);
            decode::<Value>(500, body.as_bytes(), CredentialKind::Derived, &texts).unwrap_err().name()
        };
        assert_eq!(name("Konto BEREITS vorhanden"), "LeadExists");
        assert_eq!(name("User already exists."), "Refused", "an empty text matches nothing");
    }

    #[test]
    fn the_field_of_a_duplicate_is_one_that_was_sent() {
        let sent = ["EmailAddress", "mx_PAN_Number", "mx_PAN", "number"].map(str::to_owned);
        let other = |name: &str| DuplicateField::Other(name.to_owned());
        for (message, field) in [
            ("A Lead with same Phone Number already exists.", DuplicateField::Phone),
            ("A Lead with same Email already exists.", DuplicateField::EmailAddress),
            ("A Lead with same PAN Number already exists.", other("mx_PAN_Number")),
            ("A Lead with same number 9000000001 already exists.", DuplicateField::Unnamed),
            ("A Lead with same Passport already exists.", DuplicateField::Unnamed),
            ("Duplicate entry 'x@y' for key 'UQ_Prospect_Base_EmailAddress'", DuplicateField::EmailAddress),
            ("Duplicate entry 'x' for key 'mx_PAN'", other("mx_PAN")),
            ("Duplicate entry 'x' for key 'UQ_Prospect_Base_mx_pan_number'", other("mx_PAN_Number")),
            ("Duplicate entry 'with same number already exists' for key 'k'", DuplicateField::Unnamed),
            ("Duplicate entry 'x@y' for key 'x@y'", DuplicateField::Unnamed),
            ("Duplicate", DuplicateField::Unnamed),
        ] {
            assert_eq!(duplicate_field_in(message, &sent), field, "{message}");
        }
    }

    #[test]
    fn unknown_attributes_are_names_or_were_sent() {
        let sent = ["mx_Größe", "mx Foo"].map(str::to_owned);
        let message = "Attribute(s) does not exist - mx_Größe, mx Foo,mx_Bar,asha@example.test,mx-Baz,9000000001.";
        assert_eq!(attributes_in(message, &sent), ["mx_Größe", "mx Foo", "mx_Bar"]);
        assert_eq!(attributes_in("Attributes are odd", &sent), Vec::<String>::new());
    }

    #[test]
    fn a_limit_is_read_or_left_out() {
        let limit = |calls, seconds| Some(RateLimit { calls, window: Duration::from_secs(seconds) });
        assert_eq!(limit_in("API calls exceeded the limit of 25 in 5 second(s)"), limit(25, 5));
        for text in [
            "",
            "limit of",
            "limit of x in 5 s",
            "limit of 25 in 5",
            "limit of 99999999999 in 5 s",
            "limit of -1 in 5 s",
            "limit of 0 in 0 second(s)",
            "limit of 25 in 0 second(s)",
            "limit of 0 in 5 second(s)",
        ] {
            assert_eq!(limit_in(text), None, "{text}");
        }
    }

    fn credential() -> impl Strategy<Value = CredentialKind> {
        prop::sample::select(vec![
            CredentialKind::Keys,
            CredentialKind::Derived,
            CredentialKind::Password,
            CredentialKind::Session,
        ])
    }

    proptest! {
        #[test]
        fn any_answer_is_decided(status in any::<u16>(), body in prop::collection::vec(any::<u8>(), 0..200), credential in credential()) {
            let _ = decode::<Value>(status, &body, credential, &Texts::default());
        }

        #[test]
        fn a_message_is_never_printed(
            status in prop::sample::select(vec![200u16, 400, 401, 403, 404, 429, 500, 503]),
            exception_type in "MX(DuplicateEntry|UnknownAttribute|InvalidEntity|Foo)Exception|.{0,12}",
            before in "(User already exists|Lead does not exist|Duplicate entry '|A Lead with same |Attribute does not exist - mx_A,|limit of |.{0,10})",
            after in "(' for key 'UQ_Prospect_Base_EmailAddress'|,mx_B\\.| already exists| in 5 s|.{0,10})",
            credential in credential(),
        ) {
            let body = refusal(&exception_type, &format!("{before}asha@example.test{after}"));
            let error = decode::<Value>(status, body.as_bytes(), credential, &Texts::default()).unwrap_err();
            prop_assert!(!format!("{error} {error:?}").contains("asha@"), "{:?}", error);
        }
    }
}

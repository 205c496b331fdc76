//! From a status and a body to a value or a decision. Pure.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{DuplicateField, Error, HiddenText, Limit};

/// What a call presented to be let in, which is what a 401 is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// The keys.
    Keys,
    /// A credential derived from the keys: public key, registration token or tenant key.
    Derived,
    /// Derived credentials, and a portal user's password or code.
    Password,
    /// A signed-in portal user's private key.
    Session,
}

/// Texts by which LeadSquared's answers are told apart where no type is documented.
///
/// A text matches when the answer contains it, in any letter case. The defaults were seen in public client code or are
/// guesses, as each field says; put the texts of your account here when they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Texts {
    /// Register was asked for new leads only. Seen in a public client.
    pub lead_exists: Vec<String>,
    /// No lead has the id or address. Seen on live accounts.
    pub no_such_lead: Vec<String>,
    /// The lead has no portal account. A guess.
    pub not_a_portal_user: Vec<String>,
    /// A password or code was wrong. The first was seen in a public client, the others are guesses.
    pub bad_portal_password: Vec<String>,
    /// A derived credential is refused by something other than a 401. Guesses.
    pub stale_credential: Vec<String>,
    /// The rate limit was exceeded, whatever the status. Documented.
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
            not_a_portal_user: texts(&["not a portal user"]),
            bad_portal_password: texts(&["Account does not exist", "Invalid password", "Invalid OTP", "Incorrect"]),
            stale_credential: texts(&["Invalid auth key", "Invalid token", "expired"]),
            rate_limited: texts(&["exceeded the limit"]),
            bad_sender: texts(&["Invalid Sender details"]),
        }
    }
}

/// Reads an answer: the body first, since LeadSquared's own errors travel under almost any status.
///
/// # Errors
/// Whenever the answer is not a documented success; see [`Error`] for the decisions. Never [`Error::Unreachable`],
/// [`Error::UnknownResult`], [`Error::TurnedAway`] or [`Error::OutOfTime`], which happen without an answer.
pub fn decode<T: DeserializeOwned>(status: u16, body: &[u8], presented: Presented, texts: &Texts) -> Result<T, Error> {
    if let Some(error) = failure(status, body, presented, texts) {
        return Err(error);
    }
    // The message of a serde_json error quotes the value it stumbled over; its place tells enough.
    serde_json::from_slice(body).map_err(|error| Error::Undocumented {
        status,
        line: error.line(),
        column: error.column(),
    })
}

fn failure(status: u16, body: &[u8], presented: Presented, texts: &Texts) -> Option<Error> {
    let envelope: Envelope = serde_json::from_slice(body).unwrap_or_default();
    if (200..300).contains(&status) && !envelope.is_failure() {
        return None;
    }
    let message =
        envelope.message().unwrap_or_else(|| String::from_utf8_lossy(&body[..body.len().min(4096)]).into_owned());
    let says = |any_of: &[String]| contains_any(&message, any_of);
    let exception_type = envelope.exception_type();

    if status == 429 || exception_type == "MXAPIRateLimitExceededException" || says(&texts.rate_limited) {
        return Some(Error::RateLimited { limit: limit_in(&message) });
    }
    if status == 401 {
        return Some(match (api_host_in(&message), presented) {
            (Some(right_host), _) => Error::WrongHost { right_host },
            (None, Presented::Keys) => Error::BadKeys,
            (None, Presented::Derived) => Error::StaleCredential,
            (None, Presented::Password) => Error::BadPortalPassword,
            (None, Presented::Session) => Error::SessionEnded,
        });
    }
    if says(&texts.lead_exists) {
        return Some(Error::LeadExists);
    }
    if says(&texts.not_a_portal_user) {
        return Some(Error::NotAPortalUser);
    }
    if presented == Presented::Password && says(&texts.bad_portal_password) {
        return Some(Error::BadPortalPassword);
    }
    if presented == Presented::Derived && says(&texts.stale_credential) {
        return Some(Error::StaleCredential);
    }
    if says(&texts.no_such_lead) {
        return Some(Error::NoSuchLead);
    }
    if says(&texts.bad_sender) {
        return Some(Error::BadSender);
    }
    let refused = |exception_type| Error::Refused { exception_type, message: HiddenText::from(message.clone()) };
    match exception_type.as_str() {
        "MXDuplicateEntryException" => Some(Error::Duplicate { field: duplicate_field_in(&message) }),
        "MXUnknownAttributeException" => match attributes_in(&message) {
            names if names.is_empty() => Some(refused(exception_type)),
            names => Some(Error::UnknownAttributes(names)),
        },
        "MXUnAuthorizedAccessException" | "MXUnauthorizedRequestException" => Some(Error::NotPermitted),
        "MXMailDeliveryException" => Some(Error::MailNotDeliverable),
        mx if mx.starts_with("MX") => Some(refused(exception_type)),
        other => Some(match status {
            403 => Error::NotPermitted,
            404 | 405 => Error::NoSuchCall { status },
            // 408 is a proxy's word for a time-out, not LeadSquared's for a bad call.
            408 | 500..=599 => Error::ServerFault { status },
            400..=499 if other.is_empty() => refused(format!("HTTP {status}")),
            200..=299 if other.is_empty() => refused("unnamed".to_owned()),
            200..=299 | 400..=499 => refused(exception_type),
            _ => Error::Undocumented { status, line: 0, column: 0 },
        }),
    }
}

/// The parts of an answer that tell failure from success. Values, not texts: one odd part must not hide the others.
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
    fn is_failure(&self) -> bool {
        let status_denies = self.status.as_str().is_some_and(|status| !status.eq_ignore_ascii_case("success"));
        status_denies || self.is_successful == Value::Bool(false) || self.exception_type.is_string()
    }

    /// Kept only when it looks like a type's name, because it is printed.
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
fn limit_in(message: &str) -> Option<Limit> {
    let (_, rest) = message.split_once("limit of ")?;
    let (calls, rest) = rest.split_once(" in ")?;
    let (seconds, _) = rest.split_once(' ')?;
    Some(Limit { calls: calls.trim().parse().ok()?, window: Duration::from_secs(seconds.trim().parse().ok()?) })
}

/// A core or portal API host named in a text. Other hosts of LeadSquared's, such as its documentation's, do not count.
fn api_host_in(message: &str) -> Option<String> {
    message
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'))
        .map(|word| word.trim_matches('.').to_ascii_lowercase())
        .find(|word| {
            word.strip_suffix(".leadsquared.com")
                .and_then(|label| label.strip_prefix("portal").unwrap_or(label).strip_prefix("api"))
                .is_some_and(|region| region.is_empty() || region.starts_with('-') && !region.contains('.'))
        })
}

/// "A Lead with same Phone Number already exists." or "Duplicate entry 'x' for key 'UQ_Prospect_Base_EmailAddress'".
fn duplicate_field_in(message: &str) -> DuplicateField {
    // The quoted value comes first and may contain anything, so the key is looked for from the end.
    let named = match message.rsplit_once("for key '") {
        Some((_, rest)) => rest.split_once('\'').map(|(key, _)| key.strip_prefix("UQ_Prospect_Base_").unwrap_or(key)),
        None => message
            .split_once("with same ")
            .and_then(|(_, rest)| rest.split_once(" already exists"))
            .map(|(name, _)| name),
    };
    let named = named.map(str::trim).filter(|name| {
        !name.is_empty() && name.len() <= 80 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ' ')
    });
    match named {
        Some("Email" | "Email Address" | "EmailAddress") => DuplicateField::EmailAddress,
        Some("Phone" | "Phone Number" | "Mobile" | "Mobile Number") => DuplicateField::Phone,
        Some(name) => DuplicateField::Other(name.to_owned()),
        None => DuplicateField::Unnamed,
    }
}

/// The names in "Attribute(s) does not exist - mx_Foo,mx_Bar."
fn attributes_in(message: &str) -> Vec<String> {
    let Some((_, names)) = message.split_once(" - ") else { return Vec::new() };
    let names = names.trim().trim_end_matches('.').split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn outcome(status: u16, body: &str, presented: Presented) -> String {
        match decode::<Value>(status, body.as_bytes(), presented, &Texts::default()) {
            Ok(value) => value.to_string(),
            Err(error) => error.name().to_owned(),
        }
    }

    fn refusal(exception_type: &str, message: &str) -> String {
        json!({ "Status": "Error", "ExceptionType": exception_type, "ExceptionMessage": message }).to_string()
    }

    #[test]
    fn a_401_is_about_what_was_presented() {
        for (presented, expected) in [
            (Presented::Keys, "BadKeys"),
            (Presented::Derived, "StaleCredential"),
            (Presented::Password, "BadPortalPassword"),
            (Presented::Session, "SessionEnded"),
        ] {
            assert_eq!(outcome(401, "", presented), expected);
            assert_eq!(outcome(401, "use portalapi-in21.leadsquared.com.", presented), "WrongHost");
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
            assert_eq!(api_host_in(text).as_deref(), host, "{text}");
        }
    }

    #[test]
    fn statuses_without_an_envelope() {
        for (status, expected) in [
            (204, "Undocumented"),
            (302, "Undocumented"),
            (400, "Refused"),
            (403, "NotPermitted"),
            (404, "NoSuchCall"),
            (405, "NoSuchCall"),
            (408, "ServerFault"),
            (413, "Refused"),
            (429, "RateLimited"),
            (500, "ServerFault"),
            (503, "ServerFault"),
            (600, "Undocumented"),
        ] {
            assert_eq!(outcome(status, "", Presented::Keys), expected, "{status}");
        }
    }

    #[test]
    fn an_mx_type_is_a_refusal_under_any_status() {
        for status in [200, 400, 403, 404, 500, 502] {
            assert_eq!(outcome(status, &refusal("MXFooException", "x"), Presented::Keys), "Refused", "{status}");
        }
        assert_eq!(outcome(500, &refusal("System.NullReferenceException", "x"), Presented::Keys), "ServerFault");
        assert_eq!(outcome(200, &refusal("System.NullReferenceException", "x"), Presented::Keys), "Refused");
    }

    #[test]
    fn odd_parts_do_not_hide_the_others() {
        let message = "Attribute(s) does not exist - a";
        let body = json!({ "Status": 7, "ExceptionType": "MXUnknownAttributeException", "ExceptionMessage": message, "Message": [] });
        assert_eq!(outcome(500, &body.to_string(), Presented::Keys), "UnknownAttributes");
        assert_eq!(outcome(200, r#"{"Status":7}"#, Presented::Keys), r#"{"Status":7}"#);
        let nameless = refusal("MXUnknownAttributeException", "Attributes are odd");
        assert_eq!(outcome(500, &nameless, Presented::Keys), "Refused");
    }

    #[test]
    fn texts_are_settings_and_match_in_any_case() {
        let lead_exists = vec!["bereits vorhanden".to_owned(), String::new()];
        let texts = Texts { lead_exists, ..Texts::default() };
        let name = |message| {
            let body = refusal("MXFooException", message);
            decode::<Value>(500, body.as_bytes(), Presented::Derived, &texts).unwrap_err().name()
        };
        assert_eq!(name("Konto BEREITS vorhanden"), "LeadExists");
        assert_eq!(name("User already exists."), "Refused", "an empty text matches nothing");
    }

    #[test]
    fn the_field_of_a_duplicate_is_read_from_the_end() {
        for (message, field) in [
            ("A Lead with same Phone Number already exists.", DuplicateField::Phone),
            ("A Lead with same Email already exists.", DuplicateField::EmailAddress),
            ("A Lead with same PAN Number already exists.", DuplicateField::Other("PAN Number".to_owned())),
            ("Duplicate entry 'x@y' for key 'UQ_Prospect_Base_EmailAddress'", DuplicateField::EmailAddress),
            ("Duplicate entry 'x' for key 'mx_PAN'", DuplicateField::Other("mx_PAN".to_owned())),
            ("Duplicate entry 'with same Asha already exists' for key 'k'", DuplicateField::Other("k".to_owned())),
            ("Duplicate entry 'x@y' for key 'x@y'", DuplicateField::Unnamed),
            ("Duplicate", DuplicateField::Unnamed),
        ] {
            assert_eq!(duplicate_field_in(message), field, "{message}");
        }
    }

    #[test]
    fn a_limit_is_read_or_left_out() {
        let limit = |calls, seconds| Some(Limit { calls, window: Duration::from_secs(seconds) });
        assert_eq!(limit_in("API calls exceeded the limit of 25 in 5 second(s)"), limit(25, 5));
        for text in [
            "",
            "limit of",
            "limit of x in 5 s",
            "limit of 25 in 5",
            "limit of 99999999999 in 5 s",
            "limit of -1 in 5 s",
        ] {
            assert_eq!(limit_in(text), None, "{text}");
        }
    }

    fn presented() -> impl Strategy<Value = Presented> {
        prop::sample::select(vec![Presented::Keys, Presented::Derived, Presented::Password, Presented::Session])
    }

    proptest! {
        #[test]
        fn any_answer_is_decided(status in any::<u16>(), body in prop::collection::vec(any::<u8>(), 0..200), presented in presented()) {
            let _ = decode::<Value>(status, &body, presented, &Texts::default());
        }

        #[test]
        fn a_message_is_never_printed(
            status in prop::sample::select(vec![200u16, 400, 401, 403, 404, 429, 500, 503]),
            exception_type in "MX(DuplicateEntry|UnknownAttribute|InvalidEntity|Foo)Exception|.{0,12}",
            before in "(User already exists|Lead does not exist|Duplicate entry '|A Lead with same |Attribute does not exist - mx_A,|limit of |.{0,10})",
            after in "(' for key 'UQ_Prospect_Base_EmailAddress'|,mx_B\\.| already exists| in 5 s|.{0,10})",
            presented in presented(),
        ) {
            let body = refusal(&exception_type, &format!("{before}asha@example.test{after}"));
            let error = decode::<Value>(status, body.as_bytes(), presented, &Texts::default()).unwrap_err();
            prop_assert!(!format!("{error} {error:?}").contains("asha@"), "{:?}", error);
        }
    }
}

//! The signature of an HTTP request (<https://www.standardwebhooks.com>).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use subtle::ConstantTimeEq;
use time::{Duration, OffsetDateTime};

/// The most that a request's timestamp may differ from now, either way.
const TOLERANCE: Duration = Duration::minutes(5);

/// Length of a secret in bytes, as Standard Webhooks requires.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// The secrets that senders sign with, as Secrets Manager stores them.
#[derive(Deserialize)]
pub struct SigningSecrets {
    current: SecretString,
    /// The secret before this one, valid until every sender uses the current one.
    previous: Option<SecretString>,
}

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is missing or invalid.
    #[error("the header {0} is missing or cannot be read")]
    Header(&'static str),
    /// The timestamp is too old or in the future.
    #[error("the webhook-timestamp is more than 5 minutes from now")]
    Timestamp,
    /// The request was signed with another secret, or changed on its way.
    #[error("the webhook-signature is not of this body, id and timestamp with the shared secret")]
    Mismatch,
    /// The stored secret is invalid.
    #[error("a secret is not 24 to 64 bytes in Base64, as whsec_… has them")]
    Secret,
}

impl SigningSecrets {
    /// The expected content of the secret, in words.
    pub const EXPECTED: &str =
        r#"a JSON object {"current": "whsec_…", "previous": "whsec_…"}, with previous while current is new"#;

    /// The `webhook-id` of a request that is signed with one of the secrets.
    ///
    /// # Errors
    /// When no secret matches, or the timestamp is not within five minutes of now.
    pub fn verify<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &str,
        now: OffsetDateTime,
    ) -> Result<&'a str, SignatureError> {
        let SignedHeaders { id, signatures, timestamp } = SignedHeaders::read(headers, now)?;
        for key in self.keys()? {
            let expected = key.sign(id, timestamp, body.as_bytes()).map_err(|_| SignatureError::Mismatch)?;
            if signatures.split(' ').any(|given| given.as_bytes().ct_eq(expected.as_bytes()).into()) {
                return Ok(id);
            }
        }
        Err(SignatureError::Mismatch)
    }

    fn keys(&self) -> Result<Vec<Webhook>, SignatureError> {
        let previous = self.previous.as_ref().filter(|secret| !secret.expose_secret().is_empty());
        [&self.current].into_iter().chain(previous).map(key).collect()
    }
}

/// The headers of a signed request, before the signature is checked.
pub(crate) struct SignedHeaders<'a> {
    id: &'a str,
    signatures: &'a str,
    timestamp: i64,
}

impl<'a> SignedHeaders<'a> {
    /// Reads the headers. A request without them, as most strangers send, is refused without reading the secret.
    ///
    /// # Errors
    /// When a header is missing or invalid, or the timestamp is not within five minutes of now.
    pub(crate) fn read(headers: &'a HeaderMap, now: OffsetDateTime) -> Result<Self, SignatureError> {
        let id = header(headers, HEADER_WEBHOOK_ID)?;
        let signatures = header(headers, HEADER_WEBHOOK_SIGNATURE)?;
        let timestamp = header(headers, HEADER_WEBHOOK_TIMESTAMP)?;
        let no_timestamp = SignatureError::Header(HEADER_WEBHOOK_TIMESTAMP);
        let timestamp: i64 = timestamp.parse().map_err(|_| no_timestamp)?;
        let sent_at = OffsetDateTime::from_unix_timestamp(timestamp).map_err(|_| no_timestamp)?;
        match (now - sent_at).abs() > TOLERANCE {
            true => Err(SignatureError::Timestamp),
            false => Ok(Self { id, signatures, timestamp }),
        }
    }
}

fn key(secret: &SecretString) -> Result<Webhook, SignatureError> {
    let text = secret.expose_secret().trim();
    let bytes = BASE64_STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text));
    // The crate accepts a secret of any length, an empty one too.
    let bytes = bytes.ok().filter(|bytes| SECRET_LENGTH.contains(&bytes.len())).ok_or(SignatureError::Secret)?;
    Webhook::from_bytes(bytes).map_err(|_| SignatureError::Secret)
}

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, SignatureError> {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
    value.ok_or(SignatureError::Header(name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2022-04-07 21:39:13 UTC);
    const BODY: &str = r#"{"email":"test@example.com","username":"test_user"}"#;
    const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    /// The example of the specification.
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const SIGNED: [(&str, &str); 3] = [
        ("webhook-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
        ("webhook-timestamp", "1649367553"),
        ("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
    ];

    fn secrets(current: &str, previous: Option<&str>) -> SigningSecrets {
        SigningSecrets { current: current.into(), previous: previous.map(SecretString::from) }
    }

    fn headers(changed: &str, value: &str) -> HeaderMap {
        let headers = SIGNED.map(|(name, right)| (name, if name == changed { value } else { right }));
        headers
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
            .into_iter()
            .collect()
    }

    #[test]
    fn the_example_of_the_specification_is_accepted_for_five_minutes_either_way() {
        let (secrets, headers) = (secrets(SECRET, None), headers("", ""));
        for (seconds, expected) in [
            (0, Ok("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk")),
            (300, Ok("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk")),
            (-300, Ok("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk")),
            (301, Err(SignatureError::Timestamp)),
            (-301, Err(SignatureError::Timestamp)),
        ] {
            assert_eq!(secrets.verify(&headers, BODY, NOW + Duration::seconds(seconds)), expected, "{seconds}");
        }
    }

    #[test]
    fn every_change_to_a_signed_request_is_noticed() {
        let secrets = secrets(SECRET, None);
        for (name, value, error) in [
            ("webhook-id", "msg_other", SignatureError::Mismatch),
            ("webhook-id", "", SignatureError::Header("webhook-id")),
            ("webhook-timestamp", "1649367554", SignatureError::Mismatch),
            ("webhook-timestamp", "-9223372036854775808", SignatureError::Header("webhook-timestamp")),
            ("webhook-timestamp", "soon", SignatureError::Header("webhook-timestamp")),
            ("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkv=", SignatureError::Mismatch),
            ("webhook-signature", "v1a,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=", SignatureError::Mismatch),
            ("webhook-signature", "tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=", SignatureError::Mismatch),
            ("webhook-signature", "v1,", SignatureError::Mismatch),
        ] {
            assert_eq!(secrets.verify(&headers(name, value), BODY, NOW), Err(error), "{name}: {value}");
        }
        assert_eq!(secrets.verify(&headers("", ""), &format!("{BODY} "), NOW), Err(SignatureError::Mismatch));
        for (name, _) in SIGNED {
            let mut headers = headers("", "");
            headers.remove(name);
            assert!(
                matches!(secrets.verify(&headers, BODY, NOW), Err(SignatureError::Header(missing)) if missing == name)
            );
        }
    }

    #[test]
    fn two_secrets_are_accepted_while_one_replaces_the_other() {
        let signed = headers("", "");
        let is_accepted = |current, previous| secrets(current, previous).verify(&signed, BODY, NOW).is_ok();
        assert!(is_accepted(OTHER, Some(SECRET)) && is_accepted(SECRET, Some(OTHER)));
        assert!(is_accepted(SECRET, Some("")) && is_accepted(SECRET.strip_prefix("whsec_").unwrap(), None));
        assert!(!is_accepted(OTHER, None) && !is_accepted(OTHER, Some("")));
        // A sender that replaces its secret signs with both.
        let both = headers("webhook-signature", &format!("v1,AAAA {} v2,x", SIGNED[2].1));
        assert!(secrets(SECRET, None).verify(&both, BODY, NOW).is_ok());
    }

    #[test]
    fn an_invalid_secret_accepts_no_request() {
        let signed = headers("", "");
        for (current, previous) in
            [("", None), ("REPLACE-ME", None), ("whsec_", None), ("whsec_c2hvcnQ=", None), (SECRET, Some("REPLACE-ME"))]
        {
            assert_eq!(secrets(current, previous).verify(&signed, BODY, NOW), Err(SignatureError::Secret), "{current}");
        }
    }
}

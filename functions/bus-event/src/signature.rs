use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use subtle::ConstantTimeEq;
use time::{Duration, OffsetDateTime};

/// How old a request may be, and how far ahead its sender's clock.
const TOLERANCE: Duration = Duration::minutes(5);

/// How many bytes a secret has, as Standard Webhooks asks.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// The secrets that senders sign with, as they lie in Secrets Manager.
#[derive(Deserialize)]
pub struct SigningSecrets {
    current: SecretString,
    /// The one before, while it is being replaced.
    previous: Option<SecretString>,
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is missing, or is not what it should be.
    #[error("the header {0} is missing or cannot be read")]
    Header(&'static str),
    /// Too old, or from the future.
    #[error("the webhook-timestamp is more than 5 minutes from now")]
    Timestamp,
    /// Not signed with a secret of ours, or changed on its way.
    #[error("the webhook-signature is not of this body, id and timestamp with the shared secret")]
    Mismatch,
    /// There is no secret to check with.
    #[error("a secret is not 24 to 64 bytes in Base64, as whsec_… has them")]
    Secret,
}

impl SigningSecrets {
    /// What the secret must hold, in words.
    pub const EXPECTED: &str =
        r#"a JSON object {"current": "whsec_…", "previous": "whsec_…"}, with previous while current is new"#;

    /// Whether a request is signed with one of them, as <https://www.standardwebhooks.com> has it; its `webhook-id` if
    /// it is.
    ///
    /// # Errors
    /// When it is not, or it is not from these five minutes.
    pub fn verify<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &str,
        now: OffsetDateTime,
    ) -> Result<&'a str, SignatureError> {
        let Claim { id, signatures, timestamp } = Claim::read(headers, now)?;
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

/// What a request says of itself, before it is checked.
pub(crate) struct Claim<'a> {
    id: &'a str,
    signatures: &'a str,
    timestamp: i64,
}

impl<'a> Claim<'a> {
    /// Reads it. What has none, as most of what strangers send, needs no secret to be refused.
    ///
    /// # Errors
    /// When it is incomplete, or not from these five minutes.
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
    // The crate would sign with a secret of any length, down to none.
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
    /// The specification's own example.
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
    fn the_specifications_example_is_accepted_for_five_minutes_either_way() {
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
    fn whatever_is_changed_is_noticed() {
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
    fn two_secrets_count_while_one_replaces_the_other() {
        let signed = headers("", "");
        let is_accepted = |current, previous| secrets(current, previous).verify(&signed, BODY, NOW).is_ok();
        assert!(is_accepted(OTHER, Some(SECRET)) && is_accepted(SECRET, Some(OTHER)));
        assert!(is_accepted(SECRET, Some("")) && is_accepted(SECRET.strip_prefix("whsec_").unwrap(), None));
        assert!(!is_accepted(OTHER, None) && !is_accepted(OTHER, Some("")));
        // Senders that replace theirs sign with both, too.
        let both = headers("webhook-signature", &format!("v1,AAAA {} v2,x", SIGNED[2].1));
        assert!(secrets(SECRET, None).verify(&both, BODY, NOW).is_ok());
    }

    #[test]
    fn what_is_no_secret_accepts_nothing() {
        let signed = headers("", "");
        for (current, previous) in
            [("", None), ("REPLACE-ME", None), ("whsec_", None), ("whsec_c2hvcnQ=", None), (SECRET, Some("REPLACE-ME"))]
        {
            assert_eq!(secrets(current, previous).verify(&signed, BODY, NOW), Err(SignatureError::Secret), "{current}");
        }
    }
}

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use leadsquared::{Attributes, EmailAddress};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

/// "Make this person a portal user and mail them a link."
///
/// On the queue it is one JSON object ([`Invitation::encode`]), with a version so that messages on their way survive a
/// deployment. `Debug` shows no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its idempotency key, and the receipt the sender was given.
    pub id: InvitationId,
    /// Where it came from.
    pub source: Source,
    /// When it was accepted.
    pub received_at: OffsetDateTime,
    /// Whom to invite.
    pub email: EmailAddress,
    /// What else is known of them: lead fields other than the e-mail address, in the order they were given.
    pub attributes: Attributes,
    /// The portal password they chose, if they chose one.
    pub password: Option<SealedPassword>,
}

/// A chosen password as the queue may hold it: encrypted, in Base64. Only the worker can open it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedPassword(String);

impl SealedPassword {
    /// The Base64 text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SealedPassword {
    fn from(base64: String) -> Self {
        Self(base64)
    }
}

impl fmt::Debug for SealedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedPassword")
    }
}

/// Where an invitation came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A submitted application form.
    Form,
}

/// An invitation's identity: the same for every copy of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InvitationId(Uuid);

impl InvitationId {
    /// The id of whatever these parts identify. Parts cannot run into each other: `["ab", "c"]` and `["a", "bc"]` differ.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let hash = digest(parts);
        let (half, _) = hash.split_first_chunk::<16>().expect("a SHA-256 hash has 32 bytes");
        Self(Uuid::new_v8(*half))
    }
}

impl FromStr for InvitationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A person without saying who: the SHA-256 of the normalised e-mail address, in hexadecimal.
///
/// The queue's message group and the ledger's person record go by it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PersonKey(String);

impl PersonKey {
    /// The person behind an address.
    pub fn of(email: &EmailAddress) -> Self {
        Self(hex(&digest([email.expose().as_bytes()])))
    }

    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonKey")
    }
}

impl Invitation {
    /// The person it is for.
    pub fn person(&self) -> PersonKey {
        PersonKey::of(&self.email)
    }

    /// A hash of whom it is for and what it says of them, in hexadecimal: the same id with another payload is a mistake
    /// of the sender's. The password has no part in it: it is sealed anew each time, and its hash could be guessed.
    pub fn payload_hash(&self) -> String {
        let fields = self.attributes.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        hex(&digest(std::iter::once(self.email.expose().as_bytes()).chain(fields)))
    }

    /// The queue's message.
    pub fn encode(&self) -> String {
        let message = Message {
            version: VERSION,
            id: self.id,
            source: self.source,
            received_at: self.received_at,
            email: self.email.clone(),
            attributes: self.attributes.iter().map(|(name, value)| Attribute::new(name, value)).collect(),
            password: self.password.clone(),
        };
        serde_json::to_string(&message).expect("a message is plain data, which always serializes")
    }

    /// Reads the queue's message.
    ///
    /// # Errors
    /// When it is not JSON, of a version this code does not know, or not an invitation. The error shows no part of it.
    pub fn decode(text: &str) -> Result<Self, MalformedInvitation> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Versioned { version } = serde_json::from_str(text).map_err(MalformedInvitation::unreadable)?;
        match version.cmp(&VERSION) {
            Ordering::Less => return Err(MalformedInvitation::UnknownVersion(version)),
            Ordering::Equal => {}
            Ordering::Greater => return Err(MalformedInvitation::NewerVersion(version)),
        }
        let message: Message = serde_json::from_str(text).map_err(MalformedInvitation::unreadable)?;
        Ok(Self {
            id: message.id,
            source: message.source,
            received_at: message.received_at,
            email: message.email,
            attributes: message.attributes.into_iter().map(|attribute| (attribute.name, attribute.value)).collect(),
            password: message.password,
        })
    }
}

/// The version of the queue's message that this code writes and reads.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
struct Message {
    version: u64,
    id: InvitationId,
    source: Source,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    email: EmailAddress,
    attributes: Vec<Attribute>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<SealedPassword>,
}

#[derive(Serialize, Deserialize)]
struct Attribute {
    name: String,
    value: String,
}

impl Attribute {
    fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned() }
    }
}

/// A message on the queue that is no invitation. Sending it again would not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedInvitation {
    /// Not JSON, or a field is missing or wrong. `serde_json` would quote values, so only the place is told.
    #[error("the message is not an invitation: reading it stopped at line {line}, column {column}")]
    Unreadable {
        /// Line of the message.
        line: usize,
        /// Column in that line.
        column: usize,
    },
    /// Of a version that never was.
    #[error("the message has version {0}, and there is none below {VERSION}")]
    UnknownVersion(u64),
    /// Written by newer code than this, as happens while a deployment is under way.
    #[error("the message has version {0}, and this function reads versions up to {VERSION}: deploy the newer function")]
    NewerVersion(u64),
}

impl MalformedInvitation {
    fn unreadable(error: serde_json::Error) -> Self {
        Self::Unreadable { line: error.line(), column: error.column() }
    }
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    fn asha() -> Invitation {
        Invitation {
            id: InvitationId::of([&b"form"[..], b"1"]),
            source: Source::Form,
            received_at: datetime!(2026-01-02 03:04:05 UTC),
            email: "asha@example.test".parse().unwrap(),
            attributes: Attributes::new().with("FirstName", "Asha").with("mx_City", "Pune"),
            password: None,
        }
    }

    #[test]
    fn the_message_is_versioned_json_that_reads_back() {
        let text = asha().encode();
        assert_eq!(
            text,
            format!(
                concat!(
                    r#"{{"version":1,"id":"{}","source":"form","received_at":"2026-01-02T03:04:05Z","email":"asha@example.test","#,
                    r#""attributes":[{{"name":"FirstName","value":"Asha"}},{{"name":"mx_City","value":"Pune"}}]}}"#
                ),
                asha().id
            )
        );
        assert_eq!(Invitation::decode(&text).unwrap(), asha());
    }

    #[test]
    fn a_sealed_password_travels_along_and_is_no_part_of_the_payload() {
        let with = Invitation { password: Some(SealedPassword::from("c2VhbGVk".to_owned())), ..asha() };
        assert!(with.encode().ends_with(r#","password":"c2VhbGVk"}"#), "{}", with.encode());
        assert_eq!(Invitation::decode(&with.encode()).unwrap(), with);
        assert_eq!(with.payload_hash(), asha().payload_hash());
        assert!(!format!("{with:?}").contains("c2VhbGVk"));
    }

    #[test]
    fn what_is_no_invitation_is_told_by_its_place_alone() {
        let canary = "canary@example";
        let unreadable = |line, column| Err(MalformedInvitation::Unreadable { line, column });
        assert_eq!(Invitation::decode(""), unreadable(1, 0));
        assert_eq!(Invitation::decode("{}"), unreadable(1, 2));
        assert_eq!(Invitation::decode(r#"{"version":7}"#), Err(MalformedInvitation::NewerVersion(7)));
        assert_eq!(Invitation::decode(r#"{"version":0}"#), Err(MalformedInvitation::UnknownVersion(0)));
        let error = Invitation::decode(&asha().encode().replace("asha@example.test", canary)).unwrap_err();
        assert!(matches!(error, MalformedInvitation::Unreadable { .. }));
        assert!(!format!("{error} {error:?}").contains(canary), "{error}");
    }

    #[test]
    fn an_id_is_a_uuid_and_its_parts_do_not_run_together() {
        let id = InvitationId::of([&b"ab"[..], b"c"]);
        assert_ne!(id, InvitationId::of([&b"a"[..], b"bc"]));
        assert_eq!(id, id.to_string().parse().unwrap());
    }

    #[test]
    fn the_payload_hash_tells_payloads_apart_and_ignores_the_id() {
        let later = Invitation {
            id: InvitationId::of([&b"form"[..], b"2"]),
            received_at: datetime!(2027-01-01 0:00 UTC),
            ..asha()
        };
        assert_eq!(asha().payload_hash(), later.payload_hash());
        let other =
            Invitation { attributes: Attributes::new().with("FirstName", "Asha").with("mx_City", "Puna"), ..asha() };
        assert_ne!(asha().payload_hash(), other.payload_hash());
    }

    #[test]
    fn printing_an_invitation_shows_no_personal_data() {
        let printed = format!("{:?} {:?}", asha(), asha().person());
        for canary in ["asha@", "\"Asha\"", "Pune", asha().person().as_str()] {
            assert!(!printed.contains(canary), "{printed}");
        }
    }

    proptest! {
        #[test]
        fn every_invitation_survives_the_queue(values in prop::collection::vec(("[A-Za-z_]{1,12}", ".{0,30}"), 0..6)) {
            let invitation = Invitation { attributes: values.into_iter().collect(), ..asha() };
            prop_assert_eq!(Invitation::decode(&invitation.encode()), Ok(invitation));
        }

        #[test]
        fn no_message_makes_decoding_panic(text in ".{0,200}") {
            prop_assert!(Invitation::decode(&text).is_err());
        }
    }
}

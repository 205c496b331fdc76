//! One-time codes on their way.
//!
//! LeadSquared recognises a code by a challenge that it gives for known people only. So nobody is given that: everybody gets
//! a random one of ours, and what belongs to it is in the table under its hash. Where LeadSquared gave none there is one that
//! it does not know, so that it is asked about whatever is typed for anybody, and what becomes of that tells of nobody either.
//! Only whoever has our challenge can read what belongs to it: it has a phone number.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use leadsquared::{CodeChallenge, CodeRecipient, Phone, SentCode};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use crate::store::{self, Store, StoreError};

/// How long a challenge is kept. How long the code itself is good is LeadSquared's business, and not documented.
pub(crate) const VALID_FOR: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// How many codes may be tried with one challenge: of a million possible ones, with the limits on asking for a new one.
const TRIES: i64 = 5;

const SEALED: &str = "sealed";

/// What comes back with a code.
pub(crate) struct Challenge(String);

impl Challenge {
    /// A new one, of 256 random bits.
    pub(crate) fn new(random: [u8; 32]) -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(random))
    }

    pub(crate) fn of_text(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_text(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn key(&self) -> String {
        store::key("code", &self.0)
    }

    /// What belongs to it, sealed for whoever has it.
    fn seal(&self, sent: &SentCode) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(sent).expect("two texts are JSON");
        self.cipher().seal_in_place_append_tag(nonce(), Aad::empty(), &mut bytes).expect("two texts are not too long");
        bytes
    }

    fn open(&self, mut sealed: Vec<u8>) -> Option<SentCode> {
        let bytes = self.cipher().open_in_place(nonce(), Aad::empty(), &mut sealed).ok()?;
        serde_json::from_slice(bytes).ok()
    }

    fn cipher(&self) -> LessSafeKey {
        // Another hash than the one in the item's key, which everybody who reads the table sees.
        let key = Sha256::digest(format!("sealed {}", self.0));
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("SHA-256 has as many bits as the cipher wants"))
    }
}

/// Always the same: a challenge is new for every code, so its cipher seals once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

impl Store {
    /// Begins a challenge that no code belongs to yet.
    pub(crate) async fn begin(&self, challenge: &Challenge, now: OffsetDateTime) -> Result<(), StoreError> {
        let until = now + Duration::try_from(VALID_FOR).expect("a quarter of an hour fits");
        let update = self
            .update(challenge.key())
            .update_expression("SET #tries = :none, #expires_at = :until")
            .expression_attribute_names("#tries", "tries")
            .expression_attribute_names("#expires_at", store::EXPIRES_AT)
            .expression_attribute_values(":none", store::number(0))
            .expression_attribute_values(":until", store::seconds(until));
        self.carry_out(update).await.map(drop)
    }

    /// What LeadSquared is to recognise its code by.
    pub(crate) async fn fill(&self, challenge: &Challenge, sent: &SentCode) -> Result<(), StoreError> {
        let update = self
            .update(challenge.key())
            .update_expression("SET #sealed = :sealed")
            .expression_attribute_names("#sealed", SEALED)
            .expression_attribute_values(":sealed", AttributeValue::B(Blob::new(challenge.seal(sent))));
        self.carry_out(update).await.map(drop)
    }

    /// Takes one of the tries that a challenge has: what LeadSquared recognises the code by. None if there are no more, or the
    /// challenge is unknown, too old or was never filled.
    pub(crate) async fn try_code(
        &self,
        challenge: &Challenge,
        now: OffsetDateTime,
    ) -> Result<Option<SentCode>, StoreError> {
        let update = self
            .update(challenge.key())
            .update_expression("SET #tries = #tries + :one")
            .condition_expression("#tries < :most AND #expires_at > :now")
            .expression_attribute_names("#tries", "tries")
            .expression_attribute_names("#expires_at", store::EXPIRES_AT)
            .expression_attribute_values(":one", store::number(1))
            .expression_attribute_values(":most", store::number(TRIES))
            .expression_attribute_values(":now", store::seconds(now));
        let item = self.carry_out(update).await?;
        let sealed = item.and_then(|item| item.get(SEALED)?.as_b().ok().cloned());
        Ok(sealed.and_then(|sealed| challenge.open(sealed.into_inner())))
    }

    /// Gives back a try that LeadSquared said nothing about.
    pub(crate) async fn untry_code(&self, challenge: &Challenge) -> Result<(), StoreError> {
        let update = self
            .update(challenge.key())
            .update_expression("SET #tries = #tries - :one")
            .condition_expression("#tries > :none")
            .expression_attribute_names("#tries", "tries")
            .expression_attribute_values(":one", store::number(1))
            .expression_attribute_values(":none", store::number(0));
        self.carry_out(update).await.map(drop)
    }

    /// Ends a challenge whose code was right.
    pub(crate) async fn end(&self, challenge: &Challenge) -> Result<(), StoreError> {
        let update = self
            .update(challenge.key())
            .update_expression("SET #tries = :most REMOVE #sealed")
            .expression_attribute_names("#tries", "tries")
            .expression_attribute_names("#sealed", SEALED)
            .expression_attribute_values(":most", store::number(TRIES));
        self.carry_out(update).await.map(drop)
    }
}

/// What stands for a code that was not sent.
pub(crate) fn decoy(random: [u8; 48], phone: &Phone) -> SentCode {
    SentCode {
        code: CodeChallenge::from(BASE64_STANDARD.encode(random)),
        field_content: CodeRecipient::from(phone.expose()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_challenge_opens_what_belongs_to_it() {
        let challenge = Challenge::new([7; 32]);
        let phone = Phone::parse("+91-9000000001", leadsquared::CallingCode(91)).unwrap();
        let sealed = challenge.seal(&decoy([1; 48], &phone));
        let opened = challenge.open(sealed.clone()).unwrap();
        assert_eq!(opened.field_content.expose(), "+91-9000000001");
        assert_eq!(opened.code.expose().len(), 64);
        assert!(!String::from_utf8_lossy(&sealed).contains("9000000001"));
        assert!(Challenge::new([8; 32]).open(sealed.clone()).is_none());
        for damaged in [sealed[1..].to_vec(), sealed[..sealed.len() - 1].to_vec(), Vec::new()] {
            assert!(challenge.open(damaged).is_none());
        }
    }
}

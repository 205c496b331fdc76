//! One-time codes on their way.
//!
//! LeadSquared recognises a code by a challenge that it gives for known people only. So nobody is given that: everybody gets
//! a random one of ours, and what belongs to it is in the table under its hash. Where LeadSquared gave none there is one that
//! it does not know, so that it is asked about whatever is typed for anybody, and what becomes of that tells of nobody either.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use leadsquared::{CodeChallenge, CodeRecipient, Phone, SentCode};
use time::{Duration, OffsetDateTime};

use crate::store::{self, Item, Store, StoreError};

/// How long a challenge is kept. How long the code itself is good is LeadSquared's business, and not documented.
pub(crate) const VALID_FOR: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// How many codes may be tried with one challenge: of a million possible ones, with the limits on asking for a new one.
const TRIES: i64 = 5;

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
            .update_expression("SET #code = :code, #recipient = :recipient")
            .expression_attribute_names("#code", "challenge")
            .expression_attribute_names("#recipient", "recipient")
            .expression_attribute_values(":code", store::text(sent.code.expose()))
            .expression_attribute_values(":recipient", store::text(sent.field_content.expose()));
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
        Ok(self.carry_out(update).await?.as_ref().and_then(sent_code))
    }

    /// Ends a challenge whose code was right.
    pub(crate) async fn end(&self, challenge: &Challenge) -> Result<(), StoreError> {
        let update = self
            .update(challenge.key())
            .update_expression("SET #tries = :most REMOVE #code, #recipient")
            .expression_attribute_names("#tries", "tries")
            .expression_attribute_names("#code", "challenge")
            .expression_attribute_names("#recipient", "recipient")
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

fn sent_code(item: &Item) -> Option<SentCode> {
    let text = |name| item.get(name)?.as_s().ok().cloned();
    Some(SentCode {
        code: CodeChallenge::from(text("challenge")?),
        field_content: CodeRecipient::from(text("recipient")?),
    })
}

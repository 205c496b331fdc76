//! Challenges: what waits for a code, sealed so that only the browser with the challenge can read it.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use leadsquared::LeadId;
use time::OffsetDateTime;

use crate::item::{EXPIRES_AT, Item, TRIES, hashed, number, seconds};
use crate::owner::{OWNER, Owner};
use crate::{ItemType, Ledger, LedgerError};

/// The attribute with what belongs to a texted code.
const SEALED: &str = "sealed";

/// The attribute with what follows once LeadSquared has accepted the texted code.
const ACCEPTED: &str = "accepted";

/// The sealed content of a challenge.
#[derive(Clone, PartialEq, Eq)]
pub enum ChallengeContent {
    /// A texted code.
    Texted(Vec<u8>),
    /// What follows once LeadSquared has accepted the texted code.
    Accepted(Vec<u8>),
}

/// A challenge is given as its text, of which the table has a hash.
impl Ledger {
    /// Begins a challenge under which nothing waits yet. Whose it is shows later.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn begin_challenge(&self, challenge: &str, until: OffsetDateTime) -> Result<(), LedgerError> {
        let update = self
            .update(pk(challenge))
            .update_expression("SET #tries = :none, #expires_at = :until")
            .expression_attribute_names("#tries", TRIES)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":none", number(0))
            .expression_attribute_values(":until", seconds(until));
        self.carry_out(update).await.map(drop)
    }

    /// Has a challenge wait for a texted code.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn await_text(&self, challenge: &str, texted: Vec<u8>) -> Result<(), LedgerError> {
        let update = self
            .update(pk(challenge))
            .update_expression("SET #sealed = :sealed")
            .expression_attribute_names("#sealed", SEALED)
            .expression_attribute_values(":sealed", AttributeValue::B(Blob::new(texted)));
        self.carry_out(update).await.map(drop)
    }

    /// Has a challenge wait for what follows the texted code, from now on and with all its tries. LeadSquared has said
    /// which lead it is about.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn continue_challenge(
        &self,
        challenge: &str,
        accepted: Vec<u8>,
        lead: &LeadId,
        until: OffsetDateTime,
    ) -> Result<(), LedgerError> {
        let update = self
            .update(pk(challenge))
            .update_expression(
                "SET #tries = :none, #expires_at = :until, #accepted = :accepted, #owner = :owner REMOVE #sealed",
            )
            .expression_attribute_names("#tries", TRIES)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_names("#accepted", ACCEPTED)
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#sealed", SEALED)
            .expression_attribute_values(":none", number(0))
            .expression_attribute_values(":until", seconds(until))
            .expression_attribute_values(":owner", Owner::Lead(*lead).value())
            .expression_attribute_values(":accepted", AttributeValue::B(Blob::new(accepted)));
        self.carry_out(update).await.map(drop)
    }

    /// Takes one of the tries of a challenge, and returns what waits for a code. None if all `tries` are taken, or the
    /// challenge is unknown, too old or was never filled.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. The try may be taken then.
    pub async fn try_challenge(
        &self,
        challenge: &str,
        tries: u32,
        now: OffsetDateTime,
    ) -> Result<Option<ChallengeContent>, LedgerError> {
        let Some(item) = self.take_try(pk(challenge), tries, now).await? else { return Ok(None) };
        let bytes = |name| item.get(name).and_then(|value| value.as_b().ok()).map(|blob| blob.clone().into_inner());
        Ok(bytes(ACCEPTED).map(ChallengeContent::Accepted).or_else(|| bytes(SEALED).map(ChallengeContent::Texted)))
    }

    /// Gives back a try that LeadSquared said nothing about.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn return_challenge_try(&self, challenge: &str) -> Result<(), LedgerError> {
        self.give_try_back(pk(challenge)).await
    }

    /// Ends a challenge whose code was right: all its `tries` are taken, and nothing waits under it.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn end_challenge(&self, challenge: &str, tries: u32) -> Result<(), LedgerError> {
        let update = self
            .update(pk(challenge))
            .update_expression("SET #tries = :most REMOVE #sealed, #accepted")
            .expression_attribute_names("#tries", TRIES)
            .expression_attribute_names("#sealed", SEALED)
            .expression_attribute_names("#accepted", ACCEPTED)
            .expression_attribute_values(":most", number(tries));
        self.carry_out(update).await.map(drop)
    }

    /// Takes one of the tries of an item with a code, and returns the item. None if all `tries` are taken, or the item
    /// is unknown or too old.
    pub(crate) async fn take_try(
        &self,
        pk: String,
        tries: u32,
        now: OffsetDateTime,
    ) -> Result<Option<Item>, LedgerError> {
        let update = self
            .update(pk)
            .update_expression("SET #tries = #tries + :one")
            .condition_expression("#tries < :most AND #expires_at > :now")
            .expression_attribute_names("#tries", TRIES)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":most", number(tries))
            .expression_attribute_values(":now", seconds(now))
            .return_values(ReturnValue::AllNew);
        Ok(self.carry_out_and_return(update).await?.ok())
    }

    /// Gives back a try that showed nothing about the code.
    pub(crate) async fn give_try_back(&self, pk: String) -> Result<(), LedgerError> {
        let update = self
            .update(pk)
            .update_expression("SET #tries = #tries - :one")
            .condition_expression("#tries > :none")
            .expression_attribute_names("#tries", TRIES)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":none", number(0));
        self.carry_out(update).await.map(drop)
    }
}

fn pk(challenge: &str) -> String {
    ItemType::Challenge.key(&hashed(challenge))
}

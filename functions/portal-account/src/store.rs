//! What is remembered from one request to the next, in the ledger's table. No password, code, session key or phone
//! number is in it that could be read without the challenge that only a browser has.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use leadsquared::LeadId;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime, UtcOffset};

/// Whose an item is; by this it is found when the person is to be forgotten.
pub(crate) const LEAD_ID: &str = "lead_id";
pub(crate) const EXPIRES_AT: &str = "expires_at";

pub(crate) type Item = HashMap<String, AttributeValue>;

/// The table.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    table: String,
}

/// DynamoDB did not answer, or not with success.
#[derive(Debug, thiserror::Error)]
#[error(
    "DynamoDB did not carry out the request ({cause}); if this lasts, check the table's name and the function's role"
)]
pub struct StoreError {
    /// DynamoDB's error code, or what happened on the way.
    cause: String,
}

impl Store {
    /// Items in this table, whose key is a text `pk`.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// An update of one item; the caller says of what.
    pub(crate) fn update(&self, pk: String) -> UpdateItemFluentBuilder {
        let update = self.client.update_item().table_name(&self.table).key("pk", AttributeValue::S(pk));
        update.return_values(ReturnValue::AllNew)
    }

    /// Carries it out: the item as it is now, or none if the condition does not hold.
    pub(crate) async fn carry_out(&self, update: UpdateItemFluentBuilder) -> Result<Option<Item>, StoreError> {
        match update.send().await {
            Ok(done) => Ok(done.attributes),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(None),
                _ => Err(StoreError { cause: aws::cause(&error) }),
            },
        }
    }

    /// Keeps an item that says no more than whose it is.
    pub(crate) async fn keep_lead(&self, pk: String, lead: &LeadId, until: OffsetDateTime) -> Result<(), StoreError> {
        let update = self
            .update(pk)
            .update_expression("SET #lead_id = :lead_id, #expires_at = :until")
            .expression_attribute_names("#lead_id", LEAD_ID)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":lead_id", AttributeValue::S(lead.to_string()))
            .expression_attribute_values(":until", seconds(until));
        self.carry_out(update).await.map(drop)
    }

    /// Takes one of the day's text messages. False if there is none left.
    pub async fn take_text(&self, budget: u32, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.take_of_day(texts_key(now), budget, now).await
    }

    /// Takes one of the requests of a network, by a hash of it, that may ask LeadSquared in a day. False if there is none
    /// left.
    pub async fn take_request(&self, network: &[u8], most: u32, now: OffsetDateTime) -> Result<bool, StoreError> {
        let day = now.to_offset(UtcOffset::UTC).date().to_string();
        self.take_of_day(key("requests", [day.as_bytes(), network].concat()), most, now).await
    }

    async fn take_of_day(&self, pk: String, budget: u32, now: OffsetDateTime) -> Result<bool, StoreError> {
        let update = self
            .update(pk)
            .update_expression("ADD #count :one SET #expires_at = :until")
            .condition_expression("attribute_not_exists(#count) OR #count < :budget")
            .expression_attribute_names("#count", "count")
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":budget", number(budget.into()))
            .expression_attribute_values(":until", seconds(now + Duration::days(2)));
        Ok(self.carry_out(update).await?.is_some())
    }

    /// Gives back a text message that was certainly not sent.
    pub async fn give_text_back(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        let update = self
            .update(texts_key(now))
            .update_expression("ADD #count :less")
            .condition_expression("#count > :none")
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":less", number(-1))
            .expression_attribute_values(":none", number(0));
        self.carry_out(update).await.map(drop)
    }

    pub(crate) async fn get(&self, pk: String) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&self.table).key("pk", AttributeValue::S(pk));
        let got = get.consistent_read(true).send().await;
        Ok(got.map_err(|error| StoreError { cause: aws::cause(&error) })?.item)
    }
}

/// The key of the item that counts the text messages of a UTC day.
fn texts_key(now: OffsetDateTime) -> String {
    format!("texts#{}", now.to_offset(UtcOffset::UTC).date())
}

/// The key of the item about a secret, which does not give the secret away.
pub(crate) fn key(kind: &str, secret: impl AsRef<[u8]>) -> String {
    let hash: String = Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}#{hash}")
}

pub(crate) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn seconds(time: OffsetDateTime) -> AttributeValue {
    number(time.unix_timestamp())
}

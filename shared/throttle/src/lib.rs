#![doc = include_str!("../README.md")]

mod key;
mod network;
mod window;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use time::OffsetDateTime;

pub use key::ThrottleKey;
pub use network::Network;
pub use window::Limit;

/// How often a write starts again because others were quicker: each time one of them has got on.
const ATTEMPTS: usize = 20;

const TIMES: &str = "times";
const EXPIRES_AT: &str = "expires_at";

/// Throttles in a DynamoDB table with a text key `pk`.
#[derive(Clone, Debug)]
pub struct Throttle {
    client: Client,
    table: String,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may be done, and has been counted.
    Admitted,
    /// It may not, and has not been counted.
    Refused {
        /// When asking again makes sense: at most a window.
        retry_after: Duration,
    },
}

/// Why nobody can tell whether something may be done.
#[derive(Debug, thiserror::Error)]
pub enum ThrottleError {
    /// DynamoDB did not answer, or not with success.
    #[error(
        "DynamoDB did not carry out the request ({cause}); if this lasts, check the table's name and the function's role"
    )]
    Unavailable {
        /// DynamoDB's error code, or what happened on the way.
        cause: String,
    },
    /// Others were quicker each time.
    #[error("too many ask at once about the same thing")]
    Contended,
    /// An item is not as this code writes them.
    #[error("a throttle's item in the table has no usable attribute {attribute}; delete the item {pk}")]
    Corrupt {
        /// The item's key; it names nobody.
        pk: String,
        /// The attribute that is missing or of the wrong type.
        attribute: &'static str,
    },
}

/// When a key's admissions were, in Unix milliseconds, as the item has them.
type Times = Vec<i64>;

impl Throttle {
    /// The throttles in this table.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Takes a place among the `limit` of this key, if there is one. Of any number that ask at once only as many get one
    /// as there are; a repeat takes another.
    ///
    /// # Errors
    /// When DynamoDB does not say. A place may have been taken then.
    pub async fn admit(
        &self,
        key: &ThrottleKey,
        limit: Limit,
        now: OffsetDateTime,
    ) -> Result<Admission, ThrottleError> {
        if limit.count == 0 {
            return Ok(Admission::Refused { retry_after: limit.window });
        }
        for _ in 0..ATTEMPTS {
            let Err(taken) = self.append(key, limit, now).await? else { return Ok(Admission::Admitted) };
            match limit.slide(&taken, milliseconds(now)) {
                Err(retry_after) => return Ok(Admission::Refused { retry_after }),
                Ok(times) if self.replace(key, limit, &taken, &times, now).await? => return Ok(Admission::Admitted),
                Ok(_) => {}
            }
        }
        Err(ThrottleError::Contended)
    }

    /// Gives back the place that was taken at this moment: what it was taken for turned out not to count. Nothing is done
    /// where there is none.
    ///
    /// # Errors
    /// When DynamoDB does not say. The place may still be taken then, until its window has passed.
    pub async fn give_back(&self, key: &ThrottleKey, at: OffsetDateTime) -> Result<(), ThrottleError> {
        let pk = key.pk();
        let item = self.client.get_item().table_name(&self.table).key("pk", AttributeValue::S(pk.clone()));
        let item = item.consistent_read(true).send().await;
        let item = item.map_err(|error| ThrottleError::Unavailable { cause: aws::cause(&error) })?.item;
        let mut taken = read(&pk, &item.unwrap_or_default())?;
        for _ in 0..ATTEMPTS {
            let Some(place) = taken.iter().rposition(|time| *time == milliseconds(at)) else { return Ok(()) };
            let update = self
                .update(&pk)
                .update_expression(format!("REMOVE #times[{place}]"))
                .condition_expression(format!("#times[{place}] = :at"))
                .expression_attribute_values(":at", number(milliseconds(at)));
            match self.carry_out(&pk, update).await? {
                Ok(()) => return Ok(()),
                Err(others) => taken = others,
            }
        }
        Err(ThrottleError::Contended)
    }

    /// Takes a place that nobody ever had; those that are taken, if there is none.
    async fn append(
        &self,
        key: &ThrottleKey,
        limit: Limit,
        now: OffsetDateTime,
    ) -> Result<Result<(), Times>, ThrottleError> {
        let pk = key.pk();
        let update = self
            .update(&pk)
            .update_expression(
                "SET #times = list_append(if_not_exists(#times, :none), :now), #expires_at = :expires_at",
            )
            .condition_expression("attribute_not_exists(#times) OR size(#times) < :count")
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":none", list(&[]))
            .expression_attribute_values(":now", list(&[milliseconds(now)]))
            .expression_attribute_values(":count", number(limit.count.into()))
            .expression_attribute_values(":expires_at", expiry(limit, now));
        self.carry_out(&pk, update).await
    }

    /// Writes down who has a place now, if they were `taken` as was seen. Whether they were.
    async fn replace(
        &self,
        key: &ThrottleKey,
        limit: Limit,
        taken: &[i64],
        times: &[i64],
        now: OffsetDateTime,
    ) -> Result<bool, ThrottleError> {
        let pk = key.pk();
        let update = self
            .update(&pk)
            .update_expression("SET #times = :times, #expires_at = :expires_at")
            .condition_expression("#times = :taken")
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":times", list(times))
            .expression_attribute_values(":taken", list(taken))
            .expression_attribute_values(":expires_at", expiry(limit, now));
        Ok(self.carry_out(&pk, update).await?.is_ok())
    }

    fn update(&self, pk: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(pk.to_owned()))
            .expression_attribute_names("#times", TIMES)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    /// The times that stand in the way of an update, if they do.
    async fn carry_out(&self, pk: &str, update: UpdateItemFluentBuilder) -> Result<Result<(), Times>, ThrottleError> {
        let Err(error) = update.send().await else { return Ok(Ok(())) };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                failed.item().map_or(Ok(Times::new()), |item| read(pk, item)).map(Err)
            }
            _ => Err(ThrottleError::Unavailable { cause: aws::cause(&error) }),
        }
    }
}

/// The times in an item; none in one that does not have them.
fn read(pk: &str, item: &HashMap<String, AttributeValue>) -> Result<Times, ThrottleError> {
    let corrupt = || ThrottleError::Corrupt { pk: pk.to_owned(), attribute: TIMES };
    let Some(times) = item.get(TIMES) else { return Ok(Times::new()) };
    let times = times.as_l().map_err(|_| corrupt())?;
    times.iter().map(|time| time.as_n().ok()?.parse().ok()).collect::<Option<_>>().ok_or_else(corrupt)
}

fn list(times: &[i64]) -> AttributeValue {
    AttributeValue::L(times.iter().copied().map(number).collect())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn milliseconds(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1000 + i64::from(time.millisecond())
}

/// When nothing of this moment counts any more.
fn expiry(limit: Limit, now: OffsetDateTime) -> AttributeValue {
    let seconds = i64::try_from(limit.window.as_secs()).unwrap_or(i64::MAX);
    number(now.unix_timestamp().saturating_add(seconds).saturating_add(1))
}

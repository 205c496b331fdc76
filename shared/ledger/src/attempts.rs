//! Attempts that count against a sliding window: admitted while there is room, and given back where nothing came of
//! one.
//!
//! An item has the times of one window's attempts, nine bytes each, so this is for limits of up to a few hundred. What
//! is refused is not counted: a caller that keeps asking is refused for no longer than the window.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use throttle::{AttemptLimit, Decision, ThrottleKey};
use time::OffsetDateTime;

use crate::item::{EXPIRES_AT, Item, Reader, milliseconds, number, seconds};
use crate::owner::{OWNER, Owner};
use crate::{ItemType, Ledger, LedgerError};

/// How often a write starts again because others were quicker: each time one of them has made progress.
const ATTEMPTS: usize = 20;

const TIMES: &str = "times";

/// When a key's attempts were admitted, in Unix milliseconds, as the item has them.
type Times = Vec<i64>;

impl Ledger {
    /// Takes a place among the `limit` of this key, if there is one. Of any number that ask at once only as many get
    /// one as there are; a repeat takes another. The item belongs to `owner`, where the key is about one person.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. A place may have been taken then.
    pub async fn admit_attempt(
        &self,
        key: &ThrottleKey,
        owner: Option<&Owner>,
        limit: AttemptLimit,
        now: OffsetDateTime,
    ) -> Result<Decision, LedgerError> {
        self.admit(&Attempts { pk: pk(key), owner, limit, places: 1, now }).await
    }

    /// The same for an attempt that takes several places: it gets all of them or none.
    ///
    /// # Errors
    /// As for [`admit_attempt`](Self::admit_attempt).
    pub async fn admit_attempt_of(
        &self,
        places: u32,
        key: &ThrottleKey,
        limit: AttemptLimit,
        now: OffsetDateTime,
    ) -> Result<Decision, LedgerError> {
        self.admit(&Attempts { pk: pk(key), owner: None, limit, places, now }).await
    }

    async fn admit(&self, item: &Attempts<'_>) -> Result<Decision, LedgerError> {
        let Attempts { limit, places, now, .. } = *item;
        // All places are free if the first of them is within the limit less the others.
        let Some(count) = limit.count.checked_sub(places.saturating_sub(1)).filter(|count| *count > 0) else {
            return Ok(Decision::Refused { retry_after: limit.window });
        };
        let first = AttemptLimit { count, ..limit };
        for _ in 0..ATTEMPTS {
            let Err(taken) = self.append_attempt(item, first).await? else { return Ok(Decision::Admitted) };
            let mut times = match first.slide(&taken, milliseconds(now)) {
                Err(retry_after) => return Ok(Decision::Refused { retry_after }),
                Ok(times) => times,
            };
            times.extend((1..places).map(|_| milliseconds(now)));
            if self.replace_attempts(item, &taken, &times).await? {
                return Ok(Decision::Admitted);
            }
        }
        Err(LedgerError::Contended)
    }

    /// Gives back the place that was taken at this moment: what it was taken for turned out not to count. Does nothing
    /// where there is none.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. The place may then stay taken until its
    /// window has passed.
    pub async fn give_attempt_back(&self, key: &ThrottleKey, at: OffsetDateTime) -> Result<(), LedgerError> {
        let pk = pk(key);
        let mut taken = times(&pk, &self.read(&pk).await?.unwrap_or_default())?;
        for _ in 0..ATTEMPTS {
            let Some(place) = taken.iter().rposition(|time| *time == milliseconds(at)) else { return Ok(()) };
            let update = self
                .update_times(&pk)
                .update_expression(format!("REMOVE #times[{place}]"))
                .condition_expression(format!("#times[{place}] = :at"))
                .expression_attribute_values(":at", number(milliseconds(at)));
            match self.carry_out(update).await? {
                None => return Ok(()),
                Some(others) => taken = times(&pk, &others)?,
            }
        }
        Err(LedgerError::Contended)
    }

    /// Takes places that were never taken before, if the first of them is within this limit. Otherwise returns the
    /// times of the taken places.
    async fn append_attempt(&self, item: &Attempts<'_>, first: AttemptLimit) -> Result<Result<(), Times>, LedgerError> {
        let places: Times = (0..item.places).map(|_| milliseconds(item.now)).collect();
        let update = self
            .written(item, "SET #times = list_append(if_not_exists(#times, :none), :now), #expires_at = :expires_at")
            .condition_expression("attribute_not_exists(#times) OR size(#times) < :count")
            .expression_attribute_values(":none", list(&[]))
            .expression_attribute_values(":now", list(&places))
            .expression_attribute_values(":count", number(first.count));
        match self.carry_out(update).await? {
            None => Ok(Ok(())),
            Some(others) => times(&item.pk, &others).map(Err),
        }
    }

    /// Writes the places that are taken now, if `taken` is still what the item has. Whether it was.
    async fn replace_attempts(&self, item: &Attempts<'_>, taken: &[i64], times: &[i64]) -> Result<bool, LedgerError> {
        let update = self
            .written(item, "SET #times = :times, #expires_at = :expires_at")
            .condition_expression("#times = :taken")
            .expression_attribute_values(":times", list(times))
            .expression_attribute_values(":taken", list(taken));
        Ok(self.carry_out(update).await?.is_none())
    }

    /// A write after which the item lasts as long as its newest attempt counts.
    fn written(&self, item: &Attempts<'_>, expression: &str) -> UpdateItemFluentBuilder {
        let update = self
            .update_times(&item.pk)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(
                ":expires_at",
                seconds(item.now + item.limit.window + std::time::Duration::from_secs(1)),
            );
        match item.owner {
            None => update.update_expression(expression),
            Some(owner) => update
                .update_expression(format!("{expression}, #owner = :owner"))
                .expression_attribute_names("#owner", OWNER)
                .expression_attribute_values(":owner", owner.value()),
        }
    }

    fn update_times(&self, pk: &str) -> UpdateItemFluentBuilder {
        self.update(pk.to_owned())
            .expression_attribute_names("#times", TIMES)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

/// An attempt to be counted.
struct Attempts<'a> {
    pk: String,
    owner: Option<&'a Owner>,
    limit: AttemptLimit,
    /// How many places it takes.
    places: u32,
    now: OffsetDateTime,
}

fn pk(key: &ThrottleKey) -> String {
    ItemType::Attempts.key(&key.hash())
}

/// The times in an item; none in one that does not have them.
fn times(pk: &str, item: &Item) -> Result<Times, LedgerError> {
    let Some(times) = item.get(TIMES) else { return Ok(Times::new()) };
    let times = times
        .as_l()
        .ok()
        .and_then(|times| times.iter().map(|time| time.as_n().ok()?.parse().ok()).collect::<Option<_>>());
    times.ok_or_else(|| Reader { pk: pk.to_owned(), item }.corrupt(TIMES))
}

fn list(times: &[i64]) -> AttributeValue {
    AttributeValue::L(times.iter().copied().map(number).collect())
}

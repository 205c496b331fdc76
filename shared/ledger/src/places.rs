//! How much a sender, a person or a mailbox may send: the counters and places that intake takes before the queue.
//!
//! A sender's counter is one hot item: it is written with plain conditional updates and never in a transaction, so
//! that a crowd from one sender never collides. The places of a person are many cold items, which one transaction
//! takes together.

use std::fmt::Write as _;
use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use time::OffsetDateTime;

use crate::item::{
    EXPIRES_AT, INVITATIONS_KEPT, Item, Reader, mark_key, milliseconds, number, places_key, seconds, sender_key, text,
};
use crate::owner::{OWNER, Owner};
use crate::{FAILED, Ledger, LedgerError, update_write};

/// The number of tries to return a place while other requests take and return theirs.
const ATTEMPTS: usize = 5;

/// For how long a repeat of an application that went to the queue is not counted. Not longer than a place is taken,
/// because the queue knows a repeat for five minutes only.
const REPEATS_KNOWN: time::Duration = time::Duration::hours(1);

/// The counters of a sender on one UTC day, in one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderCounter {
    /// A hash of the sender and the day, in hexadecimal.
    pub hash: String,
    /// When the item may be deleted.
    pub expires_at: OffsetDateTime,
}

/// The limit of one of a sender's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterLimit {
    /// The counter's name.
    pub name: String,
    /// The increment.
    pub by: u32,
    /// Its largest value.
    pub most: u32,
}

/// The attributes of a mark: the hash of its application, and the time until which a repeat is recognised.
const PAYLOAD: &str = "payload";
const UNTIL: &str = "until";

/// The name of the counter of a sender's held applications.
const HELD: &str = "held";

/// The result of counting what a sender did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterResult {
    /// The position of the first limit that would have been exceeded; nothing was counted then.
    pub over: Option<usize>,
    /// How many of the sender's applications are held.
    pub held: u32,
}

/// The limit on the applications with the same hash, in any period of the window's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedLimit {
    /// A hash of what is counted together, in hexadecimal.
    pub hash: String,
    /// The number of places: 1 to [`KeyedLimit::MOST`].
    pub count: u32,
    /// How long each place is taken.
    pub window: Duration,
}

impl KeyedLimit {
    /// The most places that an item can have: DynamoDB's expressions are at most 4 KB long.
    pub const MOST: u32 = 100;
}

/// The mark of an application, by which a repeat and another application with the same id are recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationMarker {
    /// A hash of the id, in hexadecimal.
    pub hash: String,
    /// A hash of the application's content, in hexadecimal.
    pub payload: String,
    /// Whose application it is. The places that it takes belong to the same person.
    pub owner: Owner,
}

/// The result of taking places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacesResult {
    /// All are taken, and the application is marked.
    All,
    /// Another application is marked under the same id: nothing was taken.
    OtherPayload,
    /// The application is marked already: nothing was taken.
    Repeat {
        /// Whether it is held.
        is_held: bool,
    },
    /// A limit has no free place: nothing was taken.
    Full {
        /// The position of the first such limit.
        first: usize,
        /// The time until it has one.
        retry_after: Duration,
    },
    /// Other requests wrote the same items each time: nothing was taken.
    Contended,
}

impl Ledger {
    /// Counts what a sender did, unless one of its limits would be exceeded.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. It may have been counted then.
    pub async fn count_sender(
        &self,
        sender: &SenderCounter,
        bounds: &[CounterLimit],
    ) -> Result<CounterResult, LedgerError> {
        let mut condition = Vec::new();
        for (n, bound) in bounds.iter().enumerate() {
            let limit = format!("#b{n} <= :m{n}");
            // If not even the first one fits, an absent counter must not admit it.
            condition.push(match bound.by <= bound.most {
                true => format!("(attribute_not_exists(#b{n}) OR {limit})"),
                false => limit,
            });
        }
        let mut update = self.add_to_counters(sender, bounds, 1).condition_expression(condition.join(" AND "));
        for (n, bound) in bounds.iter().enumerate() {
            update = update
                .expression_attribute_values(format!(":m{n}"), number(i64::from(bound.most) - i64::from(bound.by)));
        }
        let update = update
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let (item, over) = match self.carry_out_and_return(update).await? {
            Ok(item) => (item, false),
            Err(item) => (item, true),
        };
        let item = Reader { pk: sender_key(&sender.hash), item: &item };
        let is_over = |bound: &CounterLimit| item.counter(&bound.name) + i64::from(bound.by) > i64::from(bound.most);
        let first = || bounds.iter().position(is_over).unwrap_or_default();
        Ok(CounterResult { over: over.then(first), held: u32::try_from(item.counter(HELD)).unwrap_or(u32::MAX) })
    }

    /// Takes back what was counted, and counts a held application instead if there are fewer than `held_most`. Whether
    /// it did.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn uncount_sender(
        &self,
        sender: &SenderCounter,
        bounds: &[CounterLimit],
        held_most: Option<u32>,
    ) -> Result<bool, LedgerError> {
        let mut update = self.add_to_counters(sender, bounds, -1);
        if let Some(most) = held_most {
            let mut adds = adds(bounds.len());
            let _ = write!(adds, "{}#held :held", if bounds.is_empty() { "" } else { ", " });
            update = update
                .update_expression(expression(&adds))
                .condition_expression("attribute_not_exists(#held) OR #held < :most")
                .expression_attribute_names("#held", HELD)
                .expression_attribute_values(":held", number(1))
                .expression_attribute_values(":most", number(most));
        }
        Ok(self.carry_out(update).await?.is_none())
    }

    /// An update that adds the increment of each of these limits, times `sign`, to its counter.
    fn add_to_counters(&self, sender: &SenderCounter, bounds: &[CounterLimit], sign: i64) -> UpdateItemFluentBuilder {
        let mut update = self
            .update(sender_key(&sender.hash))
            .update_expression(expression(&adds(bounds.len())))
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":expires_at", seconds(sender.expires_at));
        for (n, bound) in bounds.iter().enumerate() {
            update = update
                .expression_attribute_names(format!("#b{n}"), &bound.name)
                .expression_attribute_values(format!(":b{n}"), number(sign * i64::from(bound.by)));
        }
        update
    }

    /// Takes a place of each of these and marks the application; or does neither.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. The places may be taken then.
    pub async fn take_places(
        &self,
        places: &[KeyedLimit],
        mark: &ApplicationMarker,
        now: OffsetDateTime,
    ) -> Result<PlacesResult, LedgerError> {
        let mut writes: Vec<_> = places.iter().map(|places| self.take_place(places, &mark.owner, now)).collect();
        writes.push(self.mark(mark, false, now, now + REPEATS_KNOWN));
        let reasons = match self.transact(writes).await {
            Ok(Ok(())) => return Ok(PlacesResult::All),
            Ok(Err(reasons)) => reasons,
            Err(LedgerError::Contended) => return Ok(PlacesResult::Contended),
            Err(error) => return Err(error),
        };
        let failed = |reason: &CancellationReason| reason.code() == Some(FAILED);
        if let Some(marked) = reasons.get(places.len()).filter(|reason| failed(reason)) {
            if mark.is_other(marked) {
                return Ok(PlacesResult::OtherPayload);
            }
            let is_held = marked.item().is_some_and(|item| item.contains_key(HELD));
            return Ok(PlacesResult::Repeat { is_held });
        }
        // Others collided only with the last of several writes: none of them is full.
        let Some(first) = reasons.iter().position(failed) else { return Ok(PlacesResult::Contended) };
        let (places, empty) = (&places[first], Item::new());
        let item = Reader { pk: places_key(&places.hash), item: reasons[first].item().unwrap_or(&empty) };
        let oldest = item.counter(&slot(places.count - 1));
        let free_at = oldest.saturating_add(i64::try_from(places.window.as_millis()).unwrap_or(i64::MAX));
        let wait = free_at.saturating_sub(milliseconds(now)).max(0).unsigned_abs();
        Ok(PlacesResult::Full { first, retry_after: Duration::from_millis(wait).min(places.window) })
    }

    /// The newest place is in slot 0, and every other one moves on: what falls out at the end is the oldest. If that
    /// is older than the window, there were fewer than `count` in it. One write, without a look at the item first.
    fn take_place(&self, places: &KeyedLimit, owner: &Owner, now: OffsetDateTime) -> TransactWriteItem {
        let last = places.count.clamp(1, KeyedLimit::MOST) - 1;
        let mut moved = format!("SET {} = :now", slot(0));
        for n in 1..=last {
            let _ = write!(moved, ", {} = if_not_exists({}, :none)", slot(n), slot(n - 1));
        }
        let begin = milliseconds(now).saturating_sub(i64::try_from(places.window.as_millis()).unwrap_or(i64::MAX));
        let expiry = now + places.window + Duration::from_secs(1);
        let mut update = self
            .transact_update(places_key(&places.hash))
            .update_expression(format!("{moved}, #owner = :owner, #expires_at = :expires_at"))
            .condition_expression(format!("attribute_not_exists({0}) OR {0} <= :begin", slot(last)))
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":owner", owner.value())
            .expression_attribute_values(":now", number(milliseconds(now)))
            .expression_attribute_values(":begin", number(begin))
            .expression_attribute_values(":expires_at", seconds(expiry))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if last > 0 {
            update = update.expression_attribute_values(":none", number(0));
        }
        update_write(update)
    }

    /// Marks an application until a time. Its id must have no mark, or an expired one. To hold the application, the
    /// mark of a held one also serves.
    pub(crate) fn mark(
        &self,
        mark: &ApplicationMarker,
        is_held: bool,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> TransactWriteItem {
        const SET: &str = "SET #until = :until, #expires_at = :expires_at, #payload = :payload, #owner = :owner";
        const FREE: &str = "attribute_not_exists(#until) OR (#until <= :now AND #payload = :payload)";
        let update = self
            .transact_update(mark_key(&mark.hash))
            .expression_attribute_names("#until", UNTIL)
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_names("#payload", PAYLOAD)
            .expression_attribute_names("#held", HELD)
            .expression_attribute_values(":owner", mark.owner.value())
            .expression_attribute_values(":payload", text(&mark.payload))
            .expression_attribute_values(":until", seconds(until))
            .expression_attribute_values(":expires_at", seconds(until.max(now + INVITATIONS_KEPT)))
            .expression_attribute_values(":now", seconds(now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let update = match is_held {
            false => update.update_expression(format!("{SET} REMOVE #held")).condition_expression(FREE),
            true => update
                .update_expression(format!("{SET}, #held = :held"))
                .expression_attribute_values(":held", AttributeValue::Bool(true))
                .condition_expression(format!("{FREE} OR attribute_exists(#held)")),
        };
        update_write(update)
    }

    /// Gives back what [`take_places`](Self::take_places) took at this moment, the mark included.
    ///
    /// # Errors
    /// When DynamoDB does not say, for the first of them. They may still be taken then, until their windows have
    /// passed.
    pub async fn give_places_back(
        &self,
        places: &[KeyedLimit],
        mark: &ApplicationMarker,
        at: OffsetDateTime,
    ) -> Result<(), LedgerError> {
        let unmark = self
            .update(mark_key(&mark.hash))
            .update_expression("SET #expires_at = :at REMOVE #until, #payload")
            .condition_expression("attribute_not_exists(#held)")
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_names("#until", UNTIL)
            .expression_attribute_names("#payload", PAYLOAD)
            .expression_attribute_names("#held", HELD)
            .expression_attribute_values(":at", seconds(at));
        let all = futures::future::join_all(places.iter().map(|places| self.give_place_back(places, at)));
        let (unmarked, given) = futures::future::join(self.carry_out(unmark), all).await;
        unmarked?;
        given.into_iter().collect()
    }

    async fn give_place_back(&self, places: &KeyedLimit, at: OffsetDateTime) -> Result<(), LedgerError> {
        let (last, mut position) = (places.count.clamp(1, KeyedLimit::MOST) - 1, 0);
        for _ in 0..ATTEMPTS {
            let mut moved = String::from("SET ");
            for n in position..last {
                let _ = write!(moved, "{} = if_not_exists({}, :none), ", slot(n), slot(n + 1));
            }
            let update = self
                .update(places_key(&places.hash))
                .update_expression(format!("{moved}{} = :none", slot(last)))
                .condition_expression(format!("{} = :at", slot(position)))
                .expression_attribute_values(":none", number(0))
                .expression_attribute_values(":at", number(milliseconds(at)))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let Some(item) = self.carry_out(update).await? else { return Ok(()) };
            let item = Reader { pk: places_key(&places.hash), item: &item };
            // Others took places since: it has moved on.
            let Some(found) = (0..=last).find(|n| item.counter(&slot(*n)) == milliseconds(at)) else { return Ok(()) };
            position = found;
        }
        Err(LedgerError::Contended)
    }
}

impl ApplicationMarker {
    /// Whether the existing mark is that of another application.
    pub(crate) fn is_other(&self, marked: &CancellationReason) -> bool {
        let payload = marked.item().and_then(|item| item.get(PAYLOAD)?.as_s().ok());
        payload.is_some_and(|payload| *payload != self.payload)
    }
}

impl Reader<'_> {
    /// A number of a counter, which an item need not have.
    fn counter(&self, attribute: &str) -> i64 {
        self.item.get(attribute).and_then(|value| value.as_n().ok()?.parse().ok()).unwrap_or_default()
    }
}

fn expression(adds: &str) -> String {
    format!("ADD {adds} SET #expires_at = :expires_at")
}

fn adds(bounds: usize) -> String {
    (0..bounds).map(|n| format!("#b{n} :b{n}")).collect::<Vec<_>>().join(", ")
}

/// The attribute of a place: no word of DynamoDB's.
fn slot(n: u32) -> String {
    format!("n{n}")
}

#![doc = include_str!("../../rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod allowance;
mod attempts;
mod budgets;
mod challenges;
mod held;
mod hold;
mod invitation_status;
mod item;
mod item_type;
mod links;
mod owner;
mod places;
mod restore;
mod scan;
mod sign_in_record;
mod sign_ins;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use leadsquared::LeadId;
use onboarding::{
    Claim, Invitation, LastSuccesses, Lease, LinkTarget, MailHistory, MailReservation, Outcome, PersonKey, Record,
    Success,
};
use time::{Date, OffsetDateTime};

use crate::budgets::rule_lookups_key;
use crate::item::{
    ACCEPTED, Condition, EXPIRES_AT, Item, LEADS_KEPT, MAILS_KEPT, REDUCED, REDUCED_AT, Reader, State, begun_mails,
    count_key, counts_expire, invitation_item, lead_key, link_item, mails_key, mark_word, number, person_key,
    placeholders, seconds, text,
};
use crate::owner::OWNER;

pub use challenges::ChallengeContent;
pub use held::{Held, HeldDecision, HeldMessage, HeldWaiting};
pub use hold::{HELD_FOR, Hold, HoldOutcome};
pub use invitation_status::InvitationStatus;
pub use item::milliseconds;
pub use item_type::{BelongsTo, ItemType};
pub use links::StoredLink;
pub use owner::{MalformedOwner, OwnedItem, Owner};
pub use places::{ApplicationMarker, CounterLimit, CounterResult, KeyedLimit, PlacesResult, SenderCounter};
pub use restore::Restored;
pub use sign_in_record::{Registered, SignInRecord};

/// The number of tries of a transaction that collides with another one on the same items. The others are those of other
/// workers on a day's counts; each takes a few milliseconds.
const TRANSACTION_ATTEMPTS: usize = 10;

/// The ledger in a DynamoDB table.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Client,
    table: String,
}

/// Does this work with the ledger, or fails when it takes longer than `limit`.
///
/// # Errors
/// The work's own error, or [`LedgerError::Unavailable`] when there is no answer in time.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
    let late = |_| Err(LedgerError::Unavailable { cause: "no answer in time".to_owned() });
    tokio::time::timeout(limit, work).await.unwrap_or_else(late)
}

/// Why the ledger could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another attempt took the invitation over because this one was out of time. Nothing was written.
    #[error("the claim ran out and another attempt has it now")]
    ClaimLost,
    /// Other requests wrote the same item each time. Nothing was written.
    #[error("too many requests wrote the same item at once")]
    Contended,
    /// DynamoDB did not answer, or not with success.
    #[error(
        "DynamoDB did not carry out the request ({cause}); if this lasts, check the table's name and the function's role"
    )]
    Unavailable {
        /// DynamoDB's error code, or what happened on the way. It holds no part of an item.
        cause: String,
    },
    /// An item is not as this code writes them.
    #[error("the ledger's item {pk} has no usable attribute {attribute}")]
    Corrupt {
        /// The item's key; it names no person.
        pk: String,
        /// The attribute that is missing or of the wrong type.
        attribute: &'static str,
    },
}

impl LedgerError {
    pub(crate) fn unavailable<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Self {
        Self::Unavailable { cause: aws::cause(error) }
    }

    /// The item for which the condition of a write did not hold, if the write requested it. Any other failure is
    /// returned as the error.
    pub(crate) fn unmet_condition<E: Conditional + ProvideErrorMetadata, R>(
        error: SdkError<E, R>,
    ) -> Result<Option<Item>, Self> {
        match error.as_service_error().and_then(E::unmet) {
            Some(unmet) => Ok(unmet.item().cloned()),
            None => Err(Self::unavailable(&error)),
        }
    }

    /// Whether the table is there and was asked for more than it permits, perhaps on purpose.
    pub fn is_throttled(&self) -> bool {
        const CODES: [&str; 4] = ["Throttl", "ProvisionedThroughputExceeded", "RequestLimitExceeded", CONFLICT];
        match self {
            Self::Unavailable { cause } => CODES.iter().any(|code| cause.contains(code)),
            Self::Contended => true,
            Self::ClaimLost | Self::Corrupt { .. } => false,
        }
    }

    /// Whether it lasts until an operator changes something: the table is not there or not permitted, or an item is
    /// broken.
    pub fn is_for_operator(&self) -> bool {
        match self {
            Self::ClaimLost | Self::Contended => false,
            Self::Unavailable { cause } => aws::is_for_operator(cause),
            Self::Corrupt { .. } => true,
        }
    }
}

/// The error of a write that can carry a condition.
pub(crate) trait Conditional {
    /// What DynamoDB says when the condition does not hold.
    fn unmet(&self) -> Option<&ConditionalCheckFailedException>;
}

impl Conditional for PutItemError {
    fn unmet(&self) -> Option<&ConditionalCheckFailedException> {
        match self {
            Self::ConditionalCheckFailedException(unmet) => Some(unmet),
            _ => None,
        }
    }
}

impl Conditional for UpdateItemError {
    fn unmet(&self) -> Option<&ConditionalCheckFailedException> {
        match self {
            Self::ConditionalCheckFailedException(unmet) => Some(unmet),
            _ => None,
        }
    }
}

/// The invitations that were accepted on one day, and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many there are, each receipt once.
    pub accepted: u64,
    /// How many ended how, by the outcome's name; every name is there.
    pub ended: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// How many have no outcome yet.
    pub fn under_way(&self) -> u64 {
        self.accepted.saturating_sub(self.ended.values().sum())
    }
}

impl Ledger {
    /// The ledger in this table.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Opens the connection to DynamoDB, without a call.
    pub async fn connect(&self) {
        let Some(client) = self.client.config().http_client() else { return };
        let only_connecting = aws_sdk_dynamodb::Config::builder().http_client(aws::only_connecting(client));
        let update = self.update("never#written".to_owned());
        // It always fails.
        let _ = update.customize().config_override(only_connecting).send().await;
    }

    /// Writes an item if the condition holds. Otherwise returns the existing item.
    ///
    /// An equal item counts as written: the SDK repeats a write whose answer was late.
    async fn put(&self, item: Item, condition: &Condition) -> Result<Result<(), Item>, LedgerError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item.clone()))
            .condition_expression(condition.expression)
            .set_expression_attribute_names(Some(condition.names()))
            // DynamoDB refuses a map that is there and empty.
            .set_expression_attribute_values(Some(condition.values.clone()).filter(|values| !values.is_empty()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else { return Ok(Ok(())) };
        let old = LedgerError::unmet_condition(error)?.unwrap_or_default();
        Ok(if old == item { Ok(()) } else { Err(old) })
    }

    /// An update of one item.
    fn update(&self, pk: String) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.table).key("pk", text(&pk))
    }

    /// An update of one item within a transaction; [`update_write`] completes it.
    fn transact_update(&self, pk: String) -> UpdateBuilder {
        Update::builder().table_name(&self.table).key("pk", text(&pk))
    }

    /// Carries an update out; the item that did not fulfil its condition, as far as the update asks for it.
    async fn carry_out(&self, update: UpdateItemFluentBuilder) -> Result<Option<Item>, LedgerError> {
        Ok(self.carry_out_and_return(update).await?.err())
    }

    /// The same; the attributes that the update asks for, if its condition holds.
    async fn carry_out_and_return(&self, update: UpdateItemFluentBuilder) -> Result<Result<Item, Item>, LedgerError> {
        match update.send().await {
            Ok(done) => Ok(Ok(done.attributes.unwrap_or_default())),
            Err(error) => Ok(Err(LedgerError::unmet_condition(error)?.unwrap_or_default())),
        }
    }

    /// Carries out all of the writes; or none, and why for each of them.
    ///
    /// The SDK gives each transaction a token, by which DynamoDB knows a repeat of it for ten minutes
    /// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html>).
    async fn transact(
        &self,
        writes: Vec<TransactWriteItem>,
    ) -> Result<Result<(), Vec<CancellationReason>>, LedgerError> {
        for _ in 0..TRANSACTION_ATTEMPTS {
            let transaction = self.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let Err(error) = transaction.send().await else { return Ok(Ok(())) };
            let reasons = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    cancelled.cancellation_reasons()
                }
                _ => return Err(LedgerError::unavailable(&error)),
            };
            let other =
                reasons.iter().filter_map(CancellationReason::code).find(|code| !["None", CONFLICT].contains(code));
            match other {
                Some(FAILED) => return Ok(Err(reasons.to_vec())),
                Some(code) => return Err(LedgerError::Unavailable { cause: code.to_owned() }),
                None => {}
            }
        }
        Err(LedgerError::Contended)
    }

    fn put_if(&self, item: Item, condition: Condition) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition.expression)
            .set_expression_attribute_names(Some(condition.names()))
            .set_expression_attribute_values(Some(condition.values).filter(|values| !values.is_empty()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        TransactWriteItem::builder().put(put.build().expect("a table and an item are set")).build()
    }

    /// Adds to the `count` of an item, which need not be there.
    fn add(&self, pk: String, by: i64, expire: OffsetDateTime, below: Option<u32>) -> TransactWriteItem {
        let update = self
            .transact_update(pk)
            .update_expression("ADD #count :by SET #expires_at = :expires_at")
            .expression_attribute_names("#count", "count")
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":by", number(by))
            .expression_attribute_values(":expires_at", seconds(expire));
        update_write(match below {
            None => update,
            Some(below) => update
                .condition_expression("attribute_not_exists(#count) OR #count < :below")
                .expression_attribute_values(":below", number(below)),
        })
    }

    fn count(&self, invitation: &Invitation, name: &str, by: i64) -> TransactWriteItem {
        let day = day(invitation.received_at);
        self.add(count_key(day, name), by, counts_expire(day), None)
    }

    /// Shows the account's other invitations on this day that LeadSquared works: what it did in an attempt that began
    /// at this time.
    fn last_successes(&self, record: &Record, is_mailed: bool, at: OffsetDateTime) -> Option<TransactWriteItem> {
        let success = record.success.map(|success| match success {
            Success::LookedUp => "looked_up_at",
            Success::Registered => "registered_at",
        });
        let names: Vec<&str> = success.into_iter().chain(is_mailed.then_some("mailed_at")).collect();
        if names.is_empty() {
            return None;
        }
        let day = day(at);
        let times: String = names.iter().map(|name| format!("#{name} = :at, ")).collect();
        let update = self
            .transact_update(mails_key(day))
            .update_expression(format!("SET {times}#expires_at = :expires_at"))
            .set_expression_attribute_names(Some(placeholders(&[&names[..], &[EXPIRES_AT]].concat())))
            .expression_attribute_values(":at", number(milliseconds(at)))
            .expression_attribute_values(":expires_at", seconds(counts_expire(day)));
        Some(update_write(update))
    }

    /// Remembers since when a lead is registered with the portal through us, if an attempt registered it, and what
    /// became of the mark of its identifiers. The first registration counts: what it left unmarked stays so.
    fn registration(&self, record: &Record, at: OffsetDateTime) -> Option<TransactWriteItem> {
        let lead = record.lead.filter(|_| record.registered)?;
        let owner = record.person.clone().map_or(Owner::Lead(lead), Owner::Person);
        let update = self
            .transact_update(lead_key(&lead))
            .expression_attribute_names("#registered_at", "registered_at")
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_values(":at", seconds(at))
            .expression_attribute_values(":owner", owner.value())
            .expression_attribute_values(":expires_at", seconds(at + LEADS_KEPT));
        let update = match mark_word(record.mark) {
            None => update.update_expression(
                "SET #registered_at = if_not_exists(#registered_at, :at), #owner = :owner, #expires_at = :expires_at",
            ),
            Some(mark) => update
                .update_expression(
                    "SET #registered_at = if_not_exists(#registered_at, :at), \
                     #marked_at = if_not_exists(#marked_at, :at), \
                     #mark = if_not_exists(#mark, :mark), #owner = :owner, #expires_at = :expires_at",
                )
                .expression_attribute_names("#marked_at", "marked_at")
                .expression_attribute_names("#mark", "mark")
                .expression_attribute_values(":mark", text(mark)),
        };
        Some(update_write(update))
    }

    /// Remembers when the person was mailed, and when a registration left out what only its message has.
    fn person(
        &self,
        invitation: &Invitation,
        record: &Record,
        is_mailed: bool,
        at: OffsetDateTime,
    ) -> Option<TransactWriteItem> {
        let is_reduced = record.has_reduced_person();
        if !is_mailed && !is_reduced {
            return None;
        }
        let person = record.person.clone().unwrap_or_else(|| invitation.person());
        let mailed_at = if is_mailed { "#mailed_at = :at, " } else { "" };
        // An earlier release reads only whether there was one.
        let reduced = if is_reduced { "#reduced = :true, #reduced_at = :at, " } else { "" };
        let mut names = vec![OWNER, EXPIRES_AT];
        names.extend(is_mailed.then_some("mailed_at"));
        names.extend(is_reduced.then_some([REDUCED, REDUCED_AT]).into_iter().flatten());
        let update = self
            .transact_update(person_key(&person))
            .update_expression(format!("SET {mailed_at}{reduced}#owner = :owner, #expires_at = :expires_at"))
            .set_expression_attribute_names(Some(placeholders(&names)))
            .expression_attribute_values(":at", seconds(at))
            .expression_attribute_values(":owner", Owner::of_record(invitation, record).value())
            .expression_attribute_values(":expires_at", seconds(at + MAILS_KEPT));
        Some(update_write(match is_reduced {
            true => update.expression_attribute_values(":true", AttributeValue::Bool(true)),
            false => update,
        }))
    }

    async fn read(&self, pk: &str) -> Result<Option<Item>, LedgerError> {
        let get = self.client.get_item().table_name(&self.table).key("pk", text(pk)).consistent_read(true);
        let answer = get.send().await.map_err(|error| LedgerError::unavailable(&error))?;
        Ok(answer.item)
    }

    /// Reads several items in one request.
    async fn read_all<const N: usize>(&self, pks: [&str; N]) -> Result<[Option<Item>; N], LedgerError> {
        let key = |pk: &&str| Item::from([("pk".to_owned(), text(pk))]);
        let keys = KeysAndAttributes::builder().set_keys(Some(pks.iter().map(key).collect())).consistent_read(true);
        let keys = keys.build().expect("the keys are set");
        let get = self.client.batch_get_item().request_items(&self.table, keys).send().await;
        let answer = get.map_err(|error| LedgerError::unavailable(&error))?;
        // Items that DynamoDB had no capacity for are named instead of read.
        if answer.unprocessed_keys.is_some_and(|tables| !tables.is_empty()) {
            return Err(LedgerError::Unavailable { cause: THROTTLED.to_owned() });
        }
        let items = answer.responses.unwrap_or_default().remove(&self.table).unwrap_or_default();
        Ok(pks.map(|pk| items.iter().find(|item| item.get("pk") == Some(&text(pk))).cloned()))
    }

    async fn read_count<N: FromStr + Default>(&self, pk: String) -> Result<N, LedgerError> {
        let item = self.read(&pk).await?.unwrap_or_default();
        Reader { pk, item: &item }.count("count")
    }

    /// The counts of the invitations that were accepted on a UTC day. What is under way meanwhile may be in or out.
    ///
    /// # Errors
    /// When the table cannot be read, or not understood.
    pub async fn counts(&self, day: Date) -> Result<Counts, LedgerError> {
        let mut ended = BTreeMap::new();
        for name in Outcome::NAMES {
            ended.insert(name, self.read_count(count_key(day, name)).await?);
        }
        Ok(Counts { accepted: self.read_count(count_key(day, ACCEPTED)).await?, ended })
    }
}

/// DynamoDB's word for a condition of a transaction that does not hold.
const FAILED: &str = "ConditionalCheckFailed";

/// DynamoDB's word for a request beyond the capacity of a table or an item.
const THROTTLED: &str = "ProvisionedThroughputExceededException";

/// DynamoDB's word for a transaction that met another one.
const CONFLICT: &str = "TransactionConflict";

impl onboarding::Ledger for Ledger {
    type Error = LedgerError;

    async fn claim(&self, invitation: &Invitation, lease: &Lease, now: OffsetDateTime) -> Result<Claim, LedgerError> {
        let fresh = Record::default();
        let item = invitation_item(invitation, lease, State::AtWork, &fresh);
        let claim = self.put_if(item, Condition::absent_or_expired(now));
        let Err(reasons) = self.transact(vec![claim, self.count(invitation, ACCEPTED, 1)]).await? else {
            return Ok(Claim::Granted(fresh));
        };
        let old = reasons.into_iter().next().and_then(|reason| reason.item).unwrap_or_default();
        let old = Reader::new(invitation.id, &old);
        if old.text("payload")? != invitation.payload_hash() {
            return Ok(Claim::OtherPayload);
        }
        let mut record = old.record()?;
        if !record.take_up(lease.message) {
            // The queue delivers one person's messages in their order, so another message came before this one. Only
            // one that made way comes late; its letter is then a second one of this application.
            let is_repeat = invitation.received_at.unix_timestamp() > old.time("received_at")?.unix_timestamp();
            return Ok(record.done(is_repeat));
        }
        let condition = match old.optional_text("holder") {
            None => Condition::unclaimed(),
            Some(_) if old.time("lease_until")? > now => return Ok(Claim::Held),
            Some(holder) => {
                record.take_over();
                Condition::held_by(holder)
            }
        };
        let item = invitation_item(invitation, lease, State::AtWork, &record);
        Ok(match self.put(item, &condition).await? {
            Ok(()) => Claim::Granted(record),
            Err(_) => Claim::Held,
        })
    }

    async fn mail_book(&self, person: &PersonKey, now: OffsetDateTime) -> Result<MailHistory, LedgerError> {
        let pk = person_key(person);
        let pk_of_day = mails_key(day(now));
        let [person, of_day] = self.read_all([&pk, &pk_of_day]).await?;
        let of_day = of_day.unwrap_or_default();
        let of_day = Reader { pk: pk_of_day, item: &of_day };
        let begun_today = of_day.count("count")?;
        let successes = LastSuccesses {
            looked_up: of_day.optional_millisecond("looked_up_at")?,
            registered: of_day.optional_millisecond("registered_at")?,
            mailed: of_day.optional_millisecond("mailed_at")?,
        };
        let Some(item) = person else {
            return Ok(MailHistory { begun_today, successes, ..MailHistory::default() });
        };
        let person = Reader { pk, item: &item };
        Ok(MailHistory {
            version: person.count("version")?,
            begun: person.begun_mails()?,
            last_sent: person.optional_time("mailed_at")?,
            begun_today,
            successes,
            link_used: None,
            used_links: person.used_links()?,
            is_reduced: person.is_reduced(now)?,
        })
    }

    async fn registered_at(&self, lead: &LeadId) -> Result<Option<OffsetDateTime>, LedgerError> {
        let pk = lead_key(lead);
        let item = self.read(&pk).await?.unwrap_or_default();
        Reader { pk, item: &item }.optional_time("registered_at")
    }

    async fn take_rule_lookup(&self, most: u32, now: OffsetDateTime) -> Result<bool, LedgerError> {
        self.take_of_day(rule_lookups_key(now), 1, most, now).await
    }

    async fn newest_link_used(&self, lead: &LeadId) -> Result<Option<OffsetDateTime>, LedgerError> {
        let pk = lead_key(lead);
        let item = self.read(&pk).await?.unwrap_or_default();
        Reader { pk, item: &item }.optional_time("newest_link_used")
    }

    async fn begin_mail(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        reservation: &MailReservation,
        target: Option<&LinkTarget>,
    ) -> Result<bool, LedgerError> {
        let book = self
            .transact_update(person_key(&reservation.person))
            .update_expression("SET #version = :next, #begun = :begun, #owner = :owner, #expires_at = :expires_at")
            .condition_expression(match reservation.version {
                0 => "attribute_not_exists(#version)",
                _ => "#version = :version",
            })
            .expression_attribute_names("#version", "version")
            .expression_attribute_names("#begun", "begun")
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":owner", Owner::Person(reservation.person.clone()).value())
            .expression_attribute_values(":next", number(reservation.version + 1))
            .expression_attribute_values(":begun", begun_mails(&reservation.begun))
            .expression_attribute_values(":expires_at", seconds(reservation.at + MAILS_KEPT));
        // DynamoDB refuses a value that no expression uses.
        let book = match reservation.version {
            0 => book,
            seen => book.expression_attribute_values(":version", number(seen)),
        };
        let intent = invitation_item(invitation, lease, State::AtWork, record);
        let mut writes = vec![self.put_if(intent, Condition::held_by(&lease.holder.to_string())), update_write(book)];
        writes.extend(self.registration(record, reservation.at));
        if let Some(target) = target {
            let put = Put::builder().table_name(&self.table).set_item(Some(link_item(target)));
            let put = put.build().expect("a table and an item are set");
            writes.push(TransactWriteItem::builder().put(put).build());
        }
        if let Some(budget) = reservation.budget {
            let day = day(reservation.at);
            writes.push(self.add(mails_key(day), 1, counts_expire(day), Some(budget)));
        }
        match self.transact(writes).await? {
            Ok(()) => Ok(true),
            Err(reasons) if reasons.first().and_then(CancellationReason::code) == Some(FAILED) => {
                Err(LedgerError::ClaimLost)
            }
            Err(_) => Ok(false),
        }
    }

    async fn release(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        now: OffsetDateTime,
    ) -> Result<(), LedgerError> {
        let item = invitation_item(invitation, lease, State::Waiting, record);
        let condition = Condition::held_by(&lease.holder.to_string());
        // A lead that is registered already is known as that while its invitation waits.
        let also: Vec<_> = (self.person(invitation, record, record.mailed, now).into_iter())
            .chain(self.registration(record, now))
            .chain(self.last_successes(record, false, now))
            .collect();
        if !also.is_empty() {
            let writes = [vec![self.put_if(item, condition)], also].concat();
            return self.transact(writes).await?.map_err(|_| LedgerError::ClaimLost);
        }
        self.put(item, &condition).await?.map_err(|_| LedgerError::ClaimLost)
    }

    async fn end(
        &self,
        invitation: &Invitation,
        lease: &Lease,
        record: &Record,
        outcome: &Outcome,
        now: OffsetDateTime,
    ) -> Result<(), LedgerError> {
        let item = invitation_item(invitation, lease, State::Ended(outcome), record);
        let mut writes = vec![self.put_if(item, Condition::held_by(&lease.holder.to_string()))];
        let before = record.ended.as_ref().map(|ended| &*ended.name);
        if before != Some(outcome.name()) {
            writes.push(self.count(invitation, outcome.name(), 1));
            writes.extend(before.map(|before| self.count(invitation, before, -1)));
        }
        writes.extend(self.registration(record, now));
        let is_mailed = matches!(outcome, Outcome::Invited | Outcome::InvitedExisting);
        writes.extend(self.person(invitation, record, is_mailed, now));
        writes.extend(self.last_successes(record, is_mailed, now));
        self.transact(writes).await?.map_err(|_| LedgerError::ClaimLost)
    }
}

/// An update as a write of a transaction.
fn update_write(update: UpdateBuilder) -> TransactWriteItem {
    let update = update.build().expect("a table, a key and an expression are set");
    TransactWriteItem::builder().update(update).build()
}

fn day(time: OffsetDateTime) -> Date {
    time.to_offset(time::UtcOffset::UTC).date()
}

//! The flow's memory in DynamoDB: claims and outcomes of invitations, and when each person was last mailed.
//!
//! One table with a string key `pk`:
//!
//! | pk | attributes | kept |
//! | --- | --- | --- |
//! | `invitation#<id>` | `payload`, `received_at`, `message`, `holder`, `lease_until`, `lead_id`, `existing`, `in_doubt`, `mailed`, `unresolved_mails`, `left_out`, `outcome`, `cause` | 30 days |
//! | `person#<hash of the e-mail address>` | `mailed_at`, `invitation` | 1 day |
//!
//! Times are Unix seconds. DynamoDB deletes an item up to two days after its `expires_at`
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html>), so reads and conditions look at it
//! themselves.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use invitation_flow::{Claim, Invitation, InvitationId, Lease, Mailed, Outcome, PersonKey, Record};
use time::{Duration, OffsetDateTime};

/// How long an invitation is remembered: a message can be up to 14 days on the queue and 14 more among the dead letters.
const INVITATIONS_KEPT: Duration = Duration::days(30);

/// How long a mail to a person is remembered: longer than any cool-down.
const MAILS_KEPT: Duration = Duration::days(1);

type Item = HashMap<String, AttributeValue>;

/// The ledger in a DynamoDB table.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Client,
    table: String,
}

/// Why the ledger could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another attempt took the invitation over because this one was out of time. Nothing was written.
    #[error("the claim ran out and another attempt has it now")]
    ClaimLost,
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

impl Ledger {
    /// The ledger in this table.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Writes an item if the condition holds; the item that stood in its way if it does not.
    ///
    /// The item itself does not stand in its way: the SDK repeats a write whose answer was late.
    async fn put(&self, item: Item, condition: &Condition) -> Result<Result<(), Item>, LedgerError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item.clone()))
            .condition_expression(condition.expression)
            .set_expression_attribute_names(Some(
                condition.names.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect(),
            ))
            // DynamoDB refuses a map that is there and empty.
            .set_expression_attribute_values(Some(condition.values.clone()).filter(|values| !values.is_empty()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.send().await {
            Ok(_) => Ok(Ok(())),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    let old = failed.item().cloned().unwrap_or_default();
                    Ok(if old == item { Ok(()) } else { Err(old) })
                }
                _ => Err(LedgerError::Unavailable { cause: aws::cause(&error) }),
            },
        }
    }

    async fn write(&self, lease: &Lease, item: Item) -> Result<(), LedgerError> {
        self.put(item, &Condition::held_by(&lease.holder.to_string())).await?.map_err(|_| LedgerError::ClaimLost)
    }
}

impl invitation_flow::Ledger for Ledger {
    type Error = LedgerError;

    async fn claim(&self, invitation: &Invitation, lease: &Lease, now: OffsetDateTime) -> Result<Claim, LedgerError> {
        let fresh = Record::default();
        let item = invitation_item(invitation, lease, true, &fresh);
        let Err(old) = self.put(item, &Condition::absent_or_expired(now)).await? else {
            return Ok(Claim::Granted(fresh));
        };
        let old = Reader::new(invitation.id, &old);
        if old.text("payload")? != invitation.payload_hash() {
            return Ok(Claim::OtherPayload);
        }
        // A rejected invitation that comes again was put back by somebody on purpose, or its dead letter was never
        // sent: either way it is tried again.
        if old.optional_text("outcome").is_some_and(|outcome| outcome != REJECTED) {
            return Ok(Claim::Done);
        }
        let mut record = old.record()?;
        if old.optional_text("outcome").is_some() && old.text("message")? != lease.message.to_string() {
            record.unresolved_mails = 0;
        }
        let condition = match old.optional_text("holder") {
            None => Condition::held_by_nobody(),
            Some(_) if old.time("lease_until")? > now => return Ok(Claim::Held),
            Some(holder) => {
                // It died at work: nobody knows how far it came.
                record.in_doubt = record.lead.is_none();
                Condition::held_by(holder)
            }
        };
        let item = invitation_item(invitation, lease, true, &record);
        Ok(match self.put(item, &condition).await? {
            Ok(()) => Claim::Granted(record),
            Err(_) => Claim::Held,
        })
    }

    async fn save(&self, invitation: &Invitation, lease: &Lease, record: &Record) -> Result<(), LedgerError> {
        self.write(lease, invitation_item(invitation, lease, true, record)).await
    }

    async fn release(&self, invitation: &Invitation, lease: &Lease, record: &Record) -> Result<(), LedgerError> {
        self.write(lease, invitation_item(invitation, lease, false, record)).await
    }

    async fn last_mail(&self, person: &PersonKey) -> Result<Option<Mailed>, LedgerError> {
        let pk = person_key(person);
        let answer =
            self.client.get_item().table_name(&self.table).key("pk", text(&pk)).consistent_read(true).send().await;
        let Some(item) = answer.map_err(|error| LedgerError::Unavailable { cause: aws::cause(&error) })?.item else {
            return Ok(None);
        };
        let item = Reader { pk, item: &item };
        let invitation = item.text("invitation")?.parse().map_err(|_| item.corrupt("invitation"))?;
        Ok(Some(Mailed { at: item.time("mailed_at")?, invitation }))
    }

    async fn mailed(&self, person: &PersonKey, mail: Mailed) -> Result<(), LedgerError> {
        let item = Item::from([
            ("pk".to_owned(), text(&person_key(person))),
            ("mailed_at".to_owned(), seconds(mail.at)),
            ("invitation".to_owned(), text(&mail.invitation.to_string())),
            ("expires_at".to_owned(), seconds(mail.at + MAILS_KEPT)),
        ]);
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await;
        put.map(|_| ()).map_err(|error| LedgerError::Unavailable { cause: aws::cause(&error) })
    }
}

/// The one outcome after which an invitation may be tried again.
const REJECTED: &str = "rejected";

/// When an item may be written.
struct Condition {
    expression: &'static str,
    names: &'static [&'static str],
    values: Item,
}

impl Condition {
    fn absent_or_expired(now: OffsetDateTime) -> Self {
        Self {
            expression: "attribute_not_exists(#pk) OR #expires_at < :now",
            names: &["pk", "expires_at"],
            values: Item::from([(":now".to_owned(), seconds(now))]),
        }
    }

    fn held_by(holder: &str) -> Self {
        Self {
            expression: "#holder = :holder",
            names: &["holder"],
            values: Item::from([(":holder".to_owned(), text(holder))]),
        }
    }

    fn held_by_nobody() -> Self {
        Self { expression: "attribute_not_exists(#holder)", names: &["holder"], values: Item::new() }
    }
}

/// The item as an attempt with this lease writes it, which goes on or is over.
fn invitation_item(invitation: &Invitation, lease: &Lease, goes_on: bool, record: &Record) -> Item {
    // A message that was put back can be older than its item may get.
    let last_seen = invitation.received_at.max(lease.until);
    let mut item = Item::from([
        ("pk".to_owned(), text(&invitation_key(invitation.id))),
        ("payload".to_owned(), text(&invitation.payload_hash())),
        ("received_at".to_owned(), seconds(invitation.received_at)),
        ("expires_at".to_owned(), seconds(last_seen + INVITATIONS_KEPT)),
        ("message".to_owned(), text(&lease.message.to_string())),
        ("existing".to_owned(), AttributeValue::Bool(record.existing)),
        ("in_doubt".to_owned(), AttributeValue::Bool(record.in_doubt)),
        ("mailed".to_owned(), AttributeValue::Bool(record.mailed)),
        ("unresolved_mails".to_owned(), AttributeValue::N(record.unresolved_mails.to_string())),
        ("left_out".to_owned(), AttributeValue::L(record.left_out.iter().map(|name| text(name)).collect())),
    ]);
    let mut optional = |name: &str, value: Option<AttributeValue>| {
        item.extend(value.map(|value| (name.to_owned(), value)));
    };
    optional("holder", goes_on.then(|| text(&lease.holder.to_string())));
    optional("lease_until", goes_on.then(|| seconds(lease.until)));
    optional("lead_id", record.lead.map(|lead| text(&lead.to_string())));
    optional("outcome", record.outcome.as_ref().map(|outcome| text(outcome.name())));
    optional(
        "cause",
        match &record.outcome {
            Some(Outcome::Rejected(rejection)) => Some(text(&rejection.to_string())),
            _ => None,
        },
    );
    item
}

fn invitation_key(id: InvitationId) -> String {
    format!("invitation#{id}")
}

fn person_key(person: &PersonKey) -> String {
    format!("person#{}", person.as_str())
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn seconds(time: OffsetDateTime) -> AttributeValue {
    AttributeValue::N(time.unix_timestamp().to_string())
}

/// Reads the attributes of one item.
struct Reader<'a> {
    pk: String,
    item: &'a Item,
}

impl<'a> Reader<'a> {
    fn new(id: InvitationId, item: &'a Item) -> Self {
        Self { pk: invitation_key(id), item }
    }

    fn corrupt(&self, attribute: &'static str) -> LedgerError {
        LedgerError::Corrupt { pk: self.pk.clone(), attribute }
    }

    fn optional_text(&self, attribute: &str) -> Option<&'a str> {
        self.item.get(attribute)?.as_s().ok().map(String::as_str)
    }

    fn text(&self, attribute: &'static str) -> Result<&'a str, LedgerError> {
        self.optional_text(attribute).ok_or_else(|| self.corrupt(attribute))
    }

    fn bool(&self, attribute: &'static str) -> Result<bool, LedgerError> {
        let value = self.item.get(attribute).and_then(|value| value.as_bool().ok().copied());
        value.ok_or_else(|| self.corrupt(attribute))
    }

    fn number(&self, attribute: &'static str) -> Result<i64, LedgerError> {
        let value = self.item.get(attribute).and_then(|value| value.as_n().ok()?.parse().ok());
        value.ok_or_else(|| self.corrupt(attribute))
    }

    fn time(&self, attribute: &'static str) -> Result<OffsetDateTime, LedgerError> {
        OffsetDateTime::from_unix_timestamp(self.number(attribute)?).map_err(|_| self.corrupt(attribute))
    }

    fn record(&self) -> Result<Record, LedgerError> {
        let lead = self.optional_text("lead_id").map(str::parse).transpose().map_err(|_| self.corrupt("lead_id"))?;
        let left_out = self.item.get("left_out").and_then(|value| value.as_l().ok());
        let left_out = left_out.ok_or_else(|| self.corrupt("left_out"))?;
        Ok(Record {
            lead,
            existing: self.bool("existing")?,
            in_doubt: self.bool("in_doubt")?,
            mailed: self.bool("mailed")?,
            unresolved_mails: self
                .number("unresolved_mails")?
                .try_into()
                .map_err(|_| self.corrupt("unresolved_mails"))?,
            left_out: left_out.iter().filter_map(|name| name.as_s().ok().cloned()).collect(),
            outcome: None,
        })
    }
}

//! Held applications as an operator sees them: which ones wait, accepting, discarding and erasing them.
//!
//! An item whose `expires_at` has passed is gone for every read and every write here, whether or not DynamoDB has
//! deleted it. An application that expires without a decision counts as discarded.

use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, Delete, TransactWriteItem};
use onboarding::InvitationId;
use time::{Duration, OffsetDateTime};

use crate::item::{EXPIRES_AT, Item, Reader, count_key, counts_expire, held_key, number, seconds, text};
use crate::scan::Page;
use crate::{FAILED, HELD_FOR, ItemType, Ledger, LedgerError, day, update_write};

/// How long an accepted application is kept from the moment it was accepted: long enough to accept it again after a
/// crash.
const ACCEPTED_KEPT: Duration = Duration::days(14);

/// The shortest time between two reminders of the same subject: a day, less the minutes that a schedule can be early.
const REMINDED_EVERY: Duration = Duration::minutes(24 * 60 - 10);

/// What an operator decided about a held application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldDecision {
    /// Its invitation goes on the queue.
    Accepted,
    /// No invitation is sent.
    Discarded,
}

impl HeldDecision {
    /// Its word in the item.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Discarded => "discarded",
        }
    }

    /// The name under which a day counts it.
    const fn counted_as(self) -> &'static str {
        match self {
            Self::Accepted => "held-accepted",
            Self::Discarded => "held-discarded",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Accepted, Self::Discarded].into_iter().find(|decision| decision.name() == name)
    }
}

/// A held application, without anything that its applicant typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The invitation's id, which is the applicant's receipt.
    pub id: InvitationId,
    /// Why it is held, such as `network`.
    pub cause: String,
    /// Where it came from: `form` or `bus`.
    pub source: String,
    /// The hash of the network it came from, in hexadecimal, where it has one.
    pub network: Option<String>,
    /// When it was held.
    pub held_at: OffsetDateTime,
    /// When it is gone.
    pub expires_at: OffsetDateTime,
    /// What an operator decided, and when.
    pub decision: Option<(HeldDecision, OffsetDateTime)>,
}

/// A held application with the queue's message, as long as it has it.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldMessage {
    /// The application.
    pub held: Held,
    /// The text of its message. A discarded application has none, nor has an accepted one that is on the queue.
    pub message: Option<String>,
}

/// The held applications that wait, as far as they were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldWaiting {
    /// How many wait.
    pub count: u64,
    /// How many of them expire soon.
    pub expiring: u64,
    /// When the first of them expires.
    pub first_expires: Option<OffsetDateTime>,
}

impl HeldWaiting {
    /// What an interrupted count came to.
    fn read(item: &Item) -> Result<Self, LedgerError> {
        let item = Reader { pk: String::new(), item };
        let (count, expiring) = (item.count("count")?, item.count("expiring")?);
        Ok(Self { count, expiring, first_expires: item.optional_time("first_expires")? })
    }

    fn item(self) -> Item {
        let mut item =
            Item::from([("count".to_owned(), number(self.count)), ("expiring".to_owned(), number(self.expiring))]);
        item.extend(self.first_expires.map(|first| ("first_expires".to_owned(), seconds(first))));
        item
    }
}

impl Ledger {
    /// Every held application that waits, the oldest first: those without a decision, and those that were accepted
    /// and have not been put on the queue yet.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn held_waiting(&self, now: OffsetDateTime) -> Result<Vec<Held>, LedgerError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let names = ["cause", "source", "network", "held_at", "decided_at"];
            let page = self.waiting_page(now, &names, true, after.take()).await?;
            all.extend(page.items.iter().filter_map(held));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        all.sort_by_key(|held| (held.held_at, held.id.to_string()));
        Ok(all)
    }

    /// Counts the held applications that wait, and those of them that expire before `soon`, into `found`: what was
    /// counted until then stays there when the future is dropped, and the next call goes on from there. The counts are
    /// eventually consistent.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn count_held(
        &self,
        now: OffsetDateTime,
        soon: OffsetDateTime,
        found: &mut HeldWaiting,
    ) -> Result<(), LedgerError> {
        let mut scan = self.shared_scan("held-count", now).await?;
        *found = HeldWaiting::read(&scan.found)?;
        loop {
            let page = self.waiting_page(now, &[], false, scan.after.clone()).await?;
            for item in &page.items {
                let expires_at = Reader { pk: String::new(), item }.time(EXPIRES_AT)?;
                found.count += 1;
                found.expiring += u64::from(expires_at < soon);
                found.first_expires = Some(found.first_expires.map_or(expires_at, |first| first.min(expires_at)));
            }
            scan.found = found.item();
            if self.turn_page(&mut scan, page.next, now).await? {
                return Ok(());
            }
        }
    }

    /// The held application with this id, if it was held and its time is not over.
    ///
    /// # Errors
    /// When the table cannot be read, or not understood.
    pub async fn held(&self, id: InvitationId, now: OffsetDateTime) -> Result<Option<HeldMessage>, LedgerError> {
        let pk = held_key(id);
        let Some(item) = self.read(&pk).await? else { return Ok(None) };
        let held = held(&item).ok_or(LedgerError::Corrupt { pk: pk.clone(), attribute: EXPIRES_AT })?;
        let message = Reader { pk, item: &item }.optional_text("message").map(str::to_owned);
        Ok(Some(HeldMessage { held, message }).filter(|found| found.held.expires_at > now))
    }

    /// Records a decision on held applications, in one transaction with the day's count. Decided and expired ones are
    /// skipped. Returns the ids that this call decided on.
    ///
    /// A discarded application loses its message at once. It stays until it expires, so that a repeat of it is not
    /// held again.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. The decision may stand then.
    pub async fn decide_held(
        &self,
        ids: &[InvitationId],
        decision: HeldDecision,
        now: OffsetDateTime,
    ) -> Result<Vec<InvitationId>, LedgerError> {
        let (mut open, day) = (ids.to_vec(), day(now));
        while !open.is_empty() {
            let mut writes: Vec<_> = open.iter().map(|id| self.decide_one(*id, decision, now)).collect();
            let by = i64::try_from(open.len()).unwrap_or(i64::MAX);
            writes.push(self.add(count_key(day, decision.counted_as()), by, counts_expire(day), None));
            let Err(reasons) = self.transact(writes).await? else { break };
            let mut failed = reasons.iter().map(|reason| reason.code() == Some(FAILED));
            let before = open.len();
            open.retain(|_| !failed.next().unwrap_or(false));
            if open.len() == before {
                return Err(LedgerError::Unavailable { cause: FAILED.to_owned() });
            }
        }
        Ok(open)
    }

    /// Removes the message of an accepted application: it is on the queue now.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn held_sent(&self, id: InvitationId) -> Result<(), LedgerError> {
        let update = self
            .update(held_key(id))
            .update_expression("REMOVE #message")
            // Without the condition an application that was forgotten meanwhile would become an empty item.
            .condition_expression("#decision = :accepted")
            .expression_attribute_names("#message", "message")
            .expression_attribute_names("#decision", "decision")
            .expression_attribute_values(":accepted", text(HeldDecision::Accepted.name()));
        self.carry_out(update).await.map(drop)
    }

    /// How many held applications were accepted on the UTC day of this moment.
    ///
    /// # Errors
    /// When the table cannot be read, or not understood.
    pub async fn held_accepted_on(&self, at: OffsetDateTime) -> Result<u64, LedgerError> {
        self.read_count(count_key(day(at), HeldDecision::Accepted.counted_as())).await
    }

    /// Whether the operator is to be reminded of this subject now: at most once a day. Remembers the reminder.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown.
    pub async fn remind(&self, subject: &'static str, now: OffsetDateTime) -> Result<bool, LedgerError> {
        let update = self
            .update(ItemType::Reminder.key(subject))
            .update_expression("SET #at = :now, #expires_at = :expires_at")
            .condition_expression("attribute_not_exists(#at) OR #at <= :before")
            .expression_attribute_names("#at", "at")
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":now", seconds(now))
            .expression_attribute_values(":before", seconds(now - REMINDED_EVERY))
            .expression_attribute_values(":expires_at", seconds(now + HELD_FOR));
        Ok(self.carry_out(update).await?.is_none())
    }

    fn decide_one(&self, id: InvitationId, decision: HeldDecision, now: OffsetDateTime) -> TransactWriteItem {
        let update = self
            .transact_update(held_key(id))
            .condition_expression("attribute_not_exists(#decision) AND #expires_at > :now")
            .expression_attribute_names("#decision", "decision")
            .expression_attribute_names("#decided_at", "decided_at")
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":decision", text(decision.name()))
            .expression_attribute_values(":now", seconds(now));
        let update = match decision {
            HeldDecision::Accepted => update
                .update_expression("SET #decision = :decision, #decided_at = :now, #expires_at = :expires_at")
                .expression_attribute_values(":expires_at", seconds(now + ACCEPTED_KEPT)),
            HeldDecision::Discarded => update
                .update_expression("SET #decision = :decision, #decided_at = :now REMOVE #message")
                .expression_attribute_names("#message", "message"),
        };
        update_write(update)
    }

    /// One page of the held applications that wait: their keys, `expires_at`, `decision` and these attributes.
    async fn waiting_page(
        &self,
        now: OffsetDateTime,
        attributes: &[&str],
        consistent: bool,
        after: Option<Item>,
    ) -> Result<Page, LedgerError> {
        let filter = "begins_with(#pk, :held) AND #expires_at > :now \
                      AND (attribute_not_exists(#decision) OR attribute_exists(#message))";
        let attributes = [&["pk", EXPIRES_AT, "decision"], attributes].concat();
        let values =
            Item::from([(":held".to_owned(), text(&ItemType::Held.key(""))), (":now".to_owned(), seconds(now))]);
        self.page(filter, &attributes, &["message"], values, consistent, after).await
    }

    /// Deletes a held application on which no operator has decided, and counts it as discarded. Whether there was one.
    pub(crate) async fn erase_undecided(&self, pk: &str, now: OffsetDateTime) -> Result<bool, LedgerError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .key("pk", text(pk))
            .condition_expression("attribute_not_exists(#decision) AND #expires_at > :now")
            .expression_attribute_names("#decision", "decision")
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":now", seconds(now));
        let delete = delete.build().expect("a table and a key are set");
        let day = day(now);
        let count = self.add(count_key(day, HeldDecision::Discarded.counted_as()), 1, counts_expire(day), None);
        let delete = TransactWriteItem::builder().delete(delete).build();
        match self.transact(vec![delete, count]).await? {
            Ok(()) => Ok(true),
            // An operator decided on it, or it has expired: it is counted already.
            Err(reasons) if reasons.first().and_then(CancellationReason::code) == Some(FAILED) => Ok(false),
            Err(_) => Err(LedgerError::Unavailable { cause: FAILED.to_owned() }),
        }
    }
}

/// An item as a held application; nothing for an item that is none. An item that lacks a detail is shown without it:
/// an applicant waits behind it.
fn held(item: &Item) -> Option<Held> {
    let of = |attribute: &str| item.get(attribute).and_then(|value| value.as_s().ok()).cloned();
    let at = |attribute: &str| {
        let number = item.get(attribute).and_then(|value: &AttributeValue| value.as_n().ok()?.parse().ok())?;
        OffsetDateTime::from_unix_timestamp(number).ok()
    };
    let expires_at = at(EXPIRES_AT)?;
    let decision = of("decision").as_deref().and_then(HeldDecision::named);
    Some(Held {
        id: ItemType::Held.name_in(&of("pk")?)?.parse().ok()?,
        cause: of("cause").unwrap_or_else(|| "unknown".to_owned()),
        source: of("source").unwrap_or_else(|| "unknown".to_owned()),
        network: of("network"),
        held_at: at("held_at").unwrap_or(expires_at - HELD_FOR),
        expires_at,
        decision: decision.map(|decision| (decision, at("decided_at").unwrap_or(expires_at - ACCEPTED_KEPT))),
    })
}

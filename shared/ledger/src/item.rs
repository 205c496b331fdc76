//! What the items look like.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use leadsquared::LeadId;
use onboarding::{
    BegunMail, CallsMade, ContentFailures, Ended, Invitation, InvitationId, Lease, LinkHash, LinkTarget, LoneFailures,
    MarkSent, Outcome, PersonKey, Record, UsedLinks,
};
use sha2::{Digest, Sha256};
use time::{Date, Duration, OffsetDateTime};

use crate::owner::{OWNER, Owner};
use crate::{ItemType, LedgerError};

/// How long an invitation is remembered, and the marker by which another application under its id is recognised: a
/// message can be up to 14 days on the queue and 14 more among the dead letters.
pub(crate) const INVITATIONS_KEPT: Duration = Duration::days(30);

/// Lifetime of the record of a person: longer than the longest wait of an invitation.
pub(crate) const MAILS_KEPT: Duration = Duration::days(14);

/// How long a day's counts are kept: longer than any invitation of that day can change them.
const COUNTS_KEPT: Duration = Duration::days(90);

/// How long an invalid login link is kept: as long as its page mails a fresh one.
const LINKS_KEPT: Duration = Duration::days(30);

/// How long a lead's item is kept. After its newest link was used, an older one is valid for a year at most, which is
/// the longest that the template permits.
pub(crate) const LEADS_KEPT: Duration = Duration::days(365 + 30);

/// The count beside those of the outcomes: accepted invitations, each of which gets one outcome.
pub(crate) const ACCEPTED: &str = "accepted";

/// The attribute by which DynamoDB knows when it may delete an item, in Unix seconds.
pub(crate) const EXPIRES_AT: &str = "expires_at";

pub(crate) type Item = HashMap<String, AttributeValue>;

/// When an item may be written.
pub(crate) struct Condition {
    pub(crate) expression: &'static str,
    names: &'static [&'static str],
    pub(crate) values: Item,
}

impl Condition {
    /// The names that the expression uses.
    pub(crate) fn names(&self) -> HashMap<String, String> {
        placeholders(self.names)
    }

    pub(crate) fn absent_or_expired(now: OffsetDateTime) -> Self {
        Self {
            expression: "attribute_not_exists(#pk) OR #expires_at < :now",
            names: &["pk", "expires_at"],
            values: Item::from([(":now".to_owned(), seconds(now))]),
        }
    }

    pub(crate) fn held_by(holder: &str) -> Self {
        Self {
            expression: "#holder = :holder",
            names: &["holder"],
            values: Item::from([(":holder".to_owned(), text(holder))]),
        }
    }

    pub(crate) fn unclaimed() -> Self {
        Self { expression: "attribute_not_exists(#holder)", names: &["holder"], values: Item::new() }
    }
}

/// What an attempt leaves an invitation as.
#[derive(Clone, Copy)]
pub(crate) enum State<'a> {
    /// The attempt goes on.
    AtWork,
    /// There will be another attempt.
    Waiting,
    /// It ended.
    Ended(&'a Outcome),
}

/// The item as an attempt with this lease writes it.
pub(crate) fn invitation_item(invitation: &Invitation, lease: &Lease, state: State<'_>, record: &Record) -> Item {
    // A message that was put back can be older than its item may get.
    let last_seen = invitation.received_at.max(lease.until);
    let mut item = Item::from([
        ("pk".to_owned(), text(&invitation_key(invitation.id))),
        ("payload".to_owned(), text(&invitation.payload_hash())),
        ("received_at".to_owned(), seconds(invitation.received_at)),
        ("expires_at".to_owned(), seconds(last_seen + INVITATIONS_KEPT)),
        ("person".to_owned(), text(record.person.as_ref().unwrap_or(&invitation.person()).as_str())),
        (OWNER.to_owned(), Owner::of_record(invitation, record).value()),
        ("existing".to_owned(), AttributeValue::Bool(record.existing)),
        ("registered".to_owned(), AttributeValue::Bool(record.registered)),
        ("in_doubt".to_owned(), AttributeValue::Bool(record.in_doubt)),
        ("mailed".to_owned(), AttributeValue::Bool(record.mailed)),
        ("unresolved_mails".to_owned(), number(record.unresolved_mails)),
        ("left_out".to_owned(), AttributeValue::L(record.left_out.iter().map(|name| text(name)).collect())),
    ]);
    let mut optional = |name: &str, value: Option<AttributeValue>| {
        item.extend(value.map(|value| (name.to_owned(), value)));
    };
    if let State::AtWork = state {
        optional("holder", Some(text(&lease.holder.to_string())));
        optional("lease_until", Some(seconds(lease.until)));
    }
    optional("mark", mark_word(record.mark).map(text));
    optional("lead_id", record.lead.map(|lead| text(&lead.to_string())));
    optional("unused_mail", record.unused_mail.map(seconds));
    let flag = |is_set: bool| is_set.then_some(AttributeValue::Bool(true));
    optional("reduced", flag(record.is_reduced));
    optional("suspected", flag(record.content.is_suspected));
    let noted = || AttributeValue::L(record.noted.iter().map(|name| text(name)).collect());
    optional("noted", (!record.noted.is_empty()).then(noted));
    for (names, failures) in [(CONTENT_FAILURES, record.content.failures), (MAIL_REFUSALS, record.mail_refusals)] {
        let millisecond = |at: Option<OffsetDateTime>| at.map(|at| number(milliseconds(at)));
        optional(names.count, (failures.count > 0).then(|| number(failures.count)));
        optional(names.first, millisecond(failures.first));
        optional(names.last, millisecond(failures.last));
    }
    optional("unused_lookup", record.unused_lookup.map(seconds));
    optional("calls", (record.calls.count > 0).then(|| number(record.calls.count)));
    optional("called_at", record.calls.last.map(|at| number(milliseconds(at))));
    let ended = match state {
        State::Ended(outcome) => Some(Ended::new(outcome, lease)),
        State::AtWork | State::Waiting => record.ended.clone(),
    };
    optional("outcome", ended.as_ref().map(|ended| text(&ended.name)));
    optional("ended_by", ended.as_ref().and_then(|ended| ended.message).map(|message| text(&message.to_string())));
    optional("cause", ended.and_then(|ended| ended.cause).as_deref().map(text));
    item
}

/// The attributes of [`LoneFailures`], times in Unix milliseconds.
#[derive(Clone, Copy)]
struct LoneFailureNames {
    count: &'static str,
    first: &'static str,
    last: &'static str,
}

const CONTENT_FAILURES: LoneFailureNames =
    LoneFailureNames { count: "failed_alone", first: "failed_since", last: "failed_at" };

const MAIL_REFUSALS: LoneFailureNames =
    LoneFailureNames { count: "mail_refusals", first: "mail_refused_since", last: "mail_refused_at" };

/// What is written of a mark; nothing where there is none.
pub(crate) fn mark_word(mark: MarkSent) -> Option<&'static str> {
    match mark {
        MarkSent::No => None,
        MarkSent::Yes => Some("sent"),
        MarkSent::NotNeeded => Some("not-needed"),
    }
}

pub(crate) fn invitation_key(id: InvitationId) -> String {
    ItemType::Invitation.key(&id.to_string())
}

/// The item of what an on-click link points at.
pub(crate) fn link_item(target: &LinkTarget) -> Item {
    let mut item = Item::from([
        ("pk".to_owned(), text(&link_key(&target.link))),
        ("lead_id".to_owned(), text(&target.lead.to_string())),
        ("person".to_owned(), text(target.person.as_str())),
        (OWNER.to_owned(), Owner::Person(target.person.clone()).value()),
        ("invitation".to_owned(), text(&target.invitation.to_string())),
        ("made_at".to_owned(), seconds(target.made_at)),
        ("valid_until".to_owned(), seconds(target.valid_until)),
        ("expires_at".to_owned(), seconds(target.valid_until + LINKS_KEPT)),
    ]);
    if target.used_links > 0 {
        item.insert("used_links".to_owned(), number(target.used_links));
    }
    if let Some(code) = &target.code {
        item.extend([("code".to_owned(), text(code.as_str())), (TRIES.to_owned(), number(0))]);
    }
    item
}

/// The attributes of [`UsedLinks`].
pub(crate) const USED_LINKS: &str = "used_links";
pub(crate) const USED_LINK_MADE_AT: &str = "used_link_made_at";

/// The attributes of a person whom an invitation registered with the identifying attributes only.
pub(crate) const REDUCED: &str = "reduced";
pub(crate) const REDUCED_AT: &str = "reduced_at";

/// The attribute that counts the tries of a code.
pub(crate) const TRIES: &str = "tries";

pub(crate) fn link_key(link: &LinkHash) -> String {
    ItemType::Link.key(link.as_str())
}

/// The item of what we did with a lead.
pub(crate) fn lead_key(lead: &LeadId) -> String {
    ItemType::Lead.key(&lead.to_string())
}

/// The item of the mails that were begun on a day.
pub(crate) fn mails_key(day: Date) -> String {
    ItemType::Mails.key(&day.to_string())
}

/// The item that counts the invitations of a day which were accepted, or had this outcome.
pub(crate) fn count_key(day: Date, name: &str) -> String {
    ItemType::Count.key(&format!("{day}#{name}"))
}

/// When the items of a day may go.
pub(crate) fn counts_expire(day: Date) -> OffsetDateTime {
    day.midnight().assume_utc() + COUNTS_KEPT
}

pub(crate) fn begun_mails(begun: &[BegunMail]) -> AttributeValue {
    let mail = |mail: &BegunMail| {
        AttributeValue::M(Item::from([
            ("at".to_owned(), seconds(mail.at)),
            ("invitation".to_owned(), text(&mail.invitation.to_string())),
        ]))
    };
    AttributeValue::L(begun.iter().map(mail).collect())
}

/// The item of a held application.
pub(crate) fn held_key(id: InvitationId) -> String {
    ItemType::Held.key(&id.to_string())
}

/// The item of what a sender did on a day.
pub(crate) fn sender_key(hash: &str) -> String {
    ItemType::Sender.key(hash)
}

/// The item of the places of a person or a mailbox.
pub(crate) fn places_key(hash: &str) -> String {
    ItemType::Places.key(hash)
}

/// The item that says that this very application came before.
pub(crate) fn mark_key(mark: &str) -> String {
    ItemType::ApplicationMarker.key(mark)
}

pub(crate) fn person_key(person: &PersonKey) -> String {
    ItemType::Person.key(person.as_str())
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn seconds(time: OffsetDateTime) -> AttributeValue {
    number(time.unix_timestamp())
}

/// A time in Unix milliseconds.
pub fn milliseconds(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1000 + i64::from(time.millisecond())
}

/// The hash of a secret, under which the table keeps what belongs to it.
pub(crate) fn hashed(secret: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(secret))
}

/// Placeholders for attribute names in expressions, such as `#count` for `count`: many names are reserved words of
/// DynamoDB.
pub(crate) fn placeholders(names: &[&str]) -> HashMap<String, String> {
    names.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect()
}

/// Reads the attributes of one item.
pub(crate) struct Reader<'a> {
    pub(crate) pk: String,
    pub(crate) item: &'a Item,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(id: InvitationId, item: &'a Item) -> Self {
        Self { pk: invitation_key(id), item }
    }

    pub(crate) fn corrupt(&self, attribute: &'static str) -> LedgerError {
        LedgerError::Corrupt { pk: self.pk.clone(), attribute }
    }

    pub(crate) fn optional_text(&self, attribute: &str) -> Option<&'a str> {
        self.item.get(attribute)?.as_s().ok().map(String::as_str)
    }

    pub(crate) fn text(&self, attribute: &'static str) -> Result<&'a str, LedgerError> {
        self.optional_text(attribute).ok_or_else(|| self.corrupt(attribute))
    }

    fn bool(&self, attribute: &'static str) -> Result<bool, LedgerError> {
        let value = self.item.get(attribute).and_then(|value| value.as_bool().ok().copied());
        value.ok_or_else(|| self.corrupt(attribute))
    }

    pub(crate) fn number<N: FromStr>(&self, attribute: &'static str) -> Result<N, LedgerError> {
        let value = self.item.get(attribute).and_then(|value| value.as_n().ok()?.parse().ok());
        value.ok_or_else(|| self.corrupt(attribute))
    }

    pub(crate) fn time(&self, attribute: &'static str) -> Result<OffsetDateTime, LedgerError> {
        OffsetDateTime::from_unix_timestamp(self.number(attribute)?).map_err(|_| self.corrupt(attribute))
    }

    /// A time in Unix nanoseconds.
    pub(crate) fn nanosecond(&self, attribute: &'static str) -> Result<OffsetDateTime, LedgerError> {
        OffsetDateTime::from_unix_timestamp_nanos(self.number(attribute)?).map_err(|_| self.corrupt(attribute))
    }

    /// A time in Unix milliseconds, if the item has it.
    pub(crate) fn optional_millisecond(&self, attribute: &'static str) -> Result<Option<OffsetDateTime>, LedgerError> {
        let time = |milliseconds: i64| {
            let nanoseconds = i128::from(milliseconds) * 1_000_000;
            OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).map_err(|_| self.corrupt(attribute))
        };
        self.item.contains_key(attribute).then(|| time(self.number(attribute)?)).transpose()
    }

    pub(crate) fn optional_time(&self, attribute: &'static str) -> Result<Option<OffsetDateTime>, LedgerError> {
        self.item.contains_key(attribute).then(|| self.time(attribute)).transpose()
    }

    pub(crate) fn record(&self) -> Result<Record, LedgerError> {
        let person = self.optional_text("person").map(|text| text.parse().map_err(|_| self.corrupt("person")));
        let lead = self.optional_text("lead_id").map(str::parse).transpose().map_err(|_| self.corrupt("lead_id"))?;
        Ok(Record {
            lead,
            existing: self.bool("existing")?,
            // Items from before version 2 of the message have neither this nor the person.
            registered: self.flag("registered")?,
            // Earlier versions marked nothing, and say nothing.
            mark: match self.optional_text("mark") {
                None => MarkSent::No,
                Some("sent") => MarkSent::Yes,
                Some("not-needed") => MarkSent::NotNeeded,
                Some(_) => return Err(self.corrupt("mark")),
            },
            person: person.transpose()?,
            in_doubt: self.bool("in_doubt")?,
            mailed: self.bool("mailed")?,
            unresolved_mails: self.count("unresolved_mails")?,
            left_out: self.names("left_out")?.ok_or_else(|| self.corrupt("left_out"))?,
            noted: self.names("noted")?.unwrap_or_default(),
            is_reduced: self.flag("reduced")?,
            content: ContentFailures {
                failures: self.lone_failures(CONTENT_FAILURES)?,
                is_suspected: self.flag("suspected")?,
            },
            unused_lookup: self.optional_time("unused_lookup")?,
            calls: CallsMade { count: self.count("calls")?, last: self.optional_millisecond("called_at")? },
            success: None,
            is_taken_over: false,
            unused_mail: self.optional_time("unused_mail")?,
            mail_refusals: self.lone_failures(MAIL_REFUSALS)?,
            ended: match self.optional_text("outcome") {
                None => None,
                Some(name) => Some(Ended {
                    name: name.to_owned(),
                    cause: self.optional_text("cause").map(str::to_owned),
                    message: self
                        .optional_text("ended_by")
                        .map(str::parse)
                        .transpose()
                        .map_err(|_| self.corrupt("ended_by"))?,
                }),
            },
        })
    }

    /// Whether something holds; it does not in an item that does not say so.
    pub(crate) fn flag(&self, attribute: &'static str) -> Result<bool, LedgerError> {
        Ok(self.item.contains_key(attribute) && self.bool(attribute)?)
    }

    /// A list of names, if the item has it.
    fn names(&self, attribute: &'static str) -> Result<Option<Vec<String>>, LedgerError> {
        let Some(names) = self.item.get(attribute) else { return Ok(None) };
        let names = names.as_l().map_err(|_| self.corrupt(attribute))?;
        Ok(Some(names.iter().filter_map(|name| name.as_s().ok().cloned()).collect()))
    }

    fn lone_failures(&self, names: LoneFailureNames) -> Result<LoneFailures, LedgerError> {
        Ok(LoneFailures {
            count: self.count(names.count)?,
            first: self.optional_millisecond(names.first)?,
            last: self.optional_millisecond(names.last)?,
        })
    }

    /// The mails that were begun to a person; none in an item without any.
    pub(crate) fn begun_mails(&self) -> Result<Vec<BegunMail>, LedgerError> {
        let Some(mails) = self.item.get("begun") else { return Ok(Vec::new()) };
        let mails = mails.as_l().map_err(|_| self.corrupt("begun"))?;
        let mail = |mail: &AttributeValue| {
            let mail = Reader { pk: self.pk.clone(), item: mail.as_m().map_err(|_| self.corrupt("begun"))? };
            let invitation = mail.text("invitation")?.parse().map_err(|_| mail.corrupt("invitation"))?;
            Ok(BegunMail { at: mail.time("at")?, invitation })
        };
        mails.iter().map(mail).collect()
    }

    /// The person's last links that were used right after their mail.
    pub(crate) fn used_links(&self) -> Result<Option<UsedLinks>, LedgerError> {
        let made_at = self.optional_time(USED_LINK_MADE_AT)?;
        made_at.map(|made_at| Ok(UsedLinks { count: self.count(USED_LINKS)?, made_at })).transpose()
    }

    /// Whether the person was registered with the identifying attributes only: in the last 14 days, however often the
    /// item was written since.
    pub(crate) fn is_reduced(&self, now: OffsetDateTime) -> Result<bool, LedgerError> {
        match self.optional_time(REDUCED_AT)? {
            Some(at) => Ok(now - at < MAILS_KEPT),
            // Earlier versions wrote no time.
            None => self.flag(REDUCED),
        }
    }

    /// A number that counts from zero; zero in an item that does not have it.
    pub(crate) fn count<N: FromStr + Default>(&self, attribute: &'static str) -> Result<N, LedgerError> {
        if !self.item.contains_key(attribute) {
            return Ok(N::default());
        }
        self.number(attribute)
    }
}

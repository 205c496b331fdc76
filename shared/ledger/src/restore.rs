//! Items that the ledger lost, from a table that DynamoDB restored from its backups.
//!
//! A backup knows nothing of what happened after it was made. So an item is restored only where the ledger has none,
//! and never with a right that may have been used since: see [`Ledger::restore_from`].

use aws_sdk_dynamodb::types::AttributeValue;
use time::OffsetDateTime;

use crate::item::{Item, seconds};
use crate::{ItemType, Ledger, LedgerError};

/// With this many mails of unknown result the worker sends no further mail: the invitation becomes a dead letter with
/// the cause `mail-unknown`, and an operator decides.
const UNRESOLVED: u32 = 2;

/// What became of a backup's items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Copied into the ledger.
    pub copied: u64,
    /// In the ledger already, as they were or newer. They stay as they are.
    pub present: u64,
    /// Not copied: their time is over, or they are one-time codes.
    pub left_out: u64,
    /// Of those copied, login links that are restored as used.
    pub links: u64,
    /// Of those copied, invitations that may have ended since, which are restored in doubt.
    pub invitations: u64,
}

/// How an item of a backup is restored.
#[derive(Debug, PartialEq)]
enum RestoredAs {
    /// As it was.
    Same(Item),
    /// A login link: used.
    UsedLink(Item),
    /// An invitation: in doubt.
    DoubtfulInvitation(Item),
    /// Not at all.
    LeftOut,
}

impl Ledger {
    /// Copies the items of a restored table that the ledger does not have. A repeat copies the rest.
    ///
    /// - A login link is restored as used, because it may have been. Its page mails a fresh one. All links of a
    ///   restored lead are superseded, also those that the ledger still has.
    /// - An invitation that had not ended is restored in doubt: an attempt looks up what was done, and sends no mail
    ///   before an operator has put its dead letter back.
    /// - One-time codes and expired items are not restored.
    ///
    /// # Errors
    /// When a table cannot be read or written. Some items may have been copied by then.
    pub async fn restore_from(&self, backup: &str, now: OffsetDateTime) -> Result<Restored, LedgerError> {
        let mut restored = Restored::default();
        let scan = self.client.scan().table_name(backup).consistent_read(true);
        let mut items = scan.into_paginator().items().send();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| LedgerError::unavailable(&error))?;
            let (item, counts) = match RestoredAs::of(item, now) {
                RestoredAs::LeftOut => {
                    restored.left_out += 1;
                    continue;
                }
                RestoredAs::Same(item) => (item, None),
                RestoredAs::UsedLink(item) => (item, Some(&mut restored.links)),
                RestoredAs::DoubtfulInvitation(item) => (item, Some(&mut restored.invitations)),
            };
            if self.put_new(item).await? {
                restored.copied += 1;
                counts.into_iter().for_each(|count| *count += 1);
            } else {
                restored.present += 1;
            }
        }
        Ok(restored)
    }

    /// Writes an item unless there is one with its key; whether it did.
    async fn put_new(&self, item: Item) -> Result<bool, LedgerError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        match put.condition_expression("attribute_not_exists(pk)").send().await {
            Ok(_) => Ok(true),
            Err(error) => LedgerError::unmet_condition(error).map(|_| false),
        }
    }
}

impl RestoredAs {
    fn of(mut item: Item, now: OffsetDateTime) -> Self {
        let number = |item: &Item, name: &str| item.get(name)?.as_n().ok()?.parse::<i64>().ok();
        if number(&item, "expires_at").is_some_and(|expires_at| expires_at <= now.unix_timestamp()) {
            return Self::LeftOut;
        }
        let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).map_or("", String::as_str);
        // An item of a type that another version wrote.
        let Some(item_type) = ItemType::of_key(pk) else { return Self::Same(item) };
        match item_type {
            ItemType::Challenge => Self::LeftOut,
            ItemType::Link => {
                item.entry("used_at".to_owned()).or_insert_with(|| seconds(now));
                Self::UsedLink(item)
            }
            ItemType::Lead => {
                item.insert("newest_link_used".to_owned(), seconds(now));
                Self::Same(item)
            }
            ItemType::Invitation if !item.contains_key("outcome") => {
                let has_lead = item.contains_key("lead_id");
                let mails = number(&item, "unresolved_mails").unwrap_or_default().max(UNRESOLVED.into());
                item.insert("in_doubt".to_owned(), AttributeValue::Bool(!has_lead));
                item.insert("unresolved_mails".to_owned(), AttributeValue::N(mails.to_string()));
                Self::DoubtfulInvitation(item)
            }
            ItemType::Allowance
            | ItemType::Attempts
            | ItemType::Bookmark
            | ItemType::Count
            | ItemType::Held
            | ItemType::Invitation
            | ItemType::Mails
            | ItemType::ApplicationMarker
            | ItemType::Network
            | ItemType::Person
            | ItemType::Places
            | ItemType::Reminder
            | ItemType::Requests
            | ItemType::RuleLookups
            | ItemType::Sender
            | ItemType::Session
            | ItemType::Texts => Self::Same(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::item::text;

    const NOW: OffsetDateTime = datetime!(2026-01-02 12:00:00 UTC);

    fn item(pk: &str, attributes: &[(&str, AttributeValue)]) -> Item {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        attributes
            .chain([("pk".to_owned(), text(pk)), ("expires_at".to_owned(), seconds(NOW + time::Duration::DAY))])
            .collect()
    }

    #[test]
    fn an_unused_link_is_restored_as_used_and_a_used_one_as_it_was() {
        let unused = item("link#1", &[("made_at", seconds(NOW))]);
        let used = item("link#1", &[("made_at", seconds(NOW)), ("used_at", seconds(NOW))]);
        assert_eq!(RestoredAs::of(unused, NOW), RestoredAs::UsedLink(used.clone()));
        assert_eq!(RestoredAs::of(used.clone(), NOW + time::Duration::HOUR), RestoredAs::UsedLink(used));
    }

    #[test]
    fn an_invitation_that_may_have_ended_is_restored_in_doubt_and_an_ended_one_as_it_was() {
        let number = |value: u32| AttributeValue::N(value.to_string());
        for (lead, doubt) in [(None, true), (Some(("lead_id", text("11111111-1111-4111-8111-111111111111"))), false)] {
            let attributes = |mails: u32, in_doubt: bool| {
                let both = [("unresolved_mails", number(mails)), ("in_doubt", AttributeValue::Bool(in_doubt))];
                item("invitation#1", &both.into_iter().chain(lead.clone()).collect::<Vec<_>>())
            };
            assert_eq!(RestoredAs::of(attributes(0, false), NOW), RestoredAs::DoubtfulInvitation(attributes(2, doubt)));
            assert_eq!(RestoredAs::of(attributes(3, false), NOW), RestoredAs::DoubtfulInvitation(attributes(3, doubt)));
        }
        let ended = item("invitation#1", &[("outcome", text("invited")), ("unresolved_mails", number(0))]);
        assert_eq!(RestoredAs::of(ended.clone(), NOW), RestoredAs::Same(ended));
    }

    #[test]
    fn the_links_of_a_restored_lead_are_superseded() {
        let before = item("lead#1", &[("newest_link_used", seconds(NOW - time::Duration::DAY))]);
        assert_eq!(
            RestoredAs::of(before, NOW),
            RestoredAs::Same(item("lead#1", &[("newest_link_used", seconds(NOW))]))
        );
    }

    #[test]
    fn expired_items_and_one_time_codes_are_not_restored() {
        assert_eq!(RestoredAs::of(item("code#1", &[]), NOW), RestoredAs::LeftOut);
        assert_eq!(RestoredAs::of(item("person#1", &[]), NOW + time::Duration::DAY), RestoredAs::LeftOut);
        let endless = Item::from([("pk".to_owned(), text("allowance#line"))]);
        assert_eq!(RestoredAs::of(endless.clone(), NOW), RestoredAs::Same(endless));
    }
}

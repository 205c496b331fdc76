//! Whose an item is, and everything that a person or a lead has in the table.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use leadsquared::LeadId;
use onboarding::{Invitation, InvitationId, Invitee, PersonKey, Record};
use time::OffsetDateTime;

use crate::item::{Item, Reader, invitation_key, lead_key, person_key, text};
use crate::{ItemType, Ledger, LedgerError};

/// The attribute that names an item's owner.
pub(crate) const OWNER: &str = "owner";

/// Whose an item is: the hash of a person's e-mail address, or the id of a lead whose address is not known.
///
/// As text the first is 64 hexadecimal digits and the second a GUID, so that the two cannot be confused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The person with this address.
    Person(PersonKey),
    /// This lead.
    Lead(LeadId),
}

impl Owner {
    /// Whose an invitation is.
    pub fn of(invitation: &Invitation) -> Self {
        match &invitation.invitee {
            Invitee::Email(email) => Self::Person(PersonKey::of(email)),
            Invitee::Lead(lead) => Self::Lead(*lead),
        }
    }

    /// The same, as far as an attempt has found out.
    pub(crate) fn of_record(invitation: &Invitation, record: &Record) -> Self {
        record.person.clone().map_or_else(|| Self::of(invitation), Self::Person)
    }

    /// The attribute's value.
    pub(crate) fn value(&self) -> AttributeValue {
        text(&self.to_string())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(person) => f.write_str(person.as_str()),
            Self::Lead(lead) => lead.fmt(f),
        }
    }
}

/// Neither the hash of an address nor the id of a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an owner: 64 hexadecimal digits or a lead's id were expected")]
pub struct MalformedOwner;

impl FromStr for Owner {
    type Err = MalformedOwner;

    fn from_str(text: &str) -> Result<Self, MalformedOwner> {
        let lead = || text.parse().map(Self::Lead).map_err(|_| MalformedOwner);
        text.parse().map(Self::Person).or_else(|_| lead())
    }
}

/// An item that belongs to one of the owners that were asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedItem {
    /// Its key.
    pub pk: String,
    /// Its type.
    pub item_type: ItemType,
    /// The person and the lead that it names: other items may have them as owners.
    pub names: Vec<Owner>,
    /// The invitation that it is about.
    pub invitation: Option<InvitationId>,
}

/// The most owners that one scan asks about: a lead takes two of the 100 operands that DynamoDB permits `IN`.
const OWNERS_PER_SCAN: usize = 50;

impl Ledger {
    /// Every item that belongs to one of these owners, whatever version wrote it: by the attribute `owner`, and by
    /// `person`, `lead_id` and the key, which items of earlier versions have instead.
    ///
    /// An item can name another owner too ([`OwnedItem::names`]), such as the lead of a person. The items of that owner
    /// are found by a second call with it. Each call scans the whole table, once for every 50 owners.
    ///
    /// # Errors
    /// When the table cannot be read, or not understood.
    pub async fn owned_by(&self, owners: &[Owner]) -> Result<Vec<OwnedItem>, LedgerError> {
        let mut found = Vec::new();
        for owners in owners.chunks(OWNERS_PER_SCAN) {
            let (filter, values) = filter(owners);
            let names = ["pk", OWNER, "person", "lead_id", "begun"];
            let mut after = None;
            loop {
                let page = self.page(&filter, &names, &[], values.clone(), true, after.take()).await?;
                for item in &page.items {
                    found.extend(OwnedItem::read(item)?);
                    found.extend(self.begun_invitations(item).await?);
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        let mut seen = BTreeSet::new();
        found.retain(|item| seen.insert(item.pk.clone()));
        Ok(found)
    }

    /// The invitations for which mails were begun to a person: those of the first version name no person themselves.
    async fn begun_invitations(&self, item: &Item) -> Result<Vec<OwnedItem>, LedgerError> {
        let mut found = Vec::new();
        for mail in (Reader { pk: String::new(), item }).begun_mails()? {
            if let Some(item) = self.read(&invitation_key(mail.invitation)).await? {
                found.extend(OwnedItem::read(&item)?);
            }
        }
        Ok(found)
    }

    /// Deletes an item. A held application on which no operator has decided counts as discarded. Does nothing if the
    /// item is gone already.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. The item may be deleted then.
    pub async fn erase(&self, item: &OwnedItem, now: OffsetDateTime) -> Result<(), LedgerError> {
        if item.item_type == ItemType::Held && self.erase_undecided(&item.pk, now).await? {
            return Ok(());
        }
        let delete = self.client.delete_item().table_name(&self.table).key("pk", text(&item.pk));
        delete.send().await.map(drop).map_err(|error| LedgerError::unavailable(&error))
    }
}

/// The filter that lets the items of these owners through, with its values.
fn filter(owners: &[Owner]) -> (String, Item) {
    let (mut names, mut keys) = (Vec::new(), Vec::new());
    for owner in owners {
        names.push(owner.value());
        let person = match owner {
            Owner::Person(person) => person.clone(),
            Owner::Lead(lead) => {
                keys.push(text(&lead_key(lead)));
                // The person of an invitation whose lead has no known address.
                let person = PersonKey::of_lead(lead);
                names.push(text(person.as_str()));
                person
            }
        };
        keys.push(text(&person_key(&person)));
    }
    let mut values = Item::new();
    let mut operands = |kind: char, of: Vec<AttributeValue>| {
        let named: Vec<_> = of.into_iter().enumerate().map(|(n, value)| (format!(":{kind}{n}"), value)).collect();
        let operands = named.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(", ");
        values.extend(named);
        operands
    };
    let (names, keys) = (operands('n', names), operands('k', keys));
    let filter = format!("#owner IN ({names}) OR #person IN ({names}) OR #lead_id IN ({names}) OR #pk IN ({keys})");
    (filter, values)
}

impl OwnedItem {
    /// None for an item of a type that this version does not know.
    fn read(item: &Item) -> Result<Option<Self>, LedgerError> {
        let item = Reader { pk: String::new(), item };
        let pk = item.text("pk")?;
        let Some(item_type) = ItemType::of_key(pk) else { return Ok(None) };
        let (_, name) = pk.split_once('#').unwrap_or_default();
        let named = match item_type {
            ItemType::Lead | ItemType::Person => Some(name),
            _ => None,
        };
        let of_attributes = [OWNER, "person", "lead_id"].map(|attribute| item.optional_text(attribute));
        let mut names: Vec<Owner> = Vec::new();
        for owner in of_attributes.into_iter().chain([named]).flatten().filter_map(|text| text.parse().ok()) {
            if !names.contains(&owner) {
                names.push(owner);
            }
        }
        let is_of_invitation = matches!(item_type, ItemType::Invitation | ItemType::Held);
        let invitation = is_of_invitation.then(|| name.parse().ok()).flatten();
        Ok(Some(Self { pk: pk.to_owned(), item_type, names, invitation }))
    }

    /// The leads that it names.
    pub fn leads(&self) -> impl Iterator<Item = LeadId> {
        self.names.iter().filter_map(|owner| match owner {
            Owner::Lead(lead) => Some(*lead),
            Owner::Person(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_one_text_that_reads_back() {
        let lead: LeadId = "5b0f6c0e-8f61-4d5f-9c8e-2a7d9c1b3e44".parse().unwrap();
        let person = PersonKey::of(&"asha.rao@example.com".parse().unwrap());
        for owner in [Owner::Lead(lead), Owner::Person(person)] {
            assert_eq!(owner.to_string().parse(), Ok(owner));
        }
        assert_eq!("asha.rao@example.com".parse::<Owner>(), Err(MalformedOwner));
    }
}

//! Whose an item is, and everything that a person or a lead has in the table.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use leadsquared::LeadId;
use onboarding::{Invitation, InvitationId, PersonKey, Record, Whom};

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
        match &invitation.whom {
            Whom::Email(email) => Self::Person(PersonKey::of(email)),
            Whom::Lead(lead) => Self::Lead(*lead),
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
    /// The person and the lead that it names: owners by whom more may be found.
    pub names: Vec<Owner>,
    /// The invitation that it is about.
    pub invitation: Option<InvitationId>,
}

/// The most owners that one scan asks about: DynamoDB permits 100 operands of `IN`.
const AT_A_TIME: usize = 50;

impl Ledger {
    /// Every item that belongs to one of these owners, whatever version wrote it: by the attribute `owner`, and by
    /// `person`,
    /// `lead_id` and the key, which items of earlier versions have instead.
    ///
    /// An item can name more owners ([`OwnedItem::names`]): a person's item the lead, a lead's item the person. All
    /// that is theirs is found by asking again with those, until no new one comes up. It scans the whole table each
    /// time.
    ///
    /// # Errors
    /// When the table cannot be read, or not understood.
    pub async fn owned_by(&self, owners: &[Owner]) -> Result<Vec<OwnedItem>, LedgerError> {
        let mut found = Vec::new();
        for some in owners.chunks(AT_A_TIME) {
            let mut values = HashMap::new();
            let (mut of_owner, mut of_key) = (Vec::new(), Vec::new());
            for (n, owner) in some.iter().enumerate() {
                let pk = match owner {
                    Owner::Person(person) => person_key(person),
                    Owner::Lead(lead) => {
                        // How invitations name a lead whose address is not known.
                        values.insert(format!(":l{n}"), text(PersonKey::of_lead(lead).as_str()));
                        of_owner.push(format!(":l{n}"));
                        lead_key(lead)
                    }
                };
                values.extend([(format!(":o{n}"), owner.value()), (format!(":k{n}"), text(&pk))]);
                of_owner.push(format!(":o{n}"));
                of_key.push(format!(":k{n}"));
            }
            let (of_owner, of_key) = (of_owner.join(", "), of_key.join(", "));
            let filter = format!(
                "#owner IN ({of_owner}) OR #person IN ({of_owner}) OR #lead_id IN ({of_owner}) OR #pk IN ({of_key})"
            );
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

    /// Deletes an item. Does nothing where there is none.
    ///
    /// # Errors
    /// When DynamoDB does not say.
    pub async fn erase(&self, item: &OwnedItem) -> Result<(), LedgerError> {
        let delete = self.client.delete_item().table_name(&self.table).key("pk", text(&item.pk));
        delete.send().await.map(drop).map_err(|error| LedgerError::unavailable(&error))
    }
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

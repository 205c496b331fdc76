//! The ledger's items of a person.

use std::collections::{BTreeMap, HashSet};

use ledger::{ItemType, Ledger, LedgerError, OwnedItem, Owner};
use onboarding::InvitationId;

use super::Person;
use crate::{Clock, OperatorError};

/// The items of a person, in the order in which they are erased: an item by which others are found comes after those,
/// so that a repeat after a crash finds the rest.
pub(super) struct PersonItems(Vec<OwnedItem>);

impl PersonItems {
    /// Finds the items that name the person, adds the leads that those name to the person, and finds the items of all
    /// leads. It does not follow another person of such a lead: siblings may share one.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(super) async fn find(ledger: &Ledger, person: &mut Person) -> Result<Self, LedgerError> {
        let persons: Vec<_> = person.keys().into_iter().map(Owner::Person).collect();
        let mut direct = ledger.owned_by(&persons).await?;
        person.leads.extend(direct.iter().flat_map(OwnedItem::leads));
        let leads: Vec<_> = person.leads.iter().copied().map(Owner::Lead).collect();
        let mut all = ledger.owned_by(&leads).await?;
        all.retain(|item| direct.iter().all(|other| other.pk != item.pk));

        // Invitations of the first version are found by the mails to their person.
        let order = |item: &OwnedItem| (item.item_type == ItemType::Person, item.pk.clone());
        all.sort_by_key(order);
        direct.sort_by_key(order);
        all.extend(direct);
        Ok(Self(all))
    }

    /// The invitations and held applications among them.
    pub(super) fn invitations(&self) -> HashSet<InvitationId> {
        self.0.iter().filter_map(|item| item.invitation).collect()
    }

    /// How many there are of each type.
    pub(super) fn count(&self) -> BTreeMap<ItemType, u64> {
        let mut counts = BTreeMap::new();
        for item in &self.0 {
            *counts.entry(item.item_type).or_default() += 1;
        }
        counts
    }

    /// Deletes them. A held application on which no operator has decided counts as discarded.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. A repeat deletes the rest.
    pub(super) async fn erase(&self, ledger: &Ledger, clock: &impl Clock) -> Result<(), OperatorError> {
        for item in &self.0 {
            ledger.erase(item, clock.now()).await?;
        }
        Ok(())
    }
}

//! The ledger's items about a person.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use leadsquared::LeadId;
use ledger::Trace;
use onboarding::{InvitationId, PersonKey};
use time::OffsetDateTime;

use super::Person;
use crate::{OperatorError, Stack};

/// The type of items whose erasure is counted as a decision.
const HELD: &str = "held";

/// The items about a person, with the leads and invitations by which they were found.
pub(super) struct PersonItems {
    /// In the order in which they are erased: an item by which others are found comes after those, so that a repeat
    /// after a crash finds the rest.
    items: Vec<Trace>,
    pub(super) leads: BTreeSet<LeadId>,
    pub(super) invitations: HashSet<InvitationId>,
    keys: HashSet<PersonKey>,
}

impl PersonItems {
    /// Picks the items about this person.
    pub(super) fn among(all: Vec<Trace>, person: &Person) -> Self {
        let own = person.keys();
        let is_mail_book = |trace: &Trace| trace.item_type() == "person";
        let is_named = |trace: &Trace, keys: &HashSet<PersonKey>| trace.persons.iter().any(|one| keys.contains(one));
        // Invitations of the first version do not name the person: those are known by the mails that were begun.
        let books = all.iter().filter(|trace| is_mail_book(trace) && is_named(trace, &own));
        let mailed: HashSet<_> =
            books.flat_map(|book| &book.invitations).map(|id| format!("invitation#{id}")).collect();
        let is_direct = |trace: &Trace| is_named(trace, &own) || mailed.contains(&trace.pk);
        let mut leads = person.leads.clone();
        leads.extend(all.iter().filter(|trace| is_direct(trace)).flat_map(|trace| &trace.leads));
        let mut keys = own.clone();
        keys.extend(leads.iter().map(PersonKey::of_lead));

        let is_of_lead = |trace: &Trace| trace.leads.iter().any(|lead| leads.contains(lead)) || is_named(trace, &keys);
        let order = |trace: &Trace| match trace.item_type() {
            "person" => 3,
            _ if is_direct(trace) => 2,
            "lead" => 1,
            _ => 0,
        };
        let mut items: Vec<_> = all.iter().filter(|trace| is_direct(trace) || is_of_lead(trace)).cloned().collect();
        items.sort_by_key(|trace| (order(trace), trace.pk.clone()));
        let ids = items.iter().filter_map(|trace| trace.pk.strip_prefix("invitation#")?.parse().ok());
        Self { invitations: ids.collect(), items, leads, keys }
    }

    /// Whether a message of this group is about the person.
    pub(super) fn has_key(&self, group: &str) -> bool {
        self.keys.iter().any(|key| key.as_str() == group)
    }

    /// How many there are of each type.
    pub(super) fn count(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for trace in &self.items {
            *counts.entry(trace.item_type().to_owned()).or_default() += 1;
        }
        counts
    }

    /// Deletes them. A held application on which no operator has decided counts as discarded.
    pub(super) async fn erase(&self, stack: &Stack, now: OffsetDateTime) -> Result<(), OperatorError> {
        let (held, others): (Vec<_>, Vec<_>) = self.items.iter().partition(|trace| trace.item_type() == HELD);
        if !held.is_empty() {
            for key in &self.keys {
                stack.ledger.forget_held(key, now).await?;
            }
        }
        for trace in others {
            stack.ledger.erase_trace(trace).await?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn pks(&self) -> Vec<&str> {
        self.items.iter().map(|trace| &*trace.pk).collect()
    }
}

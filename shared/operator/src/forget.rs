//! `forget`: erasing what a stack has of a person, and saying what stays where and until when.
//!
//! The person is known by the e-mail address, by lead ids, or by both. What the ledger has without an address is found
//! by the lead's id, at any age; LeadSquared is asked for it. Without confirmation everything is found and nothing is
//! erased. A repeat erases what is left.

mod account;
mod items;
mod messages;
mod report;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;

use leadsquared::{EmailAddress, LeadId};
use ledger::ItemType;
use onboarding::PersonKey;

use crate::received::{Queue, with_messages};
use crate::{Clock, ExitStatus, OperatorError, Stack, dead_letters};

use items::PersonItems;

/// The queues with messages of persons.
const QUEUES: [Queue; 3] = [Queue::Invitations, Queue::DeadLetters, Queue::UndeliveredEvents];

/// Invitee to forget: by the address, by leads, or by both. `Debug` does not show the address.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The person's e-mail address.
    pub email: Option<EmailAddress>,
    /// The person's leads in LeadSquared, as far as the operator knows them.
    pub leads: Vec<LeadId>,
}

/// The addresses and leads by which a person is known.
#[derive(Clone, Debug, Default)]
struct Person {
    emails: BTreeSet<EmailAddress>,
    leads: BTreeSet<LeadId>,
}

impl Person {
    /// How items and messages name the person: by each address, and by each lead whose address was not known.
    fn keys(&self) -> HashSet<PersonKey> {
        let by_email = self.emails.iter().map(PersonKey::of);
        by_email.chain(self.leads.iter().map(PersonKey::of_lead)).collect()
    }
}

/// What was found of a person, and what of it is erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Whether it was erased, and not only found.
    pub is_erased: bool,
    /// How many of the ledger's items, by type.
    pub items: BTreeMap<ItemType, u64>,
    /// How many dead letters and undelivered events.
    pub dead_letters: u64,
    /// How many invitations that waited on the queue.
    pub invitations: u64,
    /// About how many dead letters could not be looked at, of any person.
    pub dead_letters_unseen: u64,
    /// About how many invitations could not be looked at, of any person: the worker has them, or they wait for their
    /// next attempt.
    pub invitations_unseen: u64,
    /// The person's leads. LeadSquared keeps them.
    pub leads: BTreeSet<LeadId>,
    /// Why LeadSquared could not be asked for the person's leads, if so.
    pub not_asked: Option<String>,
    /// For how many days the functions' logs are kept, if the stack says so.
    pub log_days: Option<u32>,
}

impl Forgotten {
    /// Whether it found nothing to erase.
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.dead_letters == 0 && self.invitations == 0
    }

    fn ending(&self) -> ExitStatus {
        let is_all = self.dead_letters_unseen == 0 && self.invitations_unseen == 0 && self.not_asked.is_none();
        match is_all && (self.is_erased || self.is_empty()) {
            true => ExitStatus::Done,
            false => ExitStatus::Unfinished,
        }
    }
}

/// Forgets a person and reports what was erased and what stays.
///
/// # Errors
/// When AWS does not answer. Running it again erases what is left.
pub async fn run(
    stack: &Stack,
    request: &Request,
    confirmed: bool,
    clock: &impl Clock,
    out: &mut impl Write,
) -> Result<ExitStatus, OperatorError> {
    let forgotten = forget(stack, request, confirmed, clock).await?;
    out.write_all(report::report(&forgotten).as_bytes())?;
    Ok(forgotten.ending())
}

/// Finds what the stack has of a person, and erases it if that is confirmed.
///
/// Everything that needs a right is asked for before anything is deleted.
///
/// # Errors
/// When AWS does not answer. A repeat erases what is left.
pub async fn forget(
    stack: &Stack,
    request: &Request,
    confirmed: bool,
    clock: &impl Clock,
) -> Result<Forgotten, OperatorError> {
    let emails = request.email.iter().flat_map(EmailAddress::spellings).collect();
    let mut person = Person { emails, leads: request.leads.iter().copied().collect() };
    let not_asked = account::complete(stack, &mut person).await.err();
    with_messages(stack, &QUEUES, async |received| {
        let invitations_unseen = received.out_of_sight(&[Queue::Invitations]).await?;
        let dead_letters_unseen = received.out_of_sight(&dead_letters::QUEUES).await?;
        // After the messages were received, so that no worker adds items for them any more.
        let found = PersonItems::find(&stack.ledger, &mut person).await?;
        let (all, invitations) = (received.messages().iter(), found.invitations());
        let theirs: Vec<_> =
            all.filter(|message| messages::is_about(message, &person, &invitations)).cloned().collect();
        let waiting = theirs.iter().filter(|message| message.queue == Queue::Invitations).count() as u64;
        let forgotten = Forgotten {
            is_erased: confirmed,
            items: found.count(),
            dead_letters: theirs.len() as u64 - waiting,
            invitations: waiting,
            dead_letters_unseen,
            invitations_unseen,
            leads: person.leads.clone(),
            not_asked,
            log_days: stack.parameters().text("LogRetentionDays").and_then(|days| days.parse().ok()),
        };
        if confirmed {
            for message in &theirs {
                received.delete(message).await?;
            }
            found.erase(&stack.ledger, clock).await?;
        }
        Ok(forgotten)
    })
    .await
}

#[cfg(test)]
mod tests;

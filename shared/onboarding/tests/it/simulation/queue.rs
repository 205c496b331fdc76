//! An SQS FIFO queue as far as the flow can tell.

use std::collections::HashMap;
use std::time::Duration;

use onboarding::retry::{MAX_RECEIVES, RETENTION};
use onboarding::{Invitation, InvitationId, PersonKey};
use uuid::Uuid;

use super::seconds;
use super::timeline::Chance;

/// As in the template: six times the worker's time-out.
const VISIBILITY: Duration = Duration::from_secs(360);

/// As in the template.
const BATCH: usize = 5;

#[derive(Default)]
pub(super) struct Queue {
    messages: Vec<Message>,
    sent: HashMap<InvitationId, Duration>,
    last: u64,
    pub(super) given_up: usize,
    pub(super) delivered_twice: bool,
}

#[derive(Clone)]
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) group: PersonKey,
    pub(super) invitation: Invitation,
    /// The invitation as the queue's text.
    pub(super) body: String,
    pub(super) sent_at: Duration,
    pub(super) receives: u32,
    /// Of the last delivery: an earlier one has no say any more.
    receipt: u64,
    hidden_until: Duration,
}

impl Queue {
    /// Stores it, unless it did so in the last five minutes.
    pub(super) fn send(&mut self, invitation: &Invitation, now: Duration) {
        if self.sent.get(&invitation.id).is_some_and(|at| now < *at + seconds(300)) {
            return;
        }
        self.sent.insert(invitation.id, now);
        self.put_back(invitation, now);
    }

    /// Stores it as a new message.
    pub(super) fn put_back(&mut self, invitation: &Invitation, now: Duration) {
        self.last += 1;
        self.messages.push(Message {
            id: Uuid::from_u128(u128::from(self.last)),
            group: invitation.person(),
            invitation: invitation.clone(),
            body: invitation.encode(),
            sent_at: now,
            receives: 0,
            receipt: 0,
            hidden_until: now,
        });
    }

    /// Messages of groups of which none is hidden, each group's in order and the groups in any.
    pub(super) fn receive(&mut self, now: Duration, chance: &mut Chance) -> Vec<Message> {
        let mut groups: Vec<(u64, PersonKey)> = Vec::new();
        for message in &self.messages {
            if groups.iter().all(|(_, group)| *group != message.group) {
                groups.push((chance.number(), message.group.clone()));
            }
        }
        groups.sort_by_key(|(order, _)| *order);
        // Rarely a delivery is not remembered for long, and somebody else gets the same messages.
        let visibility = if chance.in_a_thousand(20) { seconds(3) } else { VISIBILITY };
        let mut batch = Vec::new();
        for (_, group) in groups {
            let is_of_group = |message: &&mut Message| message.group == group;
            if self.messages.iter_mut().filter(is_of_group).any(|message| message.hidden_until > now) {
                continue;
            }
            for message in self.messages.iter_mut().filter(is_of_group).take(BATCH - batch.len()) {
                self.last += 1;
                message.receipt = self.last;
                message.receives += 1;
                message.hidden_until = now + visibility;
                self.delivered_twice |= message.receives > 1;
                batch.push(message.clone());
            }
        }
        let before = self.messages.len();
        self.messages.retain(|message| message.receives <= MAX_RECEIVES && now < message.sent_at + RETENTION);
        self.given_up += before - self.messages.len();
        batch
    }

    pub(super) fn delete(&mut self, message: &Message) {
        self.messages.retain(|other| other.receipt != message.receipt);
    }

    pub(super) fn put_off(&mut self, message: &Message, now: Duration, wait: Duration) {
        if let Some(message) = self.messages.iter_mut().find(|other| other.receipt == message.receipt) {
            message.hidden_until = now + wait;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// When there may be something to receive: when the last hidden message of some group is to be seen again.
    pub(super) fn next(&self) -> Option<Duration> {
        let shown = |message: &Message| {
            let group = self.messages.iter().filter(|other| other.group == message.group);
            group.map(|other| other.hidden_until).max()
        };
        self.messages.iter().filter_map(shown).min()
    }
}

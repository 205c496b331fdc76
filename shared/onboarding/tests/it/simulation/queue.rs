//! An SQS FIFO queue, with the behaviour that the flow depends on.

use std::collections::HashMap;
use std::time::Duration;

use onboarding::Invitation;
use onboarding::retry::{MAX_RECEIVES, RETENTION};
use uuid::Uuid;

use super::seconds;
use super::timeline::Chance;

/// The visibility time-out of the template: six times the worker's time-out.
const VISIBILITY: Duration = Duration::from_secs(360);

/// The batch size of the template.
const BATCH: usize = 5;

#[derive(Default)]
pub(super) struct Queue {
    messages: Vec<Message>,
    /// When each group and deduplication id was sent.
    sent: HashMap<(String, String), Duration>,
    last: u64,
    pub(super) given_up: usize,
    pub(super) delivered_twice: bool,
    /// Whether a question was delivered while another message of its lead was not done.
    pub(super) question_was_beside_another: bool,
}

#[derive(Clone)]
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) group: String,
    pub(super) invitation: Invitation,
    /// The encoded invitation.
    pub(super) body: String,
    pub(super) sent_at: Duration,
    pub(super) receives: u32,
    /// When the message that made way was sent first, and how often it was delivered before.
    pub(super) before: Option<(Duration, u32)>,
    /// The receipt of the last delivery. Earlier receipts are no longer valid.
    receipt: u64,
    hidden_until: Duration,
}

impl Queue {
    /// Stores an invitation, unless the queue stored the same one in the last five minutes.
    pub(super) fn send(&mut self, invitation: &Invitation, now: Duration) {
        self.send_as(invitation.deduplication_id(), invitation, now);
    }

    /// Stores an invitation, unless the queue stored one of its group with this deduplication id in the last five
    /// minutes.
    pub(super) fn send_as(&mut self, deduplication_id: String, invitation: &Invitation, now: Duration) {
        let group = invitation.message_group();
        if self.is_new(&group, deduplication_id, now) {
            self.store(group, invitation, None, now);
        }
    }

    /// Stores a message again, in a group of its own.
    pub(super) fn make_way(&mut self, message: &Message, now: Duration) {
        let group = message.invitation.own_message_group();
        if self.is_new(&group, message.id.to_string(), now) {
            self.store(group, &message.invitation, Some((message.waiting_since(), message.deliveries())), now);
        }
    }

    fn is_new(&mut self, group: &str, deduplication_id: String, now: Duration) -> bool {
        let key = (group.to_owned(), deduplication_id);
        let is_new = self.sent.get(&key).is_none_or(|at| now >= *at + seconds(300));
        if is_new {
            self.sent.insert(key, now);
        }
        is_new
    }

    /// Stores an invitation as a new message.
    pub(super) fn put_back(&mut self, invitation: &Invitation, now: Duration) {
        self.store(invitation.message_group(), invitation, None, now);
    }

    fn store(&mut self, group: String, invitation: &Invitation, before: Option<(Duration, u32)>, now: Duration) {
        self.last += 1;
        self.messages.push(Message {
            id: Uuid::from_u128(u128::from(self.last)),
            group,
            invitation: invitation.clone(),
            body: invitation.encode(),
            sent_at: now,
            receives: 0,
            before,
            receipt: 0,
            hidden_until: now,
        });
    }

    /// Messages of the groups without a hidden message. The messages of a group are in order; the groups are in random
    /// order.
    pub(super) fn receive(&mut self, now: Duration, chance: &mut Chance) -> Vec<Message> {
        let mut groups: Vec<(u64, String)> = Vec::new();
        for message in &self.messages {
            if groups.iter().all(|(_, group)| *group != message.group) {
                groups.push((chance.number(), message.group.clone()));
            }
        }
        groups.sort_by_key(|(order, _)| *order);
        // A few deliveries are hidden for 3 s only, so another worker receives the same messages.
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
        let is_beside_another = |question: &Message| {
            let is_other = |other: &&Message| other.group != question.group && other.receives > 0;
            let mut others = self.messages.iter().filter(is_other);
            others.any(|other| other.invitation.invitee == question.invitation.invitee)
        };
        let mut questions = batch.iter().filter(|message| message.invitation.question.is_some());
        self.question_was_beside_another |= questions.any(is_beside_another);
        let before = self.messages.len();
        self.messages.retain(|message| message.receives <= MAX_RECEIVES && now < message.sent_at + RETENTION);
        self.given_up += before - self.messages.len();
        batch
    }

    pub(super) fn delete(&mut self, message: &Message) {
        self.messages.retain(|other| other.receipt != message.receipt);
    }

    pub(super) fn change_visibility(&mut self, message: &Message, now: Duration, wait: Duration) {
        if let Some(message) = self.messages.iter_mut().find(|other| other.receipt == message.receipt) {
            message.hidden_until = now + wait;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The next time at which a message may be received: when the last hidden message of a group becomes visible again.
    pub(super) fn next(&self) -> Option<Duration> {
        let shown = |message: &Message| {
            let group = self.messages.iter().filter(|other| other.group == message.group);
            group.map(|other| other.hidden_until).max()
        };
        self.messages.iter().filter_map(shown).min()
    }
}

impl Message {
    /// When it was sent first.
    pub(super) fn waiting_since(&self) -> Duration {
        self.before.map_or(self.sent_at, |(sent_at, _)| sent_at)
    }

    /// How often it was delivered, this time included.
    pub(super) fn deliveries(&self) -> u32 {
        self.receives + self.before.map_or(0, |(_, deliveries)| deliveries)
    }
}

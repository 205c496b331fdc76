//! The invitations queue: messages of different people, and when each can be received.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

/// A message. All messages are of different people, so each is a message group of its own.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) body: String,
    pub(super) sent_at: Duration,
    pub(super) receives: u32,
}

/// The messages that no invocation has, by the time from which they can be received.
#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: BTreeMap<(Duration, u64), Message>,
    last: u64,
}

impl Queue {
    /// Stores a message that can be received from this time on.
    pub(super) fn put(&mut self, message: Message, from: Duration) {
        self.last += 1;
        self.messages.insert((from, self.last), message);
    }

    /// The oldest messages that can be received, at most `most`.
    pub(super) fn receive(&mut self, most: usize, now: Duration) -> Vec<Message> {
        let mut batch = Vec::new();
        while batch.len() < most
            && let Some(first) = self.messages.first_entry().filter(|first| first.key().0 <= now)
        {
            let mut message = first.remove();
            message.receives += 1;
            batch.push(message);
        }
        batch
    }

    /// When the next message can be received.
    pub(super) fn next(&self) -> Option<Duration> {
        self.messages.first_key_value().map(|((from, _), _)| *from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_received_in_order_and_not_before_their_time() {
        let mut queue = Queue::default();
        let message =
            |number| Message { id: Uuid::from_u128(number), body: String::new(), sent_at: Duration::ZERO, receives: 0 };
        for (number, second) in [(1, 0), (2, 5), (3, 0), (4, 0)] {
            queue.put(message(number), Duration::from_secs(second));
        }
        let mut received = |most, second| {
            let batch = queue.receive(most, Duration::from_secs(second));
            (batch.iter().map(|message| message.id.as_u128()).collect::<Vec<_>>(), queue.next())
        };
        assert_eq!(received(2, 1), (vec![1, 3], Some(Duration::ZERO)));
        assert_eq!(received(2, 1), (vec![4], Some(Duration::from_secs(5))));
        assert_eq!(received(2, 1), (vec![], Some(Duration::from_secs(5))));
        assert_eq!(received(2, 5), (vec![2], None));
    }
}

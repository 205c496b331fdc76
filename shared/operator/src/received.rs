//! Receives messages from the stack's queues, so that a command can read them, and returns them afterwards.
//!
//! SQS hides a received message from all other consumers until it is returned
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use time::OffsetDateTime;

use crate::format::from_milliseconds;
use crate::{OperatorError, Stack};

/// How many messages SQS sends or takes back in one call.
const BATCH: i32 = 10;

/// A queue of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// The dead letters: messages that no retry would help.
    DeadLetters,
    /// Events that AWS could not deliver to bus-event.
    UndeliveredEvents,
    /// Invitations that wait for the worker.
    Invitations,
}

impl Queue {
    /// The output of the stack with the queue's URL.
    const fn output(self) -> &'static str {
        match self {
            Self::DeadLetters => "DeadLettersQueueUrl",
            Self::UndeliveredEvents => "UndeliveredEventsQueueUrl",
            Self::Invitations => "InvitationsQueueUrl",
        }
    }

    /// How long a received message stays hidden, in seconds, unless it is returned earlier. For dead letters, long
    /// enough to put ten thousand back. For invitations, short, because the worker waits for them.
    const fn hidden_for(self) -> i32 {
        match self {
            Self::DeadLetters | Self::UndeliveredEvents => 15 * 60,
            Self::Invitations => 2 * 60,
        }
    }

    /// The most messages to receive.
    const fn most(self) -> usize {
        match self {
            Self::DeadLetters | Self::UndeliveredEvents => usize::MAX,
            Self::Invitations => 1000,
        }
    }
}

/// A received message. It has no `Debug`, because its body is personal data.
pub(crate) struct ReceivedMessage {
    pub(crate) queue: Queue,
    pub(crate) id: String,
    pub(crate) body: String,
    /// The texts of its message attributes.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Its message group, which is the person, except for a question and for a message that made way; none in a queue
    /// without groups.
    pub(crate) group: Option<String>,
    /// When it was put on this queue.
    pub(crate) sent_at: OffsetDateTime,
    handle: String,
}

impl ReceivedMessage {
    fn new(queue: Queue, message: Message) -> Self {
        let system = |name| message.attributes.as_ref()?.get(&name).cloned();
        let sent_at = system(MessageSystemAttributeName::SentTimestamp).and_then(|text| text.parse().ok());
        let attributes = message.message_attributes.iter().flatten();
        Self {
            queue,
            attributes: attributes
                .filter_map(|(name, value)| Some((name.clone(), value.string_value.clone()?)))
                .collect(),
            group: system(MessageSystemAttributeName::MessageGroupId),
            sent_at: from_milliseconds(sent_at.unwrap_or_default()),
            id: message.message_id.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
            handle: message.receipt_handle.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
impl ReceivedMessage {
    /// A message for tests: the first on its queue, in the group `person`.
    pub(crate) fn for_test(queue: Queue, body: &str, attributes: &[(&str, &str)], sent_at: OffsetDateTime) -> Self {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            queue,
            id: "1".to_owned(),
            body: body.to_owned(),
            attributes: attributes.collect(),
            group: Some("person".to_owned()),
            sent_at,
            handle: String::new(),
        }
    }
}

/// The messages that were received and are not deleted.
pub(crate) struct Received<'a> {
    stack: &'a Stack,
    queues: Vec<(Queue, &'a str)>,
    messages: Vec<Arc<ReceivedMessage>>,
}

/// Receives the messages of these queues, runs `work` on them, and returns the messages that `work` did not delete.
///
/// If the process ends earlier, SQS shows them again when their time is over.
pub(crate) async fn with_messages<'a, T>(
    stack: &'a Stack,
    queues: &[Queue],
    work: impl AsyncFnOnce(&mut Received<'a>) -> Result<T, OperatorError>,
) -> Result<T, OperatorError> {
    let queues: Result<Vec<_>, _> =
        queues.iter().map(|queue| Ok::<_, OperatorError>((*queue, stack.output(queue.output())?))).collect();
    let mut received = Received { stack, queues: queues?, messages: Vec::new() };
    let outcome = match received.receive_all().await {
        Ok(()) => work(&mut received).await,
        Err(error) => Err(error),
    };
    let returned = received.return_all().await;
    let outcome = outcome?;
    returned.map(|()| outcome)
}

impl Received<'_> {
    /// The messages that were received and are not deleted.
    pub(crate) fn messages(&self) -> &[Arc<ReceivedMessage>] {
        &self.messages
    }

    /// Deletes a message for good.
    pub(crate) async fn delete(&mut self, message: &ReceivedMessage) -> Result<(), OperatorError> {
        let delete = self.stack.sqs.delete_message().queue_url(self.url(message.queue)).receipt_handle(&message.handle);
        delete.send().await.map_err(OperatorError::call("sqs:DeleteMessage"))?;
        self.messages.retain(|one| (one.queue, &one.id) != (message.queue, &message.id));
        Ok(())
    }

    /// The approximate number of further messages on these queues. They wait behind another message of the same person,
    /// or another consumer has received them.
    pub(crate) async fn out_of_sight(&self, among: &[Queue]) -> Result<u64, OperatorError> {
        let kinds = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let mut all = 0;
        for queue in among {
            all += self.stack.count_messages(self.url(*queue), &kinds).await?;
        }
        let seen = self.messages.iter().filter(|message| among.contains(&message.queue)).count();
        Ok(all.saturating_sub(seen as u64))
    }

    fn url(&self, queue: Queue) -> &str {
        let found = self.queues.iter().find(|(one, _)| *one == queue);
        found.map(|(_, url)| *url).expect("a message is of a queue that was looked at")
    }

    async fn receive_all(&mut self) -> Result<(), OperatorError> {
        for (queue, url) in self.queues.clone() {
            self.receive(queue, url).await?;
        }
        Ok(())
    }

    /// Receives until the queue sends no new message, or the most messages are received. Messages that keep arriving
    /// therefore cannot keep this loop running.
    async fn receive(&mut self, queue: Queue, url: &str) -> Result<(), OperatorError> {
        let mut seen = HashSet::new();
        while seen.len() < queue.most() {
            let receive = self
                .stack
                .sqs
                .receive_message()
                .queue_url(url)
                .max_number_of_messages(BATCH)
                .visibility_timeout(queue.hidden_for())
                .wait_time_seconds(1)
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::All);
            let answer = receive.send().await.map_err(OperatorError::call("sqs:ReceiveMessage"))?;
            let before = seen.len();
            for message in answer.messages.unwrap_or_default() {
                let message = ReceivedMessage::new(queue, message);
                if seen.insert(message.id.clone()) {
                    self.messages.push(Arc::new(message));
                }
            }
            if seen.len() == before {
                break;
            }
        }
        Ok(())
    }

    async fn return_all(&self) -> Result<(), OperatorError> {
        for (queue, url) in &self.queues {
            let messages: Vec<_> = self.messages.iter().filter(|message| message.queue == *queue).collect();
            for some in messages.chunks(BATCH as usize) {
                let entries = some.iter().enumerate().map(|(position, message)| {
                    let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                        .id(position.to_string())
                        .receipt_handle(&message.handle)
                        .visibility_timeout(0);
                    entry.build().expect("id and receipt handle, the required fields, are set")
                });
                let change = self.stack.sqs.change_message_visibility_batch().queue_url(*url);
                let change = change.set_entries(Some(entries.collect())).send().await;
                change.map_err(OperatorError::call("sqs:ChangeMessageVisibility"))?;
            }
        }
        Ok(())
    }
}

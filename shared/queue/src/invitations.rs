//! The queue of invitations and that of dead letters, as SQS has them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::SystemTime;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeNameForSends,
    MessageSystemAttributeValue, SendMessageBatchRequestEntry,
};
use futures::{StreamExt, TryStreamExt, stream};
use onboarding::worker::DeadLetterReason;
use onboarding::{Invitation, InvitationId};
use telemetry::Metric;

use crate::{Delivery, Returns};

/// The FIFO queue of invitations.
#[derive(Clone, Debug)]
pub struct Invitations {
    client: Client,
    url: String,
}

/// The FIFO queue of messages that no repeat would help.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    client: Client,
    url: String,
}

/// SQS did not do what was asked, or it is not known whether it did; sending again is safe, since a FIFO queue drops
/// the second copy. The cause is the service's code, never its text.
#[derive(Debug, thiserror::Error)]
#[error("SQS did not carry out {operation} ({cause}); if this lasts, check the queue's URL and the function's role")]
pub struct QueueError {
    operation: &'static str,
    cause: String,
    is_transient: bool,
}

impl QueueError {
    fn new<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E>) -> Self {
        Self { operation, cause: aws::cause(error), is_transient: aws::is_transient(error) }
    }

    /// Whether the same request may succeed later although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        self.is_transient
    }
}

impl Invitations {
    /// The queue at this URL.
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Puts an invitation on the queue; when this returns, it is stored durably.
    ///
    /// The invitation's person is the message group, so that one person's invitations run one after another. Its id
    /// and payload are the deduplication id: SQS takes a second copy within five minutes for the first
    /// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html>),
    /// and the ledger every later one. It takes the trace of the invocation under way along.
    ///
    /// # Errors
    /// When it is not certain that it is stored.
    pub async fn send(&self, invitation: &Invitation) -> Result<(), QueueError> {
        let send = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_group_id(invitation.person().as_str())
            .message_deduplication_id(deduplication_id(invitation))
            .message_body(sendable(&invitation.encode()))
            .set_message_system_attributes(telemetry::trace().map(trace_header));
        let sent = send.send().await;
        sent.map_err(|error| QueueError::new("SendMessage", &error))?;
        Metric::Accepted { source: invitation.source.name() }.record();
        Ok(())
    }

    /// Puts invitations on the queue as [`send`](Self::send) does, ten at a time; when this returns, all of them are
    /// stored durably.
    ///
    /// # Errors
    /// When it is not certain that all are stored. Some may be.
    pub async fn send_all(&self, invitations: &[Invitation]) -> Result<(), QueueError> {
        let batches = stream::iter(invitations.chunks(BATCH)).map(Ok);
        const OPERATION: &str = "SendMessageBatch";
        let sent = batches.try_for_each_concurrent(BATCHES_AT_ONCE, async |some| {
            let entries = some.iter().enumerate().map(|(position, invitation)| {
                let entry = SendMessageBatchRequestEntry::builder()
                    .id(position.to_string())
                    .message_group_id(invitation.person().as_str())
                    .message_deduplication_id(deduplication_id(invitation))
                    .message_body(sendable(&invitation.encode()))
                    .set_message_system_attributes(telemetry::trace().map(trace_header));
                entry.build().expect("id and body, the required fields, are set")
            });
            let send = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
            let answer = send.send().await.map_err(|error| QueueError::new(OPERATION, &error))?;
            if let Some(entry) = answer.failed().first() {
                let is_transient = !entry.sender_fault();
                return Err(QueueError { operation: OPERATION, cause: entry.code().to_owned(), is_transient });
            }
            for invitation in some {
                Metric::Accepted { source: invitation.source.name() }.record();
            }
            Ok(())
        });
        sent.await
    }

    /// Gives messages that have to come back the time of their return, in whole seconds.
    ///
    /// Without it they would come back all the same, after the queue's own visibility time-out: so a failure is logged
    /// and no more.
    pub async fn put_off(&self, returns: &Returns<'_>) {
        for some in returns.messages.chunks(BATCH) {
            let entries = some.iter().enumerate().map(|(position, (delivery, wait))| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(position.to_string())
                    .receipt_handle(delivery.receipt_handle)
                    .visibility_timeout(i32::try_from(wait.as_secs()).unwrap_or(i32::MAX));
                entry.build().expect("id and receipt handle, the required fields, are set")
            });
            let change = self.client.change_message_visibility_batch().queue_url(&self.url);
            let cause = match change.set_entries(Some(entries.collect())).send().await {
                Ok(answer) if answer.failed().is_empty() => continue,
                Ok(answer) => answer.failed()[0].code().to_owned(),
                Err(error) => aws::cause(&error),
            };
            tracing::warn!(cause, "messages come back later than they should: SQS did not take their new time");
        }
    }
}

/// JSON without the two characters that JSON can hold as they are and SQS refuses
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>): they stand in
/// strings alone, where they can be escaped.
fn sendable(json: &str) -> Cow<'_, str> {
    match json.contains(['\u{fffe}', '\u{ffff}']) {
        true => json.replace('\u{fffe}', r"\ufffe").replace('\u{ffff}', r"\uffff").into(),
        false => json.into(),
    }
}

fn deduplication_id(invitation: &Invitation) -> String {
    format!("{}-{}", invitation.id, &invitation.payload_hash()[..16])
}

/// How many messages SQS takes at a time.
const BATCH: usize = 10;

/// Batches on their way at the same time.
const BATCHES_AT_ONCE: usize = 8;

impl DeadLetters {
    /// The queue at this URL.
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Lays a delivered message aside with the reason as message attributes: `class`, `cause`, `receipt`, and as its
    /// history `deliveries` and `queued_at` (Unix seconds).
    ///
    /// # Errors
    /// When it is not certain that it is stored; the message must then come back.
    pub async fn send(&self, delivery: &Delivery<'_>, reason: &DeadLetterReason) -> Result<(), QueueError> {
        let attribute = |data_type: &str, value: &str| {
            let value = MessageAttributeValue::builder().data_type(data_type).string_value(value).build();
            value.expect("the data type, its one required field, is set")
        };
        let text = |value: &str| attribute("String", &plain(value));
        let number = |value: u64| attribute("Number", &value.to_string());
        let receipt = reason.receipt.map(|receipt| receipt.to_string());
        // SQS takes no dead letter without an id and a group; whatever the record lacks must not keep it on the queue.
        let id = match delivery.message_id {
            "" => InvitationId::of([b"dead letter", delivery.body.as_bytes()]).to_string(),
            id => id.to_owned(),
        };
        let mut send = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_group_id(if delivery.group.is_empty() { &id } else { delivery.group })
            // The same message laid aside twice is one dead letter. After it was put back it is another message: SQS
            // would swallow a second dead letter of the same name for five minutes even if the first is long gone.
            .message_deduplication_id(&id)
            .message_body(sendable(delivery.body))
            .message_attributes("class", text(reason.class))
            .message_attributes("cause", text(&reason.cause))
            .message_attributes("deliveries", number(delivery.receive_count.into()))
            .set_message_system_attributes(Some(delivery.trace).filter(|it| !it.is_empty()).map(trace_header));
        if let Some(queued) = delivery.sent_at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            send = send.message_attributes("queued_at", number(queued.as_secs()));
        }
        if let Some(receipt) = &receipt {
            send = send.message_attributes("receipt", text(receipt));
        }
        send.send().await.map(|_| ()).map_err(|error| QueueError::new("SendMessage", &error))
    }
}

/// A cause as a message attribute may hold it: SQS refuses an empty one and most control characters, and the
/// attributes count towards the message's size.
fn plain(text: &str) -> String {
    const LONGEST: usize = 256;
    let plain: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() || c > '\u{d7ff}' { '?' } else { c }).collect();
    if plain.is_empty() { "?".to_owned() } else { plain }
}

/// The one system attribute a sender may give, by which X-Ray joins what the message leads to
/// (<https://docs.aws.amazon.com/xray/latest/devguide/xray-services-sqs.html>).
fn trace_header(trace: impl Into<String>) -> HashMap<MessageSystemAttributeNameForSends, MessageSystemAttributeValue> {
    let value = MessageSystemAttributeValue::builder().data_type("String").string_value(trace).build();
    let value = value.expect("the data type, its one required field, is set");
    HashMap::from([(MessageSystemAttributeNameForSends::AwsTraceHeader, value)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_what_an_attribute_may_hold() {
        assert_eq!(plain("refused: MX\u{1}\n\u{fffe}é"), "refused: MX???é");
        assert_eq!((plain("").as_str(), plain(&"x".repeat(1000)).len()), ("?", 256));
    }

    #[test]
    fn what_sqs_refuses_is_escaped_and_reads_back_the_same() {
        let text = "a\\\u{fffe}b\u{ffff}\"\u{fffd}";
        let json = serde_json::to_string(text).unwrap();
        let sendable = sendable(&json);
        assert!(!sendable.contains(['\u{fffe}', '\u{ffff}']), "{sendable}");
        assert_eq!(serde_json::from_str::<String>(&sendable).unwrap(), text);
    }
}

//! Sends messages to the two SQS queues: invitations and dead letters.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::SystemTime;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeNameForSends,
    MessageSystemAttributeValue, SendMessageBatchRequestEntry,
};
use futures::{StreamExt, TryStreamExt, stream};
use onboarding::worker::DeadLetterReason;
use onboarding::{Invitation, InvitationId};
use telemetry::Metric;

use crate::batch::{DELIVERIES_BEFORE, WAITING_SINCE};
use crate::{MessageDelivery, Retries};

/// The FIFO queue of invitations.
#[derive(Clone, Debug)]
pub struct Invitations {
    client: Client,
    url: String,
}

/// The FIFO queue of messages that no retry would help.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    client: Client,
    url: String,
}

/// A call to SQS failed, or its result is unknown. Sending again is safe, because a FIFO queue drops the second copy.
/// The cause is the service's error code, never its text.
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

    /// Whether the same call may succeed later without a change by an operator.
    pub fn is_transient(&self) -> bool {
        self.is_transient
    }
}

impl Invitations {
    /// The queue at this URL.
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Opens the connection to SQS, without a call.
    pub async fn connect(&self) {
        let Some(client) = self.client.config().http_client() else { return };
        let only_connecting = aws_sdk_sqs::Config::builder().http_client(aws::only_connecting(client));
        let send = self.client.send_message().queue_url(&self.url).message_body("never sent");
        // It always fails.
        let _ = send.customize().config_override(only_connecting).send().await;
    }

    /// Puts an invitation on the queue. When this succeeds, the invitation is stored durably.
    ///
    /// SQS drops a second copy within five minutes
    /// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>), and the ledger
    /// recognises a later one. The message carries the trace of the current invocation.
    ///
    /// # Errors
    /// When the invitation is possibly not stored.
    pub async fn send(&self, invitation: &Invitation) -> Result<(), QueueError> {
        let send = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_group_id(invitation.message_group())
            .message_deduplication_id(invitation.deduplication_id())
            .message_body(sendable(&invitation.encode()))
            .set_message_system_attributes(telemetry::trace().map(trace_header));
        let sent = send.send().await;
        sent.map_err(|error| QueueError::new("SendMessage", &error))?;
        Metric::Accepted { source: invitation.source.name() }.record();
        Ok(())
    }

    /// Puts invitations on the queue as [`send`](Self::send) does, ten in one call. When this succeeds, all of them are
    /// stored durably.
    ///
    /// # Errors
    /// When some invitations are possibly not stored. Others may be.
    pub async fn send_all(&self, invitations: &[Invitation]) -> Result<(), QueueError> {
        let batches = stream::iter(invitations.chunks(BATCH)).map(Ok);
        const OPERATION: &str = "SendMessageBatch";
        let sent = batches.try_for_each_concurrent(CONCURRENT_BATCHES, async |some| {
            let entries = some.iter().enumerate().map(|(position, invitation)| {
                let entry = SendMessageBatchRequestEntry::builder()
                    .id(position.to_string())
                    .message_group_id(invitation.message_group())
                    .message_deduplication_id(invitation.deduplication_id())
                    .message_body(sendable(&invitation.encode()))
                    .set_message_system_attributes(telemetry::trace().map(trace_header));
                entry.build().expect("id and body, the required fields, are set")
            });
            let send = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
            let sent = send.send().await.map_err(|error| QueueError::new(OPERATION, &error))?;
            if let Some(entry) = sent.failed().first() {
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

    /// Sends a delivered message again, as a new message that SQS keeps for its whole retention. SQS drops a repeat of
    /// this within five minutes. An earlier version may have put the message into another group.
    ///
    /// # Errors
    /// When the new message is possibly not stored.
    pub async fn requeue(&self, delivery: &MessageDelivery<'_>, invitation: &Invitation) -> Result<(), QueueError> {
        let send = self.send_again(delivery, invitation.message_group()).send().await;
        send.map(|_| ()).map_err(|error| QueueError::new("SendMessage", &error))
    }

    /// Sends a delivered message again, into a group of its own, so that the person's later messages do not wait for
    /// it. Message attributes keep its age and its deliveries. SQS drops a repeat of this within five minutes.
    ///
    /// # Errors
    /// When the new message is possibly not stored.
    pub async fn make_way(&self, delivery: &MessageDelivery<'_>, invitation: &Invitation) -> Result<(), QueueError> {
        let mut send = self
            .send_again(delivery, invitation.own_message_group())
            .message_attributes(DELIVERIES_BEFORE, attribute("Number", &delivery.receive_count.to_string()));
        if let Some(sent) = delivery.sent_at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            send = send.message_attributes(WAITING_SINCE, attribute("Number", &sent.as_millis().to_string()));
        }
        send.send().await.map(|_| ()).map_err(|error| QueueError::new("SendMessage", &error))
    }

    fn send_again(&self, delivery: &MessageDelivery<'_>, group: String) -> SendMessageFluentBuilder {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_group_id(group)
            .message_deduplication_id(delivery.message_id)
            .message_body(sendable(delivery.body))
            .set_message_system_attributes(Some(delivery.trace).filter(|it| !it.is_empty()).map(trace_header))
    }

    /// Sets when SQS delivers these messages again, in whole seconds.
    ///
    /// A failure is only logged: SQS then delivers the messages again after the queue's visibility time-out.
    pub async fn postpone(&self, retries: &Retries<'_>) {
        for some in retries.messages.chunks(BATCH) {
            let entries = some.iter().enumerate().map(|(position, (delivery, wait))| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(position.to_string())
                    .receipt_handle(delivery.receipt_handle)
                    .visibility_timeout(i32::try_from(wait.as_secs()).unwrap_or(i32::MAX));
                entry.build().expect("id and receipt handle, the required fields, are set")
            });
            let change = self.client.change_message_visibility_batch().queue_url(&self.url);
            let cause = match change.set_entries(Some(entries.collect())).send().await {
                Ok(changed) if changed.failed().is_empty() => continue,
                Ok(changed) => changed.failed()[0].code().to_owned(),
                Err(error) => aws::cause(&error),
            };
            tracing::warn!(
                cause,
                messages = some.len(),
                "could not set when SQS delivers messages again: they are retried after the queue's visibility time-out; \
                 if this lasts, check the function's role"
            );
        }
    }
}

/// The same JSON with the two characters escaped that JSON permits and SQS refuses
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>). They occur only
/// inside strings, so they can be escaped.
fn sendable(json: &str) -> Cow<'_, str> {
    match json.contains(['\u{fffe}', '\u{ffff}']) {
        true => json.replace('\u{fffe}', r"\ufffe").replace('\u{ffff}', r"\uffff").into(),
        false => json.into(),
    }
}

/// The most messages in one call
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
const BATCH: usize = 10;

/// The most calls at the same time.
const CONCURRENT_BATCHES: usize = 8;

impl DeadLetters {
    /// The queue at this URL.
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Dead-letters a delivered message. Its message attributes hold the reason (`class`, `cause`, `receipt`) and the
    /// history (`deliveries`, and `queued_at` in Unix seconds).
    ///
    /// # Errors
    /// When the dead letter is possibly not stored. The caller must then have the message delivered again.
    pub async fn send(&self, delivery: &MessageDelivery<'_>, reason: &DeadLetterReason) -> Result<(), QueueError> {
        let text = |value: &str| attribute("String", &plain(value));
        let number = |value: u64| attribute("Number", &value.to_string());
        let receipt = reason.receipt.map(|receipt| receipt.to_string());
        // SQS requires a deduplication id and a group. A record that lacks them must leave the queue all the same.
        let id = match delivery.message_id {
            "" => InvitationId::of([b"dead letter", delivery.body.as_bytes()]).to_string(),
            id => id.to_owned(),
        };
        let mut send = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_group_id(if delivery.group.is_empty() { &id } else { delivery.group })
            // The same message, dead-lettered twice, is one dead letter. A message that was put back has a new id, so
            // SQS does not drop its next dead letter as a duplicate within five minutes.
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

fn attribute(data_type: &str, value: &str) -> MessageAttributeValue {
    let value = MessageAttributeValue::builder().data_type(data_type).string_value(value).build();
    value.expect("the data type, its one required field, is set")
}

/// The text as a message attribute can hold it. SQS refuses an empty attribute and most control characters
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>), and the
/// attributes count towards the message's size.
fn plain(text: &str) -> String {
    const LONGEST: usize = 256;
    let plain: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() || c > '\u{d7ff}' { '?' } else { c }).collect();
    if plain.is_empty() { "?".to_owned() } else { plain }
}

/// The system attribute with the trace, with which X-Ray connects the sender and the receiver of a message
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
    fn a_cause_becomes_a_valid_message_attribute() {
        assert_eq!(plain("refused: MX\u{1}\n\u{fffe}é"), "refused: MX???é");
        assert_eq!((plain("").as_str(), plain(&"x".repeat(1000)).len()), ("?", 256));
    }

    #[test]
    fn characters_that_sqs_refuses_are_escaped_and_decode_to_the_same_text() {
        let text = "a\\\u{fffe}b\u{ffff}\"\u{fffd}";
        let json = serde_json::to_string(text).unwrap();
        let sendable = sendable(&json);
        assert!(!sendable.contains(['\u{fffe}', '\u{ffff}']), "{sendable}");
        assert_eq!(serde_json::from_str::<String>(&sendable).unwrap(), text);
    }
}

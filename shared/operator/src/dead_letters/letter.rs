//! Reads a dead letter: its class, cause and receipt, and the event to invoke bus-event with.

use onboarding::InvitationId;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::received::{Queue, ReceivedMessage};

/// A dead letter without personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its message id on the queue.
    pub id: String,
    /// `malformed`, `rejected`, `reduced` or `exhausted`, as a function wrote it; `undelivered` where AWS moved the
    /// message.
    pub class: String,
    /// The exact reason.
    pub cause: String,
    /// The invitation, if the message is one.
    pub receipt: Option<InvitationId>,
    /// When it became a dead letter.
    pub since: OffsetDateTime,
}

impl DeadLetter {
    pub(crate) fn of(message: &ReceivedMessage) -> Self {
        let written = |name: &str| message.attributes.get(name).filter(|value| !value.is_empty()).cloned();
        let body = parsed(&message.body);
        let receipt = written("receipt").or_else(|| receipt_in(&body).map(str::to_owned));
        Self {
            id: message.id.clone(),
            class: written("class").unwrap_or_else(|| super::UNDELIVERED.to_owned()),
            cause: written("cause").unwrap_or_else(|| why_undelivered(message, &body)),
            receipt: receipt.and_then(|receipt| receipt.parse().ok()),
            since: message.sent_at,
        }
    }
}

/// A text as JSON; null if it is not JSON.
pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The receipt of an invitation, if the message is one.
fn receipt_in(body: &Value) -> Option<&str> {
    body["id"].as_str().filter(|_| body["detail-type"].is_null())
}

/// Why AWS did not deliver a message, with the error code of the service that tried.
fn why_undelivered(message: &ReceivedMessage, body: &Value) -> String {
    let attribute = |name: &str| message.attributes.get(name).map(String::as_str);
    let (service, reason) = if !body["requestPayload"].is_null() {
        let error = body["responsePayload"]["errorType"].as_str();
        ("Lambda", error.or_else(|| body["requestContext"]["condition"].as_str()))
    } else if attribute("RULE_ARN").is_some() {
        ("EventBridge", attribute("ERROR_CODE"))
    } else if is_notification(body) || attribute("ErrorCode").is_some() {
        ("SNS", attribute("ErrorCode"))
    } else if message.queue == Queue::UndeliveredEvents {
        ("AWS", None)
    } else {
        return "received too often: every worker that received it ended before it reached a decision".to_owned();
    };
    format!("event not delivered by {service}: {}", reason.unwrap_or("no reason given"))
}

fn is_notification(body: &Value) -> bool {
    body["Type"] == "Notification"
}

/// The event to invoke bus-event with for a dead letter; none for a message that belongs on the queue of invitations.
///
/// Lambda wraps an event in a record of the failed invocation, EventBridge leaves it as it is, and SNS has its own
/// form:
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html>
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html>
pub(super) fn event(message: &ReceivedMessage) -> Option<Value> {
    let body = parsed(&message.body);
    let payload = &body["requestPayload"];
    if payload.is_object() && payload["id"].is_null() {
        // bus-event used the first request's id as the event's id, and recognises it.
        let mut event = payload.clone();
        event["id"] = body["requestContext"]["requestId"].clone();
        return Some(event);
    }
    if !payload.is_null() {
        return Some(payload.clone());
    }
    if is_notification(&body) {
        return Some(json!({"Records": [{"EventSource": "aws:sns", "Sns": body}]}));
    }
    if !body["Sns"].is_null() {
        return Some(json!({"Records": [body]}));
    }
    let is_event = !body["detail-type"].is_null() || !body["Records"].is_null();
    (is_event || message.queue == Queue::UndeliveredEvents).then_some(body)
}

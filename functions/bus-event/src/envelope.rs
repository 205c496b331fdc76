//! The envelopes that events arrive in.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use serde::Deserialize;
use serde_json::Value;

use crate::Refusal;

/// How an event arrived, which decides who is notified of its outcome.
pub enum Envelope {
    /// In an HTTP request (payload 2.0 of an HTTP API or a function URL), whose sender waits for the answer.
    Http(Box<ApiGatewayV2httpRequest>),
    /// From EventBridge or SNS, which read no answer.
    Delivered(Vec<DeliveredEvent>),
    /// In a direct invocation, whose caller waits for the answer.
    Invoked(BusEvent),
}

/// One event from EventBridge or SNS.
pub struct DeliveredEvent {
    /// `EventBridge` or `SNS`.
    pub by: &'static str,
    /// The id that EventBridge or SNS gave it.
    pub id: String,
    /// The event in its envelope, as JSON.
    pub whole: String,
    /// The event itself.
    pub event: Result<BusEvent, Refusal>,
}

/// An event without its envelope.
pub struct BusEvent {
    /// The sender, among whose ids the event's id is unique.
    pub sender: String,
    /// The id, the same for every copy of the event.
    pub id: String,
    /// The type of the event, such as `ApplicationSubmitted`.
    pub detail_type: String,
    /// The person, and what else is known.
    pub detail: Value,
}

impl Envelope {
    /// Recognises the envelope. The id of an invocation without one is `request_id`, which stays the same when Lambda
    /// repeats the invocation.
    ///
    /// # Errors
    /// When the envelope is unknown or holds no event.
    pub fn of(event: Value, request_id: &str) -> Result<Self, Refusal> {
        if event.get("requestContext").is_some() {
            let request = serde_json::from_value(event).map_err(|_| Refusal::NoEvent)?;
            return Ok(Self::Http(Box::new(request)));
        }
        if let Some(records) = event.get("Records").and_then(Value::as_array) {
            return records.iter().map(notification).collect::<Result<_, _>>().map(Self::Delivered);
        }
        if let (Some(source), Some(id), Some(_)) = (text(&event, "source"), text(&event, "id"), event.get("account")) {
            let (sender, id) = (format!("EventBridge {source}"), id.to_owned());
            let delivered = DeliveredEvent {
                by: "EventBridge",
                id: id.clone(),
                whole: event.to_string(),
                event: unwrap(event, sender, id),
            };
            return Ok(Self::Delivered(vec![delivered]));
        }
        unwrap(event, "invocation".to_owned(), request_id.to_owned()).map(Self::Invoked)
    }
}

impl BusEvent {
    /// The event in the body of an HTTP request with this `webhook-id`.
    ///
    /// # Errors
    /// When the body holds no event.
    pub fn of_request(body: &str, webhook_id: &str) -> Result<Self, Refusal> {
        let body = serde_json::from_str(body).map_err(|_| Refusal::NotJson("body"))?;
        let event = unwrap(body, "HTTPS".to_owned(), webhook_id.to_owned())?;
        // The header is part of the signature; an id in the body is not checked.
        Ok(Self { id: webhook_id.to_owned(), ..event })
    }
}

/// The record of a message from SNS
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notification {
    message_id: String,
    topic_arn: String,
    message: String,
    #[serde(default)]
    message_attributes: Value,
}

fn notification(record: &Value) -> Result<DeliveredEvent, Refusal> {
    let notification = Notification::deserialize(&record["Sns"]).map_err(|_| Refusal::NoEvent)?;
    let Notification { message_id: id, topic_arn, message, message_attributes } = notification;
    let sender = format!("SNS {topic_arn}");
    let event = match (serde_json::from_str(&message), text(&message_attributes["detail-type"], "Value")) {
        (Err(_), _) => Err(Refusal::NotJson("message")),
        (Ok(detail), Some(detail_type)) => {
            Ok(BusEvent { sender, id: id.clone(), detail_type: detail_type.to_owned(), detail })
        }
        // An id in the message is the publisher's own: it stays the same if the message is published twice.
        (Ok(message), None) => unwrap(message, sender, id.clone()),
    };
    Ok(DeliveredEvent { by: "SNS", id, whole: record.to_string(), event })
}

/// The event in `{"detail-type": …, "detail": …, "id": …}`, or with `type` and `data`, the names of Standard Webhooks.
/// `id` is the id of an event that has none of its own.
fn unwrap(mut event: Value, sender: String, id: String) -> Result<BusEvent, Refusal> {
    let detail_type = text(&event, "detail-type").or_else(|| text(&event, "type")).ok_or(Refusal::NoEvent)?.to_owned();
    let id = match event.get("id") {
        None | Some(Value::Null) => id,
        Some(Value::String(own)) if !own.is_empty() => own.clone(),
        Some(_) => return Err(Refusal::NoEvent),
    };
    let detail = ["detail", "data"].iter().find_map(|name| event.get_mut(*name).map(Value::take));
    Ok(BusEvent { sender, id, detail_type, detail: detail.unwrap_or_default() })
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

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
    /// From a pipe of EventBridge, which reads from the answer what it has to deliver again.
    Piped(Vec<PipedEvent>),
    /// In a direct invocation, whose caller waits for the answer.
    Invoked(BusEvent),
}

/// One event from EventBridge, SNS or a pipe.
pub struct DeliveredEvent {
    /// `EventBridge`, `SNS` or `EventBridge Pipes`.
    pub by: &'static str,
    /// The id that the deliverer gave it.
    pub id: String,
    /// The event in its envelope, as JSON.
    pub whole: String,
    /// The event itself.
    pub event: Result<BusEvent, Refusal>,
}

/// One element of a pipe's batch.
pub struct PipedEvent {
    /// The id by which the pipe knows the element, if its source has ids.
    pub item: Option<String>,
    /// The event in it.
    pub delivered: DeliveredEvent,
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
            let notifications = records.iter().map(|record| notification(record).ok_or(Refusal::NoEvent));
            return notifications.collect::<Result<_, _>>().map(Self::Delivered);
        }
        if let Value::Array(elements) = &event {
            let piped =
                elements.iter().zip(1..).map(|(element, number)| piped(element, format!("{request_id} {number}")));
            return if elements.is_empty() { Err(Refusal::NoEvent) } else { Ok(Self::Piped(piped.collect())) };
        }
        match event_bridge(&event) {
            Some(delivered) => Ok(Self::Delivered(vec![delivered])),
            None => unwrap(event, "invocation".to_owned(), request_id.to_owned()).map(Self::Invoked),
        }
    }
}

impl BusEvent {
    /// The event in the body of an HTTP request with this `webhook-id`.
    ///
    /// # Errors
    /// When the body holds no event.
    pub fn of_request(body: &str, webhook_id: &str) -> Result<Self, Refusal> {
        let event = unwrap(json(body, "body")?, "HTTPS".to_owned(), webhook_id.to_owned())?;
        // The header is part of the signature; an id in the body is not checked.
        Ok(Self { id: webhook_id.to_owned(), ..event })
    }
}

/// An element of a pipe's batch. A pipe passes on the events of its source
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-source.html>), or what its input template
/// or enrichment makes of them. `request_id` is the id of an event that has none.
fn piped(element: &Value, request_id: String) -> PipedEvent {
    let item = text(element, "messageId").map(str::to_owned);
    let sender = text(element, "eventSourceARN").map_or("EventBridge Pipes".to_owned(), |queue| format!("SQS {queue}"));
    let id = item.clone().unwrap_or(request_id);
    // The body of a message is a text, unless the pipe has an input template.
    let content = match element.get("body").filter(|_| item.is_some()) {
        Some(Value::String(body)) => json(body, "body"),
        Some(body) => Ok(body.clone()),
        None => Ok(element.clone()),
    };
    let event = content.and_then(|content| match event_bridge(&content).or_else(|| notification(&content)) {
        Some(delivered) => delivered.event,
        None => unwrap(content, sender, id.clone()),
    });
    PipedEvent { item, delivered: DeliveredEvent { by: "EventBridge Pipes", id, whole: element.to_string(), event } }
}

/// An event of EventBridge
/// (<https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html>); none if it is something else.
fn event_bridge(event: &Value) -> Option<DeliveredEvent> {
    let (source, id) = (text(event, "source")?, text(event, "id")?);
    event.get("account")?;
    let content = unwrap(event.clone(), format!("EventBridge {source}"), id.to_owned());
    Some(DeliveredEvent { by: "EventBridge", id: id.to_owned(), whole: event.to_string(), event: content })
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

/// A message from SNS, in a record for a function or as SNS writes it to a queue; none if it is something else.
fn notification(record: &Value) -> Option<DeliveredEvent> {
    let notification = Notification::deserialize(record.get("Sns").unwrap_or(record)).ok()?;
    let Notification { message_id: id, topic_arn, message, message_attributes } = notification;
    if id.is_empty() {
        return None;
    }
    let sender = format!("SNS {topic_arn}");
    let event = match (json(&message, "message"), text(&message_attributes["detail-type"], "Value")) {
        (Err(refusal), _) => Err(refusal),
        (Ok(detail), Some(detail_type)) => {
            Ok(BusEvent { sender, id: id.clone(), detail_type: detail_type.to_owned(), detail })
        }
        // An id in the message is the publisher's own: it stays the same if the message is published twice.
        (Ok(message), None) => unwrap(message, sender, id.clone()),
    };
    Some(DeliveredEvent { by: "SNS", id, whole: record.to_string(), event })
}

/// The JSON in a text, which may begin with a byte order mark.
fn json(text: &str, part: &'static str) -> Result<Value, Refusal> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text).map_err(|_| Refusal::NotJson(part))
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

/// A member that is text, and not empty.
fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|text| !text.is_empty())
}

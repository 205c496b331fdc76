use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use serde::Deserialize;
use serde_json::Value;

use crate::Refusal;

/// How an event arrived, which decides who is told what became of it.
pub enum Arrival {
    /// As an HTTP request (payload 2.0 of an HTTP API or a function URL), whose sender waits.
    Http(Box<ApiGatewayV2httpRequest>),
    /// By EventBridge or SNS, for which nobody waits.
    Delivered(Vec<Delivered>),
    /// By somebody who invoked the function.
    Invoked(Event),
}

/// One event that EventBridge or SNS brought.
pub struct Delivered {
    /// Which of the two.
    pub by: &'static str,
    /// The id it got there.
    pub id: String,
    /// What they brought, as JSON.
    pub whole: String,
    /// The event in it.
    pub event: Result<Event, Refusal>,
}

/// An event without its envelope.
pub struct Event {
    /// Whose ids its id is one of.
    pub sender: String,
    /// The same for every copy of it.
    pub id: String,
    /// What happened.
    pub detail_type: String,
    /// To whom, and what else is known.
    pub detail: Value,
}

impl Arrival {
    /// Tells the envelopes apart. An invocation that names no id is known by `request_id`, which Lambda keeps for its own
    /// repeats.
    ///
    /// # Errors
    /// When it is none of them, or an invocation without an event.
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
            let delivered = Delivered {
                by: "EventBridge",
                id: id.clone(),
                whole: event.to_string(),
                event: said(event, sender, id),
            };
            return Ok(Self::Delivered(vec![delivered]));
        }
        said(event, "invocation".to_owned(), request_id.to_owned()).map(Self::Invoked)
    }
}

impl Event {
    /// The event in the body of an HTTP request with this `webhook-id`.
    ///
    /// # Errors
    /// When there is none in it.
    pub fn of_request(body: &str, webhook_id: &str) -> Result<Self, Refusal> {
        let body = serde_json::from_str(body).map_err(|_| Refusal::NotJson("body"))?;
        let event = said(body, "HTTPS".to_owned(), webhook_id.to_owned())?;
        // Signed and checked, unlike an id in the body.
        Ok(Self { id: webhook_id.to_owned(), ..event })
    }
}

/// SNS's record of a message:
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notification {
    message_id: String,
    topic_arn: String,
    message: String,
    #[serde(default)]
    message_attributes: Value,
}

fn notification(record: &Value) -> Result<Delivered, Refusal> {
    let notification = Notification::deserialize(&record["Sns"]).map_err(|_| Refusal::NoEvent)?;
    let Notification { message_id: id, topic_arn, message, message_attributes } = notification;
    let sender = format!("SNS {topic_arn}");
    let event = match (serde_json::from_str(&message), text(&message_attributes["detail-type"], "Value")) {
        (Err(_), _) => Err(Refusal::NotJson("message")),
        (Ok(detail), Some(detail_type)) => {
            Ok(Event { sender, id: id.clone(), detail_type: detail_type.to_owned(), detail })
        }
        // An id in a message is its sender's, who may have published it twice.
        (Ok(message), None) => said(message, sender, id.clone()),
    };
    Ok(Delivered { by: "SNS", id, whole: record.to_string(), event })
}

/// The event in `{"detail-type": …, "detail": …, "id": …}`; `id` stands in for one it does not have. `type` and `data`,
/// the names that Standard Webhooks recommends, do as well.
fn said(mut event: Value, sender: String, id: String) -> Result<Event, Refusal> {
    let detail_type = text(&event, "detail-type").or_else(|| text(&event, "type")).ok_or(Refusal::NoEvent)?.to_owned();
    let id = match event.get("id") {
        None | Some(Value::Null) => id,
        Some(Value::String(own)) if !own.is_empty() => own.clone(),
        Some(_) => return Err(Refusal::NoEvent),
    };
    let detail = ["detail", "data"].iter().find_map(|name| event.get_mut(*name).map(Value::take));
    Ok(Event { sender, id, detail_type, detail: detail.unwrap_or_default() })
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

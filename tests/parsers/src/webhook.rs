//! Bodies that LeadSquared's webhooks and automations post.

use form_urlencoded::Serializer;
use leadsquared::wire::webhook::{Event, Malformed, WebhookRequest};
use serde_json::Value;

/// Names of events, as LeadSquared puts them into the query.
const EVENT_TYPES: [Option<&str>; 8] = [
    None,
    Some(""),
    Some("Lead_Post_Create"),
    Some("Lead_Post_Update"),
    Some("Lead_Post_Stage_Change"),
    Some("LeadActivity_Post_Create"),
    Some("Task_Create"),
    Some("LeadUpdated"),
];

type Read = Result<Vec<Result<Event, Malformed>>, Malformed>;

/// An input is one byte for the query, and the body.
pub(crate) fn check(input: &[u8]) {
    let [query, body @ ..] = input else { return };
    let event_type = EVENT_TYPES[usize::from(query % 8)];
    let entity_type = (query & 8 != 0).then_some("automation");
    let read = |body: &[u8]| WebhookRequest { body, event_type, entity_type }.events();
    let events = read(body);
    assert_hidden(&events);
    let json: Option<Value> = serde_json::from_slice(body).ok();
    match json {
        Some(value @ Value::Object(_)) => assert_eq!(read(format!("[{value}]").as_bytes()), events, "in a list"),
        Some(Value::Array(_)) => {}
        _ => return,
    }
    assert_eq!(read(&[b"\xef\xbb\xbf", body].concat()), events, "behind a byte order mark");
    let text = String::from_utf8_lossy(body);
    let form = Serializer::new(String::new()).append_pair("data", &text).finish();
    assert_eq!(read(form.as_bytes()), events, "inside a form");
}

/// Nothing that is printed shows a field of a lead.
fn assert_hidden(events: &Read) {
    crate::assert_own_words(&format!("{events:?}"));
    let malformed = match events {
        Ok(events) => events.iter().filter_map(|event| event.as_ref().err()).collect(),
        Err(malformed) => vec![malformed],
    };
    malformed.iter().for_each(|malformed| crate::assert_own_words(&malformed.to_string()));
}

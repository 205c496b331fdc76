//! Events of EventBridge, SNS, pipes and direct invocations.

use bus_event::{BusEvent, Envelope, Refusal, detail_types, read};
use leadsquared::Phone;
use serde_json::{Value, json};

/// An input is the JSON of an invocation, or the detail of an event of each type.
pub(crate) fn check(input: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(input) else { return };
    for detail_type in detail_types() {
        check_detail(detail_type, &event);
        // The same detail in each envelope is the same event.
        let plain = json!({"detail-type": detail_type, "detail": event});
        let bridged = json!({"source": "s", "id": "1", "account": "1", "detail-type": detail_type, "detail": event});
        let message = json!({"Sns": {"MessageId": "1", "TopicArn": "t", "Message": plain.to_string()}});
        let piped = json!([{"messageId": "1", "body": plain.to_string()}]);
        for envelope in [plain.clone(), bridged, json!({"Records": [message]}), piped] {
            let found = events(envelope);
            assert!(matches!(&found[..], [Ok(found)] if found.detail == event), "{detail_type}");
        }
    }
    for event in events(event) {
        match event {
            Ok(event) => {
                assert!(!event.id.is_empty());
                check_detail(&event.detail_type, &event.detail);
            }
            Err(refusal) => assert_hidden(&refusal),
        }
    }
}

/// The events in an invocation.
fn events(invocation: Value) -> Vec<Result<BusEvent, Refusal>> {
    match Envelope::of(invocation, "request") {
        Ok(Envelope::Http(_)) => Vec::new(),
        Ok(Envelope::Delivered(events)) => events.into_iter().map(|delivered| delivered.event).collect(),
        Ok(Envelope::Piped(events)) => events.into_iter().map(|piped| piped.delivered.event).collect(),
        Ok(Envelope::Invoked(event)) => vec![Ok(event)],
        Err(refusal) => vec![Err(refusal)],
    }
}

fn check_detail(detail_type: &str, detail: &Value) {
    let request = match read(detail_type, detail.clone(), crate::INDIA) {
        Ok(request) => request,
        Err(refusal) => return assert_hidden(&refusal),
    };
    crate::assert_own_words(&format!("{request:?}"));
    for name in leadsquared::schema_name::PHONE_NUMBERS {
        if let Some(stored) = request.attributes.value(name) {
            assert!(stored.parse::<Phone>().is_ok_and(|phone| phone.expose() == stored), "{name}");
        }
    }
    assert!(request.attributes.iter().count() <= 60);
    for (name, value) in request.attributes.iter() {
        crate::assert_no_formula(name, value);
    }
}

/// A refusal says what is wrong, and shows nothing of the event.
fn assert_hidden(refusal: &Refusal) {
    for words in [refusal.to_string(), refusal.cause(), format!("{refusal:?}")] {
        // The reason for a phone number may have a country's name, with letters beyond ASCII.
        if !words.contains("must be a phone number") {
            crate::assert_own_words(&words);
        }
    }
}

//! Tests that need no stack: how dead letters are chosen, read and turned into events for bus-event.

use std::collections::BTreeMap;

use serde_json::json;
use time::OffsetDateTime;

use super::letter::event;
use super::*;

const NOW: OffsetDateTime = time::macros::datetime!(2026-01-02 03:04:05 UTC);
const RECEIPT: &str = "4b9d1c6e-58a2-8f7b-9f0e-3c2d1a0b9e8f";

fn dead_letter(body: &str, written: &[(&str, &str)]) -> ReceivedMessage {
    ReceivedMessage::for_test(Queue::DeadLetters, body, written, NOW)
}

fn undelivered(body: &Value, written: &[(&str, &str)]) -> ReceivedMessage {
    ReceivedMessage::for_test(Queue::UndeliveredEvents, &body.to_string(), written, NOW)
}

fn submitted() -> Value {
    json!({
        "id": "e", "detail-type": "ApplicationSubmitted", "source": "shop", "account": "1",
        "detail": {"email": "asha@example.test"},
    })
}

fn notification() -> Value {
    json!({"Type": "Notification", "MessageId": "n", "TopicArn": "t", "Message": submitted().to_string()})
}

#[test]
fn what_the_worker_wrote_is_read() {
    let message = dead_letter("{}", &[("class", "rejected"), ("cause", "id-reused"), ("receipt", RECEIPT)]);
    let expected = DeadLetter {
        id: "1".to_owned(),
        class: "rejected".to_owned(),
        cause: "id-reused".to_owned(),
        receipt: Some(RECEIPT.parse().unwrap()),
        since: NOW,
    };
    assert_eq!(DeadLetter::of(&message), expected);
}

#[test]
fn a_message_that_the_queue_moved_has_its_receipt_in_its_body() {
    let body = json!({"id": RECEIPT, "email": "asha@example.test"}).to_string();
    let letter = DeadLetter::of(&dead_letter(&body, &[]));
    assert_eq!((&*letter.class, letter.receipt), ("undelivered", Some(RECEIPT.parse().unwrap())));
    assert!(letter.cause.starts_with("received too often"), "{letter:?}");
    assert!(!format!("{letter:?}").contains("asha"), "{letter:?}");
}

#[test]
fn any_body_can_be_read() {
    let nested = "[".repeat(100_000);
    let odd =
        ["", "[]", r#"{"id": 7}"#, "null", r#""id""#, "{", &nested, r#"{"requestPayload": 1, "responsePayload": []}"#];
    for body in odd {
        assert_eq!(DeadLetter::of(&dead_letter(body, &[])).receipt, None, "{:.50}", body);
    }
}

#[test]
fn an_undelivered_event_names_the_service_and_nothing_of_its_person() {
    let by_lambda = |response: Value, condition: &str| {
        let context = json!({"requestId": "r", "condition": condition});
        json!({"requestContext": context, "requestPayload": submitted(), "responsePayload": response})
    };
    let failed = json!({"errorType": "EventNotStored", "errorMessage": "asha@example.test"});
    for (body, written, cause) in [
        (by_lambda(failed, "RetriesExhausted"), &[][..], "Lambda: EventNotStored"),
        (by_lambda(Value::Null, "EventAgeExceeded"), &[], "Lambda: EventAgeExceeded"),
        (submitted(), &[("RULE_ARN", "a"), ("ERROR_CODE", "NO_PERMISSIONS")], "EventBridge: NO_PERMISSIONS"),
        (notification(), &[], "SNS: no reason given"),
        (json!("of asha"), &[], "AWS: no reason given"),
    ] {
        let letter = DeadLetter::of(&undelivered(&body, written));
        assert_eq!(letter.cause, format!("event not delivered by {cause}"));
        assert_eq!((&*letter.class, letter.receipt), ("undelivered", None));
        assert!(!format!("{letter:?}").contains("asha"), "{letter:?}");
    }
}

#[test]
fn bus_event_gets_an_event_in_the_shape_it_accepts() {
    let asked = json!({"detail-type": "LoginLinkRequested", "detail": {}});
    let with_id = json!({"detail-type": "LoginLinkRequested", "detail": {}, "id": "r"});
    for (body, expected) in [
        (json!({"requestContext": {"requestId": "r"}, "requestPayload": submitted()}), submitted()),
        // bus-event used the first request's id as the event's id, so the repeat leads to the same invitation.
        (json!({"requestContext": {"requestId": "r"}, "requestPayload": asked}), with_id),
        (submitted(), submitted()),
        (notification(), json!({"Records": [{"EventSource": "aws:sns", "Sns": notification()}]})),
        (json!({"Sns": notification()}), json!({"Records": [{"Sns": notification()}]})),
        (json!({"Records": [{"Sns": notification()}]}), json!({"Records": [{"Sns": notification()}]})),
        (json!({"what": "is this"}), json!({"what": "is this"})),
    ] {
        assert_eq!(event(&undelivered(&body, &[])), Some(expected));
    }
    let invitation = json!({"id": RECEIPT, "email": "asha@example.test"}).to_string();
    assert_eq!(event(&dead_letter(&invitation, &[])), None, "it belongs on the queue of invitations");
}

#[test]
fn a_dead_letter_is_deleted_once_its_event_is_elsewhere() {
    let letter = dead_letter("{}", &[]);
    let event = undelivered(&json!({}), &[]);
    let later = NOW + DEDUPLICATED_FOR;
    for (reply, [young, old, undelivered]) in [
        (Reply::Accepted, [true, true, true]),
        // SQS would drop a second dead letter of a recent one as a copy.
        (Reply::DeadLettered, [false, true, true]),
        (Reply::Failed("EventRefused".to_owned()), [false, false, false]),
    ] {
        let replaces = [reply.replaces(&letter, NOW), reply.replaces(&letter, later), reply.replaces(&event, NOW)];
        assert_eq!(replaces, [young, old, undelivered], "{reply:?}");
    }
}

#[test]
fn the_answer_of_bus_event_is_understood() {
    let accepted = json!({"status": "accepted", "receipt": RECEIPT});
    let other = json!({"status": "dead-lettered"});
    for (answer, error, expected) in [
        (accepted.clone(), None, Reply::Accepted),
        (json!([accepted, accepted]), None, Reply::Accepted),
        (json!([accepted, other]), None, Reply::DeadLettered),
        (other, None, Reply::DeadLettered),
        (json!({"errorType": "EventRefused"}), Some("Unhandled"), Reply::Failed("EventRefused".to_owned())),
        (Value::Null, Some("Unhandled"), Reply::Failed("Unhandled".to_owned())),
        (json!([]), None, Reply::Failed("an answer without a status".to_owned())),
        (Value::Null, None, Reply::Failed("an answer without a status".to_owned())),
    ] {
        assert_eq!(Reply::of(&answer, error), expected, "{answer}");
    }
}

#[test]
fn a_letter_is_chosen_if_everything_given_matches() {
    let message = dead_letter("{}", &[("class", "rejected"), ("cause", "id-reused"), ("receipt", RECEIPT)]);
    let letter = DeadLetter::of(&message);
    let choice = |class: Option<&str>, cause: Option<&str>, receipt: Option<&str>| DeadLetterFilter {
        class: class.map(str::to_owned),
        cause: cause.map(str::to_owned),
        receipt: receipt.map(|receipt| receipt.parse().unwrap()),
    };
    let another = "00000000-0000-8000-8000-000000000001";
    for matching in [
        choice(None, None, None),
        choice(Some("rejected"), None, None),
        choice(None, Some("ID"), None),
        choice(None, Some("reused"), Some(RECEIPT)),
    ] {
        assert!(matching.matches(&letter), "{matching:?}");
    }
    for other in [
        choice(Some("reject"), None, None),
        choice(None, Some("mail"), None),
        choice(None, None, Some(another)),
        choice(Some("rejected"), None, Some(another)),
    ] {
        assert!(!other.matches(&letter), "{other:?}");
    }
}

fn letter(class: &str, cause: &str, receipt: Option<&str>, minutes_ago: i64) -> DeadLetter {
    DeadLetter {
        id: "1".to_owned(),
        class: class.to_owned(),
        cause: cause.to_owned(),
        receipt: receipt.map(|receipt| receipt.parse().unwrap()),
        since: NOW - Duration::minutes(minutes_ago),
    }
}

#[test]
fn dead_letters_are_grouped_by_cause_with_the_most_frequent_first() {
    let letters = vec![
        letter("malformed", "not an invitation", None, 3),
        letter("rejected", "mail-unknown", Some("00000000-0000-8000-8000-00000000000a"), 200),
        letter("rejected", "mail-unknown", Some("00000000-0000-8000-8000-00000000000b"), 5000),
    ];
    let expected = [
        " count  class        oldest       newest       cause",
        "     2  rejected     3 days       3 h          mail-unknown",
        "        receipt 00000000-0000-8000-8000-00000000000b",
        "        receipt 00000000-0000-8000-8000-00000000000a",
        "     1  malformed    3 min        3 min        not an invitation",
    ];
    assert_eq!(table(&Found { letters, ..Found::default() }, NOW).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_report_names_what_could_not_be_looked_at_and_what_was_refused() {
    let found = Found { out_of_sight: 4, kept: 2, ..Found::default() };
    assert!(table(&found, NOW).starts_with("There are no dead letters.\nAbout 4 more"), "{}", table(&found, NOW));
    let report = put_back_report(&found);
    assert!(report.starts_with("0 put back, 2 dead letters remain.\nAbout 4 more"), "{report}");

    let refused = BTreeMap::from([("EventRefused".to_owned(), 2)]);
    let report = put_back_report(&Found { kept: 2, refused, ..Found::default() });
    let expected = "0 put back, 2 dead letters remain.\n\
                    2 of them refused by bus-event, EventRefused: its log says what is wrong.\n";
    assert_eq!(report, expected);
}

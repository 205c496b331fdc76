//! The whole system on a local stack: from the form or an event to the portal, and an operator's commands.

use aws_sdk_dynamodb::types::BillingMode;
use leadsquared_emulator::Emulator;
use ledger::{Ledger, Restored};
use local_stack::{Keys, LocalStack, Options, smoke};
use operator::dead_letters::{self, DeadLetterFilter};
use operator::forget::{self, forget};
use operator::{StackLocation, SystemClock};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    aws::Aws,
    functions,
    waiting::{poll_until, within},
};

/// Waits until this address has a mail.
async fn mailed(stack: &LocalStack, email: &str) {
    let is_mailed = |emulator: &Emulator| emulator.mails().iter().any(|mail| mail.recipients == [email]);
    within(&format!("a mail to {email}"), stack.emulator().reached(is_mailed)).await;
}

async fn smoke_with(keys: Keys) -> anyhow::Result<String> {
    let stack = LocalStack::start(Options { keys, ..Options::default() }).await?;
    let outcome = smoke::run(&stack).await;
    stack.shutdown().await;
    outcome
}

#[tokio::test]
async fn a_posted_form_becomes_a_signed_in_page() {
    let timeline = smoke_with(Keys::Right).await.unwrap_or_else(|error| panic!("{error:#}"));
    let events: Vec<_> = timeline.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(events, ["accepted", "registered", "mailed", "opened"], "{timeline}");
}

#[tokio::test]
async fn the_smoke_test_reports_wrong_keys() {
    let error = smoke_with(Keys::WrongSecretKey).await.expect_err("wrong keys register nobody");
    let error = format!("{error:#}");
    assert!(error.contains("LeadSquared does not accept the keys"), "{error}");
}

#[tokio::test]
async fn a_bus_event_becomes_a_mail_and_an_unfit_one_is_logged_as_an_error() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    let email = "ravi.iyer@example.com";
    let detail = json!({"version": "1", "email": email, "attributes": {"FirstName": "Ravi"}});
    stack.put_event("ApplicationSubmitted", &json!({"version": "1"})).await.unwrap();
    stack.put_event("ApplicationSubmitted", &detail).await.unwrap();
    mailed(&stack, email).await;
    let is_logged = async || {
        let errors = stack.logs().errors("BusEventFunction").await.unwrap();
        errors.iter().any(|error| error.contains("/email is missing"))
    };
    poll_until("the unfit event is logged", is_logged).await;
    stack.shutdown().await;
}

/// Copies a table, as a restored backup is one; returns the name of the copy.
async fn backup(dynamodb: &aws_sdk_dynamodb::Client, table: &str) -> String {
    let name = format!("{table}-restored");
    let described = dynamodb.describe_table().table_name(table).send().await.unwrap().table.unwrap();
    let copy = dynamodb.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
    let copy = copy.set_key_schema(described.key_schema).set_attribute_definitions(described.attribute_definitions);
    copy.send().await.unwrap();
    let items = dynamodb.scan().table_name(table).into_paginator().items().send().try_collect().await.unwrap();
    for item in items {
        dynamodb.put_item().table_name(&name).set_item(Some(item)).send().await.unwrap();
    }
    name
}

/// A sample event of `bus-event`, for this person.
fn event_for(file: &str, email: &str) -> Value {
    let event = functions::sample("bus-event", file).to_string().replace("asha.rao@example.com", email);
    serde_json::from_str(&event).unwrap()
}

#[tokio::test]
async fn undelivered_events_of_every_envelope_are_put_back() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    let deployed = StackLocation::Local(stack.ministack().url()).stack().await.unwrap();
    let notification = event_for("sns-application-submitted.json", "sns@example.com")["Records"][0]["Sns"].clone();
    let unfit =
        json!({"detail-type": "ApplicationSubmitted", "source": "shop", "account": "1", "id": "e", "detail": {}});
    let bodies = [
        json!({
            "requestContext": {"requestId": "9d4b0f52-0a3c-4a55-8d7c-6f1f9a0f2f11", "condition": "RetriesExhausted"},
            "requestPayload": event_for("invoke-application-submitted.json", "lambda@example.com"),
            "responsePayload": {"errorType": "EventNotStored"},
        }),
        event_for("event-bridge-application-submitted.json", "bridge@example.com"),
        notification,
        unfit,
    ];
    let sqs = aws_sdk_sqs::Client::new(Aws::of(stack.ministack()).await.config());
    for body in bodies {
        let send = sqs.send_message().queue_url(stack.output("UndeliveredEventsQueueUrl").unwrap());
        send.message_body(body.to_string()).send().await.unwrap();
    }
    let all = DeadLetterFilter::default();
    let found = dead_letters::list(&deployed).await.unwrap();
    assert_eq!(found.letters.iter().filter(|letter| letter.class == "undelivered").count(), 4, "{found:?}");
    let back = dead_letters::put_back(&deployed, &all, OffsetDateTime::now_utc()).await.unwrap();
    assert_eq!((back.letters.len(), back.kept), (3, 1), "{back:?}");
    assert_eq!(back.refused.into_iter().collect::<Vec<_>>(), [("dead-lettered again".to_owned(), 1)]);
    for email in ["lambda@example.com", "bridge@example.com", "sns@example.com"] {
        mailed(&stack, email).await;
    }
    let left = dead_letters::list(&deployed).await.unwrap();
    assert_eq!(left.letters.iter().map(|letter| &*letter.class).collect::<Vec<_>>(), ["malformed"], "{left:?}");
    for confirmed in [false, true] {
        let there = dead_letters::list(&deployed).await.unwrap();
        let chosen = dead_letters::discard(&deployed, &all, confirmed).await.unwrap();
        assert_eq!((there.letters.len(), chosen.letters.len()), (1, 1), "without confirmation nothing is deleted");
    }
    let none = dead_letters::list(&deployed).await.unwrap();
    assert!(none.letters.is_empty(), "{none:?}");
    stack.shutdown().await;
}

#[tokio::test]
async fn a_forgotten_person_returns_only_with_a_restored_backup() {
    let stack = LocalStack::start(Options::default()).await.unwrap();
    smoke::run(&stack).await.unwrap_or_else(|error| panic!("{error:#}"));
    let deployed = StackLocation::Local(stack.ministack().url()).stack().await.unwrap();
    let unfit = json!({"version": "1", "email": smoke::EMAIL.to_uppercase(), "city": "Pune"});
    stack.put_event("ApplicationSubmitted", &unfit).await.unwrap();
    let has_dead_letter = async || !dead_letters::list(&deployed).await.unwrap().letters.is_empty();
    poll_until("the unfit event is a dead letter", has_dead_letter).await;
    let request = |email: &str| forget::Request { email: Some(email.parse().unwrap()), leads: Vec::new() };
    let (asha, other) = (request(smoke::EMAIL), request("ravi@example.com"));
    let forget = async |request, confirmed| forget(&deployed, request, confirmed, &SystemClock).await.unwrap();
    let untouched = forget(&other, true).await;
    let found = forget(&asha, false).await;
    let dynamodb = Aws::of(stack.ministack()).await.dynamodb();
    let table = stack.output("LedgerTable").unwrap();
    let backup = backup(&dynamodb, table).await;
    let first = forget(&asha, true).await;
    let second = forget(&asha, true).await;
    let ledger = Ledger::new(dynamodb, table.to_owned());
    let restore = async || ledger.restore_from(&backup, OffsetDateTime::now_utc()).await.unwrap();
    let restored = [restore().await, restore().await];
    let third = forget(&asha, true).await;
    stack.shutdown().await;
    assert!(untouched.items.is_empty() && untouched.leads.is_empty() && untouched.dead_letters == 0, "{untouched:?}");
    let kinds: Vec<_> = first.items.keys().map(|item_type| item_type.prefix()).collect();
    assert_eq!(kinds, ["invitation", "lead", "link", "mark", "person", "places"], "{first:?}");
    assert_eq!((first.leads.len(), first.dead_letters, &first.not_asked), (1, 1, &None), "{first:?}");
    assert_eq!(forget::Forgotten { is_erased: true, ..found }, first, "without confirmation nothing is erased");
    assert!(second.items.is_empty() && second.dead_letters == 0, "{second:?}");
    assert_eq!(second.leads, first.leads, "LeadSquared still has the lead");
    let (erased, all) = (first.items.values().sum(), restored[1].present);
    assert_eq!(restored[1], Restored { present: all, left_out: restored[0].left_out, ..Restored::default() });
    assert_eq!((restored[0].copied, restored[0].present, restored[0].links), (erased, all - erased, 1));
    assert_eq!(third.items, first.items, "the restored items are the old ones");
}

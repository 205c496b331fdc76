//! The whole system: the template as it is deployed, from the form to the portal.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::types::BillingMode;
use aws_sdk_sqs::config::Credentials;
use ledger::{Ledger, Restored};
use local_stack::{Keys, LocalStack, Options, smoke};
use operator::dead_letters::{self, Choice};
use operator::forget::{self, forget};
use operator::{Place, SystemClock};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::workspace;

/// The account of a local stack, as its owner sees it.
async fn owner(stack: &LocalStack) -> SdkConfig {
    let owner = Credentials::new("test", "test", None, None, "MiniStack's own");
    let config = aws_config::defaults(BehaviorVersion::latest()).endpoint_url(stack.ministack().url());
    config.region(Region::new("us-east-1")).credentials_provider(owner).load().await
}

/// Waits until something has come about, for a minute at most.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), wait).await.is_ok(), "{what}: not within a minute");
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
async fn wrong_keys_are_told_as_such() {
    let error = smoke_with(Keys::WrongSecretKey).await.expect_err("nobody is registered with wrong keys");
    let error = format!("{error:#}");
    assert!(error.contains("LeadSquared does not accept the keys"), "{error}");
}

#[tokio::test]
async fn an_event_on_the_bus_becomes_a_mail_and_an_unfit_one_a_dead_letter() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    let email = "ravi.iyer@example.com";
    let detail = json!({"version": "1", "email": email, "attributes": {"FirstName": "Ravi"}});
    stack.put_event("ApplicationSubmitted", &json!({"version": "1"})).await.unwrap();
    stack.put_event("ApplicationSubmitted", &detail).await.unwrap();
    let is_mailed = || stack.emulator().mails().iter().any(|mail| mail.recipients == [email]);
    let is_laid_aside = async || {
        let errors = stack.logs().errors("BusEventFunction").await.unwrap();
        errors.iter().any(|error| error.contains("/email is missing"))
    };
    let both = async {
        while !(is_mailed() && is_laid_aside().await) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let patience = Duration::from_secs(60);
    if tokio::time::timeout(patience, both).await.is_err() {
        let logs = [stack.logs().lines("BusEventFunction").await, stack.logs().lines("InvitationFunction").await];
        panic!("mailed: {}, laid aside: {}, {logs:#?}", is_mailed(), is_laid_aside().await);
    }
    stack.shutdown().await;
}

/// A copy of a table, as one is restored from its backups; its name.
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

/// A sample event of `bus-event`'s, for this person.
fn event_for(file: &str, email: &str) -> Value {
    let (_, event) = workspace::events("bus-event").into_iter().find(|(name, _)| name == file).unwrap();
    let event = String::from_utf8(event).unwrap().replace("asha.rao@example.com", email);
    serde_json::from_str(&event).unwrap()
}

#[tokio::test]
async fn events_that_could_not_be_handed_over_are_put_back_in_whatever_shape_they_lie() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    let deployed = Place::Local(stack.ministack().url()).stack().await.unwrap();
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
    let sqs = aws_sdk_sqs::Client::new(&owner(&stack).await);
    for body in bodies {
        let send = sqs.send_message().queue_url(stack.output("UndeliveredEventsQueueUrl").unwrap());
        send.message_body(body.to_string()).send().await.unwrap();
    }
    let all = Choice::default();
    let found = dead_letters::list(&deployed).await.unwrap();
    assert_eq!(found.letters.iter().filter(|letter| letter.class == "undelivered").count(), 4, "{found:?}");
    let back = dead_letters::put_back(&deployed, &all, OffsetDateTime::now_utc()).await.unwrap();
    assert_eq!((back.letters.len(), back.kept), (3, 1), "{back:?}");
    assert_eq!(back.refused.into_iter().collect::<Vec<_>>(), [("dead-lettered again".to_owned(), 1)]);
    for email in ["lambda@example.com", "bridge@example.com", "sns@example.com"] {
        until(email, async || stack.emulator().mails().iter().any(|mail| mail.recipients == [email])).await;
    }
    let left = dead_letters::list(&deployed).await.unwrap();
    assert_eq!(left.letters.iter().map(|letter| &*letter.class).collect::<Vec<_>>(), ["malformed"], "{left:?}");
    for confirmed in [false, true] {
        let there = dead_letters::list(&deployed).await.unwrap();
        let chosen = dead_letters::discard(&deployed, &all, confirmed).await.unwrap();
        assert_eq!((there.letters.len(), chosen.letters.len()), (1, 1), "what is not confirmed stays");
    }
    let none = dead_letters::list(&deployed).await.unwrap();
    assert!(none.letters.is_empty(), "{none:?}");
    stack.shutdown().await;
}

#[tokio::test]
async fn a_person_is_forgotten_and_comes_back_with_a_backup_alone() {
    let stack = LocalStack::start(Options::default()).await.unwrap();
    smoke::run(&stack).await.unwrap_or_else(|error| panic!("{error:#}"));
    let deployed = Place::Local(stack.ministack().url()).stack().await.unwrap();
    let unfit = json!({"version": "1", "email": smoke::EMAIL.to_uppercase(), "city": "Pune"});
    stack.put_event("ApplicationSubmitted", &unfit).await.unwrap();
    until("the event is a dead letter", async || !dead_letters::list(&deployed).await.unwrap().letters.is_empty())
        .await;
    let request = |email: &str| forget::Request { email: Some(email.parse().unwrap()), leads: Vec::new() };
    let (asha, ravi) = (request(smoke::EMAIL), request("ravi@example.com"));
    let forget = async |whom, confirmed| forget(&deployed, whom, confirmed, &SystemClock).await.unwrap();
    let untouched = forget(&ravi, true).await;
    let found = forget(&asha, false).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&owner(&stack).await);
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
    let kinds: Vec<_> = first.items.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["invitation", "lead", "link", "person"], "{first:?}");
    assert_eq!((first.leads.len(), first.dead_letters, &first.not_asked), (1, 1, &None), "{first:?}");
    assert_eq!(forget::Forgotten { is_erased: true, ..found }, first, "what is found without a confirmation stays");
    assert!(second.items.is_empty() && second.dead_letters == 0, "{second:?}");
    assert_eq!(second.leads, first.leads, "LeadSquared still has the lead, and says so");
    let (erased, all) = (first.items.values().sum(), restored[1].present);
    let repeated = Restored { present: all, left_out: restored[0].left_out, ..Restored::default() };
    assert_eq!(restored[1], repeated);
    assert_eq!((restored[0].copied, restored[0].present, restored[0].links), (erased, all - erased, 1));
    assert_eq!(third.items, first.items, "what was restored is there as it was");
}

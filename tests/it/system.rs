//! The whole system: the template as it is deployed, from the form to the portal.

use std::time::Duration;

use local_stack::forget::forget;
use local_stack::steps::Steps;
use local_stack::{Keys, LocalStack, Options, Place, smoke};
use serde_json::json;

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

#[tokio::test]
async fn a_person_is_forgotten_and_a_second_time_there_is_nothing_left() {
    let steps = Steps::hidden();
    let stack = LocalStack::start(Options::default()).await.unwrap();
    smoke::run(&stack).await.unwrap_or_else(|error| panic!("{error:#}"));
    let place = Place::Here(stack.ministack().url());
    let (asha, somebody) = (smoke::EMAIL.parse().unwrap(), "ravi@example.com".parse().unwrap());
    let untouched = forget(&place, &somebody, &steps).await.unwrap();
    let first = forget(&place, &asha, &steps).await.unwrap();
    let second = forget(&place, &asha, &steps).await.unwrap();
    stack.shutdown().await;
    assert!(untouched.erased.is_empty() && untouched.leads.is_empty(), "{untouched:?}");
    let kinds: Vec<_> = first.erased.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["invitation", "lead", "link", "person"], "{first:?}");
    assert_eq!(first.leads.len(), 1, "{first:?}");
    assert!(second.erased.is_empty(), "{second:?}");
}

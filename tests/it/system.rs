//! The whole system: the template as it is deployed, from the form to the portal.

use local_stack::{Keys, LocalStack, Options, smoke};

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

//! Any bytes as a request body.

use http::Method;
use leadsquared_emulator::Call;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::Account;

/// Asserts an answer of 200, which a valid body gets, or a refusal in LeadSquared's envelope.
async fn assert_answered(account: &Account, call: Call, body: Vec<u8>) {
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
    let may_be_right = is_json || (body.is_empty() && call == Call::Activities);
    let shown = String::from_utf8_lossy(&body).chars().take(80).collect::<String>();
    let (status, answer) = account.send(account.portal_call(call).body(body)).await;
    if status == 200 && may_be_right {
        return;
    }
    assert!((400..=599).contains(&status), "{call} answered {status} to {shown}");
    assert_eq!(answer["Status"], "Error", "{call}: {shown}");
    assert!(answer["ExceptionType"].is_string() && answer["ExceptionMessage"].is_string(), "{call}: {shown}");
    assert_ne!(answer["ExceptionType"], "InternalServerError", "{call}: {shown}");
}

/// JSON that resembles the bodies of calls, so that reading gets past the first byte.
fn nearly_right() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("-1e999".to_owned()),
        Just("{}".to_owned()),
        Just("[[[]]]".to_owned()),
        Just("true".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        Just("\"\"".to_owned()),
        "\"[a-z@<\\-]{0,9}\"",
    ];
    let name = prop_oneof![
        Just("LeadFields"),
        Just("RegisterOnlyNewLead"),
        Just("Attribute"),
        Just("Value"),
        Just("LeadId"),
        Just("PortalId"),
        Just("Sender"),
        Just("SenderType"),
        Just("IncludeEmailFooter"),
    ];
    proptest::collection::vec((name, value), 0..5).prop_map(|pairs| {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", pairs.join(",")).into_bytes()
    })
}

#[tokio::test]
async fn any_bytes_as_a_body_get_a_refusal_in_the_envelope() {
    let account = Account::new().await;
    let strategy = prop_oneof![proptest::collection::vec(any::<u8>(), 0..64), nearly_right()];
    let mut runner = TestRunner::deterministic();
    for call in Call::ALL.iter().copied().filter(|call| call.method() == Method::POST) {
        for _ in 0..100 {
            let body = strategy.new_tree(&mut runner).unwrap().current();
            assert_answered(&account, call, body).await;
        }
        let deep = "[".repeat(100_000).into_bytes();
        assert_answered(&account, call, deep).await;
    }
}

#[tokio::test]
async fn a_body_over_eight_mebibytes_is_refused() {
    let account = Account::new().await;
    let (status, body) = account.send(account.portal_call(Call::Register).body(vec![b' '; 8 * 1024 * 1024 + 1])).await;
    assert_eq!((status, body["ExceptionType"].as_str()), (413, Some("RequestEntityTooLarge")));
}

#[tokio::test]
async fn every_input_of_the_fuzzing_corpus_gets_an_answer() {
    let account = Account::new().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/bodies");
    for file in std::fs::read_dir(folder).unwrap() {
        let input = std::fs::read(file.unwrap().path()).unwrap();
        let end = input.iter().position(|byte| *byte == b'\n').unwrap();
        let call = Call::named(std::str::from_utf8(&input[..end]).unwrap()).unwrap();
        assert_answered(&account, call, input[end + 1..].to_vec()).await;
    }
}

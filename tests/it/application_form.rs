//! The `application-form` function, black box: what becomes of a posted form.

use std::collections::BTreeSet;

use aws_sdk_sqs::types::MessageSystemAttributeName;
use proptest::{collection::vec, prelude::*};
use runtime_api::TRACE;
use serde_json::{Value, json};

use crate::{
    aws::Aws,
    form::{Form, THANK_YOU, TIMEOUT, post, start},
    functions::{self, metrics},
    http::{Answer, BROWSER, EntryPoint, FORM_KEY, Request, URLENCODED},
    workspace,
};

const ASHA: [(&str, &str); 6] = [
    ("email", "Asha.Rao@Example.COM"),
    ("first_name", "Asha"),
    ("last_name", "Rao"),
    ("phone", "+91 90000 00001"),
    ("city", "Bengaluru"),
    ("leave_empty", ""),
];

type Encode = fn(&[(&str, &str)]) -> Request<'static>;
const ENCODINGS: [(&str, Encode); 3] =
    [("urlencoded", Request::urlencoded), ("multipart", Request::multipart), ("json", Request::json)];

/// Asha's form with these values in place of hers.
fn with<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let changed = |(name, value)| changes.iter().find(|(other, _)| *other == name).copied().unwrap_or((name, value));
    ASHA.into_iter().map(changed).collect()
}

#[tokio::test]
async fn a_form_becomes_one_invitation_in_every_encoding_and_through_every_entry_point() {
    let form = Form::start().await;
    for entry_point in [EntryPoint::HttpApi, EntryPoint::RestApi, EntryPoint::FunctionUrl] {
        for (name, encode) in ENCODINGS {
            for base64 in [true, false] {
                // A new city each time: an identical form would be recognised as a repeat.
                let city = format!("{entry_point:?} {name} {base64}");
                let request = encode(&with(&[("city", &city)])).through(entry_point).base64(base64);
                let receipt = form.post(request).await.receipt();

                let messages = form.queue.drain().await;
                assert_eq!(messages.len(), 1, "{city}");
                let invitation: Value = serde_json::from_str(messages[0].body.as_deref().unwrap()).unwrap();
                assert_eq!(invitation["version"], 2);
                assert_eq!(invitation["id"], receipt);
                assert_eq!(invitation["source"], "form");
                assert_eq!(invitation["email"], "asha.rao@example.com");
                assert_eq!(
                    invitation["attributes"],
                    json!([
                        { "name": "FirstName", "value": "Asha" },
                        { "name": "LastName", "value": "Rao" },
                        { "name": "Phone", "value": "+91-9000000001" },
                        { "name": "mx_City", "value": city },
                    ])
                );
                let attributes = messages[0].attributes.as_ref().unwrap();
                let deduplication_id = &attributes[&MessageSystemAttributeName::MessageDeduplicationId];
                assert!(deduplication_id.starts_with(&receipt), "{deduplication_id}");
                let group = &attributes[&MessageSystemAttributeName::MessageGroupId];
                assert!(group.len() == 64 && group.bytes().all(|byte| byte.is_ascii_hexdigit()), "{group}");
            }
        }
    }
}

#[tokio::test]
async fn an_accepted_form_is_counted_and_its_message_carries_the_trace() {
    let form = Form::start().await;
    form.post(Request::urlencoded(&ASHA)).await.receipt();
    // The refused forms of one network count once. A robot's form counts as neither.
    form.post(Request::urlencoded(&[])).await;
    form.post(Request::new("text/plain", "c4nary")).await;
    form.post(Request::urlencoded(&with(&[("leave_empty", "https://robots.example")]))).await.receipt();
    let messages = form.queue.drain().await;
    let trace = messages[0].attributes.as_ref().unwrap().get(&MessageSystemAttributeName::AwsTraceHeader);
    assert_eq!((messages.len(), trace.map(String::as_str)), (1, Some(TRACE)));
    let counts = metrics(&form.function.stop().await);
    let count = |name: &str, dimensions: &str| (name.to_owned(), dimensions.to_owned(), json!(1));
    let answered = |is_refused: f64| ("FormsRefused".to_owned(), String::new(), json!([is_refused]));
    assert_eq!(
        counts,
        [
            count("ColdStarts", ""),
            answered(0.0),
            count("Accepted", "source=form"),
            answered(1.0),
            count("Outcomes", "outcome=held"),
            count("OutcomesBySource", "outcome=held source=form"),
        ]
    );
}

#[tokio::test]
async fn only_a_persons_form_with_a_wrong_field_or_body_counts_as_refused() {
    let form = Form::start().await;
    let by_key = |fields: &[(&str, &str)], key: &str| Request::json(fields).header("idempotency-key", key);
    let robots = [("email", "asha"), ("leave_empty", "https://robots.example")];
    for (request, status) in [
        (Request::urlencoded(&robots), 422),
        (Request::urlencoded(&ASHA).method("PUT"), 405),
        (by_key(&ASHA, ""), 400),
        (by_key(&ASHA, "order-1"), 202),
        (by_key(&with(&[("city", "Chennai")]), "order-1"), 422),
    ] {
        assert_eq!(form.post(request).await.status, status);
    }
    // A form builder that names no visitor counts as one network, and each visitor that it names as another.
    for visitor in [None, None, Some("203.0.113.7"), Some("203.0.113.7"), Some("203.0.113.8")] {
        let request = Request::json(&[("email", "asha")]).header("x-form-key", FORM_KEY);
        let request = match visitor {
            Some(address) => request.header("x-visitor-address", address),
            None => request,
        };
        assert_eq!(form.post(request).await.status, 422);
    }
    let metrics = metrics(&form.function.stop().await);
    let counted: Vec<_> = metrics.iter().filter(|metric| metric.0 == "FormsRefused").map(|metric| &metric.2).collect();
    assert_eq!(counted, [&json!([0.0]), &json!([1.0]), &json!([1.0]), &json!([1.0])]);
}

#[tokio::test]
async fn every_sample_event_gets_the_status_that_its_name_promises() {
    let form = Form::start().await;
    for (file, event) in workspace::events("application-form") {
        let answer = Answer::read(form.function.invoke_bytes(event.into(), TIMEOUT).await.unwrap());
        let expected = match file.as_str() {
            "http-api-incomplete.json" => 422,
            file if file.contains("json.") => 202,
            _ => 303,
        };
        assert_eq!(answer.status, expected, "{file}: {}", answer.body);
    }
}

#[tokio::test]
async fn one_answer_names_every_fault_of_a_form() {
    let form = Form::start().await;
    let long = "x".repeat(101);
    let faulty = [("email", "asha.rao"), ("last_name", long.as_str()), ("phone", "call me"), ("leave_empty", "")];
    for (_, encode) in ENCODINGS {
        let answer = form.post(encode(&faulty)).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.faulty_fields(), ["email", "first_name", "last_name", "phone"]);

        let page = form.post(encode(&faulty).accept(BROWSER)).await;
        assert_eq!((page.status, page.headers["content-type"].as_str()), (422, "text/html; charset=utf-8"));
        for field in ["email", "first_name", "last_name", "phone"] {
            assert!(page.body.contains(field), "{field} is on the page: {}", page.body);
        }
        assert!(!page.body.contains("call me"), "the page does not repeat what was sent");
    }
    assert_eq!(form.queue.drain().await.len(), 0);
}

#[tokio::test]
async fn a_plain_form_leads_to_the_thank_you_page() {
    let form = Form::start().await;
    for (_, encode) in ENCODINGS {
        let answer = form.post(encode(&ASHA).accept(BROWSER)).await;
        assert_eq!((answer.status, answer.headers["location"].as_str()), (303, THANK_YOU));
    }
}

#[tokio::test]
async fn an_unreadable_request_is_refused_with_the_status_of_its_fault() {
    let form = Form::start().await;
    let too_large = format!("email=a%40example.com&city={}", "x".repeat(1 << 20));
    let no_type = Request::urlencoded(&ASHA).without_headers();
    let get = Request::new(URLENCODED, "").method("GET");
    for (request, status) in [
        (no_type, 415),
        (Request::new("text/plain", "email=a%40example.com"), 415),
        (Request::new("nonsense", "email=a%40example.com"), 415),
        (Request::new(URLENCODED, too_large), 413),
        (Request::new("application/json", "{\"email\":"), 400),
        (Request::new("application/json", "[]"), 400),
        (Request::new("application/json", vec![0xff, 0xfe]), 400),
        (Request::new("multipart/form-data", "--x"), 400),
        (Request::new("multipart/form-data; boundary=x", "--x\r\nContent-Disp"), 400),
        (Request::new(URLENCODED, vec![b'a', b'=', 0xff]), 422),
        (get, 405),
    ] {
        let answer = form.post(request.clone()).await;
        assert_eq!(answer.status, status, "{:?} {}", request.headers, answer.body);
        assert_eq!(answer.json()["status"], status);
    }
    assert_eq!(form.queue.drain().await.len(), 0);
}

#[tokio::test]
async fn the_same_form_sent_again_is_one_invitation_with_one_receipt() {
    let form = Form::start().await;
    let other_spelling = with(&[("email", "  asha.rao@example.com ")]);
    let first = form.post(Request::urlencoded(&ASHA)).await.receipt();
    let second = form.post(Request::json(&other_spelling)).await.receipt();
    let third = form.post(Request::multipart(&ASHA)).await.receipt();
    // A form is the same within a period of five minutes. At most one period ends between these three requests.
    assert!(first == second || second == third);
    assert_eq!(form.queue.drain().await.len(), BTreeSet::from([&first, &second, &third]).len());
    let other = form.post(Request::urlencoded(&with(&[("city", "Chennai")]))).await.receipt();
    assert!(![first, second, third].contains(&other));
}

#[tokio::test]
async fn two_forms_with_the_same_idempotency_key_are_one_application() {
    let form = Form::start().await;
    let mut receipts = BTreeSet::new();
    let keyed = async |fields: &[(&str, &str)]| {
        form.post(Request::json(fields).header("idempotency-key", "order-1")).await.receipt()
    };
    for _ in 0..2 {
        receipts.insert(keyed(&ASHA).await);
    }
    assert_eq!((receipts.len(), form.queue.drain().await.len()), (1, 1));
    // The same key with other content is an error of the sender, and nothing is queued.
    let corrected = with(&[("city", "Chennai")]);
    let answer = form.post(Request::json(&corrected).header("idempotency-key", "order-1")).await;
    assert_eq!((answer.status, answer.faulty_fields()), (422, vec!["Idempotency-Key".to_owned()]));
    assert_eq!(form.queue.drain().await.len(), 0);
    // The same key of another person is another application.
    receipts.insert(keyed(&with(&[("email", "ravi@example.com")])).await);
    assert_eq!((receipts.len(), form.queue.drain().await.len()), (2, 1));
}

#[tokio::test]
async fn a_form_with_a_filled_honeypot_is_answered_like_any_other_and_not_queued() {
    let form = Form::start().await;
    let honest = form.post(Request::urlencoded(&ASHA)).await;
    assert_eq!(form.queue.drain().await.len(), 1);
    let trapped = form.post(Request::urlencoded(&with(&[("leave_empty", "https://spam.example")]))).await;
    assert_eq!((trapped.status, &trapped.headers), (honest.status, &honest.headers));
    assert_eq!(trapped.receipt().len(), honest.receipt().len());
    assert_eq!(form.queue.drain().await.len(), 0);
}

#[tokio::test]
async fn an_application_that_cannot_be_stored_is_never_accepted() {
    let aws = Aws::new().await;
    let queue = aws.queue("invitations").await;
    let function = start(&aws, &queue.url).await.unwrap();
    queue.remove().await;
    let answer = post(&function, Request::urlencoded(&ASHA)).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.retries_within(3600));
    let page = post(&function, Request::urlencoded(&ASHA).accept(BROWSER)).await;
    assert_eq!((page.status, page.headers["content-type"].as_str()), (503, "text/html; charset=utf-8"));
    assert_eq!(functions::count_of(&function.stop().await, "NotStored"), 2);
}

#[tokio::test]
async fn nothing_that_a_person_sends_is_logged_or_repeated_in_an_error() {
    // Field names and values: people type into the wrong field, and programs send fields that the form does not have.
    const CANARY: &str = "c4nary";
    let form = Form::start().await;
    let mut answers = Vec::new();
    for (name, _) in ASHA.into_iter().chain([("password", ""), ("c4nary-name", ""), ("token", "")]) {
        for value in ["c4nary", "c4nary@example.com", "\u{0}c4nary\u{202e}<b>", "+91 90000 c4nary"] {
            let mut fields: Vec<_> = ASHA.into_iter().filter(|(other, _)| *other != name).collect();
            fields.push((name, value));
            for (_, encode) in ENCODINGS {
                answers.push(form.post(encode(&fields)).await);
            }
        }
    }
    answers.push(form.post(Request::new("text/c4nary", CANARY)).await);
    answers.push(form.post(Request::new("application/json", "{\"email\":\"c4nary")).await);
    answers.push(form.post(Request::new("multipart/form-data; boundary=c4nary", "--c4nary\r\nc4nary: c4nary")).await);
    answers.push(form.post(Request::urlencoded(&[("email", CANARY)]).method("PUT")).await);
    for answer in answers {
        assert!(!format!("{answer:?}").to_lowercase().contains(CANARY), "{answer:?}");
    }
    let printed = form.function.stop().await;
    assert!(printed.contains("\"level\""), "the function logs JSON lines: {printed}");
    for canary in [CANARY, "Asha", "asha.rao", "9000000001", "90000 00001", "Bengaluru"] {
        assert!(!printed.to_lowercase().contains(&canary.to_lowercase()), "{canary} is logged: {printed}");
    }
}

#[test]
fn no_request_makes_the_function_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let form = runtime.block_on(Form::start());
    let content_type = prop_oneof![
        Just(URLENCODED.to_owned()),
        Just("application/json".to_owned()),
        Just("multipart/form-data; boundary=frontier".to_owned()),
        Just("multipart/form-data; boundary=\"\"".to_owned()),
        "application/[a-z-]{0,12}(; charset=[a-z0-9-]{0,8})?",
        "[ -~]{0,40}",
    ];
    let urlencoded = vec(("[a-z_]{0,10}|email|first_name", "\\PC{0,20}"), 0..8)
        .prop_map(|fields| form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes());
    let truncated_multipart = (0_usize..600).prop_map(|length| {
        let mut body = Request::multipart(&ASHA).body;
        body.truncate(length);
        body
    });
    let body = prop_oneof![
        2 => vec(any::<u8>(), 0..300),
        1 => "[{}\\[\\]\":,a-z0-9\\\\ ]{0,80}".prop_map(String::into_bytes),
        1 => urlencoded,
        1 => truncated_multipart,
    ];
    let accept = prop_oneof![Just("application/json".to_owned()), Just(BROWSER.to_owned()), "[ -~]{0,20}"];
    let entry_point = prop_oneof![Just(EntryPoint::HttpApi), Just(EntryPoint::RestApi), Just(EntryPoint::FunctionUrl)];
    let request = (entry_point, content_type, accept, body, any::<bool>());
    functions::for_all(600, &request, |(entry_point, content_type, accept, body, base64)| {
        let request = Request::new(content_type, body).through(entry_point).base64(base64).accept(&accept);
        let answer = runtime.block_on(form.post(request));
        prop_assert!((200..500).contains(&answer.status), "{answer:?}");
        Ok(())
    });
}

#[tokio::test]
async fn a_missing_setting_is_named_when_the_function_fails_to_start() {
    let aws = Aws::new().await;
    let message = functions::failed_start(functions::start("application-form", aws.environment()).await);
    assert!(message.contains("the environment variable FORM_FIELDS is not set"), "{message}");
}

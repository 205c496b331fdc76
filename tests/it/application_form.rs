//! The `application-form` function: what becomes of a request, seen from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_sdk_sqs::types::MessageSystemAttributeName;
use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::{
    fixtures::{self, Aws, Queue, metrics},
    runtime_api::{Function, FunctionError, TRACE},
    template::Template,
    workspace,
};

const TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
pub(crate) const URLENCODED: &str = "application/x-www-form-urlencoded";
const THANK_YOU: &str = "https://www.example.com/thank-you";
const ASHA: [(&str, &str); 6] = [
    ("email", "Asha.Rao@Example.COM"),
    ("first_name", "Asha"),
    ("last_name", "Rao"),
    ("phone", "+91 90000 00001"),
    ("city", "Bengaluru"),
    ("website", ""),
];

type Encode = fn(&[(&str, &str)]) -> Request<'static>;
const ENCODINGS: [(&str, Encode); 3] =
    [("urlencoded", Request::urlencoded), ("multipart", Request::multipart), ("json", Request::json)];

/// The function with the template's form, and the queue it sends to.
struct Form {
    function: Function,
    queue: Queue,
}

impl Form {
    async fn start() -> Self {
        let aws = Aws::new().await;
        let queue = aws.queue("invitations").await;
        Self { function: start(&aws, &queue.url).await.unwrap(), queue }
    }

    async fn post(&self, request: Request<'_>) -> Answer {
        post(&self.function, request).await
    }
}

/// The caps are looked at elsewhere: here one person sends many forms.
async fn start(aws: &Aws, queue_url: &str) -> Result<Function, FunctionError> {
    let table = aws.table().await;
    let limits = r#"{"person_and_network":100,"mailbox":100}"#;
    let settings = [
        ("INVITATIONS_QUEUE_URL", queue_url),
        ("THANK_YOU_URL", THANK_YOU),
        ("LEDGER_TABLE", &table),
        ("INTAKE_LIMITS", limits),
    ];
    let mut environment = Template::read().settings("application-form", &settings);
    environment.extend(aws.environment());
    Function::start(fixtures::binary("application-form").await, environment).await
}

async fn post(function: &Function, request: Request<'_>) -> Answer {
    Answer::read(function.invoke(&request.event(), TIMEOUT).await.unwrap())
}

/// Which of AWS's front doors a request came through.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door {
    HttpApi,
    RestApi,
    FunctionUrl,
}

#[derive(Clone)]
pub(crate) struct Request<'a> {
    door: Door,
    method: &'a str,
    path: &'a str,
    /// Who connected to the door.
    address: &'a str,
    headers: Vec<(&'a str, String)>,
    body: Vec<u8>,
    /// Bodies that are not UTF-8 travel in base64 whatever this says.
    base64: bool,
}

impl<'a> Request<'a> {
    pub(crate) fn new(content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", content_type.into()), ("accept", "application/json".to_owned())];
        let (path, address) = ("/applications", "203.0.113.7");
        Self { door: Door::HttpApi, method: "POST", path, address, headers, body: body.into(), base64: true }
    }

    pub(crate) fn by(self, method: &'a str) -> Self {
        Self { method, ..self }
    }

    pub(crate) fn at(self, path: &'a str) -> Self {
        Self { path, ..self }
    }

    pub(crate) fn through(self, door: Door) -> Self {
        Self { door, ..self }
    }

    pub(crate) fn from(self, address: &'a str) -> Self {
        Self { address, ..self }
    }

    pub(crate) fn urlencoded(fields: &[(&str, &str)]) -> Self {
        Self::new(URLENCODED, form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
    }

    pub(crate) fn json(fields: &[(&str, &str)]) -> Self {
        Self::new("application/json", json!(fields.iter().copied().collect::<BTreeMap<_, _>>()).to_string())
    }

    fn multipart(fields: &[(&str, &str)]) -> Self {
        let part = |(name, value): &(&str, &str)| {
            format!("--frontier\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let parts: String = fields.iter().map(part).collect();
        Self::new("multipart/form-data; boundary=frontier", format!("{parts}--frontier--\r\n"))
    }

    pub(crate) fn header(mut self, name: &'a str, value: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn accept(self, accept: &str) -> Self {
        self.header("accept", accept)
    }

    pub(crate) fn event(&self) -> Value {
        let sample = match self.door {
            Door::HttpApi => "http-api-json.json",
            Door::RestApi => "rest-api-urlencoded.json",
            Door::FunctionUrl => "function-url-json.json",
        };
        let (_, event) = workspace::events("application-form").into_iter().find(|(file, _)| file == sample).unwrap();
        let mut event: Value = serde_json::from_slice(&event).unwrap();
        let (body, base64) = match std::str::from_utf8(&self.body) {
            Ok(text) if !self.base64 => (text.to_owned(), false),
            _ => (BASE64_STANDARD.encode(&self.body), true),
        };
        event["body"] = body.into();
        event["isBase64Encoded"] = base64.into();
        event["headers"] = self.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        match self.door {
            Door::HttpApi | Door::FunctionUrl => {
                event["rawPath"] = self.path.into();
                let http = &mut event["requestContext"]["http"];
                (http["method"], http["path"]) = (self.method.into(), self.path.into());
                http["sourceIp"] = self.address.into();
            }
            Door::RestApi => {
                event["path"] = self.path.into();
                event["requestContext"]["identity"]["sourceIp"] = self.address.into();
                event["httpMethod"] = self.method.into();
                event["requestContext"]["httpMethod"] = self.method.into();
                event["multiValueHeaders"] =
                    self.headers.iter().map(|(name, value)| ((*name).to_owned(), json!([value]))).collect();
            }
        }
        event
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn read(answer: Value) -> Self {
        let status = answer["statusCode"].as_u64().expect("an answer has a status");
        let mut headers = BTreeMap::new();
        for (name, value) in answer["headers"].as_object().into_iter().flatten() {
            headers.insert(name.to_ascii_lowercase(), value.as_str().unwrap().to_owned());
        }
        for (name, values) in answer["multiValueHeaders"].as_object().into_iter().flatten() {
            headers.insert(name.to_ascii_lowercase(), values[0].as_str().unwrap().to_owned());
        }
        // Payload 2.0 has them apart from the other headers.
        for cookie in answer["cookies"].as_array().into_iter().flatten() {
            headers.insert("set-cookie".to_owned(), cookie.as_str().unwrap().to_owned());
        }
        let body = answer["body"].as_str().unwrap_or_default();
        let body = match answer["isBase64Encoded"].as_bool() {
            Some(true) => String::from_utf8(BASE64_STANDARD.decode(body).unwrap()).unwrap(),
            _ => body.to_owned(),
        };
        Self { status, headers, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    pub(crate) fn receipt(&self) -> String {
        assert_eq!(self.status, 202, "{}", self.body);
        self.json()["receipt"].as_str().expect("an accepted form has a receipt").to_owned()
    }

    /// The names of the fields that the answer finds fault with.
    pub(crate) fn faulty_fields(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

/// Asha's form with other values in these fields.
fn with<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let changed = |(name, value)| changes.iter().find(|(other, _)| *other == name).copied().unwrap_or((name, value));
    ASHA.into_iter().map(changed).collect()
}

#[tokio::test]
async fn a_form_becomes_one_invitation_whatever_its_encoding_and_its_door() {
    let form = Form::start().await;
    for door in [Door::HttpApi, Door::RestApi, Door::FunctionUrl] {
        for (name, encode) in ENCODINGS {
            for base64 in [true, false] {
                // Another city each time, or the repeat would be recognised.
                let city = format!("{door:?} {name} {base64}");
                let request = Request { door, base64, ..encode(&with(&[("city", &city)])) };
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
async fn an_accepted_form_is_counted_and_takes_its_trace_to_the_queue() {
    let form = Form::start().await;
    form.post(Request::urlencoded(&ASHA)).await.receipt();
    form.post(Request::urlencoded(&[])).await;
    form.post(Request::urlencoded(&with(&[("website", "https://robots.example")]))).await.receipt();
    let messages = form.queue.drain().await;
    let trace = messages[0].attributes.as_ref().unwrap().get(&MessageSystemAttributeName::AwsTraceHeader);
    assert_eq!((messages.len(), trace.map(String::as_str)), (1, Some(TRACE)));
    let counts = metrics(&form.function.stop().await);
    let count = |name: &str, dimensions: &str| (name.to_owned(), dimensions.to_owned(), json!(1));
    assert_eq!(
        counts,
        [
            count("ColdStarts", ""),
            count("Accepted", "source=form"),
            count("Outcomes", "outcome=held"),
            count("OutcomesBySource", "outcome=held source=form"),
        ]
    );
}

#[tokio::test]
async fn every_sample_event_is_answered_as_its_name_says() {
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
async fn every_fault_of_a_form_is_named_in_one_answer() {
    let form = Form::start().await;
    let long = "x".repeat(101);
    let faulty = [("email", "asha.rao"), ("last_name", long.as_str()), ("phone", "call me"), ("website", "")];
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
async fn what_is_no_form_is_refused_with_the_reason_in_its_status() {
    let form = Form::start().await;
    let too_large = format!("email=a%40example.com&city={}", "x".repeat(1 << 20));
    let no_type = Request { headers: vec![], ..Request::urlencoded(&ASHA) };
    let get = Request { method: "GET", ..Request::new(URLENCODED, "") };
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
        (Request::new(URLENCODED, vec![b'a', b'=', 0xff]), 400),
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
    // "The same form" counts by periods of five minutes, and one may end between two of these three, but not two.
    assert!(first == second || second == third);
    assert_eq!(form.queue.drain().await.len(), BTreeSet::from([&first, &second, &third]).len());
    let other = form.post(Request::urlencoded(&with(&[("city", "Chennai")]))).await.receipt();
    assert!(![first, second, third].contains(&other));
}

#[tokio::test]
async fn a_senders_own_key_makes_two_forms_one_application() {
    let form = Form::start().await;
    let mut receipts = BTreeSet::new();
    let keyed = async |fields: &[(&str, &str)]| {
        form.post(Request::json(fields).header("idempotency-key", "order-1")).await.receipt()
    };
    for _ in 0..2 {
        receipts.insert(keyed(&ASHA).await);
    }
    assert_eq!((receipts.len(), form.queue.drain().await.len()), (1, 1));
    // Other content under the key is no copy, and its sender hears so before it is queued.
    let corrected = with(&[("city", "Chennai")]);
    let answer = form.post(Request::json(&corrected).header("idempotency-key", "order-1")).await;
    assert_eq!((answer.status, answer.faulty_fields()), (422, vec!["Idempotency-Key".to_owned()]));
    assert_eq!(form.queue.drain().await.len(), 0);
    // Another person's order-1 is another application.
    receipts.insert(keyed(&with(&[("email", "ravi@example.com")])).await);
    assert_eq!((receipts.len(), form.queue.drain().await.len()), (2, 1));
}

#[tokio::test]
async fn a_filled_honeypot_is_answered_alike_and_not_queued() {
    let form = Form::start().await;
    let honest = form.post(Request::urlencoded(&ASHA)).await;
    assert_eq!(form.queue.drain().await.len(), 1);
    let trapped = form.post(Request::urlencoded(&with(&[("website", "https://spam.example")]))).await;
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
    assert!(answer.headers["retry-after"].parse::<u32>().is_ok_and(|seconds| seconds > 0));
    let page = post(&function, Request::urlencoded(&ASHA).accept(BROWSER)).await;
    assert_eq!((page.status, page.headers["content-type"].as_str()), (503, "text/html; charset=utf-8"));
    let counted = metrics(&function.stop().await);
    assert_eq!(counted.iter().filter(|(name, ..)| name == "NotStored").count(), 2, "{counted:?}");
}

#[tokio::test]
async fn what_people_send_is_neither_logged_nor_repeated_in_an_error() {
    // Names and values alike: people type into the wrong box, and programs send boxes we do not have.
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
    answers.push(form.post(Request { method: "PUT", ..Request::urlencoded(&[("email", CANARY)]) }).await);
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
fn no_bytes_lead_to_an_error_of_ours() {
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
    let door = prop_oneof![Just(Door::HttpApi), Just(Door::RestApi), Just(Door::FunctionUrl)];
    let request = (door, content_type, accept, body, any::<bool>());
    let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&request, |(door, content_type, accept, body, base64)| {
        let request = Request { door, base64, ..Request::new(content_type, body) }.accept(&accept);
        let answer = runtime.block_on(form.post(request));
        prop_assert!((200..500).contains(&answer.status), "{answer:?}");
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn a_broken_setting_stops_the_function_with_its_name() {
    let aws = Aws::new().await;
    let function = Function::start(fixtures::binary("application-form").await, aws.environment()).await;
    match function {
        Err(FunctionError::Init { message }) => {
            assert!(message.contains("the environment variable FORM_FIELDS is not set"), "{message}")
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it starts without a queue"),
    }
}

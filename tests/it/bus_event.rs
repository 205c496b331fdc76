//! The `bus-event` function, black box: what becomes of other systems' events.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::Message;
use futures::future::join_all;
use proptest::prelude::*;
use runtime_api::{Function, FunctionError};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use time::OffsetDateTime;

use crate::{
    aws::{Aws, Queue},
    functions::{self, count_of, metrics},
    template::Template,
    workspace,
};

const TIMEOUT: Duration = Duration::from_secs(10);
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NEW_SECRET: &str = "whsec_bmV3IHNlY3JldCB0aGF0IGlzIGxvbmcgZW5vdWdo";
const LEAD: &str = "11111111-1111-4111-8111-111111111111";

/// The function with its queues, its table and its signing secret.
struct Bus {
    aws: Aws,
    function: Function,
    invitations: Queue,
    dead_letters: Queue,
    secret: String,
    table: String,
}

impl Bus {
    /// Starts the function with caps that the many events of one person here do not reach.
    async fn start() -> Self {
        Self::with_limits(r#"{"person_and_network":100,"mailbox":100}"#).await
    }

    async fn with_limits(limits: &str) -> Self {
        let aws = Aws::new().await;
        let secret = aws.secret(&json!({ "current": SECRET, "previous": "" }).to_string()).await;
        let (invitations, dead_letters) = (aws.queue("invitations").await, aws.queue("dead-letters").await);
        let table = aws.table().await;
        let settings = [
            ("INVITATIONS_QUEUE_URL", invitations.url.as_str()),
            ("DEAD_LETTERS_QUEUE_URL", &dead_letters.url),
            ("EVENT_SIGNING_SECRET", &secret),
            ("LEDGER_TABLE", &table),
            ("INTAKE_LIMITS", limits),
        ];
        let mut environment = Template::read().settings("bus-event", &settings);
        environment.extend(aws.environment());
        let function = functions::start("bus-event", environment).await.unwrap();
        Self { aws, function, invitations, dead_letters, secret, table }
    }

    async fn invoke(&self, event: &Value) -> Result<Value, FunctionError> {
        self.function.invoke(event, TIMEOUT).await
    }

    /// Type and message of the error that the function must report for this event.
    async fn error(&self, event: &Value) -> (String, String) {
        match self.invoke(event).await {
            Err(FunctionError::Reported { error_type, message }) => (error_type, message),
            other => panic!("{other:?}"),
        }
    }

    async fn post(&self, request: &Value) -> (u64, Value) {
        let answer = self.invoke(request).await.unwrap();
        let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        (answer["statusCode"].as_u64().unwrap(), body)
    }
}

fn sample(name: &str) -> Value {
    functions::sample("bus-event", name)
}

fn application(id: &str, email: &str) -> Value {
    let mut event = sample("event-bridge-application-submitted.json");
    event["id"] = id.into();
    event["detail"]["email"] = email.into();
    event
}

/// An SNS event with a notification for each of these messages.
fn notifications(messages: &[Value]) -> Value {
    let sample = sample("sns-application-submitted.json");
    let record = |(position, message): (usize, &Value)| {
        let mut record = sample["Records"][0].clone();
        record["Sns"]["MessageId"] = format!("95df01b4-ee98-5cb9-9903-{position:012}").into();
        record["Sns"]["Message"] = message.as_str().map_or_else(|| message.to_string(), str::to_owned).into();
        record
    };
    json!({ "Records": messages.iter().enumerate().map(record).collect::<Vec<_>>() })
}

fn unix_now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// A request with this body and the current time, signed.
fn signed(body: &str, id: &str, secret: &str) -> Value {
    signed_at(unix_now(), body, id, secret)
}

fn signed_at(timestamp: i64, body: &str, id: &str, secret: &str) -> Value {
    let mut request = sample("http-api-application-submitted.json");
    let signature = Webhook::new(secret).unwrap().sign(id, timestamp, body.as_bytes()).unwrap();
    request["headers"]["webhook-id"] = id.into();
    request["headers"]["webhook-timestamp"] = timestamp.to_string().into();
    request["headers"]["webhook-signature"] = signature.into();
    request["body"] = body.into();
    request
}

fn link_for(email: &str) -> String {
    json!({ "detail-type": "LoginLinkRequested", "detail": { "version": "1", "email": email } }).to_string()
}

fn read(message: &Message) -> Value {
    serde_json::from_str(message.body.as_deref().unwrap()).unwrap()
}

fn attribute<'a>(message: &'a Message, name: &str) -> &'a str {
    message.message_attributes.as_ref().unwrap()[name].string_value.as_deref().unwrap()
}

#[tokio::test]
async fn every_sample_event_has_the_outcome_that_its_name_promises() {
    let asha = json!({ "email": "asha.rao@example.com" });
    let lead = json!({ "lead": LEAD });
    let attributes = json!([
        { "name": "FirstName", "value": "Asha" },
        { "name": "LastName", "value": "Rao" },
        { "name": "Phone", "value": "+91-9000000001" },
        { "name": "mx_City", "value": "Pune" },
    ]);
    let bus = Bus::start().await;
    let mut receipts = BTreeSet::new();
    for (file, event) in workspace::events("bus-event") {
        let mut event: Value = serde_json::from_slice(&event).unwrap();
        if let Some(body) = event["body"].as_str() {
            event = signed(body, "msg_1", SECRET);
        }
        if file.starts_with("pipe-") {
            assert_eq!(bus.invoke(&event).await.unwrap(), json!({ "batchItemFailures": [] }), "{file}");
            let [message] = &*bus.invitations.drain().await else { panic!("{file} is one invitation") };
            let invitation = read(message);
            assert_eq!((&invitation["email"], &invitation["attributes"]), (&asha["email"], &attributes), "{file}");
            continue;
        }
        let answer = bus.invoke(&event).await;
        let messages = bus.invitations.drain().await;
        let (invitee, action, attributes) = match file.as_str() {
            "event-bridge-unfit.json" | "event-bridge-unknown-version.json" => {
                assert_eq!(answer.unwrap(), json!([{ "status": "dead-lettered" }]), "{file}");
                assert_eq!((messages.len(), bus.dead_letters.drain().await.len()), (0, 1), "{file}");
                continue;
            }
            "invoke-unknown-kind.json" => {
                assert!(matches!(answer, Err(FunctionError::Reported { .. })), "{file}: {answer:?}");
                assert_eq!(messages.len(), 0, "{file}");
                continue;
            }
            "event-bridge-invitation-requested.json" => (&lead, "invite", json!([])),
            "event-bridge-login-link-requested.json" => (&lead, "mail-link", json!([])),
            "sns-detail-alone.json" => (&asha, "mail-link", json!([])),
            _ => (&asha, "invite", attributes.clone()),
        };
        let mut answer = answer.unwrap();
        if let Some(body) = answer["body"].as_str() {
            assert_eq!(answer["statusCode"], 202, "{file}: {body}");
            answer = serde_json::from_str(body).unwrap();
        }
        let accepted = if answer.is_array() { &answer[0] } else { &answer };
        assert_eq!((accepted["status"].as_str(), messages.len()), (Some("accepted"), 1), "{file}");
        let invitation = read(&messages[0]);
        assert_eq!(invitation["id"], accepted["receipt"], "{file}");
        assert_eq!((&invitation["source"], &invitation["action"]), (&json!("bus"), &json!(action)), "{file}");
        assert_eq!((&invitation["email"], &invitation["lead"]), (&invitee["email"], &invitee["lead"]), "{file}");
        assert_eq!(invitation["attributes"], attributes, "{file}");
        // Each sample is an event of its own.
        assert!(receipts.insert(invitation["id"].to_string()), "{file}");
    }
    assert_eq!(bus.dead_letters.drain().await.len(), 0);
}

#[tokio::test]
async fn an_event_over_the_cap_of_a_source_or_a_person_is_held_and_answered_as_accepted() {
    let bus = Bus::with_limits(r#"{"form_key":4}"#).await;
    // A person gets three an hour from one source.
    for number in 0..4 {
        let answer = bus.invoke(&application(&format!("asha-{number}"), "asha@example.com")).await.unwrap();
        assert_eq!(answer[0]["status"], "accepted", "{answer}");
    }
    assert_eq!(bus.invitations.drain().await.len(), 3);
    // The source gets four for all people together.
    let mut receipts = Vec::new();
    for number in 0..3 {
        let event = application(&format!("other-{number}"), &format!("person-{number}@example.com"));
        let answer = bus.invoke(&event).await.unwrap();
        // A copy is neither counted nor held.
        assert_eq!(bus.invoke(&event).await.unwrap(), answer);
        receipts.push(answer[0]["receipt"].as_str().unwrap().to_owned());
    }
    assert_eq!(bus.invitations.drain().await.len(), 1);
    let other_source = signed(&link_for("asha@example.com"), "msg_1", SECRET);
    assert_eq!(bus.post(&other_source).await.0, 202);
    assert_eq!(bus.invitations.drain().await.len(), 1, "another source");
    let items = bus.aws.items(&bus.table).await;
    let text = |item: &HashMap<String, AttributeValue>, name: &str| item[name].as_s().unwrap().clone();
    let held: BTreeMap<_, _> = items
        .iter()
        .filter_map(|item| Some((text(item, "pk").strip_prefix("held#")?.to_owned(), item)))
        .map(|(receipt, item)| (receipt, (text(item, "source"), text(item, "cause"))))
        .collect();
    assert_eq!(held.len(), 3, "{held:?}");
    for receipt in &receipts[1..] {
        assert_eq!(held[receipt], ("bus".to_owned(), "source".to_owned()));
    }
    assert_eq!(bus.dead_letters.drain().await.len(), 0);
}

#[tokio::test]
async fn copies_of_an_event_are_one_invitation_in_any_order_and_at_the_same_time() {
    let mut bus = Bus::start().await;
    for _ in 0..3 {
        bus.function.add_process().await.unwrap();
    }
    let samples = workspace::events("bus-event").into_iter().filter(|(file, _)| file.contains("-submitted"));
    let mut events: Vec<Value> = samples.map(|(_, event)| serde_json::from_slice(&event).unwrap()).collect();
    for event in events.iter_mut().filter(|event| event["body"].is_string()) {
        *event = signed(event["body"].as_str().unwrap(), "msg_1", SECRET);
    }
    for round in 0..3 {
        events.rotate_left(round);
        for event in &events {
            bus.invoke(event).await.unwrap();
        }
    }
    assert_eq!(bus.invitations.drain().await.len(), events.len());

    let event = application("aaaaaaaa-0000-4000-8000-000000000001", "ravi@example.com");
    let answers = join_all((0..20).map(|_| bus.invoke(&event))).await;
    let receipts: BTreeSet<_> = answers.into_iter().map(|answer| answer.unwrap()[0]["receipt"].to_string()).collect();
    assert_eq!((receipts.len(), bus.invitations.drain().await.len()), (1, 1));
}

#[tokio::test]
async fn an_idempotency_key_identifies_an_event_before_the_id_of_its_envelope() {
    let bus = Bus::start().await;
    let receipt = async |id: &str, source: &str, kind: &str, key: Option<&str>| {
        let mut event = json!({
            "id": id, "source": source, "account": "111122223333", "detail-type": kind,
            "detail": { "version": "1", "email": "asha@example.com" },
        });
        if let Some(key) = key {
            event["detail"]["idempotencyKey"] = key.into();
        }
        bus.invoke(&event).await.unwrap()[0]["receipt"].as_str().expect("it is accepted").to_owned()
    };
    let by_key = receipt("1", "shop", "ApplicationSubmitted", Some("order-1")).await;
    assert_eq!(receipt("2", "shop", "ApplicationSubmitted", Some("order-1")).await, by_key);
    let others = [
        receipt("1", "shop", "ApplicationSubmitted", Some("order-2")).await,
        receipt("1", "shop", "ApplicationSubmitted", None).await,
        receipt("2", "shop", "ApplicationSubmitted", None).await,
        // Two systems may use the same key, and so may two kinds of events.
        receipt("1", "fairs", "ApplicationSubmitted", Some("order-1")).await,
        receipt("1", "shop", "LoginLinkRequested", Some("order-1")).await,
        // A key with the text of an id is a different event.
        receipt("3", "shop", "ApplicationSubmitted", Some("1")).await,
    ];
    assert_eq!(others.iter().chain([&by_key]).collect::<BTreeSet<_>>().len(), others.len() + 1);
}

#[tokio::test]
async fn two_invocations_without_an_id_are_two_invitations() {
    let bus = Bus::start().await;
    let event: Value = serde_json::from_str(&link_for("asha@example.com")).unwrap();
    let receipts: BTreeSet<_> =
        [bus.invoke(&event).await, bus.invoke(&event).await].into_iter().map(|it| it.unwrap().to_string()).collect();
    assert_eq!(receipts.len(), 2);
}

#[tokio::test]
async fn an_unfit_event_becomes_a_complete_dead_letter_whose_reason_holds_no_personal_data() {
    let bus = Bus::start().await;
    let unfit = sample("event-bridge-unfit.json");
    for _ in 0..2 {
        bus.invoke(&unfit).await.unwrap();
    }
    let letters = bus.dead_letters.drain().await;
    // Delivered twice, dead-lettered once.
    assert_eq!(letters.len(), 1);
    assert_eq!(read(&letters[0]), unfit);
    assert_eq!(attribute(&letters[0], "class"), "malformed");
    let cause = attribute(&letters[0], "cause");
    assert!(cause.starts_with("ApplicationSubmitted: ") && cause.contains("/email"), "{cause}");
    assert!(cause.contains("/attributes/Phone"), "{cause}");
    assert!(!format!("{:?}", letters[0].message_attributes).contains("asha"), "{:?}", letters[0].message_attributes);

    let printed = bus.function.stop().await;
    assert!(
        printed.contains("\"level\":\"ERROR\"") && printed.contains("event refused and dead-lettered"),
        "{printed}"
    );
    assert!(printed.contains("/email is missing: the person's e-mail address"), "{printed}");
    for value in ["asha.rao", "90000 00001", "e-mail\\\""] {
        assert!(!printed.contains(value), "{value} is logged: {printed}");
    }
}

#[tokio::test]
async fn each_notification_is_accepted_or_dead_lettered_by_itself() {
    let bus = Bus::start().await;
    let messages = [
        json!("no JSON"),
        json!(link_for("asha@example.com")),
        json!({"detail": {}}),
        json!(link_for("ravi@example.com")),
    ];
    let answer = bus.invoke(&notifications(&messages)).await.unwrap();
    let statuses: Vec<_> = answer.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["dead-lettered", "accepted", "dead-lettered", "accepted"]);
    assert_eq!(bus.invitations.drain().await.len(), 2);
    let causes: BTreeSet<_> =
        bus.dead_letters.drain().await.iter().map(|letter| attribute(letter, "cause").to_owned()).collect();
    assert_eq!(causes, BTreeSet::from(["no JSON".to_owned(), "no event".to_owned()]));
}

/// The element of a pipe whose source is an SQS queue, with this body.
fn queued(id: &str, body: &Value) -> Value {
    let mut element = sample("pipe-sqs-application-submitted.json")[0].take();
    element["messageId"] = id.into();
    element["body"] = body.as_str().map_or_else(|| body.to_string(), str::to_owned).into();
    element
}

#[tokio::test]
async fn each_element_of_a_pipes_batch_is_one_event() {
    let bus = Bus::start().await;
    let link = |email: &str| -> Value { serde_json::from_str(&link_for(email)).unwrap() };
    let good = application("aaaaaaaa-0000-4000-8000-000000000004", "asha@example.com");
    let mut in_a_topic = sample("sns-application-submitted.json")["Records"][0]["Sns"].take();
    in_a_topic["Message"] = link_for("sns@example.com").into();
    let batch = json!([
        good,
        queued("m-1", &link("sqs@example.com")),
        queued("m-2", &json!("no JSON")),
        queued("m-3", &in_a_topic),
        queued("m-4", &json!(format!("\u{feff}{}", link("bom@example.com")))),
        { "messageId": "m-5", "body": link("template@example.com") },
        { "Sns": in_a_topic },
        link("plain@example.com"),
        link("plain@example.com"),
        sample("event-bridge-unfit.json"),
        7,
    ]);
    assert_eq!(bus.invoke(&batch).await.unwrap(), json!({ "batchItemFailures": [] }));
    let people = async || -> Vec<String> {
        let messages = bus.invitations.drain().await;
        let mut people: Vec<_> = messages.iter().map(|it| read(it)["email"].as_str().unwrap().to_owned()).collect();
        people.sort();
        people
    };
    let expected = ["asha", "bom", "plain", "plain", "sns", "sqs", "template"];
    assert_eq!(people().await, expected.map(|name| format!("{name}@example.com")));
    let mut causes: Vec<_> =
        bus.dead_letters.drain().await.iter().map(|letter| attribute(letter, "cause").to_owned()).collect();
    causes.sort();
    assert_eq!(causes.len(), 3, "{causes:?}");
    assert_eq!(causes[1..], ["no JSON", "no event"].map(str::to_owned));

    // The same events again: only those without any id are events of their own.
    assert_eq!(bus.invoke(&batch).await.unwrap(), json!({ "batchItemFailures": [] }));
    assert_eq!(people().await, ["plain@example.com", "plain@example.com"]);
}

#[tokio::test]
async fn a_pipe_repeats_the_elements_that_could_not_be_stored() {
    let bus = Bus::start().await;
    bus.invitations.remove().await;
    let link: Value = serde_json::from_str(&link_for("asha@example.com")).unwrap();
    let batch = [queued("m-1", &link), queued("m-2", &json!("no JSON")), queued("m-3", &link)];
    let failures = json!({ "batchItemFailures": [{ "itemIdentifier": "m-1" }, { "itemIdentifier": "m-3" }] });
    assert_eq!(bus.function.invoke(&json!(batch), TIMEOUT).await.unwrap(), failures);
    assert_eq!(bus.dead_letters.drain().await.len(), 1);
    // An element without an id cannot be named, so the pipe repeats the whole batch.
    match bus.function.invoke(&json!([link, batch[1]]), TIMEOUT).await {
        Err(FunctionError::Reported { error_type, .. }) => assert_eq!(error_type, "EventNotStored"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_signed_request_may_begin_with_a_byte_order_mark_and_be_as_large_as_the_limit() {
    let bus = Bus::start().await;
    let body = format!("\u{feff}{}", link_for("asha@example.com"));
    assert_eq!(bus.post(&signed(&body, "msg_1", SECRET)).await.0, 202);
    let padded =
        |length: usize| format!("{}{}", link_for("asha@example.com"), " ".repeat(length)).split_at(length).0.to_owned();
    let base64 = |mut request: Value| {
        let body = request["body"].as_str().unwrap().to_owned();
        request["body"] = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, body).into();
        request["isBase64Encoded"] = true.into();
        request
    };
    for (length, status) in [(64 * 1024, 202), (64 * 1024 + 1, 413)] {
        let request = signed(&padded(length), "msg_2", SECRET);
        assert_eq!(bus.post(&request).await.0, status, "{length}");
        assert_eq!(bus.post(&base64(request)).await.0, status, "{length} in Base64");
    }
}

#[tokio::test]
async fn a_refused_invocation_reports_what_is_wrong_with_its_event() {
    let bus = Bus::start().await;
    let detail = json!({ "version": "1", "email": "c4nary" });
    for (event, reason) in [
        (json!({}), "or an object with the texts detail-type"),
        (json!([]), "or an object with the texts detail-type"),
        (
            json!({ "Records": [{ "eventSource": "aws:sqs", "body": "c4nary" }] }),
            "the event must be an EventBridge event",
        ),
        (json!({ "detail-type": "ApplicationSubmitted", "id": 7 }), "the event must be an EventBridge event"),
        (
            json!({ "detail-type": "c4nary", "detail": detail }),
            "the detail-type must be one of ApplicationSubmitted, Inv",
        ),
        (
            json!({ "detail-type": "ApplicationSubmitted", "detail": { "version": "c4nary" } }),
            "the version of the ApplicationSubmitted is not 1, the only supported one",
        ),
        (
            json!({ "detail-type": "ApplicationSubmitted", "detail": detail }),
            "/email must be the person's e-mail address",
        ),
        (json!({ "detail-type": "ApplicationSubmitted" }), "it must be an object about a person who applied"),
    ] {
        let (error_type, message) = bus.error(&event).await;
        assert_eq!(error_type, "EventRefused", "{event}");
        assert!(message.contains(reason) && !message.contains("c4nary"), "{event}: {message}");
    }
    assert_eq!((bus.invitations.drain().await.len(), bus.dead_letters.drain().await.len()), (0, 0));
    assert!(!bus.function.stop().await.contains("c4nary"));
}

#[tokio::test]
async fn a_signed_request_is_accepted_and_any_other_is_refused() {
    let bus = Bus::start().await;
    let body = link_for("asha@example.com");
    let (status, accepted) = bus.post(&signed(&body, "msg_1", SECRET)).await;
    assert_eq!((status, &accepted["status"]), (202, &json!("accepted")));
    // A repeat has a new time and a new signature, and the same id.
    let again = signed_at(unix_now() - 60, &body, "msg_1", SECRET);
    assert_eq!(bus.post(&again).await, (202, accepted));
    assert_eq!(bus.invitations.drain().await.len(), 1);

    let mut unsigned = signed(&body, "msg_2", SECRET);
    unsigned["headers"].as_object_mut().unwrap().remove("webhook-signature");
    let mut changed = signed(&body, "msg_2", SECRET);
    changed["body"] = link_for("mallory@example.com").into();
    for (request, reason) in [
        (sample("http-api-application-submitted.json"), "more than 5 minutes"),
        (signed_at(unix_now() + 360, &body, "msg_2", SECRET), "more than 5 minutes"),
        (unsigned, "the header webhook-signature is missing"),
        (changed, "is not of this body"),
        (signed(&body, "msg_2", NEW_SECRET), "is not of this body"),
    ] {
        let (status, problem) = bus.post(&request).await;
        assert_eq!((status, &problem["status"]), (401, &json!(401)));
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{problem}");
    }
    assert_eq!(bus.invitations.drain().await.len(), 0);
}

#[tokio::test]
async fn an_unfit_request_is_answered_with_its_faults() {
    let bus = Bus::start().await;
    let signed = |body: &str| signed(body, "msg_1", SECRET);
    let unfit = json!({ "type": "ApplicationSubmitted", "data": { "version": "1", "email": "c4nary", "attributes": { "c4nary": 1 } } });
    let (status, problem) = bus.post(&signed(&unfit.to_string())).await;
    assert_eq!(status, 422, "{problem}");
    let errors = problem["errors"].as_array().unwrap();
    let fields: BTreeSet<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, BTreeSet::from(["/attributes/*", "/email"]));
    assert!(!problem.to_string().contains("c4nary"), "{problem}");

    let mut get = signed("{}");
    get["requestContext"]["http"]["method"] = "GET".into();
    let mut not_base64 = signed("{}");
    not_base64["isBase64Encoded"] = true.into();
    let unknown = json!({ "type": "ApplicationWithdrawn", "data": {} }).to_string();
    for (request, expected) in [
        (signed("{\"type\":"), 400),
        (signed(""), 400),
        (signed("[]"), 422),
        (signed(&unknown), 422),
        (signed(&"x".repeat(100_000)), 413),
        (get, 405),
        (not_base64, 400),
    ] {
        let (status, problem) = bus.post(&request).await;
        assert_eq!((status, &problem["status"]), (expected, &json!(expected)), "{problem}");
    }

    let mut in_base64 = signed(&link_for("asha@example.com"));
    let body = in_base64["body"].as_str().unwrap().to_owned();
    in_base64["body"] = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, body).into();
    in_base64["isBase64Encoded"] = true.into();
    assert_eq!(bus.post(&in_base64).await.0, 202);
    assert!(!bus.function.stop().await.contains("c4nary"));
}

#[tokio::test]
async fn a_new_secret_works_at_once_and_the_previous_one_while_it_is_kept() {
    let bus = Bus::start().await;
    let body = link_for("asha@example.com");
    let status = async |id: &str, secret: &str| bus.post(&signed(&body, id, secret)).await.0;
    assert_eq!(status("msg_1", SECRET).await, 202);
    bus.aws.change_secret(&bus.secret, &json!({ "current": NEW_SECRET, "previous": SECRET }).to_string()).await;
    // The old secret is still cached. The unknown signature of the new one makes the function read the secret again.
    assert_eq!(
        [status("msg_2", SECRET).await, status("msg_3", NEW_SECRET).await, status("msg_4", SECRET).await],
        [202; 3]
    );
}

#[tokio::test]
async fn without_a_secret_requests_are_refused_and_other_entry_points_keep_working() {
    let bus = Bus::start().await;
    for text in ["not JSON", "{}", r#"{"current":""}"#, r#"{"current":"whsec_c2hvcnQ="}"#] {
        bus.aws.change_secret(&bus.secret, text).await;
        let answer = bus.invoke(&signed(&link_for("asha@example.com"), "msg_1", SECRET)).await.unwrap();
        assert_eq!(answer["statusCode"], 503, "{text}: {answer}");
        assert!(answer["headers"]["retry-after"].as_str().is_some(), "{answer}");
        assert_eq!(bus.invitations.drain().await.len(), 0);
    }
    let event = application("aaaaaaaa-0000-4000-8000-000000000002", "asha@example.com");
    assert_eq!(bus.invoke(&event).await.unwrap()[0]["status"], "accepted");
    let printed = bus.function.stop().await;
    assert!(printed.contains("no signature can be checked") && printed.contains(&bus.secret), "{printed}");
    assert!(!printed.contains("c2hvcnQ"), "{printed}");
}

#[tokio::test]
async fn an_event_that_cannot_be_stored_is_reported_as_failed() {
    let bus = Bus::start().await;
    bus.invitations.remove().await;
    bus.dead_letters.remove().await;
    let good = application("aaaaaaaa-0000-4000-8000-000000000003", "asha@example.com");
    let invocation = serde_json::from_str(&link_for("asha@example.com")).unwrap();
    let notification = notifications(&[json!(link_for("asha@example.com"))]);
    for event in [good, sample("event-bridge-unfit.json"), invocation, notification] {
        match bus.function.invoke(&event, TIMEOUT).await {
            Err(FunctionError::Reported { error_type, message }) => {
                assert_eq!(error_type, "EventNotStored", "{message}");
                assert!(message.contains("SQS did not carry out SendMessage"), "{message}");
            }
            other => panic!("{event}: {other:?}"),
        }
    }
    let request = signed(&link_for("asha@example.com"), "msg_1", SECRET);
    let answer = bus.function.invoke(&request, TIMEOUT).await.unwrap();
    assert_eq!((&answer["statusCode"], &answer["headers"]["retry-after"]), (&json!(503), &json!("5")), "{answer}");
    assert_eq!(count_of(&bus.function.stop().await, "NotStored"), 5);
}

/// Every client can post to the address. Their requests raise no alarm, not even while the secret is unreadable.
#[tokio::test]
async fn unsigned_requests_are_refused_without_an_alarm() {
    let bus = Bus::start().await;
    bus.aws.change_secret(&bus.secret, "not JSON").await;
    let body = link_for("asha@example.com");
    for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut request = signed(&body, "msg_1", SECRET);
        request["headers"].as_object_mut().unwrap().remove(header);
        assert_eq!(bus.post(&request).await.0, 401, "{header}");
    }
    assert_eq!(bus.post(&signed_at(unix_now() - 301, &body, "msg_1", SECRET)).await.0, 401);
    bus.aws.change_secret(&bus.secret, &json!({ "current": SECRET }).to_string()).await;
    assert_eq!(bus.post(&signed(&body, "msg_1", NEW_SECRET)).await.0, 401);
    let printed = bus.function.stop().await;
    let counted: Vec<_> = metrics(&printed).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(counted, ["ColdStarts"], "{printed}");
    assert!(!printed.contains("\"ERROR\""), "{printed}");
}

#[test]
fn no_event_makes_the_function_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bus = runtime.block_on(Bus::start());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("ApplicationSubmitted")),
        Just(json!({ "version": "1", "email": "asha@example.com" })),
    ];
    let name = prop_oneof![
        "detail-type|detail|type|data|id|source|account|Records|Sns|Message|MessageId|TopicArn|requestContext|headers|body",
        ".{0,4}",
    ];
    let event = leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    functions::for_all(600, &event, |event| {
        match runtime.block_on(bus.invoke(&event)) {
            Ok(_) => {}
            Err(FunctionError::Reported { error_type, .. }) => prop_assert_eq!(error_type, "EventRefused"),
            Err(other) => prop_assert!(false, "{:?}", other),
        }
        Ok(())
    });
}

#[test]
fn each_kind_of_event_has_a_schema_and_passes_the_rule_of_the_bus() {
    let kinds: BTreeSet<_> = bus_event::detail_types().map(str::to_owned).collect();
    let schemas = fs::read_dir(workspace::root().join("events/schemas")).unwrap();
    let schemas = schemas.map(|file| file.unwrap().file_name().into_string().unwrap());
    let published: BTreeSet<_> = schemas.map(|name| name.split('.').next().unwrap().to_owned()).collect();
    assert_eq!(published, kinds);

    let template = Template::read();
    let functions = template.functions();
    let (_, properties) = functions.iter().find(|(name, _)| *name == "bus-event").unwrap();
    let pattern = properties["Events"]["Bus"]["Properties"]["Pattern"]["detail-type"].as_array().unwrap();
    let passed: BTreeSet<_> = pattern.iter().map(|kind| kind.as_str().unwrap().to_owned()).collect();
    assert_eq!(passed, kinds);
    // A FIFO queue cannot be a target of these:
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html.
    let on_failure = &properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"];
    for reference in [on_failure, &properties["Events"]["Bus"]["Properties"]["DeadLetterConfig"]["Arn"]] {
        let queue = template.target(reference);
        assert_eq!((&queue["Type"], &queue["Properties"]["FifoQueue"]), (&json!("AWS::SQS::Queue"), &Value::Null));
    }
}

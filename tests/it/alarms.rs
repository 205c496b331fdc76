//! Alarms on the functions' own metrics: each fault that an alarm is for makes the built function print its metric.

use std::{collections::BTreeSet, time::Duration};

use leadsquared_emulator::{Call, Effect, Fault, LimitRefusal, Settings};
use onboarding::{Action, Invitation, InvitationId, Invitee, Source};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    functions::{metrics, sqs_event},
    http::Request,
    operator_stack::held_item,
    sandbox::Sandbox,
    template::{Template, own_metrics},
    workspace,
};

const TIMEOUT: Duration = Duration::from_secs(60);

/// What the worker prints for one invitation with an attribute of this name.
async fn invitation(attribute: &str, prepare: impl AsyncFnOnce(&Sandbox<()>)) -> String {
    let stage = Sandbox::open(Settings::for_tests(), ()).await;
    prepare(&stage).await;
    let body = json!({
        "version": 1, "id": "00000000-0000-8000-8000-000000000001", "source": "form",
        "received_at": "2026-11-22T09:30:00Z", "email": "asha@example.com",
        "attributes": [{"name": attribute, "value": "Asha"}],
    });
    stage.invitations.send(&body.to_string(), "asha", "1").await;
    let worker = stage.start_function("invitation", &[]).await.unwrap();
    worker.invoke(&sqs_event(&[stage.invitations.next().await]), TIMEOUT).await.unwrap();
    worker.stop().await
}

/// What the worker prints for a CRM event whose rules are undecided, on a day whose look-ups are used up.
async fn question() -> String {
    let stage = Sandbox::open(Settings::for_tests(), ()).await;
    stage.use_up_lookups(OffsetDateTime::now_utc()).await;
    let body = json!({
        "version": 3, "id": "00000000-0000-8000-8000-000000000001", "source": "crm",
        "received_at": "2026-11-22T09:30:00Z", "action": "invite", "lead": "5b0f6c0e-8f61-4d5f-9c8e-2a7d9c1b3e44",
        "attributes": [], "provenance": "system", "question": {"rules": ["stage"], "known": []},
    });
    stage.invitations.send(&body.to_string(), "question", "1").await;
    let worker = stage.start_function("invitation", &[]).await.unwrap();
    worker.invoke(&sqs_event(&[stage.invitations.next().await]), TIMEOUT).await.unwrap();
    worker.stop().await
}

async fn key_check(prepare: impl AsyncFnOnce(&Sandbox<()>)) -> String {
    let stage = Sandbox::open(Settings::for_tests(), ()).await;
    prepare(&stage).await;
    let function = stage.start_function("key-check", &[]).await.unwrap();
    let (_, schedule) = workspace::events("key-check").into_iter().find(|(file, _)| file == "schedule.json").unwrap();
    function.invoke_bytes(schedule.into(), TIMEOUT).await.unwrap();
    function.stop().await
}

/// What application-form prints for one form.
async fn form(settings: &[(&str, &str)]) -> String {
    let stage = Sandbox::open(Settings::for_tests(), ()).await;
    let function = stage.start_function("application-form", settings).await.unwrap();
    let fields = [("email", "asha@example.com"), ("first_name", "Asha")];
    function.invoke(&Request::json(&fields).event(), TIMEOUT).await.unwrap();
    function.stop().await
}

/// What application-form prints for one form without a field that is required.
async fn refused_form() -> String {
    let stage = Sandbox::open(Settings::for_tests(), ()).await;
    let function = stage.start_function("application-form", &[]).await.unwrap();
    function.invoke(&Request::json(&[("email", "asha@example.com")]).event(), TIMEOUT).await.unwrap();
    function.stop().await
}

/// What crm-event prints for one webhook with this secret, and with this body if one is given.
async fn webhook(secret: &str, body: Option<&str>) -> String {
    let stage = Sandbox::open(Settings::for_tests(), ()).await;
    // SHA-256 of the sample's secret.
    let hash = ("WEBHOOK_SECRET_HASHES", "638c7ad16a74045e439fd7eaceab7b41ebc9e8400563e746e296ccc1168bfeb0");
    let function = stage.start_function("crm-event", &[hash]).await.unwrap();
    let (_, event) = workspace::events("crm-event").into_iter().find(|(file, _)| file == "field-change.json").unwrap();
    let mut event: Value = serde_json::from_slice(&event).unwrap();
    event["headers"]["x-webhook-secret"] = secret.into();
    if let Some(body) = body {
        event["body"] = body.into();
    }
    function.invoke(&event, TIMEOUT).await.unwrap();
    function.stop().await
}

const RIGHT_SECRET: &str = "sample-webhook-secret-0123456789abcdef";

/// Stores an application that has been held for this many days.
async fn held_for(stage: &Sandbox<()>, days: i64) {
    let invitee = Invitee::Email("asha@example.com".parse().unwrap());
    let at = OffsetDateTime::now_utc() - time::Duration::days(days);
    let invitation = Invitation::new(InvitationId::of([&b"held"[..]]), Source::Form, at, invitee, Action::Invite);
    stage.aws.put_items(&stage.ledger, vec![held_item(&invitation, "network", None, at)]).await;
}

async fn wrong_keys(stage: &Sandbox<()>) {
    stage.put_keys(r#"{"accessKey":"wrong","secretKey":"wrong"}"#).await;
}

async fn refused(stage: &Sandbox<()>) {
    let body = r#"{"Status":"Error","ExceptionType":"MXInvalidEntityReferenceException","ExceptionMessage":"no"}"#;
    let refusal = Effect::Answer { status: 500, content_type: "application/json".to_owned(), body: body.to_owned() };
    stage.emulator.faults().add(Fault::on(Call::Register, refusal));
}

async fn rate_limited(stage: &Sandbox<()>) {
    stage.emulator.faults().add(Fault::everywhere(Effect::LimitReached(LimitRefusal::TooManyRequests)));
}

#[tokio::test]
async fn an_alarm_gets_its_metric_from_its_fault_and_none_in_normal_operation() {
    let none = async |_: &Sandbox<()>| {};
    let normal = [
        invitation("FirstName", none).await,
        key_check(none).await,
        form(&[]).await,
        webhook(RIGHT_SECRET, None).await,
    ];
    let normal: Vec<_> = normal.iter().flat_map(|printed| metrics(printed)).collect();
    let cases = [
        ("OperatorNeeded", invitation("FirstName", wrong_keys).await),
        ("InvitationsWait", invitation("FirstName", wrong_keys).await),
        ("QuestionsWait", question().await),
        ("KeyCheckFailed", key_check(wrong_keys).await),
        ("HeldWaiting", key_check(async |stage| held_for(stage, 1).await).await),
        ("HeldExpiring", key_check(async |stage| held_for(stage, 13).await).await),
        ("FieldsLeftOut", invitation("mx_Nowhere", none).await),
        ("ManyRejected", invitation("FirstName", refused).await),
        ("LeadSquaredRateLimited", invitation("FirstName", rate_limited).await),
        ("NotStored", form(&[("INVITATIONS_QUEUE_URL", "http://127.0.0.1:9/none.fifo")]).await),
        ("FormsRefused", refused_form().await),
        ("EventsUnreadable", webhook(RIGHT_SECRET, Some("{\"ProspectID\":\"none\"}")).await),
        ("WebhookSecretWrong", webhook("changed in one place only", None).await),
    ];
    let template = Template::read();
    let ours = template.resources("AWS::CloudWatch::Alarm").filter(|(_, alarm)| !own_metrics(alarm).is_empty());
    let ours: BTreeSet<_> = ours.map(|(id, _)| id.as_str()).collect();
    assert_eq!(
        ours,
        cases.iter().map(|(id, _)| *id).collect(),
        "each alarm of template.yaml (left) has a case (right)"
    );
    // The denominator of a share is always measured, and so is a metric whose minimum counts.
    let denominators = ["QueueAge", "AllowanceWait", "WebhookSecretWrong", "FormsRefused"];
    let smallest = |value: &Value| {
        let values = value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
        values.fold(f64::INFINITY, f64::min)
    };
    for (id, printed) in cases {
        let found = metrics(&printed);
        for metric in own_metrics(template.resource(id)) {
            let name = metric["MetricName"].as_str().unwrap();
            let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let dimensions: Vec<_> =
                dimensions.map(|one| format!("{}={}", text(&one["Name"]), text(&one["Value"]))).collect();
            let is_it = |(its, with, _): &&(String, String, Value)| *its == name && *with == dimensions.join(" ");
            let value =
                found.iter().find(is_it).unwrap_or_else(|| panic!("{id}: no {name} {dimensions:?} in {printed}"));
            let is_denominator = denominators.contains(&name);
            // A count is above 0; a measured value is a list.
            assert!(value.2.as_u64().is_none_or(|count| count > 0), "{id}: {value:?}");
            assert_eq!(normal.iter().any(|one| is_it(&one)), is_denominator, "{id}: {name} in normal operation");
            if metric["Statistic"] == "Minimum" {
                let threshold = metric["Threshold"].as_f64().unwrap();
                assert!(smallest(&value.2) >= threshold, "{id}: {value:?}");
                let well = normal.iter().filter(is_it).map(|one| smallest(&one.2));
                assert!(
                    well.clone().count() > 0 && well.fold(f64::INFINITY, f64::min) < threshold,
                    "{id}: normal operation"
                );
            }
        }
    }
}

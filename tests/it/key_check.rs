//! The `key-check` function: what it finds about an account, seen from outside.

use std::time::Duration as Wait;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::StatusCode,
    response::IntoResponse,
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use leadsquared_emulator::{Call, Effect, Fault, LimitRefusal, Role, Settings};
use ledger::{HeldDecision, Ledger};
use onboarding::{Action, Invitation, InvitationId, Source, Whom};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
};

use crate::{
    fixtures::{self, metrics},
    held,
    runtime_api::{Function, FunctionError},
    stage::{self, keys},
    workspace,
};

/// As in template.yaml.
const TIMEOUT: Wait = Wait::from_secs(60);
/// Those of the LeadSquared account, then those of the held applications.
const SUBJECTS: [&str; 10] = [
    "keys",
    "region",
    "role",
    "portal",
    "login links",
    "fields",
    "mail sender",
    "allowance",
    "held applications",
    "held applications about to expire",
];

type Stage = stage::Stage<()>;

/// What a check answered, and what it printed.
struct Checked {
    report: Value,
    printed: String,
}

impl Stage {
    async fn new() -> Self {
        Self::set(Settings::for_tests(), ()).await
    }

    async fn start(&self, changes: &[(&str, &str)]) -> Result<Function, FunctionError> {
        self.start_function("key-check", changes).await
    }

    /// One check with these settings instead of the right ones. Nothing of the keys is printed, whatever it finds.
    async fn check(&self, changes: &[(&str, &str)]) -> Checked {
        let function = self.start(changes).await.unwrap();
        let report = function.invoke(&sample("schedule.json"), TIMEOUT).await.unwrap();
        let printed = function.stop().await;
        let (access_key, secret_key) = self.emulator.keys();
        for secret in [access_key, secret_key, self.emulator.keys_of(Role::Administrator).unwrap().1] {
            assert!(!printed.contains(&secret) && !report.to_string().contains(&secret), "{printed} {report}");
        }
        Checked { report, printed }
    }

    /// A check that must find this one thing wrong; what it says of it, and what to do.
    async fn only_wrong(&self, changes: &[(&str, &str)], subject: &str) -> (String, String) {
        let Checked { report, printed } = self.check(changes).await;
        assert_eq!(report["healthy"], false, "{report}");
        let wrong: Vec<&Value> = findings(&report).filter(|finding| finding["state"] == "wrong").collect();
        assert_eq!((wrong.len(), wrong[0]["subject"].as_str()), (1, Some(subject)), "{report}");
        let text = |name: &str| wrong[0][name].as_str().unwrap_or_default().to_owned();

        let errors: Vec<_> = printed.lines().filter(|line| line.contains(r#""level":"ERROR""#)).collect();
        assert_eq!(errors.len(), 1, "{printed}");
        assert_eq!(failures(&printed), [1], "{printed}");
        for told in [subject, &text("what"), &text("fix"), &text("setting")] {
            let in_json = json!(told).to_string();
            assert!(errors[0].contains(in_json.trim_matches('"')), "{told} is not in {}", errors[0]);
        }
        (text("what"), text("fix"))
    }
}

fn sample(name: &str) -> Value {
    let (_, event) = workspace::events("key-check").into_iter().find(|(file, _)| file == name).unwrap();
    serde_json::from_slice(&event).unwrap()
}

fn findings(report: &Value) -> impl Iterator<Item = &Value> {
    report["findings"].as_array().unwrap().iter()
}

/// What the alarm adds up: a count for each check that found something to fix.
fn failures(printed: &str) -> Vec<Value> {
    let failures =
        metrics(printed).into_iter().filter(|(name, dimensions, _)| name == "KeyCheckFailed" && dimensions.is_empty());
    failures.map(|(.., count)| count).collect()
}

/// Whether a finding is about held applications; the others are about the LeadSquared account.
fn is_of_held(finding: &Value) -> bool {
    finding["subject"].as_str().unwrap().starts_with("held applications")
}

/// What the two lines about held applications say, each as state and words.
fn of_held(report: &Value) -> Vec<(&str, &str)> {
    let lines = findings(report).filter(|finding| is_of_held(finding));
    lines.map(|line| (line["state"].as_str().unwrap(), line["what"].as_str().unwrap())).collect()
}

/// The metrics about held applications.
fn held_metrics(printed: &str) -> Vec<(String, Value)> {
    let all = metrics(printed).into_iter().filter(|(name, ..)| name.starts_with("Held"));
    let mut all: Vec<_> = all.map(|(name, dimensions, value)| (name + &dimensions, value)).collect();
    all.sort_by_key(|(name, _)| name.clone());
    all
}

fn form(field: &str) -> String {
    format!(r#"[{{"name":"email","attribute":"EmailAddress","kind":"email","required":true}},{field}]"#)
}

#[tokio::test]
async fn an_account_as_it_should_be_is_told_so_thing_by_thing_whatever_asks() {
    let stage = Stage::new().await;
    let function = stage.start(&[]).await.unwrap();
    for (file, event) in workspace::events("key-check") {
        let report = function.invoke_bytes(event.into(), TIMEOUT).await.unwrap();
        assert_eq!(report["healthy"], true, "{file}: {report}");
        let subjects: Vec<_> = findings(&report).map(|finding| finding["subject"].as_str().unwrap()).collect();
        assert_eq!(subjects, SUBJECTS, "{file}");
        let good = findings(&report).filter(|finding| finding["state"] == "good").count();
        // No call asks for the portal's id or for the limit without going beyond it.
        assert_eq!(good, SUBJECTS.len() - 2, "{file}: {report}");
    }
    assert_eq!(stage.emulator.mails().len(), 0, "nobody is mailed");
    assert_eq!(stage.emulator.leads().len(), 0, "nobody becomes a lead");
    let checks = workspace::events("key-check").len();
    assert!(stage.emulator.calls().len() <= 6 * checks, "six calls each");
    let printed = function.stop().await;
    assert!(!printed.contains("ERROR") && failures(&printed).is_empty(), "{printed}");
    assert_eq!(printed.matches("as required").count(), checks * (SUBJECTS.len() - 2), "{printed}");
}

#[tokio::test]
async fn keys_that_are_wrong_missing_or_of_the_wrong_user_are_told_apart() {
    let stage = Stage::new().await;
    let (access_key, secret_key) = stage.emulator.keys();
    let sales = stage.emulator.keys_of(Role::SalesUser).unwrap();
    for (text, subject, what) in [
        (keys(&(access_key, "0".repeat(secret_key.len()))), "keys", "LeadSquared knows no active user with these keys"),
        (keys(&("REPLACE-ME".to_owned(), "REPLACE-ME".to_owned())), "keys", "still holds placeholders"),
        ("{}".to_owned(), "keys", "correct it in Secrets Manager"),
        (keys(&sales), "role", "is not an administrator"),
    ] {
        stage.put_keys(&text).await;
        let (told, _) = stage.only_wrong(&[], subject).await;
        assert!(told.contains(what), "{told}");
    }
    let (told, _) = stage.only_wrong(&[("LEADSQUARED_KEYS_SECRET", "nowhere")], "keys").await;
    assert!(told.contains("there is no secret nowhere"), "{told}");
}

#[tokio::test]
async fn new_keys_count_from_the_next_check_on() {
    let stage = Stage::new().await;
    let function = stage.start(&[]).await.unwrap();
    let right = keys(&stage.emulator.keys());
    let wrong = keys(&(stage.emulator.keys().0, "0".repeat(40)));
    for (text, healthy) in [(&right, true), (&wrong, false), (&right, true)] {
        stage.put_keys(text).await;
        let report = function.invoke(&sample("secret-changed.json"), TIMEOUT).await.unwrap();
        assert_eq!(report["healthy"], healthy, "{report}");
    }
}

#[tokio::test]
async fn hosts_and_paths_that_are_not_the_accounts_are_named_with_the_right_ones() {
    let stage = Stage::new().await;
    let elsewhere = stage.emulator.other_region_url();
    let hosts = [("LEADSQUARED_API_URL", elsewhere.as_str()), ("LEADSQUARED_PORTAL_API_URL", elsewhere.as_str())];
    let (_, fix) = stage.only_wrong(&hosts, "region").await;
    assert!(fix.contains(stage.emulator.url().authority()), "{fix}");
    let (what, _) = stage.only_wrong(&[("LEADSQUARED_TENANT_AUTH_KEY_PATH", "/api/elsewhere")], "login links").await;
    assert!(what.contains("HTTP 404"), "{what}");
}

#[tokio::test]
async fn a_form_that_does_not_fit_the_account_is_told_field_by_field() {
    let stage = Stage::new().await;
    for (field, told) in [
        (r#"{"name":"batch","attribute":"mx_Batch","kind":"text"}"#, "no lead fields named mx_Batch"),
        (r#"{"name":"city","attribute":"mx_city","kind":"text"}"#, "mx_city (there is mx_City)"),
        (r#"{"name":"born","attribute":"mx_Date_of_Birth","kind":"text"}"#, "mx_Date_of_Birth is of the type Date"),
        (r#"{"name":"pan","attribute":"mx_PAN_Number","kind":"text"}"#, "mx_PAN_Number has room for 10 characters"),
        (
            r#"{"name":"program","attribute":"mx_Program","kind":"choice","options":["Law","Chess"]}"#,
            "mx_Program does not have the options Chess",
        ),
    ] {
        let (what, _) = stage.only_wrong(&[("FORM_FIELDS", &form(field))], "fields").await;
        assert!(what.contains(told), "{what}");
    }
    let fits = form(
        r#"{"name":"born","attribute":"mx_Date_of_Birth","kind":"date"},{"name":"ok","attribute":"mx_Consent","kind":"consent"},
           {"name":"program","attribute":"mx_Program","kind":"choice","options":["Law"]},{"name":"url","kind":"honeypot"}"#,
    );
    let Checked { report, .. } = stage.check(&[("FORM_FIELDS", &fits)]).await;
    assert_eq!(report["healthy"], true, "{report}");
}

#[tokio::test]
async fn a_sender_must_be_a_user_and_is_not_printed() {
    let stage = Stage::new().await;
    let (what, _) = stage.only_wrong(&[("MAIL_SENDER", "c4nary@example.com")], "mail sender").await;
    assert_eq!(what, "it is no active user of the account");
    let Checked { report, printed } = stage.check(&[("MAIL_SENDER", "c4nary@example.com")]).await;
    assert!(!report.to_string().contains("c4nary") && !printed.contains("c4nary"), "{report} {printed}");
}

#[tokio::test]
async fn an_allowance_beyond_the_limit_is_wrong_and_what_passes_is_no_fault_of_the_settings() {
    let stage = Stage::new().await;
    stage.emulator.faults().add(Fault::on(Call::LeadFields, Effect::LimitReached(LimitRefusal::TooManyRequests)));
    let (what, _) = stage.only_wrong(&[("ALLOWANCE_CALLS", "50")], "allowance").await;
    assert!(what.contains("limit of 25 in 5 s"), "{what}");
    let Checked { report, printed } = stage.check(&[]).await;
    let allowance = findings(&report).find(|finding| finding["subject"] == "allowance").unwrap();
    assert_eq!((&report["healthy"], &allowance["state"]), (&json!(true), &json!("unknown")), "{report}");
    assert!(allowance["what"].as_str().unwrap().contains("which others use as well"), "{report}");
    assert!(!printed.contains("KeyCheckFailed") && !printed.contains("ERROR"), "{printed}");
    stage.emulator.faults().clear();

    // Bound but not listening: the port is ours, and connections to it are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let away = format!("http://{}", socket.local_addr().unwrap());
    let Checked { report, printed } = stage.check(&[("LEADSQUARED_API_URL", &away)]).await;
    assert_eq!(report["healthy"], true, "{report}");
    assert!(printed.contains("could not be reached; if that lasts, check its name"), "{printed}");
    assert!(!printed.contains("KeyCheckFailed") && !printed.contains("ERROR"), "{printed}");

    stage.emulator.faults().add(Fault::everywhere(Effect::gateway(503)));
    let Checked { report, printed } = stage.check(&[]).await;
    assert_eq!(report["healthy"], true, "{report}");
    let of_account: Vec<_> = findings(&report).filter(|finding| !is_of_held(finding)).collect();
    assert!(of_account.iter().all(|finding| finding["state"] == "unknown") && !of_account.is_empty(), "{report}");
    assert!(!printed.contains("ERROR") && failures(&printed).is_empty(), "{printed}");
}

#[tokio::test]
async fn the_daily_calls_in_force_are_answered_and_logged() {
    let stage = Stage::new().await;
    for (changes, most, background) in [
        // As in template.yaml, and as on a stack whose template is older: the plan's day.
        (&[][..], json!(100_000), json!(90_000)),
        (&[("ALLOWANCE_DAILY", "")], json!(100_000), json!(90_000)),
        (&[("ALLOWANCE_CALLS", "10"), ("ALLOWANCE_SHARE", "50")], json!(5_000), json!(4_500)),
        (&[("ALLOWANCE_DAILY", "7000"), ("ALLOWANCE_SHARE", "50")], json!(7_000), json!(6_300)),
        (&[("ALLOWANCE_DAILY", "none")], Value::Null, Value::Null),
    ] {
        let Checked { report, printed } = stage.check(changes).await;
        let expected = json!({"most": most, "background": background, "setting": "ALLOWANCE_DAILY"});
        assert_eq!(report["dailyCalls"], expected, "{changes:?}");
        let logged = |name: &str, value: &Value| printed.contains(&format!("\"{name}\":{value}"));
        match most {
            Value::Null => assert!(printed.contains("no daily cap"), "{printed}"),
            _ => assert!(logged("most", &most) && logged("background", &background), "{printed}"),
        }
    }
}

#[tokio::test]
async fn a_broken_setting_stops_the_function_with_its_name() {
    let stage = Stage::new().await;
    match stage.start(&[("FORM_FIELDS", "[]")]).await {
        Err(FunctionError::Init { message }) => assert!(message.contains("FORM_FIELDS is not a list"), "{message}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it starts without a form"),
    }
    match stage.start(&[("ALLOWANCE_DAILY", "all")]).await {
        Err(FunctionError::Init { message }) => {
            assert!(message.contains("ALLOWANCE_DAILY is not a whole"), "{message}")
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it starts with a number of calls that is none"),
    }
}

fn invitation(number: u8) -> Invitation {
    let whom = Whom::Email(format!("c4nary-{number}@example.com").parse().unwrap());
    Invitation::new(InvitationId::of([&[number][..]]), Source::Form, OffsetDateTime::now_utc(), whom, Action::Invite)
}

#[tokio::test]
async fn held_applications_are_counted_and_reminded_of_once_a_day() {
    let stage = Stage::new().await;
    let now = OffsetDateTime::now_utc();
    let held_for = |number, hours| held::item(&invitation(number), "network", None, now - Duration::hours(hours));
    let days = |days: i64| 24 * days;
    // The last one has expired, and DynamoDB has not deleted it yet.
    let items = vec![held_for(1, 1), held_for(2, 2), held_for(3, days(12) + 1), held_for(4, days(14) + 1)];
    stage.aws.put_items(&stage.ledger, items).await;
    let Checked { report, printed } = stage.check(&[]).await;
    assert_eq!(
        of_held(&report),
        [
            ("to-decide", "3 wait for a decision; the first one expires and is discarded in 46 hours"),
            ("to-decide", "1 expire and are discarded within two days unless an operator accepts them"),
        ]
    );
    assert_eq!(report["healthy"], true, "nothing has to be fixed: {report}");
    let both = [("HeldExpiring".to_owned(), json!(1)), ("HeldWaiting".to_owned(), json!(3))];
    assert_eq!(held_metrics(&printed), both, "{printed}");
    assert!(!printed.contains("ERROR") && !printed.contains("c4nary") && failures(&printed).is_empty(), "{printed}");

    // However often it looks, the alarms hear of them once a day; the lines say how it is.
    let Checked { report, printed } = stage.check(&[]).await;
    assert_eq!((of_held(&report)[0].0, held_metrics(&printed)), ("to-decide", vec![]), "{printed}");
    let ledger = Ledger::new(stage.aws.dynamodb(), stage.ledger.clone());
    for (subject, hours, is_due) in
        [("held-waiting", 23, false), ("held-waiting", 24, true), ("held-waiting", 25, false)]
    {
        let at = OffsetDateTime::now_utc() + Duration::hours(hours);
        assert_eq!(ledger.remind(subject, at).await.unwrap(), is_due, "{subject} after {hours} hours");
    }

    ledger.decide_held(&[invitation(1).id, invitation(3).id], HeldDecision::Discarded, now).await.unwrap();
    ledger.decide_held(&[invitation(2).id], HeldDecision::Accepted, now).await.unwrap();
    let Checked { report, .. } = stage.check(&[]).await;
    // Accepted, and not on the queue yet.
    assert!(of_held(&report)[0].1.starts_with("1 wait for a decision"), "{report}");
    ledger.held_sent(invitation(2).id).await.unwrap();
    let Checked { report, .. } = stage.check(&[]).await;
    let none = [("good", "none waits for a decision"), ("good", "none expires within two days")];
    assert_eq!(of_held(&report), none);
}

/// A way to DynamoDB on which nothing is scanned, as for a role of an older template.
async fn way_without_scan(stage: &Stage) -> (String, JoinSet<std::io::Result<()>>) {
    let environment = stage.environment("key-check", &[]);
    let (_, target) = environment.into_iter().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let forward = async move |request: Request| {
        let (mut parts, body) = request.into_parts();
        if parts.headers.get("x-amz-target").is_some_and(|target| target.to_str().unwrap().ends_with(".Scan")) {
            let refusal = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"c4nary"}"#;
            return (StatusCode::BAD_REQUEST, refusal).into_response();
        }
        parts.uri = target.parse().unwrap();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        client.request(Request::from_parts(parts, Body::from(body))).await.unwrap().map(Body::new)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (url, JoinSet::from_iter([async { axum::serve(listener, Router::new().fallback(forward)).await }]))
}

#[tokio::test]
async fn a_table_that_cannot_be_scanned_fails_no_other_check() {
    let stage = Stage::new().await;
    let (url, _server) = way_without_scan(&stage).await;
    let mut environment = stage.environment("key-check", &[]);
    environment.push(("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url));
    let function = Function::start(fixtures::binary("key-check").await, environment).await.unwrap();
    let report = function.invoke(&sample("schedule.json"), TIMEOUT).await.unwrap();
    let printed = function.stop().await;
    assert_eq!((report["healthy"].clone(), findings(&report).count()), (json!(true), SUBJECTS.len()), "{report}");
    for (state, what) in of_held(&report) {
        assert!(state == "unknown" && what.contains("AccessDeniedException"), "{report}");
    }
    let good = findings(&report).filter(|finding| finding["state"] == "good").count();
    assert_eq!(good, SUBJECTS.len() - 4, "the account is looked at as ever: {report}");
    assert!(printed.contains("not all held applications could be counted"), "{printed}");
    assert!(
        !printed.contains("ERROR") && !printed.contains("c4nary") && held_metrics(&printed).is_empty(),
        "{printed}"
    );
}

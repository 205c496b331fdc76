//! The `key-check` function, black box: what it reports about a LeadSquared account and about held applications.

use std::time::Duration as Wait;

use axum::{http::StatusCode, response::IntoResponse};
use leadsquared_emulator::{Call, Effect, Fault, LimitRefusal, Role, Settings};
use ledger::{HeldDecision, Ledger};
use onboarding::{Action, Invitation, InvitationId, Invitee, Source};
use runtime_api::{Function, FunctionError};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpSocket;

use crate::{
    aws_endpoint,
    functions::{self, errors, failed_start, metrics, sample},
    operator_stack::held_item,
    sandbox::{self, keys},
    workspace,
};

/// As in template.yaml.
const TIMEOUT: Wait = Wait::from_secs(60);
/// The subjects of a report: the LeadSquared account, then the held applications.
const SUBJECTS: [&str; 11] = [
    "keys",
    "region",
    "role",
    "portal",
    "login links",
    "fields",
    "fields that are read",
    "mail sender",
    "allowance",
    "held applications",
    "held applications about to expire",
];

type Sandbox = sandbox::Sandbox<()>;

/// The report of a check, and its output.
struct Checked {
    report: Value,
    printed: String,
}

impl Sandbox {
    async fn new() -> Self {
        Self::open(Settings::for_tests(), ()).await
    }

    async fn start(&self, changes: &[(&str, &str)]) -> Result<Function, FunctionError> {
        self.start_function("key-check", changes).await
    }

    /// Runs one check with these settings instead of the right ones. Asserts that no key is printed or reported.
    async fn check(&self, changes: &[(&str, &str)]) -> Checked {
        let function = self.start(changes).await.unwrap();
        let report = function.invoke(&sample("key-check", "schedule.json"), TIMEOUT).await.unwrap();
        let printed = function.stop().await;
        let (access_key, secret_key) = self.emulator.keys();
        for secret in [access_key, secret_key, self.emulator.keys_of(Role::Administrator).unwrap().1] {
            assert!(!printed.contains(&secret) && !report.to_string().contains(&secret), "{printed} {report}");
        }
        Checked { report, printed }
    }

    /// Runs a check that must find exactly this subject wrong; returns what is wrong and how to fix it.
    async fn only_wrong(&self, changes: &[(&str, &str)], subject: &str) -> (String, String) {
        let Checked { report, printed } = self.check(changes).await;
        assert_eq!(report["healthy"], false, "{report}");
        let wrong: Vec<&Value> = findings(&report).filter(|finding| finding["state"] == "wrong").collect();
        assert_eq!((wrong.len(), wrong[0]["subject"].as_str()), (1, Some(subject)), "{report}");
        let text = |name: &str| wrong[0][name].as_str().unwrap_or_default().to_owned();

        let errors = errors(&printed);
        assert_eq!(errors.len(), 1, "{printed}");
        assert_eq!(failures(&printed), [1], "{printed}");
        for part in [subject, &text("what"), &text("fix"), &text("setting")] {
            let in_json = json!(part).to_string();
            assert!(errors[0].contains(in_json.trim_matches('"')), "{part} is not in {}", errors[0]);
        }
        assert!(errors[0].contains("\"cause\":\""), "{printed}");
        (text("what"), text("fix"))
    }
}

fn findings(report: &Value) -> impl Iterator<Item = &Value> {
    report["findings"].as_array().unwrap().iter()
}

/// The values of the metric `KeyCheckFailed`: a 1 for each check that found something to fix.
fn failures(printed: &str) -> Vec<Value> {
    let failures =
        metrics(printed).into_iter().filter(|(name, dimensions, _)| name == "KeyCheckFailed" && dimensions.is_empty());
    failures.map(|(.., count)| count).collect()
}

/// Whether a finding is about held applications, not about the LeadSquared account.
fn is_of_held(finding: &Value) -> bool {
    finding["subject"].as_str().unwrap().starts_with("held applications")
}

/// State and text of the two findings about held applications.
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
async fn a_correct_account_gets_a_good_finding_for_each_subject() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start(&[]).await.unwrap();
    for (file, event) in workspace::events("key-check") {
        let report = function.invoke_bytes(event.into(), TIMEOUT).await.unwrap();
        assert_eq!(report["healthy"], true, "{file}: {report}");
        let subjects: Vec<_> = findings(&report).map(|finding| finding["subject"].as_str().unwrap()).collect();
        assert_eq!(subjects, SUBJECTS, "{file}");
        let good = findings(&report).filter(|finding| finding["state"] == "good").count();
        // Two subjects stay unknown: no call returns the portal's id or the account's limit.
        assert_eq!(good, SUBJECTS.len() - 2, "{file}: {report}");
    }
    assert_eq!(sandbox.emulator.mails().len(), 0, "nobody is mailed");
    assert_eq!(sandbox.emulator.leads().len(), 0, "nobody becomes a lead");
    let checks = workspace::events("key-check").len();
    assert!(sandbox.emulator.calls().len() <= 6 * checks, "six calls each");
    let printed = function.stop().await;
    assert!(!printed.contains("ERROR") && failures(&printed).is_empty(), "{printed}");
    assert_eq!(printed.matches("as required").count(), checks * (SUBJECTS.len() - 2), "{printed}");
}

#[tokio::test]
async fn wrong_missing_and_non_administrator_keys_get_different_findings() {
    let sandbox = Sandbox::new().await;
    let (access_key, secret_key) = sandbox.emulator.keys();
    let sales = sandbox.emulator.keys_of(Role::SalesUser).unwrap();
    for (text, subject, what) in [
        (keys(&(access_key, "0".repeat(secret_key.len()))), "keys", "LeadSquared knows no active user with these keys"),
        (keys(&("REPLACE-ME".to_owned(), "REPLACE-ME".to_owned())), "keys", "still holds placeholders"),
        ("{}".to_owned(), "keys", "correct it in Secrets Manager"),
        (keys(&sales), "role", "is not an administrator"),
    ] {
        sandbox.put_keys(&text).await;
        let (found, _) = sandbox.only_wrong(&[], subject).await;
        assert!(found.contains(what), "{found}");
    }
    let (found, _) = sandbox.only_wrong(&[("LEADSQUARED_KEYS_SECRET", "nowhere")], "keys").await;
    assert!(found.contains("there is no secret nowhere"), "{found}");
}

#[tokio::test]
async fn each_check_reads_the_keys_again() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start(&[]).await.unwrap();
    let right = keys(&sandbox.emulator.keys());
    let wrong = keys(&(sandbox.emulator.keys().0, "0".repeat(40)));
    for (text, healthy) in [(&right, true), (&wrong, false), (&right, true)] {
        sandbox.put_keys(text).await;
        let report = function.invoke(&sample("key-check", "secret-changed.json"), TIMEOUT).await.unwrap();
        assert_eq!(report["healthy"], healthy, "{report}");
    }
}

#[tokio::test]
async fn wrong_hosts_and_paths_are_reported_with_the_right_ones() {
    let sandbox = Sandbox::new().await;
    let elsewhere = sandbox.emulator.other_region_url();
    let hosts = [("LEADSQUARED_API_URL", elsewhere.as_str()), ("LEADSQUARED_PORTAL_API_URL", elsewhere.as_str())];
    let (_, fix) = sandbox.only_wrong(&hosts, "region").await;
    assert!(fix.contains(sandbox.emulator.url().authority()), "{fix}");
    let (what, _) = sandbox.only_wrong(&[("LEADSQUARED_TENANT_AUTH_KEY_PATH", "/api/elsewhere")], "login links").await;
    assert!(what.contains("HTTP 404"), "{what}");
}

#[tokio::test]
async fn each_form_field_that_does_not_fit_the_account_is_named() {
    let sandbox = Sandbox::new().await;
    for (field, expected) in [
        (r#"{"name":"batch","attribute":"mx_Batch","kind":"text"}"#, "no lead fields named mx_Batch"),
        (r#"{"name":"city","attribute":"mx_city","kind":"text"}"#, "mx_city (there is mx_City)"),
        (r#"{"name":"born","attribute":"mx_Date_of_Birth","kind":"text"}"#, "mx_Date_of_Birth is of the type Date"),
        (r#"{"name":"pan","attribute":"mx_PAN_Number","kind":"text"}"#, "mx_PAN_Number has room for 10 characters"),
        (
            r#"{"name":"program","attribute":"mx_Program","kind":"choice","options":["Law","Chess"]}"#,
            "mx_Program does not have the options Chess",
        ),
    ] {
        let (what, _) = sandbox.only_wrong(&[("FORM_FIELDS", &form(field))], "fields").await;
        assert!(what.contains(expected), "{what}");
    }
    let fits = form(
        r#"{"name":"born","attribute":"mx_Date_of_Birth","kind":"date"},{"name":"ok","attribute":"mx_Consent","kind":"consent"},
           {"name":"program","attribute":"mx_Program","kind":"choice","options":["Law"]},{"name":"url","kind":"honeypot"}"#,
    );
    let Checked { report, .. } = sandbox.check(&[("FORM_FIELDS", &fits)]).await;
    assert_eq!(report["healthy"], true, "{report}");
}

#[tokio::test]
async fn each_lead_field_of_a_rule_that_the_account_lacks_is_named() {
    let sandbox = Sandbox::new().await;
    let rules = r#"[{"name":"stage","on":"lead-change","field":"ProspectStage","to":"Applied","action":"invite",
        "when":[{"field":"mx_Cty","is-not":"Pune"},{"field":"mx_City","is":"Pune"}]},
        {"name":"fee","on":"activity","activity":"201","when":[{"field":"Status","is":"Paid"}],"action":"invite"}]"#;
    let (what, _) = sandbox.only_wrong(&[("CRM_RULES", rules)], "fields that are read").await;
    assert!(what.contains("no lead fields named mx_Cty,"), "{what}");
}

#[tokio::test]
async fn a_mail_sender_that_is_not_a_user_is_reported_without_its_address() {
    let sandbox = Sandbox::new().await;
    let (what, _) = sandbox.only_wrong(&[("MAIL_SENDER", "c4nary@example.com")], "mail sender").await;
    assert_eq!(what, "it is not an active user of the account");
    let Checked { report, printed } = sandbox.check(&[("MAIL_SENDER", "c4nary@example.com")]).await;
    assert!(!report.to_string().contains("c4nary") && !printed.contains("c4nary"), "{report} {printed}");
}

#[tokio::test]
async fn an_allowance_above_the_limit_is_wrong_and_a_passing_failure_is_unknown() {
    let sandbox = Sandbox::new().await;
    sandbox.emulator.faults().add(Fault::on(Call::LeadFields, Effect::LimitReached(LimitRefusal::TooManyRequests)));
    let (what, _) = sandbox.only_wrong(&[("ALLOWANCE_CALLS", "50")], "allowance").await;
    assert!(what.contains("limit of 25 in 5 s"), "{what}");
    let Checked { report, printed } = sandbox.check(&[]).await;
    let allowance = findings(&report).find(|finding| finding["subject"] == "allowance").unwrap();
    assert_eq!((&report["healthy"], &allowance["state"]), (&json!(true), &json!("unknown")), "{report}");
    assert!(allowance["what"].as_str().unwrap().contains("which others use as well"), "{report}");
    assert!(!printed.contains("KeyCheckFailed") && !printed.contains("ERROR"), "{printed}");
    sandbox.emulator.faults().clear();

    // A bound port that nothing listens on: connections are refused, and no other process can take it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let refusing = format!("http://{}", socket.local_addr().unwrap());
    let Checked { report, printed } = sandbox.check(&[("LEADSQUARED_API_URL", &refusing)]).await;
    assert_eq!(report["healthy"], true, "{report}");
    assert!(printed.contains("could not be reached; if that lasts, check its name"), "{printed}");
    assert!(!printed.contains("KeyCheckFailed") && !printed.contains("ERROR"), "{printed}");

    sandbox.emulator.faults().add(Fault::everywhere(Effect::gateway(503)));
    let Checked { report, printed } = sandbox.check(&[]).await;
    assert_eq!(report["healthy"], true, "{report}");
    let of_account: Vec<_> = findings(&report).filter(|finding| !is_of_held(finding)).collect();
    assert!(of_account.iter().all(|finding| finding["state"] == "unknown") && !of_account.is_empty(), "{report}");
    assert!(!printed.contains("ERROR") && failures(&printed).is_empty(), "{printed}");
}

#[tokio::test]
async fn the_daily_call_caps_in_force_are_reported_and_logged() {
    let sandbox = Sandbox::new().await;
    for (changes, most, background) in [
        // The template's default, and a stack of an older template: the daily quota of the plan.
        (&[][..], json!(100_000), json!(90_000)),
        (&[("ALLOWANCE_DAILY", "")], json!(100_000), json!(90_000)),
        (&[("ALLOWANCE_CALLS", "10"), ("ALLOWANCE_SHARE", "50")], json!(5_000), json!(4_500)),
        (&[("ALLOWANCE_DAILY", "7000"), ("ALLOWANCE_SHARE", "50")], json!(7_000), json!(6_300)),
        (&[("ALLOWANCE_DAILY", "none")], Value::Null, Value::Null),
    ] {
        let Checked { report, printed } = sandbox.check(changes).await;
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
async fn a_broken_setting_is_named_when_the_function_fails_to_start() {
    let sandbox = Sandbox::new().await;
    for (setting, fault) in [
        (("FORM_FIELDS", "[]"), "FORM_FIELDS is not a list"),
        (("ALLOWANCE_DAILY", "all"), "ALLOWANCE_DAILY is not a whole"),
    ] {
        let message = failed_start(sandbox.start(&[setting]).await);
        assert!(message.contains(fault), "{message}");
    }
}

fn invitation(number: u8) -> Invitation {
    let invitee = Invitee::Email(format!("c4nary-{number}@example.com").parse().unwrap());
    Invitation::new(InvitationId::of([&[number][..]]), Source::Form, OffsetDateTime::now_utc(), invitee, Action::Invite)
}

#[tokio::test]
async fn held_applications_are_counted_and_raise_an_alarm_once_a_day() {
    let sandbox = Sandbox::new().await;
    let now = OffsetDateTime::now_utc();
    let held_for = |number, hours| held_item(&invitation(number), "network", None, now - Duration::hours(hours));
    let days = |days: i64| 24 * days;
    // The last one has expired; DynamoDB has not deleted it yet.
    let items = vec![held_for(1, 1), held_for(2, 2), held_for(3, days(12) + 1), held_for(4, days(14) + 1)];
    sandbox.aws.put_items(&sandbox.ledger, items).await;
    let Checked { report, printed } = sandbox.check(&[]).await;
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

    // A second check on the same day reports them and counts nothing for the alarm.
    let Checked { report, printed } = sandbox.check(&[]).await;
    assert_eq!((of_held(&report)[0].0, held_metrics(&printed)), ("to-decide", vec![]), "{printed}");
    let ledger = Ledger::new(sandbox.aws.dynamodb(), sandbox.ledger.clone());
    for (subject, hours, is_due) in
        [("held-waiting", 23, false), ("held-waiting", 24, true), ("held-waiting", 25, false)]
    {
        let at = OffsetDateTime::now_utc() + Duration::hours(hours);
        assert_eq!(ledger.remind(subject, at).await.unwrap(), is_due, "{subject} after {hours} hours");
    }

    ledger.decide_held(&[invitation(1).id, invitation(3).id], HeldDecision::Discarded, now).await.unwrap();
    ledger.decide_held(&[invitation(2).id], HeldDecision::Accepted, now).await.unwrap();
    let Checked { report, .. } = sandbox.check(&[]).await;
    // One is accepted but not yet on the queue.
    assert!(of_held(&report)[0].1.starts_with("1 wait for a decision"), "{report}");
    ledger.held_sent(invitation(2).id).await.unwrap();
    let Checked { report, .. } = sandbox.check(&[]).await;
    let none = [("good", "none waits for a decision"), ("good", "none expires within two days")];
    assert_eq!(of_held(&report), none);
}

#[tokio::test]
async fn a_table_that_cannot_be_scanned_leaves_the_other_findings_intact() {
    let sandbox = Sandbox::new().await;
    // The role of an older template may not scan.
    let refuse_scans = async |call: aws_endpoint::Call| {
        let refusal = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"c4nary"}"#;
        (call.operation == "Scan").then(|| (StatusCode::BAD_REQUEST, refusal).into_response())
    };
    let server = aws_endpoint::proxy(&sandbox.aws, refuse_scans).await;
    let mut environment = sandbox.environment("key-check", &[]);
    environment.push(("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), server.url.clone()));
    let function = functions::start("key-check", environment).await.unwrap();
    let report = function.invoke(&sample("key-check", "schedule.json"), TIMEOUT).await.unwrap();
    let printed = function.stop().await;
    assert_eq!((report["healthy"].clone(), findings(&report).count()), (json!(true), SUBJECTS.len()), "{report}");
    for (state, what) in of_held(&report) {
        assert!(state == "unknown" && what.contains("AccessDeniedException"), "{report}");
    }
    let good = findings(&report).filter(|finding| finding["state"] == "good").count();
    assert_eq!(good, SUBJECTS.len() - 4, "the account is checked: {report}");
    assert!(printed.contains("not all held applications could be counted"), "{printed}");
    assert!(
        !printed.contains("ERROR") && !printed.contains("c4nary") && held_metrics(&printed).is_empty(),
        "{printed}"
    );
}

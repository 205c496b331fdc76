//! The `invitation` function: what becomes of queued messages, seen from outside.

use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use axum::{Router, http::StatusCode};
use futures::future::join_all;
use leadsquared_emulator::{Call, Effect, Fault, Role, Settings};
use onboarding::LinkToken;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    fixtures::{self, metrics, sqs_event},
    runtime_api::{Function, FunctionError, TRACE},
    samples::item_of,
    stage::{self, keys},
    template::Template,
    workspace,
};

/// As in template.yaml.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Within which another process must get somewhere.
const PATIENCE: Duration = Duration::from_secs(60);
const REFUSAL: &str = r#"{"Status":"Error","ExceptionType":"MXInvalidEntityReferenceException","ExceptionMessage":"c4nary is no option of City"}"#;

struct Worker;
type Stage = stage::Stage<Worker>;

impl Stage {
    async fn new() -> Self {
        Self::set(Settings::for_tests(), Worker).await
    }

    async fn start(&self) -> Function {
        self.start_with(&[]).await.unwrap()
    }

    /// Starts the worker with LeadSquared's own key in the mail, so that it makes every call it knows.
    async fn start_with(&self, changes: &[(&str, &str)]) -> Result<Function, FunctionError> {
        self.start_function("invitation", &[&[("LINK_MODE", "direct")][..], changes].concat()).await
    }

    /// Has the function fetch what it keeps, with somebody's invitation.
    async fn warm_up(&self, function: &Function) {
        let message = self.invite("asha@example.com").await;
        self.deliver(function, &[message]).await;
    }

    /// The calls that an invitation of this person takes.
    async fn calls_for(&self, function: &Function, email: &str) -> Vec<Call> {
        let before = self.emulator.calls().len();
        let message = self.invite(email).await;
        self.deliver(function, &[message]).await;
        self.emulator.calls().into_iter().skip(before).filter_map(|arrived| arrived.call).collect()
    }

    /// Queues an invitation of this person and takes it off again, as an event source does.
    async fn invite(&self, email: &str) -> Message {
        self.queue(&invitation(email), email).await
    }

    async fn queue(&self, body: &str, group: &str) -> Message {
        self.invitations.send(body, group, &next_id()).await;
        self.invitations.next().await
    }

    /// Delivers messages and, as an event source does, deletes those that are not reported; returns those that are.
    async fn deliver(&self, function: &Function, messages: &[Message]) -> Vec<usize> {
        let response = function.invoke(&sqs_event(messages), TIMEOUT).await.unwrap();
        let failed = failed(&response);
        let is_failed = |message: &Message| failed.contains(&message.message_id.as_deref().unwrap());
        for message in messages.iter().filter(|message| !is_failed(message)) {
            self.invitations.delete(message).await;
        }
        (0..messages.len()).filter(|index| is_failed(&messages[*index])).collect()
    }

    /// Ends the function and makes sure that nobody's data, keys or links are in what it printed or kept.
    async fn finish(&self, function: Function) -> String {
        let printed = function.stop().await;
        let ledger = self.kept().await;
        let (access_key, secret_key) = self.emulator.keys();
        let mut secrets = vec!["c4nary".to_owned(), access_key, secret_key];
        for mail in self.emulator.mails() {
            secrets.extend(mail.recipients.iter().cloned());
            let link = link(&mail.text);
            let secret = link.split_once("authKey=").or_else(|| link.split_once("/login-links/"));
            secrets.push(secret.expect("a link signs in by a key of LeadSquared's or a token of ours").1.to_owned());
        }
        for secret in secrets {
            assert!(!printed.contains(&secret), "{secret} is logged: {printed}");
            assert!(!ledger.contains(&secret), "{secret} is in the ledger: {ledger}");
        }
        printed
    }

    /// How often each person was mailed, by address.
    fn mails_to(&self, email: &str) -> usize {
        self.emulator.mails().iter().filter(|mail| mail.recipients == [email]).count()
    }

    /// The class and the cause of every dead letter.
    async fn causes(&self) -> Vec<(String, String)> {
        let cause = |message: &Message| {
            let attributes = message.message_attributes.as_ref().expect("a dead letter says why");
            let text = |name: &str| attributes[name].string_value.clone().expect("attributes are text");
            (text("class"), text("cause"))
        };
        self.dead_letters.drain().await.iter().map(cause).collect()
    }
}

/// The queue's message for a person who is told apart by the address, with a canary in every other value.
fn invitation(email: &str) -> String {
    json!({
        "version": 1,
        "id": next_id(),
        "source": "form",
        "received_at": "2026-11-22T09:30:00Z",
        "email": email,
        "attributes": [
            { "name": "FirstName", "value": "c4nary" },
            { "name": "LastName", "value": "c4nary" },
            { "name": "mx_City", "value": "c4nary" },
        ],
    })
    .to_string()
}

fn next_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("00000000-0000-8000-8000-{:012x}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// How many invitations were logged to have ended so. The metrics know outcomes too.
fn ended(printed: &str, outcome: &str) -> usize {
    let outcome = format!("\"outcome\":\"{outcome}\"");
    printed.lines().filter(|line| line.contains("invitation ended") && line.contains(&outcome)).count()
}

fn failed(response: &Value) -> Vec<&str> {
    let failures = response["batchItemFailures"].as_array().expect("a batch is answered with its failures");
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap()).collect()
}

/// The first address in a mail's text.
fn link(text: &str) -> &str {
    text.split_whitespace().find(|word| word.starts_with("http")).expect("the mail holds a link")
}

/// Looks until it is so; another process is at work on it.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_invitation_becomes_a_portal_user_with_a_link_in_the_mailbox() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    let message = stage.invite("asha@example.com").await;
    assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);

    let lead = stage.emulator.lead_by_email("asha@example.com").unwrap();
    assert_eq!((lead.field("FirstName"), lead.field("mx_City")), (Some("c4nary"), Some("c4nary")));
    let users = stage.emulator.portal_users();
    assert_eq!(
        users.iter().map(|user| (user.lead_id.as_str(), user.registrations)).collect::<Vec<_>>(),
        [(lead.id.as_str(), 1)]
    );
    let mails = stage.emulator.mails();
    assert_eq!((mails.len(), &mails[0].recipients), (1, &vec!["asha@example.com".to_owned()]));
    assert_eq!(mails[0].subject, Template::read().default("MailSubject"));
    let link = link(&mails[0].text);
    assert!(link.starts_with(stage.emulator.portal_page_url().as_str()), "{link}");
    for parameter in [format!("leadId={}", lead.id), format!("portalId={}", stage.emulator.portal_id())] {
        assert!(link.contains(&parameter), "{link} has {parameter}");
    }
    assert!(stage.causes().await.is_empty());
    let printed = stage.finish(function).await;
    assert_eq!(ended(&printed, "invited"), 1, "{printed}");
}

/// A stack is upgraded while messages and ledger items of the version before are there.
#[tokio::test]
async fn an_item_of_the_first_version_means_what_it_meant() {
    let (_, event) = workspace::events("invitation").into_iter().find(|(file, _)| file == "one.json").unwrap();
    let event: Value = serde_json::from_slice(&event).unwrap();
    let body = event["Records"][0]["body"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["version"], 1);
    let files = workspace::files(&workspace::root().join("events/ledger/v1"), "json");
    assert_eq!(files.len(), 4);
    for file in files {
        let mut item = item_of(&serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap());
        // As old as it is, it is not to be forgotten yet.
        item.insert("expires_at".to_owned(), AttributeValue::N("4102444800".to_owned()));
        let stage = Stage::new().await;
        stage.aws.dynamodb().put_item().table_name(&stage.ledger).set_item(Some(item)).send().await.unwrap();
        let function = stage.start().await;
        let message = stage.queue(body, "asha").await;
        assert_eq!(stage.deliver(&function, &[message]).await, [0; 0], "{}", file.display());
        let done = (stage.calls_to(Call::Register), stage.emulator.mails().len());
        let (outcome, expected) = match file.file_stem().and_then(|name| name.to_str()).unwrap() {
            "invited" => ("already-invited", (0, 0)),
            "mailed-and-died" => ("invited", (0, 0)),
            "rejected" | "waits-in-doubt" => ("invited", (1, 1)),
            other => panic!("what does {other} mean?"),
        };
        assert_eq!(done, expected, "registrations and mails, {}", file.display());
        let printed = stage.finish(function).await;
        assert_eq!(printed.matches(&format!("\"outcome\":\"{outcome}\",\"cause\"")).count(), 1, "{printed}");
    }
}

#[tokio::test]
async fn what_happens_is_measured_without_a_word_about_anybody() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    for email in ["asha@example.com", "ravi@example.com"] {
        let message = stage.invite(email).await;
        assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);
    }
    let refusal = Effect::Answer { status: 500, content_type: "application/json".into(), body: REFUSAL.into() };
    stage.emulator.faults().add(Fault::on(Call::Register, refusal).times(3));
    let refused = stage.invite("meera@example.com").await;
    stage.deliver(&function, &[refused]).await;
    let broken = stage.queue("{}", "nobody").await;
    stage.deliver(&function, &[broken]).await;
    stage.emulator.faults().add(Fault::on(Call::Register, Effect::gateway(503)).times(1));
    let mut waiting = sqs_event(&[stage.invite("vikram@example.com").await]);
    let two_hours_ago = OffsetDateTime::now_utc() - time::Duration::hours(2);
    waiting["Records"][0]["attributes"]["SentTimestamp"] = (two_hours_ago.unix_timestamp() * 1000).to_string().into();
    assert_eq!(failed(&function.invoke(&waiting, TIMEOUT).await.unwrap()).len(), 1);
    let printed = stage.finish(function).await;
    let metrics = metrics(&printed);
    let of = |name: &str, dimensions: &str| -> Vec<Value> {
        let found = metrics.iter().filter(|metric| metric.0 == name && metric.1 == dimensions);
        found.map(|(_, _, value)| value.clone()).collect()
    };
    // A count for each invocation that has one.
    for (name, dimensions, counts) in [
        ("ColdStarts", "", vec![1]),
        ("Outcomes", "outcome=invited", vec![1, 1]),
        ("OutcomesBySource", "outcome=rejected source=form", vec![1]),
        ("Malformed", "", vec![1]),
        ("ComesBack", "cause=ServerFault", vec![1]),
        ("UpstreamCalls", "call=Register result=Ok", vec![1, 1]),
        ("UpstreamCalls", "call=Register result=Refused", vec![3]),
        ("UpstreamCalls", "call=RegistrationToken result=Ok", vec![1]),
        ("UpstreamCalls", "call=SendEmailToLead result=Ok", vec![1, 1]),
        ("RateLimited", "", vec![]),
        ("ToBeMended", "", vec![]),
    ] {
        assert_eq!(json!(of(name, dimensions)), json!(counts), "{name} {dimensions}: {metrics:?}");
    }
    assert_eq!(of("QueueAge", "").len(), 3, "{metrics:?}");
    let waited: Vec<_> = of("WaitingAge", "").iter().map(|ages| ages[0].as_f64().unwrap()).collect();
    assert!(waited.len() == 1 && waited[0] >= 7200.0, "{metrics:?}");
    // Six calls of the first invitation, cold; three of the second; one of the third and of the fourth.
    let waits: Vec<_> = of("AllowanceWait", "").iter().map(|waits| waits.as_array().unwrap().len()).collect();
    assert_eq!(waits, [6, 3, 3, 1], "{metrics:?}");
    let known: BTreeSet<_> = telemetry::metric::ALL.iter().map(|series| series.name).collect();
    let unknown: Vec<_> = metrics.iter().filter(|(name, ..)| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // Lambda takes a line without its time for INFO, and metrics for INFO in any case.
    let lines = printed.lines().filter(|line| line.contains(r#""level":"#));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["level"] == "WARN"), "{printed}");
    for line in lines {
        let time = OffsetDateTime::parse(line["timestamp"].as_str().unwrap_or_default(), &Rfc3339);
        assert!(time.is_ok(), "the line says when it was: {line}");
    }
}

#[tokio::test]
async fn an_invitation_is_logged_with_the_trace_of_whoever_queued_it() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    let message = stage.invite("asha@example.com").await;
    let mut event = sqs_event(&[message]);
    let trace = "Root=1-67a1b2c3-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1";
    event["Records"][0]["attributes"]["AWSTraceHeader"] = json!(trace);
    function.invoke(&event, TIMEOUT).await.unwrap();
    let printed = stage.finish(function).await;
    let ended = printed.lines().find(|line| line.contains("invitation ended")).expect("it ended");
    let ended: Value = serde_json::from_str(ended).unwrap();
    assert_eq!((&ended["fields"]["trace"], &ended["span"]["xrayTraceId"]), (&json!(trace), &json!(TRACE)));
}

#[tokio::test]
async fn an_on_click_link_costs_one_call_and_is_kept_only_as_a_hash() {
    let stage = Stage::new().await;
    let function = stage.start_with(&[("LINK_MODE", "on-click")]).await.unwrap();
    stage.warm_up(&function).await;
    assert_eq!(stage.calls_for(&function, "ravi@example.com").await, [Call::Register, Call::SendEmailToLead]);
    let mail = &stage.emulator.mails()[1];
    let token = link(&mail.text).strip_prefix("https://api.example.test/login-links/").unwrap();
    let hash = token.parse::<LinkToken>().unwrap().hash();
    let key = AttributeValue::S(format!("link#{}", hash.as_str()));
    let item = stage.aws.dynamodb().get_item().table_name(&stage.ledger).key("pk", key).send().await.unwrap();
    let lead = stage.emulator.lead_by_email("ravi@example.com").unwrap();
    assert_eq!(item.item.expect("the link points at something")["lead_id"], AttributeValue::S(lead.id));
    stage.finish(function).await;
}

#[tokio::test]
async fn an_invitation_that_names_a_lead_goes_to_the_address_on_record() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    let lead = stage.emulator.add_lead(&[("EmailAddress", "asha@example.com"), ("FirstName", "Asha")]).unwrap();
    let named = |action: &str, lead: &str| {
        let id = next_id();
        let text = json!({
            "version": 2, "id": id, "source": "crm", "received_at": "2026-11-22T09:30:00Z", "action": action,
            "lead": lead, "attributes": [], "rule": "application-open",
        });
        (text.to_string(), id)
    };
    let nobody = "99999999-9999-4999-8999-999999999999";
    let mut ids = Vec::new();
    for (action, lead) in [("invite", &*lead), ("invite", nobody), ("mail-link", nobody)] {
        let (body, id) = named(action, lead);
        let message = stage.queue(&body, lead).await;
        assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);
        ids.push(id);
    }
    assert_eq!(stage.mails_to("asha@example.com"), 1);
    assert_eq!(stage.causes().await, [("rejected".to_owned(), "no-such-lead".to_owned())]);
    let printed = stage.finish(function).await;
    let line = |id: &str| printed.lines().find(|line| line.contains(id) && line.contains("invitation ended")).unwrap();
    assert!(line(&ids[0]).contains("invited-existing") && line(&ids[0]).contains("application-open"), "{printed}");
    assert!(line(&ids[2]).contains("suppressed") && line(&ids[2]).contains("unknown-person"), "{printed}");
}

/// What an operator does after a look into the lead's history.
#[tokio::test]
async fn a_mail_of_unknown_fate_is_sent_again_when_its_dead_letter_is_put_back() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    stage.emulator.faults().add(Fault::on(Call::SendEmailToLead, Effect::gateway(502)));
    let body = invitation("asha@example.com");
    let mut message = stage.queue(&body, "asha").await;
    for _ in 0..2 {
        assert_eq!(
            stage.deliver(&function, std::slice::from_ref(&message)).await,
            [0],
            "it waits a quarter of an hour"
        );
        message
            .attributes
            .as_mut()
            .unwrap()
            .insert(MessageSystemAttributeName::ApproximateReceiveCount, "2".to_owned());
    }
    assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);
    assert_eq!(stage.causes().await, [("rejected".to_owned(), "mail-unknown".to_owned())]);

    stage.emulator.faults().clear();
    let mails = stage.mails_to("asha@example.com");
    let put_back = stage.queue(&body, "asha").await;
    assert_eq!(stage.deliver(&function, &[put_back]).await, [0; 0]);
    assert_eq!(stage.mails_to("asha@example.com"), mails + 1);
    let printed = stage.finish(function).await;
    assert!(
        printed.lines().any(|line| line.contains("invitation ended") && line.contains(r#""outcome":"invited""#)),
        "{printed}"
    );
}

#[tokio::test]
async fn a_warm_function_makes_two_calls_and_sends_one_mail() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    stage.warm_up(&function).await;
    assert_eq!(
        stage.calls_for(&function, "ravi@example.com").await,
        [Call::Register, Call::LeadAuthKey, Call::SendEmailToLead]
    );
    stage.finish(function).await;
}

#[tokio::test]
async fn a_known_lead_is_invited_at_its_address_on_record_and_left_as_it_was() {
    let stage = Stage::new().await;
    let known = [("EmailAddress", "asha@example.com"), ("FirstName", "Asha"), ("mx_City", "Pune")];
    let id = stage.emulator.add_lead(&known).unwrap();
    let function = stage.start().await;
    let message = stage.invite("asha@example.com").await;
    assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);

    let leads = stage.emulator.leads();
    assert_eq!(leads.len(), 1);
    assert_eq!((leads[0].id.as_str(), leads[0].field("mx_City")), (id.as_str(), Some("Pune")));
    assert_eq!(stage.emulator.portal_users().len(), 1);
    assert!(link(&stage.emulator.mails()[0].text).contains(&id));
    let printed = stage.finish(function).await;
    assert!(printed.contains("\"outcome\":\"invited-existing\""), "{printed}");
}

#[tokio::test]
async fn a_portal_users_password_survives_whatever_is_submitted_in_their_name() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    for _ in 0..2 {
        // Another invitation each time; only the cool-down keeps the second from being mailed.
        let message = stage.invite("asha@example.com").await;
        assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);
    }
    let users = stage.emulator.portal_users();
    assert_eq!(users.iter().map(|user| user.registrations).collect::<Vec<_>>(), [1]);
    assert_eq!(stage.mails_to("asha@example.com"), 1);
    let printed = stage.finish(function).await;
    assert!(printed.contains("\"outcome\":\"already-invited\""), "{printed}");
}

#[tokio::test]
async fn a_refused_lead_is_laid_aside_with_its_cause_and_the_batch_goes_on() {
    let stage = Stage::new().await;
    let refusal = Effect::Answer { status: 500, content_type: "application/json".into(), body: REFUSAL.into() };
    // It may have been the mark, and then any value: the last attempt is the e-mail address alone.
    stage.emulator.faults().add(Fault::on(Call::Register, refusal).times(3));
    let function = stage.start().await;
    let batch = [stage.invite("asha@example.com").await, stage.invite("ravi@example.com").await];
    assert_eq!(stage.deliver(&function, &batch).await, [0; 0]);

    assert_eq!((stage.mails_to("asha@example.com"), stage.mails_to("ravi@example.com")), (0, 1));
    let dead = stage.dead_letters.drain().await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].body, batch[0].body, "a dead letter can be put back as it is");
    let attributes = dead[0].message_attributes.as_ref().unwrap();
    let text = |name: &str| attributes[name].string_value.as_deref().unwrap();
    assert_eq!((text("class"), text("cause")), ("rejected", "refused: MXInvalidEntityReferenceException"));
    let sent: Value = serde_json::from_str(batch[0].body.as_deref().unwrap()).unwrap();
    assert_eq!(sent["id"], text("receipt"));
    let printed = stage.finish(function).await;
    assert_eq!(ended(&printed, "rejected"), 1, "{printed}");
}

#[tokio::test]
async fn what_is_no_invitation_is_laid_aside_and_holds_nobody_up() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    let never = r#"{"version":0,"id":"c4nary"}"#;
    let newer = r#"{"version":7,"id":"c4nary"}"#;
    let wrong_address = invitation("c4nary at example.com");
    let mut batch = Vec::new();
    for body in ["c4nary", "{}", never, wrong_address.as_str(), "[\"c4nary\"]"] {
        batch.push(stage.queue(body, &next_id()).await);
    }
    batch.push(stage.invite("asha@example.com").await);
    // Written by a newer function, as while a deployment is under way: it waits for a newer worker.
    batch.push(stage.queue(newer, &next_id()).await);
    assert_eq!(stage.deliver(&function, &batch).await, [6]);

    assert_eq!(stage.mails_to("asha@example.com"), 1);
    let causes = stage.causes().await;
    assert_eq!(causes.len(), 5);
    for (class, cause) in &causes {
        assert!(class == "malformed" && !cause.is_empty() && !cause.contains("c4nary"), "{class}: {cause}");
    }
    assert!(causes.iter().any(|(_, cause)| cause.contains("version 0")), "{causes:?}");
    stage.finish(function).await;
}

#[tokio::test]
async fn an_outage_of_leadsquared_costs_time_and_nothing_else() {
    for outage in [Effect::gateway(502), Effect::gateway(503), Effect::Cut, Effect::LimitReached(Default::default())] {
        let stage = Stage::new().await;
        stage.emulator.faults().add(Fault::everywhere(outage.clone()));
        let function = stage.start().await;
        let message = stage.invite("asha@example.com").await;
        assert_eq!(stage.deliver(&function, &[message]).await, [0], "{outage:?}");
        assert!(stage.emulator.leads().is_empty() && stage.causes().await.is_empty());

        stage.emulator.faults().clear();
        // The function has put it off by a few seconds; the queue brings it back.
        let again = stage.invitations.next().await;
        let deliveries = &again.attributes.as_ref().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount];
        assert_eq!(deliveries, "2");
        assert_eq!(stage.deliver(&function, &[again]).await, [0; 0], "{outage:?}");
        assert_eq!(stage.mails_to("asha@example.com"), 1);
        stage.finish(function).await;
    }
}

#[tokio::test]
async fn a_failed_invitation_holds_up_its_own_person_and_nobody_else() {
    let stage = Stage::new().await;
    stage.emulator.faults().add(Fault::on(Call::Register, Effect::gateway(503)).times(1));
    let function = stage.start().await;
    let mut batch = vec![
        stage.queue(&invitation("asha@example.com"), "asha").await,
        stage.queue(&invitation("ravi@example.com"), "ravi").await,
    ];
    let second_of_asha = Message::builder().message_id(next_id()).body(invitation("asha@example.com"));
    batch.push(second_of_asha.set_attributes(batch[0].attributes.clone()).receipt_handle("none").build());
    assert_eq!(stage.deliver(&function, &batch).await, [0, 2]);
    assert_eq!((stage.mails_to("asha@example.com"), stage.mails_to("ravi@example.com")), (0, 1));
    stage.finish(function).await;
}

#[tokio::test]
async fn the_same_message_delivered_again_is_done_nothing_about() {
    let stage = Stage::new().await;
    let mut function = stage.start().await;
    function.add_process().await.unwrap();
    let message = stage.invite("asha@example.com").await;
    let event = sqs_event(std::slice::from_ref(&message));
    // At the same time in two processes, and once more afterwards.
    let (one, other) = tokio::join!(function.invoke(&event, TIMEOUT), function.invoke(&event, TIMEOUT));
    let both = [one.unwrap(), other.unwrap()];
    assert!(both.iter().any(|response| failed(response).is_empty()), "{both:?}");
    assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);
    assert_eq!(stage.mails_to("asha@example.com"), 1);
    assert_eq!(stage.calls_to(Call::Register), 1);
    stage.finish(function).await;
}

#[tokio::test]
async fn wrong_settings_keep_the_message_and_tell_the_operator_what_to_do() {
    let stage = Stage::new().await;
    let (access_key, secret_key) = stage.emulator.keys();
    let other_region = stage.emulator.other_region_url();
    let sales_user = stage.emulator.keys_of(Role::SalesUser).expect("the emulator's account has a sales user");
    let wrong = (access_key.clone(), secret_key.chars().rev().collect());
    let wrong_host =
        [("LEADSQUARED_API_URL", other_region.as_str()), ("LEADSQUARED_PORTAL_API_URL", other_region.as_str())];
    let same = [].as_slice();
    let cases = [
        (keys(&wrong), same, "LeadSquared does not accept the keys"),
        (keys(&sales_user), same, "LeadSquared does not accept the keys"),
        (r#"{"accessKey":"REPLACE-ME","secretKey":"REPLACE-ME"}"#.to_owned(), same, "placeholders"),
        (r#"{"accesskey":"c4nary"}"#.to_owned(), same, "accessKey"),
        (keys(&(access_key, secret_key)), &wrong_host, "api-in21.leadsquared.com"),
    ];
    for (secret, settings, advice) in cases {
        stage.put_keys(&secret).await;
        let function = stage.start_with(settings).await.unwrap();
        let message = stage.invite(&format!("{}@example.com", next_id())).await;
        assert_eq!(stage.deliver(&function, &[message]).await, [0], "{advice}");
        let printed = stage.finish(function).await;
        let errors: Vec<_> = printed.lines().filter(|line| line.contains("\"ERROR\"")).collect();
        assert!(matches!(errors[..], [error] if error.contains(advice)), "{advice}: {printed}");
    }
    assert!(stage.emulator.portal_users().is_empty() && stage.causes().await.is_empty());
}

#[tokio::test]
async fn rotated_keys_are_noticed_by_a_running_function() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    let message = stage.invite("asha@example.com").await;
    assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);

    stage.rotate_keys().await;
    // It reads the secret again, but not within 30 s of reading it: until then the message comes back.
    let message = stage.invite("ravi@example.com").await;
    let began = Instant::now();
    while stage.deliver(&function, std::slice::from_ref(&message)).await == [0] {
        assert!(began.elapsed() < PATIENCE, "the new keys are not used");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(stage.mails_to("ravi@example.com"), 1);
    stage.finish(function).await;
}

/// AWS as a function finds it whose one service answers so.
pub(crate) async fn aws_that_answers(status: u16, code: &'static str) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = json!({"__type": code}).to_string();
    let status = StatusCode::from_u16(status).unwrap();
    let answer = (status, [("content-type", "application/x-amz-json-1.1")], body);
    let mut server = JoinSet::new();
    server.spawn(async move {
        axum::serve(listener, Router::new().fallback(async || answer)).await.unwrap();
    });
    (url, server)
}

/// A hiccup passes by itself. One that lasts does not, and what somebody has to change never does.
#[tokio::test]
async fn a_hiccup_of_aws_calls_nobody_until_it_lasts() {
    let stage = Stage::new().await;
    let services = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", "NoKeys"), ("AWS_ENDPOINT_URL_KMS", "NoPassword")];
    for (service, cause) in services {
        for (status, code, is_hiccup) in [
            (400, "ThrottlingException", true),
            (500, "InternalServiceError", true),
            (503, "", true),
            (400, "AccessDeniedException", false),
            (400, "NotFoundException", false),
            (400, "ResourceNotFoundException", false),
            (400, "KMSInvalidStateException", false),
        ] {
            let (url, _server) = aws_that_answers(status, code).await;
            let mut environment = stage.environment("invitation", &[]);
            environment.push((service.to_owned(), url));
            for (hours, to_be_mended) in [(0, !is_hiccup), (2, true)] {
                let function =
                    Function::start(fixtures::binary("invitation").await, environment.clone()).await.unwrap();
                let mut body: Value = serde_json::from_str(&invitation("asha@example.com")).unwrap();
                if cause == "NoPassword" {
                    // Nobody's is opened but one that a sender with a form key passed on.
                    body["version"] = 3.into();
                    body["provenance"] = "keyed".into();
                    body["password"] = "c2VhbGVk".into();
                }
                let message = stage.queue(&body.to_string(), &next_id()).await;
                let mut event = sqs_event(std::slice::from_ref(&message));
                let sent = OffsetDateTime::now_utc() - time::Duration::hours(hours);
                event["Records"][0]["attributes"]["SentTimestamp"] = (sent.unix_timestamp() * 1000).to_string().into();
                let came_back = failed(&function.invoke(&event, TIMEOUT).await.unwrap()).len();
                // The next case is not to meet it again.
                stage.invitations.delete(&message).await;
                let printed = function.stop().await;
                let counted = metrics(&printed);
                let case = format!("{service} {code} after {hours} h: {printed}");
                assert_eq!(came_back, 1, "{case}");
                assert!(counted.iter().any(|metric| metric.1 == format!("cause={cause}")), "{case}");
                assert_eq!(counted.iter().any(|(name, ..)| name == "ToBeMended"), to_be_mended, "{case}");
                assert_eq!(printed.contains("\"ERROR\""), to_be_mended, "{case}");
            }
        }
    }
}

/// No time mends it: somebody has to look at the item.
#[tokio::test]
async fn a_broken_item_of_the_ledger_calls_the_operator() {
    let stage = Stage::new().await;
    let body = invitation("asha@example.com");
    let id = serde_json::from_str::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned();
    let put = stage.aws.dynamodb().put_item().table_name(&stage.ledger);
    let put = put.item("pk", AttributeValue::S(format!("invitation#{id}")));
    put.item("expires_at", AttributeValue::N("4102444800".to_owned())).send().await.unwrap();
    let function = stage.start().await;
    let message = stage.queue(&body, "asha").await;
    assert_eq!(stage.deliver(&function, &[message]).await, [0]);
    let printed = stage.finish(function).await;
    assert!(metrics(&printed).iter().any(|(name, ..)| name == "ToBeMended"), "{printed}");
    let errors: Vec<_> = printed.lines().filter(|line| line.contains("\"ERROR\"")).collect();
    assert!(matches!(errors[..], [error] if error.contains("payload")), "{printed}");
}

/// Anybody can send such things, and is told: they are counted, and no alarm stays on for them.
#[tokio::test]
async fn what_anonymous_senders_get_wrong_is_counted_and_becomes_no_dead_letter() {
    let stage = Stage::new().await;
    stage.emulator.add_lead(&[("EmailAddress", "ravi@example.com")]).unwrap();
    let refusal = Effect::Answer { status: 500, content_type: "application/json".into(), body: REFUSAL.into() };
    let function = stage.start_with(&[("LINK_MODE", "on-click")]).await.unwrap();
    let message = |version: u64, id: &str, source: &str, action: &str, email: &str, name: &str| {
        let mut message = json!({
            "version": version, "id": id, "source": source, "received_at": "2026-11-22T09:30:00Z", "action": action,
            "email": email, "attributes": [{"name": "FirstName", "value": name}],
        });
        if version == 3 {
            message["provenance"] = "keyed".into();
        }
        message.to_string()
    };
    // Other content under an id that was used, by each kind of sender.
    for (version, source, dead_letters) in [(2, "form", 0), (3, "form", 0), (2, "bus", 1)] {
        let id = next_id();
        let email = format!("asha.{source}{version}@example.com");
        for (name, dead_letters) in [("Asha", 0), ("Asha Rao", dead_letters)] {
            let message = stage.queue(&message(version, &id, source, "invite", &email, name), &email).await;
            assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);
            let expected = vec![("rejected".to_owned(), "id-reused".to_owned()); dead_letters];
            assert_eq!(stage.causes().await, expected, "{source} {version} {name}");
        }
    }
    // LeadSquared refuses to mail the person whom somebody asked a link for. An applicant whom it refuses is another
    // matter.
    stage.emulator.faults().add(Fault::on(Call::SendEmailToLead, refusal.clone()));
    stage.emulator.faults().add(Fault::on(Call::Register, refusal));
    let cause = ("rejected".to_owned(), "refused: MXInvalidEntityReferenceException".to_owned());
    for (source, action, email, dead_letters) in [
        ("link-request", "mail-link", "ravi@example.com", vec![]),
        ("form", "invite", "meera@example.com", vec![cause]),
    ] {
        let message = stage.queue(&message(2, &next_id(), source, action, email, "A"), email).await;
        assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);
        assert_eq!(stage.causes().await, dead_letters, "{source}");
    }
    let printed = stage.finish(function).await;
    let lines = printed.lines().filter(|line| line.contains("invitation ended") && line.contains("\"rejected\""));
    let levels: Vec<_> = lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["level"].clone()).collect();
    assert_eq!(levels, ["WARN", "WARN", "INFO", "WARN", "INFO"], "{printed}");
    let counted = metrics(&printed);
    let count = |name: &str| counted.iter().filter(|metric| metric.0 == name).count();
    let rejected = counted.iter().filter(|metric| metric.1 == "outcome=rejected").count();
    assert_eq!((rejected, count("Rejected")), (5, 2), "{counted:?}");
}

/// Family members share phones, and anybody can type another's number: the lead's notes have it.
#[tokio::test]
async fn a_number_of_another_lead_is_no_missing_field() {
    let stage = Stage::new().await;
    stage.emulator.add_lead(&[("EmailAddress", "ravi@example.com"), ("Phone", "+91-9000000001")]).unwrap();
    let function = stage.start().await;
    let mut body: Value = serde_json::from_str(&invitation("asha@example.com")).unwrap();
    body["attributes"] = json!([{"name": "Phone", "value": "+91-9000000001"}]);
    let message = stage.queue(&body.to_string(), "asha").await;
    assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);
    let lead = stage.emulator.lead_by_email("asha@example.com").unwrap();
    assert!(lead.field("Notes").is_some_and(|notes| notes.contains("9000000001")), "{lead:?}");
    let counted = metrics(&stage.finish(function).await);
    assert!(counted.iter().all(|(name, ..)| name != "FieldsLeftOut"), "{counted:?}");
}

#[tokio::test]
async fn an_invitation_waits_for_the_next_day_when_the_days_calls_are_used_up() {
    let stage = Stage::new().await;
    // One is not enough for anybody, on neither side of midnight.
    let function = stage.start_with(&[("ALLOWANCE_DAILY", "1")]).await.unwrap();
    let message = stage.invite("asha@example.com").await;
    assert_eq!(stage.deliver(&function, std::slice::from_ref(&message)).await, [0]);
    let printed = stage.finish(function).await;
    let warnings: Vec<_> = printed.lines().filter(|line| line.contains("\"WARN\"")).collect();
    assert!(
        matches!(warnings[..], [warning] if warning.contains("waits for the next UTC day")
            && warning.contains("kept for people who wait")),
        "{printed}"
    );
    let is_cause =
        |(name, dimensions, _): &(String, String, Value)| name == "ComesBack" && dimensions.contains("DayUsedUp");
    assert!(metrics(&printed).iter().any(is_cause), "{printed}");
    assert!(!printed.contains("\"ERROR\""), "{printed}");
    assert_eq!(stage.mails_to("asha@example.com"), 0);

    let function = stage.start_with(&[("ALLOWANCE_DAILY", "none")]).await.unwrap();
    assert_eq!(stage.deliver(&function, &[message]).await, [0; 0]);
    assert_eq!(stage.mails_to("asha@example.com"), 1);
    stage.finish(function).await;
}

#[tokio::test]
async fn what_there_is_no_time_for_goes_back_untouched() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    let batch = [stage.invite("asha@example.com").await, stage.invite("ravi@example.com").await];
    let response = function.invoke(&sqs_event(&batch), Duration::from_secs(1)).await.unwrap();
    assert_eq!(failed(&response).len(), 2);
    assert!(stage.emulator.calls().is_empty());
    // At once, too: it was not its fault.
    let began = Instant::now();
    let again = [stage.invitations.next().await, stage.invitations.next().await];
    assert!(began.elapsed() < Duration::from_secs(10), "they come back after {:?}", began.elapsed());
    assert_eq!(stage.deliver(&function, &again).await, [0; 0]);
    stage.finish(function).await;
}

#[tokio::test]
async fn a_message_that_fails_for_longer_than_the_retry_horizon_is_laid_aside() {
    let stage = Stage::new().await;
    stage.emulator.faults().add(Fault::everywhere(Effect::gateway(503)));
    let function = stage.start().await;
    let message = stage.invite("asha@example.com").await;
    let mut event = sqs_event(&[message]);
    // November 2023, in milliseconds.
    event["Records"][0]["attributes"]["SentTimestamp"] = "1700000000000".into();
    let response = function.invoke(&event, TIMEOUT).await.unwrap();
    assert_eq!(failed(&response), [""; 0]);
    let causes = stage.causes().await;
    assert!(matches!(&causes[..], [(class, _)] if class == "exhausted"), "{causes:?}");
    let printed = stage.finish(function).await;
    assert_eq!(ended(&printed, "exhausted"), 1, "{printed}");
}

/// Wherever a process dies, the person is registered once, and mailed once unless it died while the mail was sent.
#[tokio::test]
async fn a_process_killed_in_any_call_leaves_nobody_out_and_nobody_in_twice() {
    let calls = [
        Call::PublicAuthKey,
        Call::RegistrationToken,
        Call::Register,
        Call::TenantAuthKey,
        Call::LeadAuthKey,
        Call::SendEmailToLead,
    ];
    let deaths = calls.into_iter().flat_map(|call| [(call, false), (call, true)]);
    join_all(deaths.map(|(call, after_work)| kill_in(call, after_work))).await;
}

async fn kill_in(call: Call, after_work: bool) {
    let case = format!("{call}, {} the work was done", if after_work { "after" } else { "before" });
    let stage = Stage::new().await;
    let stall = Fault::on(call, Effect::Latency(10 * PATIENCE));
    stage.emulator.faults().add(if after_work { stall.after_work() } else { stall });
    let doomed = stage.start().await;
    let message = stage.invite("asha@example.com").await;
    let event = sqs_event(std::slice::from_ref(&message));
    // Long enough for the call to be reached, and the claim that the dead process holds runs out with it.
    let killed = async {
        eventually(&case, || {
            stage.calls_to(call) == 1
                && match (call, after_work) {
                    (Call::Register, true) => !stage.emulator.portal_users().is_empty(),
                    (Call::SendEmailToLead, true) => !stage.emulator.mails().is_empty(),
                    _ => true,
                }
        })
        .await;
        doomed.kill().await;
    };
    let (answer, ()) = tokio::join!(doomed.invoke(&event, Duration::from_secs(15)), killed);
    assert!(matches!(answer, Err(FunctionError::Exited(status)) if status.signal() == Some(9)), "{case}: {answer:?}");
    stage.finish(doomed).await;

    stage.emulator.faults().clear();
    let function = stage.start().await;
    let began = Instant::now();
    while stage.deliver(&function, std::slice::from_ref(&message)).await == [0] {
        assert!(began.elapsed() < PATIENCE, "{case}: the claim of the dead process does not run out");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let users = stage.emulator.portal_users();
    assert_eq!(users.iter().map(|user| user.registrations).collect::<Vec<_>>(), [1], "{case}");
    let mails = stage.mails_to("asha@example.com");
    let most = if call == Call::SendEmailToLead { 2 } else { 1 };
    assert!((1..=most).contains(&mails), "{case}: {mails} mails");
    assert!(stage.causes().await.is_empty(), "{case}");
    stage.finish(function).await;
}

#[tokio::test]
async fn every_sample_event_is_handled() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    for (file, event) in workspace::events("invitation") {
        let response = function.invoke_bytes(event.into(), TIMEOUT).await.unwrap();
        assert_eq!(failed(&response), [""; 0], "{file}");
    }
    let people: BTreeSet<_> = stage.emulator.mails().into_iter().flat_map(|mail| mail.recipients).collect();
    assert_eq!(people, ["asha.rao@example.com", "ravi.iyer@example.com"].map(str::to_owned).into());
    assert_eq!(stage.emulator.mails().len(), 2, "one mail each, however many invitations");
    let mut causes = stage.causes().await;
    causes.sort();
    assert_eq!((&*causes[0].0, causes.len()), ("malformed", 2));
    assert_eq!(causes[1], ("rejected".to_owned(), "no-such-lead".to_owned()), "of the lead that only the sample knows");
    stage.finish(function).await;
}

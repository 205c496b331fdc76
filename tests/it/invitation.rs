//! The `invitation` function, black box: what becomes of queued messages.

mod calls;

use std::{
    collections::BTreeSet,
    future::ready,
    os::unix::process::ExitStatusExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use futures::future::join_all;
use leadsquared_emulator::{Call, Effect, Emulator, Fault, Role, Settings};
use onboarding::{Invitation, InvitationId, LinkToken, PersonKey, Source};
use runtime_api::{Function, FunctionError, TRACE};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    aws_endpoint::{self, Server},
    functions::{self, count_of, errors, metrics, sqs_event},
    samples::item_of,
    sandbox::{self, keys},
    template::Template,
    waiting::within,
    workspace,
};

/// As in template.yaml.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than any test takes.
const FOREVER: Duration = Duration::from_secs(600);
/// A refusal of LeadSquared that repeats what it was sent.
const REFUSAL: &str = r#"{"Status":"Error","ExceptionType":"MXInvalidEntityReferenceException","ExceptionMessage":"c4nary is no option of City"}"#;

struct Worker;
type Sandbox = sandbox::Sandbox<Worker>;

impl Sandbox {
    async fn new() -> Self {
        Self::open(Settings::for_tests(), Worker).await
    }

    async fn start(&self) -> Function {
        self.start_with(&[]).await.unwrap()
    }

    /// Starts the worker in the link mode `direct`, in which it makes every call that it can make.
    async fn start_with(&self, changes: &[(&str, &str)]) -> Result<Function, FunctionError> {
        self.start_function("invitation", &[&[("LINK_MODE", "direct")][..], changes].concat()).await
    }

    /// Delivers one invitation, for which the function fetches the keys and tokens that it keeps.
    async fn warm_up(&self, function: &Function) {
        let message = self.invite("asha@example.com").await;
        self.deliver(function, &[message]).await;
    }

    /// The LeadSquared calls that an invitation of this person takes.
    async fn calls_for(&self, function: &Function, email: &str) -> Vec<Call> {
        let before = self.emulator.calls().len();
        let message = self.invite(email).await;
        self.deliver(function, &[message]).await;
        self.emulator.calls().into_iter().skip(before).filter_map(|arrived| arrived.call).collect()
    }

    /// Queues an invitation of this person and receives it, as an event source does.
    async fn invite(&self, email: &str) -> Message {
        self.queue(&invitation(email), email).await
    }

    async fn queue(&self, body: &str, group: &str) -> Message {
        self.invitations.send(body, group, &next_id()).await;
        self.invitations.next().await
    }

    /// Delivers messages and, as an event source does, deletes those that did not fail. Returns the indexes of those
    /// that failed.
    async fn deliver(&self, function: &Function, messages: &[Message]) -> Vec<usize> {
        let response = function.invoke(&sqs_event(messages), TIMEOUT).await.unwrap();
        let failed = failed(&response);
        let is_failed = |message: &Message| failed.contains(&message.message_id.as_deref().unwrap());
        for message in messages.iter().filter(|message| !is_failed(message)) {
            self.invitations.delete(message).await;
        }
        (0..messages.len()).filter(|index| is_failed(&messages[*index])).collect()
    }

    /// Stops the function. Asserts that no personal data, key or link is in its output or in the ledger.
    async fn finish(&self, function: Function) -> String {
        let printed = function.stop().await;
        let ledger = self.kept().await;
        let (access_key, secret_key) = self.emulator.keys();
        let mut secrets = vec!["c4nary".to_owned(), access_key, secret_key];
        for mail in self.emulator.mails() {
            secrets.extend(mail.recipients.iter().cloned());
            let link = link(&mail.text);
            let secret = link.split_once("authKey=").or_else(|| link.split_once("/login-links/"));
            secrets.push(secret.expect("a link holds LeadSquared's key or the function's token").1.to_owned());
        }
        for secret in secrets {
            assert!(!printed.contains(&secret), "{secret} is logged: {printed}");
            assert!(!ledger.contains(&secret), "{secret} is in the ledger: {ledger}");
        }
        printed
    }

    /// Ends the lease that the killed process has on this message's invitation, as time would.
    async fn end_lease(&self, message: &Message) {
        let past = OffsetDateTime::now_utc().unix_timestamp() - 1;
        self.record(message, "lease_until", AttributeValue::N(past.to_string())).await;
    }

    /// Changes the ledger's record of this message's invitation.
    async fn record(&self, message: &Message, name: &str, value: AttributeValue) {
        let body: Value = serde_json::from_str(message.body.as_deref().unwrap()).unwrap();
        let pk = format!("invitation#{}", body["id"].as_str().unwrap());
        self.set(&pk, name, value).await;
    }

    /// Lets the failures of which this attribute has the first begin this long ago.
    async fn date_back(&self, message: &Message, name: &str, by: time::Duration) {
        let millisecond = (OffsetDateTime::now_utc() - by).unix_timestamp() * 1000;
        self.record(message, name, AttributeValue::N(millisecond.to_string())).await;
    }

    /// How many mails this address got.
    fn mails_to(&self, email: &str) -> usize {
        self.emulator.mails().iter().filter(|mail| mail.recipients == [email]).count()
    }

    /// Class and cause of every dead letter.
    async fn causes(&self) -> Vec<(String, String)> {
        let cause = |message: &Message| {
            let attributes = message.message_attributes.as_ref().expect("a dead letter says why");
            let text = |name: &str| attributes[name].string_value.clone().expect("attributes are text");
            (text("class"), text("cause"))
        };
        self.dead_letters.drain().await.iter().map(cause).collect()
    }
}

/// The message of an invitation for this address, with a canary in every other value.
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

/// How many invitations were logged with this outcome.
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

#[tokio::test]
async fn an_invitation_becomes_a_portal_user_with_a_link_in_the_mailbox() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    let message = sandbox.invite("asha@example.com").await;
    assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);

    let lead = sandbox.emulator.lead_by_email("asha@example.com").unwrap();
    assert_eq!((lead.field("FirstName"), lead.field("mx_City")), (Some("c4nary"), Some("c4nary")));
    let users = sandbox.emulator.portal_users();
    assert_eq!(
        users.iter().map(|user| (user.lead_id.as_str(), user.registrations)).collect::<Vec<_>>(),
        [(lead.id.as_str(), 1)]
    );
    let mails = sandbox.emulator.mails();
    assert_eq!((mails.len(), &mails[0].recipients), (1, &vec!["asha@example.com".to_owned()]));
    assert_eq!(mails[0].subject, Template::read().default("MailSubject"));
    let link = link(&mails[0].text);
    assert!(link.starts_with(sandbox.emulator.portal_page_url().as_str()), "{link}");
    for parameter in [format!("leadId={}", lead.id), format!("portalId={}", sandbox.emulator.portal_id())] {
        assert!(link.contains(&parameter), "{link} has {parameter}");
    }
    assert!(sandbox.causes().await.is_empty());
    let printed = sandbox.finish(function).await;
    assert_eq!(ended(&printed, "invited"), 1, "{printed}");
}

/// A stack is upgraded while messages and ledger items of the previous version exist.
#[tokio::test]
async fn messages_and_items_of_the_first_version_keep_their_meaning() {
    let event = functions::sample("invitation", "one.json");
    let body = event["Records"][0]["body"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["version"], 1);
    let files = workspace::files(&workspace::root().join("events/ledger/v1"), "json");
    assert_eq!(files.len(), 4);
    for file in files {
        let mut item = item_of(&serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap());
        // The sample is old; the item must not have expired.
        item.insert("expires_at".to_owned(), AttributeValue::N("4102444800".to_owned()));
        let sandbox = Sandbox::new().await;
        sandbox.put_item(item).await;
        let function = sandbox.start().await;
        let message = sandbox.queue(body, "asha").await;
        assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0], "{}", file.display());
        let done = (sandbox.calls_to(Call::Register), sandbox.emulator.mails().len());
        let (outcome, expected) = match file.file_stem().and_then(|name| name.to_str()).unwrap() {
            "invited" => ("already-invited", (0, 0)),
            "mailed-and-died" => ("invited", (0, 0)),
            "rejected" | "waits-in-doubt" => ("invited", (1, 1)),
            other => panic!("no expectation for {other}.json"),
        };
        assert_eq!(done, expected, "registrations and mails, {}", file.display());
        let printed = sandbox.finish(function).await;
        assert_eq!(printed.matches(&format!("\"outcome\":\"{outcome}\",\"cause\"")).count(), 1, "{printed}");
    }
}

#[tokio::test]
async fn outcomes_and_calls_are_measured_without_personal_data() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    for email in ["asha@example.com", "ravi@example.com"] {
        let message = sandbox.invite(email).await;
        assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);
    }
    let refusal = Effect::Answer { status: 500, content_type: "application/json".into(), body: REFUSAL.into() };
    sandbox.emulator.faults().add(Fault::on(Call::Register, refusal).times(7));
    let refused = sandbox.invite("meera@example.com").await;
    sandbox.deliver(&function, &[refused]).await;
    let broken = sandbox.queue("{}", "nobody").await;
    sandbox.deliver(&function, &[broken]).await;
    sandbox.emulator.faults().add(Fault::on(Call::Register, Effect::gateway(503)).times(1));
    let mut waiting = sqs_event(&[sandbox.invite("vikram@example.com").await]);
    let two_hours_ago = OffsetDateTime::now_utc() - time::Duration::hours(2);
    let waiting_since = (two_hours_ago.unix_timestamp() * 1000).to_string();
    // It has made way for the person's later messages.
    waiting["Records"][0]["messageAttributes"] =
        json!({"waiting_since": {"dataType": "Number", "stringValue": waiting_since}});
    assert_eq!(failed(&function.invoke(&waiting, TIMEOUT).await.unwrap()).len(), 1);
    let printed = sandbox.finish(function).await;
    let metrics = metrics(&printed);
    let of = |name: &str, dimensions: &str| -> Vec<Value> {
        let found = metrics.iter().filter(|metric| metric.0 == name && metric.1 == dimensions);
        found.map(|(_, _, value)| value.clone()).collect()
    };
    // One count for each invocation.
    for (name, dimensions, counts) in [
        ("ColdStarts", "", vec![1]),
        ("Outcomes", "outcome=invited", vec![1, 1]),
        ("OutcomesBySource", "outcome=rejected source=form", vec![1]),
        ("Malformed", "", vec![1]),
        ("Retries", "cause=ServerFault", vec![1]),
        ("UpstreamCalls", "call=Register result=Ok", vec![1, 1]),
        ("UpstreamCalls", "call=Register result=Refused", vec![7]),
        ("UpstreamCalls", "call=RegistrationToken result=Ok", vec![1]),
        ("UpstreamCalls", "call=SendEmailToLead result=Ok", vec![1, 1]),
        ("RateLimited", "", vec![]),
        ("OperatorNeeded", "", vec![]),
    ] {
        assert_eq!(json!(of(name, dimensions)), json!(counts), "{name} {dimensions}: {metrics:?}");
    }
    assert_eq!(of("QueueAge", "").len(), 3, "{metrics:?}");
    let waited: Vec<_> = of("WaitingAge", "").iter().map(|ages| ages[0].as_f64().unwrap()).collect();
    assert!(waited.len() == 1 && waited[0] >= 7200.0, "{metrics:?}");
    // Calls of each invitation: the first is cold, the third is refused six times, the fourth fails at once.
    let waits: Vec<_> = of("AllowanceWait", "").iter().map(|waits| waits.as_array().unwrap().len()).collect();
    assert_eq!(waits, [6, 3, 7, 1], "{metrics:?}");
    let known: BTreeSet<_> = telemetry::metric::ALL.iter().map(|series| series.name).collect();
    let unknown: Vec<_> = metrics.iter().filter(|(name, ..)| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // Lambda counts a line without a timestamp as INFO, and would not filter it by level.
    let lines = printed.lines().filter(|line| line.contains(r#""level":"#));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["level"] == "WARN"), "{printed}");
    // From a graph to the log: a line has the metric's dimension under the same name.
    for (name, value) in
        metrics.iter().flat_map(|(_, dimensions, _)| dimensions.split(' ')).filter_map(|one| one.split_once('='))
    {
        let is_of_a_call = ["call", "result"].contains(&name);
        assert!(is_of_a_call || lines.iter().any(|line| line["fields"][name] == value), "no line has {name}={value}");
    }
    for line in lines {
        let time = OffsetDateTime::parse(line["timestamp"].as_str().unwrap_or_default(), &Rfc3339);
        assert!(time.is_ok(), "the line has a timestamp: {line}");
    }
}

#[tokio::test]
async fn an_invitation_is_logged_with_the_trace_of_its_message() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    let message = sandbox.invite("asha@example.com").await;
    let mut event = sqs_event(&[message]);
    let trace = "Root=1-67a1b2c3-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1";
    event["Records"][0]["attributes"]["AWSTraceHeader"] = json!(trace);
    function.invoke(&event, TIMEOUT).await.unwrap();
    let printed = sandbox.finish(function).await;
    let ended = printed.lines().find(|line| line.contains("invitation ended")).expect("it ended");
    let ended: Value = serde_json::from_str(ended).unwrap();
    assert_eq!((&ended["fields"]["trace"], &ended["span"]["xrayTraceId"]), (&json!(trace), &json!(TRACE)));
}

#[tokio::test]
async fn an_on_click_link_costs_no_call_of_its_own_and_is_stored_as_a_hash() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start_with(&[("LINK_MODE", "on-click")]).await.unwrap();
    sandbox.warm_up(&function).await;
    assert_eq!(sandbox.calls_for(&function, "ravi@example.com").await, [Call::Register, Call::SendEmailToLead]);
    let mail = &sandbox.emulator.mails()[1];
    let token = link(&mail.text).strip_prefix("https://api.example.test/login-links/").unwrap();
    let hash = token.parse::<LinkToken>().unwrap().hash();
    let key = AttributeValue::S(format!("link#{}", hash.as_str()));
    let item = sandbox.aws.dynamodb().get_item().table_name(&sandbox.ledger).key("pk", key).send().await.unwrap();
    let lead = sandbox.emulator.lead_by_email("ravi@example.com").unwrap();
    assert_eq!(item.item.expect("the link has an item")["lead_id"], AttributeValue::S(lead.id));
    sandbox.finish(function).await;
}

#[tokio::test]
async fn an_invitation_by_lead_id_is_mailed_to_the_address_on_record() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    let lead = sandbox.emulator.add_lead(&[("EmailAddress", "asha@example.com"), ("FirstName", "Asha")]).unwrap();
    let named = |action: &str, lead: &str| {
        let id = next_id();
        let text = json!({
            "version": 2, "id": id, "source": "crm", "received_at": "2026-11-22T09:30:00Z", "action": action,
            "lead": lead, "attributes": [], "rule": "application-open",
        });
        (text.to_string(), id)
    };
    let no_lead = "99999999-9999-4999-8999-999999999999";
    let mut ids = Vec::new();
    for (action, lead) in [("invite", &*lead), ("invite", no_lead), ("mail-link", no_lead)] {
        let (body, id) = named(action, lead);
        let message = sandbox.queue(&body, lead).await;
        assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);
        ids.push(id);
    }
    assert_eq!(sandbox.mails_to("asha@example.com"), 1);
    assert_eq!(sandbox.causes().await, [("rejected".to_owned(), "no-such-lead".to_owned())]);
    let printed = sandbox.finish(function).await;
    let line = |id: &str| printed.lines().find(|line| line.contains(id) && line.contains("invitation ended")).unwrap();
    assert!(line(&ids[0]).contains("invited-existing") && line(&ids[0]).contains("application-open"), "{printed}");
    assert!(line(&ids[2]).contains("suppressed") && line(&ids[2]).contains("unknown-person"), "{printed}");
}

/// A message whose event left the rule `active` undecided.
fn undecided(number: u8, lead: &str) -> (String, String) {
    let id = format!("00000000-0000-8000-8000-0000000001{number:02}");
    // Old enough to be decided, and new enough for every look-up.
    let received_at = (OffsetDateTime::now_utc() - Duration::from_secs(600)).format(&Rfc3339).unwrap();
    let text = json!({
        "version": 3, "id": id, "source": "crm", "received_at": received_at, "action": "mail-link",
        "lead": lead, "attributes": [], "provenance": "system",
        "question": {"rules": ["removed", "misspelt", "active"], "known": [{"name": "ProspectStage", "value": "Applied"}]},
    });
    (text.to_string(), id)
}

#[tokio::test]
async fn a_lookup_decides_undecided_rules_within_a_tenth_of_the_days_calls() {
    let sandbox = Sandbox::new().await;
    let rules = r#"[{"name": "misspelt", "on": "lead-change", "field": "ProspectStage", "to": "Applied", "action": "invite",
        "when": [{"field": "mx_Cty", "is-not": "Pune"}]},
        {"name": "active", "on": "lead-change", "field": "ProspectStage", "to": "Applied", "action": "invite",
        "when": [{"field": "mx_City", "is-not": "Pune"}]}]"#;
    let function = sandbox.start_with(&[("CRM_RULES", rules), ("ALLOWANCE_DAILY", "20")]).await.unwrap();
    let lead =
        |email: &str, city: &str| sandbox.emulator.add_lead(&[("EmailAddress", email), ("mx_City", city)]).unwrap();
    let (asha, ravi, mina) =
        (lead("asha@example.com", ""), lead("ravi@example.com", "Pune"), lead("mina@example.com", ""));
    let mut ids = Vec::new();
    for (number, lead, retried) in [(1, &asha, 0), (2, &ravi, 0), (3, &mina, 1)] {
        let (body, id) = undecided(number, lead);
        let message = sandbox.queue(&body, lead).await;
        assert_eq!(sandbox.deliver(&function, &[message]).await.len(), retried, "{number}");
        ids.push(id);
    }
    let mails = ["asha@example.com", "ravi@example.com", "mina@example.com"].map(|email| sandbox.mails_to(email));
    assert_eq!((mails, sandbox.causes().await), ([1, 0, 0], Vec::new()));
    let printed = sandbox.finish(function).await;
    let line = |id: &str, text: &str| printed.lines().any(|line| line.contains(id) && line.contains(text));
    assert!(line(&ids[0], r#""rule":"active""#) && line(&ids[0], "invited-existing"), "{printed}");
    assert!(line(&ids[1], "suppressed") && line(&ids[1], "no-rule-applies"), "{printed}");
    assert!(line(&ids[1], r#""rule":"misspelt""#) && line(&ids[1], r#""field":"mx_Cty""#), "{printed}");
    assert!(line(&ids[2], r#""cause":"RuleLookups""#) && line(&ids[2], r#""level":"WARN""#), "{printed}");
}

#[tokio::test]
async fn a_question_that_waits_holds_back_no_other_message_of_its_lead() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start_with(&[("ALLOWANCE_DAILY", "10")]).await.unwrap();
    let lead = sandbox.emulator.add_lead(&[("EmailAddress", "asha@example.com")]).unwrap();
    sandbox.use_up_lookups(OffsetDateTime::now_utc()).await;
    let (body, _) = undecided(6, &lead);
    let question = Invitation::decode(&body).unwrap();
    let id = InvitationId::of([&b"request"[..]]);
    let request = Invitation { id, question: None, source: Source::LinkRequest, ..question.clone() };
    let again = Invitation { id: InvitationId::of([&b"again"[..]]), ..question.clone() };
    let queue =
        queue::Invitations::new(aws_sdk_sqs::Client::new(sandbox.aws.config()), sandbox.invitations.url.clone());
    queue.send_all(&[question.clone(), request.clone()]).await.unwrap();
    queue.send(&again).await.unwrap();

    let first = sandbox.invitations.next().await;
    let second = sandbox.invitations.next().await;
    let bodies = [&first, &second].map(|message| message.body.clone().unwrap());
    assert!(bodies.contains(&question.encode()) && bodies.contains(&request.encode()), "{bodies:?}");
    let (question, request) = if bodies[0] == request.encode() { (second, first) } else { (first, second) };
    assert_eq!(sandbox.deliver(&function, &[question, request]).await, [0], "only the question is retried");
    assert_eq!(sandbox.mails_to("asha@example.com"), 1);
    assert!(sandbox.invitations.drain().await.is_empty(), "the queue dropped the repeated question");
    let printed = sandbox.finish(function).await;
    assert!(printed.contains("QuestionAge") && !printed.contains("WaitingAge"), "{printed}");
}

/// After 13 days a question is sent again, which SQS refuses or does not answer.
#[tokio::test]
async fn a_question_that_cannot_be_sent_again_needs_an_operator_if_the_failure_is_not_transient() {
    for (status, code, level) in [(400, "AccessDeniedException", "ERROR"), (503, "ServiceUnavailable", "WARN")] {
        let sandbox = Sandbox::new().await;
        let sqs = Server::failing(status, code).await;
        let mut environment = sandbox.environment("invitation", &[("ALLOWANCE_DAILY", "10")]);
        environment.push(("AWS_ENDPOINT_URL_SQS".to_owned(), sqs.url.clone()));
        let function = functions::start("invitation", environment).await.unwrap();
        let lead = sandbox.emulator.add_lead(&[("EmailAddress", "asha@example.com")]).unwrap();
        let now = OffsetDateTime::now_utc();
        sandbox.use_up_lookups(now).await;
        let (body, _) = undecided(7, &lead);
        let mut event = sqs_event(&[sandbox.queue(&body, &lead).await]);
        let sent = now - time::Duration::days(13) - time::Duration::MINUTE;
        event["Records"][0]["attributes"]["SentTimestamp"] = (sent.unix_timestamp() * 1000).to_string().into();
        assert_eq!(failed(&function.invoke(&event, TIMEOUT).await.unwrap()).len(), 1);
        let printed = sandbox.finish(function).await;
        let line =
            printed.lines().find(|line| line.contains(r#""cause":"InvitationsQueue""#) && line.contains("level"));
        let line = line.unwrap_or_else(|| panic!("{printed}"));
        assert!(line.contains(&format!(r#""level":"{level}""#)), "{line}");
        assert_eq!(count_of(&printed, "OperatorNeeded"), usize::from(level == "ERROR"), "{printed}");
    }
}

#[tokio::test]
async fn a_lead_without_an_email_address_and_a_stale_one_raise_no_alarm() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    let lead = sandbox.emulator.add_lead(&[("Phone", "+91-9000000001")]).unwrap();
    let stale =
        r#"{"Status":"Error","ExceptionType":"MXInvalidEntityReferenceException","ExceptionMessage":"Lead not found"}"#;
    for (number, prepare) in [(4, false), (5, true)] {
        if prepare {
            let answer =
                Effect::Answer { status: 500, content_type: "application/json".to_owned(), body: stale.to_owned() };
            sandbox.emulator.faults().add(Fault::on(Call::LeadById, answer));
        }
        let body = json!({
            "version": 2, "id": format!("00000000-0000-8000-8000-0000000001{number:02}"), "source": "crm",
            "received_at": "2026-11-22T09:30:00Z", "action": "mail-link", "lead": lead, "attributes": [],
        });
        let message = sandbox.queue(&body.to_string(), &lead).await;
        assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);
    }
    assert_eq!(sandbox.causes().await, Vec::new());
    let printed = sandbox.finish(function).await;
    assert!(printed.contains("no-e-mail-address") && printed.contains("unknown-person"), "{printed}");
    assert!(!printed.contains(r#""level":"ERROR""#) && !printed.contains(r#""Rejected""#), "{printed}");
}

/// An operator puts it back after a look at the lead's history.
#[tokio::test]
async fn a_mail_with_an_unknown_result_is_sent_again_when_its_dead_letter_is_put_back() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    sandbox.emulator.faults().add(Fault::on(Call::SendEmailToLead, Effect::gateway(502)));
    let body = invitation("asha@example.com");
    let mut message = sandbox.queue(&body, "asha").await;
    for _ in 0..2 {
        assert_eq!(
            sandbox.deliver(&function, std::slice::from_ref(&message)).await,
            [0],
            "it is retried in a quarter of an hour"
        );
        message
            .attributes
            .as_mut()
            .unwrap()
            .insert(MessageSystemAttributeName::ApproximateReceiveCount, "2".to_owned());
    }
    assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);
    assert_eq!(sandbox.causes().await, [("rejected".to_owned(), "mail-unknown".to_owned())]);

    sandbox.emulator.faults().clear();
    let mails = sandbox.mails_to("asha@example.com");
    let put_back = sandbox.queue(&body, "asha").await;
    assert_eq!(sandbox.deliver(&function, &[put_back]).await, [0; 0]);
    assert_eq!(sandbox.mails_to("asha@example.com"), mails + 1);
    let printed = sandbox.finish(function).await;
    assert!(
        printed.lines().any(|line| line.contains("invitation ended") && line.contains(r#""outcome":"invited""#)),
        "{printed}"
    );
}

#[tokio::test]
async fn a_warm_function_makes_two_calls_and_sends_one_mail() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    sandbox.warm_up(&function).await;
    assert_eq!(
        sandbox.calls_for(&function, "ravi@example.com").await,
        [Call::Register, Call::LeadAuthKey, Call::SendEmailToLead]
    );
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_known_lead_is_invited_at_its_address_on_record_and_not_changed() {
    let sandbox = Sandbox::new().await;
    let known = [("EmailAddress", "asha@example.com"), ("FirstName", "Asha"), ("mx_City", "Pune")];
    let id = sandbox.emulator.add_lead(&known).unwrap();
    let function = sandbox.start().await;
    let message = sandbox.invite("asha@example.com").await;
    assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);

    let leads = sandbox.emulator.leads();
    assert_eq!(leads.len(), 1);
    assert_eq!((leads[0].id.as_str(), leads[0].field("mx_City")), (id.as_str(), Some("Pune")));
    assert_eq!(sandbox.emulator.portal_users().len(), 1);
    assert!(link(&sandbox.emulator.mails()[0].text).contains(&id));
    let printed = sandbox.finish(function).await;
    assert!(printed.contains("\"outcome\":\"invited-existing\""), "{printed}");
}

#[tokio::test]
async fn a_portal_users_password_survives_further_applications_with_the_same_address() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    for _ in 0..2 {
        // A new invitation each time: only the cool-down prevents a second mail.
        let message = sandbox.invite("asha@example.com").await;
        assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);
    }
    let users = sandbox.emulator.portal_users();
    assert_eq!(users.iter().map(|user| user.registrations).collect::<Vec<_>>(), [1]);
    assert_eq!(sandbox.mails_to("asha@example.com"), 1);
    let printed = sandbox.finish(function).await;
    assert!(printed.contains("\"outcome\":\"already-invited\""), "{printed}");
}

#[tokio::test]
async fn a_refused_invitation_becomes_a_dead_letter_with_its_cause_and_the_batch_goes_on() {
    let sandbox = Sandbox::new().await;
    let refusal = Effect::Answer { status: 500, content_type: "application/json".into(), body: REFUSAL.into() };
    // The worker registers with all fields, then without the mark, then without each of the three other fields, then
    // with the e-mail address and notes, then with the address alone.
    sandbox.emulator.faults().add(Fault::on(Call::Register, refusal).times(7));
    let function = sandbox.start().await;
    let batch = [sandbox.invite("asha@example.com").await, sandbox.invite("ravi@example.com").await];
    assert_eq!(sandbox.deliver(&function, &batch).await, [0; 0]);

    assert_eq!((sandbox.mails_to("asha@example.com"), sandbox.mails_to("ravi@example.com")), (0, 1));
    let dead = sandbox.dead_letters.drain().await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].body, batch[0].body, "a dead letter can be put back as it is");
    let attributes = dead[0].message_attributes.as_ref().unwrap();
    let text = |name: &str| attributes[name].string_value.as_deref().unwrap();
    assert_eq!((text("class"), text("cause")), ("rejected", "refused: MXInvalidEntityReferenceException"));
    let sent: Value = serde_json::from_str(batch[0].body.as_deref().unwrap()).unwrap();
    assert_eq!(sent["id"], text("receipt"));
    let printed = sandbox.finish(function).await;
    assert_eq!(ended(&printed, "rejected"), 1, "{printed}");
}

#[tokio::test]
async fn malformed_messages_become_dead_letters_and_delay_no_other_message() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    let never = r#"{"version":0,"id":"c4nary"}"#;
    let newer = r#"{"version":7,"id":"c4nary"}"#;
    let wrong_address = invitation("c4nary at example.com");
    let mut batch = Vec::new();
    for body in ["c4nary", "{}", never, wrong_address.as_str(), "[\"c4nary\"]"] {
        batch.push(sandbox.queue(body, &next_id()).await);
    }
    batch.push(sandbox.invite("asha@example.com").await);
    // A newer function wrote it while a deployment is under way: it is retried until the worker is newer.
    batch.push(sandbox.queue(newer, &next_id()).await);
    assert_eq!(sandbox.deliver(&function, &batch).await, [6]);

    assert_eq!(sandbox.mails_to("asha@example.com"), 1);
    let causes = sandbox.causes().await;
    assert_eq!(causes.len(), 5);
    for (class, cause) in &causes {
        assert!(class == "malformed" && !cause.is_empty() && !cause.contains("c4nary"), "{class}: {cause}");
    }
    assert!(causes.iter().any(|(_, cause)| cause.contains("version 0")), "{causes:?}");
    sandbox.finish(function).await;
}

/// SQS drops a second dead letter of a message for five minutes. A message that is not deleted must return before that.
#[tokio::test]
async fn a_dead_lettered_message_that_is_not_deleted_returns_within_the_deduplication_window() {
    let sandbox = Sandbox::new().await;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let record = calls.clone();
    let intercept = move |call: aws_endpoint::Call| {
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        record.lock().unwrap().push((call.operation, body["Entries"][0]["VisibilityTimeout"].as_u64()));
        ready(None)
    };
    let sqs = aws_endpoint::proxy(&sandbox.aws, intercept).await;
    let mut environment = sandbox.environment("invitation", &[]);
    environment.push(("AWS_ENDPOINT_URL_SQS".to_owned(), sqs.url.clone()));
    let function = functions::start("invitation", environment).await.unwrap();
    let message = sandbox.queue("c4nary", &next_id()).await;
    for delivery in 1..=2 {
        let answer = function.invoke(&sqs_event(std::slice::from_ref(&message)), TIMEOUT).await.unwrap();
        assert_eq!(failed(&answer), [""; 0], "{delivery}");
    }
    let of_one = [("ChangeMessageVisibilityBatch".to_owned(), Some(120)), ("SendMessage".to_owned(), None)];
    assert_eq!(*calls.lock().unwrap(), [of_one.clone(), of_one].concat());
    assert_eq!(sandbox.causes().await.len(), 1);
    sandbox.finish(function).await;
}

#[tokio::test]
async fn an_invitation_survives_an_outage_of_leadsquared() {
    for outage in [Effect::gateway(502), Effect::gateway(503), Effect::Cut, Effect::LimitReached(Default::default())] {
        let sandbox = Sandbox::new().await;
        sandbox.emulator.faults().add(Fault::everywhere(outage.clone()));
        let function = sandbox.start().await;
        let message = sandbox.invite("asha@example.com").await;
        assert_eq!(sandbox.deliver(&function, &[message]).await, [0], "{outage:?}");
        assert!(sandbox.emulator.leads().is_empty() && sandbox.causes().await.is_empty());

        sandbox.emulator.faults().clear();
        // The function delays the retry by a few seconds.
        let again = sandbox.invitations.next().await;
        let deliveries = &again.attributes.as_ref().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount];
        assert_eq!(deliveries, "2");
        assert_eq!(sandbox.deliver(&function, &[again]).await, [0; 0], "{outage:?}");
        assert_eq!(sandbox.mails_to("asha@example.com"), 1);
        sandbox.finish(function).await;
    }
}

/// A firewall in front of LeadSquared blocks what one applicant typed.
#[tokio::test]
async fn a_text_that_a_firewall_blocks_costs_its_person_only_that_text() {
    // The second is the status of a path that does not exist.
    join_all([403, 405].map(a_text_is_blocked_with)).await;
}

async fn a_text_is_blocked_with(status: u16) {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    sandbox.warm_up(&function).await;
    sandbox.emulator.faults().add(Fault::everywhere(Effect::gateway(status)).with_content("<svg"));
    let mut body: Value = serde_json::from_str(&invitation("ravi@example.com")).unwrap();
    body["attributes"][2]["value"] = json!("<svg c4nary>");
    let body = body.to_string();
    let group = PersonKey::of(&"ravi@example.com".parse().unwrap());
    let message = sandbox.queue(&body, group.as_str()).await;
    let send = async |message: &Message| sandbox.deliver(&function, std::slice::from_ref(message)).await;
    for other in ["mina@example.com", "leela@example.com"] {
        assert_eq!(send(&message).await, [0], "it is retried");
        let other = sandbox.invite(other).await;
        assert_eq!(send(&other).await, [0; 0]);
    }
    assert_eq!(send(&message).await, [0], "it backs off");
    sandbox.date_back(&message, "called_at", time::Duration::minutes(6)).await;
    assert_eq!(send(&message).await, [0], "it is retried");
    let other = sandbox.invite("tara@example.com").await;
    assert_eq!(send(&other).await, [0; 0]);
    sandbox.date_back(&message, "failed_since", time::Duration::minutes(16)).await;
    sandbox.date_back(&message, "called_at", time::Duration::minutes(16)).await;
    assert_eq!(send(&message).await, [0], "its content is suspected");
    sandbox.date_back(&message, "called_at", time::Duration::minutes(6)).await;
    assert_eq!(send(&message).await, [0; 0]);
    assert_eq!(sandbox.mails_to("ravi@example.com"), 1);
    let lead = sandbox.emulator.lead_by_email("ravi@example.com").unwrap();
    assert_eq!((lead.field("FirstName"), lead.field("mx_City"), lead.field("Notes")), (None, None, None));
    let dead = sandbox.dead_letters.next().await;
    assert_eq!(dead.body.as_ref(), Some(&body), "the dead letter keeps what was left out");
    let text = |name: &str| dead.message_attributes.as_ref().unwrap()[name].string_value.as_deref().unwrap();
    assert_eq!((text("class"), text("cause")), ("reduced", "not in LeadSquared: FirstName, LastName, mx_City"));

    let next = sandbox.queue(&invitation("ravi@example.com"), group.as_str()).await;
    assert_eq!(send(&next).await, [0; 0]);
    let printed = sandbox.finish(function).await;
    assert_eq!(ended(&printed, "invited"), 5, "{printed}");
    assert_eq!(ended(&printed, "already-invited"), 1, "{printed}");
    assert!(!printed.contains(r#""level":"ERROR""#) && !printed.contains("OperatorNeeded"), "{printed}");
}

/// Any visitor can request a link for an address that a firewall blocks.
#[tokio::test]
async fn a_request_for_a_link_that_a_firewall_blocks_ends_without_a_dead_letter() {
    let sandbox = Sandbox::new().await;
    sandbox.emulator.add_lead(&[("EmailAddress", "mina@example.com")]).unwrap();
    let function = sandbox.start_with(&[("LINK_MODE", "on-click")]).await.unwrap();
    sandbox.emulator.faults().add(Fault::everywhere(Effect::gateway(403)).with_content("union"));
    let request = |email: &str| {
        json!({
            "version": 2, "id": next_id(), "source": "link-request", "received_at": "2026-11-22T09:30:00Z",
            "action": "mail-link", "email": email, "attributes": [],
        })
        .to_string()
    };
    let blocked = sandbox.queue(&request("union.select@example.com"), "union").await;
    let deliver = async |message: &Message| sandbox.deliver(&function, std::slice::from_ref(message)).await;
    assert_eq!(deliver(&blocked).await, [0]);
    sandbox.record(&blocked, "suspected", AttributeValue::Bool(true)).await;
    sandbox.record(&blocked, "failed_alone", AttributeValue::N("5".to_owned())).await;
    sandbox.date_back(&blocked, "failed_since", time::Duration::minutes(16)).await;
    let other = sandbox.queue(&request("mina@example.com"), "mina").await;
    assert_eq!((deliver(&other).await, deliver(&blocked).await), (vec![], vec![]));
    assert_eq!(sandbox.causes().await, Vec::new());
    let printed = sandbox.finish(function).await;
    assert_eq!(printed.matches(r#""cause":"content: ServerFault""#).count(), 1, "{printed}");
    assert!(metrics(&printed).iter().all(|(name, ..)| !["Rejected", "OperatorNeeded"].contains(&&**name)), "{printed}");
    assert!(!printed.contains(r#""level":"ERROR""#), "{printed}");
}

#[tokio::test]
async fn a_failed_invitation_delays_its_own_person_only() {
    let sandbox = Sandbox::new().await;
    sandbox.emulator.faults().add(Fault::on(Call::Register, Effect::gateway(503)).times(1));
    let function = sandbox.start().await;
    let mut batch = vec![
        sandbox.queue(&invitation("asha@example.com"), "asha").await,
        sandbox.queue(&invitation("ravi@example.com"), "ravi").await,
    ];
    let second_of_asha = Message::builder().message_id(next_id()).body(invitation("asha@example.com"));
    batch.push(second_of_asha.set_attributes(batch[0].attributes.clone()).receipt_handle("none").build());
    assert_eq!(sandbox.deliver(&function, &batch).await, [0, 2]);
    assert_eq!((sandbox.mails_to("asha@example.com"), sandbox.mails_to("ravi@example.com")), (0, 1));
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_message_that_is_delivered_three_times_has_one_effect() {
    let sandbox = Sandbox::new().await;
    let mut function = sandbox.start().await;
    function.add_process().await.unwrap();
    let message = sandbox.invite("asha@example.com").await;
    let event = sqs_event(std::slice::from_ref(&message));
    // Twice at the same time in two processes, and once afterwards.
    let (one, other) = tokio::join!(function.invoke(&event, TIMEOUT), function.invoke(&event, TIMEOUT));
    let both = [one.unwrap(), other.unwrap()];
    assert!(both.iter().any(|response| failed(response).is_empty()), "{both:?}");
    assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);
    assert_eq!(sandbox.mails_to("asha@example.com"), 1);
    assert_eq!(sandbox.calls_to(Call::Register), 1);
    sandbox.finish(function).await;
}

#[tokio::test]
async fn wrong_settings_keep_the_message_and_log_an_error_with_advice() {
    let sandbox = Sandbox::new().await;
    let (access_key, secret_key) = sandbox.emulator.keys();
    let other_region = sandbox.emulator.other_region_url();
    let sales_user = sandbox.emulator.keys_of(Role::SalesUser).expect("the emulator's account has a sales user");
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
        sandbox.put_keys(&secret).await;
        let function = sandbox.start_with(settings).await.unwrap();
        let message = sandbox.invite(&format!("{}@example.com", next_id())).await;
        assert_eq!(sandbox.deliver(&function, &[message]).await, [0], "{advice}");
        let printed = sandbox.finish(function).await;
        assert!(matches!(errors(&printed)[..], [error] if error.contains(advice)), "{advice}: {printed}");
    }
    assert!(sandbox.emulator.portal_users().is_empty() && sandbox.causes().await.is_empty());
}

#[tokio::test]
async fn a_running_function_notices_rotated_keys() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    let message = sandbox.invite("asha@example.com").await;
    assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);

    sandbox.rotate_keys().await;
    // The refusal of the old keys makes the function read the secret again.
    let message = sandbox.invite("ravi@example.com").await;
    assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);
    assert_eq!(sandbox.mails_to("ravi@example.com"), 1);
    sandbox.finish(function).await;
}

/// A short failure passes by itself. One that lasts needs a person, and so does one that only a person can fix.
#[tokio::test]
async fn a_short_failure_of_aws_raises_no_alarm_and_a_lasting_one_does() {
    let sandbox = Sandbox::new().await;
    let services = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", "NoKeys"), ("AWS_ENDPOINT_URL_KMS", "NoPassword")];
    for (service, cause) in services {
        for (status, code, is_short) in [
            (400, "ThrottlingException", true),
            (500, "InternalServiceError", true),
            (503, "", true),
            (400, "AccessDeniedException", false),
            (400, "NotFoundException", false),
            (400, "ResourceNotFoundException", false),
            (400, "KMSInvalidStateException", false),
        ] {
            let server = Server::failing(status, code).await;
            let mut environment = sandbox.environment("invitation", &[]);
            environment.push((service.to_owned(), server.url.clone()));
            for (hours, needs_a_person) in [(0, !is_short), (2, true)] {
                let function = functions::start("invitation", environment.clone()).await.unwrap();
                let mut body: Value = serde_json::from_str(&invitation("asha@example.com")).unwrap();
                if cause == "NoPassword" {
                    // The worker opens a password only from a sender with a form key.
                    body["version"] = 3.into();
                    body["provenance"] = "keyed".into();
                    body["password"] = "c2VhbGVk".into();
                }
                let message = sandbox.queue(&body.to_string(), &next_id()).await;
                let mut event = sqs_event(std::slice::from_ref(&message));
                let sent = OffsetDateTime::now_utc() - time::Duration::hours(hours);
                event["Records"][0]["attributes"]["SentTimestamp"] = (sent.unix_timestamp() * 1000).to_string().into();
                let came_back = failed(&function.invoke(&event, TIMEOUT).await.unwrap()).len();
                // The next case must not receive it.
                sandbox.invitations.delete(&message).await;
                let printed = function.stop().await;
                let counted = metrics(&printed);
                let case = format!("{service} {code} after {hours} h: {printed}");
                assert_eq!(came_back, 1, "{case}");
                assert!(counted.iter().any(|metric| metric.1 == format!("cause={cause}")), "{case}");
                assert_eq!(counted.iter().any(|(name, ..)| name == "OperatorNeeded"), needs_a_person, "{case}");
                assert_eq!(printed.contains("\"ERROR\""), needs_a_person, "{case}");
            }
        }
    }
}

/// It does not pass by itself: an operator has to look at the item.
#[tokio::test]
async fn a_broken_item_of_the_ledger_raises_the_operators_alarm() {
    let sandbox = Sandbox::new().await;
    let body = invitation("asha@example.com");
    let id = serde_json::from_str::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned();
    let expires_at = AttributeValue::N("4102444800".to_owned());
    sandbox.put(&format!("invitation#{id}"), &[("expires_at", expires_at)]).await;
    let function = sandbox.start().await;
    let message = sandbox.queue(&body, "asha").await;
    assert_eq!(sandbox.deliver(&function, &[message]).await, [0]);
    let printed = sandbox.finish(function).await;
    assert!(metrics(&printed).iter().any(|(name, ..)| name == "OperatorNeeded"), "{printed}");
    assert!(matches!(errors(&printed)[..], [error] if error.contains("payload")), "{printed}");
}

/// Every client can send them: they are counted and logged, and keep no alarm on.
#[tokio::test]
async fn mistakes_of_anonymous_senders_are_counted_and_become_no_dead_letters() {
    let sandbox = Sandbox::new().await;
    sandbox.emulator.add_lead(&[("EmailAddress", "ravi@example.com")]).unwrap();
    let refusal = Effect::Answer { status: 500, content_type: "application/json".into(), body: REFUSAL.into() };
    let function = sandbox.start_with(&[("LINK_MODE", "on-click")]).await.unwrap();
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
    // Other content with an id that was used before, from each kind of sender.
    for (version, source, dead_letters) in [(2, "form", 0), (3, "form", 0), (2, "bus", 1)] {
        let id = next_id();
        let email = format!("asha.{source}{version}@example.com");
        for (name, dead_letters) in [("Asha", 0), ("Asha Rao", dead_letters)] {
            let message = sandbox.queue(&message(version, &id, source, "invite", &email, name), &email).await;
            assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);
            let expected = vec![("rejected".to_owned(), "id-reused".to_owned()); dead_letters];
            assert_eq!(sandbox.causes().await, expected, "{source} {version} {name}");
        }
    }
    // LeadSquared refuses the mail of a requested link: no dead letter. It refuses an applicant: a dead letter.
    sandbox.emulator.faults().add(Fault::on(Call::SendEmailToLead, refusal.clone()));
    sandbox.emulator.faults().add(Fault::on(Call::Register, refusal));
    let cause = ("rejected".to_owned(), "refused: MXInvalidEntityReferenceException".to_owned());
    for (source, action, email, dead_letters) in [
        ("link-request", "mail-link", "ravi@example.com", vec![]),
        ("form", "invite", "meera@example.com", vec![cause]),
    ] {
        let message = sandbox.queue(&message(2, &next_id(), source, action, email, "A"), email).await;
        assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);
        assert_eq!(sandbox.causes().await, dead_letters, "{source}");
    }
    let printed = sandbox.finish(function).await;
    let lines = printed.lines().filter(|line| line.contains("invitation ended") && line.contains("\"rejected\""));
    let levels: Vec<_> = lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["level"].clone()).collect();
    assert_eq!(levels, ["WARN", "WARN", "INFO", "WARN", "INFO"], "{printed}");
    let counted = metrics(&printed);
    let count = |name: &str| counted.iter().filter(|metric| metric.0 == name).count();
    let rejected = counted.iter().filter(|metric| metric.1 == "outcome=rejected").count();
    assert_eq!((rejected, count("Rejected")), (5, 2), "{counted:?}");
}

/// Family members share phones, and any visitor can type another person's number. Such a number is kept in the lead's
/// notes.
#[tokio::test]
async fn a_phone_number_of_another_lead_does_not_count_as_a_field_left_out() {
    // LeadSquared names the field, or answers that the user exists.
    for matches_any in [false, true] {
        let mut settings = Settings::for_tests();
        settings.switches.register_matches_any_identifier = matches_any;
        let sandbox = Sandbox::open(settings, Worker).await;
        sandbox.emulator.add_lead(&[("EmailAddress", "ravi@example.com"), ("Phone", "+91-9000000001")]).unwrap();
        let function = sandbox.start().await;
        let mut body: Value = serde_json::from_str(&invitation("asha@example.com")).unwrap();
        body["attributes"] = json!([{"name": "Phone", "value": "+91-9000000001"}]);
        let message = sandbox.queue(&body.to_string(), "asha").await;
        assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);
        let lead = sandbox.emulator.lead_by_email("asha@example.com").unwrap();
        assert!(lead.field("Notes").is_some_and(|notes| notes.contains("9000000001")), "{lead:?}");
        let counted = metrics(&sandbox.finish(function).await);
        assert!(counted.iter().all(|(name, ..)| name != "FieldsLeftOut"), "{counted:?}");
    }
}

/// A lead who wants no mail, and one whose address LeadSquared does not deliver to.
#[tokio::test]
async fn mail_that_is_refused_for_one_recipient_stops_no_other_and_loses_nobody_silently() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    sandbox.emulator.add_lead(&[("EmailAddress", "asha@example.com"), ("DoNotEmail", "1")]).unwrap();
    let body = r#"{"Status":"Error","ExceptionType":"MXMailDeliveryException","ExceptionMessage":"Not delivered"}"#;
    let refusal = Effect::Answer { status: 500, content_type: "application/json".to_owned(), body: body.to_owned() };
    sandbox.emulator.faults().add(Fault::on(Call::SendEmailToLead, refusal).with_content("ravi@example.com"));
    let unsubscribed = sandbox.invite("asha@example.com").await;
    assert_eq!(sandbox.deliver(&function, &[unsubscribed]).await, [0; 0]);
    let refused = sandbox.invite("ravi@example.com").await;
    let deliver = async |message: &Message| sandbox.deliver(&function, std::slice::from_ref(message)).await;
    for other in ["mina@example.com", "leela@example.com", "tara@example.com"] {
        assert_eq!(deliver(&refused).await, [0], "the account may be at fault");
        let other_message = sandbox.invite(other).await;
        assert_eq!(deliver(&other_message).await, [0; 0]);
        assert_eq!(sandbox.mails_to(other), 1);
    }
    sandbox.date_back(&refused, "mail_refused_since", time::Duration::minutes(61)).await;
    assert_eq!(deliver(&refused).await, [0; 0]);
    assert_eq!(sandbox.emulator.mails().len(), 3);
    assert_eq!(sandbox.causes().await, [("rejected".to_owned(), "mail-refused".to_owned())]);
    let printed = sandbox.finish(function).await;
    assert_eq!((ended(&printed, "suppressed"), ended(&printed, "rejected")), (1, 1), "{printed}");
    assert_eq!(printed.matches(r#""cause":"no-recipient""#).count(), 1, "{printed}");
    assert!(!printed.contains(r#""level":"ERROR""#) && !printed.contains("OperatorNeeded"), "{printed}");
}

#[tokio::test]
async fn an_invitation_waits_for_the_next_day_when_the_days_calls_are_used_up() {
    let sandbox = Sandbox::new().await;
    // One call is not enough for an invitation, before midnight or after it.
    let function = sandbox.start_with(&[("ALLOWANCE_DAILY", "1")]).await.unwrap();
    let message = sandbox.invite("asha@example.com").await;
    assert_eq!(sandbox.deliver(&function, std::slice::from_ref(&message)).await, [0]);
    let printed = sandbox.finish(function).await;
    let warnings: Vec<_> = printed.lines().filter(|line| line.contains("\"WARN\"")).collect();
    assert!(
        matches!(warnings[..], [warning] if warning.contains("waits for the next UTC day")
            && warning.contains("kept for people who wait")),
        "{printed}"
    );
    let is_cause =
        |(name, dimensions, _): &(String, String, Value)| name == "Retries" && dimensions.contains("DayUsedUp");
    assert!(metrics(&printed).iter().any(is_cause), "{printed}");
    assert!(!printed.contains("\"ERROR\""), "{printed}");
    assert_eq!(sandbox.mails_to("asha@example.com"), 0);

    let function = sandbox.start_with(&[("ALLOWANCE_DAILY", "none")]).await.unwrap();
    assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0]);
    assert_eq!(sandbox.mails_to("asha@example.com"), 1);
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_batch_without_enough_time_is_returned_at_once_without_a_call() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    let batch = [sandbox.invite("asha@example.com").await, sandbox.invite("ravi@example.com").await];
    let response = function.invoke(&sqs_event(&batch), Duration::from_secs(1)).await.unwrap();
    assert_eq!(failed(&response).len(), 2);
    assert!(sandbox.emulator.calls().is_empty());
    // The queue's visibility timeout is six times longer than the helper waits for a message.
    let again = [sandbox.invitations.next().await, sandbox.invitations.next().await];
    assert_eq!(sandbox.deliver(&function, &again).await, [0; 0]);
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_message_that_fails_for_longer_than_the_retry_horizon_becomes_a_dead_letter() {
    let sandbox = Sandbox::new().await;
    sandbox.emulator.faults().add(Fault::everywhere(Effect::gateway(503)));
    let function = sandbox.start().await;
    let message = sandbox.invite("asha@example.com").await;
    let mut event = sqs_event(&[message]);
    // November 2023, in milliseconds.
    event["Records"][0]["attributes"]["SentTimestamp"] = "1700000000000".into();
    let response = function.invoke(&event, TIMEOUT).await.unwrap();
    assert_eq!(failed(&response), [""; 0]);
    let causes = sandbox.causes().await;
    assert!(matches!(&causes[..], [(class, _)] if class == "exhausted"), "{causes:?}");
    let printed = sandbox.finish(function).await;
    assert_eq!(ended(&printed, "exhausted"), 1, "{printed}");
}

/// The person is registered once, and mailed once unless the process was killed while the mail was sent.
#[tokio::test]
async fn a_process_that_is_killed_in_any_call_loses_and_duplicates_no_registration() {
    let calls = [
        Call::PublicAuthKey,
        Call::RegistrationToken,
        Call::Register,
        Call::TenantAuthKey,
        Call::LeadAuthKey,
        Call::SendEmailToLead,
    ];
    let kills = calls.into_iter().flat_map(|call| [(call, false), (call, true)]);
    join_all(kills.map(|(call, after_work)| kill_in(call, after_work))).await;
}

async fn kill_in(call: Call, after_work: bool) {
    let case = format!("{call}, {} the work was done", if after_work { "after" } else { "before" });
    let sandbox = Sandbox::new().await;
    let stall = Fault::on(call, Effect::Latency(FOREVER));
    sandbox.emulator.faults().add(if after_work { stall.after_work() } else { stall });
    let doomed = sandbox.start().await;
    let message = sandbox.invite("asha@example.com").await;
    let event = sqs_event(std::slice::from_ref(&message));
    let killed = async {
        let is_reached = |emulator: &Emulator| {
            sandbox.calls_to(call) == 1
                && match (call, after_work) {
                    (Call::Register, true) => !emulator.portal_users().is_empty(),
                    (Call::SendEmailToLead, true) => !emulator.mails().is_empty(),
                    _ => true,
                }
        };
        within(&case, sandbox.emulator.reached(is_reached)).await;
        doomed.kill().await;
    };
    let (answer, ()) = tokio::join!(doomed.invoke(&event, TIMEOUT), killed);
    assert!(matches!(answer, Err(FunctionError::Exited(status)) if status.signal() == Some(9)), "{case}: {answer:?}");
    sandbox.finish(doomed).await;

    sandbox.emulator.faults().clear();
    let function = sandbox.start().await;
    sandbox.end_lease(&message).await;
    assert_eq!(sandbox.deliver(&function, &[message]).await, [0; 0], "{case}");
    let users = sandbox.emulator.portal_users();
    assert_eq!(users.iter().map(|user| user.registrations).collect::<Vec<_>>(), [1], "{case}");
    let mails = sandbox.mails_to("asha@example.com");
    let most = if call == Call::SendEmailToLead { 2 } else { 1 };
    assert!((1..=most).contains(&mails), "{case}: {mails} mails");
    assert!(sandbox.causes().await.is_empty(), "{case}");
    sandbox.finish(function).await;
}

#[tokio::test]
async fn every_sample_event_is_handled() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    for (file, event) in workspace::events("invitation") {
        let response = function.invoke_bytes(event.into(), TIMEOUT).await.unwrap();
        assert_eq!(failed(&response), [""; 0], "{file}");
    }
    let people: BTreeSet<_> = sandbox.emulator.mails().into_iter().flat_map(|mail| mail.recipients).collect();
    assert_eq!(people, ["asha.rao@example.com", "ravi.iyer@example.com"].map(str::to_owned).into());
    assert_eq!(sandbox.emulator.mails().len(), 2, "one mail for each person");
    let mut causes = sandbox.causes().await;
    causes.sort();
    assert_eq!((&*causes[0].0, causes.len()), ("malformed", 2));
    assert_eq!(causes[1], ("rejected".to_owned(), "no-such-lead".to_owned()), "a lead that exists only in the sample");
    sandbox.finish(function).await;
}

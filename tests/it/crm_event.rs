//! The `crm-event` function, black box: what becomes of LeadSquared's webhooks.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use axum::Router;
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::{StreamExt, future::join_all, stream};
use proptest::{collection::vec, prelude::*};
use runtime_api::{Function, FunctionError};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    aws::{Aws, Queue},
    aws_endpoint::Server,
    functions::{self, metrics},
    tcp_proxy::TcpProxy,
    template::Template,
    workspace,
};

const TIMEOUT: Duration = Duration::from_secs(10);
const SECRET: &str = "sample-webhook-secret-0123456789abcdef";
/// SHA-256 of `SECRET`, and of `the other secret`.
const HASH: &str = "638c7ad16a74045e439fd7eaceab7b41ebc9e8400563e746e296ccc1168bfeb0";
const OTHER_HASH: &str = "57f71ef2b4e77aca01a23804ce6d099c7451f93a1f2fd9efee58ee9924c63b75";
const LEAD: &str = "11111111-1111-4111-8111-111111111111";

/// The function with the rules of its example, its queue and its ledger.
struct Crm {
    aws: Aws,
    function: Function,
    queue: Queue,
    table: String,
}

impl Crm {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(settings: &[(&str, &str)]) -> Self {
        let aws = Aws::new().await;
        let (queue, table) = (aws.queue("invitations").await, aws.table().await);
        let function = start(aws.environment(), &queue.url, &table, settings).await.unwrap();
        Self { aws, function, queue, table }
    }

    async fn send(&self, event: &Value) -> Answer {
        send(&self.function, event).await
    }

    /// Records that the worker registered a lead.
    async fn registered(&self, lead: &str, at: OffsetDateTime) {
        let put = self.aws.dynamodb().put_item().table_name(&self.table);
        let put = put.item("pk", AttributeValue::S(format!("lead#{lead}")));
        put.item("registered_at", AttributeValue::N(at.unix_timestamp().to_string())).send().await.unwrap();
    }
}

async fn start(
    mut environment: Vec<(String, String)>,
    queue_url: &str,
    table: &str,
    settings: &[(&str, &str)],
) -> Result<Function, FunctionError> {
    let rules = fs::read_to_string(workspace::root().join("functions/crm-event/examples/rules.json")).unwrap();
    let usual = [
        ("INVITATIONS_QUEUE_URL", queue_url),
        ("LEDGER_TABLE", table),
        ("CRM_RULES", rules.as_str()),
        ("WEBHOOK_SECRET_HASHES", HASH),
    ];
    let unset = usual.iter().filter(|(name, _)| settings.iter().all(|(other, _)| other != name));
    let settings: Vec<_> = settings.iter().chain(unset).copied().collect();
    environment.extend(Template::read().settings("crm-event", &settings));
    functions::start("crm-event", environment).await
}

async fn send(function: &Function, event: &Value) -> Answer {
    Answer::read(&function.invoke(event, TIMEOUT).await.unwrap())
}

/// A sample event, by the name of its file.
fn sample(name: &str) -> Value {
    functions::sample("crm-event", &format!("{name}.json"))
}

/// A webhook with this body.
fn webhook(event_type: &str, body: impl AsRef<[u8]>) -> Value {
    let mut event = sample("field-change");
    event["rawQueryString"] = format!("entityType=webhook&entityId=1&eventType={event_type}").into();
    event["body"] = BASE64_STANDARD.encode(body).into();
    event["isBase64Encoded"] = true.into();
    event
}

/// A webhook for a lead that was moved to the inviting stage at this time.
fn stage_change(lead: &str, modified_on: &str) -> Value {
    let body = json!({
        "Before": {"ProspectID": lead, "ProspectStage": "Prospect"},
        "After": {"ProspectID": lead, "ProspectStage": "Applied", "ModifiedOn": modified_on},
    });
    webhook("Lead_Field_Change", body.to_string())
}

/// The lead id of this number.
fn lead(number: u128) -> String {
    Uuid::from_u128(0x1111_0000_0000_4000_8000_0000_0000_0000 + number).to_string()
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    http: u64,
    status: String,
    reason: String,
}

impl Answer {
    fn read(answer: &Value) -> Self {
        let body = answer["body"].as_str().unwrap();
        let json: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned();
        assert_eq!(json.as_object().unwrap().len(), 2, "{body}");
        let http = answer["statusCode"].as_u64().unwrap();
        Self { http, status: text("Status"), reason: text("StatusReason") }
    }

    fn assert_success(&self) {
        assert_eq!((self.http, self.status.as_str(), self.reason.as_str()), (200, "Success", ""));
    }

    fn assert_error(&self, http: u64, reason: &str) {
        assert_eq!((self.http, self.status.as_str()), (http, "Error"), "{}", self.reason);
        assert!(self.reason.contains(reason), "{}", self.reason);
    }
}

fn invitation(message: &Message) -> Value {
    serde_json::from_str(message.body.as_deref().unwrap()).unwrap()
}

#[tokio::test]
async fn every_sample_event_has_the_outcome_that_its_name_promises() {
    for (file, event) in workspace::events("crm-event") {
        // A new sandbox for each sample: several samples describe the same event.
        let crm = Crm::start().await;
        let answer = crm.send(&serde_json::from_slice(&event).unwrap()).await;
        let invited = crm.queue.drain().await.len();
        let expected = match file.as_str() {
            "wrong-secret.json" => {
                answer.assert_error(401, "x-webhook-secret");
                0
            }
            "other-event.json" => {
                answer.assert_error(200, "the webhook is for Task_Create");
                0
            }
            "activity-bad-beside-good.json" => {
                answer.assert_error(200, "event 2: ProspectActivityId must be a GUID");
                1
            }
            file => {
                answer.assert_success();
                match file {
                    "lead-update-of-no-interest.json" | "automation-follow-up.json" => 0,
                    "opportunity.json" | "merge.json" | "user-status-changed.json" => 0,
                    file if file.starts_with("handshake") => 0,
                    "activity-create.json" => 2,
                    _ => 1,
                }
            }
        };
        assert_eq!(invited, expected, "{file}");
    }
}

#[tokio::test]
async fn an_invitation_carries_only_a_lead_id_an_action_and_a_rule() {
    let crm = Crm::start().await;
    crm.send(&sample("field-change")).await.assert_success();
    crm.send(&sample("activity-update")).await.assert_success();
    let messages = crm.queue.drain().await;
    let mut found = Vec::new();
    for message in &messages {
        let mut invitation = invitation(message);
        let (id, received) = (invitation["id"].take(), invitation["received_at"].take());
        let deduplication = &message.attributes.as_ref().unwrap()[&MessageSystemAttributeName::MessageDeduplicationId];
        assert!(deduplication.starts_with(id.as_str().unwrap()) && received.is_string(), "{message:?}");
        found.push(invitation);
    }
    let expected = |action: &str, rule: &str| {
        json!({"version": 2, "id": null, "source": "crm", "received_at": null, "action": action, "lead": LEAD,
            "attributes": [], "rule": rule})
    };
    assert_eq!(found, [expected("invite", "application opened"), expected("mail-link", "fee paid")]);
}

/// An automation's request about a lead that moved to this stage, with these further fields.
fn automation(lead: &str, stage: &str, fields: Value) -> Value {
    let mut current = json!({"ProspectID": lead, "ProspectStage": stage, "ModifiedOn": "2026-11-22 09:29:58"});
    current.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let body = json!({"Before": {"ProspectID": lead, "ProspectStage": "Prospect"}, "Current": current});
    let mut event = webhook("", body.to_string());
    event["rawQueryString"] = "entityType=automation&entityId=1".into();
    event
}

const NOT_WITHDRAWN: &str = r#"[
    {"name": "active", "on": "lead-change", "field": "ProspectStage", "to": "Applied", "action": "invite",
     "when": [{"field": "mx_Status", "is-not": "Withdrawn"}]},
    {"name": "moved", "on": "lead-change", "field": "mx_Batch", "action": "invite"},
    {"name": "any", "on": "lead-change", "field": "ProspectStage", "to": "Applied", "action": "mail-link"}
]"#;

#[tokio::test]
async fn an_event_that_lacks_a_field_asks_the_worker_and_one_that_has_it_does_not() {
    let crm = Crm::start_with(&[("CRM_RULES", NOT_WITHDRAWN)]).await;
    for (number, fields, expected) in [
        (1, json!({"mx_Status": "Active"}), json!(["active", "invite", null])),
        (2, json!({"mx_Status": ""}), json!(["active", "invite", null])),
        (3, json!({"mx_Status": "Withdrawn"}), json!(["any", "mail-link", null])),
        (
            4,
            json!({}),
            json!([null, "invite", {"rules": ["active", "any"],
                "known": [{"name": "ProspectStage", "value": "Applied"}]}]),
        ),
    ] {
        crm.send(&automation(&lead(number), "Applied", fields)).await.assert_success();
        let messages = crm.queue.drain().await;
        let invitation = invitation(&messages[0]);
        let found = json!([invitation["rule"], invitation["action"], invitation["question"]]);
        assert_eq!((messages.len(), found), (1, expected), "{number}");
    }
    let printed = crm.function.stop().await;
    assert_eq!(printed.matches("the rule does not fire: the events do not show how the field changed").count(), 4);
    assert!(printed.contains(r#""rule":"moved","field":"mx_Batch""#), "{printed}");
    assert!(printed.contains(r#""undecided":"active, any""#), "{printed}");
}

#[tokio::test]
async fn questions_about_one_lead_within_five_minutes_are_one_message() {
    let crm = Crm::start_with(&[("CRM_RULES", NOT_WITHDRAWN)]).await;
    for time in ["2026-11-22 09:29:58", "2026-11-22 09:29:59", "2026-11-22 09:29:58"] {
        crm.send(&stage_change(LEAD, time)).await.assert_success();
    }
    crm.send(&automation(LEAD, "Applied", json!({"mx_City": "Pune"}))).await.assert_success();
    assert_eq!(crm.queue.drain().await.len(), 1);
    crm.send(&stage_change(&lead(1), "2026-11-22 09:29:58")).await.assert_success();
    assert_eq!(crm.queue.drain().await.len(), 1);
}

#[tokio::test]
async fn an_event_that_no_rule_can_react_to_succeeds_and_a_changed_user_starts_the_key_check() {
    let template = Template::read();
    let trigger = &template.resource("KeyCheckFunction")["Properties"]["Events"]["UserStatusChanged"]["Properties"];
    assert_eq!(trigger["LogGroupName"], json!({"Ref": "CrmEventFunctionLogs"}));
    assert_eq!(trigger["FilterPattern"], "{ $.UserStatusChanges > 0 }");
    for (file, text, changes) in [
        ("opportunity", "event about an opportunity", None),
        ("merge", "event about merged leads", None),
        ("user-status-changed", "event about a user", Some(json!(1))),
    ] {
        let crm = Crm::start().await;
        crm.send(&sample(file)).await.assert_success();
        let printed = crm.function.stop().await;
        assert!(printed.lines().any(|line| line.contains(text) && line.contains(r#""level":"INFO""#)), "{printed}");
        let lines = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let counted = lines.filter_map(|line| line.get("UserStatusChanges").cloned()).next();
        assert_eq!(counted, changes, "the filter of the template finds the metric's line: {printed}");
        assert!(!printed.contains("EventsUnreadable"), "{printed}");
    }
}

#[tokio::test]
async fn replayed_events_in_any_order_invite_once() {
    let samples: Vec<Value> =
        workspace::events("crm-event").iter().map(|(_, event)| serde_json::from_slice(event).unwrap()).collect();
    let count = samples.len();
    // Each stride visits all samples in a different order: it shares no divisor with a count of samples up to 28.
    for stride in [1, 29, 31] {
        let crm = Crm::start().await;
        let once = (0..count).map(|step| step * stride % count);
        for number in once.clone().chain(once.clone().rev()).chain(once) {
            crm.send(&samples[number]).await;
        }
        let messages = crm.queue.drain().await;
        let ids: BTreeSet<_> = messages.iter().map(|message| invitation(message)["id"].to_string()).collect();
        // A created lead, one edit reported by five webhooks, a new owner, a new score, six activities, a lead and an
        // activity of automations, and a created lead whose event leaves a rule undecided.
        assert_eq!((messages.len(), ids.len()), (13, 13), "stride {stride}");
    }
}

#[tokio::test]
async fn twenty_copies_at_once_are_one_invitation() {
    let mut crm = Crm::start().await;
    for _ in 0..3 {
        crm.function.add_process().await.unwrap();
    }
    let names = ["lead-update", "field-change", "stage-change", "rest-api-lead-update"];
    let events: Vec<Value> = (0..20).map(|copy| sample(names[copy % names.len()])).collect();
    for answer in join_all(events.iter().map(|event| crm.send(event))).await {
        answer.assert_success();
    }
    assert_eq!(crm.queue.drain().await.len(), 1);
}

#[tokio::test]
async fn two_edits_are_two_invitations() {
    let crm = Crm::start().await;
    for time in ["2026-11-22 09:29:58", "2026-11-22 09:29:59"] {
        crm.send(&stage_change(LEAD, time)).await.assert_success();
    }
    crm.send(&stage_change(&lead(1), "2026-11-22 09:29:58")).await.assert_success();
    assert_eq!(crm.queue.drain().await.len(), 3);
}

#[tokio::test]
async fn a_request_with_2003_activities_invites_all_their_leads() {
    let crm = Crm::start().await;
    let activity = |number| {
        json!({"ProspectActivityId": lead(number), "RelatedProspectId": lead(number), "ActivityEvent": "201",
            "Data": {"Status": "Paid", "Note": "x".repeat(1000)}})
    };
    // Within the function's time-out, and with a last batch that is not full.
    let activities: Vec<Value> = (0..2003).map(activity).collect();
    let event = webhook("LeadActivity_Post_Create", Value::from(activities).to_string());
    crm.send(&event).await.assert_success();
    assert_eq!(crm.queue.drain().await.len(), 2003);
}

#[tokio::test]
async fn only_a_request_with_an_accepted_secret_is_handled() {
    let with_header = |value: Option<&str>| {
        let mut event = sample("field-change");
        let headers = event["headers"].as_object_mut().unwrap();
        headers.remove("x-webhook-secret");
        headers.extend(value.map(|value| ("X-Webhook-Secret".to_owned(), json!(value))));
        event
    };
    let both = format!("{OTHER_HASH},{HASH}");
    for (settings, http, accepted) in [
        (&[][..], 401, &[SECRET][..]),
        (&[("WEBHOOK_SECRET_HASHES", both.as_str())], 401, &[SECRET, "the other secret"]),
        (&[("WEBHOOK_SECRET_HASHES", OTHER_HASH), ("WEBHOOK_BAD_SECRET_STATUS", "200")], 200, &["the other secret"]),
        (&[("WEBHOOK_SECRET_HASHES", "")], 401, &[]),
    ] {
        let crm = Crm::start_with(settings).await;
        for secret in [None, Some(""), Some(HASH), Some("the third secret"), Some(SECRET), Some("the other secret")] {
            let answer = crm.send(&with_header(secret)).await;
            let is_accepted = secret.is_some_and(|secret| accepted.contains(&secret));
            match is_accepted {
                true => answer.assert_success(),
                false => answer.assert_error(http, "the header x-webhook-secret must hold the secret"),
            }
            assert_eq!(crm.queue.drain().await.len(), usize::from(is_accepted && secret == accepted.first().copied()));
        }
    }
}

/// The metric raises the alarm for a secret that was changed in one place only. A stranger's request does not raise it.
#[tokio::test]
async fn a_wrong_secret_is_counted_where_an_event_may_be_lost() {
    let with = |secret: Option<&str>, body: Option<String>| {
        let mut event = sample("field-change");
        let headers = event["headers"].as_object_mut().unwrap();
        headers.remove("x-webhook-secret");
        headers.extend(secret.map(|secret| ("x-webhook-secret".to_owned(), json!(secret))));
        if let Some(body) = body {
            event["body"] = body.into();
        }
        event
    };
    let large = |size: usize| json!({"ProspectID": LEAD, "Notes": "x".repeat(size)}).to_string();
    let cases = [
        (with(Some("the old secret"), None), Some(1.0)),
        (sample("wrong-secret"), Some(1.0)),
        (with(Some(SECRET), None), Some(0.0)),
        (with(Some(SECRET), Some("[]".to_owned())), Some(0.0)),
        (with(None, None), None),
        (with(Some(""), None), None),
        (with(Some(" "), None), None),
        (with(Some("x"), Some("x".to_owned())), None),
        (with(Some("x"), Some("{}".to_owned())), None),
        (with(Some("x"), Some(r#"{"ProspectID":"1"}"#.to_owned())), None),
        (with(Some("x"), Some(large(1 << 20))), None),
        (sample("handshake-head"), None),
    ];
    for (event, expected) in cases {
        let crm = Crm::start().await;
        crm.send(&event).await;
        let counted = metrics(&crm.function.stop().await);
        let of = |name: &str| counted.iter().find(|(other, ..)| other == name).map(|(_, _, value)| value.clone());
        assert_eq!(of("WebhookSecretWrong"), expected.map(|value| json!([value])), "{event}");
        let is_handshake = event["requestContext"]["http"]["method"] == "HEAD";
        let is_refused = expected != Some(0.0) && !is_handshake;
        assert_eq!(of("WebhookRefused"), is_refused.then_some(json!(1)), "{event}");
    }
    // A stack without webhooks loses no event.
    for settings in [[("CRM_RULES", "[]")], [("WEBHOOK_SECRET_HASHES", "")]] {
        let crm = Crm::start_with(&settings).await;
        crm.send(&sample("wrong-secret")).await;
        let printed = crm.function.stop().await;
        assert!(printed.contains("WebhookRefused") && !printed.contains("WebhookSecretWrong"), "{printed}");
    }
}

#[tokio::test]
async fn an_unreadable_event_is_counted_if_it_has_the_right_secret() {
    for (secret, event, unreadable) in [
        (SECRET, "activity-bad-beside-good", Some("Field")),
        (SECRET, "other-event", Some("OtherEvent")),
        (SECRET, "field-change", None),
        ("of a stranger", "other-event", None),
    ] {
        let crm = Crm::start().await;
        let mut event = sample(event);
        event["headers"]["x-webhook-secret"] = secret.into();
        crm.send(&event).await;
        let printed = crm.function.stop().await;
        let counted = metrics(&printed);
        let of = counted.iter().find(|(name, ..)| name == "EventsUnreadable").map(|(_, _, value)| value.clone());
        assert_eq!(of, unreadable.map(|_| json!(1)), "{event}");
        let cause = unreadable.map_or("no cause".to_owned(), |cause| format!("\"cause\":\"{cause}\""));
        assert_eq!(printed.contains(&cause), unreadable.is_some(), "{printed}");
    }
}

#[tokio::test]
async fn the_handshake_needs_no_secret_and_other_methods_are_refused() {
    let crm = Crm::start_with(&[("WEBHOOK_SECRET_HASHES", "")]).await;
    for name in ["handshake-head", "handshake-get", "handshake-empty-post"] {
        crm.send(&sample(name)).await.assert_success();
    }
    let mut delete = sample("field-change");
    delete["requestContext"]["http"]["method"] = "DELETE".into();
    crm.send(&delete).await.assert_error(405, "POST");
}

#[tokio::test]
async fn webhooks_of_our_own_registration_invite_nobody() {
    let crm = Crm::start().await;
    let modified = |seconds: i64| {
        let time = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
        let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
        time.format(format).unwrap()
    };
    crm.registered(LEAD, OffsetDateTime::now_utc()).await;
    for echo in [sample("lead-create"), stage_change(LEAD, &modified(0)), stage_change(LEAD, &modified(50))] {
        crm.send(&echo).await.assert_success();
        assert_eq!(crm.queue.drain().await.len(), 0, "{echo}");
    }
    // A later change of the lead, an activity on it, and a change of another lead.
    for change in [stage_change(LEAD, &modified(70)), sample("activity-update"), stage_change(&lead(1), &modified(0))] {
        crm.send(&change).await.assert_success();
        assert_eq!(crm.queue.drain().await.len(), 1, "{change}");
    }
    let printed = crm.function.stop().await;
    assert_eq!(printed.matches("\"cause\":\"echo\"").count(), 3, "{printed}");
    let mut counted = metrics(&printed);
    counted.retain(|(name, ..)| !["ColdStarts", "Accepted", "WebhookSecretWrong"].contains(&name.as_str()));
    assert_eq!(counted, vec![("Echoes".to_owned(), String::new(), json!(1)); 3]);
}

#[tokio::test]
async fn a_score_change_long_after_our_registration_is_no_echo() {
    let crm = Crm::start().await;
    let now = OffsetDateTime::now_utc();
    for (number, registered, invited) in [(1, now - time::Duration::days(1), 1), (2, now, 0)] {
        let lead = lead(number);
        crm.registered(&lead, registered).await;
        // A score change does not modify the lead: both snapshots have the time of the registration.
        let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
        let snapshot =
            |score: &str| json!({"ProspectID": lead, "Score": score, "ModifiedOn": registered.format(format).unwrap()});
        let body = json!({"Before": snapshot("0"), "After": snapshot("100")});
        crm.send(&webhook("Lead_Score_Change", body.to_string())).await.assert_success();
        assert_eq!(crm.queue.drain().await.len(), invited, "registered at {registered}");
    }
}

#[tokio::test]
async fn without_the_ledger_people_are_still_invited() {
    let aws = Aws::new().await;
    let queue = aws.queue("invitations").await;
    let function = start(aws.environment(), &queue.url, "no-such-table", &[]).await.unwrap();
    send(&function, &sample("field-change")).await.assert_success();
    assert_eq!(queue.drain().await.len(), 1);
    let printed = function.stop().await;
    assert!(printed.contains("the ledger cannot say which events are echoes"), "{printed}");
}

#[tokio::test]
async fn an_event_that_cannot_be_stored_is_never_answered_with_success() {
    let aws = Aws::new().await;
    let queue = aws.queue("invitations").await;
    let function = start(aws.environment(), &queue.url, &aws.table().await, &[]).await.unwrap();
    queue.remove().await;
    send(&function, &sample("field-change")).await.assert_error(503, "send it again");
    // These events need no storage.
    send(&function, &sample("lead-update-of-no-interest")).await.assert_success();
    send(&function, &sample("handshake-head")).await.assert_success();
    assert_eq!(functions::count_of(&function.stop().await, "NotStored"), 1);
}

#[tokio::test]
async fn a_batch_that_the_queue_accepts_in_part_is_not_answered_with_success() {
    let taken = json!({"Id": "0", "MessageId": "1", "MD5OfMessageBody": "d41d8cd98f00b204e9800998ecf8427e"});
    let refused = json!({"Id": "1", "SenderFault": false, "Code": "InternalError"});
    let answer = json!({"Successful": [taken], "Failed": [refused]}).to_string();
    let queue = Router::new().fallback(async move || ([("content-type", "application/x-amz-json-1.0")], answer));
    let queue = Server::start(queue).await;
    let mut environment = Aws::new().await.environment();
    let endpoint = environment.iter_mut().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap();
    endpoint.1 = queue.url.clone();
    let queue_url = format!("{}/000000000000/invitations.fifo", queue.url);
    let function = start(environment, &queue_url, "none", &[]).await.unwrap();
    send(&function, &sample("activity-create")).await.assert_error(503, "send it again");
    let printed = function.stop().await;
    assert!(printed.contains("SendMessageBatch (InternalError)"), "{printed}");
}

/// The events of a minute at 50 a second, as fast as they can be sent, and an outage of AWS in the middle.
#[tokio::test]
async fn a_flood_with_an_outage_of_aws_loses_no_event_that_was_answered_with_success() {
    const EVENTS: usize = 50 * 60;
    const AT_ONCE: usize = 16;
    let aws = Aws::new().await;
    let (queue, table) = (aws.queue("invitations").await, aws.table().await);
    let mut environment = aws.environment();
    let endpoint = environment.iter_mut().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap();
    let network = TcpProxy::to(&endpoint.1).await;
    endpoint.1 = network.url();
    let mut function = start(environment, &queue.url, &table, &[]).await.unwrap();
    for _ in 1..AT_ONCE {
        function.add_process().await.unwrap();
    }

    let begun = AtomicUsize::new(0);
    let answers = stream::iter(0..EVENTS).map(async |number| {
        match begun.fetch_add(1, Ordering::Relaxed) {
            count if count == EVENTS / 3 => network.switch(false),
            count if count == EVENTS / 2 => network.switch(true),
            _ => {}
        }
        let lead = lead(number as u128);
        let answer = send(&function, &stage_change(&lead, "2026-11-22 09:29:58")).await;
        match answer.http {
            200 => answer.assert_success(),
            _ => answer.assert_error(503, "send it again"),
        }
        (lead, answer.http)
    });
    let answers: Vec<(String, u64)> = answers.buffer_unordered(AT_ONCE).collect().await;

    let stored: BTreeSet<String> =
        queue.drain().await.iter().map(|message| invitation(message)["lead"].as_str().unwrap().to_owned()).collect();
    let lost: Vec<_> = answers.iter().filter(|(lead, http)| *http == 200 && !stored.contains(lead)).collect();
    assert_eq!(lost, Vec::<&(String, u64)>::new());
    let refused = answers.iter().filter(|(_, http)| *http == 503).count();
    assert!((1..=EVENTS / 2).contains(&refused), "{refused} were refused during the outage");

    // LeadSquared sends the refused events again.
    for (lead, _) in answers.iter().filter(|(_, http)| *http == 503) {
        send(&function, &stage_change(lead, "2026-11-22 09:29:58")).await.assert_success();
    }
    let again = queue.drain().await;
    let again = again.iter().map(|message| invitation(message)["lead"].as_str().unwrap().to_owned());
    assert_eq!(stored.into_iter().chain(again).collect::<BTreeSet<_>>().len(), EVENTS);
}

#[test]
fn the_route_limit_permits_a_bulk_edit_in_the_crm() {
    const ROUTE: &str = "POST /crm-events";
    let template = Template::read();
    // CloudFormation refuses limits for a route that does not exist.
    assert!(template.routes("crm-event").iter().any(|(method, path)| format!("{method} {path}") == ROUTE));
    let (_, limits) = template.route_limits().find(|(route, _)| *route == ROUTE).unwrap();
    assert!(limits["ThrottlingBurstLimit"].as_u64().unwrap() >= 1000, "{limits}");
}

#[tokio::test]
async fn no_lead_data_and_no_secret_is_logged_or_answered() {
    let crm = Crm::start().await;
    let mut answers = Vec::new();
    for (_, event) in workspace::events("crm-event") {
        answers.push(crm.send(&serde_json::from_slice(&event).unwrap()).await);
    }
    for (event_type, body) in [
        ("Lead_Post_Create", json!({"ProspectID": "c4nary", "c4nary": "c4nary"}).to_string()),
        ("Lead_Field_Change", json!({"ProspectID": LEAD, "ProspectStage": "c4nary"}).to_string()),
        ("c4nary", "{}".to_owned() + "c4nary"),
        ("c4nary%3C", json!({"ProspectID": LEAD}).to_string()),
        ("", "c4nary=c4nary&c4nary".to_owned()),
    ] {
        answers.push(crm.send(&webhook(event_type, body)).await);
    }
    let printed = crm.function.stop().await;
    assert!(printed.contains("\"level\"") && printed.contains("invitation accepted"), "{printed}");
    assert!(printed.contains("\"rule\":\"application opened\""), "{printed}");
    let all = format!("{printed}{answers:?}");
    let canaries = ["asha", "rao", "9000000001", "education fair", "receipt 1042", "sales.one", "c4nary", SECRET, HASH];
    for canary in canaries {
        assert!(!all.to_lowercase().contains(&canary.to_lowercase()), "{canary}: {all}");
    }
}

#[test]
fn no_request_makes_the_function_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let crm = runtime.block_on(Crm::start());
    let known = prop_oneof![
        Just("Lead_Post_Create"),
        Just("Lead_Post_Update"),
        Just("Lead_Field_Change"),
        Just("Lead_Post_Stage_Change"),
        Just("LeadActivity_Post_Create"),
        Just("")
    ];
    let event_type = prop_oneof![3 => known.prop_map(str::to_owned), 1 => "[ -~]{0,20}"];
    let name = "Before|After|Data|ProspectID|ProspectActivityId|RelatedProspectId|ActivityEvent|ModifiedOn|[a-z]{1,4}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::from(LEAD)),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    let json = leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name, inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    let body = prop_oneof![
        1 => vec(any::<u8>(), 0..200),
        3 => json.clone().prop_map(|json| json.to_string().into_bytes()),
        1 => json.prop_map(|json| {
            form_urlencoded::Serializer::new(String::new()).append_pair("data", &json.to_string()).finish().into_bytes()
        }),
        1 => "[a-zA-Z=&%{}\\[\\]\":]{0,60}".prop_map(String::into_bytes),
    ];
    functions::for_all(600, &(event_type, body), |(event_type, body)| {
        let answer = runtime.block_on(crm.send(&webhook(&event_type, body)));
        prop_assert_eq!(answer.http, 200);
        Ok(())
    });
}

#[tokio::test]
async fn every_mistake_in_the_rules_is_named_when_the_function_fails_to_start() {
    let rules =
        r#"[{"name":"a","on":"lead-chnage","action":"invite"},{"name":"b","on":"lead-create","action":"mail"}]"#;
    let aws = Aws::new().await;
    let started = start(aws.environment(), "http://127.0.0.1:9/none.fifo", "none", &[("CRM_RULES", rules)]).await;
    let message = functions::failed_start(started);
    for part in ["CRM_RULES is not a list of rules", "rule 1 (a): on must be", "rule 2 (b): action must be"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

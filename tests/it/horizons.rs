//! Every message leaves the queue before SQS deletes it: the worker's own code in this process, with time as an
//! argument.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws::SdkConfig;
use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::{config::retry::RetryConfig, types::AttributeValue};
use aws_sdk_sqs::types::MessageSystemAttributeName;
use axum::{Json, Router, http::StatusCode};
use invitation::{Config, SqsWorker};
use leadsquared::Lane;
use leadsquared_account::{Account, BACKGROUND_TIMEOUTS};
use leadsquared_emulator::{Call, Effect, Fault, LimitRefusal, Settings};
use ledger::Ledger;
use onboarding::{
    Invitation, Lease, Ledger as _, PersonKey,
    retry::{LONGEST_WAIT, MAKES_WAY_AT, OPERATOR_HORIZON, RETRY_HORIZON},
};
use password_sealing::Opener;
use queue::{DeadLetters, Invitations};
use serde_json::{Value, json};
use settings::Variables;
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use crate::{aws_endpoint::Server, sandbox::Sandbox};

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const ID: &str = "00000000-0000-8000-8000-000000000001";
const EMAIL: &str = "asha@example.com";
/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:9";
const MINUTE: Duration = Duration::from_secs(60);
/// The wait of a message that is dead-lettered, or sent again, and not deleted.
const RETRY_IF_NOT_DELETED: Duration = Duration::from_secs(2 * 60);

/// A queue that records for how long the worker delays messages, and takes no message.
struct Waits {
    recorded: Arc<Mutex<Vec<Duration>>>,
    server: Server,
}

impl Waits {
    async fn new() -> Self {
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let waits = recorded.clone();
        let answer = async move |body: String| -> (StatusCode, Json<Value>) {
            let request: Value = serde_json::from_str(&body).unwrap();
            let Some(entries) = request["Entries"].as_array() else {
                return (StatusCode::BAD_REQUEST, Json(json!({"__type": "com.amazonaws.sqs#AccessDeniedException"})));
            };
            let wait = |entry: &Value| Duration::from_secs(entry["VisibilityTimeout"].as_u64().unwrap());
            waits.lock().unwrap().extend(entries.iter().map(wait));
            (StatusCode::OK, Json(json!({"Successful": [], "Failed": []})))
        };
        Self { recorded, server: Server::start(Router::new().fallback(answer)).await }
    }

    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.recorded.lock().unwrap())
    }
}

/// A worker, and a message that it cannot handle.
struct Setup {
    sandbox: Sandbox<()>,
    worker: SqsWorker,
    waits: Waits,
    body: Value,
    /// Time until the end of the invocation.
    left: Duration,
}

impl Setup {
    /// Adds an encrypted password from a sender with a form key; the worker decrypts no other.
    fn type_password(&mut self) {
        self.body["version"] = 3.into();
        self.body["provenance"] = "keyed".into();
        self.body["password"] = "c2VhbGVk".into();
    }

    async fn with(changes: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::open(Settings::for_tests(), ()).await;
        let environment = sandbox.environment("invitation", changes);
        let lookup = |name: &str| environment.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        let config = Config::read(&Variables::new(&lookup)).unwrap();
        let aws = without_retries(sandbox.aws.config());
        let sqs = aws_sdk_sqs::Client::new(&aws);
        let waits = Waits::new().await;
        let queue = aws_sdk_sqs::Client::new(&aws.to_builder().endpoint_url(&waits.server.url).build());
        let worker = SqsWorker {
            account: Account::open(&aws, &config.account, Lane::Background, BACKGROUND_TIMEOUTS).unwrap(),
            ledger: Ledger::new(aws_sdk_dynamodb::Client::new(&aws), config.account.ledger_table.clone()),
            invitations: Invitations::new(queue, format!("{}/000000000000/invitations.fifo", waits.server.url)),
            passwords: Opener::new(aws_sdk_kms::Client::new(&aws)),
            dead_letters: DeadLetters::new(sqs, config.dead_letters_queue_url.clone()),
            config,
            now: || NOW,
            instant: Instant::now,
            random: |bytes| bytes.fill(0x7f),
        };
        let body = json!({
            "version": 2, "id": ID, "source": "form", "received_at": "2026-11-22T09:30:00Z", "action": "invite",
            "email": EMAIL, "attributes": [{"name": "FirstName", "value": "Asha"}],
        });
        Self { sandbox, worker, waits, body, left: MINUTE }
    }

    /// Makes the message a question on a day whose look-ups are used up.
    async fn ask_a_question(&mut self) {
        self.body = json!({
            "version": 3, "id": ID, "source": "crm", "received_at": "2026-11-09T09:30:00Z", "action": "invite",
            "lead": "5b0f6c0e-8f61-4d5f-9c8e-2a7d9c1b3e44", "attributes": [], "provenance": "system",
            "question": {"rules": ["stage"], "known": [{"name": "ProspectStage", "value": "Applied"}]},
        });
        self.sandbox.use_up_lookups(NOW).await;
    }

    fn invitation(&self) -> Invitation {
        Invitation::decode(&self.body.to_string()).unwrap()
    }

    /// Delivers one message of this age, for the second time; returns whether it is retried. An old one has made way
    /// for the person's later ones.
    async fn deliver(&self, age: Duration) -> bool {
        let mut record = record(&self.body, &[("SentTimestamp", &sent(age))]);
        if age >= MAKES_WAY_AT {
            record["messageAttributes"] = made_way_attributes(age);
        }
        self.deliver_records(vec![record]).await == [true]
    }

    /// Delivers records; returns for each whether it is retried.
    async fn deliver_records(&self, records: Vec<Value>) -> Vec<bool> {
        let ids: Vec<_> = records.iter().map(|record| record["messageId"].as_str().unwrap().to_owned()).collect();
        let event: SqsEvent = serde_json::from_value(json!({"Records": records})).unwrap();
        let response = self.worker.handle(&event, NOW + self.left).await;
        let failed: Vec<_> = response.batch_item_failures.iter().map(|one| one.item_identifier.clone()).collect();
        ids.iter().map(|id| failed.contains(id)).collect()
    }

    async fn put(&self, pk: String, attributes: &[(&str, AttributeValue)]) {
        self.sandbox.put(&pk, attributes).await;
    }

    /// Class, cause and receipt of each dead letter.
    async fn dead_letters(&self) -> Vec<(String, String, Option<String>)> {
        let letters = self.sandbox.dead_letters.drain().await;
        let letter = |letter: &aws_sdk_sqs::types::Message| {
            let attributes = letter.message_attributes.as_ref().unwrap();
            let text = |name: &str| attributes.get(name).and_then(|value| value.string_value.clone());
            (text("class").unwrap(), text("cause").unwrap(), text("receipt"))
        };
        letters.iter().map(letter).collect()
    }
}

fn without_retries(aws: &SdkConfig) -> SdkConfig {
    aws.to_builder().retry_config(RetryConfig::disabled()).build()
}

fn sent(age: Duration) -> String {
    ((NOW - age).unix_timestamp() * 1000).to_string()
}

/// The record of the second delivery of a new message, with these attributes changed. Empty ones are left out.
fn record(body: &Value, attributes: &[(&str, &str)]) -> Value {
    static LAST: AtomicU64 = AtomicU64::new(1);
    let mut all = json!({
        "MessageGroupId": "asha", "ApproximateReceiveCount": "2", "SentTimestamp": sent(MINUTE),
        "ApproximateFirstReceiveTimestamp": sent(MINUTE),
    });
    for (name, value) in attributes {
        all[*name] = (*value).into();
    }
    all.as_object_mut().unwrap().retain(|_, value| value != "");
    json!({
        "messageId": Uuid::from_u128(LAST.fetch_add(1, Ordering::Relaxed).into()),
        "receiptHandle": "handle", "body": body.as_str().map_or_else(|| body.to_string(), str::to_owned),
        "attributes": all,
    })
}

/// The message attributes of a message that made way after one delivery. It was first sent this long ago.
fn made_way_attributes(age: Duration) -> Value {
    let number = |text: &str| json!({"dataType": "Number", "stringValue": text});
    json!({"waiting_since": number(&sent(age)), "deliveries_before": number("1")})
}

/// An obstacle that [`setup`] creates, the worker's name for it, and for how long a message is retried because of it.
const CAUSES: [(&str, &str, time::Duration); 19] = [
    ("a newer version", "NewerVersion", OPERATOR_HORIZON),
    ("an activity", "NotSupported", OPERATOR_HORIZON),
    ("no time", "NoTime", OPERATOR_HORIZON),
    ("a panic", "Panicked", RETRY_HORIZON),
    ("placeholders for keys", "NoKeys", OPERATOR_HORIZON),
    ("no secret", "NoKeys", OPERATOR_HORIZON),
    ("no KMS", "NoPassword", OPERATOR_HORIZON),
    ("a deleted KMS key", "NoPassword", OPERATOR_HORIZON),
    ("wrong keys", "BadKeys", OPERATOR_HORIZON),
    ("the mail budget used up", "MailBudget", OPERATOR_HORIZON),
    ("another invitation's mail", "MailBookChanged", RETRY_HORIZON),
    ("a lease that does not end", "Held", RETRY_HORIZON),
    ("no ledger", "Ledger", RETRY_HORIZON),
    ("a broken invitation", "Ledger", RETRY_HORIZON),
    ("a broken person", "Ledger", RETRY_HORIZON),
    ("LeadSquared fails", "ServerFault", RETRY_HORIZON),
    ("LeadSquared cuts the connection", "UnknownResult", RETRY_HORIZON),
    ("LeadSquared's limit reached", "RateLimited", RETRY_HORIZON),
    ("a mail with an unknown result", "MailUnknown", RETRY_HORIZON),
];

/// A worker and a message that meets this obstacle.
async fn setup(what: &str) -> Setup {
    let changes: &[(&str, &str)] = match what {
        "no ledger" => &[("LEDGER_TABLE", "nowhere")],
        "no secret" => &[("LEADSQUARED_KEYS_SECRET", "nowhere")],
        "the mail budget used up" => &[("MAIL_BUDGET", "1")],
        _ => &[],
    };
    let mut setup = Setup::with(changes).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: i64| AttributeValue::N(number.to_string());
    let person = format!("person#{}", PersonKey::of(&EMAIL.parse().unwrap()).as_str());
    let far = (NOW + time::Duration::days(3650)).unix_timestamp();
    let faults = setup.sandbox.emulator.faults();
    match what {
        "a newer version" => setup.body = json!({"version": 7, "id": ID, "whom": {}}),
        "an activity" => {
            setup.body["version"] = 3.into();
            setup.body["action"] = "activity".into();
        }
        "no time" => setup.left = Duration::from_secs(5),
        "a panic" => setup.worker.random = |_| panic!("a bug"),
        "placeholders for keys" => {
            setup.sandbox.put_keys(r#"{"accessKey":"REPLACE-ME","secretKey":"REPLACE-ME"}"#).await
        }
        "no KMS" => {
            let aws = without_retries(setup.sandbox.aws.config()).to_builder().endpoint_url(NOWHERE).build();
            setup.worker.passwords = Opener::new(aws_sdk_kms::Client::new(&aws));
            setup.type_password();
        }
        "a deleted KMS key" => {
            let kms = Server::failing(400, "KMSInvalidStateException").await;
            let aws = without_retries(setup.sandbox.aws.config()).to_builder().endpoint_url(&kms.url).build();
            setup.worker.passwords = Opener::new(aws_sdk_kms::Client::new(&aws));
            setup.type_password();
        }
        "wrong keys" => setup.sandbox.put_keys(r#"{"accessKey":"wrong","secretKey":"wrong"}"#).await,
        "the mail budget used up" => setup.put("mails#2026-11-22".to_owned(), &[("count", number(1))]).await,
        "another invitation's mail" => {
            let at = (NOW - Duration::from_secs(10)).unix_timestamp();
            let other = text("00000000-0000-8000-8000-00000000000f");
            let mail = AttributeValue::M([("at".to_owned(), number(at)), ("invitation".to_owned(), other)].into());
            let begun = AttributeValue::L(vec![mail]);
            setup.put(person, &[("version", number(1)), ("begun", begun), ("expires_at", number(far))]).await;
        }
        "a lease that does not end" => {
            let until = NOW + time::Duration::days(3650);
            let lease = Lease { holder: Uuid::from_u128(1), message: Uuid::from_u128(2), until };
            setup.worker.ledger.claim(&setup.invitation(), &lease, NOW).await.unwrap();
        }
        "a broken invitation" => setup.put(format!("invitation#{ID}"), &[("expires_at", number(far))]).await,
        "a broken person" => {
            setup.put(person, &[("version", text("one")), ("begun", text("none")), ("expires_at", number(far))]).await;
        }
        "LeadSquared fails" => faults.add(Fault::everywhere(Effect::gateway(503))),
        "LeadSquared cuts the connection" => faults.add(Fault::on(Call::Register, Effect::Cut)),
        "LeadSquared's limit reached" => {
            faults.add(Fault::everywhere(Effect::LimitReached(LimitRefusal::TooManyRequests)));
        }
        "a mail with an unknown result" => faults.add(Fault::on(Call::SendEmailToLead, Effect::gateway(502))),
        "no ledger" | "no secret" => {}
        other => panic!("no setup for {other}"),
    }
    setup
}

#[tokio::test]
async fn a_message_becomes_a_dead_letter_with_its_cause_after_the_horizon_of_each_obstacle() {
    for (what, cause, horizon) in CAUSES {
        let horizon = Duration::try_from(horizon).unwrap();
        let setup = setup(what).await;
        assert!(setup.deliver(horizon - MINUTE).await, "{what}: it is retried for {horizon:?}");
        assert_eq!(setup.dead_letters().await, [], "{what}");
        let waits = setup.waits.take();
        assert!(matches!(waits[..], [wait] if wait <= LONGEST_WAIT), "{what}: {waits:?}");
        // The last attempt within the horizon, and the wait after it, end before SQS deletes the message.
        assert!(horizon + LONGEST_WAIT + MINUTE < Duration::from_secs(14 * 24 * 60 * 60), "{what}");

        assert!(!setup.deliver(horizon + MINUTE).await, "{what}: it is not retried for longer");
        let expected = ("exhausted".to_owned(), cause.to_owned(), Some(ID.to_owned()));
        assert_eq!(setup.dead_letters().await, [expected], "{what}");
        // It applies only if the process crashes before Lambda has deleted the message.
        assert_eq!(setup.waits.take(), [RETRY_IF_NOT_DELETED], "{what}");
    }
}

/// After 1,000 deliveries SQS would move the message itself, and its dead letter would have no cause.
#[tokio::test]
async fn a_message_becomes_a_dead_letter_with_its_cause_before_its_deliveries_are_used_up() {
    for what in ["a newer version", "no time", "LeadSquared fails", "wrong keys"] {
        let setup = setup(what).await;
        let (_, cause, _) = CAUSES.into_iter().find(|(name, ..)| *name == what).unwrap();
        for (count, is_retried) in [("900", true), ("999", false)] {
            let record = record(&setup.body, &[("ApproximateReceiveCount", count)]);
            assert_eq!(setup.deliver_records(vec![record]).await, [is_retried], "{what}, delivery {count}");
        }
        assert_eq!(setup.dead_letters().await[0].1, cause, "{what}");
    }
}

#[tokio::test]
async fn a_message_of_unknown_age_becomes_a_dead_letter() {
    let old = sent(Duration::from_secs(20 * 86_400));
    for attributes in [
        [("SentTimestamp", ""), ("ApproximateFirstReceiveTimestamp", &*old), ("ApproximateReceiveCount", "2")],
        [("SentTimestamp", "soon"), ("ApproximateFirstReceiveTimestamp", &old), ("ApproximateReceiveCount", "")],
        [
            ("SentTimestamp", "99999999999999999"),
            ("ApproximateFirstReceiveTimestamp", &old),
            ("ApproximateReceiveCount", "2"),
        ],
        [
            ("SentTimestamp", "18446744073709551615"),
            ("ApproximateFirstReceiveTimestamp", ""),
            ("ApproximateReceiveCount", "900"),
        ],
        [("SentTimestamp", ""), ("ApproximateFirstReceiveTimestamp", ""), ("ApproximateReceiveCount", "900")],
        [("SentTimestamp", ""), ("ApproximateFirstReceiveTimestamp", ""), ("ApproximateReceiveCount", "")],
    ] {
        let setup = setup("LeadSquared fails").await;
        let record = record(&setup.body, &attributes);
        assert_eq!(setup.deliver_records(vec![record]).await, [false], "{attributes:?}");
        assert_eq!(setup.dead_letters().await[0].1, "ServerFault", "{attributes:?}");
    }
}

#[tokio::test]
async fn a_record_without_a_group_becomes_a_dead_letter() {
    let setup = Setup::with(&[]).await;
    let mut bodies = vec![json!("no invitation")];
    bodies.push(json!({"version": 7, "id": ID}));
    for body in bodies {
        let record = record(&body, &[("MessageGroupId", ""), ("SentTimestamp", "1700000000000")]);
        assert_eq!(setup.deliver_records(vec![record]).await, [false], "{body}");
        assert_eq!(setup.dead_letters().await.len(), 1, "{body}");
    }
}

#[tokio::test]
async fn a_message_behind_a_poison_message_of_its_group_is_handled_after_it() {
    let setup = Setup::with(&[]).await;
    let poison = json!({"version": 7, "id": "00000000-0000-8000-8000-0000000000aa"});
    let horizon = Duration::try_from(OPERATOR_HORIZON).unwrap();
    for (age, is_retried) in [(horizon - MINUTE, [true, true]), (horizon + MINUTE, [false, false])] {
        let records = vec![
            record(&poison, &[("SentTimestamp", &sent(age))]),
            record(&setup.body, &[("SentTimestamp", &sent(age))]),
        ];
        assert_eq!(setup.deliver_records(records).await, is_retried);
    }
    assert_eq!(setup.dead_letters().await.len(), 1);
    assert_eq!(setup.sandbox.emulator.mails().len(), 1);
}

/// SQS then moves the message itself, which needs neither the worker's permission nor its setting.
#[tokio::test]
async fn a_dead_letter_that_cannot_be_written_uses_up_its_deliveries_before_retention_ends() {
    for what in ["a newer version", "LeadSquared fails"] {
        let mut setup = setup(what).await;
        let sqs = aws_sdk_sqs::Client::new(&without_retries(setup.sandbox.aws.config()));
        let url = setup.sandbox.dead_letters.url.replace("dead-letters", "nowhere");
        setup.worker.dead_letters = DeadLetters::new(sqs, url);
        for (age, count) in [(13 * 86_400 + 60, 30_u32), (13 * 86_400 + 43_200, 500), (13 * 86_400 + 72_000, 999)] {
            let age = Duration::from_secs(age);
            let attributes = [("SentTimestamp", &*sent(age)), ("ApproximateReceiveCount", &count.to_string())];
            assert_eq!(setup.deliver_records(vec![record(&setup.body, &attributes)]).await, [true], "{what}");
            // The first wait is for the dead letter that could not be written.
            let [RETRY_IF_NOT_DELETED, wait] = setup.waits.take()[..] else { panic!("{what}") };
            let rest = wait * (1000 - count);
            assert!(age + rest < Duration::from_secs(14 * 86_400 - 3600), "{what}, delivery {count}: {wait:?}");
        }
        assert!(setup.deliver(Duration::from_secs(30 * 86_400)).await, "{what}: it is never dropped");
    }
}

#[tokio::test]
async fn a_question_without_a_lookup_is_sent_again_before_sqs_deletes_it() {
    let mut setup = Setup::with(&[]).await;
    setup.ask_a_question().await;
    let queue = &setup.sandbox.invitations;
    let sqs = aws_sdk_sqs::Client::new(setup.sandbox.aws.config());
    setup.worker.invitations = Invitations::new(sqs, queue.url.clone());
    // An earlier version put questions into their person's group.
    queue.send(&setup.body.to_string(), "asha", "1").await;
    let first = queue.next().await;
    let horizon = Duration::try_from(OPERATOR_HORIZON).unwrap();
    for (age, is_retried) in [(horizon - MINUTE, true), (horizon + MINUTE, false)] {
        let mut record = record(&setup.body, &[("SentTimestamp", &sent(age))]);
        record["messageId"] = first.message_id.clone().into();
        record["receiptHandle"] = first.receipt_handle.clone().into();
        assert_eq!(setup.deliver_records(vec![record]).await, [is_retried], "{age:?}");
    }
    queue.delete(&first).await;

    let again = queue.next().await;
    assert_ne!(again.message_id, first.message_id);
    assert_eq!(again.body, first.body);
    let group = &again.attributes.as_ref().unwrap()[&MessageSystemAttributeName::MessageGroupId];
    assert_eq!(*group, setup.invitation().message_group());
    queue.delete(&again).await;
    assert!(queue.drain().await.is_empty() && setup.dead_letters().await.is_empty());
}

#[tokio::test]
async fn a_message_that_leadsquared_leaves_unanswered_makes_way_for_the_persons_next_one() {
    let mut setup = setup("LeadSquared fails").await;
    let queue = &setup.sandbox.invitations;
    let sqs = aws_sdk_sqs::Client::new(setup.sandbox.aws.config());
    setup.worker.invitations = Invitations::new(sqs, queue.url.clone());
    queue.send(&setup.body.to_string(), &setup.invitation().message_group(), "1").await;
    let first = queue.next().await;
    let delivered = |age: Duration, count: &str| {
        let mut record = record(&setup.body, &[("SentTimestamp", &*sent(age)), ("ApproximateReceiveCount", count)]);
        record["messageId"] = first.message_id.clone().into();
        record["receiptHandle"] = first.receipt_handle.clone().into();
        record
    };
    assert_eq!(setup.deliver_records(vec![delivered(MAKES_WAY_AT + MINUTE, "7")]).await, [false]);
    queue.delete(&first).await;

    let again = queue.next().await;
    assert_ne!(again.message_id, first.message_id);
    assert_eq!(again.body, first.body);
    let group = &again.attributes.as_ref().unwrap()[&MessageSystemAttributeName::MessageGroupId];
    assert_eq!(*group, format!("invitation-{ID}"));
    let attributes = again.message_attributes.as_ref().unwrap();
    let text = |name: &str| attributes[name].string_value.clone().unwrap();
    assert_eq!((text("waiting_since"), text("deliveries_before")), (sent(MAKES_WAY_AT + MINUTE), "7".to_owned()));

    // Its horizon is that of the message as it was first sent, and it makes way once.
    let horizon = Duration::try_from(RETRY_HORIZON).unwrap();
    for (age, is_retried) in [(horizon - MINUTE, true), (horizon + MINUTE, false)] {
        let mut record = record(&setup.body, &[("MessageGroupId", group), ("SentTimestamp", &sent(MINUTE))]);
        record["messageId"] = again.message_id.clone().into();
        record["receiptHandle"] = again.receipt_handle.clone().into();
        record["messageAttributes"] = made_way_attributes(age);
        assert_eq!(setup.deliver_records(vec![record]).await, [is_retried], "{age:?}");
    }
    queue.delete(&again).await;
    assert!(queue.drain().await.is_empty());
    assert_eq!(setup.dead_letters().await.len(), 1);
}

#[tokio::test]
async fn a_message_that_cannot_make_way_stays_on_the_queue() {
    let setup = setup("LeadSquared fails").await;
    let delivered = |age: Duration| record(&setup.body, &[("SentTimestamp", &sent(age))]);
    assert_eq!(setup.deliver_records(vec![delivered(MAKES_WAY_AT - MINUTE)]).await, [true]);
    assert_eq!(setup.waits.take().len(), 1, "it does not try before");
    assert_eq!(setup.deliver_records(vec![delivered(MAKES_WAY_AT)]).await, [true]);
    let waits = setup.waits.take();
    let [RETRY_IF_NOT_DELETED, wait] = waits[..] else { panic!("{waits:?}") };
    assert!(wait <= RETRY_IF_NOT_DELETED, "SQS still drops a second copy: {wait:?}");
    assert_eq!(setup.dead_letters().await, []);
}

#[tokio::test]
async fn a_question_that_cannot_be_sent_again_stays_on_the_queue() {
    let mut setup = Setup::with(&[]).await;
    setup.ask_a_question().await;
    let horizon = Duration::try_from(OPERATOR_HORIZON).unwrap();
    assert!(setup.deliver(horizon - MINUTE).await);
    let waits = setup.waits.take();
    assert!(matches!(waits[..], [wait] if wait >= MINUTE * 60 && wait <= LONGEST_WAIT), "{waits:?}");

    assert!(setup.deliver(horizon + MINUTE).await, "it is not deleted");
    let [RETRY_IF_NOT_DELETED, wait] = setup.waits.take()[..] else { panic!("the redelivery is shortened first") };
    assert!(horizon + wait * 998 < Duration::from_secs(14 * 86_400 - 3600), "SQS moves it in time: {wait:?}");
    assert_eq!(setup.dead_letters().await, []);
}

/// The ledger was unavailable when the worker gave the message up.
#[tokio::test]
async fn a_dead_letter_without_a_record_in_the_ledger_is_handled_when_it_is_put_back() {
    let age = Duration::from_secs(40 * 60 * 60);
    for what in ["no ledger", "a broken invitation", "a panic"] {
        let setup = setup(what).await;
        assert!(!setup.deliver(age).await, "{what}");
        assert_eq!(setup.dead_letters().await.len(), 1, "{what}");
        assert!(setup.sandbox.emulator.mails().is_empty());

        let fixed = Setup::with(&[]).await;
        for _ in 0..2 {
            assert!(!fixed.deliver(MINUTE).await, "{what}");
        }
        assert_eq!((fixed.dead_letters().await.len(), fixed.sandbox.emulator.mails().len()), (0, 1), "{what}");
    }
}

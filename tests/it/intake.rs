//! The caps of intake, black box: what floods, repeats and outages put on the queue, what is held, and the answers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::Message;
use axum::{http::StatusCode, response::IntoResponse};
use futures::{
    StreamExt,
    future::{join_all, ready},
    stream,
};
use ledger::{ApplicationMarker, KeyedLimit, Ledger, Owner, PlacesResult};
use onboarding::{Invitation, PersonKey, Provenance};
use runtime_api::Function;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::{
    aws::{Aws, Queue, Table},
    aws_endpoint::{self, Server},
    functions::{self, count_of, errors, metrics},
    http::{Answer, BROWSER, FORM_KEY, FORM_KEY_HASH, Request},
    tcp_proxy::TcpProxy,
    template::Template,
};

const TIMEOUT: Duration = Duration::from_secs(20);
const FIELDS: &str = r#"[{"name":"email","attribute":"EmailAddress","kind":"email","required":true},
    {"name":"city","attribute":"mx_City","kind":"text"},{"name":"website","kind":"honeypot"},
    {"name":"password","kind":"password"}]"#;
/// Settings without which some tests would reach the daily cap of a network.
const NO_DAILY_CAP: [(&str, &str); 2] = [("ALLOWANCE_DAILY", "none"), ("MAIL_BUDGET", "1000000")];

/// The function with its queue and its table.
struct Intake {
    aws: Aws,
    function: Function,
    queue: Queue,
    table: String,
}

impl Intake {
    async fn of(changes: &[(&str, &str)]) -> Self {
        let aws = Aws::new().await;
        let (queue, table, key) = (aws.queue("invitations").await, aws.table().await, aws.key().await);
        let mut settings = vec![
            ("INVITATIONS_QUEUE_URL", queue.url.as_str()),
            ("LEDGER_TABLE", &table),
            ("FORM_FIELDS", FIELDS),
            ("FORM_KEY_HASHES", FORM_KEY_HASH),
            ("PASSWORD_KEY", &key),
        ];
        settings.retain(|(name, _)| !changes.iter().any(|(other, _)| other == name));
        // Settings that the template does not have are added to the process's environment.
        let (known, others): (Vec<_>, Vec<_>) =
            changes.iter().copied().partition(|(name, _)| Template::read().gives("application-form", name));
        settings.extend(known);
        let mut environment = Template::read().settings("application-form", &settings);
        environment.extend(aws.environment());
        environment.retain(|(name, _)| !others.iter().any(|(other, _)| other == name));
        environment.extend(others.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let function = functions::start("application-form", environment).await.unwrap();
        Self { aws, function, queue, table }
    }

    async fn new() -> Self {
        Self::of(&NO_DAILY_CAP).await
    }

    async fn with_limits(limits: &str) -> Self {
        Self::of(&[NO_DAILY_CAP[0], NO_DAILY_CAP[1], ("INTAKE_LIMITS", limits)]).await
    }

    async fn send(&self, request: Request<'_>) -> Answer {
        Answer::read(self.function.invoke(&request.event(), TIMEOUT).await.unwrap())
    }

    async fn post(&self, email: &str, city: &str, address: &str) -> Answer {
        self.send(form(email, city).from(address)).await
    }

    /// The invitations on the queue, in order.
    async fn queued(&self) -> Vec<Invitation> {
        let mut messages = self.queue.drain().await;
        messages.sort_by_key(sequence_number);
        messages.iter().map(|message| Invitation::decode(message.body.as_deref().unwrap()).unwrap()).collect()
    }

    async fn items(&self, prefix: &str) -> Vec<HashMap<String, AttributeValue>> {
        let mut all = self.aws.items(&self.table).await;
        all.retain(|item| item["pk"].as_s().unwrap().starts_with(prefix));
        all
    }

    async fn held(&self) -> Vec<HashMap<String, AttributeValue>> {
        self.items("held#").await
    }

    /// How many applications are held for each cause.
    async fn causes(&self) -> BTreeMap<String, usize> {
        let mut causes = BTreeMap::new();
        for item in self.held().await {
            *causes.entry(text(&item, "cause")).or_default() += 1;
        }
        causes
    }
}

fn form<'a>(email: &str, city: &str) -> Request<'a> {
    Request::json(&[("email", email), ("city", city)])
}

fn sequence_number(message: &Message) -> u128 {
    let attributes = message.attributes.as_ref().unwrap();
    attributes[&aws_sdk_sqs::types::MessageSystemAttributeName::SequenceNumber].parse().unwrap()
}

fn text(item: &HashMap<String, AttributeValue>, name: &str) -> String {
    item[name].as_s().unwrap_or_else(|_| panic!("{name} of {item:?}")).clone()
}

fn causes<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(cause, times)| (cause.to_owned(), times)).collect()
}

fn unix_now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// A flood of forms for one address and of forms from one network, with ordinary applicants among them.
#[tokio::test]
async fn a_flood_gets_no_more_of_the_queue_than_its_caps_and_no_form_is_lost() {
    const FOR_ONE: usize = 60;
    const FROM_ONE: usize = 400;
    const ORDINARY: usize = 10;
    const QUARTER: i64 = 15 * 60;
    let mut intake = Intake::new().await;
    intake.function.add_process().await.unwrap();

    let mut crowd = Vec::new();
    for number in 0..FOR_ONE + FROM_ONE {
        crowd.push(match number % ((FOR_ONE + FROM_ONE) / FOR_ONE) {
            0 if number / 7 < FOR_ONE => ("victim@example.test".to_owned(), "198.51.100.1".to_owned()),
            _ => (format!("crowd-{number}@example.test"), "198.51.100.2".to_owned()),
        });
    }
    for number in (1..=ORDINARY).rev() {
        let position = crowd.len() * number / ORDINARY;
        crowd.insert(position, (format!("ordinary-{number}@example.org"), format!("203.0.113.{number}")));
    }
    let (for_one, from_one) = (count(&crowd, "victim@"), count(&crowd, "crowd-"));

    let began = unix_now() / QUARTER;
    let answers: Vec<_> = stream::iter(crowd.iter().enumerate())
        .map(|(number, (email, address))| {
            let intake = &intake;
            async move {
                let began = Instant::now();
                (intake.post(email, &number.to_string(), address).await, began.elapsed())
            }
        })
        .buffered(8)
        .collect()
        .await;
    let windows = usize::try_from(unix_now() / QUARTER - began).unwrap() + 1;

    for (answer, _) in &answers {
        assert_eq!((answer.status, answer.json()["status"].as_str()), (202, Some("accepted")), "{}", answer.body);
    }
    let queued = intake.queued().await;
    let emails: Vec<_> = queued.iter().map(|it| it.encode()).collect();
    let on_queue = |part: &str| emails.iter().filter(|message| message.contains(part)).count();
    assert_eq!(on_queue("victim@"), 3, "of {for_one} forms for one address from one network");
    let admitted = on_queue("crowd-");
    assert!(admitted <= 300 * windows, "{admitted} of {from_one} forms from one network");
    assert_eq!(on_queue("ordinary-"), ORDINARY);

    // Every form is on the queue or held.
    let receipts: BTreeSet<_> = answers.iter().map(|(answer, _)| answer.receipt()).collect();
    assert_eq!(receipts.len(), crowd.len());
    let on_queue: BTreeSet<_> = queued.iter().map(|it| it.id.to_string()).collect();
    let mut stored = on_queue.clone();
    for item in intake.held().await {
        let id = text(&item, "pk").trim_start_matches("held#").to_owned();
        assert!(stored.insert(id), "an application is both held and on the queue");
    }
    assert_eq!(stored, receipts);
    let median = |is_queued: bool| {
        let times = answers.iter().filter(|(answer, _)| on_queue.contains(&answer.receipt()) == is_queued);
        let mut times: Vec<_> = times.map(|(_, time)| *time).collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    println!(
        "answered within {:?} where it is queued, and {:?} where it is held (medians)",
        median(true),
        median(false)
    );

    // How many messages were ahead of each ordinary applicant: alone, with the flood, and with the flood but no caps.
    const CALLS_A_SECOND: f64 = 10.0 / 5.0;
    const CALLS_EACH: f64 = 3.0;
    let seconds = |ahead: f64| ahead * CALLS_EACH / CALLS_A_SECOND;
    let mean = |places: &[usize]| places.iter().sum::<usize>() as f64 / places.len() as f64;
    let places = |order: &[String]| -> Vec<usize> {
        order.iter().enumerate().filter(|(_, it)| it.contains("ordinary-")).map(|(place, _)| place).collect()
    };
    let uncapped: Vec<_> = crowd.iter().map(|(email, _)| email.clone()).collect();
    // 5 % of the smallest plan's 10,000 calls are enough for 166 applications.
    let (mut of_crowd, mut smallest_plan) = (0, emails.clone());
    smallest_plan.retain(|message| {
        of_crowd += usize::from(message.contains("crowd-"));
        !message.contains("crowd-") || of_crowd <= 166
    });
    let (now, by_day, before) = (places(&emails), places(&smallest_plan), places(&uncapped));
    let alone = (0..ORDINARY).collect::<Vec<_>>();
    for (what, its) in [
        ("without the flood", &alone),
        ("with it, smallest plan", &by_day),
        ("with it, daily quota off", &now),
        ("with it and without caps", &before),
    ] {
        let (mean, last) = (mean(its), *its.last().unwrap() as f64);
        println!(
            "ordinary applicants {what}: {mean:.0} messages ahead on average, {last:.0} of the last one; \
             {:.0} s and {:.0} s at 10 calls in 5 s",
            seconds(mean),
            seconds(last)
        );
    }
    println!("flood: {for_one} forms for one address -> 3 on the queue; {from_one} from one network -> {admitted}");
}

fn count(crowd: &[(String, String)], part: &str) -> usize {
    crowd.iter().filter(|(email, _)| email.contains(part)).count()
}

#[tokio::test]
async fn three_of_many_simultaneous_forms_for_one_address_are_queued() {
    let mut intake = Intake::new().await;
    for _ in 0..3 {
        intake.function.add_process().await.unwrap();
    }
    let cities: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let answers = join_all(cities.iter().map(|city| intake.post("asha@example.test", city, "203.0.113.1"))).await;
    assert!(answers.iter().all(|answer| answer.status == 202));
    let queued = intake.queued().await.len();
    // Each tries ten times before it counts as contended. Fewer than three are queued only when all of them collide for
    // that long.
    assert!((1..=3).contains(&queued), "{queued}");
    assert_eq!(queued + intake.held().await.len(), cities.len());
}

#[tokio::test]
async fn the_daily_cap_of_a_network_is_a_share_of_the_calls_and_of_the_mails() {
    // 5 % of 40 mails are two applications, and so are 5 % of 120 calls at three calls each.
    for (name, value, other) in
        [("MAIL_BUDGET", "40", ("ALLOWANCE_DAILY", "none")), ("ALLOWANCE_DAILY", "120", ("MAIL_BUDGET", "10000"))]
    {
        let intake = Intake::of(&[(name, value), other]).await;
        for number in 0..4 {
            intake.post(&format!("a{number}@example.test"), "", "203.0.113.1").await.receipt();
        }
        assert_eq!(intake.queued().await.len(), 2, "{name}");
        assert_eq!(intake.causes().await, causes([("network-day", 2)]), "{name}");
        intake.post("b@example.test", "", "203.0.113.2").await.receipt();
        assert_eq!(intake.queued().await.len(), 1, "another network, {name}");
    }
    // Without a daily quota in the template, the smallest plan's calls are used.
    let intake = Intake::of(&[("MAIL_BUDGET", "1000000"), ("INTAKE_LIMITS", r#"{"network_share":1}"#)]).await;
    let emails: Vec<_> = (0..40).map(|number| format!("a{number}@example.test")).collect();
    for email in &emails {
        intake.post(email, "", "203.0.113.1").await.receipt();
    }
    assert_eq!(intake.queued().await.len(), 33, "one percent of 10,000 calls at three each");
}

#[tokio::test]
async fn one_mailbox_gets_twenty_forms_an_hour_across_spellings_and_networks() {
    let intake = Intake::new().await;
    for number in 0..23 {
        let email = match number % 3 {
            0 => format!("asha+{number}@pay.test"),
            // Three Cyrillic letters that look like p, a and y.
            1 => format!("asha+{number}@\u{440}\u{430}\u{443}.test"),
            _ => format!("Asha+{number}@PAY.test"),
        };
        intake.post(&email, "", &format!("203.0.113.{number}")).await.receipt();
    }
    assert_eq!(intake.queued().await.len(), 20);
    assert_eq!(intake.causes().await, causes([("mailbox", 3)]));
}

#[tokio::test]
async fn an_ipv6_site_has_five_times_a_networks_cap_and_counts_as_one_network_for_a_person() {
    let intake = Intake::with_limits(r#"{"network":2}"#).await;
    for number in 0..3 {
        intake.post(&format!("a{number}@example.test"), "", &format!("2001:db8:1:1::{number}")).await.receipt();
    }
    assert_eq!((intake.queued().await.len(), intake.causes().await), (2, causes([("network", 1)])));
    for number in 0..20 {
        intake.post(&format!("b{number}@example.test"), "", &format!("2001:db8:1:{}::1", 16 + number)).await.receipt();
    }
    assert_eq!(intake.queued().await.len(), 8, "ten forms of the site in all");
    let intake = Intake::new().await;
    for number in 0..5 {
        intake.post("asha@example.test", &number.to_string(), &format!("2001:db8:1:{number}::1")).await.receipt();
    }
    assert_eq!(intake.queued().await.len(), 3);
}

#[tokio::test]
async fn an_identical_repeat_gets_the_same_answer_and_is_not_counted() {
    let intake = Intake::new().await;
    let keyed = |key: &'static str| form("asha@example.test", key).header("idempotency-key", key);
    let mut receipts = BTreeSet::new();
    for _ in 0..5 {
        receipts.insert(intake.send(keyed("one")).await.receipt());
    }
    assert_eq!((receipts.len(), intake.queued().await.len()), (1, 1));
    for key in ["two", "three", "four"] {
        intake.send(keyed(key)).await.receipt();
    }
    assert_eq!((intake.queued().await.len(), intake.causes().await), (2, causes([("person-and-network", 1)])));
    // A repeat of a held form is not held again. A repeat of an accepted one goes to the queue, which drops it.
    let before = intake.held().await;
    for key in ["four", "four", "one", "two"] {
        intake.send(keyed(key)).await.receipt();
    }
    assert_eq!(intake.held().await, before);
    let [sender] = &intake.items("sender#").await[..] else { panic!("one network") };
    let window = sender.iter().find(|(name, _)| name.starts_with("form-")).unwrap();
    assert_eq!((window.1.as_n().unwrap().as_str(), sender["held"].as_n().unwrap().as_str()), ("3", "1"));
    // A corrected form needs a new key, whether the first one was held or queued.
    for key in ["four", "one"] {
        let other = intake.send(form("asha@example.test", "elsewhere").header("idempotency-key", key)).await;
        assert_eq!((other.status, other.faulty_fields()), (422, vec!["Idempotency-Key".to_owned()]), "{key}");
    }
    assert_eq!((intake.queued().await.len(), intake.held().await), (0, before));
}

#[tokio::test]
async fn a_repeat_of_a_decided_application_is_neither_held_nor_queued() {
    let intake = Intake::with_limits(r#"{"network":1}"#).await;
    intake.post("first@example.test", "", "203.0.113.1").await.receipt();
    let repeat = || intake.send(form("asha@example.test", "").header("idempotency-key", "k").from("203.0.113.1"));
    let receipt = repeat().await.receipt();
    assert_eq!(intake.queued().await.len(), 1);
    let pk = AttributeValue::S(format!("held#{receipt}"));
    let decide = intake.aws.dynamodb().update_item().table_name(&intake.table).key("pk", pk);
    let decide = decide.update_expression("SET decision = :accepted, decided_at = :now");
    let decide = decide.expression_attribute_values(":accepted", AttributeValue::S("accepted".to_owned()));
    decide.expression_attribute_values(":now", AttributeValue::N("1".to_owned())).send().await.unwrap();
    let before = intake.held().await;
    assert_eq!(repeat().await.receipt(), receipt);
    assert_eq!((intake.held().await, intake.queued().await.len()), (before, 0));
}

#[tokio::test]
async fn simultaneous_copies_do_not_exceed_the_cap_of_a_network() {
    let mut intake = Intake::with_limits(r#"{"network":2}"#).await;
    intake.function.add_process().await.unwrap();
    let emails: Vec<_> = (0..20).map(|number| format!("a{number}@example.test")).collect();
    for email in &emails {
        let copies = [0, 1].map(|_| intake.post(email, "", "203.0.113.1"));
        for answer in join_all(copies).await {
            answer.receipt();
        }
    }
    let queued = intake.queued().await.len();
    assert!(queued <= 2, "{queued}");
    assert_eq!(queued + intake.held().await.len(), emails.len());
}

#[tokio::test]
async fn a_held_application_gets_the_usual_answer_and_is_stored_for_an_operator() {
    let intake = Intake::with_limits(r#"{"network":1}"#).await;
    let accepted = intake.post("first@example.test", "", "203.0.113.1").await;
    assert_eq!(intake.queued().await.len(), 1);
    let at = unix_now();
    let held = intake.post("c4nary@example.test", "c4nary city", "203.0.113.1").await;
    let anonymous = |answer: &Answer| answer.body.replace(&answer.receipt(), "receipt");
    assert_eq!((held.status, &held.headers), (accepted.status, &accepted.headers));
    assert_eq!(anonymous(&held), anonymous(&accepted));
    let browser = async |email: &str, address: &str| {
        let page = intake.send(form(email, "").accept(BROWSER).from(address)).await;
        (page.status, page.headers, page.body.split("Your receipt").next().unwrap().to_owned())
    };
    assert_eq!(browser("third@example.test", "203.0.113.1").await, browser("fourth@example.test", "203.0.113.4").await);

    let pk = format!("held#{}", held.receipt());
    let items = intake.held().await;
    let item = items.iter().find(|item| text(item, "pk") == pk).unwrap();
    let person = PersonKey::of(&"c4nary@example.test".parse().unwrap());
    assert_eq!((text(item, "person"), text(item, "cause")), (person.as_str().to_owned(), "network".to_owned()));
    assert_eq!(text(item, "source"), "form");
    let network = text(item, "network");
    assert!(network.len() == 64 && network.bytes().all(|byte| byte.is_ascii_hexdigit()), "{network}");
    let number = |name: &str| item[name].as_n().unwrap().parse::<i64>().unwrap();
    assert!((0..60).contains(&(number("held_at") - at)));
    assert_eq!(number("expires_at") - number("held_at"), 14 * 24 * 60 * 60);
    assert_eq!(text(item, "owner"), person.as_str());
    assert_eq!(item.len(), 9);
    let invitation = Invitation::decode(&text(item, "message")).unwrap();
    assert_eq!((invitation.id.to_string(), invitation.person()), (held.receipt(), person));

    let Intake { function, .. } = intake;
    let printed = function.stop().await;
    for canary in ["c4nary", "203.0.113.1", "first@"] {
        assert!(!printed.contains(canary), "{canary} is logged: {printed}");
    }
    let line = printed.lines().find(|line| line.contains(&held.receipt())).unwrap();
    assert!(line.contains(r#""level":"WARN""#) && line.contains(r#""cause":"network""#), "{line}");
    let counts = metrics(&printed);
    let is_counted = |name: &str, dimensions: &str| {
        counts.iter().any(|(its, with, value)| its == name && with == dimensions && *value == json!(1))
    };
    assert!(is_counted("Outcomes", "outcome=held") && is_counted("OutcomesBySource", "outcome=held source=form"));
}

#[tokio::test]
async fn a_form_with_a_filled_honeypot_is_held_and_counts_for_no_cap() {
    let intake = Intake::with_limits(r#"{"network":3}"#).await;
    for number in 0..5 {
        let robot = Request::json(&[("email", "asha@example.test"), ("website", "x"), ("city", &number.to_string())]);
        intake.send(robot).await.receipt();
    }
    assert_eq!((intake.queued().await.len(), intake.causes().await), (0, causes([("honeypot", 5)])));
    for number in 0..3 {
        // The same form without the hidden field.
        intake.post("asha@example.test", &number.to_string(), "203.0.113.7").await.receipt();
    }
    assert_eq!(intake.queued().await.len(), 3);
}

#[tokio::test]
async fn a_networks_hash_has_a_salt_that_the_table_does_not_have() {
    let mut hashes = BTreeSet::new();
    for salt in ["salt of a stack", "salt of another stack"] {
        let intake = Intake::of(&[("NETWORK_SALT", salt)]).await;
        let robot = Request::json(&[("email", "asha@example.test"), ("website", "x")]).from("203.0.113.7");
        intake.send(robot).await.receipt();
        let items = intake.aws.items(&intake.table).await;
        assert!(!format!("{items:?}").contains(salt), "{items:?}");
        hashes.extend(items.iter().filter_map(|item| item.get("network")).map(|hash| hash.as_s().unwrap().clone()));
    }
    assert_eq!(hashes.len(), 2, "{hashes:?}");
}

#[test]
fn all_functions_of_a_stack_have_the_same_salt() {
    let template = Template::read();
    let salts = template
        .functions()
        .into_iter()
        .filter_map(|(_, function)| template.environment(function).get("NETWORK_SALT").map(ToString::to_string));
    let salts: Vec<_> = salts.collect();
    assert!(salts.len() == 3 && salts.iter().all(|salt| *salt == salts[0]), "{salts:?}");
}

#[tokio::test]
async fn a_network_over_its_cap_of_held_applications_gets_429_and_a_time_to_retry() {
    let intake = Intake::with_limits(r#"{"network":1,"held":2}"#).await;
    for number in 0..3 {
        intake.post(&format!("a{number}@example.test"), "", "203.0.113.1").await.receipt();
    }
    for (accept, content_type) in
        [("application/json", "application/problem+json"), (BROWSER, "text/html; charset=utf-8")]
    {
        let refused = intake.send(form("late@example.test", "").from("203.0.113.1").accept(accept)).await;
        assert_eq!((refused.status, refused.headers["content-type"].as_str()), (429, content_type), "{}", refused.body);
        assert!(refused.retries_within(901));
    }
    let robot = Request::json(&[("email", "b@example.test"), ("website", "x")]).from("203.0.113.1");
    assert_eq!(intake.send(robot).await.status, 429);
    assert_eq!((intake.queued().await.len(), intake.held().await.len()), (1, 2));
    intake.post("b@example.test", "", "203.0.113.2").await.receipt();
    assert_eq!(intake.queued().await.len(), 1, "another network");
}

#[tokio::test]
async fn a_sender_with_a_form_key_has_its_own_caps_and_names_its_visitors() {
    let intake = Intake::with_limits(r#"{"network":2,"form_key":5,"person_and_network":1}"#).await;
    let keyed = |email: &str, city: &str, visitor: &str| {
        form(email, city).header("x-form-key", FORM_KEY).header("x-visitor-address", visitor).from("198.51.100.9")
    };
    for number in 0..3 {
        intake.send(keyed(&format!("a{number}@example.test"), "", "203.0.113.1")).await.receipt();
    }
    let queued = intake.queued().await;
    assert_eq!(queued.len(), 3, "the sender's own network has no cap");
    assert!(queued.iter().all(|invitation| invitation.provenance == Provenance::Keyed));
    // The person has one form from the visitor's network, and one from another network.
    intake.send(keyed("a0@example.test", "again", "203.0.113.1")).await.receipt();
    intake.send(keyed("a0@example.test", "again, elsewhere", "203.0.113.2")).await.receipt();
    assert_eq!((intake.queued().await.len(), intake.causes().await), (1, causes([("person-and-network", 1)])));
    intake.send(keyed("a5@example.test", "", "203.0.113.1")).await.receipt();
    intake.send(keyed("a6@example.test", "", "no address")).await.receipt();
    assert_eq!(intake.queued().await.len(), 1);
    assert_eq!(intake.causes().await, causes([("form-key", 1), ("person-and-network", 1)]));

    // With a wrong key the sender's own network counts, and the visitor's address is ignored.
    for number in 0..3 {
        let wrong = form(&format!("w{number}@example.test"), "").header("x-form-key", "wrong");
        intake
            .send(wrong.header("x-visitor-address", &format!("203.0.113.{number}")).from("198.51.100.9"))
            .await
            .receipt();
    }
    let queued = intake.queued().await;
    assert_eq!(queued.len(), 2);
    assert!(queued.iter().all(|invitation| invitation.provenance == Provenance::Public));
    let printed = intake.function.stop().await;
    assert!(printed.contains("x-form-key is not in FORM_KEY_HASHES") && !printed.contains("198.51.100.9"), "{printed}");
}

#[tokio::test]
async fn a_password_from_a_form_without_a_key_never_reaches_the_queue() {
    let intake = Intake::new().await;
    let with_password =
        |email: &str| Request::json(&[("email", email), ("password", "C4nary Horse battery!")]).from("203.0.113.1");
    intake.send(with_password("a@example.test")).await.receipt();
    intake.send(with_password("b@example.test").header("x-form-key", "wrong")).await.receipt();
    let queued = intake.queued().await;
    assert_eq!(queued.len(), 2);
    assert!(queued.iter().all(|invitation| invitation.password.is_none()));
    intake.send(with_password("c@example.test").header("x-form-key", FORM_KEY)).await.receipt();
    assert!(intake.queued().await[0].password.is_some());
    let printed = intake.function.stop().await;
    assert!(!printed.contains("C4nary"), "{printed}");
    assert_eq!(printed.matches("chosen password discarded").count(), 2, "{printed}");
    assert_eq!(count_of(&printed, "PasswordsDiscarded"), 2);
}

#[tokio::test]
async fn a_held_password_is_encrypted() {
    let intake = Intake::with_limits(r#"{"form_key":1}"#).await;
    let request = |email: &str| {
        Request::json(&[("email", email), ("password", "C4nary Horse battery!")]).header("x-form-key", FORM_KEY)
    };
    for email in ["a@example.test", "b@example.test"] {
        intake.send(request(email)).await.receipt();
    }
    let [item] = &intake.held().await[..] else { panic!("one is held") };
    let message = text(item, "message");
    assert!(!message.contains("C4nary") && message.contains(r#""password":""#), "{message}");
}

#[tokio::test]
async fn a_form_that_the_queue_refuses_does_not_count() {
    let intake = Intake::new().await;
    let Intake { aws, function, queue, table } = intake;
    queue.remove().await;
    let send = async |number: usize| {
        let request = form("asha@example.test", &number.to_string()).from("203.0.113.1");
        Answer::read(function.invoke(&request.event(), TIMEOUT).await.unwrap())
    };
    for number in 0..5 {
        let refused = send(number).await;
        assert_eq!(refused.status, 503, "{}", refused.body);
        assert!(refused.retries_within(3600));
    }
    let queue = aws.queue("invitations").await;
    for number in 0..4 {
        assert_eq!(send(number).await.status, 202);
    }
    let intake = Intake { aws, function, queue, table };
    assert_eq!((intake.queued().await.len(), intake.causes().await), (3, causes([("person-and-network", 1)])));
}

#[tokio::test]
async fn without_its_table_each_process_counts_by_itself_and_logs_one_error() {
    // An earlier template names no table. A deleted table is like a role without permission.
    for (changes, error) in [
        (vec![NO_DAILY_CAP[0], NO_DAILY_CAP[1], ("LEDGER_TABLE", "")], "LEDGER_TABLE is not set"),
        (vec![NO_DAILY_CAP[0], NO_DAILY_CAP[1], ("LEDGER_TABLE", "nowhere")], "could not count in the ledger"),
    ] {
        let intake = Intake::of(&changes).await;
        for city in ["one", "two", "three", "one"] {
            let answer = intake.send(form("asha@example.test", city).header("idempotency-key", city)).await;
            assert_eq!(answer.status, 202, "{}", answer.body);
        }
        let full = intake.post("asha@example.test", "four", "203.0.113.7").await;
        assert_eq!(full.status, 503, "{}", full.body);
        assert!(full.retries_within(3601));
        intake.post("ravi@example.test", "", "203.0.113.7").await.receipt();
        assert_eq!(intake.queued().await.len(), 4);
        let printed = intake.function.stop().await;
        assert_eq!(errors(&printed).iter().filter(|line| line.contains(error)).count(), 1, "{printed}");
    }
}

#[tokio::test]
async fn an_outage_of_the_table_loses_no_form_and_counting_resumes_after_it() {
    let aws = Aws::new().await;
    let network = TcpProxy::to(aws.endpoint()).await;
    let intake = Intake::of(&[NO_DAILY_CAP[0], NO_DAILY_CAP[1], ("AWS_ENDPOINT_URL_DYNAMODB", &network.url())]).await;
    network.switch(false);
    for city in ["one", "two", "three"] {
        intake.post("asha@example.test", city, "203.0.113.1").await.receipt();
    }
    assert_eq!(intake.post("asha@example.test", "four", "203.0.113.1").await.status, 503);
    let robot = Request::json(&[("email", "b@example.test"), ("website", "x")]);
    assert_eq!(intake.send(robot).await.status, 503, "it cannot be held");
    assert_eq!(intake.queued().await.len(), 3);
    network.switch(true);
    intake.post("asha@example.test", "four", "203.0.113.1").await.receipt();
    assert_eq!(intake.queued().await.len(), 1);
}

#[tokio::test]
async fn a_throttled_table_admits_no_form() {
    let table = Server::failing(400, "ThrottlingException").await;
    let intake = Intake::of(&[NO_DAILY_CAP[0], NO_DAILY_CAP[1], ("AWS_ENDPOINT_URL_DYNAMODB", &table.url)]).await;
    assert_eq!(intake.post("asha@example.test", "one", "203.0.113.1").await.status, 503);
    assert_eq!(intake.queued().await.len(), 0);
}

/// The calls that reached DynamoDB, and the conflicts that are still to happen.
#[derive(Clone, Default)]
struct Traffic {
    operations: Arc<Mutex<Vec<String>>>,
    /// How many transactions fail because they meet another one.
    conflicts: Arc<AtomicUsize>,
}

/// DynamoDB's answer to a transaction of two writes that met another transaction.
const CONFLICT: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
    "message":"cancelled","CancellationReasons":[{"Code":"TransactionConflict"},{"Code":"None"}]}"#;

/// A proxy to DynamoDB that records the traffic and makes conflicts.
async fn recording_proxy(aws: &Aws) -> (Server, Traffic) {
    let traffic = Traffic::default();
    let record = traffic.clone();
    let intercept = move |call: aws_endpoint::Call| {
        let one_less = |left: usize| left.checked_sub(1);
        let is_conflict = call.operation == "TransactWriteItems"
            && record.conflicts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
        if !is_conflict {
            record.operations.lock().unwrap().push(call.operation);
        }
        ready(is_conflict.then(|| (StatusCode::BAD_REQUEST, CONFLICT).into_response()))
    };
    (aws_endpoint::proxy(aws, intercept).await, traffic)
}

#[tokio::test]
async fn an_accepted_form_makes_two_calls_to_the_table() {
    let (table, traffic) = recording_proxy(&Aws::new().await).await;
    let operations = &traffic.operations;
    let limits = r#"{"network":4,"person_and_network":1}"#;
    let intake = Intake::of(&[
        NO_DAILY_CAP[0],
        NO_DAILY_CAP[1],
        ("INTAKE_LIMITS", limits),
        ("AWS_ENDPOINT_URL_DYNAMODB", &table.url),
    ])
    .await;
    for (email, key, expected) in [
        ("a@example.test", "first", &["UpdateItem", "TransactWriteItems"][..]),
        ("b@example.test", "second", &["UpdateItem", "TransactWriteItems"]),
        // A repeat, a person over the cap, and at the end a network over the cap.
        ("a@example.test", "first", &["UpdateItem", "TransactWriteItems", "UpdateItem"]),
        ("a@example.test", "other", &["UpdateItem", "TransactWriteItems", "TransactWriteItems", "UpdateItem"]),
        ("c@example.test", "third", &["UpdateItem", "TransactWriteItems"]),
        ("d@example.test", "fourth", &["UpdateItem", "TransactWriteItems"]),
        ("e@example.test", "fifth", &["UpdateItem", "UpdateItem", "TransactWriteItems"]),
    ] {
        let request = form(email, "").header("idempotency-key", key).from("203.0.113.1");
        operations.lock().unwrap().clear();
        intake.send(request).await.receipt();
        let made = operations.lock().unwrap().clone();
        // Two of them are made at the same time, in either order.
        let (mut made_sorted, mut expected_sorted) = (made.clone(), expected.to_vec());
        made_sorted.sort();
        expected_sorted.sort_unstable();
        assert_eq!(made_sorted, expected_sorted, "{email} {key}: {made:?}");
    }
}

#[tokio::test]
async fn forms_that_collide_on_one_person_do_not_exceed_the_caps() {
    let (table, traffic) = recording_proxy(&Aws::new().await).await;
    let intake = Intake::of(&[NO_DAILY_CAP[0], NO_DAILY_CAP[1], ("AWS_ENDPOINT_URL_DYNAMODB", &table.url)]).await;
    // A short collision is waited for. During a long one the person counts as over the cap.
    for (conflicts, queued, held) in [(3, 1, 0), (10, 0, 1)] {
        traffic.conflicts.store(conflicts, Ordering::Relaxed);
        intake.post("asha@example.test", &conflicts.to_string(), "203.0.113.1").await.receipt();
        assert_eq!((intake.queued().await.len(), intake.held().await.len()), (queued, held), "{conflicts}");
    }
    assert_eq!(intake.causes().await, causes([("contended", 1)]));
    // A form that can neither be admitted nor held is refused: the sender has to send it again.
    traffic.conflicts.store(20, Ordering::Relaxed);
    let answer = intake.post("asha@example.test", "20", "203.0.113.1").await;
    assert_eq!((answer.status, answer.headers.contains_key("retry-after")), (503, true), "{}", answer.body);
    assert_eq!((intake.queued().await.len(), intake.held().await.len()), (0, 1));
    // Neither of the two refused forms counts for the network.
    let [sender] = &intake.items("sender#").await[..] else { panic!("one network") };
    let window = sender.iter().find(|(name, _)| name.starts_with("form-")).unwrap();
    assert_eq!(window.1.as_n().unwrap(), "1");
}

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05.678 UTC);

fn mark_of(name: &str) -> ApplicationMarker {
    let owner = Owner::Person(PersonKey::of(&"asha@example.com".parse().unwrap()));
    ApplicationMarker { hash: name.to_owned(), payload: name.to_owned(), owner }
}

fn places(hash: &str, count: u32) -> KeyedLimit {
    KeyedLimit { hash: hash.to_owned(), count, window: Duration::from_secs(100) }
}

#[tokio::test]
async fn places_are_free_a_window_after_they_were_taken_and_can_be_returned_in_any_order() {
    let table = Table::<Ledger>::of(Ledger::new).await;
    let asha = [places("asha", 3), places("mailbox", 20)];
    let take = async |mark: &str, second: u64| {
        let at = NOW + Duration::from_secs(second);
        table.store.take_places(&asha, &mark_of(mark), at).await.unwrap()
    };
    for second in 0..3 {
        assert_eq!(take(&format!("{second}"), second).await, PlacesResult::All);
    }
    assert_eq!(take("1", 3).await, PlacesResult::Repeat { is_held: false });
    let full = |seconds| PlacesResult::Full { first: 0, retry_after: Duration::from_secs(seconds) };
    assert_eq!(take("3", 3).await, full(97));
    // Returning the middle one, even twice, frees one place and its mark.
    let give = async |mark: &str, second: u64| {
        let at = NOW + Duration::from_secs(second);
        table.store.give_places_back(&asha, &mark_of(mark), at).await.unwrap();
    };
    give("1", 1).await;
    give("1", 1).await;
    assert_eq!(take("1", 4).await, PlacesResult::All);
    assert_eq!(take("4", 5).await, full(95));
    // Each place is free one window after it was taken.
    assert_eq!(take("4", 99).await, full(1));
    assert_eq!(take("4", 100).await, PlacesResult::All);
    assert_eq!(take("5", 101).await, full(1));
    assert_eq!(take("5", 102).await, PlacesResult::All);
    assert_eq!(take("6", 103).await, full(1));
    let items = table.aws.items(&table.name).await;
    assert!(items.iter().all(|item| item.contains_key("expires_at")), "{items:?}");
}

#[tokio::test]
async fn no_period_of_one_window_has_more_forms_than_places() {
    let table = Table::<Ledger>::of(Ledger::new).await;
    let (mut now, mut admitted, mut random) = (NOW, Vec::new(), 7_u64);
    for number in 0..120 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        now += Duration::from_millis(random >> 49);
        let taken = table.store.take_places(&[places("asha", 3)], &mark_of(&number.to_string()), now).await.unwrap();
        match taken {
            PlacesResult::All => admitted.push(now),
            PlacesResult::Full { retry_after, .. } => {
                assert!(now + retry_after >= admitted[admitted.len() - 3] + Duration::from_secs(100))
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(admitted.len() > 20, "{}", admitted.len());
    for window in admitted.windows(4) {
        assert!(window[3] - window[0] >= time::Duration::seconds(100), "{window:?}");
    }
}

//! Intake's caps, seen from outside: what floods, repeats and outages put on the queue, what is held, and who is told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::Message;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract,
    http::{StatusCode, uri::PathAndQuery},
    response::IntoResponse,
};
use futures::{StreamExt, future::join_all, stream};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use ledger::{Ledger, Mark, Owner, Places, Taken};
use onboarding::{Invitation, PersonKey, Provenance};
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::invitation::aws_that_answers;
use crate::{
    application_form::{Answer, BROWSER, Request},
    doorway::Doorway,
    fixtures::{self, Aws, Queue, metrics},
    runtime_api::Function,
    template::Template,
};

const TIMEOUT: Duration = Duration::from_secs(20);
/// SHA-256 of `abc`: <https://csrc.nist.gov/projects/cryptographic-standards-and-guidelines/example-values>.
pub(crate) const KEY_HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
pub(crate) const KEY: &str = "abc";
const FIELDS: &str = r#"[{"name":"email","attribute":"EmailAddress","kind":"email","required":true},
    {"name":"city","attribute":"mx_City","kind":"text"},{"name":"website","kind":"honeypot"},
    {"name":"password","kind":"password"}]"#;
/// Caps of a network that no test reaches by accident.
const NO_DAY: [(&str, &str); 2] = [("ALLOWANCE_DAILY", "none"), ("MAIL_BUDGET", "1000000")];

/// A function behind an entry point, with its queue and its table.
struct Desk {
    aws: Aws,
    function: Function,
    queue: Queue,
    table: String,
}

impl Desk {
    async fn of(changes: &[(&str, &str)]) -> Self {
        let aws = Aws::new().await;
        let (queue, table, key) = (aws.queue("invitations").await, aws.table().await, aws.key().await);
        let mut settings = vec![
            ("INVITATIONS_QUEUE_URL", queue.url.as_str()),
            ("LEDGER_TABLE", &table),
            ("FORM_FIELDS", FIELDS),
            ("FORM_KEY_HASHES", KEY_HASH),
            ("PASSWORD_KEY", &key),
        ];
        settings.retain(|(name, _)| !changes.iter().any(|(other, _)| other == name));
        // What is not the template's goes to the process alone.
        let (known, others): (Vec<_>, Vec<_>) =
            changes.iter().copied().partition(|(name, _)| Template::read().gives("application-form", name));
        settings.extend(known);
        let mut environment = Template::read().settings("application-form", &settings);
        environment.extend(aws.environment());
        environment.retain(|(name, _)| !others.iter().any(|(other, _)| other == name));
        environment.extend(others.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let function = Function::start(fixtures::binary("application-form").await, environment).await.unwrap();
        Self { aws, function, queue, table }
    }

    async fn new() -> Self {
        Self::of(&NO_DAY).await
    }

    async fn with_limits(limits: &str) -> Self {
        Self::of(&[NO_DAY[0], NO_DAY[1], ("INTAKE_LIMITS", limits)]).await
    }

    async fn send(&self, request: Request<'_>) -> Answer {
        Answer::read(self.function.invoke(&request.event(), TIMEOUT).await.unwrap())
    }

    async fn post(&self, email: &str, city: &str, address: &str) -> Answer {
        self.send(form(email, city).from(address)).await
    }

    /// What lies on the queue, in order.
    async fn queued(&self) -> Vec<Invitation> {
        let mut messages = self.queue.drain().await;
        messages.sort_by_key(sequence_number);
        messages.iter().map(|message| Invitation::decode(message.body.as_deref().unwrap()).unwrap()).collect()
    }

    async fn items(&self, prefix: &str) -> Vec<HashMap<String, AttributeValue>> {
        let mut all = Vec::new();
        let mut from = None;
        loop {
            let scan = self.aws.dynamodb().scan().table_name(&self.table).consistent_read(true);
            let page = scan.set_exclusive_start_key(from).send().await.unwrap();
            all.extend(page.items().to_vec());
            from = page.last_evaluated_key;
            if from.is_none() {
                break;
            }
        }
        all.retain(|item| item["pk"].as_s().unwrap().starts_with(prefix));
        all
    }

    async fn held(&self) -> Vec<HashMap<String, AttributeValue>> {
        self.items("held#").await
    }

    /// Why applications are held, each as often as it is.
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

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Forms for one address and forms from one network, with ordinary applicants among them.
#[tokio::test]
async fn a_flood_takes_no_more_of_the_queue_than_its_caps_and_nothing_of_it_is_lost() {
    const FOR_ONE: usize = 60;
    const FROM_ONE: usize = 400;
    const ORDINARY: usize = 10;
    const QUARTER: u64 = 15 * 60;
    let mut desk = Desk::new().await;
    desk.function.add_process().await.unwrap();

    // An ordinary applicant comes after every so many of the flood.
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
            let desk = &desk;
            async move {
                let began = Instant::now();
                (desk.post(email, &number.to_string(), address).await, began.elapsed())
            }
        })
        .buffered(8)
        .collect()
        .await;
    let windows = usize::try_from(unix_now() / QUARTER - began).unwrap() + 1;

    for (answer, _) in &answers {
        assert_eq!((answer.status, answer.json()["status"].as_str()), (202, Some("accepted")), "{}", answer.body);
    }
    let queued = desk.queued().await;
    let emails: Vec<_> = queued.iter().map(|it| it.encode()).collect();
    let on_queue = |part: &str| emails.iter().filter(|message| message.contains(part)).count();
    assert_eq!(on_queue("victim@"), 3, "of {for_one} forms for one address from one network");
    let admitted = on_queue("crowd-");
    assert!(admitted <= 300 * windows, "{admitted} of {from_one} forms from one network");
    assert_eq!(on_queue("ordinary-"), ORDINARY);

    // Nothing is lost: what is not on the queue is held.
    let receipts: BTreeSet<_> = answers.iter().map(|(answer, _)| answer.receipt()).collect();
    assert_eq!(receipts.len(), crowd.len());
    let on_queue: BTreeSet<_> = queued.iter().map(|it| it.id.to_string()).collect();
    let mut stored = on_queue.clone();
    for item in desk.held().await {
        let id = text(&item, "pk").trim_start_matches("held#").to_owned();
        assert!(stored.insert(id), "an application is held and on the queue");
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

    // The same applicants alone, and what was ahead of each before there were caps.
    const CALLS_A_SECOND: f64 = 10.0 / 5.0;
    const CALLS_EACH: f64 = 3.0;
    let seconds = |ahead: f64| ahead * CALLS_EACH / CALLS_A_SECOND;
    let mean = |places: &[usize]| places.iter().sum::<usize>() as f64 / places.len() as f64;
    let places = |order: &[String]| -> Vec<usize> {
        order.iter().enumerate().filter(|(_, it)| it.contains("ordinary-")).map(|(place, _)| place).collect()
    };
    let uncapped: Vec<_> = crowd.iter().map(|(email, _)| email.clone()).collect();
    // Five percent of the smallest plan's 10,000 calls are 166 applications.
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
async fn of_many_forms_at_once_for_one_address_three_are_queued() {
    let mut desk = Desk::new().await;
    for _ in 0..3 {
        desk.function.add_process().await.unwrap();
    }
    let cities: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let answers = join_all(cities.iter().map(|city| desk.post("asha@example.test", city, "203.0.113.1"))).await;
    assert!(answers.iter().all(|answer| answer.status == 202));
    let queued = desk.queued().await.len();
    // Each asks ten times before it counts as one of a crowd: fewer than three only where all of them collide for that
    // long.
    assert!((1..=3).contains(&queued), "{queued}");
    assert_eq!(queued + desk.held().await.len(), cities.len());
}

#[tokio::test]
async fn the_day_of_a_network_is_a_share_of_the_calls_and_of_the_mails() {
    // Five percent of 40 mails are two applications; of 120 calls, at three each, two as well.
    for (name, value, other) in
        [("MAIL_BUDGET", "40", ("ALLOWANCE_DAILY", "none")), ("ALLOWANCE_DAILY", "120", ("MAIL_BUDGET", "10000"))]
    {
        let desk = Desk::of(&[(name, value), other]).await;
        for number in 0..4 {
            desk.post(&format!("a{number}@example.test"), "", "203.0.113.1").await.receipt();
        }
        assert_eq!(desk.queued().await.len(), 2, "{name}");
        assert_eq!(desk.causes().await, causes([("network-day", 2)]), "{name}");
        desk.post("b@example.test", "", "203.0.113.2").await.receipt();
        assert_eq!(desk.queued().await.len(), 1, "another network, {name}");
    }
    // The smallest plan's calls hold where the template says nothing of a daily quota.
    let desk = Desk::of(&[("MAIL_BUDGET", "1000000"), ("INTAKE_LIMITS", r#"{"network_share":1}"#)]).await;
    let emails: Vec<_> = (0..40).map(|number| format!("a{number}@example.test")).collect();
    for email in &emails {
        desk.post(email, "", "203.0.113.1").await.receipt();
    }
    assert_eq!(desk.queued().await.len(), 33, "one percent of 10,000 calls at three each");
}

#[tokio::test]
async fn one_mailbox_has_twenty_an_hour_whatever_its_spelling_and_wherever_they_come_from() {
    let desk = Desk::new().await;
    for number in 0..23 {
        let email = match number % 3 {
            0 => format!("asha+{number}@example.test"),
            1 => format!("\u{430}sha+{number}@example.test"),
            _ => format!("Asha+{number}@EXAMPLE.test"),
        };
        desk.post(&email, "", &format!("203.0.113.{number}")).await.receipt();
    }
    assert_eq!(desk.queued().await.len(), 20);
    assert_eq!(desk.causes().await, causes([("mailbox", 3)]));
}

#[tokio::test]
async fn a_site_of_ipv6_has_five_times_a_networks_cap_and_a_person_one_place_in_all_of_it() {
    let desk = Desk::with_limits(r#"{"network":2}"#).await;
    for number in 0..3 {
        desk.post(&format!("a{number}@example.test"), "", &format!("2001:db8:1:1::{number}")).await.receipt();
    }
    assert_eq!((desk.queued().await.len(), desk.causes().await), (2, causes([("network", 1)])));
    for number in 0..20 {
        desk.post(&format!("b{number}@example.test"), "", &format!("2001:db8:1:{}::1", 16 + number)).await.receipt();
    }
    assert_eq!(desk.queued().await.len(), 8, "ten of the site in all");
    let desk = Desk::new().await;
    for number in 0..5 {
        desk.post("asha@example.test", &number.to_string(), &format!("2001:db8:1:{number}::1")).await.receipt();
    }
    assert_eq!(desk.queued().await.len(), 3);
}

#[tokio::test]
async fn an_identical_repeat_is_answered_the_same_and_not_counted() {
    let desk = Desk::new().await;
    let keyed = |key: &'static str| form("asha@example.test", key).header("idempotency-key", key);
    let mut receipts = BTreeSet::new();
    for _ in 0..5 {
        receipts.insert(desk.send(keyed("one")).await.receipt());
    }
    assert_eq!((receipts.len(), desk.queued().await.len()), (1, 1));
    for key in ["two", "three", "four"] {
        desk.send(keyed(key)).await.receipt();
    }
    assert_eq!((desk.queued().await.len(), desk.causes().await), (2, causes([("person-and-network", 1)])));
    // Its repeats are not held a second time, and those of an accepted one go on to the queue, which knows them.
    let before = desk.held().await;
    for key in ["four", "four", "one", "two"] {
        desk.send(keyed(key)).await.receipt();
    }
    assert_eq!(desk.held().await, before);
    let [sender] = &desk.items("sender#").await[..] else { panic!("one network") };
    let window = sender.iter().find(|(name, _)| name.starts_with("form-")).unwrap();
    assert_eq!((window.1.as_n().unwrap().as_str(), sender["held"].as_n().unwrap().as_str()), ("3", "1"));
    // A corrected form needs a key of its own, whether the first one was held or went to the queue.
    for key in ["four", "one"] {
        let other = desk.send(form("asha@example.test", "elsewhere").header("idempotency-key", key)).await;
        assert_eq!((other.status, other.faulty_fields()), (422, vec!["Idempotency-Key".to_owned()]), "{key}");
    }
    assert_eq!((desk.queued().await.len(), desk.held().await), (0, before));
}

#[tokio::test]
async fn an_application_that_was_decided_about_is_neither_held_again_nor_sent_again() {
    let desk = Desk::with_limits(r#"{"network":1}"#).await;
    desk.post("first@example.test", "", "203.0.113.1").await.receipt();
    let repeat = || desk.send(form("asha@example.test", "").header("idempotency-key", "k").from("203.0.113.1"));
    let receipt = repeat().await.receipt();
    assert_eq!(desk.queued().await.len(), 1);
    let pk = AttributeValue::S(format!("held#{receipt}"));
    let decide = desk.aws.dynamodb().update_item().table_name(&desk.table).key("pk", pk);
    let decide = decide.update_expression("SET decision = :accepted, decided_at = :now");
    let decide = decide.expression_attribute_values(":accepted", AttributeValue::S("accepted".to_owned()));
    decide.expression_attribute_values(":now", AttributeValue::N("1".to_owned())).send().await.unwrap();
    let before = desk.held().await;
    assert_eq!(repeat().await.receipt(), receipt);
    assert_eq!((desk.held().await, desk.queued().await.len()), (before, 0));
}

#[tokio::test]
async fn two_copies_at_once_get_nothing_past_a_network_that_is_full() {
    let mut desk = Desk::with_limits(r#"{"network":2}"#).await;
    desk.function.add_process().await.unwrap();
    let emails: Vec<_> = (0..20).map(|number| format!("a{number}@example.test")).collect();
    for email in &emails {
        let copies = [0, 1].map(|_| desk.post(email, "", "203.0.113.1"));
        for answer in join_all(copies).await {
            answer.receipt();
        }
    }
    let queued = desk.queued().await.len();
    assert!(queued <= 2, "{queued}");
    assert_eq!(queued + desk.held().await.len(), emails.len());
}

#[tokio::test]
async fn a_held_application_is_answered_like_any_other_and_kept_for_an_operator() {
    let desk = Desk::with_limits(r#"{"network":1}"#).await;
    let accepted = desk.post("first@example.test", "", "203.0.113.1").await;
    assert_eq!(desk.queued().await.len(), 1);
    let at = i64::try_from(unix_now()).unwrap();
    let held = desk.post("c4nary@example.test", "c4nary city", "203.0.113.1").await;
    let anonymous = |answer: &Answer| answer.body.replace(&answer.receipt(), "receipt");
    assert_eq!((held.status, &held.headers), (accepted.status, &accepted.headers));
    assert_eq!(anonymous(&held), anonymous(&accepted));
    let browser = async |email: &str, address: &str| {
        let page = desk.send(form(email, "").accept(BROWSER).from(address)).await;
        (page.status, page.headers, page.body.split("Your receipt").next().unwrap().to_owned())
    };
    assert_eq!(browser("third@example.test", "203.0.113.1").await, browser("fourth@example.test", "203.0.113.4").await);

    let pk = format!("held#{}", held.receipt());
    let items = desk.held().await;
    let item = items.iter().find(|item| text(item, "pk") == pk).unwrap();
    let person = PersonKey::of(&"c4nary@example.test".parse().unwrap());
    assert_eq!((text(item, "person"), text(item, "cause")), (person.as_str().to_owned(), "network".to_owned()));
    assert_eq!(text(item, "source"), "form");
    let network = text(item, "network");
    assert!(network.len() == 64 && network.bytes().all(|byte| byte.is_ascii_hexdigit()), "{network}");
    let number = |name: &str| item[name].as_n().unwrap().parse::<i64>().unwrap();
    assert!((0..60).contains(&(number("held_at") - at)));
    assert_eq!(number("expires_at") - number("held_at"), 14 * 24 * 60 * 60);
    assert_eq!(item.len(), 8);
    let invitation = Invitation::decode(&text(item, "message")).unwrap();
    assert_eq!((invitation.id.to_string(), invitation.person()), (held.receipt(), person));

    let Desk { function, .. } = desk;
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
async fn a_robots_form_is_held_and_takes_nobodys_places() {
    let desk = Desk::with_limits(r#"{"network":3}"#).await;
    for number in 0..5 {
        let robot = Request::json(&[("email", "asha@example.test"), ("website", "x"), ("city", &number.to_string())]);
        desk.send(robot).await.receipt();
    }
    assert_eq!((desk.queued().await.len(), desk.causes().await), (0, causes([("honeypot", 5)])));
    for number in 0..3 {
        // The very same but for the field that people do not see.
        desk.post("asha@example.test", &number.to_string(), "203.0.113.7").await.receipt();
    }
    assert_eq!(desk.queued().await.len(), 3);
}

#[tokio::test]
async fn a_network_with_as_many_held_applications_as_it_may_have_is_told_to_wait() {
    let desk = Desk::with_limits(r#"{"network":1,"held":2}"#).await;
    for number in 0..3 {
        desk.post(&format!("a{number}@example.test"), "", "203.0.113.1").await.receipt();
    }
    for (accept, content_type) in
        [("application/json", "application/problem+json"), (BROWSER, "text/html; charset=utf-8")]
    {
        let refused = desk.send(form("late@example.test", "").from("203.0.113.1").accept(accept)).await;
        assert_eq!((refused.status, refused.headers["content-type"].as_str()), (429, content_type), "{}", refused.body);
        assert!(refused.headers["retry-after"].parse::<u32>().is_ok_and(|seconds| (1..=901).contains(&seconds)));
    }
    let robot = Request::json(&[("email", "b@example.test"), ("website", "x")]).from("203.0.113.1");
    assert_eq!(desk.send(robot).await.status, 429);
    assert_eq!((desk.queued().await.len(), desk.held().await.len()), (1, 2));
    desk.post("b@example.test", "", "203.0.113.2").await.receipt();
    assert_eq!(desk.queued().await.len(), 1, "another network");
}

#[tokio::test]
async fn a_sender_with_a_form_key_has_caps_of_its_own_and_names_its_visitors() {
    let desk = Desk::with_limits(r#"{"network":2,"form_key":5,"person_and_network":1}"#).await;
    let keyed = |email: &str, city: &str, visitor: &str| {
        form(email, city).header("x-form-key", KEY).header("x-visitor-address", visitor).from("198.51.100.9")
    };
    for number in 0..3 {
        desk.send(keyed(&format!("a{number}@example.test"), "", "203.0.113.1")).await.receipt();
    }
    let queued = desk.queued().await;
    assert_eq!(queued.len(), 3, "the sender's address has no cap");
    assert!(queued.iter().all(|invitation| invitation.provenance == Provenance::Keyed));
    // One place for the person and the visitor's network, and another one elsewhere.
    desk.send(keyed("a0@example.test", "again", "203.0.113.1")).await.receipt();
    desk.send(keyed("a0@example.test", "again, elsewhere", "203.0.113.2")).await.receipt();
    assert_eq!((desk.queued().await.len(), desk.causes().await), (1, causes([("person-and-network", 1)])));
    desk.send(keyed("a5@example.test", "", "203.0.113.1")).await.receipt();
    desk.send(keyed("a6@example.test", "", "no address")).await.receipt();
    assert_eq!(desk.queued().await.len(), 1);
    assert_eq!(desk.causes().await, causes([("form-key", 1), ("person-and-network", 1)]));

    // A wrong key is no key: the sender's own network counts, and nobody else's is named.
    for number in 0..3 {
        let wrong = form(&format!("w{number}@example.test"), "").header("x-form-key", "wrong");
        desk.send(wrong.header("x-visitor-address", &format!("203.0.113.{number}")).from("198.51.100.9"))
            .await
            .receipt();
    }
    let queued = desk.queued().await;
    assert_eq!(queued.len(), 2);
    assert!(queued.iter().all(|invitation| invitation.provenance == Provenance::Public));
    let printed = desk.function.stop().await;
    assert!(
        printed.contains("x-form-key is none of FORM_KEY_HASHES") && !printed.contains("198.51.100.9"),
        "{printed}"
    );
}

#[tokio::test]
async fn a_password_from_a_form_without_a_key_never_reaches_the_queue() {
    let desk = Desk::new().await;
    let with_password =
        |email: &str| Request::json(&[("email", email), ("password", "C4nary Horse battery!")]).from("203.0.113.1");
    desk.send(with_password("a@example.test")).await.receipt();
    desk.send(with_password("b@example.test").header("x-form-key", "wrong")).await.receipt();
    let queued = desk.queued().await;
    assert_eq!(queued.len(), 2);
    assert!(queued.iter().all(|invitation| invitation.password.is_none()));
    desk.send(with_password("c@example.test").header("x-form-key", KEY)).await.receipt();
    assert!(desk.queued().await[0].password.is_some());
    let printed = desk.function.stop().await;
    assert!(!printed.contains("C4nary"), "{printed}");
    assert_eq!(printed.matches("password was discarded").count(), 2, "{printed}");
    let discarded = metrics(&printed).into_iter().filter(|(name, ..)| name == "PasswordsDiscarded").count();
    assert_eq!(discarded, 2);
}

#[tokio::test]
async fn a_held_password_is_sealed() {
    let desk = Desk::with_limits(r#"{"form_key":1}"#).await;
    let request = |email: &str| {
        Request::json(&[("email", email), ("password", "C4nary Horse battery!")]).header("x-form-key", KEY)
    };
    for email in ["a@example.test", "b@example.test"] {
        desk.send(request(email)).await.receipt();
    }
    let [item] = &desk.held().await[..] else { panic!("one is held") };
    let message = text(item, "message");
    assert!(!message.contains("C4nary") && message.contains(r#""password":""#), "{message}");
}

#[tokio::test]
async fn what_the_queue_refuses_is_not_counted() {
    let desk = Desk::new().await;
    let Desk { aws, function, queue, table } = desk;
    queue.remove().await;
    let send = async |number: usize| {
        let request = form("asha@example.test", &number.to_string()).from("203.0.113.1");
        Answer::read(function.invoke(&request.event(), TIMEOUT).await.unwrap())
    };
    for number in 0..5 {
        let refused = send(number).await;
        assert_eq!(refused.status, 503, "{}", refused.body);
        assert!(refused.headers["retry-after"].parse::<u32>().is_ok_and(|seconds| seconds > 0));
    }
    let queue = aws.queue("invitations").await;
    for number in 0..4 {
        assert_eq!(send(number).await.status, 202);
    }
    let desk = Desk { aws, function, queue, table };
    assert_eq!((desk.queued().await.len(), desk.causes().await), (3, causes([("person-and-network", 1)])));
}

#[tokio::test]
async fn without_its_table_a_process_counts_alone_and_says_so_once() {
    // An earlier template names no table; a role without the right, or a table that is gone, is the same.
    for (changes, error) in [
        (vec![NO_DAY[0], NO_DAY[1], ("LEDGER_TABLE", "")], "LEDGER_TABLE is not set"),
        (vec![NO_DAY[0], NO_DAY[1], ("LEDGER_TABLE", "nowhere")], "the ledger cannot be asked"),
    ] {
        let desk = Desk::of(&changes).await;
        for city in ["one", "two", "three", "one"] {
            let answer = desk.send(form("asha@example.test", city).header("idempotency-key", city)).await;
            assert_eq!(answer.status, 202, "{}", answer.body);
        }
        let full = desk.post("asha@example.test", "four", "203.0.113.7").await;
        assert_eq!(full.status, 503, "{}", full.body);
        assert!(full.headers["retry-after"].parse::<u32>().is_ok_and(|seconds| (1..=3601).contains(&seconds)));
        desk.post("ravi@example.test", "", "203.0.113.7").await.receipt();
        assert_eq!(desk.queued().await.len(), 4);
        let printed = desk.function.stop().await;
        let errors = printed.lines().filter(|line| line.contains(r#""level":"ERROR""#));
        assert_eq!(errors.filter(|line| line.contains(error)).count(), 1, "{printed}");
    }
}

#[tokio::test]
async fn a_table_that_cannot_be_reached_loses_nobody_and_counts_again_when_it_is_back() {
    let aws = Aws::new().await;
    let target = aws.environment().into_iter().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap().1;
    let doorway = Doorway::to(target.trim_start_matches("http://").to_owned()).await;
    let desk = Desk::of(&[NO_DAY[0], NO_DAY[1], ("AWS_ENDPOINT_URL_DYNAMODB", &doorway.url())]).await;
    doorway.set_open(false);
    for city in ["one", "two", "three"] {
        desk.post("asha@example.test", city, "203.0.113.1").await.receipt();
    }
    assert_eq!(desk.post("asha@example.test", "four", "203.0.113.1").await.status, 503);
    let robot = Request::json(&[("email", "b@example.test"), ("website", "x")]);
    assert_eq!(desk.send(robot).await.status, 503, "it could not be held");
    assert_eq!(desk.queued().await.len(), 3);
    doorway.set_open(true);
    desk.post("asha@example.test", "four", "203.0.113.1").await.receipt();
    assert_eq!(desk.queued().await.len(), 1);
}

#[tokio::test]
async fn a_table_that_was_asked_too_often_lets_no_flood_in() {
    let (url, _server) = aws_that_answers(400, "ThrottlingException").await;
    let desk = Desk::of(&[NO_DAY[0], NO_DAY[1], ("AWS_ENDPOINT_URL_DYNAMODB", &url)]).await;
    assert_eq!(desk.post("asha@example.test", "one", "203.0.113.1").await.status, 503);
    assert_eq!(desk.queued().await.len(), 0);
}

/// A way to DynamoDB that writes down what is asked of it.
#[derive(Clone, Default)]
struct Overheard {
    calls: Arc<Mutex<Vec<String>>>,
    /// How many transactions are still to meet another one, as they do in a crowd.
    conflicts: Arc<AtomicUsize>,
}

/// DynamoDB's answer to a transaction of two writes that met another one.
const CONFLICT: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
    "message":"cancelled","CancellationReasons":[{"Code":"TransactionConflict"},{"Code":"None"}]}"#;

/// The address of that way, and what it hears.
async fn overheard(aws: &Aws) -> (String, Overheard) {
    let target = aws.environment().into_iter().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap().1;
    let overheard = Overheard::default();
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let here = overheard.clone();
    let pass = move |request: extract::Request| {
        let (client, here, target) = (client.clone(), here.clone(), target.clone());
        async move {
            let (mut parts, body) = request.into_parts();
            let call = parts.headers.get("x-amz-target").and_then(|it| it.to_str().ok()).unwrap_or_default();
            let call = call.rsplit('.').next().unwrap_or_default().to_owned();
            let fewer = |left: usize| left.checked_sub(1);
            if call == "TransactWriteItems"
                && here.conflicts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
            {
                return (StatusCode::BAD_REQUEST, CONFLICT).into_response();
            }
            here.calls.lock().unwrap().push(call);
            let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
            parts.uri = format!("{target}{path}").parse().unwrap();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            match client.request(extract::Request::from_parts(parts, Body::from(body))).await {
                Ok(answer) => answer.map(Body::new).into_response(),
                Err(_) => StatusCode::BAD_GATEWAY.into_response(),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(pass)).await });
    (url, overheard)
}

#[tokio::test]
async fn a_form_makes_two_calls_to_the_table_and_others_than_accepted_ones_a_few_more() {
    let (url, overheard) = overheard(&Aws::new().await).await;
    let calls = &overheard.calls;
    let limits = r#"{"network":4,"person_and_network":1}"#;
    let desk = Desk::of(&[NO_DAY[0], NO_DAY[1], ("INTAKE_LIMITS", limits), ("AWS_ENDPOINT_URL_DYNAMODB", &url)]).await;
    for (email, key, its) in [
        ("a@example.test", "first", &["UpdateItem", "TransactWriteItems"][..]),
        ("b@example.test", "second", &["UpdateItem", "TransactWriteItems"]),
        // A repeat, a person without a place, and a network without one.
        ("a@example.test", "first", &["UpdateItem", "TransactWriteItems", "UpdateItem"]),
        ("a@example.test", "other", &["UpdateItem", "TransactWriteItems", "TransactWriteItems", "UpdateItem"]),
        ("c@example.test", "third", &["UpdateItem", "TransactWriteItems"]),
        ("d@example.test", "fourth", &["UpdateItem", "TransactWriteItems"]),
        ("e@example.test", "fifth", &["UpdateItem", "UpdateItem", "TransactWriteItems"]),
    ] {
        let request = form(email, "").header("idempotency-key", key).from("203.0.113.1");
        calls.lock().unwrap().clear();
        desk.send(request).await.receipt();
        let heard = calls.lock().unwrap().clone();
        let (mut heard_sorted, mut its_sorted) = (heard.clone(), its.to_vec());
        // Two of them go out at the same time.
        heard_sorted.sort();
        its_sorted.sort_unstable();
        assert_eq!(heard_sorted, its_sorted, "{email} {key}: {heard:?}");
    }
}

#[tokio::test]
async fn a_crowd_that_collides_about_one_person_gets_nothing_past_the_caps() {
    let (url, overheard) = overheard(&Aws::new().await).await;
    let desk = Desk::of(&[NO_DAY[0], NO_DAY[1], ("AWS_ENDPOINT_URL_DYNAMODB", &url)]).await;
    // Collisions that pass are waited for; where they do not, the person counts as full.
    for (conflicts, queued, held) in [(3, 1, 0), (10, 0, 1)] {
        overheard.conflicts.store(conflicts, Ordering::Relaxed);
        desk.post("asha@example.test", &conflicts.to_string(), "203.0.113.1").await.receipt();
        assert_eq!((desk.queued().await.len(), desk.held().await.len()), (queued, held), "{conflicts}");
    }
    assert_eq!(desk.causes().await, causes([("contended", 1)]));
    // What can neither be admitted nor held is for its sender to bring again; the process does not let it through.
    overheard.conflicts.store(20, Ordering::Relaxed);
    let answer = desk.post("asha@example.test", "20", "203.0.113.1").await;
    assert_eq!((answer.status, answer.headers.contains_key("retry-after")), (503, true), "{}", answer.body);
    assert_eq!((desk.queued().await.len(), desk.held().await.len()), (0, 1));
    // None of it is counted for its network.
    let [sender] = &desk.items("sender#").await[..] else { panic!("one network") };
    let window = sender.iter().find(|(name, _)| name.starts_with("form-")).unwrap();
    assert_eq!(window.1.as_n().unwrap(), "1");
}

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05.678 UTC);

fn mark_of(name: &str) -> Mark {
    let owner = Owner::Person(PersonKey::of(&"asha@example.com".parse().unwrap()));
    Mark { hash: name.to_owned(), payload: name.to_owned(), owner }
}

fn places(hash: &str, count: u32) -> Places {
    Places { hash: hash.to_owned(), count, window: Duration::from_secs(100) }
}

#[tokio::test]
async fn places_slide_and_can_be_given_back_in_any_order() {
    let table = fixtures::Table::<Ledger>::of(Ledger::new).await;
    let asha = [places("asha", 3), places("mailbox", 20)];
    let take = async |mark: &str, second: u64| {
        let at = NOW + Duration::from_secs(second);
        table.store.take_places(&asha, &mark_of(mark), at).await.unwrap()
    };
    for second in 0..3 {
        assert_eq!(take(&format!("{second}"), second).await, Taken::All);
    }
    assert_eq!(take("1", 3).await, Taken::Repeat { is_held: false });
    let full = |seconds| Taken::Full { first: 0, retry_after: Duration::from_secs(seconds) };
    assert_eq!(take("3", 3).await, full(97));
    // The one in the middle: its place is free, and its mark.
    let give = async |mark: &str, second: u64| {
        let at = NOW + Duration::from_secs(second);
        table.store.give_places_back(&asha, &mark_of(mark), at).await.unwrap();
    };
    give("1", 1).await;
    give("1", 1).await;
    assert_eq!(take("1", 4).await, Taken::All);
    assert_eq!(take("4", 5).await, full(95));
    // A place is free a window after it was taken, one by one.
    assert_eq!(take("4", 99).await, full(1));
    assert_eq!(take("4", 100).await, Taken::All);
    assert_eq!(take("5", 101).await, full(1));
    assert_eq!(take("5", 102).await, Taken::All);
    assert_eq!(take("6", 103).await, full(1));
    let items = table.aws.dynamodb().scan().table_name(&table.name).send().await.unwrap();
    assert!(items.items().iter().all(|item| item.contains_key("expires_at")), "{items:?}");
}

#[tokio::test]
async fn no_stretch_of_a_window_has_more_places_than_there_are() {
    let table = fixtures::Table::<Ledger>::of(Ledger::new).await;
    let (mut now, mut admitted, mut random) = (NOW, Vec::new(), 7_u64);
    for number in 0..120 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        now += Duration::from_millis(random >> 49);
        let taken = table.store.take_places(&[places("asha", 3)], &mark_of(&number.to_string()), now).await.unwrap();
        match taken {
            Taken::All => admitted.push(now),
            Taken::Full { retry_after, .. } => {
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

//! Held applications on a real table and a real queue. An operator's decision takes effect once, wherever a command is
//! interrupted.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    process::Stdio,
    time::Duration as Wait,
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use futures::future::{join, join_all};
use leadsquared::Attributes;
use leadsquared_emulator::Emulator;
use ledger::{ApplicationMarker, HeldDecision, HeldWaiting, Hold, HoldOutcome, ItemType, Ledger, Owner};
use local_stack::{LocalStack, Options};
use onboarding::{Action, Invitation, InvitationId, Invitee, Source};
use operator::{
    Clock, Parameters, Stack, StackLocation, explain, forget,
    held::{self, Accepted, Discarded, Held, HeldFilter, Pace},
};
use queue::Invitations;
use time::{Duration, OffsetDateTime, macros::datetime};
use tokio::process::Command;

use crate::{
    aws::{Aws, Queue},
    functions,
    waiting::within,
};

type Item = HashMap<String, AttributeValue>;

const NOW: OffsetDateTime = datetime!(2026-01-02 12:00:00 UTC);
const KEPT: Duration = Duration::days(14);

/// An invitation of a form. Each number is another person.
fn invitation(number: u32) -> Invitation {
    let invitee = Invitee::Email(format!("held-{number}@example.com").parse().unwrap());
    let id = InvitationId::of([&number.to_be_bytes()[..]]);
    Invitation {
        attributes: Attributes::new().with("FirstName", "Canary"),
        ..Invitation::new(id, Source::Form, NOW - Duration::HOUR, invitee, Action::Invite)
    }
}

/// The item that intake writes for a held application.
pub(crate) fn item(invitation: &Invitation, cause: &str, network: Option<&str>, held_at: OffsetDateTime) -> Item {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let seconds = |time: OffsetDateTime| AttributeValue::N(time.unix_timestamp().to_string());
    let mut item = Item::from([
        ("pk".to_owned(), text(&format!("held#{}", invitation.id))),
        ("person".to_owned(), text(invitation.person().as_str())),
        ("message".to_owned(), text(&invitation.encode())),
        ("cause".to_owned(), text(cause)),
        ("source".to_owned(), text(invitation.source.name())),
        ("held_at".to_owned(), seconds(held_at)),
        ("expires_at".to_owned(), seconds(held_at + KEPT)),
    ]);
    item.extend(network.map(|digit| ("network".to_owned(), text(&digit.repeat(64)))));
    item
}

/// A stack for the operator's commands: a table and a queue.
struct Desk {
    aws: Aws,
    table: String,
    ledger: Ledger,
    queue: Queue,
    stack: Stack,
}

/// A stopped clock, which records every wait.
struct StoppedClock(RefCell<Vec<Wait>>);

impl StoppedClock {
    fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> OffsetDateTime {
        NOW
    }

    async fn sleep(&self, time: Wait) {
        self.0.borrow_mut().push(time);
    }
}

impl Desk {
    async fn new() -> Self {
        let aws = Aws::new().await;
        let (table, queue) = (aws.table().await, aws.queue("invitations").await);
        let ledger = Ledger::new(aws.dynamodb(), table.clone());
        let (dead, events) = (aws.queue("dead-letters").await, aws.queue("undelivered").await);
        let outputs = [
            ("LedgerTable", &table),
            ("InvitationsQueueUrl", &queue.url),
            ("DeadLettersQueueUrl", &dead.url),
            ("UndeliveredEventsQueueUrl", &events.url),
        ];
        let outputs = outputs.map(|(name, value)| (name.to_owned(), value.clone())).into();
        let stack = Stack::new("test", aws.config(), outputs, Parameters::default()).unwrap();
        Self { aws, table, ledger, queue, stack }
    }

    /// A desk that holds the applications with these numbers, all for the same cause.
    async fn holding(numbers: impl IntoIterator<Item = u32>) -> Self {
        let desk = Self::new().await;
        desk.put(numbers.into_iter().map(|number| item(&invitation(number), "network", Some("a"), NOW)).collect())
            .await;
        desk
    }

    async fn put(&self, items: Vec<Item>) {
        self.aws.put_items(&self.table, items).await;
    }

    async fn list(&self, choice: &HeldFilter) -> Vec<Held> {
        held::list(&self.stack, choice, NOW).await.unwrap()
    }

    async fn all(&self) -> Vec<Held> {
        self.list(&HeldFilter::default()).await
    }

    async fn accept(&self, chosen: &[Held]) -> Accepted {
        held::accept(&self.stack, chosen, &Pace::of(&Parameters::default()), &StoppedClock::new(), |_| {})
            .await
            .unwrap()
    }

    async fn discard(&self, chosen: &[Held]) -> Discarded {
        held::discard(&self.stack, chosen, &StoppedClock::new()).await.unwrap()
    }

    async fn item(&self, pk: &str) -> Option<Item> {
        let key = AttributeValue::S(pk.to_owned());
        self.aws.dynamodb().get_item().table_name(&self.table).key("pk", key).send().await.unwrap().item
    }

    /// The kept item of an application: whether it has its message, and the decision.
    async fn kept(&self, number: u32) -> (bool, Option<String>) {
        let item = self.item(&format!("held#{}", invitation(number).id)).await.expect("the application is kept");
        (item.contains_key("message"), item.get("decision").map(|decision| decision.as_s().unwrap().clone()))
    }

    /// The ledger's counts of accepted and discarded applications on this day.
    async fn counts(&self) -> (u32, u32) {
        let mut counts = Vec::new();
        for name in ["held-accepted", "held-discarded"] {
            let item = self.item(&format!("count#2026-01-02#{name}")).await;
            counts.push(item.map_or(0, |item| item["count"].as_n().unwrap().parse().unwrap()));
        }
        (counts[0], counts[1])
    }

    /// The messages on the queue, with their order within a person.
    async fn sent(&self) -> Vec<Message> {
        self.queue.drain().await
    }
}

fn ids(messages: &[Message]) -> BTreeSet<String> {
    let invitations = messages.iter().map(|message| Invitation::decode(message.body().unwrap()).unwrap());
    invitations.map(|invitation| invitation.id.to_string()).collect()
}

const fn accepted(count: u64) -> Accepted {
    Accepted { accepted: count, continued: 0, gone: 0, unreadable: 0, waiting_for: None }
}

#[tokio::test]
async fn fifty_identical_applications_at_the_same_instant_are_one_held_item() {
    let desk = Desk::new().await;
    let invitation = &invitation(1);
    let mark =
        &ApplicationMarker { hash: "a".repeat(64), payload: invitation.payload_hash(), owner: Owner::of(invitation) };
    let hold = Hold { invitation, cause: "network", network: None, mark };
    let results = join_all((0..50).map(|_| desk.ledger.hold(&hold, NOW))).await;
    let count = |expected| results.iter().filter(|result| matches!(result, Ok(found) if *found == expected)).count();
    assert_eq!((count(HoldOutcome::Held), count(HoldOutcome::AlreadyHeld)), (1, 49), "{results:?}");
    assert_eq!(desk.all().await.len(), 1);
}

#[tokio::test]
async fn an_accepted_application_is_on_the_queue_as_its_function_would_have_put_it_and_once() {
    let desk = Desk::holding(1..=3).await;
    let chosen = desk.all().await;
    assert_eq!((desk.accept(&chosen).await, desk.counts().await), (accepted(3), (3, 0)));
    let sent = desk.sent().await;

    // A function puts the same applications on another queue.
    let functions = desk.aws.queue("functions").await;
    for number in 1..=3 {
        let queue = Invitations::new(aws_sdk_sqs::Client::new(desk.aws.config()), functions.url.clone());
        queue.send(&invitation(number)).await.unwrap();
    }
    let as_sent = |message: &Message| {
        let attributes = message.attributes().unwrap();
        let names = [MessageSystemAttributeName::MessageGroupId, MessageSystemAttributeName::MessageDeduplicationId];
        (names.map(|name| attributes[&name].clone()), message.body().unwrap().to_owned())
    };
    let expected: BTreeSet<_> = functions.drain().await.iter().map(as_sent).collect();
    assert_eq!(sent.iter().map(as_sent).collect::<BTreeSet<_>>(), expected);

    // Accepting again has no effect, from the same list or from a new one.
    assert_eq!(desk.accept(&chosen).await, Accepted { gone: 3, ..accepted(0) });
    assert!(desk.all().await.is_empty());
    assert_eq!((desk.sent().await.len(), desk.counts().await), (0, (3, 0)));
    assert_eq!(desk.kept(1).await, (false, Some("accepted".to_owned())));
    assert_eq!(desk.discard(&chosen).await, Discarded { discarded: 0, gone: 3 });
    assert_eq!(desk.counts().await, (3, 0));
}

#[tokio::test]
async fn accepting_that_broke_off_anywhere_is_continued_and_has_no_second_effect() {
    for steps_done in 0..=3 {
        let desk = Desk::holding([1]).await;
        let listed_before = desk.all().await;
        let id = invitation(1).id;
        if steps_done > 0 {
            assert_eq!(desk.ledger.decide_held(&[id], HeldDecision::Accepted, NOW).await.unwrap(), [id]);
        }
        if steps_done > 1 {
            let queue = Invitations::new(aws_sdk_sqs::Client::new(desk.aws.config()), desk.queue.url.clone());
            queue.send(&invitation(1)).await.unwrap();
        }
        if steps_done > 2 {
            desk.ledger.held_sent(id).await.unwrap();
        }
        let listed = desk.all().await;
        assert_eq!(listed.len(), usize::from(steps_done < 3), "{steps_done} steps done");
        // An accepted application can no longer be discarded.
        let discarded = if steps_done > 0 { desk.discard(&listed_before).await.discarded } else { 0 };
        assert_eq!(discarded, 0);
        let done = desk.accept(&listed).await;
        assert_eq!(
            (done.accepted, done.continued),
            (u64::from(steps_done == 0), u64::from([1, 2].contains(&steps_done)))
        );
        assert_eq!(ids(&desk.sent().await), BTreeSet::from([id.to_string()]), "{steps_done} steps done");
        assert_eq!(desk.kept(1).await, (false, Some("accepted".to_owned())));
        assert_eq!((desk.counts().await, desk.all().await.len()), ((1, 0), 0));
        desk.accept(&listed_before).await;
        assert_eq!((desk.sent().await.len(), desk.counts().await), (0, (1, 0)), "{steps_done} steps done");
    }
}

#[tokio::test]
async fn an_acceptance_that_broke_off_on_the_last_day_can_still_be_continued() {
    let desk = Desk::holding([1]).await;
    let last = NOW + KEPT - Duration::SECOND;
    desk.ledger.decide_held(&[invitation(1).id], HeldDecision::Accepted, last).await.unwrap();
    let later = NOW + KEPT + Duration::days(3);
    assert_eq!(held::list(&desk.stack, &HeldFilter::default(), later).await.unwrap().len(), 1);
}

#[tokio::test]
async fn of_two_operators_at_once_one_decides_on_each_application() {
    let desk = Desk::holding(1..=25).await;
    let chosen = desk.all().await;
    let (one, other) = join(desk.accept(&chosen), desk.accept(&chosen)).await;
    assert_eq!(one.accepted + other.accepted, 25, "{one:?} {other:?}");
    let sent = desk.sent().await;
    assert_eq!((sent.len(), ids(&sent).len(), desk.counts().await), (25, 25, (25, 0)));

    let desk = Desk::holding(1..=25).await;
    let chosen = desk.all().await;
    let (accepted, discarded) = join(desk.accept(&chosen), desk.discard(&chosen)).await;
    assert_eq!(accepted.accepted + discarded.discarded, 25, "{accepted:?} {discarded:?}");
    let (counted_accepted, counted_discarded) = desk.counts().await;
    assert_eq!((counted_accepted.into(), counted_discarded.into()), (accepted.accepted, discarded.discarded));
    assert_eq!(desk.sent().await.len() as u64, accepted.accepted);
    assert!(desk.all().await.is_empty());
}

#[tokio::test]
async fn a_discarded_application_keeps_nothing_that_was_typed_and_stays_until_it_expires() {
    let desk = Desk::holding([1, 2]).await;
    let chosen = desk.all().await;
    assert_eq!(desk.discard(&chosen[..1]).await, Discarded { discarded: 1, gone: 0 });
    let id = chosen[0].id;
    let item = desk.item(&format!("held#{id}")).await.unwrap();
    assert!(!item.contains_key("message") && !format!("{item:?}").contains("Canary"), "{item:?}");
    let expires_at = item["expires_at"].as_n().unwrap();
    assert_eq!(*expires_at, (NOW + KEPT).unix_timestamp().to_string());
    assert_eq!(item["decided_at"].as_n().unwrap(), &NOW.unix_timestamp().to_string());
    assert_eq!(desk.all().await, chosen[1..]);
    assert_eq!(desk.accept(&chosen).await, Accepted { gone: 1, ..accepted(1) });
    assert_eq!((desk.sent().await.len(), desk.counts().await), (1, (1, 1)));
}

#[tokio::test]
async fn what_has_expired_is_gone_whether_or_not_it_was_deleted() {
    let desk = Desk::new().await;
    desk.put(vec![
        item(&invitation(1), "network", None, NOW - KEPT),
        item(&invitation(2), "network", None, NOW - KEPT + Duration::SECOND),
    ])
    .await;
    let chosen = held::list(&desk.stack, &HeldFilter::default(), NOW - Duration::HOUR).await.unwrap();
    assert_eq!((chosen.len(), desk.all().await.len()), (2, 1));
    assert_eq!(held::find(&desk.stack, invitation(1).id, NOW).await.unwrap(), None);
    let by_receipt = HeldFilter { receipt: Some(invitation(1).id), ..HeldFilter::default() };
    assert!(desk.list(&by_receipt).await.is_empty());
    assert_eq!(desk.accept(&chosen).await, Accepted { gone: 1, ..accepted(1) });
    assert_eq!(desk.discard(&chosen).await, Discarded { discarded: 0, gone: 2 });
    assert_eq!(ids(&desk.sent().await), BTreeSet::from([invitation(2).id.to_string()]));
    assert_eq!((desk.kept(1).await, desk.counts().await), ((true, None), (1, 0)));
    // The decision also checks the expiry, as the reads before it do.
    assert!(desk.ledger.decide_held(&[invitation(1).id], HeldDecision::Accepted, NOW).await.unwrap().is_empty());
    assert!(desk.ledger.decide_held(&[invitation(9).id], HeldDecision::Accepted, NOW).await.unwrap().is_empty());
    assert_eq!((desk.item(&format!("held#{}", invitation(9).id)).await, desk.counts().await), (None, (1, 0)));
}

#[tokio::test]
async fn an_operator_chooses_by_cause_receipt_network_and_age_and_gets_the_oldest_first() {
    let desk = Desk::new().await;
    let minutes = |minutes| NOW - Duration::minutes(minutes);
    desk.put(vec![
        item(&invitation(1), "network", Some("a"), minutes(10)),
        item(&invitation(2), "network-day", Some("a"), minutes(30)),
        item(&invitation(3), "network", Some("b"), minutes(90)),
        item(&invitation(4), "honeypot", None, minutes(5)),
    ])
    .await;
    let choice = HeldFilter::default();
    for (choice, expected) in [
        (choice.clone(), &[3, 2, 1, 4][..]),
        (HeldFilter { limit: Some(2), ..choice.clone() }, &[3, 2]),
        (HeldFilter { cause: Some("network".to_owned()), ..choice.clone() }, &[3, 1]),
        (HeldFilter { cause: Some("net".to_owned()), ..choice.clone() }, &[]),
        (HeldFilter { network: Some("aaaa".to_owned()), ..choice.clone() }, &[2, 1]),
        (HeldFilter { held_before: Some(minutes(20)), ..choice.clone() }, &[3, 2]),
        (HeldFilter { cause: Some("network".to_owned()), network: Some("a".to_owned()), ..choice.clone() }, &[1]),
        (HeldFilter { receipt: Some(invitation(4).id), ..choice.clone() }, &[4]),
        (HeldFilter { receipt: Some(invitation(4).id), cause: Some("network".to_owned()), ..choice.clone() }, &[]),
        (HeldFilter { receipt: Some(invitation(9).id), ..choice.clone() }, &[]),
    ] {
        let found: Vec<_> = desk.list(&choice).await.iter().map(|held| held.id).collect();
        let expected: Vec<_> = expected.iter().map(|number| invitation(*number).id).collect();
        assert_eq!(found, expected, "{choice:?}");
    }
}

#[tokio::test]
async fn a_message_that_this_version_cannot_read_is_left_for_one_that_can() {
    let desk = Desk::new().await;
    let mut newer = item(&invitation(1), "network", None, NOW);
    newer.insert("message".to_owned(), AttributeValue::S(r#"{"version":99}"#.to_owned()));
    desk.put(vec![newer, item(&invitation(2), "network", None, NOW)]).await;
    assert_eq!(desk.accept(&desk.all().await).await, Accepted { unreadable: 1, ..accepted(1) });
    assert_eq!((desk.kept(1).await, desk.all().await.len(), desk.counts().await), ((true, None), 1, (1, 0)));
}

#[tokio::test]
async fn a_flood_that_is_larger_than_a_page_is_listed_counted_and_decided_on_as_a_whole() {
    const HELD: u32 = 1200;
    let desk = Desk::new().await;
    let padding = "x".repeat(1000);
    let item = |number| {
        let mut invitation = invitation(number);
        invitation.attributes = Attributes::new().with("mx_Essay", &padding);
        let held_at = NOW - Duration::days(if number % 100 == 0 { 13 } else { 3 });
        item(&invitation, if number % 2 == 0 { "network" } else { "mailbox" }, Some("a"), held_at)
    };
    desk.put((0..HELD).map(item).collect()).await;
    let other = |number: u32| Item::from([("pk".to_owned(), AttributeValue::S(format!("throttle#{number}")))]);
    desk.put((0..40).map(other).collect()).await;

    assert_eq!(desk.all().await.len(), 1200);
    let mut counted = HeldWaiting::default();
    desk.ledger.count_held(NOW, NOW + Duration::days(2), &mut counted).await.unwrap();
    let first_expires = Some(NOW + Duration::DAY);
    assert_eq!(counted, HeldWaiting { count: 1200, expiring: 12, first_expires });
    let chosen = desk.list(&HeldFilter { cause: Some("mailbox".to_owned()), ..HeldFilter::default() }).await;
    assert_eq!(desk.discard(&chosen).await, Discarded { discarded: 600, gone: 0 });
    assert_eq!((desk.all().await.len(), desk.counts().await), (600, (0, 600)));
}

/// A clock under which the worker empties the queue during every wait. It records each wait and the number of messages
/// taken.
struct WorkingTime<'a> {
    queue: &'a Queue,
    waits: RefCell<Vec<(usize, Wait)>>,
}

impl Clock for WorkingTime<'_> {
    fn now(&self) -> OffsetDateTime {
        NOW
    }

    async fn sleep(&self, time: Wait) {
        let taken = self.queue.drain().await.len();
        self.waits.borrow_mut().push((taken, time));
    }
}

#[tokio::test]
async fn accepting_many_waits_for_the_worker_so_that_others_do_not_wait_behind_them() {
    let desk = Desk::holding(0..35).await;
    let (chosen, pace) = (desk.all().await, Pace::of(&Parameters::default()));
    // Invitations of other people, more than may be on the queue while applications are accepted.
    for number in 0..60_u32 {
        desk.queue.send("{}", &number.to_string(), &number.to_string()).await;
    }
    let (time, mut reports) = (WorkingTime { queue: &desk.queue, waits: RefCell::default() }, Vec::new());
    let done = held::accept(&desk.stack, &chosen, &pace, &time, |done| reports.push(*done)).await.unwrap();
    assert_eq!((done, desk.counts().await), (accepted(35), (35, 0)));
    let every = Wait::from_secs(30);
    assert_eq!(time.waits.into_inner(), [(60, every), (10, every), (10, every), (10, every)]);
    assert_eq!(desk.sent().await.len(), 5);
    let waiting: Vec<_> = reports.iter().map(|done| (done.accepted, done.waiting_for)).collect();
    assert_eq!(waiting, [(0, Some(60)), (10, None), (20, None), (30, None), (35, None)]);
}

#[tokio::test]
async fn forgetting_a_person_erases_what_is_held_of_them_and_of_their_leads_and_of_nobody_else() {
    let desk = Desk::new().await;
    let lead = "11111111-1111-4111-8111-111111111111".parse().unwrap();
    let of_lead = |number: u32, lead| {
        let id = InvitationId::of([&number.to_be_bytes()[..]]);
        Invitation::new(id, Source::Bus, NOW, Invitee::Lead(lead), Action::Invite)
    };
    let stranger = "22222222-2222-4222-8222-222222222222".parse().unwrap();
    let same_person = |number: u32| Invitation { id: InvitationId::of([&number.to_be_bytes()[..]]), ..invitation(1) };
    let held = |invitation: &Invitation| item(invitation, "network", None, NOW);
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let person = invitation(1).person();
    desk.put(vec![
        held(&invitation(1)),
        held(&same_person(2)),
        held(&same_person(3)),
        held(&of_lead(4, lead)),
        held(&of_lead(5, stranger)),
        held(&invitation(6)),
        // By this the ledger knows the lead.
        Item::from([
            ("pk".to_owned(), text("invitation#00000000-0000-8000-8000-000000000009")),
            ("person".to_owned(), text(person.as_str())),
            ("lead_id".to_owned(), text("11111111-1111-4111-8111-111111111111")),
        ]),
    ])
    .await;
    desk.ledger.decide_held(&[same_person(2).id], HeldDecision::Accepted, NOW).await.unwrap();
    desk.ledger.decide_held(&[same_person(3).id], HeldDecision::Discarded, NOW).await.unwrap();

    let forget = async |request: forget::Request| {
        let forgotten = forget::forget(&desk.stack, &request, true, &StoppedClock::new()).await.unwrap();
        forgotten.items.get(&ItemType::Held).copied().unwrap_or_default()
    };
    let Invitee::Email(email) = invitation(1).invitee else { unreachable!("a form's applicant has an address") };
    let by_email = forget::Request { email: Some(email), leads: Vec::new() };
    assert_eq!(forget(forget::Request { email: None, leads: vec![stranger] }).await, 1);
    assert_eq!(forget(by_email.clone()).await, 4);
    assert_eq!(forget(by_email).await, 0);
    assert_eq!(desk.all().await.iter().map(|held| held.id).collect::<Vec<_>>(), [invitation(6).id]);
    // Three of them have no decision: they count as discarded, as those do whose time runs out.
    assert_eq!(desk.counts().await, (1, 4));
    // What is accepted while it is being forgotten leaves nothing behind.
    desk.ledger.held_sent(invitation(1).id).await.unwrap();
    assert_eq!(desk.item(&format!("held#{}", invitation(1).id)).await, None);
}

/// The output of a command, and whether it succeeded.
async fn command(endpoint: &str, arguments: &[&str]) -> (bool, String) {
    let program = functions::binary("key-check").await.with_file_name("local-stack");
    let mut command = Command::new(program);
    command.args(arguments).args(["--aws-endpoint", endpoint]).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.success(), printed)
}

#[tokio::test]
async fn an_operator_lists_accepts_discards_and_forgets_held_applications_of_a_stack() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    let endpoint = stack.ministack().url();
    let aws = Aws::of(stack.ministack()).await;
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    let held = |number, cause| item(&invitation(number), cause, Some("a"), now - Duration::hours(5));
    let items = vec![held(1, "network"), held(2, "honeypot"), held(3, "honeypot"), held(4, "mailbox")];
    aws.put_items(stack.output("LedgerTable").unwrap(), items).await;
    let run = async |arguments: &[&str]| command(&endpoint, arguments).await;
    let receipts: Vec<_> = (0..5).map(|number| invitation(number).id.to_string()).collect();

    let (is_done, listed) = run(&["held", "list"]).await;
    let lines: Vec<_> = listed.lines().filter(|line| !line.contains("receipt")).collect();
    assert!(is_done && lines.len() == 4, "{listed}");
    assert_eq!(lines[1], "     2  aaaaaaaaaaaa  5 h          13 days        honeypot", "{listed}");
    assert!(!listed.contains("example.com") && !listed.contains("Canary"), "{listed}");

    let (is_done, refused) = run(&["held", "discard", "--cause", "honeypot"]).await;
    assert!(!is_done && refused.contains("     2  aaaaaaaaaaaa") && refused.contains("--yes"), "{refused}");
    let (_, explained) = run(&["explain", &receipts[2]]).await;
    assert!(explained.contains("Now       held (honeypot) for 5 h; accept it with `held accept"), "{explained}");
    let (is_done, discarded) = run(&["held", "discard", "--cause", "honeypot", "--limit", "1", "--yes"]).await;
    assert!(is_done && discarded.ends_with("1 discarded.\n"), "{discarded}");
    for choice in [&["held", "accept"][..], &["held", "accept", "--all", "--cause", "network"], &["held", "discard"]] {
        assert!(!run(choice).await.0, "{choice:?}");
    }

    let (is_done, accepted) = run(&["held", "accept", "--receipt", &receipts[1]]).await;
    assert!(
        is_done && accepted.contains("Accepting 1.\n") && accepted.contains("\n1 accepted and on the queue.\n"),
        "{accepted}"
    );
    let email = "held-1@example.com";
    let is_mailed = |emulator: &Emulator| emulator.mails().iter().any(|mail| mail.recipients == [email]);
    within("the accepted application is mailed", stack.emulator().reached(is_mailed)).await;
    let receipt = invitation(1).id;
    let deployed = StackLocation::Local(endpoint.clone()).stack().await.unwrap();
    let timeline = explain::timeline(&explain::look_up(&deployed, receipt, now).await.unwrap(), receipt, now);
    let places = ["held: network", "accepted by an operator"]
        .map(|words| timeline.find(words).unwrap_or_else(|| panic!("{timeline}")));
    assert!(places[0] < places[1], "{timeline}");

    let (is_done, found) = run(&["forget", "held-4@example.com"]).await;
    assert!(!is_done && found.contains("  ledger         1 held\n") && found.contains("--yes"), "{found}");
    let (is_done, forgotten) = run(&["forget", "held-4@example.com", "--yes"]).await;
    assert!(is_done && forgotten.starts_with("Erased:\n  ledger         1 held\n"), "{forgotten}");
    let (is_done, listed) = run(&["held", "list"]).await;
    assert!(is_done && listed.contains("     1  aaaaaaaaaaaa") && listed.contains("honeypot"), "{listed}");
    assert!(!listed.contains("mailbox") && !listed.contains("  network\n"), "{listed}");
    assert_eq!(stack.emulator().mails().len(), 1, "nobody else is mailed");
    stack.shutdown().await;
}

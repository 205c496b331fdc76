//! The operator's commands on real queues and a real table. Messages that they read stay, changes happen once, and a
//! restored item grants no right that was used before.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    fs,
    panic::AssertUnwindSafe,
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use futures::{FutureExt as _, future::join_all};
use leadsquared::LeadId;
use leadsquared_emulator::{Emulator, Settings};
use ledger::{BelongsTo, ItemType};
use onboarding::{
    Action, Claim, Invitation, InvitationId, Invitee, LINK_TOKEN_BYTES, Lease, Ledger as _, LinkHash, LinkTarget,
    LinkToken, Outcome, PersonKey, Record, Source,
};
use operator::{
    Clock, ExitStatus, Parameters, dead_letters,
    dead_letters::{DeadLetterFilter, DeadLettersTask},
    forget, restore,
};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    operator_stack::{NOW, OperatorStack, StoppedClock},
    samples::item_of,
    workspace,
};

type Item = HashMap<String, AttributeValue>;

const ASHA: &str = "asha@example.com";

/// What the tests below do with a stack.
impl OperatorStack {
    /// Adds a dead letter of this class, each number another person's.
    async fn dead_letter(&self, number: u32, class: &str) {
        let attribute = MessageAttributeValue::builder().data_type("String").string_value(class).build().unwrap();
        let send = aws_sdk_sqs::Client::new(self.aws.config()).send_message().queue_url(&self.dead.url);
        let send = send.message_body(format!("letter {number}")).message_attributes("class", attribute);
        let number = number.to_string();
        send.message_group_id(&number).message_deduplication_id(&number).send().await.unwrap();
    }

    async fn items(&self, table: &str) -> Vec<Item> {
        let scan = self.aws.dynamodb().scan().table_name(table).into_paginator().items().send();
        scan.try_collect().await.unwrap()
    }

    /// The keys of all items, in order.
    async fn keys(&self) -> Vec<String> {
        keys_of(&self.items(&self.table).await)
    }
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn item(pk: &str, attributes: &[(&str, &str)]) -> Item {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
    attributes.chain([("pk".to_owned(), text(pk))]).collect()
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.body().unwrap()).collect()
}

#[tokio::test]
async fn dead_letters_that_were_looked_at_can_be_received_at_once_and_those_of_another_consumer_are_counted() {
    let operator = OperatorStack::new().await;
    for number in 0..12 {
        operator.dead_letter(number, "rejected").await;
    }
    operator.events.send("an event", "event", "event").await;
    for _ in 0..2 {
        let found = dead_letters::list(&operator.stack()).await.unwrap();
        assert_eq!((found.letters.len(), found.out_of_sight), (13, 0));
    }
    operator.dead.next().await;
    let found = dead_letters::list(&operator.stack()).await.unwrap();
    assert_eq!((found.letters.len(), found.out_of_sight), (12, 1), "another consumer has received one");
    assert_eq!((operator.dead.drain().await.len(), operator.events.drain().await.len()), (11, 1));
}

#[tokio::test]
async fn received_messages_are_returned_when_a_queue_cannot_be_read() {
    let mut operator = OperatorStack::new().await;
    operator.dead_letter(1, "rejected").await;
    let nowhere = format!("{}-nowhere", operator.events.url);
    operator.outputs.insert("UndeliveredEventsQueueUrl".to_owned(), nowhere);
    let error = dead_letters::list(&operator.stack()).await.unwrap_err().to_string();
    assert!(
        error.starts_with("could not call sqs:ReceiveMessage") && error.contains("run the command again"),
        "{error}"
    );
    assert_eq!(bodies(&operator.dead.drain().await), ["letter 1"]);
}

#[tokio::test]
async fn a_chosen_dead_letter_is_put_back_and_the_others_stay() {
    let operator = OperatorStack::new().await;
    operator.dead_letter(1, "rejected").await;
    operator.dead_letter(2, "exhausted").await;
    operator.dead_letter(3, "reduced").await;
    let choice = DeadLetterFilter { class: Some("reduced".to_owned()), ..DeadLetterFilter::default() };
    let mut out = Vec::new();
    let task = DeadLettersTask::PutBack(choice);
    let ending = dead_letters::run(&operator.stack(), &task, &StoppedClock, &mut out).await.unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(ending == ExitStatus::Unfinished && out.contains("1 of them keep attributes of people who are"), "{out}");
    let choice = DeadLetterFilter { class: Some("rejected".to_owned()), ..DeadLetterFilter::default() };
    let found = dead_letters::put_back(&operator.stack(), &choice, NOW).await.unwrap();
    assert_eq!((found.letters.len(), found.kept, found.out_of_sight), (1, 2, 0));
    let back = operator.invitations.next().await;
    let attributes = back.attributes.as_ref().unwrap();
    let of = |name: &str| attributes.iter().find(|(one, _)| one.as_str() == name).map(|(_, value)| value.as_str());
    let id = format!("put-back-{}", found.letters[0].id);
    assert_eq!((back.body(), of("MessageGroupId")), (Some("letter 1"), Some("1")));
    assert_eq!(of("MessageDeduplicationId"), Some(&*id), "a repeat has no second effect");
    assert_eq!(bodies(&operator.dead.drain().await), ["letter 2", "letter 3"]);
}

#[tokio::test]
async fn dead_letters_are_deleted_only_if_they_are_chosen_and_that_is_confirmed() {
    let operator = OperatorStack::new().await;
    operator.dead_letter(1, "malformed").await;
    operator.dead_letter(2, "rejected").await;
    operator.events.send("an event", "event", "event").await;
    let choice = DeadLetterFilter { class: Some("malformed".to_owned()), ..DeadLetterFilter::default() };
    for (confirmed, ending, last) in [
        (
            false,
            ExitStatus::Unfinished,
            "Nothing was deleted. Run the same command with --yes to delete them for good.",
        ),
        (true, ExitStatus::Done, "1 deleted, 2 dead letters remain."),
    ] {
        let mut out = Vec::new();
        let task = DeadLettersTask::Discard { filter: choice.clone(), confirmed };
        assert_eq!(dead_letters::run(&operator.stack(), &task, &StoppedClock, &mut out).await.unwrap(), ending);
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("     1  malformed") && out.lines().last() == Some(last), "{out}");
    }
    let mut out = Vec::new();
    let task = DeadLettersTask::Discard { filter: choice, confirmed: true };
    dead_letters::run(&operator.stack(), &task, &StoppedClock, &mut out).await.unwrap();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out, "No dead letter matches. 2 have another class, cause or receipt.\n");
    assert_eq!(bodies(&operator.dead.drain().await), ["letter 2"]);
    assert_eq!(operator.events.drain().await.len(), 1);
}

fn asha() -> forget::Request {
    forget::Request { email: Some(ASHA.parse().unwrap()), leads: Vec::new() }
}

fn person(email: &str) -> PersonKey {
    PersonKey::of(&email.parse().unwrap())
}

/// An invitation of a form, on the queue as its message.
fn invitation(number: u32, email: &str) -> Invitation {
    let id = InvitationId::of([&number.to_be_bytes()[..]]);
    Invitation::new(id, Source::Form, NOW, Invitee::Email(email.parse().unwrap()), Action::Invite)
}

const LEAD: &str = "11111111-1111-4111-8111-111111111111";
const OTHER_LEAD: &str = "33333333-3333-4333-8333-333333333333";
const STRANGERS_LEAD: &str = "22222222-2222-4222-8222-222222222222";

/// The id of an invitation of the tables below.
fn id(number: u8) -> String {
    format!("00000000-0000-8000-8000-0000000000{number:02}")
}

/// The mail book of a person, with a mail that was begun for this invitation.
fn book(person: &PersonKey, number: u8) -> Item {
    let mail = [("at".to_owned(), AttributeValue::N("1".to_owned())), ("invitation".to_owned(), text(&id(number)))];
    let mut book = item(&format!("person#{}", person.as_str()), &[]);
    book.insert("begun".to_owned(), AttributeValue::L(vec![AttributeValue::M(mail.into())]));
    book
}

/// Asha's items, of this version and of earlier ones.
fn items_of_asha() -> Vec<Item> {
    let (asha, earlier, of_lead) = (person(ASHA), person("earlier@example.com"), PersonKey::of_lead(&lead(LEAD)));
    let (asha, earlier, of_lead) = (asha.as_str(), earlier.as_str(), of_lead.as_str());
    let invitation = |number, attributes: &[_]| item(&format!("invitation#{}", id(number)), attributes);
    vec![
        book(&person(ASHA), 1),
        // Of the first version: it names no person.
        invitation(1, &[("lead_id", LEAD)]),
        invitation(2, &[("person", earlier), ("lead_id", LEAD)]),
        invitation(3, &[("person", asha)]),
        item(&format!("held#{}", id(4)), &[("person", of_lead)]),
        item(&format!("lead#{LEAD}"), &[]),
        item("link#1", &[("person", earlier), ("lead_id", LEAD)]),
        item("session#1", &[("lead_id", LEAD)]),
        item("network#1", &[("lead_id", LEAD)]),
        item("code#1", &[("owner", LEAD)]),
        item("throttle#1", &[("owner", asha)]),
        item("mark#1", &[("owner", asha)]),
        item("places#1", &[("owner", asha)]),
        // Its invitation has expired, and it names another lead of hers.
        item("link#3", &[("owner", asha), ("person", asha), ("lead_id", OTHER_LEAD)]),
        item("session#3", &[("owner", OTHER_LEAD), ("lead_id", OTHER_LEAD)]),
    ]
}

/// The items of a stranger, of another person with Asha's lead, and of no person.
fn items_of_others() -> Vec<Item> {
    let (ravi, earlier) = (person("ravi@example.com"), person("earlier@example.com"));
    let stranger = [("person", ravi.as_str()), ("lead_id", STRANGERS_LEAD)];
    vec![
        book(&ravi, 9),
        item(&format!("invitation#{}", id(9)), &stranger),
        item("link#2", &stranger),
        item("session#2", &[("lead_id", STRANGERS_LEAD)]),
        item("mark#2", &[("owner", earlier.as_str())]),
        item("places#2", &[]),
        item("requests#2", &[]),
    ]
}

fn lead(id: &str) -> LeadId {
    id.parse().unwrap()
}

/// The keys of these items, in order.
fn keys_of(items: &[Item]) -> Vec<String> {
    let mut keys: Vec<_> = items.iter().map(|item| item["pk"].as_s().unwrap().clone()).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn all_items_of_a_person_are_erased_and_none_of_others() {
    let operator = OperatorStack::new().await;
    operator.put(items_of_asha().into_iter().chain(items_of_others())).await;
    let nobody = forget::Request { email: Some("meera@example.com".parse().unwrap()), leads: Vec::new() };
    let forgotten = forget::forget(&operator.stack(), &nobody, true, &StoppedClock).await.unwrap();
    assert_eq!(forgotten.items, BTreeMap::new());
    let forgotten = forget::forget(&operator.stack(), &asha(), true, &StoppedClock).await.unwrap();
    assert_eq!(forgotten.items.values().sum::<u64>(), items_of_asha().len() as u64, "{:?}", forgotten.items);
    assert_eq!(forgotten.leads, [lead(LEAD), lead(OTHER_LEAD)].into());
    assert_eq!(operator.keys().await, keys_of(&items_of_others()));
}

/// A clock that crashes the command once it has erased so many items.
struct CrashesAfter(Cell<usize>);

impl Clock for CrashesAfter {
    fn now(&self) -> OffsetDateTime {
        let left = self.0.get().checked_sub(1).expect("the command crashes here");
        self.0.set(left);
        NOW
    }

    async fn sleep(&self, _: std::time::Duration) {}
}

#[tokio::test]
async fn a_repeat_after_a_crash_finds_the_rest() {
    let all = items_of_asha().len();
    join_all((0..all).map(async |erased| {
        let operator = OperatorStack::new().await;
        operator.put(items_of_asha().into_iter().chain(items_of_others())).await;
        let (stack, clock) = (operator.stack(), CrashesAfter(Cell::new(erased)));
        let crashed = AssertUnwindSafe(forget::forget(&stack, &asha(), true, &clock)).catch_unwind().await;
        assert!(crashed.is_err(), "after {erased}");
        let repeated = forget::forget(&stack, &asha(), true, &StoppedClock).await.unwrap();
        assert_eq!(repeated.items.values().sum::<u64>(), (all - erased) as u64, "after {erased}");
        assert_eq!(operator.keys().await, keys_of(&items_of_others()), "after {erased}");
    }))
    .await;
}

#[tokio::test]
async fn nothing_is_erased_when_a_queue_cannot_be_looked_at() {
    let mut operator = OperatorStack::new().await;
    let pk = format!("person#{}", person(ASHA).as_str());
    operator.put([item(&pk, &[])]).await;
    operator.dead.send(&json!({"email": ASHA}).to_string(), "asha", "asha").await;
    operator.outputs.insert("UndeliveredEventsQueueUrl".to_owned(), format!("{}-nowhere", operator.events.url));
    let error = forget::forget(&operator.stack(), &asha(), true, &StoppedClock).await.unwrap_err().to_string();
    assert!(error.contains("sqs:ReceiveMessage"), "{error}");
    assert_eq!(operator.keys().await, [pk]);
    assert_eq!(operator.dead.drain().await.len(), 1);
}

#[tokio::test]
async fn waiting_invitations_of_a_person_are_erased_and_those_of_others_can_be_received_at_once() {
    let operator = OperatorStack::new().await;
    for (number, email) in [(1, ASHA), (2, "ravi@example.com"), (3, ASHA)] {
        let invitation = invitation(number, email);
        let (body, group) = (invitation.encode(), invitation.person().as_str().to_owned());
        operator.invitations.send(&body, &group, &number.to_string()).await;
    }
    operator.invitations.send("another consumer has this one", "0", "0").await;
    let forgotten = forget::forget(&operator.stack(), &asha(), false, &StoppedClock).await.unwrap();
    assert_eq!((forgotten.invitations, forgotten.is_erased), (2, false));
    let forgotten = forget::forget(&operator.stack(), &asha(), true, &StoppedClock).await.unwrap();
    assert_eq!((forgotten.invitations, forgotten.invitations_unseen), (2, 0));
    let left = operator.invitations.drain().await;
    assert_eq!(left.len(), 2, "{:?}", bodies(&left));
    assert!(left.iter().all(|message| !message.body().unwrap().contains(ASHA)));
}

/// The parameters of a stack whose LeadSquared is this emulator.
fn parameters(emulator: &Emulator) -> Parameters {
    let host = emulator.url().to_string().trim_end_matches('/').to_owned();
    let values = [
        ("LeadSquaredApiUrl", host.clone()),
        ("LeadSquaredPortalApiUrl", host),
        ("PortalId", emulator.portal_id()),
        ("AllowanceCalls", "10".to_owned()),
        ("AllowanceWindowSeconds", "5".to_owned()),
        ("AllowanceShare", "100".to_owned()),
        ("LogRetentionDays", "90".to_owned()),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[tokio::test]
async fn items_that_only_name_a_lead_are_found_at_any_age_through_leadsquared_or_by_the_given_lead() {
    let mut operator = OperatorStack::new().await;
    let emulator = Emulator::start(Settings::for_tests()).await.unwrap();
    let lead = emulator.add_lead(&[("EmailAddress", ASHA)]).unwrap();
    let (access_key, secret_key) = emulator.keys();
    let secret = operator.aws.secret(&json!({"accessKey": access_key, "secretKey": secret_key}).to_string()).await;
    operator.outputs.insert("KeysSecretArn".to_owned(), secret);
    let stack = operator.stack_with(parameters(&emulator));
    // What is left five weeks later, when the invitation and the link are gone.
    let left_of = |lead: &str| {
        let short = &lead[..8];
        [
            item(&format!("lead#{lead}"), &[]),
            item(&format!("network#{short}"), &[("lead_id", lead)]),
            item(&format!("session#{short}"), &[("lead_id", lead)]),
        ]
    };
    operator.put(left_of(&lead).into_iter().chain(left_of(STRANGERS_LEAD))).await;
    let left = async || {
        let keys = operator.keys().await.into_iter();
        keys.filter(|pk| ItemType::of_key(pk) != Some(ItemType::Allowance)).collect::<Vec<_>>()
    };
    let items = async |leads| {
        let request = forget::Request { leads, ..asha() };
        forget::forget(&operator.stack(), &request, false, &StoppedClock).await.unwrap().items.values().sum::<u64>()
    };
    assert_eq!(items(Vec::new()).await, 0, "only LeadSquared connects them with the address");
    assert_eq!(items(vec![lead.parse().unwrap()]).await, 3);

    let mut out = Vec::new();
    assert_eq!(forget::run(&stack, &asha(), true, &StoppedClock, &mut out).await.unwrap(), ExitStatus::Done);
    let out = String::from_utf8(out).unwrap();
    let expected = format!(
        "Erased:\n  ledger         1 lead, 1 network, 1 session\nWhat stays:\n  LeadSquared    lead {lead}, until you \
         delete it there\n"
    );
    assert!(out.starts_with(&expected), "{out}");
    assert_eq!(left().await, [&*format!("lead#{STRANGERS_LEAD}"), "network#22222222", "session#22222222"]);

    // LeadSquared has no lead with this id any more.
    let by_lead = forget::Request { email: None, leads: vec![self::lead(STRANGERS_LEAD)] };
    let forgotten = forget::forget(&stack, &by_lead, true, &StoppedClock).await.unwrap();
    assert_eq!((forgotten.items.values().sum::<u64>(), forgotten.not_asked), (3, None));
    assert_eq!(left().await, [""; 0]);
}

#[tokio::test]
async fn forget_reports_that_leadsquared_could_not_be_asked_and_erases_the_rest() {
    let operator = OperatorStack::new().await;
    operator.put([item(&format!("person#{}", person(ASHA).as_str()), &[])]).await;
    let mut out = Vec::new();
    assert_eq!(
        forget::run(&operator.stack(), &asha(), true, &StoppedClock, &mut out).await.unwrap(),
        ExitStatus::Unfinished
    );
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.contains("could not be asked for the person's leads (the stack test has no output KeysSecretArn"),
        "{out}"
    );
    assert!(out.contains("--lead ID") && operator.keys().await.is_empty(), "{out}");
}

#[tokio::test]
async fn forget_erases_the_samples_of_their_person_of_every_type() {
    let operator = OperatorStack::new().await;
    let mut samples = workspace::files(&workspace::root().join("events/ledger"), "json");
    // An earlier version wrote places without an owner: they last an hour.
    samples.retain(|path| !path.parent().unwrap().ends_with("v2/places"));
    // Several samples are states of one item: one of each has to do.
    let items = samples.iter().map(|path| item_of(&serde_json::from_slice(&fs::read(path).unwrap()).unwrap()));
    let items: BTreeMap<_, _> = items.map(|item| (item["pk"].as_s().unwrap().clone(), item)).collect();
    operator.put(items.into_values()).await;
    let person = forget::Request {
        email: Some("asha.rao@example.com".parse().unwrap()),
        leads: vec![lead("5b0f6c0e-8f61-4d5f-9c8e-2a7d9c1b3e44")],
    };
    forget::forget(&operator.stack(), &person, true, &StoppedClock).await.unwrap();
    for item in operator.items(&operator.table).await {
        let item_type = ItemType::of_key(item["pk"].as_s().unwrap()).unwrap();
        let names_a_person = item_type.belongs_to() == BelongsTo::Person || item.contains_key("owner");
        assert!(!names_a_person, "{item:?}");
    }
}

fn target(link: &LinkHash, made_at: OffsetDateTime) -> LinkTarget {
    LinkTarget {
        link: link.clone(),
        lead: lead(LEAD),
        person: person(ASHA),
        invitation: invitation(1, ASHA).id,
        made_at,
        valid_until: NOW + Duration::days(7),
        used_links: 0,
        code: None,
    }
}

/// A backup of the table as it is; its name.
async fn backup(operator: &OperatorStack) -> String {
    let backup = operator.aws.table_named("ledger-restored").await;
    operator.aws.put_items(&backup, operator.items(&operator.table).await).await;
    backup
}

#[tokio::test]
async fn a_restore_makes_no_used_link_usable_and_reopens_no_ended_invitation() {
    let operator = OperatorStack::new().await;
    let invitation = invitation(1, ASHA);
    let lease = |message: u128| Lease {
        holder: Uuid::from_u128(message),
        message: Uuid::from_u128(message),
        until: NOW + Duration::MINUTE,
    };
    let claimed = operator.ledger.claim(&invitation, &lease(1), NOW).await.unwrap();
    assert!(matches!(claimed, Claim::Granted(_)), "{claimed:?}");
    let links = [1, 2].map(|number| LinkToken::new([number; LINK_TOKEN_BYTES]).hash());
    operator.put(links.iter().map(|link| link_item(&target(link, NOW)))).await;

    let backup = backup(&operator).await;
    // After the backup both links are used and the invitation ends. Then one link and the invitation are lost.
    let page = Uuid::from_u128(7);
    for link in &links {
        assert!(operator.ledger.use_link(link, page, NOW).await.unwrap());
    }
    let record = Record { lead: Some(lead(LEAD)), mailed: true, ..Record::default() };
    operator.ledger.end(&invitation, &lease(1), &record, &Outcome::Invited, NOW).await.unwrap();
    let lost = format!("link#{}", links[1].as_str());
    let lost = [lost, format!("invitation#{}", invitation.id)];
    for pk in &lost {
        operator.aws.dynamodb().delete_item().table_name(&operator.table).key("pk", text(pk)).send().await.unwrap();
    }

    let mut out = Vec::new();
    assert_eq!(restore::run(&operator.stack(), &backup, &StoppedClock, &mut out).await.unwrap(), ExitStatus::Done);
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.starts_with("2 items copied into the ledger.") && out.contains("\n1 login links were restored as used"),
        "{out}"
    );
    assert!(out.contains("\n1 invitations had not ended"), "{out}");

    let later = NOW + Duration::HOUR;
    for link in &links {
        assert!(operator.ledger.link(link, later).await.unwrap().unwrap().used);
        assert!(!operator.ledger.use_link(link, Uuid::from_u128(8), later).await.unwrap(), "it opens the portal once");
    }
    // A repeat of the message finds the invitation in doubt, and mails nothing before an operator has decided.
    let again = operator.ledger.claim(&invitation, &lease(2), later).await.unwrap();
    let Claim::Granted(record) = again else { panic!("{again:?}") };
    assert_eq!((record.in_doubt, record.unresolved_mails, record.mailed), (true, 2, false));
}

#[tokio::test]
async fn a_restore_leaves_an_ended_invitation_as_it_is() {
    let operator = OperatorStack::new().await;
    let invitation = invitation(1, ASHA);
    let lease = Lease { holder: Uuid::nil(), message: Uuid::nil(), until: NOW + Duration::MINUTE };
    operator.ledger.claim(&invitation, &lease, NOW).await.unwrap();
    let backup = backup(&operator).await;
    operator.ledger.end(&invitation, &lease, &Record::default(), &Outcome::Invited, NOW).await.unwrap();
    let restored = operator.ledger.restore_from(&backup, NOW).await.unwrap();
    assert_eq!((restored.copied, restored.invitations), (0, 0), "{restored:?}");
    assert_eq!(operator.ledger.claim(&invitation, &lease, NOW + Duration::HOUR).await.unwrap(), Claim::Done);
}

/// The item of an unused link.
fn link_item(target: &LinkTarget) -> Item {
    let number = |time: OffsetDateTime| AttributeValue::N(time.unix_timestamp().to_string());
    let lead = target.lead.to_string();
    let texts =
        [("lead_id", &*lead), ("person", target.person.as_str()), ("invitation", &*target.invitation.to_string())];
    let mut item = item(&format!("link#{}", target.link.as_str()), &texts);
    item.insert("made_at".to_owned(), number(target.made_at));
    item.insert("valid_until".to_owned(), number(target.valid_until));
    item.insert("expires_at".to_owned(), number(target.valid_until + Duration::days(30)));
    item
}

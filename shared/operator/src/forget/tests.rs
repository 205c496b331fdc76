//! Tests of which items and messages are a person's, and of the report.

use ledger::Trace;
use onboarding::InvitationId;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;
use crate::received::ReceivedMessage;

const NOW: OffsetDateTime = time::macros::datetime!(2026-01-02 03:04:05 UTC);
const LEAD: &str = "11111111-1111-4111-8111-111111111111";
const OTHER_LEAD: &str = "33333333-3333-4333-8333-333333333333";
const STRANGERS_LEAD: &str = "22222222-2222-4222-8222-222222222222";

fn asha() -> Person {
    Person { emails: BTreeSet::from(["asha@example.test".parse().unwrap()]), leads: BTreeSet::new() }
}

fn key(email: &str) -> PersonKey {
    PersonKey::of(&email.parse().unwrap())
}

fn id(number: u8) -> InvitationId {
    format!("00000000-0000-8000-8000-0000000000{number:02}").parse().unwrap()
}

fn invitation(number: u8) -> String {
    format!("invitation#{}", id(number))
}

fn trace(pk: &str, person: Option<&PersonKey>, lead: Option<&str>) -> Trace {
    Trace {
        pk: pk.to_owned(),
        persons: person.cloned().into_iter().collect(),
        leads: lead.map(|lead| lead.parse().unwrap()).into_iter().collect(),
        invitations: Vec::new(),
    }
}

fn book(person: &PersonKey, invitations: Vec<InvitationId>) -> Trace {
    Trace { invitations, ..trace(&format!("person#{}", person.as_str()), Some(person), None) }
}

fn lead(id: &str) -> Trace {
    trace(&format!("lead#{id}"), None, Some(id))
}

/// The items of Asha and of a stranger.
fn table() -> Vec<Trace> {
    let (asha, ravi, earlier) = (key("asha@example.test"), key("ravi@example.test"), key("earlier@example.test"));
    vec![
        book(&asha, vec![id(1)]),
        // Of the first version: it names nobody.
        trace(&invitation(1), None, Some(LEAD)),
        // By the lead alone, as from the CRM.
        trace(&invitation(2), Some(&earlier), Some(LEAD)),
        trace(&invitation(3), Some(&asha), None),
        lead(LEAD),
        trace("link#1", Some(&earlier), Some(LEAD)),
        trace("session#1", None, Some(LEAD)),
        trace("network#1", None, Some(LEAD)),
        trace("held#1", Some(&PersonKey::of_lead(&LEAD.parse().unwrap())), None),
        // Its invitation is gone, and by it another lead is hers.
        trace("link#3", Some(&asha), Some(OTHER_LEAD)),
        trace("session#3", None, Some(OTHER_LEAD)),
        trace("link#2", Some(&ravi), Some(STRANGERS_LEAD)),
        trace("session#2", None, Some(STRANGERS_LEAD)),
        trace(&invitation(9), Some(&ravi), Some(STRANGERS_LEAD)),
        book(&ravi, vec![id(9)]),
    ]
}

#[test]
fn all_items_of_a_person_are_found_and_none_of_others() {
    let (first, second, third) = (invitation(1), invitation(2), invitation(3));
    let (of_lead, of_asha) = (format!("lead#{LEAD}"), format!("person#{}", key("asha@example.test").as_str()));
    let expected = [
        "held#1",
        &second,
        "link#1",
        "network#1",
        "session#1",
        "session#3",
        &of_lead,
        &first,
        &third,
        "link#3",
        &of_asha,
    ];
    assert_eq!(PersonItems::among(table(), &asha()).pks(), expected);
    let nobody = Person { emails: BTreeSet::from(["meera@example.test".parse().unwrap()]), leads: BTreeSet::new() };
    assert!(PersonItems::among(table(), &nobody).pks().is_empty());
}

#[test]
fn items_that_only_name_the_lead_are_found_by_it_at_any_age() {
    let old = || vec![lead(LEAD), trace("network#1", None, Some(LEAD)), trace("session#1", None, Some(LEAD))];
    assert!(PersonItems::among(old(), &asha()).pks().is_empty(), "nothing connects them with the address");
    let known = Person { leads: BTreeSet::from([LEAD.parse().unwrap()]), ..asha() };
    let by_lead = Person { leads: known.leads.clone(), emails: BTreeSet::new() };
    for person in [known, by_lead] {
        assert_eq!(PersonItems::among(old(), &person).pks().len(), 3);
    }
}

#[test]
fn a_repeat_after_a_crash_finds_the_rest() {
    let all = PersonItems::among(table(), &asha());
    for done in 0..all.pks().len() {
        let erased = &all.pks()[..done];
        let left = table().into_iter().filter(|trace| !erased.contains(&&*trace.pk)).collect();
        assert_eq!(PersonItems::among(left, &asha()).pks(), all.pks()[done..], "after {done}");
    }
}

fn is_about_asha(message: &ReceivedMessage) -> bool {
    messages::is_about(message, &asha(), &PersonItems::among(table(), &asha()))
}

fn message(body: &str, attributes: &[(&str, &str)]) -> ReceivedMessage {
    ReceivedMessage::for_test(Queue::DeadLetters, body, attributes, NOW)
}

#[test]
fn a_message_is_a_persons_by_anything_that_names_the_person() {
    let detail = json!({"version": "1", "email": "ASHA@example.test"});
    let wrapped = json!({"detail": detail.to_string()}).to_string().replace('@', "\\u0040");
    let third = id(3).to_string();
    let theirs: [Value; 8] = [
        json!({"email": " Asha@Example.test"}),
        json!({"lead": LEAD.to_uppercase()}),
        json!({"id": third}),
        json!({"detail-type": "ApplicationSubmitted", "detail": detail}),
        json!({"detail-type": "InvitationRequested", "detail": {"leadId": LEAD}}),
        json!({
            "detail-type": "ApplicationSubmitted",
            "detail": {"emal": "Asha <asha@example.test>", "email": "none"},
        }),
        json!({"Sns": {"Message": wrapped}}),
        json!({"requestPayload": {"detail": {"email": ["asha@example.test"]}}}),
    ];
    for body in theirs {
        assert!(is_about_asha(&message(&body.to_string(), &[])), "{body}");
    }
    assert!(is_about_asha(&message("no JSON, from asha@example.test.", &[])));
    assert!(is_about_asha(&message("{}", &[("receipt", &third)])));
    let mut grouped = message("no JSON", &[]);
    grouped.group = Some(key("asha@example.test").as_str().to_owned());
    assert!(is_about_asha(&grouped));
}

#[test]
fn a_message_about_another_person_is_not_erased_because_it_mentions_this_one() {
    for body in [
        "",
        "[]",
        "{}",
        r#"{"email": null, "lead": 7, "id": "ravi"}"#,
        r#"{"email": "ravi@example.test", "attributes": [{"name": "mx_Mother", "value": "asha@example.test"}]}"#,
        r#"{"detail": {"email": "natasha@example.test"}}"#,
        "to asha@example.test.in, x+asha@example.test and asha@example.testing",
    ] {
        assert!(!is_about_asha(&message(body, &[])), "{body}");
    }
}

#[test]
fn the_report_shows_what_was_erased_what_stays_and_what_is_left_to_do() {
    let all = Forgotten {
        is_erased: true,
        items: BTreeMap::from([("invitation".to_owned(), 2), ("link".to_owned(), 1)]),
        dead_letters: 1,
        invitations: 2,
        dead_letters_unseen: 3,
        invitations_unseen: 4,
        leads: BTreeSet::from([LEAD.parse().unwrap()]),
        not_asked: None,
        log_days: Some(90),
    };
    let text = report::report(&all);
    let lines: Vec<_> = text.lines().collect();
    let expected = [
        "Erased:",
        "  ledger         2 invitation, 1 link",
        "  dead letters   1",
        "  invitations    2",
        "What stays:",
        "  LeadSquared    lead 11111111-1111-4111-8111-111111111111, until you delete it there",
    ];
    assert_eq!(lines[..6], expected, "{text}");
    assert!(lines[6].starts_with("  queue          about 4 invitations, of any person"), "{text}");
    assert!(lines[7].starts_with("  dead letters   about 3, of any person"), "{text}");
    assert!(lines[8].starts_with("  ledger         one-time codes, sealed (15 minutes), hashes of"), "{text}");
    assert!(lines[9].contains("for 35 days") && lines[10].contains("for 90 days"), "{text}");
    assert_eq!(all.ending(), Ending::Unfinished);

    let found = Forgotten { is_erased: false, ..all.clone() };
    assert!(report::report(&found).starts_with("Found, and not erased (run the same command with --yes"));
    let done = Forgotten { dead_letters_unseen: 0, invitations_unseen: 0, ..all };
    assert_eq!(done.ending(), Ending::Done);
    assert_eq!(Forgotten { is_erased: false, ..done }.ending(), Ending::Unfinished);
}

#[test]
fn nothing_found_is_reported_with_the_ways_to_find_more() {
    let nothing = Forgotten::default();
    let text = report::report(&nothing);
    assert!(text.starts_with("Nothing to erase was found.\nWhat stays:\n"), "{text}");
    assert!(text.contains("no lead with this address") && text.contains("--lead ID"), "{text}");
    assert_eq!(nothing.ending(), Ending::Done);

    let not_asked = Forgotten { not_asked: Some("the secret is denied".to_owned()), ..nothing };
    let text = report::report(&not_asked);
    assert!(text.contains("could not be asked for the person's leads (the secret is denied)"), "{text}");
    assert_eq!(not_asked.ending(), Ending::Unfinished);
}

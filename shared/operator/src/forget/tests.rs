//! Tests of which messages are a person's, and of the report.

use onboarding::InvitationId;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;
use crate::received::ReceivedMessage;

const NOW: OffsetDateTime = time::macros::datetime!(2026-01-02 03:04:05 UTC);
const LEAD: &str = "11111111-1111-4111-8111-111111111111";

fn asha() -> Person {
    Person { emails: BTreeSet::from(["asha@example.test".parse().unwrap()]), leads: BTreeSet::new() }
}

fn key(email: &str) -> PersonKey {
    PersonKey::of(&email.parse().unwrap())
}

fn id(number: u8) -> InvitationId {
    format!("00000000-0000-8000-8000-0000000000{number:02}").parse().unwrap()
}

fn is_about_asha(message: &ReceivedMessage) -> bool {
    let known = Person { leads: BTreeSet::from([LEAD.parse().unwrap()]), ..asha() };
    messages::is_about(message, &known, &HashSet::from([id(3)]))
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
        items: BTreeMap::from([(ItemType::Invitation, 2), (ItemType::Link, 1)]),
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
    assert_eq!(
        lines[8],
        "  ledger         items that name no person, until they expire: throttle (24 h), code (15 min), requests \
         (2 days), sender (2 days)"
    );
    assert!(lines[9].contains("for 35 days") && lines[10].contains("for 90 days"), "{text}");
    assert_eq!(all.ending(), ExitStatus::Unfinished);

    let found = Forgotten { is_erased: false, ..all.clone() };
    assert!(report::report(&found).starts_with("Found, and not erased (run the same command with --yes"));
    let done = Forgotten { dead_letters_unseen: 0, invitations_unseen: 0, ..all };
    assert_eq!(done.ending(), ExitStatus::Done);
    assert_eq!(Forgotten { is_erased: false, ..done }.ending(), ExitStatus::Unfinished);
}

#[test]
fn nothing_found_is_reported_with_the_ways_to_find_more() {
    let nothing = Forgotten::default();
    let text = report::report(&nothing);
    assert!(text.starts_with("Nothing to erase was found.\nWhat stays:\n"), "{text}");
    assert!(text.contains("no lead with this address") && text.contains("--lead ID"), "{text}");
    assert_eq!(nothing.ending(), ExitStatus::Done);

    let not_asked = Forgotten { not_asked: Some("the secret is denied".to_owned()), ..nothing };
    let text = report::report(&not_asked);
    assert!(text.contains("could not be asked for the person's leads (the secret is denied)"), "{text}");
    assert_eq!(not_asked.ending(), ExitStatus::Unfinished);
}

//! Tests of the timeline.

use super::*;
use ledger::Held;
use onboarding::{Ended, Record};

const NOW: OffsetDateTime = time::macros::datetime!(2026-01-02 03:04:05 UTC);
const RECEIPT: &str = "00000000-0000-8000-8000-000000000001";

fn receipt() -> InvitationId {
    RECEIPT.parse().unwrap()
}

fn logged(seconds_ago: i64, function: &str, line: &Value) -> Logged {
    Logged { at: NOW - Duration::seconds(seconds_ago), function: function.to_owned(), line: line.to_string() }
}

fn status(record: Record, leased_until: Option<OffsetDateTime>) -> InvitationStatus {
    InvitationStatus { received_at: NOW - Duration::MINUTE, record, leased_until }
}

fn ended(name: &str, cause: Option<&str>) -> Option<InvitationStatus> {
    let ended = Ended { name: name.to_owned(), cause: cause.map(str::to_owned), message: None };
    Some(status(Record { ended: Some(ended), ..Record::default() }, None))
}

#[test]
fn a_timeline_is_in_order_and_shows_impersonal_fields_alone() {
    let end = json!({
        "level": "INFO",
        "fields": {"message": "invitation ended", "receipt": "r", "outcome": "invited", "cause": "", "attempts": 2},
    });
    let retry = json!({
        "level": "WARN", "message": "attempt failed", "email": "asha@example.test", "attempts": 1,
        "error": "LeadSquared failed",
    });
    let mut status = ended("invited", None).unwrap();
    status.record.lead = Some("11111111-1111-4111-8111-111111111111".parse().unwrap());
    status.record.mailed = true;
    status.record.left_out = vec!["mx_City".to_owned()];
    let log = vec![logged(50, "InvitationFunction", &retry), logged(30, "InvitationFunction", &end)];
    let explanation = Explanation { status: Some(status), log, ..Explanation::default() };
    let expected = "\
Invitation 00000000-0000-8000-8000-000000000001
  2026-01-02 03:03:05.000 UTC  accepted
  2026-01-02 03:03:15.000 UTC  InvitationFunction: attempt failed, attempts 1, error LeadSquared failed
  2026-01-02 03:03:35.000 UTC  InvitationFunction: invitation ended, outcome invited, attempts 2
Lead      newly registered
Mail      sent
Left out  mx_City
Now       done: invited
";
    assert_eq!(timeline(&explanation, receipt(), NOW), expected);
}

#[test]
fn the_place_of_an_invitation_follows_from_the_ledger_and_the_dead_letters() {
    let letter = DeadLetter {
        id: "1".to_owned(),
        class: "rejected".to_owned(),
        cause: "mail-unknown".to_owned(),
        receipt: Some(receipt()),
        since: NOW - Duration::minutes(5),
    };
    let honeypot = json!({"message": "dropped", "outcome": "suppressed", "cause": "honeypot"});
    let question = json!({"message": INVITATION_ACCEPTED, "rule": "", "undecided": "active, any"});
    let soon = NOW + Duration::seconds(5);
    for (status, dead_letter, log, expected) in [
        (None, None, vec![], "on the queue, until its next attempt"),
        (None, None, vec![logged(1, "F", &honeypot)], "done: suppressed"),
        (
            None,
            None,
            vec![logged(1, "F", &question)],
            "on the queue, until its first attempt; or dropped, because a message about the same lead and rules came in \
             the five minutes before. That one decides for both",
        ),
        (
            ended("suppressed", Some("no-rule-applies")),
            None,
            vec![logged(1, "F", &question)],
            "done: suppressed (no-rule-applies)",
        ),
        (
            Some(status(Record::default(), Some(soon))),
            None,
            vec![],
            "an attempt is under way, until 2026-01-02 03:04:10.000 UTC at the latest",
        ),
        (Some(status(Record::default(), Some(NOW))), None, vec![], "on the queue, until its next attempt"),
        (ended("already-invited", None), None, vec![], "done: already-invited"),
        (
            ended("rejected", Some("id-reused")),
            None,
            vec![],
            "rejected (id-reused), and its dead letter was put back or deleted",
        ),
        (
            ended("rejected", Some("mail-unknown")),
            Some(letter),
            vec![],
            "among the dead letters for 5 min; put it back with `dead-letters put-back --receipt \
             00000000-0000-8000-8000-000000000001`, or delete it with `dead-letters discard --receipt \
             00000000-0000-8000-8000-000000000001 --yes`",
        ),
    ] {
        let explanation = Explanation { status, dead_letter, log, held: None };
        let text = timeline(&explanation, receipt(), NOW);
        assert!(text.ends_with(&format!("Now       {expected}\n")), "{text}");
    }
}

#[test]
fn a_held_application_and_its_commands_are_shown_until_it_is_on_the_queue() {
    let held = |decision: Option<HeldDecision>, has_message| held::Found {
        held: Held {
            id: receipt(),
            cause: "network".to_owned(),
            source: "form".to_owned(),
            network: None,
            held_at: NOW - Duration::hours(3),
            expires_at: NOW + Duration::days(10),
            decision: decision.map(|decision| (decision, NOW - Duration::minutes(5))),
        },
        has_message,
    };
    let (accepted, discarded) = (Some(HeldDecision::Accepted), Some(HeldDecision::Discarded));
    let logged = logged(7, "F", &json!({"message": "application held", "outcome": "held"}));
    for (found, status, expected) in [
        (
            Some(held(None, true)),
            None,
            format!(
                "held (network) for 3 h; accept it with `held accept --receipt {RECEIPT}`, or discard it with `held \
                 discard --receipt {RECEIPT} --yes`. It expires in 10 days"
            ),
        ),
        (
            Some(held(accepted, true)),
            None,
            format!("accepted, and not on the queue yet: run `held accept --receipt {RECEIPT}` again"),
        ),
        (Some(held(accepted, false)), None, "on the queue, until its next attempt".to_owned()),
        (Some(held(accepted, false)), ended("invited", None), "done: invited".to_owned()),
        (Some(held(discarded, false)), None, "discarded by an operator after it was held (network)".to_owned()),
        (None, None, "discarded after it was held: by an operator, or because it expired undecided".to_owned()),
    ] {
        let decided = found.as_ref().and_then(|found| found.held.decision).map(|(decision, _)| decision.name());
        let explanation = Explanation { status, held: found, log: vec![logged.clone()], dead_letter: None };
        let text = timeline(&explanation, receipt(), NOW);
        assert!(text.ends_with(&format!("Now       {expected}\n")), "{text}");
        if let Some(decided) = decided {
            assert!(text.contains(&format!("2026-01-02 02:59:05.000 UTC  {decided} by an operator\n")), "{text}");
        }
        let is_shown = text.contains("2026-01-02 00:04:05.000 UTC  held: network\n");
        assert_eq!(explanation.held.is_some(), is_shown, "{text}");
    }
}

//! The suite that every ledger of invitations must pass. Times are arguments, so latency does not matter.
//!
//! Each case gets a new ledger.

use leadsquared::LeadId;
use onboarding::{
    Action, BegunMail, CallsMade, Claim, ContentFailures, Invitation, InvitationId, Invitee, LastSuccesses, Lease,
    Ledger, LeftOut, LoneFailures, MailHistory, MailReservation, MarkSent, Outcome, Record, Rejection, Source, Success,
    Suppression,
};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const NOW: OffsetDateTime = datetime!(2026-01-02 23:59:30 UTC);

/// After every lease that the cases take has run out.
const LATER: OffsetDateTime = datetime!(2026-01-03 00:01:30 UTC);

/// Makes a test of every case: `suite::tests!(block_on, ledger)`, where `ledger` is an `AsyncFn() -> impl Ledger`.
macro_rules! tests {
    ($block_on:expr, $ledger:expr) => {
        suite::tests!($block_on, $ledger;
            an_invitation_has_one_attempt_at_a_time
            an_attempt_whose_lease_ran_out_writes_nothing
            a_released_invitation_is_granted_as_it_was_left
            another_payload_under_the_same_id_is_refused
            an_invitation_that_ended_is_done_unless_it_failed
            a_mail_is_begun_only_from_the_book_that_was_read
            a_success_shows_other_invitations_that_leadsquared_works
            an_invitation_that_was_reduced_is_done_without_its_attributes
            a_reduced_registration_is_remembered_for_its_person_however_it_ends
            a_sent_mail_is_remembered_for_its_person
            the_first_registration_of_a_lead_is_remembered
        );
    };
    ($block_on:expr, $ledger:expr; $($case:ident)*) => {
        $(#[test]
        fn $case() {
            $block_on(async { suite::$case(&$ledger().await).await });
        })*
    };
}
pub(crate) use tests;

fn asha() -> Invitation {
    let invitee = Invitee::Email("asha@example.test".parse().unwrap());
    Invitation::new(InvitationId::of([&b"1"[..]]), Source::Form, NOW, invitee, Action::Invite)
}

fn lease(holder: u128) -> Lease {
    Lease { holder: Uuid::from_u128(holder), message: Uuid::from_u128(1), until: NOW + Duration::MINUTE }
}

fn lead() -> LeadId {
    Uuid::from_u128(5).to_string().parse().unwrap()
}

fn reservation(version: u64, begun: &[BegunMail], budget: u32) -> MailReservation {
    MailReservation { person: asha().person(), version, begun: begun.to_vec(), at: NOW, budget: Some(budget) }
}

/// A record with something in each of its fields, except for those that say that it ended or is in doubt.
fn record() -> Record {
    Record {
        lead: Some(lead()),
        existing: true,
        registered: true,
        mark: MarkSent::Yes,
        person: Some(asha().person()),
        unresolved_mails: 1,
        left_out: vec!["mx_City".to_owned(), "Phone".to_owned()],
        noted: vec!["Phone".to_owned()],
        content: ContentFailures { failures: failures(1), is_suspected: true },
        calls: CallsMade { count: 5, last: Some(NOW + Duration::milliseconds(9)) },
        unused_lookup: Some(NOW),
        unused_mail: Some(NOW),
        mail_refusals: failures(2),
        ..Record::default()
    }
}

fn failures(count: u32) -> LoneFailures {
    let at = |milliseconds| Some(NOW + Duration::milliseconds(milliseconds));
    LoneFailures { count, first: at(3), last: at(7) }
}

async fn granted(ledger: &impl Ledger, lease: &Lease, now: OffsetDateTime) -> Record {
    match ledger.claim(&asha(), lease, now).await.unwrap() {
        Claim::Granted(record) => record,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn an_invitation_has_one_attempt_at_a_time(ledger: &impl Ledger) {
    assert_eq!(granted(ledger, &lease(1), NOW).await, Record::default());
    assert_eq!(ledger.claim(&asha(), &lease(2), NOW).await.unwrap(), Claim::Held);
    let crashed = granted(ledger, &lease(2), LATER).await;
    assert!(crashed.in_doubt, "the first attempt crashed, and may have registered the person");
}

pub(crate) async fn an_attempt_whose_lease_ran_out_writes_nothing(ledger: &impl Ledger) {
    granted(ledger, &lease(1), NOW).await;
    let second = Lease { until: LATER + Duration::MINUTE, ..lease(2) };
    granted(ledger, &second, LATER).await;
    let mail = BegunMail { at: LATER, invitation: asha().id };
    assert!(ledger.begin_mail(&asha(), &lease(1), &record(), &reservation(0, &[mail], 2), None).await.is_err());
    assert!(ledger.release(&asha(), &lease(1), &record(), LATER).await.is_err());
    assert!(ledger.end(&asha(), &lease(1), &record(), &Outcome::Invited, LATER).await.is_err());
    assert_eq!(ledger.mail_book(&asha().person(), LATER).await.unwrap(), MailHistory::default());
    assert_eq!(ledger.registered_at(&lead()).await.unwrap(), None);
    ledger.release(&asha(), &second, &record(), LATER).await.unwrap();
}

pub(crate) async fn a_released_invitation_is_granted_as_it_was_left(ledger: &impl Ledger) {
    granted(ledger, &lease(1), NOW).await;
    ledger.release(&asha(), &lease(1), &record(), NOW).await.unwrap();
    assert_eq!(granted(ledger, &lease(2), NOW).await, record());
    let crashed = granted(ledger, &lease(3), LATER).await;
    assert!(!crashed.in_doubt, "the lead is known");
}

pub(crate) async fn another_payload_under_the_same_id_is_refused(ledger: &impl Ledger) {
    let attributes = [("City".to_owned(), "Pune".to_owned())].into_iter().collect();
    let other = Invitation { attributes, ..asha() };
    granted(ledger, &lease(1), NOW).await;
    assert_eq!(ledger.claim(&other, &lease(2), NOW).await.unwrap(), Claim::OtherPayload);
    ledger.end(&asha(), &lease(1), &record(), &Outcome::Invited, NOW).await.unwrap();
    assert_eq!(ledger.claim(&other, &lease(2), NOW).await.unwrap(), Claim::OtherPayload);
}

pub(crate) async fn an_invitation_that_ended_is_done_unless_it_failed(ledger: &impl Ledger) {
    granted(ledger, &lease(1), NOW).await;
    let rejected = Outcome::Rejected(Rejection::Refused { exception_type: "MXInvalidInputException".to_owned() });
    ledger.end(&asha(), &lease(1), &record(), &rejected, NOW).await.unwrap();
    let again = granted(ledger, &lease(2), NOW).await;
    let ended = again.ended.clone().unwrap();
    assert_eq!((&*ended.name, ended.message), ("rejected", Some(lease(1).message)));
    assert_eq!(again.unresolved_mails, 1);

    // An operator puts it back: it is another message, and its mails of unknown result no longer count.
    ledger.release(&asha(), &lease(2), &again, NOW).await.unwrap();
    let put_back = Lease { message: Uuid::from_u128(2), ..lease(3) };
    let again = granted(ledger, &put_back, NOW).await;
    let ended = again.ended.clone().unwrap();
    assert_eq!((ended.cause.as_deref(), ended.message), (Some("refused: MXInvalidInputException"), None));
    assert_eq!(again.unresolved_mails, 0);
    ledger.end(&asha(), &put_back, &again, &Outcome::InvitedExisting, NOW).await.unwrap();
    assert_eq!(ledger.claim(&asha(), &lease(4), LATER).await.unwrap(), Claim::Done);
}

pub(crate) async fn a_mail_is_begun_only_from_the_book_that_was_read(ledger: &impl Ledger) {
    let (person, mail) = (asha().person(), BegunMail { at: NOW, invitation: asha().id });
    granted(ledger, &lease(1), NOW).await;
    assert_eq!(ledger.mail_book(&person, NOW).await.unwrap(), MailHistory::default());
    assert!(ledger.begin_mail(&asha(), &lease(1), &record(), &reservation(0, &[mail], 2), None).await.unwrap());
    let book = MailHistory { version: 1, begun: vec![mail], begun_today: 1, ..MailHistory::default() };
    assert_eq!(ledger.mail_book(&person, NOW).await.unwrap(), book);
    let tomorrow = ledger.mail_book(&person, LATER).await.unwrap();
    assert_eq!(tomorrow, MailHistory { begun_today: 0, ..book.clone() }, "each day has a budget of its own");

    let other = Record { unresolved_mails: 2, ..record() };
    let begin = async |version, budget| {
        let reservation = reservation(version, &[mail, mail], budget);
        ledger.begin_mail(&asha(), &lease(1), &other, &reservation, None).await.unwrap()
    };
    assert!(!begin(0, 2).await, "from an old book");
    assert!(!begin(1, 1).await, "beyond the budget");
    assert_eq!(ledger.mail_book(&person, NOW).await.unwrap(), book);
    // The attempt may have used its look-up.
    let kept = Record { is_taken_over: true, unused_lookup: None, ..record() };
    assert_eq!(granted(ledger, &lease(2), LATER).await, kept, "nothing was written");
}

pub(crate) async fn a_success_shows_other_invitations_that_leadsquared_works(ledger: &impl Ledger) {
    let other = Invitation { invitee: Invitee::Email("ravi@example.test".parse().unwrap()), ..asha() };
    let successes = async || ledger.mail_book(&other.person(), NOW).await.unwrap().successes;
    let at = |milliseconds| Some(NOW + Duration::milliseconds(milliseconds));
    let record = |success| Record { success, ..record() };
    let none = LastSuccesses::default();
    for (success, now, expected) in [
        (None, at(1), none),
        (Some(Success::LookedUp), at(2), LastSuccesses { looked_up: at(2), ..none }),
        (Some(Success::Registered), at(3), LastSuccesses { looked_up: at(2), registered: at(3), ..none }),
    ] {
        granted(ledger, &lease(1), NOW).await;
        ledger.release(&asha(), &lease(1), &record(success), now.unwrap()).await.unwrap();
        assert_eq!(successes().await, expected);
    }
    assert_eq!(granted(ledger, &lease(1), NOW).await.success, None, "it is not kept for this invitation");
    let suppressed = Outcome::Suppressed(Suppression::MailCap);
    ledger.end(&asha(), &lease(1), &record(Some(Success::LookedUp)), &suppressed, at(4).unwrap()).await.unwrap();
    assert_eq!(successes().await, LastSuccesses { looked_up: at(4), registered: at(3), ..none });
    assert_eq!(ledger.mail_book(&asha().person(), NOW).await.unwrap().successes, successes().await);
}

pub(crate) async fn an_invitation_that_was_reduced_is_done_without_its_attributes(ledger: &impl Ledger) {
    granted(ledger, &lease(1), NOW).await;
    let reduced = Record { is_reduced: true, ..record() };
    ledger.end(&asha(), &lease(1), &reduced, &Outcome::Invited, NOW).await.unwrap();
    let left_out = LeftOut { withheld: vec!["mx_City".to_owned()], noted: vec!["Phone".to_owned()] };
    // Another message may be the only one that has what was left out.
    for lease in [lease(2), Lease { message: Uuid::from_u128(2), ..lease(3) }] {
        assert_eq!(ledger.claim(&asha(), &lease, LATER).await.unwrap(), Claim::DoneWithout(left_out.clone()));
    }
    // The message before it was done once there was a dead letter.
    let repeat = Invitation { received_at: LATER, ..asha() };
    assert_eq!(ledger.claim(&repeat, &lease(4), LATER).await.unwrap(), Claim::Done);
}

pub(crate) async fn a_reduced_registration_is_remembered_for_its_person_however_it_ends(ledger: &impl Ledger) {
    let suppressed = Outcome::Suppressed(Suppression::MailCap);
    let rejected = Outcome::Rejected(Rejection::MailRefused);
    let ends = [None, Some(suppressed), Some(rejected), Some(Outcome::Invited)];
    for (number, end) in (1..).zip(ends) {
        let email = format!("asha{number}@example.test");
        let invitee = Invitee::Email(email.parse().unwrap());
        let invitation = Invitation { id: InvitationId::of([email.as_bytes()]), invitee, ..asha() };
        let attempt = async |record: &Record, end: &Option<Outcome>, at| {
            let lease = Lease { until: at + Duration::MINUTE, ..lease(number) };
            assert!(matches!(ledger.claim(&invitation, &lease, at).await.unwrap(), Claim::Granted(_)));
            match end {
                None => ledger.release(&invitation, &lease, record, at).await.unwrap(),
                Some(outcome) => ledger.end(&invitation, &lease, record, outcome, at).await.unwrap(),
            }
        };
        let is_reduced =
            async |days| ledger.mail_book(&invitation.person(), NOW + Duration::days(days)).await.unwrap().is_reduced;
        let record = Record { person: Some(invitation.person()), ..record() };
        // What a dead letter keeps of a lead that another invitation registered.
        let kept = Record { registered: false, is_reduced: true, ..record.clone() };
        // The next attempt may find that LeadSquared has everything.
        let in_doubt = Record { lead: None, is_reduced: true, in_doubt: true, ..record.clone() };
        for record in [&kept, &in_doubt] {
            attempt(record, &None, NOW).await;
            assert!(!is_reduced(0).await, "{end:?}");
        }
        let reduced = Record { is_reduced: true, ..record.clone() };
        attempt(&reduced, &end, NOW).await;
        assert!(is_reduced(13).await, "{end:?}");

        // A mail of another invitation does not renew it.
        let later = Invitation { id: InvitationId::of([&b"later"[..], email.as_bytes()]), ..invitation.clone() };
        let (at, lease) = (NOW + Duration::days(10), lease(9));
        ledger.claim(&later, &lease, at).await.unwrap();
        ledger.end(&later, &lease, &kept, &Outcome::InvitedExisting, at).await.unwrap();
        assert_eq!((is_reduced(13).await, is_reduced(14).await), (true, false), "{end:?}");
    }
}

pub(crate) async fn a_sent_mail_is_remembered_for_its_person(ledger: &impl Ledger) {
    let last_sent = async || ledger.mail_book(&asha().person(), LATER).await.unwrap().last_sent;
    granted(ledger, &lease(1), NOW).await;
    ledger.release(&asha(), &lease(1), &record(), NOW).await.unwrap();
    assert_eq!(last_sent().await, None);
    let mailed = Record { mailed: true, ..record() };
    granted(ledger, &lease(2), NOW).await;
    ledger.release(&asha(), &lease(2), &mailed, NOW).await.unwrap();
    assert_eq!(last_sent().await, Some(NOW));
    granted(ledger, &lease(3), NOW).await;
    let mailed_at = async |now| ledger.mail_book(&asha().person(), now).await.unwrap().successes.mailed;
    assert_eq!(mailed_at(LATER).await, None);
    let at = LATER + Duration::milliseconds(7);
    ledger.end(&asha(), &lease(3), &mailed, &Outcome::InvitedExisting, at).await.unwrap();
    assert_eq!(last_sent().await.map(|at| at.truncate_to_second()), Some(LATER));
    assert_eq!((mailed_at(NOW).await, mailed_at(LATER).await), (None, Some(at)), "each day has its own");

    let (ravi, invitee) = (InvitationId::of([&b"2"[..]]), Invitee::Email("ravi@example.test".parse().unwrap()));
    let ravi = Invitation { id: ravi, invitee, ..asha() };
    ledger.claim(&ravi, &lease(4), NOW).await.unwrap();
    let record = Record { person: Some(ravi.person()), ..Record::default() };
    ledger.end(&ravi, &lease(4), &record, &Outcome::Suppressed(Suppression::MailCap), NOW).await.unwrap();
    assert_eq!(ledger.mail_book(&ravi.person(), NOW).await.unwrap().last_sent, None);
}

pub(crate) async fn the_first_registration_of_a_lead_is_remembered(ledger: &impl Ledger) {
    let registered_at = async || ledger.registered_at(&lead()).await.unwrap();
    granted(ledger, &lease(1), NOW).await;
    ledger.release(&asha(), &lease(1), &Record { registered: false, ..record() }, NOW).await.unwrap();
    assert_eq!(registered_at().await, None, "the lead is known and was not registered");
    granted(ledger, &lease(2), NOW).await;
    ledger.release(&asha(), &lease(2), &record(), NOW).await.unwrap();
    assert_eq!(registered_at().await, Some(NOW));

    let third = Lease { until: LATER + Duration::MINUTE, ..lease(3) };
    granted(ledger, &third, LATER).await;
    let reservation =
        MailReservation { at: LATER, ..reservation(0, &[BegunMail { at: LATER, invitation: asha().id }], 2) };
    assert!(ledger.begin_mail(&asha(), &third, &record(), &reservation, None).await.unwrap());
    ledger.end(&asha(), &third, &record(), &Outcome::Invited, LATER).await.unwrap();
    assert_eq!(registered_at().await, Some(NOW));
    assert_eq!(ledger.newest_link_used(&lead()).await.unwrap(), None, "no link was used");
}

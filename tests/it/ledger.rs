//! The ledger on a real table: claims, mails and counts, also with several workers at the same time.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use leadsquared::LeadId;
use ledger::{Counts, Ledger, LedgerError};
use onboarding::{
    Action, BegunMail, Bookkeeping, Claim, Invitation, InvitationId, Invitee, LINK_TOKEN_BYTES, Lease, Ledger as _,
    LinkTarget, LinkToken, MailReservation, Outcome, Record, Rejection, Source, Suppression, UsedLinks,
};
use time::macros::{date, datetime};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{aws, template::Template, waiting::block_on};

const NOW: OffsetDateTime = datetime!(2026-01-02 23:59:30 UTC);

#[path = "../../shared/onboarding/tests/it/suite.rs"]
mod suite;

suite::tests!(block_on, async || Table::new().await.store);

type Table = aws::Table<Ledger>;

impl Table {
    async fn new() -> Self {
        Self::of(Ledger::new).await
    }

    async fn claimed(&self, invitation: &Invitation, lease: &Lease) -> Record {
        match self.store.claim(invitation, lease, NOW).await.unwrap() {
            Claim::Granted(record) => record,
            other => panic!("{other:?}"),
        }
    }

    async fn counts(&self) -> (u64, BTreeMap<&'static str, u64>) {
        let counts = self.store.counts(date!(2026 - 01 - 02)).await.unwrap();
        let Counts { accepted, mut ended } = counts;
        ended.retain(|_, count| *count > 0);
        (accepted, ended)
    }
}

fn invitation(number: u8) -> Invitation {
    // The same moment as NOW, but written in a zone in which it is the next day.
    let received_at = datetime!(2026-01-03 05:29:30 +5:30);
    let (id, invitee) = (InvitationId::of([&[number][..]]), Invitee::Email("asha@example.test".parse().unwrap()));
    Invitation {
        attributes: [("City".to_owned(), "Pune".to_owned())].into_iter().collect(),
        ..Invitation::new(id, Source::Form, received_at, invitee, Action::Invite)
    }
}

fn lease(holder: u128) -> Lease {
    Lease { holder: Uuid::from_u128(holder), message: Uuid::from_u128(1), until: NOW + Duration::minutes(1) }
}

fn reservation(version: u64, begun: &[BegunMail], budget: u32) -> MailReservation {
    MailReservation { person: invitation(1).person(), version, begun: begun.to_vec(), at: NOW, budget: Some(budget) }
}

#[tokio::test]
async fn an_invitation_is_counted_once_as_accepted_and_once_as_what_it_came_to() {
    let table = Table::new().await;
    let record = table.claimed(&invitation(1), &lease(1)).await;
    assert_eq!(table.store.claim(&invitation(1), &lease(2), NOW).await.unwrap(), Claim::Held);
    assert_eq!(table.counts().await, (1, BTreeMap::new()));
    assert_eq!(table.store.counts(date!(2026 - 01 - 02)).await.unwrap().under_way(), 1);

    let rejected = Outcome::Rejected(Rejection::Refused { exception_type: "MXInvalidInputException".to_owned() });
    table.store.end(&invitation(1), &lease(1), &record, &rejected, NOW).await.unwrap();
    let again = table.store.end(&invitation(1), &lease(1), &record, &rejected, NOW).await;
    assert!(matches!(again, Err(LedgerError::ClaimLost)), "{again:?}");
    assert_eq!(table.counts().await, (1, BTreeMap::from([("rejected", 1)])));

    // Once put back, it counts as rejected until it ends another way.
    let put_back = Lease { message: Uuid::from_u128(2), ..lease(3) };
    let mut record = table.claimed(&invitation(1), &put_back).await;
    let ended = record.ended.clone().unwrap();
    assert_eq!(
        (&*ended.name, ended.cause.as_deref(), ended.message),
        ("rejected", Some("refused: MXInvalidInputException"), None)
    );
    record.left_out.push("City".to_owned());
    record.unused_mail = Some(NOW);
    table.store.release(&invitation(1), &put_back, &record, NOW).await.unwrap();
    assert_eq!(table.claimed(&invitation(1), &put_back).await, record);
    assert_eq!(table.counts().await, (1, BTreeMap::from([("rejected", 1)])));
    table.store.end(&invitation(1), &put_back, &record, &Outcome::Invited, NOW).await.unwrap();
    assert_eq!(table.counts().await, (1, BTreeMap::from([("invited", 1)])));
    assert_eq!(table.store.claim(&invitation(1), &lease(4), NOW).await.unwrap(), Claim::Done);
}

#[tokio::test]
async fn workers_that_end_invitations_at_once_lose_no_count() {
    let table = Table::new().await;
    let outcomes = [Outcome::Invited, Outcome::Suppressed(Suppression::MailCap)];
    join_all((0..20_u8).map(async |number| {
        let (invitation, lease) = (invitation(number), lease(u128::from(number) + 1));
        let record = table.claimed(&invitation, &lease).await;
        let outcome = &outcomes[usize::from(number) % 2];
        table.store.end(&invitation, &lease, &record, outcome, NOW).await.unwrap();
    }))
    .await;
    assert_eq!(table.counts().await, (20, BTreeMap::from([("invited", 10), ("suppressed", 10)])));
}

#[tokio::test]
async fn what_is_given_up_is_kept_with_its_cause() {
    let table = Table::new().await;
    let invitation_1 = &invitation(1);
    let books =
        Bookkeeping { ledger: &table.store, invitation: invitation_1, lease: lease(1), now: NOW, report: &|_| () };
    let completion = books.give_up("NoKeys").await.unwrap();
    assert_eq!(completion.outcome, Outcome::Exhausted { cause: "NoKeys".to_owned() });
    let item = table.item(&format!("invitation#{}", invitation(1).id)).await;
    assert_eq!(
        (item["outcome"].as_s().unwrap().as_str(), item["cause"].as_s().unwrap().as_str()),
        ("exhausted", "NoKeys")
    );
    assert_eq!(table.counts().await, (1, BTreeMap::from([("exhausted", 1)])));
}

fn lead() -> LeadId {
    Uuid::from_u128(5).to_string().parse().unwrap()
}

/// The target of a link that is valid for this long.
fn target(valid_for: Duration) -> LinkTarget {
    let link = LinkToken::new([7; LINK_TOKEN_BYTES]).hash();
    let (person, invitation) = (invitation(1).person(), invitation(1).id);
    LinkTarget {
        link,
        lead: lead(),
        person,
        invitation,
        made_at: NOW,
        valid_until: NOW + valid_for,
        used_links: 0,
        code: None,
    }
}

impl Table {
    /// Records a mail with this link.
    async fn mailed(&self, target: &LinkTarget) {
        let record = self.claimed(&invitation(1), &lease(1)).await;
        let reservation = reservation(0, &[BegunMail { at: NOW, invitation: invitation(1).id }], 2);
        let begun = self.store.begin_mail(&invitation(1), &lease(1), &record, &reservation, Some(target)).await;
        assert!(begun.unwrap());
    }

    async fn item(&self, pk: &str) -> HashMap<String, AttributeValue> {
        let get = self.aws.dynamodb().get_item().table_name(&self.name).key("pk", AttributeValue::S(pk.to_owned()));
        get.send().await.unwrap().item.unwrap_or_else(|| panic!("there is no {pk}"))
    }

    async fn is_used(&self, target: &LinkTarget) -> bool {
        self.store.link(&target.link, NOW).await.unwrap().expect("the link is there").used
    }
}

#[tokio::test]
async fn of_a_thousand_who_use_a_link_at_once_one_gets_it_and_only_that_one_gives_it_back() {
    let table = Table::new().await;
    let target = target(Duration::DAY);
    table.mailed(&target).await;
    let holders: Vec<_> = (1..=1000).map(Uuid::from_u128).collect();
    let uses = holders.iter().map(|holder| table.store.use_link(&target.link, *holder, NOW));
    let got = join_all(uses).await.into_iter().map(Result::unwrap);
    let (got, others): (Vec<_>, Vec<_>) = holders.iter().zip(got).partition(|(_, got)| *got);
    assert_eq!((got.len(), others.len()), (1, 999));
    let (winner, loser) = (*got[0].0, *others[0].0);

    // The same holder may use the link again within 29 s, for a second press of the button, but not later.
    let again = async |holder, seconds| {
        table.store.use_link(&target.link, holder, NOW + Duration::seconds(seconds)).await.unwrap()
    };
    assert!(again(winner, 29).await);
    assert!(!again(winner, 30).await);
    assert!(!again(loser, 1).await);

    table.store.give_link_back(&target.link, loser).await.unwrap();
    assert!(table.is_used(&target).await);
    table.store.give_link_back(&target.link, winner).await.unwrap();
    assert!(!table.is_used(&target).await);
    assert!(again(loser, 1).await);
}

#[tokio::test]
async fn which_link_of_a_lead_was_used_is_remembered_for_as_long_as_an_older_one_could_be() {
    let longest = target(Duration::hours(Template::read().most("LinkValidHours")));
    for (at_the_click, link_first) in [(true, true), (true, false), (false, true), (false, false)] {
        let table = Table::new().await;
        if link_first {
            table.store.link_opened(&longest, NOW).await.unwrap();
        }
        if at_the_click {
            table.store.lead_registered(&lead(), NOW).await.unwrap();
        } else {
            table.claimed(&invitation(1), &lease(1)).await;
            let record = Record { lead: Some(lead()), registered: true, ..Record::default() };
            table.store.end(&invitation(1), &lease(1), &record, &Outcome::Invited, NOW).await.unwrap();
        }
        if !link_first {
            table.store.link_opened(&longest, NOW).await.unwrap();
        }
        assert_eq!(table.store.newest_link_used(&lead()).await.unwrap(), Some(NOW));
        assert_eq!(table.store.registered_at(&lead()).await.unwrap(), Some(NOW));
        let item = table.item(&format!("lead#{}", lead())).await;
        let kept_until: i64 = item["expires_at"].as_n().unwrap().parse().unwrap();
        assert!(
            kept_until >= (longest.valid_until + Duration::days(30)).unix_timestamp(),
            "at the click: {at_the_click}, link first: {link_first}, {item:?}"
        );
    }
}

#[tokio::test]
async fn links_that_a_robot_may_have_used_are_counted_for_their_person() {
    let table = Table::new().await;
    let mut expected = Vec::new();
    let mut found = Vec::new();
    let hour = Duration::HOUR;
    let (press, page) = (UsedLinks::AT_ONCE, UsedLinks::IN_A_ROW);
    for (made_at, follows, used_after, within, count) in [
        (Duration::ZERO, 0, Duration::MINUTE, press, Some(1)),
        (hour, 1, Duration::MINUTE, press, Some(2)),
        // The same link again, and an older one.
        (hour, 1, Duration::MINUTE, press, Some(2)),
        (hour, 1, hour, page, Some(2)),
        (Duration::ZERO, 0, Duration::MINUTE, press, Some(2)),
        // Made before the one that was counted last was used.
        (hour * 13, 1, Duration::minutes(10), press, Some(3)),
        // The day after.
        (hour * 26, 0, Duration::MINUTE, press, Some(1)),
        // A person reads the mail later.
        (hour * 27, 1, Duration::minutes(11), press, None),
        // The person did not: the page of the used link is asked for another.
        (hour * 27, 1, Duration::minutes(20), page, Some(2)),
        (hour * 28, 2, Duration::minutes(11), press, None),
        (hour * 28, 2, hour * 12, page, Some(3)),
        (hour * 29, 3, hour * 13, page, None),
        (hour * 43, 0, Duration::MINUTE, press, Some(1)),
    ] {
        let target = LinkTarget { made_at: NOW + made_at, used_links: follows, ..target(hour) };
        table.store.count_used_link(&target, within, target.made_at + used_after).await.unwrap();
        let book = table.store.mail_book(&target.person, NOW).await.unwrap();
        found.push(book.used_links.map(|used| used.count));
        expected.push(count);
    }
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_is_known_of_leads_that_were_registered_unmarked_is_kept_for_good() {
    let table = Table::of(Ledger::new).await;
    let dynamodb = table.aws.dynamodb();
    let number = |value: i64| AttributeValue::N(value.to_string());
    // Registration time, time of the mark, and whether the item must be kept for good.
    let leads = [(Some(5), None, true), (Some(5), Some(7), true), (Some(5), Some(5), false), (None, None, false)];
    for (place, (registered_at, marked_at, _)) in leads.iter().enumerate() {
        let mut put = dynamodb.put_item().table_name(&table.name).item("expires_at", number(4_102_444_800));
        put = put.item("pk", AttributeValue::S(format!("lead#{place}")));
        for (name, value) in [("registered_at", registered_at), ("marked_at", marked_at)] {
            if let Some(value) = value {
                put = put.item(name, number(*value));
            }
        }
        put.send().await.unwrap();
    }
    assert_eq!(table.store.keep_unmarked(NOW).await.unwrap(), 2);
    assert_eq!(table.store.keep_unmarked(NOW).await.unwrap(), 0);
    for (place, (.., is_kept)) in leads.iter().enumerate() {
        let get = dynamodb.get_item().table_name(&table.name).key("pk", AttributeValue::S(format!("lead#{place}")));
        let item = get.send().await.unwrap().item.unwrap();
        assert_eq!(item.contains_key("expires_at"), !is_kept, "{place}");
    }
}

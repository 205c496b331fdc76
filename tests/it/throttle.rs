//! Attempts that the ledger counts: many at the same time, places that become free, and places that are given back.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use ledger::{Ledger, LedgerError};
use throttle::{AttemptLimit, Decision, ThrottleKey};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::aws;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05.678 UTC);
const LIMIT: AttemptLimit = AttemptLimit { count: 5, window: Duration::from_secs(60) };

type Table = aws::Table<Ledger>;

impl Table {
    /// How many of `size` simultaneous attempts are admitted.
    async fn crowd(&self, size: usize, now: OffsetDateTime) -> usize {
        let answers = join_all((0..size).map(|_| self.store.admit_attempt(asha(), None, LIMIT, now))).await;
        answers.into_iter().filter(|answer| *answer.as_ref().unwrap() == Decision::Admitted).count()
    }
}

fn key(person: &str) -> ThrottleKey {
    ThrottleKey::new("test", [person.as_bytes()])
}

fn asha() -> &'static ThrottleKey {
    static ASHA: std::sync::LazyLock<ThrottleKey> = std::sync::LazyLock::new(|| key("asha@example.test"));
    &ASHA
}

fn after(seconds: u64) -> OffsetDateTime {
    NOW + Duration::from_secs(seconds)
}

#[tokio::test]
async fn of_any_number_that_ask_at_once_as_many_are_admitted_as_there_are_places() {
    let table = Table::of(Ledger::new).await;
    assert_eq!(table.crowd(100, NOW).await, 5);
    let refused = Decision::Refused { retry_after: Duration::from_secs(40) };
    assert_eq!(table.store.admit_attempt(asha(), None, LIMIT, after(20)).await.unwrap(), refused);
    assert_eq!(
        table.store.admit_attempt(&key("ravi@example.test"), None, LIMIT, NOW).await.unwrap(),
        Decision::Admitted
    );
    // All places have expired, and all simultaneous attempts see that.
    assert_eq!(table.crowd(100, after(60)).await, 5);
}

#[tokio::test]
async fn places_become_free_one_by_one() {
    let table = Table::of(Ledger::new).await;
    for second in 0..5 {
        assert_eq!(table.crowd(1, after(second)).await, 1);
    }
    assert_eq!(table.crowd(10, after(59)).await, 0);
    assert_eq!(table.crowd(10, after(61)).await, 2);
    let refused = Decision::Refused { retry_after: Duration::from_secs(1) };
    assert_eq!(table.store.admit_attempt(asha(), None, LIMIT, after(61)).await.unwrap(), refused);
}

#[tokio::test]
async fn a_place_that_is_given_back_can_be_taken_again() {
    let table = Table::of(Ledger::new).await;
    assert_eq!(table.crowd(5, NOW).await, 5);
    assert_eq!(table.crowd(1, NOW).await, 0);
    join_all((0..3).map(async |_| table.store.give_attempt_back(asha(), NOW).await.unwrap())).await;
    assert_eq!(table.crowd(10, NOW).await, 3);
    // A place of another time or of another key is not given back.
    table.store.give_attempt_back(asha(), after(1)).await.unwrap();
    table.store.give_attempt_back(&key("ravi@example.test"), NOW).await.unwrap();
    assert_eq!(table.crowd(10, NOW).await, 0);
}

#[tokio::test]
async fn an_attempt_of_several_places_gets_all_of_them_or_none() {
    let table = Table::of(Ledger::new).await;
    let admit = async |places, seconds| match table
        .store
        .admit_attempt_of(places, asha(), LIMIT, after(seconds))
        .await
        .unwrap()
    {
        Decision::Admitted => None,
        Decision::Refused { retry_after } => Some(retry_after.as_secs()),
    };
    assert_eq!(admit(3, 0).await, None);
    assert_eq!(admit(3, 10).await, Some(50));
    assert_eq!(admit(2, 10).await, None);
    assert_eq!((admit(1, 59).await, admit(5, 60).await), (Some(1), Some(10)));
    assert_eq!(admit(3, 60).await, None);
    assert_eq!((admit(6, 500).await, admit(5, 500).await), (Some(60), None));
    let table = Table::of(Ledger::new).await;
    let answers = join_all((0..20).map(|_| table.store.admit_attempt_of(2, asha(), LIMIT, NOW))).await;
    assert_eq!(answers.into_iter().filter(|answer| *answer.as_ref().unwrap() == Decision::Admitted).count(), 2);
}

#[tokio::test]
async fn the_table_knows_a_hash_some_times_and_when_to_forget_them() {
    let table = Table::of(Ledger::new).await;
    assert_eq!(table.crowd(2, NOW).await, 2);
    let items = table.aws.dynamodb().scan().table_name(&table.name).send().await.unwrap();
    let [item] = items.items() else { panic!("{items:?}") };
    let pk = item["pk"].as_s().unwrap();
    assert!(pk.starts_with("throttle#") && !pk.contains("asha"), "{pk}");
    assert_eq!(item["expires_at"].as_n().unwrap(), &(NOW.unix_timestamp() + 61).to_string());
    assert_eq!(item["times"].as_l().unwrap(), &vec![AttributeValue::N("1767323045678".to_owned()); 2]);
    assert_eq!(item.len(), 3);
}

#[tokio::test]
async fn a_table_that_cannot_be_used_is_an_error_and_not_an_answer() {
    let table = Table::of(Ledger::new).await;
    let elsewhere = Ledger::new(table.aws.dynamodb(), "nowhere".to_owned());
    let error = elsewhere.admit_attempt(asha(), None, LIMIT, NOW).await.unwrap_err();
    assert!(matches!(&error, LedgerError::Unavailable { cause } if cause == "ResourceNotFoundException"), "{error}");

    assert_eq!(table.crowd(1, NOW).await, 1);
    let items = table.aws.dynamodb().scan().table_name(&table.name).send().await.unwrap();
    let put = table.aws.dynamodb().put_item().table_name(&table.name).item("pk", items.items()[0]["pk"].clone());
    put.item("times", AttributeValue::S("12345678".to_owned())).send().await.unwrap();
    let error = table.store.admit_attempt(asha(), None, LIMIT, NOW).await.unwrap_err();
    assert!(matches!(error, LedgerError::Corrupt { attribute: "times", .. }), "{error}");
}

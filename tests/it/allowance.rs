//! The call allowance in DynamoDB: the suite of `shared/call-allowance` on a real table, and tests that only a table
//! allows.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef},
    error::BoxError,
    types::AttributeValue,
};
use call_allowance::{
    AllowanceRules, CallSchedule, InProcess, ScheduleError, SharedSchedule, SlotDecision, SlotRequest,
};
use futures::future::{join, join_all};
use leadsquared::{Lane, RateLimit};
use ledger::Ledger;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use time::OffsetDateTime;

use self::suite::NOON;
use crate::{aws::Aws, waiting::block_on};

#[path = "../../shared/call-allowance/tests/it/suite.rs"]
mod suite;

fn schedule(client: Client, table: String, rules: AllowanceRules) -> SharedSchedule<Ledger> {
    SharedSchedule::new(Ledger::new(client, table), rules)
}

async fn lines(rules: AllowanceRules, workers: usize) -> Vec<SharedSchedule<Ledger>> {
    let aws = Aws::new().await;
    let table = aws.table().await;
    (0..workers).map(|_| schedule(aws.dynamodb(), table.clone(), rules)).collect()
}

suite::tests!(block_on, lines);

/// Counts a client's requests, and separately those that only read.
#[derive(Clone, Debug, Default)]
struct Requests(Arc<AtomicUsize>, Arc<AtomicUsize>);

impl Requests {
    fn count_those_of(&self, client: &Client) -> Client {
        Client::from_conf(client.config().to_builder().interceptor(self.clone()).build())
    }

    fn so_far(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn writes(&self) -> usize {
        self.so_far() - self.1.load(Ordering::Relaxed)
    }
}

impl Intercept for Requests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let target = context.request().headers().get("x-amz-target").unwrap_or_default();
        self.1.fetch_add(usize::from(target.ends_with(".GetItem")), Ordering::Relaxed);
        Ok(())
    }
}

fn ask(lane: Lane, now: OffsetDateTime) -> SlotRequest {
    SlotRequest { lane, now, latest: now + Duration::from_secs(20), takes_next: false }
}

#[tokio::test]
async fn a_booking_on_a_busy_allowance_is_one_request_for_any_number_of_workers() {
    let aws = Aws::new().await;
    let table = aws.table().await;
    let requests = Requests::default();
    let client = requests.count_those_of(&aws.dynamodb());
    let workers: Vec<_> = (0..4).map(|_| schedule(client.clone(), table.clone(), suite::rules())).collect();
    for worker in &workers {
        worker.book(ask(Lane::Interactive, NOON)).await.unwrap();
    }
    // Three of the four processes first had to learn that the item exists.
    assert_eq!(requests.so_far(), 7);
    for number in 0..16 {
        let answer = workers[number % 4].book(ask(Lane::Interactive, NOON)).await.unwrap();
        assert!(matches!(answer, SlotDecision::Granted { .. }), "{answer:?}");
    }
    assert_eq!(requests.so_far(), 7 + 16);
    // A process makes no request for a slot that it knows to be taken.
    for _ in 0..4 {
        let soon = NOON + Duration::from_secs(1);
        let hurry = SlotRequest { lane: Lane::Interactive, now: NOON, latest: soon, takes_next: false };
        workers[0].book(hurry).await.unwrap();
    }
    assert_eq!(requests.so_far(), 7 + 16);
}

/// Runs 20 s in which a hundred processes make 400 attempts a second. Returns the booked slots, and how many of them
/// the worker's two processes got. `people` and `workers` are on the smallest plan.
async fn crowd(
    people: &[SharedSchedule<Ledger>],
    workers: [SharedSchedule<Ledger>; 2],
) -> (Vec<OffsetDateTime>, usize) {
    let mut workers = workers.map(|line| (line, NOON));
    let (mut slots, mut in_background) = (Vec::new(), 0);
    for step in 0..2_000 {
        let now = NOON + Duration::from_millis(10) * u32::try_from(step).unwrap();
        let processes = people.iter().cycle().skip(step * 4 % people.len()).take(4);
        let attempts = processes.map(|line| line.book(ask(Lane::Interactive, now)));
        let calls = workers.iter().map(async |(line, next)| match *next <= now {
            true => Some(line.book(ask(Lane::Background, now)).await.unwrap()),
            false => None,
        });
        let (attempts, calls) = join(join_all(attempts), join_all(calls)).await;
        for answer in attempts {
            if let SlotDecision::Granted { slot, .. } = answer.unwrap() {
                slots.push(slot);
            }
        }
        for ((_, next), answer) in workers.iter_mut().zip(calls) {
            match answer {
                Some(SlotDecision::Granted { slot, .. }) => {
                    in_background += 1;
                    slots.push(slot);
                    *next = slot + Duration::from_millis(300);
                }
                Some(SlotDecision::Later { at }) => *next = at,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        }
    }
    slots.sort_unstable();
    let interval = people[0].rules().interval();
    assert!(slots.windows(2).all(|pair| pair[1] - pair[0] >= interval), "{slots:?}");
    (slots, in_background)
}

fn smallest_plan() -> AllowanceRules {
    AllowanceRules::new(call_allowance::AllowanceSettings::new(RateLimit { calls: 10, window: Duration::from_secs(5) }))
        .unwrap()
}

/// The number of slots in 20 s on the smallest plan, without those that are booked ahead at the end.
const SLOTS: usize = 36;

#[tokio::test]
async fn a_crowd_that_is_turned_away_hardly_writes_and_keeps_nobody_from_booking() {
    let aws = Aws::new().await;
    let table = aws.table().await;
    let requests = Requests::default();
    let client = requests.count_those_of(&aws.dynamodb());
    let line = || schedule(client.clone(), table.clone(), smallest_plan());
    let people: Vec<_> = (0..100).map(|_| line()).collect();
    let (slots, in_background) = crowd(&people, [line(), line()]).await;
    let writes = requests.writes();
    println!("8000 attempts, {} bookings, {writes} writes, {} requests", slots.len(), requests.so_far());
    // Each process writes once before it knows the item. After that, only one of the processes that ask at the same
    // time gets the slot.
    assert!(writes <= 102 + 6 * slots.len(), "{writes} writes for {} bookings", slots.len());
    assert!(slots.len() >= SLOTS, "{} slots booked of {SLOTS}", slots.len());
    assert!(in_background * 100 >= SLOTS * 38, "{in_background} of {SLOTS} in the background");
}

/// Refuses reads, as the role of an earlier version does.
#[derive(Debug)]
struct ReadsAreDenied;

impl Intercept for ReadsAreDenied {
    fn name(&self) -> &'static str {
        "reads-are-denied"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match context.request().headers().get("x-amz-target") {
            Some(target) if target.ends_with(".GetItem") => Err("AccessDeniedException".into()),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_role_that_cannot_read_the_schedule_keeps_the_limit_and_nearly_the_backgrounds_share() {
    let aws = Aws::new().await;
    let table = aws.table().await;
    let client = Client::from_conf(aws.dynamodb().config().to_builder().interceptor(ReadsAreDenied).build());
    let line = || schedule(client.clone(), table.clone(), smallest_plan());
    let people: Vec<_> = (0..100).map(|_| line()).collect();
    let (slots, in_background) = crowd(&people, [line(), line()]).await;
    println!("{} bookings, {in_background} in the background", slots.len());
    assert!(slots.len() >= SLOTS, "{} slots booked of {SLOTS}", slots.len());
    assert!(in_background * 100 >= SLOTS * 33, "{in_background} of {SLOTS} in the background");
}

/// One request to the allowance, or one report of a 429.
#[derive(Clone, Debug)]
struct Step {
    worker: usize,
    lane: Lane,
    /// The time since the step before, in milliseconds.
    after: u64,
    /// How far the worker's clock is ahead, in milliseconds.
    error: i64,
    /// How long the worker can wait, in milliseconds.
    patience: u64,
    takes_next: bool,
    complaint: Option<Option<RateLimit>>,
}

fn step() -> impl Strategy<Value = Step> {
    let after = prop_oneof![4 => Just(0_u64), 4 => 0_u64..300, 1 => 0_u64..20_000, 1 => 0_u64..40_000_000];
    let limit = proptest::option::of((1_u32..40).prop_map(|calls| RateLimit { calls, window: Duration::from_secs(5) }));
    let complaint = prop_oneof![15 => Just(None), 1 => limit.prop_map(Some)];
    let lane = prop_oneof![Just(Lane::Interactive), Just(Lane::Background)];
    (0_usize..3, lane, after, -200_i64..=200, 0_u64..12_000, any::<bool>(), complaint).prop_map(
        |(worker, lane, after, error, patience, takes_next, complaint)| Step {
            worker,
            lane,
            after,
            error,
            patience,
            takes_next: takes_next && lane == Lane::Background,
            complaint,
        },
    )
}

/// A step under heavy load, when slots are reserved for the background lane.
fn step_of_a_crowd() -> impl Strategy<Value = Step> {
    let after = prop_oneof![20 => 0_u64..100, 1 => 0_u64..3_000];
    let lane = prop_oneof![5 => Just(Lane::Interactive), 1 => Just(Lane::Background)];
    let complaint = prop_oneof![100 => Just(None), 1 => Just(Some(None))];
    (0_usize..3, lane, after, -200_i64..=200, 4_000_u64..14_000, any::<bool>(), complaint).prop_map(
        |(worker, lane, after, error, patience, takes_next, complaint)| Step {
            worker,
            lane,
            after,
            error,
            patience,
            takes_next: takes_next && lane == Lane::Background,
            complaint,
        },
    )
}

#[test]
fn the_schedule_in_the_table_gives_the_same_slots_as_the_schedule_in_memory() {
    let steps = prop_oneof![proptest::collection::vec(step(), 150), proptest::collection::vec(step_of_a_crowd(), 150)];
    let script = (proptest::option::of(prop_oneof![1_u32..60, Just(10_000)]), steps);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&script, |(daily, steps)| {
        block_on(async {
            let settings = call_allowance::AllowanceSettings { daily, ..suite::settings() };
            let rules = AllowanceRules::new(settings).unwrap();
            let model = InProcess::new(rules);
            let workers = lines(rules, 3).await;
            let mut now = NOON;
            for step in steps {
                now += Duration::from_millis(step.after);
                let seen = now + time::Duration::milliseconds(step.error);
                let line = &workers[step.worker];
                if let Some(limit) = step.complaint {
                    model.back_off(seen, limit).await.unwrap();
                    line.back_off(seen, limit).await.unwrap();
                    continue;
                }
                let ask = SlotRequest {
                    lane: step.lane,
                    now: seen,
                    latest: seen + Duration::from_millis(step.patience),
                    takes_next: step.takes_next,
                };
                let (expected, given) = (model.book(ask).await.unwrap(), line.book(ask).await.unwrap());
                // Both agree on whether there is a slot. A worker may know less about the time of the next free one.
                if [expected, given].iter().any(|answer| matches!(answer, SlotDecision::Granted { .. })) {
                    prop_assert_eq!(expected, given, "{:?}", step);
                }
            }
            Ok(())
        })
    });
    outcome.unwrap();
}

#[tokio::test]
async fn an_item_that_is_deleted_starts_anew_for_workers_that_remember_it() {
    let aws = Aws::new().await;
    let table = aws.table().await;
    let line = schedule(aws.dynamodb(), table.clone(), suite::rules());
    for _ in 0..3 {
        line.book(ask(Lane::Interactive, NOON)).await.unwrap();
    }
    let key = AttributeValue::S("allowance#line".to_owned());
    aws.dynamodb().delete_item().table_name(&table).key("pk", key).send().await.unwrap();
    let answer = line.book(ask(Lane::Interactive, NOON)).await.unwrap();
    assert_eq!(answer, SlotDecision::Granted { slot: NOON, next: None });
}

/// During a deployment some processes run an earlier version that does not know reserved slots. It ignores them when it
/// updates the item, and drops them when it replaces the item.
#[tokio::test]
async fn an_earlier_version_beside_this_one_gives_nobody_the_same_slot() {
    let aws = Aws::new().await;
    let table = aws.table().await;
    let (line, dynamodb) = (schedule(aws.dynamodb(), table.clone(), suite::rules()), aws.dynamodb());
    let (key, interval) = (AttributeValue::S("allowance#line".to_owned()), suite::rules().interval());
    let read = async || {
        let get = dynamodb.get_item().table_name(&table).key("pk", key.clone()).consistent_read(true);
        get.send().await.unwrap().item.unwrap()
    };
    let number = |item: &HashMap<String, AttributeValue>, name: &str| item[name].as_n().unwrap().parse().unwrap();
    let time = |number: i128| OffsetDateTime::from_unix_timestamp_nanos(number).unwrap();
    let mut slots = Vec::new();
    let mut now = NOON;
    for step in 0..200 {
        let lane = if step % 6 == 0 { Lane::Background } else { Lane::Interactive };
        if let SlotDecision::Granted { slot, .. } = line.book(ask(lane, now)).await.unwrap() {
            slots.push(slot);
        }
        now += Duration::from_millis(70);
        let mut item = read().await;
        let head = time(number(&item, "head"));
        if step % 10 == 5 && head >= now && head <= now + Duration::from_secs(5) {
            let interval = AttributeValue::N(interval.as_nanos().to_string());
            let one = AttributeValue::N("1".to_owned());
            let update = dynamodb.update_item().table_name(&table).key("pk", key.clone());
            let update =
                update.update_expression("SET head = head + :interval, used = used + :one, revision = revision + :one");
            let update =
                update.expression_attribute_values(":interval", interval).expression_attribute_values(":one", one);
            update.send().await.unwrap();
            slots.push(head);
        }
        if step % 50 == 49 {
            assert!(item.remove("reserve").is_some(), "nothing is reserved in a crowd");
            let slot = head.max(now);
            for (name, value) in [
                ("head", (slot + interval).unix_timestamp_nanos()),
                ("used", number(&item, "used") + 1),
                ("revision", number(&item, "revision") + 1),
            ] {
                item.insert(name.to_owned(), AttributeValue::N(value.to_string()));
            }
            dynamodb.put_item().table_name(&table).set_item(Some(item)).send().await.unwrap();
            slots.push(slot);
        }
    }
    slots.sort_unstable();
    assert!(slots.len() > 60, "{}", slots.len());
    assert!(slots.windows(2).all(|pair| pair[1] - pair[0] >= interval), "{slots:?}");
}

#[tokio::test]
async fn a_corrupt_item_is_named_in_the_error_and_no_call_is_admitted() {
    let aws = Aws::new().await;
    let table = aws.table().await;
    let put = aws.dynamodb().put_item().table_name(&table);
    let put = put.item("pk", AttributeValue::S("allowance#line".to_owned()));
    put.item("revision", AttributeValue::N("1".to_owned()))
        .item("head", AttributeValue::S("noon".to_owned()))
        .send()
        .await
        .unwrap();
    let line = schedule(aws.dynamodb(), table, suite::rules());
    let corrupt = ScheduleError::Corrupt { pk: "allowance#line".to_owned(), attribute: "head" };
    assert_eq!(line.book(ask(Lane::Interactive, NOON)).await, Err(corrupt.clone()));
    assert_eq!(line.back_off(NOON, None).await, Err(corrupt));
}

#[tokio::test]
async fn a_missing_table_is_an_error_and_no_call_is_admitted() {
    let aws = Aws::new().await;
    let line = schedule(aws.dynamodb(), "ledgre".to_owned(), suite::rules());
    let unavailable = ScheduleError::Unavailable { cause: "ResourceNotFoundException".to_owned() };
    assert_eq!(line.book(ask(Lane::Background, NOON)).await, Err(unavailable.clone()));
    assert_eq!(line.back_off(NOON, None).await, Err(unavailable));
}

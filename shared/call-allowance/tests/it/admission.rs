//! Tests of the allowance as a client sees it: a slot in time, or a refusal that says when to try again.

use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use call_allowance::{
    Allowance, AllowanceRules, AllowanceSettings, BackgroundDayUsedUp, CallSchedule, DayUsedUp, InProcess,
    ScheduleError, SlotDecision, SlotRequest, until_next_day,
};
use futures::executor::block_on;
use leadsquared::{Admission, Lane, PlannedCall, RateLimit, Throttled, TurnedAway};
use time::OffsetDateTime;
use virtual_clock::VirtualClock;

use crate::suite::{rules, settings};
use crate::worker_clock::{WorkerClock, new_run, planned};

/// Runs work with a correct clock, to its end.
fn run(work: impl AsyncFnOnce(&VirtualClock, WorkerClock) + 'static) {
    let true_time = new_run(0);
    let clock = WorkerClock::exact(&true_time);
    let done = std::rc::Rc::new(std::cell::Cell::new(false));
    let (of_work, in_work) = (true_time.clone(), done.clone());
    let work = Box::pin(async move {
        work(&of_work, clock).await;
        in_work.set(true);
    });
    true_time.run_until(vec![work], Duration::from_secs(1_000_000));
    assert!(done.get(), "the work waits for ever");
}

async fn admit(
    allowance: &impl Admission,
    true_time: &VirtualClock,
    lane: Lane,
    time: Duration,
) -> Result<(), TurnedAway> {
    allowance.admit(planned(lane, true_time.instant() + time)).await
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_call_is_admitted_at_the_time_of_its_slot() {
    run(async |true_time, clock| {
        let allowance = Allowance::with_clock(InProcess::new(rules()), clock);
        for number in 0..40 {
            admit(&allowance, true_time, Lane::Background, LONG).await.unwrap();
            assert_eq!(true_time.now(), rules().interval() * number);
        }
    });
}

#[test]
fn a_call_is_refused_if_its_slot_leaves_no_time_before_the_deadline() {
    run(async |true_time, clock| {
        let allowance = Allowance::with_clock(InProcess::new(rules()), clock);
        let turned_away =
            admit(&allowance, true_time, Lane::Interactive, Duration::from_millis(999)).await.unwrap_err();
        assert_eq!(turned_away.retry_after, None);
        admit(&allowance, true_time, Lane::Interactive, Duration::from_millis(1_000)).await.unwrap();
        for lane in [Lane::Interactive, Lane::Background] {
            let turned_away = admit(&allowance, true_time, lane, Duration::from_millis(1_216)).await.unwrap_err();
            assert_eq!(turned_away.retry_after, Some(Duration::from_millis(217)), "{lane:?}");
        }
        // The refused requests booked no slot.
        admit(&allowance, true_time, Lane::Interactive, Duration::from_millis(1_217)).await.unwrap();
        assert_eq!(true_time.now(), rules().interval());
    });
}

#[test]
fn after_a_rate_limit_refusal_every_call_waits_for_a_window() {
    run(async |true_time, clock| {
        let allowance = Allowance::with_clock(InProcess::new(rules()), clock);
        admit(&allowance, true_time, Lane::Background, LONG).await.unwrap();
        let limit = Some(RateLimit { calls: 5, window: Duration::from_secs(5) });
        allowance.throttled(Throttled { lane: Lane::Background, limit }).await;
        admit(&allowance, true_time, Lane::Interactive, LONG).await.unwrap();
        assert_eq!(true_time.now(), Duration::from_secs(5));
        admit(&allowance, true_time, Lane::Background, LONG).await.unwrap();
        assert_eq!(true_time.now(), Duration::from_millis(6_085));
    });
}

#[test]
fn the_daily_cap_is_named_and_ends_at_midnight() {
    run(async |true_time, clock| {
        let rules = AllowanceRules::new(AllowanceSettings { daily: Some(1), ..settings() }).unwrap();
        let allowance = Allowance::with_clock(InProcess::new(rules), clock);
        admit(&allowance, true_time, Lane::Background, LONG).await.unwrap();
        let turned_away = admit(&allowance, true_time, Lane::Interactive, LONG).await.unwrap_err();
        assert_eq!(turned_away.retry_after, Some(Duration::from_secs(12 * 60 * 60)));
        let source = turned_away.source.as_ref().and_then(|source| source.downcast_ref());
        assert_eq!(source, Some(&DayUsedUp));
        true_time.sleep(turned_away.retry_after.unwrap()).await;
        admit(&allowance, true_time, Lane::Interactive, LONG).await.unwrap();
    });
}

#[test]
fn the_background_stops_before_people_do_and_both_continue_at_midnight() {
    run(async |true_time, clock| {
        let rules = AllowanceRules::new(AllowanceSettings { daily: Some(10), ..settings() }).unwrap();
        let allowance = Allowance::with_clock(InProcess::new(rules), clock);
        for _ in 0..9 {
            admit(&allowance, true_time, Lane::Background, LONG).await.unwrap();
        }
        let turned_away = admit(&allowance, true_time, Lane::Background, LONG).await.unwrap_err();
        let source = turned_away.source.as_ref().and_then(|source| source.downcast_ref());
        assert_eq!(source, Some(&BackgroundDayUsedUp));
        let text = source.unwrap().to_string();
        assert!(text.contains("kept for people who wait") && text.contains("after midnight UTC"), "{text}");
        let wait = Duration::from_secs(12 * 60 * 60) - true_time.now();
        assert_eq!(until_next_day(&turned_away), Some(wait));

        admit(&allowance, true_time, Lane::Interactive, LONG).await.unwrap();
        let turned_away = admit(&allowance, true_time, Lane::Interactive, LONG).await.unwrap_err();
        assert_eq!(turned_away.source.as_ref().and_then(|source| source.downcast_ref()), Some(&DayUsedUp));
        assert!(until_next_day(&turned_away).is_some());
        true_time.sleep(wait).await;
        admit(&allowance, true_time, Lane::Background, LONG).await.unwrap();
        let hurry = admit(&allowance, true_time, Lane::Background, Duration::from_millis(1_001)).await.unwrap_err();
        assert_eq!(until_next_day(&hurry), None, "the refusal is not about the daily cap");
    });
}

/// A schedule whose first decision arrives late.
struct Slow {
    line: InProcess,
    true_time: VirtualClock,
    first: std::sync::Mutex<Duration>,
}

impl CallSchedule for Slow {
    fn rules(&self) -> &AllowanceRules {
        self.line.rules()
    }

    async fn book(&self, ask: SlotRequest) -> Result<SlotDecision, ScheduleError> {
        let answer = self.line.book(ask).await;
        let delay = std::mem::take(&mut *self.first.lock().unwrap());
        self.true_time.sleep(delay).await;
        answer
    }

    async fn back_off(&self, now: OffsetDateTime, limit: Option<RateLimit>) -> Result<(), ScheduleError> {
        self.line.back_off(now, limit).await
    }
}

#[test]
fn a_call_that_is_too_late_for_its_slot_takes_another() {
    // A quarter of the margin is 106.25 ms.
    for (delay, left) in [(106, 106), (107, 217)] {
        run(async move |true_time, clock| {
            let first = std::sync::Mutex::new(Duration::from_millis(delay));
            let line = Slow { line: InProcess::new(rules()), true_time: true_time.clone(), first };
            let allowance = Allowance::with_clock(line, clock);
            admit(&allowance, true_time, Lane::Interactive, LONG).await.unwrap();
            assert_eq!(true_time.now(), Duration::from_millis(left));
        });
    }
}

/// A schedule that counts its bookings.
struct Counted {
    line: InProcess,
    bookings: Arc<AtomicUsize>,
}

impl CallSchedule for Counted {
    fn rules(&self) -> &AllowanceRules {
        self.line.rules()
    }

    async fn book(&self, request: SlotRequest) -> Result<SlotDecision, ScheduleError> {
        let decision = self.line.book(request).await;
        if let Ok(SlotDecision::Granted { .. }) = decision {
            self.bookings.fetch_add(1, Ordering::Relaxed);
        }
        decision
    }

    async fn back_off(&self, now: OffsetDateTime, limit: Option<RateLimit>) -> Result<(), ScheduleError> {
        self.line.back_off(now, limit).await
    }
}

#[test]
fn a_call_books_the_slot_of_the_call_that_follows_it() {
    // The next slot is lost if the first call takes 26 ms longer than an interval.
    for (took, second, expected) in [(20, 217, 1), (217, 217, 1), (243, 243, 1), (244, 434, 2)] {
        run(async move |true_time, clock| {
            let bookings = Arc::new(AtomicUsize::new(0));
            let line = Counted { line: InProcess::new(rules()), bookings: bookings.clone() };
            let allowance = Allowance::with_clock(line, clock);
            let invite = async |took| {
                let planned = planned(Lane::Background, true_time.instant() + LONG);
                allowance.admit(PlannedCall { is_followed: true, ..planned }).await.unwrap();
                let first = true_time.now();
                true_time.sleep(Duration::from_millis(took)).await;
                allowance.admit(planned).await.unwrap();
                true_time.now() - first
            };
            assert_eq!(invite(took).await, Duration::from_millis(second), "{took}");
            assert_eq!(bookings.load(Ordering::Relaxed), expected, "{took}");
            // After a loss, each call books its own slot for an hour.
            for (pause, took, expected) in [(60, 20, expected), (60 * 60, 20, 1)] {
                true_time.sleep(Duration::from_secs(pause)).await;
                let before = bookings.load(Ordering::Relaxed);
                invite(took).await;
                assert_eq!(bookings.load(Ordering::Relaxed) - before, expected, "{took} {pause}");
            }
        });
    }
}

#[test]
fn people_who_need_two_calls_at_the_same_moment_are_served_in_turn() {
    // The time of a sign-in by phone, with 25 calls in 5 s.
    const TIME: Duration = Duration::from_millis(4750);
    for people in [1, 6, 9, 12, 20, 40] {
        let (true_time, served) = (new_run(0), Arc::new(AtomicUsize::new(0)));
        let allowance = Arc::new(Allowance::with_clock(InProcess::new(rules()), WorkerClock::exact(&true_time)));
        let person = |_| -> virtual_clock::Task {
            let (true_time, allowance, served) = (true_time.clone(), allowance.clone(), served.clone());
            Box::pin(async move {
                let planned = planned(Lane::Interactive, true_time.instant() + TIME);
                // Without the look-up, the number is tried as it is.
                if allowance.admit(PlannedCall { is_followed: true, ..planned }).await.is_ok() {
                    true_time.sleep(Duration::from_millis(300)).await;
                }
                served.fetch_add(usize::from(allowance.admit(planned).await.is_ok()), Ordering::Relaxed);
            })
        };
        true_time.run_until((0..people).map(person).collect(), Duration::from_secs(100));
        let served = served.load(Ordering::Relaxed);
        assert!(served >= people.min(8), "{served} of {people}");
    }
}

#[test]
fn after_a_rate_limit_refusal_the_slot_of_the_next_call_is_not_used() {
    run(async |true_time, clock| {
        let allowance = Allowance::with_clock(InProcess::new(rules()), clock);
        let planned = planned(Lane::Background, true_time.instant() + LONG);
        allowance.admit(PlannedCall { is_followed: true, ..planned }).await.unwrap();
        allowance.throttled(Throttled { lane: Lane::Background, limit: None }).await;
        allowance.admit(planned).await.unwrap();
        assert_eq!(true_time.now(), Duration::from_secs(5));
    });
}

/// A schedule that is always unavailable.
struct Unreachable(AllowanceRules);

impl CallSchedule for Unreachable {
    fn rules(&self) -> &AllowanceRules {
        &self.0
    }

    async fn book(&self, _: SlotRequest) -> Result<SlotDecision, ScheduleError> {
        Err(ScheduleError::Unavailable { cause: "not reached".to_owned() })
    }

    async fn back_off(&self, _: OffsetDateTime, _: Option<RateLimit>) -> Result<(), ScheduleError> {
        pending().await
    }
}

#[test]
fn no_call_is_admitted_while_the_schedule_is_unavailable() {
    let true_time = new_run(0);
    let clock = WorkerClock::exact(&true_time);
    let allowance = Allowance::with_clock(Unreachable(rules()), clock);
    let turned_away = block_on(admit(&allowance, &true_time, Lane::Interactive, LONG)).unwrap_err();
    assert_eq!(turned_away.retry_after, Some(Duration::from_secs(1)));
    assert_eq!(
        turned_away.source().unwrap().to_string(),
        "DynamoDB did not carry out the request (not reached); if this lasts, check the table's name and the function's role"
    );
}

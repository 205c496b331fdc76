//! The line as a client sees it: leave in time, or a refusal that says when to ask again.

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use call_allowance::{
    Allowance, Answer, Ask, BackgroundDayUsedUp, DayUsedUp, InProcess, Line, LineError, Rules, Settings, until_next_day,
};
use futures::executor::block_on;
use leadsquared::{Admission, Lane, Limit, TurnedAway};
use time::OffsetDateTime;
use virtual_clock::VirtualClock;

use crate::suite::{rules, settings};
use crate::worker_clock::{WorkerClock, new_run};

/// Runs a piece of work on a clock that is right, to its end.
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
    assert!(done.get(), "the work waits for something that never comes");
}

async fn admit(
    allowance: &impl Admission,
    true_time: &VirtualClock,
    lane: Lane,
    time: Duration,
) -> Result<(), TurnedAway> {
    allowance.admit(lane, true_time.instant() + time).await
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn leave_is_given_when_the_slot_comes() {
    run(async |true_time, clock| {
        let allowance = Allowance::with_clock(InProcess::new(rules()), clock);
        for number in 0..40 {
            admit(&allowance, true_time, Lane::Background, LONG).await.unwrap();
            assert_eq!(true_time.now(), rules().interval() * number);
        }
    });
}

#[test]
fn no_leave_that_would_leave_no_time_for_the_call() {
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
        // Asking in vain took nothing.
        admit(&allowance, true_time, Lane::Interactive, Duration::from_millis(1_217)).await.unwrap();
        assert_eq!(true_time.now(), rules().interval());
    });
}

#[test]
fn after_a_complaint_everybody_waits_a_window() {
    run(async |true_time, clock| {
        let allowance = Allowance::with_clock(InProcess::new(rules()), clock);
        admit(&allowance, true_time, Lane::Background, LONG).await.unwrap();
        allowance.throttled(Lane::Background, Some(Limit { calls: 5, window: Duration::from_secs(5) })).await;
        admit(&allowance, true_time, Lane::Interactive, LONG).await.unwrap();
        assert_eq!(true_time.now(), Duration::from_secs(5));
        admit(&allowance, true_time, Lane::Background, LONG).await.unwrap();
        assert_eq!(true_time.now(), Duration::from_millis(6_085));
    });
}

#[test]
fn a_used_up_day_is_named_and_ends_at_midnight() {
    run(async |true_time, clock| {
        let rules = Rules::new(Settings { daily: Some(1), ..settings() }).unwrap();
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
fn the_background_stops_before_people_do_and_both_go_on_at_midnight() {
    run(async |true_time, clock| {
        let rules = Rules::new(Settings { daily: Some(10), ..settings() }).unwrap();
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
        assert_eq!(until_next_day(&hurry), None, "it is just not soon enough");
    });
}

/// A line whose answers come so late, the first time.
struct Slow {
    line: InProcess,
    true_time: VirtualClock,
    first: std::sync::Mutex<Duration>,
}

impl Line for Slow {
    fn rules(&self) -> &Rules {
        self.line.rules()
    }

    async fn book(&self, ask: Ask) -> Result<Answer, LineError> {
        let answer = self.line.book(ask).await;
        let delay = std::mem::take(&mut *self.first.lock().unwrap());
        self.true_time.sleep(delay).await;
        answer
    }

    async fn push_back(&self, now: OffsetDateTime, limit: Option<Limit>) -> Result<(), LineError> {
        self.line.push_back(now, limit).await
    }
}

#[test]
fn a_slot_that_is_missed_by_much_is_given_up_for_another() {
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

/// A line that cannot be reached.
struct Unreachable(Rules);

impl Line for Unreachable {
    fn rules(&self) -> &Rules {
        &self.0
    }

    async fn book(&self, _: Ask) -> Result<Answer, LineError> {
        Err(LineError::Unavailable { cause: "not reached".to_owned() })
    }

    async fn push_back(&self, _: OffsetDateTime, _: Option<Limit>) -> Result<(), LineError> {
        pending().await
    }
}

#[test]
fn nobody_calls_while_the_line_cannot_be_reached() {
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

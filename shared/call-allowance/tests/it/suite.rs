//! The suite that every storage of the call schedule must pass. Times are arguments, so latency does not matter.
//!
//! Each case gets a function that makes a new schedule and a number of handles of it, one for each worker.

use std::collections::BTreeSet;
use std::time::Duration;

use call_allowance::{AllowanceRules, AllowanceSettings, CallSchedule, SlotDecision, SlotRequest};
use futures::future::join_all;
use leadsquared::{Lane, RateLimit};
use time::OffsetDateTime;

/// Noon of a day.
pub(crate) const NOON: OffsetDateTime =
    OffsetDateTime::UNIX_EPOCH.saturating_add(time::Duration::seconds(20_779 * 86_400 + 43_200));

/// The time from one slot to the next with 25 calls in 5 s.
const INTERVAL: Duration = Duration::from_millis(217);

pub(crate) fn settings() -> AllowanceSettings {
    AllowanceSettings::new(RateLimit { calls: 25, window: Duration::from_secs(5) })
}

pub(crate) fn rules() -> AllowanceRules {
    AllowanceRules::new(settings()).unwrap()
}

/// Makes a test of every case: `suite::tests!(block_on, lines)`, where `lines` is an
/// `AsyncFn(AllowanceRules, usize) -> Vec<impl CallSchedule>`.
macro_rules! tests {
    ($block_on:expr, $lines:expr) => {
        suite::tests!($block_on, $lines;
            slots_are_evenly_spaced_across_all_workers
            an_idle_schedule_grants_a_slot_at_once
            a_person_books_no_further_ahead_than_the_patience_and_then_learns_when_slots_are_free
            a_deadline_that_cannot_be_met_books_nothing
            two_slots_in_a_row_are_booked_at_once
            of_two_slots_in_a_row_none_is_beyond_the_days_calls
            the_background_leaves_room_for_a_person
            the_background_has_its_turns_while_people_fill_the_schedule
            the_background_takes_the_slots_that_people_do_not_use
            a_rate_limit_refusal_delays_every_caller_by_a_window_and_a_repeated_one_no_longer
            a_slower_limit_applies_for_an_hour
            a_limit_that_is_not_slower_changes_nothing
            no_caller_gets_a_slot_beyond_the_daily_cap_until_the_next_day
            the_background_never_uses_the_daily_reserve_for_people
            slots_are_reserved_for_the_background_among_people_who_book_far_ahead
            a_rate_limit_refusal_cancels_the_reserved_slots
            a_booking_over_midnight_counts_for_the_new_day
            a_worker_whose_clock_is_behind_midnight_does_not_restore_the_day_before
            a_clock_that_is_hours_ahead_does_not_stop_other_callers_for_hours
            a_clock_that_is_hours_ahead_does_not_use_up_the_turns_of_those_hours
            workers_that_book_at_the_same_time_get_different_slots
        );
    };
    ($block_on:expr, $lines:expr; $($case:ident)*) => {
        $(#[test]
        fn $case() {
            $block_on(suite::$case(&$lines));
        })*
    };
}
pub(crate) use tests;

fn at(milliseconds: i64) -> OffsetDateTime {
    NOON + time::Duration::milliseconds(milliseconds)
}

fn slot(milliseconds: i64) -> SlotDecision {
    SlotDecision::Granted { slot: at(milliseconds), next: None }
}

/// The decision that grants this slot and the next one.
fn both_from(milliseconds: i64) -> SlotDecision {
    SlotDecision::Granted { slot: at(milliseconds), next: Some(at(milliseconds + 217)) }
}

/// The background's request for two slots in a row.
async fn both(line: &impl CallSchedule, milliseconds: i64) -> SlotDecision {
    let now = at(milliseconds);
    let latest = now + Duration::from_secs(20);
    line.book(SlotRequest { lane: Lane::Background, now, latest, takes_next: true }).await.unwrap()
}

async fn ask(line: &impl CallSchedule, lane: Lane, now: OffsetDateTime) -> SlotDecision {
    line.book(SlotRequest { lane, now, latest: now + Duration::from_secs(20), takes_next: false }).await.unwrap()
}

async fn person(line: &impl CallSchedule, milliseconds: i64) -> SlotDecision {
    ask(line, Lane::Interactive, at(milliseconds)).await
}

async fn background(line: &impl CallSchedule, milliseconds: i64) -> SlotDecision {
    ask(line, Lane::Background, at(milliseconds)).await
}

/// One handle of a schedule with the usual rules.
async fn one<L: CallSchedule>(lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>) -> L {
    lines(rules(), 1).await.remove(0)
}

pub(crate) async fn slots_are_evenly_spaced_across_all_workers<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 3).await;
    for number in 0..20 {
        let index = usize::try_from(number).unwrap();
        assert_eq!(person(&workers[index % 3], number).await, slot(number * 217), "slot {number}");
    }
}

pub(crate) async fn an_idle_schedule_grants_a_slot_at_once<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let line = one(lines).await;
    assert_eq!(person(&line, 0).await, slot(0));
    assert_eq!(person(&line, 216).await, slot(217));
    assert_eq!(person(&line, 434).await, slot(434));
    assert_eq!(background(&line, 60_000).await, slot(60_000));
    assert_eq!(person(&line, 60_000).await, slot(60_217));
}

pub(crate) async fn a_person_books_no_further_ahead_than_the_patience_and_then_learns_when_slots_are_free<
    L: CallSchedule,
>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let line = one(lines).await;
    for number in 0..24 {
        assert_eq!(person(&line, 0).await, slot(number * 217));
    }
    assert_eq!(person(&line, 0).await, SlotDecision::Full { until: at(24 * 217) });
    // The refused request booked nothing.
    assert_eq!(person(&line, 1000).await, slot(24 * 217));
}

pub(crate) async fn two_slots_in_a_row_are_booked_at_once<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 2).await;
    assert_eq!(both(&workers[0], 0).await, both_from(0));
    // The other worker waits until a slot is near, and a person does not.
    assert_eq!(both(&workers[1], 0).await, SlotDecision::Later { at: at(2 * 217 - 50) });
    assert_eq!(person(&workers[1], 0).await, slot(2 * 217));
    // On a busy schedule it takes one: a person who arrives then would wait for two.
    assert_eq!(both(&workers[1], 3 * 217 - 50).await, slot(3 * 217));
    assert_eq!(both(&workers[0], 60_000).await, both_from(60_000));
}

pub(crate) async fn of_two_slots_in_a_row_none_is_beyond_the_days_calls<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let rules = AllowanceRules::new(AllowanceSettings { daily: Some(10), ..settings() }).unwrap();
    let workers = lines(rules, 2).await;
    for number in 0..4 {
        assert_eq!(both(&workers[number % 2], number as i64 * 1_000).await, both_from(number as i64 * 1_000));
    }
    // The background has nine of the ten calls.
    assert_eq!(both(&workers[0], 4_000).await, slot(4_000));
    assert!(matches!(both(&workers[1], 5_000).await, SlotDecision::DayUsedUp { .. }));
    assert_eq!(person(&workers[1], 5_000).await, slot(5_000));
    // The day of the second slot is another one.
    let line = lines(self::rules(), 1).await.remove(0);
    let midnight = 12 * 60 * 60 * 1_000;
    assert_eq!(both(&line, midnight - 100).await, slot(midnight - 100));
    assert_eq!(both(&line, midnight + 117).await, both_from(midnight + 117));
}

pub(crate) async fn a_deadline_that_cannot_be_met_books_nothing<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let line = one(lines).await;
    assert_eq!(person(&line, 0).await, slot(0));
    for lane in [Lane::Interactive, Lane::Background] {
        let hurry = SlotRequest { lane, now: at(0), latest: at(216), takes_next: false };
        assert_eq!(line.book(hurry).await.unwrap(), SlotDecision::Full { until: at(217) }, "{lane:?}");
        let past = SlotRequest { lane, now: at(1000), latest: at(999), takes_next: false };
        assert_eq!(line.book(past).await.unwrap(), SlotDecision::Full { until: at(1000) }, "{lane:?}");
    }
    assert_eq!(person(&line, 0).await, slot(217));
}

/// Books in the background until a request is refused. Returns the number of slots and the refusal.
async fn fill(line: &impl CallSchedule, milliseconds: i64) -> (usize, SlotDecision) {
    let mut booked = 0;
    loop {
        match background(line, milliseconds).await {
            SlotDecision::Granted { .. } => booked += 1,
            other => return (booked, other),
        }
    }
}

pub(crate) async fn the_background_leaves_room_for_a_person<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let line = one(lines).await;
    // It books a slot shortly before its time. A slot that people left to it counts as its turn.
    assert_eq!(fill(&line, 0).await, (1, SlotDecision::Later { at: at(217 - 50) }));
    assert_eq!(person(&line, 0).await, slot(217));
    assert_eq!(background(&line, 1).await, SlotDecision::Later { at: at(2 * 217 - 50) });
    // People have booked behind it, so its next turn comes before a near slot is free.
    assert_eq!(person(&line, 1).await, slot(2 * 217));
    assert_eq!(background(&line, 2).await, SlotDecision::Later { at: at(0) + INTERVAL * 5 / 2 });
    // A caller that cannot wait until then is refused at once.
    let hurry = SlotRequest { lane: Lane::Background, now: at(2), latest: at(500), takes_next: false };
    assert_eq!(line.book(hurry).await.unwrap(), SlotDecision::Full { until: at(3 * 217) });
}

pub(crate) async fn the_background_has_its_turns_while_people_fill_the_schedule<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let line = one(lines).await;
    let (mut people, mut in_background) = (0, 0);
    // People request slots ten times as often as there are slots, and so does the background.
    for milliseconds in (0..60_000).step_by(20) {
        while let SlotDecision::Granted { .. } = person(&line, milliseconds).await {
            people += 1;
        }
        if let SlotDecision::Granted { .. } = background(&line, milliseconds).await {
            in_background += 1;
        }
    }
    // The slots of 60 s, and those booked ahead.
    assert!((108..=125).contains(&in_background), "{in_background} in the background");
    assert!((163..=195).contains(&people), "{people} for people");
}

pub(crate) async fn the_background_takes_the_slots_that_people_do_not_use<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let line = one(lines).await;
    let mut slots = Vec::new();
    for milliseconds in (0..20_000).step_by(50) {
        while let SlotDecision::Granted { slot, .. } = background(&line, milliseconds).await {
            slots.push(slot);
        }
    }
    assert!(slots.len() >= 20_000 / 217, "{} slots", slots.len());
    assert!(slots.windows(2).all(|pair| pair[1] - pair[0] == INTERVAL), "{slots:?}");
}

pub(crate) async fn a_rate_limit_refusal_delays_every_caller_by_a_window_and_a_repeated_one_no_longer<
    L: CallSchedule,
>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 2).await;
    assert_eq!(person(&workers[0], 0).await, slot(0));
    assert_eq!(person(&workers[1], 0).await, slot(217));
    for milliseconds in [300, 305, 310] {
        workers[0].back_off(at(milliseconds), None).await.unwrap();
    }
    assert_eq!(person(&workers[1], 400).await, slot(5_310));
    assert_eq!(person(&workers[0], 400).await, SlotDecision::Full { until: at(5_527) });
    assert_eq!(person(&workers[0], 600).await, slot(5_527));
}

pub(crate) async fn a_slower_limit_applies_for_an_hour<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    const HOUR: i64 = 3_600_000;
    let workers = lines(rules(), 2).await;
    assert_eq!(person(&workers[1], 0).await, slot(0));
    let slower = RateLimit { calls: 5, window: Duration::from_secs(5) };
    workers[0].back_off(at(0), Some(slower)).await.unwrap();
    // It also applies to a worker that has last seen a busy, unchanged schedule.
    assert_eq!(person(&workers[1], 100).await, slot(5_000));
    assert_eq!(person(&workers[0], 4_000).await, slot(6_085));
    assert_eq!(person(&workers[1], 4_000).await, slot(7_170));
    // A faster limit in the meantime does not cancel it.
    workers[1].back_off(at(4_000), Some(RateLimit { calls: 10, ..slower })).await.unwrap();
    assert_eq!(person(&workers[0], HOUR + 3_999).await, slot(HOUR + 3_999));
    assert_eq!(person(&workers[0], HOUR + 3_999).await, slot(HOUR + 3_999 + 1_085));
    assert_eq!(person(&workers[0], HOUR + 4_000).await, slot(HOUR + 3_999 + 2 * 1_085));
    assert_eq!(person(&workers[1], HOUR + 4_000).await, slot(HOUR + 3_999 + 2 * 1_085 + 217));
}

pub(crate) async fn a_limit_that_is_not_slower_changes_nothing<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let line = one(lines).await;
    line.back_off(at(0), Some(RateLimit { calls: 100, window: Duration::from_secs(5) })).await.unwrap();
    line.back_off(at(0), Some(RateLimit { calls: 9_000, window: Duration::from_secs(86_400) })).await.unwrap();
    assert_eq!(person(&line, 1_000).await, slot(5_000));
    assert_eq!(person(&line, 1_000).await, slot(5_217));
}

pub(crate) async fn no_caller_gets_a_slot_beyond_the_daily_cap_until_the_next_day<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    const MIDNIGHT: i64 = 43_200_000;
    let workers = lines(AllowanceRules::new(AllowanceSettings { daily: Some(3), ..settings() }).unwrap(), 2).await;
    assert_eq!(person(&workers[0], 0).await, slot(0));
    assert_eq!(background(&workers[1], 0).await, slot(217));
    assert_eq!(person(&workers[0], 0).await, slot(434));
    let used_up = SlotDecision::DayUsedUp { until: at(MIDNIGHT) };
    assert_eq!(person(&workers[1], 0).await, used_up);
    assert_eq!(background(&workers[0], MIDNIGHT - 1).await, used_up);
    for number in 0..3 {
        assert_eq!(person(&workers[0], MIDNIGHT).await, slot(MIDNIGHT + number * 217));
    }
    assert_eq!(person(&workers[1], MIDNIGHT + 1).await, SlotDecision::DayUsedUp { until: at(3 * MIDNIGHT) });
}

pub(crate) async fn the_background_never_uses_the_daily_reserve_for_people<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    const MIDNIGHT: i64 = 43_200_000;
    let daily = AllowanceSettings { daily: Some(20), daily_reserve: 10, ..settings() };
    let workers = lines(AllowanceRules::new(daily).unwrap(), 2).await;
    for day in 0..2 {
        let (begin, end) = (day * 2 * MIDNIGHT, (day * 2 + 1) * MIDNIGHT);
        for number in 0..17 {
            let time = begin + number * 1_000;
            assert_eq!(background(&workers[0], time).await, slot(time), "call {number} of day {day}");
        }
        // Both workers see the same count, whichever of them booked.
        assert_eq!(person(&workers[1], begin + 17_000).await, slot(begin + 17_000));
        for time in [begin + 18_000, end - 1] {
            for worker in &workers {
                assert_eq!(background(worker, time).await, SlotDecision::DayUsedUp { until: at(end) });
            }
        }
        for number in 18..20 {
            let time = begin + number * 1_000;
            assert_eq!(person(&workers[1], time).await, slot(time), "call {number} of day {day}");
        }
        assert_eq!(person(&workers[0], end - 1).await, SlotDecision::DayUsedUp { until: at(end) });
    }
}

pub(crate) async fn slots_are_reserved_for_the_background_among_people_who_book_far_ahead<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 2).await;
    assert_eq!(background(&workers[0], 0).await, slot(0));
    let mut people = Vec::new();
    while let SlotDecision::Granted { slot, .. } = person(&workers[1], 0).await {
        people.push((slot - NOON).whole_milliseconds() / 217);
    }
    // From 0.701 s on, two in five slots are reserved.
    assert_eq!(people, [1, 2, 3, 5, 7, 9, 10, 12, 14, 15, 17, 19, 20, 22]);
    // The background books them in ascending order, whichever worker asks. People get one only shortly before its time.
    assert_eq!(background(&workers[0], 0).await, slot(4 * 217));
    assert_eq!(person(&workers[1], 11 * 217 - 109).await, slot(24 * 217));
    assert_eq!(person(&workers[1], 11 * 217 - 108).await, slot(11 * 217));
    assert_eq!(background(&workers[1], 11 * 217 - 108).await, slot(13 * 217));
    assert_eq!(background(&workers[0], 11 * 217 - 108).await, slot(16 * 217));
    // A reserved slot in the past is not booked any more.
    assert_eq!(background(&workers[1], 18 * 217 + 1).await, slot(21 * 217));
}

pub(crate) async fn a_rate_limit_refusal_cancels_the_reserved_slots<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 2).await;
    assert_eq!(background(&workers[0], 0).await, slot(0));
    while let SlotDecision::Granted { .. } = person(&workers[1], 0).await {}
    workers[1].back_off(at(100), None).await.unwrap();
    // No slot of the next window is given out, reserved or not.
    assert_eq!(background(&workers[0], 600).await, slot(5_100));
    assert_eq!(person(&workers[1], 1_000).await, slot(5_100 + 2 * 217));
    assert_eq!(background(&workers[0], 1_000).await, slot(5_100 + 217));
}

pub(crate) async fn a_booking_over_midnight_counts_for_the_new_day<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    const MIDNIGHT: i64 = 43_200_000;
    let workers = lines(AllowanceRules::new(AllowanceSettings { daily: Some(2), ..settings() }).unwrap(), 2).await;
    assert_eq!(person(&workers[0], MIDNIGHT - 300).await, slot(MIDNIGHT - 300));
    assert_eq!(person(&workers[1], MIDNIGHT - 300).await, slot(MIDNIGHT - 83));
    // Two slots are used today, and the next two belong to the next day.
    assert_eq!(person(&workers[0], MIDNIGHT - 300).await, slot(MIDNIGHT + 134));
    assert_eq!(person(&workers[1], MIDNIGHT - 300).await, slot(MIDNIGHT + 351));
    assert_eq!(person(&workers[0], MIDNIGHT - 300).await, SlotDecision::DayUsedUp { until: at(3 * MIDNIGHT) });
}

pub(crate) async fn a_worker_whose_clock_is_behind_midnight_does_not_restore_the_day_before<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    const MIDNIGHT: i64 = 43_200_000;
    let workers = lines(AllowanceRules::new(AllowanceSettings { daily: Some(3), ..settings() }).unwrap(), 2).await;
    assert_eq!(person(&workers[0], MIDNIGHT + 50).await, slot(MIDNIGHT + 50));
    for number in 1..3 {
        assert_eq!(person(&workers[1], MIDNIGHT - 150).await, slot(MIDNIGHT + 50 + number * 217));
    }
    let used_up = SlotDecision::DayUsedUp { until: at(3 * MIDNIGHT) };
    assert_eq!(person(&workers[1], MIDNIGHT - 150).await, used_up);
    assert_eq!(person(&workers[0], MIDNIGHT + 60).await, used_up);
}

pub(crate) async fn a_clock_that_is_hours_ahead_does_not_stop_other_callers_for_hours<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    const HOURS: i64 = 100 * 3_600_000;
    let workers = lines(AllowanceRules::new(AllowanceSettings { daily: Some(5), ..settings() }).unwrap(), 2).await;
    assert_eq!(person(&workers[0], HOURS).await, slot(HOURS));
    workers[0].back_off(at(HOURS), Some(RateLimit { calls: 1, window: Duration::from_secs(60) })).await.unwrap();
    // The schedule starts again a full window later, because the calls before are unknown. The slower limit applies for
    // an hour.
    assert_eq!(person(&workers[1], 0).await, slot(5_000));
    assert_eq!(person(&workers[1], 5_000).await, SlotDecision::Full { until: at(5_000 + 60_425) });
    let later = 2 * 3_600_000;
    assert_eq!(person(&workers[1], later).await, slot(later));
    assert_eq!(person(&workers[1], later).await, slot(later + 217));
}

pub(crate) async fn a_clock_that_is_hours_ahead_does_not_use_up_the_turns_of_those_hours<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 2).await;
    assert_eq!(fill(&workers[0], 3_600_000).await.0, 1);
    // The schedule starts again after a window, which is too far ahead for the background outside its turn.
    assert_eq!(background(&workers[1], 0).await, slot(5_000));
}

pub(crate) async fn workers_that_book_at_the_same_time_get_different_slots<L: CallSchedule>(
    lines: &impl AsyncFn(AllowanceRules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 4).await;
    let answers = join_all((0..20).map(|number| person(&workers[number % 4], 0))).await;
    let slots: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| match answer {
            SlotDecision::Granted { slot, .. } => slot,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(slots, (0..20).map(|number| at(number * 217)).collect());
}

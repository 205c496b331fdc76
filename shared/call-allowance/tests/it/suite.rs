//! What holds for every form of the line. The times are arguments, so a line that is far away answers the same.
//!
//! Each case is handed a way to make so many handles of one new line, as so many workers would have them.

use std::collections::BTreeSet;
use std::time::Duration;

use call_allowance::{Answer, Ask, Line, Rules, Settings};
use futures::future::join_all;
use leadsquared::{Lane, Limit};
use time::OffsetDateTime;

/// Noon of a day.
pub(crate) const NOON: OffsetDateTime =
    OffsetDateTime::UNIX_EPOCH.saturating_add(time::Duration::seconds(20_779 * 86_400 + 43_200));

/// From slot to slot with 25 calls in 5 s.
const INTERVAL: Duration = Duration::from_millis(217);

pub(crate) fn settings() -> Settings {
    Settings::new(Limit { calls: 25, window: Duration::from_secs(5) })
}

pub(crate) fn rules() -> Rules {
    Rules::new(settings()).unwrap()
}

/// Makes a test of every case: `suite::tests!(block_on, lines)`, where `lines` is an `AsyncFn(Rules, usize) ->
/// Vec<impl Line>`.
macro_rules! tests {
    ($block_on:expr, $lines:expr) => {
        suite::tests!($block_on, $lines;
            slots_are_evenly_spaced_whichever_worker_asks
            an_idle_line_gives_leave_at_once
            a_person_books_no_further_ahead_than_the_patience_and_is_then_told_when_it_is_over
            a_deadline_that_cannot_be_met_books_nothing
            the_background_leaves_room_for_a_person
            the_background_has_its_turns_while_people_fill_the_line
            the_background_takes_what_people_leave
            a_complaint_pushes_everybody_back_by_a_window_and_not_more_when_repeated
            a_slower_limit_is_kept_to_for_an_hour
            a_limit_that_is_not_slower_changes_nothing
            nobody_gets_a_slot_beyond_the_daily_cap_until_the_next_day
            the_background_never_uses_the_part_of_the_day_that_is_kept_for_people
            slots_are_reserved_for_the_background_among_people_who_book_far_ahead
            a_complaint_takes_back_what_is_reserved_for_the_background
            a_booking_over_midnight_counts_for_the_new_day
            a_worker_behind_midnight_does_not_bring_yesterday_back
            a_clock_that_is_hours_ahead_stops_nobody_for_hours
            a_clock_that_is_hours_ahead_does_not_use_up_the_turns_of_hours
            workers_that_ask_at_once_get_slots_of_their_own
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

fn slot(milliseconds: i64) -> Answer {
    Answer::Leave { slot: at(milliseconds) }
}

async fn ask(line: &impl Line, lane: Lane, now: OffsetDateTime) -> Answer {
    line.book(Ask { lane, now, latest: now + Duration::from_secs(20) }).await.unwrap()
}

async fn person(line: &impl Line, milliseconds: i64) -> Answer {
    ask(line, Lane::Interactive, at(milliseconds)).await
}

async fn background(line: &impl Line, milliseconds: i64) -> Answer {
    ask(line, Lane::Background, at(milliseconds)).await
}

/// One handle of a line with the usual rules.
async fn one<L: Line>(lines: &impl AsyncFn(Rules, usize) -> Vec<L>) -> L {
    lines(rules(), 1).await.remove(0)
}

pub(crate) async fn slots_are_evenly_spaced_whichever_worker_asks<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 3).await;
    for number in 0..20 {
        let index = usize::try_from(number).unwrap();
        assert_eq!(person(&workers[index % 3], number).await, slot(number * 217), "slot {number}");
    }
}

pub(crate) async fn an_idle_line_gives_leave_at_once<L: Line>(lines: &impl AsyncFn(Rules, usize) -> Vec<L>) {
    let line = one(lines).await;
    assert_eq!(person(&line, 0).await, slot(0));
    assert_eq!(person(&line, 216).await, slot(217));
    assert_eq!(person(&line, 434).await, slot(434));
    assert_eq!(background(&line, 60_000).await, slot(60_000));
    assert_eq!(person(&line, 60_000).await, slot(60_217));
}

pub(crate) async fn a_person_books_no_further_ahead_than_the_patience_and_is_then_told_when_it_is_over<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    let line = one(lines).await;
    for number in 0..24 {
        assert_eq!(person(&line, 0).await, slot(number * 217));
    }
    assert_eq!(person(&line, 0).await, Answer::Full { until: at(24 * 217) });
    // Nothing was taken by asking in vain.
    assert_eq!(person(&line, 1000).await, slot(24 * 217));
}

pub(crate) async fn a_deadline_that_cannot_be_met_books_nothing<L: Line>(lines: &impl AsyncFn(Rules, usize) -> Vec<L>) {
    let line = one(lines).await;
    assert_eq!(person(&line, 0).await, slot(0));
    for lane in [Lane::Interactive, Lane::Background] {
        let hurry = Ask { lane, now: at(0), latest: at(216) };
        assert_eq!(line.book(hurry).await.unwrap(), Answer::Full { until: at(217) }, "{lane:?}");
        let past = Ask { lane, now: at(1000), latest: at(999) };
        assert_eq!(line.book(past).await.unwrap(), Answer::Full { until: at(1000) }, "{lane:?}");
    }
    assert_eq!(person(&line, 0).await, slot(217));
}

/// Books in the background until it is sent away; how many it got, and what it was told.
async fn fill(line: &impl Line, milliseconds: i64) -> (usize, Answer) {
    let mut booked = 0;
    loop {
        match background(line, milliseconds).await {
            Answer::Leave { .. } => booked += 1,
            other => return (booked, other),
        }
    }
}

pub(crate) async fn the_background_leaves_room_for_a_person<L: Line>(lines: &impl AsyncFn(Rules, usize) -> Vec<L>) {
    let line = one(lines).await;
    // Five in the second that it may book ahead, and the two turns that a background long at rest may have in a row.
    assert_eq!(fill(&line, 0).await, (7, Answer::Later { at: at(7 * 217 - 1000) }));
    assert_eq!(person(&line, 0).await, slot(7 * 217));
    // With the person in front of it, its next turn comes first.
    assert_eq!(background(&line, 1).await, Answer::Later { at: at(0) + INTERVAL * 5 / 2 });
    // Who cannot wait for that is told at once.
    let hurry = Ask { lane: Lane::Background, now: at(1), latest: at(500) };
    assert_eq!(line.book(hurry).await.unwrap(), Answer::Full { until: at(8 * 217) });
}

pub(crate) async fn the_background_has_its_turns_while_people_fill_the_line<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    let line = one(lines).await;
    let (mut people, mut in_background) = (0, 0);
    // People take every slot they can, ten times as often as there is one; the background asks as often.
    for milliseconds in (0..60_000).step_by(20) {
        while let Answer::Leave { .. } = person(&line, milliseconds).await {
            people += 1;
        }
        if let Answer::Leave { .. } = background(&line, milliseconds).await {
            in_background += 1;
        }
    }
    // 60 s, and what is booked ahead.
    assert!((108..=125).contains(&in_background), "{in_background} in the background");
    assert!((163..=195).contains(&people), "{people} for people");
}

pub(crate) async fn the_background_takes_what_people_leave<L: Line>(lines: &impl AsyncFn(Rules, usize) -> Vec<L>) {
    let line = one(lines).await;
    let mut slots = Vec::new();
    for milliseconds in (0..20_000).step_by(100) {
        while let Answer::Leave { slot } = background(&line, milliseconds).await {
            slots.push(slot);
        }
    }
    assert!(slots.len() >= 20_000 / 217, "{} slots", slots.len());
    assert!(slots.windows(2).all(|pair| pair[1] - pair[0] == INTERVAL), "{slots:?}");
}

pub(crate) async fn a_complaint_pushes_everybody_back_by_a_window_and_not_more_when_repeated<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 2).await;
    assert_eq!(person(&workers[0], 0).await, slot(0));
    assert_eq!(person(&workers[1], 0).await, slot(217));
    for milliseconds in [300, 305, 310] {
        workers[0].push_back(at(milliseconds), None).await.unwrap();
    }
    assert_eq!(person(&workers[1], 400).await, slot(5_310));
    assert_eq!(person(&workers[0], 400).await, Answer::Full { until: at(5_527) });
    assert_eq!(person(&workers[0], 600).await, slot(5_527));
}

pub(crate) async fn a_slower_limit_is_kept_to_for_an_hour<L: Line>(lines: &impl AsyncFn(Rules, usize) -> Vec<L>) {
    const HOUR: i64 = 3_600_000;
    let workers = lines(rules(), 2).await;
    assert_eq!(person(&workers[1], 0).await, slot(0));
    let slower = Limit { calls: 5, window: Duration::from_secs(5) };
    workers[0].push_back(at(0), Some(slower)).await.unwrap();
    // Also by a worker to whom the line looks busy and unchanged.
    assert_eq!(person(&workers[1], 100).await, slot(5_000));
    assert_eq!(person(&workers[0], 4_000).await, slot(6_085));
    assert_eq!(person(&workers[1], 4_000).await, slot(7_170));
    // A milder one in the meantime does not undo it.
    workers[1].push_back(at(4_000), Some(Limit { calls: 10, ..slower })).await.unwrap();
    assert_eq!(person(&workers[0], HOUR + 3_999).await, slot(HOUR + 3_999));
    assert_eq!(person(&workers[0], HOUR + 3_999).await, slot(HOUR + 3_999 + 1_085));
    assert_eq!(person(&workers[0], HOUR + 4_000).await, slot(HOUR + 3_999 + 2 * 1_085));
    assert_eq!(person(&workers[1], HOUR + 4_000).await, slot(HOUR + 3_999 + 2 * 1_085 + 217));
}

pub(crate) async fn a_limit_that_is_not_slower_changes_nothing<L: Line>(lines: &impl AsyncFn(Rules, usize) -> Vec<L>) {
    let line = one(lines).await;
    line.push_back(at(0), Some(Limit { calls: 100, window: Duration::from_secs(5) })).await.unwrap();
    line.push_back(at(0), Some(Limit { calls: 9_000, window: Duration::from_secs(86_400) })).await.unwrap();
    assert_eq!(person(&line, 1_000).await, slot(5_000));
    assert_eq!(person(&line, 1_000).await, slot(5_217));
}

pub(crate) async fn nobody_gets_a_slot_beyond_the_daily_cap_until_the_next_day<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    const MIDNIGHT: i64 = 43_200_000;
    let workers = lines(Rules::new(Settings { daily: Some(3), ..settings() }).unwrap(), 2).await;
    assert_eq!(person(&workers[0], 0).await, slot(0));
    assert_eq!(background(&workers[1], 0).await, slot(217));
    assert_eq!(person(&workers[0], 0).await, slot(434));
    let used_up = Answer::DayUsedUp { until: at(MIDNIGHT) };
    assert_eq!(person(&workers[1], 0).await, used_up);
    assert_eq!(background(&workers[0], MIDNIGHT - 1).await, used_up);
    for number in 0..3 {
        assert_eq!(person(&workers[0], MIDNIGHT).await, slot(MIDNIGHT + number * 217));
    }
    assert_eq!(person(&workers[1], MIDNIGHT + 1).await, Answer::DayUsedUp { until: at(3 * MIDNIGHT) });
}

pub(crate) async fn the_background_never_uses_the_part_of_the_day_that_is_kept_for_people<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    const MIDNIGHT: i64 = 43_200_000;
    let daily = Settings { daily: Some(20), daily_reserve: 10, ..settings() };
    let workers = lines(Rules::new(daily).unwrap(), 2).await;
    for day in 0..2 {
        let (begin, end) = (day * 2 * MIDNIGHT, (day * 2 + 1) * MIDNIGHT);
        for number in 0..17 {
            let time = begin + number * 1_000;
            assert_eq!(background(&workers[0], time).await, slot(time), "call {number} of day {day}");
        }
        // Both see the same count, whichever of them booked.
        assert_eq!(person(&workers[1], begin + 17_000).await, slot(begin + 17_000));
        for time in [begin + 18_000, end - 1] {
            for worker in &workers {
                assert_eq!(background(worker, time).await, Answer::DayUsedUp { until: at(end) });
            }
        }
        for number in 18..20 {
            let time = begin + number * 1_000;
            assert_eq!(person(&workers[1], time).await, slot(time), "call {number} of day {day}");
        }
        assert_eq!(person(&workers[0], end - 1).await, Answer::DayUsedUp { until: at(end) });
    }
}

pub(crate) async fn slots_are_reserved_for_the_background_among_people_who_book_far_ahead<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 2).await;
    assert_eq!(background(&workers[0], 0).await, slot(0));
    let mut people = Vec::new();
    while let Answer::Leave { slot } = person(&workers[1], 0).await {
        people.push((slot - NOON).whole_milliseconds() / 217);
    }
    // From 1.651 s on two in five slots are free.
    assert_eq!(people, [1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 16, 18, 19, 21, 23]);
    // The background takes them in their order, whichever of its workers asks, and people none of them before the last
    // moment.
    assert_eq!(background(&workers[0], 0).await, slot(8 * 217));
    assert_eq!(person(&workers[1], 10 * 217 - 109).await, slot(24 * 217));
    assert_eq!(person(&workers[1], 10 * 217 - 108).await, slot(10 * 217));
    assert_eq!(background(&workers[1], 10 * 217 - 108).await, slot(12 * 217));
    assert_eq!(background(&workers[0], 10 * 217 - 108).await, slot(15 * 217));
    // What it lets pass is nobody's.
    assert_eq!(background(&workers[1], 17 * 217 + 1).await, slot(20 * 217));
}

pub(crate) async fn a_complaint_takes_back_what_is_reserved_for_the_background<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 2).await;
    assert_eq!(background(&workers[0], 0).await, slot(0));
    while let Answer::Leave { .. } = person(&workers[1], 0).await {}
    workers[1].push_back(at(100), None).await.unwrap();
    // The head was 5.208 s ahead: no slot of the next window is given out, reserved or not.
    assert_eq!(background(&workers[0], 100).await, slot(24 * 217));
    assert_eq!(person(&workers[1], 1_000).await, slot(26 * 217));
    assert_eq!(background(&workers[0], 1_000).await, slot(25 * 217));
}

pub(crate) async fn a_booking_over_midnight_counts_for_the_new_day<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    const MIDNIGHT: i64 = 43_200_000;
    let workers = lines(Rules::new(Settings { daily: Some(2), ..settings() }).unwrap(), 2).await;
    assert_eq!(person(&workers[0], MIDNIGHT - 300).await, slot(MIDNIGHT - 300));
    assert_eq!(person(&workers[1], MIDNIGHT - 300).await, slot(MIDNIGHT - 83));
    // Two are used today, and the next two slots are tomorrow's.
    assert_eq!(person(&workers[0], MIDNIGHT - 300).await, slot(MIDNIGHT + 134));
    assert_eq!(person(&workers[1], MIDNIGHT - 300).await, slot(MIDNIGHT + 351));
    assert_eq!(person(&workers[0], MIDNIGHT - 300).await, Answer::DayUsedUp { until: at(3 * MIDNIGHT) });
}

pub(crate) async fn a_worker_behind_midnight_does_not_bring_yesterday_back<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    const MIDNIGHT: i64 = 43_200_000;
    let workers = lines(Rules::new(Settings { daily: Some(3), ..settings() }).unwrap(), 2).await;
    assert_eq!(person(&workers[0], MIDNIGHT + 50).await, slot(MIDNIGHT + 50));
    for number in 1..3 {
        assert_eq!(person(&workers[1], MIDNIGHT - 150).await, slot(MIDNIGHT + 50 + number * 217));
    }
    let used_up = Answer::DayUsedUp { until: at(3 * MIDNIGHT) };
    assert_eq!(person(&workers[1], MIDNIGHT - 150).await, used_up);
    assert_eq!(person(&workers[0], MIDNIGHT + 60).await, used_up);
}

pub(crate) async fn a_clock_that_is_hours_ahead_stops_nobody_for_hours<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    const HOURS: i64 = 100 * 3_600_000;
    let workers = lines(Rules::new(Settings { daily: Some(5), ..settings() }).unwrap(), 2).await;
    assert_eq!(person(&workers[0], HOURS).await, slot(HOURS));
    workers[0].push_back(at(HOURS), Some(Limit { calls: 1, window: Duration::from_secs(60) })).await.unwrap();
    // A full window later, for who knows what was called; at the pace that was named, for an hour.
    assert_eq!(person(&workers[1], 0).await, slot(5_000));
    assert_eq!(person(&workers[1], 5_000).await, Answer::Full { until: at(5_000 + 60_425) });
    let later = 2 * 3_600_000;
    assert_eq!(person(&workers[1], later).await, slot(later));
    assert_eq!(person(&workers[1], later).await, slot(later + 217));
}

pub(crate) async fn a_clock_that_is_hours_ahead_does_not_use_up_the_turns_of_hours<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 2).await;
    assert_eq!(fill(&workers[0], 3_600_000).await.0, 7);
    // The line starts anew in a window's time, too far ahead for the background without a turn.
    assert_eq!(background(&workers[1], 0).await, slot(5_000));
}

pub(crate) async fn workers_that_ask_at_once_get_slots_of_their_own<L: Line>(
    lines: &impl AsyncFn(Rules, usize) -> Vec<L>,
) {
    let workers = lines(rules(), 4).await;
    let answers = join_all((0..20).map(|number| person(&workers[number % 4], 0))).await;
    let slots: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| match answer {
            Answer::Leave { slot } => slot,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(slots, (0..20).map(|number| at(number * 217)).collect());
}

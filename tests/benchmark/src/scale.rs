//! Crowds of applicants on a virtual clock: how long the last mail takes, what LeadSquared and AWS are asked for, what
//! that costs, and how long people wait who press a link meanwhile.

mod aws;
mod crowd;
mod presses;
mod queue;
mod worker;
mod world;

use std::time::Duration;

use leadsquared::Lane;

use aws::{SharedItem, UNITS_OF_AN_ITEM};
use crowd::{Crowd, Outcome, PRO, Plan, SUPER};
use presses::Presses;

const PLANS: [Plan; 2] = [PRO, SUPER];

const CROWDS: [u32; 4] = [10, 100, 1_000, 10_000];

/// One press of a link every two seconds.
const PERIOD: Duration = Duration::from_secs(2);

/// How long people press links. At one press every two seconds they use up the day's calls of the smallest plan in
/// three hours.
const PRESSING: Duration = Duration::from_secs(30 * 60);

/// How many presses are made in a second where strangers press links, and for how long.
const RUSHES: [u32; 3] = [10, 100, 400];
const RUSHING: Duration = Duration::from_secs(60);

/// Prints the tables.
pub(crate) fn run() {
    print_crowds();
    print_presses();
    print_rushes();
}

fn print_crowds() {
    println!(
        "{:<6} {:>10} {:>12} {:>9} {:>12} {:>9} {:>9} {:>9}   {:<18} {:>9} {:>9}",
        "plan",
        "applicants",
        "last mail",
        "÷ margin",
        "LeadSquared",
        "AWS",
        "Lambda",
        "USD for",
        "hottest item,",
        "press p50",
        "p99"
    );
    println!(
        "{:<6} {:>10} {:>12} {:>9} {:>12} {:>9} {:>9} {:>9}   {:<18} {:>9} {:>9}",
        "", "at once", "", "permits", "calls each", "calls", "each", "1,000", "write units/s", "", ""
    );
    for plan in PLANS {
        for applicants in CROWDS {
            let crowd = Crowd::new(plan, applicants);
            let alone = crowd.run();
            let each = f64::from(applicants);
            let ratio = to_margin(plan, &alone).map_or("–".to_owned(), |ratio| format!("{ratio:.3}"));
            let hottest = alone.heat.hottest().map_or(String::new(), |(item, units)| format!("{item} {units}"));
            let waits = Waits::of(&crowd.run_beside(Presses::Every(PERIOD), PRESSING));
            println!(
                "{:<6} {applicants:>10} {:>12} {ratio:>9} {:>12.2} {:>9.1} {:>9} {:>9.4}   {hottest:<18} {:>9} {:>9}",
                plan.name,
                words(alone.last_mail),
                alone.calls as f64 / each,
                f64::from(alone.usage.requests) / each,
                words(alone.worker_time / applicants),
                alone.usage.dollars() / each * 1_000.0,
                words(waits.at(50)),
                words(waits.at(99)),
            );
        }
    }
    println!(
        "Calls to AWS are those of application-form and the worker; Lambda is the worker's billed time. Costs are those \
         of both functions, the API, the queue and the table, without logs and traces."
    );
    let sample = Crowd::new(PRO, 100).run();
    for item in [SharedItem::Mails, SharedItem::Accepted, SharedItem::Outcome] {
        let units = f64::from(sample.heat.total(item)) / sample.mails as f64;
        println!(
            "An invitation takes {units:.0} write units of the day's item `{item}`, which accepts {UNITS_OF_AN_ITEM} a \
             second: enough for {:.0} invitations a second.",
            f64::from(UNITS_OF_AN_ITEM) / units
        );
    }
}

fn print_presses() {
    println!(
        "\n{:<6} {:<34} {:<22} {:>9} {:>9} {:>9} {:>12}",
        "plan", "presses, one in 2 s", "beside", "p50", "p99", "longest", "turned away"
    );
    for plan in PLANS {
        for (presses, name) in [
            (Presses::Every(PERIOD), "every 2 s"),
            (Presses::OneInEach(PERIOD), "at any moment of every 2 s"),
            (Presses::AtRandom(PERIOD), "at random, 2 s apart on average"),
        ] {
            for (workers, beside) in [(0, "nothing else"), (worker::CONCURRENCY, "1,000 applicants")] {
                let outcome = Crowd { workers, ..Crowd::new(plan, 1_000) }.run_beside(presses, PRESSING);
                let waits = Waits::of(&outcome);
                println!(
                    "{:<6} {name:<34} {beside:<22} {:>9} {:>9} {:>9} {:>12}",
                    plan.name,
                    words(waits.at(50)),
                    words(waits.at(99)),
                    words(waits.at(100)),
                    outcome.presses.turned_away
                );
            }
        }
    }
}

fn print_rushes() {
    println!("\n{:<6} {:>12} {:>34} {:>22}", "plan", "presses/s", "write units/s of the allowance", "fullest window");
    for plan in PLANS {
        for rate in RUSHES {
            let outcome = rush(plan, rate);
            println!(
                "{:<6} {rate:>12} {:>34} {:>22}",
                plan.name,
                outcome.heat.most(SharedItem::Allowance),
                format!("{} of {} calls", outcome.fullest_window, plan.limit().calls)
            );
        }
    }
}

/// Strangers press links at this rate, beside a crowd of applicants.
fn rush(plan: Plan, rate: u32) -> Outcome {
    Crowd::new(plan, 1_000).run_beside(Presses::AtRandom(Duration::from_secs(1) / rate), RUSHING)
}

/// The time of a crowd as a multiple of the time in which the margin permits its calls. None if its calls are more than
/// the worker may make in a day: then it waits for the next day.
fn to_margin(plan: Plan, outcome: &Outcome) -> Option<f64> {
    let rules = plan.rules();
    let is_of_a_day = rules.daily(Lane::Background).is_none_or(|daily| outcome.calls <= daily as usize);
    is_of_a_day.then(|| outcome.last_mail.as_secs_f64() / (rules.interval().as_secs_f64() * outcome.calls as f64))
}

/// The waits of people who pressed a link, in ascending order.
struct Waits(Vec<Duration>);

impl Waits {
    fn of(outcome: &Outcome) -> Self {
        let mut waits = outcome.presses.waits.clone();
        waits.sort_unstable();
        Self(waits)
    }

    /// The wait that this percentage of people did not exceed, by the nearest rank.
    fn at(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// A duration in the unit that suits its length.
fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.2} s", duration.as_secs_f64()),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_within_the_limit(plan: Plan, outcome: &Outcome) {
        let (fullest, limit) = (outcome.fullest_window, plan.limit().calls as usize);
        assert!(fullest <= limit, "{fullest} of {limit} calls in a window");
    }

    #[test]
    fn a_crowd_takes_at_most_a_hundredth_longer_than_the_margin_permits() {
        for plan in PLANS {
            for seed in 0..3 {
                let outcome = Crowd { seed, ..Crowd::new(plan, 1_000) }.run();
                assert_eq!((outcome.mails, outcome.calls), (1_000, 2_000));
                let ratio = to_margin(plan, &outcome).unwrap();
                assert!(ratio <= 1.01, "{}, seed {seed}: {ratio}", plan.name);
                assert_within_the_limit(plan, &outcome);
            }
        }
    }

    #[test]
    fn of_a_hundred_people_who_press_a_link_beside_a_crowd_99_wait_two_seconds_at_most() {
        for plan in PLANS {
            // As many workers as the template has, and more.
            for (workers, seed) in [(2, 0), (2, 1), (2, 2), (10, 3)] {
                let crowd = Crowd { workers, seed, ..Crowd::new(plan, 1_000) };
                let outcome = crowd.run_beside(Presses::Every(PERIOD), PRESSING);
                let waits = Waits::of(&outcome);
                assert_eq!(outcome.presses.turned_away, 0);
                assert!(waits.0.len() >= 250, "{} presses", waits.0.len());
                assert!(waits.at(99) <= PERIOD, "{}, {workers} workers: {:?}", plan.name, waits.at(99));
                assert_within_the_limit(plan, &outcome);
            }
        }
    }

    #[test]
    fn a_crowd_beside_people_who_press_links_loses_no_slot() {
        let outcome = Crowd::new(PRO, 1_000).run_beside(Presses::Every(PERIOD), PRESSING);
        let used = PRO.rules().interval().as_secs_f64() * outcome.calls as f64 / PRESSING.as_secs_f64();
        assert!(used >= 0.99, "{used}");
    }

    #[test]
    fn four_hundred_presses_a_second_stay_within_what_the_allowance_item_accepts() {
        for plan in PLANS {
            let outcome = rush(plan, 400);
            let units = outcome.heat.most(SharedItem::Allowance);
            assert!(units < UNITS_OF_AN_ITEM / 2, "{}: {units}", plan.name);
            assert_within_the_limit(plan, &outcome);
        }
    }

    #[test]
    fn a_crowd_of_more_than_a_day_continues_on_the_next_day() {
        let outcome = Crowd::new(PRO, 5_000).run();
        assert_eq!(outcome.mails, 5_000);
        assert_eq!(to_margin(PRO, &outcome), None);
        // 4,500 on the first day, and the others from midnight on, 19.5 hours after the start.
        let hours = outcome.last_mail.as_secs_f64() / 3_600.0;
        assert!((19.5..21.0).contains(&hours), "{hours}");
    }

    #[test]
    fn the_worker_and_the_api_are_as_in_the_template() {
        let template = local_stack::yaml::read(include_str!("../../../template.yaml")).unwrap();
        let worker = &template["Resources"]["InvitationFunction"]["Properties"];
        let queue = &worker["Events"]["Queue"]["Properties"];
        assert_eq!(worker["Timeout"], worker::TIMEOUT.as_secs());
        assert_eq!(queue["BatchSize"], worker::BATCH);
        assert_eq!(queue["ScalingConfig"]["MaximumConcurrency"], worker::CONCURRENCY);
        assert_eq!(template["Globals"]["Function"]["MemorySize"], (aws::MEMORY * 1_024.0) as u64);
        let api = &template["Resources"]["Api"]["Properties"]["DefaultRouteSettings"];
        assert_eq!(api["ThrottlingRateLimit"], crowd::FORMS_A_SECOND);
    }

    #[test]
    fn the_same_seed_runs_the_same() {
        let run = || Crowd::new(PRO, 100).run_beside(Presses::AtRandom(PERIOD), PRESSING);
        let (first, second) = (run(), run());
        assert_eq!((first.last_mail, first.usage), (second.last_mail, second.usage));
        assert_eq!(first.presses.waits, second.presses.waits);
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let waits = Waits((1..=200).map(Duration::from_millis).collect());
        assert_eq!([50, 99, 100].map(|percent| waits.at(percent).as_millis()), [100, 198, 200]);
        assert_eq!(Waits(vec![PERIOD]).at(99), PERIOD);
        assert_eq!(Waits(Vec::new()).at(99), Duration::ZERO);
    }

    #[test]
    fn a_duration_has_the_unit_that_suits_its_length() {
        let written = [(0, 550), (59, 990), (65, 0), (7_385, 0)]
            .map(|(seconds, milliseconds)| words(Duration::from_secs(seconds) + Duration::from_millis(milliseconds)));
        assert_eq!(written, ["0.55 s", "59.99 s", "1 min 05 s", "2 h 03 min"]);
    }
}

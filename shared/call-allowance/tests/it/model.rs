//! A model of several workers and an account: no window has too many calls, and no lane starves.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use call_allowance::{
    Allowance, AllowanceRules, AllowanceSettings, CallSchedule, ScheduleError, SlotDecision, SlotRequest,
};
use futures::future::{Either, select};
use leadsquared::{Admission, Lane, RateLimit, Throttled};
use proptest::prelude::*;
use time::OffsetDateTime;
use virtual_clock::{Chance, Task, VirtualClock};

use crate::in_process::Handle;
use crate::suite::{NOON, rules, settings};
use crate::worker_clock::{WorkerClock, new_run, planned, up_to};

/// A worker that makes one call after another.
#[derive(Clone, Debug)]
struct Worker {
    lane: Lane,
    /// The error of its clock, in milliseconds. Positive: ahead.
    error: i64,
    /// The longest pause after each call, in milliseconds. With longer pauses, more calls come in bursts.
    rest: u64,
    /// The percentage of its calls during which it crashes. A new worker replaces it a second later.
    dies: u64,
}

/// The workers and their environment. Times are in milliseconds.
#[derive(Clone, Debug)]
struct World {
    rules: AllowanceRules,
    workers: Vec<Worker>,
    /// The longest duration of a request to the schedule.
    latency: u64,
    /// The longest time from the start of a call to its arrival.
    transit: u64,
    /// The percentage of calls that LeadSquared refuses because of other callers of the account.
    complaints: u64,
    seconds: u64,
    seed: u64,
}

/// The calls and refusals of a run.
#[derive(Default)]
struct Seen {
    calls: Vec<Call>,
    turned_away: Vec<Lane>,
}

struct Call {
    lane: Lane,
    /// How long it waited for its slot.
    waited: Duration,
    /// When it arrived at LeadSquared.
    arrived: Duration,
}

impl Seen {
    /// The most calls in any window, counted as LeadSquared does: a call stays in it for the length of the window.
    fn fullest(&self, window: Duration) -> usize {
        let arrivals: Vec<Duration> = self.calls.iter().map(|call| call.arrived).collect();
        fullest(&arrivals, window)
    }

    fn of(&self, lane: Lane) -> usize {
        self.calls.iter().filter(|call| call.lane == lane).count()
    }

    fn longest_wait(&self, lane: Lane) -> Duration {
        let waits = self.calls.iter().filter(|call| call.lane == lane).map(|call| call.waited);
        waits.max().unwrap_or_default()
    }
}

/// The most of these calls in any window, counted as LeadSquared does.
pub(crate) fn fullest(arrivals: &[Duration], window: Duration) -> usize {
    let mut arrivals = arrivals.to_vec();
    arrivals.sort_unstable();
    let mut in_window = VecDeque::new();
    let mut fullest = 0;
    for now in arrivals {
        in_window.push_back(now);
        while in_window.front().is_some_and(|oldest| now - *oldest >= window) {
            in_window.pop_front();
        }
        fullest = fullest.max(in_window.len());
    }
    fullest
}

/// A schedule with network latency before and after its decision.
struct Remote<L> {
    line: L,
    true_time: VirtualClock,
    chance: Mutex<Chance>,
    latency: u64,
}

impl<L: CallSchedule> CallSchedule for Remote<L> {
    fn rules(&self) -> &AllowanceRules {
        self.line.rules()
    }

    async fn book(&self, ask: SlotRequest) -> Result<SlotDecision, ScheduleError> {
        let (there, all) = {
            let mut chance = self.chance.lock().unwrap();
            let all = up_to(&mut chance, self.latency);
            (all * u32::try_from(chance.below(101)).unwrap() / 100, all)
        };
        self.true_time.sleep(there).await;
        let answer = self.line.book(ask).await;
        self.true_time.sleep(all - there).await;
        answer
    }

    async fn back_off(&self, now: OffsetDateTime, limit: Option<RateLimit>) -> Result<(), ScheduleError> {
        self.line.back_off(now, limit).await
    }
}

impl World {
    fn run<L: CallSchedule + Clone + 'static>(&self, line: &L) -> Seen {
        let true_time = new_run(self.seed);
        let seen = Rc::new(RefCell::new(Seen::default()));
        let tasks = self.workers.iter().zip(0..).map(|(worker, number)| {
            let chance = Chance::new(self.seed ^ (number << 32));
            let work = self.clone().work(worker.clone(), line.clone(), true_time.clone(), chance, seen.clone());
            Box::pin(work) as Task
        });
        true_time.run_until(tasks.collect(), Duration::from_secs(self.seconds));
        seen.take()
    }

    async fn work<L: CallSchedule + 'static>(
        self,
        worker: Worker,
        line: L,
        true_time: VirtualClock,
        mut chance: Chance,
        seen: Rc<RefCell<Seen>>,
    ) {
        let clock = WorkerClock { true_time: true_time.clone(), error: time::Duration::milliseconds(worker.error) };
        let line = Remote {
            line,
            true_time: true_time.clone(),
            chance: Mutex::new(Chance::new(chance.number())),
            latency: self.latency,
        };
        let allowance = Allowance::with_clock(line, clock);
        loop {
            true_time.sleep(up_to(&mut chance, worker.rest)).await;
            let asked = true_time.now();
            let admitted = allowance.admit(planned(worker.lane, true_time.instant() + Duration::from_secs(12)));
            if chance.in_a_thousand(10 * worker.dies) {
                // The crash can come at any time, also between the slot and the call.
                let death = pin!(true_time.sleep(up_to(&mut chance, 500)));
                if let Either::Left((_, death)) = select(admitted, death).await {
                    death.await;
                }
                true_time.sleep(Duration::from_secs(1)).await;
                continue;
            }
            match admitted.await {
                Ok(()) => {
                    let now = true_time.now();
                    let transit = up_to(&mut chance, self.transit);
                    let call = Call { lane: worker.lane, waited: now - asked, arrived: now + transit };
                    seen.borrow_mut().calls.push(call);
                    true_time.sleep(transit).await;
                    if chance.in_a_thousand(10 * self.complaints) {
                        let calls = 10 + u32::try_from(chance.below(20)).unwrap();
                        let limit = RateLimit { calls, window: self.rules.settings().limit.window };
                        let limit = chance.in_a_thousand(500).then_some(limit);
                        allowance.throttled(Throttled { lane: worker.lane, limit }).await;
                    }
                }
                Err(turned_away) => {
                    seen.borrow_mut().turned_away.push(worker.lane);
                    true_time.sleep(turned_away.retry_after.unwrap_or(Duration::from_millis(100))).await;
                }
            }
        }
    }

    /// Workers of both lanes without pauses and with correct clocks.
    fn busy(people: usize, in_background: usize) -> Self {
        let worker = |lane| Worker { lane, error: 0, rest: 0, dies: 0 };
        let mut workers = vec![worker(Lane::Interactive); people];
        workers.extend(vec![worker(Lane::Background); in_background]);
        Self { rules: rules(), workers, latency: 10, transit: 50, complaints: 0, seconds: 300, seed: 1 }
    }
}

/// The number of calls in 300 s at 25 calls in 5 s, without a margin.
const THEORETICAL: usize = 1500;

prop_compose! {
    /// Delays within the margin, in every mixture: from correct clocks with a slow network to clocks that are wrong by
    /// 200 ms in either direction.
    fn world()(
        calls in 1_u32..=25,
        seconds in 2_u64..=6,
        share in 4_u8..=100,
        workers in proptest::collection::vec((any::<bool>(), -100_i64..=100, 0_usize..4, prop_oneof![Just(0_u64), 1_u64..20]), 1..9),
        error in 0_i64..=200,
        latency in 0_u64..=100,
        complaints in 0_u64..3,
        seed in any::<u64>(),
    ) -> World {
        let limit = RateLimit { calls: calls.max(100_u32.div_ceil(share.into())), window: Duration::from_secs(seconds) };
        let settings = AllowanceSettings { share, ..AllowanceSettings::new(limit) };
        let workers = workers.into_iter().map(|(waits, clock, rest, dies)| Worker {
            lane: if waits { Lane::Interactive } else { Lane::Background },
            // Mostly at the extremes, which are the hardest cases.
            error: error * (clock * 3).clamp(-100, 100) / 100,
            rest: [0, 200, 3_000, 20_000][rest],
            dies,
        });
        let left = u64::try_from(settings.margin.as_millis()).unwrap() - 2 * u64::try_from(error).unwrap();
        let latency = left * latency / 100;
        World {
            rules: AllowanceRules::new(settings).unwrap(),
            workers: workers.collect(),
            latency,
            transit: left - latency,
            complaints,
            seconds: 60,
            seed,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_window_has_more_calls_than_our_share(world in world()) {
        let AllowanceSettings { limit, share, .. } = *world.rules.settings();
        let ours = limit.calls as usize * usize::from(share) / 100;
        let seen = world.run(&Handle::new(world.rules));
        prop_assert!(seen.fullest(limit.window) <= ours, "{} of {ours}", seen.fullest(limit.window));
        // Crashes, or a table slower than the permitted lateness, can waste every slot of a short run.
        let is_healthy = world.latency * 4 <= 425 && world.workers.iter().all(|worker| worker.dies == 0);
        prop_assert!(!is_healthy || !seen.calls.is_empty(), "no worker made a call");
    }
}

/// Whether the check finds a fault in a schedule that is known to be wrong.
fn catches(broken: &(impl CallSchedule + Clone + 'static), world: &World) -> bool {
    world.run(broken).fullest(settings().limit.window) > settings().limit.calls as usize
}

#[test]
fn the_check_catches_a_token_bucket() {
    let world = World::busy(4, 4);
    assert!(catches(&Bucket::new(rules()), &world));
    assert!(!catches(&Handle::new(rules()), &world));
}

#[test]
fn the_check_catches_a_margin_that_is_too_small_for_wrong_clocks() {
    let mut world = World::busy(0, 0);
    // At first only workers whose clocks are behind are active, later only those whose clocks are ahead.
    let worker = |error, rest| Worker { lane: Lane::Background, error, rest, dies: 0 };
    world.workers = vec![worker(-200, 0), worker(-200, 5_000), worker(200, 8_000), worker(200, 0)];
    (world.latency, world.transit) = (0, 0);
    let hopeful = AllowanceRules::new(AllowanceSettings { margin: Duration::from_millis(1), ..settings() }).unwrap();
    assert!((0..50).any(|seed| catches(&Handle::new(hopeful), &World { seed, ..world.clone() })));
    assert!(!(0..50).any(|seed| catches(&Handle::new(rules()), &World { seed, ..world.clone() })));
}

#[test]
fn a_lane_alone_gets_every_slot() {
    for world in [World::busy(8, 0), World::busy(0, 8), World::busy(1, 0)] {
        let calls = world.run(&Handle::new(rules())).calls.len();
        // A single worker starts its next call only after the last one ended. Several workers lose only the margin.
        let least = if world.workers.len() == 1 { 85 } else { 92 };
        assert!(calls * 100 >= THEORETICAL * least, "{calls} of {THEORETICAL} in {:?}", world.workers[0].lane);
    }
}

#[test]
fn neither_lane_starves_however_crowded_the_other_is() {
    for (people, in_background) in [(200, 15), (200, 200), (15, 15), (15, 200)] {
        let seen = World::busy(people, in_background).run(&Handle::new(rules()));
        let (waiting, unhurried) = (seen.of(Lane::Interactive), seen.of(Lane::Background));
        let all = waiting + unhurried;
        assert!(all * 100 >= THEORETICAL * 92, "{people}, {in_background}: {all} calls");
        assert!(unhurried * 100 >= all * 39, "{people}, {in_background}: {unhurried} of {all} in the background");
        assert!(waiting * 100 >= all * 59, "{people}, {in_background}: {waiting} of {all} for people");
    }
}

#[test]
fn a_single_background_worker_waits_no_longer_than_the_people_before_it() {
    let seen = World::busy(200, 1).run(&Handle::new(rules()));
    assert!(!seen.turned_away.contains(&Lane::Background));
    assert!(seen.longest_wait(Lane::Background) < Duration::from_secs(6), "{:?}", seen.longest_wait(Lane::Background));
}

#[test]
fn a_person_gets_a_slot_before_a_crowd_in_the_background() {
    let mut world = World::busy(0, 50);
    world.workers.push(Worker { lane: Lane::Interactive, error: 0, rest: 4_000, dies: 0 });
    let seen = world.run(&Handle::new(rules()));
    assert!(seen.of(Lane::Interactive) > 80, "{} calls", seen.of(Lane::Interactive));
    assert!(!seen.turned_away.contains(&Lane::Interactive));
    // The background books 50 ms ahead, and a slot of its turn.
    let longest = seen.longest_wait(Lane::Interactive);
    assert!(longest <= Duration::from_millis(50 + 2 * 217 + 10), "{longest:?}");
}

/// A faulty schedule: a token bucket that holds a window's calls and refills at their rate.
#[derive(Clone)]
struct Bucket {
    rules: AllowanceRules,
    /// The tokens in the bucket, and the time at which they were counted.
    state: Arc<Mutex<(f64, OffsetDateTime)>>,
}

impl Bucket {
    fn new(rules: AllowanceRules) -> Self {
        let full = f64::from(rules.settings().limit.calls);
        Self { rules, state: Arc::new(Mutex::new((full, NOON))) }
    }
}

impl CallSchedule for Bucket {
    fn rules(&self) -> &AllowanceRules {
        &self.rules
    }

    async fn book(&self, ask: SlotRequest) -> Result<SlotDecision, ScheduleError> {
        let RateLimit { calls, window } = self.rules.settings().limit;
        let rate = f64::from(calls) / window.as_secs_f64();
        let mut state = self.state.lock().unwrap();
        let (tokens, since) = *state;
        let tokens = f64::from(calls).min(tokens + (ask.now - since).as_seconds_f64() * rate);
        if tokens < 1.0 {
            *state = (tokens, ask.now);
            return Ok(SlotDecision::Later { at: ask.now + Duration::from_secs_f64((1.0 - tokens) / rate) });
        }
        *state = (tokens - 1.0, ask.now);
        Ok(SlotDecision::Granted { slot: ask.now, next: None })
    }

    async fn back_off(&self, _: OffsetDateTime, _: Option<RateLimit>) -> Result<(), ScheduleError> {
        Ok(())
    }
}

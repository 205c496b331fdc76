//! Crowds in the interactive lane, up to 400 attempts a second: how many slots the background and a real person get.
//!
//! `cargo test --workspace -- --nocapture crowds` prints the figures.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use call_allowance::{Allowance, AllowanceRules, AllowanceSettings, CallSchedule, SlotDecision, SlotRequest};
use leadsquared::{Admission, Lane, RateLimit};
use virtual_clock::{Chance, Task, VirtualClock};

use crate::in_process::Handle;
use crate::model::fullest;
use crate::suite::NOON;
use crate::worker_clock::{WorkerClock, new_run, planned, up_to};

/// The time limits for a call to LeadSquared in portal-account and login-link, and the part that the call itself needs.
const SIGN_IN: Duration = Duration::from_secs(5);
const LINK_PRESS: Duration = Duration::from_secs(15);
const CALL_TIME: Duration = Duration::from_secs(1);

/// The time limit for a call of the worker, the wait for its slot included.
const WORKER_CALL: Duration = Duration::from_secs(12);

/// The permitted difference between the background's share and its guarantee. One point is for the first seconds, in
/// which people who came first have booked every slot within their patience; one is for slots that expired unused.
const TOLERANCE: f64 = 0.02;

/// Anonymous people who try at a steady rate and try again after every refusal.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    /// Attempts of the whole crowd per second.
    attempts: f64,
    /// The time limit of each attempt.
    patience: Duration,
    networks: usize,
    /// The most attempts of one network per minute that reach the allowance.
    cap: Option<usize>,
}

impl Crowd {
    fn new(attempts: f64, patience: Duration) -> Self {
        Self { attempts, patience, networks: 20, cap: None }
    }
}

#[derive(Clone, Debug)]
struct Scene {
    limit: RateLimit,
    crowds: Vec<Crowd>,
    /// The number of workers. Each makes one call after another, as fast as it can.
    workers: usize,
    /// The longest duration of a worker's call, in milliseconds.
    call: u64,
    /// The pause of a worker after each call, in milliseconds.
    rest: u64,
    /// The interval at which real people sign in.
    sign_ins: Option<Duration>,
    seconds: u64,
    seed: u64,
}

#[derive(Default, Debug)]
struct Seen {
    arrivals: Vec<Duration>,
    background: usize,
    crowd: usize,
    people: usize,
    people_admitted: usize,
    longest_wait: Duration,
}

impl Scene {
    fn new(calls: u32, crowd: Crowd, workers: usize) -> Self {
        let limit = RateLimit { calls, window: Duration::from_secs(5) };
        Self { limit, crowds: vec![crowd], workers, call: 300, rest: 0, sign_ins: None, seconds: 300, seed: 7 }
    }

    fn rules(&self) -> AllowanceRules {
        AllowanceRules::new(AllowanceSettings::new(self.limit)).unwrap()
    }

    /// The number of all slots during the scene.
    fn slots(&self) -> f64 {
        f64::from(u32::try_from(self.seconds).unwrap()) / self.rules().interval().as_secs_f64()
    }

    fn run(&self) -> Seen {
        let true_time = new_run(self.seed);
        let line = Handle::new(self.rules());
        let seen = Rc::new(RefCell::new(Seen::default()));
        let mut tasks: Vec<Task> = Vec::new();
        let mut chances = (0..).map(|number: u64| Chance::new(self.seed ^ (number << 32)));
        for crowd in &self.crowds {
            let chance = chances.next().unwrap();
            tasks.push(Box::pin(rush(*crowd, line.clone(), true_time.clone(), chance, seen.clone())));
        }
        for _ in 0..self.workers {
            let (scene, chance) = (self.clone(), chances.next().unwrap());
            tasks.push(Box::pin(scene.work(line.clone(), true_time.clone(), chance, seen.clone())));
        }
        if let Some(interval) = self.sign_ins {
            for number in 0..self.seconds * 1000 / u64::try_from(interval.as_millis()).unwrap() {
                let delay = interval * u32::try_from(number).unwrap() + up_to(&mut chances.next().unwrap(), 1_000);
                tasks.push(Box::pin(sign_in(delay, line.clone(), true_time.clone(), seen.clone())));
            }
        }
        true_time.run_until(tasks, Duration::from_secs(self.seconds));
        let seen = seen.take();
        let fullest = fullest(&seen.arrivals, self.limit.window);
        assert!(fullest <= self.limit.calls as usize, "{fullest} calls in a window: {self:?}");
        seen
    }

    async fn work(self, line: Handle, true_time: VirtualClock, mut chance: Chance, seen: Rc<RefCell<Seen>>) {
        let allowance = Allowance::with_clock(line, WorkerClock::exact(&true_time));
        loop {
            match allowance.admit(planned(Lane::Background, true_time.instant() + WORKER_CALL)).await {
                Ok(()) => {
                    seen.borrow_mut().arrivals.push(true_time.now());
                    seen.borrow_mut().background += 1;
                    true_time.sleep(up_to(&mut chance, self.call) + Duration::from_millis(self.rest)).await;
                }
                Err(turned_away) => {
                    true_time.sleep(turned_away.retry_after.unwrap_or(Duration::from_millis(100))).await;
                }
            }
        }
    }

    /// The background's share of all slots.
    fn background_share(&self) -> f64 {
        as_float(self.run().background) / self.slots()
    }
}

fn as_float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

async fn rush(crowd: Crowd, line: Handle, true_time: VirtualClock, mut chance: Chance, seen: Rc<RefCell<Seen>>) {
    let mut recent: HashMap<u64, VecDeque<Duration>> = HashMap::new();
    let mean = 1_000_000.0 / crowd.attempts;
    loop {
        // Between 0 and twice the mean, in microseconds.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number of microseconds"
        )]
        let pause = chance.below((2.0 * mean) as u64 + 1);
        true_time.sleep(Duration::from_micros(pause)).await;
        let now = true_time.now();
        if let Some(cap) = crowd.cap {
            let recent = recent.entry(chance.below(crowd.networks as u64)).or_default();
            while recent.front().is_some_and(|first| now - *first >= Duration::from_secs(60)) {
                recent.pop_front();
            }
            if recent.len() >= cap {
                continue;
            }
            recent.push_back(now);
        }
        let ask = SlotRequest {
            lane: Lane::Interactive,
            now: NOON + now,
            latest: NOON + now + crowd.patience - CALL_TIME,
            takes_next: false,
        };
        if let SlotDecision::Granted { slot, .. } = line.book(ask).await.unwrap() {
            let mut seen = seen.borrow_mut();
            seen.arrivals.push(Duration::try_from(slot - NOON).unwrap());
            seen.crowd += 1;
        }
    }
}

/// One sign-in of a real person: a single call, as with cached credentials.
async fn sign_in(delay: Duration, line: Handle, true_time: VirtualClock, seen: Rc<RefCell<Seen>>) {
    true_time.sleep(delay).await;
    let clock = WorkerClock { true_time: true_time.clone(), error: time::Duration::ZERO };
    let asked = true_time.now();
    let admitted =
        Allowance::with_clock(line, clock).admit(planned(Lane::Interactive, true_time.instant() + SIGN_IN)).await;
    let mut seen = seen.borrow_mut();
    seen.people += 1;
    if admitted.is_ok() {
        seen.people_admitted += 1;
        seen.arrivals.push(true_time.now());
        seen.longest_wait = seen.longest_wait.max(true_time.now() - asked);
    }
}

#[test]
fn the_background_gets_its_guaranteed_share_in_any_crowd_of_the_interactive_lane() {
    let mut flaws = Vec::new();
    for calls in [10, 20, 25] {
        for patience in [SIGN_IN, LINK_PRESS] {
            for attempts in [20.0, 60.0, 400.0] {
                // Two workers as in template.yaml, and more.
                for workers in [2, 15] {
                    let scene = Scene::new(calls, Crowd::new(attempts, patience), workers);
                    let share = scene.background_share();
                    println!(
                        "{calls} calls in 5 s, {attempts} attempts/s with {patience:?}, {workers} workers: {:.1} %",
                        share * 100.0
                    );
                    // The background gets its guarantee and no more: the rest is for people.
                    if !(0.4 - TOLERANCE..=0.4 + TOLERANCE).contains(&share) {
                        flaws.push((calls, patience, attempts, workers, share));
                    }
                }
            }
        }
    }
    assert!(flaws.is_empty(), "{flaws:?}");
}

#[test]
fn the_share_holds_for_half_of_the_smallest_plan_for_slow_calls_and_for_a_single_worker() {
    for patience in [SIGN_IN, LINK_PRESS] {
        let crowd = Crowd::new(60.0, patience);
        for (calls, workers, call) in [(5, 2, 300), (10, 2, 1_500), (20, 2, 1_000), (10, 1, 300), (20, 1, 300)] {
            let share = Scene { call, ..Scene::new(calls, crowd, workers) }.background_share();
            assert!(share >= 0.4 - TOLERANCE, "{calls} calls, {patience:?}, {workers} workers, {call} ms: {share}");
        }
    }
}

#[test]
fn two_crowds_at_once_do_not_reduce_the_share_of_the_background() {
    for seed in 0..5 {
        for calls in [10, 20] {
            let mut scene = Scene::new(calls, Crowd::new(200.0, SIGN_IN), 2);
            scene.crowds.push(Crowd::new(200.0, LINK_PRESS));
            scene.seed = seed;
            let share = scene.background_share();
            assert!(share >= 0.4 - TOLERANCE, "{calls} calls, seed {seed}: {share}");
        }
    }
}

#[test]
fn slots_that_the_background_does_not_use_go_to_people() {
    for calls in [10, 20] {
        for attempts in [20.0, 400.0] {
            // A worker that calls every ten seconds, and one that called once.
            for rest in [1_000, 3_000, 10_000, 1_000_000] {
                let scene = Scene { rest, ..Scene::new(calls, Crowd::new(attempts, SIGN_IN), 1) };
                let seen = scene.run();
                let used = as_float(seen.crowd + seen.background) / scene.slots();
                println!(
                    "{calls} calls, {attempts} attempts/s, a call every {rest} ms: {:.1} % of the slots used",
                    used * 100.0
                );
                assert!(used >= 0.95, "{calls} calls, {attempts} attempts/s, a call every {rest} ms: {used}");
            }
        }
    }
}

#[test]
fn the_background_gets_its_share_under_every_load_from_light_to_just_above_capacity() {
    for calls in [10, 20] {
        let slots = Scene::new(calls, Crowd::new(1.0, SIGN_IN), 2).slots() / 300.0;
        for load in [0.3, 0.5, 0.7, 0.9, 1.1] {
            let scene = Scene::new(calls, Crowd::new(slots * load, SIGN_IN), 2);
            let seen = scene.run();
            let (background, crowd) = (as_float(seen.background), as_float(seen.crowd));
            println!(
                "{calls} calls, people want {load} of the slots: {:.1} % for them, {:.1} % in the background",
                crowd / scene.slots() * 100.0,
                background / scene.slots() * 100.0
            );
            assert!(background / scene.slots() >= 0.4 - TOLERANCE, "{calls} calls, load {load}: {background}");
            assert!((background + crowd) / scene.slots() >= 0.9, "{calls} calls, load {load}: {background} + {crowd}");
        }
    }
}

#[test]
fn a_person_who_arrives_alone_waits_no_longer_than_documented() {
    for calls in [10, 20, 25] {
        for workers in [2, 50] {
            let quiet = Crowd::new(0.000_1, SIGN_IN);
            let mut scene = Scene { sign_ins: Some(Duration::from_secs(10)), ..Scene::new(calls, quiet, workers) };
            scene.call = 50;
            let seen = scene.run();
            assert_eq!(seen.people_admitted, seen.people);
            let longest = Duration::from_millis(50) + scene.rules().interval() * 2;
            assert!(seen.longest_wait <= longest, "{calls} calls, {workers} workers: {:?}", seen.longest_wait);
        }
    }
}

#[test]
fn a_cap_per_network_makes_room_for_real_sign_ins_among_twenty_flooding_networks() {
    let share = |cap, calls| {
        let crowd = Crowd { cap, ..Crowd::new(400.0, SIGN_IN) };
        let scene = Scene { sign_ins: Some(Duration::from_secs(5)), ..Scene::new(calls, crowd, 2) };
        let seen = scene.run();
        let (admitted, background) = (as_float(seen.people_admitted), as_float(seen.background));
        println!(
            "{calls} calls, twenty addresses at 20/s each, cap {cap:?}: {admitted} of {} sign-ins, background {:.1} %",
            seen.people,
            background / scene.slots() * 100.0
        );
        admitted / as_float(seen.people)
    };
    // Six attempts a minute from each of twenty networks make two attempts a second.
    assert!(share(Some(6), 10) > share(None, 10));
    assert!(share(Some(6), 20) > 0.8);
    share(None, 20);
}

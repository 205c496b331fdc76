//! Virtual time and seeded chance, which decide the order in which the tasks run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use call_allowance::Clock;
use leadsquared::BoxFuture;
use time::OffsetDateTime;

use super::plan::START;

/// Random numbers from a seed (SplitMix64).
#[derive(Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, but not including, the end.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from((most - least).as_millis()).unwrap();
        least + Duration::from_millis(self.below(span + 1))
    }

    /// A random duration up to one of these, which is chosen at random.
    pub(super) fn up_to(&mut self, longest: &[Duration]) -> Duration {
        let longest = self.one_of(longest);
        self.between(Duration::ZERO, longest)
    }

    pub(super) fn in_a_thousand(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

pub(super) type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The virtual clock of a run, with the tasks that wait for a time.
#[derive(Clone)]
pub(super) struct Timeline {
    began: Instant,
    state: Arc<Mutex<State>>,
}

struct State {
    now: Duration,
    /// The time of each turn and its task. The random number between them shuffles turns of the same time.
    turns: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    shuffle: Chance,
    current: usize,
}

impl Timeline {
    pub(super) fn new(shuffle: Chance) -> Self {
        let state = State { now: Duration::ZERO, turns: BinaryHeap::new(), shuffle, current: 0 };
        Self { began: Instant::now(), state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn now(&self) -> Duration {
        self.state().now
    }

    /// A time of the run as an `Instant`, which deadlines use.
    pub(super) fn instant_at(&self, time: Duration) -> Instant {
        self.began + time
    }

    pub(super) fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let this = self.clone();
        let mut end = None;
        poll_fn(move |_| {
            let mut state = this.state();
            let end = *end.get_or_insert_with(|| {
                let (end, order, task) = (state.now + duration, state.shuffle.number(), state.current);
                state.turns.push(Reverse((end, order, task)));
                end
            });
            if state.now >= end { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    /// The running task.
    pub(super) fn current(&self) -> usize {
        self.state().current
    }

    /// Schedules a task for now.
    pub(super) fn wake(&self, task: usize) {
        let mut state = self.state();
        let (now, order) = (state.now, state.shuffle.number());
        state.turns.push(Reverse((now, order, task)));
    }

    /// Runs the tasks, and the tasks that they start, until none waits for a time. Returns the number of turns, or none
    /// if it is more than `most`.
    pub(super) fn run(&self, started: impl Fn() -> Vec<Task>, most: u64) -> Option<u64> {
        let mut tasks: Vec<Option<Task>> = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        for turn in 0..most {
            for task in started() {
                self.state().current = tasks.len();
                tasks.push(Some(task));
                poll(tasks.last_mut().unwrap(), &mut context);
            }
            let task = {
                let mut state = self.state();
                let Some(Reverse((time, _, task))) = state.turns.pop() else { return Some(turn) };
                state.now = state.now.max(time);
                state.current = task;
                task
            };
            poll(&mut tasks[task], &mut context);
        }
        None
    }
}

fn poll(task: &mut Option<Task>, context: &mut Context<'_>) {
    if task.as_mut().is_some_and(|task| task.as_mut().poll(context).is_ready()) {
        *task = None;
    }
}

impl Clock for Timeline {
    fn instant(&self) -> Instant {
        self.instant_at(self.now())
    }

    fn time(&self) -> OffsetDateTime {
        START + self.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(Timeline::sleep(self, duration))
    }
}

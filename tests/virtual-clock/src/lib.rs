#![doc = include_str!("../README.md")]

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Random numbers that a seed decides (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number of the sequence.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below `end`; 0 for an `end` of 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// A length of time from `least` to `most`, both included, in whole milliseconds above `least`.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from((most - least).as_millis()).unwrap_or(u64::MAX - 1);
        least + Duration::from_millis(self.below(span + 1))
    }

    /// A length of time up to one of these, which is chosen first.
    pub fn up_to(&mut self, longest: &[Duration]) -> Duration {
        let longest = self.one_of(longest);
        self.between(Duration::ZERO, longest)
    }

    /// True `times` times in a thousand.
    pub fn in_a_thousand(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    /// One of these, each as likely as the others.
    ///
    /// # Panics
    /// When there are none.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = self.below(choices.len() as u64);
        choices[usize::try_from(index).expect("an index is below a length")]
    }
}

/// One of the tasks that share a clock.
pub type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The time of one run; clones share it.
#[derive(Clone)]
pub struct VirtualClock {
    start: Instant,
    state: Arc<Mutex<State>>,
}

struct State {
    now: Duration,
    /// Which task has its turn at which time. The number in the middle orders the turns of the same time.
    turns: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    order: Chance,
    current: usize,
}

impl VirtualClock {
    /// A clock at the start of a run. `order` decides the order of tasks that wake at the same time.
    pub fn new(order: Chance) -> Self {
        let state = State { now: Duration::ZERO, turns: BinaryHeap::new(), order, current: 0 };
        Self { start: Instant::now(), state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time since the start of the run.
    pub fn now(&self) -> Duration {
        self.state().now
    }

    /// The current time as an `Instant`, for deadlines.
    pub fn instant(&self) -> Instant {
        self.instant_at(self.now())
    }

    /// The time `since_start` as an `Instant`, for deadlines.
    pub fn instant_at(&self, since_start: Duration) -> Instant {
        self.start + since_start
    }

    /// Moves the time forward, for a test that has no tasks to run and decides itself how time passes.
    pub fn advance(&self, by: Duration) {
        self.state().now += by;
    }

    /// Waits for `duration`, counted from the first poll. Must be awaited in a task of [`run`](Self::run) or
    /// [`run_until`](Self::run_until).
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let clock = self.clone();
        let mut end = None;
        poll_fn(move |_| {
            let mut state = clock.state();
            let end = *end.get_or_insert_with(|| {
                let (end, task) = (state.now + duration, state.current);
                state.add_turn(end, task);
                end
            });
            if state.now >= end { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    /// The number of the task that has its turn.
    pub fn current(&self) -> usize {
        self.state().current
    }

    /// Gives a task a turn at the current time, for a task that waits for something other than time.
    pub fn wake(&self, task: usize) {
        let mut state = self.state();
        let now = state.now;
        state.add_turn(now, task);
    }

    /// Runs tasks until none of them waits for a time. Before each turn, `started` is asked for tasks to add.
    ///
    /// Returns the number of turns, or `None` when the tasks still have work after `most` turns.
    pub fn run(&self, started: impl FnMut() -> Vec<Task>, most: u64) -> Option<u64> {
        self.drive(started, |turns, _| turns < most)
    }

    /// Runs these tasks until none of them waits for a time before `end`.
    pub fn run_until(&self, tasks: Vec<Task>, end: Duration) {
        let mut tasks = Some(tasks);
        self.drive(|| tasks.take().unwrap_or_default(), |_, time| time <= end);
    }

    /// Gives turns for as long as `goes_on` says so of the number of turns so far and the time of the next one.
    fn drive(&self, mut started: impl FnMut() -> Vec<Task>, goes_on: impl Fn(u64, Duration) -> bool) -> Option<u64> {
        let mut tasks: Vec<Option<Task>> = Vec::new();
        for turns in 0.. {
            for task in started() {
                self.state().current = tasks.len();
                tasks.push(Some(task));
                poll(tasks.last_mut()?);
            }
            let task = {
                let mut state = self.state();
                let Some(Reverse((time, _, task))) = state.turns.pop() else { return Some(turns) };
                if !goes_on(turns, time) {
                    return None;
                }
                state.now = state.now.max(time);
                state.current = task;
                task
            };
            poll(&mut tasks[task]);
        }
        None
    }
}

impl State {
    fn add_turn(&mut self, time: Duration, task: usize) {
        let order = self.order.number();
        self.turns.push(Reverse((time, order, task)));
    }
}

fn poll(task: &mut Option<Task>) {
    let mut context = Context::from_waker(Waker::noop());
    if task.as_mut().is_some_and(|task| task.as_mut().poll(&mut context).is_ready()) {
        *task = None;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    /// Two tasks that wake at the same times, and the order in which they did: time in seconds, and task.
    fn steps(seed: u64) -> Vec<(u64, usize)> {
        let clock = VirtualClock::new(Chance::new(seed));
        let steps = Rc::new(RefCell::new(Vec::new()));
        let task = |number: usize| -> Task {
            let (clock, steps) = (clock.clone(), Rc::clone(&steps));
            Box::pin(async move {
                loop {
                    clock.sleep(Duration::from_secs(60)).await;
                    steps.borrow_mut().push((clock.now().as_secs(), number));
                }
            })
        };
        clock.run_until(vec![task(0), task(1)], Duration::from_secs(600));
        steps.take()
    }

    #[test]
    fn time_jumps_to_the_next_wake_up_and_stops_at_the_end_of_the_run() {
        let steps = steps(1);
        let times: Vec<_> = steps.iter().map(|(time, _)| *time).collect();
        assert_eq!(times, (1..=10).flat_map(|minute| [minute * 60; 2]).collect::<Vec<_>>());
    }

    #[test]
    fn the_seed_alone_decides_the_order_of_tasks_that_wake_together() {
        assert_eq!(steps(7), steps(7));
        assert!((0..20).any(|seed| steps(seed) != steps(7)));
    }

    #[test]
    fn a_run_ends_when_no_task_waits_and_reports_one_that_goes_on_too_long() {
        let clock = VirtualClock::new(Chance::new(1));
        let sleeps = |times: u32| {
            let clock = clock.clone();
            let task: Task = Box::pin(async move {
                for _ in 0..times {
                    clock.sleep(Duration::from_secs(1)).await;
                }
            });
            RefCell::new(vec![task])
        };
        let three = sleeps(3);
        assert_eq!((clock.run(|| three.take(), 10), clock.now()), (Some(3), Duration::from_secs(3)));
        let many = sleeps(100);
        assert_eq!(clock.run(|| many.take(), 10), None);
    }
}

//! Time that passes only when everybody waits: a run of minutes takes milliseconds and is the same each time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use call_allowance::Clock;
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use leadsquared::BoxFuture;
use time::OffsetDateTime;

use crate::suite::NOON;

/// The true time of a run.
#[derive(Clone)]
pub(crate) struct Timeline {
    began: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    now: Duration,
    sleepers: BinaryHeap<Reverse<(Duration, u64)>>,
    wakers: Vec<Option<Waker>>,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), state: Arc::default() }
    }

    /// Since the start.
    pub(crate) fn now(&self) -> Duration {
        self.state.lock().unwrap().now
    }

    /// When that was, as deadlines have it.
    pub(crate) fn instant(&self) -> Instant {
        self.began + self.now()
    }

    pub(crate) fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let state = self.state.clone();
        let end = state.lock().unwrap().now + duration;
        let mut asleep = false;
        poll_fn(move |context| {
            let mut state = state.lock().unwrap();
            if state.now >= end {
                return Poll::Ready(());
            }
            // Nobody moves a sleep to another task here, so the first waker stays the right one.
            if !std::mem::replace(&mut asleep, true) {
                let number = state.wakers.len();
                state.wakers.push(Some(context.waker().clone()));
                state.sleepers.push(Reverse((end, number as u64)));
            }
            Poll::Pending
        })
    }

    /// Runs the tasks until none of them waits for a time before `end`.
    pub(crate) fn run(&self, tasks: Vec<Pin<Box<dyn Future<Output = ()>>>>, end: Duration) {
        let mut pool = LocalPool::new();
        for task in tasks {
            pool.spawner().spawn_local(task).unwrap();
        }
        loop {
            pool.run_until_stalled();
            let mut state = self.state.lock().unwrap();
            let Some(Reverse((time, number))) = state.sleepers.pop() else { return };
            if time > end {
                return;
            }
            state.now = state.now.max(time);
            let waker = state.wakers[usize::try_from(number).unwrap()].take();
            drop(state);
            waker.expect("each sleeper is woken once").wake();
        }
    }
}

/// A worker's own clock, which may be wrong.
#[derive(Clone)]
pub(crate) struct WorkerClock {
    pub(crate) timeline: Timeline,
    pub(crate) error: time::Duration,
}

impl Clock for WorkerClock {
    fn instant(&self) -> Instant {
        self.timeline.instant()
    }

    fn time(&self) -> OffsetDateTime {
        NOON + self.timeline.now() + self.error
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.timeline.sleep(duration))
    }
}

//! The world of a run: LeadSquared, DynamoDB and the queue in memory, on a virtual clock, and what they counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use call_allowance::{
    AllowanceRules, Clock, ScheduleError, ScheduleState, ScheduleStore, SlotBooking, StoredSchedule, Written,
};
use leadsquared::{BoxFuture, LeadId};
use onboarding::{InvitationId, Record};
use time::macros::datetime;
use time::{Date, OffsetDateTime};
use uuid::Uuid;
use virtual_clock::{Chance, VirtualClock};

use super::aws::{Heat, Request, SharedItem, Usage};
use super::queue::Queue;

/// The start of a run: ten o'clock in India.
pub(super) const START: OffsetDateTime = datetime!(2026-01-02 04:30 UTC);

/// The times that the simulated services take. Each is drawn evenly between the two.
pub(super) mod time_of {
    use std::time::Duration;

    pub(crate) type Span = (Duration, Duration);

    const fn milliseconds(least: u64, most: u64) -> Span {
        (Duration::from_millis(least), Duration::from_millis(most))
    }

    /// A request to DynamoDB, and one with a transaction.
    pub(crate) const REQUEST: Span = milliseconds(3, 9);
    pub(crate) const TRANSACTION: Span = milliseconds(8, 20);
    /// From the start of a call to its arrival at LeadSquared.
    pub(crate) const TRANSIT: Span = milliseconds(5, 100);
    /// From the arrival of a call to the answer.
    pub(crate) const ANSWER: Span = milliseconds(100, 400);
    /// From a message that can be received to the start of its invocation.
    pub(crate) const POLLING: Span = milliseconds(10, 40);
    /// An invocation of application-form.
    pub(crate) const INTAKE: Span = milliseconds(20, 50);
    /// A request through API Gateway to a function, and the answer back.
    pub(crate) const GATEWAY: Span = milliseconds(10, 40);
}

/// All that the processes share.
pub(super) struct World {
    pub(super) clock: VirtualClock,
    pub(super) rules: AllowanceRules,
    state: Mutex<State>,
}

/// What LeadSquared, DynamoDB and the queue hold, and what they counted.
pub(super) struct State {
    pub(super) chance: Chance,
    pub(super) queue: Queue,
    pub(super) usage: Usage,
    pub(super) heat: Heat,
    /// When calls arrived at LeadSquared.
    pub(super) arrivals: Vec<Duration>,
    /// When mails were sent.
    pub(super) mails: Vec<Duration>,
    /// Invitations that an attempt was made at and that have not ended.
    pub(super) records: HashMap<InvitationId, Record>,
    /// The mails that were begun, by day.
    pub(super) begun: HashMap<Date, u32>,
    schedule: Option<StoredSchedule>,
    leads: u128,
}

impl World {
    pub(super) fn new(rules: AllowanceRules, seed: u64) -> Arc<Self> {
        let mut chance = Chance::new(seed);
        Arc::new(Self {
            clock: VirtualClock::new(Chance::new(chance.number())),
            rules,
            state: Mutex::new(State {
                chance,
                queue: Queue::default(),
                usage: Usage::default(),
                heat: Heat::default(),
                arrivals: Vec::new(),
                mails: Vec::new(),
                records: HashMap::new(),
                begun: HashMap::new(),
                schedule: None,
                leads: 0,
            }),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn time(&self) -> OffsetDateTime {
        START + self.clock.now()
    }

    /// Draws a time from this span.
    pub(super) fn draw(&self, (least, most): time_of::Span) -> Duration {
        self.state().chance.between(least, most)
    }

    /// Waits for a time from this span.
    pub(super) async fn pass(&self, span: time_of::Span) {
        let time = self.draw(span);
        self.clock.sleep(time).await;
    }

    /// A request to DynamoDB. It is carried out half-way between its start and its answer.
    pub(super) async fn request<T>(
        &self,
        request: Request,
        shared: &[SharedItem],
        work: impl FnOnce(&mut State) -> T + Send,
    ) -> T {
        let span = if matches!(request, Request::Transaction(_)) { time_of::TRANSACTION } else { time_of::REQUEST };
        let half = self.draw(span) / 2;
        self.clock.sleep(half).await;
        let answer = {
            let mut state = self.state();
            state.usage.count(request);
            for item in shared {
                state.heat.add(*item, self.clock.now(), request.units_of_each());
            }
            work(&mut state)
        };
        self.clock.sleep(half).await;
        answer
    }

    /// A call to LeadSquared, once it is admitted.
    pub(super) async fn call(&self) {
        self.pass(time_of::TRANSIT).await;
        self.state().arrivals.push(self.clock.now());
        self.pass(time_of::ANSWER).await;
    }
}

impl State {
    /// A lead that LeadSquared has made.
    pub(super) fn new_lead(&mut self) -> LeadId {
        self.leads += 1;
        Uuid::from_u128(self.leads).to_string().parse().expect("LeadSquared's ids are UUIDs")
    }
}

/// The time of the run as the clock of the call allowance.
pub(super) struct TimeOfRun(pub(super) Arc<World>);

impl Clock for TimeOfRun {
    fn instant(&self) -> Instant {
        self.0.clock.instant()
    }

    fn time(&self) -> OffsetDateTime {
        self.0.time()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.0.clock.sleep(duration))
    }
}

/// The item of the call allowance, with the conditions of the `ledger` crate.
pub(super) struct AllowanceItem(pub(super) Arc<World>);

const ITEM: &[SharedItem] = &[SharedItem::Allowance];

impl ScheduleStore for AllowanceItem {
    async fn read(&self) -> Result<Option<StoredSchedule>, ScheduleError> {
        Ok(self.0.request(Request::ReadAtEase, &[], |state| state.schedule.clone()).await)
    }

    async fn replace(&self, revision: Option<i128>, state: &ScheduleState) -> Result<Written, ScheduleError> {
        let new = StoredSchedule { revision: revision.unwrap_or_default() + 1, state: state.clone() };
        let replace = |state: &mut State| {
            if state.schedule.as_ref().map(|stored| stored.revision) != revision {
                return Written::Outdated(state.schedule.clone());
            }
            state.schedule = Some(new.clone());
            Written::Done(new)
        };
        Ok(self.0.request(Request::Write, ITEM, replace).await)
    }

    async fn add(
        &self,
        seen: &ScheduleState,
        booking: &SlotBooking,
        now: OffsetDateTime,
        daily: u32,
    ) -> Result<Written, ScheduleError> {
        let add = |state: &mut State| {
            let Some(stored) = &mut state.schedule else { return Written::Outdated(None) };
            let current = &mut stored.state;
            let changes_turn = booking.after.turn != seen.turn;
            let is_as_seen = (current.day, current.slower, current.slower_until, &current.reserve)
                == (seen.day, seen.slower, seen.slower_until, &seen.reserve)
                && (!changes_turn || current.turn == seen.turn);
            if !is_as_seen || !(now..=booking.last).contains(&current.head) || current.used >= daily {
                return Written::Outdated(Some(stored.clone()));
            }
            current.head += booking.interval;
            current.used += 1;
            if changes_turn {
                current.turn = booking.after.turn;
            }
            stored.revision += 1;
            Written::Done(stored.clone())
        };
        Ok(self.0.request(Request::Write, ITEM, add).await)
    }
}

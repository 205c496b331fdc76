//! A process that takes batches off the queue and hands each message to the worker. A fate is drawn for each of its
//! requests.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use call_allowance::until_next_day;
use leadsquared::{Admission, Error, Lane, Password, PlannedCall, Throttled, TurnedAway};
use onboarding::retry::{AttemptFailure, Horizons};
use onboarding::worker::{
    DeadLetterReason, Delivery, Disposition, RECORD_TIME, REDUCED, SealedPasswordError, ServiceFailure, Services,
    Worker, WorkerEvent, handle_in_order,
};
use onboarding::{FlowEvent, Invitation, InvitationId, Mail, SealedPassword};
use time::OffsetDateTime;

use super::plan::START;
use super::queue::Message;
use super::run::System;
use super::timeline::Chance;
use super::{Flaw, seconds};
use crate::world::{LeadSquared, LedgerUnavailable, Memory, Outside, Via};

/// The worker's time-out in the template.
const TIMEOUT: Duration = seconds(60);

/// How long a process waits for a call of LeadSquared, and for a request to AWS.
const CALL_TIME: Duration = seconds(8);
const REQUEST_TIME: Duration = seconds(3);

/// How long a request can still be under way after its caller has given up.
pub(super) const LATEST: Duration = seconds(60);

/// One invocation of a process.
struct Process {
    system: Rc<System>,
    /// The version of the keys that the process has cached. It outlives the invocation.
    keys: Rc<Cell<u32>>,
    deadline: Duration,
    /// The invitation that is worked on, and when the attempt began.
    attempt: Cell<Option<(InvitationId, Duration)>>,
    is_dead: Cell<bool>,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives,
    /// The request certainly is not sent.
    NotSent,
    /// The request is carried out, and the answer is lost.
    AnswerLost,
    /// The request is not carried out, and the answer does not show that.
    Broken,
    /// The request is carried out after its caller has given up.
    Late,
    /// The process crashes before the request, right after it, or with the answer in.
    DieBefore,
    DieOnTheWay,
    DieAfter,
}

const ODD: [Fate; 7] =
    [Fate::NotSent, Fate::AnswerLost, Fate::Broken, Fate::Late, Fate::DieBefore, Fate::DieOnTheWay, Fate::DieAfter];

/// Handles batches until the queue is empty and no message will come.
pub(super) async fn work(system: Rc<System>) {
    let mut keys = Rc::new(Cell::new(system.secret.get()));
    loop {
        let batch = system.receive();
        if batch.is_empty() {
            let Some(wait) = system.next_delivery() else { return };
            system.timeline.sleep(wait).await;
            continue;
        }
        let deadline = system.timeline.now() + TIMEOUT;
        let process = Process {
            system: system.clone(),
            keys: keys.clone(),
            deadline,
            attempt: Cell::default(),
            is_dead: Cell::new(false),
        };
        match process.until_it_dies(process.handle(&batch)).await {
            // Lambda deletes the finished messages when it gets the function's answer. Sometimes it does not get it.
            Some(done) if !system.dice().in_a_thousand(system.plan.faults / 10) => {
                done.iter().for_each(|message| system.queue.borrow_mut().delete(message));
            }
            Some(_) => {}
            None => {
                keys = Rc::new(Cell::new(system.secret.get()));
                let restart = system.dice().up_to(&[seconds(10)]);
                system.timeline.sleep(restart).await;
            }
        }
    }
}

impl Process {
    /// The result of the work; none if it exceeds the invocation's time-out or the process crashes.
    async fn until_it_dies<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut end = pin!(self.system.timeline.sleep(TIMEOUT));
        poll_fn(|context| {
            if let Poll::Ready(end) = work.as_mut().poll(context) {
                return Poll::Ready(Some(end));
            }
            if self.is_dead.get() {
                self.system.saw("died");
                return Poll::Ready(None);
            }
            end.as_mut().poll(context).map(|()| {
                self.system.saw("out of time");
                None
            })
        })
        .await
    }

    /// Handles a batch and returns the finished messages.
    async fn handle<'a>(&self, batch: &'a [Message]) -> Vec<&'a Message> {
        let handle = async |message| match self.deliver(message).await {
            Disposition::RetryAfter(_) if self.system.flaw == Some(Flaw::FailuresAreDeleted) => Disposition::Done,
            disposition => disposition,
        };
        let (mut done, mut retried) = (Vec::new(), Vec::new());
        for (message, disposition) in handle_in_order(batch, |message| Some(&message.group), handle).await {
            match disposition {
                Disposition::Done => done.push(message),
                Disposition::RetryAfter(wait) => retried.push((message.clone(), wait)),
            }
        }
        for (message, wait) in retried {
            // If this request fails, the messages are retried only after the full visibility time-out.
            let change_visibility = move |system: &System| {
                system.queue.borrow_mut().change_visibility(&message, system.timeline.now(), wait);
                Ok(())
            };
            let _ = self.aws("change visibility", change_visibility, || ()).await;
        }
        done
    }

    async fn deliver(&self, message: &Message) -> Disposition {
        let system = &self.system;
        system.log_request(&format!("invitation {}", message.invitation.id), Fate::Arrives);
        if message.before.is_some() {
            system.made_way.borrow_mut().insert(message.invitation.id);
        }
        let services = OneDelivery { process: self, via: Via(self), message };
        let worker = Worker {
            services: &services,
            link: if system.plan.on_click { &system.on_click } else { &system.direct },
            mail_limits: system.plan.mail_limits,
            marking: &system.marking,
            lookups: &system.lookups,
            horizons: Horizons {
                retry: system.plan.horizon.try_into().unwrap(),
                operator: system.plan.operator_horizon.try_into().unwrap(),
            },
        };
        let delivery = Delivery {
            message: message.id,
            body: &message.body,
            receive_count: message.deliveries(),
            age: Some(system.timeline.now() - message.waiting_since()),
            has_own_group: message.before.is_some(),
        };
        worker.handle(&delivery, START + self.deadline).await
    }

    fn fate(&self) -> Fate {
        let mut dice = self.system.dice();
        if dice.in_a_thousand(self.system.plan.faults) { dice.one_of(&ODD) } else { Fate::Arrives }
    }

    async fn die<T>(&self) -> T {
        self.is_dead.set(true);
        pending().await
    }

    /// A request to AWS. `unavailable` is the error for a request that was not carried out, or whose result is unknown.
    async fn aws<T: 'static, E: 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&System) -> Result<T, E> + 'static,
        unavailable: impl FnOnce() -> E,
    ) -> Result<T, E> {
        let system = &self.system;
        let fate = self.fate();
        system.log_request(name, fate);
        let (there, back, late) = {
            let mut dice = system.dice();
            let milliseconds = |dice: &mut Chance| dice.between(Duration::from_millis(1), Duration::from_millis(15));
            (
                milliseconds(&mut dice),
                milliseconds(&mut dice),
                REQUEST_TIME + dice.up_to(&[seconds(1), LATEST - REQUEST_TIME]),
            )
        };
        let after = |there: Duration| {
            let system = system.clone();
            async move {
                system.timeline.sleep(there).await;
                work(&system)
            }
        };
        match fate {
            Fate::Arrives => {
                let answer = self.background(after(there), REQUEST_TIME).await;
                system.timeline.sleep(back).await;
                answer.unwrap_or_else(|| Err(unavailable()))
            }
            Fate::NotSent | Fate::Broken => {
                system.timeline.sleep(there).await;
                Err(unavailable())
            }
            Fate::AnswerLost => {
                self.background(after(there), REQUEST_TIME).await;
                Err(unavailable())
            }
            Fate::Late => {
                system.saw("late");
                self.background(after(late), REQUEST_TIME).await;
                Err(unavailable())
            }
            Fate::DieBefore => self.die().await,
            Fate::DieOnTheWay => {
                let request = after(late);
                system.start(async move { drop(request.await) });
                self.die().await
            }
            Fate::DieAfter => {
                self.background(after(there), REQUEST_TIME).await;
                self.die().await
            }
        }
    }

    /// A call that arrives at LeadSquared. LeadSquared refuses it, or carries it out `processing` later.
    async fn arrive<T: 'static>(
        system: Rc<System>,
        keys: u32,
        there: Duration,
        processing: Duration,
        looked_up: Option<InvitationId>,
        work: impl FnOnce(&mut LeadSquared) -> Result<T, Error> + 'static,
    ) -> Result<T, Error> {
        system.timeline.sleep(there).await;
        system.count_call(looked_up);
        if system.is_throttling() {
            return Err(Error::RateLimited { limit: None });
        }
        if keys != system.keys.get() {
            return Err(Error::BadKeys);
        }
        let breaks = system.is_broken();
        if breaks && system.dice().in_a_thousand(700) {
            return Err(Error::ServerFault { status: 503 });
        }
        system.timeline.sleep(processing).await;
        let answer = system.leadsquared(work);
        if breaks { Err(Error::ServerFault { status: 502 }) } else { answer }
    }
}

/// One delivery, with the services that the worker needs.
struct OneDelivery<'a> {
    process: &'a Process,
    via: Via<'a, Process>,
    message: &'a Message,
}

impl OneDelivery<'_> {
    /// As the function does before it sends a copy: a message that is not deleted comes again while the queue still
    /// drops a second copy.
    async fn shorten_redelivery(&self) {
        let message = self.message.clone();
        let change_visibility = move |system: &System| {
            system.queue.borrow_mut().change_visibility(&message, system.timeline.now(), seconds(120));
            Ok(())
        };
        let _ = self.process.aws("change visibility", change_visibility, || ()).await;
    }
}

impl<'a> Services for OneDelivery<'a> {
    /// The version of the keys.
    type Access = u32;
    type Crm = Via<'a, Process>;
    type Ledger = Via<'a, Process>;

    async fn access(&self) -> Result<u32, ServiceFailure> {
        Ok(self.process.keys.get())
    }

    async fn access_after_refusal(&self, refused: &u32) -> Result<Option<u32>, ServiceFailure> {
        let current = self.process.system.secret.get();
        self.process.keys.set(current);
        Ok((current != *refused).then_some(current))
    }

    fn crm(&self, _: &u32, _: Duration) -> Self::Crm {
        self.process.attempt.set(Some((self.message.invitation.id, self.process.system.timeline.now())));
        Via(self.process)
    }

    fn mail<'b>(&'b self, crm: &'b Self::Crm) -> impl Mail + 'b {
        Via(crm.0)
    }

    fn ledger(&self) -> &Self::Ledger {
        &self.via
    }

    fn is_ledger_broken(&self, _: &LedgerUnavailable) -> bool {
        false
    }

    fn until_next_day(&self, turned_away: &TurnedAway) -> Option<Duration> {
        until_next_day(turned_away)
    }

    async fn open_password(&self, _: InvitationId, sealed: &SealedPassword) -> Result<Password, SealedPasswordError> {
        let password = Password::from(sealed.expose().to_owned());
        let unavailable = || SealedPasswordError::Unavailable(ServiceFailure::new("KMS did not answer", true));
        self.process.aws("open the password", |_| Ok(password), unavailable).await
    }

    async fn dead_letter(&self, reason: &DeadLetterReason) -> Result<(), ServiceFailure> {
        if reason.class == REDUCED {
            self.process.system.saw("reduced");
            self.process.system.was_reduced(&self.message.invitation);
            if self.process.system.flaw == Some(Flaw::WithheldIsForgotten) {
                return Ok(());
            }
        }
        let (id, invitation) = (self.message.id, self.message.invitation.clone());
        let keep = move |system: &System| {
            system.dead_letters.borrow_mut().insert(id, invitation);
            Ok(())
        };
        self.process.aws("dead letter", keep, || ServiceFailure::new("SQS did not answer", true)).await
    }

    async fn requeue(&self, question: &Invitation) -> Result<(), ServiceFailure> {
        let (id, question) = (self.message.id.to_string(), question.clone());
        let send_again = move |system: &System| {
            system.queue.borrow_mut().send_as(id, &question, system.timeline.now());
            Ok(())
        };
        self.shorten_redelivery().await;
        self.process.aws("requeue", send_again, || ServiceFailure::new("SQS did not answer", true)).await
    }

    async fn make_way(&self, _: &Invitation) -> Result<(), ServiceFailure> {
        let message = self.message.clone();
        let send_again = move |system: &System| {
            system.queue.borrow_mut().make_way(&message, system.timeline.now());
            Ok(())
        };
        self.shorten_redelivery().await;
        self.process.aws("make way", send_again, || ServiceFailure::new("SQS did not answer", true)).await
    }

    fn now(&self) -> OffsetDateTime {
        START + self.process.system.timeline.now()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        let mut dice = self.process.system.dice();
        bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&dice.number().to_be_bytes()[..part.len()]));
    }

    fn report(&self, report: &WorkerEvent<'_>) {
        let system = &self.process.system;
        match report {
            WorkerEvent::Failed { failure, retry_in, .. } => {
                system.saw(failure.name());
                // It ends without a step in the ledger.
                if let (AttemptFailure::NoTime, None) = (failure, retry_in) {
                    system.unrecorded.borrow_mut().insert(self.message.invitation.id);
                }
            }
            WorkerEvent::NotRecorded { .. } => {
                system.saw("not recorded");
                system.unrecorded.borrow_mut().insert(self.message.invitation.id);
            }
            WorkerEvent::DeadLetterFailed { .. } => system.saw("dead letter failed"),
            WorkerEvent::MadeWay { .. } => system.saw("made way"),
            WorkerEvent::MakeWayFailed { .. } => system.saw("make way failed"),
            WorkerEvent::Requeued { .. } => system.saw("requeued"),
            WorkerEvent::RequeueFailed { .. } => system.saw("requeue failed"),
            WorkerEvent::PasswordDiscarded(_) => system.saw("password discarded"),
            WorkerEvent::Malformed(_) | WorkerEvent::PasswordLost { .. } => panic!("{report:?}"),
            WorkerEvent::Flow(FlowEvent::RuleDecided { .. }) => system.saw("rule decided"),
            WorkerEvent::Flow(_) | WorkerEvent::Ended { .. } => {}
        }
    }
}

impl Outside for Process {
    async fn call<T: 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut LeadSquared) -> Result<T, Error> + 'static,
    ) -> Result<T, Error> {
        let answer = self.ask(name, work).await;
        if let (Err(error), Some((invitation, began))) = (&answer, self.attempt.get()) {
            let attempts = match error {
                error if error.is_unanswered() => Some(&self.system.unanswered),
                Error::Refused { .. } => Some(&self.system.refused),
                _ => None,
            };
            if let Some(attempts) = attempts {
                attempts.borrow_mut().entry(invitation).or_default().insert(began);
            }
        }
        answer
    }

    async fn store<T: 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Memory) -> Result<T, LedgerUnavailable> + 'static,
    ) -> Result<T, LedgerUnavailable> {
        self.aws(name, move |system| work(&mut system.memory.borrow_mut()), || LedgerUnavailable).await
    }
}

impl Process {
    /// Calls LeadSquared in a slot of the call allowance.
    async fn ask<T: 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut LeadSquared) -> Result<T, Error> + 'static,
    ) -> Result<T, Error> {
        let system = &self.system;
        let last = self.deadline.saturating_sub(RECORD_TIME);
        if system.flaw != Some(Flaw::NoAllowance) {
            let planned = PlannedCall {
                lane: Lane::Background,
                deadline: system.timeline.instant_at(last),
                is_followed: name == "register",
            };
            let slot = system.allowance.admit(planned).await;
            slot.map_err(Error::TurnedAway)?;
        }
        let patience = last.saturating_sub(system.timeline.now()).min(CALL_TIME);
        let fate = self.fate();
        system.log_request(name, fate);
        let (there, processing, back) = {
            let mut dice = system.dice();
            // The margin of the call allowance covers a delay of this length.
            let there = dice.up_to(&[Duration::from_millis(20), Duration::from_millis(400)]);
            let processing = dice.up_to(&[Duration::from_millis(100), Duration::from_millis(100), seconds(7)]);
            (there, processing, Duration::from_millis(1 + dice.below(100)))
        };
        let unsure = Error::ServerFault { status: 502 };
        let looked_up = self.attempt.get().filter(|_| name == "lead_by_id").map(|(invitation, _)| invitation);
        let arrival = |processing| Self::arrive(system.clone(), self.keys.get(), there, processing, looked_up, work);
        match fate {
            Fate::Arrives => {
                let answer = self.background(arrival(processing), patience).await.unwrap_or(Err(unsure));
                system.timeline.sleep(back).await;
                if let Err(Error::RateLimited { limit }) = &answer {
                    system.allowance.throttled(Throttled { lane: Lane::Background, limit: *limit }).await;
                }
                answer
            }
            Fate::NotSent => Err(Error::OutOfTime),
            Fate::Broken => {
                system.timeline.sleep(there).await;
                Err(unsure)
            }
            Fate::AnswerLost => {
                let _ = self.background(arrival(processing), patience).await;
                Err(unsure)
            }
            Fate::Late => {
                system.saw("late");
                let processing = CALL_TIME + system.dice().up_to(&[LATEST - CALL_TIME]);
                let _ = self.background(arrival(processing), patience).await;
                Err(unsure)
            }
            Fate::DieBefore => self.die().await,
            Fate::DieOnTheWay => {
                let arrival = arrival(processing);
                system.start(async move { drop(arrival.await) });
                self.die().await
            }
            Fate::DieAfter => {
                let _ = self.background(arrival(processing), patience).await;
                self.die().await
            }
        }
    }

    /// Starts the work, which continues in any case, and waits for its result for at most `patience`.
    async fn background<T: 'static>(&self, work: impl Future<Output = T> + 'static, patience: Duration) -> Option<T> {
        let answer = Rc::new(Cell::new(None));
        let slot = answer.clone();
        let timeline = self.system.timeline.clone();
        let task = self.system.timeline.current();
        self.system.start(async move {
            slot.set(Some(work.await));
            timeline.wake(task);
        });
        let mut end = pin!(self.system.timeline.sleep(patience));
        poll_fn(|context| match answer.take() {
            Some(answer) => Poll::Ready(Some(answer)),
            None => end.as_mut().poll(context).map(|()| None),
        })
        .await
    }
}

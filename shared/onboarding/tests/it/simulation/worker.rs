//! A worker: a process that takes batches off the queue and puts each message through the flow, as the function does,
//! and its way to the outside.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use leadsquared::{Admission, Error, Lane};
use onboarding::{
    Attempt, Flow, LINK_TOKEN_BYTES, Lease, LinkToken, Marking, Outcome, PersonKey, Postponed, generated_password,
    give_up,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::plan::START;
use super::queue::Message;
use super::run::System;
use super::timeline::Chance;
use super::{Flaw, seconds};
use crate::world::{LeadSquared, LedgerAway, Memory, Outside, Via, direct, on_click};

/// As in the template.
const TIMEOUT: Duration = seconds(60);

/// As in the function: the least time an attempt needs, and the time kept free to record it.
const WORTH_BEGINNING: Duration = seconds(12);
const TO_RECORD: Duration = seconds(6);

/// How long a call of LeadSquared, and a request to AWS, are waited for.
const CALL_TIME: Duration = seconds(8);
const REQUEST_TIME: Duration = seconds(3);

/// How long a request that nobody waits for any more can still be on its way.
pub(super) const LATEST: Duration = seconds(60);

/// One invocation of a process.
struct Process {
    system: Rc<System>,
    /// The version of the keys it knows, which outlives the invocation.
    keys: Rc<Cell<u32>>,
    deadline: Duration,
    is_dead: Cell<bool>,
}

/// What becomes of a delivered message.
#[derive(Clone, Copy)]
enum Verdict {
    Done,
    ComeBack(Duration),
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives,
    /// It does not leave, and that is certain.
    NotSent,
    /// It is carried out, and the answer does not arrive.
    AnswerLost,
    /// It is not carried out, and the answer does not tell.
    Broken,
    /// It is carried out when nobody waits for it any more.
    Late,
    /// The process dies before, at once after, or with the answer in.
    DieBefore,
    DieOnTheWay,
    DieAfter,
}

const ODD: [Fate; 7] =
    [Fate::NotSent, Fate::AnswerLost, Fate::Broken, Fate::Late, Fate::DieBefore, Fate::DieOnTheWay, Fate::DieAfter];

/// Works until there is nothing left to do and nothing on its way.
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
        let process = Process { system: system.clone(), keys: keys.clone(), deadline, is_dead: Cell::new(false) };
        match process.until_it_dies(process.handle(&batch)).await {
            // Lambda deletes what was done when it has the answer, or does not get it.
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
    fn now(&self) -> OffsetDateTime {
        START + self.system.timeline.now()
    }

    /// The end of the work, or none if it takes longer than an invocation may or the process dies in it.
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

    /// The messages that were done.
    async fn handle<'a>(&self, batch: &'a [Message]) -> Vec<&'a Message> {
        let mut held_up: HashMap<&PersonKey, Duration> = HashMap::new();
        let (mut done, mut put_off) = (Vec::new(), Vec::new());
        for message in batch {
            let verdict = match held_up.get(&message.group) {
                Some(wait) => Verdict::ComeBack(*wait),
                None => self.deliver(message).await,
            };
            match verdict {
                Verdict::Done => done.push(message),
                Verdict::ComeBack(_) if self.system.flaw == Some(Flaw::FailuresAreDeleted) => done.push(message),
                Verdict::ComeBack(wait) => {
                    held_up.insert(&message.group, wait);
                    put_off.push((message.clone(), wait));
                }
            }
        }
        for (message, wait) in put_off {
            // If this fails they come back later than they should.
            let put_off = move |system: &System| {
                system.queue.borrow_mut().put_off(&message, system.timeline.now(), wait);
                Ok(())
            };
            let _ = self.aws("put off", put_off, || ()).await;
        }
        done
    }

    async fn deliver(&self, message: &Message) -> Verdict {
        if self.deadline.saturating_sub(self.system.timeline.now()) < WORTH_BEGINNING {
            return Verdict::ComeBack(Duration::ZERO);
        }
        let invitation = &message.invitation;
        let outcome = match self.invite(message).await {
            Ok(outcome) => outcome,
            Err(postponed) => {
                self.system.saw(name(&postponed));
                let waited = self.system.timeline.now() - message.sent_at;
                if waited < self.system.plan.horizon {
                    return Verdict::ComeBack(self.wait(message, &postponed));
                }
                match give_up(&Via(self), invitation, self.lease(message), self.now(), name(&postponed)).await {
                    Ok(outcome) => outcome,
                    Err(postponed) => return Verdict::ComeBack(self.wait(message, &postponed)),
                }
            }
        };
        if matches!(outcome, Outcome::Rejected(_) | Outcome::Exhausted { .. }) {
            let dead_letter = (message.id, invitation.clone());
            let lay_aside = move |system: &System| {
                system.dead_letters.borrow_mut().insert(dead_letter.0, dead_letter.1);
                Ok(())
            };
            if self.aws("lay aside", lay_aside, || ()).await.is_err() {
                return Verdict::ComeBack(self.backoff(message));
            }
        }
        Verdict::Done
    }

    async fn invite(&self, message: &Message) -> Result<Outcome, Postponed> {
        match self.run(message).await {
            Err(postponed) if matches!(postponed.leadsquared(), Some(Error::BadKeys)) => {
                if self.keys.replace(self.system.secret.get()) == self.system.secret.get() {
                    return Err(postponed);
                }
                self.run(message).await
            }
            other => other,
        }
    }

    async fn run(&self, message: &Message) -> Result<Outcome, Postponed> {
        self.system.tell(&format!("invitation {}", message.invitation.id), Fate::Arrives);
        let outside = Via(self);
        let link = if self.system.plan.on_click { on_click() } else { direct() };
        let mail_limits = self.system.plan.mail_limits;
        let flow = Flow {
            crm: &outside,
            ledger: &outside,
            mail: &outside,
            link: &link,
            mail_limits,
            marking: &Marking::default(),
        };
        let attempt = Attempt {
            now: self.now(),
            lease: self.lease(message),
            password: generated_password([7; 20]),
            chosen_password: None,
            token: LinkToken::new([self.system.dice().number() as u8; LINK_TOKEN_BYTES]),
        };
        Ok(flow.run(&message.invitation, attempt).await?.outcome)
    }

    fn lease(&self, message: &Message) -> Lease {
        let holder = Uuid::from_u128(u128::from(self.system.dice().number()));
        Lease { holder, message: message.id, until: START + self.deadline }
    }

    /// As the function has it.
    fn wait(&self, message: &Message, postponed: &Postponed) -> Duration {
        match postponed {
            Postponed::MailUnknown(_) => seconds(15 * 60),
            Postponed::MailBudget { until } => {
                let spread = self.system.dice().up_to(&[seconds(3600)]);
                (Duration::try_from(*until - self.now()).unwrap_or_default() + spread).min(seconds(11 * 3600))
            }
            _ => self.backoff(message),
        }
    }

    fn backoff(&self, message: &Message) -> Duration {
        let longest = if message.receives > 200 { 3600 } else { 900 };
        let doubled = seconds((10 << message.receives.saturating_sub(1).min(10)).min(longest));
        self.system.dice().up_to(&[doubled]).max(seconds(1))
    }

    fn fate(&self) -> Fate {
        let mut dice = self.system.dice();
        if dice.in_a_thousand(self.system.plan.faults) { dice.one_of(&ODD) } else { Fate::Arrives }
    }

    async fn die<T>(&self) -> T {
        self.is_dead.set(true);
        pending().await
    }

    /// A request to AWS; `away` is the error when it was not carried out, or nobody knows.
    async fn aws<T: 'static, E: 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&System) -> Result<T, E> + 'static,
        away: impl FnOnce() -> E,
    ) -> Result<T, E> {
        let system = &self.system;
        let fate = self.fate();
        system.tell(name, fate);
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
                answer.unwrap_or_else(|| Err(away()))
            }
            Fate::NotSent | Fate::Broken => {
                system.timeline.sleep(there).await;
                Err(away())
            }
            Fate::AnswerLost => {
                self.background(after(there), REQUEST_TIME).await;
                Err(away())
            }
            Fate::Late => {
                system.saw("late");
                self.background(after(late), REQUEST_TIME).await;
                Err(away())
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

    /// A call that arrives at LeadSquared and is turned away there or carried out `processing` later.
    async fn arrive<T: 'static>(
        system: Rc<System>,
        keys: u32,
        there: Duration,
        processing: Duration,
        work: impl FnOnce(&mut LeadSquared) -> Result<T, Error> + 'static,
    ) -> Result<T, Error> {
        system.timeline.sleep(there).await;
        system.count_call();
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

impl Outside for Process {
    async fn call<T: 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut LeadSquared) -> Result<T, Error> + 'static,
    ) -> Result<T, Error> {
        let system = &self.system;
        let last = self.deadline.saturating_sub(TO_RECORD);
        if system.flaw != Some(Flaw::NoLine) {
            let leave = system.allowance.admit(Lane::Background, system.timeline.instant_at(last)).await;
            leave.map_err(Error::TurnedAway)?;
        }
        let patience = last.saturating_sub(system.timeline.now()).min(CALL_TIME);
        let fate = self.fate();
        system.tell(name, fate);
        let (there, processing, back) = {
            let mut dice = system.dice();
            // The line's margin covers this much.
            let there = dice.up_to(&[Duration::from_millis(20), Duration::from_millis(400)]);
            let processing = dice.up_to(&[Duration::from_millis(100), Duration::from_millis(100), seconds(7)]);
            (there, processing, Duration::from_millis(1 + dice.below(100)))
        };
        let unsure = Error::ServerFault { status: 502 };
        let arrival = |processing| Self::arrive(system.clone(), self.keys.get(), there, processing, work);
        match fate {
            Fate::Arrives => {
                let answer = self.background(arrival(processing), patience).await.unwrap_or(Err(unsure));
                system.timeline.sleep(back).await;
                if let Err(Error::RateLimited { limit }) = &answer {
                    system.allowance.throttled(Lane::Background, *limit).await;
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

    async fn store<T: 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Memory) -> Result<T, LedgerAway> + 'static,
    ) -> Result<T, LedgerAway> {
        self.aws(name, move |system| work(&mut system.memory.borrow_mut()), || LedgerAway).await
    }
}

impl Process {
    /// Has it done whether or not anybody waits, and waits so long for what comes of it.
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

fn name(postponed: &Postponed) -> &'static str {
    match postponed {
        Postponed::Held => "Held",
        Postponed::LeadSquared { source, .. } => source.name(),
        Postponed::MailUnknown(_) => "MailUnknown",
        Postponed::MailBudget { .. } => "MailBudget",
        Postponed::MailBookChanged => "MailBookChanged",
        Postponed::NotSupported => "NotSupported",
        Postponed::Ledger(_) => "Ledger",
    }
}

//! The worker's processes: the domain's worker and the call allowance as deployed, in the simulated world.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use call_allowance::{Allowance, SharedSchedule, until_next_day};
use leadsquared::crm::Lead;
use leadsquared::portal::Registration;
use leadsquared::{Admission, AutoLoginKey, EmailAddress, Error, Lane, LeadId, Password, PlannedCall, TurnedAway};
use leadsquared_account::BACKGROUND_TIMEOUTS;
use onboarding::retry::Horizons;
use onboarding::rules::RuleLookups;
use onboarding::worker::{
    DeadLetterReason, Delivery, Disposition, RECORD_TIME, SealedPasswordError, ServiceFailure, Services, Worker,
    WorkerEvent, handle_in_order,
};
use onboarding::{
    Claim, Crm, Invitation, InvitationId, Lease, Ledger, LinkMode, LinkTarget, LoginLinkMail, Mail, MailError,
    MailHistory, MailLimits, MailReservation, Marking, Outcome, PersonKey, Record, SealedPassword,
};
use time::OffsetDateTime;

use super::aws::{Request, SharedItem};
use super::queue::Message;
use super::world::{AllowanceItem, START, State, TimeOfRun, World, time_of};

/// The batch size, the time-out and the largest concurrency of the worker in the template.
pub(super) const BATCH: usize = 5;
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const CONCURRENCY: usize = 2;

/// The admission of one process.
pub(super) type ProcessAllowance = Allowance<SharedSchedule<AllowanceItem>, TimeOfRun>;

/// The call allowance of a new process.
pub(super) fn allowance(world: &Arc<World>) -> ProcessAllowance {
    let schedule = SharedSchedule::new(AllowanceItem(world.clone()), world.rules);
    Allowance::with_clock(schedule, TimeOfRun(world.clone()))
}

/// The settings of the worker.
struct Settings {
    link: LinkMode,
    marking: Marking,
    lookups: RuleLookups,
}

/// One process of the worker.
struct Process {
    world: Arc<World>,
    allowance: ProcessAllowance,
    settings: Settings,
}

/// One invocation of a process: LeadSquared, the mail and the ledger for its deliveries.
#[derive(Clone, Copy)]
struct Invocation<'a> {
    process: &'a Process,
    deadline: Duration,
}

/// Handles batches until all mails of a crowd of this size are sent.
pub(super) async fn work(world: Arc<World>, crowd: usize) {
    let page = "https://api.example.test/login-links/".parse().expect("an address");
    let link = LinkMode::OnClick { page, valid_for: Duration::from_secs(24 * 60 * 60) };
    let settings = Settings { link, marking: Marking::default(), lookups: RuleLookups::default() };
    let process = Process { allowance: allowance(&world), world: world.clone(), settings };
    while world.state().mails.len() < crowd {
        let now = world.clock.now();
        let batch = world.state().queue.receive(BATCH, now);
        if batch.is_empty() {
            // The other process may have the last messages, and may put them back.
            let next = world.state().queue.next().unwrap_or(now + Duration::from_secs(1));
            world.clock.sleep(next.saturating_sub(now).max(Duration::from_millis(1))).await;
            continue;
        }
        world.pass(time_of::POLLING).await;
        process.handle(&batch).await;
    }
}

impl Process {
    async fn handle(&self, batch: &[Message]) {
        let began = self.world.clock.now();
        let invocation = Invocation { process: self, deadline: began + TIMEOUT };
        let handle = async |message: &Message| invocation.deliver(message).await;
        let handled = handle_in_order(batch, |message| Some(message.id), handle).await;
        let mut state = self.world.state();
        let now = self.world.clock.now();
        let mut is_postponed = false;
        for (message, disposition) in handled {
            if let Disposition::RetryAfter(wait) = disposition {
                is_postponed = true;
                state.queue.put(message.clone(), now + wait);
            }
        }
        // ChangeMessageVisibilityBatch of the function; ReceiveMessage and DeleteMessageBatch of Lambda.
        state.usage.requests += u32::from(is_postponed);
        state.usage.queue_requests += 2 + u32::from(is_postponed);
        state.usage.invoked(now - began);
    }
}

impl Invocation<'_> {
    async fn deliver(self, message: &Message) -> Disposition {
        let Settings { link, marking, lookups } = &self.process.settings;
        let horizons = Horizons::default();
        let worker = Worker { services: &self, link, mail_limits: MailLimits::default(), marking, lookups, horizons };
        let delivery = Delivery {
            message: message.id,
            body: &message.body,
            receive_count: message.receives,
            age: Some(self.process.world.clock.now() - message.sent_at),
            has_own_group: false,
        };
        worker.handle(&delivery, START + self.deadline).await
    }

    /// A call in the background, once the allowance admits it. `is_followed`: as in [`PlannedCall`].
    async fn call(self, is_followed: bool) -> Result<(), Error> {
        let clock = &self.process.world.clock;
        let deadline = (self.deadline.saturating_sub(RECORD_TIME)).min(clock.now() + BACKGROUND_TIMEOUTS.total);
        let call = PlannedCall { lane: Lane::Background, deadline: clock.instant_at(deadline), is_followed };
        self.process.allowance.admit(call).await.map_err(Error::TurnedAway)?;
        self.process.world.call().await;
        Ok(())
    }

    async fn request<T>(
        self,
        request: Request,
        shared: &[SharedItem],
        work: impl FnOnce(&mut State) -> T + Send,
    ) -> Result<T, Infallible> {
        Ok(self.process.world.request(request, shared, work).await)
    }
}

impl Crm for Invocation<'_> {
    async fn register(&self, _: &Registration) -> Result<LeadId, Error> {
        self.call(true).await?;
        Ok(self.process.world.state().new_lead())
    }

    async fn leads_by_email(&self, _: &EmailAddress) -> Result<Vec<Lead>, Error> {
        unreachable!("all applicants are new")
    }

    async fn lead_by_id(&self, _: &LeadId) -> Result<Option<Lead>, Error> {
        unreachable!("all applicants are new")
    }

    async fn lead_auto_login_key(&self, _: &LeadId) -> Result<AutoLoginKey, Error> {
        unreachable!("an on-click link has no key")
    }
}

impl Mail for Invocation<'_> {
    async fn send(&self, _: LoginLinkMail<'_>) -> Result<(), MailError> {
        self.call(false).await.map_err(MailError::NotSent)?;
        let world = &self.process.world;
        world.state().mails.push(world.clock.now());
        Ok(())
    }
}

/// A ledger in memory. Its requests are those of the `ledger` crate.
impl Ledger for Invocation<'_> {
    type Error = Infallible;

    async fn claim(&self, invitation: &Invitation, _: &Lease, _: OffsetDateTime) -> Result<Claim, Infallible> {
        let id = invitation.id;
        let record = |state: &mut State| state.records.entry(id).or_default().clone();
        // The invitation, and the day's count. A repeated claim writes the invitation alone, in a second request; the
        // refused transaction costs as much as one that is carried out.
        let is_first = !self.process.world.state().records.contains_key(&id);
        let granted = self.request(Request::Transaction(2), &[SharedItem::Accepted], record).await?;
        if !is_first {
            self.request(Request::Write, &[], |_| ()).await?;
        }
        Ok(Claim::Granted(granted))
    }

    async fn mail_book(&self, _: &PersonKey, now: OffsetDateTime) -> Result<MailHistory, Infallible> {
        // The person's mails and the day's.
        let begun = |state: &mut State| state.begun.get(&now.date()).copied();
        let begun_today = self.request(Request::Read(2), &[], begun).await?;
        Ok(MailHistory { begun_today: begun_today.unwrap_or_default(), ..MailHistory::default() })
    }

    async fn registered_at(&self, _: &LeadId) -> Result<Option<OffsetDateTime>, Infallible> {
        unreachable!("all applicants are new")
    }

    async fn newest_link_used(&self, _: &LeadId) -> Result<Option<OffsetDateTime>, Infallible> {
        unreachable!("all applicants are new")
    }

    async fn take_rule_lookup(&self, _: u32, _: OffsetDateTime) -> Result<bool, Infallible> {
        unreachable!("forms need no rules")
    }

    async fn begin_mail(
        &self,
        invitation: &Invitation,
        _: &Lease,
        record: &Record,
        reservation: &MailReservation,
        _: Option<&LinkTarget>,
    ) -> Result<bool, Infallible> {
        let (id, record, day) = (invitation.id, record.clone(), reservation.at.date());
        let budget = reservation.budget.unwrap_or(u32::MAX);
        let begin = move |state: &mut State| {
            let begun = state.begun.entry(day).or_default();
            if *begun >= budget {
                return false;
            }
            *begun += 1;
            state.records.insert(id, record);
            true
        };
        // The invitation, the person's mails, the registration, the link, and the day's mails.
        self.request(Request::Transaction(5), &[SharedItem::Mails], begin).await
    }

    async fn release(
        &self,
        invitation: &Invitation,
        _: &Lease,
        record: &Record,
        _: OffsetDateTime,
    ) -> Result<(), Infallible> {
        let success = record.success.is_some();
        let (id, record) = (invitation.id, Record { success: None, ..record.clone() });
        let keep = move |state: &mut State| drop(state.records.insert(id, record));
        // The invitation; after a registration also the registration and the day's mails.
        match success {
            true => self.request(Request::Transaction(3), &[SharedItem::Mails], keep).await,
            false => self.request(Request::Write, &[], keep).await,
        }
    }

    async fn end(
        &self,
        _: &Invitation,
        _: &Lease,
        _: &Record,
        _: &Outcome,
        _: OffsetDateTime,
    ) -> Result<(), Infallible> {
        // The invitation, the day's count, the registration, the person's mails, and the day's mails.
        self.request(Request::Transaction(5), &[SharedItem::Outcome, SharedItem::Mails], |_| ()).await
    }
}

impl<'a> Services for Invocation<'a> {
    type Access = ();
    type Crm = Self;
    type Ledger = Self;

    async fn access(&self) -> Result<(), ServiceFailure> {
        Ok(())
    }

    async fn access_after_refusal(&self, (): &()) -> Result<Option<()>, ServiceFailure> {
        Ok(None)
    }

    fn crm(&self, (): &(), _: Duration) -> Self {
        *self
    }

    fn mail<'b>(&'b self, crm: &'b Self) -> impl Mail + 'b {
        *crm
    }

    fn ledger(&self) -> &Self {
        self
    }

    fn is_ledger_broken(&self, error: &Infallible) -> bool {
        match *error {}
    }

    fn until_next_day(&self, turned_away: &TurnedAway) -> Option<Duration> {
        until_next_day(turned_away)
    }

    async fn open_password(&self, _: InvitationId, _: &SealedPassword) -> Result<Password, SealedPasswordError> {
        unreachable!("no applicant chose a password")
    }

    async fn dead_letter(&self, reason: &DeadLetterReason) -> Result<(), ServiceFailure> {
        panic!("nothing fails in this world: {reason:?}")
    }

    async fn requeue(&self, _: &Invitation) -> Result<(), ServiceFailure> {
        unreachable!("forms need no rules")
    }

    async fn make_way(&self, _: &Invitation) -> Result<(), ServiceFailure> {
        unreachable!("LeadSquared answers every call")
    }

    fn now(&self) -> OffsetDateTime {
        self.process.world.time()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        let chance = &mut self.process.world.state().chance;
        bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&chance.number().to_be_bytes()[..part.len()]));
    }

    fn report(&self, _: &WorkerEvent<'_>) {}
}

//! A crowd of applicants that arrives at once, and what became of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use call_allowance::{AllowanceRules, AllowanceSettings, daily_cap};
use leadsquared::RateLimit;
use onboarding::{Action, Invitation, InvitationId, Invitee, Source};
use uuid::Uuid;
use virtual_clock::{Chance, Task};

use super::aws::{Heat, Request, Usage};
use super::presses::{LoginLink, Presses, Seen};
use super::queue::Message;
use super::worker::{CONCURRENCY, work};
use super::world::{START, World, time_of};

/// A plan of LeadSquared (<https://apidocs.leadsquared.com/rate-limits/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) name: &'static str,
    /// The calls in five seconds.
    calls: u32,
}

pub(super) const PRO: Plan = Plan { name: "Pro", calls: 10 };
pub(super) const SUPER: Plan = Plan { name: "Super", calls: 20 };

impl Plan {
    pub(super) fn limit(self) -> RateLimit {
        RateLimit { calls: self.calls, window: Duration::from_secs(5) }
    }

    /// The rules of the call allowance with the template's defaults.
    pub(super) fn rules(self) -> AllowanceRules {
        let daily = daily_cap(None, self.calls, 100).expect("the plan has a cap");
        AllowanceRules::new(AllowanceSettings { daily, ..AllowanceSettings::new(self.limit()) })
            .expect("the plan's limit is valid")
    }
}

/// The forms that the API accepts in a second: the template's throttling.
pub(super) const FORMS_A_SECOND: u32 = 500;

/// A crowd of new applicants, each with one form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    pub(super) plan: Plan,
    pub(super) applicants: u32,
    /// How many processes of the worker there are. Without any, people who press links have LeadSquared to themselves.
    pub(super) workers: usize,
    pub(super) seed: u64,
}

/// What became of a crowd.
#[derive(Debug)]
pub(super) struct Outcome {
    /// From the first form to the last mail.
    pub(super) last_mail: Duration,
    pub(super) mails: usize,
    /// The calls that LeadSquared saw, and the most in one of its windows.
    pub(super) calls: usize,
    pub(super) fullest_window: usize,
    /// What the forms and the worker used of AWS; with the presses, if there are any.
    pub(super) usage: Usage,
    /// The time that Lambda bills for the worker.
    pub(super) worker_time: Duration,
    pub(super) heat: Heat,
    /// What people met who pressed a link meanwhile.
    pub(super) presses: Seen,
}

impl Crowd {
    pub(super) fn new(plan: Plan, applicants: u32) -> Self {
        Self { plan, applicants, workers: CONCURRENCY, seed: 1 }
    }

    /// Runs until the last mail.
    pub(super) fn run(self) -> Outcome {
        self.simulate(None, Duration::MAX)
    }

    /// Runs until the last mail, and for this long at most, beside people who press links.
    pub(super) fn run_beside(self, presses: Presses, longest: Duration) -> Outcome {
        self.simulate(Some(presses), longest)
    }

    fn simulate(self, presses: Option<Presses>, longest: Duration) -> Outcome {
        let world = World::new(self.plan.rules(), self.seed);
        let intake = self.post_forms(&world);
        let crowd = self.applicants as usize;
        let login_link = LoginLink::new(world.clone());
        let mut tasks: Vec<Task> = (0..self.workers).map(|_| Box::pin(work(world.clone(), crowd)) as Task).collect();
        if let Some(presses) = presses {
            let times = presses.times(longest, &mut Chance::new(self.seed));
            tasks.extend(times.into_iter().map(|at| Box::pin(login_link.clone().press(at, crowd)) as Task));
        }
        world.clock.run_until(tasks, longest);
        let state = &mut *world.state();
        let mut usage = std::mem::take(&mut state.usage);
        let worker_time = usage.billed;
        usage += intake;
        Outcome {
            last_mail: state.mails.iter().max().copied().unwrap_or_default(),
            mails: state.mails.len(),
            calls: state.arrivals.len(),
            fullest_window: fullest(&state.arrivals, self.plan.limit().window),
            usage,
            worker_time,
            heat: std::mem::take(&mut state.heat),
            presses: login_link.seen.take(),
        }
    }

    /// Puts the invitations of all forms on the queue, and counts what application-form used.
    fn post_forms(self, world: &Arc<World>) -> Usage {
        let mut usage = Usage::default();
        for number in 0..self.applicants {
            let posted = Duration::from_secs(1) * number / FORMS_A_SECOND;
            let time = world.draw(time_of::INTAKE);
            // The sender's counter, then the places of person and mailbox with the mark of the application.
            usage.count(Request::Write);
            usage.count(Request::Transaction(3));
            // SendMessage.
            usage.requests += 1;
            usage.queue_requests += 1;
            usage.api_requests += 1;
            usage.invoked(time);

            let email = format!("person-{number}@example.test").parse().expect("an address");
            let id = InvitationId::of([&number.to_be_bytes()[..]]);
            let received_at = START + posted;
            let invitation = Invitation::new(id, Source::Form, received_at, Invitee::Email(email), Action::Invite);
            let sent_at = posted + time;
            let message =
                Message { id: Uuid::from_u128(u128::from(number)), body: invitation.encode(), sent_at, receives: 0 };
            world.state().queue.put(message, sent_at);
        }
        usage
    }
}

/// The most of these calls in any window, counted as LeadSquared does.
fn fullest(arrivals: &[Duration], window: Duration) -> usize {
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

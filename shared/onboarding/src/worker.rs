//! The handling of one delivered message: decode it, check the time, open the password, run the flow; then the
//! message is done, is retried, or becomes a dead letter.

mod batch;
mod event;
mod services;

use std::time::Duration;

use leadsquared::{Error, Password};
use time::OffsetDateTime;
use uuid::{Builder, Uuid};

pub use batch::handle_in_order;
pub use event::WorkerEvent;
pub use services::{SealedPasswordError, ServiceFailure, Services};

use crate::retry::{AttemptFailure, Horizons, LAST_RECEIVE, MAKES_WAY_AT, backoff, before_retention_ends};
use crate::rules::RuleLookups;
use crate::{
    Action, Attempt, Bookkeeping, Completion, Flow, Invitation, InvitationId, Invitee, LINK_TOKEN_BYTES, Lease, Ledger,
    LeftOut, LinkMode, LinkToken, MAILED_CODE_BYTES, MailLimits, MalformedInvitation, Marking, Outcome, PASSWORD_BYTES,
    Postponed, Provenance, Rejection, generated_password, mailed_code,
};

/// An attempt needs at least this much time; with less left in the invocation, none begins.
pub const MIN_ATTEMPT_TIME: Duration = Duration::from_secs(12);

/// The time kept free at the end of an invocation to record what happened: two slow requests to AWS.
pub const RECORD_TIME: Duration = Duration::from_secs(6);

/// How long a message waits at most after it may or may not have been sent again. The queue drops a second copy within
/// five minutes.
const AFTER_UNKNOWN_COPY: Duration = Duration::from_secs(2 * 60);

/// Handles the deliveries of the invitations queue.
pub struct Worker<'a, S> {
    /// The services that the worker uses.
    pub services: &'a S,
    /// Where the mailed link leads.
    pub link: &'a LinkMode,
    /// How much mail may be sent.
    pub mail_limits: MailLimits,
    /// How leads with unproven identifiers are marked.
    pub marking: &'a Marking,
    /// The rules, for invitations whose event did not decide them.
    pub lookups: &'a RuleLookups,
    /// How long messages are retried.
    pub horizons: Horizons,
}

/// One delivery of one message.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The queue's id of the message: the same for every delivery, another one after a dead letter was put back.
    pub message: Uuid,
    /// The message's text.
    pub body: &'a str,
    /// How often the message was delivered so far, this time included.
    pub receive_count: u32,
    /// How long ago the message was put on the queue. `None` if the queue does not say.
    pub age: Option<Duration>,
    /// Whether the message has made way for the person's later ones: it has a group of its own.
    pub has_own_group: bool,
}

/// What the queue must do with a message after a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Delete it.
    Done,
    /// Deliver it again after this wait.
    RetryAfter(Duration),
}

/// The class of a dead letter that keeps attributes of an invited person: LeadSquared failed on their content, so the
/// person was registered without them.
pub const REDUCED: &str = "reduced";

/// Why a message is among the dead letters. It holds no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterReason {
    /// `malformed`, `rejected`, `exhausted` or [`REDUCED`].
    pub class: &'static str,
    /// The exact reason, for example `refused: MXInvalidInputException`.
    pub cause: String,
    /// The invitation, if the message says which it is.
    pub receipt: Option<InvitationId>,
}

/// The invitation in a message, as far as the worker can read it.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Invitation(&'a Invitation),
    /// The message cannot be decoded. It may still have the id of its invitation.
    Unread(Option<InvitationId>),
}

impl<S: Services> Worker<'_, S> {
    /// Handles a delivery. No work continues after `deadline`.
    pub async fn handle(&self, delivery: &Delivery<'_>, deadline: OffsetDateTime) -> Disposition {
        let invitation = match Invitation::decode(delivery.body) {
            Ok(invitation) => invitation,
            Err(MalformedInvitation::NewerVersion(version)) => {
                return self
                    .after_failure(delivery, unread(delivery), AttemptFailure::NewerVersion(version), deadline)
                    .await;
            }
            Err(error) => {
                self.services.report(&WorkerEvent::Malformed(&error));
                let reason = DeadLetterReason { class: "malformed", cause: error.to_string(), receipt: None };
                return self.dead_letter(delivery, &reason).await;
            }
        };
        let subject = Subject::Invitation(&invitation);
        let attempt = match deadline - self.services.now() >= MIN_ATTEMPT_TIME {
            true => self.attempt(&invitation, delivery, deadline).await,
            false => Err(AttemptFailure::NoTime),
        };
        match attempt {
            Ok(completion) => self.end(delivery, subject, completion).await,
            Err(failure) => self.after_failure(delivery, subject, failure, deadline).await,
        }
    }

    /// Decides on a delivery whose handling panicked. Does as little as possible, because it may panic again.
    pub async fn after_panic(&self, delivery: &Delivery<'_>) -> Disposition {
        self.after_failure(delivery, unread(delivery), AttemptFailure::Panicked, self.services.now()).await
    }

    /// Takes an invitation through the flow. If LeadSquared refuses the keys and new ones are stored, it runs the flow
    /// a second time.
    async fn attempt(
        &self,
        invitation: &Invitation,
        delivery: &Delivery<'_>,
        deadline: OffsetDateTime,
    ) -> Result<Completion, AttemptFailure> {
        let chosen_password = self.chosen_password(invitation).await?;
        let run =
            async |access: &S::Access| self.run(access, invitation, delivery, chosen_password.as_ref(), deadline).await;
        let access = self.services.access().await.map_err(AttemptFailure::NoKeys)?;
        let refused = match run(&access).await {
            Err(failure) if matches!(failure.leadsquared(), Some(Error::BadKeys)) => failure,
            other => return other,
        };
        match self.services.access_after_refusal(&access).await.map_err(AttemptFailure::NoKeys)? {
            Some(renewed) => run(&renewed).await,
            None => Err(refused),
        }
    }

    /// The password that the applicant chose, if there is one and it may be used.
    async fn chosen_password(&self, invitation: &Invitation) -> Result<Option<Password>, AttemptFailure> {
        let Some(sealed) = &invitation.password else { return Ok(None) };
        if invitation.provenance == Provenance::Public {
            self.services.report(&WorkerEvent::PasswordDiscarded(invitation.id));
            return Ok(None);
        }
        match self.services.open_password(invitation.id, sealed).await {
            Ok(password) => Ok(Some(password)),
            Err(SealedPasswordError::Unavailable(unavailable)) => Err(AttemptFailure::NoPassword(unavailable)),
            Err(SealedPasswordError::Unusable(error)) => {
                // The link still signs the applicant in, and the portal lets them choose another password.
                self.services.report(&WorkerEvent::PasswordLost { receipt: invitation.id, error: &*error });
                Ok(None)
            }
        }
    }

    async fn run(
        &self,
        access: &S::Access,
        invitation: &Invitation,
        delivery: &Delivery<'_>,
        chosen_password: Option<&Password>,
        deadline: OffsetDateTime,
    ) -> Result<Completion, AttemptFailure> {
        let now = self.services.now();
        let time_left = Duration::try_from(deadline - now).unwrap_or_default().saturating_sub(RECORD_TIME);
        let crm = self.services.crm(access, time_left);
        let flow = Flow {
            crm: &crm,
            ledger: self.services.ledger(),
            mail: &self.services.mail(&crm),
            link: self.link,
            mail_limits: self.mail_limits,
            marking: self.marking,
            lookups: self.lookups,
            report: &|event| self.services.report(&WorkerEvent::Flow(event)),
        };
        let attempt = Attempt {
            now,
            lease: self.lease(delivery, deadline),
            password: generated_password(self.random::<PASSWORD_BYTES>()),
            chosen_password: chosen_password.cloned(),
            token: LinkToken::new(self.random::<LINK_TOKEN_BYTES>()),
            code: mailed_code(self.random::<MAILED_CODE_BYTES>()),
            may_be_overtaken: delivery.has_own_group,
        };
        flow.run(invitation, attempt).await.map_err(|postponed| self.failure(postponed))
    }

    /// Decides on the message after a postponed step.
    fn failure(&self, postponed: Postponed) -> AttemptFailure {
        let until_next_day = match postponed.leadsquared() {
            Some(Error::TurnedAway(turned_away)) => self.services.until_next_day(turned_away),
            _ => None,
        };
        match (&postponed, until_next_day) {
            (_, Some(until_next_day)) => AttemptFailure::DayUsedUp { until_next_day, postponed },
            (Postponed::Ledger(error), _)
                if error
                    .downcast_ref::<<S::Ledger as Ledger>::Error>()
                    .is_some_and(|error| self.services.is_ledger_broken(error)) =>
            {
                AttemptFailure::BrokenLedger(postponed)
            }
            _ => AttemptFailure::Postponed(postponed),
        }
    }

    /// Retries a message that failed, or gives it up if it was tried for long enough.
    ///
    /// Every failed message goes through here, so that SQS deletes none.
    async fn after_failure(
        &self,
        delivery: &Delivery<'_>,
        subject: Subject<'_>,
        failure: AttemptFailure,
        deadline: OffsetDateTime,
    ) -> Disposition {
        let (receipt, age) = (subject.receipt(), delivery.age.unwrap_or_default());
        let needs_operator = failure.needs_operator(age);
        let is_young = delivery.age.is_some_and(|age| age < failure.horizon(&self.horizons));
        let is_retried = is_young && delivery.receive_count < LAST_RECEIVE;
        if !is_retried
            && let AttemptFailure::Postponed(Postponed::RuleLookups { .. }) = failure
            && let Subject::Invitation(question) = subject
        {
            return self.requeue(delivery, question).await;
        }
        let retry_in =
            is_retried.then(|| failure.wait(delivery.receive_count, self.services.now(), &|| self.random_number()));
        self.services.report(&WorkerEvent::Failed { receipt, failure: &failure, needs_operator, age, retry_in });
        if let Some(wait) = retry_in {
            return match subject {
                Subject::Invitation(invitation) if is_in_the_way(delivery, invitation, &failure) => {
                    self.make_way(invitation, wait).await
                }
                _ => Disposition::RetryAfter(wait),
            };
        }
        let completion = match (subject, &failure) {
            // No time is left to ask the ledger, or no step was begun.
            (_, AttemptFailure::NoTime) | (Subject::Unread(_), _) => exhausted(&failure),
            (Subject::Invitation(invitation), _) => {
                let books = Bookkeeping {
                    ledger: self.services.ledger(),
                    invitation,
                    lease: self.lease(delivery, deadline),
                    now: self.services.now(),
                    report: &|event| self.services.report(&WorkerEvent::Flow(event)),
                };
                books.give_up(failure.name()).await.unwrap_or_else(|error| {
                    self.services.report(&WorkerEvent::NotRecorded { receipt, error: &error });
                    exhausted(&failure)
                })
            }
        };
        self.end(delivery, subject, completion).await
    }

    /// Ends a message; it is retried as long as its dead letter cannot be written.
    async fn end(&self, delivery: &Delivery<'_>, subject: Subject<'_>, completion: Completion) -> Disposition {
        let receipt = subject.receipt();
        let reason = subject.dead_letter_reason(&completion);
        let is_dead_letter = reason.is_some();
        if let Some(reason) = reason
            && let Disposition::RetryAfter(wait) = self.dead_letter(delivery, &reason).await
        {
            return Disposition::RetryAfter(wait);
        }
        let invitation = subject.invitation();
        self.services.report(&WorkerEvent::Ended { invitation, receipt, completion: &completion, is_dead_letter });
        Disposition::Done
    }

    /// Sends a question again that still waits for a look-up: SQS would delete its message soon, and only the size of
    /// LeadSquared's plan is the cause.
    async fn requeue(&self, delivery: &Delivery<'_>, question: &Invitation) -> Disposition {
        let receipt = question.id;
        let Err(error) = self.services.requeue(question).await else {
            self.services.report(&WorkerEvent::Requeued { receipt });
            return Disposition::Done;
        };
        let age = delivery.age.unwrap_or_default();
        // The message has been sent again in vain only since its horizon.
        let needs_operator = error.needs_operator(age.saturating_sub(self.horizons.operator.unsigned_abs()));
        let retry_in = before_retention_ends(delivery.receive_count, age);
        self.services.report(&WorkerEvent::RequeueFailed { receipt, error: &error, needs_operator, age, retry_in });
        Disposition::RetryAfter(retry_in)
    }

    /// Sends a message again, into a group of its own: the person's later messages wait for it, and LeadSquared may
    /// take those. If that fails, the message is delivered again after `wait`, and while the queue still drops a second
    /// copy as a repeat.
    async fn make_way(&self, invitation: &Invitation, wait: Duration) -> Disposition {
        let receipt = invitation.id;
        match self.services.make_way(invitation).await {
            Ok(()) => {
                self.services.report(&WorkerEvent::MadeWay { receipt });
                Disposition::Done
            }
            Err(error) => {
                self.services.report(&WorkerEvent::MakeWayFailed { receipt, error: &error });
                Disposition::RetryAfter(wait.min(AFTER_UNKNOWN_COPY))
            }
        }
    }

    /// Writes a dead letter; the message is retried until that is certain.
    async fn dead_letter(&self, delivery: &Delivery<'_>, reason: &DeadLetterReason) -> Disposition {
        let Err(error) = self.services.dead_letter(reason).await else { return Disposition::Done };
        let age = delivery.age.unwrap_or_default();
        let needs_operator = error.needs_operator(age);
        let retry_in = match age >= self.horizons.operator {
            true => before_retention_ends(delivery.receive_count, age),
            false => backoff(delivery.receive_count, self.random_number()),
        };
        self.services.report(&WorkerEvent::DeadLetterFailed { error: &error, needs_operator, age, retry_in });
        Disposition::RetryAfter(retry_in)
    }

    /// The right to work on an invitation until the invocation ends.
    fn lease(&self, delivery: &Delivery<'_>, deadline: OffsetDateTime) -> Lease {
        let holder = Builder::from_random_bytes(self.random()).into_uuid();
        Lease { holder, message: delivery.message, until: deadline }
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.services.fill_random(&mut bytes);
        bytes
    }

    fn random_number(&self) -> u32 {
        u32::from_be_bytes(self.random())
    }
}

impl<'a> Subject<'a> {
    fn receipt(&self) -> Option<InvitationId> {
        match self {
            Self::Invitation(invitation) => Some(invitation.id),
            Self::Unread(receipt) => *receipt,
        }
    }

    fn invitation(&self) -> Option<&'a Invitation> {
        match self {
            Self::Invitation(invitation) => Some(invitation),
            Self::Unread(_) => None,
        }
    }

    /// Why the message is dead-lettered at its end, if it is.
    fn dead_letter_reason(&self, completion: &Completion) -> Option<DeadLetterReason> {
        let Completion { outcome, withheld, .. } = completion;
        let has_failed = match (outcome, self) {
            (Outcome::Rejected(rejection), Self::Invitation(invitation)) => !is_senders_fault(rejection, invitation),
            (Outcome::Rejected(_) | Outcome::Exhausted { .. }, _) => true,
            _ => false,
        };
        let (class, cause) = match withheld {
            _ if has_failed => (outcome.name(), outcome.cause().unwrap_or_default().into_owned()),
            None => return None,
            Some(LeftOut { withheld, noted }) => {
                let mut cause = format!("not in LeadSquared: {}", withheld.join(", "));
                if !noted.is_empty() {
                    cause += &format!("; in the lead's notes: {}", noted.join(", "));
                }
                (REDUCED, cause)
            }
        };
        Some(DeadLetterReason { class, cause, receipt: self.receipt() })
    }
}

/// Whether later messages of the person wait for this one although LeadSquared may take them. A question has a group
/// without them.
fn is_in_the_way(delivery: &Delivery<'_>, invitation: &Invitation, failure: &AttemptFailure) -> bool {
    let is_old = delivery.age.is_some_and(|age| age >= MAKES_WAY_AT);
    is_old && failure.is_without_answer() && !delivery.has_own_group && invitation.question.is_none()
}

/// The id of the invitation in a message that is not decoded.
fn unread(delivery: &Delivery<'_>) -> Subject<'static> {
    Subject::Unread(InvitationId::of_message(delivery.body))
}

fn exhausted(failure: &AttemptFailure) -> Completion {
    Outcome::Exhausted { cause: failure.name().to_owned() }.into()
}

/// Whether an anonymous sender caused the rejection and no application is lost. Then there is no dead letter and no
/// alarm; otherwise any visitor of the website could keep the operator's alarms on.
///
/// - Another content under a used id, through a form: the form answered its sender with 422. An event of the company's
///   own systems becomes a dead letter, because its sender got no answer.
/// - A link that LeadSquared refuses to mail, or an address that a firewall blocks, in a request for a link: any
///   visitor may type an address there, and applicants are in LeadSquared already.
fn is_senders_fault(rejection: &Rejection, invitation: &Invitation) -> bool {
    let is_anonymous = invitation.provenance != Provenance::System;
    match (rejection, &invitation.invitee) {
        (Rejection::IdReused, _) => is_anonymous,
        (Rejection::Refused { .. } | Rejection::Content { .. } | Rejection::MailRefused, Invitee::Email(_)) => {
            is_anonymous && invitation.action == Action::MailLink
        }
        _ => false,
    }
}

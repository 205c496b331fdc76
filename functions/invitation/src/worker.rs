//! The worker: what becomes of each message, and for how long it may fail.

use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use leadsquared::{Client, Error, Password};
use leadsquared_account::{Account, AccountError, until_next_day};
use ledger::{Ledger, LedgerError};
use mail::LeadSquaredChannel;
use onboarding::{
    Action, Attempt, Flow, Invitation, InvitationId, LINK_TOKEN_BYTES, Lease, LinkToken, MalformedInvitation, Outcome,
    PASSWORD_BYTES, Postponed, Provenance, Rejection, Whom, generated_password, give_up,
};
use password_sealing::{OpenError, Opener};
use queue::{
    AFTER_PANIC, DeadLetters, Delivery, Invitations, LAST_RECEIVE, Reason, Verdict, after_no_time, after_throttling,
    backoff, before_retention_ends, each_record,
};
use telemetry::{Metric, in_full};
use time::OffsetDateTime;
use uuid::Builder;

use crate::Config;

/// How long a message is tried before it becomes a dead letter: longer than LeadSquared's worst day.
pub const RETRY_HORIZON: time::Duration = time::Duration::hours(36);

/// How long it waits for what an operator has to mend: nearly as long as SQS keeps a message.
pub const OPERATOR_HORIZON: time::Duration = time::Duration::days(13);

/// After this time a failure that mostly passes by itself, such as Secrets Manager's, counts as one that an operator
/// has to look at.
pub const LASTING: Duration = Duration::from_secs(60 * 60);

/// How long it waits before the one repeat of a mail that nobody knows the fate of.
const AFTER_UNKNOWN_MAIL: Duration = Duration::from_secs(15 * 60);

/// The longest a message can wait: SQS keeps a delivered one invisible for twelve hours in all
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>).
pub const LONGEST_WAIT: Duration = Duration::from_secs(11 * 60 * 60);

/// The least time an attempt needs to be worth beginning.
pub const WORTH_BEGINNING: Duration = Duration::from_secs(12);

/// The time kept free at the end of an invocation to write down what happened: two requests to AWS at their slowest.
pub const TO_RECORD: Duration = Duration::from_secs(6);

/// Everything an invitation is done with.
pub struct Worker {
    /// LeadSquared.
    pub account: Account,
    /// What was done before.
    pub ledger: Ledger,
    /// The queue the messages come from.
    pub invitations: Invitations,
    /// Where those go that no repeat would help.
    pub dead_letters: DeadLetters,
    /// What opens the passwords people chose.
    pub passwords: Opener,
    /// The settings.
    pub config: Config,
    /// What time it is.
    pub now: fn() -> OffsetDateTime,
    /// The same for deadlines within this process.
    pub instant: fn() -> Instant,
    /// Fills bytes at random.
    pub random: fn(&mut [u8]),
}

impl Worker {
    /// Handles a batch; what has to come back is in the answer.
    pub async fn handle(&self, event: &SqsEvent, deadline: OffsetDateTime) -> SqsBatchResponse {
        // Boxed, because everything down to the TLS handshake is one future, and its type is too deep for the
        // compiler.
        let handle = async |delivery| Box::pin(self.deliver(delivery, deadline)).await;
        let panicked = async |delivery| Box::pin(self.after_panic(delivery)).await;
        let returns = each_record(event, handle, panicked).await;
        self.invitations.put_off(&returns).await;
        returns.response()
    }

    /// One message, from its text to what becomes of it.
    async fn deliver(&self, delivery: Delivery<'_>, deadline: OffsetDateTime) -> Verdict {
        let now = (self.now)();
        let invitation = match Invitation::decode(delivery.body) {
            Ok(invitation) => Some(invitation),
            Err(MalformedInvitation::NewerVersion(version)) => {
                let receipt = InvitationId::of_message(delivery.body);
                return self.postpone(&delivery, None, receipt, Failure::NewerVersion(version), deadline, now).await;
            }
            Err(error) => {
                tracing::error!(message.id = delivery.message_id, error = %error, "malformed message dead-lettered");
                Metric::Malformed.record();
                let reason = Reason { class: "malformed", cause: error.to_string(), receipt: None };
                return self.dead_letter(&delivery, &reason, now).await;
            }
        };
        let attempt = match &invitation {
            Some(invitation) if deadline - now >= WORTH_BEGINNING => self.invite(invitation, &delivery, deadline).await,
            _ => Err(Failure::NoTime),
        };
        let receipt = invitation.as_ref().map(|invitation| invitation.id);
        match attempt {
            Ok(outcome) => self.end(&delivery, invitation.as_ref(), receipt, outcome).await,
            Err(failure) => self.postpone(&delivery, invitation.as_ref(), receipt, failure, deadline, now).await,
        }
    }

    /// After the handling of a message panicked. Touches as little as can be: what panicked may panic again.
    async fn after_panic(&self, delivery: Delivery<'_>) -> Verdict {
        let now = (self.now)();
        let receipt = InvitationId::of_message(delivery.body);
        self.postpone(&delivery, None, receipt, Failure::Panicked, now, now).await
    }

    /// Has a message come back; or ends it, if it has failed for as long as it may.
    ///
    /// Every message that fails goes through here, so that none stays on the queue until SQS deletes it. `invitation`
    /// is what the ledger can be asked about.
    async fn postpone(
        &self,
        delivery: &Delivery<'_>,
        invitation: Option<&Invitation>,
        receipt: Option<InvitationId>,
        failure: Failure,
        deadline: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Verdict {
        let age = delivery.age(now.into());
        self.report(receipt, delivery, &failure, age.unwrap_or_default());
        let is_young = age.is_some_and(|age| age < failure.horizon()) && delivery.receive_count < LAST_RECEIVE;
        if is_young {
            return Verdict::ComeBack(failure.wait(delivery.receive_count, now, &|| self.random_number()));
        }
        let given_up = match invitation {
            Some(invitation) if !matches!(failure, Failure::NoTime) => {
                let lease = self.lease(delivery, deadline);
                give_up(&self.ledger, invitation, lease, now, failure.name()).await
            }
            // Nothing was begun, or there is no time to ask the ledger.
            _ => Ok(Outcome::Exhausted { cause: failure.name().to_owned() }),
        };
        let outcome = given_up.unwrap_or_else(|postponed| {
            let receipt = receipt.map(tracing::field::display);
            let error = in_full(&postponed);
            tracing::warn!(
                receipt,
                error,
                "dead-lettered without a word in the ledger, which will know when it is put back"
            );
            Outcome::Exhausted { cause: failure.name().to_owned() }
        });
        self.end(delivery, invitation, receipt, outcome).await
    }

    /// Writes down how a message ended; the message comes back as long as its dead letter cannot be written.
    async fn end(
        &self,
        delivery: &Delivery<'_>,
        invitation: Option<&Invitation>,
        receipt: Option<InvitationId>,
        outcome: Outcome,
    ) -> Verdict {
        let now = (self.now)();
        let cause = outcome.cause().unwrap_or_default();
        let is_dead = match (&outcome, invitation) {
            (Outcome::Rejected(rejection), Some(invitation)) => !is_senders_fault(rejection, invitation),
            (Outcome::Rejected(_) | Outcome::Exhausted { .. }, _) => true,
            _ => false,
        };
        if is_dead {
            let reason = Reason { class: outcome.name(), cause: cause.to_string(), receipt };
            let verdict = self.dead_letter(delivery, &reason, now).await;
            if verdict != Verdict::Done {
                return verdict;
            }
            if matches!(outcome, Outcome::Rejected(_)) {
                Metric::Rejected.record();
            }
        }
        let (outcome, attempts) = (outcome.name(), delivery.receive_count);
        let source = invitation.map_or("unknown", |invitation| invitation.source.name());
        let rule = invitation.and_then(|invitation| invitation.rule.as_deref());
        let age = delivery.age(now.into()).unwrap_or_default();
        Metric::Ended { outcome, source, age }.record();
        let receipt = receipt.map(tracing::field::display);
        // The trace of whoever put it on the queue: Lambda's own, in the line's span, is that of a batch.
        let trace = Some(delivery.trace).filter(|trace| !trace.is_empty());
        match outcome == "rejected" && !is_dead {
            true => {
                tracing::warn!(receipt, source, rule, outcome, cause = &*cause, attempts, trace, "invitation ended")
            }
            false => {
                tracing::info!(receipt, source, rule, outcome, cause = &*cause, attempts, trace, "invitation ended")
            }
        }
        Verdict::Done
    }

    /// Takes an invitation through the flow.
    async fn invite(
        &self,
        invitation: &Invitation,
        delivery: &Delivery<'_>,
        deadline: OffsetDateTime,
    ) -> Result<Outcome, Failure> {
        let chosen_password = self.chosen_password(invitation).await?;
        let chosen_password = chosen_password.as_ref();
        let run = |client| async move { Ok(self.run(&client, invitation, delivery, chosen_password, deadline).await?) };
        self.account.ask(self.instant, Failure::leadsquared, run).await
    }

    /// The password they chose, if they chose one and it can be had.
    async fn chosen_password(&self, invitation: &Invitation) -> Result<Option<Password>, Failure> {
        let Some(sealed) = &invitation.password else { return Ok(None) };
        if invitation.provenance == Provenance::Public {
            // Anybody may have typed it beside somebody else's address, and LeadSquared's own page would take it.
            tracing::info!(receipt = %invitation.id, "a password from a form without a form key is not used: a random one is set");
            return Ok(None);
        }
        match self.passwords.open(invitation.id, sealed).await {
            Err(error @ OpenError::Unusable) => {
                // The link lets them in all the same, and the portal lets them choose again.
                tracing::error!(receipt = %invitation.id, error = %error, "the chosen password is lost: a random one is set");
                Ok(None)
            }
            other => Ok(other.map(Some)?),
        }
    }

    async fn run(
        &self,
        client: &Client,
        invitation: &Invitation,
        delivery: &Delivery<'_>,
        chosen_password: Option<&Password>,
        deadline: OffsetDateTime,
    ) -> Result<Outcome, Postponed> {
        let now = (self.now)();
        let left = Duration::try_from(deadline - now).unwrap_or_default().saturating_sub(TO_RECORD);
        let client = client.within((self.instant)() + left);
        let Config { link, wording, mail_sender, mail_limits, marking, .. } = &self.config;
        let mail = LeadSquaredChannel { client: &client, sender: mail_sender.as_ref(), wording };
        let flow = Flow { crm: &client, ledger: &self.ledger, mail: &mail, link, mail_limits: *mail_limits, marking };
        let mut password = [0; PASSWORD_BYTES];
        (self.random)(&mut password);
        let mut token = [0; LINK_TOKEN_BYTES];
        (self.random)(&mut token);
        let attempt = Attempt {
            now,
            lease: self.lease(delivery, deadline),
            password: generated_password(password),
            chosen_password: chosen_password.cloned(),
            token: LinkToken::new(token),
        };
        let completion = flow.run(invitation, attempt).await?;
        Metric::FieldsLeftOut(completion.fields_left_out).record();
        Ok(completion.outcome)
    }

    /// The right to work on an invitation until the invocation ends.
    fn lease(&self, delivery: &Delivery<'_>, deadline: OffsetDateTime) -> Lease {
        let mut holder = [0; 16];
        (self.random)(&mut holder);
        Lease {
            holder: Builder::from_random_bytes(holder).into_uuid(),
            // SQS's ids are UUIDs. If they ever were not, a message that was put back would count as a delivery of the
            // same.
            message: delivery.message_id.parse().unwrap_or_default(),
            until: deadline,
        }
    }

    /// Writes a dead letter; until that is certain the message has to come back.
    async fn dead_letter(&self, delivery: &Delivery<'_>, reason: &Reason, now: OffsetDateTime) -> Verdict {
        let Err(error) = self.dead_letters.send(delivery, reason).await else { return Verdict::Done };
        let age = delivery.age(now.into()).unwrap_or_default();
        let to_be_mended = !error.is_transient() || age >= LASTING;
        Metric::ComesBack { cause: "DeadLetterQueue", to_be_mended, age }.record();
        let (message, attempts) = (delivery.message_id, delivery.receive_count);
        match to_be_mended {
            true => tracing::error!(
                message.id = message, attempts, error = %error,
                "the dead letter could not be written and the message comes back: check DEAD_LETTERS_QUEUE_URL and the role"
            ),
            false => tracing::warn!(
                message.id = message, attempts, error = %error,
                "the dead letter could not be written: the message comes back, no action needed unless this lasts"
            ),
        }
        Verdict::ComeBack(match age >= OPERATOR_HORIZON {
            true => before_retention_ends(delivery.receive_count, age),
            false => backoff(delivery.receive_count, self.random_number()),
        })
    }

    /// Says once why a message has to wait, and what to do if somebody has to do something.
    fn report(&self, receipt: Option<InvitationId>, delivery: &Delivery<'_>, failure: &Failure, age: Duration) {
        let attempts = delivery.receive_count;
        let error = in_full(failure);
        let to_be_mended = failure.is_to_be_mended(age);
        Metric::ComesBack { cause: failure.name(), to_be_mended, age }.record();
        if let Failure::Postponed(Postponed::MailUnknown(_)) = failure {
            Metric::MailUnknown.record();
        }
        let (message, receipt) = (delivery.message_id, receipt.map(tracing::field::display));
        match failure {
            Failure::Account(_) if to_be_mended => {
                tracing::error!(
                    receipt,
                    attempts,
                    error,
                    "there are no LeadSquared keys: the invitation waits until there are"
                );
            }
            Failure::Password(_) if to_be_mended => {
                tracing::error!(
                    receipt,
                    attempts,
                    error,
                    "the chosen password cannot be opened: the invitation waits until it can"
                );
            }
            Failure::Postponed(Postponed::Ledger(_)) if to_be_mended => {
                tracing::error!(
                    receipt,
                    attempts,
                    error,
                    "the ledger has to be fixed: the invitation waits until it is"
                );
            }
            Failure::Panicked => {
                tracing::error!(receipt, message.id = message, attempts, "the message comes back after a panic");
            }
            Failure::NoTime => tracing::info!(
                receipt,
                message.id = message,
                attempts,
                "no time left in this invocation: the message goes back untouched"
            ),
            Failure::NewerVersion(_) => tracing::warn!(
                receipt,
                message.id = message,
                attempts,
                error,
                "a newer function wrote this message: it waits for a newer worker"
            ),
            _ => match failure.leadsquared() {
                Some(cause) if cause.is_configuration() => tracing::error!(
                    receipt,
                    attempts,
                    error,
                    cause = cause.name(),
                    secret = self.account.keys_secret(),
                    "LeadSquared is not set up right: the invitation waits until it is"
                ),
                _ if failure.until_next_day().is_some() => tracing::warn!(
                    receipt,
                    attempts,
                    error,
                    "no LeadSquared call left today: the invitation waits for the next UTC day"
                ),
                _ => tracing::warn!(receipt, attempts, error, "the invitation comes back"),
            },
        }
    }

    fn random_number(&self) -> u32 {
        let mut bytes = [0; 4];
        (self.random)(&mut bytes);
        u32::from_be_bytes(bytes)
    }
}

/// Whether a rejection is the fault of somebody anonymous who was told, or loses nobody: it is counted and logged, and
/// is neither a dead letter nor an alarm. Otherwise any visitor of the website could keep the operator's alarms on.
///
/// - Other content under a used id, through a form: its sender is answered 422 by the form. An event of the company's
///   own systems has a sender who is told nothing, so that one becomes a dead letter.
/// - A link that LeadSquared refuses to mail, asked for by an address that anybody may type: the lead is in
///   LeadSquared, and no application is lost.
fn is_senders_fault(rejection: &Rejection, invitation: &Invitation) -> bool {
    let is_anonymous = invitation.provenance != Provenance::System;
    match (rejection, &invitation.whom) {
        (Rejection::IdReused, _) => is_anonymous,
        (Rejection::Refused { .. }, Whom::Email(_)) => is_anonymous && invitation.action == Action::MailLink,
        _ => false,
    }
}

/// Why a message has to come back.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no time is left in this invocation")]
    NoTime,
    #[error("the message has version {0}, which this worker does not know: deploy the newer worker")]
    NewerVersion(u64),
    #[error("the handling of the message panicked")]
    Panicked,
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Password(#[from] OpenError),
    #[error(transparent)]
    Postponed(#[from] Postponed),
}

impl Failure {
    /// How long a message is tried in spite of it, from when it was put on the queue. All of them end before SQS
    /// deletes the message.
    fn horizon(&self) -> time::Duration {
        match self {
            // No fault of the message's, or one that only the operator can change.
            Self::NoTime | Self::NewerVersion(_) | Self::Account(_) | Self::Password(_) => OPERATOR_HORIZON,
            Self::Postponed(Postponed::MailBudget { .. } | Postponed::NotSupported) => OPERATOR_HORIZON,
            Self::Postponed(Postponed::LeadSquared { source, .. } | Postponed::MailUnknown(source)) => {
                let waits = source.is_configuration() || self.until_next_day().is_some();
                if waits { OPERATOR_HORIZON } else { RETRY_HORIZON }
            }
            Self::Postponed(Postponed::Held | Postponed::MailBookChanged | Postponed::Ledger(_)) | Self::Panicked => {
                RETRY_HORIZON
            }
        }
    }

    /// What LeadSquared had against it, if it was LeadSquared.
    fn leadsquared(&self) -> Option<&Error> {
        match self {
            Self::Postponed(postponed) => postponed.leadsquared(),
            _ => None,
        }
    }

    /// Whether the ledger is at fault in a way that only the operator can change.
    fn is_broken_ledger(&self) -> bool {
        let Self::Postponed(Postponed::Ledger(error)) = self else { return false };
        error.downcast_ref().is_some_and(LedgerError::is_for_operator)
    }

    /// The time until there are calls again, if those of the day are used up as far as the background may use them.
    fn until_next_day(&self) -> Option<Duration> {
        match self.leadsquared()? {
            Error::TurnedAway(turned_away) => until_next_day(turned_away),
            _ => None,
        }
    }

    /// Whether it lasts until somebody does something. What passes by itself counts as well once it has lasted.
    fn is_to_be_mended(&self, age: Duration) -> bool {
        match self {
            Self::Account(error) => !error.is_transient() || age >= LASTING,
            Self::Password(error) => !error.is_transient() || age >= LASTING,
            Self::NoTime | Self::NewerVersion(_) | Self::Postponed(Postponed::NotSupported) => age >= LASTING,
            Self::Panicked => true,
            Self::Postponed(_) => self.is_broken_ledger() || self.leadsquared().is_some_and(Error::is_configuration),
        }
    }

    /// How long the message waits for its next delivery.
    fn wait(&self, receive_count: u32, now: OffsetDateTime, random: &dyn Fn() -> u32) -> Duration {
        // All those that wait for the new day come in its first hour, and not at once.
        let in_first_hour_after = |until: Duration| {
            let spread = Duration::from_secs(60 * 60).mul_f64(f64::from(random()) / f64::from(u32::MAX));
            (until + spread).min(LONGEST_WAIT)
        };
        if let Some(left) = self.until_next_day() {
            return in_first_hour_after(left);
        }
        match self {
            Self::NoTime => after_no_time(receive_count, random()),
            Self::Panicked => AFTER_PANIC,
            Self::Postponed(Postponed::MailBudget { until }) => {
                in_first_hour_after(Duration::try_from(*until - now).unwrap_or_default())
            }
            Self::Postponed(Postponed::MailUnknown(_)) => AFTER_UNKNOWN_MAIL,
            // There was just no call left for it.
            Self::Postponed(Postponed::LeadSquared {
                source: Error::RateLimited { .. } | Error::TurnedAway(_) | Error::OutOfTime,
                ..
            }) => after_throttling(receive_count, random()),
            _ => backoff(receive_count, random()),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            _ if self.until_next_day().is_some() => "DayUsedUp",
            Self::NoTime => "NoTime",
            Self::NewerVersion(_) => "NewerVersion",
            Self::Panicked => "Panicked",
            Self::Account(_) => "NoKeys",
            Self::Password(_) => "NoPassword",
            Self::Postponed(Postponed::Held) => "Held",
            Self::Postponed(Postponed::MailBudget { .. }) => "MailBudget",
            Self::Postponed(Postponed::MailBookChanged) => "MailBookChanged",
            Self::Postponed(Postponed::NotSupported) => "NotSupported",
            Self::Postponed(Postponed::Ledger(_)) => "Ledger",
            Self::Postponed(Postponed::MailUnknown(_)) => "MailUnknown",
            Self::Postponed(Postponed::LeadSquared { source, .. }) => source.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use call_allowance::BackgroundDayUsedUp;
    use leadsquared::TurnedAway;

    use super::*;

    #[test]
    fn an_invitation_without_a_call_today_is_retried_in_the_first_hour_of_the_next_day_for_13_days() {
        let failure = |retry_after, source| {
            let source = Error::TurnedAway(TurnedAway { retry_after: Some(retry_after), source });
            Failure::Postponed(Postponed::LeadSquared { step: "registering the lead", source })
        };
        let (hour, now) = (Duration::from_secs(60 * 60), OffsetDateTime::UNIX_EPOCH);
        let used_up = |retry_after| failure(retry_after, Some(Arc::new(BackgroundDayUsedUp) as _));
        // However often it was tried before.
        for receive_count in [1, 500] {
            assert_eq!(used_up(hour * 5).wait(receive_count, now, &|| 0), hour * 5);
            assert_eq!(used_up(hour * 5).wait(receive_count, now, &|| u32::MAX), hour * 6);
            assert_eq!(used_up(hour * 20).wait(receive_count, now, &|| 0), LONGEST_WAIT);
        }
        assert_eq!((used_up(hour).name(), used_up(hour).horizon()), ("DayUsedUp", OPERATOR_HORIZON));

        let busy = failure(hour, None);
        assert_eq!(busy.wait(1, now, &|| 0), Duration::from_secs(5));
        assert_eq!((busy.name(), busy.horizon()), ("TurnedAway", RETRY_HORIZON));
    }
}

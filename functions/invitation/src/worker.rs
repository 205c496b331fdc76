use std::time::{Duration, Instant};

use account::{Account, AccountError, until_next_day};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use invitation_flow::{
    Attempt, Flow, Invitation, LINK_TOKEN_BYTES, Lease, LinkToken, MalformedInvitation, Outcome, PASSWORD_BYTES,
    Postponed, generated_password, give_up,
};
use leadsquared::{Client, Error, Password};
use ledger::Ledger;
use mail::LeadSquaredChannel;
use queue::{DeadLetters, Delivery, Invitations, Reason, Verdict, after_throttling, backoff, each_record};
use sealing::{OpenError, Opener};
use telemetry::{Metric, in_full};
use time::OffsetDateTime;
use uuid::Builder;

use crate::Config;

/// How long an invitation is tried before it is laid aside: longer than LeadSquared's worst day.
pub const RETRY_HORIZON: time::Duration = time::Duration::hours(36);

/// How long it waits for what an operator has to mend: nearly as long as SQS keeps a message.
pub const OPERATOR_HORIZON: time::Duration = time::Duration::days(13);

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
        // Boxed, because everything down to the TLS handshake is one future, and its type is too deep for the compiler.
        let returns = each_record(event, async |delivery| Box::pin(self.deliver(delivery, deadline)).await).await;
        self.invitations.put_off(&returns).await;
        returns.response()
    }

    /// One message, from its text to what becomes of it.
    async fn deliver(&self, delivery: Delivery<'_>, deadline: OffsetDateTime) -> Verdict {
        let now = (self.now)();
        if deadline - now < WORTH_BEGINNING {
            tracing::info!(
                message.id = delivery.message_id,
                "no time left in this invocation: the message goes back untouched"
            );
            return Verdict::ComeBack(Duration::ZERO);
        }
        let invitation = match Invitation::decode(delivery.body) {
            Ok(invitation) => invitation,
            Err(MalformedInvitation::NewerVersion(version)) => {
                tracing::warn!(
                    message.id = delivery.message_id,
                    version,
                    "a newer function wrote this message: it waits for a newer worker"
                );
                let age = age(&delivery, now).unsigned_abs();
                Metric::ComesBack { cause: "NewerVersion", to_be_mended: false, age }.record();
                return Verdict::ComeBack(backoff(delivery.receive_count, self.random_number()));
            }
            Err(error) => {
                tracing::error!(message.id = delivery.message_id, error = %error, "malformed message laid aside");
                Metric::Malformed.record();
                let reason = Reason { class: "malformed", cause: error.to_string(), receipt: None };
                return self.lay_aside(&delivery, &reason).await;
            }
        };
        let outcome = match self.invite(&invitation, &delivery, deadline).await {
            Ok(outcome) => outcome,
            Err(failure) => {
                self.report(&invitation, &delivery, &failure, now);
                if age(&delivery, now) < failure.horizon() {
                    return Verdict::ComeBack(failure.wait(delivery.receive_count, now, self.random_number()));
                }
                let lease = self.lease(&delivery, deadline);
                match give_up(&self.ledger, &invitation, lease, now, failure.name()).await {
                    Ok(outcome) => outcome,
                    Err(postponed) => {
                        self.report(&invitation, &delivery, &postponed.into(), now);
                        return Verdict::ComeBack(backoff(delivery.receive_count, self.random_number()));
                    }
                }
            }
        };
        let cause = outcome.cause().unwrap_or_default();
        let verdict = match outcome {
            Outcome::Rejected(_) | Outcome::Exhausted { .. } => {
                let (class, receipt) = (outcome.name(), Some(invitation.id));
                self.lay_aside(&delivery, &Reason { class, cause: cause.to_string(), receipt }).await
            }
            Outcome::Invited | Outcome::InvitedExisting | Outcome::AlreadyInvited | Outcome::Suppressed(_) => {
                Verdict::Done
            }
        };
        if verdict == Verdict::Done {
            let (outcome, attempts) = (outcome.name(), delivery.receive_count);
            let (source, rule) = (invitation.source.name(), invitation.rule.as_deref());
            let age = age(&delivery, (self.now)()).unsigned_abs();
            Metric::Ended { outcome, source, age }.record();
            // The trace of whoever put it on the queue: Lambda's own, in the line's span, is that of a batch.
            let trace = Some(delivery.trace).filter(|trace| !trace.is_empty());
            tracing::info!(
                receipt = %invitation.id, source, rule, outcome, cause = &*cause, attempts, trace, "invitation ended"
            );
        }
        verdict
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
        let Config { link, wording, mail_sender, mail_limits, .. } = &self.config;
        let mail = LeadSquaredChannel { client: &client, sender: mail_sender.as_ref(), wording };
        let flow = Flow { crm: &client, ledger: &self.ledger, mail: &mail, link, mail_limits: *mail_limits };
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
        flow.run(invitation, attempt).await
    }

    /// The right to work on an invitation until the invocation ends.
    fn lease(&self, delivery: &Delivery<'_>, deadline: OffsetDateTime) -> Lease {
        let mut holder = [0; 16];
        (self.random)(&mut holder);
        Lease {
            holder: Builder::from_random_bytes(holder).into_uuid(),
            // SQS's ids are UUIDs. If they ever were not, a message that was put back would count as a delivery of the same.
            message: delivery.message_id.parse().unwrap_or_default(),
            until: deadline,
        }
    }

    /// Lays a message aside; until that is certain it has to come back.
    async fn lay_aside(&self, delivery: &Delivery<'_>, reason: &Reason) -> Verdict {
        match self.dead_letters.send(delivery, reason).await {
            Ok(()) => Verdict::Done,
            Err(error) => {
                tracing::warn!(message.id = delivery.message_id, error = %error, "the message could not be laid aside: it comes back");
                Verdict::ComeBack(backoff(delivery.receive_count, self.random_number()))
            }
        }
    }

    /// Says once why an invitation has to wait, and what to do if somebody has to do something.
    fn report(&self, invitation: &Invitation, delivery: &Delivery<'_>, failure: &Failure, now: OffsetDateTime) {
        let (receipt, attempts) = (invitation.id, delivery.receive_count);
        let error = in_full(failure);
        let age = age(delivery, now).unsigned_abs();
        Metric::ComesBack { cause: failure.name(), to_be_mended: failure.is_to_be_mended(), age }.record();
        if let Failure::Postponed(Postponed::MailUnknown(_)) = failure {
            Metric::MailUnknown.record();
        }
        match failure {
            Failure::Account(_) => {
                tracing::error!(%receipt, attempts, error, "there are no LeadSquared keys: the invitation waits until there are");
            }
            Failure::Password(_) => {
                tracing::error!(%receipt, attempts, error, "the chosen password cannot be opened: the invitation waits until it can");
            }
            Failure::Postponed(postponed) => match postponed.leadsquared() {
                Some(cause) if cause.is_configuration() => tracing::error!(
                    %receipt, attempts, error, cause = cause.name(), secret = self.account.keys_secret(),
                    "LeadSquared is not set up right: the invitation waits until it is"
                ),
                _ if failure.until_next_day().is_some() => tracing::warn!(
                    %receipt, attempts, error, "no LeadSquared call left today: the invitation waits for the next UTC day"
                ),
                _ => tracing::warn!(%receipt, attempts, error, "the invitation comes back"),
            },
        }
    }

    fn random_number(&self) -> u32 {
        let mut bytes = [0; 4];
        (self.random)(&mut bytes);
        u32::from_be_bytes(bytes)
    }
}

/// How long ago a message was put on the queue.
fn age(delivery: &Delivery<'_>, now: OffsetDateTime) -> time::Duration {
    delivery.sent_at.map_or(time::Duration::ZERO, |sent_at| now - OffsetDateTime::from(sent_at))
}

/// Why an invitation has to come back.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Password(#[from] OpenError),
    #[error(transparent)]
    Postponed(#[from] Postponed),
}

impl Failure {
    /// How long the invitation is tried in spite of it.
    fn horizon(&self) -> time::Duration {
        match self {
            Self::Postponed(Postponed::MailBudget { .. }) => OPERATOR_HORIZON,
            _ if self.until_next_day().is_some() => OPERATOR_HORIZON,
            _ if self.is_to_be_mended() => OPERATOR_HORIZON,
            _ => RETRY_HORIZON,
        }
    }

    /// What LeadSquared had against it, if it was LeadSquared.
    fn leadsquared(&self) -> Option<&Error> {
        match self {
            Self::Account(_) | Self::Password(_) => None,
            Self::Postponed(postponed) => postponed.leadsquared(),
        }
    }

    /// The time until there are calls again, if those of the day are used up as far as the background may use them.
    fn until_next_day(&self) -> Option<Duration> {
        match self.leadsquared()? {
            Error::TurnedAway(turned_away) => until_next_day(turned_away),
            _ => None,
        }
    }

    /// Whether it lasts until somebody does something.
    fn is_to_be_mended(&self) -> bool {
        match self {
            Self::Account(_) | Self::Password(_) => true,
            Self::Postponed(_) => self.leadsquared().is_some_and(Error::is_configuration),
        }
    }

    /// How long the invitation waits for its next attempt.
    fn wait(&self, receive_count: u32, now: OffsetDateTime, random: u32) -> Duration {
        // All those that wait for the new day come in its first hour, and not at once.
        let in_first_hour_after = |until: Duration| {
            let spread = Duration::from_secs(60 * 60).mul_f64(f64::from(random) / f64::from(u32::MAX));
            (until + spread).min(LONGEST_WAIT)
        };
        if let Some(left) = self.until_next_day() {
            return in_first_hour_after(left);
        }
        match self {
            Self::Postponed(Postponed::MailBudget { until }) => {
                in_first_hour_after(Duration::try_from(*until - now).unwrap_or_default())
            }
            Self::Postponed(Postponed::MailUnknown(_)) => AFTER_UNKNOWN_MAIL,
            // There was just no call left for it.
            Self::Postponed(Postponed::LeadSquared {
                source: Error::RateLimited { .. } | Error::TurnedAway(_) | Error::OutOfTime,
                ..
            }) => after_throttling(receive_count, random),
            _ => backoff(receive_count, random),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            _ if self.until_next_day().is_some() => "DayUsedUp",
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

    use allowance::BackgroundDayUsedUp;
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
            assert_eq!(used_up(hour * 5).wait(receive_count, now, 0), hour * 5);
            assert_eq!(used_up(hour * 5).wait(receive_count, now, u32::MAX), hour * 6);
            assert_eq!(used_up(hour * 20).wait(receive_count, now, 0), LONGEST_WAIT);
        }
        assert_eq!((used_up(hour).name(), used_up(hour).horizon()), ("DayUsedUp", OPERATOR_HORIZON));

        let busy = failure(hour, None);
        assert_eq!(busy.wait(1, now, 0), Duration::from_secs(5));
        assert_eq!((busy.name(), busy.horizon()), ("TurnedAway", RETRY_HORIZON));
    }
}

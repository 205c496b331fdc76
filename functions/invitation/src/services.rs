//! The services of the domain's worker, implemented on AWS.

use std::time::Duration;

use leadsquared::{Client, Password, TurnedAway};
use leadsquared_account::{Access, AccountError, until_next_day};
use ledger::{Ledger, LedgerError};
use mail::LeadSquaredChannel;
use onboarding::retry::Horizons;
use onboarding::worker::{self, DeadLetterReason, SealedPasswordError, ServiceFailure, Services, WorkerEvent};
use onboarding::{Invitation, InvitationId, Mail, SealedPassword};
use password_sealing::OpenError;
use queue::{MessageDelivery, QueueError, Retries};
use time::OffsetDateTime;

use crate::{SqsWorker, log};

/// When a message is delivered again that was dead-lettered, or sent again, and not deleted. It is longer than an
/// invocation, and with one more invocation shorter than the five minutes within which SQS drops a second copy as a
/// duplicate. The queue's visibility time-out is longer than that.
const RETRY_IF_NOT_DELETED: Duration = Duration::from_secs(2 * 60);

/// One delivery of SQS, with the clients and settings that it is handled with.
pub(crate) struct OneDelivery<'a> {
    pub(crate) shared: &'a SqsWorker,
    pub(crate) delivery: MessageDelivery<'a>,
}

impl OneDelivery<'_> {
    /// The domain's worker with the function's settings.
    pub(crate) fn worker(&self) -> worker::Worker<'_, Self> {
        let config = &self.shared.config;
        worker::Worker {
            services: self,
            link: &config.link,
            mail_limits: config.mail_limits,
            marking: &config.marking,
            lookups: &config.lookups,
            horizons: Horizons::default(),
        }
    }

    /// The delivery as the domain sees it.
    pub(crate) fn delivery(&self) -> worker::Delivery<'_> {
        worker::Delivery {
            // SQS's ids are UUIDs. Were one not, a dead letter that was put back would count as another delivery of
            // the same message.
            message: self.delivery.message_id.parse().unwrap_or_default(),
            body: self.delivery.body,
            receive_count: self.delivery.receive_count,
            age: self.delivery.age(self.now().into()),
            has_own_group: self.delivery.has_own_group,
        }
    }

    /// Precedes the sending of a copy of the message. If the process crashes after it, the message is delivered again
    /// while SQS still drops a second copy as a duplicate.
    async fn shorten_redelivery(&self) {
        self.shared.invitations.postpone(&Retries::of(self.delivery, RETRY_IF_NOT_DELETED)).await;
    }
}

impl Services for OneDelivery<'_> {
    type Access = Access;
    type Crm = Client;
    type Ledger = Ledger;

    async fn access(&self) -> Result<Access, ServiceFailure> {
        self.shared.account.access((self.shared.instant)()).await.map_err(no_keys)
    }

    async fn access_after_refusal(&self, refused: &Access) -> Result<Option<Access>, ServiceFailure> {
        self.shared.account.access_after_refusal(refused, (self.shared.instant)()).await.map_err(no_keys)
    }

    fn crm(&self, access: &Access, time_left: Duration) -> Client {
        access.client.within((self.shared.instant)() + time_left)
    }

    fn mail<'a>(&'a self, crm: &'a Client) -> impl Mail + 'a {
        let config = &self.shared.config;
        LeadSquaredChannel { client: crm, sender: &config.mail_sender, wording: &config.wording }
    }

    fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    fn is_ledger_broken(&self, error: &LedgerError) -> bool {
        error.is_for_operator()
    }

    fn until_next_day(&self, turned_away: &TurnedAway) -> Option<Duration> {
        until_next_day(turned_away)
    }

    async fn open_password(
        &self,
        invitation: InvitationId,
        sealed: &SealedPassword,
    ) -> Result<Password, SealedPasswordError> {
        self.shared.passwords.open(invitation, sealed).await.map_err(|error| match error {
            OpenError::Unusable => SealedPasswordError::Unusable(error.into()),
            OpenError::Unavailable { .. } | OpenError::Refused { .. } => {
                let is_transient = error.is_transient();
                SealedPasswordError::Unavailable(ServiceFailure::new(error, is_transient))
            }
        })
    }

    async fn dead_letter(&self, reason: &DeadLetterReason) -> Result<(), ServiceFailure> {
        self.shorten_redelivery().await;
        self.shared.dead_letters.send(&self.delivery, reason).await.map_err(not_sent)
    }

    async fn requeue(&self, question: &Invitation) -> Result<(), ServiceFailure> {
        self.shorten_redelivery().await;
        self.shared.invitations.requeue(&self.delivery, question).await.map_err(not_sent)
    }

    async fn make_way(&self, invitation: &Invitation) -> Result<(), ServiceFailure> {
        self.shorten_redelivery().await;
        self.shared.invitations.make_way(&self.delivery, invitation).await.map_err(not_sent)
    }

    fn now(&self) -> OffsetDateTime {
        (self.shared.now)()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        (self.shared.random)(bytes);
    }

    fn report(&self, report: &WorkerEvent<'_>) {
        log::record(report, &self.delivery, self.now(), self.shared.account.keys_secret());
    }
}

fn not_sent(error: QueueError) -> ServiceFailure {
    let is_transient = error.is_transient();
    ServiceFailure::new(error, is_transient)
}

fn no_keys(error: AccountError) -> ServiceFailure {
    let is_transient = error.is_transient();
    ServiceFailure::new(error, is_transient)
}

//! From a batch of SQS records to deliveries for the domain's worker, and back to Lambda's answer.

use std::time::Instant;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use leadsquared_account::Account;
use ledger::Ledger;
use onboarding::worker::Disposition;
use password_sealing::Opener;
use queue::{DeadLetters, Invitations, MessageDelivery, each_record};
use time::OffsetDateTime;

use crate::Config;
use crate::services::OneDelivery;

/// The clients and settings that every delivery is handled with.
pub struct SqsWorker {
    /// LeadSquared.
    pub account: Account,
    /// The ledger, which knows the steps of earlier attempts.
    pub ledger: Ledger,
    /// The queue that delivers the messages.
    pub invitations: Invitations,
    /// The queue of dead letters.
    pub dead_letters: DeadLetters,
    /// Opens the passwords that applicants chose.
    pub passwords: Opener,
    /// The settings.
    pub config: Config,
    /// The current time.
    pub now: fn() -> OffsetDateTime,
    /// The current time for deadlines within this process.
    pub instant: fn() -> Instant,
    /// Fills bytes at random.
    pub random: fn(&mut [u8]),
}

impl SqsWorker {
    /// Handles a batch. The answer names the messages that SQS must deliver again.
    pub async fn handle(&self, event: &SqsEvent, deadline: OffsetDateTime) -> SqsBatchResponse {
        // Boxed, because everything down to the TLS handshake is one future, and its type is too deep for the
        // compiler.
        let handle = async |delivery| Box::pin(self.deliver(delivery, deadline)).await;
        let panicked = async |delivery| Box::pin(self.after_panic(delivery)).await;
        let retries = each_record(event, handle, panicked).await;
        self.invitations.postpone(&retries).await;
        retries.response()
    }

    async fn deliver(&self, delivery: MessageDelivery<'_>, deadline: OffsetDateTime) -> Disposition {
        let services = OneDelivery { shared: self, delivery };
        services.worker().handle(&services.delivery(), deadline).await
    }

    async fn after_panic(&self, delivery: MessageDelivery<'_>) -> Disposition {
        let services = OneDelivery { shared: self, delivery };
        services.worker().after_panic(&services.delivery()).await
    }
}

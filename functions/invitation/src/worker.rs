//! From a batch of SQS records to deliveries for the domain's worker, and back to Lambda's answer.

use std::time::Instant;

use aws::SdkConfig;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use leadsquared::{InvalidOptions, Lane};
use leadsquared_account::{Account, BACKGROUND_TIMEOUTS};
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
    /// The worker with these settings, on this machine's clock and random numbers. This reads and sends nothing yet.
    ///
    /// # Errors
    /// When the settings of LeadSquared are invalid.
    pub fn open(aws: &SdkConfig, config: Config) -> Result<Self, InvalidOptions> {
        let sqs = aws_sdk_sqs::Client::new(aws);
        Ok(Self {
            account: Account::open(aws, &config.account, Lane::Background, BACKGROUND_TIMEOUTS)?,
            ledger: Ledger::new(aws_sdk_dynamodb::Client::new(aws), config.account.ledger_table.clone()),
            invitations: Invitations::new(sqs.clone(), config.invitations_queue_url.clone()),
            passwords: Opener::new(aws_sdk_kms::Client::new(aws)),
            dead_letters: DeadLetters::new(sqs, config.dead_letters_queue_url.clone()),
            config,
            now: OffsetDateTime::now_utc,
            instant: Instant::now,
            random: runtime::random_bytes,
        })
    }

    /// Opens the connections of the first message and reads the keys: an applicant waits for the mail.
    pub async fn connect(&self) {
        tokio::join!(self.ledger.connect(), self.account.prepare((self.instant)()));
    }

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

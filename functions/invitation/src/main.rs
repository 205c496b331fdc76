//! Reads the settings, builds the clients once, and handles batches of messages.

use std::time::Instant;

use aws_lambda_events::sqs::SqsEvent;
use invitation::{Config, SqsWorker};
use lambda_runtime::{Error, LambdaEvent};
use leadsquared::Lane;
use leadsquared_account::{Account, BACKGROUND_TIMEOUTS};
use ledger::Ledger;
use password_sealing::Opener;
use queue::{DeadLetters, Invitations};
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = runtime::start(Config::read)?;
    let aws = aws::config()?;
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let worker = &SqsWorker {
        account: Account::open(&aws, &config.account, Lane::Background, BACKGROUND_TIMEOUTS)?,
        ledger: Ledger::new(aws_sdk_dynamodb::Client::new(&aws), config.account.ledger_table.clone()),
        invitations: Invitations::new(sqs.clone(), config.invitations_queue_url.clone()),
        passwords: Opener::new(aws_sdk_kms::Client::new(&aws)),
        dead_letters: DeadLetters::new(sqs, config.dead_letters_queue_url.clone()),
        config,
        now: OffsetDateTime::now_utc,
        instant: Instant::now,
        random: runtime::random_bytes,
    };
    let handle = async |LambdaEvent { payload, context }: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(worker.handle(&payload, context.deadline().into()).await)
    };
    runtime::serve(handle).await
}

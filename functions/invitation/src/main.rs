//! Reads the settings, builds every client once, and serves batches.

use std::sync::Arc;
use std::time::Instant;

use allowance::{Allowance, DynamoDb};
use aws_lambda_events::sqs::SqsEvent;
use invitation::{Account, Config, Worker};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use ledger::Ledger;
use queue::{DeadLetters, Invitations};
use sealing::Opener;
use settings::{Secret, Variables};
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    telemetry::init(variable);
    let config = Config::read(&Variables::new(&variable))?;
    let aws = aws::config().await;
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let keys = Secret::new(aws_sdk_secretsmanager::Client::new(&aws), config.keys_secret.clone(), Account::KEYS);
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let line = DynamoDb::new(dynamodb.clone(), config.ledger_table.clone(), config.allowance);
    let mut leadsquared = config.leadsquared.clone();
    leadsquared.admission = Arc::new(Allowance::new(line));
    let worker = &Worker {
        account: Account::new(leadsquared, keys)?,
        ledger: Ledger::new(dynamodb, config.ledger_table.clone()),
        invitations: Invitations::new(sqs.clone(), config.invitations_queue_url.clone()),
        passwords: Opener::new(aws_sdk_kms::Client::new(&aws)),
        dead_letters: DeadLetters::new(sqs, config.dead_letters_queue_url.clone()),
        config,
        now: OffsetDateTime::now_utc,
        instant: Instant::now,
        random: |bytes| getrandom::fill(bytes).expect("Linux gives random bytes once it is up"),
    };
    let serve = async |event: LambdaEvent<SqsEvent>| {
        let deadline = event.context.deadline();
        Ok::<_, Error>(worker.handle(&event.payload, deadline.into()).await)
    };
    run(service_fn(serve)).await.map_err(anyhow::Error::from_boxed)
}

//! Reads the settings, builds every client once, and serves batches.

use std::time::Instant;

use aws_lambda_events::sqs::SqsEvent;
use invitation::{Config, TIMEOUTS, Worker};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use leadsquared::Lane;
use leadsquared_account::Account;
use ledger::Ledger;
use password_sealing::Opener;
use queue::{DeadLetters, Invitations};
use settings::Variables;
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    telemetry::init(variable);
    let config = Config::read(&Variables::new(&variable))?;
    let aws = aws::config().await;
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let worker = &Worker {
        account: Account::open(&aws, &config.account, Lane::Background, TIMEOUTS)?,
        ledger: Ledger::new(aws_sdk_dynamodb::Client::new(&aws), config.account.ledger_table.clone()),
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
        Ok::<_, Error>(telemetry::invocation(&event.context, worker.handle(&event.payload, deadline.into())).await)
    };
    run(service_fn(serve)).await.map_err(anyhow::Error::from_boxed)
}

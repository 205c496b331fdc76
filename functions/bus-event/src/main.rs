//! Reads the settings, builds the clients once, and serves events.

// The AWS SDK's futures lie deep in each other, and these lie in ours.
#![recursion_limit = "256"]

use std::time::Instant;

use bus_event::{Bus, Config, SigningSecrets};
use intake::Intake;
use lambda_runtime::{LambdaEvent, run, service_fn};
use ledger::Ledger;
use queue::{DeadLetters, Invitations};
use serde_json::Value;
use settings::{Secret, Variables};
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    telemetry::init(variable);
    let config = Config::read(&Variables::new(&variable))?;
    let aws = aws::config().await;
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let secrets = aws_sdk_secretsmanager::Client::new(&aws);
    let table = config.intake.ledger_table.clone();
    let table = table.map(|table| Ledger::new(aws_sdk_dynamodb::Client::new(&aws), table));
    let bus = &Bus {
        intake: Intake::new(table, &config.intake),
        invitations: Invitations::new(sqs.clone(), config.invitations_queue_url),
        dead_letters: DeadLetters::new(sqs, config.dead_letters_queue_url),
        signing_secrets: Secret::new(secrets, config.signing_secret, SigningSecrets::EXPECTED),
    };
    let serve = async |event: LambdaEvent<Value>| {
        let LambdaEvent { payload, context } = event;
        let work = bus.handle(payload, &context.request_id, OffsetDateTime::now_utc(), Instant::now());
        telemetry::invocation(&context, work).await
    };
    run(service_fn(serve)).await.map_err(anyhow::Error::from_boxed)
}

//! Reads the settings, builds the clients once, and handles events.

// The AWS SDK's futures are nested deeply, and the handler nests them deeper.
#![recursion_limit = "256"]

use std::time::Instant;

use bus_event::{Bus, Config, SigningSecrets};
use intake::Intake;
use lambda_runtime::LambdaEvent;
use ledger::Ledger;
use queue::{DeadLetters, Invitations};
use serde_json::Value;
use settings::Secret;
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = runtime::start(Config::read)?;
    config.default_country.prepare();
    let aws = aws::config(runtime::variable)?;
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let secrets = aws_sdk_secretsmanager::Client::new(&aws);
    let ledger = |table| Ledger::new(aws_sdk_dynamodb::Client::new(&aws), table);
    let bus = &Bus {
        intake: Intake::new(config.intake.ledger_table.clone().map(ledger), &config.intake),
        invitations: Invitations::new(sqs.clone(), config.invitations_queue_url),
        dead_letters: DeadLetters::new(sqs, config.dead_letters_queue_url),
        signing_secrets: Secret::new(secrets, config.signing_secret, SigningSecrets::EXPECTED),
        default_country: config.default_country,
    };
    let handle = async |LambdaEvent { payload, context }: LambdaEvent<Value>| {
        bus.handle(payload, &context.request_id, OffsetDateTime::now_utc(), Instant::now()).await
    };
    runtime::serve(handle).await
}

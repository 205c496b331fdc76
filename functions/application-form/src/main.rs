//! Reads the settings, builds the queue's client once, and serves requests.

use application_form::{Config, Stores, answer};
use intake::Intake;
use lambda_http::Request;
use ledger::Ledger;
use password_sealing::Sealer;
use queue::Invitations;
use settings::Variables;
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    telemetry::init(variable);
    let config = &Config::read(&Variables::new(&variable))?;
    let aws = aws::config().await;
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let table = config.intake.ledger_table.clone();
    let stores = &Stores {
        intake: Intake::new(table.map(|table| Ledger::new(aws_sdk_dynamodb::Client::new(&aws), table)), &config.intake),
        invitations: Invitations::new(sqs, config.invitations_queue_url.clone()),
        sealer: config.password_key.clone().map(|key| Sealer::new(aws_sdk_kms::Client::new(&aws), key)),
    };
    let answer = |request: Request| async move { answer(config, stores, &request, OffsetDateTime::now_utc()).await };
    http_events::serve(answer).await.map_err(anyhow::Error::from_boxed)
}

//! Reads the settings, builds the clients once, and serves webhooks.

use crm_event::{Config, Stores, answer};
use lambda_http::Request;
use ledger::Ledger;
use queue::Invitations;
use settings::Variables;
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    telemetry::init(variable);
    let config = &Config::read(&Variables::new(&variable))?;
    let aws = aws::config().await;
    let stores = &Stores {
        invitations: Invitations::new(aws_sdk_sqs::Client::new(&aws), config.invitations_queue_url.clone()),
        ledger: Ledger::new(aws_sdk_dynamodb::Client::new(&aws), config.ledger_table.clone()),
    };
    let answer = |request: Request| async move { answer(config, stores, &request, OffsetDateTime::now_utc()).await };
    http_events::serve(answer).await.map_err(anyhow::Error::from_boxed)
}

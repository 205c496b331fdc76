//! Reads the settings, builds the clients once, and answers webhooks.

use crm_event::{Config, Stores, answer};
use lambda_http::Request;
use ledger::Ledger;
use queue::Invitations;
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = &runtime::start(Config::read)?;
    let aws = aws::config(runtime::variable)?;
    let stores = &Stores {
        invitations: Invitations::new(aws_sdk_sqs::Client::new(&aws), config.invitations_queue_url.clone()),
        ledger: Ledger::new(aws_sdk_dynamodb::Client::new(&aws), config.ledger_table.clone()),
    };
    http_events::serve(async |request: Request| answer(config, stores, &request, OffsetDateTime::now_utc()).await).await
}

//! Reads the settings, builds the clients once, and answers requests.

use std::time::{Duration, Instant};

use lambda_http::Request;
use leadsquared::Lane;
use leadsquared_account::{Account, INTERACTIVE_TIMEOUTS};
use ledger::Ledger;
use portal_account::{Config, PortalAccount};
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = runtime::start(Config::read)?;
    config.default_country.prepare();
    // A request makes several calls to the table within its five seconds: one that hangs must not use them up.
    let aws = aws::config_within(Duration::from_millis(1500), runtime::variable)?;
    let portal_account = &PortalAccount {
        account: Account::open(&aws, &config.account, Lane::Interactive, INTERACTIVE_TIMEOUTS)?,
        ledger: Ledger::new(aws_sdk_dynamodb::Client::new(&aws), config.account.ledger_table.clone()),
        config,
        now: OffsetDateTime::now_utc,
        instant: Instant::now,
        sleep: |time| Box::pin(tokio::time::sleep(time)),
        random: runtime::random_bytes,
    };
    let PortalAccount { ledger, account, .. } = portal_account;
    aws::in_start(async { tokio::join!(ledger.connect(), account.prepare(Instant::now())) }).await;
    http_events::serve(async |request: Request| portal_account.answer(&request).await).await
}

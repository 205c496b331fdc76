//! Reads the settings, builds every client once, and serves requests.

use std::time::{Duration, Instant};

use lambda_http::Request;
use leadsquared::Lane;
use leadsquared_account::Account;
use ledger::Ledger;
use portal_account::{Config, PortalAccount, TIMEOUTS};
use settings::Variables;
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    telemetry::init(variable);
    let config = Config::read(&Variables::new(&variable))?;
    // Several calls have to fit into a request's five seconds, and a table that hangs must not use them up.
    let aws = aws::config_within(Duration::from_millis(1500)).await;
    let portal_account = &PortalAccount {
        account: Account::open(&aws, &config.account, Lane::Interactive, TIMEOUTS)?,
        ledger: Ledger::new(aws_sdk_dynamodb::Client::new(&aws), config.account.ledger_table.clone()),
        config,
        now: OffsetDateTime::now_utc,
        instant: Instant::now,
        sleep: |time| Box::pin(tokio::time::sleep(time)),
        random: |bytes| getrandom::fill(bytes).expect("Linux gives random bytes once it is up"),
    };
    let answer = |request: Request| async move { portal_account.answer(&request).await };
    http_events::serve(answer).await.map_err(anyhow::Error::from_boxed)
}

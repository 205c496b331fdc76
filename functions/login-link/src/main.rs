//! Reads the settings, builds the clients once, and answers requests.

use std::time::Instant;

use intake::Intake;
use lambda_http::Request;
use leadsquared::Lane;
use leadsquared_account::{Account, INTERACTIVE_TIMEOUTS};
use ledger::Ledger;
use login_link::{Config, LoginLinks, answer};
use queue::Invitations;
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = runtime::start(Config::read)?;
    let aws = aws::config(runtime::variable)?;
    let ledger = Ledger::new(aws_sdk_dynamodb::Client::new(&aws), config.account.ledger_table.clone());
    let links = &LoginLinks {
        account: Account::open(&aws, &config.account, Lane::Interactive, INTERACTIVE_TIMEOUTS)?,
        intake: Intake::new(Some(ledger.clone()), &config.intake),
        ledger,
        invitations: Invitations::new(aws_sdk_sqs::Client::new(&aws), config.invitations_queue_url.clone()),
        config,
        now: OffsetDateTime::now_utc,
        instant: Instant::now,
        random: runtime::random_bytes,
    };
    aws::in_start(async { tokio::join!(links.ledger.connect(), links.account.prepare(Instant::now())) }).await;
    // Boxed: the future reaches down to the TLS handshake, and its type is too deep for the compiler.
    http_events::serve(|request: Request| Box::pin(async move { answer(links, &request).await })).await
}

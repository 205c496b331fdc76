//! Reads the settings, builds every client once, and serves requests.

use std::time::Instant;

use intake::Intake;
use lambda_http::Request;
use leadsquared::Lane;
use leadsquared_account::Account;
use ledger::Ledger;
use login_link::{Config, LoginLinks, TIMEOUTS, answer};
use queue::Invitations;
use settings::Variables;
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    telemetry::init(variable);
    let config = Config::read(&Variables::new(&variable))?;
    let aws = aws::config().await;
    let ledger = Ledger::new(aws_sdk_dynamodb::Client::new(&aws), config.account.ledger_table.clone());
    let links = &LoginLinks {
        account: Account::open(&aws, &config.account, Lane::Interactive, TIMEOUTS)?,
        intake: Intake::new(Some(ledger.clone()), &config.intake),
        ledger,
        invitations: Invitations::new(aws_sdk_sqs::Client::new(&aws), config.invitations_queue_url.clone()),
        config,
        now: OffsetDateTime::now_utc,
        instant: Instant::now,
        random: |bytes| getrandom::fill(bytes).expect("Linux gives random bytes once it is up"),
    };
    // Boxed, because everything down to the TLS handshake is one future, and its type is too deep for the compiler.
    let answer = |request: Request| Box::pin(async move { answer(links, &request).await });
    http_events::serve(answer).await.map_err(anyhow::Error::from_boxed)
}

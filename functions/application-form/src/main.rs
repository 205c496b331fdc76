//! Reads the settings, builds the queue's client once, and serves requests.

use application_form::{Config, answer};
use lambda_http::{Error, Request, run, service_fn};
use queue::Invitations;
use settings::Variables;
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    telemetry::init();
    let config = &Config::read(&Variables::new(&|name| std::env::var(name).ok()))?;
    let sqs = aws_sdk_sqs::Client::new(&aws::config().await);
    let invitations = &Invitations::new(sqs, config.invitations_queue_url.clone());
    let serve =
        async |request: Request| Ok::<_, Error>(answer(config, invitations, &request, OffsetDateTime::now_utc()).await);
    run(service_fn(serve)).await.map_err(anyhow::Error::from_boxed)
}

//! Reads the settings, and looks at the account whenever it is told to.

use std::time::{Duration, Instant, SystemTime};

use key_check::{Config, check};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::de::IgnoredAny;
use settings::Variables;
use time::OffsetDateTime;

/// The time kept free at the end of an invocation to say what was found.
const TO_REPORT: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    telemetry::init(variable);
    let config = &Config::read(&Variables::new(&variable))?;
    let aws = &aws::config().await;
    // Whatever it is told by: there is one thing to do.
    let serve = async |event: LambdaEvent<IgnoredAny>| {
        let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let (now, at) = (Instant::now(), OffsetDateTime::now_utc());
        let work = check(aws, config, now, at, left.saturating_sub(TO_REPORT));
        Ok::<_, Error>(telemetry::invocation(&event.context, work).await?)
    };
    run(service_fn(serve)).await.map_err(anyhow::Error::from_boxed)
}

//! Reads the settings, and checks the LeadSquared account at every invocation.

use std::time::{Duration, Instant, SystemTime};

use key_check::{Config, check};
use lambda_runtime::LambdaEvent;
use serde::de::IgnoredAny;
use time::OffsetDateTime;

/// Time kept free at the end of an invocation to log and return the report.
const TO_REPORT: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = &runtime::start(Config::read)?;
    let aws = &aws::config(runtime::variable)?;
    // The check is the same for every trigger, so the event is not read.
    let handle = async |event: LambdaEvent<IgnoredAny>| {
        let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        check(aws, config, Instant::now(), OffsetDateTime::now_utc(), left.saturating_sub(TO_REPORT))
            .await
            .map_err(lambda_runtime::Error::from)
    };
    runtime::serve(handle).await
}

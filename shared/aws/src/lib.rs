//! How our functions talk to AWS: one set of time-outs, and errors without what was sent.

use std::time::Duration;

pub use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// What every client starts from: region and credentials as Lambda gives them, and time-outs.
///
/// A call has 3 s in all, two attempts included: API Gateway answers for us with its own 503 after 30 s, and a person at a
/// form should hear ours long before.
pub async fn config() -> SdkConfig {
    config_within(Duration::from_secs(3)).await
}

/// The same with another time for a call in all.
pub async fn config_within(time: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(time / 3)
        .operation_attempt_timeout(time / 2)
        .operation_timeout(time)
        .build();
    aws_config::from_env()
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .load()
        .await
}

/// Why a call to AWS did not succeed: the service's error code, or what happened on the way. Never the service's text,
/// which may quote what was sent.
pub fn cause<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    let cause = match (error.code(), error) {
        (Some(code), _) => code,
        (None, SdkError::TimeoutError(_)) => "no answer in time",
        (None, SdkError::DispatchFailure(_)) => "not reached",
        (None, SdkError::ConstructionFailure(_)) => "the request could not be built",
        (None, _) => "the answer was not understood",
    };
    cause.to_owned()
}

//! How our functions talk to AWS: one set of time-outs, and errors without what was sent.

use std::time::Duration;

pub use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// What every client starts from: region and credentials as Lambda gives them, and time-outs.
///
/// A call has 3 s in all, two attempts included: API Gateway answers for us with its own 503 after 30 s, and a person
/// at a form should hear ours long before.
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

/// Whether the same call may succeed later although nobody changes anything: AWS did not answer, failed, or was asked
/// too often. Everything else, such as a missing permission or a resource that is not there, is for the operator.
pub fn is_transient<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => true,
        SdkError::ConstructionFailure(_) => false,
        _ => {
            let status = error.raw_response().map_or(0, |response| response.status().as_u16());
            // A 4xx answer without a code comes from something in front of AWS.
            status >= 500 || status == 429 || error.code().is_none_or(is_transient_code)
        }
    }
}

/// Whether an error code of AWS's is about the moment: throttling, or a failure on AWS's side.
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html>,
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>)
pub fn is_transient_code(code: &str) -> bool {
    const PARTS: [&str; 11] = [
        "Throttl",
        "TooManyRequests",
        "RequestLimitExceeded",
        "LimitExceededException",
        "SlowDown",
        "ProvisionedThroughputExceeded",
        "TransactionConflict",
        "TransactionInProgress",
        "Internal",
        "Unavailable",
        "Timeout",
    ];
    PARTS.iter().any(|part| code.contains(part))
}

/// Whether a [`cause`] names something that only the operator changes: a resource that is not there, or a permission
/// that is missing.
pub fn is_for_operator(cause: &str) -> bool {
    ["NotFound", "AccessDenied", "NonExistentQueue", "DoesNotExist"].iter().any(|part| cause.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_about_the_moment_or_for_the_operator() {
        for code in [
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottled",
            "InternalServiceError",
            "InternalServerError",
            "InternalFailure",
            "KMSInternalException",
            "KeyUnavailableException",
            "DependencyTimeoutException",
            "ServiceUnavailable",
            "ProvisionedThroughputExceededException",
        ] {
            assert!(is_transient_code(code) && !is_for_operator(code), "{code}");
        }
        for code in ["AccessDeniedException", "ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue"] {
            assert!(!is_transient_code(code) && is_for_operator(code), "{code}");
        }
        for code in ["DisabledException", "KMSInvalidStateException", "InvalidRequestException", "DecryptionFailure"] {
            assert!(!is_transient_code(code), "{code}");
        }
    }
}

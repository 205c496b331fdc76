#![doc = include_str!("../README.md")]

mod config;
mod connect;
mod http;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
pub use aws_types::SdkConfig;

pub use config::{ConfigError, config, config_within, http_client, local_config, retries};
pub use connect::{in_start, only_connecting};

/// Why a call to AWS failed: the service's error code, or how the call failed. It never contains the service's text,
/// which may quote the request.
pub fn cause<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    let cause = match (error.code(), error) {
        (Some(code), _) => code,
        (None, SdkError::TimeoutError(_)) => "no answer in time",
        (None, SdkError::DispatchFailure(_)) => "not reached",
        (None, SdkError::ConstructionFailure(_)) => "the request could not be built",
        (None, _) => "unreadable answer",
    };
    cause.to_owned()
}

/// Whether the same call may succeed later without a change by the operator: AWS did not answer, failed or throttled
/// the call. Every other failure, such as a missing permission or resource, is for the operator.
pub fn is_transient<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => true,
        SdkError::ConstructionFailure(_) => false,
        _ => {
            let status = error.raw_response().map_or(0, |response| response.status().as_u16());
            // A 4xx answer without an error code comes from a proxy in front of AWS.
            status >= 500 || status == 429 || error.code().is_none_or(is_transient_code)
        }
    }
}

/// Whether an error code of AWS means throttling or a failure on the side of AWS
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html>,
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>).
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

/// Whether a [`cause`] names a missing resource or permission, which only the operator can add.
pub fn is_for_operator(cause: &str) -> bool {
    ["NotFound", "AccessDenied", "NonExistentQueue", "DoesNotExist"].iter().any(|part| cause.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_transient_or_for_the_operator() {
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

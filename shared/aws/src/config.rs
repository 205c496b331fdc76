//! The configuration of every AWS client, from the variables that Lambda sets.
//!
//! `aws-config` would read them too, and with them profiles, metadata services and a client for STS, which no function
//! uses: they take half of a function's start and 0.3 MB of its archive.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::{ReconnectMode, RetryConfig};
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::http::Http;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable that Lambda sets is missing.
    #[error(
        "the variable {name} is missing. Lambda sets it; elsewhere set AWS_REGION, and run \
         `eval \"$(aws configure export-credentials --format env)\"` for the credentials"
    )]
    Missing {
        /// The variable.
        name: &'static str,
    },
    /// The file with additional root certificates cannot be used.
    #[error("AWS_CA_BUNDLE: expected a file with certificates in PEM format at {path}")]
    CaBundle {
        /// The value of the variable.
        path: String,
    },
    /// The encryption library failed.
    #[error("encryption could not be set up")]
    NoEncryption,
}

/// The configuration of every AWS client: region and credentials from Lambda's environment, and time-outs.
///
/// A call has 3 s for both attempts together. An applicant who submits a form thus gets the function's own answer long
/// before API Gateway answers 503 after 30 s
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>).
///
/// Read are `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, which Lambda sets, and
/// of the SDK's other variables `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_SQS` and those of other services,
/// `AWS_CA_BUNDLE`, `AWS_USE_FIPS_ENDPOINT` and `AWS_USE_DUALSTACK_ENDPOINT`
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>).
///
/// # Errors
/// When the region or the credentials are missing, or the certificates of `AWS_CA_BUNDLE` are unreadable.
pub fn config(variable: fn(&str) -> Option<String>) -> Result<SdkConfig, ConfigError> {
    config_within(Duration::from_secs(3), variable)
}

/// The same configuration with another time limit for a call, both attempts together.
///
/// # Errors
/// As for [`config`].
pub fn config_within(limit: Duration, variable: fn(&str) -> Option<String>) -> Result<SdkConfig, ConfigError> {
    let required = |name| variable(name).ok_or(ConfigError::Missing { name });
    let region = required("AWS_REGION")?;
    let (id, secret) = (required("AWS_ACCESS_KEY_ID")?, required("AWS_SECRET_ACCESS_KEY")?);
    let credentials = Credentials::new(id, secret, variable("AWS_SESSION_TOKEN"), None, "environment");
    let is_on = |name| variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let mut config = within(limit, credentials, Region::new(region))
        .http_client(Http::new(limit / 3, variable("AWS_CA_BUNDLE").as_deref())?)
        .service_config(ServiceEndpoints(variable))
        .use_fips(is_on("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(is_on("AWS_USE_DUALSTACK_ENDPOINT"));
    config.set_endpoint_url(variable("AWS_ENDPOINT_URL"));
    Ok(config.build())
}

/// The endpoints of single services.
#[derive(Debug)]
struct ServiceEndpoints(fn(&str) -> Option<String>);

impl LoadServiceConfig for ServiceEndpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let Self(variable) = self;
        variable(&format!("{}_{}", key.env(), key.service_id().to_ascii_uppercase().replace(' ', "_")))
    }
}

/// The configuration for an AWS endpoint on this machine. `account` is the access key, which such an endpoint may take
/// for the account's number.
///
/// # Panics
/// When the encryption library cannot be set up.
pub fn local_config(url: &str, account: &str) -> SdkConfig {
    let limit = Duration::from_secs(30);
    let credentials = Credentials::new(account, "secret", None, None, "local");
    let client = http_client(limit / 3).expect("a client without more certificates can be built");
    within(limit, credentials, Region::from_static("us-east-1")).http_client(client).endpoint_url(url).build()
}

/// How every configuration repeats calls. reqwest closes the connection of a failed call itself.
pub fn retries() -> RetryConfig {
    RetryConfig::standard().with_reconnect_mode(ReconnectMode::ReuseAllConnections)
}

/// The HTTP client of every configuration, for a configuration that is made elsewhere.
///
/// # Errors
/// When the encryption library cannot be set up.
pub fn http_client(connect: Duration) -> Result<SharedHttpClient, ConfigError> {
    Ok(SharedHttpClient::new(Http::new(connect, None)?))
}

fn within(limit: Duration, credentials: Credentials, region: Region) -> aws_types::sdk_config::Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(limit / 2).operation_timeout(limit).build();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .timeout_config(timeouts)
        .retry_config(retries().with_max_attempts(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(3);

    fn of_lambda(name: &str) -> Option<String> {
        let value = match name {
            "AWS_REGION" => "ap-south-1",
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN" => "secret",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn endpoint_of(config: &SdkConfig, service: &str) -> Option<String> {
        let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
        config.service_config()?.load_config(key.build().unwrap())
    }

    #[test]
    fn the_variables_of_lambda_are_enough() {
        let config = config_within(LIMIT, of_lambda).unwrap();
        assert_eq!(config.region().unwrap().as_ref(), "ap-south-1");
        let endpoint = (config.endpoint_url(), config.use_fips(), config.use_dual_stack(), endpoint_of(&config, "SQS"));
        assert_eq!(endpoint, (None, Some(false), Some(false), None));
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = config_within(LIMIT, |name| of_lambda(name).filter(|_| name != "AWS_ACCESS_KEY_ID"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    }

    #[test]
    fn an_endpoint_can_be_set() {
        let variable = |name: &str| match name {
            "AWS_ENDPOINT_URL" => Some("http://127.0.0.1:4566".to_owned()),
            "AWS_ENDPOINT_URL_SECRETS_MANAGER" => Some("http://127.0.0.1:9".to_owned()),
            "AWS_USE_FIPS_ENDPOINT" => Some("TRUE".to_owned()),
            _ => of_lambda(name),
        };
        let config = config_within(LIMIT, variable).unwrap();
        assert_eq!((config.endpoint_url(), config.use_fips()), (Some("http://127.0.0.1:4566"), Some(true)));
        assert_eq!(endpoint_of(&config, "Secrets Manager").as_deref(), Some("http://127.0.0.1:9"));
        assert_eq!(endpoint_of(&config, "SQS"), None);
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        for (path, content) in [("missing", None), ("empty", Some("")), ("wrong", Some(WRONG))] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(path);
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let path = path.to_str().unwrap();
            let error = Http::new(LIMIT, Some(path)).unwrap_err().to_string();
            assert!(error.contains("AWS_CA_BUNDLE") && error.contains(path), "{error}");
        }
    }

    const WRONG: &str = "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n";
}

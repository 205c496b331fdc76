//! Signed calls of two AWS operations that no SDK crate of the workspace has: Lambda's `Invoke` and CloudWatch Logs'
//! `FilterLogEvents`.
//!
//! The SDK crates of both services take minutes to compile, and would serve one call each.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use http::{HeaderMap, Request};
use serde_json::Value;

use crate::OperatorError;

/// The time-out of one call. It is longer than bus-event's own time-out.
const CALL_TIME: Duration = Duration::from_secs(60);

/// An operation of a service.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    /// The service's name in signatures and host names.
    pub(crate) service: &'static str,
    /// The call's name in IAM policies.
    pub(crate) action: &'static str,
    /// The header `x-amz-target`, for a service with the JSON protocol.
    pub(crate) target: Option<&'static str>,
}

/// The answer to a call that succeeded.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// Why a call failed: AWS's error code, or the kind of network failure.
type Cause = String;

/// Sends signed requests with the credentials, the region and the endpoint of a configuration.
pub(crate) struct SignedClient<'a> {
    config: &'a SdkConfig,
    http: reqwest::Client,
}

impl<'a> SignedClient<'a> {
    /// A client with this configuration.
    pub(crate) fn new(config: &'a SdkConfig) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls =
            tls.expect("the provider has the default versions").with_root_certificates(roots).with_no_client_auth();
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(CALL_TIME).build();
        Self { config, http: http.expect("a client with these settings can be built") }
    }

    /// Calls an operation with a JSON body.
    ///
    /// # Errors
    /// When AWS does not answer, or refuses the call.
    pub(crate) async fn call(&self, operation: Operation, path: &str, body: &Value) -> Result<Answer, OperatorError> {
        let answer = self.try_call(operation, path, body).await;
        answer.map_err(|cause| OperatorError::Call { action: operation.action, cause })
    }

    /// Calls an operation with a JSON body.
    pub(crate) async fn try_call(&self, operation: Operation, path: &str, body: &Value) -> Result<Answer, Cause> {
        let request = self.signed(operation, path, body.to_string().into_bytes()).await?;
        let request = reqwest::Request::try_from(request).map_err(|_| "the request could not be built")?;
        let answer = self.http.execute(request).await.map_err(|error| unanswered(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(|error| unanswered(&error))?;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        match status.is_success() {
            true => Ok(Answer { headers, body }),
            false => Err(error_code(&headers, &body).unwrap_or_else(|| format!("HTTP {}", status.as_u16()))),
        }
    }

    async fn signed(&self, operation: Operation, path: &str, body: Vec<u8>) -> Result<Request<Vec<u8>>, Cause> {
        let unbuilt = |_| "the request could not be built";
        let region = self.config.region().ok_or("no region: set AWS_REGION")?.as_ref();
        let host = match self.config.endpoint_url() {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("https://{}.{region}.{}", operation.service, domain(region)),
        };
        let mut request = Request::post(format!("{host}{path}")).header("content-type", "application/x-amz-json-1.1");
        if let Some(target) = operation.target {
            request = request.header("x-amz-target", target);
        }
        let mut request = request.body(body).map_err(|_| "the request could not be built")?;

        let provider = self.config.credentials_provider().ok_or("no credentials")?;
        let credentials = provider.provide_credentials().await.map_err(|_| "no credentials")?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&credentials)
            .region(region)
            .name(operation.service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| "the request could not be signed")?
            .into();
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()));
        let to_sign =
            SignableRequest::new("POST", request.uri().to_string(), headers, SignableBody::Bytes(request.body()));
        let signed = http_request::sign(to_sign.map_err(unbuilt)?, &parameters).map_err(unbuilt)?;
        signed.into_parts().0.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// The domain of AWS's hosts in a region.
fn domain(region: &str) -> &'static str {
    match region.starts_with("cn-") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    }
}

fn unanswered(error: &reqwest::Error) -> Cause {
    let cause = if error.is_timeout() { "no answer in time" } else { "not reached" };
    cause.to_owned()
}

/// The code in an error answer. Lambda sends it in a header, CloudWatch Logs in the body, both with a suffix or prefix
/// (<https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization>).
fn error_code(headers: &HeaderMap, body: &Value) -> Option<Cause> {
    let in_header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let code = in_header.or_else(|| body["__type"].as_str())?;
    let code = code.split(':').next().unwrap_or(code);
    Some(code.rsplit('#').next().unwrap_or(code).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_has_its_code_alone() {
        let header =
            |value: &str| HeaderMap::from_iter([("x-amzn-errortype".parse().unwrap(), value.parse().unwrap())]);
        for (headers, body) in [
            (header("ResourceNotFoundException:http://internal.amazon.com/coral/"), json!({"message": "secret"})),
            (HeaderMap::new(), json!({"__type": "com.amazonaws.logs#ResourceNotFoundException"})),
            (HeaderMap::new(), json!({"__type": "ResourceNotFoundException"})),
        ] {
            assert_eq!(error_code(&headers, &body).as_deref(), Some("ResourceNotFoundException"));
        }
        assert_eq!(error_code(&HeaderMap::new(), &Value::Null), None);
        assert_eq!([domain("ap-south-1"), domain("cn-north-1")], ["amazonaws.com", "amazonaws.com.cn"]);
    }
}

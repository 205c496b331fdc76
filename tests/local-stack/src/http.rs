//! A plain HTTP client for loopback addresses.

use std::time::SystemTime;

use anyhow::Context;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

pub(crate) type Client = hyper_util::client::legacy::Client<HttpConnector, Body>;

/// The limit for answers that are read whole. It is larger than any of them.
pub(crate) const LIMIT: usize = 16 * 1024 * 1024;

pub(crate) fn client() -> Client {
    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http()
}

/// Calls an AWS operation, such as `AmazonSQS.GetQueueAttributes`, of the MiniStack at `endpoint`, as the account's
/// owner.
pub(crate) async fn aws(
    client: &Client,
    endpoint: &str,
    operation: &'static str,
    question: &Value,
) -> anyhow::Result<(StatusCode, String)> {
    let question = question.to_string();
    let mut request = Request::post(endpoint)
        .header("x-amz-target", operation)
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from(question.clone()))?;
    sign(&mut request, service(operation)?, question.as_bytes())?;
    text(client, request).await.context("MiniStack does not answer")
}

/// The name that signatures use for an operation's service.
fn service(operation: &str) -> anyhow::Result<&'static str> {
    const SERVICES: [(&str, &str); 4] =
        [("AmazonSQS.", "sqs"), ("AWSEvents.", "events"), ("Logs_", "logs"), ("secretsmanager.", "secretsmanager")];
    let found = SERVICES.iter().find(|(prefix, _)| operation.starts_with(prefix));
    found.map(|(_, service)| *service).with_context(|| format!("{operation} belongs to an unknown service"))
}

fn sign(request: &mut Request<Body>, service: &str, body: &[u8]) -> anyhow::Result<()> {
    let owner = Credentials::new("test", "test", None, None, "MiniStack's own").into();
    let parameters = v4::SigningParams::builder()
        .identity(&owner)
        .region("us-east-1")
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()));
    let to_sign = SignableRequest::new("POST", request.uri().to_string(), headers, SignableBody::Bytes(body))?;
    let (instructions, _) = http_request::sign(to_sign, &parameters)?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

/// The status and the whole body of the answer.
pub(crate) async fn text(client: &Client, request: Request<Body>) -> anyhow::Result<(StatusCode, String)> {
    let response = client.request(request).await.context("no answer")?;
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), LIMIT).await.context("the answer broke off")?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

//! Plain HTTP on loopback.

use anyhow::Context;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

pub(crate) type Client = hyper_util::client::legacy::Client<HttpConnector, Body>;

/// More than any answer that is read whole here.
pub(crate) const LIMIT: usize = 16 * 1024 * 1024;

pub(crate) fn client() -> Client {
    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http()
}

/// Asks an AWS service of the MiniStack at `endpoint`; `operation` is such as `AmazonSQS.GetQueueAttributes`.
pub(crate) async fn aws(
    client: &Client,
    endpoint: &str,
    operation: &'static str,
    question: &Value,
) -> anyhow::Result<(StatusCode, String)> {
    let request = Request::post(endpoint)
        .header("x-amz-target", operation)
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from(question.to_string()))?;
    text(client, request).await.context("MiniStack does not answer")
}

/// The status and the whole body of the answer.
pub(crate) async fn text(client: &Client, request: Request<Body>) -> anyhow::Result<(StatusCode, String)> {
    let response = client.request(request).await.context("no answer")?;
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), LIMIT).await.context("the answer broke off")?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

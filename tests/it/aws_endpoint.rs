//! HTTP servers on loopback that stand in for an AWS service, or stand between a function and one.

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use crate::aws::Aws;

/// A server that is running for as long as this value lives.
pub(crate) struct Server {
    pub(crate) url: String,
    _task: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut task = JoinSet::new();
        task.spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, _task: task }
    }

    /// An AWS service that answers every call with this error.
    pub(crate) async fn failing(status: u16, code: &'static str) -> Self {
        let answer = error(status, code);
        Self::start(Router::new().fallback(async || answer)).await
    }
}

/// A call to an AWS service with a JSON protocol.
pub(crate) struct Call {
    /// Such as `UpdateItem`.
    pub(crate) operation: String,
    pub(crate) body: Bytes,
}

impl Call {
    /// Whether the call's JSON contains this text.
    pub(crate) fn contains(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(text)
    }
}

/// The AWS endpoint of this account, behind a proxy: `intercept` sees each call first and may answer it.
pub(crate) async fn proxy<F>(aws: &Aws, intercept: impl Fn(Call) -> F + Clone + Send + Sync + 'static) -> Server
where
    F: Future<Output = Option<Response>> + Send,
{
    let target = aws.endpoint().to_owned();
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let pass = async move |request: Request| {
        let (mut parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let header = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let operation = header.rsplit('.').next().unwrap_or_default().to_owned();
        if let Some(answer) = intercept(Call { operation, body: body.clone() }).await {
            return answer;
        }
        parts.uri = target.parse().unwrap();
        match client.request(Request::from_parts(parts, Body::from(body))).await {
            Ok(answer) => answer.map(Body::new).into_response(),
            Err(_) => StatusCode::BAD_GATEWAY.into_response(),
        }
    };
    Server::start(Router::new().fallback(pass)).await
}

/// An AWS error as a service with a JSON protocol answers it.
pub(crate) fn error(status: u16, code: &str) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/x-amz-json-1.1")], json!({ "__type": code }).to_string())
}

//! The local stack, with its HTTP functions taken out of MiniStack, whose own HTTP API takes 100 ms for a request, and put
//! behind a front of ours.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::config::Credentials;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use leadsquared_emulator::Limit;
use local_stack::steps::Steps;
use local_stack::{HttpFunction, LocalStack, Options};
use runtime_api::Function;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::front::{self, Integration};
use crate::tally::Tally;

/// What LeadSquared's webhooks prove themselves with.
pub(crate) const WEBHOOK_SECRET: &str = "a-secret-of-no-importance";

pub(crate) struct Stage {
    pub(crate) stack: LocalStack,
    /// Where the front is.
    pub(crate) url: String,
    pub(crate) tally: Tally,
    functions: Vec<Arc<Function>>,
    client: Client<HttpConnector, Body>,
    end: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Stage {
    pub(crate) async fn start(steps: &Steps) -> anyhow::Result<Self> {
        // LeadSquared's limit is not what is looked at here.
        let limit = Limit { calls: 1_000_000, ..Limit::default() };
        let stack = LocalStack::start(Options { limit, steps: steps.clone(), ..Options::default() }).await?;
        let step = steps.begin("The HTTP functions behind a front");
        let mut integrations = Vec::new();
        for deployed in stack.http_functions() {
            let function = Arc::new(start(deployed, &stack.ministack().url()).await?);
            let timeout = Duration::from_secs(deployed.timeout_seconds);
            integrations.push(Integration { function, routes: deployed.routes.clone(), timeout });
        }
        let tally = Tally::default();
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("there is no free port on 127.0.0.1")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (end, ended) = oneshot::channel();
        let served = axum::serve(listener, front::router(&integrations, &tally, steps)?);
        let served = served.with_graceful_shutdown(async { drop(ended.await) });
        let server = tokio::spawn(served.into_future());
        let functions = integrations.into_iter().map(|integration| integration.function).collect();
        let client = Client::builder(TokioExecutor::new()).build_http();
        step.done();
        Ok(Self { stack, url, tally, functions, client, end, server })
    }

    /// Posts JSON to the front, which must answer with a success.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = Request::post(format!("{}{path}", self.url))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(Body::from(body.to_string()))?;
        let response = self.client.request(request).await.with_context(|| format!("no answer from {path}"))?;
        let status = response.status();
        let body = to_bytes(Body::new(response.into_body()), 1 << 20).await?;
        ensure!(status.is_success(), "{path} answered {status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).with_context(|| format!("the answer of {path}"))
    }

    /// What other systems sign events with, read as one of them would get it.
    pub(crate) async fn signing_secret(&self) -> anyhow::Result<String> {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(self.stack.ministack().url())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "conformance"))
            .load()
            .await;
        let secret = self.stack.output("EventSigningSecretArn").context("the template has no such output")?;
        let client = aws_sdk_secretsmanager::Client::new(&config);
        let secret = client.get_secret_value().secret_id(secret).send().await?.secret_string;
        let secret: Value = serde_json::from_str(&secret.context("the secret is no text")?)?;
        Ok(secret["current"].as_str().context("the secret holds no current one")?.to_owned())
    }

    /// Stops everything; returns all that the functions logged.
    pub(crate) async fn end(self) -> anyhow::Result<String> {
        drop(self.end);
        self.server.await??;
        let mut logs = String::new();
        for function in self.functions {
            let function = Arc::into_inner(function).context("a request is still under way")?;
            logs += &function.stop().await;
        }
        self.stack.shutdown().await;
        Ok(logs)
    }
}

async fn start(deployed: &HttpFunction, ministack: &str) -> anyhow::Result<Function> {
    let mut settings = deployed.settings.clone();
    let hash = hex::encode(Sha256::digest(WEBHOOK_SECRET));
    for (name, value) in [
        ("WEBHOOK_SECRET_HASHES", hash.as_str()),
        // Whoever asks here does not measure.
        ("ANSWER_FLOOR_MS", "0"),
    ] {
        if let Some(setting) = settings.get_mut(name) {
            *setting = value.to_owned();
        }
    }
    let aws = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", ministack),
    ];
    settings.extend(aws.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let started = Function::start(&deployed.binary, settings.into_iter().collect()).await;
    started.map_err(|error| anyhow!("{} does not start: {error:?}", deployed.binary.display()))
}

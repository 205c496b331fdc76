//! The local stack with its HTTP functions outside MiniStack, behind [`crate::api_gateway`]: MiniStack's own HTTP API
//! takes 100 ms for a request.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
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

use crate::api_gateway::{self, Integration};
use crate::tally::Tally;

/// The secret that webhooks carry.
pub(crate) const WEBHOOK_SECRET: &str = "a-secret-of-no-importance";

/// The running system of one conformance run.
pub(crate) struct Deployment {
    pub(crate) stack: LocalStack,
    /// Address of the functions' HTTP API.
    pub(crate) url: String,
    pub(crate) tally: Tally,
    functions: Vec<Arc<Function>>,
    client: Client<HttpConnector, Body>,
    end: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Deployment {
    pub(crate) async fn start(steps: &Steps) -> anyhow::Result<Self> {
        // A run makes more calls than LeadSquared's limit permits.
        let limit = Limit { calls: 1_000_000, ..Limit::default() };
        let stack = LocalStack::start(Options { limit, steps: steps.clone(), ..Options::default() }).await?;
        let step = steps.begin("The HTTP functions and their API");
        let mut integrations = Vec::new();
        for deployed in stack.http_functions() {
            let function = Arc::new(start(deployed, &stack.ministack().url()).await?);
            let timeout = Duration::from_secs(deployed.timeout_seconds);
            integrations.push(Integration { function, routes: deployed.routes.clone(), timeout });
        }
        let tally = Tally::default();
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("could not open a port on 127.0.0.1")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (end, ended) = oneshot::channel();
        let served = axum::serve(listener, api_gateway::router(&integrations, &tally, steps)?);
        let served = served.with_graceful_shutdown(async { drop(ended.await) });
        let server = tokio::spawn(served.into_future());
        let functions = integrations.into_iter().map(|integration| integration.function).collect();
        let client = Client::builder(TokioExecutor::new()).build_http();
        step.done();
        Ok(Self { stack, url, tally, functions, client, end, server })
    }

    /// Posts JSON to a function, which must answer with success.
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

    /// The secret with which other systems sign events, read from Secrets Manager.
    pub(crate) async fn signing_secret(&self) -> anyhow::Result<String> {
        let config = aws::local_config(&self.stack.ministack().url(), "test");
        let secret =
            self.stack.output("EventSigningSecretArn").context("the template has no output EventSigningSecretArn")?;
        let client = aws_sdk_secretsmanager::Client::new(&config);
        let secret = client.get_secret_value().secret_id(secret).send().await?.secret_string;
        let secret: Value = serde_json::from_str(&secret.context("the signing secret is not text")?)?;
        Ok(secret["current"].as_str().context("the signing secret has no `current`")?.to_owned())
    }

    /// Stops the system; returns the logs of the functions.
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
        // The delay against timing attacks would only slow the run down.
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
    started.map_err(|error| anyhow!("could not start {}: {error:?}", deployed.binary.display()))
}

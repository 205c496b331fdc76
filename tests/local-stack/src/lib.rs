#![doc = include_str!("../../../shared/rustdoc-links.md")]
#![doc = include_str!("../../../README.md")]
#![doc = include_str!("../../../functions/README.md")]
#![doc = include_str!("../../../shared/README.md")]
#![doc = include_str!("../../README.md")]
#![doc = include_str!("../../../functions/CHANGING.md")]
#![doc = include_str!("../README.md")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use leadsquared_emulator::{Emulator, Limit, Settings};
use tokio::sync::watch;
use tokio::task::JoinSet;

mod account;
mod api;
pub mod burst;
mod deploy;
mod flow;
pub mod functions;
mod http;
mod keeper;
mod logs;
pub mod ministack;
mod observe;
mod openapi;
mod ports;
mod python;
mod site;
pub mod smoke;
pub mod steps;
mod webhooks;
pub mod yaml;

pub use deploy::HttpFunction;
pub use flow::{Event, Moment};
pub use logs::Logs;
pub use ports::Ports;

use deploy::{Deployed, Deployment};
use flow::Flow;
use ministack::MiniStack;
use site::Places;
use steps::Steps;

/// The options of a stack. The default is for tests: free ports, correct keys, no progress shown.
#[derive(Clone, Default)]
pub struct Options {
    /// The ports to listen on.
    pub ports: Ports,
    /// The source of the deployed functions.
    pub build: Build,
    /// The LeadSquared keys in Secrets Manager.
    pub keys: Keys,
    /// The account's call limit, which is also the functions' call allowance. Default: 25 calls in 5 s.
    pub limit: Limit,
    /// Properties that replace those of the template's resources, such as a shorter time-out.
    pub properties: BTreeMap<&'static str, serde_json::Value>,
    /// Where progress is shown.
    pub steps: Steps,
}

/// The tool that built the deployed functions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Build {
    /// Cargo builds them for development when the stack starts.
    #[default]
    Development,
    /// `sam build` has built them into this folder, and `sam deploy` deploys it.
    Sam(PathBuf),
}

impl Build {
    /// The path of the template.
    fn template(&self) -> anyhow::Result<PathBuf> {
        let Self::Sam(folder) = self else { return Ok(workspace().join("template.yaml")) };
        let template = std::path::absolute(folder)?.join("template.yaml");
        ensure!(template.exists(), "{} is missing: run `sam build --build-dir` first", template.display());
        Ok(template)
    }

    /// Builds the functions and returns their binaries; none where they are in the template's folder.
    async fn binaries(&self, steps: &Steps) -> anyhow::Result<Option<BTreeMap<String, PathBuf>>> {
        match self {
            Self::Development => functions::build(steps).await.map(Some),
            Self::Sam(_) => Ok(None),
        }
    }
}

/// The LeadSquared keys in Secrets Manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// The keys of the emulated account's administrator.
    #[default]
    Right,
    /// The administrator's access key with a wrong secret key.
    WrongSecretKey,
}

/// The whole system. It ends with all its processes when dropped.
pub struct LocalStack {
    // The servers are dropped first, because they send requests to the later fields.
    servers: JoinSet<anyhow::Result<()>>,
    ministack: MiniStack,
    emulator: Arc<Emulator>,
    limit: Limit,
    client: http::Client,
    outputs: BTreeMap<String, String>,
    http_functions: Vec<HttpFunction>,
    form_key: webhooks::Secret,
    webhook_secret: webhooks::Secret,
    logs: Logs,
    places: Places,
    site_url: String,
    flow: Flow,
}

impl LocalStack {
    /// Builds the functions, starts all parts and deploys the template. The first start takes minutes, later ones take
    /// seconds.
    ///
    /// # Errors
    /// When a part is missing, does not build or cannot be deployed. The error says which, and what to do.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let Options { ports, build, keys, limit, properties, steps } = options;
        let template = build.template()?;
        let site = ports::listener(ports.site, "the site", &steps)?;
        let site_url = format!("http://{}", site.local_addr()?);
        let (binaries, ministack, emulator) = tokio::try_join!(
            build.binaries(&steps),
            MiniStack::start(ports.ministack, &steps),
            start_emulator(ports.emulator, limit, &site_url, &steps)
        )?;
        let emulator = Arc::new(emulator);
        let api = ports::listener(ports.api, "the HTTP API", &steps)?;
        let places = Places {
            api_url: format!("http://{}", api.local_addr()?),
            emulator_url: emulator.url().to_string(),
            portal_url: emulator.portal_page_url().to_string(),
            ministack_url: ministack.url(),
        };

        let (webhook_secret, site_secret) = (webhooks::Secret::new()?, webhooks::Secret::new()?);
        let form_key = webhooks::Secret::new()?;
        let step = steps.begin("Deploying template.yaml");
        let deployment = Deployment {
            template,
            binaries: binaries.as_ref(),
            parameters: parameters(
                &emulator,
                limit,
                &places,
                &site_url,
                [webhook_secret.hash(), site_secret.hash(), form_key.hash()],
            ),
            properties,
            secrets: BTreeMap::from([("KeysSecretArn", secret(&emulator, keys)?)]),
        };
        let Deployed { outputs, functions, logs, api: api_id, http: http_functions } =
            deployment.deploy(&ministack).await?;
        step.done();

        let flow = Flow::new();
        let mut servers = JoinSet::new();
        servers.spawn(site::serve(site, places.clone(), emulator.clone(), site_secret));
        servers.spawn(api::serve(api, ministack.port(), api_id, flow.clone()));
        servers.spawn(observe::watch(emulator.clone(), flow.clone()));
        let step = steps.begin("Setting up LeadSquared's webhooks");
        webhooks::set_up(&emulator, &places.api_url, webhook_secret.clone()).await.context("LeadSquared's webhooks")?;
        step.done();
        let logs = Logs::new(ministack.url(), functions, logs);
        let client = http::client();
        Ok(Self {
            servers,
            ministack,
            emulator,
            limit,
            client,
            outputs,
            http_functions,
            form_key,
            webhook_secret,
            logs,
            places,
            site_url,
            flow,
        })
    }

    /// The start page of the demonstration site; the form is at `/apply`.
    pub fn site_url(&self) -> &str {
        &self.site_url
    }

    /// The HTTP API; the form posts to `/applications`.
    pub fn api_url(&self) -> &str {
        &self.places.api_url
    }

    /// The header of LeadSquared's webhooks, and the secret that crm-event accepts in it.
    pub fn webhook_secret(&self) -> (&'static str, &str) {
        (webhooks::HEADER, self.webhook_secret.expose())
    }

    /// The form key of a sender that posts forms for many visitors, as a form builder does.
    pub fn form_key(&self) -> &str {
        self.form_key.expose()
    }

    /// The secret that signs the events of other systems, such as `whsec_…`.
    ///
    /// # Errors
    /// When MiniStack does not answer, or has no such secret.
    pub async fn event_signing_secret(&self) -> anyhow::Result<String> {
        let arn = self.output("EventSigningSecretArn").context("the template has no output EventSigningSecretArn")?;
        let question = serde_json::json!({"SecretId": arn});
        let operation = "secretsmanager.GetSecretValue";
        let (status, body) = http::aws(&self.client, &self.ministack.url(), operation, &question).await?;
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let stored: serde_json::Value =
            answer["SecretString"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let secret = stored["current"].as_str();
        Ok(secret.with_context(|| format!("MiniStack answered {status} when asked for the signing secret"))?.to_owned())
    }

    /// The page with the applicants' mails.
    pub fn mailbox_url(&self) -> String {
        format!("{}/mailbox", self.site_url)
    }

    /// The LeadSquared emulator that the functions call.
    pub fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// The account's call limit.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// The MiniStack that runs the functions.
    pub fn ministack(&self) -> &MiniStack {
        &self.ministack
    }

    /// An output of the template, such as `InvitationsQueueUrl`.
    pub fn output(&self, name: &str) -> Option<&str> {
        self.outputs.get(name).map(String::as_str)
    }

    /// The functions behind the HTTP API, for a caller that runs them in another way.
    pub fn http_functions(&self) -> &[HttpFunction] {
        &self.http_functions
    }

    /// The events of all applicants: those so far, and the ones to come.
    pub fn moments(&self) -> watch::Receiver<Vec<Moment>> {
        self.flow.watch()
    }

    /// The functions' logs.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Whether the queue of invitations is empty: no visible, hidden or delayed message.
    ///
    /// # Errors
    /// When MiniStack does not answer.
    pub async fn is_drained(&self) -> anyhow::Result<bool> {
        let url = self.output("InvitationsQueueUrl").context("the template has no output InvitationsQueueUrl")?;
        let names = ["", "NotVisible", "Delayed"].map(|suffix| format!("ApproximateNumberOfMessages{suffix}"));
        let question = serde_json::json!({"QueueUrl": url, "AttributeNames": names});
        let operation = "AmazonSQS.GetQueueAttributes";
        let (status, body) = http::aws(&self.client, &self.ministack.url(), operation, &question).await?;
        let answer: serde_json::Value = serde_json::from_str(&body)
            .with_context(|| format!("MiniStack answered {status} when asked for the queue"))?;
        Ok(names.iter().all(|name| answer["Attributes"][name] == "0"))
    }

    /// Puts an event on the default EventBridge bus, as another system would.
    ///
    /// # Errors
    /// When MiniStack does not answer or refuses the event.
    pub async fn put_event(&self, detail_type: &str, detail: &serde_json::Value) -> anyhow::Result<()> {
        let entry = serde_json::json!({"Source": "example", "DetailType": detail_type, "Detail": detail.to_string()});
        let question = serde_json::json!({ "Entries": [entry] });
        let (status, body) = http::aws(&self.client, &self.ministack.url(), "AWSEvents.PutEvents", &question).await?;
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        ensure!(answer["FailedEntryCount"] == 0, "MiniStack answered {status} when given an event");
        Ok(())
    }

    /// Waits until a part ends by itself, which should not happen, and returns the reason.
    pub async fn failure(&mut self) -> anyhow::Error {
        tokio::select! {
            server = self.servers.join_next() => {
                let reason = match server {
                    Some(Ok(Err(error))) => error,
                    Some(Err(panic)) => panic.into(),
                    Some(Ok(Ok(()))) | None => anyhow!("without a reason"),
                };
                reason.context("one of the servers ended")
            }
            log = self.ministack.ended() => anyhow!("MiniStack ended:\n{log}"),
        }
    }

    /// Stops all parts and returns once no process is left.
    pub async fn shutdown(mut self) {
        self.servers.shutdown().await;
        self.ministack.shutdown().await;
    }
}

async fn start_emulator(port: Option<u16>, limit: Limit, site_url: &str, steps: &Steps) -> anyhow::Result<Emulator> {
    let port = ports::address(port, "the LeadSquared emulator", steps)?.port();
    // An administrator sets the text of this mail in the portal's settings.
    let reset_link = format!("{site_url}/account/reset?leadId={{leadId}}&temporaryPassword={{temporaryPassword}}");
    let emulator = Emulator::start(Settings { port: Some(port), limit, reset_link, ..Settings::default() }).await;
    emulator.context("the LeadSquared emulator does not start")
}

/// The parameters that an operator would enter for the emulated account.
fn parameters(
    emulator: &Emulator,
    limit: Limit,
    places: &Places,
    site_url: &str,
    [webhook_secret_hash, site_secret_hash, form_key_hash]: [String; 3],
) -> BTreeMap<&'static str, String> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let host = places.emulator_url.trim_end_matches('/').to_owned();
    BTreeMap::from([
        ("LeadSquaredApiUrl", host.clone()),
        ("LeadSquaredPortalApiUrl", host),
        ("AllowanceCalls", limit.calls.to_string()),
        ("AllowanceWindowSeconds", limit.window.as_secs().to_string()),
        ("PortalId", emulator.portal_id().to_owned()),
        ("PortalUrl", places.portal_url.clone()),
        ("LinkUrl", format!("{}/login-links/", places.api_url)),
        // A developer who tries the system asks for the next mail sooner than an applicant does.
        ("MailCoolDownSeconds", "1".to_owned()),
        ("ThankYouUrl", format!("{site_url}/thank-you")),
        ("Organisation", "Northfield College".to_owned()),
        ("WebhookSecretHashes", webhook_secret_hash),
        ("SiteSecretHashes", site_secret_hash),
        ("FormKeyHashes", form_key_hash),
        ("Architecture", architecture.to_owned()),
    ])
}

/// The secret's text in the format that an operator enters.
fn secret(emulator: &Emulator, keys: Keys) -> anyhow::Result<String> {
    let (access_key, mut secret_key) = emulator.keys();
    if keys == Keys::WrongSecretKey {
        secret_key = "0".repeat(secret_key.len());
    }
    Ok(serde_json::to_string(&BTreeMap::from([("accessKey", access_key), ("secretKey", secret_key)]))?)
}

/// The folder of the workspace that this crate was built from.
fn workspace() -> &'static Path {
    const CRATE: &str = env!("CARGO_MANIFEST_DIR");
    Path::new(CRATE).ancestors().nth(2).expect("the crate is in tests/local-stack")
}

/// The folder for the stack's generated files.
fn home() -> PathBuf {
    workspace().join("target/local-stack")
}

//! Everything on one machine: the workspace's `template.yaml` deployed to MiniStack with the functions as built, the
//! LeadSquared emulator, and a small site with an application form and a mailbox. Listens on loopback only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use leadsquared_emulator::{Emulator, Settings};
use tokio::sync::watch;
use tokio::task::JoinSet;

mod api;
mod deploy;
mod flow;
pub mod functions;
mod http;
mod keeper;
mod logs;
pub mod ministack;
mod observe;
mod ports;
mod python;
mod site;
pub mod smoke;
pub mod steps;

pub use flow::{Event, Moment};
pub use logs::Logs;
pub use ports::Ports;

use deploy::{Deployed, Deployment};
use flow::Flow;
use ministack::MiniStack;
use site::Places;
use steps::Steps;

/// What a stack is started with; the default is for tests: free ports, right keys, nothing shown.
#[derive(Clone, Default)]
pub struct Options {
    /// Where to listen.
    pub ports: Ports,
    /// What the functions find in Secrets Manager.
    pub keys: Keys,
    /// Where progress is shown.
    pub steps: Steps,
}

/// The LeadSquared keys in Secrets Manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// Those of the emulated account's administrator.
    #[default]
    Right,
    /// The administrator's access key with a secret key that is not theirs.
    WrongSecretKey,
}

/// The whole system; ends with all its processes when dropped.
pub struct LocalStack {
    // The servers go first: they hand requests to what comes after them.
    servers: JoinSet<anyhow::Result<()>>,
    ministack: MiniStack,
    emulator: Arc<Emulator>,
    outputs: BTreeMap<String, String>,
    logs: Logs,
    places: Places,
    site_url: String,
    flow: Flow,
}

impl LocalStack {
    /// Builds the functions, starts everything and deploys; takes minutes the first time and seconds from then on.
    ///
    /// # Errors
    /// When something is missing, does not build or cannot be deployed: says what, and what to do.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let Options { ports, keys, steps } = options;
        let (binaries, ministack, emulator) = tokio::try_join!(
            functions::build(&steps),
            MiniStack::start(ports.ministack, &steps),
            start_emulator(ports.emulator, &steps)
        )?;
        let emulator = Arc::new(emulator);
        let site = ports::listener(ports.site, "the site", &steps)?;
        let api = ports::listener(ports.api, "the HTTP API", &steps)?;
        let site_url = format!("http://{}", site.local_addr()?);
        let places = Places {
            api_url: format!("http://{}", api.local_addr()?),
            emulator_url: emulator.url().to_string(),
            portal_url: emulator.portal_page_url().to_string(),
            ministack_url: ministack.url(),
        };

        let step = steps.begin("Deploying template.yaml");
        let deployment = Deployment {
            template: workspace().join("template.yaml"),
            binaries: &binaries,
            parameters: parameters(&emulator, &places, &site_url),
            secrets: BTreeMap::from([("KeysSecretArn", secret(&emulator, keys)?)]),
        };
        let Deployed { outputs, functions, api: api_id } = deployment.deploy(&ministack).await?;
        step.done();

        let flow = Flow::new();
        let mut servers = JoinSet::new();
        servers.spawn(site::serve(site, places.clone(), emulator.clone()));
        servers.spawn(api::serve(api, ministack.port(), api_id, flow.clone()));
        servers.spawn(observe::watch(emulator.clone(), flow.clone()));
        let logs = Logs::new(ministack.url(), functions);
        Ok(Self { servers, ministack, emulator, outputs, logs, places, site_url, flow })
    }

    /// The start page of the demonstration site; the form is at `/apply`.
    pub fn site_url(&self) -> &str {
        &self.site_url
    }

    /// The HTTP API; the form posts to `/applications`.
    pub fn api_url(&self) -> &str {
        &self.places.api_url
    }

    /// The page with the applicants' mails.
    pub fn mailbox_url(&self) -> String {
        format!("{}/mailbox", self.site_url)
    }

    /// LeadSquared as the functions see it.
    pub fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// AWS as the functions see it.
    pub fn ministack(&self) -> &MiniStack {
        &self.ministack
    }

    /// An output of the template, such as `InvitationsQueueUrl`.
    pub fn output(&self, name: &str) -> Option<&str> {
        self.outputs.get(name).map(String::as_str)
    }

    /// What has happened to applicants so far, and whatever happens from now on.
    pub fn moments(&self) -> watch::Receiver<Vec<Moment>> {
        self.flow.watch()
    }

    /// What the functions log.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Waits until a part ends by itself, which none should, and says which.
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

    /// Stops everything and returns once no process is left.
    pub async fn shutdown(mut self) {
        self.servers.shutdown().await;
        self.ministack.shutdown().await;
    }
}

async fn start_emulator(port: Option<u16>, steps: &Steps) -> anyhow::Result<Emulator> {
    let port = ports::address(port, "the LeadSquared emulator", steps)?.port();
    let emulator = Emulator::start(Settings { port: Some(port), ..Settings::default() }).await;
    emulator.context("the LeadSquared emulator does not start")
}

/// What an operator would enter when deploying for the emulated account.
fn parameters(emulator: &Emulator, places: &Places, site_url: &str) -> BTreeMap<&'static str, String> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let host = places.emulator_url.trim_end_matches('/').to_owned();
    BTreeMap::from([
        ("LeadSquaredApiUrl", host.clone()),
        ("LeadSquaredPortalApiUrl", host),
        ("PortalId", emulator.portal_id().to_owned()),
        ("PortalUrl", places.portal_url.clone()),
        ("ThankYouUrl", format!("{site_url}/thank-you")),
        ("Organisation", "Northfield College".to_owned()),
        ("Architecture", architecture.to_owned()),
    ])
}

/// The secret's text as an operator would enter it.
fn secret(emulator: &Emulator, keys: Keys) -> anyhow::Result<String> {
    let (access_key, mut secret_key) = emulator.keys();
    if keys == Keys::WrongSecretKey {
        secret_key = "0".repeat(secret_key.len());
    }
    Ok(serde_json::to_string(&BTreeMap::from([("accessKey", access_key), ("secretKey", secret_key)]))?)
}

/// The workspace this was built from.
fn workspace() -> &'static Path {
    const CRATE: &str = env!("CARGO_MANIFEST_DIR");
    Path::new(CRATE).ancestors().nth(2).expect("the crate is in tests/local-stack")
}

/// Where the stack keeps what it made.
fn home() -> PathBuf {
    workspace().join("target/local-stack")
}

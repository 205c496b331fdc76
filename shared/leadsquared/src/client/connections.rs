//! Connections to LeadSquared's hosts. A connection is opened before its call waits for a slot. So no TLS handshake
//! delays a call behind its slot, and an unreachable host costs no slot.
//!
//! `reqwest` connects only for a request. So a second client has a connector that keeps each connection it opens and
//! then fails, before the request is sent. The client that makes the calls takes its connections from there.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tower_layer::Layer;
use tower_service::Service;
use url::Url;

use crate::options::{InvalidOptions, Options};
use crate::wire::Host;

/// How long an unused connection is kept. A process that was frozen for a while has connections that died meanwhile. A
/// request on one of them ends as an unknown result, which costs more than a new handshake.
const KEPT: Duration = Duration::from_secs(15);

type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;
type BoxError = Box<dyn StdError + Send + Sync>;

/// The connections to both hosts.
pub(super) struct Connections {
    api: ToHost,
    portal: ToHost,
}

impl Connections {
    pub(super) fn new(options: &Options) -> Result<Self, InvalidOptions> {
        // The root certificates are compiled in: loading the system's would slow down the start of the process.
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for root in &options.further_roots {
            roots.add(root.as_slice().into()).map_err(|_| InvalidOptions::BadRoot)?;
        }
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| InvalidOptions::NoEncryption)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let to = |host: &Url| ToHost::new(host.clone(), options, &tls);
        Ok(Self { api: to(&options.api)?, portal: to(&options.portal_api)? })
    }

    pub(super) fn to(&self, host: Host) -> &ToHost {
        match host {
            Host::Api => &self.api,
            Host::Portal => &self.portal,
        }
    }
}

/// The connections to one host.
pub(super) struct ToHost {
    host: Url,
    /// Makes the calls.
    http: reqwest::Client,
    /// Opens connections and sends nothing.
    opener: reqwest::Client,
    clock: Clock,
    /// Since when each connection that no call uses has been unused.
    unused: Mutex<Vec<Instant>>,
}

impl ToHost {
    fn new(host: Url, options: &Options, tls: &rustls::ClientConfig) -> Result<Self, InvalidOptions> {
        let clock = options.clock.clone();
        let opened = Arc::new(Opened { connections: Mutex::default(), clock: clock.clone() });
        let client = |is_for_later| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .connect_timeout(options.timeouts.connect)
                .pool_idle_timeout(KEPT)
                .connector_layer(Opening { opened: opened.clone(), is_for_later })
                .build()
                .map_err(|_| InvalidOptions::NoEncryption)
        };
        Ok(Self { http: client(false)?, opener: client(true)?, host, clock, unused: Mutex::default() })
    }

    /// A connection for one call: an unused one, or a new one.
    pub(super) async fn reserve(&self) -> Result<Reserved<'_>, reqwest::Error> {
        let now = (self.clock)();
        let unused = {
            let mut unused = self.unused();
            unused.retain(|since| now.saturating_duration_since(*since) < KEPT);
            unused.pop()
        };
        if let Some(since) = unused {
            return Ok(Reserved { to: self, since: Some(since) });
        }
        match self.opener.get(self.host.clone()).send().await {
            Err(error) if !is_opened(&error) => Err(error),
            _ => Ok(Reserved { to: self, since: Some((self.clock)()) }),
        }
    }

    fn unused(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that a call has for itself. Another call can use it once this is dropped.
pub(super) struct Reserved<'a> {
    to: &'a ToHost,
    since: Option<Instant>,
}

impl Reserved<'_> {
    /// Sends a request. If that fails, or the answer is not read to its end, the connection is not used again.
    pub(super) async fn send(&mut self, request: reqwest::Request) -> Result<reqwest::Response, reqwest::Error> {
        self.since = None;
        self.to.http.execute(request).await
    }

    /// The whole answer has arrived.
    pub(super) fn answered(&mut self) {
        self.since = Some((self.to.clock)());
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let Some(since) = self.since {
            self.to.unused().push(since);
        }
    }
}

/// A layer around `reqwest`'s connector. It opens connections for later, or takes those that were opened.
struct Opening<C> {
    opened: Arc<Opened<C>>,
    is_for_later: bool,
}

/// Connections that were opened and not taken yet, each with the time.
struct Opened<C> {
    connections: Mutex<Vec<(Instant, C)>>,
    clock: Clock,
}

impl<C> Opened<C> {
    fn connections(&self) -> MutexGuard<'_, Vec<(Instant, C)>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, connection: C) {
        self.connections().push(((self.clock)(), connection));
    }

    fn take(&self) -> Option<C> {
        let now = (self.clock)();
        let mut connections = self.connections();
        connections.retain(|(since, _)| now.saturating_duration_since(*since) < KEPT);
        connections.pop().map(|(_, connection)| connection)
    }
}

impl<C> Clone for Opening<C> {
    fn clone(&self) -> Self {
        Self { opened: self.opened.clone(), is_for_later: self.is_for_later }
    }
}

impl<S, C> Layer<S> for Opening<C> {
    type Service = Connector<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Connector { inner, opening: self.clone() }
    }
}

struct Connector<S, C> {
    inner: S,
    opening: Opening<C>,
}

impl<S: Clone, C> Clone for Connector<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), opening: self.opening.clone() }
    }
}

impl<S, R, C> Service<R> for Connector<S, C>
where
    S: Service<R, Response = C, Error = BoxError>,
    S::Future: Send + 'static,
    C: Send + 'static,
{
    type Response = C;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        let Opening { opened, is_for_later } = self.opening.clone();
        if !is_for_later && let Some(connection) = opened.take() {
            return Box::pin(async { Ok(connection) });
        }
        let connecting = self.inner.call(destination);
        Box::pin(async move {
            let connection = connecting.await?;
            if is_for_later {
                opened.keep(connection);
                return Err(OpenedForLater.into());
            }
            Ok(connection)
        })
    }
}

/// The error of a request that was made for its connection only.
#[derive(Debug)]
struct OpenedForLater;

impl fmt::Display for OpenedForLater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is open, and nothing was sent")
    }
}

impl StdError for OpenedForLater {}

fn is_opened(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error.is::<OpenedForLater>() {
            return true;
        }
        source = error.source();
    }
    false
}

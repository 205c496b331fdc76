//! How every call is made: credentials, a slot, the request, the answer, and at most a few repeats.

mod connections;
mod credentials;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use self::connections::{Connections, Reserved};
use self::credentials::{Cached, Credentials, Fetch, IssuedCredential, Renewal};
use crate::admission::{Lane, PlannedCall, Throttled};
use crate::error::{Cause, Error, ErrorKind};
use crate::hosts::Hosts;
use crate::options::{CallReport, InvalidOptions, Options};
use crate::values::{Attributes, KEY_LIFETIME, Keys, SessionKey};
use crate::wire::{CallContext, CredentialRequirement, Endpoint, Failed, Host, Repeat, RequestPart, Verb, judge};

/// How long a tenant key is kept. A key in its last ten minutes would make links that expire in the mailbox.
const TENANT_KEY_LIFETIME: Duration = KEY_LIFETIME.saturating_sub(Duration::from_secs(10 * 60));

/// The longest answer that is read, in bytes. No documented answer comes near it.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// A client for a LeadSquared account, with one pair of keys.
///
/// Clones are cheap and share connections and derived credentials. [`Timeouts`](crate::Timeouts) bound every call, and
/// [`Admission`](crate::Admission) decides when it is made. A call that may have taken effect is repeated only if a
/// repeat does no harm. A refusal is never repeated.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    lane: Lane,
    deadline: Option<Instant>,
    is_followed: bool,
}

struct Shared {
    connections: Arc<Connections>,
    options: Options,
    keys: Keys,
    credentials: Credentials,
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// Requests go to the two hosts of `options` only. The client follows no redirect and uses no proxy of the
    /// environment, because every request carries a secret.
    ///
    /// # Errors
    /// When an address is not `https` (or `http` on this machine), or has more than a host, or a path is malformed.
    ///
    /// # Examples
    /// ```
    /// use leadsquared::{Client, Keys, Options};
    ///
    /// let options = Options::new(
    ///     "https://api-in21.leadsquared.com".parse()?,
    ///     "https://portalapi-in21.leadsquared.com".parse()?,
    ///     "22222222-2222-4222-8222-222222222222".parse()?,
    /// );
    /// let client = Client::new(options, Keys { access_key: "u$r…".into(), secret_key: "…".into() })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(options: Options, keys: Keys) -> Result<Self, InvalidOptions> {
        options.check()?;
        let connections = Arc::new(Connections::new(&options)?);
        Ok(Self::from_shared(Shared { connections, options, keys, credentials: Credentials::default() }))
    }

    /// The same client with other keys, for example after they were rotated. Connections stay, derived credentials go.
    #[must_use]
    pub fn with_keys(&self, keys: Keys) -> Self {
        let shared = Shared {
            connections: self.shared.connections.clone(),
            options: self.shared.options.clone(),
            keys,
            credentials: Credentials::default(),
        };
        Self { lane: self.lane, deadline: self.deadline, ..Self::from_shared(shared) }
    }

    /// The same client for an account in another region; see [`User::hosts`](crate::crm::User::hosts).
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_hosts(&self, hosts: Hosts) -> Result<Self, InvalidOptions> {
        let Shared { options, keys, .. } = &*self.shared;
        let options = Options { api: hosts.api, portal_api: hosts.portal_api, ..options.clone() };
        let other = Self::new(options, keys.clone())?;
        Ok(Self { lane: self.lane, deadline: self.deadline, ..other })
    }

    /// The same client with a deadline for its calls. Set it early enough to record afterwards how they ended.
    #[must_use]
    pub fn within(&self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// The same client in another lane of the call allowance.
    #[must_use]
    pub fn in_lane(&self, lane: Lane) -> Self {
        Self { lane, ..self.clone() }
    }

    /// The same client for a call that another one follows at once; see [`PlannedCall::is_followed`].
    #[must_use]
    pub fn followed(&self) -> Self {
        Self { is_followed: true, ..self.clone() }
    }

    /// Its settings.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    fn from_shared(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), lane: Lane::default(), deadline: None, is_followed: false }
    }

    fn now(&self) -> Instant {
        (self.shared.options.clock)()
    }

    fn host(&self, host: Host) -> &Url {
        match host {
            Host::Api => &self.shared.options.api,
            Host::Portal => &self.shared.options.portal_api,
        }
    }

    /// Fetches the derived credentials that a call needs, unless they are known. Run it beside another call to save
    /// time.
    ///
    /// # Errors
    /// As for the calls that it makes. The call itself fetches them again.
    pub async fn prepare(&self, endpoint: Endpoint) -> Result<(), Error> {
        self.credentials_for(endpoint, self.latest()).await.map(drop)
    }

    /// The moment by which a call that begins now must be over.
    fn latest(&self) -> Instant {
        let limit = self.now() + self.shared.options.timeouts.total;
        self.deadline.map_or(limit, |deadline| deadline.min(limit))
    }

    /// Makes a call, with at most one renewal of refused credentials and a few repeats after transient failures.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Error> {
        let options = &self.shared.options;
        let deadline = self.latest();
        let mut repeats = 0;
        let mut renewed = false;
        loop {
            let attached = self.credentials_for(call.endpoint, deadline).await?;
            let Failed { error, unclear } = match self.attempt(&call, &attached, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match error {
                Error::BadKeys => {
                    self.shared.credentials.forget();
                    return Err(error);
                }
                Error::StaleCredential if renewed => return Err(Error::FreshCredentialRefused),
                error if !renewed && (unclear || matches!(error, Error::StaleCredential)) => {
                    match (self.renew(&attached, deadline).await, error) {
                        (Ok(Renewal::Changed), _) => renewed = true,
                        (Ok(Renewal::Same), Error::StaleCredential) => return Err(Error::FreshCredentialRefused),
                        (Err(error), Error::StaleCredential) => return Err(error),
                        // Most likely the person's secret was wrong. A failed renewal of the client's is another
                        // matter.
                        (Ok(Renewal::Same | Renewal::TooSoon) | Err(_), error) => return Err(error),
                    }
                }
                error if repeats < options.repeats && is_worth_repeating(&error, call.repeat, self.lane) => {
                    let pause = pause(repeats, (options.chance)());
                    if self.now() + pause >= deadline {
                        return Err(error);
                    }
                    tokio::time::sleep(pause).await;
                    repeats += 1;
                }
                error => return Err(error),
            }
        }
    }

    /// Makes one request. An error before it is sent is certain to have had no effect.
    async fn attempt<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        attached: &[AttachedCredential],
        deadline: Instant,
    ) -> Result<T, Failed> {
        let Shared { options, .. } = &*self.shared;
        let request = self.request(call, attached)?;
        let began = self.now();
        let (asked, started, result) = match self.connection(call.endpoint, deadline).await {
            Ok(mut connection) => {
                let asked = self.now();
                let planned = PlannedCall { lane: self.lane, deadline, is_followed: self.is_followed };
                let slot = self.before(deadline, options.admission.admit(planned)).await;
                let started = self.now();
                let result = match slot.and_then(|slot| slot.map_err(Error::TurnedAway)) {
                    Ok(()) => self.exchange(call, request, &mut connection, deadline, started).await,
                    Err(error) => Err(error.into()),
                };
                (asked, started, result)
            }
            Err(error) => (began, self.now(), Err(error.into())),
        };
        (options.observer)(&CallReport {
            endpoint: call.endpoint,
            result: result_name(&result),
            waited: started.saturating_duration_since(asked),
            took: self.now().saturating_duration_since(started),
        });
        if let Err(Failed { error: Error::RateLimited { limit }, .. }) = &result {
            // A failure to pass this on does not change this call's outcome.
            let _ =
                self.before(deadline, options.admission.throttled(Throttled { lane: self.lane, limit: *limit })).await;
        }
        result
    }

    /// A connection for the call. It is open before the call waits for its slot.
    async fn connection(&self, endpoint: Endpoint, deadline: Instant) -> Result<Reserved<'_>, Error> {
        let host = self.shared.connections.to(endpoint.facts().host);
        let reserved = self.before(deadline, host.reserve()).await?;
        reserved.map_err(|error| Error::Unreachable(cause(error)))
    }

    /// Sends the request and reads the answer.
    async fn exchange<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        request: reqwest::Request,
        connection: &mut Reserved<'_>,
        deadline: Instant,
        started: Instant,
    ) -> Result<T, Failed> {
        let Shared { options, .. } = &*self.shared;
        let time = deadline.saturating_duration_since(started).min(options.timeouts.attempt);
        if time.is_zero() {
            return Err(Error::OutOfTime.into());
        }
        let facts = call.endpoint.facts();
        let host = self.host(facts.host).host_str().map(|name| (facts.host, name));
        let context = CallContext { credential: facts.credential, host, fields: &call.fields };
        let result = match exchange(connection, request, time).await {
            Ok((status, body)) => judge(status, &body, &context, &options.texts),
            Err(error) => Err(error.into()),
        };
        let duration_ms = u64::try_from(self.now().saturating_duration_since(started).as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(call = call.endpoint.name(), result = result_name(&result), duration_ms, "called LeadSquared");
        result
    }

    fn request(&self, call: &Call<'_>, attached: &[AttachedCredential]) -> Result<reqwest::Request, Error> {
        let Shared { options, keys, .. } = &*self.shared;
        let facts = call.endpoint.facts();
        let mut url = self.host(facts.host).clone();
        url.set_path(call.endpoint.path(&options.paths));
        let mut headers = HeaderMap::new();
        let mut query = Vec::new();
        match facts.host {
            Host::Api => {
                headers.insert("x-lsq-accesskey", sensitive(keys.access_key.expose_secret()).ok_or(Error::BadKeys)?);
                headers.insert("x-lsq-secretkey", sensitive(keys.secret_key.expose_secret()).ok_or(Error::BadKeys)?);
            }
            Host::Portal if facts.access.takes_keys() => {
                query.push(("accessKey", keys.access_key.expose_secret()));
                query.push(("secretKey", keys.secret_key.expose_secret()));
            }
            Host::Portal => {}
        }
        for AttachedCredential { requirement, issued } in attached {
            match requirement.part {
                RequestPart::Header(name) => {
                    headers
                        .insert(name, sensitive(issued.secret.expose_secret()).ok_or(Error::FreshCredentialRefused)?);
                }
                RequestPart::Query(name) => query.push((name, issued.secret.expose_secret())),
            }
        }
        if facts.access.takes_portal_id() {
            headers.insert("x-lsq-portalid", sensitive(&options.portal_id.to_string()).expect("a GUID is plain ASCII"));
        }
        if let Some(key) = call.session {
            // A session key comes from a browser's cookie: it may be any text.
            headers.insert("authorization", sensitive(key.expose()).ok_or(Error::SessionEnded)?);
        }
        query.extend(call.query.iter().map(|(name, value)| (*name, value.as_str())));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let verb = match call.endpoint.verb(&options.paths) {
            Verb::Get => reqwest::Method::GET,
            Verb::Post => reqwest::Method::POST,
        };
        let mut request = reqwest::Request::new(verb, url);
        if let Some(body) = &call.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.clone().into());
        }
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn credentials_for(&self, endpoint: Endpoint, deadline: Instant) -> Result<Vec<AttachedCredential>, Error> {
        let mut attached = Vec::new();
        for requirement in endpoint.facts().access.required_credentials() {
            let (cached, lifetime, fetch) = self.source(requirement.from, deadline);
            let issued = self.before(deadline, cached.get(self.now(), lifetime, fetch)).await??;
            attached.push(AttachedCredential { requirement, issued });
        }
        Ok(attached)
    }

    async fn renew(&self, refused: &[AttachedCredential], deadline: Instant) -> Result<Renewal, Error> {
        let mut outcome = Renewal::Same;
        for AttachedCredential { requirement, issued } in refused {
            let (cached, lifetime, fetch) = self.source(requirement.from, deadline);
            let renewal = self.before(deadline, cached.renew(issued, self.now(), lifetime, fetch)).await??;
            outcome = match (outcome, renewal) {
                (Renewal::Changed, _) | (_, Renewal::Changed) => Renewal::Changed,
                (Renewal::TooSoon, _) | (_, Renewal::TooSoon) => Renewal::TooSoon,
                (Renewal::Same, Renewal::Same) => Renewal::Same,
            };
        }
        Ok(outcome)
    }

    /// Where a derived credential is kept, how long it is valid, and how it is fetched.
    fn source(&self, from: Endpoint, deadline: Instant) -> (&Cached, Option<Duration>, Fetch<'_>) {
        let credentials = &self.shared.credentials;
        let client = self.within(deadline);
        match from {
            Endpoint::PublicAuthKey => {
                (&credentials.public_auth_key, None, Box::pin(async move { client.public_auth_key().await }))
            }
            Endpoint::RegistrationToken => {
                (&credentials.registration_token, None, Box::pin(async move { client.registration_token().await }))
            }
            _ => (
                &credentials.tenant_auth_key,
                Some(TENANT_KEY_LIFETIME),
                Box::pin(async move { client.tenant_auth_key().await }),
            ),
        }
    }

    async fn before<F: Future>(&self, deadline: Instant, work: F) -> Result<F::Output, Error> {
        let time = deadline.saturating_duration_since(self.now());
        tokio::time::timeout(time, work).await.map_err(|_| Error::OutOfTime)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("options", &self.shared.options)
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

/// What one method of the client sends.
pub(crate) struct Call<'a> {
    endpoint: Endpoint,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    session: Option<&'a SessionKey>,
    fields: Vec<String>,
    repeat: Repeat,
}

impl<'a> Call<'a> {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let repeat = endpoint.facts().repeat;
        Self { endpoint, query: Vec::new(), body: None, session: None, fields: Vec::new(), repeat }
    }

    /// Names the lead fields in the body, for refusals that are about one of them.
    pub(crate) fn fields(mut self, fields: &Attributes) -> Self {
        self.fields = fields.iter().map(|(name, _)| name.to_owned()).collect();
        self
    }

    /// Marks a call whose repeat does harm, although a repeat of the endpoint's other calls does not.
    pub(crate) fn harmful(mut self) -> Self {
        self.repeat = Repeat::Harmful;
        self
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    pub(crate) fn session(mut self, key: &'a SessionKey) -> Self {
        self.session = Some(key);
        self
    }

    pub(crate) fn body(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body).expect("our bodies are structs of texts, numbers and lists"));
        self
    }
}

/// A derived credential on its way into a request.
struct AttachedCredential {
    requirement: &'static CredentialRequirement,
    issued: IssuedCredential,
}

async fn exchange(
    connection: &mut Reserved<'_>,
    mut request: reqwest::Request,
    time: Duration,
) -> Result<(u16, Vec<u8>), Error> {
    *request.timeout_mut() = Some(time);
    let sent = connection.send(request).await;
    let mut response = sent.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            Error::Unreachable(cause(error))
        } else {
            Error::UnknownResult(cause(error))
        }
    })?;
    let status = response.status().as_u16();
    let closes =
        response.headers().get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Error::UnknownResult(cause(error)))? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(Error::Undocumented { status, line: 0, column: 0 });
        }
        body.extend_from_slice(&chunk);
    }
    if !closes {
        connection.answered();
    }
    Ok((status, body))
}

/// A reqwest error prints the request's address, and the address holds the keys.
fn cause(error: reqwest::Error) -> Cause {
    Arc::new(error.without_url())
}

/// A header value that HTTP libraries keep out of their own logs.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The result of a call in logs and metrics: `Ok`, or the error's name.
fn result_name<T>(result: &Result<T, Failed>) -> &'static str {
    result.as_ref().err().map_or("Ok", |failed| failed.error.name())
}

fn is_worth_repeating(error: &Error, repeat: Repeat, lane: Lane) -> bool {
    match (error, error.kind()) {
        // A firewall's page: it refuses the same content again.
        (Error::ServerFault { status: 400..500 }, _) => false,
        // No person waits in the background, and its queue or schedule repeats the work. A repeat at once would triple
        // the calls of an outage.
        (_, ErrorKind::Unknown) => repeat == Repeat::Harmless && lane == Lane::Interactive,
        // After a rate limit the wait for a new window is too long: a function is billed for the time it sleeps.
        _ => matches!(error, Error::Unreachable(_)),
    }
}

/// Full jitter: anything up to 200 ms, doubled each time, at most 2 s.
fn pause(repeats: u32, chance: f64) -> Duration {
    let longest = Duration::from_millis(200).saturating_mul(1 << repeats.min(8)).min(Duration::from_secs(2));
    longest.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_up_to_two_seconds_and_is_cut_by_chance() {
        let longest: Vec<u128> = (0..6).map(|repeats| pause(repeats, 1.0).as_millis()).collect();
        assert_eq!(longest, [200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(pause(u32::MAX, 1.0), Duration::from_secs(2));
        assert_eq!(pause(3, 0.0), Duration::ZERO);
        assert_eq!(pause(3, 0.5), Duration::from_millis(800));
    }
}

//! Black-box tests of the emulator: what a client sees over HTTP, call by call.

#![expect(clippy::unwrap_used, reason = "an unexpected value fails the test, in its helpers as well")]

mod activities;
mod admin;
mod auto_login;
mod binary;
mod bodies;
mod catalogue;
mod contract;
mod faults;
mod keys_and_limits;
mod lead_writes;
mod leads_and_mails;
mod passwords;
mod persistence;
mod portals;
mod register;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use leadsquared_emulator::{Call, Clock, Emulator, Settings};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

const START: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

/// Bound of every wait for the emulator.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// An emulator, and a client with the credentials for its calls.
struct Account {
    emulator: Emulator,
    http: Client,
    public_key: String,
    registration_token: String,
}

/// Settings with cheap password hashing, a stopped clock and a limit that no test reaches.
fn settings() -> Settings {
    let mut settings = Settings { clock: Clock::stopped_at(START), seed: Some(1), ..Settings::for_tests() };
    settings.limit.calls = 1_000_000;
    settings
}

impl Account {
    async fn new() -> Self {
        Self::with(settings()).await
    }

    async fn with(settings: Settings) -> Self {
        let emulator = Emulator::start(settings).await.unwrap();
        let mut account =
            Self { emulator, http: http_client(), public_key: String::new(), registration_token: String::new() };
        let (_, public_key) = account.ok(account.call(Call::PublicAuthKey)).await;
        account.public_key = public_key["PublicAuthKey"].as_str().unwrap().to_owned();
        let (_, token) = account.ok(account.call(Call::RegistrationToken)).await;
        account.registration_token = token.as_str().unwrap().to_owned();
        account
    }

    /// Waits until the emulator is in this state.
    async fn reached(&self, state: &str, condition: impl Fn(&Emulator) -> bool) {
        within(state, self.emulator.reached(condition)).await;
    }

    fn url(&self, call: Call) -> String {
        format!("{}{}", self.emulator.url(), &call.path()[1..])
    }

    /// A request with an administrator's keys, where the documentation puts them.
    fn call(&self, call: Call) -> RequestBuilder {
        let request = self.http.request(call.method(), self.url(call));
        let (access_key, secret_key) = self.emulator.keys();
        if call.path().starts_with("/v2/") {
            request.header("x-LSQ-AccessKey", access_key).header("x-LSQ-SecretKey", secret_key)
        } else {
            request.query(&[("accessKey", access_key), ("secretKey", secret_key)])
        }
    }

    /// A request with keys and the three headers of the portal API's second version.
    fn portal_call(&self, call: Call) -> RequestBuilder {
        self.call(call)
            .header("Authorization", &self.public_key)
            .header("x-lsq-registertoken", &self.registration_token)
            .header("x-lsq-portalid", self.emulator.portal_id())
    }

    async fn send(&self, request: RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    async fn ok(&self, request: RequestBuilder) -> (u16, Value) {
        let (status, body) = self.send(request).await;
        assert_eq!(status, 200, "{body}");
        (status, body)
    }

    async fn register(&self, only_new: bool, fields: &[(&str, &str)]) -> (u16, Value) {
        self.register_with_password(only_new, "Example@Pass1", fields).await
    }

    async fn register_with_password(&self, only_new: bool, password: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let mut all = vec![("mx_Portal_Password", password), ("mx_Portal_Confirm_Password", password)];
        all.extend(fields);
        let body = json!({"RegisterOnlyNewLead": only_new, "LeadFields": attributes(&all)});
        self.send(self.portal_call(Call::Register).json(&body)).await
    }

    /// Registers a person; returns the lead's id.
    async fn portal_user(&self, email: &str) -> String {
        let (status, body) = self.register(true, &[("EmailAddress", email), ("FirstName", "Asha")]).await;
        assert_eq!(status, 200, "{body}");
        body["LeadId"].as_str().unwrap().to_owned()
    }

    async fn tenant_key(&self) -> String {
        self.ok(self.call(Call::TenantAuthKey)).await.1.as_str().unwrap().to_owned()
    }

    async fn lead_key(&self, tenant_key: &str, lead_id: &str) -> (u16, Value) {
        let body = json!({"LeadId": lead_id, "PortalId": self.emulator.portal_id()});
        self.send(self.call(Call::LeadAuthKey).query(&[("authkey", tenant_key)]).json(&body)).await
    }
}

/// Waits for `event`, for [`LONGEST_WAIT`] at most.
async fn within<T>(name: &str, event: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(LONGEST_WAIT, event).await;
    outcome.unwrap_or_else(|_| panic!("not within {LONGEST_WAIT:?}: {name}"))
}

fn attributes(fields: &[(&str, &str)]) -> Value {
    fields.iter().map(|(name, value)| json!({"Attribute": name, "Value": value})).collect()
}

/// A client that follows no redirects, keeps no cookies and uses no proxy.
fn http_client() -> Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

/// Asserts a refusal in LeadSquared's envelope.
#[track_caller]
fn assert_refused((status, body): (u16, Value), expected: u16, exception_type: &str, message: &str) {
    assert_eq!(
        (status, body),
        (expected, json!({"Status": "Error", "ExceptionType": exception_type, "ExceptionMessage": message}))
    );
}

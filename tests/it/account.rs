//! How a function reads its LeadSquared keys: when it reads the secret, and when it reads it again. Time is an
//! argument.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router};
use futures::future::join_all;
use leadsquared::{Lane, Options};
use leadsquared_account::{Account, AccountError};
use leadsquared_emulator::Settings;
use serde_json::{Value, json};
use settings::Secret;

use crate::{aws_endpoint::Server, functions, http::Request, sandbox::Sandbox};

const WRONG: &str = r#"{"accessKey":"a$1","secretKey":"wrong"}"#;
const RIGHT: &str = r#"{"accessKey":"a$1","secretKey":"right"}"#;
const PLACEHOLDERS: &str = r#"{"accessKey":"REPLACE-ME","secretKey":"REPLACE-ME"}"#;

/// A Secrets Manager that holds one secret and counts its reads, and the account that reads it.
struct Secrets {
    text: Arc<Mutex<&'static str>>,
    reads: Arc<AtomicUsize>,
    account: Account,
    _server: Server,
}

impl Secrets {
    async fn holding(text: &'static str) -> Self {
        let text = Arc::new(Mutex::new(text));
        let reads = Arc::new(AtomicUsize::new(0));
        let (held, count) = (text.clone(), reads.clone());
        let answer = async move || -> Json<Value> {
            count.fetch_add(1, Ordering::SeqCst);
            Json(json!({"Name": "keys", "SecretString": *held.lock().unwrap()}))
        };
        let server = Server::start(Router::new().fallback(answer)).await;
        let config = aws::local_config(&server.url, "test");
        let secret = Secret::new(aws_sdk_secretsmanager::Client::new(&config), "keys".to_owned(), Account::KEYS);
        let host = "http://127.0.0.1:9/";
        let portal = "22222222-2222-4222-8222-222222222222";
        let options = Options::new(host.parse().unwrap(), host.parse().unwrap(), portal.parse().unwrap());
        Self { text, reads, account: Account::new(options, Lane::Background, secret).unwrap(), _server: server }
    }

    /// LeadSquared refuses the keys at this time; returns whether the account then reads other ones.
    async fn refuse(&self, now: Instant) -> bool {
        let refused = self.account.access(now).await.unwrap();
        self.account.access_after_refusal(&refused, now).await.unwrap().is_some()
    }

    fn put(&self, text: &'static str) {
        *self.text.lock().unwrap() = text;
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

fn after(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

/// A failure that passes by itself is a warning; one that an operator has to fix is an error.
#[tokio::test]
async fn unreadable_keys_are_logged_as_a_warning_or_an_error_by_their_cause() {
    let sandbox = Sandbox::open(Settings::for_tests(), ()).await;
    let sign_in = Request::json(&[("email", "asha@example.com"), ("password", "Chosen@1234")]).at("/sign-in");
    for (setting, value, level) in [
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9", "WARN"),
        ("LEADSQUARED_KEYS_SECRET", "nowhere", "ERROR"),
    ] {
        let mut environment = sandbox.environment("portal-account", &[]);
        environment.retain(|(name, _)| name != setting);
        environment.push((setting.to_owned(), value.to_owned()));
        let function = functions::start("portal-account", environment).await.unwrap();
        let answer = function.invoke(&sign_in.event(), Duration::from_secs(10)).await.unwrap();
        assert_eq!(answer["statusCode"], 503, "{answer}");
        let printed = function.stop().await;
        for other in ["WARN", "ERROR"] {
            assert_eq!(printed.contains(&format!("\"{other}\"")), other == level, "{setting}: {printed}");
        }
    }
}

#[tokio::test]
async fn a_rotation_costs_one_more_read_when_100_calls_notice_it() {
    let secrets = Secrets::holding(WRONG).await;
    let start = Instant::now();
    let in_flight = join_all((0..100).map(|_| secrets.account.access(start))).await;
    let in_flight: Vec<_> = in_flight.into_iter().map(Result::unwrap).collect();
    assert_eq!(secrets.reads(), 1);
    secrets.put(RIGHT);
    for refused in &in_flight {
        let renewed = secrets.account.access_after_refusal(refused, after(start, 1)).await.unwrap();
        assert!(renewed.is_some(), "every call gets the new keys");
    }
    assert_eq!(secrets.reads(), 2);
    secrets.account.access(after(start, 2)).await.unwrap();
    assert_eq!(secrets.reads(), 2);
}

#[tokio::test]
async fn wrong_keys_are_read_again_every_half_minute_until_they_are_corrected() {
    let secrets = Secrets::holding(WRONG).await;
    let start = Instant::now();
    for (seconds, reads) in [(1, 2), (2, 2), (30, 2), (32, 3), (40, 3)] {
        assert!(!secrets.refuse(after(start, seconds)).await);
        assert_eq!(secrets.reads(), reads, "after {seconds} s");
    }
    secrets.put(RIGHT);
    assert!(!secrets.refuse(after(start, 50)).await);
    assert!(secrets.refuse(after(start, 63)).await);
    assert_eq!(secrets.reads(), 4);
}

#[tokio::test]
async fn keys_that_replace_placeholders_are_used_within_half_a_minute() {
    let secrets = Secrets::holding(PLACEHOLDERS).await;
    let start = Instant::now();
    for seconds in [0, 5] {
        let error = secrets.account.access(after(start, seconds)).await.map(drop).unwrap_err();
        assert!(matches!(error, AccountError::Placeholders { .. }), "{error}");
    }
    secrets.put(RIGHT);
    assert!(secrets.account.access(after(start, 10)).await.is_err());
    assert!(secrets.account.access(after(start, 31)).await.is_ok());
    assert_eq!(secrets.reads(), 3);
}

#[tokio::test]
async fn keys_are_read_again_after_an_hour_and_the_old_ones_serve_when_that_fails() {
    let secrets = Secrets::holding(RIGHT).await;
    let start = Instant::now();
    secrets.account.access(start).await.unwrap();
    secrets.account.access(after(start, 3599)).await.unwrap();
    assert_eq!(secrets.reads(), 1);
    secrets.put("not JSON any more");
    secrets.account.access(after(start, 3600)).await.unwrap();
    assert_eq!(secrets.reads(), 2);
}

//! Credentials, hosts and the call limit.

use std::time::Duration;

use leadsquared_emulator::{Call, Emulator, Limit, LimitRefusal, Role, Settings};
use serde_json::json;
use url::Url;

use crate::{Account, assert_refused, http_client, settings};

const UNAUTHORIZED: &str = "MXUnAuthorizedAccessException";

#[tokio::test]
async fn public_key_and_registration_token_look_as_documented_and_stay_the_same() {
    let account = Account::new().await;
    assert!(account.public_key.len() > 200);
    assert_eq!(account.registration_token.len(), 71);
    assert!(account.registration_token.ends_with("MX12345"));
    let (_, again) = account.ok(account.call(Call::PublicAuthKey)).await;
    assert_eq!(again, json!({"PublicAuthKey": account.public_key}));
    let (_, again) = account.ok(account.call(Call::RegistrationToken)).await;
    assert_eq!(again, json!(account.registration_token));
}

#[tokio::test]
async fn a_switch_issues_new_keys_for_each_call_and_old_ones_stay_valid() {
    let mut settings = settings();
    settings.switches.keys_change_per_call = true;
    let account = Account::with(settings).await;
    let (_, other) = account.ok(account.call(Call::PublicAuthKey)).await;
    assert_ne!(other["PublicAuthKey"], json!(account.public_key));
    account.portal_user("asha@example.test").await;
}

#[tokio::test]
async fn the_portal_api_accepts_only_the_keys_of_an_active_administrator() {
    let account = Account::new().await;
    let keys = async |access_key: &str, secret_key: &str| {
        let query = [("accessKey", access_key), ("secretKey", secret_key)];
        account.send(account.http.get(account.url(Call::PublicAuthKey)).query(&query)).await
    };
    let (access_key, secret_key) = account.emulator.keys();
    assert_eq!(keys(&access_key, &secret_key).await.0, 200);
    for (access, secret) in [(access_key.as_str(), "wrong"), ("wrong", secret_key.as_str()), ("", "")] {
        assert_refused(keys(access, secret).await, 401, UNAUTHORIZED, "Invalid User Details!");
    }
    // The key after a shell has expanded its `$`.
    let mangled = access_key.replace("$r", "");
    assert_refused(keys(&mangled, &secret_key).await, 401, UNAUTHORIZED, "Invalid User Details!");
    let (access, secret) = account.emulator.keys_of(Role::SalesUser).unwrap();
    let refused = keys(&access, &secret).await;
    assert_refused(refused, 401, UNAUTHORIZED, "Only administrators can access the portal APIs.");
    account.emulator.change_users(|users| users[0].active = false);
    assert_refused(keys(&access_key, &secret_key).await, 401, UNAUTHORIZED, "Invalid User Details!");
}

#[tokio::test]
async fn the_portal_api_reads_keys_from_the_query_and_the_core_api_also_from_headers() {
    let account = Account::new().await;
    let (access_key, secret_key) = account.emulator.keys();
    let in_headers = |call| {
        let request = account.http.get(account.url(call));
        request.header("x-LSQ-AccessKey", &access_key).header("x-LSQ-SecretKey", &secret_key)
    };
    assert_eq!(account.send(in_headers(Call::PublicAuthKey)).await.0, 401);
    assert_eq!(account.send(in_headers(Call::AuthenticateUser)).await.0, 200);
    let query = [("accesskey", &access_key), ("secretkey", &secret_key)];
    assert_eq!(account.send(account.http.get(account.url(Call::AuthenticateUser)).query(&query)).await.0, 200);
}

#[tokio::test]
async fn register_needs_the_keys_and_each_of_the_three_headers() {
    let account = Account::new().await;
    let send = async |leave_out: &str, change: &str| {
        let (access_key, secret_key) = account.emulator.keys();
        let mut request = account.http.post(account.url(Call::Register));
        if leave_out != "keys" {
            request = request.query(&[("accessKey", access_key), ("secretKey", secret_key)]);
        }
        for (name, value) in [
            ("authorization", account.public_key.clone()),
            ("x-lsq-registertoken", account.registration_token.clone()),
            ("x-lsq-portalid", account.emulator.portal_id()),
        ] {
            if name == change {
                request = request.header(name, format!("Bearer {value}"));
            } else if name != leave_out {
                request = request.header(name, value);
            }
        }
        account.send(request.json(&json!({"LeadFields": []}))).await
    };
    assert_eq!(send("", "").await.0, 500, "admitted, and refused for its empty list");
    assert_refused(send("keys", "").await, 401, UNAUTHORIZED, "Invalid User Details!");
    for (header, text) in [
        ("authorization", "Invalid or expired auth key."),
        ("x-lsq-registertoken", "Invalid or expired auth key."),
        ("x-lsq-portalid", "Portal does not exist."),
    ] {
        assert_refused(send(header, "").await, 401, UNAUTHORIZED, text);
        assert_refused(send("", header).await, 401, UNAUTHORIZED, text);
    }
    account.emulator.revoke_credentials();
    assert_refused(send("", "").await, 401, UNAUTHORIZED, "Invalid or expired auth key.");
}

#[tokio::test]
async fn the_host_of_another_region_names_the_right_one_and_answers_only_authenticate_a_user() {
    let account = Account::new().await;
    let (access_key, secret_key) = account.emulator.keys();
    for call in Call::ALL {
        let url = format!("{}{}", account.emulator.other_region_url(), &call.path()[1..]);
        let query = [("accessKey", &access_key), ("secretKey", &secret_key)];
        let answer = account.send(account.http.request(call.method(), url).query(&query)).await;
        if *call == Call::AuthenticateUser {
            assert_eq!(answer.0, 200);
        } else {
            let portal = if call.path().starts_with("/api/") { "portal" } else { "" };
            let text =
                format!("Invalid API host. Please use the host of your region: {portal}api-in21.leadsquared.com");
            assert_refused(answer, 401, UNAUTHORIZED, &text);
        }
    }
}

#[tokio::test]
async fn with_a_separate_portal_port_each_api_has_only_its_own_port() {
    let emulator = Emulator::start(Settings { portal_port: Some(0), ..settings() }).await.unwrap();
    assert_ne!(emulator.portal_api_url(), emulator.url());
    let (access_key, secret_key) = emulator.keys();
    let http = http_client();
    for call in Call::ALL {
        let status = async |host: Url| {
            let url = host.join(call.path()).unwrap();
            let query = [("accessKey", &access_key), ("secretKey", &secret_key)];
            http.request(call.method(), url).query(&query).send().await.unwrap().status().as_u16()
        };
        let statuses = (status(emulator.url()).await, status(emulator.portal_api_url()).await);
        if call.path().starts_with("/api/") {
            assert!(statuses.0 == 404 && statuses.1 != 404, "{call}: {statuses:?}");
        } else {
            assert!(statuses.0 != 404 && statuses.1 == 404, "{call}: {statuses:?}");
        }
    }
    let shared = Account::new().await.emulator;
    assert_eq!(shared.portal_api_url(), shared.url());
}

#[tokio::test]
async fn no_window_exceeds_the_limit_and_the_refusal_has_three_statuses() {
    for (refusal, status) in
        [(LimitRefusal::TooManyRequests, 429), (LimitRefusal::Forbidden, 403), (LimitRefusal::UnderOk, 200)]
    {
        let mut settings = settings();
        settings.limit = Limit { refusal, ..Limit::default() };
        let account = Account::with(settings).await;
        account.emulator.clock().advance(Duration::from_secs(4));
        for _ in 0..23 {
            account.ok(account.call(Call::LeadById)).await;
        }
        let spent = async || {
            let text = "API calls exceeded the limit of 25 in 5 second(s)";
            let refused = account.send(account.call(Call::LeadById)).await;
            assert_refused(refused, status, "MXAPIRateLimitExceededException", text);
        };
        spent().await;
        // The keys of another user share the account's limit.
        let (access_key, secret_key) = account.emulator.keys_of(Role::SalesUser).unwrap();
        let query = [("accessKey", access_key), ("secretKey", secret_key)];
        let seller = account.send(account.http.get(account.url(Call::LeadById)).query(&query)).await;
        assert_eq!((seller.0, &seller.1["Status"]), (status, &json!("Error")));
        // A second later the first two calls, and only those, leave the window.
        account.emulator.clock().advance(Duration::from_secs(1));
        account.ok(account.call(Call::LeadById)).await;
        account.ok(account.call(Call::LeadById)).await;
        spent().await;
        assert_eq!(account.emulator.window_max(), 28);
    }
}

#[tokio::test]
async fn every_call_is_recorded_with_its_time_and_status() {
    let account = Account::new().await;
    account.emulator.clock().advance(Duration::from_secs(1));
    assert_eq!(account.send(account.http.get(account.url(Call::LeadById))).await.0, 401);
    let nowhere = account.http.get(format!("{}v2/LeadManagement.svc/Nothing", account.emulator.url()));
    assert_refused(account.send(nowhere).await, 404, "EndpointNotFound", "Endpoint not found.");
    let wrong_method = account.http.delete(account.url(Call::Register));
    assert_refused(account.send(wrong_method).await, 405, "MethodNotAllowed", "Method not allowed.");
    let calls = account.emulator.calls();
    let seen: Vec<_> = calls.iter().map(|call| (call.call, call.status)).collect();
    assert_eq!(
        seen,
        [
            (Some(Call::PublicAuthKey), Some(200)),
            (Some(Call::RegistrationToken), Some(200)),
            (Some(Call::LeadById), Some(401)),
            (None, Some(404)),
            (None, Some(405)),
        ]
    );
    assert_eq!(calls[2].at - calls[0].at, Duration::from_secs(1));
}

#[tokio::test]
async fn a_dropped_emulator_stops_listening() {
    let account = Account::new().await;
    let url = account.url(Call::LeadById);
    account.emulator.shutdown().await;
    assert!(http_client().get(&url).send().await.unwrap_err().is_connect());
}

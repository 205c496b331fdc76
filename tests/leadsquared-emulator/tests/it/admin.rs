//! The admin page and its JSON API.

use leadsquared_emulator::{Call, Effect, Fault, LimitRefusal};
use reqwest::Response;
use serde_json::{Value, json};
use std::time::Duration;

use crate::Account;

fn api(account: &Account, path: &str) -> String {
    format!("{}/api/{path}", account.emulator.admin_url())
}

async fn read(account: &Account, path: &str) -> Value {
    account.ok(account.http.get(api(account, path))).await.1
}

async fn form(account: &Account, path: &str, pairs: &[(&str, &str)]) -> Response {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let request = account.http.post(format!("{}/{path}", account.emulator.admin_url()));
    request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap()
}

#[tokio::test]
async fn the_page_and_the_api_show_leads_calls_mails_and_the_fullest_window() {
    let account = Account::new().await;
    account.register(true, &[("EmailAddress", "asha@example.test"), ("FirstName", "<i>Asha</i>")]).await;
    let email = json!({"SenderType": "APICaller", "RecipientType": "LeadEmailAddress", "Recipient": "asha@example.test",
        "EmailType": "Html", "ContentHTML": "<p>Hello</p>", "Subject": "Your link"});
    account.ok(account.call(Call::SendEmailToLead).json(&email)).await;
    let overview = read(&account, "overview").await;
    assert_eq!(
        (&overview["window_now"], &overview["window_max"], &overview["calls"]),
        (&json!(4), &json!(4), &json!(4))
    );
    let calls = read(&account, "calls").await;
    assert_eq!(
        calls[2],
        json!({"at": "2026-01-02T03:04:05Z", "call": "register", "status": 200, "wrong_region": false})
    );
    let mails = read(&account, "mails").await;
    assert_eq!(mails[0]["recipients"], json!(["asha@example.test"]));
    assert_eq!(read(&account, "leads").await[0]["fields"]["EmailAddress"], "asha@example.test");
    assert_eq!(read(&account, "portal-users").await[0]["registrations"], 1);
    for empty in ["text-messages", "webhooks", "deliveries", "faults"] {
        assert_eq!(read(&account, empty).await, json!([]));
    }
    let page = account.http.get(account.emulator.admin_url()).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Your link") && page.contains("asha@example.test") && page.contains("send-email-to-lead"));
    assert!(!page.contains("<i>Asha") && !page.contains("<script"));
    let (access_key, secret_key) = account.emulator.keys();
    for secret in [&access_key, &secret_key, &account.public_key] {
        assert!(!page.contains(secret) && !calls.to_string().contains(secret));
    }
    let mail = format!("{}/mails/{}", account.emulator.admin_url(), mails[0]["id"].as_str().unwrap());
    let mail = account.http.get(mail).send().await.unwrap();
    let policy = mail.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'none'"));
    assert_eq!(mail.text().await.unwrap(), "<p>Hello</p>");
}

#[tokio::test]
async fn faults_are_set_by_a_form_or_by_json_and_cleared() {
    let account = Account::new().await;
    let fields = [("call", "register"), ("effect", "latency"), ("milliseconds", "250"), ("status", ""), ("times", "3")];
    let set = form(&account, "faults", &fields).await;
    assert_eq!((set.status().as_u16(), set.headers()["location"].to_str().unwrap()), (303, "/_admin"));
    for fault in [
        json!({"effect": "cut", "after_work": true, "times": 1}),
        json!({"call": "sign-in", "effect": "answer", "status": 503}),
        json!({"effect": "limit", "status": 403}),
        json!({"effect": "truncate"}),
        json!({"effect": "drip", "milliseconds": 5, "chance": 0.25}),
        json!({"effect": "answer", "status": 403, "content": "<svg"}),
    ] {
        let set = account.http.post(api(&account, "faults")).json(&fault).send().await.unwrap();
        assert_eq!(set.status(), 204);
    }
    assert_eq!(
        account.emulator.faults().list(),
        [
            Fault::on(Call::Register, Effect::Latency(Duration::from_millis(250))).times(3),
            Fault::everywhere(Effect::Cut).after_work().times(1),
            Fault::on(Call::SignIn, Effect::gateway(503)),
            Fault::everywhere(Effect::LimitReached(LimitRefusal::Forbidden)),
            Fault::everywhere(Effect::Truncate),
            Fault::everywhere(Effect::Drip { every: Duration::from_millis(5) }).with_chance(0.25),
            Fault::everywhere(Effect::gateway(403)).with_content("<svg"),
        ]
    );
    let page = account.http.get(account.emulator.admin_url()).send().await.unwrap().text().await.unwrap();
    assert!(
        page.contains("250 ms later")
            && page.contains("3 more")
            && page.contains("after it took effect")
            && page.contains("25%")
    );
    let listed = read(&account, "faults").await;
    assert_eq!((&listed[0]["milliseconds"], &listed[0]["chance"]), (&json!(250), &json!(1.0)));
    assert_eq!(form(&account, "faults/clear", &[]).await.status(), 303);
    assert_eq!(account.emulator.faults().list(), []);
}

#[tokio::test]
async fn leads_are_added_and_moved_to_a_stage() {
    let account = Account::new().await;
    let fields = [("FirstName", "Asha"), ("LastName", ""), ("EmailAddress", "asha@example.test")];
    assert_eq!(form(&account, "leads", &fields).await.status(), 303);
    let lead = account.emulator.leads().remove(0);
    assert_eq!((lead.field("FirstName"), lead.field("LastName")), (Some("Asha"), None));
    let moved = account.http.post(api(&account, &format!("leads/{}", lead.id)));
    assert_eq!(moved.json(&json!({"ProspectStage": "Applied"})).send().await.unwrap().status(), 204);
    let page = account.http.get(account.emulator.admin_url()).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("<option selected>Applied</option>"), "{page}");
    for (path, fields) in [("leads/none", json!({"ProspectStage": "Applied"})), ("leads", json!({"mx_None": "x"}))] {
        let refused = account.http.post(api(&account, path)).json(&fields).send().await.unwrap();
        assert_eq!(refused.status(), 422);
        assert!(refused.text().await.unwrap().contains("does not exist"));
    }
}

#[tokio::test]
async fn json_with_the_content_type_of_a_form_is_read_as_json() {
    let account = Account::new().await;
    let request =
        account.http.post(api(&account, "faults")).header("content-type", "application/x-www-form-urlencoded");
    let set = request.body(r#" {"call": "register", "effect": "cut", "times": 1}"#).send().await.unwrap();
    assert_eq!(set.status(), 303);
    assert_eq!(account.emulator.faults().list(), [Fault::on(Call::Register, Effect::Cut).times(1)]);
}

#[tokio::test]
async fn an_impossible_fault_is_refused_with_the_reason() {
    let account = Account::new().await;
    for (fault, reason) in [
        (json!({"effect": "explode"}), "effect must be latency, answer, limit, cut, truncate or drip"),
        (json!({"effect": "cut", "call": "nothing"}), "call must be the name of a call, or empty for all"),
        (json!({"effect": "cut", "times": "often"}), "times must be a whole number"),
        (json!({"effect": "cut", "chance": 1.5}), "chance must be from 0 to 1"),
        (json!({"effect": "cut", "chance": "NaN"}), "chance must be from 0 to 1"),
        (json!({"effect": "answer", "status": 101}), "status must be from 200 to 599"),
        (json!({"effect": "limit", "status": 500}), "the limit is refused with status 429, 403 or 200"),
    ] {
        let refused = account.http.post(api(&account, "faults")).json(&fault).send().await.unwrap();
        assert_eq!((refused.status().as_u16(), refused.text().await.unwrap()), (422, format!("{reason}\n")));
    }
    let misspelt = account.http.post(api(&account, "faults")).json(&json!({"effect": "cut", "afterwork": true}));
    let refused = misspelt.send().await.unwrap();
    assert_eq!(refused.status(), 422);
    assert!(refused.text().await.unwrap().starts_with("unknown field `afterwork`"));
    assert_eq!(account.emulator.faults().list(), []);
}

#[tokio::test]
async fn the_api_advances_the_clock_and_revokes_credentials() {
    let account = Account::new().await;
    let before = account.emulator.clock().now();
    assert_eq!(form(&account, "clock", &[("seconds", "90")]).await.status(), 303);
    let moved = account.http.post(api(&account, "clock")).json(&json!({"seconds": 10})).send().await.unwrap();
    assert_eq!(moved.status(), 204);
    assert_eq!(account.emulator.clock().now() - before, Duration::from_secs(100));
    for bad in [json!({"seconds": -1}), json!({"seconds": 1e12}), json!({}), json!([])] {
        let refused = account.http.post(api(&account, "clock")).json(&bad).send().await.unwrap();
        assert_eq!(refused.status(), 422);
    }
    let revoked = account.http.post(api(&account, "credentials/revoke")).send().await.unwrap();
    assert_eq!(revoked.status(), 204);
    assert_eq!(account.register(true, &[("EmailAddress", "asha@example.test")]).await.0, 401);
}

#[tokio::test]
async fn other_sites_can_neither_read_nor_write_through_a_browser() {
    let account = Account::new().await;
    let rebound = account.http.get(account.emulator.admin_url()).header("host", "evil.example").send().await.unwrap();
    assert_eq!(rebound.status(), 403);
    let foreign = account.http.post(api(&account, "faults")).header("origin", "http://evil.example");
    let foreign = foreign.header("content-type", "text/plain").body("{\"effect\":\"cut\"}").send().await.unwrap();
    assert_eq!(foreign.status(), 403);
    let own = format!("http://{}", account.emulator.url().authority());
    let own = account.http.post(api(&account, "clock")).header("origin", own).json(&json!({"seconds": 1}));
    assert_eq!(own.send().await.unwrap().status(), 204);
}

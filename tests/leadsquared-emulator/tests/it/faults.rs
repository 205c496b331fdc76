//! Faults: what a client sees of each effect.

use std::time::{Duration, Instant};

use leadsquared_emulator::{Call, Effect, Fault, LimitRefusal};

use crate::{Account, assert_refused};

const ASHA: &[(&str, &str)] = &[("EmailAddress", "asha@example.test")];

fn registration(account: &Account) -> reqwest::RequestBuilder {
    let fields = [("mx_Portal_Password", "Example@Pass1"), ("mx_Portal_Confirm_Password", "Example@Pass1"), ASHA[0]];
    account.portal_call(Call::Register).json(&serde_json::json!({"LeadFields": crate::attributes(&fields)}))
}

#[tokio::test]
async fn a_cut_happens_before_the_call_takes_effect_or_after_it() {
    let account = Account::new().await;
    account.emulator.faults().add(Fault::on(Call::Register, Effect::Cut).times(1));
    account.emulator.faults().add(Fault::on(Call::Register, Effect::Cut).after_work().times(1));
    assert!(registration(&account).send().await.is_err());
    assert_eq!(account.emulator.leads(), []);
    assert!(registration(&account).send().await.is_err());
    assert_eq!(account.emulator.leads().len(), 1);
    assert_eq!(account.emulator.calls().last().unwrap().status, None);
    assert_eq!(registration(&account).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_gateways_answer_has_no_envelope_and_can_follow_a_call_that_took_effect() {
    let account = Account::new().await;
    account.emulator.faults().add(Fault::on(Call::Register, Effect::gateway(503)).times(1));
    account.emulator.faults().add(Fault::on(Call::Register, Effect::gateway(504)).after_work().times(1));
    let first = registration(&account).send().await.unwrap();
    assert_eq!((first.status().as_u16(), first.headers()["content-type"].to_str().unwrap()), (503, "text/html"));
    assert_eq!(account.emulator.leads(), []);
    assert_eq!(registration(&account).send().await.unwrap().status(), 504);
    assert_eq!(account.emulator.leads().len(), 1);
}

#[tokio::test]
async fn a_firewall_blocks_the_calls_with_a_content() {
    let account = Account::new().await;
    account.emulator.faults().add(Fault::everywhere(Effect::gateway(403)).with_content("asha+<svg>@"));
    let by_email = |email: &str| account.call(Call::LeadByEmail).query(&[("emailaddress", email)]).send();
    assert_eq!(by_email("asha+<svg>@example.test").await.unwrap().status(), 403);
    assert_eq!(by_email("asha@example.test").await.unwrap().status(), 200);
    assert_eq!(registration(&account).send().await.unwrap().status(), 200);
    let blocked = serde_json::json!({"LeadFields": crate::attributes(&[("EmailAddress", "asha+<svg>@example.test")])});
    assert_eq!(account.portal_call(Call::Register).json(&blocked).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_fault_refuses_a_call_for_the_limit() {
    let account = Account::new().await;
    let text = "API calls exceeded the limit of 1000000 in 5 second(s)";
    for (refusal, status) in
        [(LimitRefusal::TooManyRequests, 429), (LimitRefusal::Forbidden, 403), (LimitRefusal::UnderOk, 200)]
    {
        account.emulator.faults().add(Fault::everywhere(Effect::LimitReached(refusal)).times(1));
        let refused = account.send(account.call(Call::LeadById)).await;
        assert_refused(refused, status, "MXAPIRateLimitExceededException", text);
    }
}

#[tokio::test]
async fn a_truncated_answer_follows_a_call_that_took_effect() {
    let account = Account::new().await;
    account.emulator.faults().add(Fault::on(Call::Register, Effect::Truncate).times(1));
    let response = registration(&account).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
    assert_eq!(account.emulator.leads().len(), 1);
}

#[tokio::test]
async fn a_dripping_answer_arrives_complete_and_late() {
    let account = Account::new().await;
    account.emulator.faults().add(Fault::on(Call::Register, Effect::Drip { every: Duration::from_millis(2) }));
    let begun = Instant::now();
    let (status, body) = account.register(true, ASHA).await;
    assert_eq!((status, body["Message"].as_str()), (200, Some("Registration Successful")));
    assert!(begun.elapsed() >= Duration::from_millis(2) * u32::try_from(body.to_string().len()).unwrap());
}

#[tokio::test]
async fn a_call_takes_effect_when_its_caller_disconnects_during_a_latency() {
    let account = Account::new().await;
    account.emulator.faults().add(Fault::on(Call::Register, Effect::Latency(Duration::from_millis(80))).times(1));
    let impatient = registration(&account).timeout(Duration::from_millis(20)).send().await;
    assert!(impatient.unwrap_err().is_timeout());
    account.reached("the person is registered", |emulator| !emulator.portal_users().is_empty()).await;
}

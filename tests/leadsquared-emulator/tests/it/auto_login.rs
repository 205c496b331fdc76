//! Auto-login keys, and the hosted page that they open.

use std::time::Duration;

use leadsquared_emulator::Call;
use reqwest::Response;
use serde_json::json;
use url::Url;

use crate::{Account, assert_refused};

const STALE: &str = "Invalid or expired auth key.";

fn link(account: &Account, lead_id: &str, key: &str) -> Url {
    let mut url = account.emulator.portal_page_url();
    let portal_id = account.emulator.portal_id();
    url.query_pairs_mut().extend_pairs([("leadId", lead_id), ("portalId", portal_id.as_str()), ("authKey", key)]);
    url
}

async fn open(account: &Account, url: Url) -> (Option<String>, String) {
    let response = account.http.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    (session_cookie(&response), response.text().await.unwrap())
}

fn session_cookie(response: &Response) -> Option<String> {
    let cookie = response.headers().get("set-cookie")?.to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    Some(cookie.split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn a_link_signs_its_lead_in_several_times_for_four_hours() {
    let account = Account::new().await;
    let lead = account.portal_user("asha@example.test").await;
    let (status, body) = account.lead_key(&account.tenant_key().await, &lead).await;
    assert_eq!((status, body["LeadId"].as_str()), (200, Some(lead.as_str())));
    let key = body["AuthKey"].as_str().unwrap();
    assert!(key.len() > 200 && key.contains('+') && key.contains('/') && key.ends_with('='));
    for _ in 0..2 {
        let (cookie, page) = open(&account, link(&account, &lead, key)).await;
        assert!(page.contains(r#"Signed in as <span id="signed-in-name">Asha</span>"#), "{page}");
        let again = account.http.get(account.emulator.portal_page_url()).header("cookie", cookie.unwrap());
        assert!(again.send().await.unwrap().text().await.unwrap().contains("Signed in as"));
        account.emulator.clock().advance(Duration::from_secs(2 * 3600 - 1));
    }
    account.emulator.clock().advance(Duration::from_secs(2));
    let (cookie, page) = open(&account, link(&account, &lead, key)).await;
    assert!(cookie.is_none() && page.contains("This login link is not valid") && page.contains(r#"id="sign-in""#));
    assert_eq!(account.emulator.openings().len(), 2);
}

#[tokio::test]
async fn a_link_that_mixes_parts_of_two_links_signs_nobody_in() {
    let account = Account::new().await;
    let (asha, ravi) = (account.portal_user("asha@example.test").await, account.portal_user("ravi@example.test").await);
    let tenant_key = account.tenant_key().await;
    let key = account.lead_key(&tenant_key, &asha).await.1["AuthKey"].as_str().unwrap().to_owned();
    let mut other_portal = link(&account, &asha, &key);
    let query = other_portal.query().unwrap().replace(&account.emulator.portal_id(), &asha);
    other_portal.set_query(Some(&query));
    let mut not_encoded = account.emulator.portal_page_url();
    not_encoded.set_query(Some(&format!("leadId={asha}&portalId={}&authKey={key}", account.emulator.portal_id())));
    for url in [link(&account, &ravi, &key), link(&account, &asha, &tenant_key), other_portal, not_encoded] {
        let (cookie, page) = open(&account, url).await;
        assert!(cookie.is_none() && !page.contains("Signed in as"));
    }
    assert_eq!(account.emulator.openings().len(), 0);
}

#[tokio::test]
async fn a_portal_user_signs_in_with_the_password_and_signs_out() {
    let account = Account::new().await;
    account.portal_user("asha@example.test").await;
    let page = account.emulator.portal_page_url();
    let sign_in = async |email: &str, password: &str| {
        let portal = account.emulator.portal_id();
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("portal_id", portal.as_str()), ("email", email), ("password", password)])
            .finish();
        let request = account.http.post(format!("{page}/sign-in"));
        request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap()
    };
    let refused = sign_in("\"><b>asha@example.test", "Example@Pass2").await;
    assert_eq!(refused.status(), 401);
    let text = refused.text().await.unwrap();
    assert!(text.contains("E-mail or password is wrong.") && !text.contains("<b>"), "{text}");
    let accepted = sign_in("asha@example.test", "Example@Pass1").await;
    assert_eq!((accepted.status().as_u16(), accepted.headers()["location"].to_str().unwrap()), (303, "/portal"));
    let cookie = session_cookie(&accepted).unwrap();
    let signed_in = async || {
        let answer = account.http.get(page.clone()).header("cookie", &cookie).send().await.unwrap();
        answer.text().await.unwrap().contains("Signed in as")
    };
    assert!(signed_in().await);
    account.http.post(format!("{page}/sign-out")).header("cookie", &cookie).send().await.unwrap();
    assert!(!signed_in().await);
}

#[tokio::test]
async fn a_lead_key_requires_the_tenant_key_which_lasts_four_hours() {
    let account = Account::new().await;
    let lead = account.portal_user("asha@example.test").await;
    let stale = "MXUnAuthorizedAccessException";
    assert_refused(account.lead_key("", &lead).await, 401, stale, STALE);
    assert_refused(account.lead_key(&account.public_key, &lead).await, 401, stale, STALE);
    let key = account.tenant_key().await;
    assert_eq!(key.len(), 71);
    assert!(key.ends_with("MX12345"));
    account.emulator.clock().advance(Duration::from_secs(4 * 3600 - 1));
    assert_eq!(account.lead_key(&key, &lead).await.0, 200);
    account.emulator.clock().advance(Duration::from_secs(1));
    assert_refused(account.lead_key(&key, &lead).await, 401, stale, STALE);
}

#[tokio::test]
async fn an_unknown_lead_or_portal_and_a_lead_without_a_portal_get_no_key() {
    let account = Account::new().await;
    let key = account.tenant_key().await;
    let unknown = "11111111-1111-4111-8111-111111111111";
    let no_lead = account.lead_key(&key, unknown).await;
    assert_refused(no_lead, 500, "MXInvalidEntityException", "Lead does not exist in the system");
    let lead = account.emulator.add_lead(&[("EmailAddress", "asha@example.test")]).unwrap();
    let no_user = account.lead_key(&key, &lead).await;
    assert_refused(no_user, 500, "MXException", "Lead is not a portal user.");
    let body = json!({"LeadId": lead, "PortalId": unknown});
    let no_portal = account.send(account.call(Call::LeadAuthKey).query(&[("authkey", key)]).json(&body)).await;
    assert_refused(no_portal, 500, "MXInvalidEntityException", "Portal does not exist.");
}

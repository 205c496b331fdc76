//! Accounts with more than one portal.

use leadsquared_emulator::{Call, Portal, Settings};
use serde_json::{Value, json};

use crate::{Account, assert_refused, attributes, settings};

const EMAIL: &str = "asha@example.test";
const PHONE: &str = "+91-9000000001";
const OTHER: &str = "22222222-2222-4222-8222-222222222229";
const UNAUTHORIZED: &str = "MXUnAuthorizedAccessException";

fn two_portals() -> Settings {
    let mut settings = settings();
    settings.tenant.portals.push(Portal { id: OTHER.to_uppercase(), name: "Alumni portal".to_owned() });
    settings
}

async fn at(account: &Account, portal: &str, call: Call, body: Value) -> (u16, Value) {
    signed(account, portal, &account.public_key, call, body).await
}

async fn signed(account: &Account, portal: &str, key: &str, call: Call, body: Value) -> (u16, Value) {
    let request = account.call(call).header("Authorization", key).header("x-lsq-portalid", portal);
    account.send(request.header("x-lsq-registertoken", &account.registration_token).json(&body)).await
}

async fn register(account: &Account, portal: &str, password: &str) -> (u16, Value) {
    let fields = [
        ("mx_Portal_Password", password),
        ("mx_Portal_Confirm_Password", password),
        ("EmailAddress", EMAIL),
        ("Phone", PHONE),
    ];
    at(account, portal, Call::Register, json!({"LeadFields": attributes(&fields)})).await
}

fn credentials(password: &str) -> Value {
    json!({"EmailAddress": EMAIL, "Password": password})
}

#[tokio::test]
async fn a_user_of_one_portal_is_not_a_user_of_another() {
    let account = Account::with(two_portals()).await;
    let first = account.emulator.portal_id();
    let (_, registered) = register(&account, &first, "Example@Pass1").await;
    let lead = registered["LeadId"].as_str().unwrap();
    let (_, session) = at(&account, &first, Call::SignIn, credentials("Example@Pass1")).await;
    let session = session["AuthKey"].as_str().unwrap();

    let no_account = at(&account, OTHER, Call::SignIn, credentials("Example@Pass1")).await;
    assert_refused(no_account, 401, UNAUTHORIZED, "Account does not exist.");
    for (call, body) in [
        (Call::ForgotPassword, json!({"EmailAddress": EMAIL})),
        (Call::SignInCode, json!({"FieldSchemaName": "Phone", "FieldContent": PHONE})),
    ] {
        let no_user = at(&account, OTHER, call, body).await;
        assert_refused(no_user, 500, "MXInvalidEntityException", "Lead does not exist in the system");
    }
    let tenant_key = account.tenant_key().await;
    let key = account.call(Call::LeadAuthKey).query(&[("authkey", &tenant_key)]);
    let key = account.send(key.json(&json!({"LeadId": lead, "PortalId": OTHER}))).await;
    assert_refused(key, 500, "MXException", "Lead is not a portal user.");
    let change = json!({"CurrentPassword": "Example@Pass1", "NewPassword": "Example@Pass9"});
    let elsewhere = signed(&account, OTHER, session, Call::ChangePassword, change.clone()).await;
    assert_refused(elsewhere, 401, UNAUTHORIZED, "Invalid or expired auth key.");
    assert_eq!(signed(&account, &first, session, Call::ChangePassword, change).await.0, 200);
}

#[tokio::test]
async fn a_person_has_a_separate_password_for_each_portal() {
    let account = Account::with(two_portals()).await;
    let first = account.emulator.portal_id();
    register(&account, &first, "Example@Pass1").await;
    let (_, registered) = register(&account, OTHER, "Example@Pass2").await;
    let lead = registered["LeadId"].as_str().unwrap();
    let users = account.emulator.portal_users();
    let users: Vec<_> = users.iter().map(|user| (user.portal_id.as_str(), user.registrations)).collect();
    assert_eq!(users, [(first.as_str(), 1), (OTHER, 1)]);
    for (portal, password, status) in [
        (first.as_str(), "Example@Pass1", 200),
        (first.as_str(), "Example@Pass2", 401),
        (OTHER, "Example@Pass2", 200),
        (OTHER, "Example@Pass1", 401),
    ] {
        assert_eq!(at(&account, portal, Call::SignIn, credentials(password)).await.0, status, "{portal} {password}");
    }
    // The first version names no portal: it is the account's first.
    assert_eq!(at(&account, "", Call::SignInV1, credentials("Example@Pass1")).await.0, 200);
    assert_eq!(at(&account, "", Call::SignInV1, credentials("Example@Pass2")).await.0, 401);

    at(&account, OTHER, Call::ForgotPassword, json!({"EmailAddress": EMAIL})).await;
    let text = account.emulator.mails().pop().unwrap().text;
    let reset = json!({"Password": "Example@Pass3", "LeadId": lead, "TemporaryPassword": text[text.len() - 64..]});
    assert_eq!(at(&account, OTHER, Call::ResetPassword, reset).await.0, 200);
    assert_eq!(at(&account, OTHER, Call::SignIn, credentials("Example@Pass3")).await.0, 200);
    assert_eq!(at(&account, &first, Call::SignIn, credentials("Example@Pass1")).await.0, 200);
    assert!(account.emulator.has_password(lead, "Example@Pass1").await);
    assert!(account.emulator.has_password(lead, "Example@Pass3").await);
    assert!(!account.emulator.has_password(lead, "Example@Pass2").await);
}

#[tokio::test]
async fn a_code_signs_in_only_at_the_portal_that_sent_it() {
    let account = Account::with(two_portals()).await;
    let first = account.emulator.portal_id();
    for portal in [&first, OTHER] {
        register(&account, portal, "Example@Pass1").await;
    }
    let (_, sent) =
        at(&account, &first, Call::SignInCode, json!({"FieldSchemaName": "Phone", "FieldContent": PHONE})).await;
    let code = account.emulator.text_messages().pop().unwrap().text[..6].to_owned();
    let answer = json!({"OTPSigninRequest": true,
        "OTPSigninData": {"Otp": code, "FieldContent": PHONE, "Code": sent["Code"]}});
    assert_eq!(at(&account, OTHER, Call::SignIn, answer.clone()).await.0, 401);
    assert_eq!(at(&account, &first, Call::SignIn, answer).await.0, 200);
}

#[tokio::test]
async fn a_switch_makes_portal_users_valid_for_the_whole_account() {
    let mut settings = two_portals();
    settings.switches.users_per_portal = false;
    let account = Account::with(settings).await;
    let first = account.emulator.portal_id();
    register(&account, &first, "Example@Pass1").await;
    assert_eq!(at(&account, OTHER, Call::SignIn, credentials("Example@Pass1")).await.0, 200);
    register(&account, OTHER, "Example@Pass2").await;
    let users = account.emulator.portal_users();
    assert_eq!((users.len(), &users[0].portal_id, users[0].registrations), (1, &first, 2));
    let (status, session) = at(&account, &first, Call::SignIn, credentials("Example@Pass2")).await;
    assert_eq!(status, 200);
    let change = json!({"CurrentPassword": "Example@Pass2", "NewPassword": "Example@Pass3"});
    let session = session["AuthKey"].as_str().unwrap();
    assert_eq!(signed(&account, OTHER, session, Call::ChangePassword, change).await.0, 200);
}

#[tokio::test]
async fn the_hosted_page_signs_in_at_one_portal() {
    let account = Account::with(two_portals()).await;
    let first = account.emulator.portal_id();
    register(&account, OTHER, "Example@Pass1").await;
    let page = account.emulator.portal_page_url();
    let sign_in = async |portal: &str| {
        let pairs = [("portal_id", portal), ("email", EMAIL), ("password", "Example@Pass1")];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request = account.http.post(format!("{page}/sign-in"));
        request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap()
    };
    assert_eq!(sign_in(&first).await.status(), 401);
    let accepted = sign_in(OTHER).await;
    assert_eq!(accepted.status(), 303);
    let cookie = accepted.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let shown = async |query: &[(&str, &str)]| {
        let request = account.http.get(page.clone()).query(query).header("cookie", cookie);
        request.send().await.unwrap().text().await.unwrap()
    };
    for query in [[].as_slice(), &[("portalId", OTHER)]] {
        let text = shown(query).await;
        assert!(text.contains("Signed in as") && text.contains("Alumni portal"), "{text}");
    }
    let text = shown(&[("portalId", &first)]).await;
    assert!(text.contains("Sign in to Applicant portal"), "{text}");
}

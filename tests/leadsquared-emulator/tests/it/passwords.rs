//! Passwords and one-time codes of portal users.

use std::time::Duration;

use leadsquared_emulator::{Call, Settings};
use serde_json::{Value, json};

use crate::{Account, assert_refused, attributes, settings};

const UNAUTHORIZED: &str = "MXUnAuthorizedAccessException";
const EMAIL: &str = "asha@example.test";
const PHONE: &str = "+91-9000000001";

async fn registered(settings: Settings) -> (Account, String) {
    let account = Account::with(settings).await;
    let (status, body) = account.register(true, &[("EmailAddress", EMAIL), ("Phone", PHONE)]).await;
    assert_eq!(status, 200, "{body}");
    let lead = body["LeadId"].as_str().unwrap().to_owned();
    (account, lead)
}

/// A portal call of the first version, which carries one header.
fn v1(account: &Account, call: Call) -> reqwest::RequestBuilder {
    account.http.post(account.url(call)).header("Authorization", &account.public_key)
}

async fn sign_in(account: &Account, body: Value) -> (u16, Value) {
    account.send(account.portal_call(Call::SignIn).json(&body)).await
}

#[tokio::test]
async fn a_password_signs_in_by_e_mail_or_any_unique_field_in_both_versions() {
    let (account, lead) = registered(settings()).await;
    let by_email = json!({"EmailAddress": EMAIL, "Password": "Example@Pass1"});
    let by_phone = json!({"Password": "Example@Pass1", "SearchKeyData": {"SchemaName": "Phone", "Value": PHONE}});
    for body in [by_email, by_phone] {
        for request in [account.portal_call(Call::SignIn), v1(&account, Call::SignInV1)] {
            let (_, answer) = account.ok(request.json(&body)).await;
            assert_eq!(answer["LeadId"], json!(lead));
            assert_eq!(answer["AuthKey"].as_str().unwrap().len(), 800);
        }
    }
    let wrong = sign_in(&account, json!({"EmailAddress": EMAIL, "Password": "Example@Pass2"})).await;
    assert_refused(wrong, 401, UNAUTHORIZED, "Invalid username or password.");
    account.emulator.add_lead(&[("EmailAddress", "ravi@example.test")]).unwrap();
    for unknown in ["ravi@example.test", "nobody@example.test"] {
        let refused = sign_in(&account, json!({"EmailAddress": unknown, "Password": "Example@Pass1"})).await;
        assert_refused(refused, 401, UNAUTHORIZED, "Account does not exist.");
    }
    let not_unique = json!({"Password": "x", "SearchKeyData": {"SchemaName": "FirstName", "Value": "Asha"}});
    let refused = sign_in(&account, not_unique).await;
    assert_refused(refused, 500, "MXInvalidInputException", "Invalid Input! Parameter Name: SchemaName");
}

#[tokio::test]
async fn the_first_version_of_register_needs_one_header_and_an_e_mail_address() {
    let account = Account::new().await;
    let password = [("mx_Portal_Password", "Example@Pass1"), ("mx_Portal_Confirm_Password", "Example@Pass1")];
    let register = async |field| {
        let body = json!({"LeadFields": attributes(&[password[0], password[1], field])});
        account.send(v1(&account, Call::RegisterV1).json(&body)).await
    };
    assert_eq!(register(("EmailAddress", EMAIL)).await.0, 200);
    let refused = register(("Phone", PHONE)).await;
    assert_refused(refused, 500, "MXMandatoryAttributeMissingException", "EmailAddress is mandatory.");
}

async fn code(account: &Account) -> (Value, String) {
    let body = json!({"FieldSchemaName": "Phone", "FieldContent": PHONE});
    let (_, sent) = account.ok(account.portal_call(Call::SignInCode).json(&body)).await;
    let message = account.emulator.text_messages().pop().unwrap();
    assert_eq!(message.recipient, PHONE);
    (sent, message.text[..6].to_owned())
}

fn answer(sent: &Value, otp: &str) -> Value {
    let data = json!({"Otp": otp, "FieldContent": PHONE, "Code": sent["Code"]});
    json!({"OTPSigninRequest": true, "OTPSigninData": data})
}

#[tokio::test]
async fn a_one_time_code_is_texted_and_signs_in_once() {
    let (account, lead) = registered(settings()).await;
    let (sent, otp) = code(&account).await;
    assert_eq!(
        (&sent["Status"], &sent["Message"], &sent["FieldContent"]),
        (&json!("Success"), &Value::Null, &json!(PHONE))
    );
    assert!(!sent.to_string().contains(&otp));
    let (status, signed_in) = sign_in(&account, answer(&sent, &otp)).await;
    assert_eq!((status, &signed_in["LeadId"]), (200, &json!(lead)));
    let again = sign_in(&account, answer(&sent, &otp)).await;
    assert_refused(again, 401, UNAUTHORIZED, "Invalid or expired OTP.");
    // The path without a version also accepts the three headers: the second version's path is an assumption.
    let body = json!({"FieldSchemaName": "Phone", "FieldContent": PHONE});
    account.ok(account.portal_call(Call::SignInCodeV1).json(&body)).await;
}

#[tokio::test]
async fn a_one_time_code_expires_and_is_invalid_after_five_wrong_answers() {
    let (account, _) = registered(settings()).await;
    let (sent, otp) = code(&account).await;
    account.emulator.clock().advance(Duration::from_secs(600));
    assert_refused(sign_in(&account, answer(&sent, &otp)).await, 401, UNAUTHORIZED, "Invalid or expired OTP.");
    let (sent, otp) = code(&account).await;
    for _ in 0..5 {
        assert_eq!(sign_in(&account, answer(&sent, "no")).await.0, 401);
    }
    assert_refused(sign_in(&account, answer(&sent, &otp)).await, 401, UNAUTHORIZED, "Invalid or expired OTP.");
    for (field, content, message) in [
        ("Phone", "+91-9000000009", "Lead does not exist in the system"),
        ("EmailAddress", EMAIL, "Invalid Input! Parameter Name: FieldSchemaName"),
    ] {
        let body = json!({"FieldSchemaName": field, "FieldContent": content});
        let (status, refused) = account.send(account.portal_call(Call::SignInCode).json(&body)).await;
        assert_eq!((status, &refused["ExceptionMessage"]), (500, &json!(message)));
    }
}

/// The two values of the reset link in the last mail or text message.
fn reset_values(text: &str) -> (String, String) {
    let link = url::Url::parse(text.rsplit(' ').next().unwrap()).unwrap();
    let value = |name| link.query_pairs().find(|(its, _)| its == name).unwrap().1.into_owned();
    (value("leadId"), value("temporaryPassword"))
}

#[tokio::test]
async fn a_reset_link_resets_a_password_once() {
    let (account, lead) = registered(settings()).await;
    let (_, sent) = account.ok(account.portal_call(Call::ForgotPassword).json(&json!({"EmailAddress": EMAIL}))).await;
    assert_eq!(sent, json!({"Status": "Success", "Message": "Reset link sent successfully"}));
    let mail = account.emulator.mails().pop().unwrap();
    assert_eq!(mail.recipients, [EMAIL]);
    let (lead_id, temporary) = reset_values(&mail.text);
    assert_eq!((lead_id.as_str(), temporary.len()), (lead.as_str(), 64));
    let reset = async |password: &str, temporary: &str| {
        let body = json!({"Password": password, "LeadId": lead, "TemporaryPassword": temporary});
        account.send(account.portal_call(Call::ResetPassword).json(&body)).await
    };
    let weak = reset("weak", &temporary).await;
    assert_refused(weak, 500, "MXInvalidInputException", "Password does not meet the password policy.");
    let done = reset("Example@Pass2", &temporary).await;
    assert_eq!(done, (200, json!({"IsSuccessful": true, "ResponseText": "Password changed successfully"})));
    assert!(account.emulator.has_password(&lead, "Example@Pass2").await);
    for used_or_wrong in [temporary.as_str(), "0"] {
        let refused = reset("Example@Pass3", used_or_wrong).await;
        assert_refused(refused, 401, UNAUTHORIZED, "Invalid or expired temporary password.");
    }
}

#[tokio::test]
async fn the_page_of_a_reset_link_sets_the_password() {
    let (account, lead) = registered(settings()).await;
    account.ok(account.portal_call(Call::ForgotPassword).json(&json!({"EmailAddress": EMAIL}))).await;
    let mail = account.emulator.mails().pop().unwrap();
    let link = mail.text.rsplit(' ').next().unwrap();
    let page = account.http.get(link).send().await.unwrap().text().await.unwrap();
    let (lead_id, temporary) = reset_values(&mail.text);
    assert!(page.contains(&lead_id) && page.contains(&temporary) && page.contains("New password"));
    let submit = async |password: &str| {
        let pairs = [("lead_id", &*lead_id), ("temporary_password", &*temporary), ("password", password)];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request = account.http.post(format!("{}/reset-password", account.emulator.portal_page_url()));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, weak) = submit("weak").await;
    assert_eq!(status, 422);
    assert!(weak.contains("Password does not meet the password policy.") && weak.contains(&temporary));
    let (status, done) = submit("Example@Pass2").await;
    assert!(status == 200 && done.contains("Your password is set"));
    assert!(account.emulator.has_password(&lead, "Example@Pass2").await);
    assert_eq!(submit("Example@Pass3").await.0, 422, "a temporary password is valid once");
}

#[tokio::test]
async fn a_reset_link_goes_to_the_phone_on_request_and_expires() {
    let (account, lead) = registered(settings()).await;
    let body = json!({"SearchKeyData": {"SchemaName": "EmailAddress", "Value": EMAIL}, "RecipientField": {"SchemaName": "Phone"}});
    account.ok(v1(&account, Call::ForgotPasswordV1).json(&body)).await;
    assert_eq!(account.emulator.mails(), []);
    let (_, temporary) = reset_values(&account.emulator.text_messages().pop().unwrap().text);
    account.emulator.clock().advance(Duration::from_secs(24 * 3600));
    let body = json!({"Password": "Example@Pass2", "LeadId": lead, "TemporaryPassword": temporary});
    let refused = account.send(v1(&account, Call::ResetPasswordV1).json(&body)).await;
    assert_refused(refused, 401, UNAUTHORIZED, "Invalid or expired temporary password.");
    let body = json!({"EmailAddress": "nobody@example.test"});
    let unknown = account.send(account.portal_call(Call::ForgotPassword).json(&body)).await;
    assert_refused(unknown, 500, "MXInvalidEntityException", "Lead does not exist in the system");
}

#[tokio::test]
async fn a_change_of_the_password_requires_the_private_key_and_the_old_password() {
    let (account, lead) = registered(settings()).await;
    let (_, signed_in) = sign_in(&account, json!({"EmailAddress": EMAIL, "Password": "Example@Pass1"})).await;
    let private_key = signed_in["AuthKey"].as_str().unwrap();
    let change = async |call, key: &str, current: &str, new: &str| {
        let request = account.http.post(account.url(call)).header("Authorization", key);
        let request = request.header("x-lsq-registertoken", &account.registration_token);
        let request = request.header("x-lsq-portalid", account.emulator.portal_id());
        account.send(request.json(&json!({"CurrentPassword": current, "NewPassword": new}))).await
    };
    let public = change(Call::ChangePassword, &account.public_key, "Example@Pass1", "Example@Pass2").await;
    assert_refused(public, 401, UNAUTHORIZED, "Invalid or expired auth key.");
    let wrong = change(Call::ChangePassword, private_key, "Example@Pass0", "Example@Pass2").await;
    assert_refused(wrong, 401, UNAUTHORIZED, "Invalid username or password.");
    let weak = change(Call::ChangePassword, private_key, "Example@Pass1", "weak").await;
    assert_refused(weak, 500, "MXInvalidInputException", "Password does not meet the password policy.");
    let done = json!({"IsSuccessful": true, "ResponseText": "Password changed successfully"});
    let second = change(Call::ChangePassword, private_key, "Example@Pass1", "Example@Pass2").await;
    assert_eq!(second, (200, done.clone()));
    let first = change(Call::ChangePasswordV1, private_key, "Example@Pass2", "Example@Pass3").await;
    assert_eq!(first, (200, done));
    assert!(account.emulator.has_password(&lead, "Example@Pass3").await);
    account.emulator.clock().advance(Duration::from_secs(4 * 3600));
    let expired = change(Call::ChangePassword, private_key, "Example@Pass3", "Example@Pass4").await;
    assert_refused(expired, 401, UNAUTHORIZED, "Invalid or expired auth key.");
}

#[tokio::test]
async fn a_switch_sends_refused_resets_under_200() {
    let mut settings = settings();
    settings.switches.refused_change_under_ok = true;
    let (account, lead) = registered(settings).await;
    let body = json!({"Password": "Example@Pass2", "LeadId": lead, "TemporaryPassword": "0"});
    let refused = account.send(account.portal_call(Call::ResetPassword).json(&body)).await;
    let text = "Invalid or expired temporary password.";
    assert_eq!(refused, (200, json!({"IsSuccessful": false, "ResponseText": text})));
}

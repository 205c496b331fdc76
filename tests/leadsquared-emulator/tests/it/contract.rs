//! The recorded exchanges that the LeadSquared client is tested against: the emulator accepts each request and gives an
//! answer of the recorded shape.

use std::fs;
use std::path::Path;

use leadsquared_emulator::{Call, WebhookStatus};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::{Account, settings};

const EMAIL: &str = "asha@example.test";
const PHONE: &str = "+91-9000000001";
const RECORDED_LEAD: &str = "11111111-1111-4111-8111-111111111111";
const RECORDED_WEBHOOK: &str = "88888888-8888-4888-8888-888888888888";
const RECORDED_TEMPORARY_PASSWORD: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const RECORDED_CHALLENGE: &str = "b3BhcXVl+key/A==";
const RECORDED_CODE: &str = "123456";

fn recorded(name: &str) -> Value {
    let file = format!("../../shared/leadsquared/contract/{name}.json");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file));
    serde_json::from_str(&text.unwrap_or_else(|error| panic!("{file}: {error}"))).unwrap()
}

/// Prepares the account for a recorded request; returns the values that replace the recorded ones.
async fn prepare(account: &Account, call: Call) -> Vec<(String, String)> {
    let of = |recorded: &str, real: String| (recorded.to_owned(), real);
    // No server listens at this address: the webhook is saved as failed.
    let mut values = vec![of("https://example.test/hooks/lsq", "http://127.0.0.1:9/".to_owned())];
    if [Call::Register, Call::RegisterV1, Call::CreateOrUpdateLead].contains(&call) {
        return values;
    }
    let fields = [("EmailAddress", EMAIL), ("Phone", PHONE), ("Mobile", PHONE), ("FirstName", "Asha")];
    let (_, registered) = account.register(true, &fields).await;
    let lead = registered["LeadId"].as_str().unwrap().to_owned();
    values.push(of("tenant-key-MX12345", account.tenant_key().await));
    values.push(of(RECORDED_LEAD, lead.clone()));
    if call == Call::Activities {
        let activity = json!({"RelatedProspectId": lead, "ActivityEvent": 201});
        account.ok(account.call(Call::PostActivity).json(&activity)).await;
    }
    if [Call::SignIn, Call::SignInV1].contains(&call) {
        let phone = json!({"FieldSchemaName": "Phone", "FieldContent": PHONE});
        let (_, sent) = account.ok(account.portal_call(Call::SignInCode).json(&phone)).await;
        values.push(of(RECORDED_CHALLENGE, sent["Code"].as_str().unwrap().to_owned()));
        values.push(of(RECORDED_CODE, account.emulator.text_messages().pop().unwrap().text[..6].to_owned()));
    }
    if [Call::ResetPassword, Call::ResetPasswordV1].contains(&call) {
        account.ok(account.portal_call(Call::ForgotPassword).json(&json!({"EmailAddress": EMAIL}))).await;
        let text = account.emulator.mails().pop().unwrap().text;
        values.push(of(RECORDED_TEMPORARY_PASSWORD, text[text.len() - 64..].to_owned()));
    }
    if [Call::Webhooks, Call::UpdateWebhook, Call::DeleteWebhook].contains(&call) {
        let webhook = json!({"URL": "http://127.0.0.1:9/", "WebhookEvent": "6"});
        let (_, created) = account.ok(account.call(Call::CreateWebhook).json(&webhook)).await;
        values.push(of(RECORDED_WEBHOOK, created["Message"]["Id"].as_str().unwrap().to_owned()));
        assert_eq!(account.emulator.webhooks()[0].status, WebhookStatus::Failed);
    }
    values
}

/// The recorded request, with the account's own credentials and values in the recorded places.
async fn request(account: &Account, call: Call, recorded: &Value, values: &[(String, String)]) -> RequestBuilder {
    let real = |text: &str| {
        values.iter().fold(text.to_owned(), |text, (recorded, real)| text.replace(recorded.as_str(), real))
    };
    let (access_key, secret_key) = account.emulator.keys();
    let session = if [Call::ChangePassword, Call::ChangePasswordV1].contains(&call) {
        let body = json!({"EmailAddress": EMAIL, "Password": "Example@Pass1"});
        let (_, signed_in) = account.ok(account.portal_call(Call::SignIn).json(&body)).await;
        signed_in["AuthKey"].as_str().unwrap().to_owned()
    } else {
        account.public_key.clone()
    };
    let path = recorded["path"].as_str().unwrap();
    let method = http::Method::from_bytes(recorded["method"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!((method.clone(), path), (call.method(), call.path()), "{call}");
    let mut request = account.http.request(method, format!("{}{}", account.emulator.url(), &path[1..]));
    for (name, value) in recorded["query"].as_object().into_iter().flatten() {
        let value = match name.as_str() {
            "accessKey" => access_key.clone(),
            "secretKey" => secret_key.clone(),
            _ => real(value.as_str().unwrap()),
        };
        request = request.query(&[(name, value)]);
    }
    for name in recorded["headers"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()) {
        let value = match name {
            "authorization" => session.clone(),
            "x-lsq-registertoken" => account.registration_token.clone(),
            "x-lsq-portalid" => account.emulator.portal_id(),
            "x-lsq-accesskey" => access_key.clone(),
            "x-lsq-secretkey" => secret_key.clone(),
            other => panic!("{call} carries an undocumented header: {other}"),
        };
        request = request.header(name, value);
    }
    match &recorded["body"] {
        Value::Null => request,
        body => request.body(real(&body.to_string())),
    }
}

/// Asserts that every recorded value has an answered one of the same type. Of a list the first entry counts; null
/// matches everything.
fn assert_shape(place: &str, recorded: &Value, answered: &Value) {
    match (recorded, answered) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(recorded), Value::Object(answered)) => {
            for (name, value) in recorded {
                let found = answered.get(name).unwrap_or_else(|| panic!("{place} has no {name}"));
                assert_shape(&format!("{place}.{name}"), value, found);
            }
        }
        (Value::Array(recorded), Value::Array(answered)) => {
            if let Some(first) = recorded.first() {
                let found = answered.first().unwrap_or_else(|| panic!("{place} is empty"));
                assert_shape(&format!("{place}[0]"), first, found);
            }
        }
        _ => assert_eq!(
            std::mem::discriminant(recorded),
            std::mem::discriminant(answered),
            "{place}: {recorded} and {answered} differ in type"
        ),
    }
}

#[tokio::test]
async fn every_recorded_request_is_accepted_and_its_answer_has_the_recorded_shape() {
    // The client does not make these two calls, and has its own names for sign-in with a code.
    let not_in_client = [Call::CreateLead, Call::ActivityDetails];
    let calls =
        Call::ALL.iter().copied().filter(|call| !not_in_client.contains(call)).map(|call| (format!("{call:?}"), call));
    let with_code = [("SignInWithCode", Call::SignIn), ("SignInWithCodeV1", Call::SignInV1)];
    for (name, call) in calls.chain(with_code.map(|(name, call)| (name.to_owned(), call))) {
        let mut settings = settings();
        settings.tenant.activity_types.retain(|kind| kind.code == 201);
        let contract = recorded(&name);
        let account = Account::with(settings).await;
        let values = prepare(&account, call).await;
        let request = request(&account, call, &contract["request"], &values).await;
        let answered = account.send(request).await;
        let good = contract["answers"].as_array().unwrap().iter().find(|answer| answer["outcome"] == "Ok").unwrap();
        assert_eq!(json!(answered.0), good["status"], "{name}: {}", answered.1);
        assert_shape(&name, &good["body"], &answered.1);
    }
}

#[test]
fn every_recorded_exchange_belongs_to_a_call_of_the_emulator() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/leadsquared/contract");
    let mut known: Vec<String> = Call::ALL.iter().map(|call| format!("{call:?}.json")).collect();
    // The client's two names for sign-in with a code, and the refusals of no particular call.
    known.extend(["SignInWithCode.json", "SignInWithCodeV1.json", "catalogue.json"].map(str::to_owned));
    for file in fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".json") || known.contains(&name), "{name}");
    }
}

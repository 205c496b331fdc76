//! Checks every file in `contract/`: the client's request, and how it decodes each answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use leadsquared::crm::{
    ActivityQuery, Content, EmailToLead, NewActivity, NewActivityType, NewWebhook, Notify, Recipient, SearchBy,
    UpdateBehavior, WebhookEvent, WebhookState,
};
use leadsquared::portal::{Identifier, PasswordReset, Registration, ResetRecipient, SentCode};
use leadsquared::wire::{Endpoint, Paths};
use leadsquared::{Attributes, Client, DuplicateField, EmailAddress, Error, LeadId, Password, Phone, SessionKey};
use serde::Deserialize;
use serde_json::{Value, json};
use time::macros::utc_datetime;

use crate::{LEAD, assert_hides_secrets, client_with, options};
use leadsquared_fake::Fake;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contract {
    endpoint: String,
    request: Request,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    when: String,
    status: u16,
    body: Value,
    outcome: String,
}

/// Makes the call of `endpoint` with the sample values of its file.
async fn make(client: &Client, endpoint: Endpoint) -> Result<(), Error> {
    let email: EmailAddress = "asha@example.test".parse().unwrap();
    let phone: Phone = "+91-9000000001".parse().unwrap();
    let lead: LeadId = LEAD.parse().unwrap();
    let (password, new_password) = (Password::from("Example@Pass1"), Password::from("New@Pass2"));
    let by_email = Identifier::Email(email.clone());
    let by_phone = Identifier::Field { schema_name: "Phone".to_owned(), value: "+91-9000000001".to_owned() };
    let sent = SentCode { code: "b3BhcXVl+key/A==".into(), field_content: "+91-9000000001".into() };
    let session = SessionKey::from("c2Vzc2lvbg+key/A==");
    let fields = Attributes::new().with("EmailAddress", "asha@example.test").with("FirstName", "Asha");
    let registration =
        Registration { register_only_new_lead: true, password: password.clone(), fields: fields.clone() };
    let temporary_password = "0123456789abcdef".repeat(4).into();
    let reset = PasswordReset { lead, temporary_password, password: new_password.clone() };
    let activity = NewActivity {
        event: 201,
        note: "Auto-login link issued".to_owned(),
        at: Some(utc_datetime!(2026-01-02 03:04:05)),
        fields: vec![("mx_Custom_1".to_owned(), "x".to_owned())],
    };
    let webhook_id = "88888888-8888-4888-8888-888888888888";
    let webhook = |description: &str, event, headers, notify_on_failure| NewWebhook {
        description: description.to_owned(),
        url: "https://example.test/hooks/lsq".parse().unwrap(),
        event,
        headers,
        notify_on_failure,
    };
    match endpoint {
        Endpoint::PublicAuthKey => client.public_auth_key().await.map(drop),
        Endpoint::RegistrationToken => client.registration_token().await.map(drop),
        Endpoint::RegisterV1 => client.register_v1(&registration).await.map(drop),
        Endpoint::Register => client.register(&registration).await.map(drop),
        Endpoint::SignInV1 => client.sign_in_v1(&by_phone, &password).await.map(drop),
        Endpoint::SignIn => client.sign_in(&by_email, &password).await.map(drop),
        Endpoint::SignInWithCodeV1 => client.sign_in_with_code_v1(&sent, &"123456".into()).await.map(drop),
        Endpoint::SignInWithCode => client.sign_in_with_code(&sent, &"123456".into()).await.map(drop),
        Endpoint::SignInCodeV1 => client.send_sign_in_code_v1("Phone", phone.expose()).await.map(drop),
        Endpoint::SignInCode => client.send_sign_in_code("Phone", phone.expose()).await.map(drop),
        Endpoint::ForgotPasswordV1 => client.forgot_password_v1(&by_phone, ResetRecipient::Field("Mobile")).await,
        Endpoint::ForgotPassword => client.forgot_password(&by_email, ResetRecipient::PortalDefault).await,
        Endpoint::ResetPasswordV1 => client.reset_password_v1(&reset).await,
        Endpoint::ResetPassword => client.reset_password(&reset).await,
        Endpoint::ChangePasswordV1 => client.change_password_v1(&session, &password, &new_password).await,
        Endpoint::ChangePassword => client.change_password(&session, &password, &new_password).await,
        Endpoint::TenantAuthKey => client.tenant_auth_key().await.map(drop),
        Endpoint::LeadAuthKey => client.lead_auto_login_key(&lead).await.map(drop),
        Endpoint::AuthenticateUser => client.authenticate_user().await.map(drop),
        Endpoint::CaptureLead => {
            let captured = client.capture_lead(&fields, UpdateBehavior::DoNotUpdateUniqueFields).await?;
            assert_eq!(captured, lead, "the related id, where there is one");
            Ok(())
        }
        Endpoint::UpdateLead => {
            client.update_lead(&lead, &Attributes::new().with("FirstName", "Asha"), Notify::Webhooks).await
        }
        Endpoint::CreateOrUpdateLead => {
            client.create_or_update_lead(&fields, SearchBy::Field("Phone"), Notify::Nothing).await.map(drop)
        }
        Endpoint::LeadById => client.lead_by_id(&lead).await.map(drop),
        Endpoint::LeadByEmail => client.leads_by_email(&email).await.map(drop),
        Endpoint::LeadByPhone => client.leads_by_phone(&phone).await.map(drop),
        Endpoint::LeadFields => client.lead_fields().await.map(drop),
        Endpoint::PostActivity => client.post_activity(&lead, &activity).await.map(drop),
        Endpoint::PostLeadAndActivity => client.post_lead_and_activity(&fields, &activity).await.map(drop),
        Endpoint::Activities => {
            let query = ActivityQuery { event: Some(201), page: 0, rows: Some(10) };
            client.activities(&lead, &query).await.map(drop)
        }
        Endpoint::ActivityTypes => client.activity_types().await.map(drop),
        Endpoint::CreateActivityType => {
            let new = NewActivityType {
                name: "Login link issued".to_owned(),
                outbound: true,
                text_fields: vec!["Channel".to_owned()],
                ..NewActivityType::default()
            };
            assert_eq!(client.create_activity_type(&new).await?, 206);
            Ok(())
        }
        Endpoint::SendEmailToLead => {
            let content = Content::Html { html: "<p>Hi</p>".to_owned(), text: "Hi".to_owned() };
            let email = EmailToLead::new(Recipient::LeadEmail(email), "Your link", content);
            client.send_email_to_lead(&email).await.map(drop)
        }
        Endpoint::CreateWebhook => {
            let headers = vec![("x-example-secret".to_owned(), "Example@Pass1".to_owned())];
            let event = WebhookEvent::ActivityCreate { event: 201 };
            client.create_webhook(&webhook("activities", event, headers, true)).await.map(drop)
        }
        Endpoint::Webhooks => client.webhooks(WebhookState::DisabledAfterFailures).await.map(drop),
        Endpoint::UpdateWebhook => {
            let event = WebhookEvent::LeadFieldChange { schema_name: "ProspectStage".to_owned() };
            client.update_webhook(webhook_id, &webhook("stage", event, Vec::new(), false)).await
        }
        Endpoint::DeleteWebhook => client.delete_webhook(webhook_id).await,
        other => panic!("no sample call for {other:?}"),
    }
}

fn outcome(result: &Result<(), Error>) -> String {
    match result {
        Ok(()) => "Ok".to_owned(),
        Err(error) => match error {
            Error::Refused { exception_type, .. } => format!("Refused {exception_type}"),
            Error::Duplicate { field: DuplicateField::Unnamed } => "Duplicate".to_owned(),
            Error::Duplicate { field } => format!("Duplicate {field}"),
            Error::UnknownAttributes(names) => format!("UnknownAttributes {}", names.join(",")),
            Error::WrongHost { right_host } => format!("WrongHost {right_host}"),
            Error::RateLimited { limit: Some(limit) } => {
                format!("RateLimited {}/{}", limit.calls, limit.window.as_secs())
            }
            error => error.name().to_owned(),
        },
    }
}

#[tokio::test]
async fn every_call_asks_and_understands_as_recorded() {
    for &endpoint in Endpoint::ALL {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("contract/{endpoint:?}.json"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let contract: Contract = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{endpoint:?}: {error}"));
        assert_eq!(contract.endpoint, format!("{endpoint:?}"));
        assert!(contract.answers.iter().any(|answer| answer.outcome == "Ok"), "{endpoint:?} has no success");
        assert!(contract.answers.iter().any(|answer| answer.outcome != "Ok"), "{endpoint:?} has no refusal");
        for answer in &contract.answers {
            exchange(endpoint, &contract.request, answer).await;
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    call: String,
    status: u16,
    exception_type: Option<String>,
    message: Option<String>,
    decision: String,
}

#[tokio::test]
async fn every_refusal_of_the_catalogue_is_decided_as_written() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract/catalogue.json");
    let refusals: Vec<Refusal> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert!(refusals.len() > 40, "the catalogue is not all there");
    for refusal in &refusals {
        let endpoint = Endpoint::ALL.iter().copied().find(|endpoint| format!("{endpoint:?}") == refusal.call);
        let endpoint = endpoint.unwrap_or_else(|| panic!("no call is named {}", refusal.call));
        let body = match (&refusal.exception_type, &refusal.message) {
            (None, None) => "<html></html>".to_owned(),
            (exception_type, message) => {
                json!({ "Status": "Error", "ExceptionType": exception_type, "ExceptionMessage": message }).to_string()
            }
        };
        let (result, _) = answered(endpoint, refusal.status, &body).await;
        assert_eq!(outcome(&result), refusal.decision, "{} {body}", refusal.call);
        assert_hides_secrets(&result.unwrap_err());
    }
}

/// Makes the sample call of `endpoint`, whose path answers this, and keeps what was sent.
async fn answered(endpoint: Endpoint, status: u16, body: &str) -> (Result<(), Error>, Vec<leadsquared_fake::Request>) {
    let path: &'static str = Box::leak(endpoint.path(&Paths::default()).to_owned().into_boxed_str());
    let fake = Fake::answering(path, status, body);
    let mut options = options(&fake);
    options.repeats = 0;
    let result = make(&client_with(options), endpoint).await;
    (result, fake.seen())
}

async fn exchange(endpoint: Endpoint, expected: &Request, answer: &Answer) {
    let context = format!("{endpoint:?} when {}", answer.when);
    let body = match &answer.body {
        // A text is a bare JSON string under success and plain words under anything else.
        Value::String(text) if answer.status != 200 => text.clone(),
        body => body.to_string(),
    };
    let (result, seen) = answered(endpoint, answer.status, &body).await;
    assert_eq!(outcome(&result), answer.outcome, "{context}");
    if let Err(error) = &result {
        assert_hides_secrets(error);
    }

    let request =
        seen.iter().find(|request| request.path() == expected.path).unwrap_or_else(|| panic!("{context}: not called"));
    assert_eq!(request.method, expected.method, "{context}");
    assert_eq!(request.query().into_iter().collect::<BTreeMap<_, _>>(), expected.query, "{context}");
    for (name, value) in &expected.headers {
        assert_eq!(request.header(name), Some(value.as_str()), "{context}: {name}");
    }
    let credentials = request.headers.iter().filter(|(name, _)| name == "authorization" || name.starts_with("x-lsq-"));
    assert_eq!(credentials.count(), expected.headers.len(), "{context}: no credentials but the expected");
    match &expected.body {
        Some(body) => {
            assert_eq!(&serde_json::from_str::<Value>(&request.body).unwrap(), body, "{context}");
            assert_eq!(request.header("content-type"), Some("application/json"), "{context}");
        }
        None => assert_eq!(request.body, "", "{context}"),
    }
}

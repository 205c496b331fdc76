//! Every file in `contract/`: the request the client makes, and what it makes of each answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use leadsquared::{
    Attributes, Client, Content, DuplicateField, EmailToLead, Endpoint, Error, Paths, Recipient, Registration,
};
use serde::Deserialize;
use serde_json::Value;

use crate::fake::Fake;
use crate::{LEAD, assert_tells_nothing, client_with, options};

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
    let email = "asha@example.test".parse().unwrap();
    match endpoint {
        Endpoint::PublicAuthKey => client.public_auth_key().await.map(drop),
        Endpoint::RegistrationToken => client.registration_token().await.map(drop),
        Endpoint::Register => {
            let fields = Attributes::new().with("EmailAddress", "asha@example.test").with("FirstName", "Asha");
            let registration = Registration { register_only_new_lead: true, password: "Example@Pass1".into(), fields };
            client.register(&registration).await.map(drop)
        }
        Endpoint::TenantAuthKey => client.tenant_auth_key().await.map(drop),
        Endpoint::LeadAuthKey => client.lead_auto_login_key(&LEAD.parse().unwrap()).await.map(drop),
        Endpoint::UserByAccessKey => client.authenticate_user().await.map(drop),
        Endpoint::LeadsByEmail => client.leads_by_email(&email).await.map(drop),
        Endpoint::SendEmailToLead => {
            let content = Content::Html { html: "<p>Hi</p>".to_owned(), text: "Hi".to_owned() };
            let email = EmailToLead::new(Recipient::LeadEmail(email), "Your link", content);
            client.send_email_to_lead(&email).await.map(drop)
        }
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
        for answer in &contract.answers {
            exchange(endpoint, &contract.request, answer).await;
        }
    }
}

async fn exchange(endpoint: Endpoint, expected: &Request, answer: &Answer) {
    let context = format!("{endpoint:?} when {}", answer.when);
    let body = match &answer.body {
        // A text is a bare JSON string under success and plain words under anything else.
        Value::String(text) if answer.status != 200 => text.clone(),
        body => body.to_string(),
    };
    let paths = Paths::default();
    let path: &'static str = Box::leak(endpoint.path(&paths).to_owned().into_boxed_str());
    let fake = Fake::answering(path, answer.status, &body);
    let mut options = options(&fake);
    options.repeats = 0;
    let result = make(&client_with(options), endpoint).await;
    assert_eq!(outcome(&result), answer.outcome, "{context}");
    if let Err(error) = &result {
        assert_tells_nothing(error);
    }

    let seen = fake.seen();
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

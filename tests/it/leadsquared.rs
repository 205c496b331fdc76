//! The LeadSquared client and the emulator held against each other.

use std::{fs, path::Path, time::Duration};

use leadsquared::crm::Sender;
use leadsquared::portal::{Identifier, Registration};
use leadsquared::tools::{
    doctor::{Finding, Subject, Verdict, Wanted, examine},
    webhook_setup::WebhookSetup,
};
use leadsquared::wire::{Endpoint, Paths, Verb};
use leadsquared::{Attributes, Client, Error, Keys, LeadId, Limit, Options};
use leadsquared_emulator::{Call, Emulator, Role, Settings};
use url::Url;

use crate::workspace;

/// The calls an onboarding system touches: the client's and the emulator's. The recorded exchange is named as the client's.
const ROWS: [(Endpoint, Call); 36] = [
    (Endpoint::PublicAuthKey, Call::PublicAuthKey),
    (Endpoint::RegistrationToken, Call::RegistrationToken),
    (Endpoint::RegisterV1, Call::RegisterV1),
    (Endpoint::Register, Call::Register),
    (Endpoint::SignInV1, Call::SignInV1),
    (Endpoint::SignIn, Call::SignIn),
    (Endpoint::SignInCodeV1, Call::SignInCodeV1),
    (Endpoint::SignInCode, Call::SignInCode),
    (Endpoint::SignInWithCodeV1, Call::SignInV1),
    (Endpoint::SignInWithCode, Call::SignIn),
    (Endpoint::ForgotPasswordV1, Call::ForgotPasswordV1),
    (Endpoint::ForgotPassword, Call::ForgotPassword),
    (Endpoint::ResetPasswordV1, Call::ResetPasswordV1),
    (Endpoint::ResetPassword, Call::ResetPassword),
    (Endpoint::ChangePasswordV1, Call::ChangePasswordV1),
    (Endpoint::ChangePassword, Call::ChangePassword),
    (Endpoint::TenantAuthKey, Call::TenantAuthKey),
    (Endpoint::LeadAuthKey, Call::LeadAuthKey),
    (Endpoint::AuthenticateUser, Call::AuthenticateUser),
    (Endpoint::CaptureLead, Call::CaptureLead),
    (Endpoint::UpdateLead, Call::UpdateLead),
    (Endpoint::CreateOrUpdateLead, Call::CreateOrUpdateLead),
    (Endpoint::LeadById, Call::LeadById),
    (Endpoint::LeadByEmail, Call::LeadByEmail),
    (Endpoint::LeadByPhone, Call::LeadByPhone),
    (Endpoint::LeadFields, Call::LeadFields),
    (Endpoint::PostActivity, Call::PostActivity),
    (Endpoint::PostLeadAndActivity, Call::PostLeadAndActivity),
    (Endpoint::Activities, Call::Activities),
    (Endpoint::ActivityTypes, Call::ActivityTypes),
    (Endpoint::CreateActivityType, Call::CreateActivityType),
    (Endpoint::SendEmailToLead, Call::SendEmailToLead),
    (Endpoint::CreateWebhook, Call::CreateWebhook),
    (Endpoint::Webhooks, Call::Webhooks),
    (Endpoint::UpdateWebhook, Call::UpdateWebhook),
    (Endpoint::DeleteWebhook, Call::DeleteWebhook),
];

#[test]
fn every_call_has_a_client_method_an_emulator_route_and_recorded_exchanges() {
    let paths = Paths::default();
    let contract = workspace::root().join("shared/leadsquared/contract");
    for (endpoint, call) in ROWS {
        assert_eq!(endpoint.path(&paths), call.path(), "{endpoint:?}");
        let verb = match endpoint.verb(&paths) {
            Verb::Get => "GET",
            Verb::Post => "POST",
        };
        assert_eq!(verb, call.method().as_str(), "{endpoint:?}");
        let [good, bad] = outcomes(&contract.join(format!("{endpoint:?}.json")));
        assert!(good > 0 && bad > 0, "{endpoint:?} has {good} recorded successes and {bad} refusals");
    }
    for endpoint in Endpoint::ALL {
        let rows = ROWS.iter().filter(|(row, _)| row == endpoint).count();
        assert_eq!(rows, 1, "{endpoint:?} is in the list above {rows} times");
    }
}

/// How many successes and how many refusals a file records.
fn outcomes(file: &Path) -> [usize; 2] {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(json["request"].is_object(), "{}", file.display());
    let (good, bad): (Vec<_>, Vec<_>) =
        json["answers"].as_array().unwrap().iter().partition(|answer| answer["outcome"] == "Ok");
    [good.len(), bad.len()]
}

fn client(emulator: &Emulator, api: Url, keys: (String, String)) -> Client {
    let options = Options::new(api, emulator.url(), emulator.portal_id().parse().unwrap());
    Client::new(options, Keys { access_key: keys.0.into(), secret_key: keys.1.into() }).unwrap()
}

/// A client of an emulator, and somebody who is registered there.
async fn registered(emulator: &Emulator) -> (Client, Identifier, LeadId) {
    let client = client(emulator, emulator.url(), emulator.keys());
    let fields = Attributes::new().with("EmailAddress", "asha@example.test").with("Phone", "+91-9000000001");
    let registration = Registration { register_only_new_lead: true, password: "Example@Pass1".into(), fields };
    let lead = client.register(&registration).await.unwrap();
    (client, Identifier::Email("asha@example.test".parse().unwrap()), lead)
}

#[tokio::test]
async fn a_mistyped_password_does_not_end_a_session() {
    let emulator = Emulator::start(Settings::for_tests()).await.unwrap();
    let (client, who, _) = registered(&emulator).await;
    let (password, wrong, new) = ("Example@Pass1".into(), "Example@Pass0".into(), "New@Pass2".into());
    assert!(matches!(client.sign_in(&who, &wrong).await.unwrap_err(), Error::BadPortalPassword));
    let session = client.sign_in(&who, &password).await.unwrap().auth_key;
    for refused in [
        client.change_password(&session, &wrong, &new).await.unwrap_err(),
        client.change_password_v1(&session, &wrong, &new).await.unwrap_err(),
    ] {
        assert!(matches!(refused, Error::BadPortalPassword), "{refused:?}");
    }
    client.change_password(&session, &password, &new).await.unwrap();
    emulator.clock().advance(Duration::from_secs(4 * 3600));
    assert!(matches!(client.change_password(&session, &new, &password).await.unwrap_err(), Error::SessionEnded));
}

#[tokio::test]
async fn a_code_from_a_text_message_signs_its_receiver_in() {
    let emulator = Emulator::start(Settings::for_tests()).await.unwrap();
    let (client, _, lead) = registered(&emulator).await;
    let phone = "+91-9000000001".parse().unwrap();
    let sent = client.send_sign_in_code("Phone", &phone).await.unwrap();
    let text = emulator.text_messages().pop().unwrap().text;
    let (code, _) = text.split_once(' ').unwrap();
    for refused in [
        client.sign_in_with_code(&sent, &"no code".into()).await.unwrap_err(),
        client.sign_in_with_code_v1(&sent, &"no code".into()).await.unwrap_err(),
    ] {
        assert!(matches!(refused, Error::BadPortalPassword), "{refused:?}");
    }
    assert_eq!(client.sign_in_with_code(&sent, &code.into()).await.unwrap().lead_id, lead);
    client.sign_in_with_code_v1(&sent, &code.into()).await.unwrap_err();

    let sent = client.send_sign_in_code_v1("Phone", &phone).await.unwrap();
    let text = emulator.text_messages().pop().unwrap().text;
    let (code, _) = text.split_once(' ').unwrap();
    assert_eq!(client.sign_in_with_code_v1(&sent, &code.into()).await.unwrap().lead_id, lead);
}

fn wanted(fields: &[&str]) -> Wanted {
    let fields = fields.iter().map(|field| (*field).to_owned().into()).collect();
    Wanted {
        fields,
        sender: Some(Sender::ApiCaller),
        allowance: Some(Limit { calls: 25, window: Duration::from_secs(5) }),
    }
}

/// What the doctor finds wrong, and what it says of it.
async fn wrong(client: &Client, fields: &[&str]) -> Vec<(Subject, String)> {
    let findings: Vec<Finding> = examine(client, &wanted(fields)).await;
    let wrong = findings.into_iter().filter_map(|finding| match finding.verdict {
        Verdict::Wrong { what, fix } => Some((finding.subject, format!("{what}: {fix}"))),
        Verdict::Good(_) | Verdict::Unknown(_) => None,
    });
    wrong.collect()
}

#[tokio::test]
async fn the_doctor_tells_five_accounts_apart() {
    let emulator = Emulator::start(Settings::for_tests()).await.unwrap();
    let fields = ["EmailAddress", "FirstName", "mx_City"];
    let right = client(&emulator, emulator.url(), emulator.keys());
    assert_eq!(wrong(&right, &fields).await, []);

    let (access_key, secret_key) = emulator.keys();
    let bad = client(&emulator, emulator.url(), (access_key, secret_key.chars().rev().collect()));
    let sales = client(&emulator, emulator.url(), emulator.keys_of(Role::SalesUser).unwrap());
    let elsewhere = client(&emulator, emulator.other_region_url(), emulator.keys());
    let right_host = emulator.url();
    let cases = [
        (wrong(&bad, &fields).await, Subject::Keys, "copy both again"),
        (wrong(&sales, &fields).await, Subject::Role, "create keys for an administrator"),
        (wrong(&elsewhere, &fields).await, Subject::Region, right_host.authority()),
        (wrong(&right, &["EmailAddress", "mx_Batch"]).await, Subject::Fields, "mx_Batch"),
    ];
    for (found, subject, advice) in cases {
        let (first, mend) = found.first().unwrap_or_else(|| panic!("nothing wrong with the {subject:?}"));
        assert_eq!(*first, subject, "{found:?}");
        assert!(mend.contains(advice), "{mend}");
    }
}

/// An address that answers everything with 200.
async fn receiver() -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/crm-events", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, axum::Router::new().fallback(async || "")).await });
    url.parse().unwrap()
}

fn setup(url: &Url, mark: &str, events: &str) -> WebhookSetup {
    WebhookSetup {
        url: url.clone(),
        header: "x-webhook-secret".to_owned(),
        secret: "0123456789abcdef0123456789abcdef".to_owned().into(),
        mark: mark.to_owned(),
        events: events.split(',').map(|event| event.parse().unwrap()).collect(),
    }
}

/// The first word of each step that there is to do, after which those are done that need no person.
async fn carried_out(setup: &WebhookSetup, client: &Client, emulator: &Emulator) -> Vec<String> {
    emulator.clock().advance(Duration::from_secs(60));
    let steps = setup.plan(client).await.unwrap();
    for step in &steps {
        setup.carry_out(step, client).await.unwrap();
    }
    steps.iter().map(|step| step.to_string().split_whitespace().next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn webhooks_are_set_up_once_and_changed_in_place() {
    const EVENTS: &str = "lead-create,lead-owner-change,lead-score-change,lead-field-change=ProspectStage,lead-field-change=mx_City,activity-create=201";
    let emulator = Emulator::start(Settings::for_tests()).await.unwrap();
    let client = client(&emulator, emulator.url(), emulator.keys());
    let url = receiver().await;
    let first = setup(&url, "first", EVENTS);
    assert_eq!(carried_out(&first, &client, &emulator).await, ["create"; 6]);
    assert_eq!(carried_out(&first, &client, &emulator).await, ["unchanged"; 6]);
    assert_eq!(carried_out(&setup(&url, "second", EVENTS), &client, &emulator).await, ["update"; 6]);
    let webhooks = emulator.webhooks();
    assert_eq!(webhooks.len(), 6);

    emulator.switch_webhook(&webhooks[0].id, false);
    let fewer = setup(&url, "second", "lead-create,lead-owner-change,lead-field-change=mx_City,activity-create=201");
    let expected = ["BY", "unchanged", "unchanged", "unchanged", "surplus", "surplus"];
    assert_eq!(carried_out(&fewer, &client, &emulator).await, expected);
    assert_eq!(emulator.webhooks().len(), 6, "what is surplus is for a person to delete");
}

#[tokio::test]
async fn a_field_that_another_address_listens_to_is_told() {
    let emulator = Emulator::start(Settings::for_tests()).await.unwrap();
    let client = client(&emulator, emulator.url(), emulator.keys());
    let event = "lead-field-change=ProspectStage";
    assert_eq!(carried_out(&setup(&receiver().await, "m", event), &client, &emulator).await, ["create"]);
    let other = setup(&receiver().await, "m", event);
    let steps = other.plan(&client).await.unwrap();
    assert_eq!(steps.len(), 1, "another address's webhooks are none of our business");
    assert!(matches!(other.carry_out(&steps[0], &client).await.unwrap_err(), Error::Duplicate { .. }));
}

//! The LeadSquared client against the emulator: calls, refusals, the doctor and the set-up of webhooks.

use std::{fs, path::Path, time::Duration};

use leadsquared::crm::Sender;
use leadsquared::portal::{Identifier, Registration};
use leadsquared::tools::{
    doctor::{Finding, Subject, Verdict, Wanted, examine},
    webhook_setup::WebhookSetup,
};
use leadsquared::wire::{Endpoint, Paths, Verb};
use leadsquared::{Attributes, Client, Error, Keys, LeadId, Options, RateLimit};
use leadsquared_emulator::{Call, Emulator, Role, Settings};
use url::Url;

use crate::{aws_endpoint::Server, workspace};

/// Every call that an onboarding system makes: the client's endpoint and the emulator's call. The file of a recorded
/// exchange has the endpoint's name.
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
        let [successes, refusals] = outcomes(&contract.join(format!("{endpoint:?}.json")));
        assert!(successes > 0 && refusals > 0, "{endpoint:?}: {successes} recorded successes and {refusals} refusals");
    }
    for endpoint in Endpoint::ALL {
        let rows = ROWS.iter().filter(|(row, _)| row == endpoint).count();
        assert_eq!(rows, 1, "{endpoint:?} has {rows} rows in ROWS");
    }
}

/// How many successes and how many refusals a file records.
fn outcomes(file: &Path) -> [usize; 2] {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(json["request"].is_object(), "{}", file.display());
    let (successes, refusals): (Vec<_>, Vec<_>) =
        json["answers"].as_array().unwrap().iter().partition(|answer| answer["outcome"] == "Ok");
    [successes.len(), refusals.len()]
}

fn client(emulator: &Emulator, api: Url, keys: (String, String)) -> Client {
    let options = Options::new(api, emulator.url(), emulator.portal_id().parse().unwrap());
    Client::new(options, Keys { access_key: keys.0.into(), secret_key: keys.1.into() }).unwrap()
}

/// A client, and the identifier and lead id of a person that it registered.
async fn registered(emulator: &Emulator) -> (Client, Identifier, LeadId) {
    let client = client(emulator, emulator.url(), emulator.keys());
    let fields = Attributes::new().with("EmailAddress", "asha@example.test").with("Phone", "+91-9000000001");
    let registration = Registration { register_only_new_lead: true, password: "Example@Pass1".into(), fields };
    let lead = client.register(&registration).await.unwrap();
    (client, Identifier::Email("asha@example.test".parse().unwrap()), lead)
}

#[tokio::test]
async fn a_wrong_password_does_not_end_a_session() {
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
async fn a_texted_code_signs_in_once() {
    let emulator = Emulator::start(Settings::for_tests()).await.unwrap();
    let (client, _, lead) = registered(&emulator).await;
    let phone = "+91-9000000001";
    let sent = client.send_sign_in_code("Phone", phone).await.unwrap();
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

    let sent = client.send_sign_in_code_v1("Phone", phone).await.unwrap();
    let text = emulator.text_messages().pop().unwrap().text;
    let (code, _) = text.split_once(' ').unwrap();
    assert_eq!(client.sign_in_with_code_v1(&sent, &code.into()).await.unwrap().lead_id, lead);
}

fn wanted(fields: &[&str]) -> Wanted {
    let fields = fields.iter().map(|field| (*field).to_owned().into()).collect();
    Wanted {
        fields,
        read: Vec::new(),
        sender: Some(Sender::ApiCaller),
        allowance: Some(RateLimit { calls: 25, window: Duration::from_secs(5) }),
    }
}

/// The findings of the doctor that are wrong: their subject, and what it says about them.
async fn wrong(client: &Client, fields: &[&str]) -> Vec<(Subject, String)> {
    let findings: Vec<Finding> = examine(client, &wanted(fields)).await;
    let wrong = findings.into_iter().filter_map(|finding| match finding.verdict {
        Verdict::Wrong { what, fix } => Some((finding.subject, format!("{what}: {fix}"))),
        Verdict::Good(_) | Verdict::Unknown(_) => None,
    });
    wrong.collect()
}

#[tokio::test]
async fn the_doctor_finds_what_is_wrong_with_four_of_five_accounts() {
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
        let (first, fix) = found.first().unwrap_or_else(|| panic!("nothing wrong with the {subject:?}"));
        assert_eq!(*first, subject, "{found:?}");
        assert!(fix.contains(advice), "{fix}");
    }
}

/// A webhook receiver that answers every request with 200, and its address.
async fn receiver() -> (Server, Url) {
    let server = Server::start(axum::Router::new().fallback(async || "")).await;
    let url = format!("{}/crm-events", server.url).parse().unwrap();
    (server, url)
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

/// Plans the set-up and does the steps that need no person; returns the first word of each step.
async fn carried_out(setup: &WebhookSetup, client: &Client, emulator: &Emulator) -> Vec<String> {
    emulator.clock().advance(Duration::from_secs(60));
    let steps = setup.plan(client).await.unwrap();
    for step in &steps {
        setup.carry_out(step, client).await.unwrap();
    }
    steps.iter().map(|step| step.to_string().split_whitespace().next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn webhooks_are_created_once_and_updated_in_place() {
    const EVENTS: &str = "lead-create,lead-owner-change,lead-score-change,lead-field-change=ProspectStage,lead-field-change=mx_City,activity-create=201";
    let emulator = Emulator::start(Settings::for_tests()).await.unwrap();
    let client = client(&emulator, emulator.url(), emulator.keys());
    let (_receiver, url) = receiver().await;
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
    assert_eq!(emulator.webhooks().len(), 6, "a surplus webhook is left for a person to delete");
}

#[tokio::test]
async fn a_field_with_a_webhook_of_another_address_is_refused_as_a_duplicate() {
    let emulator = Emulator::start(Settings::for_tests()).await.unwrap();
    let client = client(&emulator, emulator.url(), emulator.keys());
    let event = "lead-field-change=ProspectStage";
    let (_receiver, url) = receiver().await;
    assert_eq!(carried_out(&setup(&url, "m", event), &client, &emulator).await, ["create"]);
    let (_other_receiver, other_url) = receiver().await;
    let other = setup(&other_url, "m", event);
    let steps = other.plan(&client).await.unwrap();
    assert_eq!(steps.len(), 1, "webhooks of another address are left out of the plan");
    assert!(matches!(other.carry_out(&steps[0], &client).await.unwrap_err(), Error::Duplicate { .. }));
}

//! The LeadSquared client and the emulator held against each other.

use std::{fs, path::Path, time::Duration};

use leadsquared::{
    Client, Endpoint, Keys, Limit, Options, Paths, Verb,
    doctor::{Finding, Subject, Verdict, Wanted, examine},
};
use leadsquared_emulator::{Call, Emulator, Role, Settings};
use url::Url;

use crate::workspace;

/// The calls an onboarding system touches, by the names under which both sides and the recorded exchanges know them.
const ROWS: [&str; 35] = [
    "PublicAuthKey",
    "RegistrationToken",
    "RegisterV1",
    "Register",
    "SignInV1",
    "SignIn",
    "SignInCodeV1",
    "SignInCode",
    "ForgotPasswordV1",
    "ForgotPassword",
    "ResetPasswordV1",
    "ResetPassword",
    "ChangePasswordV1",
    "ChangePassword",
    "TenantAuthKey",
    "LeadAuthKey",
    "AuthenticateUser",
    "CaptureLead",
    "UpdateLead",
    "CreateOrUpdateLead",
    "LeadById",
    "LeadByEmail",
    "LeadByPhone",
    "LeadFields",
    "PostActivity",
    "PostLeadAndActivity",
    "Activities",
    "ActivityTypes",
    "CreateActivityType",
    "SendEmailToLead",
    "CreateWebhook",
    "Webhooks",
    "UpdateWebhook",
    "DeleteWebhook",
    // Sign In with a one-time code is the same call as sign in with a password.
    "SignIn",
];

#[test]
fn every_call_has_a_client_method_an_emulator_route_and_a_recorded_exchange() {
    let paths = Paths::default();
    let contract = workspace::root().join("shared/leadsquared/contract");
    for row in ROWS {
        let endpoint = Endpoint::ALL.iter().copied().find(|endpoint| format!("{endpoint:?}") == row);
        let endpoint = endpoint.unwrap_or_else(|| panic!("the client has no {row}"));
        let call = Call::ALL.iter().copied().find(|call| format!("{call:?}") == row);
        let call = call.unwrap_or_else(|| panic!("the emulator has no {row}"));
        assert_eq!(endpoint.path(&paths), call.path(), "{row}");
        let verb = match endpoint.verb(&paths) {
            Verb::Get => "GET",
            Verb::Post => "POST",
        };
        assert_eq!(verb, call.method().as_str(), "{row}");
        let file = contract.join(format!("{row}.json"));
        assert!(is_exchange(&file), "{} is no recorded exchange", file.display());
    }
    for endpoint in Endpoint::ALL {
        assert!(ROWS.contains(&format!("{endpoint:?}").as_str()), "{endpoint:?} is missing in the list above");
    }
}

fn is_exchange(file: &Path) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    json["request"].is_object()
}

fn client(emulator: &Emulator, api: Url, keys: (String, String)) -> Client {
    let options = Options::new(api, emulator.url(), emulator.portal_id().parse().unwrap());
    Client::new(options, Keys { access_key: keys.0.into(), secret_key: keys.1.into() }).unwrap()
}

fn wanted(fields: &[&str]) -> Wanted {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    Wanted { fields, allowance: Some(Limit { calls: 25, window: Duration::from_secs(5) }) }
}

/// What the doctor finds wrong, and what it says of it.
async fn wrong(client: &Client, fields: &[&str]) -> Vec<(Subject, String)> {
    let findings: Vec<Finding> = examine(client, &wanted(fields)).await;
    let wrong = findings.into_iter().filter_map(|finding| match finding.verdict {
        Verdict::Wrong { what, mend } => Some((finding.subject, format!("{what}: {mend}"))),
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

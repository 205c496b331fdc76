//! The catalogue of LeadSquared's refusals (<https://apidocs.leadsquared.com/error-handling/> and reports of
//! integrators). The emulator gives each refusal once. The client has a test against the same table.

use std::fs;
use std::path::Path;
use std::time::Duration;

use leadsquared_emulator::{Call, Effect, Fault, Limit, LimitRefusal, Role, Settings};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Account, attributes, settings};

const EMAIL: (&str, &str) = ("EmailAddress", "asha@example.test");
const PHONE: (&str, &str) = ("Phone", "+91-9000000001");
const PASSWORD: &str = "Example@Pass1";
const NOWHERE: &str = "http://127.0.0.1:9/";

#[derive(Deserialize)]
struct Row {
    call: String,
    status: u16,
    exception_type: Option<String>,
    message: Option<String>,
}

fn catalogue() -> Vec<Row> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/leadsquared/contract/catalogue.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// The settings of an account that gives all refusals that settings can cause, in the words of `message`.
fn strict(status: u16, message: &str) -> Settings {
    let mut settings = settings();
    settings.limit = Limit::default();
    settings.switches.refuse_markup = true;
    settings.switches.capture_duplicate_under_ok = status == 200;
    settings.tenant.can_deliver_mail = false;
    for field in &mut settings.tenant.fields {
        field.strict_options = true;
    }
    if message.starts_with("Duplicate entry") {
        settings.texts.duplicate = "Duplicate entry '{value}' for key 'UQ_Prospect_Base_{schema}'".to_owned();
    }
    settings
}

/// A request that gets the refusal of this row, and the account that refuses it.
async fn refused_request(row: &Row) -> (Account, RequestBuilder) {
    let message = row.message.as_deref().unwrap_or_default();
    let account = Account::with(strict(row.status, message)).await;
    let lead = account.emulator.add_lead(&[EMAIL, PHONE]).unwrap();
    let other = account.emulator.add_lead(&[("FirstName", "Ravi")]).unwrap();
    let with_id = [("ProspectID", other.as_str()), EMAIL];
    let emulator = &account.emulator;
    let core = |call, body: Value| account.call(call).json(&body);
    let leads = |call, fields: &[(&str, &str)]| core(call, attributes(fields));
    let portal = |call, body: Value| account.portal_call(call).json(&body);
    let registration = |password: &str, confirmation: &str| {
        let passwords = [("mx_Portal_Password", password), ("mx_Portal_Confirm_Password", confirmation), EMAIL];
        portal(Call::Register, json!({"RegisterOnlyNewLead": true, "LeadFields": attributes(&passwords)}))
    };
    let webhook = |event: &str, more: Value| {
        let mut webhook = json!({"URL": NOWHERE, "WebhookEvent": event});
        webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        core(Call::CreateWebhook, webhook)
    };
    let session = async || {
        account.portal_user("user@example.test").await;
        let credentials = json!({"EmailAddress": "user@example.test", "Password": PASSWORD});
        let (_, session) = account.ok(portal(Call::SignIn, credentials)).await;
        session["AuthKey"].as_str().unwrap().to_owned()
    };
    let change = |session: String| {
        let request = account.call(Call::ChangePassword).header("Authorization", session);
        let request = request.header("x-lsq-registertoken", &account.registration_token);
        let request = request.header("x-lsq-portalid", account.emulator.portal_id());
        request.json(&json!({"CurrentPassword": "Wrong@Pass1", "NewPassword": "Example@Pass2"}))
    };
    let elsewhere = |call: Call| {
        let url = emulator.other_region_url().join(call.path()).unwrap();
        account.http.request(call.method(), url)
    };
    let request = match (row.call.as_str(), message) {
        ("UpdateLead", "'leadId' is mandatory for updating lead") => core(Call::UpdateLead, json!([])),
        ("UpdateLead", "Lead does not exist in the system") => {
            core(Call::UpdateLead, json!([])).query(&[("leadId", "11111111-1111-4111-8111-111111111111")])
        }
        ("CaptureLead", "A Lead with same Phone Number already exists.") => {
            leads(Call::CaptureLead, &[("EmailAddress", "new@example.test"), PHONE])
        }
        // The id of one lead with the address of another one creates a new lead, by the rules of Lead.Capture.
        ("CaptureLead", "A Lead with same Email already exists.") => leads(Call::CaptureLead, &with_id),
        ("CaptureLead", "Duplicate entry 'asha@example.test' for key 'UQ_Prospect_Base_EmailAddress'") => {
            leads(Call::CaptureLead, &with_id)
        }
        ("CaptureLead", "Attribute(s) does not exist - mx_Foo,mx_Bar.") => {
            leads(Call::CaptureLead, &[EMAIL, ("mx_Foo", "1"), ("mx_Bar", "1")])
        }
        ("CaptureLead", "Value does not exist in the options of mx_Program.") => {
            leads(Call::CaptureLead, &[("mx_Program", "Alchemy")])
        }
        ("CaptureLead", "Potentially dangerous value.") => leads(Call::CaptureLead, &[("FirstName", "<b>")]),
        ("CaptureLead", "Unexpected character encountered while parsing value") => core(Call::CaptureLead, json!(7)),
        ("Activities", "Invalid Input! Parameter Name: activity") => {
            core(Call::Activities, json!({"Paging": {"RowCount": "5000"}}))
        }
        // A refusal of an activity id, which no call of the client carries.
        ("Activities", "Activity does not exist") => account.call(Call::ActivityDetails),
        ("PostActivity", "You have not passed ActivityEvent.") => core(Call::PostActivity, json!({})),
        ("PostActivity", "Event Code is invalid or empty") => {
            core(Call::PostActivity, json!({"EmailAddress": EMAIL.1, "ActivityEvent": 9}))
        }
        ("PostActivity", "Field name : 'mx_Custom_9' ") => {
            let fields = json!([{"SchemaName": "mx_Custom_9", "Value": "1"}]);
            core(Call::PostActivity, json!({"EmailAddress": EMAIL.1, "ActivityEvent": 201, "Fields": fields}))
        }
        ("CreateActivityType", "An activity with the same name") => {
            core(Call::CreateActivityType, json!({"ActivityEventName": "Meeting"}))
        }
        ("SendEmailToLead", "Invalid Sender details.") => core(Call::SendEmailToLead, json!({})),
        ("SendEmailToLead", "Email delivery is not enabled") => {
            let recipient =
                json!({"SenderType": "APICaller", "RecipientType": "LeadEmailAddress", "Recipient": EMAIL.1});
            core(Call::SendEmailToLead, recipient)
        }
        ("CreateWebhook", "A webhook for this field already exists.") => {
            let field = json!({"ChangedLeadField": "ProspectStage"});
            account.ok(webhook("26", field.clone())).await;
            webhook("26", field)
        }
        ("CreateWebhook", "Webhook Event not found") => webhook("5", json!({})),
        ("CreateWebhook", "Webhook Properties is not found") => webhook("2", json!({})),
        ("CreateWebhook", "Webhook Properties is not a valid JSON") => webhook("2", json!({"WebhookProperties": "{"})),
        ("CreateWebhook", "Opportunity Field value cannot be empty") => webhook("32", json!({})),
        ("LeadByEmail", "Export restricted for the user") => {
            emulator.change_users(|users| users[0].may_export = false);
            account.call(Call::LeadByEmail)
        }
        ("LeadByEmail", "Invalid User Details!") => account.http.get(account.url(Call::LeadByEmail)),
        ("LeadByEmail", "Invalid API host. Please use the host of your region: api-in21.leadsquared.com") => {
            elsewhere(Call::LeadByEmail)
        }
        ("PublicAuthKey", "Invalid API host. Please use the host of your region: portalapi-in21.leadsquared.com") => {
            elsewhere(Call::PublicAuthKey)
        }
        ("LeadByEmail", "API calls exceeded the limit of 25 in 5 second(s)") => {
            let refusal = match row.status {
                429 => LimitRefusal::TooManyRequests,
                403 => LimitRefusal::Forbidden,
                _ => LimitRefusal::UnderOk,
            };
            emulator.faults().add(Fault::everywhere(Effect::LimitReached(refusal)));
            account.call(Call::LeadByEmail)
        }
        ("LeadByEmail", "") => {
            emulator.faults().add(Fault::everywhere(Effect::gateway(row.status)));
            account.call(Call::LeadByEmail)
        }
        ("PublicAuthKey", "Only administrators can access the portal APIs.") => {
            let (access_key, secret_key) = emulator.keys_of(Role::SalesUser).unwrap();
            let query = [("accessKey", access_key), ("secretKey", secret_key)];
            account.http.get(account.url(Call::PublicAuthKey)).query(&query)
        }
        ("Register", "Invalid or expired auth key.") => {
            emulator.revoke_credentials();
            registration(PASSWORD, PASSWORD)
        }
        ("Register", "User already exists.") => registration(PASSWORD, PASSWORD),
        ("Register", "Password does not meet the password policy.") => registration("weak", "weak"),
        ("Register", "Password and confirm password do not match.") => registration(PASSWORD, "Example@Pass2"),
        ("SignIn", "Invalid username or password.") => {
            account.portal_user("user@example.test").await;
            portal(Call::SignIn, json!({"EmailAddress": "user@example.test", "Password": "Wrong@Pass1"}))
        }
        ("SignIn", "Account does not exist.") => {
            portal(Call::SignIn, json!({"EmailAddress": EMAIL.1, "Password": PASSWORD}))
        }
        ("SignInCode", "Lead does not exist in the system") => {
            portal(Call::SignInCode, json!({"FieldSchemaName": "Phone", "FieldContent": PHONE.1}))
        }
        ("SignInWithCode", "Invalid or expired OTP.") => {
            let answer = json!({"Otp": "000000", "FieldContent": PHONE.1, "Code": "unknown"});
            portal(Call::SignIn, json!({"OTPSigninRequest": true, "OTPSigninData": answer}))
        }
        ("ForgotPassword", "Lead does not exist in the system") => {
            portal(Call::ForgotPassword, json!({"EmailAddress": EMAIL.1}))
        }
        ("ResetPassword", "Invalid or expired temporary password.") => {
            portal(Call::ResetPassword, json!({"Password": PASSWORD, "LeadId": lead, "TemporaryPassword": "0"}))
        }
        ("ChangePassword", "Invalid username or password.") => change(session().await),
        ("ChangePassword", "Invalid or expired auth key.") => {
            let session = session().await;
            emulator.clock().advance(Duration::from_secs(4 * 3600));
            change(session)
        }
        ("LeadAuthKey", "Lead is not a portal user.") => {
            let request = core(Call::LeadAuthKey, json!({"LeadId": lead, "PortalId": emulator.portal_id()}));
            request.query(&[("authkey", account.tenant_key().await)])
        }
        (call, message) => panic!("no request gets the refusal {message:?} from {call}"),
    };
    (account, request)
}

#[tokio::test]
async fn the_emulator_gives_every_refusal_of_the_catalogue_and_changes_nothing() {
    for row in catalogue() {
        let (account, request) = refused_request(&row).await;
        let before = account.emulator.leads();
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        let exception_type = body["ExceptionType"].as_str();
        assert_eq!((status, exception_type), (row.status, row.exception_type.as_deref()), "{}: {body}", row.call);
        let (said, expected) = (body["ExceptionMessage"].as_str(), row.message.as_deref());
        assert_eq!(said.is_some(), expected.is_some(), "{}: {body}", row.call);
        assert!(said.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{}: {body}", row.call);
        assert_eq!(account.emulator.leads(), before, "{}: {body}", row.call);
    }
}

#[tokio::test]
async fn a_switch_reports_duplicates_under_200() {
    let mut settings = settings();
    settings.switches.capture_duplicate_under_ok = true;
    let account = Account::with(settings).await;
    account.emulator.add_lead(&[EMAIL, PHONE]).unwrap();
    let body = attributes(&[("EmailAddress", "new@example.test"), PHONE]);
    let (status, body) = account.send(account.call(Call::CaptureLead).json(&body)).await;
    assert_eq!((status, body["ExceptionType"].as_str()), (200, Some("MXDuplicateEntryException")));
}

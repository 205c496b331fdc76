//! Registration at the portal.

use leadsquared_emulator::{Call, Field};
use serde_json::json;

use crate::{Account, START, assert_refused, attributes, settings};

const ASHA: &[(&str, &str)] =
    &[("EmailAddress", "asha@example.test"), ("FirstName", "Asha"), ("Phone", "+91-9000000001")];

#[tokio::test]
async fn a_new_lead_is_registered_and_no_answer_holds_its_password() {
    let account = Account::new().await;
    let (status, body) = account.register(true, ASHA).await;
    assert_eq!(status, 200);
    assert_eq!(body["Message"], "Registration Successful");
    let lead = account.emulator.lead_by_email("Asha@Example.Test").unwrap();
    assert_eq!(body, json!({"LeadId": lead.id, "Message": "Registration Successful"}));
    assert_eq!(lead.field("Phone"), Some("+91-9000000001"));
    assert_eq!(lead.created_at, START);
    let users = account.emulator.portal_users();
    assert_eq!((users.len(), users[0].registrations), (1, 1));
    assert_eq!(users[0].portal_id, account.emulator.portal_id());
    assert!(account.emulator.has_password(&lead.id, "Example@Pass1").await);
    assert!(!account.emulator.has_password(&lead.id, "Example@Pass2").await);
    let (_, read) = account.ok(account.call(Call::LeadById).query(&[("id", &lead.id)])).await;
    assert_eq!(read[0]["EmailAddress"], "asha@example.test");
    assert!(!read.to_string().contains("Portal_Password") && !read.to_string().contains("Example@Pass1"));
}

#[tokio::test]
async fn an_existing_lead_registers_only_without_the_flag_for_new_leads_which_replaces_its_password() {
    let account = Account::new().await;
    let lead = account.emulator.add_lead(&[("EmailAddress", "asha@example.test")]).unwrap();
    assert_refused(account.register(true, ASHA).await, 500, "MXException", "User already exists.");
    assert_eq!(account.emulator.portal_users(), []);
    let (status, body) = account.register(false, ASHA).await;
    assert_eq!((status, body["LeadId"].as_str().unwrap()), (200, lead.as_str()));
    account.register_with_password(false, "Example@Pass2", ASHA).await;
    assert!(account.emulator.has_password(&lead, "Example@Pass2").await);
    assert_eq!(account.emulator.portal_users()[0].registrations, 2);
    assert_eq!(account.emulator.leads().len(), 1);
}

#[tokio::test]
async fn a_switch_keeps_the_password_of_a_portal_user_who_registers_again() {
    let mut settings = settings();
    settings.switches.register_replaces_password = false;
    let account = Account::with(settings).await;
    let lead = account.portal_user("asha@example.test").await;
    assert_eq!(account.register_with_password(false, "Example@Pass2", ASHA).await.0, 200);
    assert!(account.emulator.has_password(&lead, "Example@Pass1").await);
}

#[tokio::test]
async fn a_switch_reports_a_lead_with_the_phone_number_as_an_existing_user() {
    let mut settings = settings();
    settings.switches.register_matches_any_identifier = true;
    let account = Account::with(settings).await;
    account.emulator.add_lead(&[("EmailAddress", "parent@example.test"), ("Phone", "+91-9000000001")]).unwrap();
    assert_refused(account.register(true, ASHA).await, 500, "MXException", "User already exists.");
    assert_eq!(account.register(true, &ASHA[..2]).await.0, 200);
}

#[tokio::test]
async fn the_first_identifier_in_list_order_finds_the_lead() {
    let account = Account::new().await;
    let by_phone = account.emulator.add_lead(&[("Phone", "+91-9000000002")]).unwrap();
    let (_, body) = account.register(false, &[("Phone", "+91-9000000002"), ("EmailAddress", "new@example.test")]).await;
    assert_eq!(body["LeadId"].as_str(), Some(by_phone.as_str()));
    assert_eq!(account.emulator.lead_by_email("new@example.test").unwrap().id, by_phone);
}

#[tokio::test]
async fn a_phone_number_of_another_lead_is_a_duplicate_and_creates_nothing() {
    let account = Account::new().await;
    account.emulator.add_lead(&[("Phone", "+91-9000000001")]).unwrap();
    let refused = account.register(true, ASHA).await;
    assert_refused(refused, 500, "MXDuplicateEntryException", "A Lead with same Phone Number already exists.");
    assert_eq!(account.emulator.leads().len(), 1);
    assert_eq!(account.emulator.portal_users(), []);
}

#[tokio::test]
async fn unknown_attributes_refuse_the_whole_call_and_are_all_named() {
    let account = Account::new().await;
    let fields = [("EmailAddress", "asha@example.test"), ("mx_Foo", "1"), ("firstname", "Asha"), ("mx_Bar", "2")];
    let refused = account.register(true, &fields).await;
    let message = "Attribute(s) does not exist - mx_Foo,firstname,mx_Bar.";
    assert_refused(refused, 500, "MXUnknownAttributeException", message);
    assert_eq!(account.emulator.leads(), []);
}

#[tokio::test]
async fn missing_mandatory_fields_are_named() {
    let mut settings = settings();
    settings.tenant.fields.push(Field { mandatory: true, ..Field::text("mx_Intake", "Intake") });
    let account = Account::with(settings).await;
    let missing = "MXMandatoryAttributeMissingException";
    assert_refused(account.register(true, ASHA).await, 500, missing, "Intake is mandatory.");
    let no_identifier = account.register(true, &[("FirstName", "Asha"), ("mx_Intake", "2026")]).await;
    assert_refused(no_identifier, 500, missing, "At least one unique lead identifier is mandatory.");
    let body = json!({"LeadFields": attributes(ASHA)});
    let no_password = account.send(account.portal_call(Call::Register).json(&body)).await;
    assert_refused(no_password, 500, missing, "mx_Portal_Password is mandatory.");
}

#[tokio::test]
async fn passwords_must_agree_and_follow_the_policy() {
    let account = Account::new().await;
    let mut fields = ASHA.to_vec();
    fields.extend([("mx_Portal_Password", "Example@Pass1"), ("mx_Portal_Confirm_Password", "Example@Pass2")]);
    let body = json!({"LeadFields": attributes(&fields)});
    let differ = account.send(account.portal_call(Call::Register).json(&body)).await;
    assert_refused(differ, 500, "MXInvalidInputException", "Password and confirm password do not match.");
    for weak in ["Ex@mpl1", "example@pass1", "EXAMPLE@PASS1", "Example@Pass", "ExamplePass1"] {
        let refused = account.register_with_password(true, weak, ASHA).await;
        assert_refused(refused, 500, "MXInvalidInputException", "Password does not meet the password policy.");
    }
}

#[tokio::test]
async fn simultaneous_registrations_of_one_person_make_one_lead() {
    let account = Account::new().await;
    let attempts = (0..8).map(|_| account.register(true, ASHA));
    let answers = futures::future::join_all(attempts).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1);
    assert_eq!((account.emulator.leads().len(), account.emulator.portal_users().len()), (1, 1));
}

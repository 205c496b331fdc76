//! Calls that read leads and send mails.

use leadsquared_emulator::Call;
use serde_json::{Value, json};

use crate::{Account, START, assert_refused, settings};

const LEAD: &[(&str, &str)] = &[("EmailAddress", "asha@example.test"), ("FirstName", "Asha"), ("LastName", "Rao")];

fn email(changes: Value) -> Value {
    let mut email = json!({
        "SenderType": "UserEmailAddress", "Sender": "admin@example.test", "RecipientType": "LeadEmailAddress",
        "RecipientEmailFields": "EmailAddress", "Recipient": "asha@example.test", "EmailType": "Html",
        "ContentHTML": "<p>Hi</p>", "ContentText": "Hi", "Subject": "Your link", "IncludeEmailFooter": false,
    });
    for (name, value) in changes.as_object().unwrap() {
        email[name] = value.clone();
    }
    email
}

async fn send(account: &Account, changes: Value) -> (u16, Value) {
    account.send(account.call(Call::SendEmailToLead).json(&email(changes))).await
}

#[tokio::test]
async fn authenticate_a_user_returns_the_role_the_host_and_the_login_address() {
    let account = Account::new().await;
    let (_, user) = account.ok(account.call(Call::AuthenticateUser)).await;
    let own = account.emulator.url().authority().to_owned();
    assert_eq!(user["Role"], "Administrator");
    assert_eq!((&user["PassPhrase"], &user["EmailAddress"]), (&json!("admin@example.test"), &Value::Null));
    assert_eq!(user["LSQCommonServiceURLs"]["api"], json!(own));
    assert_eq!(user["DefaultCountryCode"], "91");
    assert!(user.get("Status").is_none());
    let mut settings = settings();
    settings.api_host = Some("api-in21.leadsquared.com".to_owned());
    let account = Account::with(settings).await;
    let (_, user) = account.ok(account.call(Call::AuthenticateUser)).await;
    assert_eq!(user["LSQCommonServiceURLs"]["api"], "api-in21.leadsquared.com");
}

#[tokio::test]
async fn leads_are_returned_flat_with_texts_and_nulls_only() {
    let account = Account::new().await;
    let id = account.emulator.add_lead(LEAD).unwrap();
    let (_, by_id) = account.ok(account.call(Call::LeadById).query(&[("id", &id)])).await;
    let (_, by_email) =
        account.ok(account.call(Call::LeadByEmail).query(&[("emailaddress", "ASHA@example.test")])).await;
    assert_eq!(by_id, by_email);
    let lead = by_id[0].as_object().unwrap();
    assert!(lead.values().all(|value| value.is_string() || value.is_null()));
    for (name, value) in [
        ("ProspectID", id.as_str()),
        ("ProspectAutoId", "1"),
        ("LastName", "Rao"),
        ("CreatedOn", "2026-01-02 03:04:05.000"),
        ("DoNotEmail", "0"),
        ("OwnerIdEmailAddress", "admin@example.test"),
    ] {
        assert_eq!(lead[name], json!(value), "{name}");
    }
    assert_eq!(lead["Phone"], Value::Null);
}

#[tokio::test]
async fn an_unknown_lead_or_a_misspelt_parameter_gives_an_empty_list() {
    let account = Account::new().await;
    account.emulator.add_lead(LEAD).unwrap();
    for (call, name, value) in [
        (Call::LeadById, "id", "11111111-1111-4111-8111-111111111111"),
        (Call::LeadByEmail, "emailaddress", "ravi@example.test"),
        (Call::LeadByEmail, "email", "asha@example.test"),
    ] {
        assert_eq!(account.ok(account.call(call).query(&[(name, value)])).await.1, json!([]));
    }
}

#[tokio::test]
async fn a_mail_is_kept_as_its_recipient_sees_it() {
    let account = Account::new().await;
    let lead = account.emulator.add_lead(LEAD).unwrap();
    let (status, body) = send(&account, json!({"CCEmailAddress": "desk@example.test, two@example.test"})).await;
    assert_eq!((status, &body["MemberCount"], &body["TotalRecipient"]), (200, &json!(1), &json!(1)));
    let mails = account.emulator.mails();
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!(body["ID"], json!(mail.id));
    assert_eq!((mail.lead_id.as_ref(), mail.sender.as_str()), (Some(&lead), "admin@example.test"));
    assert_eq!((&mail.recipients[..], mail.cc.len()), (&["asha@example.test".to_owned()][..], 2));
    assert_eq!((mail.subject.as_str(), mail.html.as_str(), mail.text.as_str()), ("Your link", "<p>Hi</p>", "Hi"));
    assert_eq!(mail.sent_at, START);
    assert!(!format!("{mail:?}").contains("link"));
}

#[tokio::test]
async fn senders_recipients_and_kinds_of_mail_work_as_documented() {
    let account = Account::new().await;
    let lead = account.emulator.add_lead(LEAD).unwrap();
    for (changes, sender) in [
        (json!({"SenderType": "APICaller", "Sender": ""}), "admin@example.test"),
        (json!({"SenderType": "LeadOwner"}), "admin@example.test"),
        (json!({"SenderType": "UserEmailAddress", "Sender": "Seller@example.test"}), "seller@example.test"),
        (json!({"SenderType": "UserId", "Sender": "33333333-3333-4333-8333-333333333334"}), "seller@example.test"),
        (json!({"RecipientType": "LeadId", "Recipient": lead}), "admin@example.test"),
        (json!({"EmailType": "Template", "EmailLibraryName": "Welcome", "Subject": ""}), "admin@example.test"),
        (json!({"Schedule": "2026-01-03 00:00:00", "EmailCategory": "Transactional"}), "admin@example.test"),
    ] {
        let (status, body) = send(&account, changes).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(account.emulator.mails().last().unwrap().sender, sender);
    }
    let mails = account.emulator.mails();
    assert_eq!(mails[5].html, "<p>Welcome to Example Academy.</p>");
    assert_eq!(mails[6].sent_at, time::macros::datetime!(2026-01-03 00:00:00 UTC));
}

#[tokio::test]
async fn a_mail_without_named_fields_goes_to_every_address_of_the_lead() {
    let account = Account::new().await;
    let mut lead = LEAD.to_vec();
    lead.push(("mx_Alternate_Email", "asha.rao@example.test"));
    account.emulator.add_lead(&lead).unwrap();
    let (_, body) = send(&account, json!({"RecipientEmailFields": ""})).await;
    assert_eq!(body["TotalRecipient"], 2);
    assert_eq!(account.emulator.mails()[0].recipients, ["asha@example.test", "asha.rao@example.test"]);
}

#[tokio::test]
async fn sender_lead_and_deliverability_are_checked_in_this_order() {
    let mut settings = settings();
    settings.tenant.can_deliver_mail = false;
    let account = Account::with(settings).await;
    let sender = send(&account, json!({"Sender": "nobody@example.test", "Recipient": "nobody@example.test"})).await;
    assert_refused(sender, 500, "MXMandatoryAttributeMissingException", "Invalid Sender details.");
    let (status, body) = send(&account, json!({})).await;
    assert_eq!((status, &body["ExceptionType"]), (500, &json!("MXInvalidInputException")));
    assert!(
        body["ExceptionMessage"].as_str().unwrap().starts_with("No lead found with RecipientType: LeadEmailAddress")
    );
    account.emulator.add_lead(LEAD).unwrap();
    let (status, body) = send(&account, json!({})).await;
    assert_eq!((status, &body["ExceptionType"]), (500, &json!("MXMailDeliveryException")));
    assert_eq!(account.emulator.mails(), []);
}

#[tokio::test]
async fn a_lead_that_opted_out_gets_no_mail() {
    let account = Account::new().await;
    let mut lead = LEAD.to_vec();
    lead.push(("DoNotEmail", "true"));
    account.emulator.add_lead(&lead).unwrap();
    let (status, body) = send(&account, json!({})).await;
    assert_eq!((status, &body["TotalRecipient"]), (200, &json!(0)));
    assert_eq!(account.emulator.mails(), []);
}

#[tokio::test]
async fn a_switch_fills_in_merge_fields() {
    let mut settings = settings();
    settings.switches.expand_merge_fields = true;
    let account = Account::with(settings).await;
    account.emulator.add_lead(LEAD).unwrap();
    let html = "@{Lead:FirstName,there} @{Lead:mx_City,your city} @{Lead:Company} @{Lead:open";
    send(&account, json!({"ContentHTML": html})).await;
    assert_eq!(account.emulator.mails()[0].html, "Asha your city  @{Lead:open");
}

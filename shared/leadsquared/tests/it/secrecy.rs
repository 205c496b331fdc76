//! Checks that no value prints its content.

use leadsquared::crm::{
    Activity, Content, EmailToLead, Lead, NewActivity, NewWebhook, Recipient, Sender, User, Webhook, WebhookEvent,
};
use leadsquared::portal::{Identifier, PasswordReset, Registration, SentCode, Session};
use leadsquared::{Attributes, AutoLoginKey, LoginLink, OneTimeCode, Password, SessionKey, TemporaryPassword};

use crate::{PRIVATE, client, keys, options};
use leadsquared_fake::Fake;

#[test]
fn no_value_prints_what_it_holds() {
    let fake = Fake::answering("/", 200, "");
    let email: leadsquared::EmailAddress = "asha@example.test".parse().unwrap();
    let fields = Attributes::new().with("EmailAddress", "asha@example.test").with("Phone", "+91-9000000001");
    let registration = Registration { register_only_new_lead: true, password: "Example@Pass1".into(), fields };
    let html = Content::Html { html: "https://x.test/?authKey=lead-key".to_owned(), text: "lead-key".to_owned() };
    let mut mail = EmailToLead::new(Recipient::LeadEmail(email.clone()), "For asha@example.test", html.clone());
    mail.sender = Sender::UserEmail(email.clone());
    mail.cc = Some(email.clone());
    let lead: Lead = serde_json::from_str(
        r#"{"ProspectID":"11111111-1111-4111-8111-111111111111","EmailAddress":"asha@example.test","Phone":"+91-9000000001"}"#,
    )
    .unwrap();
    let user: User = serde_json::from_str(
        r#"{"Id":"33333333-3333-4333-8333-333333333333","Role":"Administrator","PassPhrase":"asha@example.test","LSQCommonServiceURLs":{"api":"api.leadsquared.com"}}"#,
    )
    .unwrap();
    let by_phone = Identifier::Field { schema_name: "Phone".to_owned(), value: "+91-9000000001".to_owned() };
    let sent = SentCode { code: "lead-key".into(), field_content: "+91-9000000001".into() };
    let reset =
        PasswordReset { lead: lead.id(), temporary_password: "lead-key".into(), password: "Example@Pass1".into() };
    let fields = vec![("mx_Custom_1".to_owned(), "lead-key".to_owned())];
    let activity = NewActivity { event: 201, note: "asha@example.test".to_owned(), at: None, fields };
    let webhook = NewWebhook {
        description: String::new(),
        url: "https://example.test/lead-key".parse().unwrap(),
        event: WebhookEvent::LeadCreate,
        headers: vec![("x-secret".to_owned(), "lead-key".to_owned())],
        notify_on_failure: false,
    };
    let stored: Webhook =
        serde_json::from_str(r#"{"WebhookId":"1","URL":"https://example.test/lead-key","StatusCode":0}"#).unwrap();
    let happened: Activity = serde_json::from_str(
        r#"{"Id":"55555555-5555-4555-8555-555555555555","EventCode":201,"CreatedOn":"2026-01-02 03:04:05","Data":[{"Key":"Note","Value":"asha@example.test"}]}"#,
    )
    .unwrap();
    let session: Session =
        serde_json::from_str(r#"{"AuthKey":"lead-key","LeadId":"11111111-1111-4111-8111-111111111111"}"#).unwrap();
    let printed = [
        format!("{by_phone:?} {sent:?} {reset:?} {activity:?} {webhook:?} {stored:?} {session:?}"),
        format!("{happened:?} {:?}", happened.data),
        format!("{:?} {:?}", OneTimeCode::from("lead-key"), TemporaryPassword::from("lead-key")),
        format!("{:?}", client(&fake)),
        format!("{:?}", options(&fake)),
        format!("{:?}", keys()),
        format!("{email:?}"),
        format!("{registration:?}"),
        format!("{html:?}"),
        format!("{mail:?}"),
        format!("{:?}", Recipient::LeadEmail(email)),
        format!("{lead:?}"),
        format!("{user:?}"),
        format!("{:?}", Password::from("Example@Pass1")),
        format!("{:?}", AutoLoginKey::from("lead-key")),
        format!("{:?}", SessionKey::from("lead-key")),
        format!("{:?}", LoginLink::from("https://x.test/?authKey=lead-key")),
    ];
    for text in printed {
        for private in PRIVATE {
            assert!(!text.contains(private), "{text}");
        }
    }
}

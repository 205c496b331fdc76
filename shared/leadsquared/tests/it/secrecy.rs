//! No value prints what it holds.

use leadsquared::{
    Attributes, AutoLoginKey, Content, EmailToLead, Lead, LoginLink, Password, Recipient, Registration, Sender,
    SessionKey, User,
};

use crate::fake::Fake;
use crate::{PRIVATE, client, keys, options};

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
    let printed = [
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

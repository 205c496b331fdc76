//! A chosen password on its way from the form through the queue to the portal. Black box, with both functions.

use std::time::Duration;

use leadsquared_emulator::Settings;
use runtime_api::Function;
use serde_json::{Value, json};

use crate::{
    functions::{self, sqs_event},
    http::{FORM_KEY, FORM_KEY_HASH},
    sandbox,
};

const TIMEOUT: Duration = Duration::from_secs(20);
const EMAIL: &str = "asha@example.test";
const PASSWORD: &str = " c4nary Horse\u{a0}battery! ";
const FIELDS: &str = r#"[{"name":"email","attribute":"EmailAddress","kind":"email","required":true},{"name":"password","kind":"password"}]"#;

/// Form and worker on one queue, with a KMS key for passwords.
struct Both {
    form: Function,
    worker: Function,
}
type Sandbox = sandbox::Sandbox<Both>;

impl Sandbox {
    async fn new() -> Self {
        let sandbox = sandbox::Sandbox::open(Settings::for_tests(), ()).await;
        let key = sandbox.aws.key().await;
        let form = [("FORM_FIELDS", FIELDS), ("PASSWORD_KEY", &key), ("FORM_KEY_HASHES", FORM_KEY_HASH)];
        let form = sandbox.start_function("application-form", &form).await.unwrap();
        let worker = sandbox.start_function("invitation", &[]).await.unwrap();
        sandbox.with_extras(Both { form, worker })
    }

    /// Posts an application as a website's server, which has a form key.
    async fn apply(&self, password: &str) -> u64 {
        let mut event = functions::sample("application-form", "http-api-json.json");
        event["body"] = json!({"email": EMAIL, "password": password}).to_string().into();
        event["isBase64Encoded"] = false.into();
        event["headers"]["x-form-key"] = FORM_KEY.into();
        let answer = self.extras.form.invoke(&event, TIMEOUT).await.unwrap();
        answer["statusCode"].as_u64().unwrap()
    }

    /// Stops both functions. Asserts that the password is in no log, item or mail.
    async fn finish(self) {
        let kept = self.kept().await;
        let printed = [self.extras.form.stop().await, self.extras.worker.stop().await, kept].concat();
        assert!(!printed.contains("c4nary"), "{printed}");
        for mail in self.emulator.mails() {
            assert!(!mail.text.contains("c4nary") && !mail.html.contains("c4nary"), "the password is mailed");
        }
    }
}

#[tokio::test]
async fn a_chosen_password_is_encrypted_on_the_queue_and_works_in_the_portal() {
    let sandbox = Sandbox::new().await;
    assert_eq!(sandbox.apply(PASSWORD).await, 202);
    let message = sandbox.invitations.next().await;
    let body = message.body.as_deref().unwrap();
    assert!(!body.contains("c4nary") && body.contains(r#""password":""#), "{body}");

    let answer = sandbox.extras.worker.invoke(&sqs_event(&[message]), TIMEOUT).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let lead = sandbox.emulator.lead_by_email(EMAIL).unwrap();
    assert!(sandbox.emulator.has_password(&lead.id, PASSWORD).await);
    sandbox.finish().await;
}

#[tokio::test]
async fn an_applicant_whose_password_the_portal_refuses_is_still_invited() {
    let sandbox = Sandbox::new().await;
    assert_eq!(sandbox.apply("c4nary-without-capitals").await, 202);
    let message = sandbox.invitations.next().await;
    let answer = sandbox.extras.worker.invoke(&sqs_event(&[message]), TIMEOUT).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    assert!(sandbox.emulator.lead_by_email(EMAIL).is_some());
    assert_eq!(sandbox.emulator.mails().len(), 1);
    sandbox.finish().await;
}

#[tokio::test]
async fn a_password_moved_to_another_invitation_is_not_decrypted_and_the_applicant_is_still_invited() {
    let sandbox = Sandbox::new().await;
    assert_eq!(sandbox.apply(PASSWORD).await, 202);
    let mut message = sandbox.invitations.next().await;
    let mut body: Value = serde_json::from_str(message.body.as_deref().unwrap()).unwrap();
    body["id"] = "11111111-1111-8111-8111-111111111111".into();
    message.body = Some(body.to_string());

    let answer = sandbox.extras.worker.invoke(&sqs_event(&[message]), TIMEOUT).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let lead = sandbox.emulator.lead_by_email(EMAIL).unwrap();
    assert!(!sandbox.emulator.has_password(&lead.id, PASSWORD).await, "a password of another invitation was decrypted");
    assert_eq!(sandbox.emulator.mails().len(), 1);
    assert_eq!(sandbox.dead_letters.drain().await.len(), 0);
    sandbox.finish().await;
}

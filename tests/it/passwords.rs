//! A password that an applicant chose, on its way from the form to the portal.

use std::time::Duration;

use leadsquared_emulator::Settings;
use serde_json::{Value, json};

use crate::{
    fixtures::sqs_event,
    intake::{KEY, KEY_HASH},
    runtime_api::Function,
    stage, workspace,
};

const TIMEOUT: Duration = Duration::from_secs(20);
const EMAIL: &str = "asha@example.test";
const PASSWORD: &str = " c4nary Horse\u{a0}battery! ";
const FIELDS: &str = r#"[{"name":"email","attribute":"EmailAddress","kind":"email","required":true},{"name":"password","kind":"password"}]"#;

/// Both functions over one queue, with a key for passwords.
struct Both {
    form: Function,
    worker: Function,
}
type Stage = stage::Stage<Both>;

impl Stage {
    async fn new() -> Self {
        let stage = stage::Stage::set(Settings::for_tests(), ()).await;
        let key = stage.aws.key().await;
        let form = [("FORM_FIELDS", FIELDS), ("PASSWORD_KEY", &key), ("FORM_KEY_HASHES", KEY_HASH)];
        let form = stage.start_function("application-form", &form).await.unwrap();
        let worker = stage.start_function("invitation", &[]).await.unwrap();
        stage.furnished(Both { form, worker })
    }

    /// From a website's own server, which has a form key.
    async fn apply(&self, password: &str) -> u64 {
        let (_, event) = workspace::events("application-form")
            .into_iter()
            .find(|(file, _)| file == "http-api-json.json")
            .expect("there is a sample of a JSON form");
        let mut event: Value = serde_json::from_slice(&event).unwrap();
        event["body"] = json!({"email": EMAIL, "password": password}).to_string().into();
        event["isBase64Encoded"] = false.into();
        event["headers"]["x-form-key"] = KEY.into();
        let answer = self.props.form.invoke(&event, TIMEOUT).await.unwrap();
        answer["statusCode"].as_u64().unwrap()
    }

    /// Ends both functions and makes sure that the password is nowhere but in LeadSquared.
    async fn finish(self) {
        let kept = self.kept().await;
        let printed = [self.props.form.stop().await, self.props.worker.stop().await, kept].concat();
        assert!(!printed.contains("c4nary"), "{printed}");
        for mail in self.emulator.mails() {
            assert!(!mail.text.contains("c4nary") && !mail.html.contains("c4nary"), "the password is mailed");
        }
    }
}

#[tokio::test]
async fn a_chosen_password_is_sealed_on_the_queue_and_works_in_the_portal() {
    let stage = Stage::new().await;
    assert_eq!(stage.apply(PASSWORD).await, 202);
    let message = stage.invitations.next().await;
    let body = message.body.as_deref().unwrap();
    assert!(!body.contains("c4nary") && body.contains(r#""password":""#), "{body}");

    let answer = stage.props.worker.invoke(&sqs_event(&[message]), TIMEOUT).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let lead = stage.emulator.lead_by_email(EMAIL).unwrap();
    assert!(stage.emulator.has_password(&lead.id, PASSWORD).await);
    stage.finish().await;
}

#[tokio::test]
async fn a_password_that_the_portal_refuses_loses_nobody() {
    let stage = Stage::new().await;
    assert_eq!(stage.apply("c4nary-without-capitals").await, 202);
    let message = stage.invitations.next().await;
    let answer = stage.props.worker.invoke(&sqs_event(&[message]), TIMEOUT).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    assert!(stage.emulator.lead_by_email(EMAIL).is_some());
    assert_eq!(stage.emulator.mails().len(), 1);
    stage.finish().await;
}

#[tokio::test]
async fn a_password_moved_to_another_invitation_opens_nothing_and_loses_nobody() {
    let stage = Stage::new().await;
    assert_eq!(stage.apply(PASSWORD).await, 202);
    let mut message = stage.invitations.next().await;
    let mut body: Value = serde_json::from_str(message.body.as_deref().unwrap()).unwrap();
    body["id"] = "11111111-1111-8111-8111-111111111111".into();
    message.body = Some(body.to_string());

    let answer = stage.props.worker.invoke(&sqs_event(&[message]), TIMEOUT).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let lead = stage.emulator.lead_by_email(EMAIL).unwrap();
    assert!(
        !stage.emulator.has_password(&lead.id, PASSWORD).await,
        "a password sealed for another invitation was opened"
    );
    assert_eq!(stage.emulator.mails().len(), 1);
    assert_eq!(stage.dead_letters.drain().await.len(), 0);
    stage.finish().await;
}

//! Who may sign in to a lead whose phone number or password somebody typed in a public form: seen from outside, with
//! the worker that registers the lead and the function that signs people in.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use leadsquared::portal::Registration;
use leadsquared::{Attributes, Client, Keys, Options, Password};
use leadsquared_emulator::{Call, Effect, Fault, Limit, Settings, Tenant};
use onboarding::{Action, Invitation, InvitationId, PASSWORD, Provenance, Source, Unproven, Whom, proof};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    application_form::Answer,
    fixtures::sqs_event,
    portal_account::{code_in, event, problem},
    runtime_api::Function,
    stage,
};

const TIMEOUT: Duration = Duration::from_secs(60);
const VICTIM: &str = "asha.c4nary@example.test";
const VICTIMS_PHONE: &str = "+91-9000012321";
const ATTACKER: &str = "mallory.c4nary@example.test";
const ATTACKERS_PHONE: &str = "+91-9000066666";
const PASSWORD_TEXT: &str = "c4nary Horse 7!";
const PAN: &str = "ABCDE1234F";
const MARK: &str = "mx_Unproven_Sign_In";
const SIGN_IN_FIELDS: &str = r#"[
    {"name":"email","attribute":"EmailAddress","kind":"email"},
    {"name":"phone","attribute":"Phone","kind":"phone"},
    {"name":"pan","attribute":"mx_PAN_Number","kind":"text"}]"#;

struct Account {
    function: Function,
}
type Stage = stage::Stage<Account>;

impl Stage {
    async fn new() -> Self {
        Self::of(Tenant::default()).await
    }

    async fn of(tenant: Tenant) -> Self {
        let limit = Limit { calls: 10_000, ..Limit::default() };
        let stage = stage::Stage::set(Settings { limit, tenant, ..Settings::for_tests() }, ()).await;
        let changes = [("ANSWER_FLOOR_MS", "1"), ("SIGN_IN_FIELDS", SIGN_IN_FIELDS)];
        let function = stage.start_function("portal-account", &changes).await.unwrap();
        stage.furnished(Account { function })
    }

    async fn post_from(&self, address: &str, path: &str, body: &Value) -> Answer {
        let event = event(path, body.to_string(), address, &[]);
        Answer::read(self.props.function.invoke(&event, TIMEOUT).await.unwrap())
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_from("203.0.113.7", path, body).await
    }

    /// Has the worker do what a form asks for.
    async fn apply(&self, number: u8, email: &str, phone: &str, change: impl FnOnce(&mut Invitation)) {
        let worker = self.start_function("invitation", &[("SIGN_IN_FIELDS", SIGN_IN_FIELDS)]).await.unwrap();
        let (id, whom) = (InvitationId::of([&[number][..]]), Whom::Email(email.parse().unwrap()));
        let mut invitation = Invitation {
            attributes: Attributes::new().with("FirstName", "Asha").with("Phone", phone),
            ..Invitation::new(id, Source::Form, OffsetDateTime::now_utc(), whom, Action::Invite)
        };
        change(&mut invitation);
        self.invitations.send(&invitation.encode(), invitation.person().as_str(), &id.to_string()).await;
        let message = self.invitations.next().await;
        let answer = worker.invoke(&sqs_event(&[message]), TIMEOUT).await.unwrap();
        assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
        let printed = worker.stop().await;
        assert!(!printed.contains("c4nary"), "{printed}");
    }

    /// The challenge and the code that was texted to a number.
    async fn texted(&self, phone: &str) -> (String, String) {
        let sent = self.post("/sign-in/code", &json!({"phone": phone})).await;
        assert_eq!(sent.status, 202, "{}", sent.body);
        let text = self.emulator.text_messages().pop().expect("a code was texted");
        assert_eq!(text.recipient, phone);
        (sent.json()["challenge"].as_str().unwrap().to_owned(), code_in(&text.text))
    }

    async fn verify(&self, challenge: &str, code: &str) -> Answer {
        self.post("/sign-in/code/verify", &json!({"challenge": challenge, "code": code})).await
    }

    /// The code in the newest mail, and to whom it went.
    fn mailed_code(&self) -> (String, String) {
        let mail = self.emulator.mails().pop().expect("there is a mail");
        let code = mail.text.lines().find(|line| line.len() == 11 && line.as_bytes()[5] == b'-');
        (mail.recipients[0].clone(), code.unwrap_or_else(|| panic!("{}", mail.text)).to_owned())
    }

    fn lead(&self, email: &str) -> leadsquared_emulator::Lead {
        self.emulator.leads().into_iter().find(|lead| lead.field("EmailAddress") == Some(email)).unwrap()
    }

    async fn finish(self, secrets: &[&str]) {
        let kept = self.kept().await;
        let printed = self.props.function.stop().await;
        for canary in ["c4nary", "9000012321", "9000066666", PAN].iter().chain(secrets) {
            assert!(!printed.contains(canary), "{canary} is logged: {printed}");
            assert!(!kept.contains(canary), "{canary} is in the table: {kept}");
        }
    }
}

#[tokio::test]
async fn a_strangers_phone_on_somebodys_application_signs_the_stranger_in_nowhere() {
    let stage = Stage::new().await;
    stage.apply(1, VICTIM, ATTACKERS_PHONE, |_| {}).await;
    assert_eq!(stage.lead(VICTIM).field("Phone"), Some(ATTACKERS_PHONE), "counsellors see the number");

    let (challenge, code) = stage.texted(ATTACKERS_PHONE).await;
    let answer = stage.verify(&challenge, &code).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (202, Some("code-mailed")), "{}", answer.body);
    assert!(!answer.body.contains("auth_key"), "{}", answer.body);
    let (recipient, mailed) = stage.mailed_code();
    assert_eq!(recipient, VICTIM, "the proof lies in the mailbox of the lead");
    // The attacker has the challenge and not the mail; the texted code is used up.
    for guess in [code.as_str(), "AAAAA-AAAAA", "", "000000"] {
        assert_ne!(stage.verify(&challenge, guess).await.status, 200, "{guess}");
    }
    // The victim has the mail and not the challenge.
    let other = stage.texted(ATTACKERS_PHONE).await.0;
    assert_eq!(stage.verify(&other, &mailed).await.status, 401);
    // By a reset nothing is gained either: its link goes to the mailbox, whoever is named by a phone number.
    let before = stage.emulator.text_messages().len();
    assert_eq!(stage.post("/password/forgot", &json!({"phone": ATTACKERS_PHONE})).await.status, 202);
    assert_eq!(stage.emulator.text_messages().len(), before);
    assert_eq!(stage.emulator.mails().pop().unwrap().recipients, [VICTIM]);
    stage.finish(&[&challenge, &mailed]).await;
}

#[tokio::test]
async fn somebodys_phone_on_a_strangers_application_signs_neither_in() {
    let stage = Stage::new().await;
    stage.apply(1, ATTACKER, VICTIMS_PHONE, |_| {}).await;
    let (challenge, code) = stage.texted(VICTIMS_PHONE).await;
    let victim = stage.verify(&challenge, &code).await;
    assert_eq!((victim.status, victim.json()["status"].as_str()), (202, Some("code-mailed")));
    let (recipient, mailed) = stage.mailed_code();
    assert_eq!(recipient, ATTACKER);
    // The attacker has the mail and a challenge of their own, which no right texted code belongs to.
    let attackers = stage.post("/sign-in/code", &json!({"phone": VICTIMS_PHONE})).await;
    let attackers = attackers.json()["challenge"].as_str().unwrap().to_owned();
    assert_eq!(stage.verify(&attackers, &mailed).await.status, 401);
    stage.finish(&[&challenge, &mailed]).await;
}

#[tokio::test]
async fn one_browser_that_proves_both_is_signed_in_and_need_not_prove_it_again() {
    let stage = Stage::new().await;
    stage.apply(1, VICTIM, VICTIMS_PHONE, |_| {}).await;
    let (challenge, code) = stage.texted(VICTIMS_PHONE).await;
    let answer = stage.verify(&challenge, &code).await;
    assert_eq!(answer.json()["challenge"], challenge.as_str(), "the same challenge goes on");
    let (_, mailed) = stage.mailed_code();
    assert_eq!(problem(&stage.verify(&challenge, "AAAAA-AAAAA").await), (401, "/problems/wrong-code".to_owned()));
    let typed = mailed.to_lowercase().replace('-', " ");
    let signed_in = stage.verify(&challenge, &typed).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.body);
    assert_eq!(signed_in.json()["lead_id"], stage.lead(VICTIM).id.as_str());
    assert_eq!(problem(&stage.verify(&challenge, &mailed).await).0, 401, "a mailed code signs in once");
    let proven = format!("unproven: identifiers; proven: {}", proof("Phone", VICTIMS_PHONE));
    assert_eq!(stage.lead(VICTIM).field(MARK), Some(proven.as_str()));

    let calls = stage.calls_to(Call::LeadById);
    let (challenge, code) = stage.texted(VICTIMS_PHONE).await;
    assert_eq!(stage.verify(&challenge, &code).await.status, 200);
    assert_eq!(stage.calls_to(Call::LeadById), calls, "and LeadSquared is not asked for the mark again");
    // Another number that gets into the field later is unproven.
    let lead = stage.lead(VICTIM).id;
    stage.emulator.update_lead(&lead, &[("Phone", ATTACKERS_PHONE)]).unwrap();
    let (challenge, code) = stage.texted(ATTACKERS_PHONE).await;
    assert_eq!(stage.verify(&challenge, &code).await.json()["status"], "code-mailed");
    let key = signed_in.json()["auth_key"].as_str().unwrap().to_owned();
    stage.finish(&[&challenge, &mailed, &key]).await;
}

#[tokio::test]
async fn where_the_mark_cannot_be_written_down_the_ledger_remembers_the_proof() {
    let stage = Stage::new().await;
    stage.apply(1, VICTIM, VICTIMS_PHONE, |_| {}).await;
    stage.emulator.faults().add(Fault::on(Call::UpdateLead, Effect::gateway(502)));
    let (challenge, code) = stage.texted(VICTIMS_PHONE).await;
    stage.verify(&challenge, &code).await;
    assert_eq!(stage.verify(&challenge, &stage.mailed_code().1).await.status, 200);
    assert_eq!(stage.lead(VICTIM).field(MARK), Some("unproven: identifiers"));
    let (challenge, code) = stage.texted(VICTIMS_PHONE).await;
    assert_eq!(stage.verify(&challenge, &code).await.status, 200);
    stage.finish(&[]).await;
}

#[tokio::test]
async fn where_the_account_has_no_field_for_the_mark_the_number_goes_to_the_notes() {
    let mut tenant = Tenant::default();
    tenant.fields.retain(|field| field.schema_name != MARK);
    let stage = Stage::of(tenant).await;
    let with_pan = |invitation: &mut Invitation| invitation.attributes.set("mx_PAN_Number", PAN);
    stage.apply(1, VICTIM, ATTACKERS_PHONE, with_pan).await;
    let lead = stage.lead(VICTIM);
    assert_eq!((lead.field("Phone"), lead.field("mx_PAN_Number")), (None, None));
    let notes = lead.field("Notes").unwrap();
    assert!(notes.contains(ATTACKERS_PHONE) && notes.contains(PAN), "counsellors see both: {notes}");
    let sent = stage.post("/sign-in/code", &json!({"phone": ATTACKERS_PHONE})).await;
    assert_eq!((sent.status, stage.emulator.text_messages().len()), (202, 0));
    stage.finish(&[]).await;
}

#[tokio::test]
async fn a_password_that_a_stranger_typed_is_nobodys() {
    let stage = Stage::new().await;
    // As a function of an earlier version puts it on the queue.
    stage.apply(1, VICTIM, VICTIMS_PHONE, |it| it.password = Some("c2VhbGVk".to_owned().into())).await;
    assert_eq!(stage.lead(VICTIM).field(MARK), Some("unproven: identifiers"), "a random password was registered");
    let answer = stage.post("/sign-in", &json!({"email": VICTIM, "password": PASSWORD_TEXT})).await;
    assert_eq!(problem(&answer), (401, "/problems/wrong-credentials".to_owned()));
    stage.finish(&[]).await;
}

#[tokio::test]
async fn no_form_vouches_for_itself() {
    let stage = Stage::new().await;
    let vouch = |invitation: &mut Invitation| {
        invitation.attributes.set("mx_unproven_sign_in", "unproven: identifiers; proven: Phone");
        invitation.attributes.set(MARK, "");
        invitation.provenance = Provenance::Keyed;
    };
    stage.apply(1, VICTIM, ATTACKERS_PHONE, vouch).await;
    assert_eq!(stage.lead(VICTIM).field(MARK), Some("unproven: identifiers"));
    stage.finish(&[]).await;
}

#[tokio::test]
async fn a_lead_whose_mark_cannot_be_read_lets_nobody_in() {
    let stage = Stage::new().await;
    stage.apply(1, VICTIM, VICTIMS_PHONE, |_| {}).await;
    let (challenge, code) = stage.texted(VICTIMS_PHONE).await;
    stage.emulator.faults().add(Fault::on(Call::LeadById, Effect::gateway(502)));
    let answer = stage.verify(&challenge, &code).await;
    assert_eq!(problem(&answer), (503, "/problems/unavailable".to_owned()));
    assert!(answer.headers.contains_key("retry-after"));
    // LeadSquared takes a code once; here it goes on when the mark can be read.
    stage.emulator.faults().clear();
    assert_eq!(stage.verify(&challenge, "000000").await.status, 401);
    stage.emulator.faults().add(Fault::on(Call::SendEmailToLead, Effect::gateway(503)).times(1));
    assert_eq!(stage.verify(&challenge, &code).await.json()["status"], "code-mailed", "it may have been mailed");
    stage.finish(&[]).await;
}

#[tokio::test]
async fn a_code_that_is_certainly_not_mailed_costs_the_texted_code_nothing() {
    const BAD_SENDER: &str = r#"{"Status":"Error","ExceptionType":"MXMandatoryAttributeMissingException","ExceptionMessage":"Invalid Sender details."}"#;
    let stage = Stage::new().await;
    stage.apply(1, VICTIM, VICTIMS_PHONE, |_| {}).await;
    let (challenge, code) = stage.texted(VICTIMS_PHONE).await;
    let bad_sender = Effect::Answer { status: 500, content_type: "application/json".into(), body: BAD_SENDER.into() };
    stage.emulator.faults().add(Fault::on(Call::SendEmailToLead, bad_sender).times(5));
    for _ in 0..5 {
        assert_eq!(problem(&stage.verify(&challenge, &code).await), (503, "/problems/unavailable".to_owned()));
    }
    assert_eq!(stage.verify(&challenge, &code).await.json()["status"], "code-mailed");
    assert_eq!(stage.verify(&challenge, &stage.mailed_code().1).await.status, 200);
    stage.finish(&[]).await;
}

#[tokio::test]
async fn a_counsellor_vouches_by_a_word_and_not_by_emptying_the_field() {
    let stage = Stage::new().await;
    stage.apply(1, VICTIM, ATTACKERS_PHONE, |_| {}).await;
    let lead = stage.lead(VICTIM).id;
    for (mark, status) in [("", 202), ("vouched", 200)] {
        stage.emulator.update_lead(&lead, &[(MARK, mark)]).unwrap();
        let (challenge, code) = stage.texted(ATTACKERS_PHONE).await;
        assert_eq!(stage.verify(&challenge, &code).await.status, status, "{mark}");
    }
    stage.props.function.stop().await;
}

#[tokio::test]
async fn where_the_field_is_gone_the_ledger_says_that_there_was_a_mark() {
    let stage = Stage::new().await;
    stage.apply(1, VICTIM, ATTACKERS_PHONE, |_| {}).await;
    let found = json!([{ "ProspectID": stage.lead(VICTIM).id, "EmailAddress": VICTIM, "Phone": ATTACKERS_PHONE }]);
    let found = found.to_string();
    let effect = Effect::Answer { status: 200, content_type: "application/json".into(), body: found };
    stage.emulator.faults().add(Fault::on(Call::LeadById, effect));
    let (challenge, code) = stage.texted(ATTACKERS_PHONE).await;
    assert_eq!(stage.verify(&challenge, &code).await.json()["status"], "code-mailed");
    stage.finish(&[]).await;
}

/// One row of the table in the function's documentation.
struct Row {
    lead: &'static str,
    with: &'static str,
    answer: &'static str,
}

/// A lead in one of the states that the table tells apart.
async fn lead_of(stage: &Stage, number: usize, kind: &str) -> (String, String, String) {
    let (email, phone) = (format!("lead{number}@example.test"), format!("+91-90000100{number:02}"));
    let pan = format!("ABCDE{number:04}F");
    let number = proof("Phone", &phone);
    let mark = |password, proven: &[&str]| Some(Unproven::new(password).proving(proven.iter().copied()).to_string());
    let mark = match kind {
        "of the sales team" | "registered by an earlier version" => None,
        "of a form" => mark(false, &[]),
        "of a form, phone proven" => mark(false, &[&number]),
        "of a form, with a password typed there" => mark(true, &[]),
        "of a form, with a password typed there, phone proven" => mark(true, &[&number]),
        "of a form, with a password typed there, password proven" => mark(true, &[PASSWORD]),
        "with an unreadable mark" => Some("yes".to_owned()),
        other => panic!("{other}"),
    };
    let portal_id = stage.emulator.portal_id().parse().unwrap();
    let options = Options::new(stage.emulator.url(), stage.emulator.portal_api_url(), portal_id);
    let (access_key, secret_key) = stage.emulator.keys();
    let client = Client::new(options, Keys { access_key: access_key.into(), secret_key: secret_key.into() }).unwrap();
    let mut fields = Attributes::new().with("EmailAddress", &email).with("Phone", &phone).with("mx_PAN_Number", &pan);
    if let Some(mark) = mark {
        fields.set(MARK, mark);
    }
    let registration = Registration { register_only_new_lead: true, password: Password::from(PASSWORD_TEXT), fields };
    let lead = client.register(&registration).await.unwrap();
    if kind == "registered by an earlier version" {
        let at = AttributeValue::N((OffsetDateTime::now_utc().unix_timestamp() - 1000).to_string());
        let put = stage.aws.dynamodb().put_item().table_name(&stage.ledger);
        let put = put.item("pk", AttributeValue::S(format!("lead#{lead}"))).item("registered_at", at);
        put.send().await.unwrap();
    }
    (email, phone, pan)
}

#[tokio::test]
async fn the_table_in_the_documentation_is_how_it_is() {
    let documented = include_str!("../../functions/portal-account/sign-in-matrix.md");
    let rows = documented.lines().skip(2).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [lead, with, answer] = cells[..] else { panic!("{line}") };
        Row { lead, with, answer }
    });
    let stage = Stage::new().await;
    let mut seen = 0;
    for (number, Row { lead, with, answer }) in rows.enumerate() {
        let (email, phone, pan) = lead_of(&stage, number, lead).await;
        // From everywhere, so that this is not about limits.
        let address = format!("198.51.100.{number}");
        let body = match with {
            "code texted to the phone" => {
                let sent = stage.post_from(&address, "/sign-in/code", &json!({"phone": phone})).await;
                let text = stage.emulator.text_messages().pop().expect("a code was texted");
                json!({"challenge": sent.json()["challenge"], "code": code_in(&text.text)})
            }
            "phone, password" | "phone, password set by a mailed link" => {
                json!({"phone": phone, "password": PASSWORD_TEXT})
            }
            "another field, password" => json!({"pan": pan, "password": PASSWORD_TEXT}),
            _ => json!({"email": email, "password": PASSWORD_TEXT}),
        };
        let path = if body.get("challenge").is_some() { "/sign-in/code/verify" } else { "/sign-in" };
        let is = stage.post_from(&address, path, &body).await;
        let is = match (is.status, is.json()["status"].as_str(), problem(&is).1.as_str()) {
            (200, Some("signed-in"), _) => "signed in",
            (202, Some("code-mailed"), _) => "code mailed to the lead",
            (403, _, "/problems/unproven") => "refused until a texted code is used",
            (503, _, "/problems/unavailable") => "try again later",
            other => panic!("{lead}, {with}: {other:?}"),
        };
        assert_eq!(is, answer, "{lead}, {with}");
        seen += 1;
    }
    assert_eq!(seen, 19);
    stage.props.function.stop().await;
}

#[tokio::test]
async fn a_proof_of_an_earlier_versions_lead_is_remembered() {
    let stage = Stage::new().await;
    let (email, phone, _) = lead_of(&stage, 1, "registered by an earlier version").await;
    let body = json!({"email": email, "password": PASSWORD_TEXT});
    let answer = stage.post("/sign-in", &body).await;
    assert_eq!(answer.json()["status"], "code-mailed");
    let challenge = answer.json()["challenge"].as_str().unwrap().to_owned();
    assert_eq!(stage.verify(&challenge, &stage.mailed_code().1).await.status, 200);
    assert_eq!(stage.post("/sign-in", &body).await.status, 200);
    // The phone number was not proven by that.
    let (challenge, code) = stage.texted(&phone).await;
    assert_eq!(stage.verify(&challenge, &code).await.json()["status"], "code-mailed");
    stage.props.function.stop().await;
}

#[tokio::test]
async fn codes_that_prove_a_mailbox_are_few() {
    let stage = Stage::new().await;
    let (email, ..) = lead_of(&stage, 1, "of a form, with a password typed there").await;
    let body = json!({"email": email, "password": PASSWORD_TEXT});
    for _ in 0..3 {
        assert_eq!(stage.post("/sign-in", &body).await.json()["status"], "code-mailed");
    }
    assert_eq!(problem(&stage.post("/sign-in", &body).await), (429, "/problems/too-many-attempts".to_owned()));
    assert_eq!(stage.emulator.mails().len(), 3);
    let printed = stage.props.function.stop().await;
    assert!(!printed.contains("ERROR"), "{printed}");
}

#[tokio::test]
async fn sign_in_mails_go_to_the_address_on_record_alone() {
    let stage = Stage::new().await;
    let (email, phone, _) = lead_of(&stage, 1, "of a form").await;
    let (challenge, code) = stage.texted(&phone).await;
    stage.verify(&challenge, &code).await;
    let mails = stage.emulator.mails();
    let [mail] = &mails[..] else { panic!("{mails:?}") };
    assert_eq!((mail.recipients.as_slice(), mail.cc.len()), ([email].as_slice(), 0));
    assert!(!mail.text.contains("http") && !mail.html.contains("href"), "{}", mail.text);
    stage.props.function.stop().await;
}

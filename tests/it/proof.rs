//! Proof of identity: who may sign in to a lead whose phone number or password came through a public form. Black box,
//! with the worker that registers the lead and `portal-account`, which signs people in.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use leadsquared::Attributes;
use leadsquared_emulator::{Call, Effect, Fault, Limit, Settings, Tenant};
use onboarding::{Action, Invitation, InvitationId, Invitee, PASSWORD, Provenance, Source, Unproven, proof};
use runtime_api::Function;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    functions::sqs_event,
    http::{Answer, portal_account_event},
    portal_users::{mailed_code, register_with, texted_code},
    sandbox,
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
type Sandbox = sandbox::Sandbox<Account>;

impl Sandbox {
    async fn new() -> Self {
        Self::of(Tenant::default()).await
    }

    async fn of(tenant: Tenant) -> Self {
        Self::with(tenant, &[]).await
    }

    /// A sandbox whose function has these settings too.
    async fn with(tenant: Tenant, changes: &[(&str, &str)]) -> Self {
        let limit = Limit { calls: 10_000, ..Limit::default() };
        let sandbox = sandbox::Sandbox::open(Settings { limit, tenant, ..Settings::for_tests() }, ()).await;
        let usual = [("ANSWER_FLOOR_MS", "1"), ("SIGN_IN_FIELDS", SIGN_IN_FIELDS)];
        let function = sandbox.start_function("portal-account", &[&usual[..], changes].concat()).await.unwrap();
        sandbox.with_extras(Account { function })
    }

    /// The calls that LeadSquared got, and the calls that networks were charged for.
    async fn made_and_charged(&self) -> (usize, usize) {
        let items = self.items().await;
        let charged = items.iter().filter(|item| item["pk"].as_s().unwrap().starts_with("requests#"));
        let charged = charged.map(|item| item["count"].as_n().unwrap().parse::<usize>().unwrap()).sum();
        (self.emulator.calls().len(), charged)
    }

    async fn post_from(&self, address: &str, path: &str, body: &Value) -> Answer {
        let event = portal_account_event(path, body.to_string(), address, &[]);
        Answer::read(self.extras.function.invoke(&event, TIMEOUT).await.unwrap())
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_from("203.0.113.7", path, body).await
    }

    /// Sends an application with this address and phone number through the worker.
    async fn apply(&self, number: u8, email: &str, phone: &str, change: impl FnOnce(&mut Invitation)) {
        let worker = self.start_function("invitation", &[("SIGN_IN_FIELDS", SIGN_IN_FIELDS)]).await.unwrap();
        let (id, invitee) = (InvitationId::of([&[number][..]]), Invitee::Email(email.parse().unwrap()));
        let mut invitation = Invitation {
            attributes: Attributes::new().with("FirstName", "Asha").with("Phone", phone),
            ..Invitation::new(id, Source::Form, OffsetDateTime::now_utc(), invitee, Action::Invite)
        };
        change(&mut invitation);
        self.invitations.send(&invitation.encode(), invitation.person().as_str(), &id.to_string()).await;
        let message = self.invitations.next().await;
        let answer = worker.invoke(&sqs_event(&[message]), TIMEOUT).await.unwrap();
        assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
        let printed = worker.stop().await;
        assert!(!printed.contains("c4nary"), "{printed}");
    }

    /// Asks for a code for a number; returns the challenge and the texted code.
    async fn texted(&self, phone: &str) -> (String, String) {
        let sent = self.post("/sign-in/code", &json!({"phone": phone})).await;
        assert_eq!(sent.status, 202, "{}", sent.body);
        let text = self.emulator.text_messages().pop().expect("a code was texted");
        assert_eq!(text.recipient, phone);
        (sent.json()["challenge"].as_str().unwrap().to_owned(), texted_code(&text.text))
    }

    async fn verify(&self, challenge: &str, code: &str) -> Answer {
        self.post("/sign-in/code/verify", &json!({"challenge": challenge, "code": code})).await
    }

    /// The recipient of the newest mail, and the code in it.
    fn mailed_code(&self) -> (String, String) {
        let mail = self.emulator.mails().pop().expect("there is a mail");
        (mail.recipients[0].clone(), mailed_code(&mail.text))
    }

    fn lead(&self, email: &str) -> leadsquared_emulator::Lead {
        self.emulator.leads().into_iter().find(|lead| lead.field("EmailAddress") == Some(email)).unwrap()
    }

    async fn finish(self, secrets: &[&str]) {
        let kept = self.kept().await;
        let printed = self.extras.function.stop().await;
        for canary in ["c4nary", "9000012321", "9000066666", PAN].iter().chain(secrets) {
            assert!(!printed.contains(canary), "{canary} is logged: {printed}");
            assert!(!kept.contains(canary), "{canary} is in the table: {kept}");
        }
    }
}

#[tokio::test]
async fn a_stranger_cannot_sign_in_with_their_own_phone_number_on_a_victims_application() {
    let sandbox = Sandbox::new().await;
    sandbox.apply(1, VICTIM, ATTACKERS_PHONE, |_| {}).await;
    assert_eq!(sandbox.lead(VICTIM).field("Phone"), Some(ATTACKERS_PHONE), "a counsellor sees the number");

    let (challenge, code) = sandbox.texted(ATTACKERS_PHONE).await;
    let answer = sandbox.verify(&challenge, &code).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (202, Some("code-mailed")), "{}", answer.body);
    assert!(!answer.body.contains("auth_key"), "{}", answer.body);
    let (recipient, mailed) = sandbox.mailed_code();
    assert_eq!(recipient, VICTIM, "the second code goes to the mailbox of the lead");
    // The attacker has the challenge but not the mail, and the texted code works once.
    for guess in [code.as_str(), "AAAAA-AAAAA", "", "000000"] {
        assert_ne!(sandbox.verify(&challenge, guess).await.status, 200, "{guess}");
    }
    // The victim has the mail but not the challenge.
    let other = sandbox.texted(ATTACKERS_PHONE).await.0;
    assert_eq!(sandbox.verify(&other, &mailed).await.status, 401);
    // A password reset does not help the attacker: its link goes to the lead's mailbox, also for a phone number.
    let before = sandbox.emulator.text_messages().len();
    assert_eq!(sandbox.post("/password/forgot", &json!({"phone": ATTACKERS_PHONE})).await.status, 202);
    assert_eq!(sandbox.emulator.text_messages().len(), before);
    assert_eq!(sandbox.emulator.mails().pop().unwrap().recipients, [VICTIM]);
    sandbox.finish(&[&challenge, &mailed]).await;
}

#[tokio::test]
async fn a_victims_phone_number_on_a_strangers_application_signs_neither_of_them_in() {
    let sandbox = Sandbox::new().await;
    sandbox.apply(1, ATTACKER, VICTIMS_PHONE, |_| {}).await;
    let (challenge, code) = sandbox.texted(VICTIMS_PHONE).await;
    let victim = sandbox.verify(&challenge, &code).await;
    assert_eq!((victim.status, victim.json()["status"].as_str()), (202, Some("code-mailed")));
    let (recipient, mailed) = sandbox.mailed_code();
    assert_eq!(recipient, ATTACKER);
    // The attacker has the mail and a challenge of their own, but not the texted code of that challenge.
    let attackers = sandbox.post("/sign-in/code", &json!({"phone": VICTIMS_PHONE})).await;
    let attackers = attackers.json()["challenge"].as_str().unwrap().to_owned();
    assert_eq!(sandbox.verify(&attackers, &mailed).await.status, 401);
    sandbox.finish(&[&challenge, &mailed]).await;
}

#[tokio::test]
async fn one_browser_that_proves_phone_and_mailbox_is_signed_in_and_proves_them_once() {
    let sandbox = Sandbox::new().await;
    sandbox.apply(1, VICTIM, VICTIMS_PHONE, |_| {}).await;
    let (challenge, code) = sandbox.texted(VICTIMS_PHONE).await;
    let answer = sandbox.verify(&challenge, &code).await;
    assert_eq!(answer.json()["challenge"], challenge.as_str(), "the challenge stays the same");
    let (_, mailed) = sandbox.mailed_code();
    assert_eq!(sandbox.verify(&challenge, "AAAAA-AAAAA").await.problem(), (401, "/problems/wrong-code".to_owned()));
    let typed = mailed.to_lowercase().replace('-', " ");
    let signed_in = sandbox.verify(&challenge, &typed).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.body);
    assert_eq!(signed_in.json()["lead_id"], sandbox.lead(VICTIM).id.as_str());
    assert_eq!(sandbox.verify(&challenge, &mailed).await.problem().0, 401, "a mailed code signs in once");
    let proven = format!("unproven: identifiers; proven: {}", proof("Phone", VICTIMS_PHONE));
    assert_eq!(sandbox.lead(VICTIM).field(MARK), Some(proven.as_str()));

    let calls = sandbox.calls_to(Call::LeadById);
    let (challenge, code) = sandbox.texted(VICTIMS_PHONE).await;
    assert_eq!(sandbox.verify(&challenge, &code).await.status, 200);
    assert_eq!(sandbox.calls_to(Call::LeadById), calls, "the mark is not read again");
    // A new number in the field is unproven.
    let lead = sandbox.lead(VICTIM).id;
    sandbox.emulator.update_lead(&lead, &[("Phone", ATTACKERS_PHONE)]).unwrap();
    let (challenge, code) = sandbox.texted(ATTACKERS_PHONE).await;
    assert_eq!(sandbox.verify(&challenge, &code).await.json()["status"], "code-mailed");
    let key = signed_in.json()["auth_key"].as_str().unwrap().to_owned();
    sandbox.finish(&[&challenge, &mailed, &key]).await;
}

#[tokio::test]
async fn the_ledger_remembers_a_proof_that_cannot_be_written_to_the_lead() {
    let sandbox = Sandbox::new().await;
    sandbox.apply(1, VICTIM, VICTIMS_PHONE, |_| {}).await;
    sandbox.emulator.faults().add(Fault::on(Call::UpdateLead, Effect::gateway(502)));
    let (challenge, code) = sandbox.texted(VICTIMS_PHONE).await;
    sandbox.verify(&challenge, &code).await;
    assert_eq!(sandbox.verify(&challenge, &sandbox.mailed_code().1).await.status, 200);
    assert_eq!(sandbox.lead(VICTIM).field(MARK), Some("unproven: identifiers"));
    let (challenge, code) = sandbox.texted(VICTIMS_PHONE).await;
    assert_eq!(sandbox.verify(&challenge, &code).await.status, 200);
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn an_account_without_a_field_for_the_mark_keeps_identifiers_in_the_notes() {
    let mut tenant = Tenant::default();
    tenant.fields.retain(|field| field.schema_name != MARK);
    let sandbox = Sandbox::of(tenant).await;
    let with_pan = |invitation: &mut Invitation| invitation.attributes.set("mx_PAN_Number", PAN);
    sandbox.apply(1, VICTIM, ATTACKERS_PHONE, with_pan).await;
    let lead = sandbox.lead(VICTIM);
    assert_eq!((lead.field("Phone"), lead.field("mx_PAN_Number")), (None, None));
    let notes = lead.field("Notes").unwrap();
    assert!(notes.contains(ATTACKERS_PHONE) && notes.contains(PAN), "a counsellor sees both: {notes}");
    let sent = sandbox.post("/sign-in/code", &json!({"phone": ATTACKERS_PHONE})).await;
    assert_eq!((sent.status, sandbox.emulator.text_messages().len()), (202, 0));
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn a_password_from_a_public_form_is_discarded() {
    let sandbox = Sandbox::new().await;
    // A function of an earlier version still sends the password.
    sandbox.apply(1, VICTIM, VICTIMS_PHONE, |it| it.password = Some("c2VhbGVk".to_owned().into())).await;
    assert_eq!(sandbox.lead(VICTIM).field(MARK), Some("unproven: identifiers"), "a random password was registered");
    let answer = sandbox.post("/sign-in", &json!({"email": VICTIM, "password": PASSWORD_TEXT})).await;
    assert_eq!(answer.problem(), (401, "/problems/wrong-credentials".to_owned()));
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn a_form_cannot_set_the_mark_or_vouch_for_itself() {
    let sandbox = Sandbox::new().await;
    let vouch = |invitation: &mut Invitation| {
        invitation.attributes.set("mx_unproven_sign_in", "unproven: identifiers; proven: Phone");
        invitation.attributes.set(MARK, "");
        invitation.provenance = Provenance::Keyed;
    };
    sandbox.apply(1, VICTIM, ATTACKERS_PHONE, vouch).await;
    assert_eq!(sandbox.lead(VICTIM).field(MARK), Some("unproven: identifiers"));
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn nobody_signs_in_to_a_lead_whose_mark_cannot_be_read() {
    let sandbox = Sandbox::new().await;
    sandbox.apply(1, VICTIM, VICTIMS_PHONE, |_| {}).await;
    let (challenge, code) = sandbox.texted(VICTIMS_PHONE).await;
    sandbox.emulator.faults().add(Fault::on(Call::LeadById, Effect::gateway(502)));
    let answer = sandbox.verify(&challenge, &code).await;
    assert_eq!(answer.problem(), (503, "/problems/unavailable".to_owned()));
    assert!(answer.headers.contains_key("retry-after"));
    // LeadSquared accepts a code once; the function goes on with it once the mark can be read.
    sandbox.emulator.faults().clear();
    assert_eq!(sandbox.verify(&challenge, "000000").await.status, 401);
    sandbox.emulator.faults().add(Fault::on(Call::SendEmailToLead, Effect::gateway(503)).times(1));
    assert_eq!(
        sandbox.verify(&challenge, &code).await.json()["status"],
        "code-mailed",
        "the code may have been mailed"
    );
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn the_texted_code_stays_valid_while_the_mailed_one_cannot_be_sent() {
    const BAD_SENDER: &str = r#"{"Status":"Error","ExceptionType":"MXMandatoryAttributeMissingException","ExceptionMessage":"Invalid Sender details."}"#;
    let sandbox = Sandbox::new().await;
    sandbox.apply(1, VICTIM, VICTIMS_PHONE, |_| {}).await;
    let (challenge, code) = sandbox.texted(VICTIMS_PHONE).await;
    let bad_sender = Effect::Answer { status: 500, content_type: "application/json".into(), body: BAD_SENDER.into() };
    sandbox.emulator.faults().add(Fault::on(Call::SendEmailToLead, bad_sender).times(5));
    for _ in 0..5 {
        assert_eq!(sandbox.verify(&challenge, &code).await.problem(), (503, "/problems/unavailable".to_owned()));
    }
    assert_eq!(sandbox.verify(&challenge, &code).await.json()["status"], "code-mailed");
    assert_eq!(sandbox.verify(&challenge, &sandbox.mailed_code().1).await.status, 200);
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn a_counsellor_vouches_with_the_word_vouched_and_not_by_emptying_the_field() {
    let sandbox = Sandbox::new().await;
    sandbox.apply(1, VICTIM, ATTACKERS_PHONE, |_| {}).await;
    let lead = sandbox.lead(VICTIM).id;
    for (mark, status) in [("", 202), ("vouched", 200)] {
        sandbox.emulator.update_lead(&lead, &[(MARK, mark)]).unwrap();
        let (challenge, code) = sandbox.texted(ATTACKERS_PHONE).await;
        assert_eq!(sandbox.verify(&challenge, &code).await.status, status, "{mark}");
    }
    sandbox.extras.function.stop().await;
}

#[tokio::test]
async fn the_ledger_remembers_a_mark_whose_field_was_removed() {
    let sandbox = Sandbox::new().await;
    sandbox.apply(1, VICTIM, ATTACKERS_PHONE, |_| {}).await;
    let found = json!([{ "ProspectID": sandbox.lead(VICTIM).id, "EmailAddress": VICTIM, "Phone": ATTACKERS_PHONE }]);
    let found = found.to_string();
    let effect = Effect::Answer { status: 200, content_type: "application/json".into(), body: found };
    sandbox.emulator.faults().add(Fault::on(Call::LeadById, effect));
    let (challenge, code) = sandbox.texted(ATTACKERS_PHONE).await;
    assert_eq!(sandbox.verify(&challenge, &code).await.json()["status"], "code-mailed");
    sandbox.finish(&[]).await;
}

/// One row of the table in the function's documentation.
struct Row {
    lead: &'static str,
    with: &'static str,
    answer: &'static str,
}

/// Registers a lead in one of the table's states; returns its address, phone number and PAN.
async fn lead_of(sandbox: &Sandbox, number: usize, kind: &str) -> (String, String, String) {
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
    let mut fields = Attributes::new().with("EmailAddress", &email).with("Phone", &phone).with("mx_PAN_Number", &pan);
    if let Some(mark) = mark {
        fields.set(MARK, mark);
    }
    let lead = register_with(&sandbox.emulator, fields, PASSWORD_TEXT).await;
    if kind == "registered by an earlier version" {
        let at = AttributeValue::N((OffsetDateTime::now_utc().unix_timestamp() - 1000).to_string());
        sandbox.put(&format!("lead#{lead}"), &[("registered_at", at)]).await;
    }
    (email, phone, pan)
}

#[tokio::test]
async fn every_row_of_the_documented_sign_in_table_holds() {
    let documented = include_str!("../../functions/portal-account/sign-in-matrix.md");
    let rows = documented.lines().filter(|line| line.starts_with('|')).skip(2).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [lead, with, answer] = cells[..] else { panic!("{line}") };
        Row { lead, with, answer }
    });
    let sandbox = Sandbox::new().await;
    let mut seen = 0;
    for (number, Row { lead, with, answer }) in rows.enumerate() {
        let (email, phone, pan) = lead_of(&sandbox, number, lead).await;
        // A new network for each row, so that no cap applies.
        let address = format!("198.51.100.{number}");
        let body = match with {
            "code texted to the phone" => {
                let sent = sandbox.post_from(&address, "/sign-in/code", &json!({"phone": phone})).await;
                let text = sandbox.emulator.text_messages().pop().expect("a code was texted");
                json!({"challenge": sent.json()["challenge"], "code": texted_code(&text.text)})
            }
            "phone, password" | "phone, password set by a mailed link" => {
                json!({"phone": phone, "password": PASSWORD_TEXT})
            }
            "another field, password" => json!({"pan": pan, "password": PASSWORD_TEXT}),
            _ => json!({"email": email, "password": PASSWORD_TEXT}),
        };
        let path = if body.get("challenge").is_some() { "/sign-in/code/verify" } else { "/sign-in" };
        let got = sandbox.post_from(&address, path, &body).await;
        let got = match (got.status, got.json()["status"].as_str(), got.problem().1.as_str()) {
            (200, Some("signed-in"), _) => "signed in",
            (202, Some("code-mailed"), _) => "code mailed to the lead",
            (403, _, "/problems/unproven") => "refused until a texted code is used",
            (503, _, "/problems/unavailable") => "try again later",
            other => panic!("{lead}, {with}: {other:?}"),
        };
        assert_eq!(got, answer, "{lead}, {with}");
        seen += 1;
    }
    assert_eq!(seen, 19);
    sandbox.extras.function.stop().await;
}

#[tokio::test]
async fn a_proof_for_a_lead_of_an_earlier_version_is_remembered() {
    let sandbox = Sandbox::new().await;
    let (email, phone, _) = lead_of(&sandbox, 1, "registered by an earlier version").await;
    let body = json!({"email": email, "password": PASSWORD_TEXT});
    let answer = sandbox.post("/sign-in", &body).await;
    assert_eq!(answer.json()["status"], "code-mailed");
    let challenge = answer.json()["challenge"].as_str().unwrap().to_owned();
    assert_eq!(sandbox.verify(&challenge, &sandbox.mailed_code().1).await.status, 200);
    assert_eq!(sandbox.post("/sign-in", &body).await.status, 200);
    // That did not prove the phone number.
    let (challenge, code) = sandbox.texted(&phone).await;
    assert_eq!(sandbox.verify(&challenge, &code).await.json()["status"], "code-mailed");
    sandbox.extras.function.stop().await;
}

#[tokio::test]
async fn mailed_codes_for_one_person_are_capped() {
    let sandbox = Sandbox::new().await;
    let (email, ..) = lead_of(&sandbox, 1, "of a form, with a password typed there").await;
    let body = json!({"email": email, "password": PASSWORD_TEXT});
    for _ in 0..3 {
        assert_eq!(sandbox.post("/sign-in", &body).await.json()["status"], "code-mailed");
    }
    assert_eq!(sandbox.post("/sign-in", &body).await.problem(), (429, "/problems/too-many-attempts".to_owned()));
    assert_eq!(sandbox.emulator.mails().len(), 3);
    let printed = sandbox.extras.function.stop().await;
    assert!(!printed.contains("ERROR"), "{printed}");
}

#[tokio::test]
async fn a_mailed_code_goes_to_the_address_on_record_only() {
    let sandbox = Sandbox::new().await;
    let (email, phone, _) = lead_of(&sandbox, 1, "of a form").await;
    let (challenge, code) = sandbox.texted(&phone).await;
    sandbox.verify(&challenge, &code).await;
    let mails = sandbox.emulator.mails();
    let [mail] = &mails[..] else { panic!("{mails:?}") };
    assert_eq!((mail.recipients.as_slice(), mail.cc.len()), ([email].as_slice(), 0));
    assert!(!mail.text.contains("http") && !mail.html.contains("href"), "{}", mail.text);
    sandbox.extras.function.stop().await;
}

#[tokio::test]
async fn a_network_is_charged_for_the_calls_that_each_step_can_make() {
    let sandbox = Sandbox::with(Tenant::default(), &[("ALLOWANCE_DAILY", "100000")]).await;
    sandbox.apply(1, VICTIM, VICTIMS_PHONE, |_| {}).await;
    let salesperson = Attributes::new().with("EmailAddress", "ravi.c4nary@example.test").with("Phone", ATTACKERS_PHONE);
    register_with(&sandbox.emulator, salesperson, PASSWORD_TEXT).await;
    // The first request reads LeadSquared's portal tokens too.
    sandbox.post("/sign-in", &json!({"email": VICTIM, "password": "wrong"})).await;
    let step = async |path: &str, body: Value, key: &str| {
        let before = sandbox.made_and_charged().await;
        let event = portal_account_event(path, body.to_string(), "203.0.113.7", &[("authorization", key)]);
        let answer = Answer::read(sandbox.extras.function.invoke(&event, TIMEOUT).await.unwrap());
        let after = sandbox.made_and_charged().await;
        ((answer.status, after.0 - before.0, after.1 - before.1), answer)
    };
    let counted = async |path: &str, body: Value| step(path, body, "").await.0;

    // Status, calls made, calls charged.
    let wrong = |field: &str, value: &str| json!({field: value, "password": "wrong"});
    assert_eq!(counted("/sign-in", wrong("email", VICTIM)).await, (401, 1, 1));
    assert_eq!(counted("/sign-in", wrong("phone", VICTIMS_PHONE)).await, (401, 2, 2));
    assert_eq!(counted("/sign-in", wrong("pan", PAN)).await, (401, 1, 1));
    let by_email = json!({"email": "ravi.c4nary@example.test", "password": PASSWORD_TEXT});
    let (first, answer) = step("/sign-in", by_email.clone(), "").await;
    assert_eq!(first, (200, 2, 3), "the lead is read, and no code is mailed");
    assert_eq!(counted("/sign-in", by_email).await, (200, 1, 1), "the ledger knows the proof");
    let key = answer.json()["auth_key"].as_str().unwrap().to_owned();

    let (sent, answer) = step("/sign-in/code", json!({"phone": VICTIMS_PHONE}), "").await;
    assert_eq!(sent, (202, 2, 2));
    let challenge = answer.json()["challenge"].as_str().unwrap().to_owned();
    let code = texted_code(&sandbox.emulator.text_messages().pop().unwrap().text);
    let typed = |code: &str| json!({"challenge": challenge, "code": code});
    assert_eq!(counted("/sign-in/code/verify", typed("0000")).await, (401, 2, 2));
    assert_eq!(counted("/sign-in/code/verify", typed(&code)).await, (202, 3, 4));
    assert_eq!(counted("/sign-in/code/verify", typed("AAAAA-AAAAA")).await, (401, 0, 0));
    assert_eq!(counted("/sign-in/code/verify", typed(&sandbox.mailed_code().1)).await, (200, 2, 2));

    let change = |current: &str| json!({"current_password": current, "new_password": "another-Otter#99"});
    assert_eq!(step("/password/change", change("wrong"), &key).await.0, (403, 1, 3));
    assert_eq!(step("/password/change", change(PASSWORD_TEXT), &key).await.0, (200, 3, 3));
    assert_eq!(counted("/password/forgot", json!({"phone": VICTIMS_PHONE})).await, (202, 2, 2));
    assert_eq!(counted("/password/forgot", json!({"email": VICTIM})).await, (202, 1, 1));
    let mail = sandbox.emulator.mails().pop().unwrap().text;
    let query = mail.split_once('?').unwrap().1.as_bytes();
    let link: std::collections::HashMap<_, _> = form_urlencoded::parse(query).into_owned().collect();
    let reset = json!({
        "lead_id": link["leadId"], "temporary_password": link["temporaryPassword"], "password": "another-Otter#99",
    });
    assert_eq!(counted("/password/reset", reset).await, (200, 3, 3));
    sandbox.extras.function.stop().await;
}

#[tokio::test]
async fn a_code_that_was_right_works_again_when_its_network_may_call_again() {
    // A network's share of the day: ten calls.
    let sandbox = Sandbox::with(Tenant::default(), &[("ALLOWANCE_DAILY", "100"), ("NETWORK_SHARE", "10")]).await;
    sandbox.apply(1, VICTIM, VICTIMS_PHONE, |_| {}).await;
    let (challenge, code) = sandbox.texted(VICTIMS_PHONE).await;
    for _ in 0..6 {
        sandbox.post("/sign-in", &json!({"email": VICTIM, "password": "wrong"})).await;
    }
    let often = (429, "/problems/too-many-attempts".to_owned());
    assert_eq!(sandbox.verify(&challenge, &code).await.problem(), often, "the code was right, the lead is not read");
    let elsewhere = async |code: &str| {
        let body = json!({"challenge": challenge, "code": code});
        sandbox.post_from("198.51.100.9", "/sign-in/code/verify", &body).await
    };
    assert_eq!(elsewhere(&code).await.json()["status"], "code-mailed");
    let (_, mailed) = sandbox.mailed_code();
    for _ in 0..7 {
        assert_eq!(sandbox.verify(&challenge, &mailed).await.problem(), often, "no try is used");
    }
    assert_eq!(elsewhere(&mailed).await.status, 200);
    sandbox.extras.function.stop().await;
}

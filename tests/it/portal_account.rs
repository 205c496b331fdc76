//! The `portal-account` function, black box: signing in, one-time codes and passwords.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{http::StatusCode, response::IntoResponse};
use futures::future::join_all;
use leadsquared_emulator::{Call, Effect, Fault, Limit, LimitRefusal, Settings};
use proptest::{collection::vec, prelude::*};
use runtime_api::Function;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::{Barrier, watch};

use crate::{
    aws::Aws,
    aws_endpoint::{self, Server},
    functions,
    http::{Answer, portal_account_event},
    portal_users::{register, texted_code},
    sandbox, workspace,
};

const TIMEOUT: Duration = Duration::from_secs(20);
const EMAIL: &str = "asha.c4nary@example.test";
const PHONE: &str = "+91-9000012321";
const PASSWORD: &str = " c4nary Horse\u{a0}7! ";
const NEW_PASSWORD: &str = "c4nary-Otter#Lantern 73";
const HOME: &str = "203.0.113.7";
const CAFE: &str = "198.51.100.9";

/// The function, and the lead of the portal user Asha.
struct Asha {
    lead: String,
    environment: Vec<(String, String)>,
    function: Function,
}
type Sandbox = sandbox::Sandbox<Asha>;

impl Sandbox {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// A sandbox whose function has these settings instead of the template's.
    async fn with(changes: &[(&str, &str)]) -> Self {
        // These tests send many attempts at once; LeadSquared's limit has tests of its own.
        let limit = Limit { calls: 10_000, ..Limit::default() };
        let sandbox = sandbox::Sandbox::open(Settings { limit, ..Settings::for_tests() }, ()).await;
        let lead = register(&sandbox.emulator, EMAIL, PHONE, PASSWORD).await;
        let environment = sandbox.environment("portal-account", &[&[("ANSWER_FLOOR_MS", "20")][..], changes].concat());
        let function = start(&environment).await;
        sandbox.with_extras(Asha { lead, environment, function })
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(path, body, HOME, &[]).await
    }

    async fn send(&self, path: &str, body: &Value, address: &str, headers: &[(&str, &str)]) -> Answer {
        send(&self.extras.function, path, body, address, headers).await
    }

    async fn sign_in(&self, password: &str) -> Answer {
        self.post("/sign-in", &json!({"email": EMAIL, "password": password})).await
    }

    /// Signs in; returns the key of the session.
    async fn session(&self) -> String {
        let answer = self.sign_in(PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["auth_key"].as_str().unwrap().to_owned()
    }

    async fn change(&self, key: &str, current: &str, new: &str) -> Answer {
        let body = json!({"current_password": current, "new_password": new});
        self.send("/password/change", &body, HOME, &[("authorization", key)]).await
    }

    /// The times of the attempts that each limit has counted, by the key of its item. Leaves out the requests of a
    /// network in a minute, which count whatever their outcome.
    async fn counted_attempts(&self) -> BTreeMap<String, Vec<AttributeValue>> {
        let times = self.items().await.into_iter().filter_map(|item| {
            let times = item.get("times")?.as_l().unwrap().clone();
            let number = |value: &AttributeValue| value.as_n().unwrap().parse::<i64>().unwrap();
            let is_per_minute =
                times.last().is_some_and(|last| number(&item["expires_at"]) - number(last) / 1000 < 120);
            (!times.is_empty() && !is_per_minute).then(|| (item["pk"].as_s().unwrap().clone(), times))
        });
        times.collect()
    }

    /// Lead id and temporary password of the link in the newest mail.
    fn reset_link(&self) -> (String, String) {
        let mail = self.emulator.mails().pop().expect("there is a mail");
        let query = mail.text.split_once('?').expect("the mail has a link").1.to_owned();
        let pairs: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        (pairs["leadId"].clone(), pairs["temporaryPassword"].clone())
    }

    /// Stops the function. Asserts that no password, code, key, personal data or one of `secrets` is in its output or
    /// in the ledger.
    async fn finish(self, secrets: &[&str]) -> String {
        let kept = self.kept().await;
        let printed = self.extras.function.stop().await;
        let (access_key, secret_key) = self.emulator.keys();
        let codes = self.emulator.text_messages().into_iter().map(|message| texted_code(&message.text));
        let canaries = ["c4nary".to_owned(), access_key, secret_key].into_iter().chain(codes);
        for canary in canaries.chain(secrets.iter().map(|secret| (*secret).to_owned())) {
            assert!(!printed.contains(&canary), "{canary} is logged: {printed}");
            assert!(!kept.contains(&canary), "{canary} is in the table: {kept}");
        }
        for personal in ["9000012321", HOME] {
            assert!(!printed.contains(personal) && !kept.contains(personal), "{printed}{kept}");
        }
        printed
    }
}

async fn start(environment: &[(String, String)]) -> Function {
    functions::start("portal-account", environment.to_vec()).await.unwrap()
}

async fn send(function: &Function, path: &str, body: &Value, address: &str, headers: &[(&str, &str)]) -> Answer {
    let event = portal_account_event(path, body.to_string(), address, headers);
    Answer::read(function.invoke(&event, TIMEOUT).await.unwrap())
}

#[tokio::test]
async fn the_right_password_returns_leadsquareds_session_key() {
    let sandbox = Sandbox::new().await;
    for identity in [json!({"email": " Asha.C4nary@Example.Test "}), json!({"phone": "090000 12321"})] {
        let mut body = identity;
        body["password"] = PASSWORD.into();
        let answer = sandbox.post("/sign-in", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.headers["cache-control"], "no-store");
        let session = answer.json();
        assert_eq!((session["status"].as_str(), session["expires_in"].as_u64()), (Some("signed-in"), Some(14_400)));
        assert_eq!(session["lead_id"], sandbox.extras.lead.as_str());
        let key = session["auth_key"].as_str().unwrap().to_owned();
        // The key belongs to a session: it can change the password and change it back.
        assert_eq!(sandbox.change(&key, PASSWORD, NEW_PASSWORD).await.status, 200);
        let bearer = format!("Bearer {key}");
        assert_eq!(sandbox.change(&bearer, NEW_PASSWORD, PASSWORD).await.status, 200);
    }
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn a_form_signs_in_like_json() {
    let sandbox = Sandbox::new().await;
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("email", EMAIL), ("password", PASSWORD)])
        .finish();
    let event =
        portal_account_event("/prod/sign-in", body, HOME, &[("content-type", "application/x-www-form-urlencoded")]);
    let answer = Answer::read(sandbox.extras.function.invoke(&event, TIMEOUT).await.unwrap());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn known_and_unknown_people_get_the_same_answers() {
    let sandbox = Sandbox::new().await;
    sandbox.emulator.add_lead(&[("EmailAddress", "lead@example.test"), ("Phone", "+91-9000000002")]).unwrap();
    let sign_in = async |email: &str| {
        let answer = sandbox.post("/sign-in", &json!({"email": email, "password": "wrong"})).await;
        assert_eq!(answer.problem(), (401, "/problems/wrong-credentials".to_owned()));
        assert!(answer.headers.contains_key("www-authenticate"));
        answer
    };
    let wrong = sign_in(EMAIL).await;
    assert_eq!(sign_in("stranger@example.test").await, wrong);
    assert_eq!(sign_in("lead@example.test").await, wrong, "a lead that is not a portal user");

    let forgot = async |email: &str| {
        let answer = sandbox.post("/password/forgot", &json!({"email": email})).await;
        assert_eq!((answer.status, answer.body.as_str()), (202, r#"{"status":"accepted"}"#));
        answer
    };
    let known = forgot(EMAIL).await;
    assert_eq!(forgot("stranger@example.test").await, known);
    assert_eq!(forgot("lead@example.test").await, known);
    assert_eq!(sandbox.emulator.mails().len(), 1);

    let send_code = async |phone: &str| {
        let mut answer = sandbox.post("/sign-in/code", &json!({"phone": phone})).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let mut body = answer.json();
        let challenge = body["challenge"].take();
        answer.body = body.to_string();
        (challenge.as_str().unwrap().to_owned(), answer)
    };
    let (known, answer) = send_code(PHONE).await;
    for phone in ["+91-9000000002", "+91-9000000003"] {
        let (challenge, other) = send_code(phone).await;
        assert_eq!((challenge.len(), other), (known.len(), answer.clone()), "{phone}");
        let verify = sandbox.post("/sign-in/code/verify", &json!({"challenge": challenge, "code": "123456"})).await;
        assert_eq!(verify.problem(), (401, "/problems/wrong-code".to_owned()));
    }
    assert_eq!(sandbox.emulator.text_messages().len(), 1);
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn a_code_makes_the_same_calls_for_known_and_unknown_numbers() {
    let sandbox = Sandbox::new().await;
    let mut challenges = Vec::new();
    for phone in [PHONE, "+91-9000000003"] {
        let sent = sandbox.post("/sign-in/code", &json!({"phone": phone})).await;
        challenges.push(sent.json()["challenge"].as_str().unwrap().to_owned());
    }
    let verify = async |faults: [Option<Fault>; 2]| {
        let mut answers = Vec::new();
        let mut calls = Vec::new();
        for (challenge, fault) in challenges.iter().zip(faults) {
            sandbox.emulator.faults().clear();
            fault.into_iter().for_each(|fault| sandbox.emulator.faults().add(fault));
            let before = sandbox.emulator.calls().len();
            answers.push(sandbox.post("/sign-in/code/verify", &json!({"challenge": challenge, "code": "1234"})).await);
            calls.push(sandbox.emulator.calls()[before..].iter().map(|call| call.call).collect::<Vec<_>>());
        }
        assert_eq!(answers[0], answers[1]);
        assert!(!calls[0].is_empty() && calls[0] == calls[1], "{calls:?}");
        answers[0].status
    };
    let same = |fault: Fault| [Some(fault.clone()), Some(fault)];
    assert_eq!(verify([None, None]).await, 401);
    assert_eq!(verify(same(Fault::everywhere(Effect::gateway(503)))).await, 503);
    // A bare 500 to the code alone is LeadSquared's word for a wrong code, and for the challenge of a decoy.
    let unreadable = Fault::on(Call::SignIn, Effect::gateway(500));
    assert_eq!(verify(same(unreadable.clone())).await, 401);
    assert_eq!(verify([None, Some(unreadable)]).await, 401);
    assert_eq!(verify(same(Fault::everywhere(Effect::gateway(500)))).await, 503);
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn a_number_is_found_in_every_spelling_that_leadsquared_stores() {
    let sandbox = Sandbox::new().await;
    let calls = async |path: &str, body: Value| {
        let before = sandbox.emulator.calls().len();
        let answer = sandbox.post(path, &body).await;
        let calls: Vec<_> = sandbox.emulator.calls()[before..].iter().map(|call| call.call).collect();
        (answer, calls)
    };
    // Afterwards the portal's tokens are cached.
    sandbox.sign_in(PASSWORD).await;
    let stranger = "+91-9000000003";
    let (_, expected_of_sign_in) = calls("/sign-in", json!({"phone": stranger, "password": "wrong"})).await;
    let (_, expected_of_code) = calls("/sign-in/code", json!({"phone": stranger})).await;
    let (_, expected_of_forgot) = calls("/password/forgot", json!({"phone": stranger})).await;
    for (number, stored) in
        [PHONE, "+919000012321", "9000012321", "919000012321", "+91 90000 12321"].into_iter().zip(1..)
    {
        sandbox.emulator.update_lead(&sandbox.extras.lead, &[("Phone", number)]).unwrap();
        let (answer, made) = calls("/sign-in", json!({"phone": "9000012321", "password": PASSWORD})).await;
        assert_eq!(answer.status, 200, "{number}: {}", answer.body);
        assert_eq!(made[..2], expected_of_sign_in, "{number}");
        let (answer, made) = calls("/sign-in", json!({"phone": "9000012321", "password": "wrong"})).await;
        assert_eq!((answer.status, made), (401, expected_of_sign_in.clone()), "{number}");
        let (code, made_for_code) = calls("/sign-in/code", json!({"phone": "9000012321"})).await;
        let (forgot, made_for_forgot) = calls("/password/forgot", json!({"phone": "9000012321"})).await;
        // A person gets three texts and three mails an hour, in whatever spelling the number is stored.
        if stored > 3 {
            assert_eq!((code.status, forgot.status), (429, 429), "{number}");
            continue;
        }
        assert_eq!((code.status, made_for_code), (202, expected_of_code.clone()), "{number}");
        assert_eq!((forgot.status, made_for_forgot), (202, expected_of_forgot.clone()), "{number}");
        let texts = sandbox.emulator.text_messages();
        assert_eq!((texts.len(), sandbox.emulator.mails().len()), (stored, stored), "{number}");
        let body = json!({"challenge": code.json()["challenge"], "code": texted_code(&texts[stored - 1].text)});
        assert_eq!(sandbox.post("/sign-in/code/verify", &body).await.status, 200, "{number}");
    }
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn a_number_of_another_country_is_not_the_one_with_the_same_digits() {
    let sandbox = Sandbox::new().await;
    sandbox.emulator.update_lead(&sandbox.extras.lead, &[("Phone", "6502530000")]).unwrap();
    let body = json!({"phone": "+1 650 253 0000", "password": PASSWORD});
    assert_eq!(sandbox.post("/sign-in", &body).await.status, 401);
    sandbox.emulator.update_lead(&sandbox.extras.lead, &[("Phone", "+16502530000")]).unwrap();
    assert_eq!(sandbox.post("/sign-in", &body).await.status, 200);
}

#[tokio::test]
async fn a_password_is_the_same_however_the_keyboard_writes_its_letters() {
    let sandbox = Sandbox::new().await;
    let (composed, decomposed) = ("c4nary-Caf\u{e9}#73", "c4nary-Cafe\u{301}#73");
    let key = sandbox.session().await;
    assert_eq!(sandbox.change(&key, PASSWORD, decomposed).await.status, 200);
    assert!(sandbox.emulator.has_password(&sandbox.extras.lead, composed).await);
    for password in [composed, decomposed] {
        assert_eq!(sandbox.sign_in(password).await.status, 200);
    }
    let key = sandbox.sign_in(composed).await.json()["auth_key"].as_str().unwrap().to_owned();
    assert_eq!(sandbox.change(&key, composed, decomposed).await.status, 422, "it is the current password");
    sandbox.finish(&[]).await;
}

/// Requests whose answers are delayed, because their time could reveal who has an account.
fn delayed() -> [(&'static str, Value); 7] {
    [
        ("/sign-in", json!({"email": EMAIL, "password": "wrong"})),
        ("/sign-in", json!({"email": "stranger@example.test", "password": "wrong"})),
        ("/sign-in/code", json!({"phone": PHONE})),
        ("/sign-in/code", json!({"phone": "+91-9000000003"})),
        ("/sign-in/code/verify", json!({"challenge": "none", "code": "123456"})),
        ("/password/forgot", json!({"email": EMAIL})),
        ("/password/forgot", json!({"email": "stranger@example.test"})),
    ]
}

#[tokio::test]
async fn answers_that_could_reveal_an_account_are_sent_at_a_fixed_time() {
    const FLOOR: Duration = Duration::from_millis(700);
    let sandbox = Sandbox::with(&[("ANSWER_FLOOR_MS", "700")]).await;
    for (path, body) in delayed() {
        let began = Instant::now();
        sandbox.post(path, &body).await;
        assert!(began.elapsed() >= FLOOR, "{path} {body} after {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn metrics_are_printed_before_the_answer_is_delayed() {
    let sandbox = Sandbox::new().await;
    let delayed = delayed();
    for (path, body) in &delayed {
        sandbox.post(path, body).await;
    }
    let printed = sandbox.finish(&[]).await;
    // The last line of each request is its end.
    let is_end = |line: &str| line.contains("\"request done\"") || line.contains("\"request refused\"");
    let last_lines: Vec<_> = printed.lines().filter(|line| line.contains("\"_aws\"") || is_end(line)).collect();
    let ends = last_lines.iter().filter(|line| is_end(line)).count();
    assert_eq!(ends, delayed.len(), "{printed}");
    assert!(is_end(last_lines.last().unwrap()), "{printed}");
    assert!(last_lines.iter().any(|line| line.contains("UpstreamCalls")), "{printed}");
}

#[tokio::test]
async fn a_code_signs_in_once() {
    let sandbox = Sandbox::new().await;
    let sent = sandbox.post("/sign-in/code", &json!({"phone": "90000 12321"})).await;
    assert_eq!((sent.status, sent.json()["expires_in"].as_u64()), (202, Some(900)));
    let challenge = sent.json()["challenge"].as_str().unwrap().to_owned();
    let [message] = &*sandbox.emulator.text_messages() else { panic!("one message is sent") };
    let code = texted_code(&message.text);
    let verify =
        async |code: &str| sandbox.post("/sign-in/code/verify", &json!({"challenge": challenge, "code": code})).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    assert_eq!(verify(wrong).await.problem(), (401, "/problems/wrong-code".to_owned()));
    let signed_in = verify(&code).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.body);
    assert_eq!(signed_in.json()["lead_id"], sandbox.extras.lead.as_str());
    let key = signed_in.json()["auth_key"].as_str().unwrap().to_owned();
    assert_eq!(verify(&code).await.problem(), (401, "/problems/wrong-code".to_owned()));
    sandbox.finish(&[&key, &challenge]).await;
}

#[tokio::test]
async fn a_code_is_accepted_as_keyboards_write_it_and_a_text_that_is_no_code_uses_no_try() {
    let sandbox = Sandbox::new().await;
    let in_devanagari = |code: &str| -> String {
        code.chars().map(|c| char::from_u32(0x966 + c.to_digit(10).unwrap()).unwrap()).collect()
    };
    let spellings: [&dyn Fn(&str) -> String; 3] = [
        &|code| format!(" {} {} ", &code[..3], &code[3..]),
        &|code| format!("\u{200e}{}\u{2011}{}", &code[..3], &code[3..]),
        &in_devanagari,
    ];
    for (sent, spelling) in spellings.iter().enumerate() {
        let challenge = sandbox.post("/sign-in/code", &json!({"phone": PHONE})).await.json()["challenge"].take();
        let verify = async |code: &str| {
            sandbox.post("/sign-in/code/verify", &json!({"challenge": challenge, "code": code})).await
        };
        let code = texted_code(&sandbox.emulator.text_messages()[sent].text);
        let before = sandbox.counted_attempts().await;
        for no_code in ["x", "12", "your code", "1234567890123"] {
            assert_eq!(verify(no_code).await.problem().0, 422, "{no_code}");
        }
        for _ in 0..5 {
            assert_eq!(verify("").await.problem().0, 422);
        }
        assert_eq!(sandbox.counted_attempts().await, before);
        let signed_in = verify(&spelling(&code)).await;
        assert_eq!(signed_in.status, 200, "{}", signed_in.body);
    }
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn a_challenge_has_five_tries_across_processes_and_networks() {
    let sandbox = Sandbox::new().await;
    let sent = sandbox.post("/sign-in/code", &json!({"phone": PHONE})).await;
    let challenge = sent.json()["challenge"].as_str().unwrap().to_owned();
    let code = texted_code(&sandbox.emulator.text_messages()[0].text);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let before = sandbox.emulator.calls().len();
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(start(&sandbox.extras.environment).await);
    }
    let functions: Vec<_> = others.iter().chain([&sandbox.extras.function]).collect();
    let guesses = (0..20).map(|number| {
        let body = json!({"challenge": challenge, "code": wrong});
        let function = functions[number % functions.len()];
        let address = format!("198.51.100.{number}");
        async move { send(function, "/sign-in/code/verify", &body, &address, &[]).await }
    });
    let answers: BTreeSet<_> = join_all(guesses).await.iter().map(Answer::problem).collect();
    assert_eq!(answers, BTreeSet::from([(401, "/problems/wrong-code".to_owned())]));
    let asked = sandbox.emulator.calls()[before..].iter().filter(|call| call.call == Some(Call::SignIn)).count();
    assert_eq!(asked, 5);
    let right = json!({"challenge": challenge, "code": code});
    assert_eq!(sandbox.send("/sign-in/code/verify", &right, CAFE, &[]).await.status, 401);
}

#[tokio::test]
async fn a_changed_password_is_confirmed_by_a_mail_to_its_owner() {
    let sandbox = Sandbox::new().await;
    let key = sandbox.session().await;
    assert_eq!(sandbox.change(&key, "wrong", NEW_PASSWORD).await.problem().1, "/problems/wrong-current-password");
    assert_eq!(sandbox.change("nonsense", PASSWORD, NEW_PASSWORD).await.problem().1, "/problems/not-signed-in");
    assert_eq!(sandbox.change("", PASSWORD, NEW_PASSWORD).await.problem().1, "/problems/not-signed-in");
    assert!(sandbox.emulator.has_password(&sandbox.extras.lead, PASSWORD).await);
    assert_eq!(sandbox.emulator.mails().len(), 0);

    let changed = sandbox.change(&key, PASSWORD, NEW_PASSWORD).await;
    assert_eq!((changed.status, changed.body.as_str()), (200, r#"{"status":"password-changed"}"#));
    assert!(sandbox.emulator.has_password(&sandbox.extras.lead, NEW_PASSWORD).await);
    let [notice] = &*sandbox.emulator.mails() else { panic!("one notice is mailed") };
    assert_eq!(notice.recipients, [EMAIL]);
    assert_eq!(notice.subject, "Your Admissions password was changed");
    sandbox.finish(&[&key]).await;
}

#[tokio::test]
async fn a_password_stays_changed_when_the_notice_cannot_be_mailed() {
    let sandbox = Sandbox::new().await;
    let key = sandbox.session().await;
    sandbox.emulator.faults().add(Fault::on(Call::SendEmailToLead, Effect::gateway(502)));
    assert_eq!(sandbox.change(&key, PASSWORD, NEW_PASSWORD).await.status, 200);
    assert!(sandbox.emulator.has_password(&sandbox.extras.lead, NEW_PASSWORD).await);
    let printed = sandbox.finish(&[]).await;
    assert!(printed.contains("no notice of a changed password"), "{printed}");
}

#[tokio::test]
async fn a_reset_link_resets_a_password_once() {
    let sandbox = Sandbox::new().await;
    assert_eq!(sandbox.post("/password/forgot", &json!({"email": EMAIL})).await.status, 202);
    let (lead_id, temporary_password) = sandbox.reset_link();
    let reset = async |lead_id: &str, proof: &str, password: &str| {
        let body = json!({"lead_id": lead_id, "temporary_password": proof, "password": password});
        sandbox.post("/password/reset", &body).await
    };
    let stranger = "11111111-1111-4111-8111-111111111111";
    for (lead_id, proof) in [(stranger, &*temporary_password), (&lead_id, &"0".repeat(64))] {
        let answer = reset(lead_id, proof, NEW_PASSWORD).await;
        assert_eq!(answer.problem(), (403, "/problems/dead-reset-link".to_owned()));
    }
    let answer = reset(&lead_id, &temporary_password, NEW_PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(sandbox.emulator.has_password(&sandbox.extras.lead, NEW_PASSWORD).await);
    assert_eq!(sandbox.emulator.mails().last().unwrap().subject, "Your Admissions password was changed");
    let again = reset(&lead_id, &temporary_password, "another-Otter#99").await;
    assert_eq!(again.problem(), (403, "/problems/dead-reset-link".to_owned()));
    assert_eq!(sandbox.sign_in(NEW_PASSWORD).await.status, 200);
    sandbox.finish(&[&temporary_password]).await;
}

#[tokio::test]
async fn a_weak_password_is_refused_before_leadsquared_is_called() {
    let sandbox = Sandbox::new().await;
    let calls = sandbox.emulator.calls().len();
    let long = "Aa1!".repeat(33);
    for (password, detail) in [
        ("", "is required"),
        ("Aa1!567", "must be 8 to 128 characters long"),
        (&long, "must be 8 to 128 characters long"),
        ("horse battery staple", "must have an upper-case letter and a digit"),
        ("P@ssw0rd1!", "is one of the most common passwords, or nearly one; choose one that is harder to guess"),
    ] {
        for (path, field, body) in [
            (
                "/password/reset",
                "password",
                json!({"lead_id": sandbox.extras.lead, "temporary_password": "0", "password": password}),
            ),
            ("/password/change", "new_password", json!({"current_password": PASSWORD, "new_password": password})),
        ] {
            let answer = sandbox.send(path, &body, HOME, &[("authorization", "some-key")]).await;
            assert_eq!(answer.problem(), (422, "/problems/incomplete".to_owned()), "{}", answer.body);
            assert_eq!(answer.json()["errors"], json!([{"field": field, "detail": detail}]), "{path}");
        }
    }
    let same = sandbox.change("some-key", NEW_PASSWORD, NEW_PASSWORD).await;
    assert_eq!(same.json()["errors"][0]["detail"], "must differ from the current password");
    assert_eq!(sandbox.emulator.calls().len(), calls);
    // With PASSWORD_CLASSES empty, the function accepts a phrase without digits and capitals.
    let lenient = Sandbox::with(&[("PASSWORD_CLASSES", "")]).await;
    let key = lenient.session().await;
    let phrase = "seven otters carry a paper lantern across the frozen river at night";
    let answer = lenient.change(&key, PASSWORD, phrase).await;
    // The emulated portal's own policy refuses it: the answer names the field.
    assert_eq!(answer.problem(), (422, "/problems/password-refused".to_owned()), "{}", answer.body);
    assert_eq!(answer.faulty_fields(), ["new_password"]);
    assert_eq!(lenient.change(&key, PASSWORD, &format!("{phrase} X9!")).await.status, 200);
}

#[tokio::test]
async fn one_answer_names_every_fault_of_a_request() {
    let sandbox = Sandbox::new().await;
    for (path, body, fields) in [
        ("/sign-in", json!({}), &["email", "password"][..]),
        ("/sign-in", json!({"email": "asha", "password": ["x", "y"]}), &["email", "password"]),
        ("/sign-in", json!({"email": EMAIL, "phone": PHONE, "password": "x"}), &["phone"]),
        ("/sign-in/code", json!({"email": EMAIL}), &["phone"]),
        ("/sign-in/code/verify", json!({}), &["challenge", "code"]),
        ("/password/forgot", json!({"email": {}}), &["email"]),
        ("/password/reset", json!({"lead_id": "1"}), &["lead_id", "temporary_password", "password"]),
    ] {
        let answer = sandbox.post(path, &body).await;
        assert_eq!(answer.problem(), (422, "/problems/incomplete".to_owned()), "{path} {}", answer.body);
        assert_eq!(answer.faulty_fields(), fields, "{path} {body}");
    }
    assert_eq!(sandbox.post("/nowhere", &json!({})).await.problem(), (404, "/problems/unknown-address".to_owned()));
    let mut get = portal_account_event("/sign-in", String::new(), HOME, &[]);
    get["requestContext"]["http"]["method"] = "GET".into();
    let answer = Answer::read(sandbox.extras.function.invoke(&get, TIMEOUT).await.unwrap());
    assert_eq!((answer.problem().0, answer.headers["allow"].as_str()), (405, "POST"));
    let no_json = portal_account_event("/sign-in", "{".to_owned(), HOME, &[]);
    let answer = Answer::read(sandbox.extras.function.invoke(&no_json, TIMEOUT).await.unwrap());
    assert_eq!(answer.problem(), (400, "/problems/unreadable".to_owned()));
}

#[tokio::test]
async fn every_sample_event_gets_the_status_that_its_name_promises() {
    let sandbox = Sandbox::new().await;
    for (file, event) in workspace::events("portal-account") {
        let answer = Answer::read(sandbox.extras.function.invoke_bytes(event.into(), TIMEOUT).await.unwrap());
        let expected = match file.as_str() {
            "sign-in-code.json" | "password-forgot.json" => 202,
            "password-reset-common.json" => 422,
            "password-reset.json" => 403,
            "sign-out.json" => 200,
            _ => 401,
        };
        assert_eq!(answer.status, expected, "{file}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_network_that_guesses_passwords_is_stopped_and_the_owners_network_is_not() {
    let sandbox = Sandbox::new().await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(start(&sandbox.extras.environment).await);
    }
    let functions: Vec<_> = others.iter().chain([&sandbox.extras.function]).collect();
    let before = sandbox.emulator.calls().len();
    let guesses = (0..40).map(|number| {
        let body = json!({"email": EMAIL, "password": format!("guess {number}")});
        let function = functions[number % functions.len()];
        async move { send(function, "/sign-in", &body, CAFE, &[]).await }
    });
    let answers = join_all(guesses).await;
    let of = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((of(401), of(429)), (10, 30), "ten guesses across all processes");
    let asked = sandbox.emulator.calls()[before..].iter().filter(|call| call.call == Some(Call::SignIn)).count();
    assert_eq!(asked, 10);
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.problem().1, "/problems/too-many-attempts");
    let retry_after: u64 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=900).contains(&retry_after), "{retry_after}");

    assert_eq!(sandbox.sign_in(PASSWORD).await.status, 200, "the owner, at home");
    assert_eq!(
        sandbox.send("/sign-in", &json!({"email": "ravi@example.test", "password": "x"}), CAFE, &[]).await.status,
        401
    );
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn a_person_signs_in_from_a_known_network_after_strangers_used_up_the_attempts() {
    let sandbox = Sandbox::new().await;
    assert_eq!(sandbox.sign_in(PASSWORD).await.status, 200);
    let from = async |address: &str, password: &str| {
        sandbox.send("/sign-in", &json!({"email": EMAIL, "password": password}), address, &[]).await
    };
    for number in 0..100 {
        assert_eq!(from(&format!("198.51.100.{}", number / 10), "wrong").await.status, 401, "{number}");
    }
    let asked = || sandbox.emulator.calls().iter().filter(|call| call.call == Some(Call::SignIn)).count();
    let before = asked();
    let mut elsewhere = from(CAFE, PASSWORD).await;
    assert_eq!(elsewhere.problem(), (429, "/problems/too-many-attempts".to_owned()));
    assert_eq!(asked(), before, "LeadSquared is not called for a stranger");

    assert_eq!(from(HOME, PASSWORD).await.status, 200, "the owner, at home");
    // A wrong password there gets the same answer as elsewhere: it does not reveal that the network is known.
    let mut at_home = from(HOME, "wrong").await;
    for answer in [&mut elsewhere, &mut at_home] {
        assert!(answer.headers.remove("retry-after").is_some(), "{answer:?}");
    }
    assert_eq!(at_home, elsewhere);
    sandbox.emulator.faults().add(Fault::on(Call::SignIn, Effect::gateway(502)));
    assert_eq!(from(HOME, "wrong").await.status, 429, "the same during an outage");
    sandbox.emulator.faults().clear();

    // The known network has ten attempts like any other, and failed ones count.
    for _ in 0..9 {
        from(HOME, "wrong").await;
    }
    let before = asked();
    assert_eq!(from(HOME, PASSWORD).await.status, 429);
    assert_eq!(asked(), before);
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn a_network_is_known_for_thirty_days_and_for_its_own_person_only() {
    let sandbox = Sandbox::new().await;
    register(&sandbox.emulator, "ravi@example.test", "+91-9000000009", PASSWORD).await;
    let from = async |address: &str, email: &str, password: &str| {
        sandbox.send("/sign-in", &json!({"email": email, "password": password}), address, &[]).await.status
    };
    let ravi = "ravi@example.test";
    assert_eq!(from(HOME, EMAIL, PASSWORD).await, 200);
    for email in [EMAIL, ravi] {
        for number in 0..100 {
            assert_eq!(from(&format!("198.51.{}.{}", email.len(), number / 10), email, "wrong").await, 401, "{number}");
        }
    }
    assert_eq!(from(HOME, ravi, PASSWORD).await, 429, "only Asha has signed in from this network");
    assert_eq!(from(HOME, EMAIL, PASSWORD).await, 200);

    let mut networks = sandbox.items().await;
    networks.retain(|item| item["pk"].as_s().unwrap().starts_with("network#"));
    let [network] = &networks[..] else { panic!("{networks:?}") };
    let names: BTreeSet<_> = network.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["expires_at", "lead_id", "owner", "pk"]));
    let expires_at: i64 = network["expires_at"].as_n().unwrap().parse().unwrap();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    assert!((0..120).contains(&(now + 30 * 24 * 60 * 60 - expires_at)), "{expires_at}");

    // DynamoDB deletes an expired item later.
    let past = AttributeValue::N((now - 1).to_string());
    sandbox.set(network["pk"].as_s().unwrap(), "expires_at", past).await;
    assert_eq!(from(HOME, EMAIL, PASSWORD).await, 429);
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn the_networks_of_an_ipv6_site_share_the_attempts_of_one_network() {
    let sandbox = Sandbox::new().await;
    let from = async |address: &str, password: &str| {
        sandbox.send("/sign-in", &json!({"email": EMAIL, "password": password}), address, &[]).await.status
    };
    assert_eq!(from("2001:db8:1:ffff::1", PASSWORD).await, 200);
    for network in 0..10 {
        assert_eq!(from(&format!("2001:db8:1:{network}::1"), "wrong").await, 401, "{network}");
    }
    assert_eq!(from("2001:db8:1:a::1", PASSWORD).await, 429);
    assert_eq!(from("2001:db8:2:a::1", "wrong").await, 401, "another site");
    assert_eq!(from("2001:db8:1:ffff::2", PASSWORD).await, 200, "the person's known network of that site");
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn successful_sign_ins_do_not_count_as_attempts() {
    let sandbox = Sandbox::new().await;
    for _ in 0..15 {
        assert_eq!(sandbox.sign_in(PASSWORD).await.status, 200);
    }
    for _ in 0..9 {
        assert_eq!(sandbox.sign_in("wrong").await.status, 401);
    }
    assert_eq!(sandbox.sign_in(PASSWORD).await.status, 200);
    assert_eq!(sandbox.sign_in("wrong").await.status, 401);
    assert_eq!(sandbox.sign_in(PASSWORD).await.status, 429);
}

#[tokio::test]
async fn failures_of_leadsquared_do_not_count_as_attempts() {
    let sandbox = Sandbox::new().await;
    let key = sandbox.session().await;
    let code = sandbox.post("/sign-in/code", &json!({"phone": PHONE})).await;
    let challenge = code.json()["challenge"].as_str().unwrap().to_owned();
    let sign_in = json!({"email": EMAIL, "password": PASSWORD});
    let verify = json!({"challenge": challenge, "code": "000000"});
    let change = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let reset = json!({"lead_id": sandbox.extras.lead, "temporary_password": "0".repeat(64), "password": NEW_PASSWORD});
    let limited = || Effect::LimitReached(LimitRefusal::TooManyRequests);
    for (effect, path, body, times) in [
        (Effect::gateway(502), "/sign-in", &sign_in, 11),
        (Effect::Cut, "/sign-in", &sign_in, 11),
        (Effect::gateway(500), "/sign-in/code/verify", &verify, 11),
        (Effect::gateway(503), "/sign-in/code/verify", &verify, 11),
        (limited(), "/sign-in", &sign_in, 11),
        (limited(), "/sign-in/code/verify", &verify, 11),
        (limited(), "/password/change", &change, 11),
        (limited(), "/password/reset", &reset, 11),
        (limited(), "/password/forgot", &json!({"email": EMAIL}), 4),
        (limited(), "/sign-in/code", &json!({"phone": PHONE}), 4),
    ] {
        let before = sandbox.counted_attempts().await;
        sandbox.emulator.faults().add(Fault::everywhere(effect));
        for _ in 0..times {
            let answer = sandbox.send(path, body, HOME, &[("authorization", &key)]).await;
            assert_eq!(answer.problem(), (503, "/problems/unavailable".to_owned()), "{path}");
        }
        sandbox.emulator.faults().clear();
        assert_eq!(sandbox.counted_attempts().await, before, "{path}");
    }
    assert!(sandbox.kept().await.contains(r#""tries": N("0")"#), "the code still has all its tries");
}

#[tokio::test]
async fn a_failure_that_may_be_a_refusal_counts_as_an_attempt() {
    let sandbox = Sandbox::new().await;
    let key = sandbox.session().await;
    let mut answers = BTreeSet::new();
    // LeadSquared refuses with this status too; an unknown wording of its may be a refusal.
    sandbox.emulator.faults().add(Fault::on(Call::SignIn, Effect::gateway(500)));
    for _ in 0..11 {
        answers.insert(sandbox.sign_in("guess").await.problem().0);
    }
    assert_eq!(answers, BTreeSet::from([429, 503]));
    // A change with an unknown result may have tested a guessed password.
    sandbox.emulator.faults().add(Fault::on(Call::ChangePassword, Effect::gateway(502)));
    answers.clear();
    for _ in 0..11 {
        answers.insert(sandbox.change(&key, "guess", NEW_PASSWORD).await.problem().0);
    }
    assert_eq!(answers, BTreeSet::from([429, 503]));
}

#[tokio::test]
async fn an_attempt_that_one_limit_refuses_does_not_count_for_the_others() {
    let sandbox = Sandbox::with(&[("ATTEMPTS_PER_ADDRESS", "7")]).await;
    let from = async |address: &str, email: &str| {
        sandbox.send("/sign-in", &json!({"email": email, "password": "wrong"}), address, &[]).await.status
    };
    for number in 0..7 {
        assert_eq!(from(HOME, &format!("person{number}@example.test")).await, 401);
    }
    let before = sandbox.counted_attempts().await;
    assert_eq!(from(HOME, EMAIL).await, 429, "the address has used up its attempts");
    assert_eq!(sandbox.counted_attempts().await, before);

    for number in 0..100 {
        assert_eq!(from(&format!("198.51.100.{}", number / 5), EMAIL).await, 401, "{number}");
    }
    let before = sandbox.counted_attempts().await;
    assert_eq!(from(CAFE, EMAIL).await, 429, "the person has used up the attempts");
    assert_eq!(from("2001:db8::1", EMAIL).await, 429);
    assert_eq!(sandbox.counted_attempts().await, before);
}

#[tokio::test]
async fn an_address_has_a_limit_of_attempts_at_all_people_together() {
    let sandbox = Sandbox::with(&[("ATTEMPTS_PER_ADDRESS", "7")]).await;
    let attempt = async |number: usize, address: &str| {
        let body = json!({"email": format!("person{number}@example.test"), "password": "x"});
        sandbox.send("/sign-in", &body, address, &[]).await.status
    };
    for number in 0..7 {
        assert_eq!(attempt(number, "2001:db8:1:2::1").await, 401);
    }
    assert_eq!(attempt(8, "2001:db8:1:2:ffff::9").await, 429, "another host of the same network");
    assert_eq!(attempt(8, "2001:db8:1:3::1").await, 401);
    // A whole /48 site may make five times as many attempts.
    for number in 8..35 {
        assert_eq!(attempt(number, &format!("2001:db8:1:{}::1", 4 + (number - 8) / 7)).await, 401, "{number}");
    }
    assert_eq!(attempt(36, "2001:db8:1:9::1").await, 429, "another network of the same site");
    assert_eq!(attempt(36, "2001:db8:2:9::1").await, 401);
    // Headers of the sender do not change its address.
    let body = json!({"email": "person9@example.test", "password": "x"});
    let answer = sandbox.send("/sign-in", &body, "2001:db8:1:2::1", &[("x-forwarded-for", "192.0.2.1")]).await;
    assert_eq!(answer.status, 429);
}

#[tokio::test]
async fn a_website_with_a_site_secret_names_the_address_of_each_visitor() {
    const SERVER: &str = "192.0.2.80";
    const SECRET: &str = "c4nary-site-secret";
    const HASH: &str = "d7c34152ffcfe644189ca171b7fe36a9b4db13bbb78533c2f545d1492276f592";
    let sandbox = Sandbox::with(&[("SITE_SECRET_HASHES", HASH)]).await;
    let sign_in = async |password: &str, headers: &[(&str, &str)]| {
        let body = json!({"email": EMAIL, "password": password});
        sandbox.send("/sign-in", &body, SERVER, headers).await
    };
    let visitor = |address| [("x-site-secret", SECRET), ("x-visitor-address", address)];
    for _ in 0..10 {
        assert_eq!(sign_in("guess", &visitor(CAFE)).await.status, 401);
    }
    assert_eq!(sign_in("guess", &visitor(CAFE)).await.status, 429);
    assert_eq!(sign_in(PASSWORD, &visitor(HOME)).await.status, 200, "the owner, through the same server");

    // A sender without the secret cannot name a visitor.
    let forged = [("x-site-secret", "wrong"), ("x-visitor-address", HOME)];
    for headers in [&forged[..], &forged[1..], &[]] {
        assert_eq!(sign_in("guess", headers).await.status, 401, "{headers:?}");
    }
    for _ in 3..10 {
        assert_eq!(sign_in("guess", &forged).await.status, 401);
    }
    for headers in [&forged[..], &forged[1..], &[]] {
        assert_eq!(sign_in(PASSWORD, headers).await.status, 429, "{headers:?}: all attempts came from one address");
    }
    assert_eq!(sign_in(PASSWORD, &visitor(HOME)).await.status, 200);

    for headers in [&visitor("unknown")[..], &visitor("")[..], &visitor(HOME)[..1]] {
        let answer = sign_in(PASSWORD, headers).await;
        assert_eq!(answer.problem(), (400, "/problems/unreadable".to_owned()), "{headers:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("x-visitor-address"));
    }
    sandbox.finish(&[SERVER, CAFE]).await;
}

#[tokio::test]
async fn without_a_site_secret_no_sender_can_name_a_visitor() {
    let sandbox = Sandbox::new().await;
    let body = json!({"email": EMAIL, "password": "guess"});
    let mut answers = Vec::new();
    for number in 0..11 {
        let address = format!("198.51.100.{number}");
        let headers = [("x-site-secret", ""), ("x-visitor-address", &address)];
        answers.push(sandbox.send("/sign-in", &body, HOME, &headers).await.status);
    }
    assert_eq!((&answers[..10], answers[10]), (&[401; 10][..], 429));
}

#[tokio::test]
async fn messages_to_a_person_are_capped_and_strangers_cannot_use_up_the_cap() {
    let sandbox = Sandbox::new().await;
    // From a network where she signed in, her messages have a cap of their own.
    for who in [json!({"email": EMAIL}), json!({"phone": PHONE})] {
        let mut body = who;
        body["password"] = PASSWORD.into();
        assert_eq!(sandbox.send("/sign-in", &body, CAFE, &[]).await.status, 200);
    }
    for (path, body) in [("/password/forgot", json!({"email": EMAIL})), ("/sign-in/code", json!({"phone": PHONE}))] {
        let sent = || sandbox.emulator.mails().len() + sandbox.emulator.text_messages().len();
        let from = async |address: &str| {
            let before = sent();
            let mut answer = sandbox.send(path, &body, address, &[]).await;
            answer.body = answer.body.replace(answer.json()["challenge"].as_str().unwrap_or_default(), "");
            (answer, sent() - before)
        };
        for _ in 0..3 {
            let (answer, sent) = from(HOME).await;
            assert_eq!((answer.status, sent), (202, 1));
        }
        assert_eq!(from(HOME).await.0.status, 429, "three an hour from one address");
        let (first, _) = from("198.51.100.1").await;
        for number in 2..=6 {
            assert_eq!(from(&format!("198.51.100.{number}")).await, (first.clone(), 1), "{path}");
        }
        for number in 20..25 {
            assert_eq!(
                from(&format!("198.51.100.{number}")).await,
                (first.clone(), 0),
                "the same answer, and nothing sent: {path}"
            );
        }
        assert_eq!(from(CAFE).await, (first, 1), "{path}");
    }
}

#[tokio::test]
async fn text_messages_have_a_daily_budget_for_the_account() {
    let sandbox = Sandbox::with(&[("TEXTS_PER_DAY", "2")]).await;
    for number in 0..4 {
        let phone = format!("+91-900001230{number}");
        register(&sandbox.emulator, &format!("person{number}@example.test"), &phone, PASSWORD).await;
        let answer = sandbox.post("/sign-in/code", &json!({"phone": phone})).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    assert_eq!(sandbox.emulator.text_messages().len(), 2);
    let printed = sandbox.finish(&[]).await;
    assert!(printed.contains("text messages are used up"), "{printed}");
}

#[tokio::test]
async fn wrong_codes_for_a_number_are_capped_per_day_except_on_its_owners_known_network() {
    let sandbox = Sandbox::new().await;
    let by_phone = json!({"phone": PHONE, "password": PASSWORD});
    assert_eq!(sandbox.send("/sign-in", &by_phone, CAFE, &[]).await.status, 200);
    // A new network for each challenge; the cap on text messages has tests of its own.
    let challenge_from = async |address: &str| {
        let sent = sandbox.send("/sign-in/code", &json!({"phone": PHONE}), address, &[]).await;
        sent.json()["challenge"].as_str().unwrap().to_owned()
    };
    let guess = async |address: &str, challenge: &str, code: &str| {
        let body = json!({"challenge": challenge, "code": code});
        sandbox.send("/sign-in/code/verify", &body, address, &[]).await.status
    };
    let mut wrong = 0;
    for network in 1..=6 {
        let address = format!("198.51.100.{network}");
        let challenge = challenge_from(&address).await;
        for _ in 0..5 {
            assert_eq!(guess(&address, &challenge, "0000").await, 401);
            wrong += 1;
        }
    }
    assert_eq!(wrong, 30);
    // The answer is the same for a number that no lead has.
    let challenge = challenge_from("198.51.100.7").await;
    assert_eq!(guess("198.51.100.7", &challenge, "0000").await, 429, "the cap holds across networks");
    let at_home = challenge_from(CAFE).await;
    let code = texted_code(&sandbox.emulator.text_messages().pop().unwrap().text);
    assert_eq!(guess("198.51.100.7", &at_home, &code).await, 429, "not even with the right code");
    assert_eq!(guess(CAFE, &at_home, &code).await, 200);
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn one_network_gets_a_small_part_of_the_call_allowance() {
    let sandbox = Sandbox::with(&[("ALLOWANCE_CALLS", "10"), ("ATTEMPTS_PER_ADDRESS", "1000")]).await;
    let at = async |address: &str, number: usize| {
        let body = json!({"email": format!("person{number}@example.test"), "password": "x"});
        sandbox.send("/sign-in", &body, address, &[]).await.status
    };
    let before = sandbox.emulator.calls().len();
    let mut statuses = Vec::new();
    for number in 0..30 {
        statuses.push(at(CAFE, number).await);
    }
    let asked = statuses.iter().filter(|status| **status != 429).count();
    assert!((12..=14).contains(&asked), "12 a minute, and a few more when a minute ended: {statuses:?}");
    assert!(sandbox.emulator.calls().len() - before <= asked + 3);
    assert_ne!(at("198.51.100.77", 99).await, 429, "another network is not affected");
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn without_its_table_the_function_signs_in_people_whose_lead_has_a_mark() {
    let sandbox = Sandbox::new().await;
    assert_eq!(sandbox.sign_in(PASSWORD).await.status, 200);
    sandbox.aws.dynamodb().delete_table().table_name(&sandbox.ledger).send().await.unwrap();
    // Whether an earlier version registered a lead without a mark is known only from the table.
    assert_eq!(sandbox.sign_in(PASSWORD).await.problem(), (503, "/problems/unavailable".to_owned()));
    sandbox.emulator.update_lead(&sandbox.extras.lead, &[("mx_Unproven_Sign_In", "unproven: identifiers")]).unwrap();
    assert_eq!(sandbox.sign_in(PASSWORD).await.status, 200);
    assert_eq!(sandbox.sign_in("wrong").await.status, 401);
    // A code could not be stored, so none is sent.
    let code = sandbox.post("/sign-in/code", &json!({"phone": PHONE})).await;
    assert_eq!(code.problem(), (503, "/problems/unavailable".to_owned()));
    assert_eq!(sandbox.emulator.text_messages().len(), 0);
    let printed = sandbox.extras.function.stop().await;
    assert!(printed.contains("could not count an attempt"), "{printed}");
}

/// The faults between a process of the function and its table.
#[derive(Clone, Default)]
struct Trouble {
    delay: Duration,
    /// Requests with this text are answered with an error.
    refused: Option<&'static str>,
    /// Requests with this text are never answered.
    lost: Option<&'static str>,
    /// The writes of session and network wait here for each other. One that comes alone is never answered.
    meeting: Option<Arc<Barrier>>,
}

/// The table's endpoint behind a proxy that makes this trouble.
async fn troubled_endpoint(aws: &Aws, trouble: watch::Receiver<Trouble>) -> Server {
    let intercept = move |call: aws_endpoint::Call| {
        let Trouble { delay, refused, lost, meeting } = trouble.borrow().clone();
        async move {
            // The waits of the call allowance have tests of their own.
            if !call.contains("allowance#") {
                tokio::time::sleep(delay).await;
            }
            if refused.is_some_and(|text| call.contains(text)) {
                return Some(StatusCode::INTERNAL_SERVER_ERROR.into_response());
            }
            if lost.is_some_and(|text| call.contains(text)) {
                std::future::pending().await
            }
            let is_record = call.contains("session#") || call.contains("network#");
            if let Some(meeting) = meeting
                && is_record
                && call.operation != "GetItem"
            {
                meeting.wait().await;
            }
            None
        }
    };
    aws_endpoint::proxy(aws, intercept).await
}

impl Sandbox {
    /// Starts another process of the function, with a proxy in front of its table.
    async fn start_with_trouble(&self) -> (Function, watch::Sender<Trouble>, Server) {
        let mut environment = self.extras.environment.clone();
        let trouble = watch::Sender::new(Trouble::default());
        let server = troubled_endpoint(&self.aws, trouble.subscribe()).await;
        environment.push(("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), server.url.clone()));
        let function = start(&environment).await;
        // The first request also reads the keys.
        let body = json!({"email": "stranger@example.test", "password": "x"});
        assert_eq!(send(&function, "/sign-in", &body, CAFE, &[]).await.status, 401);
        (function, trouble, server)
    }
}

#[tokio::test]
async fn the_records_of_a_sign_in_are_written_at_the_same_time() {
    let sandbox = Sandbox::new().await;
    let (function, trouble, _server) = sandbox.start_with_trouble().await;
    let before = sandbox.counted_attempts().await;
    trouble.send_modify(|trouble| trouble.meeting = Some(Arc::new(Barrier::new(2))));
    let body = json!({"email": EMAIL, "password": PASSWORD});
    assert_eq!(send(&function, "/sign-in", &body, HOME, &[]).await.status, 200);
    assert_eq!(sandbox.counted_attempts().await, before);
    let kept = sandbox.kept().await;
    assert!(kept.contains("session#") && kept.contains("network#"), "{kept}");
    let printed = function.stop().await;
    assert!(!printed.contains("WARN"), "{printed}");
}

#[tokio::test]
async fn records_that_cannot_be_written_in_time_are_logged() {
    let sandbox = Sandbox::new().await;
    let (function, trouble, _server) = sandbox.start_with_trouble().await;
    // This sign-in reads the lead's mark; the next one does not need to.
    assert_eq!(sandbox.sign_in(PASSWORD).await.status, 200);
    // Less of the five seconds is left than the table's client waits for an answer.
    let lost = Some("SET #lead_id");
    trouble.send_replace(Trouble { delay: Duration::from_millis(550), lost, ..Trouble::default() });
    sandbox.emulator.faults().add(Fault::on(Call::SignIn, Effect::Latency(Duration::from_millis(1400))));
    let body = json!({"email": EMAIL, "password": PASSWORD});
    let signed_in = send(&function, "/sign-in", &body, HOME, &[]).await;
    let printed = function.stop().await;
    assert_eq!(signed_in.status, 200, "{printed}");
    assert!(printed.contains("not everything about this request is stored"), "{printed}");
}

#[tokio::test]
async fn a_code_that_cannot_be_stored_gets_the_same_answer_for_known_and_unknown_numbers() {
    let sandbox = Sandbox::new().await;
    let (function, trouble, _server) = sandbox.start_with_trouble().await;
    trouble.send_modify(|trouble| trouble.refused = Some("SET #sealed"));
    let mut answers = Vec::new();
    for phone in [PHONE, "+91-9000000003"] {
        let sent = send(&function, "/sign-in/code", &json!({"phone": phone}), HOME, &[]).await;
        assert_eq!(sent.status, 202, "{}", sent.body);
        let body = json!({"challenge": sent.json()["challenge"], "code": "123456"});
        answers.push(send(&function, "/sign-in/code/verify", &body, HOME, &[]).await);
    }
    assert_eq!(answers[0].problem(), (401, "/problems/wrong-code".to_owned()));
    assert_eq!(answers[0], answers[1]);
    let printed = function.stop().await;
    assert!(printed.contains("the data of a texted code was not stored"), "{printed}");
}

#[tokio::test]
async fn failures_of_leadsquared_are_reported_without_its_words() {
    let sandbox = Sandbox::new().await;
    let session = sandbox.session().await;
    // It is unknown whether the password was changed.
    sandbox.emulator.faults().add(Fault::on(Call::ChangePassword, Effect::gateway(502)).after_work());
    let answer = sandbox.change(&session, PASSWORD, NEW_PASSWORD).await;
    assert_eq!(answer.problem(), (503, "/problems/outcome-unknown".to_owned()));
    assert!(!answer.headers.contains_key("retry-after"));
    sandbox.emulator.faults().clear();
    assert_eq!(sandbox.sign_in(NEW_PASSWORD).await.status, 200);

    let answer =
        Effect::Answer { status: 503, content_type: "text/plain".to_owned(), body: "c4nary gateway".to_owned() };
    for effect in [answer, Effect::Cut, Effect::LimitReached(LimitRefusal::TooManyRequests)] {
        sandbox.emulator.faults().add(Fault::everywhere(effect));
        let answer = sandbox.sign_in(NEW_PASSWORD).await;
        assert_eq!(answer.problem(), (503, "/problems/unavailable".to_owned()));
        assert!(answer.headers["retry-after"].parse::<u64>().unwrap() > 0);
        assert!(!answer.body.contains("c4nary") && !answer.body.contains("API calls"), "{}", answer.body);
        sandbox.emulator.faults().clear();
    }
    sandbox.finish(&[]).await;
}

#[tokio::test]
async fn the_function_does_not_wait_six_seconds_for_leadsquared() {
    let sandbox = Sandbox::new().await;
    // A function that waited this long would get LeadSquared's answer, and sign the person in.
    sandbox.emulator.faults().add(Fault::everywhere(Effect::Latency(Duration::from_secs(6))));
    let answer = sandbox.sign_in(PASSWORD).await;
    assert_eq!(answer.problem(), (503, "/problems/unavailable".to_owned()));
}

#[tokio::test]
async fn a_reset_that_the_deadline_cuts_off_is_reported_as_unknown() {
    let sandbox = Sandbox::new().await;
    // Late enough that the request's deadline ends the call before the call's own time-out.
    sandbox.emulator.faults().add(Fault::on(Call::PublicAuthKey, Effect::Latency(Duration::from_millis(2500))));
    sandbox.emulator.faults().add(Fault::on(Call::ResetPassword, Effect::Latency(Duration::from_secs(30))));
    let body = json!({"lead_id": sandbox.extras.lead, "temporary_password": "0".repeat(64), "password": NEW_PASSWORD});
    let answer = sandbox.post("/password/reset", &body).await;
    assert_eq!(answer.problem(), (503, "/problems/outcome-unknown".to_owned()));
}

#[tokio::test]
async fn a_sign_in_works_with_rotated_keys() {
    let sandbox = Sandbox::new().await;
    assert_eq!(sandbox.sign_in(PASSWORD).await.status, 200);
    sandbox.rotate_keys().await;
    sandbox.emulator.revoke_credentials();
    assert_eq!(sandbox.sign_in(PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_page_of_another_site_has_no_code_and_no_reset_mail_sent() {
    let sandbox = Sandbox::with(&[("ALLOWED_ORIGINS", "https://www.example.com")]).await;
    let cross_site = ("sec-fetch-site", "cross-site");
    let (evil, ours) = (("origin", "https://evil.example"), ("origin", "https://www.example.com"));
    for (path, body) in [("/sign-in/code", json!({"phone": PHONE})), ("/password/forgot", json!({"email": EMAIL}))] {
        let send = async |headers: &[(&str, &str)]| sandbox.send(path, &body, HOME, headers).await;
        let before = sandbox.emulator.calls().len();
        for headers in [&[cross_site, evil][..], &[cross_site, ("origin", "null")], &[evil]] {
            assert_eq!(send(headers).await.problem(), (403, "/problems/other-site".to_owned()), "{path} {headers:?}");
        }
        assert_eq!(sandbox.emulator.calls().len(), before, "{path}");
        // A script of the company's website, a page on the API's own host and a server.
        for headers in [&[cross_site, ours][..], &[("sec-fetch-site", "same-origin"), ("origin", "null")], &[]] {
            assert_eq!(send(headers).await.status, 202, "{path} {headers:?}");
        }
    }
    // A person who signs in with the right password has no text sent.
    let mine = json!({"email": EMAIL, "password": PASSWORD});
    assert_eq!(sandbox.send("/sign-in", &mine, HOME, &[cross_site, evil]).await.status, 200);
    sandbox.finish(&[]).await;

    let by_default = Sandbox::new().await;
    let forgot = by_default.send("/password/forgot", &json!({"email": EMAIL}), HOME, &[cross_site, evil]).await;
    assert_eq!(forgot.status, 202, "by default every origin is allowed");
}

#[tokio::test]
async fn an_address_that_no_form_takes_signs_in() {
    let sandbox = Sandbox::new().await;
    register(&sandbox.emulator, "ravi.c4nary@gmail.con", "+91-9000012322", PASSWORD).await;
    let mine = json!({"email": "Ravi.C4nary@gmail.con", "password": PASSWORD});
    assert_eq!(sandbox.post("/sign-in", &mine).await.status, 200);
}

#[tokio::test]
async fn a_session_cookie_is_closed_to_scripts_and_to_other_sites() {
    let sandbox = Sandbox::with(&[("SESSION_COOKIE", "yes")]).await;
    let mine = json!({"email": EMAIL, "password": PASSWORD});
    let sign_in = async |headers: &[(&str, &str)]| sandbox.send("/sign-in", &mine, HOME, headers).await;
    // The origin of the sample's own host.
    let origin = ("origin", "https://a1b2c3d4e5.execute-api.ap-south-1.amazonaws.com");
    for elsewhere in [
        [("sec-fetch-site", "cross-site"), origin],
        [("sec-fetch-site", "same-site"), origin],
        [("origin", "https://www.example.com"), ("host", "www.example.com")],
        [("origin", "null"), ("accept", "*/*")],
    ] {
        let forged = sign_in(&elsewhere).await;
        assert_eq!(forged.problem(), (403, "/problems/other-site".to_owned()), "{elsewhere:?}");
        assert!(!forged.headers.contains_key("set-cookie"), "a form of another site signs nobody in");
    }
    assert_eq!(sign_in(&[origin]).await.status, 200, "an old browser");
    let answer = sign_in(&[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.json().get("auth_key").is_none());
    let cookie = answer.headers["set-cookie"].clone();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Max-Age=14400; Path=/; Secure; HttpOnly; SameSite=Lax");
    let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let change = async |headers: &[(&str, &str)]| sandbox.send("/password/change", &body, HOME, headers).await;
    for site in ["cross-site", "same-site"] {
        let elsewhere = change(&[("cookie", pair), ("sec-fetch-site", site)]).await;
        assert_eq!(elsewhere.problem(), (401, "/problems/not-signed-in".to_owned()));
    }
    assert_eq!(change(&[("cookie", pair), ("sec-fetch-site", "same-origin")]).await.status, 200);
    assert_eq!(sandbox.emulator.mails().len(), 1);
    let key = pair.split_once('=').unwrap().1.to_owned();

    let calls = sandbox.emulator.calls().len();
    let sign_out = async |headers: &[(&str, &str)]| sandbox.send("/sign-out", &Value::Null, HOME, headers).await;
    let elsewhere = sign_out(&[("cookie", pair), ("sec-fetch-site", "same-site")]).await;
    assert_eq!(elsewhere.problem(), (403, "/problems/other-site".to_owned()));
    assert!(!elsewhere.headers.contains_key("set-cookie"));
    for headers in [&[("sec-fetch-site", "same-origin"), ("cookie", pair)][..], &[("sec-fetch-site", "same-origin")]] {
        let signed_out = sign_out(headers).await;
        assert_eq!((signed_out.status, signed_out.body.as_str()), (200, r#"{"status":"signed-out"}"#));
        let cookie = &signed_out.headers["set-cookie"];
        assert_eq!(cookie, "__Host-portal-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax");
    }
    assert_eq!(sandbox.emulator.calls().len(), calls);
    sandbox.finish(&[&key]).await;

    let header_only = Sandbox::new().await;
    let answer = header_only.send("/password/change", &body, HOME, &[("cookie", pair)]).await;
    assert_eq!(answer.problem(), (401, "/problems/not-signed-in".to_owned()));
    let answer = header_only.post("/sign-out", &json!({})).await;
    assert_eq!(
        (answer.status, answer.headers.contains_key("set-cookie")),
        (200, true),
        "a cookie from before the setting was changed is removed"
    );
}

#[test]
fn no_request_makes_the_function_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sandbox = runtime.block_on(Sandbox::with(&[("ANSWER_FLOOR_MS", "0")]));
    let path = prop::sample::select(vec![
        "/sign-in",
        "/sign-in/code",
        "/sign-in/code/verify",
        "/password/change",
        "/password/forgot",
        "/password/reset",
        "/sign-out",
        "/a b<",
    ]);
    let name = "email|phone|password|challenge|code|current_password|new_password|lead_id|temporary_password";
    let value = prop_oneof![
        Just(json!("asha@example.test")),
        Just(json!("9000000001")),
        Just(json!("Otter#Lantern#73")),
        Just(json!("11111111-1111-4111-8111-111111111111")),
        "\\PC{0,40}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!([1])),
    ];
    let object = vec((name, value), 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect()).to_string());
    let body = prop_oneof![3 => object, 1 => "\\PC{0,60}"];
    let address =
        prop_oneof!["[0-9a-f.:]{0,20}", (any::<u8>(), any::<u8>()).prop_map(|(a, b)| format!("10.0.{a}.{b}"))];
    let authorization = "[ -~]{0,40}";
    functions::for_all(300, &(path, body, address, authorization), |(path, body, address, key)| {
        let event = portal_account_event(path, body, &address, &[("authorization", &key)]);
        let answer = Answer::read(runtime.block_on(sandbox.extras.function.invoke(&event, TIMEOUT)).unwrap());
        prop_assert!((200..500).contains(&answer.status), "{answer:?}");
        Ok(())
    });
}

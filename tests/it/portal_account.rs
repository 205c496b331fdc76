//! The `portal-account` function: signing in and passwords, seen from outside.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::StatusCode,
    response::IntoResponse,
};
use futures::future::join_all;
use hyper_util::rt::TokioExecutor;
use leadsquared::portal::Registration;
use leadsquared::{Attributes, Client, Keys, Options, Password};
use leadsquared_emulator::{Call, Effect, Emulator, Fault, Limit, LimitRefusal, Settings};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{application_form::Answer, fixtures, runtime_api::Function, stage, workspace};

const TIMEOUT: Duration = Duration::from_secs(20);
const EMAIL: &str = "asha.c4nary@example.test";
const PHONE: &str = "+91-9000012321";
const PASSWORD: &str = " c4nary Horse\u{a0}7! ";
const NEW_PASSWORD: &str = "c4nary-Otter#Lantern 73";
const HOME: &str = "203.0.113.7";
const CAFE: &str = "198.51.100.9";

/// The function, and the lead that is Asha.
struct Asha {
    lead: String,
    environment: Vec<(String, String)>,
    function: Function,
}
type Stage = stage::Stage<Asha>;

impl Stage {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these settings other than in the template.
    async fn with(changes: &[(&str, &str)]) -> Self {
        // Attempts come as fast as tests can make them: LeadSquared's limit is another test's subject.
        let limit = Limit { calls: 10_000, ..Limit::default() };
        let stage = stage::Stage::set(Settings { limit, ..Settings::for_tests() }, ()).await;
        let lead = register(&stage.emulator, EMAIL, PHONE, PASSWORD).await;
        let environment = stage.environment("portal-account", &[&[("ANSWER_FLOOR_MS", "20")][..], changes].concat());
        let function = start(&environment).await;
        stage.furnished(Asha { lead, environment, function })
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(path, body, HOME, &[]).await
    }

    async fn send(&self, path: &str, body: &Value, address: &str, headers: &[(&str, &str)]) -> Answer {
        send(&self.props.function, path, body, address, headers).await
    }

    async fn sign_in(&self, password: &str) -> Answer {
        self.post("/sign-in", &json!({"email": EMAIL, "password": password})).await
    }

    /// The key of a new session.
    async fn session(&self) -> String {
        let answer = self.sign_in(PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["auth_key"].as_str().unwrap().to_owned()
    }

    async fn change(&self, key: &str, current: &str, new: &str) -> Answer {
        let body = json!({"current_password": current, "new_password": new});
        self.send("/password/change", &body, HOME, &[("authorization", key)]).await
    }

    /// When attempts were made that count, by what they count for; without the requests of a network in a minute,
    /// which count whatever comes of them.
    async fn kept_by_throttles(&self) -> BTreeMap<String, Vec<AttributeValue>> {
        let items = self.aws.dynamodb().scan().table_name(&self.ledger).consistent_read(true).send().await.unwrap();
        let times = items.items.unwrap_or_default().into_iter().filter_map(|item| {
            let times = item.get("times")?.as_l().unwrap().clone();
            let number = |value: &AttributeValue| value.as_n().unwrap().parse::<i64>().unwrap();
            let is_of_a_minute =
                times.last().is_some_and(|last| number(&item["expires_at"]) - number(last) / 1000 < 120);
            (!times.is_empty() && !is_of_a_minute).then(|| (item["pk"].as_s().unwrap().clone(), times))
        });
        times.collect()
    }

    /// Lead id and temporary password from the newest mail's link.
    fn reset_link(&self) -> (String, String) {
        let mail = self.emulator.mails().pop().expect("there is a mail");
        let query = mail.text.split_once('?').expect("the mail has a link").1.to_owned();
        let pairs: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        (pairs["leadId"].clone(), pairs["temporaryPassword"].clone())
    }

    /// Ends the function and makes sure that no password, code, key or person is in what it printed, and none of the
    /// secrets in what it kept.
    async fn finish(self, secrets: &[&str]) -> String {
        let kept = self.kept().await;
        let printed = self.props.function.stop().await;
        let (access_key, secret_key) = self.emulator.keys();
        let codes = self.emulator.text_messages().into_iter().map(|message| code_in(&message.text));
        let canaries = ["c4nary".to_owned(), access_key, secret_key].into_iter().chain(codes);
        for canary in canaries.chain(secrets.iter().map(|secret| (*secret).to_owned())) {
            assert!(!printed.contains(&canary), "{canary} is logged: {printed}");
            assert!(!kept.contains(&canary), "{canary} is in the table: {kept}");
        }
        for of_asha in ["9000012321", HOME] {
            assert!(!printed.contains(of_asha) && !kept.contains(of_asha), "{printed}{kept}");
        }
        printed
    }
}

async fn start(environment: &[(String, String)]) -> Function {
    Function::start(fixtures::binary("portal-account").await, environment.to_vec()).await.unwrap()
}

/// Makes somebody a portal user; their lead's id.
pub(crate) async fn register(emulator: &Emulator, email: &str, phone: &str, password: &str) -> String {
    let options = Options::new(emulator.url(), emulator.portal_api_url(), emulator.portal_id().parse().unwrap());
    let (access_key, secret_key) = emulator.keys();
    let client = Client::new(options, Keys { access_key: access_key.into(), secret_key: secret_key.into() }).unwrap();
    let fields = Attributes::new().with("EmailAddress", email).with("Phone", phone);
    let registration = Registration { register_only_new_lead: true, password: Password::from(password), fields };
    client.register(&registration).await.unwrap().to_string()
}

async fn send(function: &Function, path: &str, body: &Value, address: &str, headers: &[(&str, &str)]) -> Answer {
    let event = event(path, body.to_string(), address, headers);
    Answer::read(function.invoke(&event, TIMEOUT).await.unwrap())
}

pub(crate) fn event(path: &str, body: String, address: &str, headers: &[(&str, &str)]) -> Value {
    let (_, event) = workspace::events("portal-account").into_iter().find(|(file, _)| file == "sign-in.json").unwrap();
    let mut event: Value = serde_json::from_slice(&event).unwrap();
    event["rawPath"] = path.into();
    event["requestContext"]["http"]["path"] = path.into();
    event["requestContext"]["http"]["sourceIp"] = address.into();
    for (name, value) in headers {
        event["headers"][*name] = (*value).into();
    }
    event["body"] = body.into();
    event
}

/// The digits of a text message.
pub(crate) fn code_in(text: &str) -> String {
    text.chars().take_while(char::is_ascii_digit).collect()
}

pub(crate) fn problem(answer: &Answer) -> (u64, String) {
    (answer.status, answer.json()["type"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_right_password_gives_leadsquareds_own_key() {
    let stage = Stage::new().await;
    for identity in [json!({"email": " Asha.C4nary@Example.Test "}), json!({"phone": "090000 12321"})] {
        let mut body = identity;
        body["password"] = PASSWORD.into();
        let answer = stage.post("/sign-in", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.headers["cache-control"], "no-store");
        let told = answer.json();
        assert_eq!((told["status"].as_str(), told["expires_in"].as_u64()), (Some("signed-in"), Some(14_400)));
        assert_eq!(told["lead_id"], stage.props.lead.as_str());
        let key = told["auth_key"].as_str().unwrap().to_owned();
        // It is the key of a session: it can change the password, and back.
        assert_eq!(stage.change(&key, PASSWORD, NEW_PASSWORD).await.status, 200);
        let bearer = format!("Bearer {key}");
        assert_eq!(stage.change(&bearer, NEW_PASSWORD, PASSWORD).await.status, 200);
    }
    stage.finish(&[]).await;
}

#[tokio::test]
async fn a_plain_form_is_as_good_as_json() {
    let stage = Stage::new().await;
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("email", EMAIL), ("password", PASSWORD)])
        .finish();
    let event = event("/prod/sign-in", body, HOME, &[("content-type", "application/x-www-form-urlencoded")]);
    let answer = Answer::read(stage.props.function.invoke(&event, TIMEOUT).await.unwrap());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let stage = Stage::new().await;
    stage.emulator.add_lead(&[("EmailAddress", "lead@example.test"), ("Phone", "+91-9000000002")]).unwrap();
    let sign_in = async |email: &str| {
        let answer = stage.post("/sign-in", &json!({"email": email, "password": "wrong"})).await;
        assert_eq!(problem(&answer), (401, "/problems/wrong-credentials".to_owned()));
        assert!(answer.headers.contains_key("www-authenticate"));
        answer
    };
    let wrong = sign_in(EMAIL).await;
    assert_eq!(sign_in("stranger@example.test").await, wrong);
    assert_eq!(sign_in("lead@example.test").await, wrong, "a lead that is no portal user");

    let forgot = async |email: &str| {
        let answer = stage.post("/password/forgot", &json!({"email": email})).await;
        assert_eq!((answer.status, answer.body.as_str()), (202, r#"{"status":"accepted"}"#));
        answer
    };
    let known = forgot(EMAIL).await;
    assert_eq!(forgot("stranger@example.test").await, known);
    assert_eq!(forgot("lead@example.test").await, known);
    assert_eq!(stage.emulator.mails().len(), 1);

    let send_code = async |phone: &str| {
        let mut answer = stage.post("/sign-in/code", &json!({"phone": phone})).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let mut told = answer.json();
        let challenge = told["challenge"].take();
        answer.body = told.to_string();
        (challenge.as_str().unwrap().to_owned(), answer)
    };
    let (known, answer) = send_code(PHONE).await;
    for phone in ["+91-9000000002", "+91-9000000003"] {
        let (challenge, other) = send_code(phone).await;
        assert_eq!((challenge.len(), other), (known.len(), answer.clone()), "{phone}");
        let verify = stage.post("/sign-in/code/verify", &json!({"challenge": challenge, "code": "123456"})).await;
        assert_eq!(problem(&verify), (401, "/problems/wrong-code".to_owned()));
    }
    assert_eq!(stage.emulator.text_messages().len(), 1);
    stage.finish(&[]).await;
}

#[tokio::test]
async fn leadsquared_is_asked_about_every_code_whoever_it_is_for() {
    let stage = Stage::new().await;
    let mut challenges = Vec::new();
    for phone in [PHONE, "+91-9000000003"] {
        let sent = stage.post("/sign-in/code", &json!({"phone": phone})).await;
        challenges.push(sent.json()["challenge"].as_str().unwrap().to_owned());
    }
    let verify = async |effect: Option<Effect>| {
        stage.emulator.faults().clear();
        if let Some(effect) = effect {
            stage.emulator.faults().add(Fault::everywhere(effect));
        }
        let before = stage.emulator.calls().len();
        let mut answers = Vec::new();
        for challenge in &challenges {
            answers.push(stage.post("/sign-in/code/verify", &json!({"challenge": challenge, "code": "x"})).await);
        }
        assert_eq!(answers[0], answers[1]);
        let calls: Vec<_> = stage.emulator.calls()[before..].iter().map(|call| call.call).collect();
        let (known, unknown) = calls.split_at(calls.len() / 2);
        assert!(!calls.is_empty() && known == unknown, "{calls:?}");
        answers[0].status
    };
    assert_eq!(verify(None).await, 401);
    assert_eq!(verify(Some(Effect::gateway(503))).await, 503);
    stage.finish(&[]).await;
}

/// Requests whose answers wait, since the time they take could tell of people.
fn held() -> [(&'static str, Value); 7] {
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
async fn answers_that_could_tell_go_out_at_a_fixed_moment() {
    const FLOOR: Duration = Duration::from_millis(700);
    let stage = Stage::with(&[("ANSWER_FLOOR_MS", "700")]).await;
    for (path, body) in held() {
        let began = Instant::now();
        stage.post(path, &body).await;
        assert!(began.elapsed() >= FLOOR, "{path} {body} after {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_was_measured_is_printed_before_the_wait() {
    let stage = Stage::new().await;
    let held = held();
    for (path, body) in &held {
        stage.post(path, body).await;
    }
    let printed = stage.finish(&[]).await;
    // What a request printed last is what became of it.
    let last_lines: Vec<_> =
        printed.lines().filter(|line| line.contains("\"_aws\"") || line.contains("done\"")).collect();
    let ends = last_lines.iter().filter(|line| line.contains("done\"")).count();
    assert_eq!(ends, held.len(), "{printed}");
    assert!(last_lines.last().unwrap().contains("done\""), "{printed}");
    assert!(last_lines.iter().any(|line| line.contains("UpstreamCalls")), "{printed}");
}

#[tokio::test]
async fn a_code_signs_in_once() {
    let stage = Stage::new().await;
    let sent = stage.post("/sign-in/code", &json!({"phone": "90000 12321"})).await;
    assert_eq!((sent.status, sent.json()["expires_in"].as_u64()), (202, Some(900)));
    let challenge = sent.json()["challenge"].as_str().unwrap().to_owned();
    let [message] = &*stage.emulator.text_messages() else { panic!("one message is sent") };
    let code = code_in(&message.text);
    let verify =
        async |code: &str| stage.post("/sign-in/code/verify", &json!({"challenge": challenge, "code": code})).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    assert_eq!(problem(&verify(wrong).await), (401, "/problems/wrong-code".to_owned()));
    let signed_in = verify(&code).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.body);
    assert_eq!(signed_in.json()["lead_id"], stage.props.lead.as_str());
    let key = signed_in.json()["auth_key"].as_str().unwrap().to_owned();
    assert_eq!(problem(&verify(&code).await), (401, "/problems/wrong-code".to_owned()));
    stage.finish(&[&key, &challenge]).await;
}

#[tokio::test]
async fn a_challenge_has_five_tries_however_they_come() {
    let stage = Stage::new().await;
    let sent = stage.post("/sign-in/code", &json!({"phone": PHONE})).await;
    let challenge = sent.json()["challenge"].as_str().unwrap().to_owned();
    let code = code_in(&stage.emulator.text_messages()[0].text);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let before = stage.emulator.calls().len();
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(start(&stage.props.environment).await);
    }
    let functions: Vec<_> = others.iter().chain([&stage.props.function]).collect();
    let guesses = (0..20).map(|number| {
        let body = json!({"challenge": challenge, "code": wrong});
        let function = functions[number % functions.len()];
        let address = format!("198.51.100.{number}");
        async move { send(function, "/sign-in/code/verify", &body, &address, &[]).await }
    });
    let answers: BTreeSet<_> = join_all(guesses).await.iter().map(problem).collect();
    assert_eq!(answers, BTreeSet::from([(401, "/problems/wrong-code".to_owned())]));
    let asked = stage.emulator.calls()[before..].iter().filter(|call| call.call == Some(Call::SignIn)).count();
    assert_eq!(asked, 5);
    let right = json!({"challenge": challenge, "code": code});
    assert_eq!(stage.send("/sign-in/code/verify", &right, CAFE, &[]).await.status, 401);
}

#[tokio::test]
async fn a_changed_password_is_told_to_its_owner() {
    let stage = Stage::new().await;
    let key = stage.session().await;
    assert_eq!(problem(&stage.change(&key, "wrong", NEW_PASSWORD).await).1, "/problems/wrong-current-password");
    assert_eq!(problem(&stage.change("nonsense", PASSWORD, NEW_PASSWORD).await).1, "/problems/not-signed-in");
    assert_eq!(problem(&stage.change("", PASSWORD, NEW_PASSWORD).await).1, "/problems/not-signed-in");
    assert!(stage.emulator.has_password(&stage.props.lead, PASSWORD).await);
    assert_eq!(stage.emulator.mails().len(), 0);

    let changed = stage.change(&key, PASSWORD, NEW_PASSWORD).await;
    assert_eq!((changed.status, changed.body.as_str()), (200, r#"{"status":"password-changed"}"#));
    assert!(stage.emulator.has_password(&stage.props.lead, NEW_PASSWORD).await);
    let [notice] = &*stage.emulator.mails() else { panic!("one notice is mailed") };
    assert_eq!(notice.recipients, [EMAIL]);
    assert_eq!(notice.subject, "Your Admissions password was changed");
    stage.finish(&[&key]).await;
}

#[tokio::test]
async fn a_notice_that_cannot_be_mailed_undoes_nothing() {
    let stage = Stage::new().await;
    let key = stage.session().await;
    stage.emulator.faults().add(Fault::on(Call::SendEmailToLead, Effect::gateway(502)));
    assert_eq!(stage.change(&key, PASSWORD, NEW_PASSWORD).await.status, 200);
    assert!(stage.emulator.has_password(&stage.props.lead, NEW_PASSWORD).await);
    let printed = stage.finish(&[]).await;
    assert!(printed.contains("no notice of a changed password"), "{printed}");
}

#[tokio::test]
async fn a_forgotten_password_is_reset_by_the_link_once() {
    let stage = Stage::new().await;
    assert_eq!(stage.post("/password/forgot", &json!({"email": EMAIL})).await.status, 202);
    let (lead_id, temporary_password) = stage.reset_link();
    let reset = async |lead_id: &str, proof: &str, password: &str| {
        let body = json!({"lead_id": lead_id, "temporary_password": proof, "password": password});
        stage.post("/password/reset", &body).await
    };
    let stranger = "11111111-1111-4111-8111-111111111111";
    for (lead_id, proof) in [(stranger, &*temporary_password), (&lead_id, &"0".repeat(64))] {
        let answer = reset(lead_id, proof, NEW_PASSWORD).await;
        assert_eq!(problem(&answer), (403, "/problems/dead-reset-link".to_owned()));
    }
    let answer = reset(&lead_id, &temporary_password, NEW_PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(stage.emulator.has_password(&stage.props.lead, NEW_PASSWORD).await);
    assert_eq!(stage.emulator.mails().last().unwrap().subject, "Your Admissions password was changed");
    let again = reset(&lead_id, &temporary_password, "another-Otter#99").await;
    assert_eq!(problem(&again), (403, "/problems/dead-reset-link".to_owned()));
    assert_eq!(stage.sign_in(NEW_PASSWORD).await.status, 200);
    stage.finish(&[&temporary_password]).await;
}

#[tokio::test]
async fn the_rules_of_a_password_are_told_before_leadsquared_is_asked() {
    let stage = Stage::new().await;
    let calls = stage.emulator.calls().len();
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
                json!({"lead_id": stage.props.lead, "temporary_password": "0", "password": password}),
            ),
            ("/password/change", "new_password", json!({"current_password": PASSWORD, "new_password": password})),
        ] {
            let answer = stage.send(path, &body, HOME, &[("authorization", "some-key")]).await;
            assert_eq!(problem(&answer), (422, "/problems/incomplete".to_owned()), "{}", answer.body);
            assert_eq!(answer.json()["errors"], json!([{"field": field, "detail": detail}]), "{path}");
        }
    }
    let same = stage.change("some-key", NEW_PASSWORD, NEW_PASSWORD).await;
    assert_eq!(same.json()["errors"][0]["detail"], "must differ from the current password");
    assert_eq!(stage.emulator.calls().len(), calls);
    // A phrase of 64 characters and more is fine where the portal asks for no more than that.
    let lenient = Stage::with(&[("PASSWORD_CLASSES", "")]).await;
    let key = lenient.session().await;
    let phrase = "seven otters carry a paper lantern across the frozen river at night";
    let answer = lenient.change(&key, PASSWORD, phrase).await;
    // The emulated portal's own policy does: its refusal is told as one of this field.
    assert_eq!(problem(&answer), (422, "/problems/password-refused".to_owned()), "{}", answer.body);
    assert_eq!(answer.faulty_fields(), ["new_password"]);
    assert_eq!(lenient.change(&key, PASSWORD, &format!("{phrase} X9!")).await.status, 200);
}

#[tokio::test]
async fn every_fault_of_a_request_is_named() {
    let stage = Stage::new().await;
    for (path, body, fields) in [
        ("/sign-in", json!({}), &["email", "password"][..]),
        ("/sign-in", json!({"email": "asha", "password": ["x"]}), &["email", "password"]),
        ("/sign-in", json!({"email": EMAIL, "phone": PHONE, "password": "x"}), &["phone"]),
        ("/sign-in/code", json!({"email": EMAIL}), &["phone"]),
        ("/sign-in/code/verify", json!({}), &["challenge", "code"]),
        ("/password/forgot", json!({"email": {}}), &["email"]),
        ("/password/reset", json!({"lead_id": "1"}), &["lead_id", "temporary_password", "password"]),
    ] {
        let answer = stage.post(path, &body).await;
        assert_eq!(problem(&answer), (422, "/problems/incomplete".to_owned()), "{path} {}", answer.body);
        assert_eq!(answer.faulty_fields(), fields, "{path} {body}");
    }
    assert_eq!(problem(&stage.post("/nowhere", &json!({})).await), (404, "/problems/unknown-address".to_owned()));
    let mut get = event("/sign-in", String::new(), HOME, &[]);
    get["requestContext"]["http"]["method"] = "GET".into();
    let answer = Answer::read(stage.props.function.invoke(&get, TIMEOUT).await.unwrap());
    assert_eq!((problem(&answer).0, answer.headers["allow"].as_str()), (405, "POST"));
    let no_json = event("/sign-in", "{".to_owned(), HOME, &[]);
    let answer = Answer::read(stage.props.function.invoke(&no_json, TIMEOUT).await.unwrap());
    assert_eq!(problem(&answer), (400, "/problems/unreadable".to_owned()));
}

#[tokio::test]
async fn every_sample_event_is_answered_as_its_name_says() {
    let stage = Stage::new().await;
    for (file, event) in workspace::events("portal-account") {
        let answer = Answer::read(stage.props.function.invoke_bytes(event.into(), TIMEOUT).await.unwrap());
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
async fn a_stranger_who_guesses_is_stopped_and_the_owner_is_not() {
    let stage = Stage::new().await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(start(&stage.props.environment).await);
    }
    let functions: Vec<_> = others.iter().chain([&stage.props.function]).collect();
    let before = stage.emulator.calls().len();
    let guesses = (0..40).map(|number| {
        let body = json!({"email": EMAIL, "password": format!("guess {number}")});
        let function = functions[number % functions.len()];
        async move { send(function, "/sign-in", &body, CAFE, &[]).await }
    });
    let answers = join_all(guesses).await;
    let of = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((of(401), of(429)), (10, 30), "side by side as well, ten guesses are ten guesses");
    let asked = stage.emulator.calls()[before..].iter().filter(|call| call.call == Some(Call::SignIn)).count();
    assert_eq!(asked, 10);
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(problem(refused).1, "/problems/too-many-attempts");
    let retry_after: u64 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=900).contains(&retry_after), "{retry_after}");

    assert_eq!(stage.sign_in(PASSWORD).await.status, 200, "the owner, at home");
    assert_eq!(
        stage.send("/sign-in", &json!({"email": "ravi@example.test", "password": "x"}), CAFE, &[]).await.status,
        401
    );
    stage.finish(&[]).await;
}

#[tokio::test]
async fn strangers_who_use_up_a_persons_attempts_do_not_keep_the_person_out_at_home() {
    let stage = Stage::new().await;
    assert_eq!(stage.sign_in(PASSWORD).await.status, 200);
    let from = async |address: &str, password: &str| {
        stage.send("/sign-in", &json!({"email": EMAIL, "password": password}), address, &[]).await
    };
    for number in 0..100 {
        assert_eq!(from(&format!("198.51.100.{}", number / 10), "wrong").await.status, 401, "{number}");
    }
    let asked = || stage.emulator.calls().iter().filter(|call| call.call == Some(Call::SignIn)).count();
    let before = asked();
    let mut elsewhere = from(CAFE, PASSWORD).await;
    assert_eq!(problem(&elsewhere), (429, "/problems/too-many-attempts".to_owned()));
    assert_eq!(asked(), before, "LeadSquared is not asked for a stranger");

    assert_eq!(from(HOME, PASSWORD).await.status, 200, "the owner, at home");
    // Not even there do answers tell that it is somebody's home.
    let mut at_home = from(HOME, "wrong").await;
    for answer in [&mut elsewhere, &mut at_home] {
        assert!(answer.headers.remove("retry-after").is_some(), "{answer:?}");
    }
    assert_eq!(at_home, elsewhere);
    stage.emulator.faults().add(Fault::on(Call::SignIn, Effect::gateway(502)));
    assert_eq!(from(HOME, "wrong").await.status, 429, "nor does an outage");
    stage.emulator.faults().clear();

    // A network has its ten as ever; what was wrong counts.
    for _ in 0..9 {
        from(HOME, "wrong").await;
    }
    let before = asked();
    assert_eq!(from(HOME, PASSWORD).await.status, 429);
    assert_eq!(asked(), before);
    stage.finish(&[]).await;
}

#[tokio::test]
async fn a_network_is_somebodys_for_thirty_days_and_nobody_elses() {
    let stage = Stage::new().await;
    register(&stage.emulator, "ravi@example.test", "+91-9000000009", PASSWORD).await;
    let from = async |address: &str, email: &str, password: &str| {
        stage.send("/sign-in", &json!({"email": email, "password": password}), address, &[]).await.status
    };
    let ravi = "ravi@example.test";
    assert_eq!(from(HOME, EMAIL, PASSWORD).await, 200);
    for email in [EMAIL, ravi] {
        for number in 0..100 {
            assert_eq!(from(&format!("198.51.{}.{}", email.len(), number / 10), email, "wrong").await, 401, "{number}");
        }
    }
    assert_eq!(from(HOME, ravi, PASSWORD).await, 429, "from here only Asha signed in");
    assert_eq!(from(HOME, EMAIL, PASSWORD).await, 200);

    let dynamodb = stage.aws.dynamodb();
    let items = dynamodb.scan().table_name(&stage.ledger).send().await.unwrap();
    let is_network = |item: &&HashMap<_, AttributeValue>| item["pk"].as_s().unwrap().starts_with("network#");
    let networks: Vec<_> = items.items().iter().filter(is_network).collect();
    let [network] = &networks[..] else { panic!("{networks:?}") };
    let names: BTreeSet<_> = network.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["expires_at", "lead_id", "pk"]));
    let expires_at: i64 = network["expires_at"].as_n().unwrap().parse().unwrap();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    assert!((0..120).contains(&(now + 30 * 24 * 60 * 60 - expires_at)), "{expires_at}");

    // DynamoDB does not delete what has expired at once.
    let mut expired = (*network).clone();
    expired.insert("expires_at".to_owned(), AttributeValue::N((now - 1).to_string()));
    dynamodb.put_item().table_name(&stage.ledger).set_item(Some(expired)).send().await.unwrap();
    assert_eq!(from(HOME, EMAIL, PASSWORD).await, 429);
    stage.finish(&[]).await;
}

#[tokio::test]
async fn all_networks_of_a_site_have_one_networks_attempts_at_a_person() {
    let stage = Stage::new().await;
    let from = async |address: &str, password: &str| {
        stage.send("/sign-in", &json!({"email": EMAIL, "password": password}), address, &[]).await.status
    };
    assert_eq!(from("2001:db8:1:ffff::1", PASSWORD).await, 200);
    for network in 0..10 {
        assert_eq!(from(&format!("2001:db8:1:{network}::1"), "wrong").await, 401, "{network}");
    }
    assert_eq!(from("2001:db8:1:a::1", PASSWORD).await, 429);
    assert_eq!(from("2001:db8:2:a::1", "wrong").await, 401, "another site");
    assert_eq!(from("2001:db8:1:ffff::2", PASSWORD).await, 200, "the person's own network of that site");
    stage.finish(&[]).await;
}

#[tokio::test]
async fn what_succeeds_does_not_count() {
    let stage = Stage::new().await;
    for _ in 0..15 {
        assert_eq!(stage.sign_in(PASSWORD).await.status, 200);
    }
    for _ in 0..9 {
        assert_eq!(stage.sign_in("wrong").await.status, 401);
    }
    assert_eq!(stage.sign_in(PASSWORD).await.status, 200);
    assert_eq!(stage.sign_in("wrong").await.status, 401);
    assert_eq!(stage.sign_in(PASSWORD).await.status, 429);
}

#[tokio::test]
async fn what_fails_because_of_leadsquared_does_not_count() {
    let stage = Stage::new().await;
    let key = stage.session().await;
    let code = stage.post("/sign-in/code", &json!({"phone": PHONE})).await;
    let challenge = code.json()["challenge"].as_str().unwrap().to_owned();
    let sign_in = json!({"email": EMAIL, "password": PASSWORD});
    let verify = json!({"challenge": challenge, "code": "000000"});
    let change = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let reset = json!({"lead_id": stage.props.lead, "temporary_password": "0".repeat(64), "password": NEW_PASSWORD});
    let limited = || Effect::LimitReached(LimitRefusal::TooManyRequests);
    for (effect, path, body, times) in [
        (Effect::gateway(502), "/sign-in", &sign_in, 11),
        (Effect::Cut, "/sign-in", &sign_in, 11),
        (Effect::gateway(503), "/sign-in/code/verify", &verify, 11),
        (limited(), "/sign-in", &sign_in, 11),
        (limited(), "/sign-in/code/verify", &verify, 11),
        (limited(), "/password/change", &change, 11),
        (limited(), "/password/reset", &reset, 11),
        (limited(), "/password/forgot", &json!({"email": EMAIL}), 4),
        (limited(), "/sign-in/code", &json!({"phone": PHONE}), 4),
    ] {
        let before = stage.kept_by_throttles().await;
        stage.emulator.faults().add(Fault::everywhere(effect));
        for _ in 0..times {
            let answer = stage.send(path, body, HOME, &[("authorization", &key)]).await;
            assert_eq!(problem(&answer), (503, "/problems/unavailable".to_owned()), "{path}");
        }
        stage.emulator.faults().clear();
        assert_eq!(stage.kept_by_throttles().await, before, "{path}");
    }
    assert!(stage.kept().await.contains(r#""tries": N("0")"#), "the code has all its tries");
}

#[tokio::test]
async fn a_failure_that_may_be_a_refusal_counts() {
    let stage = Stage::new().await;
    let key = stage.session().await;
    let mut answers = BTreeSet::new();
    // LeadSquared has its refusals under this status too, and one day perhaps in other words.
    stage.emulator.faults().add(Fault::on(Call::SignIn, Effect::gateway(500)));
    for _ in 0..11 {
        answers.insert(problem(&stage.sign_in("guess").await).0);
    }
    assert_eq!(answers, BTreeSet::from([429, 503]));
    // What may have been done may have been a guess that somebody can try out.
    stage.emulator.faults().add(Fault::on(Call::ChangePassword, Effect::gateway(502)));
    answers.clear();
    for _ in 0..11 {
        answers.insert(problem(&stage.change(&key, "guess", NEW_PASSWORD).await).0);
    }
    assert_eq!(answers, BTreeSet::from([429, 503]));
}

#[tokio::test]
async fn what_one_limit_refuses_uses_up_none_of_the_others() {
    let stage = Stage::with(&[("ATTEMPTS_PER_ADDRESS", "7")]).await;
    let from = async |address: &str, email: &str| {
        stage.send("/sign-in", &json!({"email": email, "password": "wrong"}), address, &[]).await.status
    };
    for number in 0..7 {
        assert_eq!(from(HOME, &format!("person{number}@example.test")).await, 401);
    }
    let before = stage.kept_by_throttles().await;
    assert_eq!(from(HOME, EMAIL).await, 429, "the address has no more");
    assert_eq!(stage.kept_by_throttles().await, before);

    for number in 0..100 {
        assert_eq!(from(&format!("198.51.100.{}", number / 5), EMAIL).await, 401, "{number}");
    }
    let before = stage.kept_by_throttles().await;
    assert_eq!(from(CAFE, EMAIL).await, 429, "the person has no more");
    assert_eq!(from("2001:db8::1", EMAIL).await, 429);
    assert_eq!(stage.kept_by_throttles().await, before);
}

#[tokio::test]
async fn an_address_has_so_many_attempts_at_whomever() {
    let stage = Stage::with(&[("ATTEMPTS_PER_ADDRESS", "7")]).await;
    let attempt = async |number: usize, address: &str| {
        let body = json!({"email": format!("person{number}@example.test"), "password": "x"});
        stage.send("/sign-in", &body, address, &[]).await.status
    };
    for number in 0..7 {
        assert_eq!(attempt(number, "2001:db8:1:2::1").await, 401);
    }
    assert_eq!(attempt(8, "2001:db8:1:2:ffff::9").await, 429, "another host of the same network");
    assert_eq!(attempt(8, "2001:db8:1:3::1").await, 401);
    // A whole /48 has five times as many.
    for number in 8..35 {
        assert_eq!(attempt(number, &format!("2001:db8:1:{}::1", 4 + (number - 8) / 7)).await, 401, "{number}");
    }
    assert_eq!(attempt(36, "2001:db8:1:9::1").await, 429, "another network of the same site");
    assert_eq!(attempt(36, "2001:db8:2:9::1").await, 401);
    // What a sender says about itself counts for nothing.
    let body = json!({"email": "person9@example.test", "password": "x"});
    let answer = stage.send("/sign-in", &body, "2001:db8:1:2::1", &[("x-forwarded-for", "192.0.2.1")]).await;
    assert_eq!(answer.status, 429);
}

#[tokio::test]
async fn the_websites_server_asks_for_each_visitor_by_themselves() {
    const SERVER: &str = "192.0.2.80";
    const SECRET: &str = "c4nary-site-secret";
    const HASH: &str = "d7c34152ffcfe644189ca171b7fe36a9b4db13bbb78533c2f545d1492276f592";
    let stage = Stage::with(&[("SITE_SECRET_HASHES", HASH)]).await;
    let sign_in = async |password: &str, headers: &[(&str, &str)]| {
        let body = json!({"email": EMAIL, "password": password});
        stage.send("/sign-in", &body, SERVER, headers).await
    };
    let visitor = |address| [("x-site-secret", SECRET), ("x-visitor-address", address)];
    for _ in 0..10 {
        assert_eq!(sign_in("guess", &visitor(CAFE)).await.status, 401);
    }
    assert_eq!(sign_in("guess", &visitor(CAFE)).await.status, 429);
    assert_eq!(sign_in(PASSWORD, &visitor(HOME)).await.status, 200, "the owner, through the same server");

    // Nobody else says who they are.
    let forged = [("x-site-secret", "wrong"), ("x-visitor-address", HOME)];
    for headers in [&forged[..], &forged[1..], &[]] {
        assert_eq!(sign_in("guess", headers).await.status, 401, "{headers:?}");
    }
    for _ in 3..10 {
        assert_eq!(sign_in("guess", &forged).await.status, 401);
    }
    for headers in [&forged[..], &forged[1..], &[]] {
        assert_eq!(sign_in(PASSWORD, headers).await.status, 429, "{headers:?}: all were from the one address");
    }
    assert_eq!(sign_in(PASSWORD, &visitor(HOME)).await.status, 200);

    for headers in [&visitor("unknown")[..], &visitor("")[..], &visitor(HOME)[..1]] {
        let answer = sign_in(PASSWORD, headers).await;
        assert_eq!(problem(&answer), (400, "/problems/unreadable".to_owned()), "{headers:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("x-visitor-address"));
    }
    stage.finish(&[SERVER, CAFE]).await;
}

#[tokio::test]
async fn without_a_secret_of_the_website_nobody_says_who_they_are() {
    let stage = Stage::new().await;
    let body = json!({"email": EMAIL, "password": "guess"});
    let mut answers = Vec::new();
    for number in 0..11 {
        let address = format!("198.51.100.{number}");
        let headers = [("x-site-secret", ""), ("x-visitor-address", &address)];
        answers.push(stage.send("/sign-in", &body, HOME, &headers).await.status);
    }
    assert_eq!((&answers[..10], answers[10]), (&[401; 10][..], 429));
}

#[tokio::test]
async fn messages_to_one_person_are_few_and_strangers_cannot_use_them_up() {
    let stage = Stage::new().await;
    // Where she signed in, strangers elsewhere use up nothing of hers.
    for who in [json!({"email": EMAIL}), json!({"phone": PHONE})] {
        let mut body = who;
        body["password"] = PASSWORD.into();
        assert_eq!(stage.send("/sign-in", &body, CAFE, &[]).await.status, 200);
    }
    for (path, body) in [("/password/forgot", json!({"email": EMAIL})), ("/sign-in/code", json!({"phone": PHONE}))] {
        let sent = || stage.emulator.mails().len() + stage.emulator.text_messages().len();
        let from = async |address: &str| {
            let before = sent();
            let mut answer = stage.send(path, &body, address, &[]).await;
            answer.body = answer.body.replace(answer.json()["challenge"].as_str().unwrap_or_default(), "");
            (answer, sent() - before)
        };
        for _ in 0..3 {
            let (answer, sent) = from(HOME).await;
            assert_eq!((answer.status, sent), (202, 1));
        }
        assert_eq!(from(HOME).await.0.status, 429, "three an hour for one address");
        let (first, _) = from("198.51.100.1").await;
        for number in 2..=6 {
            assert_eq!(from(&format!("198.51.100.{number}")).await, (first.clone(), 1), "{path}");
        }
        for number in 20..25 {
            assert_eq!(
                from(&format!("198.51.100.{number}")).await,
                (first.clone(), 0),
                "promised alike, and not sent: {path}"
            );
        }
        assert_eq!(from(CAFE).await, (first, 1), "{path}");
    }
}

#[tokio::test]
async fn texts_to_everybody_have_a_budget_a_day() {
    let stage = Stage::with(&[("TEXTS_PER_DAY", "2")]).await;
    for number in 0..4 {
        let phone = format!("+91-900001230{number}");
        register(&stage.emulator, &format!("person{number}@example.test"), &phone, PASSWORD).await;
        let answer = stage.post("/sign-in/code", &json!({"phone": phone})).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    assert_eq!(stage.emulator.text_messages().len(), 2);
    let printed = stage.finish(&[]).await;
    assert!(printed.contains("text messages are used up"), "{printed}");
}

#[tokio::test]
async fn wrong_codes_are_bounded_for_a_number_and_a_day_and_not_where_its_owner_signed_in() {
    let stage = Stage::new().await;
    let by_phone = json!({"phone": PHONE, "password": PASSWORD});
    assert_eq!(stage.send("/sign-in", &by_phone, CAFE, &[]).await.status, 200);
    // As many networks as it takes, an hour after another: the limit on texts is another test's subject.
    let challenge_from = async |address: &str| {
        let sent = stage.send("/sign-in/code", &json!({"phone": PHONE}), address, &[]).await;
        sent.json()["challenge"].as_str().unwrap().to_owned()
    };
    let guess = async |address: &str, challenge: &str, code: &str| {
        let body = json!({"challenge": challenge, "code": code});
        stage.send("/sign-in/code/verify", &body, address, &[]).await.status
    };
    let mut wrong = 0;
    for network in 1..=6 {
        let address = format!("198.51.100.{network}");
        let challenge = challenge_from(&address).await;
        for _ in 0..5 {
            assert_eq!(guess(&address, &challenge, "none").await, 401);
            wrong += 1;
        }
    }
    assert_eq!(wrong, 30);
    // A decoy's challenge tells nothing about the number: for one that nobody has it is the same.
    let challenge = challenge_from("198.51.100.7").await;
    assert_eq!(guess("198.51.100.7", &challenge, "none").await, 429, "however many networks there are");
    let at_home = challenge_from(CAFE).await;
    let code = code_in(&stage.emulator.text_messages().pop().unwrap().text);
    assert_eq!(guess("198.51.100.7", &at_home, &code).await, 429, "not even with the right one");
    assert_eq!(guess(CAFE, &at_home, &code).await, 200);
    stage.finish(&[]).await;
}

#[tokio::test]
async fn one_network_gets_a_small_part_of_the_call_allowance() {
    let stage = Stage::with(&[("ALLOWANCE_CALLS", "10"), ("ATTEMPTS_PER_ADDRESS", "1000")]).await;
    let at = async |address: &str, number: usize| {
        let body = json!({"email": format!("person{number}@example.test"), "password": "x"});
        stage.send("/sign-in", &body, address, &[]).await.status
    };
    let before = stage.emulator.calls().len();
    let mut statuses = Vec::new();
    for number in 0..30 {
        statuses.push(at(CAFE, number).await);
    }
    let asked = statuses.iter().filter(|status| **status != 429).count();
    assert!((12..=14).contains(&asked), "12 a minute, and the minute may have gone on: {statuses:?}");
    assert!(stage.emulator.calls().len() - before <= asked + 3);
    assert_ne!(at("198.51.100.77", 99).await, 429, "others are not held up");
    stage.finish(&[]).await;
}

#[tokio::test]
async fn without_its_table_it_signs_people_in_whose_lead_says_that_it_may() {
    let stage = Stage::new().await;
    assert_eq!(stage.sign_in(PASSWORD).await.status, 200);
    stage.aws.dynamodb().delete_table().table_name(&stage.ledger).send().await.unwrap();
    // Only the table knows whether an earlier version registered a lead that has no mark.
    assert_eq!(problem(&stage.sign_in(PASSWORD).await), (503, "/problems/unavailable".to_owned()));
    stage.emulator.update_lead(&stage.props.lead, &[("mx_Unproven_Sign_In", "unproven: identifiers")]).unwrap();
    assert_eq!(stage.sign_in(PASSWORD).await.status, 200);
    assert_eq!(stage.sign_in("wrong").await.status, 401);
    // A code could not be kept, so none is sent.
    let code = stage.post("/sign-in/code", &json!({"phone": PHONE})).await;
    assert_eq!(problem(&code), (503, "/problems/unavailable".to_owned()));
    assert_eq!(stage.emulator.text_messages().len(), 0);
    let printed = stage.props.function.stop().await;
    assert!(printed.contains("attempts cannot be counted"), "{printed}");
}

/// A way to the table that is slow, or on which some of what is written gets lost.
struct Wire {
    url: String,
    trouble: watch::Sender<Trouble>,
    // Ends with it.
    _server: JoinSet<std::io::Result<()>>,
}

#[derive(Clone, Copy, Default)]
struct Trouble {
    delay: Duration,
    /// What requests have in them that are answered with an error.
    refused: Option<&'static str>,
    /// The same of those that are never answered.
    lost: Option<&'static str>,
}

impl Wire {
    /// One without trouble to this AWS endpoint.
    async fn to(endpoint: &str) -> Self {
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http::<Body>();
        let trouble = watch::Sender::new(Trouble::default());
        let (of_now, target) = (trouble.subscribe(), endpoint.trim_end_matches('/').to_owned());
        let forward = async move |request: Request| {
            let Trouble { delay, refused, lost } = *of_now.borrow();
            let (mut parts, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let has = |text: &str| String::from_utf8_lossy(&body).contains(text);
            // The call line's own patience is another test's subject.
            if !has("allowance#") {
                tokio::time::sleep(delay).await;
            }
            if refused.is_some_and(has) {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
            if lost.is_some_and(has) {
                std::future::pending().await
            }
            parts.uri = target.parse().unwrap();
            client.request(Request::from_parts(parts, body.into())).await.unwrap().map(Body::new)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let _server = JoinSet::from_iter([async { axum::serve(listener, Router::new().fallback(forward)).await }]);
        Self { url, trouble, _server }
    }
}

impl Stage {
    /// Another process of the function, and its way to the table.
    async fn start_wired(&self) -> (Function, Wire) {
        let mut environment = self.props.environment.clone();
        let (_, endpoint) = environment.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap();
        let wire = Wire::to(endpoint).await;
        environment.push(("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), wire.url.clone()));
        let function = start(&environment).await;
        // The first request reads the keys as well.
        let body = json!({"email": "stranger@example.test", "password": "x"});
        assert_eq!(send(&function, "/sign-in", &body, CAFE, &[]).await.status, 401);
        (function, wire)
    }
}

#[tokio::test]
async fn what_is_written_down_after_an_answer_is_known_is_written_side_by_side() {
    let stage = Stage::new().await;
    let (function, wire) = stage.start_wired().await;
    let before = stage.kept_by_throttles().await;
    // Reading and writing together take longer than one place may when it is taken.
    wire.trouble.send_modify(|trouble| trouble.delay = Duration::from_millis(550));
    let body = json!({"email": EMAIL, "password": PASSWORD});
    assert_eq!(send(&function, "/sign-in", &body, HOME, &[]).await.status, 200);
    assert_eq!(stage.kept_by_throttles().await, before);
    let kept = stage.kept().await;
    assert!(kept.contains("session#") && kept.contains("network#"), "{kept}");
    let printed = function.stop().await;
    assert!(!printed.contains("WARN"), "{printed}");
}

#[tokio::test]
async fn what_there_is_no_time_left_to_write_down_is_said() {
    let stage = Stage::new().await;
    let (function, wire) = stage.start_wired().await;
    // LeadSquared is not asked for the mark again.
    assert_eq!(stage.sign_in(PASSWORD).await.status, 200);
    // What is left of the five seconds is less than the table's client waits for an answer.
    let trouble = Trouble { delay: Duration::from_millis(550), lost: Some("SET #lead_id"), ..Trouble::default() };
    wire.trouble.send_replace(trouble);
    stage.emulator.faults().add(Fault::on(Call::SignIn, Effect::Latency(Duration::from_millis(1400))));
    let body = json!({"email": EMAIL, "password": PASSWORD});
    let signed_in = send(&function, "/sign-in", &body, HOME, &[]).await;
    let printed = function.stop().await;
    assert_eq!(signed_in.status, 200, "{printed}");
    assert!(printed.contains("not all of this request is written down"), "{printed}");
}

#[tokio::test]
async fn a_code_that_cannot_be_kept_is_promised_to_everybody() {
    let stage = Stage::new().await;
    let (function, wire) = stage.start_wired().await;
    wire.trouble.send_modify(|trouble| trouble.refused = Some("SET #sealed"));
    let mut answers = Vec::new();
    for phone in [PHONE, "+91-9000000003"] {
        let sent = send(&function, "/sign-in/code", &json!({"phone": phone}), HOME, &[]).await;
        assert_eq!(sent.status, 202, "{}", sent.body);
        let body = json!({"challenge": sent.json()["challenge"], "code": "123456"});
        answers.push(send(&function, "/sign-in/code/verify", &body, HOME, &[]).await);
    }
    assert_eq!(problem(&answers[0]), (401, "/problems/wrong-code".to_owned()));
    assert_eq!(answers[0], answers[1]);
    let printed = function.stop().await;
    assert!(printed.contains("this challenge signs nobody in"), "{printed}");
}

#[tokio::test]
async fn leadsquareds_troubles_are_told_as_such_and_not_in_its_words() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    // Whether the password is the new one, nobody knows.
    stage.emulator.faults().add(Fault::on(Call::ChangePassword, Effect::gateway(502)).after_work());
    let answer = stage.change(&session, PASSWORD, NEW_PASSWORD).await;
    assert_eq!(problem(&answer), (503, "/problems/outcome-unknown".to_owned()));
    assert!(!answer.headers.contains_key("retry-after"));
    stage.emulator.faults().clear();
    assert_eq!(stage.sign_in(NEW_PASSWORD).await.status, 200);

    let answer =
        Effect::Answer { status: 503, content_type: "text/plain".to_owned(), body: "c4nary gateway".to_owned() };
    for effect in [answer, Effect::Cut, Effect::LimitReached(LimitRefusal::TooManyRequests)] {
        stage.emulator.faults().add(Fault::everywhere(effect));
        let answer = stage.sign_in(NEW_PASSWORD).await;
        assert_eq!(problem(&answer), (503, "/problems/unavailable".to_owned()));
        assert!(answer.headers["retry-after"].parse::<u64>().unwrap() > 0);
        assert!(!answer.body.contains("c4nary") && !answer.body.contains("API calls"), "{}", answer.body);
        stage.emulator.faults().clear();
    }
    stage.finish(&[]).await;
}

#[tokio::test]
async fn an_answer_is_there_within_five_seconds_whatever_leadsquared_does() {
    let stage = Stage::new().await;
    stage.emulator.faults().add(Fault::everywhere(Effect::Latency(Duration::from_secs(30))));
    let began = Instant::now();
    let answer = stage.sign_in(PASSWORD).await;
    assert_eq!(problem(&answer), (503, "/problems/unavailable".to_owned()));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_reset_cut_off_by_the_deadline_may_have_been_done_and_is_not_denied() {
    let stage = Stage::new().await;
    // So late that the request's deadline ends the call, not the call's own.
    stage.emulator.faults().add(Fault::on(Call::PublicAuthKey, Effect::Latency(Duration::from_millis(2500))));
    stage.emulator.faults().add(Fault::on(Call::ResetPassword, Effect::Latency(Duration::from_secs(30))));
    let body = json!({"lead_id": stage.props.lead, "temporary_password": "0".repeat(64), "password": NEW_PASSWORD});
    let answer = stage.post("/password/reset", &body).await;
    assert_eq!(problem(&answer), (503, "/problems/outcome-unknown".to_owned()));
}

#[tokio::test]
async fn rotated_keys_are_picked_up_by_the_request_that_meets_them() {
    let stage = Stage::new().await;
    assert_eq!(stage.sign_in(PASSWORD).await.status, 200);
    stage.rotate_keys().await;
    stage.emulator.revoke_credentials();
    assert_eq!(stage.sign_in(PASSWORD).await.status, 200);
}

#[tokio::test]
async fn as_a_cookie_the_key_is_out_of_reach_of_scripts_and_of_other_sites() {
    let stage = Stage::with(&[("SESSION_COOKIE", "yes")]).await;
    let mine = json!({"email": EMAIL, "password": PASSWORD});
    let sign_in = async |headers: &[(&str, &str)]| stage.send("/sign-in", &mine, HOME, headers).await;
    // The host in front of which the sample stands, and others.
    let origin = ("origin", "https://a1b2c3d4e5.execute-api.ap-south-1.amazonaws.com");
    for elsewhere in [
        [("sec-fetch-site", "cross-site"), origin],
        [("sec-fetch-site", "same-site"), origin],
        [("origin", "https://www.example.com"), ("host", "www.example.com")],
        [("origin", "null"), ("accept", "*/*")],
    ] {
        let forged = sign_in(&elsewhere).await;
        assert_eq!(problem(&forged), (403, "/problems/other-site".to_owned()), "{elsewhere:?}");
        assert!(!forged.headers.contains_key("set-cookie"), "nobody is signed in as somebody else by another's form");
    }
    assert_eq!(sign_in(&[origin]).await.status, 200, "an old browser");
    let answer = sign_in(&[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.json().get("auth_key").is_none());
    let cookie = answer.headers["set-cookie"].clone();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Max-Age=14400; Path=/; Secure; HttpOnly; SameSite=Lax");
    let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let change = async |headers: &[(&str, &str)]| stage.send("/password/change", &body, HOME, headers).await;
    for site in ["cross-site", "same-site"] {
        let elsewhere = change(&[("cookie", pair), ("sec-fetch-site", site)]).await;
        assert_eq!(problem(&elsewhere), (401, "/problems/not-signed-in".to_owned()));
    }
    assert_eq!(change(&[("cookie", pair), ("sec-fetch-site", "same-origin")]).await.status, 200);
    assert_eq!(stage.emulator.mails().len(), 1);
    let key = pair.split_once('=').unwrap().1.to_owned();

    let calls = stage.emulator.calls().len();
    let sign_out = async |headers: &[(&str, &str)]| stage.send("/sign-out", &Value::Null, HOME, headers).await;
    let elsewhere = sign_out(&[("cookie", pair), ("sec-fetch-site", "same-site")]).await;
    assert_eq!(problem(&elsewhere), (403, "/problems/other-site".to_owned()));
    assert!(!elsewhere.headers.contains_key("set-cookie"));
    for headers in [&[("sec-fetch-site", "same-origin"), ("cookie", pair)][..], &[("sec-fetch-site", "same-origin")]] {
        let signed_out = sign_out(headers).await;
        assert_eq!((signed_out.status, signed_out.body.as_str()), (200, r#"{"status":"signed-out"}"#));
        let cookie = &signed_out.headers["set-cookie"];
        assert_eq!(cookie, "__Host-portal-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax");
    }
    assert_eq!(stage.emulator.calls().len(), calls);
    stage.finish(&[&key]).await;

    let header_only = Stage::new().await;
    let answer = header_only.send("/password/change", &body, HOME, &[("cookie", pair)]).await;
    assert_eq!(problem(&answer), (401, "/problems/not-signed-in".to_owned()));
    let answer = header_only.post("/sign-out", &json!({})).await;
    assert_eq!(
        (answer.status, answer.headers.contains_key("set-cookie")),
        (200, true),
        "a cookie of an earlier setting"
    );
}

#[test]
fn no_bytes_lead_to_an_error_of_ours() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stage = runtime.block_on(Stage::with(&[("ANSWER_FLOOR_MS", "0")]));
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
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&(path, body, address, authorization), |(path, body, address, key)| {
        let event = event(path, body, &address, &[("authorization", &key)]);
        let answer = Answer::read(runtime.block_on(stage.props.function.invoke(&event, TIMEOUT)).unwrap());
        prop_assert!((200..500).contains(&answer.status), "{answer:?}");
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

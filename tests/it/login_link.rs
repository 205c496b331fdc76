//! The `login-link` function: what becomes of a link and of those who look at it, seen from outside.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::body::{Body, to_bytes};
use call_allowance::{Allowance, Rules, SharedLine};
use futures::future::{join, join_all};
use hyper_util::rt::TokioExecutor;
use leadsquared::{Admission as _, Attributes, Client, Keys, Lane, Options, Registration};
use leadsquared_emulator::{Call, Effect, Emulator, Fault, Settings};
use ledger::Ledger;
use onboarding::{InvitationId, LINK_TOKEN_BYTES, LinkToken, PersonKey};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::task::JoinSet;
use url::Url;
use uuid::Uuid;

use crate::{
    application_form::{Answer, BROWSER, Door, Request, URLENCODED},
    fixtures::{self, metrics, sqs_event},
    runtime_api::{Function, FunctionError},
    stage::{self, keys},
    template::Template,
    workspace,
};

/// As in template.yaml.
const TIMEOUT: Duration = Duration::from_secs(29);
const HOUR: i64 = 3600;
/// As the template's default comes out.
const LINK_URL: &str = "https://api.example.test/login-links/";
const ASHA: &str = "c4nary@example.com";

/// Tokens that were made, and the keys that browsers were sent to the portal with: none of them may get out.
#[derive(Default)]
struct Secrets(Mutex<Vec<String>>);
type Stage = stage::Stage<Secrets>;

/// A login link as the worker leaves it.
struct Link {
    path: String,
    pk: String,
}

impl Stage {
    async fn new() -> Self {
        Self::set(Settings::for_tests(), Secrets::default()).await
    }

    async fn start(&self) -> Function {
        self.start_with(&[]).await.unwrap()
    }

    async fn start_with(&self, changes: &[(&str, &str)]) -> Result<Function, FunctionError> {
        let mut environment = self.environment("login-link", changes);
        // The most that can be logged, so that what is looked for in the logs would be there.
        environment.push(("AWS_LAMBDA_LOG_LEVEL".to_owned(), "TRACE".to_owned()));
        Function::start(fixtures::binary("login-link").await, environment).await
    }

    /// A lead who is a portal user.
    async fn portal_user(&self, email: &str) -> String {
        let lead = self.emulator.add_lead(&[("EmailAddress", email), ("FirstName", "c4nary")]).unwrap();
        let registration = Registration {
            register_only_new_lead: false,
            password: "Chosen@1234".into(),
            fields: Attributes::new().with("EmailAddress", email),
        };
        assert_eq!(client(&self.emulator).register(&registration).await.unwrap().to_string(), lead);
        lead
    }

    /// A link of this lead, mailed to [`ASHA`], that was made and is valid so many seconds from now.
    async fn link(&self, lead: &str, made_at: i64, valid_until: i64) -> Link {
        let token = LinkToken::new(random());
        let link = token.link(&LINK_URL.parse().unwrap()).expose().to_owned();
        let text = link.strip_prefix(LINK_URL).unwrap().to_owned();
        let pk = format!("link#{}", token.hash().as_str());
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let receipt = InvitationId::of([pk.as_bytes()]).to_string();
        let number = |value: i64| AttributeValue::N(value.to_string());
        let put = self.aws.dynamodb().put_item().table_name(&self.ledger);
        put.item("pk", AttributeValue::S(pk.clone()))
            .item("lead_id", AttributeValue::S(lead.to_owned()))
            .item("person", AttributeValue::S(PersonKey::of(&ASHA.parse().unwrap()).as_str().to_owned()))
            .item("invitation", AttributeValue::S(receipt))
            .item("made_at", number(now + made_at))
            .item("valid_until", number(now + valid_until))
            .item("expires_at", number(now + valid_until + 30 * 24 * HOUR))
            .send()
            .await
            .unwrap();
        self.props.0.lock().unwrap().push(text.clone());
        Link { path: format!("/login-links/{text}"), pk }
    }

    /// One that works. Later ones are made later, by seconds: a person is not mailed twice in one.
    async fn live_link(&self, lead: &str) -> Link {
        static MADE_AT: AtomicI64 = AtomicI64::new(-HOUR);
        self.link(lead, MADE_AT.fetch_add(1, Ordering::Relaxed), 72 * HOUR).await
    }

    /// Makes it so that the link was used so many seconds ago, from a page that nobody has any more.
    async fn use_up(&self, link: &Link, seconds_ago: i64) {
        self.put(&link.pk, "used_by", AttributeValue::S(Uuid::nil().to_string())).await;
        self.used_at(link, seconds_ago).await;
    }

    async fn used_at(&self, link: &Link, seconds_ago: i64) {
        let at = OffsetDateTime::now_utc().unix_timestamp() - seconds_ago;
        self.put(&link.pk, "used_at", AttributeValue::N(at.to_string())).await;
    }

    async fn put(&self, pk: &str, name: &str, value: AttributeValue) {
        let update = self.aws.dynamodb().update_item().table_name(&self.ledger);
        let update = update.key("pk", AttributeValue::S(pk.to_owned())).update_expression("SET #name = :value");
        let update = update.expression_attribute_names("#name", name).expression_attribute_values(":value", value);
        update.send().await.unwrap();
    }

    async fn items(&self) -> BTreeMap<String, HashMap<String, AttributeValue>> {
        let scan = self.aws.dynamodb().scan().table_name(&self.ledger).consistent_read(true).send().await.unwrap();
        scan.items().iter().map(|item| (item["pk"].as_s().unwrap().clone(), item.clone())).collect()
    }

    /// Presses the button without the page around it.
    async fn press(&self, function: &Function, path: &str) -> Answer {
        self.send_press(function, pressed(path)).await
    }

    /// Presses the button of a page with this id.
    async fn press_page(&self, function: &Function, path: &str, page: &str) -> Answer {
        self.send_press(function, Request::urlencoded(&[("page", page)]).accept(BROWSER).at(path)).await
    }

    async fn send_press(&self, function: &Function, request: Request<'_>) -> Answer {
        let answer = send(function, request).await;
        if answer.status == 303 {
            let location: Url = answer.headers["location"].parse().unwrap();
            let key = location.query_pairs().find(|(name, _)| name == "authKey").unwrap().1.into_owned();
            self.props.0.lock().unwrap().push(key);
        }
        answer
    }

    /// Follows the answer to a press into the portal, where it must sign in.
    async fn enter(&self, answer: &Answer) {
        assert_eq!(answer.status, 303, "{answer:?}");
        let location: Url = answer.headers["location"].parse().unwrap();
        assert!(location.as_str().starts_with(self.emulator.portal_page_url().as_str()));
        let browser = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http::<Body>();
        let page = browser.get(location.as_str().parse().unwrap()).await.unwrap();
        let page = to_bytes(Body::new(page.into_body()), 1 << 20).await.unwrap();
        let page = String::from_utf8_lossy(&page);
        assert!(page.contains("id=\"signed-in-name\""), "{page}");
    }

    /// Ends the function and makes sure that no token, key or person is in what it printed, kept or queued.
    async fn finish(self, function: Function) -> String {
        let printed = function.stop().await;
        let kept = self.kept().await;
        let queued: Vec<_> = self.invitations.drain().await.into_iter().filter_map(|message| message.body).collect();
        let (access_key, secret_key) = self.emulator.keys();
        let mut secrets = self.props.0.lock().unwrap().clone();
        secrets.extend([access_key, secret_key]);
        for secret in &secrets {
            for (place, text) in [("log", &printed), ("ledger", &kept), ("queue", &queued.join("\n"))] {
                assert!(!text.contains(secret), "{secret} is in the {place}: {text}");
            }
        }
        for person in ["c4nary", "203.0.113"] {
            assert!(!printed.contains(person) && !kept.contains(person), "{person}: {printed} {kept}");
        }
        printed
    }
}

fn client(emulator: &Emulator) -> Client {
    let (access_key, secret_key) = emulator.keys();
    let portal = emulator.portal_id().parse().unwrap();
    let options = Options::new(emulator.url(), emulator.portal_api_url(), portal);
    let keys = Keys { access_key: access_key.into(), secret_key: secret_key.into() };
    Client::new(options, keys).unwrap()
}

fn random() -> [u8; LINK_TOKEN_BYTES] {
    static LAST: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0xa5; LINK_TOKEN_BYTES];
    bytes[24..].copy_from_slice(&LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

async fn send(function: &Function, request: Request<'_>) -> Answer {
    Answer::read(function.invoke(&request.event(), TIMEOUT).await.unwrap())
}

/// A page with a link's button, without its id; and its id.
fn without_id(page: Answer) -> (Answer, String) {
    const BEFORE: &str = "<input type=\"hidden\" name=\"page\" value=\"";
    let (head, rest) = page.body.split_once(BEFORE).unwrap_or_else(|| panic!("a page with an id: {}", page.body));
    let (id, tail) = rest.split_once('"').unwrap();
    (Answer { body: format!("{head}{tail}"), ..page.clone() }, id.to_owned())
}

/// A press of the button, which need not come from the page with it.
fn pressed(path: &str) -> Request<'_> {
    Request::new(URLENCODED, "").accept(BROWSER).at(path)
}

fn looked(path: &str) -> Request<'_> {
    pressed(path).by("GET")
}

fn fresh(path: &str) -> Request<'_> {
    Request::urlencoded(&[("fresh", "yes")]).accept(BROWSER).at(path)
}

fn asked<'a>(email: &str) -> Request<'a> {
    Request::json(&[("email", email)]).at("/login-links")
}

fn garbage() -> Vec<String> {
    let long = "A".repeat(4000);
    let unknown = "B".repeat(43);
    let texts = ["x", "%00", "..%2f..", "é", "<script>", "favicon.ico", "a/b/c", &unknown, &long];
    texts.iter().map(|text| format!("/login-links/{text}")).collect()
}

#[tokio::test]
async fn the_link_in_the_mail_opens_the_portal_and_does_so_once() {
    let stage = Stage::new().await;
    let portal_page = stage.emulator.portal_page_url();
    let worker = stage.start_function("invitation", &[]).await.unwrap();
    let message = json!({
        "version": 2, "id": InvitationId::of([&b"one"[..]]).to_string(), "source": "form", "action": "invite",
        "received_at": "2026-11-22T09:30:00Z", "email": ASHA, "attributes": [{"name": "FirstName", "value": "c4nary"}],
    });
    stage.invitations.send(&message.to_string(), "asha", "one").await;
    let message = stage.invitations.next().await;
    let answer = worker.invoke(&sqs_event(std::slice::from_ref(&message)), Duration::from_secs(60)).await.unwrap();
    assert_eq!(answer["batchItemFailures"], json!([]));
    stage.invitations.delete(&message).await;
    worker.stop().await;
    // On the way to the mail no key for the portal is made: there is none that could be found in it.
    assert_eq!((stage.calls_to(Call::TenantAuthKey), stage.calls_to(Call::LeadAuthKey)), (0, 0));
    let mail = stage.emulator.mails().pop().unwrap();
    let link = mail.text.split_whitespace().find(|word| word.starts_with(LINK_URL)).expect("the mail has a login link");
    assert!(!mail.text.contains("authKey") && !mail.html.contains("authKey"));
    let token = link.strip_prefix(LINK_URL).unwrap();
    stage.props.0.lock().unwrap().push(token.to_owned());
    let path = format!("/login-links/{token}");

    let function = stage.start().await;
    let page = send(&function, looked(&path)).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<button>Open my application</button>"), "{}", page.body);
    assert!(!page.body.contains(token), "no page repeats the token: {}", page.body);
    let origin = portal_page.origin().ascii_serialization();
    for (name, value) in [
        ("referrer-policy", "no-referrer".to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-robots-tag", "noindex".to_owned()),
        ("content-type", "text/html; charset=utf-8".to_owned()),
        (
            "content-security-policy",
            format!(
                "default-src 'none'; style-src 'sha256-phbm1bKBeGcT2Oy5BSKUlCvinU8w9TgH/csZK+WKO6c='; frame-ancestors 'none'; base-uri 'none'; \
                 form-action 'self' {origin}"
            ),
        ),
    ] {
        assert_eq!(page.headers[name], value);
    }
    let opened = stage.press(&function, &path).await;
    stage.enter(&opened).await;
    assert_eq!(opened.headers["referrer-policy"], "no-referrer");
    assert_eq!(stage.press(&function, &path).await.status, 410);
    let printed = stage.finish(function).await;
    assert_eq!(printed.matches("login link opened the portal").count(), 1, "{printed}");
}

#[tokio::test]
async fn whoever_only_looks_changes_nothing() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let link = stage.live_link(&lead).await;
    let function = stage.start().await;
    let (before, calls) = (stage.items().await, stage.emulator.calls().len());

    let look = async |request: Request<'_>| without_id(send(&function, request).await).0;
    let page = look(looked(&link.path)).await;
    for door in [Door::HttpApi, Door::RestApi, Door::FunctionUrl] {
        for (name, value) in [
            ("user-agent", "Mozilla/5.0 (compatible; MailLinkCheck/1.0)"),
            ("purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("x-moz", "prefetch"),
            ("sec-fetch-dest", "iframe"),
            ("range", "bytes=0-0"),
            ("if-none-match", "*"),
            ("x-http-method-override", "POST"),
            ("accept", "*/*"),
        ] {
            let request = looked(&link.path).through(door).header(name, value);
            assert_eq!(look(request.clone()).await, page, "{door:?} {name}");
            let head = send(&function, request.by("HEAD")).await;
            assert_eq!((head.status, head.headers, head.body), (200, page.headers.clone(), String::new()), "{name}");
        }
    }
    for wrapping in ["/", ".", ")", ">", "%3E", "=", "&data=05%7C02", "?url=x", "\u{201d}", "/fresh", "#button"] {
        let path = format!("{}{wrapping}", link.path);
        assert_eq!(look(looked(&path)).await, page, "{wrapping}");
    }
    for method in ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        let answer = send(&function, pressed(&link.path).by(method)).await;
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "GET, HEAD, POST"), "{method}");
    }
    for _ in 0..50 {
        assert_eq!(look(looked(&link.path)).await, page);
    }

    assert_eq!(stage.items().await, before, "looking writes nothing");
    assert_eq!(stage.emulator.calls().len(), calls, "looking asks LeadSquared nothing");
    assert_eq!(stage.invitations.drain().await.len(), 0);
    let opened = stage.press(&function, &link.path).await;
    stage.enter(&opened).await;
    stage.finish(function).await;
}

#[test]
fn the_template_mails_links_that_no_scanner_uses_up() {
    assert_eq!(Template::read().default("LinkMode"), "on-click");
}

#[tokio::test]
async fn of_a_thousand_presses_at_once_one_opens_the_portal() {
    const PRESSES: usize = 1000;
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let link = stage.live_link(&lead).await;
    let mut function = stage.start().await;
    for _ in 0..3 {
        function.add_process().await.unwrap();
    }
    let dead = send(&function, looked(&garbage()[0])).await;
    // Every other one from a page, each from its own.
    let answers = join_all((0..PRESSES).map(async |number| match number % 2 {
        0 => stage.press(&function, &link.path).await,
        _ => stage.press_page(&function, &link.path, &Uuid::from_u128(number as u128).to_string()).await,
    }));
    let answers = answers.await;
    let (opened, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 303);
    assert_eq!((opened.len(), others.len()), (1, PRESSES - 1));
    assert!(others.iter().all(|answer| *answer == dead), "{others:?}");
    assert_eq!(stage.calls_to(Call::LeadAuthKey), 1);
    stage.finish(function).await;
}

#[tokio::test]
async fn whoever_presses_twice_gets_in_and_nobody_else_does() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let link = stage.live_link(&lead).await;
    let mut function = stage.start().await;
    function.add_process().await.unwrap();
    let (_, page) = without_id(send(&function, looked(&link.path)).await);
    let (_, other) = without_id(send(&function, looked(&link.path)).await);
    assert_ne!(page, other);
    // A double click: the browser shows the answer to the second one, whichever that is.
    let twice = join_all([(); 2].map(|()| stage.press_page(&function, &link.path, &page))).await;
    for opened in &twice {
        stage.enter(opened).await;
    }
    stage.enter(&stage.press_page(&function, &link.path, &page).await).await;
    for stranger in [other.as_str(), "", "no id", &Uuid::nil().to_string()] {
        assert_eq!(stage.press_page(&function, &link.path, stranger).await.status, 410, "{stranger}");
    }
    assert_eq!(stage.press(&function, &link.path).await.status, 410);

    stage.used_at(&link, 31).await;
    assert_eq!(stage.press_page(&function, &link.path, &page).await.status, 410, "half a minute later");
    let items = stage.items().await;
    assert!(!format!("{items:?}").contains(link.path.rsplit('/').next().unwrap()));
    stage.finish(function).await;
}

#[tokio::test]
async fn a_second_press_that_does_not_work_gives_no_link_back_that_let_somebody_in() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let link = stage.live_link(&lead).await;
    let function = stage.start().await;
    let (_, page) = without_id(send(&function, looked(&link.path)).await);
    stage.enter(&stage.press_page(&function, &link.path, &page).await).await;
    stage.emulator.faults().add(Fault::everywhere(Effect::LimitReached(Default::default())));
    assert_eq!(stage.press_page(&function, &link.path, &page).await.status, 503);
    stage.emulator.faults().clear();
    assert_eq!(send(&function, looked(&link.path)).await.status, 410);
    assert_eq!(stage.press(&function, &link.path).await.status, 410);
    let printed = stage.finish(function).await;
    assert_eq!(printed.matches("login link opened the portal").count(), 1, "{printed}");
}

#[tokio::test]
async fn every_dead_link_is_answered_with_the_same_bytes() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let expired = stage.link(&lead, -80 * HOUR, -1).await;
    let forgotten = stage.link(&lead, -4000 * HOUR, -3000 * HOUR).await;
    let superseded = stage.link(&lead, -2 * HOUR, 70 * HOUR).await;
    let used = stage.link(&lead, -HOUR, 71 * HOUR).await;
    let newer = stage.link(&lead, -60, 72 * HOUR).await;
    let gone = stage.live_link("00000000-0000-4000-8000-000000000000").await;
    let function = stage.start().await;
    assert_eq!(
        send(&function, looked(&superseded.path)).await.status,
        200,
        "an older link is good until a newer is used"
    );
    let opened = stage.press(&function, &used.path).await;
    stage.enter(&opened).await;

    let page = send(&function, looked("/login-links/unknown")).await;
    assert_eq!(page.status, 410);
    assert!(page.body.contains("<button name=\"fresh\" value=\"yes\">Mail me a fresh link</button>"), "{}", page.body);
    assert_eq!(stage.press(&function, &gone.path).await, page, "a lead that was deleted");
    let dead = [expired.path, forgotten.path, superseded.path, used.path, gone.path];
    for path in dead.into_iter().chain(garbage()) {
        assert_eq!(send(&function, looked(&path)).await, page, "{path}");
        assert_eq!(send(&function, looked(&path).by("HEAD")).await.headers, page.headers, "{path}");
        assert_eq!(stage.press(&function, &path).await, page, "{path}");
    }
    let opened = stage.press(&function, &newer.path).await;
    // A newer link is good after an older one was used.
    stage.enter(&opened).await;
    let printed = stage.finish(function).await;
    for cause in ["expired", "superseded", "used", "unknown", "no such lead"] {
        assert!(printed.contains(&format!("\"cause\":\"{cause}\"")), "{cause}: {printed}");
    }
}

#[tokio::test]
async fn a_dead_link_mails_a_fresh_one_to_its_lead_and_an_unknown_one_looks_as_if() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let expired = stage.link(&lead, -80 * HOUR, -HOUR).await;
    let function = stage.start().await;
    let answer = send(&function, fresh(&expired.path)).await;
    assert_eq!(answer.status, 202);
    let messages = stage.invitations.drain().await;
    assert_eq!(messages.len(), 1);
    let invitation: Value = serde_json::from_str(messages[0].body.as_deref().unwrap()).unwrap();
    assert_eq!((&invitation["source"], &invitation["action"]), (&json!("link-request"), &json!("mail-link")));
    assert!(messages[0].body.as_deref().unwrap().contains(&lead), "{invitation}");

    for path in garbage() {
        assert_eq!(send(&function, fresh(&path)).await, answer, "{path}");
    }
    assert_eq!(stage.invitations.drain().await.len(), 0);
    // Pressed again it is the same request for a minute of the clock, which may end between two of these, but not
    // twice.
    for _ in 0..10 {
        assert_eq!(send(&function, fresh(&expired.path)).await, answer);
    }
    assert!(stage.invitations.drain().await.len() <= 1);
    assert_eq!(stage.emulator.mails().len(), 0);
    stage.finish(function).await;
}

#[tokio::test]
async fn a_fresh_link_is_mailed_too_where_it_was_never_written_down_that_the_last_one_was_used() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let link = stage.link(&lead, -10, HOUR).await;
    // As a process leaves it that died with LeadSquared's answer.
    stage.use_up(&link, 5).await;
    let function = stage.start().await;
    assert_eq!(send(&function, fresh(&link.path)).await.status, 202);
    // By this the worker knows that the mail of ten seconds ago is of no use any more.
    let items = stage.items().await;
    assert_eq!(items[&format!("lead#{lead}")]["newest_link_used"], items[&link.pk]["made_at"]);
    assert_eq!(stage.invitations.drain().await.len(), 1);

    // One that was not used is not, whatever becomes of its time.
    let ravi = stage.portal_user("ravi.c4nary@example.com").await;
    let expired = stage.link(&ravi, -80 * HOUR, -HOUR).await;
    assert_eq!(send(&function, fresh(&expired.path)).await.status, 202);
    assert!(!stage.items().await.contains_key(&format!("lead#{ravi}")));
    stage.finish(function).await;
}

#[tokio::test]
async fn a_link_asked_for_by_e_mail_is_answered_alike_for_everybody() {
    let stage = Stage::new().await;
    stage.portal_user(ASHA).await;
    let (function, calls) = (stage.start().await, stage.emulator.calls().len());
    let known = send(&function, asked(ASHA)).await;
    assert_eq!((known.status, known.body.as_str()), (202, "{\"status\":\"accepted\"}"));
    let known_page = send(&function, asked(&ASHA.to_uppercase()).accept(BROWSER)).await;
    assert_eq!((known_page.status, known_page.headers["content-type"].as_str()), (202, "text/html; charset=utf-8"));
    let messages = stage.invitations.drain().await;
    assert!((1..=2).contains(&messages.len()), "one, unless a minute ended in between");
    let invitation: Value = serde_json::from_str(messages[0].body.as_deref().unwrap()).unwrap();
    assert_eq!((&invitation["source"], &invitation["action"]), (&json!("link-request"), &json!("mail-link")));
    assert_eq!(invitation["email"], ASHA);

    assert_eq!(send(&function, asked("c4nary-stranger@example.com")).await, known);
    assert_eq!(send(&function, asked("c4nary-stranger@example.com").accept(BROWSER)).await, known_page);
    // Whoever reads "is there no mail?" on the page behind a link can ask right there.
    assert_eq!(send(&function, asked(ASHA).accept(BROWSER).at(&garbage()[0])).await, known_page);
    assert_eq!(stage.emulator.calls().len(), calls, "LeadSquared is not asked");
    stage.finish(function).await;
}

#[tokio::test]
async fn what_is_no_address_is_refused_with_the_field_named() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    for request in [
        asked(""),
        asked("c4nary"),
        asked("c4nary@localhost"),
        Request::json(&[]).at("/login-links"),
        Request::urlencoded(&[("email", "a@example.com"), ("email", "b@example.com")]).at("/login-links"),
        Request::new("application/json", "{\"email\":[\"c4nary@example.com\"]}").at("/login-links"),
    ] {
        let problem = send(&function, request.clone()).await;
        assert_eq!((problem.status, problem.faulty_fields()), (422, vec!["email".to_owned()]), "{}", problem.body);
        let page = send(&function, request.accept(BROWSER)).await;
        assert_eq!(page.status, 422);
        assert!(page.body.contains("aria-describedby=\"fault\"") && !page.body.contains("c4nary"), "{}", page.body);
    }
    for (request, status) in [
        (Request::new("text/plain", "c4nary").at("/login-links"), 415),
        (Request::new("application/json", "c4nary").at("/login-links"), 400),
        (Request::new(URLENCODED, vec![b'a'; 1 << 17]).at("/login-links"), 413),
    ] {
        assert_eq!(send(&function, request.clone()).await.status, status);
        assert_eq!(send(&function, request.accept(BROWSER)).await.status, status);
    }
    let unreadable = Request::new("text/plain", "c4nary").at("/login-links").accept(BROWSER);
    let page = send(&function, unreadable).await;
    assert!(page.body.contains("could not read") && !page.body.contains("must be an e-mail address"), "{}", page.body);
    let page = send(&function, looked("/login-links")).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("type=\"email\"") && !page.body.contains("fault"), "{}", page.body);
    stage.finish(function).await;
}

#[tokio::test]
async fn links_are_asked_for_so_often_from_one_network_and_what_goes_beyond_it_is_answered_alike() {
    let stage = Stage::new().await;
    let function = stage.start_with(&[("ATTEMPTS_PER_ADDRESS", "4")]).await.unwrap();
    let ask = async |number: usize, address: &str| {
        send(&function, asked(&format!("c4nary-{number}@example.com")).from(address)).await
    };
    let accepted = ask(0, "2001:db8::1").await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    for number in 1..7 {
        assert_eq!(ask(number, &format!("2001:db8::{number:x}")).await, accepted, "{number}");
    }
    let page = async |address: &str| send(&function, asked("c4nary@example.com").accept(BROWSER).from(address)).await;
    assert_eq!(page("2001:db8::1").await, page("2001:db8:9::1").await, "over the cap, and from another site");
    assert_eq!(stage.invitations.drain().await.len(), 5);
    // All networks of a site together have five times as many.
    for number in 0..60 {
        assert_eq!(ask(100 + number, &format!("2001:db8:0:{number:x}::ffff")).await, accepted);
    }
    assert_eq!(stage.invitations.drain().await.len(), 16);
    // So has a person three in an hour, in whatever minute.
    let printed = function.stop().await;
    assert!(!printed.contains("c4nary"), "{printed}");
    let dropped = fixtures::metrics(&printed).into_iter().filter(|(name, ..)| name == "LinkRequestsDropped").count();
    assert_eq!(dropped, 3 + 1 + 44);
}

#[tokio::test]
async fn a_press_while_leadsquared_is_away_is_not_lost() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let function = stage.start().await;
    for outage in [Effect::gateway(502), Effect::Cut, Effect::LimitReached(Default::default())] {
        let link = stage.live_link(&lead).await;
        stage.emulator.faults().add(Fault::everywhere(outage.clone()));
        let answer = stage.press(&function, &link.path).await;
        assert_eq!(answer.status, 503, "{outage:?}: {}", answer.body);
        assert!(answer.headers["retry-after"].parse::<u32>().is_ok_and(|seconds| seconds > 0));
        assert!(answer.body.contains("<button>Open my application</button>"), "{}", answer.body);
        let (_, page) = without_id(answer);
        let item = &stage.items().await[&link.pk];
        assert!(!item.contains_key("used_at") && !item.contains_key("used_by"), "{outage:?}: {item:?}");
        stage.emulator.faults().clear();
        assert_eq!(send(&function, looked(&link.path)).await.status, 200);
        // A limit that was reached is waited for, at most its window.
        let began = Instant::now();
        let opened = loop {
            let answer = stage.press_page(&function, &link.path, &page).await;
            if answer.status == 303 || began.elapsed() > Duration::from_secs(30) {
                break answer;
            }
        };
        stage.enter(&opened).await;
    }
    stage.finish(function).await;
}

#[tokio::test]
async fn a_link_that_cannot_be_given_back_is_not_said_to_be_as_good_as_it_was() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let link = stage.live_link(&lead).await;
    let function = stage.start().await;
    let dead = send(&function, looked(&garbage()[0])).await;
    stage.emulator.faults().add(Fault::everywhere(Effect::Latency(Duration::from_secs(60))));
    let before = stage.emulator.calls().len();
    let ledger_goes = async {
        let began = Instant::now();
        while stage.emulator.calls().len() == before {
            assert!(began.elapsed() < Duration::from_secs(10), "LeadSquared is never asked");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stage.aws.dynamodb().delete_table().table_name(&stage.ledger).send().await.unwrap();
    };
    let (answer, ()) = join(stage.press(&function, &link.path), ledger_goes).await;
    assert_eq!(answer, dead);
    let printed = function.stop().await;
    assert!(printed.contains("could not be given back"), "{printed}");
}

#[tokio::test]
async fn whoever_waits_for_leadsquared_is_answered_before_the_time_is_up() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let link = stage.live_link(&lead).await;
    stage.emulator.faults().add(Fault::everywhere(Effect::Latency(Duration::from_secs(60))));
    let function = stage.start().await;
    assert_eq!(stage.press(&function, &link.path).await.status, 503);
    stage.emulator.faults().clear();
    let opened = stage.press(&function, &link.path).await;
    stage.enter(&opened).await;
    stage.finish(function).await;
}

/// The first press after a quiet night, of somebody who is no portal user yet, while the sales team's invitations use
/// up whatever the account's smallest plan permits.
#[tokio::test]
async fn a_cold_press_gets_through_the_line_beside_a_busy_background() {
    let template = Template::read();
    let default = |parameter| template.default(parameter).parse::<u32>().unwrap();
    let (calls, window) = (default("AllowanceCalls"), Duration::from_secs(default("AllowanceWindowSeconds").into()));
    let limit = leadsquared_emulator::Limit { calls, window, ..Default::default() };
    let stage = Stage::set(Settings { limit, ..Settings::for_tests() }, Secrets::default()).await;
    let lead = stage.emulator.add_lead(&[("EmailAddress", ASHA)]).unwrap();
    let link = stage.live_link(&lead).await;
    let function = stage.start().await;
    let rules = Rules::new(call_allowance::Settings::new(leadsquared::Limit { calls, window })).unwrap();
    let slots = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    // As many as the template has.
    for _ in 0..2 {
        let line = Allowance::new(SharedLine::new(Ledger::new(stage.aws.dynamodb(), stage.ledger.clone()), rules));
        let slots = Arc::clone(&slots);
        workers.spawn(async move {
            loop {
                if line.admit(Lane::Background, Instant::now() + Duration::from_secs(60)).await.is_ok() {
                    slots.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let began = Instant::now();
    while slots.load(Ordering::Relaxed) < 4 {
        assert!(began.elapsed() < Duration::from_secs(30), "the background gets no slot");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = slots.load(Ordering::Relaxed);
    let opened = stage.press(&function, &link.path).await;
    let meanwhile = slots.load(Ordering::Relaxed) - before;
    stage.enter(&opened).await;
    assert!(meanwhile > 0, "the background is not busy");
    workers.shutdown().await;
    stage.finish(function).await;
}

#[tokio::test]
async fn rotated_keys_do_not_keep_anybody_out() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let function = stage.start().await;
    let first = stage.live_link(&lead).await;
    assert_eq!(stage.press(&function, &first.path).await.status, 303);
    stage.rotate_keys().await;
    let second = stage.live_link(&lead).await;
    let opened = stage.press(&function, &second.path).await;
    stage.enter(&opened).await;
    stage.finish(function).await;
}

#[tokio::test]
async fn wrong_settings_keep_the_link_good_and_tell_the_operator_what_to_do() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let link = stage.live_link(&lead).await;
    let (access_key, secret_key) = stage.emulator.keys();
    let wrong = keys(&(access_key, secret_key.chars().rev().collect()));
    for (secret, advice) in [
        (wrong.as_str(), "LeadSquared does not accept the keys"),
        (r#"{"accessKey":"REPLACE-ME","secretKey":"REPLACE-ME"}"#, "placeholders"),
    ] {
        stage.put_keys(secret).await;
        let function = stage.start().await;
        assert_eq!(stage.press(&function, &link.path).await.status, 503);
        let printed = function.stop().await;
        let errors: Vec<_> = printed.lines().filter(|line| line.contains("\"ERROR\"")).collect();
        assert!(matches!(errors[..], [error] if error.contains(advice)), "{advice}: {printed}");
    }
    stage.put_keys(&keys(&stage.emulator.keys())).await;
    let function = stage.start().await;
    let opened = stage.press(&function, &link.path).await;
    stage.enter(&opened).await;
    stage.finish(function).await;
}

/// It passes by itself, and calls nobody.
#[tokio::test]
async fn keys_that_cannot_be_read_this_time_are_no_error() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let link = stage.live_link(&lead).await;
    let mut environment = stage.environment("login-link", &[]);
    environment.push(("AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(), "http://127.0.0.1:9".to_owned()));
    let function = Function::start(fixtures::binary("login-link").await, environment).await.unwrap();
    assert_eq!(stage.press(&function, &link.path).await.status, 503);
    let printed = stage.finish(function).await;
    assert!(printed.contains("\"WARN\"") && !printed.contains("\"ERROR\""), "{printed}");
}

#[tokio::test]
async fn a_lead_that_is_no_portal_user_becomes_one_when_its_link_is_pressed() {
    let stage = Stage::new().await;
    let fields = [("EmailAddress", ASHA), ("FirstName", "c4nary"), ("mx_City", "c4nary")];
    let lead = stage.emulator.add_lead(&fields).unwrap();
    let link = stage.live_link(&lead).await;
    let function = stage.start().await;
    assert!(stage.emulator.portal_users().is_empty());
    // Killed by its first answer, the registration is looked up and not repeated.
    stage.emulator.faults().add(Fault::on(Call::Register, Effect::Cut).after_work().times(1));
    assert_eq!(stage.press(&function, &link.path).await.status, 503);
    let opened = stage.press(&function, &link.path).await;
    stage.enter(&opened).await;

    let users = stage.emulator.portal_users();
    let registrations: Vec<_> = users.iter().map(|user| (user.lead_id.as_str(), user.registrations)).collect();
    assert_eq!(registrations, [(lead.as_str(), 1)]);
    assert_eq!(stage.emulator.lead_by_email(ASHA).unwrap().field("mx_City"), Some("c4nary"), "its data stays");
    stage.finish(function).await;
}

#[tokio::test]
async fn a_registration_that_hits_another_lead_lets_nobody_in_and_keeps_the_link() {
    let stage = Stage::new().await;
    let lead = stage.emulator.add_lead(&[("EmailAddress", ASHA)]).unwrap();
    let link = stage.live_link(&lead).await;
    let function = stage.start().await;
    let twin = "33333333-3333-4333-8333-333333333333";
    let body = json!({"LeadId": twin, "Message": "Registration Successful"}).to_string();
    let other = Effect::Answer { status: 200, content_type: "application/json".to_owned(), body };
    stage.emulator.faults().add(Fault::on(Call::Register, other));
    let answer = stage.press(&function, &link.path).await;
    assert_eq!((answer.status, answer.body.matches("<button").count()), (409, 0), "{}", answer.body);
    // LeadSquared's news of what was registered is ours all the same.
    assert!(stage.items().await[&format!("lead#{twin}")].contains_key("registered_at"));
    stage.emulator.faults().clear();
    let opened = stage.press(&function, &link.path).await;
    stage.enter(&opened).await;
    let printed = stage.finish(function).await;
    assert!(printed.contains("merge the two"), "{printed}");
}

#[tokio::test]
async fn a_registration_at_the_click_is_remembered_as_ours() {
    let stage = Stage::new().await;
    let lead = stage.emulator.add_lead(&[("EmailAddress", ASHA)]).unwrap();
    let link = stage.live_link(&lead).await;
    let function = stage.start().await;
    assert_eq!(stage.press(&function, &link.path).await.status, 303);
    let items = stage.items().await;
    let item = &items[&format!("lead#{lead}")];
    let number = |name: &str| item[name].as_n().unwrap().parse::<i64>().unwrap();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    assert!((now - 60..=now).contains(&number("registered_at")), "{item:?}");
    assert_eq!(number("newest_link_used").to_string(), *items[&link.pk]["made_at"].as_n().unwrap());
    assert!(number("expires_at") > now + 29 * 24 * HOUR, "{item:?}");
    stage.finish(function).await;
}

#[tokio::test]
async fn a_lead_without_an_address_is_for_a_person_to_look_at() {
    let stage = Stage::new().await;
    let lead = stage.emulator.add_lead(&[("Phone", "+91-9000000001"), ("FirstName", "c4nary")]).unwrap();
    let link = stage.live_link(&lead).await;
    let function = stage.start().await;
    let answer = stage.press(&function, &link.path).await;
    assert_eq!((answer.status, answer.body.matches("<button").count()), (409, 0), "{}", answer.body);
    assert!(stage.emulator.portal_users().is_empty());
    assert_eq!(send(&function, looked(&link.path)).await.status, 200, "once the record is mended, the link works");
    let printed = stage.finish(function).await;
    assert!(printed.contains("no usable e-mail address"), "{printed}");
}

#[tokio::test]
async fn a_link_that_was_mailed_to_an_address_of_the_past_lets_nobody_in() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let link = stage.live_link(&lead).await;
    stage.emulator.update_lead(&lead, &[("EmailAddress", "asha.c4nary@example.com")]).unwrap();
    let function = stage.start().await;
    assert_eq!(stage.press(&function, &link.path).await.status, 410);
    assert_eq!(stage.calls_to(Call::LeadAuthKey), 0);
    // Its button mails the next one to the lead, wherever that is now.
    assert_eq!(send(&function, fresh(&link.path)).await.status, 202);
    let asked: Value = serde_json::from_str(&stage.invitations.next().await.body.unwrap()).unwrap();
    assert_eq!((asked["lead"].as_str(), asked.get("email")), (Some(&*lead), None), "{asked}");
    stage.finish(function).await;
}

#[tokio::test]
async fn without_its_stores_it_says_so_and_can_be_tried_again() {
    let stage = Stage::new().await;
    let lead = stage.portal_user(ASHA).await;
    let link = stage.live_link(&lead).await;
    let expired = stage.link(&lead, -80 * HOUR, -HOUR).await;
    let without_ledger = stage.start_with(&[("LEDGER_TABLE", "nowhere")]).await.unwrap();
    for request in [looked(&link.path), pressed(&link.path), fresh(&expired.path)] {
        let answer = send(&without_ledger, request).await;
        assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "5"), "{}", answer.body);
        assert_eq!(answer.body.matches("<button").count(), 1);
    }
    assert_eq!(send(&without_ledger, asked(ASHA)).await.status, 202, "nobody is turned away because nobody counts");
    assert_eq!(stage.invitations.drain().await.len(), 1);
    let not_stored = |printed: &str| metrics(printed).iter().filter(|(name, ..)| name == "NotStored").count();
    assert_eq!(not_stored(&without_ledger.stop().await), 1, "the fresh link that was asked for");

    let without_queue = stage.start_with(&[("INVITATIONS_QUEUE_URL", "http://127.0.0.1:9/none.fifo")]).await.unwrap();
    for request in [fresh(&expired.path), asked(ASHA), asked(ASHA).accept(BROWSER)] {
        let answer = send(&without_queue, request).await;
        assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "5"), "{}", answer.body);
    }
    assert_eq!(stage.press(&without_queue, &link.path).await.status, 303, "links that are there work without it");
    assert_eq!(not_stored(&stage.finish(without_queue).await), 3);
}

#[tokio::test]
async fn a_page_is_in_the_readers_language() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    let hindi = stage.start_with(&[("PAGE_LANGUAGE", "hi")]).await.unwrap();
    for (function, accepted, language) in [
        (&function, "hi-IN,hi;q=0.9,en;q=0.5", "hi"),
        (&function, "de-DE", "en"),
        (&hindi, "de-DE", "hi"),
        (&hindi, "en-GB,en;q=0.9", "en"),
    ] {
        for path in ["/login-links", "/login-links/x"] {
            let page = send(function, looked(path).header("accept-language", accepted)).await;
            assert!(page.body.contains(&format!("<html lang=\"{language}\">")), "{accepted}: {}", page.body);
        }
    }
    hindi.stop().await;
    stage.finish(function).await;
}

#[tokio::test]
async fn every_sample_event_is_answered_as_its_name_says() {
    let stage = Stage::new().await;
    let function = stage.start().await;
    for (file, event) in workspace::events("login-link") {
        let answer = Answer::read(function.invoke_bytes(event.into(), TIMEOUT).await.unwrap());
        // Nobody made the link in these events.
        let expected = match file.as_str() {
            "http-api-ask-page.json" => 200,
            "http-api-ask-form.json" | "http-api-ask-json.json" | "http-api-fresh.json" => 202,
            _ => 410,
        };
        assert_eq!(answer.status, expected, "{file}: {}", answer.body);
        assert_eq!(answer.body.is_empty(), file.contains("head"), "{file}");
    }
    stage.finish(function).await;
}

#[test]
fn no_path_and_no_bytes_lead_to_an_error_of_ours() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stage = runtime.block_on(Stage::new());
    let function = runtime.block_on(stage.start());
    let token = "[A-Za-z0-9_-]{43}";
    let path = prop_oneof![
        Just("/login-links".to_owned()),
        token.prop_map(|token| format!("/login-links/{token}")),
        "(/prod)?/login-links/\\PC{0,60}",
        "\\PC{0,60}",
    ];
    let method = prop_oneof![4 => Just("POST"), 2 => Just("GET"), 1 => Just("HEAD"), 1 => Just("PUT")];
    let content_type = prop_oneof![
        Just(URLENCODED.to_owned()),
        Just("application/json".to_owned()),
        Just("multipart/form-data; boundary=frontier".to_owned()),
        "[ -~]{0,40}",
    ];
    let fields = vec(("email|fresh|[a-z]{0,6}", "\\PC{0,20}"), 0..4)
        .prop_map(|fields| form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes());
    let body = prop_oneof![vec(any::<u8>(), 0..200), "[{}\\[\\]\":,a-z0-9]{0,60}".prop_map(String::into_bytes), fields];
    let accept = prop_oneof![Just("application/json".to_owned()), Just(BROWSER.to_owned()), "[ -~]{0,20}"];
    let door = prop_oneof![Just(Door::HttpApi), Just(Door::RestApi), Just(Door::FunctionUrl)];
    let request = (door, method, path, content_type, accept.clone(), accept, body);
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&request, |(door, method, path, content_type, accept, language, body)| {
        let request = Request::new(content_type, body).accept(&accept).header("accept-language", &language);
        let answer = runtime.block_on(send(&function, request.by(method).at(&path).through(door)));
        prop_assert!((200..500).contains(&answer.status), "{answer:?}");
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn a_broken_setting_stops_the_function_with_its_name() {
    let stage = Stage::new().await;
    for (name, value) in [("PAGE_LANGUAGE", "xx"), ("PORTAL_URL", "portal"), ("ORGANISATION", "")] {
        match stage.start_with(&[(name, value)]).await {
            Err(FunctionError::Init { message }) => assert!(message.contains(name), "{message}"),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it starts with {name}={value:?}"),
        }
    }
}

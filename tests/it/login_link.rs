//! The `login-link` function, black box: what becomes of mailed links and of requests for new ones.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{
    body::{Body, to_bytes},
    response::IntoResponse,
};
use call_allowance::{Allowance, AllowanceRules, SharedSchedule};
use futures::future::{join, join_all};
use hyper_util::rt::TokioExecutor;
use leadsquared::portal::Registration;
use leadsquared::{Admission as _, Attributes, EmailAddress, Lane, PlannedCall};
use leadsquared_emulator::{Call, Effect, Emulator, Fault, Settings};
use ledger::Ledger;
use onboarding::{InvitationId, LINK_TOKEN_BYTES, LinkToken, PersonKey};
use proptest::{collection::vec, prelude::*};
use runtime_api::{Function, FunctionError};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{sync::watch, task::JoinSet};
use url::Url;
use uuid::Uuid;

use crate::{
    aws_endpoint,
    functions::{self, count_of, errors, sqs_event},
    http::{Answer, BROWSER, EntryPoint, Request, URLENCODED},
    portal_users::client,
    sandbox::{self, keys},
    template::Template,
    waiting::{poll_until, within},
    workspace,
};

/// As in template.yaml.
const TIMEOUT: Duration = Duration::from_secs(29);
const HOUR: i64 = 3600;
/// The address of login links by the template's defaults.
const LINK_URL: &str = "https://api.example.test/login-links/";
const ASHA: &str = "c4nary@example.com";

/// The tokens of all links, and the keys that browsers took to the portal: none may be logged or stored.
#[derive(Default)]
struct Secrets(Mutex<Vec<String>>);
type Sandbox = sandbox::Sandbox<Secrets>;

/// A login link as the worker stores it.
struct Link {
    path: String,
    pk: String,
}

impl Sandbox {
    async fn new() -> Self {
        Self::open(Settings::for_tests(), Secrets::default()).await
    }

    async fn start(&self) -> Function {
        self.start_with(&[]).await.unwrap()
    }

    async fn start_with(&self, changes: &[(&str, &str)]) -> Result<Function, FunctionError> {
        let mut environment = self.environment("login-link", changes);
        // At the most detailed level, a secret that can be logged is logged.
        environment.push(("AWS_LAMBDA_LOG_LEVEL".to_owned(), "TRACE".to_owned()));
        functions::start("login-link", environment).await
    }

    /// A new lead that is a portal user; returns its id.
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

    /// A link of this lead, mailed to [`ASHA`]. The times are seconds from now.
    async fn link(&self, lead: &str, made_at: i64, valid_until: i64) -> Link {
        let token = LinkToken::new(random());
        let link = token.link(&LINK_URL.parse().unwrap()).expose().to_owned();
        let text = link.strip_prefix(LINK_URL).unwrap().to_owned();
        let pk = format!("link#{}", token.hash().as_str());
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let receipt = InvitationId::of([pk.as_bytes()]).to_string();
        let number = |value: i64| AttributeValue::N(value.to_string());
        let attributes = [
            ("lead_id", AttributeValue::S(lead.to_owned())),
            ("person", AttributeValue::S(PersonKey::of(&ASHA.parse().unwrap()).as_str().to_owned())),
            ("invitation", AttributeValue::S(receipt)),
            ("made_at", number(now + made_at)),
            ("valid_until", number(now + valid_until)),
            ("expires_at", number(now + valid_until + 30 * 24 * HOUR)),
        ];
        self.put(&pk, &attributes).await;
        self.extras.0.lock().unwrap().push(text.clone());
        Link { path: format!("/login-links/{text}"), pk }
    }

    /// A link that works. Each is a second younger than the one before: a person gets one mail a second at most.
    async fn live_link(&self, lead: &str) -> Link {
        static MADE_AT: AtomicI64 = AtomicI64::new(-HOUR);
        self.link(lead, MADE_AT.fetch_add(1, Ordering::Relaxed), 72 * HOUR).await
    }

    /// Marks a link as used so many seconds ago from another page.
    async fn use_up(&self, link: &Link, seconds_ago: i64) {
        self.set(&link.pk, "used_by", AttributeValue::S(Uuid::nil().to_string())).await;
        self.used_at(link, seconds_ago).await;
    }

    async fn used_at(&self, link: &Link, seconds_ago: i64) {
        let at = OffsetDateTime::now_utc().unix_timestamp() - seconds_ago;
        self.set(&link.pk, "used_at", AttributeValue::N(at.to_string())).await;
    }

    /// The items of the ledger by key.
    async fn items_by_key(&self) -> BTreeMap<String, HashMap<String, AttributeValue>> {
        self.items().await.into_iter().map(|item| (item["pk"].as_s().unwrap().clone(), item)).collect()
    }

    /// Presses the button of a link without the id of its page.
    async fn press(&self, function: &Function, path: &str) -> Answer {
        self.send_press(function, pressed(path)).await
    }

    /// Presses the button of a link on the page with this id.
    async fn press_page(&self, function: &Function, path: &str, page: &str) -> Answer {
        self.send_press(function, Request::urlencoded(&[("page", page)]).accept(BROWSER).at(path)).await
    }

    async fn send_press(&self, function: &Function, request: Request<'_>) -> Answer {
        let answer = send(function, request).await;
        if answer.status == 303 {
            let location: Url = answer.headers["location"].parse().unwrap();
            let key = location.query_pairs().find(|(name, _)| name == "authKey").unwrap().1.into_owned();
            self.extras.0.lock().unwrap().push(key);
        }
        answer
    }

    /// Follows the answer to a press into the portal. Asserts that the portal is signed in.
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

    /// Stops the function. Asserts that no token, key or personal data is in its output, the ledger or the queue.
    async fn finish(self, function: Function) -> String {
        let printed = function.stop().await;
        let kept = self.kept().await;
        let queued: Vec<_> = self.invitations.drain().await.into_iter().filter_map(|message| message.body).collect();
        let (access_key, secret_key) = self.emulator.keys();
        let mut secrets = self.extras.0.lock().unwrap().clone();
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

/// The bytes of a token that no other link has.
fn random() -> [u8; LINK_TOKEN_BYTES] {
    static LAST: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0xa5; LINK_TOKEN_BYTES];
    bytes[24..].copy_from_slice(&LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

async fn send(function: &Function, request: Request<'_>) -> Answer {
    Answer::read(function.invoke(&request.event(), TIMEOUT).await.unwrap())
}

/// Takes the page id out of a page with a button; returns the rest of the page, and the id.
fn without_id(page: Answer) -> (Answer, String) {
    const BEFORE: &str = "<input type=\"hidden\" name=\"page\" value=\"";
    let (head, rest) = page.body.split_once(BEFORE).unwrap_or_else(|| panic!("the page has no id: {}", page.body));
    let (id, tail) = rest.split_once('"').unwrap();
    (Answer { body: format!("{head}{tail}"), ..page.clone() }, id.to_owned())
}

/// A press of the button without a page id.
fn pressed(path: &str) -> Request<'_> {
    Request::new(URLENCODED, "").accept(BROWSER).at(path)
}

/// A visit of a page.
fn looked(path: &str) -> Request<'_> {
    pressed(path).method("GET")
}

/// A press of the button that asks for a fresh link.
fn fresh(path: &str) -> Request<'_> {
    Request::urlencoded(&[("fresh", "yes")]).accept(BROWSER).at(path)
}

/// A request for a link to this address.
fn asked<'a>(email: &str) -> Request<'a> {
    Request::json(&[("email", email)]).at("/login-links")
}

/// Paths that are no links.
fn garbage() -> Vec<String> {
    let long = "A".repeat(4000);
    let unknown = "B".repeat(43);
    let texts = ["x", "%00", "..%2f..", "é", "<script>", "favicon.ico", "a/b/c", &unknown, &long];
    texts.iter().map(|text| format!("/login-links/{text}")).collect()
}

#[tokio::test]
async fn a_mailed_link_opens_the_portal_once() {
    let sandbox = Sandbox::new().await;
    let portal_page = sandbox.emulator.portal_page_url();
    let worker = sandbox.start_function("invitation", &[]).await.unwrap();
    let message = json!({
        "version": 2, "id": InvitationId::of([&b"one"[..]]).to_string(), "source": "form", "action": "invite",
        "received_at": "2026-11-22T09:30:00Z", "email": ASHA, "attributes": [{"name": "FirstName", "value": "c4nary"}],
    });
    sandbox.invitations.send(&message.to_string(), "asha", "one").await;
    let message = sandbox.invitations.next().await;
    let answer = worker.invoke(&sqs_event(std::slice::from_ref(&message)), Duration::from_secs(60)).await.unwrap();
    assert_eq!(answer["batchItemFailures"], json!([]));
    sandbox.invitations.delete(&message).await;
    worker.stop().await;
    // The worker makes no portal key: the mail holds none that a reader could find.
    assert_eq!((sandbox.calls_to(Call::TenantAuthKey), sandbox.calls_to(Call::LeadAuthKey)), (0, 0));
    let mail = sandbox.emulator.mails().pop().unwrap();
    let link = mail.text.split_whitespace().find(|word| word.starts_with(LINK_URL)).expect("the mail has a login link");
    assert!(!mail.text.contains("authKey") && !mail.html.contains("authKey"));
    let token = link.strip_prefix(LINK_URL).unwrap();
    sandbox.extras.0.lock().unwrap().push(token.to_owned());
    let path = format!("/login-links/{token}");

    let function = sandbox.start().await;
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
    let opened = sandbox.press(&function, &path).await;
    sandbox.enter(&opened).await;
    assert_eq!(opened.headers["referrer-policy"], "no-referrer");
    assert_eq!(sandbox.press(&function, &path).await.status, 410);
    let printed = sandbox.finish(function).await;
    assert_eq!(printed.matches("login link opened the portal").count(), 1, "{printed}");
}

/// A mail sandbox presses the button in every mail before the person does.
#[tokio::test]
async fn after_two_links_that_a_robot_used_the_mail_brings_a_code() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let worker = sandbox.start_function("invitation", &[("MAIL_COOL_DOWN_SECONDS", "1")]).await.unwrap();
    let function = sandbox.start().await;
    // Asks for a link in place of a used one. Returns the path of the next one, and the code in its mail.
    let next_mail = async |path: &str| {
        assert_eq!(send(&function, fresh(path)).await.status, 202);
        let message = sandbox.invitations.next().await;
        let event = sqs_event(std::slice::from_ref(&message));
        poll_until("the cool-down has passed", async || {
            let answer = worker.invoke(&event, Duration::from_secs(60)).await.unwrap();
            answer["batchItemFailures"] == json!([])
        })
        .await;
        sandbox.invitations.delete(&message).await;
        let mail = sandbox.emulator.mails().pop().unwrap();
        let link = mail.text.split_whitespace().find(|word| word.starts_with(LINK_URL)).unwrap();
        let token = link.strip_prefix(LINK_URL).unwrap().to_owned();
        let code =
            mail.text.split_once("asks for this code: ").map(|(_, rest)| rest.lines().next().unwrap().to_owned());
        assert!(code.as_ref().is_none_or(|code| mail.html.contains(code)), "{}", mail.html);
        sandbox.extras.0.lock().unwrap().extend([Some(token.clone()), code.clone()].into_iter().flatten());
        (format!("/login-links/{token}"), code)
    };
    let mut path = sandbox.live_link(&lead).await.path;
    for _ in 0..2 {
        assert_eq!(sandbox.press(&function, &path).await.status, 303, "the robot");
        assert_eq!(sandbox.press(&function, &path).await.status, 410, "the person");
        let (next, code) = next_mail(&path).await;
        assert!(code.is_none() == (sandbox.emulator.mails().len() == 1));
        let Some(code) = code else {
            path = next;
            continue;
        };
        let page = send(&function, looked(&next)).await;
        assert!(page.status == 200 && page.body.contains("name=\"code\""), "{}", page.body);
        let enter = async |code: &str| {
            let request = Request::urlencoded(&[("code", code)]).accept(BROWSER).at(&next);
            sandbox.send_press(&function, request).await
        };
        // The robot presses as before, and types what it finds.
        for _ in 0..10 {
            let pressed = sandbox.press(&function, &next).await;
            assert!(pressed.status == 422 && pressed.body.contains("must be the code"), "{}", pressed.body);
            assert_eq!(enter("test").await.status, 422);
        }
        for _ in 0..4 {
            assert_eq!(enter("00000-00000").await.status, 422);
        }
        let typed = code.to_lowercase().replace('-', " ");
        let opened = enter(&typed).await;
        sandbox.enter(&opened).await;
        assert_eq!(enter(&code).await.status, 410, "once");
        path = next;
    }
    // A later one brings a code as well, and its five tries are all there are.
    let (next, code) = next_mail(&path).await;
    let code = code.unwrap();
    let enter = async |code: &str| {
        send(&function, Request::urlencoded(&[("code", code)]).accept(BROWSER).at(&next)).await.status
    };
    for _ in 0..4 {
        assert_eq!(enter("00000-00000").await, 422);
    }
    assert_eq!((enter("00000-00000").await, enter(&code).await, enter(&code).await), (410, 410, 410));
    let page = send(&function, looked(&next)).await;
    assert!(page.status == 410 && !page.body.contains("name=\"code\""), "{}", page.body);
    assert!(page.body.contains("entered wrongly too often") && page.body.contains("name=\"fresh\""), "{}", page.body);
    worker.stop().await;
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_visit_of_the_page_changes_nothing() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    let function = sandbox.start().await;
    let (before, calls) = (sandbox.items_by_key().await, sandbox.emulator.calls().len());

    let look = async |request: Request<'_>| without_id(send(&function, request).await).0;
    let page = look(looked(&link.path)).await;
    for entry_point in [EntryPoint::HttpApi, EntryPoint::RestApi, EntryPoint::FunctionUrl] {
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
            let request = looked(&link.path).through(entry_point).header(name, value);
            assert_eq!(look(request.clone()).await, page, "{entry_point:?} {name}");
            let head = send(&function, request.method("HEAD")).await;
            assert_eq!((head.status, head.headers, head.body), (200, page.headers.clone(), String::new()), "{name}");
        }
    }
    for wrapping in
        ["/", ".", ")", ">", "%3E", "=", "&data=05%7C02", "?url=x", "\u{201d}", "/fresh", "#button", "_", "__.", "%5F"]
    {
        let path = format!("{}{wrapping}", link.path);
        assert_eq!(look(looked(&path)).await, page, "{wrapping}");
    }
    for method in ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        let answer = send(&function, pressed(&link.path).method(method)).await;
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "GET, HEAD, POST"), "{method}");
    }
    for _ in 0..50 {
        assert_eq!(look(looked(&link.path)).await, page);
    }

    assert_eq!(sandbox.items_by_key().await, before, "a visit writes nothing");
    assert_eq!(sandbox.emulator.calls().len(), calls, "a visit makes no call to LeadSquared");
    assert_eq!(sandbox.invitations.drain().await.len(), 0);
    let opened = sandbox.press(&function, &link.path).await;
    sandbox.enter(&opened).await;
    sandbox.finish(function).await;
}

#[test]
fn the_templates_default_link_mode_is_safe_from_mail_scanners() {
    assert_eq!(Template::read().default("LinkMode"), "on-click");
}

#[tokio::test]
async fn of_a_thousand_presses_at_once_one_opens_the_portal() {
    const PRESSES: usize = 1000;
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    let mut function = sandbox.start().await;
    for _ in 0..3 {
        function.add_process().await.unwrap();
    }
    let dead = send(&function, looked(&garbage()[0])).await;
    // Every second press comes from a page, each from a page of its own.
    let answers = join_all((0..PRESSES).map(async |number| match number % 2 {
        0 => sandbox.press(&function, &link.path).await,
        _ => sandbox.press_page(&function, &link.path, &Uuid::from_u128(number as u128).to_string()).await,
    }));
    let answers = answers.await;
    let (opened, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 303);
    assert_eq!((opened.len(), others.len()), (1, PRESSES - 1));
    assert!(others.iter().all(|answer| *answer == dead), "{others:?}");
    assert_eq!(sandbox.calls_to(Call::LeadAuthKey), 1);
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_second_press_on_the_same_page_opens_the_portal_again_and_one_on_another_page_does_not() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    let mut function = sandbox.start().await;
    function.add_process().await.unwrap();
    let (_, page) = without_id(send(&function, looked(&link.path)).await);
    let (_, other) = without_id(send(&function, looked(&link.path)).await);
    assert_ne!(page, other);
    // A double click: the browser shows the answer that arrives last.
    let twice = join_all([(); 2].map(|()| sandbox.press_page(&function, &link.path, &page))).await;
    for opened in &twice {
        sandbox.enter(opened).await;
    }
    sandbox.enter(&sandbox.press_page(&function, &link.path, &page).await).await;
    for stranger in [other.as_str(), "", "no id", &Uuid::nil().to_string()] {
        assert_eq!(sandbox.press_page(&function, &link.path, stranger).await.status, 410, "{stranger}");
    }
    assert_eq!(sandbox.press(&function, &link.path).await.status, 410);

    sandbox.used_at(&link, 31).await;
    assert_eq!(sandbox.press_page(&function, &link.path, &page).await.status, 410, "after half a minute");
    let items = sandbox.items_by_key().await;
    assert!(!format!("{items:?}").contains(link.path.rsplit('/').next().unwrap()));
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_failed_second_press_does_not_make_a_used_link_valid_again() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    let function = sandbox.start().await;
    let (_, page) = without_id(send(&function, looked(&link.path)).await);
    sandbox.enter(&sandbox.press_page(&function, &link.path, &page).await).await;
    sandbox.emulator.faults().add(Fault::everywhere(Effect::LimitReached(Default::default())));
    assert_eq!(sandbox.press_page(&function, &link.path, &page).await.status, 503);
    sandbox.emulator.faults().clear();
    assert_eq!(send(&function, looked(&link.path)).await.status, 410);
    assert_eq!(sandbox.press(&function, &link.path).await.status, 410);
    let printed = sandbox.finish(function).await;
    assert_eq!(printed.matches("login link opened the portal").count(), 1, "{printed}");
}

#[tokio::test]
async fn a_press_by_another_site_shows_the_page_and_our_own_button_works() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    let function = sandbox.start().await;
    let (page, _) = without_id(send(&function, looked(&link.path)).await);
    let before = sandbox.items_by_key().await;
    for site in ["cross-site", "same-site"] {
        for origin in ["https://evil.example", "null"] {
            for press in [pressed(&link.path), fresh(&link.path)] {
                let answer = send(&function, press.header("sec-fetch-site", site).header("origin", origin)).await;
                assert_eq!(without_id(answer).0, page, "{site} {origin}");
            }
        }
    }
    assert_eq!((sandbox.items_by_key().await, sandbox.invitations.drain().await.len()), (before, 0));
    // A form on the company's own website asks for a link by address.
    let request = asked(ASHA).header("sec-fetch-site", "cross-site").header("origin", "https://www.example.com");
    assert_eq!(send(&function, request).await.status, 202, "by default every origin is allowed");
    // Our page has the policy no-referrer, so browsers send the origin null from it.
    for (number, headers) in [
        [("sec-fetch-site", "same-origin"), ("origin", "null")],
        [("sec-fetch-site", "none"), ("origin", "null")],
        [("user-agent", "an old browser"), ("origin", "null")],
    ]
    .into_iter()
    .enumerate()
    {
        let link = sandbox.live_link(&lead).await;
        let press = headers.iter().fold(pressed(&link.path), |press, (name, value)| press.header(name, value));
        let opened = sandbox.send_press(&function, press).await;
        assert_eq!(opened.status, 303, "{number}");
    }
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_page_of_another_site_cannot_ask_for_links_and_the_companys_website_can() {
    let sandbox = Sandbox::new().await;
    let function =
        sandbox.start_function("login-link", &[("ALLOWED_ORIGINS", "https://www.example.com")]).await.unwrap();
    let ask = async |headers: &[(&str, &str)]| {
        let request = headers.iter().fold(asked(ASHA), |request, (name, value)| request.header(name, value));
        send(&function, request).await
    };
    let cross_site = ("sec-fetch-site", "cross-site");
    let refused = ask(&[cross_site, ("origin", "https://evil.example")]).await;
    assert_eq!(refused.problem(), (403, "/problems/other-site".to_owned()));
    let page = ask(&[cross_site, ("origin", "null"), ("accept", BROWSER)]).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("Please enter the address here") && page.body.contains("<form"), "{}", page.body);
    // Every page of a link has the form for the address, so it can be sent there too.
    for path in garbage() {
        let request = asked(ASHA).at(&path).header("origin", "https://evil.example");
        assert_eq!(send(&function, request).await.status, 403, "{path}");
    }
    assert_eq!(sandbox.invitations.drain().await.len(), 0);
    for headers in [
        &[cross_site, ("origin", "https://www.example.com")][..],
        &[("sec-fetch-site", "same-origin"), ("origin", "null")],
        &[("origin", "null")],
        &[],
    ] {
        assert_eq!(ask(headers).await.status, 202, "{headers:?}");
    }
    sandbox.finish(function).await;
    let other = Sandbox::new().await;
    let with_slash = other.start_with(&[("ALLOWED_ORIGINS", "https://www.example.com/")]).await;
    let error = functions::failed_start(with_slash);
    assert!(error.contains("ALLOWED_ORIGINS") && error.contains("write https://www.example.com"), "{error}");
}

#[tokio::test]
async fn all_dead_links_get_the_same_page() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let expired = sandbox.link(&lead, -80 * HOUR, -1).await;
    let forgotten = sandbox.link(&lead, -4000 * HOUR, -3000 * HOUR).await;
    let superseded = sandbox.link(&lead, -2 * HOUR, 70 * HOUR).await;
    let used = sandbox.link(&lead, -HOUR, 71 * HOUR).await;
    let newer = sandbox.link(&lead, -60, 72 * HOUR).await;
    let gone = sandbox.live_link("00000000-0000-4000-8000-000000000000").await;
    let function = sandbox.start().await;
    assert_eq!(
        send(&function, looked(&superseded.path)).await.status,
        200,
        "an older link is valid until a newer one is used"
    );
    let opened = sandbox.press(&function, &used.path).await;
    sandbox.enter(&opened).await;

    let page = send(&function, looked("/login-links/unknown")).await;
    assert_eq!(page.status, 410);
    assert!(page.body.contains("<button name=\"fresh\" value=\"yes\">Mail me a fresh link</button>"), "{}", page.body);
    assert_eq!(sandbox.press(&function, &gone.path).await, page, "the link of a deleted lead");
    let dead = [expired.path, forgotten.path, superseded.path, used.path, gone.path];
    for path in dead.into_iter().chain(garbage()) {
        assert_eq!(send(&function, looked(&path)).await, page, "{path}");
        assert_eq!(send(&function, looked(&path).method("HEAD")).await.headers, page.headers, "{path}");
        assert_eq!(sandbox.press(&function, &path).await, page, "{path}");
    }
    let opened = sandbox.press(&function, &newer.path).await;
    // A newer link stays valid after an older one was used.
    sandbox.enter(&opened).await;
    let printed = sandbox.finish(function).await;
    for cause in ["expired", "superseded", "used", "unknown", "no such lead"] {
        assert!(printed.contains(&format!("\"cause\":\"{cause}\"")), "{cause}: {printed}");
    }
}

#[tokio::test]
async fn a_dead_link_mails_its_lead_a_fresh_one_and_an_unknown_link_gets_the_same_answer() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let expired = sandbox.link(&lead, -80 * HOUR, -HOUR).await;
    let function = sandbox.start().await;
    // A chat took the `_` behind the link for a part of it.
    let answer = send(&function, fresh(&format!("{}_", expired.path))).await;
    assert_eq!(answer.status, 202);
    let messages = sandbox.invitations.drain().await;
    assert_eq!(messages.len(), 1);
    let invitation: Value = serde_json::from_str(messages[0].body.as_deref().unwrap()).unwrap();
    assert_eq!((&invitation["source"], &invitation["action"]), (&json!("link-request"), &json!("mail-link")));
    assert!(messages[0].body.as_deref().unwrap().contains(&lead), "{invitation}");

    for path in garbage() {
        assert_eq!(send(&function, fresh(&path)).await, answer, "{path}");
    }
    assert_eq!(sandbox.invitations.drain().await.len(), 0);
    // Further presses in the same minute are the same request. At most one minute ends between these.
    for _ in 0..10 {
        assert_eq!(send(&function, fresh(&expired.path)).await, answer);
    }
    assert!(sandbox.invitations.drain().await.len() <= 1);
    assert_eq!(sandbox.emulator.mails().len(), 0);
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_request_for_a_fresh_link_records_that_the_last_one_was_used() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.link(&lead, -10, HOUR).await;
    // The process crashed after LeadSquared's answer: the lead's item does not say that the link was used.
    sandbox.use_up(&link, 5).await;
    let function = sandbox.start().await;
    assert_eq!(send(&function, fresh(&link.path)).await.status, 202);
    // From this the worker knows that the link mailed ten seconds ago no longer works.
    let items = sandbox.items_by_key().await;
    assert_eq!(items[&format!("lead#{lead}")]["newest_link_used"], items[&link.pk]["made_at"]);
    assert_eq!(sandbox.invitations.drain().await.len(), 1);

    // A link that expired unused is not recorded as used.
    let ravi = sandbox.portal_user("ravi.c4nary@example.com").await;
    let expired = sandbox.link(&ravi, -80 * HOUR, -HOUR).await;
    assert_eq!(send(&function, fresh(&expired.path)).await.status, 202);
    assert!(!sandbox.items_by_key().await.contains_key(&format!("lead#{ravi}")));
    sandbox.finish(function).await;
}

#[tokio::test]
async fn the_links_of_a_lead_request_twenty_others_a_day() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let function = sandbox.start().await;
    let mut answers = Vec::new();
    for _ in 0..22 {
        let link = sandbox.link(&lead, -80 * HOUR, -HOUR).await;
        answers.push(send(&function, fresh(&link.path)).await);
    }
    assert_eq!(sandbox.invitations.drain().await.len(), 20);
    answers.dedup();
    assert_eq!(answers.len(), 1, "the answer does not show whether the request was dropped");
    let printed = sandbox.finish(function).await;
    assert_eq!(printed.matches("its lead has requested too many today").count(), 2, "{printed}");
}

#[tokio::test]
async fn a_used_link_counts_towards_the_code_for_twelve_hours() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let function = sandbox.start().await;
    let person = format!("person#{}", PersonKey::of(&ASHA.parse().unwrap()).as_str());
    // How many used links the link follows, and how many its person has after the request.
    for (hours_ago, follows, counted) in [(14, 0, None), (13, 2, None), (11, 0, Some("1")), (10, 2, Some("3"))] {
        let link = sandbox.link(&lead, -hours_ago * HOUR, 72 * HOUR).await;
        sandbox.set(&link.pk, "used_links", AttributeValue::N(follows.to_string())).await;
        sandbox.use_up(&link, 3600).await;
        // Once per link, however often its page is asked.
        for _ in 0..2 {
            assert_eq!(send(&function, fresh(&link.path)).await.status, 202);
        }
        let messages = sandbox.invitations.drain().await;
        let asked: Value = serde_json::from_str(messages[0].body.as_deref().unwrap()).unwrap();
        let items = sandbox.items_by_key().await;
        let found = items.get(&person).and_then(|item| Some(item.get("used_links")?.as_n().unwrap().as_str()));
        assert_eq!((found, &asked["used_links"]), (counted, &Value::Null), "{hours_ago} hours ago");
    }
    sandbox.finish(function).await;
}

#[tokio::test]
async fn the_mail_after_two_pressed_links_brings_a_code_to_a_person_who_asks_by_address() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let worker = sandbox.start_function("invitation", &[]).await.unwrap();
    let function = sandbox.start().await;
    for made_at in [-300, -200] {
        let link = sandbox.link(&lead, made_at, 72 * HOUR).await;
        assert_eq!(sandbox.press(&function, &link.path).await.status, 303, "the robot");
    }
    assert_eq!(send(&function, asked(ASHA)).await.status, 202);
    let message = sandbox.invitations.next().await;
    let answer = worker.invoke(&sqs_event(std::slice::from_ref(&message)), Duration::from_secs(60)).await.unwrap();
    assert_eq!(answer["batchItemFailures"], json!([]));
    sandbox.invitations.delete(&message).await;
    let mail = sandbox.emulator.mails().pop().unwrap();
    assert!(mail.text.contains("asks for this code: "), "{}", mail.text);
    let link = mail.text.split_whitespace().find(|word| word.starts_with(LINK_URL)).unwrap();
    let token = link.strip_prefix(LINK_URL).unwrap();
    sandbox.extras.0.lock().unwrap().push(token.to_owned());
    assert_eq!(sandbox.press(&function, &format!("/login-links/{token}")).await.status, 422, "the robot");
    worker.stop().await;
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_press_that_is_not_recorded_opens_the_portal_and_the_log_says_what_is_missing() {
    const OLDER_LINKS: &str = "older links of its lead stay valid";
    const COUNT: &str = "the ledger did not count this used link";
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    for (attribute, warning, other) in
        [("newest_link_used", OLDER_LINKS, COUNT), ("used_link_made_at", COUNT, OLDER_LINKS)]
    {
        let refuse = async move |call: aws_endpoint::Call| {
            let is_refused = call.operation == "UpdateItem" && call.contains(attribute);
            is_refused.then(|| aws_endpoint::error(400, "AccessDeniedException").into_response())
        };
        let table = aws_endpoint::proxy(&sandbox.aws, refuse).await;
        let mut environment = sandbox.environment("login-link", &[]);
        environment.push(("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), table.url.clone()));
        let function = functions::start("login-link", environment).await.unwrap();
        let link = sandbox.live_link(&lead).await;
        assert_eq!(sandbox.press(&function, &link.path).await.status, 303, "{attribute}");
        let printed = function.stop().await;
        assert!(printed.contains(warning) && !printed.contains(other), "{attribute}: {printed}");
    }
}

#[tokio::test]
async fn a_press_gives_back_the_try_that_it_took_and_no_other() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    let token: LinkToken = link.path.strip_prefix("/login-links/").unwrap().parse().unwrap();
    let code = token.code_hash("01Z0A-HJKMZ").as_str().to_owned();
    sandbox.set(&link.pk, "code", AttributeValue::S(code)).await;
    sandbox.set(&link.pk, "tries", AttributeValue::N("2".to_owned())).await;
    let function = sandbox.start().await;
    let tries = async || sandbox.items_by_key().await[&link.pk]["tries"].as_n().unwrap().clone();
    let (_, page) = without_id(send(&function, looked(&link.path)).await);
    let enter = async || {
        let fields = [("page", page.as_str()), ("code", "01Z0A-HJKMZ")];
        sandbox.send_press(&function, Request::urlencoded(&fields).accept(BROWSER).at(&link.path)).await.status
    };
    sandbox.emulator.faults().add(Fault::everywhere(Effect::gateway(503)));
    assert_eq!((enter().await, tries().await.as_str()), (503, "2"));
    sandbox.emulator.faults().clear();
    assert_eq!((enter().await, tries().await.as_str()), (303, "3"));
    sandbox.emulator.faults().add(Fault::everywhere(Effect::gateway(503)));
    // The same page once more: its first press took the try.
    assert_eq!(enter().await, 503);
    assert_eq!(tries().await, "3");
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_request_for_a_link_gets_the_same_answer_for_known_and_unknown_addresses() {
    let sandbox = Sandbox::new().await;
    sandbox.portal_user(ASHA).await;
    let (function, calls) = (sandbox.start().await, sandbox.emulator.calls().len());
    let known = send(&function, asked(ASHA)).await;
    assert_eq!((known.status, known.body.as_str()), (202, "{\"status\":\"accepted\"}"));
    let known_page = send(&function, asked(&ASHA.to_uppercase()).accept(BROWSER)).await;
    assert_eq!((known_page.status, known_page.headers["content-type"].as_str()), (202, "text/html; charset=utf-8"));
    let messages = sandbox.invitations.drain().await;
    assert!((1..=2).contains(&messages.len()), "one message, or two when a minute ended in between");
    let invitation: Value = serde_json::from_str(messages[0].body.as_deref().unwrap()).unwrap();
    assert_eq!((&invitation["source"], &invitation["action"]), (&json!("link-request"), &json!("mail-link")));
    assert_eq!(invitation["email"], ASHA);

    assert_eq!(send(&function, asked("c4nary-stranger@example.com")).await, known);
    assert_eq!(send(&function, asked("c4nary-stranger@example.com").accept(BROWSER)).await, known_page);
    // The page behind a dead link has the same form.
    assert_eq!(send(&function, asked(ASHA).accept(BROWSER).at(&garbage()[0])).await, known_page);
    assert_eq!(sandbox.emulator.calls().len(), calls, "LeadSquared is not asked");
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_malformed_address_is_refused_with_the_field_named() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    for request in [
        asked(""),
        asked("c4nary"),
        asked("c4nary@localhost"),
        Request::json(&[]).at("/login-links"),
        Request::urlencoded(&[("email", "a@example.com"), ("email", "b@example.com")]).at("/login-links"),
        Request::new("application/json", "{\"email\":[\"c4nary@example.com\",\"b@example.com\"]}").at("/login-links"),
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
    sandbox.finish(function).await;
}

#[tokio::test]
async fn requests_over_the_cap_of_a_network_are_dropped_and_get_the_same_answer() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start_with(&[("ATTEMPTS_PER_ADDRESS", "4")]).await.unwrap();
    let ask = async |number: usize, address: &str| {
        send(&function, asked(&format!("c4nary-{number}@example.com")).from(address)).await
    };
    let accepted = ask(0, "2001:db8::1").await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    for number in 1..7 {
        assert_eq!(ask(number, &format!("2001:db8::{number:x}")).await, accepted, "{number}");
    }
    let page = async |address: &str| send(&function, asked("c4nary@example.com").accept(BROWSER).from(address)).await;
    assert_eq!(page("2001:db8::1").await, page("2001:db8:9::1").await, "over the cap, and from another network");
    assert_eq!(sandbox.invitations.drain().await.len(), 5);
    // All /64 networks of a /48 site together may send five times as many.
    for number in 0..60 {
        assert_eq!(ask(100 + number, &format!("2001:db8:0:{number:x}::ffff")).await, accepted);
    }
    assert_eq!(sandbox.invitations.drain().await.len(), 16);
    let printed = function.stop().await;
    assert!(!printed.contains("c4nary"), "{printed}");
    assert_eq!(count_of(&printed, "LinkRequestsDropped"), 3 + 1 + 44);
}

#[tokio::test]
async fn a_press_during_an_outage_of_leadsquared_leaves_the_link_valid() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let function = sandbox.start().await;
    for outage in [Effect::gateway(502), Effect::Cut, Effect::LimitReached(Default::default())] {
        let link = sandbox.live_link(&lead).await;
        sandbox.emulator.faults().add(Fault::everywhere(outage.clone()));
        let answer = sandbox.press(&function, &link.path).await;
        assert_eq!(answer.status, 503, "{outage:?}: {}", answer.body);
        assert!(answer.retries_within(3600));
        assert!(answer.body.contains("<button>Open my application</button>"), "{}", answer.body);
        let (_, page) = without_id(answer);
        let item = &sandbox.items_by_key().await[&link.pk];
        assert!(!item.contains_key("used_at") && !item.contains_key("used_by"), "{outage:?}: {item:?}");
        sandbox.emulator.faults().clear();
        assert_eq!(send(&function, looked(&link.path)).await.status, 200);
        // After a refusal for the limit, the function pauses for one window.
        let opens = async {
            loop {
                let answer = sandbox.press_page(&function, &link.path, &page).await;
                if answer.status == 303 {
                    return answer;
                }
            }
        };
        let opened = within("the link opens the portal after the outage", opens).await;
        sandbox.enter(&opened).await;
    }
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_link_that_cannot_be_made_valid_again_gets_the_page_of_a_dead_link() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    let function = sandbox.start().await;
    let dead = send(&function, looked(&garbage()[0])).await;
    sandbox.emulator.faults().add(Fault::everywhere(Effect::Latency(Duration::from_secs(60))));
    let before = sandbox.emulator.calls().len();
    let ledger_is_lost = async {
        let is_called = |emulator: &Emulator| emulator.calls().len() > before;
        within("LeadSquared is called", sandbox.emulator.reached(is_called)).await;
        sandbox.aws.dynamodb().delete_table().table_name(&sandbox.ledger).send().await.unwrap();
    };
    let (answer, ()) = join(sandbox.press(&function, &link.path), ledger_is_lost).await;
    assert_eq!(answer, dead);
    let printed = function.stop().await;
    assert!(printed.contains("could not make the login link valid again"), "{printed}");
}

#[tokio::test]
async fn a_press_is_answered_before_the_functions_time_out_when_leadsquared_hangs() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    sandbox.emulator.faults().add(Fault::everywhere(Effect::Latency(Duration::from_secs(60))));
    let function = sandbox.start().await;
    assert_eq!(sandbox.press(&function, &link.path).await.status, 503);
    sandbox.emulator.faults().clear();
    let opened = sandbox.press(&function, &link.path).await;
    sandbox.enter(&opened).await;
    sandbox.finish(function).await;
}

/// The first press on a cold function, for a lead that is not yet a portal user, while background invitations use up
/// the call allowance of LeadSquared's smallest plan.
#[tokio::test]
async fn a_cold_press_gets_its_calls_beside_a_busy_background() {
    let template = Template::read();
    let default = |parameter| template.default(parameter).parse::<u32>().unwrap();
    let (calls, window) = (default("AllowanceCalls"), Duration::from_secs(default("AllowanceWindowSeconds").into()));
    let limit = leadsquared_emulator::Limit { calls, window, ..Default::default() };
    let sandbox = Sandbox::open(Settings { limit, ..Settings::for_tests() }, Secrets::default()).await;
    let lead = sandbox.emulator.add_lead(&[("EmailAddress", ASHA)]).unwrap();
    let link = sandbox.live_link(&lead).await;
    let function = sandbox.start().await;
    let rules =
        AllowanceRules::new(call_allowance::AllowanceSettings::new(leadsquared::RateLimit { calls, window })).unwrap();
    let slots = watch::Sender::new(0);
    let mut workers = JoinSet::new();
    // The template's number of concurrent workers.
    for _ in 0..2 {
        let ledger = Ledger::new(sandbox.aws.dynamodb(), sandbox.ledger.clone());
        let allowance = Allowance::new(SharedSchedule::new(ledger, rules));
        let slots = slots.clone();
        workers.spawn(async move {
            loop {
                if allowance
                    .admit(PlannedCall {
                        lane: Lane::Background,
                        deadline: Instant::now() + Duration::from_secs(60),
                        is_followed: false,
                    })
                    .await
                    .is_ok()
                {
                    slots.send_modify(|slots| *slots += 1);
                }
            }
        });
    }
    within("the background gets slots", slots.subscribe().wait_for(|slots| *slots >= 4)).await.unwrap();
    let before = *slots.borrow();
    let opened = sandbox.press(&function, &link.path).await;
    let meanwhile = *slots.borrow() - before;
    sandbox.enter(&opened).await;
    assert!(meanwhile > 0, "the background got no slot during the press");
    workers.shutdown().await;
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_press_works_with_rotated_keys() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let function = sandbox.start().await;
    let first = sandbox.live_link(&lead).await;
    assert_eq!(sandbox.press(&function, &first.path).await.status, 303);
    sandbox.rotate_keys().await;
    let second = sandbox.live_link(&lead).await;
    let opened = sandbox.press(&function, &second.path).await;
    sandbox.enter(&opened).await;
    sandbox.finish(function).await;
}

#[tokio::test]
async fn wrong_settings_leave_the_link_valid_and_log_an_error_with_advice() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    let (access_key, secret_key) = sandbox.emulator.keys();
    let wrong = keys(&(access_key, secret_key.chars().rev().collect()));
    for (secret, advice) in [
        (wrong.as_str(), "LeadSquared does not accept the keys"),
        (r#"{"accessKey":"REPLACE-ME","secretKey":"REPLACE-ME"}"#, "placeholders"),
    ] {
        sandbox.put_keys(secret).await;
        let function = sandbox.start().await;
        assert_eq!(sandbox.press(&function, &link.path).await.status, 503);
        let printed = function.stop().await;
        assert!(matches!(errors(&printed)[..], [error] if error.contains(advice)), "{advice}: {printed}");
    }
    sandbox.put_keys(&keys(&sandbox.emulator.keys())).await;
    let function = sandbox.start().await;
    let opened = sandbox.press(&function, &link.path).await;
    sandbox.enter(&opened).await;
    sandbox.finish(function).await;
}

/// Such a failure passes by itself.
#[tokio::test]
async fn an_unreachable_secret_is_logged_as_a_warning() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    let mut environment = sandbox.environment("login-link", &[]);
    environment.push(("AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(), "http://127.0.0.1:9".to_owned()));
    let function = functions::start("login-link", environment).await.unwrap();
    assert_eq!(sandbox.press(&function, &link.path).await.status, 503);
    let printed = sandbox.finish(function).await;
    assert!(printed.contains("\"WARN\"") && !printed.contains("\"ERROR\""), "{printed}");
}

#[tokio::test]
async fn a_press_makes_its_lead_a_portal_user_first_where_it_is_none() {
    let sandbox = Sandbox::new().await;
    let fields = [("EmailAddress", ASHA), ("FirstName", "c4nary"), ("mx_City", "c4nary")];
    let lead = sandbox.emulator.add_lead(&fields).unwrap();
    let link = sandbox.live_link(&lead).await;
    let function = sandbox.start().await;
    assert!(sandbox.emulator.portal_users().is_empty());
    // The answer to the registration is lost: the next press looks it up and does not repeat it.
    sandbox.emulator.faults().add(Fault::on(Call::Register, Effect::Cut).after_work().times(1));
    assert_eq!(sandbox.press(&function, &link.path).await.status, 503);
    let opened = sandbox.press(&function, &link.path).await;
    sandbox.enter(&opened).await;

    let users = sandbox.emulator.portal_users();
    let registrations: Vec<_> = users.iter().map(|user| (user.lead_id.as_str(), user.registrations)).collect();
    assert_eq!(registrations, [(lead.as_str(), 1)]);
    assert_eq!(sandbox.emulator.lead_by_email(ASHA).unwrap().field("mx_City"), Some("c4nary"), "its data stays");
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_registration_that_hits_another_lead_opens_nothing_and_leaves_the_link_valid() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.emulator.add_lead(&[("EmailAddress", ASHA)]).unwrap();
    let link = sandbox.live_link(&lead).await;
    let function = sandbox.start().await;
    let twin = "33333333-3333-4333-8333-333333333333";
    let body = json!({"LeadId": twin, "Message": "Registration Successful"}).to_string();
    let other = Effect::Answer { status: 200, content_type: "application/json".to_owned(), body };
    sandbox.emulator.faults().add(Fault::on(Call::Register, other));
    let answer = sandbox.press(&function, &link.path).await;
    assert_eq!((answer.status, answer.body.matches("<button").count()), (409, 0), "{}", answer.body);
    // The webhook of this registration is our own echo all the same.
    assert!(sandbox.items_by_key().await[&format!("lead#{twin}")].contains_key("registered_at"));
    sandbox.emulator.faults().clear();
    let opened = sandbox.press(&function, &link.path).await;
    sandbox.enter(&opened).await;
    let printed = sandbox.finish(function).await;
    assert!(printed.contains("merge the two"), "{printed}");
}

#[tokio::test]
async fn a_registration_by_a_press_is_recorded_as_our_own() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.emulator.add_lead(&[("EmailAddress", ASHA)]).unwrap();
    let link = sandbox.live_link(&lead).await;
    let function = sandbox.start().await;
    assert_eq!(sandbox.press(&function, &link.path).await.status, 303);
    let items = sandbox.items_by_key().await;
    let item = &items[&format!("lead#{lead}")];
    let number = |name: &str| item[name].as_n().unwrap().parse::<i64>().unwrap();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    assert!((now - 60..=now).contains(&number("registered_at")), "{item:?}");
    assert_eq!(number("newest_link_used").to_string(), *items[&link.pk]["made_at"].as_n().unwrap());
    assert!(number("expires_at") > now + 29 * 24 * HOUR, "{item:?}");
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_lead_without_an_address_is_refused_with_advice_in_the_log() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.emulator.add_lead(&[("Phone", "+91-9000000001"), ("FirstName", "c4nary")]).unwrap();
    let link = sandbox.live_link(&lead).await;
    let function = sandbox.start().await;
    let answer = sandbox.press(&function, &link.path).await;
    assert_eq!((answer.status, answer.body.matches("<button").count()), (409, 0), "{}", answer.body);
    assert!(sandbox.emulator.portal_users().is_empty());
    assert_eq!(
        send(&function, looked(&link.path)).await.status,
        200,
        "the link stays valid for when the record is corrected"
    );
    let printed = sandbox.finish(function).await;
    assert!(printed.contains("no usable e-mail address"), "{printed}");
}

/// An earlier version stored domains as they were typed, and domains that no form accepts today.
#[tokio::test]
async fn a_link_to_an_address_of_an_earlier_version_works() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    for address in ["c4nary@bücher.example", "c4nary@exa_mple.com"] {
        let stored = EmailAddress::try_from(address.to_owned()).unwrap();
        let lead = sandbox.portal_user(address).await;
        for spelling in stored.spellings() {
            let link = sandbox.live_link(&lead).await;
            let person = PersonKey::of(&spelling).as_str().to_owned();
            sandbox.set(&link.pk, "person", AttributeValue::S(person)).await;
            let opened = sandbox.press(&function, &link.path).await;
            sandbox.enter(&opened).await;
        }
    }
    sandbox.finish(function).await;
}

#[tokio::test]
async fn a_link_does_not_work_after_its_leads_address_changed() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    sandbox.emulator.update_lead(&lead, &[("EmailAddress", "asha.c4nary@example.com")]).unwrap();
    let function = sandbox.start().await;
    assert_eq!(sandbox.press(&function, &link.path).await.status, 410);
    assert_eq!(sandbox.calls_to(Call::LeadAuthKey), 0);
    // Its button mails a fresh link to the lead's new address.
    assert_eq!(send(&function, fresh(&link.path)).await.status, 202);
    let asked: Value = serde_json::from_str(&sandbox.invitations.next().await.body.unwrap()).unwrap();
    assert_eq!((asked["lead"].as_str(), asked.get("email")), (Some(&*lead), None), "{asked}");
    sandbox.finish(function).await;
}

#[tokio::test]
async fn without_ledger_or_queue_the_function_asks_to_try_again() {
    let sandbox = Sandbox::new().await;
    let lead = sandbox.portal_user(ASHA).await;
    let link = sandbox.live_link(&lead).await;
    let expired = sandbox.link(&lead, -80 * HOUR, -HOUR).await;
    let without_ledger = sandbox.start_with(&[("LEDGER_TABLE", "nowhere")]).await.unwrap();
    for request in [looked(&link.path), pressed(&link.path), fresh(&expired.path)] {
        let answer = send(&without_ledger, request).await;
        assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "5"), "{}", answer.body);
        assert_eq!(answer.body.matches("<button").count(), 1);
    }
    assert_eq!(
        send(&without_ledger, asked(ASHA)).await.status,
        202,
        "requests are accepted although they cannot be counted"
    );
    assert_eq!(sandbox.invitations.drain().await.len(), 1);
    assert_eq!(count_of(&without_ledger.stop().await, "NotStored"), 1, "the request for a fresh link");

    let without_queue = sandbox.start_with(&[("INVITATIONS_QUEUE_URL", "http://127.0.0.1:9/none.fifo")]).await.unwrap();
    for request in [fresh(&expired.path), asked(ASHA), asked(ASHA).accept(BROWSER)] {
        let answer = send(&without_queue, request).await;
        assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "5"), "{}", answer.body);
    }
    assert_eq!(sandbox.press(&without_queue, &link.path).await.status, 303, "a link works without the queue");
    assert_eq!(count_of(&sandbox.finish(without_queue).await, "NotStored"), 3);
}

#[tokio::test]
async fn a_page_has_the_readers_language() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    let hindi = sandbox.start_with(&[("PAGE_LANGUAGE", "hi")]).await.unwrap();
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
    sandbox.finish(function).await;
}

#[tokio::test]
async fn every_sample_event_gets_the_status_that_its_name_promises() {
    let sandbox = Sandbox::new().await;
    let function = sandbox.start().await;
    for (file, event) in workspace::events("login-link") {
        let answer = Answer::read(function.invoke_bytes(event.into(), TIMEOUT).await.unwrap());
        // The link in these events does not exist.
        let expected = match file.as_str() {
            "http-api-ask-page.json" => 200,
            "http-api-ask-form.json" | "http-api-ask-json.json" | "http-api-fresh.json" => 202,
            _ => 410,
        };
        assert_eq!(answer.status, expected, "{file}: {}", answer.body);
        assert_eq!(answer.body.is_empty(), file.contains("head"), "{file}");
    }
    sandbox.finish(function).await;
}

#[test]
fn no_request_makes_the_function_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sandbox = runtime.block_on(Sandbox::new());
    let function = runtime.block_on(sandbox.start());
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
    let entry_point = prop_oneof![Just(EntryPoint::HttpApi), Just(EntryPoint::RestApi), Just(EntryPoint::FunctionUrl)];
    let request = (entry_point, method, path, content_type, accept.clone(), accept, body);
    functions::for_all(500, &request, |(entry_point, method, path, content_type, accept, language, body)| {
        let request = Request::new(content_type, body).accept(&accept).header("accept-language", &language);
        let answer = runtime.block_on(send(&function, request.method(method).at(&path).through(entry_point)));
        prop_assert!((200..500).contains(&answer.status), "{answer:?}");
        Ok(())
    });
}

#[tokio::test]
async fn a_broken_setting_is_named_when_the_function_fails_to_start() {
    let sandbox = Sandbox::new().await;
    for (name, value) in [("PAGE_LANGUAGE", "xx"), ("PORTAL_URL", "portal"), ("ORGANISATION", "")] {
        let message = functions::failed_start(sandbox.start_with(&[(name, value)]).await);
        assert!(message.contains(name), "{message}");
    }
}

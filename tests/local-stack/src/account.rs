//! The site's pages for signing in and for passwords: how a website's server uses the `portal-account` function.
//!
//! The browser sees this site only. The site sends the visitor's address to the API, which counts attempts by it.
//! LeadSquared's key stays in a cookie that no script can read, and goes to the API in the `Authorization` header.
//! Nothing here needs JavaScript.

use std::net::{IpAddr, SocketAddr};

use askama::Template;
use axum::Form;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Query, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http;
use crate::site::{Site, page};

const COOKIE_NAME: &str = "site-session";

pub(crate) fn router() -> Router<Site> {
    Router::new()
        .route("/account", get(account))
        .route("/account/sign-in", post(sign_in))
        .route("/account/code", post(send_code))
        .route("/account/code/verify", post(verify_code))
        .route("/account/change", post(change))
        .route("/account/forgot", get(ask_whom).post(forgot))
        .route("/account/reset", get(ask_new_password).post(reset))
        .route("/account/sign-out", post(sign_out))
        .route("/messages", get(messages))
}

/// The result of the reader's last action, as a page shows it.
#[derive(Default)]
struct Notice {
    text: String,
    details: Vec<String>,
}

impl Notice {
    fn done(text: &str) -> Self {
        Self { text: text.to_owned(), details: Vec::new() }
    }

    /// The text of the problem document in the API's answer.
    fn problem(answer: &Answer) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = answer.body["errors"].as_array().into_iter().flatten();
        let details =
            errors.map(|error| format!("{} {}", text(&error["field"]).replace('_', " "), text(&error["detail"])));
        match answer.body["detail"].as_str() {
            Some(detail) => Self { text: detail.to_owned(), details: details.collect() },
            None => Self::done("The API's answer cannot be read. Is the API running?"),
        }
    }
}

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    signed_in: bool,
    notice: Notice,
}

#[derive(Template)]
#[template(path = "account-code.html")]
struct Code {
    challenge: String,
    notice: Notice,
    /// Whether the code was mailed to the address of the application, after a texted code or a password.
    mailed: bool,
}

#[derive(Template)]
#[template(path = "account-forgot.html")]
struct Forgot {
    notice: Notice,
}

#[derive(Template)]
#[template(path = "account-reset.html")]
struct Reset {
    link: Link,
    notice: Notice,
}

/// The shown part of a text message.
struct Message {
    recipient: String,
    text: String,
}

#[derive(Template)]
#[template(path = "messages.html")]
struct Messages {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct SignIn {
    who: String,
    password: String,
}

#[derive(Deserialize)]
struct Phone {
    phone: String,
}

#[derive(Deserialize)]
struct TypedCode {
    challenge: String,
    code: String,
    #[serde(default)]
    mailed: bool,
}

#[derive(Deserialize)]
struct Change {
    current_password: String,
    new_password: String,
}

#[derive(Deserialize)]
struct Invitee {
    who: String,
}

/// The parameters in the link of LeadSquared's mail. The emulator is set to these names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    #[serde(default)]
    lead_id: String,
    #[serde(default)]
    temporary_password: String,
}

#[derive(Deserialize)]
struct NewPassword {
    lead_id: String,
    temporary_password: String,
    password: String,
}

async fn account(headers: HeaderMap) -> Response {
    page(StatusCode::OK, &Account { signed_in: session(&headers).is_some(), notice: Notice::default() })
}

async fn sign_in(api: Api, Form(form): Form<SignIn>) -> Response {
    let mut body = identity(&form.who);
    body["password"] = form.password.into();
    let answer = api.ask("/sign-in", &body, None).await;
    signed_in(&answer)
        .or_else(|| code_mailed(&answer))
        .unwrap_or_else(|| page(answer.status, &Account { signed_in: false, notice: Notice::problem(&answer) }))
}

async fn send_code(api: Api, Form(form): Form<Phone>) -> Response {
    let answer = api.ask("/sign-in/code", &json!({"phone": form.phone}), None).await;
    match answer.body["challenge"].as_str() {
        Some(challenge) => {
            let notice = Notice::done("If there is an account with this number, a code is on its way.");
            page(StatusCode::OK, &Code { challenge: challenge.to_owned(), notice, mailed: false })
        }
        None => page(answer.status, &Account { signed_in: false, notice: Notice::problem(&answer) }),
    }
}

async fn verify_code(api: Api, Form(form): Form<TypedCode>) -> Response {
    let body = json!({"challenge": form.challenge, "code": form.code});
    let answer = api.ask("/sign-in/code/verify", &body, None).await;
    let again = |notice| page(answer.status, &Code { challenge: form.challenge, notice, mailed: form.mailed });
    signed_in(&answer).or_else(|| code_mailed(&answer)).unwrap_or_else(|| again(Notice::problem(&answer)))
}

async fn change(api: Api, headers: HeaderMap, Form(form): Form<Change>) -> Response {
    let Some(key) = session(&headers) else { return Redirect::to("/account").into_response() };
    let body = json!({"current_password": form.current_password, "new_password": form.new_password});
    let answer = api.ask("/password/change", &body, Some(key)).await;
    let notice = match answer.status {
        StatusCode::OK => Notice::done("Your password is changed."),
        _ => Notice::problem(&answer),
    };
    page(answer.status, &Account { signed_in: true, notice })
}

async fn ask_whom() -> Response {
    page(StatusCode::OK, &Forgot { notice: Notice::default() })
}

async fn forgot(api: Api, Form(form): Form<Invitee>) -> Response {
    let answer = api.ask("/password/forgot", &identity(&form.who), None).await;
    let notice = match answer.status {
        StatusCode::ACCEPTED => {
            Notice::done("If you have an account, a link to set a new password is on its way to you.")
        }
        _ => Notice::problem(&answer),
    };
    page(answer.status, &Forgot { notice })
}

async fn ask_new_password(Query(link): Query<Link>) -> Response {
    page(StatusCode::OK, &Reset { link, notice: Notice::default() })
}

async fn reset(api: Api, Form(form): Form<NewPassword>) -> Response {
    let NewPassword { lead_id, temporary_password, password } = form;
    let body = json!({"lead_id": lead_id, "temporary_password": temporary_password, "password": password});
    let answer = api.ask("/password/reset", &body, None).await;
    match answer.status {
        StatusCode::OK => {
            let notice = Notice::done("Your password is changed. Sign in with it.");
            page(StatusCode::OK, &Account { signed_in: false, notice })
        }
        status => page(status, &Reset { link: Link { lead_id, temporary_password }, notice: Notice::problem(&answer) }),
    }
}

async fn sign_out() -> Response {
    // LeadSquared has no call that ends a session, so only the cookie with the key is deleted.
    let expired = format!("{COOKIE_NAME}=; Path=/account; Max-Age=0; HttpOnly; SameSite=Lax");
    ([(SET_COOKIE, expired)], Redirect::to("/account")).into_response()
}

async fn messages(State(site): State<Site>) -> Response {
    let messages = site.emulator.text_messages().into_iter().rev();
    let messages = messages.map(|message| Message { recipient: message.recipient, text: message.text }).collect();
    page(StatusCode::OK, &Messages { messages })
}

struct Answer {
    status: StatusCode,
    body: Value,
}

/// A client of the API: this site's server, on behalf of one of its visitors.
struct Api {
    site: Site,
    visitor: IpAddr,
}

impl FromRequestParts<Site> for Api {
    type Rejection = <ConnectInfo<SocketAddr> as FromRequestParts<Site>>::Rejection;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Self::Rejection> {
        let ConnectInfo(visitor) = ConnectInfo::<SocketAddr>::from_request_parts(parts, site).await?;
        Ok(Self { site: site.clone(), visitor: visitor.ip() })
    }
}

impl Api {
    async fn ask(&self, path: &str, body: &Value, key: Option<&str>) -> Answer {
        let mut request = Request::post(format!("{}{path}", self.site.places.api_url))
            .header(CONTENT_TYPE, "application/json")
            .header("x-site-secret", self.site.secret.expose())
            .header("x-visitor-address", self.visitor.to_string());
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, key);
        }
        let away = Answer { status: StatusCode::BAD_GATEWAY, body: Value::Null };
        let Ok(request) = request.body(Body::from(body.to_string())) else { return away };
        match http::text(&http::client(), request).await {
            Ok((status, text)) => Answer { status, body: serde_json::from_str(&text).unwrap_or_default() },
            Err(_) => away,
        }
    }
}

/// Stores the key in the cookie and redirects to the account page, if the answer has a key.
fn signed_in(answer: &Answer) -> Option<Response> {
    let key = answer.body["auth_key"].as_str()?;
    let seconds = answer.body["expires_in"].as_u64().unwrap_or_default();
    let cookie = format!("{COOKIE_NAME}={key}; Path=/account; Max-Age={seconds}; HttpOnly; SameSite=Lax");
    Some(([(SET_COOKIE, cookie)], Redirect::to("/account")).into_response())
}

/// Asks for the mailed code, if the answer says that a code was mailed.
fn code_mailed(answer: &Answer) -> Option<Response> {
    let challenge = answer.body["challenge"].as_str().filter(|_| answer.body["status"] == "code-mailed")?;
    let notice = Notice::done("One more step: a code is on its way to the e-mail address of your application.");
    Some(page(StatusCode::OK, &Code { challenge: challenge.to_owned(), notice, mailed: true }))
}

fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, value)| *name == COOKIE_NAME && !value.is_empty()).map(|(_, value)| value)
}

/// The form has one box for both identifiers: an e-mail address or a phone number.
fn identity(who: &str) -> Value {
    match who.contains('@') {
        true => json!({"email": who}),
        false => json!({"phone": who}),
    }
}

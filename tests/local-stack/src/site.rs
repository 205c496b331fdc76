//! The demonstration site: an application form like one of a company's website, and the applicant's mailbox.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use leadsquared_emulator::{Emulator, Mail};
use time::macros::format_description;

use crate::webhooks::Secret;
use crate::{account, openapi};

/// The addresses that the pages show.
#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) api_url: String,
    pub(crate) emulator_url: String,
    pub(crate) portal_url: String,
    pub(crate) ministack_url: String,
}

#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) places: Places,
    pub(crate) emulator: Arc<Emulator>,
    /// The secret by which the API recognises this server.
    pub(crate) secret: Secret,
    policy: HeaderValue,
}

/// Serves the site until the future is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    places: Places,
    emulator: Arc<Emulator>,
    secret: Secret,
) -> anyhow::Result<()> {
    // A browser also checks the redirect after a form against `form-action`, and that redirect leads to this site.
    let policy = format!(
        "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self' {}; base-uri 'none'; frame-ancestors 'none'",
        places.api_url
    );
    let site = Site { places, emulator, secret, policy: policy.try_into()? };
    let pages = Router::new()
        .route("/", get(start))
        .route("/apply", get(apply))
        .route("/thank-you", get(thank_you))
        .route("/mailbox", get(mailbox))
        .route("/mailbox/{id}", get(mail))
        .route("/mailbox/{id}/content", get(mail_content))
        .route("/style.css", get(style))
        .merge(account::router())
        .merge(openapi::router()?)
        .fallback(not_found)
        .layer(from_fn_with_state(site.clone(), guarded))
        .with_state(site);
    let pages = pages.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(tokio::net::TcpListener::from_std(listener)?, pages).await?;
    Ok(())
}

/// Adds the headers of every page. A page's own policy is kept.
async fn guarded(State(site): State<Site>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(site.policy);
    // Mails contain login links.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

#[derive(Template)]
#[template(path = "start.html")]
struct Start<'a> {
    api_url: &'a str,
    emulator_url: &'a str,
    portal_url: &'a str,
    ministack_url: &'a str,
}

async fn start(State(site): State<Site>) -> Response {
    let Places { api_url, emulator_url, portal_url, ministack_url } = &site.places;
    page(StatusCode::OK, &Start { api_url, emulator_url, portal_url, ministack_url })
}

#[derive(Template)]
#[template(path = "apply.html")]
struct Apply<'a> {
    api_url: &'a str,
}

async fn apply(State(site): State<Site>) -> Response {
    page(StatusCode::OK, &Apply { api_url: &site.places.api_url })
}

#[derive(Template)]
#[template(path = "thank-you.html")]
struct ThankYou;

async fn thank_you() -> Response {
    page(StatusCode::OK, &ThankYou)
}

/// The parts of a mail that the pages show.
struct Shown {
    id: String,
    sender: String,
    recipients: Vec<String>,
    subject: String,
    time: String,
}

impl From<Mail> for Shown {
    fn from(mail: Mail) -> Self {
        let time = mail.sent_at.format(format_description!("[hour]:[minute]:[second] UTC")).unwrap_or_default();
        Self { id: mail.id, sender: mail.sender, recipients: mail.recipients, subject: mail.subject, time }
    }
}

#[derive(Template)]
#[template(path = "mailbox.html")]
struct Mailbox {
    mails: Vec<Shown>,
}

async fn mailbox(State(site): State<Site>) -> Response {
    let mails = site.emulator.mails().into_iter().rev().map(Shown::from).collect();
    page(StatusCode::OK, &Mailbox { mails })
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage {
    mail: Shown,
}

async fn mail(State(site): State<Site>, Path(id): Path<String>) -> Response {
    match site.emulator.mails().into_iter().find(|mail| mail.id == id) {
        Some(mail) => page(StatusCode::OK, &MailPage { mail: mail.into() }),
        None => not_found().await,
    }
}

/// The mail's own HTML, which is not trusted: it runs no script, loads no resource, and its links open in the whole
/// window.
async fn mail_content(State(site): State<Site>, Path(id): Path<String>) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; \
                          frame-ancestors 'self'; sandbox allow-top-navigation-by-user-activation";
    let Some(mail) = site.emulator.mails().into_iter().find(|mail| mail.id == id) else { return not_found().await };
    // A parser merges the mail's own <!doctype>, <html> and <head> into the document that begins here.
    let document = format!("<!doctype html><meta charset=\"utf-8\"><base target=\"_top\">{}", mail.html);
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(document)).into_response()
}

async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../templates/style.css")).into_response()
}

#[derive(Template)]
#[template(path = "not-found.html")]
struct NotFound;

pub(crate) async fn not_found() -> Response {
    page(StatusCode::NOT_FOUND, &NotFound)
}

pub(crate) fn page(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::HeaderMap;
    use leadsquared_emulator::Settings;

    use super::*;
    use crate::steps::Steps;
    use crate::{http, ports};

    async fn site() -> String {
        let listener = ports::listener(None, "the site", &Steps::hidden()).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let emulator = Arc::new(Emulator::start(Settings::for_tests()).await.unwrap());
        let places = Places {
            api_url: "http://api.test".to_owned(),
            emulator_url: "http://leadsquared.test/".to_owned(),
            portal_url: "http://leadsquared.test/portal".to_owned(),
            ministack_url: "http://aws.test".to_owned(),
        };
        tokio::spawn(serve(listener, places, emulator, Secret::new().unwrap()));
        address
    }

    async fn get(url: String) -> (StatusCode, HeaderMap, String) {
        let response = http::client().request(Request::get(url).body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(Body::new(body), http::LIMIT).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn every_page_is_there_and_may_load_nothing_from_elsewhere() {
        let site = site().await;
        for (path, status, text) in [
            ("/", StatusCode::OK, "http://api.test/applications"),
            ("/apply", StatusCode::OK, "action=\"http://api.test/applications\""),
            ("/thank-you", StatusCode::OK, "id=\"thank-you\""),
            ("/mailbox", StatusCode::OK, "No mail yet"),
            ("/messages", StatusCode::OK, "None yet"),
            ("/account", StatusCode::OK, "action=\"/account/sign-in\""),
            ("/account/forgot", StatusCode::OK, "action=\"/account/forgot\""),
            ("/account/reset?leadId=%22%3E&temporaryPassword=1", StatusCode::OK, "value=\"&#34;&#62;\""),
            ("/api", StatusCode::OK, "href=\"#useLink\""),
            ("/openapi.yaml", StatusCode::OK, "openapi: 3.1.0"),
            ("/events/schemas/InvitationRequested.v1.json", StatusCode::OK, "InvitationRequested, version 1"),
            ("/events/schemas/unknown.json", StatusCode::NOT_FOUND, "no such page"),
            ("/mailbox/unknown", StatusCode::NOT_FOUND, "no such page"),
            ("/mailbox/unknown/content", StatusCode::NOT_FOUND, "no such page"),
            ("/unknown", StatusCode::NOT_FOUND, "no such page"),
            ("/style.css", StatusCode::OK, ":focus-visible"),
        ] {
            let (found, headers, body) = get(format!("{site}{path}")).await;
            assert_eq!((found, body.contains(text)), (status, true), "{path}: {body}");
            let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{path}: {policy}");
            assert_eq!(headers[CACHE_CONTROL], "no-store", "{path}");
        }
    }

    #[test]
    fn whatever_a_mail_says_is_shown_and_not_obeyed() {
        let hostile = "<script>alert(1)</script>\"'&";
        let mail = || Shown {
            id: hostile.to_owned(),
            sender: hostile.to_owned(),
            recipients: vec![hostile.to_owned()],
            subject: hostile.to_owned(),
            time: String::new(),
        };
        for page in [Mailbox { mails: vec![mail()] }.render().unwrap(), MailPage { mail: mail() }.render().unwrap()] {
            assert!(!page.contains("<script"), "{page}");
            assert!(page.contains("&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;"), "{page}");
        }
    }
}

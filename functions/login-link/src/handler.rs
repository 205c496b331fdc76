//! Answers the requests of the login link's pages.

use http::{HeaderValue, Method, Response, StatusCode};
use http_events::{network_address, path};
use lambda_http::Request;
use leadsquared::{EmailAddress, InvalidEmailAddress};
use onboarding::LinkToken;
use serde::Serialize;
use web::{
    FieldError, Form, Preference, Problem, TRY_AGAIN_AFTER, expected_email, json, preferred_language, see_other,
};

use crate::link_path::LinkPath;
use crate::links::{LinkPage, LoginLinks, PressResult, TryAgain};
use crate::page::{Button, CODE_FIELD, EMAIL_FIELD, FRESH_FIELD, PAGE_FIELD, Pages};
use crate::page_id::PageId;
use crate::texts::Language;

/// Answers one request.
pub async fn answer(links: &LoginLinks, request: &Request) -> Response<String> {
    let config = &links.config;
    let wanted = preferred_language(request.headers(), Language::ALL.map(Language::tag));
    let pages = Pages {
        language: wanted.and_then(|tag| tag.parse().ok()).unwrap_or(config.language),
        organisation: &config.organisation,
        portal: &config.portal_page,
    };
    let path = LinkPath::of(path(request));
    match *request.method() {
        Method::GET => look(links, &pages, path).await,
        Method::HEAD => look(links, &pages, path).await.map(|_| String::new()),
        Method::POST => press(links, &pages, path, request).await,
        _ => Problem::method_not_allowed("GET, HEAD, POST").respond(Preference::of(request.headers())),
    }
}

/// Shows a page and changes nothing: a mail scanner follows links too.
async fn look(links: &LoginLinks, pages: &Pages<'_>, path: LinkPath) -> Response<String> {
    match path {
        LinkPath::RequestPage => pages.ask(),
        LinkPath::Link(None) => pages.dead_link(),
        LinkPath::Link(Some(token)) => match links.page(&token).await {
            Ok(LinkPage::Button) => pages.open(links.new_page()),
            Ok(LinkPage::Code) => pages.ask_code(links.new_page()),
            Ok(LinkPage::OutOfTries) => pages.out_of_tries(),
            Ok(LinkPage::Dead) => pages.dead_link(),
            Err(TryAgain) => pages.try_again(Button::Open(links.new_page())),
        },
    }
}

/// Does what the pressed button stands for. The form's fields name it; the button of a valid link sends at most the id
/// of its page.
async fn press(links: &LoginLinks, pages: &Pages<'_>, path: LinkPath, request: &Request) -> Response<String> {
    let preference = Preference::of(request.headers());
    if matches!(path, LinkPath::Link(_)) && is_from_another_site(request) {
        tracing::info!("another site pressed the button of a login link: its page is shown instead");
        return look(links, pages, path).await;
    }
    let form = match Form::read(request.headers(), request.body().as_ref()).await {
        Ok(form) => form,
        Err(_) if request.body().is_empty() => Form::default(),
        Err(error) => return refused(pages, preference, error.into()),
    };
    match path {
        LinkPath::Link(token) if form.values(EMAIL_FIELD).next().is_none() => match form.values(FRESH_FIELD).next() {
            None => open(links, pages, token, &form).await,
            Some(_) => fresh(links, pages, token).await,
        },
        LinkPath::Link(_) | LinkPath::RequestPage => by_email(links, pages, preference, &form, request).await,
    }
}

/// Whether the page of another site sent the form, which could sign its reader in as another person.
///
/// Current browsers say so (<https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header>). `Origin` does not: because
/// of `Referrer-Policy: no-referrer`, it is `null` for our own button. From a browser that sends no `Sec-Fetch-Site`,
/// a press is accepted: the sender has to know the token.
fn is_from_another_site(request: &Request) -> bool {
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    matches!(site, Some(b"cross-site" | b"same-site"))
}

async fn open(links: &LoginLinks, pages: &Pages<'_>, token: Option<LinkToken>, form: &Form) -> Response<String> {
    let Some(token) = token else { return pages.dead_link() };
    // A press without a page's id is a first press.
    let page = page_id(form).unwrap_or_else(|| links.new_page());
    let typed = form.text(CODE_FIELD).ok().flatten();
    match links.open(&token, page, typed.as_ref().map(|typed| -> &str { typed.expose() })).await {
        PressResult::Portal(link) => {
            let mut location = HeaderValue::from_str(link.expose()).expect("a URL is plain ASCII");
            location.set_sensitive(true);
            see_other(&location)
        }
        PressResult::DeadLink => pages.dead_link(),
        PressResult::WrongCode => pages.ask_code_again(page),
        PressResult::OutOfTries => pages.out_of_tries(),
        PressResult::TryAgain { needs_code: false } => pages.try_again(Button::Open(page)),
        PressResult::TryAgain { needs_code: true } => pages.try_again(Button::OpenWithCode(page)),
        PressResult::LeadUnusable => pages.lead_unusable(),
    }
}

async fn fresh(links: &LoginLinks, pages: &Pages<'_>, token: Option<LinkToken>) -> Response<String> {
    let asked = match token {
        Some(token) => links.ask_fresh(&token).await,
        None => Ok(()),
    };
    match asked {
        Ok(()) => pages.sent(),
        Err(TryAgain) => pages.try_again(Button::Fresh),
    }
}

#[derive(Serialize)]
struct LinkRequested {
    status: &'static str,
}

async fn by_email(
    links: &LoginLinks,
    pages: &Pages<'_>,
    preference: Preference,
    form: &Form,
    request: &Request,
) -> Response<String> {
    if !links.config.allowed_origins.permit(request) {
        return other_site(pages, preference);
    }
    let email = match email(form) {
        Ok(email) => email,
        Err(error) => return refused(pages, preference, Problem::fields(vec![error])),
    };
    match (links.ask_by_email(email, network_address(request)).await, preference) {
        (Ok(()), Preference::Html) => pages.sent(),
        (Ok(()), Preference::Json) => json(StatusCode::ACCEPTED, &LinkRequested { status: "accepted" }),
        (Err(TryAgain), Preference::Html) => pages.try_again(Button::ByEmail),
        (Err(TryAgain), Preference::Json) => {
            Problem::try_again("The request was not stored. Please send it again.", TRY_AGAIN_AFTER).respond(preference)
        }
    }
}

/// The id of the page that sent the form, if the form names it.
fn page_id(form: &Form) -> Option<PageId> {
    form.text(PAGE_FIELD).ok()??.expose().parse().ok()
}

fn email(form: &Form) -> Result<EmailAddress, FieldError> {
    let text = form.text(EMAIL_FIELD)?.ok_or_else(|| FieldError::new(EMAIL_FIELD, "is required"))?;
    text.expose().parse().map_err(|error: InvalidEmailAddress| FieldError::new(EMAIL_FIELD, expected_email(error)))
}

/// Answers a request for a link that a page of another site sent. Its visitors each have a network of their own, so the
/// caps of networks would not stop it.
fn other_site(pages: &Pages<'_>, preference: Preference) -> Response<String> {
    tracing::info!(
        "refused a request for a link from a page of another site: no action needed, or add it to AllowedOrigins"
    );
    match preference {
        Preference::Json => Problem::new(
            StatusCode::FORBIDDEN,
            "Sent by another site",
            "A page that is not among the allowed origins sent this request: no link is mailed. The operator can allow \
             it.",
        )
        .of_type("/problems/other-site")
        .respond(preference),
        Preference::Html => pages.ask_here(),
    }
}

/// Answers an unreadable form or an invalid address: a problem document, or the page with the form again.
fn refused(pages: &Pages<'_>, preference: Preference, problem: Problem) -> Response<String> {
    tracing::info!(status = problem.status().as_u16(), "request for a link not accepted, the answer says why");
    match preference {
        Preference::Json => problem.respond(preference),
        Preference::Html => pages.ask_again(problem.status()),
    }
}

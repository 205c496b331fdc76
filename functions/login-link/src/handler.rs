use http::{HeaderValue, Method, Response, StatusCode};
use http_events::{network_address, path};
use lambda_http::Request;
use leadsquared::EmailAddress;
use onboarding::LinkToken;
use serde::Serialize;
use web::{FieldError, Form, Preference, Problem, Value, json, preferred_language, see_other};

use crate::links::{Asked, LoginLinks, Opened, TryAgain};
use crate::page::{EMAIL_FIELD, FRESH_FIELD, PAGE_FIELD, Pages, Press, RETRY_SECONDS};
use crate::page_id::PageId;
use crate::place::Place;
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
    let place = Place::of(path(request));
    match *request.method() {
        Method::GET => look(links, &pages, place).await,
        Method::HEAD => look(links, &pages, place).await.map(|_| String::new()),
        Method::POST => press(links, &pages, place, request).await,
        _ => Problem::method_not_allowed("GET, HEAD, POST").respond(Preference::of(request.headers())),
    }
}

/// Changes nothing: whoever follows a link need not be the person it was mailed to.
async fn look(links: &LoginLinks, pages: &Pages<'_>, place: Place) -> Response<String> {
    match place {
        Place::Desk => pages.ask(),
        Place::Link(None) => pages.dead(),
        Place::Link(Some(token)) => match links.is_live(&token).await {
            Ok(true) => pages.open(links.new_page()),
            Ok(false) => pages.dead(),
            Err(TryAgain) => pages.later(Press::Open(links.new_page())),
        },
    }
}

/// Does what was pressed. What that is stands in the form's fields; a link's own button sends at most its page's id.
async fn press(links: &LoginLinks, pages: &Pages<'_>, place: Place, request: &Request) -> Response<String> {
    let preference = Preference::of(request.headers());
    let form = match Form::read(request.headers(), request.body().as_ref()).await {
        Ok(form) => form,
        Err(_) if request.body().is_empty() => Form::default(),
        Err(error) => return refused(pages, preference, error.into()),
    };
    match place {
        Place::Link(token) if form.values(EMAIL_FIELD).next().is_none() => match form.values(FRESH_FIELD).next() {
            None => open(links, pages, token, page_id(&form)).await,
            Some(_) => fresh(links, pages, token).await,
        },
        Place::Link(_) | Place::Desk => by_email(links, pages, preference, &form, request).await,
    }
}

async fn open(
    links: &LoginLinks,
    pages: &Pages<'_>,
    token: Option<LinkToken>,
    page: Option<PageId>,
) -> Response<String> {
    let Some(token) = token else { return pages.dead() };
    // A press without a page is nobody's second one.
    let page = page.unwrap_or_else(|| links.new_page());
    match links.open(&token, page).await {
        Opened::Portal(link) => {
            let mut location = HeaderValue::from_str(link.expose()).expect("a URL is plain ASCII");
            location.set_sensitive(true);
            see_other(&location)
        }
        Opened::Dead => pages.dead(),
        Opened::Later => pages.later(Press::Open(page)),
        Opened::Never => pages.never(),
    }
}

async fn fresh(links: &LoginLinks, pages: &Pages<'_>, token: Option<LinkToken>) -> Response<String> {
    let asked = match token {
        Some(token) => links.ask_fresh(&token).await,
        None => Ok(()),
    };
    match asked {
        Ok(()) => pages.sent(),
        Err(TryAgain) => pages.later(Press::Fresh),
    }
}

#[derive(Serialize)]
struct Accepted {
    status: &'static str,
}

async fn by_email(
    links: &LoginLinks,
    pages: &Pages<'_>,
    preference: Preference,
    form: &Form,
    request: &Request,
) -> Response<String> {
    let email = match email(form) {
        Ok(email) => email,
        Err(error) => return refused(pages, preference, Problem::fields(vec![error])),
    };
    match (links.ask_by_email(email, network_address(request)).await, preference) {
        (Asked::Accepted, Preference::Html) => pages.sent(),
        (Asked::Accepted, Preference::Json) => json(StatusCode::ACCEPTED, &Accepted { status: "accepted" }),
        (Asked::TryAgain, Preference::Html) => pages.later(Press::ByEmail),
        (Asked::TryAgain, Preference::Json) => {
            Problem::try_again("The request was not stored. Please send it again.", RETRY_SECONDS).respond(preference)
        }
    }
}

/// The page that a form was sent from, if it says so.
fn page_id(form: &Form) -> Option<PageId> {
    match form.values(PAGE_FIELD).next()? {
        Value::Text(text) => text.expose().parse().ok(),
        Value::NotText => None,
    }
}

/// The one address in a form.
fn email(form: &Form) -> Result<EmailAddress, FieldError> {
    let fault = |detail: &str| FieldError { field: EMAIL_FIELD.to_owned(), detail: detail.to_owned() };
    let mut values = form.values(EMAIL_FIELD);
    match (values.next(), values.next()) {
        (None, _) => Err(fault("is required")),
        (Some(Value::Text(text)), None) => {
            text.expose().parse().map_err(|_| fault("must be an e-mail address such as name@example.com"))
        }
        (Some(Value::NotText), None) => Err(fault("must be text, not a file or a list")),
        (Some(_), Some(_)) => Err(fault("was sent more than once; send it once")),
    }
}

/// What cannot be read or is no address: a problem document, or the page with the form again.
fn refused(pages: &Pages<'_>, preference: Preference, problem: Problem) -> Response<String> {
    tracing::info!(status = problem.status().as_u16(), "request for a link not accepted");
    match preference {
        Preference::Json => problem.respond(preference),
        Preference::Html => pages.ask_again(problem.status()),
    }
}

use askama::Template;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use url::Url;

/// <https://developers.google.com/search/docs/crawling-indexing/robots-meta-tag#xrobotstag>
const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// The one style sheet of our pages, which stands in each of them: that of `page.html`.
const STYLE: &str = "'sha256-phbm1bKBeGcT2Oy5BSKUlCvinU8w9TgH/csZK+WKO6c='";

/// A JSON answer.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<String> {
    let text = serde_json::to_string(body).expect("our answers are plain structs, which always serialize");
    answer(status, "application/json", text)
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Notice<'a> {
    title: &'a str,
    paragraphs: &'a [&'a str],
}

/// A page that tells a person something, in a heading and a few paragraphs of plain text.
pub fn notice(status: StatusCode, title: &str, paragraphs: &[&str]) -> Response<String> {
    page(status, &Notice { title, paragraphs })
}

/// An HTML answer. A template of another crate's extends `page.html`, which is among this crate's templates.
///
/// The page's forms can be sent nowhere until [`allow_forms`] says so.
pub fn page(status: StatusCode, template: &impl Template) -> Response<String> {
    let html = template.render().expect("a compiled template renders into memory");
    answer(status, "text/html; charset=utf-8", html)
}

/// 303: the browser goes on to `location` with a GET.
pub fn see_other(location: &HeaderValue) -> Response<String> {
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", String::new());
    response.headers_mut().insert(LOCATION, location.clone());
    response
}

/// Lets a page's forms be sent to the site it is on, and their answers lead on to the origin of `onward`.
///
/// Chromium holds a form's redirects against the policy of the page it was on, every one of them
/// (<https://www.w3.org/TR/CSP3/#directive-form-action>): where `onward` itself leads on to another origin, people are
/// stopped.
pub fn allow_forms(response: &mut Response<String>, onward: &Url) {
    let policy = policy(&format!("'self' {}", onward.origin().ascii_serialization()));
    let policy = HeaderValue::try_from(policy).expect("an origin is plain ASCII");
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
}

fn policy(form_action: &str) -> String {
    format!("default-src 'none'; style-src {STYLE}; frame-ancestors 'none'; base-uri 'none'; form-action {form_action}")
}

/// Any answer of ours: nothing is cached, indexed, sniffed, framed, scripted or passed on as a referrer.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    const HEADERS: [(HeaderName, &str); 5] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_ROBOTS_TAG, "noindex"),
        (VARY, "accept, accept-language, origin"),
    ];
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy = HeaderValue::try_from(policy("'none'")).expect("a policy is plain ASCII");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn a_page_says_where_its_forms_may_lead() {
        let mut page = notice(StatusCode::OK, "Title", &[]);
        let policy = |page: &Response<String>| page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy(&page).ends_with("form-action 'none'"), "{}", policy(&page));
        allow_forms(&mut page, &"https://Apply.example.com:8443/home;x?y".parse().unwrap());
        let expected = format!(
            "default-src 'none'; style-src {STYLE}; frame-ancestors 'none'; base-uri 'none'; \
             form-action 'self' https://apply.example.com:8443"
        );
        assert_eq!(policy(&page), expected);
        assert_eq!(page.headers()[X_ROBOTS_TAG], "noindex");
    }

    #[test]
    fn a_pages_own_style_is_the_one_that_its_policy_permits() {
        let page = notice(StatusCode::OK, "Title", &[]).into_body();
        let style = page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).unwrap().0;
        assert_eq!(STYLE, format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(style))));
        assert!(!page.contains("style="), "{page}");
    }
}

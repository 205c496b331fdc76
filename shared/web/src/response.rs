//! Builds the responses that every function sends: JSON, a page, a redirect, all with the same security headers.

use askama::Template;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use url::Url;

/// Keeps a response out of search results
/// (<https://developers.google.com/search/docs/crawling-indexing/robots-meta-tag#xrobotstag>).
const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// The Content-Security-Policy source of the style sheet in `page.html`, the only one that our pages use.
const STYLE: &str = "'sha256-phbm1bKBeGcT2Oy5BSKUlCvinU8w9TgH/csZK+WKO6c='";

/// A JSON response.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<String> {
    let text = serde_json::to_string(body).expect("a body is a plain struct, which always serializes");
    response(status, "application/json", text)
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Notice<'a> {
    title: &'a str,
    paragraphs: &'a [&'a str],
}

/// A page with a heading and a few paragraphs of plain text.
pub fn notice(status: StatusCode, title: &str, paragraphs: &[&str]) -> Response<String> {
    page(status, &Notice { title, paragraphs })
}

/// An HTML response. A template in another crate can extend `page.html` from this crate's templates.
///
/// The browser blocks every form on the page until [`allow_forms`] permits them.
pub fn page(status: StatusCode, template: &impl Template) -> Response<String> {
    let html = template.render().expect("a compiled template renders into memory");
    response(status, "text/html; charset=utf-8", html)
}

/// 303 See Other: the browser requests `location` with GET.
pub fn see_other(location: &HeaderValue) -> Response<String> {
    let mut response = response(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", String::new());
    response.headers_mut().insert(LOCATION, location.clone());
    response
}

/// Permits the page's forms to post to the page's own site and to be redirected from there to the origin of `redirect`.
///
/// Chromium checks every redirect after a form post against this policy
/// (<https://www.w3.org/TR/CSP3/#directive-form-action>). If `redirect` itself redirects to a third origin, Chromium
/// blocks the navigation.
pub fn allow_forms(response: &mut Response<String>, redirect: &Url) {
    let policy = policy(&format!("'self' {}", redirect.origin().ascii_serialization()));
    let policy = HeaderValue::try_from(policy).expect("an origin is plain ASCII");
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
}

fn policy(form_action: &str) -> String {
    format!("default-src 'none'; style-src {STYLE}; frame-ancestors 'none'; base-uri 'none'; form-action {form_action}")
}

/// The response that all others are built on. Its headers forbid caching, indexing, content sniffing, framing, scripts,
/// referrers and plain http.
pub(crate) fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    const HEADERS: [(HeaderName, &str); 6] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_ROBOTS_TAG, "noindex"),
        // A year. Browsers ignore it over http, and subdomains of the host are not ours.
        (STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
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
    fn a_page_permits_its_forms_only_the_site_and_the_origin_of_the_redirect() {
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
        assert_eq!(page.headers()[STRICT_TRANSPORT_SECURITY], "max-age=31536000");
    }

    #[test]
    fn the_policy_permits_the_style_sheet_of_the_page() {
        let page = notice(StatusCode::OK, "Title", &[]).into_body();
        let style = page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).unwrap().0;
        assert_eq!(STYLE, format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(style))));
        assert!(!page.contains("style="), "{page}");
    }
}

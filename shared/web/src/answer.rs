use askama::Template;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

/// What the client would rather have: data for a program or a page for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// `application/json`.
    Json,
    /// `text/html`.
    Html,
}

impl Preference {
    /// Reads `Accept`. A page only for those who name `text/html` and do not weigh `application/json` above it:
    /// browsers do on a plain form, `fetch` and command-line clients (`*/*`, or nothing) do not.
    pub fn of(headers: &HeaderMap) -> Self {
        let accepted = |wanted: &str| {
            let values = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
            let ranges = values.flat_map(|value| value.split(','));
            ranges.filter_map(|range| quality(range, wanted)).fold(0.0_f32, f32::max)
        };
        let html = accepted("text/html");
        if html > 0.0 && html >= accepted("application/json") { Self::Html } else { Self::Json }
    }
}

/// The `q` of one media range, if its type is the wanted one.
fn quality(range: &str, wanted: &str) -> Option<f32> {
    let mut parts = range.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(wanted) {
        return None;
    }
    let q = parts.filter_map(|parameter| parameter.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("q"));
    Some(q.map_or(1.0, |(_, value)| value.trim().parse().unwrap_or(0.0)))
}

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

/// An HTML answer.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response<String> {
    let html = template.render().expect("a compiled template renders into memory");
    answer(status, "text/html; charset=utf-8", html)
}

/// 303: the browser goes on to `location` with a GET.
pub fn see_other(location: &HeaderValue) -> Response<String> {
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", String::new());
    response.headers_mut().insert(LOCATION, location.clone());
    response
}

/// Any answer of ours: nothing is cached, sniffed, framed, scripted or passed on as a referrer.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    const POLICY: &str =
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    const HEADERS: [(HeaderName, &str); 5] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (VARY, "accept, origin"),
    ];
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_those_who_ask_for_one() {
        let cases = [
            (None, Preference::Json),
            (Some("*/*"), Preference::Json),
            (Some("application/json"), Preference::Json),
            (Some("application/json, text/html;q=0.5"), Preference::Json),
            (Some("text/html;q=0"), Preference::Json),
            (Some("text/html;q=nonsense"), Preference::Json),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Preference::Html),
            (Some("TEXT/HTML ; Q=0.7, application/json;q=0.7"), Preference::Html),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Preference::of(&headers), expected, "Accept: {accept:?}");
        }
    }
}

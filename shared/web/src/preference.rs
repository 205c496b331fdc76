//! Content negotiation: which media type and which language the client prefers.

use http::header::{ACCEPT, ACCEPT_LANGUAGE};
use http::{HeaderMap, HeaderName};

/// The media type that the client prefers: data for a program, or a page for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// `application/json`.
    Json,
    /// `text/html`.
    Html,
}

impl Preference {
    /// Reads `Accept`. A client gets a page only if it names `text/html` with at least the weight of
    /// `application/json`. A browser does so when it posts a plain form. `fetch` and command-line clients send `*/*` or
    /// no `Accept` at all, and get JSON.
    pub fn of(headers: &HeaderMap) -> Self {
        let accepted = |wanted: &str| weight(headers, &ACCEPT, |media_type| media_type.eq_ignore_ascii_case(wanted));
        let html = accepted("text/html");
        if html > 0.0 && html >= accepted("application/json") { Self::Html } else { Self::Json }
    }
}

/// The language in `available` (tags such as `hi`) with the highest weight in `Accept-Language`.
///
/// Between equal weights, the earlier language in `available` wins. `hi-IN` in the header matches `hi`. `None` if the
/// header names no available language.
pub fn preferred_language<'a>(headers: &HeaderMap, available: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = (0.0, None);
    for language in available {
        let matches = |range: &str| range.split('-').next().is_some_and(|tag| tag.eq_ignore_ascii_case(language));
        let weight = weight(headers, &ACCEPT_LANGUAGE, matches);
        if weight > best.0 {
            best = (weight, Some(language));
        }
    }
    best.1
}

/// The highest `q` among the header's items that match, and 0 without a match
/// (<https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2>).
fn weight(headers: &HeaderMap, name: &HeaderName, matches: impl Fn(&str) -> bool) -> f32 {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let weight = |item: &str| {
        let mut parts = item.split(';').map(str::trim);
        if !matches(parts.next()?) {
            return None;
        }
        let mut parameters = parts.filter_map(|parameter| parameter.split_once('='));
        let q = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        Some(q.map_or(1.0, |(_, value)| value.trim().parse().unwrap_or(0.0)))
    };
    values.flat_map(|value| value.split(',')).filter_map(weight).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, value: Option<&'static str>) -> HeaderMap {
        value.map(|value| (name, HeaderValue::from_static(value))).into_iter().collect()
    }

    #[test]
    fn a_client_that_prefers_html_gets_a_page() {
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
            assert_eq!(Preference::of(&headers(ACCEPT, accept)), expected, "Accept: {accept:?}");
        }
    }

    #[test]
    fn the_available_language_with_the_highest_weight_is_preferred() {
        let cases = [
            (None, None),
            (Some(""), None),
            (Some("*"), None),
            (Some("de"), None),
            (Some("hi"), Some("hi")),
            (Some("hi-IN, en;q=0.9"), Some("hi")),
            (Some("de, HI-in;q=0.4 , en-GB ; q=0.5"), Some("en")),
            (Some("hi, en"), Some("en")),
            (Some("en;q=0, hi;q=0.1"), Some("hi")),
            (Some("en;q=NaN, hi;q=-1"), None),
            (Some("hip, english"), None),
        ];
        for (accepted, expected) in cases {
            let headers = headers(ACCEPT_LANGUAGE, accepted);
            assert_eq!(preferred_language(&headers, ["en", "hi"]), expected, "Accept-Language: {accepted:?}");
        }
    }
}

use http::header::{ACCEPT, ACCEPT_LANGUAGE};
use http::{HeaderMap, HeaderName};

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
        let accepted = |wanted: &str| weight(headers, &ACCEPT, |media_type| media_type.eq_ignore_ascii_case(wanted));
        let html = accepted("text/html");
        if html > 0.0 && html >= accepted("application/json") { Self::Html } else { Self::Json }
    }
}

/// The one of the `available` languages, tags such as `hi`, that `Accept-Language` weighs highest; of two that it weighs
/// alike the earlier; none if it names none of them. Who asks for `hi-IN` is content with `hi`.
pub fn preferred_language<'a>(headers: &HeaderMap, available: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = (0.0, None);
    for language in available {
        let is_it = |range: &str| range.split('-').next().is_some_and(|it| it.eq_ignore_ascii_case(language));
        let weight = weight(headers, &ACCEPT_LANGUAGE, is_it);
        if weight > best.0 {
            best = (weight, Some(language));
        }
    }
    best.1
}

/// The highest `q` that a header gives to something that matches; 0 if nothing does
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
            assert_eq!(Preference::of(&headers(ACCEPT, accept)), expected, "Accept: {accept:?}");
        }
    }

    #[test]
    fn a_language_is_the_one_that_is_weighed_highest() {
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

//! The session as a cookie, for pages on the same host as the API.
//!
//! No script can read the cookie and no other host can use it. With the prefix `__Host-` a browser accepts it only over
//! HTTPS and only for this host
//! (<https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes>).

use std::time::Duration;

use http::header::{COOKIE, ORIGIN};
use http::{HeaderMap, HeaderValue};
use leadsquared::SessionKey;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const NAME: &str = "__Host-portal-session";

/// `Set-Cookie` for a session that is valid for this long.
pub(crate) fn set(key: &SessionKey, valid_for: Duration) -> HeaderValue {
    let value = utf8_percent_encode(key.expose(), NON_ALPHANUMERIC);
    let seconds = valid_for.as_secs();
    let cookie = format!("{NAME}={value}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite=Lax");
    let mut cookie = HeaderValue::try_from(cookie).expect("percent-encoded text is visible ASCII");
    cookie.set_sensitive(true);
    cookie
}

/// `Set-Cookie` that removes the cookie.
pub(crate) fn forget() -> HeaderValue {
    set(&SessionKey::from(""), Duration::ZERO)
}

/// Whether the browser reports that a page of another host sent the request. Another host of the same site counts too:
/// a subdomain may belong to a third party.
pub(crate) fn is_from_elsewhere(headers: &HeaderMap, host: Option<&str>) -> bool {
    match (headers.get("sec-fetch-site"), headers.get(ORIGIN)) {
        (Some(site), _) => site != "same-origin" && site != "none",
        // Browsers too old for `Sec-Fetch-Site` send the origin with a POST.
        (None, Some(origin)) => {
            let own = host.map(|host| format!("https://{host}"));
            own.is_none_or(|own| !origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()))
        }
        (None, None) => false,
    }
}

/// The session in the browser's cookie, unless a page of another host sent the request.
pub(crate) fn session(headers: &HeaderMap, host: Option<&str>) -> Option<SessionKey> {
    if is_from_elsewhere(headers, host) {
        return None;
    }
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, value)| *name == NAME && !value.is_empty())?;
    percent_decode_str(value).decode_utf8().ok().map(|key| SessionKey::from(&*key))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn a_key_is_read_from_the_cookie_as_it_was_set() {
        let key = "ab+/=; \u{e9}\"";
        let cookie = set(&SessionKey::from(key), Duration::from_secs(14_400));
        let cookie = cookie.to_str().unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Max-Age=14400; Path=/; Secure; HttpOnly; SameSite=Lax");
        let sent = |cookies: &str, site: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_str(cookies).unwrap());
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            session(&headers, None).map(|key| key.expose().to_owned())
        };
        assert_eq!(sent(&format!("a=b; {pair};c=d"), "same-origin").as_deref(), Some(key));
        assert_eq!(sent(pair, "same-site"), None);
        for none in ["", "a=b", "__Host-portal-session=", "__Host-portal-session=%ff", "portal-session=x"] {
            assert_eq!(sent(none, "same-origin"), None, "{none}");
        }
    }

    #[test]
    fn a_request_of_this_host_or_of_a_program_is_not_from_elsewhere() {
        const HOST: Option<&str> = Some("apply.example.test");
        for (site, origin, host, is_from_elsewhere) in [
            (Some("same-origin"), Some("https://apply.example.test"), HOST, false),
            (Some("none"), None, HOST, false),
            (Some("same-site"), Some("https://other.example.test"), HOST, true),
            (Some("cross-site"), None, HOST, true),
            (Some(""), None, HOST, true),
            (None, Some("https://Apply.example.test"), HOST, false),
            (None, Some("https://other.example.test"), HOST, true),
            (None, Some("http://apply.example.test"), HOST, true),
            (None, Some("https://apply.example.test:444"), HOST, true),
            (None, Some("null"), HOST, true),
            (None, Some("https://apply.example.test"), None, true),
            (None, None, HOST, false),
        ] {
            let mut headers = HeaderMap::new();
            headers
                .extend(site.map(|site| (HeaderName::from_static("sec-fetch-site"), HeaderValue::from_static(site))));
            headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            assert_eq!(super::is_from_elsewhere(&headers, host), is_from_elsewhere, "{site:?} {origin:?} {host:?}");
        }
    }
}

//! The session as a cookie, for pages under one site with the API.
//!
//! No script can read it and no other site can send it. `__Host-` makes browsers insist on HTTPS and on this very host
//! (<https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes>).

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use leadsquared::SessionKey;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const NAME: &str = "__Host-portal-session";

/// `Set-Cookie` for a session of so many seconds.
pub(crate) fn set(key: &SessionKey, seconds: u32) -> HeaderValue {
    let value = utf8_percent_encode(key.expose(), NON_ALPHANUMERIC);
    let cookie = format!("{NAME}={value}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite=Lax");
    let mut cookie = HeaderValue::try_from(cookie).expect("percent-encoded text is visible ASCII");
    cookie.set_sensitive(true);
    cookie
}

/// Whether a browser says that another site made it send the request.
pub(crate) fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
}

/// The session that a browser sent along, unless another site made it do so.
pub(crate) fn session(headers: &HeaderMap) -> Option<SessionKey> {
    if is_cross_site(headers) {
        return None;
    }
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, value)| *name == NAME && !value.is_empty())?;
    percent_decode_str(value).decode_utf8().ok().map(|key| SessionKey::from(&*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_as_it_was() {
        let key = "ab+/=; \u{e9}\"";
        let cookie = set(&SessionKey::from(key), 14_400);
        let cookie = cookie.to_str().unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Max-Age=14400; Path=/; Secure; HttpOnly; SameSite=Lax");
        let sent = |cookies: &str, site: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_str(cookies).unwrap());
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            session(&headers).map(|key| key.expose().to_owned())
        };
        assert_eq!(sent(&format!("a=b; {pair};c=d"), "same-site").as_deref(), Some(key));
        assert_eq!(sent(pair, "cross-site"), None);
        for none in ["", "a=b", "__Host-portal-session=", "__Host-portal-session=%ff", "portal-session=x"] {
            assert_eq!(sent(none, "same-origin"), None, "{none}");
        }
    }
}

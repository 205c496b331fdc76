//! The web origins whose pages may send forms, as the browser reports the origin of a page.

use std::str::FromStr;

use http::HeaderValue;
use http::header::ORIGIN;
use lambda_http::Request;
use url::Url;

use crate::host;

/// The web origins of the company's websites, as API Gateway's CORS configuration has them: `https://www.example.com`,
/// or `*`, `https://*` and `http://*` for all
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>).
///
/// CORS keeps the scripts of other sites from reading an answer. It does not keep a form of another site from being
/// sent.
#[derive(Clone, Debug)]
pub struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    /// The setting with the list.
    pub const SETTING: &str = "ALLOWED_ORIGINS";

    /// What the setting holds, for the error message.
    pub const EXPECTED: &str = "a list of web origins, separated by commas";

    /// Whether a page of these origins or of our own host sent the request, or a sender that is no browser.
    ///
    /// Current browsers say whether the page was our own, and every browser sends its origin with a form
    /// (<https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header>). The origin is `null` if the page forbids
    /// referrers, as ours do. From a browser that sends no `Sec-Fetch-Site`, `null` is therefore our own page.
    pub fn permit(&self, request: &Request) -> bool {
        let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
        if matches!(site, Some(b"same-origin" | b"none")) {
            return true;
        }
        match request.headers().get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
            None | Some("null") => site.is_none() || self.allow("null"),
            Some(origin) => is_own(origin, host(request)) || self.allow(origin),
        }
    }

    fn allow(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.0.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(start) => origin.starts_with(start),
            None => origin == *allowed,
        })
    }
}

impl Default for AllowedOrigins {
    /// Every origin, as without a setting.
    fn default() -> Self {
        Self(vec!["*".to_owned()])
    }
}

impl FromStr for AllowedOrigins {
    type Err = NotAnOrigin;

    /// Reads a list that is separated by commas.
    ///
    /// # Errors
    /// When an entry is not as browsers send an origin, because it would match none: with a path or a slash at its end,
    /// with the standard port, or with a star for a part of a host's name.
    fn from_str(list: &str) -> Result<Self, NotAnOrigin> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(entry).collect::<Result<_, _>>().map(Self)
    }
}

/// An origin, or what stands for all, in lower case.
fn entry(text: &str) -> Result<String, NotAnOrigin> {
    const ALL: [&str; 3] = ["*", "http://*", "https://*"];
    let text = text.to_ascii_lowercase();
    if ALL.contains(&&*text) {
        return Ok(text);
    }
    let meant = Url::parse(&text).ok().filter(|_| !text.contains('*')).and_then(|url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}://{}{port}", url.scheme(), url.host_str()?))
    });
    match meant {
        Some(origin) if origin == text => Ok(origin),
        Some(meant) => Err(NotAnOrigin { text, meant }),
        None => Err(NotAnOrigin { text, meant: "one such as https://www.example.com, or * for all".to_owned() }),
    }
}

/// An entry of the list that matches no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not as browsers send an origin; write {meant}")]
pub struct NotAnOrigin {
    text: String,
    meant: String,
}

fn is_own(origin: &str, host: Option<&str>) -> bool {
    let of_origin = origin.strip_prefix("https://");
    of_origin.zip(host).is_some_and(|(of_origin, own)| of_origin.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::without_address;

    fn permits(list: &str, site: Option<&str>, origin: Option<&str>) -> bool {
        let mut headers = serde_json::Map::new();
        headers.extend(site.map(|site| ("sec-fetch-site".to_owned(), site.into())));
        headers.extend(origin.map(|origin| ("origin".to_owned(), origin.into())));
        let event = json!({
            "version": "2.0", "rawPath": "/login-links", "headers": headers,
            "requestContext": {
                "domainName": "api.example.test", "http": {"method": "POST", "path": "/login-links"},
            },
        });
        list.parse::<AllowedOrigins>().unwrap().permit(&without_address(serde_json::from_value(event).unwrap()).into())
    }

    #[test]
    fn a_form_of_another_site_needs_an_allowed_origin() {
        const SITES: &str = "https://www.example.com, https://apply.example.com:8443";
        for (site, origin, expected) in [
            // A current browser on our own page, which has the policy no-referrer, and one without that policy.
            (Some("same-origin"), Some("null"), true),
            (Some("same-origin"), Some("https://api.example.test"), true),
            (Some("none"), None, true),
            // A browser too old for `Sec-Fetch-Site` on our own page.
            (None, Some("null"), true),
            (None, Some("https://API.example.test"), true),
            // curl, and a server.
            (None, None, true),
            // The company's websites.
            (Some("cross-site"), Some("https://www.example.com"), true),
            (Some("same-site"), Some("https://WWW.example.com"), true),
            (Some("cross-site"), Some("https://apply.example.com:8443"), true),
            (None, Some("https://www.example.com"), true),
            // Other sites.
            (Some("cross-site"), Some("https://evil.example"), false),
            (Some("cross-site"), Some("null"), false),
            (Some("cross-site"), None, false),
            (Some("same-site"), Some("https://blog.example.test"), false),
            (Some("cross-site"), Some("http://www.example.com"), false),
            (Some("cross-site"), Some("https://www.example.com.evil.example"), false),
            (Some("cross-site"), Some("https://apply.example.com"), false),
            (Some("something else"), Some("https://evil.example"), false),
            (None, Some("https://evil.example"), false),
            (None, Some("http://api.example.test"), false),
        ] {
            assert_eq!(permits(SITES, site, origin), expected, "{site:?} {origin:?}");
            assert!(permits("*", site, origin), "{site:?} {origin:?}");
        }
    }

    #[test]
    fn a_star_stands_for_the_rest_of_an_origin_and_an_empty_list_for_no_other_site() {
        let other = |list| permits(list, Some("cross-site"), Some("https://any.example"));
        assert!(other("https://*") && other("http://*,https://*") && !other("http://*"));
        assert!(!permits("https://*", Some("cross-site"), Some("null")));
        assert!(!other("") && permits("", Some("same-origin"), Some("null")));
        assert!(AllowedOrigins::default().allow("https://any.example"));
    }

    #[test]
    fn an_entry_that_matches_no_origin_is_refused() {
        for list in
            ["https://www.example.com", "http://localhost:8080, https://[::1]:8443", "capacitor://localhost", ""]
        {
            assert!(list.parse::<AllowedOrigins>().is_ok(), "{list}");
        }
        for (list, meant) in [
            ("https://example.com, https://www.example.com/", "https://www.example.com"),
            ("https://www.example.com/apply?x=1", "https://www.example.com"),
            ("HTTPS://WWW.example.com:443", "https://www.example.com"),
            ("http://example.com:80", "http://example.com"),
            ("https://user@example.com", "https://example.com"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
            ("www.example.com", "one such as"),
            ("https://", "one such as"),
            ("https://*.example.com", "one such as"),
            ("*.example.com", "one such as"),
            ("null", "one such as"),
        ] {
            let error = list.parse::<AllowedOrigins>().unwrap_err().to_string();
            assert!(error.contains(&format!("; write {meant}")), "{list}: {error}");
        }
    }
}

//! The web origins whose pages may send forms, as the browser reports the origin of a page.

use http::HeaderValue;
use http::header::ORIGIN;
use lambda_http::Request;

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

    /// The origins in a list that is separated by commas. Without a setting, as under an earlier template, every origin
    /// is allowed.
    pub fn new(setting: Option<&str>) -> Self {
        let list = setting.unwrap_or("*").split(',').map(|origin| origin.trim().to_ascii_lowercase());
        Self(list.filter(|origin| !origin.is_empty()).collect())
    }

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
        AllowedOrigins::new(Some(list)).permit(&without_address(serde_json::from_value(event).unwrap()).into())
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
        assert!(AllowedOrigins::new(None).allow("https://any.example"));
    }
}

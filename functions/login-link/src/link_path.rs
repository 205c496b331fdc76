//! What the path of a request names.

use onboarding::LinkToken;

/// A path under `/login-links`.
pub(crate) enum LinkPath {
    /// `/login-links`, where people ask for a link.
    RequestPage,
    /// `/login-links/{token}`; none if the text there is no token.
    Link(Option<LinkToken>),
}

/// Length of a token's text, in characters.
const TOKEN_LENGTH: usize = 43;

impl LinkPath {
    /// Reads a path, which may have a stage in front.
    ///
    /// Mail programs and scanners add text after a link: a bracket, a full stop, their own parameters. A token has a
    /// fixed length, so text after it that no token can hold is ignored.
    pub(crate) fn of(path: &str) -> Self {
        const ROUTE: &str = "/login-links";
        let text = path.split_once(ROUTE).map_or("", |(_, rest)| rest).trim_start_matches('/');
        if text.is_empty() {
            return Self::RequestPage;
        }
        let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let length = text.bytes().take_while(is_of_token).count();
        Self::Link(if length == TOKEN_LENGTH { text[..length].parse().ok() } else { None })
    }
}

#[cfg(test)]
mod tests {
    use onboarding::LINK_TOKEN_BYTES;
    use proptest::prelude::*;

    use super::*;

    fn token() -> (LinkToken, String) {
        let token = LinkToken::new([0xfb; LINK_TOKEN_BYTES]);
        let link = token.link(&"https://x.test/".parse().unwrap());
        (token, link.expose().strip_prefix("https://x.test/").unwrap().to_owned())
    }

    #[test]
    fn a_token_is_found_with_text_before_and_after_it() {
        let (token, text) = token();
        assert_eq!(text.len(), TOKEN_LENGTH);
        for (before, after) in [
            ("", ""),
            ("/prod", "/"),
            ("", "."),
            ("", ")"),
            ("", "%3E"),
            ("", ">"),
            ("", "="),
            ("", "&data=05%7C02"),
            ("", " \r\n"),
            ("", "/fresh"),
            ("", "\u{2019}"),
            ("/", "?utm_source=mail"),
        ] {
            let path = format!("{before}/login-links/{text}{after}");
            assert!(matches!(LinkPath::of(&path), LinkPath::Link(Some(found)) if found == token), "{path}");
        }
    }

    #[test]
    fn a_malformed_token_is_a_link_without_a_token() {
        let (_, text) = token();
        for garbage in [&text[1..], &format!("{text}A"), &format!("A{text}"), "x", "%00", "é", "../..", "favicon.ico"]
        {
            let path = format!("/login-links/{garbage}");
            assert!(matches!(LinkPath::of(&path), LinkPath::Link(None)), "{path}");
        }
        for path in ["", "/", "/login-links", "/login-links/", "/prod/login-links", "/elsewhere"] {
            assert!(matches!(LinkPath::of(path), LinkPath::RequestPage), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/login-links/)?\\PC{0,80}") {
            LinkPath::of(&path);
        }
    }
}

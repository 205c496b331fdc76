//! What the path of a request names.

use onboarding::LinkToken;
use percent_encoding::percent_decode_str;

/// A path under `/login-links`.
pub enum LinkPath {
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
    /// Mail programs, chats and scanners add text around a link: a bracket, a full stop, the `_` of italics, their own
    /// parameters. Some percent-encode the whole of it. A token has a fixed length, so text around it is ignored,
    /// unless a letter or a digit follows it at once.
    pub fn of(path: &str) -> Self {
        const ROUTE: &str = "/login-links";
        let text = path.split_once(ROUTE).map_or("", |(_, rest)| rest).trim_start_matches('/');
        if text.is_empty() {
            return Self::RequestPage;
        }
        let is_of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let decoded = percent_decode_str(text).decode_utf8_lossy();
        let text = decoded.trim_start_matches(|c| !is_of_token(c));
        let token = text.split_at_checked(TOKEN_LENGTH).filter(|(_, after)| {
            !after.trim_start_matches(['-', '_']).starts_with(|c: char| c.is_ascii_alphanumeric())
        });
        Self::Link(token.and_then(|(token, _)| token.parse().ok()))
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
            ("", "_"),
            ("", "__"),
            ("", "-"),
            ("", "_."),
            ("", "*_"),
            ("", "%5F"),
            ("", "%22%3E"),
            ("", "~"),
            ("", "!"),
            ("", ").*"),
            ("", "%7E"),
            ("", "&amp;x=1"),
            ("", "%C2%A0"),
            ("", "%E2%80%9D."),
            ("", "%FF"),
            ("", "]("),
            ("", "\u{2019}"),
            ("/", "?utm_source=mail"),
        ] {
            let path = format!("{before}/login-links/{text}{after}");
            assert!(matches!(LinkPath::of(&path), LinkPath::Link(Some(found)) if found == token), "{path}");
        }
    }

    #[test]
    fn a_token_is_found_behind_other_text_and_when_it_is_percent_encoded() {
        let (token, text) = token();
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let marks = text.replace('_', "%5F").replace('-', "%2d");
        for path in [&format!("%3C{text}%3E"), &format!("\u{200B}{text}"), &encoded, &marks, &format!("{marks}%5f")] {
            let found = LinkPath::of(&format!("/login-links/{path}"));
            assert!(matches!(found, LinkPath::Link(Some(found)) if found == token), "{path}");
        }
    }

    #[test]
    fn a_malformed_token_is_a_link_without_a_token() {
        let (_, text) = token();
        for garbage in [
            &text[1..],
            &format!("{text}A"),
            &format!("{text}_A"),
            &format!("A{text}"),
            "x",
            "%00",
            "é",
            "../..",
            "favicon.ico",
        ] {
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

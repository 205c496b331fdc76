use onboarding::LinkToken;

/// What the path of a request names.
pub(crate) enum Place {
    /// `/login-links`: where links are asked for.
    Desk,
    /// `/login-links/{token}`; none where something stands there that is no token.
    Link(Option<LinkToken>),
}

/// How long a token's text is.
const TOKEN_LENGTH: usize = 43;

impl Place {
    /// Reads a path, which may have a stage in front.
    ///
    /// Mail programs and scanners put things behind a link: a bracket, a full stop, their own parameters. A token is
    /// known by its length, so what follows it and cannot belong to it does not count.
    pub(crate) fn of(path: &str) -> Self {
        const ROUTE: &str = "/login-links";
        let text = path.split_once(ROUTE).map_or("", |(_, rest)| rest).trim_start_matches('/');
        if text.is_empty() {
            return Self::Desk;
        }
        let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let length = text.bytes().take_while(belongs).count();
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
    fn a_token_is_found_with_whatever_stands_around_it() {
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
            assert!(matches!(Place::of(&path), Place::Link(Some(found)) if found == token), "{path}");
        }
    }

    #[test]
    fn what_is_no_token_is_a_link_all_the_same() {
        let (_, text) = token();
        for garbage in [&text[1..], &format!("{text}A"), &format!("A{text}"), "x", "%00", "é", "../..", "favicon.ico"]
        {
            let path = format!("/login-links/{garbage}");
            assert!(matches!(Place::of(&path), Place::Link(None)), "{path}");
        }
        for desk in ["", "/", "/login-links", "/login-links/", "/prod/login-links", "/elsewhere"] {
            assert!(matches!(Place::of(desk), Place::Desk), "{desk}");
        }
    }

    proptest! {
        #[test]
        fn no_path_is_too_much(path in "(/login-links/)?\\PC{0,80}") {
            Place::of(&path);
        }
    }
}

//! What a sign-in and a login link bring: the visitor's address, typed codes, and the path of a link.

use http::{HeaderMap, HeaderValue};
use http_events::{VISITOR_ADDRESS, visitor_address};
use login_link::LinkPath;
use portal_account::typed_code;
use url::Url;

/// An input is the value of the header.
pub(crate) fn check_visitor(input: &[u8]) {
    let read = |value: &[u8]| {
        let value = HeaderValue::from_bytes(value).ok()?;
        visitor_address(&HeaderMap::from_iter([(VISITOR_ADDRESS.parse().expect("it is a name"), value)]))
    };
    let Some(address) = read(input) else { return };
    assert_eq!(address, address.to_canonical(), "an address has one form");
    let with_port = std::net::SocketAddr::new(address, 443).to_string();
    for spelling in [address.to_string(), with_port, format!("\"{address}\"")] {
        assert_eq!(read(spelling.as_bytes()), Some(address), "{spelling}");
    }
}

/// An input is a text in UTF-8.
pub(crate) fn check_code(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(code) = typed_code(text) else { return };
    let code = code.expose();
    let is_texted = (4..=8).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit());
    let is_mailed = code.len() == 10 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    assert!(is_texted || is_mailed, "{code}");
    let spaced: String = code.chars().flat_map(|c| [c, ' ']).collect();
    for typed in [code, &spaced, &code.to_lowercase(), &format!("\u{200e}{code}\u{200b}")] {
        let read = typed_code(typed).expect("a code stays one");
        assert_eq!(read.expose(), code, "{typed:?}");
    }
}

/// An input is a path in UTF-8.
pub(crate) fn check_link_path(input: &[u8]) {
    let Ok(path) = std::str::from_utf8(input) else { return };
    let LinkPath::Link(Some(token)) = LinkPath::of(path) else { return };
    let page: Url = "https://api.example.test/login-links/".parse().expect("it is an address");
    let link = token.link(&page);
    let (_, path) = link.expose().split_once(".test").expect("it is in the link");
    for written in [path.to_owned(), format!("{path}."), format!("{path}_"), format!("/prod{path}/fresh")] {
        assert!(matches!(LinkPath::of(&written), LinkPath::Link(Some(found)) if found == token), "{written}");
    }
}

//! Bodies of forms, with their content type.

use futures::executor::block_on;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use web::{Form, FormError, Problem};

/// Reads a body with this content type.
pub(crate) fn read(content_type: &[u8], body: &[u8]) -> Result<Form, FormError> {
    let value = HeaderValue::from_bytes(content_type);
    let headers: HeaderMap = value.into_iter().map(|value| (CONTENT_TYPE, value)).collect();
    block_on(Form::read(&headers, body))
}

/// An input is a content type, a line feed, and the body.
pub(crate) fn check(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (content_type, body) = (&input[..end], &input[end + 1..]);
    let form = match read(content_type, body) {
        Ok(form) => form,
        Err(error) => {
            crate::assert_own_words(&error.to_string());
            return assert!(Problem::from(error).status().is_client_error());
        }
    };
    // Multipart bodies have no room for a mark: text before the first boundary is ignored.
    let marked = [b"\xef\xbb\xbf", body].concat();
    let same = read(content_type, &marked).expect("a byte order mark changes nothing");
    let names = ["email", "name", "value", "a", "fields", "fields[email]", "a[]", ""];
    for name in names {
        let texts = form.texts(name).ok();
        assert_eq!(texts, same.texts(name).ok(), "a byte order mark changes {name}");
        for text in texts.into_iter().flatten() {
            assert!(!text.expose().is_empty());
            // Decoding makes a text shorter, and a number is written in full: 9e9 is 9000000000.0.
            assert!(text.expose().len() <= body.len() * 8 + 32, "{} of {}", text.expose().len(), body.len());
        }
    }
    match form.in_group_with("email") {
        Ok(form) => names.iter().for_each(|name| drop(form.text(name))),
        Err(error) => crate::assert_own_words(&error.detail),
    }
}

//! Reads the body of a submitted form, whichever of the three content types of a form it has.

use futures::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use multer::{Constraints, Multipart, SizeLimit};
use onboarding::Private;
use serde_json::Value as Json;

use crate::Problem;

/// The largest form body, in bytes. The form becomes one SQS message, which can have 1 MiB with all characters escaped
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
pub const BODY_LIMIT: usize = 64 * 1024;

/// The submitted fields, in the order of the body. A name can occur more than once.
#[derive(Debug, Default)]
pub struct Form {
    fields: Vec<(String, Value)>,
}

/// The submitted value of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text, unchanged. A JSON number or boolean becomes its text, and JSON `null` becomes the empty string.
    Text(Private<String>),
    /// An uploaded file, or a JSON array or object.
    NotText,
}

/// Why a body cannot be read as a form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The content type is missing, or no form is sent with it.
    #[error("the content type is not that of a form")]
    UnsupportedMediaType,
    /// The body is larger than [`BODY_LIMIT`].
    #[error("the body is larger than {BODY_LIMIT} bytes")]
    TooLarge,
    /// The body does not match its content type. The text names what was expected.
    #[error("the body is not {0}")]
    Unreadable(&'static str),
}

impl Form {
    /// Reads a body of type `application/x-www-form-urlencoded`, `multipart/form-data` or `application/json` (one flat
    /// object). Text must be UTF-8. No body makes it panic.
    ///
    /// # Errors
    /// See [`FormError`].
    pub async fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, FormError> {
        if body.len() > BODY_LIMIT {
            return Err(FormError::TooLarge);
        }
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type: mime::Mime =
            content_type.and_then(|text| text.parse().ok()).ok_or(FormError::UnsupportedMediaType)?;
        if media_type.get_param(mime::CHARSET).is_some_and(|charset| charset != mime::UTF_8 && charset != "us-ascii") {
            return Err(FormError::UnsupportedMediaType);
        }
        match (media_type.type_(), media_type.subtype()) {
            (mime::APPLICATION, mime::WWW_FORM_URLENCODED) => Self::urlencoded(body),
            (mime::APPLICATION, mime::JSON) => Self::json(body),
            (mime::MULTIPART, mime::FORM_DATA) => {
                let boundary = media_type.get_param(mime::BOUNDARY).ok_or(FormError::Unreadable(MULTIPART))?;
                Self::multipart(boundary.as_str(), body).await
            }
            _ => Err(FormError::UnsupportedMediaType),
        }
    }

    /// All values with this name, in the order of the body.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value)
    }

    fn urlencoded(body: &[u8]) -> Result<Self, FormError> {
        const EXPECTED: &str = "URL-encoded UTF-8 text";
        // The decoder replaces bytes that are not UTF-8 by U+FFFD. A U+FFFD that was submitted is refused as well:
        // another program already lost a character there.
        let pairs = form_urlencoded::parse(body);
        let fields = pairs.map(|(name, value)| {
            let readable = !name.contains('\u{FFFD}') && !value.contains('\u{FFFD}');
            readable.then(|| (name.into_owned(), text(value.into_owned()))).ok_or(FormError::Unreadable(EXPECTED))
        });
        Ok(Self { fields: fields.collect::<Result<_, _>>()? })
    }

    fn json(body: &[u8]) -> Result<Self, FormError> {
        const EXPECTED: &str = "a JSON object";
        // Of a repeated name the last value counts, as in JavaScript's `JSON.parse`
        // (<https://tc39.es/ecma262/#sec-json.parse>).
        let object: serde_json::Map<String, Json> =
            serde_json::from_slice(body).map_err(|_| FormError::Unreadable(EXPECTED))?;
        let fields = object.into_iter().map(|(name, value)| {
            let value = match value {
                Json::Null => text(String::new()),
                Json::Bool(value) => text(value.to_string()),
                Json::Number(value) => text(value.to_string()),
                Json::String(value) => text(value),
                Json::Array(_) | Json::Object(_) => Value::NotText,
            };
            (name, value)
        });
        Ok(Self { fields: fields.collect() })
    }

    async fn multipart(boundary: &str, body: &[u8]) -> Result<Self, FormError> {
        let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(BODY_LIMIT as u64));
        let whole = stream::iter([Ok::<_, std::io::Error>(body.to_vec())]);
        let mut parts = Multipart::with_constraints(whole, boundary, limits);
        let mut fields = Vec::new();
        while let Some(part) = parts.next_field().await.map_err(|_| FormError::Unreadable(MULTIPART))? {
            let name = part.name().ok_or(FormError::Unreadable(MULTIPART))?.to_owned();
            let is_file = part.file_name().is_some();
            let bytes = part.bytes().await.map_err(|_| FormError::Unreadable(MULTIPART))?;
            let value = match is_file {
                // A browser sends an empty file for a file input without a chosen file
                // (<https://html.spec.whatwg.org/#constructing-form-data-set>).
                true if bytes.is_empty() => text(String::new()),
                true => Value::NotText,
                false => text(String::from_utf8(bytes.into()).map_err(|_| FormError::Unreadable(MULTIPART))?),
            };
            fields.push((name, value));
        }
        Ok(Self { fields })
    }
}

const MULTIPART: &str = "multipart/form-data with UTF-8 text";

fn text(value: String) -> Value {
    Value::Text(Private::new(value))
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        match error {
            FormError::UnsupportedMediaType => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The form cannot be read",
                "Send it as application/x-www-form-urlencoded, multipart/form-data or application/json, in UTF-8.",
            ),
            FormError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The form is too large",
                format!("Send at most {BODY_LIMIT} bytes."),
            ),
            FormError::Unreadable(expected) => Self::new(
                StatusCode::BAD_REQUEST,
                "The form cannot be read",
                format!("The body does not match its content type: it is not {expected}."),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(content_type: &str, body: &[u8]) -> Result<Form, FormError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        block_on(Form::read(&headers, body))
    }

    fn texts(form: &Form, name: &str) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::Text(text) => text.expose().clone(),
            Value::NotText => "(not text)".to_owned(),
        };
        form.values(name).map(text).collect()
    }

    #[test]
    fn an_urlencoded_form_keeps_order_and_repeats() {
        let form = read("application/x-www-form-urlencoded; charset=UTF-8", b"a=1&b=x+y%C3%A9&a=2&c").unwrap();
        assert_eq!(texts(&form, "a"), ["1", "2"]);
        assert_eq!(texts(&form, "b"), ["x yé"]);
        assert_eq!(texts(&form, "c"), [""]);
        assert_eq!(texts(&form, "d"), [""; 0]);
    }

    #[test]
    fn a_json_form_is_one_flat_object() {
        let form = read("application/json", br#"{"a":"x","n":5,"t":true,"z":null,"l":[1],"o":{}}"#).unwrap();
        let all: Vec<_> = ["a", "n", "t", "z", "l", "o"].iter().flat_map(|name| texts(&form, name)).collect();
        assert_eq!(all, ["x", "5", "true", "", "(not text)", "(not text)"]);
        for body in [&b"[]"[..], b"\"x\"", b"", b"{", b"{\"a\":\"\xff\"}", b"null"] {
            assert_eq!(read("application/json", body).unwrap_err(), FormError::Unreadable("a JSON object"));
        }
    }

    #[test]
    fn a_multipart_form_may_hold_files_that_are_not_text() {
        let body = concat!(
            "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\ny\r\n",
            "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"cv.pdf\"\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n",
            "--B\r\nContent-Disposition: form-data; name=\"e\"; filename=\"\"\r\n\r\n\r\n",
            "--B--\r\n"
        );
        let form = read("multipart/form-data; boundary=B", body.as_bytes()).unwrap();
        assert_eq!(texts(&form, "a"), ["x\r\ny"]);
        assert_eq!(texts(&form, "f"), ["(not text)"]);
        assert_eq!(texts(&form, "e"), [""]);
        for cut in 1..body.len() - 4 {
            assert_eq!(
                read("multipart/form-data; boundary=B", &body.as_bytes()[..cut]).unwrap_err(),
                FormError::Unreadable(MULTIPART),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_content_type_of_no_form_is_refused() {
        for content_type in ["text/plain", "application/xml", "application/json; charset=utf-16", "nonsense", ""] {
            assert_eq!(read(content_type, b"a=1").unwrap_err(), FormError::UnsupportedMediaType, "{content_type}");
        }
        assert_eq!(block_on(Form::read(&HeaderMap::new(), b"a=1")).unwrap_err(), FormError::UnsupportedMediaType);
    }

    #[test]
    fn the_limit_counts_the_whole_body() {
        let content_type = "application/x-www-form-urlencoded";
        assert!(read(content_type, &vec![b'a'; BODY_LIMIT]).is_ok());
        assert_eq!(read(content_type, &vec![b'a'; BODY_LIMIT + 1]).unwrap_err(), FormError::TooLarge);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_unreadable() {
        for (content_type, body) in [
            ("application/x-www-form-urlencoded", &b"a=%ff"[..]),
            ("application/x-www-form-urlencoded", b"a=\xff"),
            (
                "multipart/form-data; boundary=B",
                b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\xff\r\n--B--\r\n",
            ),
        ] {
            assert!(matches!(read(content_type, body), Err(FormError::Unreadable(_))), "{content_type}");
        }
    }

    #[test]
    fn printing_a_form_shows_no_value() {
        let form = read("application/x-www-form-urlencoded", b"email=canary%40example.test").unwrap();
        assert_eq!(format!("{form:?}"), r#"Form { fields: [("email", Text([private]))] }"#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_form_or_a_client_error(
            body in prop::collection::vec(any::<u8>(), 0..400),
            content_type in prop::sample::select(vec![
                "application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=B", "text/plain",
                "multipart/form-data", "multipart/form-data; boundary=\"\"",
            ]),
        ) {
            if let Err(error) = read(content_type, &body) {
                prop_assert!(Problem::from(error).status().is_client_error());
            }
        }
    }
}

//! Reads the body of a submitted form, in the spellings in which browsers, widgets and form builders send it.

mod media_type;
mod names;

use std::fmt;

use futures::stream;
use http::header::CONTENT_DISPOSITION;
use http::{HeaderMap, StatusCode};
use multer::{Constraints, Multipart, SizeLimit};
use onboarding::Private;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use self::media_type::{ContentType, MediaType};
pub use self::names::spelling;
use self::names::{Path, Place};
use crate::{FieldError, Problem};

/// The largest form body, in bytes. The form becomes one SQS message, which can have 1 MiB with all characters escaped
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
pub const BODY_LIMIT: usize = 64 * 1024;

/// The submitted fields, in the order of the body. A name can occur more than once.
///
/// Form builders put fields into groups: they write the groups in brackets (`form_fields[email]`) or nest them
/// (`{"fields": {"email": {"value": …}}}`, `{"fields": [{"name": "email", "value": …}]}`, Typeform's list of answers).
/// The fields that are not in a group are read by default, and [`in_group_with`](Self::in_group_with) selects a group.
#[derive(Debug, Default)]
pub struct Form {
    fields: Vec<(Place, Value)>,
    /// The group whose fields are read.
    group: Vec<String>,
}

/// The submitted value of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text, unchanged. A JSON number or boolean becomes its text, and JSON `null` becomes the empty string.
    Text(Private<String>),
    /// An uploaded file, or a group of fields.
    NotText,
    /// Text that is not UTF-8, or lost a character on its way.
    Garbled,
    /// A part of a multipart form that is encoded once more, as in a mail.
    Encoded,
}

/// Why a body cannot be read as a form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// No form is sent with this content type, or the body has none and is not a JSON object.
    #[error("the content type is not that of a form")]
    UnsupportedMediaType,
    /// The content type is that of an HTML form, and the body is a JSON object.
    #[error("the content type is that of an HTML form, and the body is JSON")]
    JsonAsForm,
    /// The body is larger than [`BODY_LIMIT`].
    #[error("the body is larger than {BODY_LIMIT} bytes")]
    TooLarge,
    /// The body does not match its content type. The text names what was expected.
    #[error("the body is not {0}")]
    Unreadable(&'static str),
}

const JSON: &str = "a JSON object";
const MULTIPART: &str = "multipart/form-data with UTF-8 text";

impl Form {
    /// Reads a body of type `application/x-www-form-urlencoded`, `multipart/form-data`, `application/json` (one
    /// object), or `text/plain` with a JSON object. Text must be UTF-8, and ASCII if the content type names another
    /// charset. Text that is not costs its field only. A byte order mark is ignored. No body makes it panic.
    ///
    /// # Errors
    /// See [`FormError`].
    pub async fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, FormError> {
        if body.len() > BODY_LIMIT {
            return Err(FormError::TooLarge);
        }
        let content_type = ContentType::of(headers).ok_or(FormError::UnsupportedMediaType)?;
        let text = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
        let pairs = match content_type.media_type {
            MediaType::Urlencoded if is_json_object(text) => return Err(FormError::JsonAsForm),
            MediaType::Urlencoded => urlencoded(text),
            MediaType::Json => json(text)?,
            MediaType::Multipart(boundary) => multipart(&boundary, body).await?,
            MediaType::Unnamed if text.trim_ascii_start().starts_with(b"{") => json(text)?,
            MediaType::Unnamed => return Err(FormError::UnsupportedMediaType),
        };
        // In another charset, bytes beyond ASCII are other characters.
        let is_ascii = |value: &Value| !matches!(value, Value::Text(text) if !text.expose().is_ascii());
        if !content_type.is_utf8 && !pairs.iter().all(|(_, value)| is_ascii(value)) {
            return Err(FormError::UnsupportedMediaType);
        }
        Ok(Self { fields: names::places(pairs), group: Vec::new() })
    }

    /// The form of which the fields are in the same group as the field `name`. It is this form if `name` is not in a
    /// group, or is missing.
    ///
    /// # Errors
    /// When several groups have the name.
    pub fn in_group_with(self, name: &str) -> Result<Self, FieldError> {
        if self.values(name).next().is_some() {
            return Ok(self);
        }
        let mut groups = self.fields.iter().filter(|(place, _)| place.has_name(name)).map(|(place, _)| &place.group);
        let Some(group) = groups.next().cloned() else { return Ok(self) };
        match groups.all(|other| *other == group) {
            true => Ok(Self { group, ..self }),
            false => Err(FieldError::new(name, "was sent in several groups of fields; send it in one")),
        }
    }

    /// All values with this name, in the order of the body.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.fields.iter().filter_map(move |(place, value)| match place.group.strip_prefix(self.group.as_slice())? {
            [] if place.has_name(name) => Some(value),
            _ if self.group.is_empty() && place.written.as_deref() == Some(name) => Some(value),
            [group, ..] if group == name => Some(&Value::NotText),
            _ => None,
        })
    }

    /// The texts submitted under this name that are not empty.
    ///
    /// # Errors
    /// When one of them is not text.
    pub fn texts<'a>(&'a self, name: &'a str) -> Result<Vec<&'a Private<String>>, FieldError> {
        let texts = self.values(name).map(|value| match value {
            Value::Text(text) => Ok(text),
            Value::NotText => Err(FieldError::new(name, "must be text, not a file or a list of fields")),
            Value::Garbled => Err(FieldError::new(name, "has characters that cannot be read; send the text in UTF-8")),
            Value::Encoded => {
                Err(FieldError::new(name, "must be sent as it is, in a part without a Content-Transfer-Encoding"))
            }
        });
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        Ok(texts.into_iter().filter(|text| !text.expose().is_empty()).collect())
    }

    /// The one text submitted under this name; none if nothing was. A repeat of the same text does not count.
    ///
    /// # Errors
    /// When the value is not text, or there are different ones.
    pub fn text<'a>(&'a self, name: &'a str) -> Result<Option<&'a Private<String>>, FieldError> {
        one(name, self.texts(name)?)
    }

    /// Whether a value was submitted under this name that is not empty.
    pub fn is_filled(&self, name: &str) -> bool {
        self.values(name).any(is_filled)
    }

    /// The names of each filled field, and whether it is in the group that is read. A field has several names if the
    /// body names and describes it.
    pub fn filled(&self) -> impl Iterator<Item = (&[String], bool)> {
        let filled = self.fields.iter().filter(|(_, value)| is_filled(value));
        filled.map(|(place, _)| (place.names.as_slice(), place.group == self.group))
    }

    /// The name of a field in any group whose text fulfils the condition. It helps people to name the fields of a form.
    pub fn name_of(&self, condition: impl Fn(&str) -> bool) -> Option<&str> {
        self.fields.iter().find_map(|(place, value)| match value {
            Value::Text(text) if condition(text.expose()) => place.names.first().map(String::as_str),
            _ => None,
        })
    }
}

fn is_filled(value: &Value) -> bool {
    !matches!(value, Value::Text(text) if text.expose().is_empty())
}

/// The one of these values of a field, if all are the same.
///
/// # Errors
/// When they differ.
pub fn one<T: PartialEq>(name: &str, values: Vec<T>) -> Result<Option<T>, FieldError> {
    let mut values = values.into_iter();
    let Some(first) = values.next() else { return Ok(None) };
    match values.all(|other| other == first) {
        true => Ok(Some(first)),
        false => Err(FieldError::new(name, "was sent more than once with different values; send it once")),
    }
}

/// Whether the body begins as a JSON object does: `{` and a quotation mark or `}`. An HTML form has both characters
/// percent-encoded (<https://url.spec.whatwg.org/#application-x-www-form-urlencoded-percent-encode-set>).
fn is_json_object(body: &[u8]) -> bool {
    let members = body.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    matches!(members, Some([b'"' | b'}', ..]))
}

fn urlencoded(body: &[u8]) -> Vec<(Path, Value)> {
    form_urlencoded::parse(body).map(|(name, value)| (Path::bracketed(&name), text(value))).collect()
}

fn json(body: &[u8]) -> Result<Vec<(Path, Value)>, FormError> {
    let body = String::from_utf8_lossy(body);
    let object: Members<'_> = serde_json::from_str(&body).map_err(|_| FormError::Unreadable(JSON))?;
    let mut pairs = Vec::new();
    for (name, value) in object.0 {
        nested(Path::bracketed(&name), value.get(), &mut pairs);
    }
    Ok(pairs)
}

/// The members of an object in their order, each read on its own: an unreadable value costs its field only. A repeated
/// name is repeated here too, as in a form.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(JSON)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl<'a> Members<'a> {
    /// The value of a member.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// The text of a member.
    fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(|value| serde_json::from_str(value.get()).ok())
    }

    /// The name and the value, if the object is an answer of Typeform: `type` names the member that has the value
    /// (<https://www.typeform.com/developers/webhooks/example-payload/>).
    fn answer(&self) -> Option<(String, &'a RawValue)> {
        let read = |value: &'a RawValue| serde_json::from_str::<Members<'a>>(value.get()).ok();
        let name = read(self.get("field")?)?.text("ref")?;
        let value = self.get(&self.text("type")?)?;
        let chosen = read(value).and_then(|choice| choice.get("label").or(choice.get("labels")));
        Some((name, chosen.unwrap_or(value)))
    }
}

/// Adds the values in a JSON value, each with its path.
fn nested(path: Path, json: &str, pairs: &mut Vec<(Path, Value)>) {
    let value = match json.as_bytes() {
        [b'{' | b'[', ..] if path.is_deepest() => Value::NotText,
        [b'[', ..] if path.is_item() => Value::NotText,
        [b'{', ..] => match serde_json::from_str::<Members<'_>>(json) {
            Ok(members) if !members.0.is_empty() => {
                if let Some((name, value)) = members.answer() {
                    pairs.push((path.member("name".to_owned()), text(name)));
                    return nested(path.member("value".to_owned()), value.get(), pairs);
                }
                return members.0.into_iter().for_each(|(name, value)| nested(path.member(name), value.get(), pairs));
            }
            _ => Value::NotText,
        },
        [b'[', ..] => match serde_json::from_str::<Vec<&RawValue>>(json).unwrap_or_default().as_slice() {
            // The choice in a group of boxes: no box is ticked, or one.
            [] => text(""),
            // A list of fields, or several values of one field, as if it were sent several times.
            values => {
                let values = values.iter().enumerate();
                return values.for_each(|(index, value)| nested(path.item(index), value.get(), pairs));
            }
        },
        _ => match serde_json::from_str(json) {
            Ok(Json::Null) => text(""),
            Ok(Json::Bool(value)) => text(value.to_string()),
            Ok(Json::Number(value)) => text(value.to_string()),
            Ok(Json::String(value)) => text(value),
            // Half of a character, cut off by JavaScript, or a number without a size.
            _ => Value::Garbled,
        },
    };
    pairs.push((path, value));
}

/// The encodings that leave a part as it is (<https://www.rfc-editor.org/rfc/rfc2045#section-6.2>). RFC 7578 permits no
/// other in a form.
const IDENTITY: [&str; 3] = ["7bit", "8bit", "binary"];

async fn multipart(boundary: &str, body: &[u8]) -> Result<Vec<(Path, Value)>, FormError> {
    let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(BODY_LIMIT as u64));
    let whole = stream::iter([Ok::<_, std::io::Error>(body.to_vec())]);
    let mut parts = Multipart::with_constraints(whole, boundary, limits);
    let mut pairs = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(|_| FormError::Unreadable(MULTIPART))? {
        let name = part.name().map(Path::bracketed);
        // A name beyond ASCII may come in the extended notation only (<https://www.rfc-editor.org/rfc/rfc5987>).
        let disposition = part.headers().get(CONTENT_DISPOSITION).map(|value| value.as_bytes().to_ascii_lowercase());
        let has_extended_name = disposition.is_some_and(|it| it.windows(10).any(|bytes| bytes == b"filename*="));
        let encoding = part.headers().get("content-transfer-encoding").map(|value| value.as_bytes().trim_ascii());
        let is_encoded =
            encoding.is_some_and(|it| !IDENTITY.iter().any(|identity| it.eq_ignore_ascii_case(identity.as_bytes())));
        let is_file = part.file_name().is_some() || has_extended_name;
        let bytes = part.bytes().await.map_err(|_| FormError::Unreadable(MULTIPART))?;
        // A part without a name is no field.
        let Some(name) = name else { continue };
        let value = match String::from_utf8(bytes.into()) {
            // A browser sends an empty file for a file input without a chosen file
            // (<https://html.spec.whatwg.org/#constructing-form-data-set>).
            Ok(content) if content.is_empty() => text(content),
            _ if is_encoded && !is_file => Value::Encoded,
            Ok(content) if !is_file => text(content),
            Err(_) if !is_file => Value::Garbled,
            _ => Value::NotText,
        };
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// A decoder replaces what it cannot read by U+FFFD. Where another program did so before, a character is lost too.
fn text(value: impl Into<String>) -> Value {
    let value = value.into();
    if value.contains('\u{FFFD}') { Value::Garbled } else { Value::Text(Private::new(value)) }
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        match error {
            FormError::UnsupportedMediaType => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The form cannot be read",
                "Set the header Content-Type to application/x-www-form-urlencoded, multipart/form-data or \
                 application/json, and send the text in UTF-8.",
            ),
            FormError::JsonAsForm => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The form cannot be read",
                "The body is JSON, and its Content-Type is application/x-www-form-urlencoded. Set the header Content-Type \
                 to application/json.",
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
    use http::header::CONTENT_TYPE;
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
            Value::Garbled => "(garbled)".to_owned(),
            Value::Encoded => "(encoded)".to_owned(),
        };
        form.values(name).map(text).collect()
    }

    const URLENCODED_TYPE: &str = "application/x-www-form-urlencoded";

    #[test]
    fn an_urlencoded_form_keeps_order_and_repeats() {
        let form = read("application/x-www-form-urlencoded; charset=UTF-8", b"a=1&b=x+y%C3%A9&a=2&c").unwrap();
        assert_eq!(texts(&form, "a"), ["1", "2"]);
        assert_eq!(texts(&form, "b"), ["x yé"]);
        assert_eq!(texts(&form, "c"), [""]);
        assert_eq!(texts(&form, "d"), [""; 0]);
    }

    #[test]
    fn json_that_is_sent_as_an_html_form_is_refused_with_what_to_do() {
        for body in [r#"{"email":"a@example.test"}"#, " \n{\t\"a\":1}", "{}", "\u{feff}{\"a\":1}"] {
            assert_eq!(read(URLENCODED_TYPE, body.as_bytes()).unwrap_err(), FormError::JsonAsForm, "{body}");
        }
        let problem = Problem::from(FormError::JsonAsForm);
        assert!(problem.status() == 415 && problem.detail().contains("application/json"), "{}", problem.detail());
        for body in ["%7B%22a%22=1&b=x", "{a}=1&b=x", "b=x&c={\"a\":1}"] {
            assert_eq!(texts(&read(URLENCODED_TYPE, body.as_bytes()).unwrap(), "b"), ["x"], "{body}");
        }
    }

    #[test]
    fn the_values_of_a_json_object_become_texts() {
        let form = read("application/json", br#"{"a":"x","n":5,"t":true,"z":null,"l":[1,"b"],"o":{"k":1}}"#).unwrap();
        let all: Vec<_> = ["a", "n", "t", "z", "l", "o"].iter().flat_map(|name| texts(&form, name)).collect();
        assert_eq!(all, ["x", "5", "true", "", "1", "b", "(not text)"]);
        for body in [&b"[]"[..], b"\"x\"", b"", b"{", b"{\"a\":\"}", b"null"] {
            assert_eq!(read("application/json", body).unwrap_err(), FormError::Unreadable("a JSON object"));
        }
    }

    #[test]
    fn an_unreadable_value_costs_its_field_only() {
        let multipart = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\xe9\r\n\
            --B\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\nx\r\n--B--\r\n";
        let nested = format!(r#"{{"a":{}1{},"b":"x"}}"#, "[".repeat(5_000), "]".repeat(5_000));
        for (content_type, body, a) in [
            (URLENCODED_TYPE, &b"a=caf%E9&b=x"[..], "(garbled)"),
            (URLENCODED_TYPE, b"a=caf\xe9&b=x", "(garbled)"),
            (URLENCODED_TYPE, "a=caf\u{FFFD}&b=x".as_bytes(), "(garbled)"),
            ("application/json", b"{\"a\":\"caf\xe9\",\"b\":\"x\"}", "(garbled)"),
            ("application/json", br#"{"a":"\ud83d","b":"x"}"#, "(garbled)"),
            ("application/json", br#"{"a":1e999,"b":"x"}"#, "(garbled)"),
            ("application/json", nested.as_bytes(), "(not text)"),
            ("multipart/form-data; boundary=B", multipart, "(garbled)"),
        ] {
            let form = read(content_type, body).unwrap();
            assert_eq!((texts(&form, "a"), texts(&form, "b")), (vec![a.to_owned()], vec!["x".to_owned()]), "{body:?}");
            assert!(form.text("a").is_err() && form.text("b").is_ok());
        }
        let form = read("application/json", br#"{"fields":{"a":{"value":"\ud83d"},"b":{"value":"x"}}}"#).unwrap();
        assert_eq!(texts(&form.in_group_with("b").unwrap(), "b"), ["x"]);
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
        let latin = "application/x-www-form-urlencoded; charset=ISO-8859-1";
        assert_eq!(texts(&read(latin, b"a=1+2").unwrap(), "a"), ["1 2"]);
        assert_eq!(read(latin, "a=é".as_bytes()).unwrap_err(), FormError::UnsupportedMediaType);
        assert_eq!(block_on(Form::read(&HeaderMap::new(), b"a=1")).unwrap_err(), FormError::UnsupportedMediaType);
    }

    #[test]
    fn a_json_object_is_read_without_the_content_type_of_json() {
        assert_eq!(texts(&read("text/plain;charset=UTF-8", br#" {"a":"x"}"#).unwrap(), "a"), ["x"]);
        assert_eq!(texts(&block_on(Form::read(&HeaderMap::new(), br#"{"a":"x"}"#)).unwrap(), "a"), ["x"]);
    }

    #[test]
    fn a_byte_order_mark_is_ignored() {
        for (content_type, body) in [
            (URLENCODED_TYPE, &b"\xef\xbb\xbfa=1"[..]),
            ("application/json", b"\xef\xbb\xbf{\"a\":1}"),
            ("text/plain", b"\xef\xbb\xbf{\"a\":1}"),
            ("application/json", b"\xef\xbb\xbf\r\n{\"a\":1}"),
            (
                "multipart/form-data; boundary=B",
                b"\xef\xbb\xbf--B\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--B--\r\n",
            ),
        ] {
            assert_eq!(texts(&read(content_type, body).unwrap(), "a"), ["1"], "{content_type}");
        }
    }

    #[test]
    fn a_part_that_is_no_field_does_not_affect_the_others() {
        let part =
            |headers: &str, content: &[u8]| [b"--B\r\n", headers.as_bytes(), b"\r\n\r\n", content, b"\r\n"].concat();
        let name = |name: &str| format!("Content-Disposition: form-data; {name}");
        let body = [
            part(&name("name=\"a\""), b"x"),
            part(&name("name=\"photo\"; filename*=utf-8''%E0%A4%AB.png"), b"\x89PNG"),
            part(&name("name=\"notes\"; FileName*=UTF-8''n.txt"), b"plain"),
            part(&name("name=bytes"), b"\xff\xfe"),
            part("Content-Type: text/plain", b"no disposition"),
            part(&name("filename=\"x\""), b"no name"),
            part("Content-Disposition: form-data", b"<ACORD><Status>Success</Status></ACORD>"),
            part(
                "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=202.data",
                b"\x00",
            ),
            part(&name("namex=\"spoofed\""), b"z"),
            part(&name("filename=\"a;b.txt\"; name=\"f;g\""), b"file"),
            part("Content-Type: text/plain; charset=utf-8\r\ncontent-disposition: form-data; name=action", b"apply"),
            part(&name("name=c"), b"y"),
            b"--B--\r\n".to_vec(),
        ];
        let form = read("multipart/form-data; boundary=B", &body.concat()).unwrap();
        let names = ["a", "photo", "notes", "bytes", "spoofed", "f;g", "action", "c"];
        let all: Vec<_> = names.iter().flat_map(|name| texts(&form, name)).collect();
        assert_eq!(all, ["x", "(not text)", "(not text)", "(garbled)", "(not text)", "apply", "y"]);
    }

    #[test]
    fn the_fields_of_a_form_builder_are_found_in_their_group() {
        let json = "application/json";
        for (content_type, body) in [
            (URLENCODED_TYPE, "form_fields[email]=a%40b.test&form_fields[city]=Pune&action=send"),
            (
                URLENCODED_TYPE,
                "form%5Bid%5D=7&fields%5Bemail%5D%5Bid%5D=email&fields%5Bemail%5D%5Bvalue%5D=a%40b.test&\
                fields%5Bcity%5D%5Btitle%5D=City&fields%5Bcity%5D%5Bvalue%5D=Pune&meta[date][value]=x",
            ),
            (
                URLENCODED_TYPE,
                "fields[0][name]=email&fields[0][value]=a@b.test&fields[1][name]=city&fields[1][value]=Pune",
            ),
            (
                json,
                r#"{"fields":{"email":{"value":"a@b.test","type":"email"},"city":{"value":"Pune","title":"City"}}}"#,
            ),
            (
                json,
                r#"{"fields":[{"name":"email","value":"a@b.test"},{"objectTypeId":"0-1","name":"city","value":"Pune"}]}"#,
            ),
            (
                json,
                r#"{"field_data":[{"name":"email","values":["a@b.test"]},{"name":"city","values":["Pune"]}],"id":"1"}"#,
            ),
            (json, r#"{"payload":{"name":"Contact","data":{"email":"a@b.test","city":"Pune"}},"city":"Wien"}"#),
            (json, r#"{"email":{"value":"a@b.test"},"city":"Pune"}"#),
            (json, r#"{"email":"a@b.test","city":"Pune","billing":{"email":"c@d.test","city":"Wien"}}"#),
            (json, r#"{"contact[email]":"a@b.test","contact[city]":"Pune"}"#),
            (
                URLENCODED_TYPE,
                "fields[city][type]=text&form[id]=070f24a&fields[email][id]=email&fields[city][raw_value]=Pune&\
                 fields[f_1][title]=&fields[email][value]=a%40b.test&form[name]=New+Form&fields[email][required]=1&\
                 fields[city][value]=Pune&fields[f_1][raw_value]=&fields[city][id]=city",
            ),
            (
                json,
                r#"{"id":"zj_fs","form":{"name":"Form"},"fields":{"name.first":"A","email":"a@b.test","city":"Pune"}}"#,
            ),
            (
                json,
                r#"{"eventType":"FORM_RESPONSE","data":{"formName":"F","fields":[
                    {"key":"email","label":"E-mail","type":"INPUT_EMAIL","value":"a@b.test"},
                    {"key":"city","label":"City","type":"INPUT_TEXT","value":"Pune"}]}}"#,
            ),
        ] {
            let form = read(content_type, body.as_bytes()).unwrap().in_group_with("email").unwrap();
            assert_eq!(
                (texts(&form, "email"), texts(&form, "city")),
                (vec!["a@b.test".to_owned()], vec!["Pune".to_owned()]),
                "{body}"
            );
            assert_eq!(texts(&form, "id").len() + texts(&form, "date").len(), 0, "{body}");
        }
    }

    #[test]
    fn a_part_of_a_name_is_found_beside_the_group_of_the_name() {
        for (content_type, body) in [
            (URLENCODED_TYPE, "names%5Bfirst_name%5D=Asha&names[last_name]=Rao&email=a@b.test"),
            (URLENCODED_TYPE, "form[name][first]=Asha&form[name][last]=Rao&form[email]=a@b.test"),
            ("application/json", r#"{"Name":{"First":"Asha","Last":"Rao","Middle":null},"email":"a@b.test"}"#),
            (
                "application/json",
                r#"{"data":{"contact":{"full-name":{"firstName":"Asha","lastName":"Rao"},"email":"a@b.test"}}}"#,
            ),
        ] {
            let form = read(content_type, body.as_bytes()).unwrap().in_group_with("email").unwrap();
            assert_eq!(
                (texts(&form, "first_name"), texts(&form, "last_name")),
                (vec!["Asha".into()], vec!["Rao".into()])
            );
        }
        // The field itself was sent.
        for body in [
            r#"{"first_name":"Asha","name":{"first":"Asha R.","last":"Rao"},"email":"a@b.test"}"#,
            r#"{"name":{"first":["Asha R."],"last":{"a":"b"}},"first_name":"Asha","email":"a@b.test"}"#,
        ] {
            let form = read("application/json", body.as_bytes()).unwrap().in_group_with("email").unwrap();
            assert_eq!(texts(&form, "first_name"), ["Asha"], "{body}");
        }
        // Another person's name, and something else of a group with that name.
        let body =
            "email=a@b.test&father[name][first]=Vikram&guardian[first_name]=Meera&name[email]=c@d.test&first[name]=x";
        let form = read(URLENCODED_TYPE, body.as_bytes()).unwrap().in_group_with("email").unwrap();
        assert_eq!((texts(&form, "first_name"), texts(&form, "email")), (vec![], vec!["a@b.test".to_owned()]));
    }

    #[test]
    fn the_answers_of_typeform_are_a_list_of_fields() {
        let body = r#"{"event_type":"form_response","form_response":{"form_id":"f","answers":[
            {"type":"email","email":"a@b.test","field":{"id":"1","type":"email","ref":"email"}},
            {"type":"text","text":"Asha","field":{"id":"2","type":"short_text","ref":"first_name"}},
            {"type":"phone_number","phone_number":"+919000000001","field":{"id":"3","type":"phone_number","ref":"phone"}},
            {"type":"choice","choice":{"id":"4","label":"Pune","ref":"p"},"field":{"id":"4","ref":"city"}},
            {"type":"choices","choices":{"ids":["5"],"labels":["Law","Physics"]},"field":{"id":"5","ref":"course"}},
            {"type":"boolean","boolean":true,"field":{"id":"6","type":"legal","ref":"terms"}}]}}"#;
        let form = read("application/json", body.as_bytes()).unwrap().in_group_with("email").unwrap();
        for (name, values) in [
            ("email", &["a@b.test"][..]),
            ("first_name", &["Asha"]),
            ("phone", &["+919000000001"]),
            ("city", &["Pune"]),
            ("course", &["Law", "Physics"]),
            ("terms", &["true"]),
        ] {
            assert_eq!(texts(&form, name), values, "{name}");
        }
    }

    #[test]
    fn a_numbered_field_has_the_name_in_its_object() {
        for body in [
            r#"{"fields":{"1":{"id":1,"name":"email","value":"a@b.test"},"2":{"name":"city","value":"Pune","id":2}}}"#,
            r#"{"fields":[{"id":"1","name":"email","value":"a@b.test"},{"id":"2","name":"city","value":"Pune"}]}"#,
            r#"{"data":{"fields":[{"key":"question_1","label":"email","value":"a@b.test"},
                {"key":"question_2","label":"city","value":"Pune"}]}}"#,
        ] {
            let form = read("application/json", body.as_bytes()).unwrap().in_group_with("email").unwrap();
            assert_eq!(texts(&form, "email"), ["a@b.test"], "{body}");
            assert_eq!(texts(&form, "city"), ["Pune"], "{body}");
        }
    }

    #[test]
    fn a_repeated_member_of_an_object_is_a_repeated_field() {
        let form = read("application/json", br#"{"a":"x","b":"y","a":"z","c":"w","c":"w"}"#).unwrap();
        assert_eq!(
            (texts(&form, "a"), texts(&form, "b")),
            (vec!["x".to_owned(), "z".to_owned()], vec!["y".to_owned()])
        );
        assert!(form.text("a").is_err() && form.text("c").is_ok());
    }

    #[test]
    fn a_part_that_is_encoded_as_in_a_mail_is_refused() {
        let part = |name: &str, encoding: &str, content: &str| {
            format!(
                "--B\r\nContent-Disposition: form-data; name={name}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n\
                 {content}\r\n"
            )
        };
        let body = [
            part("a", "base64", "QXNoYQ=="),
            part("b", "Quoted-Printable", "Ash=C3=A1"),
            part("c", "8bit", "Ashá"),
            part("d", "BINARY", "Asha"),
            part("e", "base64", ""),
            "--B--\r\n".to_owned(),
        ];
        let form = read("multipart/form-data; boundary=B", body.concat().as_bytes()).unwrap();
        let all: Vec<_> = ["a", "b", "c", "d", "e"].iter().flat_map(|name| texts(&form, name)).collect();
        assert_eq!(all, ["(encoded)", "(encoded)", "Ashá", "Asha", ""]);
        assert!(form.text("a").unwrap_err().detail.contains("Content-Transfer-Encoding"));
    }

    #[test]
    fn a_field_in_several_groups_is_ambiguous() {
        let form = read(URLENCODED_TYPE, b"billing[email]=a&home[email]=b").unwrap();
        let error = form.in_group_with("email").unwrap_err();
        assert_eq!(error.detail, "was sent in several groups of fields; send it in one");
    }

    #[test]
    fn a_name_with_brackets_is_found_as_it_is_written() {
        let form = read(URLENCODED_TYPE, b"item_meta[25]=x&item_meta[26]=y&a[]=1&a[]=2&[b]=3&c[=4").unwrap();
        for (name, values) in [
            ("item_meta[25]", &["x"][..]),
            ("item_meta", &["x", "y"]),
            ("a[]", &["1", "2"]),
            ("a", &["1", "2"]),
            ("[b]", &["3"]),
            ("c[", &["4"]),
        ] {
            assert_eq!(texts(&form, name), values, "{name}");
        }
    }

    #[test]
    fn empty_and_equal_values_are_one_value() {
        let form = read(URLENCODED_TYPE, b"a=&a=x&b=x&b=x&c=x&c=y&d=&d=").unwrap();
        let one = |name| form.text(name).unwrap().map(|text| text.expose().as_str());
        assert_eq!((one("a"), one("b"), one("d")), (Some("x"), Some("x"), None));
        assert!(form.text("c").unwrap_err().detail.contains("different values"));
    }

    #[test]
    fn a_deeply_nested_body_is_read_in_bounded_time() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100));
        assert_eq!(texts(&read("application/json", deep.as_bytes()).unwrap(), "a"), ["(not text)"]);
        let name = format!("a{}=1", "[b]".repeat(100));
        assert_eq!(texts(&read(URLENCODED_TYPE, name.as_bytes()).unwrap(), name.trim_end_matches("=1")), ["1"]);
    }

    #[test]
    fn the_limit_counts_the_whole_body() {
        let content_type = "application/x-www-form-urlencoded";
        assert!(read(content_type, &vec![b'a'; BODY_LIMIT]).is_ok());
        assert_eq!(read(content_type, &vec![b'a'; BODY_LIMIT + 1]).unwrap_err(), FormError::TooLarge);
    }

    #[test]
    fn printing_a_form_shows_no_value() {
        let form = read("application/x-www-form-urlencoded", b"email=canary%40example.test").unwrap();
        let printed = format!("{form:?}");
        assert!(printed.contains("Text([private])") && !printed.contains("canary"), "{printed}");
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

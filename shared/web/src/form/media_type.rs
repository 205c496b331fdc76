//! Reads a `Content-Type` as generously as senders write it.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// The encodings of a body, by its content type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    /// `application/x-www-form-urlencoded`.
    Urlencoded,
    /// `application/json`, or another type that ends with `+json`.
    Json,
    /// `multipart/form-data` with its boundary.
    Multipart(String),
    /// `text/plain`, as `navigator.sendBeacon` sends a text, or no content type at all.
    Unnamed,
}

/// The content type of a body, and whether its text may have characters beyond ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContentType {
    pub(super) media_type: MediaType,
    /// Whether the text is in UTF-8. If not, it is in an encoding that agrees with UTF-8 in ASCII characters.
    pub(super) is_utf8: bool,
}

impl ContentType {
    /// Reads the header; `None` if no form is sent with this type.
    ///
    /// White space around `;` and `=`, unquoted values with any character, and every letter case are accepted:
    /// form libraries write them, although RFC 9110 does not permit all of them. Of a header that was sent twice, and
    /// that browsers and proxies join to a list, the first type counts.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let Some(header) = headers.get(CONTENT_TYPE) else {
            return Some(Self { media_type: MediaType::Unnamed, is_utf8: true });
        };
        let mut parts = parts(header.to_str().ok()?).into_iter();
        let essence = first(parts.next()?).to_ascii_lowercase();
        let parameters: Vec<_> = parts.filter_map(parameter).collect();
        let parameter = |name: &str| parameters.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
        let media_type = match essence.as_str() {
            "application/x-www-form-urlencoded" => MediaType::Urlencoded,
            "multipart/form-data" => MediaType::Multipart(parameter("boundary").unwrap_or_default().to_owned()),
            "application/json" | "text/json" => MediaType::Json,
            "text/plain" | "" => MediaType::Unnamed,
            essence if essence.starts_with("application/") && essence.ends_with("+json") => MediaType::Json,
            _ => return None,
        };
        let charset = first(parameter("charset").unwrap_or_default()).to_ascii_lowercase();
        let is_utf8 = match charset.as_str() {
            "" | "utf-8" | "utf8" | "us-ascii" | "ascii" => true,
            // In UTF-16 and UTF-32 an ASCII character has other bytes.
            charset if charset.starts_with("utf") || charset.contains("ucs") => return None,
            _ => false,
        };
        Some(Self { media_type, is_utf8 })
    }
}

/// The first of the values that a repeated header is joined from.
fn first(list: &str) -> &str {
    list.trim().split([',', ' ']).next().unwrap_or_default()
}

/// The parts between semicolons, but not between those in a quoted value.
fn parts(header: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    header
        .split(|c: char| {
            let is_end = c == ';' && !is_quoted;
            is_quoted ^= c == '"' && !is_escaped;
            is_escaped = c == '\\' && is_quoted && !is_escaped;
            is_end
        })
        .collect()
}

/// The name in lower case, and the value without its quotes.
fn parameter(part: &str) -> Option<(String, String)> {
    let (name, value) = part.split_once('=')?;
    let value = value.trim();
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let value = quoted.map_or_else(|| value.to_owned(), |quoted| quoted.replace('\\', ""));
    Some((name.trim().to_ascii_lowercase(), value))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(header: &str) -> Option<ContentType> {
        let headers = [(CONTENT_TYPE, HeaderValue::from_str(header).unwrap())];
        ContentType::of(&headers.into_iter().collect())
    }

    #[test]
    fn a_content_type_is_understood_in_every_usual_spelling() {
        let multipart = |boundary: &str| MediaType::Multipart(boundary.to_owned());
        for (header, media_type) in [
            ("application/json", MediaType::Json),
            ("application/json ; charset=utf-8", MediaType::Json),
            ("Application/JSON;charset = \"UTF-8\"", MediaType::Json),
            ("application/json; charset=utf8;", MediaType::Json),
            ("application/json;odata=verbose;; charset=UTF8", MediaType::Json),
            ("application/cloudevents+json; charset=utf-8", MediaType::Json),
            ("text/json", MediaType::Json),
            ("application/json; charset: UTF-8", MediaType::Json),
            ("application/json, application/json; charset=utf-8", MediaType::Json),
            ("application/json; charset=UTF-8, application/json", MediaType::Json),
            ("application/json; charset=UTF-8 application/json", MediaType::Json),
            ("text/plain; charset=UTF-8,application/json", MediaType::Unnamed),
            ("application/x-www-form-urlencoded; charset : UTF-8", MediaType::Urlencoded),
            ("application/x-www-form-urlencoded; charset=UTF-8", MediaType::Urlencoded),
            ("text/plain;charset=UTF-8", MediaType::Unnamed),
            ("", MediaType::Unnamed),
            (
                "multipart/form-data; boundary=----=_Part_0_814051860.1675096572056",
                multipart("----=_Part_0_814051860.1675096572056"),
            ),
            ("multipart/form-data; boundary=\"a;b=c\"; charset=utf-8", multipart("a;b=c")),
            ("multipart/form-data; boundary=\"a\\\"b;c\"", multipart("a\"b;c")),
            ("multipart/form-data;boundary = x", multipart("x")),
            ("multipart/form-data; boundary====1656457491496===", multipart("===1656457491496===")),
            ("multipart/form-data; boundary=--===1626454906178===", multipart("--===1626454906178===")),
            ("multipart/form-data; boundary=b/QeEbFgqK9PCZo4T/eXv7f.T74", multipart("b/QeEbFgqK9PCZo4T/eXv7f.T74")),
            ("multipart/form-data; boundary=gc0pJq0M:08jU534c0p", multipart("gc0pJq0M:08jU534c0p")),
            ("multipart/form-data;boundary=\"MrmiiyyJEqRYc_n\"", multipart("MrmiiyyJEqRYc_n")),
            ("multipart/form-data", multipart("")),
        ] {
            assert_eq!(read(header), Some(ContentType { media_type, is_utf8: true }), "{header}");
        }
        for header in
            ["application/xml", "image/png", "application/octet-stream", "nonsense", "application/json; charset=utf-16"]
        {
            assert_eq!(read(header), None, "{header}");
        }
        for charset in ["ISO-8859-1", "windows-1252", "\"iso-8859-15\"", "shift_jis", "usacii"] {
            let header = format!("application/x-www-form-urlencoded; charset={charset}");
            let expected = ContentType { media_type: MediaType::Urlencoded, is_utf8: false };
            assert_eq!(read(&header), Some(expected), "{header}");
        }
    }
}

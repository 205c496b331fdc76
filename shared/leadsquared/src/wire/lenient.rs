//! Reads optional parts of an answer: a null, a number for a text or a text for a flag must not cost the rest.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A text; empty for null.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(optional_text(deserializer)?.unwrap_or_default())
}

/// A text; `None` for null.
pub(crate) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Null => None,
        other => Some(other.to_string()),
    })
}

/// `true`, `1`, or either as a text; anything else is false.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(flag) => flag,
        Value::Number(number) => number.as_u64() != Some(0),
        Value::String(text) => text == "1" || text.eq_ignore_ascii_case("true"),
        _ => false,
    })
}

/// A list; empty for null.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Parts {
        #[serde(deserialize_with = "text")]
        text: String,
        #[serde(deserialize_with = "optional_text")]
        optional: Option<String>,
        #[serde(deserialize_with = "flag")]
        flag: bool,
        #[serde(deserialize_with = "list")]
        list: Vec<u8>,
    }

    fn read(value: Value) -> Parts {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn odd_parts_are_read_as_what_they_can_only_mean() {
        assert_eq!(read(json!({})), Parts::default());
        assert_eq!(read(json!({ "text": null, "optional": null, "flag": null, "list": null })), Parts::default());
        let parts = read(json!({ "text": 7, "optional": true, "flag": "True", "list": [1] }));
        let (text, optional) = ("7".to_owned(), Some("true".to_owned()));
        assert_eq!(parts, Parts { text, optional, flag: true, list: vec![1] });
        for (value, flag) in [(json!(1), true), (json!(0), false), (json!("1"), true), (json!("no"), false)] {
            assert_eq!(read(json!({ "flag": value })).flag, flag);
        }
    }
}

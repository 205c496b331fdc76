//! Request bodies: reads the JSON shape of a call from any bytes.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::failure::Failure;

/// One entry of an attribute list: `{"Attribute": "FirstName", "Value": "Asha"}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Attribute {
    #[serde(rename = "Attribute")]
    pub(crate) name: String,
    #[serde(rename = "Value", default)]
    pub(crate) value: Text,
}

/// A value that may be text, a number, a boolean or null. Empty text equals null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Text(pub(crate) Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Self(None)),
            Value::String(text) => Ok(Self(Some(text).filter(|text| !text.is_empty()))),
            Value::Number(number) => Ok(Self(Some(number.to_string()))),
            Value::Bool(flag) => Ok(Self(Some(flag.to_string()))),
            Value::Array(_) | Value::Object(_) => Err(serde::de::Error::custom("a single value was expected")),
        }
    }
}

impl Text {
    pub(crate) fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Reads a body of the shape `T`.
///
/// # Errors
/// A 400 with the position and without the text, which may hold a password.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::unreadable(error.line(), error.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_type_are_read_in_their_order() {
        let body = br#"[{"Attribute":"A","Value":"x"},{"Attribute":"B","Value":7},{"Attribute":"C","Value":true},
            {"Attribute":"D","Value":null},{"Attribute":"E","Value":""},{"Attribute":"F"}]"#;
        let read: Vec<Attribute> = read(body).unwrap();
        let values: Vec<_> =
            read.iter().map(|attribute| (attribute.name.as_str(), attribute.value.as_deref())).collect();
        assert_eq!(
            values,
            [("A", Some("x")), ("B", Some("7")), ("C", Some("true")), ("D", None), ("E", None), ("F", None)]
        );
    }

    #[test]
    fn an_unreadable_body_is_refused_with_a_position_and_without_its_text() {
        for body in ["", "{", "[{\"Attribute\":", "[{\"Attribute\":\"A\",\"Value\":{}}]", "\"S3cret\"", "\u{feff}[]"] {
            let failure = read::<Vec<Attribute>>(body.as_bytes()).unwrap_err();
            assert_eq!(failure.status, 400, "{body}");
            assert!(!failure.message.contains("S3cret"));
        }
        assert_eq!(read::<Vec<Attribute>>(&[0xff, 0xfe]).unwrap_err().status, 400);
    }
}

//! Reads and checks the setting `SIGN_IN_FIELDS`: the list of fields by which people sign in.

use std::collections::HashSet;
use std::str::FromStr;

use leadsquared::schema_name::EMAIL_ADDRESS;
use serde::Deserialize;

/// The checked fields by which people sign in. The default has none; a list in the setting has at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignInFields(Vec<SignInField>);

/// A field by which people sign in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInField {
    /// The name of the field in a request.
    pub name: String,
    /// The schema name of the unique lead field.
    pub attribute: String,
    /// Which values are valid.
    pub kind: SignInKind,
}

/// Which values of a field are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignInKind {
    /// An e-mail address.
    Email,
    /// A phone number in any usual spelling.
    Phone,
    /// One line of text.
    Text,
}

/// Why a list of fields is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignInFields {
    /// The text is not the expected JSON.
    #[error("{0}")]
    NotJson(String),
    /// The list is empty.
    #[error("list at least one field")]
    None,
    /// Two fields have the same name.
    #[error("the field {0} is listed twice")]
    SameName(String),
    /// Requests use this name for something else.
    #[error("the field {0} needs another name: requests use this one for something else")]
    Taken(String),
    /// A field has no attribute.
    #[error("the field {0} needs an attribute, the LeadSquared schema name of a unique field")]
    NoAttribute(String),
    /// A field of kind e-mail has another attribute, or the e-mail attribute another kind.
    #[error("the field {0}: the kind email and the attribute EmailAddress belong together")]
    Email(String),
}

/// Names of other fields in requests.
const TAKEN: [&str; 8] =
    ["", "password", "current_password", "new_password", "challenge", "code", "lead_id", "temporary_password"];

impl SignInFields {
    /// The name of the setting.
    pub const SETTING: &str = "SIGN_IN_FIELDS";

    /// The description of a valid value, for the error message.
    pub const EXPECTED: &str = "a list of fields to sign in by";

    /// The fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &SignInField> {
        self.0.iter()
    }

    /// The schema names of the lead fields.
    pub fn into_attributes(self) -> Vec<String> {
        self.0.into_iter().map(|field| field.attribute).collect()
    }
}

/// Reads a JSON array of `name`, `attribute` and `kind` (`email`, `phone` or `text`).
impl FromStr for SignInFields {
    type Err = InvalidSignInFields;

    fn from_str(json: &str) -> Result<Self, InvalidSignInFields> {
        let fields: Vec<SignInField> =
            serde_json::from_str(json).map_err(|error| InvalidSignInFields::NotJson(error.to_string()))?;
        if fields.is_empty() {
            return Err(InvalidSignInFields::None);
        }
        let mut names = HashSet::new();
        for field in &fields {
            let name = || field.name.clone();
            if TAKEN.contains(&field.name.as_str()) {
                return Err(InvalidSignInFields::Taken(name()));
            }
            if !names.insert(field.name.as_str()) {
                return Err(InvalidSignInFields::SameName(name()));
            }
            if field.attribute.is_empty() {
                return Err(InvalidSignInFields::NoAttribute(name()));
            }
            if (field.kind == SignInKind::Email) != (field.attribute == EMAIL_ADDRESS) {
                return Err(InvalidSignInFields::Email(name()));
            }
        }
        Ok(Self(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_in_the_setting_is_named() {
        for (fields, expected) in [
            ("[]", "list at least one field"),
            (
                r#"[{"name":"code","attribute":"A","kind":"text"}]"#,
                "the field code needs another name: requests use this one for something else",
            ),
            (
                r#"[{"name":"a","attribute":"","kind":"text"}]"#,
                "the field a needs an attribute, the LeadSquared schema name of a unique field",
            ),
            (
                r#"[{"name":"a","attribute":"A","kind":"email"}]"#,
                "the field a: the kind email and the attribute EmailAddress belong together",
            ),
            (
                r#"[{"name":"a","attribute":"A","kind":"text"},{"name":"a","attribute":"B","kind":"text"}]"#,
                "the field a is listed twice",
            ),
        ] {
            assert_eq!(fields.parse::<SignInFields>().unwrap_err().to_string(), expected);
        }
        assert!(matches!("{".parse::<SignInFields>(), Err(InvalidSignInFields::NotJson(_))));
    }
}

use std::collections::HashSet;

use leadsquared::schema_name::{EMAIL_ADDRESS, PORTAL_CONFIRM_PASSWORD, PORTAL_PASSWORD, PROSPECT_ID};
use serde::Deserialize;

/// The form's fields, checked. Exactly one of them is the person's e-mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields(Vec<Field>);

/// One field of the form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name in the form.
    pub name: String,
    /// The LeadSquared schema name it goes to; none for a password or a honeypot.
    #[serde(default)]
    pub attribute: Option<String>,
    /// What it may hold.
    pub kind: Kind,
    /// Whether it must be there and not empty.
    #[serde(default)]
    pub required: bool,
    /// The most characters it may have; 255 unless said, as many as LeadSquared's text fields have.
    #[serde(default = "default_limit")]
    pub limit: usize,
    /// What may be chosen, for a `choice`.
    #[serde(default)]
    pub options: Vec<String>,
}

/// What a field may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One line of text.
    Text,
    /// Text of several lines.
    Multiline,
    /// The person's e-mail address.
    Email,
    /// A phone number, as people write them.
    Phone,
    /// A date, `YYYY-MM-DD`, as `<input type="date">` sends it.
    Date,
    /// One of `options`.
    Choice,
    /// A box to tick: `required` means it must be ticked.
    Consent,
    /// The portal password they choose: 8 to 128 characters, sealed before it goes anywhere.
    Password,
    /// A field that people do not see and robots fill in.
    Honeypot,
}

impl Kind {
    /// Whether what it holds goes to an attribute of the lead.
    fn has_attribute(self) -> bool {
        !matches!(self, Self::Password | Self::Honeypot)
    }
}

fn default_limit() -> usize {
    255
}

/// Attributes that nobody but the worker sets.
pub const RESERVED: [&str; 3] = [PORTAL_PASSWORD, PORTAL_CONFIRM_PASSWORD, PROSPECT_ID];

/// What is wrong with the list of fields.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFields {
    /// Not the JSON it should be.
    #[error("{0}")]
    NotJson(String),
    /// A field without a name.
    #[error("every field needs a name")]
    NoName,
    /// Two fields of one name.
    #[error("the field {0} is listed twice")]
    SameName(String),
    /// Two fields for one attribute.
    #[error("the attribute {0} is listed twice")]
    SameAttribute(String),
    /// A field that goes nowhere.
    #[error("the field {0} needs an attribute, the LeadSquared schema name it goes to")]
    NoAttribute(String),
    /// A password or honeypot that goes somewhere.
    #[error("the field {0} goes to no attribute: passwords and honeypots have none")]
    NeedlessAttribute(String),
    /// A honeypot that people would have to fill in.
    #[error("the field {0} is a honeypot and cannot be required: people do not see it")]
    RequiredHoneypot(String),
    /// Two passwords.
    #[error("at most one field can have the kind password")]
    Passwords,
    /// An attribute that a form must not set.
    #[error("the field {0} must not set the attribute {1}")]
    Reserved(String, String),
    /// No e-mail field, or more than one, or not the one attribute that it must have.
    #[error("exactly one field must have the kind email, the attribute {EMAIL_ADDRESS}, and be required")]
    Email,
    /// A choice of nothing, or options for something that is no choice.
    #[error("the field {0}: options belong to the kind choice, which needs at least one")]
    Options(String),
    /// A limit of nothing.
    #[error("the field {0}: limit must be from 1 to 4000 characters")]
    Limit(String),
}

impl Fields {
    /// Reads a JSON array of fields.
    ///
    /// # Errors
    /// When it is not one, or the fields contradict each other; the error names the field.
    pub fn parse(json: &str) -> Result<Self, InvalidFields> {
        let fields: Vec<Field> =
            serde_json::from_str(json).map_err(|error| InvalidFields::NotJson(error.to_string()))?;
        let mut names = HashSet::new();
        let mut attributes = HashSet::new();
        for field in &fields {
            let name = || field.name.clone();
            if field.name.is_empty() {
                return Err(InvalidFields::NoName);
            }
            if !names.insert(field.name.as_str()) {
                return Err(InvalidFields::SameName(name()));
            }
            match field.attribute.as_deref().unwrap_or_default() {
                "" if field.kind.has_attribute() => return Err(InvalidFields::NoAttribute(name())),
                "" => {}
                _ if !field.kind.has_attribute() => return Err(InvalidFields::NeedlessAttribute(name())),
                attribute if RESERVED.contains(&attribute) => {
                    return Err(InvalidFields::Reserved(name(), attribute.to_owned()));
                }
                attribute if !attributes.insert(attribute) => {
                    return Err(InvalidFields::SameAttribute(attribute.to_owned()));
                }
                attribute if (attribute == EMAIL_ADDRESS) != (field.kind == Kind::Email) => {
                    return Err(InvalidFields::Email);
                }
                _ => {}
            }
            if (field.kind == Kind::Choice) == field.options.is_empty() {
                return Err(InvalidFields::Options(name()));
            }
            if field.kind == Kind::Honeypot && field.required {
                return Err(InvalidFields::RequiredHoneypot(name()));
            }
            if !(1..=4000).contains(&field.limit) {
                return Err(InvalidFields::Limit(name()));
            }
        }
        if fields.iter().filter(|field| field.kind == Kind::Password).count() > 1 {
            return Err(InvalidFields::Passwords);
        }
        let mut emails = fields.iter().filter(|field| field.kind == Kind::Email);
        match (emails.next(), emails.next()) {
            (Some(email), None) if email.required => Ok(Self(fields)),
            _ => Err(InvalidFields::Email),
        }
    }

    /// Whether one of them is a password.
    pub fn have_password(&self) -> bool {
        self.0.iter().any(|field| field.kind == Kind::Password)
    }

    /// The fields in the order of the setting.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMAIL: &str = r#"{"name":"email","attribute":"EmailAddress","kind":"email","required":true}"#;

    #[test]
    fn a_list_of_fields_is_read_with_its_defaults() {
        let json = format!(
            r#"[{EMAIL},{{"name":"city","attribute":"mx_City","kind":"text"}},{{"name":"url","kind":"honeypot"}}]"#
        );
        let fields = Fields::parse(&json).unwrap();
        let city = fields.iter().nth(1).unwrap();
        assert_eq!((city.kind, city.required, city.limit), (Kind::Text, false, 255));
    }

    #[test]
    fn every_contradiction_is_named() {
        let cases = [
            (r#"{"name":"","attribute":"A","kind":"text"}"#, "every field needs a name"),
            (r#"{"name":"email","attribute":"A","kind":"text"}"#, "the field email is listed twice"),
            (r#"{"name":"a","kind":"text"}"#, "the field a needs an attribute, the LeadSquared schema name it goes to"),
            (
                r#"{"name":"a","attribute":"A","kind":"honeypot"}"#,
                "the field a goes to no attribute: passwords and honeypots have none",
            ),
            (
                r#"{"name":"a","kind":"password"},{"name":"b","kind":"password"}"#,
                "at most one field can have the kind password",
            ),
            (
                r#"{"name":"a","attribute":"mx_Portal_Password","kind":"text"}"#,
                "the field a must not set the attribute mx_Portal_Password",
            ),
            (r#"{"name":"a","attribute":"EmailAddress","kind":"email"}"#, "the attribute EmailAddress is listed twice"),
            (
                r#"{"name":"a","attribute":"Other","kind":"email"}"#,
                "exactly one field must have the kind email, the attribute EmailAddress, and be required",
            ),
            (
                r#"{"name":"a","attribute":"A","kind":"choice"}"#,
                "the field a: options belong to the kind choice, which needs at least one",
            ),
            (
                r#"{"name":"a","attribute":"A","kind":"text","options":["x"]}"#,
                "the field a: options belong to the kind choice, which needs at least one",
            ),
            (
                r#"{"name":"a","attribute":"A","kind":"text","limit":0}"#,
                "the field a: limit must be from 1 to 4000 characters",
            ),
        ];
        for (field, expected) in cases {
            assert_eq!(Fields::parse(&format!("[{EMAIL},{field}]")).unwrap_err().to_string(), expected, "{field}");
        }
    }

    #[test]
    fn a_form_without_a_required_email_is_refused() {
        for json in ["[]", &format!("[{}]", EMAIL.replace("true", "false"))] {
            assert_eq!(Fields::parse(json), Err(InvalidFields::Email));
        }
    }

    #[test]
    fn a_typo_in_the_setting_is_told() {
        let error = Fields::parse(r#"[{"name":"a","kind":"txt"}]"#).unwrap_err().to_string();
        assert!(error.contains("unknown variant `txt`"), "{error}");
        let error = Fields::parse(r#"[{"name":"a","kind":"text","requird":true}]"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `requird`"), "{error}");
    }
}

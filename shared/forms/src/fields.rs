//! Reads and checks the setting `FORM_FIELDS`: the list of the form's fields.

use std::collections::HashSet;
use std::str::FromStr;

use leadsquared::schema_name::{EMAIL_ADDRESS, is_control};
use serde::{Deserialize, Deserializer};
use time::Date;
use time::macros::{date, format_description};

/// The checked fields of the form. Exactly one of them is the applicant's e-mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields(Vec<Field>);

/// One field of the form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The field's name in the form.
    pub name: String,
    /// The LeadSquared schema name of the attribute that it fills; none for a password or a honeypot.
    #[serde(default)]
    pub attribute: Option<String>,
    /// Which values are valid.
    pub kind: FieldKind,
    /// Whether the field must be present and not empty.
    #[serde(default)]
    pub required: bool,
    /// The largest number of characters. Default: 255.
    #[serde(default = "default_limit")]
    pub limit: usize,
    /// The values of a `choice`.
    #[serde(default)]
    pub options: Vec<String>,
    /// How people may write a `date` besides `YYYY-MM-DD`.
    #[serde(default)]
    pub format: Option<DateFormat>,
    /// The first valid `date`. Default: 1900-01-01.
    #[serde(default = "default_earliest", deserialize_with = "iso_date")]
    pub earliest: Date,
    /// The last valid `date`. Default: 2100-12-31.
    #[serde(default = "default_latest", deserialize_with = "iso_date")]
    pub latest: Date,
}

/// The order of day and month in a date with slashes, points or hyphens. A date alone does not show its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum DateFormat {
    /// `31/01/2026`.
    #[serde(rename = "dd/mm/yyyy")]
    DayFirst,
    /// `01/31/2026`.
    #[serde(rename = "mm/dd/yyyy")]
    MonthFirst,
}

/// Which values of a field are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// One line of text.
    Text,
    /// Text of several lines.
    Multiline,
    /// The applicant's e-mail address.
    Email,
    /// A phone number in any usual spelling.
    Phone,
    /// A date, `YYYY-MM-DD`, as `<input type="date">` sends it, or in the field's `format`.
    Date,
    /// One of `options`.
    Choice,
    /// A check box, or radio buttons: checked if the value consents and does not refuse. `required` means that it must
    /// be checked.
    Consent,
    /// The portal password that the applicant chooses: 8 to 128 characters, sealed before it leaves the function.
    Password,
    /// A field that is hidden from people, so that only a robot fills it in.
    Honeypot,
}

impl FieldKind {
    /// Whether the value becomes an attribute of the lead.
    fn has_attribute(self) -> bool {
        !matches!(self, Self::Password | Self::Honeypot)
    }
}

/// As many characters as a LeadSquared text field holds.
fn default_limit() -> usize {
    255
}

fn default_earliest() -> Date {
    date!(1900 - 01 - 01)
}

fn default_latest() -> Date {
    date!(2100 - 12 - 31)
}

fn iso_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    let text = String::deserialize(deserializer)?;
    Date::parse(&text, format_description!("[year]-[month]-[day]"))
        .map_err(|_| serde::de::Error::custom("earliest and latest must be dates such as 2001-01-31"))
}

/// What is wrong with the list of fields.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFields {
    /// The text is not a JSON array of fields.
    #[error("{0}")]
    NotJson(String),
    /// A field has no name.
    #[error("every field needs a name")]
    NoName,
    /// Two fields have the same name.
    #[error("the field {0} is listed twice")]
    SameName(String),
    /// Two fields fill the same attribute.
    #[error("the attribute {0} is listed twice")]
    SameAttribute(String),
    /// A field that needs an attribute has none.
    #[error("the field {0} needs an attribute: the LeadSquared schema name that it fills")]
    NoAttribute(String),
    /// A password or honeypot has an attribute.
    #[error("the field {0} must have no attribute, because it is a password or a honeypot")]
    NeedlessAttribute(String),
    /// A honeypot is required.
    #[error("the field {0} is a honeypot and cannot be required: people do not see it")]
    RequiredHoneypot(String),
    /// More than one field is a password.
    #[error("at most one field can have the kind password")]
    Passwords,
    /// A field fills an attribute that controls the registration ([`is_control`]).
    #[error("the field {0} must not set the attribute {1}")]
    Reserved(String, String),
    /// The e-mail field is missing, is not the only one, is not required or has another attribute.
    #[error("exactly one field must have the kind email, the attribute {EMAIL_ADDRESS}, and be required")]
    Email,
    /// A choice has no options, or a field of another kind has some.
    #[error("the field {0}: options belong to the kind choice, which needs at least one")]
    Options(String),
    /// A date setting belongs to another kind of field, or no date is between the first and the last.
    #[error(
        "the field {0}: format, earliest and latest belong to the kind date, and earliest must not be after latest"
    )]
    Dates(String),
    /// The limit is out of range.
    #[error("the field {0}: limit must be from 1 to 4000 characters")]
    Limit(String),
}

impl Fields {
    /// The name of the setting.
    pub const SETTING: &str = "FORM_FIELDS";

    /// The description of a valid value, for the error message.
    pub const EXPECTED: &str = "a list of form fields";

    /// Whether one of the fields is of this kind.
    pub fn have(&self, kind: FieldKind) -> bool {
        self.0.iter().any(|field| field.kind == kind)
    }

    /// The fields in the order of the setting.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }
}

/// Reads a JSON array of fields. An error names the field that is invalid or contradicts another.
impl FromStr for Fields {
    type Err = InvalidFields;

    fn from_str(json: &str) -> Result<Self, InvalidFields> {
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
                attribute if attribute != EMAIL_ADDRESS && is_control(attribute) => {
                    return Err(InvalidFields::Reserved(name(), attribute.to_owned()));
                }
                attribute if !attributes.insert(attribute) => {
                    return Err(InvalidFields::SameAttribute(attribute.to_owned()));
                }
                attribute if (attribute == EMAIL_ADDRESS) != (field.kind == FieldKind::Email) => {
                    return Err(InvalidFields::Email);
                }
                _ => {}
            }
            if (field.kind == FieldKind::Choice) == field.options.is_empty() {
                return Err(InvalidFields::Options(name()));
            }
            let has_default_dates = field.earliest == default_earliest() && field.latest == default_latest();
            let has_date_settings = field.format.is_some() || !has_default_dates;
            if (field.kind != FieldKind::Date && has_date_settings) || field.earliest > field.latest {
                return Err(InvalidFields::Dates(name()));
            }
            if field.kind == FieldKind::Honeypot && field.required {
                return Err(InvalidFields::RequiredHoneypot(name()));
            }
            if !(1..=4000).contains(&field.limit) {
                return Err(InvalidFields::Limit(name()));
            }
        }
        if fields.iter().filter(|field| field.kind == FieldKind::Password).count() > 1 {
            return Err(InvalidFields::Passwords);
        }
        let mut emails = fields.iter().filter(|field| field.kind == FieldKind::Email);
        match (emails.next(), emails.next()) {
            (Some(email), None) if email.required => Ok(Self(fields)),
            _ => Err(InvalidFields::Email),
        }
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
        let fields = json.parse::<Fields>().unwrap();
        let city = fields.iter().nth(1).unwrap();
        assert_eq!((city.kind, city.required, city.limit), (FieldKind::Text, false, 255));
    }

    #[test]
    fn every_invalid_field_is_named() {
        let cases = [
            (r#"{"name":"","attribute":"A","kind":"text"}"#, "every field needs a name"),
            (r#"{"name":"email","attribute":"A","kind":"text"}"#, "the field email is listed twice"),
            (
                r#"{"name":"a","kind":"text"}"#,
                "the field a needs an attribute: the LeadSquared schema name that it fills",
            ),
            (
                r#"{"name":"a","attribute":"A","kind":"honeypot"}"#,
                "the field a must have no attribute, because it is a password or a honeypot",
            ),
            (
                r#"{"name":"a","kind":"password"},{"name":"b","kind":"password"}"#,
                "at most one field can have the kind password",
            ),
            (
                r#"{"name":"a","attribute":"mx_Portal_Password","kind":"text"}"#,
                "the field a must not set the attribute mx_Portal_Password",
            ),
            (r#"{"name":"a","attribute":"SearchBy","kind":"text"}"#, "the field a must not set the attribute SearchBy"),
            (
                r#"{"name":"a","attribute":"prospectid","kind":"text"}"#,
                "the field a must not set the attribute prospectid",
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
                r#"{"name":"a","attribute":"A","kind":"text","format":"dd/mm/yyyy"}"#,
                "the field a: format, earliest and latest belong to the kind date, and earliest must not be after latest",
            ),
            (
                r#"{"name":"a","attribute":"A","kind":"date","earliest":"2001-01-02","latest":"2001-01-01"}"#,
                "the field a: format, earliest and latest belong to the kind date, and earliest must not be after latest",
            ),
            (
                r#"{"name":"a","attribute":"A","kind":"text","limit":0}"#,
                "the field a: limit must be from 1 to 4000 characters",
            ),
        ];
        for (field, expected) in cases {
            assert_eq!(format!("[{EMAIL},{field}]").parse::<Fields>().unwrap_err().to_string(), expected, "{field}");
        }
    }

    #[test]
    fn a_form_without_a_required_email_is_refused() {
        for json in ["[]", &format!("[{}]", EMAIL.replace("true", "false"))] {
            assert_eq!(json.parse::<Fields>(), Err(InvalidFields::Email));
        }
    }

    #[test]
    fn a_typo_in_the_setting_is_reported() {
        let error = r#"[{"name":"a","kind":"txt"}]"#.parse::<Fields>().unwrap_err().to_string();
        assert!(error.contains("unknown variant `txt`"), "{error}");
        let error = r#"[{"name":"a","kind":"text","requird":true}]"#.parse::<Fields>().unwrap_err().to_string();
        assert!(error.contains("unknown field `requird`"), "{error}");
        let error = r#"[{"name":"a","kind":"date","latest":"31.1.2001"}]"#.parse::<Fields>().unwrap_err().to_string();
        assert!(error.contains("must be dates such as 2001-01-31"), "{error}");
    }
}

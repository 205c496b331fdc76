//! The attributes of a lead, in the order in which they are sent.

use std::fmt;

use serde::Serialize;

use super::schema_name::NOTES;

/// Lead attributes in the order they are sent.
///
/// Order matters: LeadSquared matches leads by the *first* unique identifier in the list
/// (<https://apidocs.leadsquared.com/register/>). Names are schema names in their exact case; values are text, numbers
/// and booleans included. `Debug` shows the names only.
///
/// ```
/// use leadsquared::{Attributes, schema_name};
///
/// let mut fields = Attributes::new().with(schema_name::EMAIL_ADDRESS, "asha@example.com").with("mx_City", "Pune");
/// fields.set("mx_City", "Delhi");
/// assert_eq!(fields.value("mx_City"), Some("Delhi"));
/// assert_eq!(format!("{fields:?}"), r#"Attributes["EmailAddress", "mx_City"]"#);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Attributes(Vec<Attribute>);

#[derive(Clone, PartialEq, Eq, Serialize)]
struct Attribute {
    #[serde(rename = "Attribute")]
    name: String,
    #[serde(rename = "Value")]
    value: String,
}

impl Attributes {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an attribute. One that is in the list keeps its place and gets the new value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|attribute| attribute.name == name) {
            Some(attribute) => attribute.value = value,
            None => self.0.push(Attribute { name, value }),
        }
    }

    /// [`set`](Self::set) for building a list in one expression.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// Adds a line to the lead's [`NOTES`].
    pub fn add_note(&mut self, line: &str) {
        let before = self.value(NOTES).map(|notes| format!("{notes}\n")).unwrap_or_default();
        self.set(NOTES, before + line);
    }

    /// Removes an attribute and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let position = self.0.iter().position(|attribute| attribute.name == name)?;
        Some(self.0.remove(position).value)
    }

    /// The value of an attribute.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.iter().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|attribute| (attribute.name.as_str(), attribute.value.as_str()))
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut attributes = Self::new();
        for (name, value) in pairs {
            attributes.set(name, value);
        }
        attributes
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attributes")?;
        f.debug_list().entries(self.0.iter().map(|attribute| &attribute.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_is_kept_and_a_name_occurs_once() {
        let mut attributes =
            Attributes::new().with("EmailAddress", "a@example.test").with("Phone", "1").with("FirstName", "A");
        attributes.set("Phone", "2");
        assert_eq!(
            serde_json::to_string(&attributes).unwrap(),
            r#"[{"Attribute":"EmailAddress","Value":"a@example.test"},{"Attribute":"Phone","Value":"2"},{"Attribute":"FirstName","Value":"A"}]"#
        );
        assert_eq!(attributes.remove("Phone").as_deref(), Some("2"));
        assert_eq!(attributes.remove("Phone"), None);
        assert_eq!(format!("{attributes:?}"), r#"Attributes["EmailAddress", "FirstName"]"#);
    }

    proptest! {
        #[test]
        fn the_first_place_and_the_last_value_of_a_name_win(pairs in prop::collection::vec(("[a-d]", ".{0,6}"), 0..12)) {
            let attributes: Attributes = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut names: Vec<&str> = Vec::new();
            for (name, _) in &pairs {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
            prop_assert_eq!(attributes.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
            for (name, value) in attributes.iter() {
                let last = pairs.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
                prop_assert_eq!(Some(value), last);
            }
        }
    }
}

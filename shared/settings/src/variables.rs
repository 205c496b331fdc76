use std::fmt::Display;
use std::str::FromStr;

/// Named settings, looked up one at a time.
///
/// An empty value counts as absent: templates pass an optional parameter on as the empty string.
pub struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Variables<'a> {
    /// Settings from a lookup function: the environment in a function, a table in tests.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup }
    }

    /// The setting's text, if it is there and not empty.
    pub fn optional(&self, name: &'static str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.trim().is_empty())
    }

    /// The setting's text.
    ///
    /// # Errors
    /// When it is absent or empty.
    pub fn required(&self, name: &'static str) -> Result<String, SettingError> {
        self.optional(name).ok_or(SettingError::Missing { name })
    }

    /// The setting read as a `T`; `expected` says in words what would be right.
    ///
    /// # Errors
    /// When it is absent, empty or not a `T`.
    pub fn parsed<T>(&self, name: &'static str, expected: &'static str) -> Result<T, SettingError>
    where
        T: FromStr<Err: Display>,
    {
        self.required(name)?.trim().parse().map_err(|error: T::Err| SettingError::invalid(name, expected, error))
    }

    /// The same for a setting that may be absent or empty.
    ///
    /// # Errors
    /// When it is set and not a `T`.
    pub fn parsed_if_set<T>(&self, name: &'static str, expected: &'static str) -> Result<Option<T>, SettingError>
    where
        T: FromStr<Err: Display>,
    {
        self.optional(name).map(|_| self.parsed(name, expected)).transpose()
    }
}

/// A setting that keeps a function from starting. Names the setting and never repeats its value.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// Absent or empty.
    #[error("the environment variable {name} is not set: set it on the function (template.yaml does)")]
    Missing {
        /// The setting.
        name: &'static str,
    },
    /// There, but not usable.
    #[error("the environment variable {name} is not {expected}: {reason}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// What would be right.
        expected: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl SettingError {
    /// A setting whose value is no good. `reason` must not quote the value where it could be secret.
    pub fn invalid(name: &'static str, expected: &'static str, reason: impl Display) -> Self {
        Self::Invalid { name, expected, reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "PORT" => Some(" 80 ".to_owned()),
            "EMPTY" => Some("  ".to_owned()),
            "WORD" => Some("eighty".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_setting_is_read_as_its_type() {
        assert_eq!(Variables::new(&lookup).parsed::<u16>("PORT", "a port number").unwrap(), 80);
    }

    #[test]
    fn an_empty_setting_is_an_absent_one() {
        let variables = Variables::new(&lookup);
        assert_eq!(variables.optional("EMPTY"), None);
        assert_eq!(variables.parsed_if_set::<u16>("EMPTY", "a port number").unwrap(), None);
        assert!(variables.parsed_if_set::<u16>("WORD", "a port number").is_err());
        for name in ["EMPTY", "NOWHERE"] {
            assert_eq!(
                variables.required(name).unwrap_err().to_string(),
                format!("the environment variable {name} is not set: set it on the function (template.yaml does)")
            );
        }
    }

    #[test]
    fn a_bad_setting_is_named_and_not_repeated() {
        assert_eq!(
            Variables::new(&lookup).parsed::<u16>("WORD", "a port number").unwrap_err().to_string(),
            "the environment variable WORD is not a port number: invalid digit found in string"
        );
    }
}

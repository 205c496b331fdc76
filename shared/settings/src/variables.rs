//! Reads settings by name, and explains a missing or invalid one.

use std::fmt::Display;
use std::str::FromStr;

use url::{Host, Url};

/// Named settings, looked up one at a time.
///
/// An empty value counts as absent, because a template passes an unset optional parameter as the empty string.
pub struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Variables<'a> {
    /// Settings from a lookup function: the environment in a function, a table in tests.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup }
    }

    /// The setting's text; none if it is absent or empty.
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

    /// The setting as a `T`. `expected` describes a valid value, for the error message.
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

    /// The setting as the address of a page that browsers open. Its reader sends keys or personal data there, so it
    /// must be https. On this machine, as in tests, http works too.
    ///
    /// # Errors
    /// When it is absent, empty or no such address.
    pub fn page(&self, name: &'static str) -> Result<Url, SettingError> {
        const EXPECTED: &str = "the https address of a page";
        let page: Url = self.parsed(name, EXPECTED)?;
        let is_loopback = match page.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match page.scheme() {
            "https" => Ok(page),
            "http" if is_loopback => Ok(page),
            _ => Err(SettingError::invalid(name, EXPECTED, "it must begin with https://")),
        }
    }
}

/// A missing or invalid setting, with which a function does not start. The text names the setting, not its value.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// The setting is absent or empty.
    #[error("the environment variable {name} is not set: set it on the function (template.yaml does)")]
    Missing {
        /// The setting.
        name: &'static str,
    },
    /// The setting has an invalid value.
    #[error("the environment variable {name} is not {expected}: {reason}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// The description of a valid value.
        expected: &'static str,
        /// Why the value is invalid.
        reason: String,
    },
}

impl SettingError {
    /// A setting with an invalid value. `reason` must not quote a value that could be secret.
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
    fn a_setting_is_parsed_into_its_type() {
        assert_eq!(Variables::new(&lookup).parsed::<u16>("PORT", "a port number").unwrap(), 80);
    }

    #[test]
    fn a_page_has_an_https_address_or_is_on_this_machine() {
        let page = |text: &str| {
            Variables::new(&|_| Some(text.to_owned())).page("PORTAL_URL").map(String::from).map_err(|it| it.to_string())
        };
        for text in
            ["https://apply.example.com/home?x=1", "http://127.0.0.1:8080/", "http://localhost/", "http://[::1]:3000/"]
        {
            assert_eq!(page(text), Ok(text.to_owned()));
        }
        assert_eq!(page(" https://apply.example.com "), Ok("https://apply.example.com/".to_owned()));
        for text in [
            "http://apply.example.com/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://10.0.0.1/",
            "ftp://localhost/",
            "javascript:alert(1)",
            "data:text/html,x",
        ] {
            let error =
                "the environment variable PORTAL_URL is not the https address of a page: it must begin with https://";
            assert_eq!(page(text), Err(error.to_owned()), "{text}");
        }
        assert!(page("apply.example.com").is_err());
    }

    #[test]
    fn an_empty_setting_counts_as_absent() {
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
    fn the_error_names_the_setting_and_does_not_repeat_its_value() {
        assert_eq!(
            Variables::new(&lookup).parsed::<u16>("WORD", "a port number").unwrap_err().to_string(),
            "the environment variable WORD is not a port number: invalid digit found in string"
        );
    }
}

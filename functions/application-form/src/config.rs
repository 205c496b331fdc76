//! The settings of the function.

use forms::{FieldKind, Fields};
use http::HeaderValue;
use http_events::SecretHashes;
use leadsquared::CallingCode;
use settings::{SettingError, Variables};
use throttle::NetworkSalt;

/// Every setting this function reads.
pub struct Config {
    /// `INVITATIONS_QUEUE_URL`: the queue of invitations.
    pub invitations_queue_url: String,
    /// `FORM_FIELDS`: the form's fields, as JSON.
    pub fields: Fields,
    /// `DEFAULT_COUNTRY_CODE`: the calling code, such as 91, of phone numbers without one.
    pub default_country: CallingCode,
    /// `PASSWORD_KEY`, required if the form has a password field: id or ARN of the KMS key that seals passwords.
    pub password_key: Option<String>,
    /// `THANK_YOU_URL`, optional: the page that a browser opens after it sent a plain HTML form.
    pub thank_you_url: Option<HeaderValue>,
    /// `FORM_KEY_HASHES`, optional: SHA-256 of the form keys of form builders. Without any, every form counts as a
    /// visitor's.
    pub form_keys: SecretHashes,
    /// The intake caps.
    pub intake: intake::IntakeSettings,
    /// `NETWORK_SALT`: the salt of the hashes of networks.
    pub network_salt: NetworkSalt,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// When a setting is missing or invalid; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const PASSWORD_KEY: &str = "PASSWORD_KEY";
        const THANK_YOU_URL: &str = "THANK_YOU_URL";
        let fields: Fields = variables.parsed(Fields::SETTING, Fields::EXPECTED)?;
        let password_key = match fields.have(FieldKind::Password) {
            true => Some(variables.required(PASSWORD_KEY).map_err(|_| {
                let expected = "the KMS key that a form with a password field needs";
                SettingError::invalid(PASSWORD_KEY, expected, "deploy with ChosenPasswords=yes")
            })?),
            false => None,
        };
        let thank_you_url = variables.optional(THANK_YOU_URL).map(|_| {
            let page = variables.page(THANK_YOU_URL)?;
            Ok(HeaderValue::from_str(page.as_str()).expect("a URL is plain ASCII"))
        });
        Ok(Self {
            invitations_queue_url: variables.required("INVITATIONS_QUEUE_URL")?,
            fields,
            password_key,
            // Not checked against the list of countries: loading the phone metadata would slow down every cold start.
            default_country: CallingCode(variables.parsed("DEFAULT_COUNTRY_CODE", "a calling code such as 91")?),
            thank_you_url: thank_you_url.transpose()?,
            form_keys: variables.parsed_if_set("FORM_KEY_HASHES", SecretHashes::EXPECTED)?.unwrap_or_default(),
            intake: intake::IntakeSettings::read(variables)?,
            network_salt: NetworkSalt::new(variables.optional(NetworkSalt::SETTING)),
        })
    }
}

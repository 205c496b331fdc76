use forms::Fields;
use http::HeaderValue;
use http_events::SecretHashes;
use leadsquared::CallingCode;
use settings::{SettingError, Variables};
use url::Url;

/// Every setting this function reads.
pub struct Config {
    /// `INVITATIONS_QUEUE_URL`: where invitations go.
    pub invitations_queue_url: String,
    /// `FORM_FIELDS`: the form's fields, as JSON.
    pub fields: Fields,
    /// `DEFAULT_COUNTRY_CODE`: the calling code of phone numbers that come without one, such as 91.
    pub default_country: CallingCode,
    /// `PASSWORD_KEY`, needed where the form asks for a password: id or ARN of the KMS key that seals it.
    pub password_key: Option<String>,
    /// `THANK_YOU_URL`, optional: where a browser goes after a plain HTML form.
    pub thank_you_url: Option<HeaderValue>,
    /// `FORM_KEY_HASHES`, optional: SHA-256 of what form builders prove themselves with. Without any, every form is a
    /// visitor's.
    pub form_keys: SecretHashes,
    /// The caps.
    pub intake: intake::IntakeSettings,
}

impl Config {
    /// Reads them.
    ///
    /// # Errors
    /// When one is missing or of no use; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const PASSWORD_KEY: &str = "PASSWORD_KEY";
        const FORM_FIELDS: &str = "FORM_FIELDS";
        const THANK_YOU_URL: &str = "THANK_YOU_URL";
        const FORM_KEY_HASHES: &str = "FORM_KEY_HASHES";
        let fields = Fields::parse(&variables.required(FORM_FIELDS)?)
            .map_err(|error| SettingError::invalid(FORM_FIELDS, "a list of form fields", error))?;
        let password_key = match fields.have_password() {
            true => Some(variables.required(PASSWORD_KEY).map_err(|_| {
                let expected = "the KMS key that a form with a password field needs";
                SettingError::invalid(PASSWORD_KEY, expected, "deploy with ChosenPasswords=yes")
            })?),
            false => None,
        };
        let thank_you_url = variables.optional(THANK_YOU_URL).map(|text| {
            let url: Url = text.trim().parse().map_err(|error| invalid_url(THANK_YOU_URL, error))?;
            HeaderValue::from_str(url.as_str()).map_err(|error| invalid_url(THANK_YOU_URL, error))
        });
        let form_keys = match variables.optional(FORM_KEY_HASHES) {
            Some(_) => variables.parsed(FORM_KEY_HASHES, SecretHashes::EXPECTED)?,
            None => SecretHashes::default(),
        };
        Ok(Self {
            invitations_queue_url: variables.required("INVITATIONS_QUEUE_URL")?,
            fields,
            password_key,
            // Whether a country has the code is not asked here: that would read every country's phone numbers at each
            // start.
            default_country: CallingCode(variables.parsed("DEFAULT_COUNTRY_CODE", "a calling code such as 91")?),
            thank_you_url: thank_you_url.transpose()?,
            form_keys,
            intake: intake::IntakeSettings::read(variables)?,
        })
    }
}

fn invalid_url(name: &'static str, error: impl std::fmt::Display) -> SettingError {
    SettingError::invalid(name, "an absolute URL", error)
}

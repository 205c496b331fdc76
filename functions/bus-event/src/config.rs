//! The settings of the function.

use leadsquared::CallingCode;
use settings::{SettingError, Variables};

/// Every setting this function reads.
pub struct Config {
    /// `INVITATIONS_QUEUE_URL`: the queue of invitations.
    pub invitations_queue_url: String,
    /// `DEAD_LETTERS_QUEUE_URL`: the queue of dead letters, which takes refused events.
    pub dead_letters_queue_url: String,
    /// `EVENT_SIGNING_SECRET`: ARN or name of the secret that HTTPS senders sign with.
    pub signing_secret: String,
    /// `DEFAULT_COUNTRY_CODE`: the country whose phone numbers must be assigned.
    pub default_country: CallingCode,
    /// The intake caps.
    pub intake: intake::IntakeSettings,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// When a setting is missing or invalid; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        Ok(Self {
            invitations_queue_url: variables.required("INVITATIONS_QUEUE_URL")?,
            dead_letters_queue_url: variables.required("DEAD_LETTERS_QUEUE_URL")?,
            signing_secret: variables.required("EVENT_SIGNING_SECRET")?,
            // Not checked against the list of countries: loading the phone metadata would slow down every cold start.
            default_country: CallingCode(variables.parsed("DEFAULT_COUNTRY_CODE", "a calling code such as 91")?),
            intake: intake::IntakeSettings::read(variables)?,
        })
    }
}

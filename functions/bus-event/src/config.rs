//! The settings of the function.

use settings::{SettingError, Variables};

/// Every setting this function reads.
pub struct Config {
    /// `INVITATIONS_QUEUE_URL`: the queue of invitations.
    pub invitations_queue_url: String,
    /// `DEAD_LETTERS_QUEUE_URL`: the queue of dead letters, which takes refused events.
    pub dead_letters_queue_url: String,
    /// `EVENT_SIGNING_SECRET`: ARN or name of the secret that HTTPS senders sign with.
    pub signing_secret: String,
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
            intake: intake::IntakeSettings::read(variables)?,
        })
    }
}

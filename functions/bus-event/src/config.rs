use settings::{SettingError, Variables};

/// Every setting this function reads.
pub struct Config {
    /// `INVITATIONS_QUEUE_URL`: where invitations go.
    pub invitations_queue_url: String,
    /// `DEAD_LETTERS_QUEUE_URL`: where events go that no repeat would help.
    pub dead_letters_queue_url: String,
    /// `EVENT_SIGNING_SECRET`: ARN or name of the secret with what HTTPS senders sign with.
    pub signing_secret: String,
    /// The caps.
    pub intake: intake::IntakeSettings,
}

impl Config {
    /// Reads them.
    ///
    /// # Errors
    /// When one is missing; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        Ok(Self {
            invitations_queue_url: variables.required("INVITATIONS_QUEUE_URL")?,
            dead_letters_queue_url: variables.required("DEAD_LETTERS_QUEUE_URL")?,
            signing_secret: variables.required("EVENT_SIGNING_SECRET")?,
            intake: intake::IntakeSettings::read(variables)?,
        })
    }
}

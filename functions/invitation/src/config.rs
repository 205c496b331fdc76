use invitation_flow::Portal;
use leadsquared::{EmailAddress, Options, Timeouts};
use mail::Wording;
use settings::{SettingError, Variables};
use std::time::Duration;

/// Every setting this function reads.
pub struct Config {
    /// `INVITATIONS_QUEUE_URL`: where the messages come from.
    pub invitations_queue_url: String,
    /// `DEAD_LETTERS_QUEUE_URL`: where those go that no repeat would help.
    pub dead_letters_queue_url: String,
    /// `LEDGER_TABLE`: the DynamoDB table.
    pub ledger_table: String,
    /// `LEADSQUARED_KEYS_SECRET`: ARN or name of the secret with the keys.
    pub keys_secret: String,
    /// `LEADSQUARED_API_URL`, `LEADSQUARED_PORTAL_API_URL`, `LEADSQUARED_TENANT_AUTH_KEY_PATH` and `PORTAL_ID`.
    pub leadsquared: Options,
    /// `PORTAL_ID` and `PORTAL_URL`.
    pub portal: Portal,
    /// `ORGANISATION` and `MAIL_SUBJECT`.
    pub wording: Wording,
    /// `MAIL_SENDER`, optional: the LeadSquared user the mail is from.
    pub mail_sender: Option<EmailAddress>,
}

/// Short enough that one slow person does not use up the time of a whole batch.
const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(2), attempt: Duration::from_secs(8), total: Duration::from_secs(12) };

impl Config {
    /// Reads them.
    ///
    /// # Errors
    /// When one is missing or of no use; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const URL: &str = "an absolute URL";
        const MAIL_SENDER: &str = "MAIL_SENDER";
        let portal = Portal {
            id: variables.parsed("PORTAL_ID", "the GUID of a portal")?,
            page: variables.parsed("PORTAL_URL", URL)?,
        };
        let mut leadsquared = Options::new(
            variables.parsed("LEADSQUARED_API_URL", URL)?,
            variables.parsed("LEADSQUARED_PORTAL_API_URL", URL)?,
            portal.id,
        );
        leadsquared.timeouts = TIMEOUTS;
        if let Some(path) = variables.optional("LEADSQUARED_TENANT_AUTH_KEY_PATH") {
            leadsquared.paths.tenant_auth_key = path;
        }
        let mail_sender = variables
            .optional(MAIL_SENDER)
            .map(|text| text.parse().map_err(|error| SettingError::invalid(MAIL_SENDER, "an e-mail address", error)));
        Ok(Self {
            invitations_queue_url: variables.required("INVITATIONS_QUEUE_URL")?,
            dead_letters_queue_url: variables.required("DEAD_LETTERS_QUEUE_URL")?,
            ledger_table: variables.required("LEDGER_TABLE")?,
            keys_secret: variables.required("LEADSQUARED_KEYS_SECRET")?,
            leadsquared,
            portal,
            wording: Wording {
                organisation: variables.required("ORGANISATION")?,
                subject: variables.required("MAIL_SUBJECT")?,
            },
            mail_sender: mail_sender.transpose()?,
        })
    }
}

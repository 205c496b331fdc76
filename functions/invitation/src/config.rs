use std::time::Duration;

use allowance::Rules;
use invitation_flow::Portal;
use leadsquared::{EmailAddress, Limit, Options, Timeouts};
use mail::Wording;
use settings::{SettingError, Variables};

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
    /// `ALLOWANCE_CALLS`, `ALLOWANCE_WINDOW_SECONDS`, `ALLOWANCE_SHARE` and, optional, `ALLOWANCE_DAILY`: what may be used of
    /// the account's calls.
    pub allowance: Rules,
    /// `PORTAL_ID` and `PORTAL_URL`.
    pub portal: Portal,
    /// `ORGANISATION` and `MAIL_SUBJECT`.
    pub wording: Wording,
    /// `MAIL_SENDER`, optional: the LeadSquared user the mail is from.
    pub mail_sender: Option<EmailAddress>,
}

/// Short enough that one slow person does not use up the time of a whole batch. The total includes the wait in the
/// account's call line.
pub const TIMEOUTS: Timeouts =
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
        let allowance = allowance(variables)?;
        let mail_sender = variables
            .optional(MAIL_SENDER)
            .map(|text| text.parse().map_err(|error| SettingError::invalid(MAIL_SENDER, "an e-mail address", error)));
        Ok(Self {
            invitations_queue_url: variables.required("INVITATIONS_QUEUE_URL")?,
            dead_letters_queue_url: variables.required("DEAD_LETTERS_QUEUE_URL")?,
            ledger_table: variables.required("LEDGER_TABLE")?,
            keys_secret: variables.required("LEADSQUARED_KEYS_SECRET")?,
            leadsquared,
            allowance,
            portal,
            wording: Wording {
                organisation: variables.required("ORGANISATION")?,
                subject: variables.required("MAIL_SUBJECT")?,
            },
            mail_sender: mail_sender.transpose()?,
        })
    }
}

fn allowance(variables: &Variables<'_>) -> Result<Rules, SettingError> {
    const CALLS: &str = "ALLOWANCE_CALLS";
    const DAILY: &str = "ALLOWANCE_DAILY";
    const NUMBER: &str = "a whole number above 0";
    let limit = Limit {
        calls: variables.parsed(CALLS, NUMBER)?,
        window: Duration::from_secs(variables.parsed("ALLOWANCE_WINDOW_SECONDS", NUMBER)?),
    };
    let daily = variables.optional(DAILY).map(|_| variables.parsed(DAILY, NUMBER)).transpose()?;
    let settings = allowance::Settings {
        share: variables.parsed("ALLOWANCE_SHARE", "a percentage")?,
        daily,
        ..allowance::Settings::new(limit)
    };
    Rules::new(settings)
        .map_err(|error| SettingError::invalid(CALLS, "an allowance, with the other settings of its name", error))
}

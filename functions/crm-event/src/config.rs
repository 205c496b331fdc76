//! The settings of the function.

use http::{HeaderName, StatusCode};
use http_events::SecretHashes;
use onboarding::rules::Rules;
use settings::{SettingError, Variables};
use time::Duration;

/// Every setting this function reads.
pub struct Config {
    /// `INVITATIONS_QUEUE_URL`: the queue of invitations.
    pub invitations_queue_url: String,
    /// `LEDGER_TABLE`: the ledger, in which the worker stores the leads it registered.
    pub ledger_table: String,
    /// `CRM_RULES`: the rules that decide which event leads to which invitation, as JSON.
    pub rules: Rules,
    /// `WEBHOOK_HEADER`: the header in which LeadSquared sends its secret.
    pub header: HeaderName,
    /// `WEBHOOK_SECRET_HASHES`, optional: SHA-256 of the accepted secrets. Without any, no event is accepted.
    pub secrets: SecretHashes,
    /// `WEBHOOK_BAD_SECRET_STATUS`: status of the answer to a wrong secret, 401 or 200.
    pub bad_secret_status: StatusCode,
    /// `MAIL_COOL_DOWN_SECONDS`: how long after our registration of a lead its changes count as our own.
    pub cool_down: Duration,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// When a setting is missing or invalid; the error names it, and every mistake in the rules.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const WEBHOOK_BAD_SECRET_STATUS: &str = "WEBHOOK_BAD_SECRET_STATUS";
        const BAD_SECRET_STATUS: &str = "the status 401 or 200";
        let bad_secret_status = match variables.parsed(WEBHOOK_BAD_SECRET_STATUS, BAD_SECRET_STATUS)? {
            401 => StatusCode::UNAUTHORIZED,
            200 => StatusCode::OK,
            _ => {
                return Err(SettingError::invalid(
                    WEBHOOK_BAD_SECRET_STATUS,
                    BAD_SECRET_STATUS,
                    "it is another number",
                ));
            }
        };
        Ok(Self {
            invitations_queue_url: variables.required("INVITATIONS_QUEUE_URL")?,
            ledger_table: variables.required("LEDGER_TABLE")?,
            rules: variables.parsed(Rules::SETTING, Rules::EXPECTED)?,
            header: variables.parsed("WEBHOOK_HEADER", "the name of a header such as x-webhook-secret")?,
            secrets: variables.parsed_if_set("WEBHOOK_SECRET_HASHES", SecretHashes::EXPECTED)?.unwrap_or_default(),
            bad_secret_status,
            cool_down: Duration::seconds(
                variables.parsed::<u32>("MAIL_COOL_DOWN_SECONDS", "a whole number of seconds")?.into(),
            ),
        })
    }
}

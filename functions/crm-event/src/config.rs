use http::{HeaderName, StatusCode};
use http_events::SecretHashes;
use onboarding::rules::Rules;
use settings::{SettingError, Variables};
use time::Duration;

/// Every setting this function reads.
pub struct Config {
    /// `INVITATIONS_QUEUE_URL`: where invitations go.
    pub invitations_queue_url: String,
    /// `LEDGER_TABLE`: where the worker writes down whom it registered.
    pub ledger_table: String,
    /// `CRM_RULES`: which event invites whom, as JSON.
    pub rules: Rules,
    /// `WEBHOOK_HEADER`: the header with LeadSquared's secret.
    pub header: HeaderName,
    /// `WEBHOOK_SECRET_HASHES`, optional: SHA-256 of the accepted secrets; without any, no event is taken.
    pub secrets: SecretHashes,
    /// `WEBHOOK_BAD_SECRET_STATUS`: what a request with a wrong secret is answered, 401 or 200.
    pub bad_secret_status: StatusCode,
    /// `MAIL_COOL_DOWN_SECONDS`: how long after we registered a lead its changes are our own doing.
    pub cool_down: Duration,
}

impl Config {
    /// Reads them.
    ///
    /// # Errors
    /// When one is missing or of no use; the error names it, and for the rules every mistake in them.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const CRM_RULES: &str = "CRM_RULES";
        const WEBHOOK_SECRET_HASHES: &str = "WEBHOOK_SECRET_HASHES";
        const WEBHOOK_BAD_SECRET_STATUS: &str = "WEBHOOK_BAD_SECRET_STATUS";
        const BAD_SECRET_STATUS: &str = "the status 401 or 200";
        let rules = Rules::parse(&variables.required(CRM_RULES)?)
            .map_err(|error| SettingError::invalid(CRM_RULES, "a list of rules", error))?;
        let secrets = match variables.optional(WEBHOOK_SECRET_HASHES) {
            Some(_) => variables.parsed(WEBHOOK_SECRET_HASHES, SecretHashes::EXPECTED)?,
            None => SecretHashes::default(),
        };
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
            rules,
            header: variables.parsed("WEBHOOK_HEADER", "the name of a header such as x-webhook-secret")?,
            secrets,
            bad_secret_status,
            cool_down: Duration::seconds(
                variables.parsed::<u32>("MAIL_COOL_DOWN_SECONDS", "a whole number of seconds")?.into(),
            ),
        })
    }
}

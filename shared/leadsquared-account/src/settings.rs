//! The settings that every function with calls to LeadSquared reads.

use std::time::Duration;

use call_allowance::AllowanceRules;
use leadsquared::{Options, RateLimit};
use settings::{SettingError, Variables};

/// The settings of every function that calls LeadSquared.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// `LEADSQUARED_API_URL`, `LEADSQUARED_PORTAL_API_URL`, `LEADSQUARED_TENANT_AUTH_KEY_PATH` (optional) and
    /// `PORTAL_ID`.
    pub leadsquared: Options,
    /// `LEADSQUARED_KEYS_SECRET`: ARN or name of the secret with the keys.
    pub keys_secret: String,
    /// `LEDGER_TABLE`: the DynamoDB table that holds the call allowance.
    pub ledger_table: String,
    /// `ALLOWANCE_CALLS`, `ALLOWANCE_WINDOW_SECONDS`, `ALLOWANCE_SHARE` and, optional, `ALLOWANCE_DAILY`: the calls
    /// that this system can make. Default of the daily cap: what the plan permits ([`call_allowance::daily_cap`]).
    /// `none` switches the daily cap off.
    pub allowance: AllowanceRules,
}

impl AccountSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// When a setting is missing or invalid. The error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const URL: &str = "an absolute URL";
        let mut leadsquared = Options::new(
            variables.parsed("LEADSQUARED_API_URL", URL)?,
            variables.parsed("LEADSQUARED_PORTAL_API_URL", URL)?,
            variables.parsed("PORTAL_ID", "the GUID of a portal")?,
        );
        if let Some(path) = variables.optional("LEADSQUARED_TENANT_AUTH_KEY_PATH") {
            leadsquared.paths.tenant_auth_key = path;
        }
        Ok(Self {
            leadsquared,
            keys_secret: variables.required("LEADSQUARED_KEYS_SECRET")?,
            ledger_table: variables.required("LEDGER_TABLE")?,
            allowance: allowance(variables)?,
        })
    }
}

fn allowance(variables: &Variables<'_>) -> Result<AllowanceRules, SettingError> {
    const CALLS: &str = "ALLOWANCE_CALLS";
    const DAILY: &str = "ALLOWANCE_DAILY";
    const NUMBER: &str = "a whole number above 0";
    const NUMBER_OR_NONE: &str = "a whole number above 0, or `none` for no daily cap";
    let limit = RateLimit {
        calls: variables.parsed(CALLS, NUMBER)?,
        window: Duration::from_secs(variables.parsed("ALLOWANCE_WINDOW_SECONDS", NUMBER)?),
    };
    let share = variables.parsed("ALLOWANCE_SHARE", "a percentage")?;
    // A stack that was deployed by an earlier template does not set it.
    let daily = call_allowance::daily_cap(variables.optional(DAILY).as_deref(), limit.calls, share)
        .map_err(|error| SettingError::invalid(DAILY, NUMBER_OR_NONE, error))?;
    let settings = call_allowance::AllowanceSettings { share, daily, ..call_allowance::AllowanceSettings::new(limit) };
    AllowanceRules::new(settings)
        .map_err(|error| SettingError::invalid(CALLS, "valid together with the other ALLOWANCE settings", error))
}

#[cfg(test)]
mod tests;

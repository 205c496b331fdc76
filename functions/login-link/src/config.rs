//! The settings of the function.

use std::num::NonZeroU32;

use http_events::AllowedOrigins;
use leadsquared_account::AccountSettings;
use settings::{SettingError, Variables};
use throttle::NetworkSalt;
use url::Url;

use crate::texts::Language;

/// Every setting this function reads.
pub struct Config {
    /// `INVITATIONS_QUEUE_URL`: the queue of invitations, which takes requests for a link too.
    pub invitations_queue_url: String,
    /// The LeadSquared account, the call allowance and the ledger's table.
    pub account: AccountSettings,
    /// `PORTAL_URL`: the portal page that a login link opens.
    pub portal_page: Url,
    /// `ORGANISATION`: the company's name, as applicants know it.
    pub organisation: String,
    /// `PAGE_LANGUAGE`: fallback language when the browser asks for none of the pages' languages.
    pub language: Language,
    /// The intake caps. `ATTEMPTS_PER_ADDRESS`: requests for a link from one network address in 15 minutes.
    pub intake: intake::IntakeSettings,
    /// `NETWORK_SALT`: the salt of the hashes of networks.
    pub network_salt: NetworkSalt,
    /// `ALLOWED_ORIGINS`, optional: the websites whose forms may request a link. Default: all.
    pub allowed_origins: AllowedOrigins,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// When a setting is missing or invalid; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        let attempts: NonZeroU32 = variables.parsed("ATTEMPTS_PER_ADDRESS", "a whole number above 0")?;
        let mut intake = intake::IntakeSettings::read(variables)?;
        intake.limits.link_requests = attempts.get();
        Ok(Self {
            invitations_queue_url: variables.required("INVITATIONS_QUEUE_URL")?,
            account: AccountSettings::read(variables)?,
            portal_page: variables.page("PORTAL_URL")?,
            organisation: variables.required("ORGANISATION")?,
            language: variables.parsed("PAGE_LANGUAGE", "the tag of a language of the pages")?,
            intake,
            network_salt: NetworkSalt::new(variables.optional(NetworkSalt::SETTING)),
            allowed_origins: variables
                .parsed_if_set(AllowedOrigins::SETTING, AllowedOrigins::EXPECTED)?
                .unwrap_or_default(),
        })
    }
}

use std::num::NonZeroU32;

use leadsquared_account::AccountSettings;
use settings::{SettingError, Variables};
use url::Url;

use crate::texts::Language;

/// Every setting this function reads.
pub struct Config {
    /// `INVITATIONS_QUEUE_URL`: where requests for a link go.
    pub invitations_queue_url: String,
    /// The LeadSquared account and the ledger's table.
    pub account: AccountSettings,
    /// `PORTAL_URL`: the portal page that a login link opens.
    pub portal_page: Url,
    /// `ORGANISATION`: the name applicants know the company by.
    pub organisation: String,
    /// `PAGE_LANGUAGE`: the language of the pages for readers who ask for none that there is.
    pub language: Language,
    /// The caps on requests for a link. `ATTEMPTS_PER_ADDRESS`: how many one network address has in a quarter of an
    /// hour.
    pub intake: intake::IntakeSettings,
}

impl Config {
    /// Reads them.
    ///
    /// # Errors
    /// When one is missing or of no use; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        let attempts: NonZeroU32 = variables.parsed("ATTEMPTS_PER_ADDRESS", "a whole number above 0")?;
        let mut intake = intake::IntakeSettings::read(variables)?;
        intake.limits.link_requests = attempts.get();
        Ok(Self {
            invitations_queue_url: variables.required("INVITATIONS_QUEUE_URL")?,
            account: AccountSettings::read(variables)?,
            portal_page: variables.parsed("PORTAL_URL", "an absolute URL")?,
            organisation: variables.required("ORGANISATION")?,
            language: variables.parsed("PAGE_LANGUAGE", "the tag of a language that the pages are there in")?,
            intake,
        })
    }
}

use std::num::NonZeroU32;
use std::time::Duration;

use http_events::SecretHashes;
use leadsquared::{CallingCode, EmailAddress, Limit, Timeouts};
use leadsquared_account::AccountSettings;
use onboarding::Marking;
use passwords::PasswordRules;
use settings::{SettingError, Variables};

use crate::Identities;
use crate::limits::NetworkShare;
use crate::pace::BUDGET;

/// Every setting this function reads.
pub struct Config {
    /// LeadSquared, the ledger's table and the call line.
    pub account: AccountSettings,
    /// `SIGN_IN_FIELDS`: by what people may sign in, as JSON.
    pub identities: Identities,
    /// `DEFAULT_COUNTRY_CODE`: the calling code of phone numbers that come without one, such as 91.
    pub default_country: CallingCode,
    /// `PASSWORD_CLASSES`, optional: what the portal's policy wants one of in a password.
    pub rules: PasswordRules,
    /// `ATTEMPTS_PER_ADDRESS`: how often one network address may try in a quarter of an hour.
    pub attempts_per_address: NonZeroU32,
    /// `SITE_SECRET_HASHES`, optional: SHA-256 of what the website's own server proves itself with, which then says
    /// for which visitor it asks; without any, whoever connects is whose attempts are counted.
    pub site_secrets: SecretHashes,
    /// `ANSWER_FLOOR_MS`: how long an answer takes at least that must not tell who has an account.
    pub floor: Duration,
    /// `NETWORK_SHARE`, optional: how many percent of the call allowance one network may use.
    pub network_share: u8,
    /// `TEXTS_PER_DAY`, optional: the most text messages in one UTC day, to all numbers together.
    pub texts_per_day: NonZeroU32,
    /// `UNPROVEN_FIELD`, optional: the lead field that marks unproven identifiers.
    pub unproven_field: String,
    /// `SESSION_COOKIE`: whether the key is given as a cookie instead of in the answer.
    pub session_cookie: bool,
    /// `ORGANISATION`: the name applicants know the company by, for the notice.
    pub organisation: String,
    /// `MAIL_SENDER`, optional: the LeadSquared user the notice is from.
    pub mail_sender: Option<EmailAddress>,
}

/// A person waits. The total includes the wait in the account's call line.
pub const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(1), attempt: Duration::from_secs(3), total: BUDGET };

/// A network's part of the call allowance, in percent, unless the settings say another.
const NETWORK_SHARE: u8 = 10;

/// The day's text messages, unless the settings say another number.
const TEXTS: NonZeroU32 = NonZeroU32::new(1000).unwrap();

impl Config {
    /// How much of the call allowance one network gets.
    pub(crate) fn network_share(&self) -> NetworkShare {
        let allowance = self.account.allowance.settings();
        let calls = u64::from(allowance.limit.calls) * u64::from(allowance.share) / 100;
        let ours = Limit { calls: u32::try_from(calls).unwrap_or(u32::MAX), ..allowance.limit };
        NetworkShare::new(ours, self.network_share)
    }

    /// How many requests of one network may ask LeadSquared in a UTC day, if the plan's day is known.
    pub(crate) fn network_day(&self) -> Option<u32> {
        let daily = u64::from(self.account.allowance.settings().daily?);
        let share = daily * u64::from(self.network_share) / 100;
        Some(u32::try_from(share).unwrap_or(u32::MAX).max(NetworkShare::LEAST))
    }

    /// Reads them.
    ///
    /// # Errors
    /// When one is missing or of no use; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const SIGN_IN_FIELDS: &str = "SIGN_IN_FIELDS";
        const PASSWORD_CLASSES: &str = "PASSWORD_CLASSES";
        const ANSWER_FLOOR_MS: &str = "ANSWER_FLOOR_MS";
        const SESSION_COOKIE: &str = "SESSION_COOKIE";
        const SITE_SECRET_HASHES: &str = "SITE_SECRET_HASHES";
        const MAIL_SENDER: &str = "MAIL_SENDER";
        const TEXTS_PER_DAY: &str = "TEXTS_PER_DAY";
        let identities = Identities::parse(&variables.required(SIGN_IN_FIELDS)?)
            .map_err(|error| SettingError::invalid(SIGN_IN_FIELDS, "a list of fields to sign in by", error))?;
        let classes = match variables.optional(PASSWORD_CLASSES) {
            Some(_) => variables.parsed(PASSWORD_CLASSES, "a list of kinds of characters")?,
            None => Default::default(),
        };
        let site_secrets = match variables.optional(SITE_SECRET_HASHES) {
            Some(_) => variables.parsed(SITE_SECRET_HASHES, SecretHashes::EXPECTED)?,
            None => SecretHashes::default(),
        };
        let floor = Duration::from_millis(variables.parsed(ANSWER_FLOOR_MS, "a number of milliseconds")?);
        if floor >= BUDGET {
            return Err(SettingError::invalid(ANSWER_FLOOR_MS, "a number of milliseconds", "it must be under 5000"));
        }
        let session_cookie = match &*variables.required(SESSION_COOKIE)? {
            "yes" => true,
            "no" => false,
            _ => return Err(SettingError::invalid(SESSION_COOKIE, "a switch", "it is `yes` or `no`")),
        };
        let mail_sender = variables
            .optional(MAIL_SENDER)
            .map(|text| text.parse().map_err(|error| SettingError::invalid(MAIL_SENDER, "an e-mail address", error)));
        Ok(Self {
            account: AccountSettings::read(variables)?,
            identities,
            default_country: CallingCode(variables.parsed("DEFAULT_COUNTRY_CODE", "a calling code such as 91")?),
            rules: PasswordRules { classes },
            attempts_per_address: variables.parsed("ATTEMPTS_PER_ADDRESS", "a whole number above 0")?,
            site_secrets,
            floor,
            network_share: percentage(variables, "NETWORK_SHARE", NETWORK_SHARE)?,
            texts_per_day: match variables.optional(TEXTS_PER_DAY) {
                Some(_) => variables.parsed(TEXTS_PER_DAY, "a whole number above 0")?,
                None => TEXTS,
            },
            unproven_field: variables.optional("UNPROVEN_FIELD").unwrap_or_else(|| Marking::FIELD.to_owned()),
            session_cookie,
            organisation: variables.required("ORGANISATION")?,
            mail_sender: mail_sender.transpose()?,
        })
    }
}

fn percentage(variables: &Variables<'_>, name: &'static str, default: u8) -> Result<u8, SettingError> {
    let Some(_) = variables.optional(name) else { return Ok(default) };
    match variables.parsed(name, "a percentage")? {
        percent @ 1..=100 => Ok(percent),
        _ => Err(SettingError::invalid(name, "a percentage", "it must be from 1 to 100")),
    }
}

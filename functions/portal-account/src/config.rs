//! The settings of the function.

use std::num::NonZeroU32;
use std::time::Duration;

use forms::SignInFields;
use http_events::{AllowedOrigins, SecretHashes};
use leadsquared::crm::Sender;
use leadsquared::{CallingCode, RateLimit};
use leadsquared_account::{AccountSettings, mail_sender, unproven_field};
use passwords::PasswordRules;
use settings::{SettingError, Variables};
use throttle::NetworkSalt;

use crate::Identities;
use crate::limits::NetworkShare;
use crate::pace::BUDGET;

/// Every setting this function reads.
pub struct Config {
    /// The LeadSquared account, the call allowance and the ledger's table.
    pub account: AccountSettings,
    /// `SIGN_IN_FIELDS`: the fields by which people sign in, as JSON.
    pub identities: Identities,
    /// `DEFAULT_COUNTRY_CODE`: the calling code, such as 91, of phone numbers without one.
    pub default_country: CallingCode,
    /// `PASSWORD_CLASSES`, optional: the classes of characters that the portal's policy requires in a password.
    pub rules: PasswordRules,
    /// `ATTEMPTS_PER_ADDRESS`: attempts from one network address in 15 minutes.
    pub attempts_per_address: NonZeroU32,
    /// `SITE_SECRET_HASHES`, optional: SHA-256 of the secrets of the website's own server, which may then name the
    /// visitor. Without any, attempts count for the network of the sender.
    pub site_secrets: SecretHashes,
    /// `ALLOWED_ORIGINS`, optional: the websites whose pages may request a code or a reset mail. Default: all.
    pub allowed_origins: AllowedOrigins,
    /// `NETWORK_SALT`: the salt of the hashes of networks.
    pub network_salt: NetworkSalt,
    /// `ANSWER_FLOOR_MS`: the shortest time of an answer that must not show who has an account.
    pub floor: Duration,
    /// `NETWORK_SHARE`, optional: percentage of the call allowance that one network may use. Default: 10.
    pub network_share: u8,
    /// `TEXTS_PER_DAY`, optional: the most text messages in one UTC day, to all numbers together. Default: 1000.
    pub texts_per_day: NonZeroU32,
    /// `UNPROVEN_FIELD`, optional: the lead field that marks unproven identifiers.
    pub unproven_field: String,
    /// `SESSION_COOKIE`: whether the key is given in a cookie instead of in the answer.
    pub session_cookie: bool,
    /// `ORGANISATION`: the company's name, as applicants know it, for the mails.
    pub organisation: String,
    /// `MAIL_SENDER`, optional: the LeadSquared user who sends the mails.
    pub mail_sender: Sender,
}

const DEFAULT_NETWORK_SHARE: u8 = 10;

const DEFAULT_TEXTS_PER_DAY: NonZeroU32 = NonZeroU32::new(1000).unwrap();

impl Config {
    /// The share of the call allowance that one network may use.
    pub(crate) fn network_share(&self) -> NetworkShare {
        let allowance = self.account.allowance.settings();
        let calls = u64::from(allowance.limit.calls) * u64::from(allowance.share) / 100;
        let usable = RateLimit { calls: u32::try_from(calls).unwrap_or(u32::MAX), ..allowance.limit };
        NetworkShare::new(usable, self.network_share)
    }

    /// The calls to LeadSquared for the requests of one network in a UTC day; none if there is no daily cap.
    pub(crate) fn network_day(&self) -> Option<u32> {
        let daily = u64::from(self.account.allowance.settings().daily?);
        let share = daily * u64::from(self.network_share) / 100;
        Some(u32::try_from(share).unwrap_or(u32::MAX).max(NetworkShare::LEAST))
    }

    /// Reads the settings.
    ///
    /// # Errors
    /// When a setting is missing or invalid; the error names it.
    pub fn read(variables: &Variables<'_>) -> Result<Self, SettingError> {
        const ANSWER_FLOOR_MS: &str = "ANSWER_FLOOR_MS";
        const SESSION_COOKIE: &str = "SESSION_COOKIE";
        let floor = Duration::from_millis(variables.parsed(ANSWER_FLOOR_MS, "a number of milliseconds")?);
        if floor >= BUDGET {
            return Err(SettingError::invalid(ANSWER_FLOOR_MS, "a number of milliseconds", "it must be under 5000"));
        }
        let session_cookie = match &*variables.required(SESSION_COOKIE)? {
            "yes" => true,
            "no" => false,
            _ => return Err(SettingError::invalid(SESSION_COOKIE, "a switch", "it is `yes` or `no`")),
        };
        Ok(Self {
            account: AccountSettings::read(variables)?,
            identities: Identities(variables.parsed(SignInFields::SETTING, SignInFields::EXPECTED)?),
            default_country: CallingCode(variables.parsed("DEFAULT_COUNTRY_CODE", "a calling code such as 91")?),
            rules: PasswordRules {
                classes: variables
                    .parsed_if_set("PASSWORD_CLASSES", "a list of classes of characters")?
                    .unwrap_or_default(),
            },
            attempts_per_address: variables.parsed("ATTEMPTS_PER_ADDRESS", "a whole number above 0")?,
            site_secrets: variables.parsed_if_set("SITE_SECRET_HASHES", SecretHashes::EXPECTED)?.unwrap_or_default(),
            allowed_origins: variables
                .parsed_if_set(AllowedOrigins::SETTING, AllowedOrigins::EXPECTED)?
                .unwrap_or_default(),
            network_salt: NetworkSalt::new(variables.optional(NetworkSalt::SETTING)),
            floor,
            network_share: percentage(variables, "NETWORK_SHARE")?.unwrap_or(DEFAULT_NETWORK_SHARE),
            texts_per_day: variables
                .parsed_if_set("TEXTS_PER_DAY", "a whole number above 0")?
                .unwrap_or(DEFAULT_TEXTS_PER_DAY),
            unproven_field: unproven_field(variables),
            session_cookie,
            organisation: variables.required("ORGANISATION")?,
            mail_sender: mail_sender(variables)?,
        })
    }
}

fn percentage(variables: &Variables<'_>, name: &'static str) -> Result<Option<u8>, SettingError> {
    match variables.parsed_if_set(name, "a percentage")? {
        percent @ (None | Some(1..=100)) => Ok(percent),
        Some(_) => Err(SettingError::invalid(name, "a percentage", "it must be from 1 to 100")),
    }
}

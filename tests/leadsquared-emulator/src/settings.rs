//! The settings of an emulator.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::limit::Limit;
use crate::tenant::Tenant;

/// The settings of an emulator. The default is one account with two users and one portal.
///
/// The binary reads them from a JSON file, in which lengths of time are seconds. [`port`](Self::port),
/// [`tenant`](Self::tenant) and [`data`](Self::data) are not part of the file: the binary has arguments for them. Its
/// clock is the machine's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The port on 127.0.0.1. Default: a free one.
    #[serde(skip)]
    pub port: Option<u16>,
    /// A port of its own for the portal API; 0 means a free one. A call to the wrong API's port then gets 404, as on
    /// LeadSquared's hosts: <https://apidocs.leadsquared.com/portal-api/>. Default: both APIs share a host, which hides
    /// such mistakes.
    pub portal_port: Option<u16>,
    /// The account that the methods of [`Emulator`](crate::Emulator) are about.
    #[serde(skip)]
    pub tenant: Tenant,
    /// Further accounts on the same host; their short codes must differ.
    pub other_tenants: Vec<Tenant>,
    /// The clock for lifetimes, limits and timestamps.
    #[serde(skip)]
    pub clock: Clock,
    /// The call limit of each account.
    pub limit: Limit,
    /// For how long each credential is valid.
    pub lifetimes: Lifetimes,
    /// The rules for portal passwords.
    pub password_policy: PasswordPolicy,
    /// The cost of checking a portal password.
    pub password_hashing: PasswordHashing,
    /// One switch for each point that LeadSquared's documentation leaves open.
    pub switches: Switches,
    /// The wording of refusals that no public page records.
    pub texts: Texts,
    /// The core API's host that a refusal for the wrong region names. The refusal of a portal call names the portal
    /// host of the same region.
    pub right_host: String,
    /// `LSQCommonServiceURLs.api` in the answer to Authenticate a User. Default: the emulator's own `host:port`.
    pub api_host: Option<String>,
    /// Method and path of the call for a tenant auto-login key. Its documentation lost the path:
    /// <https://apidocs.leadsquared.com/portal-auto-login-generate-tenant-auth-key/>.
    #[serde(with = "address")]
    pub tenant_auth_key: (Method, String),
    /// The rules of webhook delivery.
    pub webhooks: WebhookRules,
    /// The number of wrong one-time codes after which a challenge is invalid.
    pub code_attempts: u32,
    /// The link in forgotten-password mails; `{portal}`, `{leadId}` and `{temporaryPassword}` are filled in.
    pub reset_link: String,
    /// A folder that keeps the data of all accounts; the clock's advance is not kept. Default: data is in memory.
    #[serde(skip)]
    pub data: Option<PathBuf>,
    /// Makes ids, keys, codes and chances repeatable. With a data folder, each start draws new ones, and the same
    /// sequence of starts draws the same ones. Default: random.
    pub seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: None,
            portal_port: None,
            tenant: Tenant::default(),
            other_tenants: Vec::new(),
            clock: Clock::system(),
            limit: Limit::default(),
            lifetimes: Lifetimes::default(),
            password_policy: PasswordPolicy::default(),
            password_hashing: PasswordHashing::default(),
            switches: Switches::default(),
            texts: Texts::default(),
            right_host: "api-in21.leadsquared.com".to_owned(),
            api_host: None,
            tenant_auth_key: (Method::GET, "/api/AutoLogin/GenerateTenantAuthKey".to_owned()),
            webhooks: WebhookRules::default(),
            code_attempts: 5,
            reset_link: "{portal}/reset-password?leadId={leadId}&temporaryPassword={temporaryPassword}".to_owned(),
            data: None,
            seed: None,
        }
    }
}

impl Settings {
    /// The default settings with the cheapest password hashing.
    pub fn for_tests() -> Self {
        Self { password_hashing: PasswordHashing::Cheap, ..Self::default() }
    }
}

/// For how long the credentials are valid. Four hours are documented for sign-in and auto-login keys
/// (<https://apidocs.leadsquared.com/portal-auto-login/>); the last two are assumptions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lifetimes {
    /// The private key that sign-in returns.
    #[serde(with = "seconds")]
    pub private_key: Duration,
    /// The tenant's auto-login key.
    #[serde(with = "seconds")]
    pub tenant_auth_key: Duration,
    /// A lead's auto-login key, and the session that it opens on the hosted page.
    #[serde(with = "seconds")]
    pub lead_auth_key: Duration,
    /// The temporary password of a reset mail.
    #[serde(with = "seconds")]
    pub temporary_password: Duration,
    /// A one-time sign-in code.
    #[serde(with = "seconds")]
    pub one_time_code: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            private_key: 4 * HOUR,
            tenant_auth_key: 4 * HOUR,
            lead_auth_key: 4 * HOUR,
            temporary_password: 24 * HOUR,
            one_time_code: Duration::from_secs(600),
        }
    }
}

/// How webhooks are delivered: <https://apidocs.leadsquared.com/webhook-best-practices/>.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookRules {
    /// Waiting times before the second and each further attempt. Three attempts are documented, the times are not.
    #[serde(with = "lists_of_seconds")]
    pub gaps: Vec<Duration>,
    /// Longest wait for an answer, in real time. Undocumented.
    #[serde(with = "seconds")]
    pub timeout: Duration,
    /// The number of failed deliveries in a row that disables a webhook.
    pub disable_after: u32,
    /// Activities within this length of time are delivered together.
    #[serde(with = "seconds")]
    pub activity_batch: Duration,
}

impl Default for WebhookRules {
    fn default() -> Self {
        Self {
            gaps: vec![Duration::from_secs(30), Duration::from_secs(120)],
            timeout: Duration::from_secs(10),
            disable_after: 10,
            activity_batch: Duration::from_secs(60),
        }
    }
}

/// The rules for portal passwords. Undocumented: every sample in the documentation follows the default.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordPolicy {
    /// Fewest characters.
    pub min_length: usize,
    /// Whether an upper-case letter, a lower-case letter, a digit and a symbol must all occur.
    pub all_classes: bool,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { min_length: 8, all_classes: true }
    }
}

impl PasswordPolicy {
    pub(crate) fn accepts(&self, password: &str) -> bool {
        let has = |class: fn(char) -> bool| password.chars().any(class);
        password.chars().count() >= self.min_length
            && (!self.all_classes
                || (has(char::is_uppercase)
                    && has(char::is_lowercase)
                    && has(char::is_numeric)
                    && has(|c| !c.is_alphanumeric())))
    }
}

/// The cost of one Argon2id hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PasswordHashing {
    /// The recommended parameters of the `argon2` crate.
    #[default]
    Standard,
    /// The lowest cost that the algorithm allows.
    Cheap,
}

/// One switch per point that LeadSquared's documentation leaves open; each default is the careful assumption.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Registering a portal user again without `RegisterOnlyNewLead` replaces the password.
    pub register_replaces_password: bool,
    /// A registration for new leads only matches a lead by any of its identifiers, not only by the first.
    pub register_matches_any_identifier: bool,
    /// A person is a user of each portal separately, with a password for each. Calls of the first version name no
    /// portal and go to the account's first.
    pub users_per_portal: bool,
    /// A lead-level auto-login key is issued for portal users only.
    pub auto_login_needs_portal_user: bool,
    /// Get Public Auth Key and Get Portal Registration Token return a new value each time; old ones stay valid.
    pub keys_change_per_call: bool,
    /// The portal API also accepts access and secret key as headers, as the core API does.
    pub portal_takes_key_headers: bool,
    /// Phone numbers are stored as `+<country>-<national>`. Off: they are stored and compared as sent, which leads to
    /// duplicates.
    pub normalise_phones: bool,
    /// How lead by phone compares numbers.
    pub phone_lookup: PhoneLookup,
    /// Lead.Capture reports a duplicate under 200 instead of 500. Both were observed.
    pub capture_duplicate_under_ok: bool,
    /// A reset or change that is refused answers 200 with `IsSuccessful: false` instead of an envelope.
    pub refused_change_under_ok: bool,
    /// Registering at the portal raises lead webhooks.
    pub register_raises_webhooks: bool,
    /// Markup in a lead's value is refused.
    pub refuse_markup: bool,
    /// `@{Lead:Field,fallback}` is filled in inside mails sent through the API.
    pub expand_merge_fields: bool,
    /// An automation's request names the event (`eventType`).
    pub automation_names_event: bool,
    /// An automation sends its object in a list.
    pub automation_sends_list: bool,
    /// An automation for an activity sends a second request without `ActivityEventName`.
    pub automation_follows_up: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            register_replaces_password: true,
            register_matches_any_identifier: false,
            users_per_portal: true,
            auto_login_needs_portal_user: true,
            keys_change_per_call: false,
            portal_takes_key_headers: false,
            normalise_phones: false,
            phone_lookup: PhoneLookup::default(),
            capture_duplicate_under_ok: false,
            refused_change_under_ok: false,
            register_raises_webhooks: true,
            refuse_markup: false,
            expand_merge_fields: false,
            automation_names_event: false,
            automation_sends_list: false,
            automation_follows_up: false,
        }
    }
}

/// How lead by phone compares numbers. Its page (<https://apidocs.leadsquared.com/get-lead-by-phone/>) and the reports
/// of integrators contradict each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhoneLookup {
    /// By their digits, with or without the country code; other characters are ignored.
    #[default]
    AnyForm,
    /// By their digits, with or without the country code. A search with other characters finds nothing, as documented.
    DigitsOnly,
    /// As the stored text, hyphen included, as observed in one account.
    StoredText,
}

/// Wordings that no public page records. A test can change them to try a client against others.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Texts {
    /// `ExceptionType` of every 401.
    pub unauthorized_type: String,
    /// `ExceptionType` of the portal's own refusals.
    pub portal_type: String,
    /// Wrong access or secret key, or an inactive user.
    pub bad_keys: String,
    /// Another region's host; `{host}` is the right one.
    pub wrong_host: String,
    /// Portal calls with the keys of a user who is not an administrator.
    pub not_an_administrator: String,
    /// Missing, unknown or expired public key, private key, registration token or tenant key.
    pub stale_credential: String,
    /// `x-lsq-portalid` is not a portal of the account.
    pub unknown_portal: String,
    /// Register with `RegisterOnlyNewLead` and a lead that exists.
    pub already_exists: String,
    /// A value of a unique field that another lead has. `{field}` is the field's display name, `{schema}` its schema
    /// name and `{value}` the value. `Duplicate entry '{value}' for key 'UQ_Prospect_Base_{schema}'` was also observed.
    pub duplicate: String,
    /// Password and confirmation differ.
    pub passwords_differ: String,
    /// The password does not meet the policy.
    pub weak_password: String,
    /// Sign-in of a lead that is unknown or has no portal password.
    pub no_account: String,
    /// A code or a reset link for a person who is not a portal user.
    pub no_such_user: String,
    /// Sign-in or change with a wrong password.
    pub wrong_password: String,
    /// Unknown, expired or used up one-time code.
    pub wrong_code: String,
    /// Unknown or expired temporary password.
    pub wrong_temporary_password: String,
    /// A lead-level key for a lead that is not a portal user.
    pub not_a_portal_user: String,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            unauthorized_type: "MXUnAuthorizedAccessException".to_owned(),
            portal_type: "MXException".to_owned(),
            bad_keys: "Invalid User Details!".to_owned(),
            wrong_host: "Invalid API host. Please use the host of your region: {host}".to_owned(),
            not_an_administrator: "Only administrators can access the portal APIs.".to_owned(),
            stale_credential: "Invalid or expired auth key.".to_owned(),
            unknown_portal: "Portal does not exist.".to_owned(),
            already_exists: "User already exists.".to_owned(),
            duplicate: "A Lead with same {field} already exists.".to_owned(),
            passwords_differ: "Password and confirm password do not match.".to_owned(),
            weak_password: "Password does not meet the password policy.".to_owned(),
            no_account: "Account does not exist.".to_owned(),
            no_such_user: "Lead does not exist in the system".to_owned(),
            wrong_password: "Invalid username or password.".to_owned(),
            wrong_code: "Invalid or expired OTP.".to_owned(),
            wrong_temporary_password: "Invalid or expired temporary password.".to_owned(),
            not_a_portal_user: "Lead is not a portal user.".to_owned(),
        }
    }
}

/// A length of time as a number of seconds, up to a hundred years: it can be added to any time of the clock.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    const MOST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        if time.subsec_nanos() == 0 {
            time.as_secs().serialize(serializer)
        } else {
            time.as_secs_f64().serialize(serializer)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let time = Duration::try_from_secs_f64(f64::deserialize(deserializer)?);
        let time = time.ok().filter(|time| *time <= MOST);
        time.ok_or_else(|| D::Error::custom("a time must be seconds from 0 to a hundred years"))
    }
}

mod lists_of_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Seconds(#[serde(with = "super::seconds")] Duration);

    pub(super) fn serialize<S: Serializer>(times: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(times.iter().copied().map(Seconds))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
        let times = Vec::<Seconds>::deserialize(deserializer)?;
        Ok(times.into_iter().map(|Seconds(time)| time).collect())
    }
}

/// A method and a path.
mod address {
    use http::Method;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Address {
        method: String,
        path: String,
    }

    pub(super) fn serialize<S: Serializer>(
        (method, path): &(Method, String),
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Address { method: method.to_string(), path: path.clone() }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(Method, String), D::Error> {
        let Address { method, path } = Address::deserialize(deserializer)?;
        let method = method.parse().map_err(|_| D::Error::custom("method must be one of HTTP, such as GET"))?;
        if path.starts_with('/') { Ok((method, path)) } else { Err(D::Error::custom("path must begin with /")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_from_a_file_that_may_hold_only_a_few() {
        let written = serde_json::to_value(Settings::default()).unwrap();
        let read: Settings = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), written);
        let some = r#"{"limit": {"calls": 10, "window": 2.5}, "webhooks": {"gaps": [1, 0.5]},
            "switches": {"normalise_phones": true}, "tenant_auth_key": {"method": "POST", "path": "/api/Key"}}"#;
        let some: Settings = serde_json::from_str(some).unwrap();
        assert_eq!((some.limit.calls, some.limit.window), (10, Duration::from_millis(2500)));
        assert_eq!(some.webhooks.gaps, [Duration::from_secs(1), Duration::from_millis(500)]);
        assert_eq!(some.tenant_auth_key, (Method::POST, "/api/Key".to_owned()));
        assert!(some.switches.normalise_phones && some.switches.register_raises_webhooks);
    }

    #[test]
    fn a_settings_file_with_a_misspelt_name_or_an_impossible_value_is_refused() {
        for (file, reason) in [
            (r#"{"switches": {"normalize_phones": true}}"#, "unknown field `normalize_phones`"),
            (r#"{"limits": {}}"#, "unknown field `limits`"),
            (r#"{"limit": {"window": -1}}"#, "a time must be seconds from 0"),
            (r#"{"lifetimes": {"private_key": 1e300}}"#, "a time must be seconds from 0"),
            (r#"{"webhooks": {"gaps": [1e12]}}"#, "a time must be seconds from 0"),
            (r#"{"tenant_auth_key": {"method": "GE T", "path": "/"}}"#, "method must be one of HTTP"),
            (r#"{"tenant_auth_key": {"method": "GET", "path": "api"}}"#, "path must begin with /"),
        ] {
            let refused = serde_json::from_str::<Settings>(file).unwrap_err().to_string();
            assert!(refused.starts_with(reason), "{refused}");
        }
    }
}

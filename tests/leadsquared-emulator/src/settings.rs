//! What an emulator is started with.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;

use crate::clock::Clock;
use crate::limit::Limit;
use crate::tenant::Tenant;

/// Everything that can be chosen about an emulator; the default is one account with two users and one portal.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The port on 127.0.0.1; a free one when absent.
    pub port: Option<u16>,
    /// The account that [`Emulator`](crate::Emulator)'s methods speak of.
    pub tenant: Tenant,
    /// Further accounts on the same host; their short codes must differ.
    pub other_tenants: Vec<Tenant>,
    /// The time that lifetimes, limits and timestamps are measured with.
    pub clock: Clock,
    /// The call limit of each account.
    pub limit: Limit,
    /// How long each credential lives.
    pub lifetimes: Lifetimes,
    /// What portal passwords must look like.
    pub password_policy: PasswordPolicy,
    /// What a portal password costs to check.
    pub password_hashing: PasswordHashing,
    /// Answers to what LeadSquared's documentation leaves open.
    pub switches: Switches,
    /// The wording of refusals that no public page records.
    pub texts: Texts,
    /// The host that a wrong region's refusal names.
    pub right_host: String,
    /// `LSQCommonServiceURLs.api` in the answer to Authenticate a User; the emulator's own `host:port` when absent.
    pub api_host: Option<String>,
    /// Where the call is served whose path every copy of its page lost:
    /// <https://apidocs.leadsquared.com/portal-auto-login-generate-tenant-auth-key/>.
    pub tenant_auth_key: (Method, String),
    /// The rules of webhook delivery.
    pub webhooks: WebhookRules,
    /// Wrong one-time codes that one challenge takes.
    pub code_attempts: u32,
    /// Where forgotten-password mails lead; `{portal}`, `{leadId}` and `{temporaryPassword}` are filled in.
    pub reset_link: String,
    /// A folder that keeps every account's data; in memory when absent.
    pub data: Option<PathBuf>,
    /// Makes ids, keys and codes repeatable; random when absent.
    pub seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: None,
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
    /// The default with the cheapest password hashing, for tests that are not about passwords.
    pub fn for_tests() -> Self {
        Self { password_hashing: PasswordHashing::Cheap, ..Self::default() }
    }
}

/// How long the credentials live. Four hours are documented for sign-in and auto-login keys
/// (<https://apidocs.leadsquared.com/portal-auto-login/>); the last two are assumptions.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// The private key that sign-in returns.
    pub private_key: Duration,
    /// The tenant's auto-login key.
    pub tenant_auth_key: Duration,
    /// A lead's auto-login key, and the session that the hosted page makes of it.
    pub lead_auth_key: Duration,
    /// The temporary password of a reset mail.
    pub temporary_password: Duration,
    /// A one-time sign-in code.
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
#[derive(Clone, Debug)]
pub struct WebhookRules {
    /// Waiting times before the second and each further attempt; their number plus one is that of the attempts.
    /// Three attempts are documented, the times are not.
    pub gaps: Vec<Duration>,
    /// Longest wait for an answer, in real time; undocumented.
    pub timeout: Duration,
    /// Failed deliveries in a row that disable a webhook.
    pub disable_after: u32,
    /// Activities of this long are posted together.
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

/// What a portal password must have. Undocumented; the default is what every sample of the documentation follows.
#[derive(Clone, Copy, Debug)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordHashing {
    /// The recommended parameters of the `argon2` crate.
    #[default]
    Standard,
    /// The least that the algorithm allows.
    Cheap,
}

/// One switch per point that LeadSquared's documentation leaves open; each default is the careful assumption.
#[derive(Clone, Debug)]
pub struct Switches {
    /// Registering a portal user again without `RegisterOnlyNewLead` replaces the password.
    pub register_replaces_password: bool,
    /// A lead-level auto-login key is made for portal users only.
    pub auto_login_needs_portal_user: bool,
    /// Get Public Auth Key and Get Portal Registration Token return a new value each time; old ones stay valid.
    pub keys_change_per_call: bool,
    /// The portal API takes access and secret key as headers too, as the core API does.
    pub portal_takes_key_headers: bool,
    /// Phone numbers are stored as `+<country>-<national>` whatever form they came in. Off, they are stored and
    /// compared as sent, which is how integrators come by duplicates.
    pub normalise_phones: bool,
    /// Lead by phone compares digits with or without the country code; off, it compares the stored text.
    pub phone_lookup_by_digits: bool,
    /// Lead.Capture reports a duplicate under 200 instead of 500; both were seen.
    pub capture_duplicate_under_ok: bool,
    /// A reset or change that is refused answers 200 with `IsSuccessful: false` instead of an envelope.
    pub refused_change_under_ok: bool,
    /// Registering at the portal raises lead webhooks.
    pub register_raises_webhooks: bool,
    /// Markup in a lead's value is refused.
    pub refuse_markup: bool,
    /// `@{Lead:Field,fallback}` is filled in inside mails sent through the API.
    pub expand_merge_fields: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            register_replaces_password: true,
            auto_login_needs_portal_user: true,
            keys_change_per_call: false,
            portal_takes_key_headers: false,
            normalise_phones: false,
            phone_lookup_by_digits: true,
            capture_duplicate_under_ok: false,
            refused_change_under_ok: false,
            register_raises_webhooks: true,
            refuse_markup: false,
            expand_merge_fields: false,
        }
    }
}

/// Wordings that no public page records, so that a client can be tried against others.
#[derive(Clone, Debug)]
pub struct Texts {
    /// `ExceptionType` of every 401.
    pub unauthorized_type: String,
    /// `ExceptionType` of the portal's own refusals.
    pub portal_type: String,
    /// Wrong access or secret key, or an inactive user.
    pub bad_keys: String,
    /// Another region's host; `{host}` is the right one.
    pub wrong_host: String,
    /// Portal calls with the keys of a user who is no administrator.
    pub not_an_administrator: String,
    /// Missing, unknown or expired public key, private key, registration token or tenant key.
    pub stale_credential: String,
    /// `x-lsq-portalid` is not a portal of the account.
    pub unknown_portal: String,
    /// Register with `RegisterOnlyNewLead` and a lead that exists.
    pub already_exists: String,
    /// Password and confirmation differ.
    pub passwords_differ: String,
    /// The password is against the policy.
    pub weak_password: String,
    /// Sign-in of a lead that is unknown or has no portal password.
    pub no_account: String,
    /// A code or a reset link for somebody who is no portal user.
    pub no_such_user: String,
    /// Sign-in or change with a wrong password.
    pub wrong_password: String,
    /// Unknown, expired or used up one-time code.
    pub wrong_code: String,
    /// Unknown or expired temporary password.
    pub wrong_temporary_password: String,
    /// A lead-level key for a lead that is no portal user.
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

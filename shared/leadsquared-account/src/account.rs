//! The client for the LeadSquared account, with the current keys from Secrets Manager.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws::SdkConfig;
use call_allowance::{Allowance, SharedSchedule, WithFallback};
use leadsquared::{CallReport, Client, Error, InvalidOptions, Keys, Lane, Options, Timeouts};
use ledger::Ledger;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use settings::{Secret, SecretError};
use telemetry::Metric;
use tokio::sync::Mutex;

use crate::AccountSettings;

/// Time-outs of calls while an applicant waits. The total includes the wait for the call allowance. The function's own
/// deadline for its answer can end a call earlier.
pub const INTERACTIVE_TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(1), attempt: Duration::from_secs(4), total: Duration::from_secs(15) };

/// Time-outs of calls for which no applicant waits. One slow call must not use up the time of a whole batch. The total
/// includes the wait for the call allowance.
pub const BACKGROUND_TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(2), attempt: Duration::from_secs(8), total: Duration::from_secs(12) };

/// The LeadSquared account: hands out a client with the current keys from Secrets Manager.
pub struct Account {
    keys: Secret<StoredKeys>,
    /// The last client and its keys. The client caches credentials that are derived from the keys, so it is replaced
    /// only when the keys change.
    client: Mutex<(Option<Arc<StoredKeys>>, Client)>,
}

/// A client and its keys, as they were read from the secret. If LeadSquared refuses the keys, they are read again.
pub struct Access {
    /// The client.
    pub client: Client,
    keys: Arc<StoredKeys>,
}

/// The keys in Secrets Manager, under the names of LeadSquared's query parameters
/// (<https://apidocs.leadsquared.com/get-public-auth-key/>).
#[derive(Deserialize)]
pub struct StoredKeys {
    #[serde(rename = "accessKey")]
    access_key: SecretString,
    #[serde(rename = "secretKey")]
    secret_key: SecretString,
}

/// Why the LeadSquared keys are not available.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The secret could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The secret still has the content with which the deployment created it.
    #[error("the secret {id} still holds placeholders: put the LeadSquared keys into it, as {expected}")]
    Placeholders {
        /// The secret's ARN or name.
        id: String,
        /// What the secret must contain.
        expected: &'static str,
    },
}

impl AccountError {
    /// Whether the keys may be available later without a change by an operator.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_transient(),
            Self::Placeholders { .. } => false,
        }
    }
}

impl Account {
    /// What the secret must contain, for error messages.
    pub const KEYS: &str = r#"a JSON object {"accessKey": "…", "secretKey": "…"}"#;

    /// The account with these settings, with keys from Secrets Manager and the call allowance in the ledger's table.
    /// Its calls use `lane` and `timeouts`, and each is recorded as a metric. This reads and sends nothing yet.
    ///
    /// # Errors
    /// When the settings are invalid.
    pub fn open(
        aws: &SdkConfig,
        settings: &AccountSettings,
        lane: Lane,
        timeouts: Timeouts,
    ) -> Result<Self, InvalidOptions> {
        let ledger = Ledger::new(aws_sdk_dynamodb::Client::new(aws), settings.ledger_table.clone());
        let schedule = SharedSchedule::new(ledger, settings.allowance);
        let mut options = settings.leadsquared.clone();
        options.admission = match lane {
            Lane::Interactive => Arc::new(Allowance::new(WithFallback::new(schedule))),
            Lane::Background => Arc::new(Allowance::new(schedule)),
        };
        options.timeouts = timeouts;
        options.observer = Arc::new(|report: &CallReport| {
            let CallReport { endpoint, result, waited, .. } = *report;
            Metric::UpstreamCall { call: endpoint.name(), result, waited }.record();
        });
        let keys = Secret::new(aws_sdk_secretsmanager::Client::new(aws), settings.keys_secret.clone(), Self::KEYS);
        Self::new(options, lane, keys)
    }

    /// The account with these options and the keys in this secret. This reads and sends nothing yet.
    ///
    /// # Errors
    /// When the options are invalid.
    pub fn new(options: Options, lane: Lane, keys: Secret<StoredKeys>) -> Result<Self, InvalidOptions> {
        // Building a client sets up TLS, which is slow and belongs into the start of the process. The keys are read at
        // the first event.
        let empty = || SecretString::from(String::new());
        let client = Client::new(options, Keys { access_key: empty(), secret_key: empty() })?;
        Ok(Self { keys, client: Mutex::new((None, client.in_lane(lane))) })
    }

    /// The secret's ARN or name.
    pub fn keys_secret(&self) -> &str {
        self.keys.id()
    }

    /// Reads the keys before they are needed. A failure shows when they are.
    pub async fn prepare(&self, now: Instant) {
        // The next call of `access` tries again.
        let _ = self.access(now).await;
    }

    /// A client with the current keys.
    ///
    /// # Errors
    /// When the keys are not available.
    pub async fn access(&self, now: Instant) -> Result<Access, AccountError> {
        let mut keys = self.keys.current(now).await?;
        if keys.are_placeholders() {
            // The operator may have stored the keys since the last read.
            keys = self.keys.renewed(&keys, now).await?;
        }
        self.access_with(keys).await
    }

    /// Reads the secret again after LeadSquared refused the keys, which may have been rotated. Returns a client with
    /// the new keys, or none if the keys are the same.
    ///
    /// # Errors
    /// When the keys cannot be read.
    pub async fn access_after_refusal(&self, refused: &Access, now: Instant) -> Result<Option<Access>, AccountError> {
        let keys = self.keys.renewed(&refused.keys, now).await?;
        let access = self.access_with(keys).await?;
        Ok((!access.keys.is_same(&refused.keys)).then_some(access))
    }

    /// Runs `work` with a client. If LeadSquared refuses the keys and the secret has new ones, runs `work` a second
    /// time at once. `cause` extracts LeadSquared's error from an error of `work`. Every call takes its slot from the
    /// call allowance, also those of the second run.
    ///
    /// # Errors
    /// The error of the last run of `work`, or the reason why the keys are not available.
    pub async fn with_client<T, E: From<AccountError>, F: Future<Output = Result<T, E>>>(
        &self,
        now: fn() -> Instant,
        cause: impl Fn(&E) -> Option<&Error>,
        work: impl Fn(Client) -> F,
    ) -> Result<T, E> {
        let access = self.access(now()).await?;
        let refused = match work(access.client.clone()).await {
            Err(error) if matches!(cause(&error), Some(Error::BadKeys)) => error,
            other => return other,
        };
        match self.access_after_refusal(&access, now()).await? {
            Some(access) => work(access.client).await,
            None => Err(refused),
        }
    }

    async fn access_with(&self, keys: Arc<StoredKeys>) -> Result<Access, AccountError> {
        if keys.are_placeholders() {
            return Err(AccountError::Placeholders { id: self.keys.id().to_owned(), expected: Self::KEYS });
        }
        let (client_keys, client) = &mut *self.client.lock().await;
        if client_keys.as_ref().is_none_or(|client_keys| !client_keys.is_same(&keys)) {
            let access_key = keys.access_key.clone();
            *client = client.with_keys(Keys { access_key, secret_key: keys.secret_key.clone() });
            *client_keys = Some(keys.clone());
        }
        Ok(Access { client: client.clone(), keys })
    }
}

impl StoredKeys {
    fn is_same(&self, other: &Self) -> bool {
        self.access_key.expose_secret() == other.access_key.expose_secret()
            && self.secret_key.expose_secret() == other.secret_key.expose_secret()
    }

    /// Whether a key is empty, or the placeholder with which template.yaml creates the secret.
    fn are_placeholders(&self) -> bool {
        [&self.access_key, &self.secret_key].iter().any(|key| matches!(key.expose_secret().trim(), "" | "REPLACE-ME"))
    }
}

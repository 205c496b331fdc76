use std::sync::Arc;
use std::time::Instant;

use aws::SdkConfig;
use call_allowance::{Allowance, SharedLine, WithSpare};
use leadsquared::{Called, Client, Error, InvalidOptions, Keys, Lane, Options, Timeouts};
use ledger::Ledger;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use settings::{Secret, SecretError};
use telemetry::Metric;
use tokio::sync::Mutex;

use crate::Settings;

/// The LeadSquared account: a client that always has the keys Secrets Manager holds.
pub struct Account {
    keys: Secret<StoredKeys>,
    /// The client as it was last needed, and the keys it has: derived credentials live as long as the keys do.
    client: Mutex<(Option<Arc<StoredKeys>>, Client)>,
}

/// A client, and the reading of the secret that its keys are from: what a refusal is about.
pub struct Access {
    /// The client.
    pub client: Client,
    keys: Arc<StoredKeys>,
}

/// The keys as they lie in Secrets Manager, under the names LeadSquared gives them.
#[derive(Deserialize)]
pub struct StoredKeys {
    #[serde(rename = "accessKey")]
    access_key: SecretString,
    #[serde(rename = "secretKey")]
    secret_key: SecretString,
}

/// Why there are no keys to call LeadSquared with.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// They could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The secret is as the deployment created it.
    #[error("the secret {id} still holds placeholders: put the LeadSquared keys into it, as {expected}")]
    Placeholders {
        /// The secret's ARN or name.
        id: String,
        /// What it must hold.
        expected: &'static str,
    },
}

impl AccountError {
    /// Whether there may be keys the next time although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_transient(),
            Self::Placeholders { .. } => false,
        }
    }
}

impl Account {
    /// What the secret must hold, in words.
    pub const KEYS: &str = r#"a JSON object {"accessKey": "…", "secretKey": "…"}"#;

    /// The account with these settings: keys from Secrets Manager, and the call line in the ledger's table. Calls are
    /// made in `lane`, within `timeouts`, and counted. Nothing is read or sent yet.
    ///
    /// # Errors
    /// When the settings are of no use.
    pub fn open(aws: &SdkConfig, settings: &Settings, lane: Lane, timeouts: Timeouts) -> Result<Self, InvalidOptions> {
        let ledger = Ledger::new(aws_sdk_dynamodb::Client::new(aws), settings.ledger_table.clone());
        let line = SharedLine::new(ledger, settings.allowance);
        let mut options = settings.leadsquared.clone();
        options.admission = match lane {
            Lane::Interactive => Arc::new(Allowance::new(WithSpare::new(line))),
            Lane::Background => Arc::new(Allowance::new(line)),
        };
        options.timeouts = timeouts;
        options.observer = Arc::new(|called: &Called| {
            let Called { endpoint, outcome, waited, .. } = *called;
            Metric::Called { call: endpoint.name(), result: outcome, waited }.record();
        });
        let keys = Secret::new(aws_sdk_secretsmanager::Client::new(aws), settings.keys_secret.clone(), Self::KEYS);
        Self::new(options, lane, keys)
    }

    /// The account behind these options and the keys in this secret. Nothing is read or sent yet.
    ///
    /// # Errors
    /// When the options are of no use.
    pub fn new(options: Options, lane: Lane, keys: Secret<StoredKeys>) -> Result<Self, InvalidOptions> {
        // Building a client sets up encryption, which belongs into the start of the process; keys come with the first
        // event.
        let none = || SecretString::from(String::new());
        let client = Client::new(options, Keys { access_key: none(), secret_key: none() })?;
        Ok(Self { keys, client: Mutex::new((None, client.in_lane(lane))) })
    }

    /// The secret's ARN or name.
    pub fn keys_secret(&self) -> &str {
        self.keys.id()
    }

    /// A client with the keys as they are.
    ///
    /// # Errors
    /// When there are none.
    pub async fn access(&self, now: Instant) -> Result<Access, AccountError> {
        let mut keys = self.keys.current(now).await?;
        if keys.are_placeholders() {
            // Somebody may have put the keys in since.
            keys = self.keys.renewed(&keys, now).await?;
        }
        self.access_with(keys).await
    }

    /// After LeadSquared refused the keys: reads the secret again, for they may have been rotated. A client with other
    /// keys, or none when they are the same.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn access_after_refusal(&self, refused: &Access, now: Instant) -> Result<Option<Access>, AccountError> {
        let keys = self.keys.renewed(&refused.keys, now).await?;
        let access = self.access_with(keys).await?;
        Ok((!access.keys.is_same(&refused.keys)).then_some(access))
    }

    /// Does something with a client; once more, at once, if LeadSquared refused the keys and new ones are there.
    /// `cause` tells what LeadSquared had against it. Each call of either time stands in the account's call line.
    ///
    /// # Errors
    /// Those of what is done, of the second time if there is one; and when there are no keys.
    pub async fn ask<T, E: From<AccountError>, F: Future<Output = Result<T, E>>>(
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
        let (has, client) = &mut *self.client.lock().await;
        if has.as_ref().is_none_or(|has| !has.is_same(&keys)) {
            let access_key = keys.access_key.clone();
            *client = client.with_keys(Keys { access_key, secret_key: keys.secret_key.clone() });
            *has = Some(keys.clone());
        }
        Ok(Access { client: client.clone(), keys })
    }
}

impl StoredKeys {
    fn is_same(&self, other: &Self) -> bool {
        self.access_key.expose_secret() == other.access_key.expose_secret()
            && self.secret_key.expose_secret() == other.secret_key.expose_secret()
    }

    /// What template.yaml creates the secret with, or nothing.
    fn are_placeholders(&self) -> bool {
        [&self.access_key, &self.secret_key].iter().any(|key| matches!(key.expose_secret().trim(), "" | "REPLACE-ME"))
    }
}

use std::sync::Arc;
use std::time::Instant;

use leadsquared::{Client, InvalidOptions, Keys, Lane, Options};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use settings::{Secret, SecretError};
use tokio::sync::Mutex;

/// The LeadSquared account: a client that always has the keys Secrets Manager holds.
pub struct Account {
    keys: Secret<StoredKeys>,
    /// The client as it was last needed, and the keys it has: derived credentials live as long as the keys do.
    client: Mutex<(Option<Arc<StoredKeys>>, Client)>,
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

impl Account {
    /// What the secret must hold, in words.
    pub const KEYS: &str = r#"a JSON object {"accessKey": "…", "secretKey": "…"}"#;

    /// The account behind these options and the keys in this secret. Nothing is read or sent yet.
    ///
    /// # Errors
    /// When the options are of no use.
    pub fn new(options: Options, keys: Secret<StoredKeys>) -> Result<Self, InvalidOptions> {
        // Building a client sets up encryption, which belongs into the start of the process; keys come with the first event.
        let none = || SecretString::from(String::new());
        let client = Client::new(options, Keys { access_key: none(), secret_key: none() })?;
        Ok(Self { keys, client: Mutex::new((None, client.in_lane(Lane::Background))) })
    }

    /// The secret's ARN or name.
    pub fn keys_secret(&self) -> &str {
        self.keys.id()
    }

    /// A client with the keys as they are.
    ///
    /// # Errors
    /// When there are none.
    pub async fn client(&self, now: Instant) -> Result<Client, AccountError> {
        let mut keys = self.keys.current(now).await?;
        if keys.are_placeholders() {
            // Somebody may have put the keys in since.
            keys = self.keys.renewed(&keys, now).await?;
        }
        self.client_with(keys).await
    }

    /// After LeadSquared refused the keys of [`client`](Self::client): reads the secret again, for they may have been
    /// rotated. A client with other keys, or none when they are the same.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn client_after_refusal(&self, now: Instant) -> Result<Option<Client>, AccountError> {
        let Some(refused) = self.client.lock().await.0.clone() else { return Ok(None) };
        let keys = self.keys.renewed(&refused, now).await?;
        match keys.is_same(&refused) {
            true => Ok(None),
            false => self.client_with(keys).await.map(Some),
        }
    }

    async fn client_with(&self, keys: Arc<StoredKeys>) -> Result<Client, AccountError> {
        if keys.are_placeholders() {
            return Err(AccountError::Placeholders { id: self.keys.id().to_owned(), expected: Self::KEYS });
        }
        let (has, client) = &mut *self.client.lock().await;
        if has.as_ref().is_none_or(|has| !has.is_same(&keys)) {
            let access_key = keys.access_key.clone();
            *client = client.with_keys(Keys { access_key, secret_key: keys.secret_key.clone() });
        }
        // Also when they are the same: a refusal is about the reading they came from.
        *has = Some(keys);
        Ok(client.clone())
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

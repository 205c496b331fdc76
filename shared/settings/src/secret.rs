//! Reads a JSON secret from AWS Secrets Manager, caches it and notices its rotation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

/// After this time a secret is read again. A rotation is thus noticed even while the old value still works.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The least time between two reads after a refusal. The first refusal leads to a read at once, because the secret may
/// have been rotated. A secret that stays wrong must not cause a call to Secrets Manager for every message.
const MIN_INTERVAL: Duration = Duration::from_secs(30);

/// A JSON secret in AWS Secrets Manager. It is read on first use and then cached in the process.
///
/// Reads are single-flight: a caller that arrives during a read waits for it and shares its result.
pub struct Secret<T> {
    client: Client,
    id: String,
    /// The expected content of the JSON, for the error message.
    expected: &'static str,
    cached: Mutex<Option<Cached<T>>>,
}

struct Cached<T> {
    value: Arc<T>,
    read_at: Instant,
    /// The time of the last read that followed a refusal.
    renewed_at: Option<Instant>,
}

impl<T: DeserializeOwned> Secret<T> {
    /// The secret with this ARN or name. `expected` describes the JSON that it must contain.
    pub fn new(client: Client, id: String, expected: &'static str) -> Self {
        Self { client, id, expected, cached: Mutex::new(None) }
    }

    /// The secret's ARN or name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The cached secret. It is read first if there is no cached value or the value is more than an hour old.
    ///
    /// When reading an old value again fails, the old value stays in use. Keys that still work thus survive an outage
    /// of Secrets Manager.
    ///
    /// # Errors
    /// When there is no cached value and the secret cannot be read.
    pub async fn current(&self, now: Instant) -> Result<Arc<T>, SecretError> {
        let mut cached = self.cached.lock().await;
        match cached.as_mut() {
            None => self.read_into(&mut cached, now).await,
            Some(fresh) if now.saturating_duration_since(fresh.read_at) < MAX_AGE => Ok(fresh.value.clone()),
            Some(old) => {
                old.read_at = now;
                let old = old.value.clone();
                Ok(self.read_into(&mut cached, now).await.unwrap_or(old))
            }
        }
    }

    /// The secret after another system refused the value `refused`.
    ///
    /// It is read again. The cached value is returned instead if another caller has replaced `refused` already, or if
    /// the last such read was less than 30 s ago.
    ///
    /// # Errors
    /// When the secret cannot be read.
    pub async fn renewed(&self, refused: &Arc<T>, now: Instant) -> Result<Arc<T>, SecretError> {
        let mut cached = self.cached.lock().await;
        if let Some(cached) = cached.as_ref() {
            let renewed_meanwhile = !Arc::ptr_eq(&cached.value, refused);
            let just_renewed = cached.renewed_at.is_some_and(|at| now.saturating_duration_since(at) < MIN_INTERVAL);
            if renewed_meanwhile || just_renewed {
                return Ok(cached.value.clone());
            }
        }
        let value = self.read_into(&mut cached, now).await?;
        cached.as_mut().expect("it was just read").renewed_at = Some(now);
        Ok(value)
    }

    async fn read_into(&self, cached: &mut Option<Cached<T>>, now: Instant) -> Result<Arc<T>, SecretError> {
        let value = Arc::new(self.read().await?);
        let renewed_at = cached.as_ref().and_then(|before| before.renewed_at);
        *cached = Some(Cached { value: value.clone(), read_at: now, renewed_at });
        Ok(value)
    }

    async fn read(&self) -> Result<T, SecretError> {
        let id = || self.id.clone();
        let secret = self.client.get_secret_value().secret_id(&self.id).send().await;
        let secret = secret.map_err(|error| SecretError::unreadable(self.id.clone(), &error))?;
        let text = secret.secret_string.map(SecretString::from).ok_or_else(|| SecretError::NotText { id: id() })?;
        serde_json::from_str(text.expose_secret()).map_err(|error| SecretError::Malformed {
            id: id(),
            expected: self.expected,
            line: error.line(),
            column: error.column(),
        })
    }
}

/// Why a secret cannot be used. The text names the secret and shows no part of its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The secret does not exist.
    #[error("there is no secret {id} in Secrets Manager: check the setting that names it")]
    Missing {
        /// The secret's ARN or name.
        id: String,
    },
    /// The function's role has no permission to read the secret.
    #[error("the function has no permission to read the secret {id}: allow its role secretsmanager:GetSecretValue")]
    Denied {
        /// The secret's ARN or name.
        id: String,
    },
    /// Secrets Manager failed or did not answer; a later read may succeed.
    #[error("Secrets Manager did not return the secret {id} ({cause}); the next attempt reads it again")]
    Unavailable {
        /// The secret's ARN or name.
        id: String,
        /// The service's error code, or how the call failed.
        cause: String,
    },
    /// Secrets Manager refuses the read until an operator changes something.
    #[error("Secrets Manager refuses the secret {id} ({cause}): check the secret's state and its encryption key")]
    Refused {
        /// The secret's ARN or name.
        id: String,
        /// The service's error code.
        cause: String,
    },
    /// The secret holds bytes instead of text.
    #[error("the secret {id} is binary: store it as text")]
    NotText {
        /// The secret's ARN or name.
        id: String,
    },
    /// The secret's text is not the expected JSON.
    #[error("the secret {id} is not {expected} (line {line}, column {column}): correct it in Secrets Manager")]
    Malformed {
        /// The secret's ARN or name.
        id: String,
        /// The expected content of the JSON.
        expected: &'static str,
        /// The line of the first mistake.
        line: usize,
        /// The column of the first mistake.
        column: usize,
    },
}

impl SecretError {
    fn unreadable(id: String, error: &SdkError<GetSecretValueError>) -> Self {
        match error.code() {
            Some("ResourceNotFoundException") => Self::Missing { id },
            Some("AccessDeniedException") => Self::Denied { id },
            _ if aws::is_transient(error) => Self::Unavailable { id, cause: aws::cause(error) },
            _ => Self::Refused { id, cause: aws::cause(error) },
        }
    }

    /// Whether a later read may succeed without a change by an operator.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Missing { .. }
            | Self::Denied { .. }
            | Self::Refused { .. }
            | Self::NotText { .. }
            | Self::Malformed { .. } => false,
        }
    }
}

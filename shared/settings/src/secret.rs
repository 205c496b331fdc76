use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

/// How long a secret is used before it is read again, so that a rotation is noticed even when the old keys still work.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The least time between two reads that a refused secret asks for: the first comes at once, since that is what a
/// rotation looks like, but a secret that is simply wrong must not turn every record into a call to Secrets Manager.
const MIN_INTERVAL: Duration = Duration::from_secs(30);

/// A JSON secret in AWS Secrets Manager, read on first use and kept for the life of the process.
///
/// Reads are single-flight: callers that come while one is under way wait for it and share its result.
pub struct Secret<T> {
    client: Client,
    id: String,
    /// What the JSON must look like, for the error message.
    expected: &'static str,
    cached: Mutex<Option<Cached<T>>>,
}

struct Cached<T> {
    value: Arc<T>,
    read_at: Instant,
    /// When it was last read because somebody refused it.
    renewed_at: Option<Instant>,
}

impl<T: DeserializeOwned> Secret<T> {
    /// The secret with this ARN or name. `expected` says in words what its JSON must hold.
    pub fn new(client: Client, id: String, expected: &'static str) -> Self {
        Self { client, id, expected, cached: Mutex::new(None) }
    }

    /// The secret's ARN or name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret, read now if it never was or was read more than an hour ago.
    ///
    /// When a re-read for age fails, the value at hand goes on serving: a Secrets Manager outage stops nobody whose
    /// keys still work.
    ///
    /// # Errors
    /// When there is no value at hand and none can be read.
    pub async fn current(&self, now: Instant) -> Result<Arc<T>, SecretError> {
        let mut cached = self.cached.lock().await;
        match cached.as_mut() {
            None => self.read_into(&mut cached, now).await,
            Some(at_hand) if now.saturating_duration_since(at_hand.read_at) < MAX_AGE => Ok(at_hand.value.clone()),
            Some(at_hand) => {
                at_hand.read_at = now;
                let at_hand = at_hand.value.clone();
                Ok(self.read_into(&mut cached, now).await.unwrap_or(at_hand))
            }
        }
    }

    /// The secret after somebody refused `refused`: read again, unless another caller already did or the last refusal
    /// is under 30 s ago; then what is at hand.
    ///
    /// # Errors
    /// When it is read and cannot be.
    pub async fn renewed(&self, refused: &Arc<T>, now: Instant) -> Result<Arc<T>, SecretError> {
        let mut cached = self.cached.lock().await;
        if let Some(at_hand) = cached.as_ref() {
            let renewed_meanwhile = !Arc::ptr_eq(&at_hand.value, refused);
            let just_renewed = at_hand.renewed_at.is_some_and(|at| now.saturating_duration_since(at) < MIN_INTERVAL);
            if renewed_meanwhile || just_renewed {
                return Ok(at_hand.value.clone());
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
        let answer = self.client.get_secret_value().secret_id(&self.id).send().await;
        let answer = answer.map_err(|error| SecretError::unreadable(self.id.clone(), &error))?;
        let text = answer.secret_string.map(SecretString::from).ok_or_else(|| SecretError::NotText { id: id() })?;
        serde_json::from_str(text.expose_secret()).map_err(|error| SecretError::Malformed {
            id: id(),
            expected: self.expected,
            line: error.line(),
            column: error.column(),
        })
    }
}

/// Why a secret cannot be used. Names the secret and never shows a part of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no such secret.
    #[error("there is no secret {id} in Secrets Manager: check the setting that names it")]
    Missing {
        /// ARN or name.
        id: String,
    },
    /// The function's role may not read it.
    #[error("the function may not read the secret {id}: allow its role secretsmanager:GetSecretValue on it")]
    Denied {
        /// ARN or name.
        id: String,
    },
    /// Secrets Manager did not give it this time.
    #[error("Secrets Manager did not return the secret {id} ({cause}); it will be asked again")]
    Unavailable {
        /// ARN or name.
        id: String,
        /// The service's error code, or what happened on the way.
        cause: String,
    },
    /// Secrets Manager will not give it until somebody changes something.
    #[error("Secrets Manager refuses the secret {id} ({cause}): look at its state and its encryption key")]
    Refused {
        /// ARN or name.
        id: String,
        /// The service's error code.
        cause: String,
    },
    /// It holds bytes instead of text.
    #[error("the secret {id} is binary: store it as text")]
    NotText {
        /// ARN or name.
        id: String,
    },
    /// Its text is not what is needed.
    #[error("the secret {id} is not {expected} (line {line}, column {column}): correct it in Secrets Manager")]
    Malformed {
        /// ARN or name.
        id: String,
        /// What would be right.
        expected: &'static str,
        /// Where reading stopped.
        line: usize,
        /// Where reading stopped.
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

    /// Whether it may be there the next time although nobody changes anything.
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

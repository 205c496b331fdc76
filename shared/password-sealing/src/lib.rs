//! Passwords on their way through the queue: sealed by the function that takes them, opened by the one that uses them.
//!
//! What is sealed can be opened only with AWS KMS, by a role that may, and only as part of the invitation it was
//! sealed for: the invitation's id is the encryption context
//! (<https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html>). So a password lies in no queue,
//! dead letter or backup that somebody could read, and moving one to another person's invitation makes it useless.

use aws_sdk_kms::Client;
use aws_sdk_kms::error::ProvideErrorMetadata;
use aws_sdk_kms::primitives::Blob;
use aws_smithy_types::base64;
use leadsquared::Password;
use onboarding::{InvitationId, SealedPassword};

/// The name of the only entry in the encryption context.
const CONTEXT: &str = "invitation";

/// Seals passwords with one KMS key.
#[derive(Clone, Debug)]
pub struct Sealer {
    client: Client,
    key: String,
}

/// Opens sealed passwords. The ciphertext names the KMS key that sealed it.
#[derive(Clone, Debug)]
pub struct Opener {
    client: Client,
}

/// A password could not be sealed. The caller must not pass it on.
#[derive(Debug, thiserror::Error)]
#[error("KMS did not seal the password ({cause}); if this lasts, check the key and the function's role")]
pub struct SealError {
    cause: String,
}

/// Why a sealed password could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was damaged, or it was sealed for another invitation. It can never be opened.
    #[error("the sealed password was damaged, or it belongs to another invitation")]
    Unusable,
    /// KMS failed or did not answer; a later attempt may succeed.
    #[error("KMS did not open the sealed password ({cause}); if this lasts, check the key and the function's role")]
    Unavailable {
        /// The service's error code, or how the call failed.
        cause: String,
    },
    /// KMS refuses to open it until an operator changes something.
    #[error("KMS refuses to open the sealed password ({cause}): check the key's state and the function's role")]
    Refused {
        /// The service's error code.
        cause: String,
    },
}

impl OpenError {
    /// Whether a later attempt may succeed without a change by an operator.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Unusable | Self::Refused { .. } => false,
        }
    }
}

/// The longest ciphertext that KMS accepts, in bytes
/// (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html>).
const LONGEST_CIPHERTEXT: usize = 6144;

impl Sealer {
    /// Seals with the KMS key of this id or ARN.
    pub fn new(client: Client, key: String) -> Self {
        Self { client, key }
    }

    /// Seals a password as part of an invitation.
    ///
    /// # Errors
    /// When KMS fails, refuses or does not answer in time. It refuses a password of more than 4,096 bytes
    /// (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html>).
    pub async fn seal(&self, invitation: InvitationId, password: &Password) -> Result<SealedPassword, SealError> {
        let encrypt = self
            .client
            .encrypt()
            .key_id(&self.key)
            .encryption_context(CONTEXT, invitation.to_string())
            .plaintext(Blob::new(password.expose()));
        let encrypted = encrypt.send().await.map_err(|error| SealError { cause: aws::cause(&error) })?;
        let sealed = encrypted.ciphertext_blob.ok_or_else(|| SealError { cause: "no ciphertext".to_owned() })?;
        Ok(SealedPassword::from(base64::encode(sealed)))
    }
}

impl Opener {
    /// Opens with the permissions of this client's role.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Opens the password that was sealed as part of this invitation.
    ///
    /// # Errors
    /// When the password was damaged or sealed for another invitation, or KMS fails or refuses.
    pub async fn open(&self, invitation: InvitationId, sealed: &SealedPassword) -> Result<Password, OpenError> {
        let ciphertext = base64::decode(sealed.expose()).map_err(|_| OpenError::Unusable)?;
        if ciphertext.is_empty() || ciphertext.len() > LONGEST_CIPHERTEXT {
            return Err(OpenError::Unusable);
        }
        let decrypt = self
            .client
            .decrypt()
            .encryption_context(CONTEXT, invitation.to_string())
            .ciphertext_blob(Blob::new(ciphertext));
        let decrypted = decrypt.send().await.map_err(|error| match error.code() {
            Some("InvalidCiphertextException" | "IncorrectKeyException") => OpenError::Unusable,
            _ if aws::is_transient(&error) => OpenError::Unavailable { cause: aws::cause(&error) },
            _ => OpenError::Refused { cause: aws::cause(&error) },
        })?;
        let text = decrypted.plaintext.and_then(|plaintext| String::from_utf8(plaintext.into_inner()).ok());
        text.map(Password::from).ok_or(OpenError::Unusable)
    }
}

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

/// The name of the encryption context's one entry.
const CONTEXT: &str = "invitation";

/// Seals with one KMS key.
#[derive(Clone, Debug)]
pub struct Sealer {
    client: Client,
    key: String,
}

/// Opens what was sealed, with whichever key it was.
#[derive(Clone, Debug)]
pub struct Opener {
    client: Client,
}

/// A password could not be sealed: nothing that contains it may go on.
#[derive(Debug, thiserror::Error)]
#[error("KMS did not seal the password ({cause}); if this lasts, check the key and the function's role")]
pub struct SealError {
    cause: String,
}

/// Why a sealed password cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was damaged, or sealed for another invitation: it will never open.
    #[error("the sealed password was damaged, or it belongs to another invitation")]
    Unusable,
    /// KMS did not open it this time.
    #[error("KMS did not open the sealed password ({cause}); if this lasts, check the key and the function's role")]
    Unavailable {
        /// The service's error code, or what happened on the way.
        cause: String,
    },
    /// KMS will not open it until somebody changes something.
    #[error("KMS refuses to open the sealed password ({cause}): check the key's state and the function's role")]
    Refused {
        /// The service's error code.
        cause: String,
    },
}

impl OpenError {
    /// Whether it may open the next time although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Unusable | Self::Refused { .. } => false,
        }
    }
}

/// The longest ciphertext that KMS takes, in bytes
/// (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html>).
const LONGEST_CIPHERTEXT: usize = 6144;

impl Sealer {
    /// With the key of this id or ARN.
    pub fn new(client: Client, key: String) -> Self {
        Self { client, key }
    }

    /// Seals a password as part of an invitation.
    ///
    /// # Errors
    /// When KMS does not do it, or not in time. A password of more than 4096 bytes is among what it refuses.
    pub async fn seal(&self, invitation: InvitationId, password: &Password) -> Result<SealedPassword, SealError> {
        let encrypt = self
            .client
            .encrypt()
            .key_id(&self.key)
            .encryption_context(CONTEXT, invitation.to_string())
            .plaintext(Blob::new(password.expose()));
        let answer = encrypt.send().await.map_err(|error| SealError { cause: aws::cause(&error) })?;
        let sealed = answer.ciphertext_blob.ok_or_else(|| SealError { cause: "no ciphertext".to_owned() })?;
        Ok(SealedPassword::from(base64::encode(sealed)))
    }
}

impl Opener {
    /// With the permissions of this client's role.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Opens the password that was sealed as part of this invitation.
    ///
    /// # Errors
    /// When it is not that, or KMS does not do it.
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
        let answer = decrypt.send().await.map_err(|error| match error.code() {
            Some("InvalidCiphertextException" | "IncorrectKeyException") => OpenError::Unusable,
            _ if aws::is_transient(&error) => OpenError::Unavailable { cause: aws::cause(&error) },
            _ => OpenError::Refused { cause: aws::cause(&error) },
        })?;
        let text = answer.plaintext.and_then(|plaintext| String::from_utf8(plaintext.into_inner()).ok());
        text.map(Password::from).ok_or(OpenError::Unusable)
    }
}

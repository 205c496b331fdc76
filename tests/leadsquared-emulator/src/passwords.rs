//! Portal passwords: hashed with Argon2id and checked on threads for blocking work.

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};

use crate::failure::Failure;
use crate::settings::PasswordHashing;

/// Hashes a password.
pub(crate) async fn hash(cost: PasswordHashing, salt: [u8; 16], password: String) -> Result<String, Failure> {
    let hash = tokio::task::spawn_blocking(move || {
        let argon2 = Argon2::from(match cost {
            PasswordHashing::Standard => Params::default(),
            PasswordHashing::Cheap => {
                Params::new(Params::MIN_M_COST, Params::MIN_T_COST, Params::MIN_P_COST, None).unwrap_or_default()
            }
        });
        argon2.hash_password_with_salt(password.as_bytes(), &salt).map(|hash| hash.to_string())
    });
    hash.await.ok().and_then(Result::ok).ok_or_else(Failure::internal)
}

/// Whether a password matches a hash.
pub(crate) async fn matches(hash: String, password: String) -> bool {
    let check = tokio::task::spawn_blocking(move || {
        Argon2::default().verify_password(password.as_bytes(), hash.as_str()).is_ok()
    });
    check.await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches_at_either_cost() {
        for cost in [PasswordHashing::Cheap, PasswordHashing::Standard] {
            let hashed = hash(cost, [7; 16], "Example@Pass1".to_owned()).await.unwrap();
            assert!(hashed.starts_with("$argon2id$") && !hashed.contains("Example"));
            assert!(matches(hashed.clone(), "Example@Pass1".to_owned()).await);
            assert!(!matches(hashed, "Example@Pass2".to_owned()).await);
        }
    }
}

//! What is counted together.

use std::fmt;

use sha2::{Digest, Sha256};

/// What is counted together, such as the sign-ins of one person from one address.
///
/// Kept as a hash: neither the table nor a log has the person or the address in it. `Debug` shows the kind only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ThrottleKey {
    kind: &'static str,
    hash: String,
}

impl ThrottleKey {
    /// The key of these parts among those of one kind, such as `"sign-in by identity"`. Keys of different kinds have
    /// nothing to do with each other. Parts that mean the same have to come in one spelling.
    pub fn new<'a>(kind: &'static str, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(kind.as_bytes()).chain(parts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self { kind, hash: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// What it is a key of.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// What is stored of it: a SHA-256 in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

impl fmt::Debug for ThrottleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThrottleKey({})", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &'static str, parts: &[&str]) -> ThrottleKey {
        ThrottleKey::new(kind, parts.iter().map(|part| part.as_bytes()))
    }

    #[test]
    fn keys_are_the_same_only_if_kind_and_every_part_are() {
        assert_eq!(key("a", &["b", "c"]), key("a", &["b", "c"]));
        for other in [key("a", &["bc"]), key("a", &["b", "c", ""]), key("ab", &["c"]), key("c", &["b", "a"])] {
            assert_ne!(key("a", &["b", "c"]).hash(), other.hash());
        }
    }

    #[test]
    fn a_key_shows_nothing_of_its_parts() {
        let key = key("sign-in by identity", &["canary@example.test"]);
        assert_eq!(format!("{key:?}"), "ThrottleKey(sign-in by identity)");
        assert!(key.hash().len() == 64 && !key.hash().contains("canary"));
    }
}

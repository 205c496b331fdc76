//! The key of a counter.

use std::fmt;

use onboarding::digest;

/// The key of a counter, such as the sign-ins of one person from one address.
///
/// It is stored as a hash, so the person and the address are neither in the table nor in a log. `Debug` shows the kind
/// only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ThrottleKey {
    kind: &'static str,
    hash: [u8; 32],
}

impl ThrottleKey {
    /// The key of these parts among those of one kind, such as `"sign-in by identity"`. Keys of different kinds always
    /// differ. The caller must give each part in one spelling.
    pub fn new<'a>(kind: &'static str, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self { kind, hash: digest(std::iter::once(kind.as_bytes()).chain(parts)) }
    }

    /// The kind of the counter.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The stored form: a SHA-256 in hexadecimal.
    pub fn hash(&self) -> String {
        hex::encode(self.hash)
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

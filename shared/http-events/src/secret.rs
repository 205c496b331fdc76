//! Checks the secret that a sender puts into a header to prove its identity.

use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 hashes of the accepted secrets. An empty list accepts no secret.
///
/// A secret is 256 random bits. It cannot be computed from its hash, so the function's environment can hold the hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretHashes(Vec<[u8; 32]>);

/// The text is not a list of SHA-256 hashes. Holds the position of the first wrong entry, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {0} is not a SHA-256 hash of 64 hexadecimal digits, as sha256sum prints it")]
pub struct InvalidHashes(usize);

impl SecretHashes {
    /// The expected text, for the message about a wrong setting.
    pub const EXPECTED: &str = "a list of SHA-256 hashes in hexadecimal";

    /// Whether the secret is accepted. The empty secret never is, even if an operator hashed an empty file. Every
    /// refusal takes the same time, so a sender cannot find out how much of a guess is right.
    pub fn accept(&self, secret: &[u8]) -> bool {
        let hash = Sha256::digest(secret);
        let accepted = self.0.iter().map(|accepted| accepted.as_slice().ct_eq(hash.as_slice()));
        !secret.is_empty() & bool::from(accepted.fold(Choice::from(0), |any, one| any | one))
    }

    /// Whether the list is empty, so that no secret is accepted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for SecretHashes {
    type Err = InvalidHashes;

    /// Reads hashes in hexadecimal, separated by commas or white space.
    ///
    /// # Errors
    /// When an entry is not 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, InvalidHashes> {
        let entries = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
        let hashes = entries.enumerate().map(|(position, entry)| hash(entry).ok_or(InvalidHashes(position + 1)));
        hashes.collect::<Result<_, _>>().map(Self)
    }
}

fn hash(hexadecimal: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(hexadecimal, &mut hash).ok().map(|()| hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of `abc`: <https://csrc.nist.gov/projects/cryptographic-standards-and-guidelines/example-values>.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn every_listed_secret_is_accepted_and_no_other() {
        let other = ABC.replace('b', "c");
        let hashes: SecretHashes = format!("{other}, {}", ABC.to_uppercase()).parse().unwrap();
        assert!(hashes.accept(b"abc"));
        for secret in ["", "ab", "abcd", ABC] {
            assert!(!hashes.accept(secret.as_bytes()), "{secret}");
        }
    }

    #[test]
    fn an_empty_list_accepts_no_secret() {
        let none: SecretHashes = " ".parse().unwrap();
        assert!(none.is_empty() && !none.accept(b"") && !none.accept(b"abc"));
    }

    #[test]
    fn the_empty_secret_is_refused_even_if_its_hash_is_listed() {
        assert!(!SecretHashes(vec![Sha256::digest(b"").into()]).accept(b""));
    }

    #[test]
    fn the_error_names_a_wrong_entry_by_its_position_alone() {
        for (text, place) in [("abc", 1), (&ABC[..62], 1), (&format!("{ABC},{ABC}0"), 2), (&ABC.replace('a', "g"), 1)] {
            assert_eq!(text.parse::<SecretHashes>(), Err(InvalidHashes(place)), "{text}");
        }
    }
}

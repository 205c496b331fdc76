//! Secrets that a sender puts into a header, as the only proof of who it is.

use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 hashes of the accepted secrets; none accepts nobody.
///
/// A secret is 256 random bits, so its hash tells nothing about it and may stand in the function's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretHashes(Vec<[u8; 32]>);

/// The text is not a list of SHA-256 hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {0} is not the 64 hexadecimal digits that sha256sum prints of a secret")]
pub struct InvalidHashes(usize);

impl SecretHashes {
    /// What their text has to be, in words.
    pub const EXPECTED: &str = "a list of SHA-256 hashes in hexadecimal";

    /// Whether a secret is one of them; none at all never is, should somebody have hashed an empty file. Takes the same time
    /// for every one that is not, however much of it is right.
    pub fn accept(&self, secret: &[u8]) -> bool {
        let hash = Sha256::digest(secret);
        let accepted = self.0.iter().map(|accepted| accepted.as_slice().ct_eq(hash.as_slice()));
        !secret.is_empty() & bool::from(accepted.fold(Choice::from(0), |any, one| any | one))
    }

    /// Whether nobody is accepted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for SecretHashes {
    type Err = InvalidHashes;

    /// Reads hashes in hexadecimal, with commas or white space between them.
    ///
    /// # Errors
    /// When one is not 64 digits.
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
    fn each_of_the_listed_secrets_is_accepted_and_no_other() {
        let other = ABC.replace('b', "c");
        let hashes: SecretHashes = format!("{other}, {}", ABC.to_uppercase()).parse().unwrap();
        assert!(hashes.accept(b"abc"));
        for secret in ["", "ab", "abcd", ABC] {
            assert!(!hashes.accept(secret.as_bytes()), "{secret}");
        }
    }

    #[test]
    fn no_hash_accepts_nobody() {
        let none: SecretHashes = " ".parse().unwrap();
        assert!(none.is_empty() && !none.accept(b"") && !none.accept(b"abc"));
    }

    #[test]
    fn the_hash_of_nothing_lets_nobody_in() {
        assert!(!SecretHashes(vec![Sha256::digest(b"").into()]).accept(b""));
    }

    #[test]
    fn what_is_no_hash_is_named_by_its_place_alone() {
        for (text, place) in [("abc", 1), (&ABC[..62], 1), (&format!("{ABC},{ABC}0"), 2), (&ABC.replace('a', "g"), 1)] {
            assert_eq!(text.parse::<SecretHashes>(), Err(InvalidHashes(place)), "{text}");
        }
    }
}

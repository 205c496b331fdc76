//! The hash behind the keys of people, mailboxes, links and counters.

use sha2::{Digest, Sha256};

/// The SHA-256 of these parts. Each part is hashed after its length, so that no two lists of parts hash the same bytes.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The [`digest`] of these parts in hexadecimal.
pub(crate) fn hex_digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    hex::encode(digest(parts))
}

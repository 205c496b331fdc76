//! The source of ids, keys and codes.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// SHA-256 of a seed and a counter: unguessable with a random seed, repeatable with a given one.
pub(crate) struct Randomness {
    seed: [u8; 32],
    drawn: AtomicU64,
}

impl Randomness {
    pub(crate) fn from_system() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self { seed, drawn: AtomicU64::new(0) })
    }

    /// Repeatable numbers. `starts` differs between runs with the same data folder: no run draws the ids of another.
    pub(crate) fn seeded(seed: u64, starts: &[u64]) -> Self {
        let mut mixed = Sha256::new().chain_update(seed.to_le_bytes());
        starts.iter().for_each(|start| mixed.update(start.to_le_bytes()));
        Self { seed: mixed.finalize().into(), drawn: AtomicU64::new(0) }
    }

    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(32) {
            let counter = self.drawn.fetch_add(1, Ordering::Relaxed);
            let block: [u8; 32] =
                Sha256::new().chain_update(self.seed).chain_update(counter.to_le_bytes()).finalize().into();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        bytes
    }

    /// A number from 0 up to, not including, 1.
    pub(crate) fn unit(&self) -> f64 {
        f64::from(u32::from_le_bytes(self.bytes())) / (f64::from(u32::MAX) + 1.0)
    }

    /// A lower-case GUID.
    pub(crate) fn guid(&self) -> String {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid().to_string()
    }

    /// 64 hexadecimal digits.
    pub(crate) fn hex64(&self) -> String {
        hex::encode(self.bytes::<32>())
    }

    /// A six-digit one-time code.
    pub(crate) fn six_digits(&self) -> String {
        format!("{:06}", u32::from_le_bytes(self.bytes()) % 1_000_000)
    }
}

/// Whether `text` is a GUID as LeadSquared writes one.
pub(crate) fn is_guid(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|id| id.hyphenated().to_string().eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_ids_and_no_id_twice() {
        let draw = |seed, starts: &[u64]| {
            let randomness = Randomness::seeded(seed, starts);
            [randomness.guid(), randomness.guid(), randomness.hex64(), randomness.six_digits()]
        };
        assert_eq!(draw(7, &[1]), draw(7, &[1]));
        assert_ne!(draw(7, &[1]), draw(8, &[1]));
        assert_ne!(draw(7, &[1]), draw(7, &[2]));
        assert_ne!(draw(7, &[1])[0], draw(7, &[1])[1]);
        assert!(is_guid(&draw(7, &[1])[0]));
    }
}

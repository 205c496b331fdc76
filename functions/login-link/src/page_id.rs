use std::fmt;
use std::str::FromStr;

use uuid::{Builder, Uuid};

/// Which showing of a link's page a press of its button comes from: by it, somebody who presses twice is told from a second
/// one with the same link. 122 random bits in a hidden field, made each time the page is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageId(Uuid);

impl PageId {
    /// An id from random bytes.
    pub(crate) fn new(random: [u8; 16]) -> Self {
        Self(Builder::from_random_bytes(random).into_uuid())
    }

    /// What the ledger knows whoever has the page by.
    pub(crate) fn holder(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PageId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

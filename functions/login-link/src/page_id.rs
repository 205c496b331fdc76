//! The id of one display of a link's page.

use std::fmt;
use std::str::FromStr;

use uuid::{Builder, Uuid};

/// The id of one display of a link's page. It distinguishes a reader who presses the button twice from a second reader
/// with the same link. 122 random bits in a hidden field, new at each display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageId(Uuid);

impl PageId {
    /// An id from random bytes.
    pub(crate) fn new(random: [u8; 16]) -> Self {
        Self(Builder::from_random_bytes(random).into_uuid())
    }

    /// The reader of this page, as the ledger stores them.
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

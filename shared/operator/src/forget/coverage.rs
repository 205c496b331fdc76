//! What `forget` does with each type of item in the table.

/// What `forget` does with the items of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Those of the person are erased.
    Erased,
    /// They hold hashes that lead back to no person, and expire soon.
    Expires {
        /// What they are.
        what: &'static str,
        /// After how long, at most.
        after: &'static str,
    },
    /// They hold nothing of a person.
    Impersonal,
}

/// Every type of item, by what its key begins with.
const COVERAGE: [(&str, Coverage); 19] = [
    ("allowance", Coverage::Impersonal),
    ("bookmark", Coverage::Impersonal),
    ("code", Coverage::Expires { what: "one-time codes, sealed", after: "15 minutes" }),
    ("count", Coverage::Impersonal),
    ("held", Coverage::Erased),
    ("invitation", Coverage::Erased),
    ("lead", Coverage::Erased),
    ("link", Coverage::Erased),
    ("mails", Coverage::Impersonal),
    ("mark", Coverage::Expires { what: "hashes of applications", after: "30 days" }),
    ("network", Coverage::Erased),
    ("person", Coverage::Erased),
    ("places", Coverage::Expires { what: "hashes of recent applicants", after: "1 hour" }),
    ("reminder", Coverage::Impersonal),
    ("requests", Coverage::Expires { what: "hashes of networks", after: "2 days" }),
    ("sender", Coverage::Expires { what: "hashes of senders", after: "2 days" }),
    ("session", Coverage::Erased),
    ("texts", Coverage::Impersonal),
    ("throttle", Coverage::Expires { what: "hashes of sign-in attempts", after: "1 day" }),
];

/// What `forget` does with the items of this type; none for a type that it does not know.
pub fn coverage(item_type: &str) -> Option<Coverage> {
    COVERAGE.iter().find(|(name, _)| *name == item_type).map(|(_, coverage)| *coverage)
}

/// What stays in the ledger, with its end: `hashes of networks (2 days)`.
pub(super) fn expiring() -> impl Iterator<Item = String> {
    COVERAGE.iter().filter_map(|(_, coverage)| match coverage {
        Coverage::Expires { what, after } => Some(format!("{what} ({after})")),
        Coverage::Erased | Coverage::Impersonal => None,
    })
}

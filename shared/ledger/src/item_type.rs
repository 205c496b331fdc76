//! Every type of item that the table holds.

use time::Duration;

use BelongsTo::{Account, Person, PersonOnceKnown, Sender};

/// Writes the list once: the types, all of them as an array, and what is the same for every item of a type.
macro_rules! item_types {
    ($($(#[$doc:meta])* $variant:ident: $prefix:literal, $belongs_to:expr;)*) => {
        /// A type of item. The table in the crate's documentation says what each type holds, and for how long.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ItemType {
            $($(#[$doc])* $variant,)*
        }

        impl ItemType {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// What the keys of its items begin with, before the `#`.
            pub const fn prefix(self) -> &'static str {
                match self {
                    $(Self::$variant => $prefix,)*
                }
            }

            /// Whose its items are.
            pub const fn belongs_to(self) -> BelongsTo {
                match self {
                    $(Self::$variant => $belongs_to,)*
                }
            }
        }
    };
}

/// Whose the items of a type are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BelongsTo {
    /// A person or a lead; the attribute `owner` names which.
    Person,
    /// A person or a lead, once it is known which. Until then the item shows nothing of a person.
    PersonOnceKnown {
        /// The longest time that such an item lasts.
        kept: Duration,
    },
    /// A network, a form key or a source of events, of which the key has a hash.
    Sender {
        /// The longest time that such an item lasts.
        kept: Duration,
    },
    /// The LeadSquared account as a whole.
    Account,
}

item_types! {
    /// The schedule of the call allowance.
    Allowance: "allowance", Account;
    /// Attempts at signing in and the like.
    Attempts: "throttle", PersonOnceKnown { kept: Duration::days(1) };
    /// Where an interrupted scan of the table continues.
    Bookmark: "bookmark", Account;
    /// What waits for a code.
    Challenge: "code", PersonOnceKnown { kept: Duration::minutes(15) };
    /// Invitations of a day, by outcome.
    Count: "count", Account;
    /// An application over a cap.
    Held: "held", Person;
    /// What was done of an invitation.
    Invitation: "invitation", Person;
    /// What we did with a lead.
    Lead: "lead", Person;
    /// What a login link points at.
    Link: "link", Person;
    /// Mails of a day.
    Mails: "mails", Account;
    /// An application that was received, so that its repeat is recognised.
    ApplicationMarker: "mark", Person;
    /// A network that a person signed in from.
    Network: "network", Person;
    /// The mails to a person.
    Person: "person", Person;
    /// When applications of a person or a mailbox were admitted.
    Places: "places", Person;
    /// When the operator was reminded of something.
    Reminder: "reminder", Account;
    /// The requests of a network on a day.
    Requests: "requests", Sender { kept: Duration::days(2) };
    /// The look-ups of a day that decide rules.
    RuleLookups: "rule-lookups", Account;
    /// What a network, a form key or a source of events sent on a day.
    Sender: "sender", Sender { kept: Duration::days(2) };
    /// Whose session a key is.
    Session: "session", Person;
    /// Text messages of a day.
    Texts: "texts", Account;
}

impl ItemType {
    /// The key of its item with this name.
    pub(crate) fn key(self, name: &str) -> String {
        format!("{}#{name}", self.prefix())
    }

    /// The name in this key, if the key is of this type.
    pub(crate) fn name_in(self, pk: &str) -> Option<&str> {
        pk.strip_prefix(self.prefix())?.strip_prefix('#')
    }

    /// The type of the item with this key.
    pub fn of_key(pk: &str) -> Option<Self> {
        let (prefix, _) = pk.split_once('#')?;
        Self::ALL.iter().copied().find(|item_type| item_type.prefix() == prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_known_by_its_key_and_has_a_row_in_the_readme() {
        let readme = include_str!("../README.md");
        for item_type in ItemType::ALL {
            assert_eq!(ItemType::of_key(&item_type.key("a#b")), Some(*item_type));
            let row = format!("| `{}#", item_type.prefix());
            assert!(readme.lines().any(|line| line.starts_with(&row)), "README.md has a row starting {row:?}");
        }
        assert_eq!((ItemType::of_key("unknown#a"), ItemType::of_key("lead")), (None, None));
    }
}

//! Ids: the GUIDs of leads, portals, users and activities.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Declares the id of one kind of record, so that a call cannot take the id of another kind.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl FromStr for $name {
            type Err = InvalidId;

            /// Reads the dashed form in either letter case; it is written in lower case, as LeadSquared does.
            ///
            /// # Errors
            /// When the text is not a dashed GUID.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                match Uuid::try_parse(text) {
                    Ok(id) if text.len() == 36 => Ok(Self(id)),
                    _ => Err(InvalidId),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id! {
    /// A lead's id: `ProspectID` in the core API, `LeadId` in the portal API.
    ///
    /// # Examples
    /// ```
    /// use leadsquared::{InvalidId, LeadId};
    ///
    /// let lead: LeadId = "AAAAAAAA-1111-4111-8111-111111111111".parse()?;
    /// assert_eq!(lead.to_string(), "aaaaaaaa-1111-4111-8111-111111111111");
    /// assert_eq!("4711".parse::<LeadId>(), Err(InvalidId));
    /// # Ok::<(), InvalidId>(())
    /// ```
    LeadId
}

id! {
    /// A portal's id, from the address of its page under Workflow > Manage Portals.
    PortalId
}

id! {
    /// A LeadSquared user's id, for example of a lead's owner.
    UserId
}

id! {
    /// An activity's id.
    ActivityId
}

/// The text is not a GUID of the form `11111111-1111-4111-8111-111111111111`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form 11111111-1111-4111-8111-111111111111")]
pub struct InvalidId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_dashed_guid_and_comes_out_in_lower_case() {
        let id: LeadId = "AAAAAAAA-1111-4111-8111-111111111111".parse().unwrap();
        assert_eq!(id.to_string(), "aaaaaaaa-1111-4111-8111-111111111111");
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"aaaaaaaa-1111-4111-8111-111111111111\"");
        for text in ["", "1", "aaaaaaaa111141118111111111111111", "{aaaaaaaa-1111-4111-8111-111111111111}"] {
            assert_eq!(text.parse::<LeadId>(), Err(InvalidId), "{text}");
        }
    }
}

//! What somebody signs in with, and what of it may have to be proven.

use invitation_flow::PASSWORD;
use leadsquared::Identifier;

use crate::Identities;

/// What a sign-in rests on once LeadSquared has accepted it.
pub(crate) struct Claim<'a> {
    /// The field that identifies the lead, by its schema name; none for the e-mail address, which needs no proof of its own.
    pub(crate) identifier: Option<&'a str>,
    /// Whether a password was used.
    password: bool,
    /// Whether the identifier could be proven by a texted code, and was not.
    pub(crate) wants_text: bool,
    /// Who it is, as attempts are counted.
    pub(crate) person: &'a str,
}

impl<'a> Claim<'a> {
    /// A password was right.
    pub(crate) fn by_password(who: &'a Identifier, person: &'a str, identities: &Identities) -> Self {
        let identifier = match who {
            Identifier::Email(_) => None,
            Identifier::Field { schema_name, .. } => Some(schema_name.as_str()),
        };
        let wants_text = identifier.is_some_and(|schema_name| identities.is_phone(schema_name));
        Self { identifier, password: true, wants_text, person }
    }

    /// A code was right that was texted to the number in this field.
    pub(crate) fn by_text(schema_name: &'a str, person: &'a str) -> Self {
        Self { identifier: Some(schema_name), password: false, wants_text: false, person }
    }

    /// Everything it rests on that may be unproven: fields' schema names, and the password.
    pub(crate) fn uses(&self) -> impl Iterator<Item = &'a str> {
        self.identifier.into_iter().chain(self.password.then_some(PASSWORD))
    }
}

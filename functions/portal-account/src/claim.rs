//! What somebody signs in with, and what of it may have to be proven.

use leadsquared::portal::Identifier;
use onboarding::{PASSWORD, proof};

use crate::Identities;

/// What a sign-in rests on once LeadSquared has accepted it.
pub(crate) struct Claim<'a> {
    /// The proof that the field needs by which the lead was identified; none for the e-mail address, which needs none.
    identifier: Option<String>,
    /// Whether a password was used.
    password: bool,
    /// Whether the identifier could be proven by a texted code, and was not.
    wants_text: bool,
    /// Who it is, as attempts are counted.
    pub(crate) person: &'a str,
}

impl<'a> Claim<'a> {
    /// A password was right.
    pub(crate) fn by_password(who: &Identifier, person: &'a str, identities: &Identities) -> Self {
        let (identifier, wants_text) = match who {
            Identifier::Email(_) => (None, false),
            Identifier::Field { schema_name, value } => {
                (Some(proof(schema_name, value)), identities.is_phone(schema_name))
            }
        };
        Self { identifier, password: true, wants_text, person }
    }

    /// A code was right that was texted to this number, which is in this field.
    pub(crate) fn by_text(schema_name: &str, number: &str, person: &'a str) -> Self {
        Self { identifier: Some(proof(schema_name, number)), password: false, wants_text: false, person }
    }

    /// Everything it rests on that may be unproven: the identifier, and the password.
    pub(crate) fn uses(&self) -> impl Iterator<Item = &str> {
        self.identifier.as_deref().into_iter().chain(self.password.then_some(PASSWORD))
    }

    /// Whether one of these is the identifier, and only a texted code proves it.
    pub(crate) fn wants_text_for(&self, unproven: &[String]) -> bool {
        self.wants_text && self.identifier.as_ref().is_some_and(|identifier| unproven.contains(identifier))
    }
}

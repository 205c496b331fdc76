//! The claim of a sign-in: the identifier and the password, and which of them may have to be proven.

use leadsquared::portal::Identifier;
use onboarding::{PASSWORD, proof};

use crate::Identities;

/// The claim of a sign-in that LeadSquared has accepted.
pub(crate) struct SignInClaim<'a> {
    /// The proof that the identifier needs; none for the e-mail address, which needs no proof.
    identifier: Option<String>,
    /// Whether a password was used.
    password: bool,
    /// Whether the identifier is a phone number that this sign-in did not prove by a texted code.
    wants_text: bool,
    /// The person, as attempts are counted.
    pub(crate) person: &'a str,
}

impl<'a> SignInClaim<'a> {
    /// A sign-in with the right password.
    pub(crate) fn by_password(who: &Identifier, person: &'a str, identities: &Identities) -> Self {
        let (identifier, wants_text) = match who {
            Identifier::Email(_) => (None, false),
            Identifier::Field { schema_name, value } => {
                (Some(proof(schema_name, value)), identities.is_phone(schema_name))
            }
        };
        Self { identifier, password: true, wants_text, person }
    }

    /// A sign-in with the right code, texted to this number in this field.
    pub(crate) fn by_text(schema_name: &str, number: &str, person: &'a str) -> Self {
        Self { identifier: Some(proof(schema_name, number)), password: false, wants_text: false, person }
    }

    /// The parts that may be unproven: the identifier, and the password.
    pub(crate) fn uses(&self) -> impl Iterator<Item = &str> {
        self.identifier.as_deref().into_iter().chain(self.password.then_some(PASSWORD))
    }

    /// Whether the identifier is among the unproven parts, and only a texted code proves it.
    pub(crate) fn wants_text_for(&self, unproven: &[String]) -> bool {
        self.wants_text && self.identifier.as_ref().is_some_and(|identifier| unproven.contains(identifier))
    }
}

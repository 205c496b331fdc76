//! Erasing what a deployed stack has of a person.

use std::collections::BTreeMap;
use std::fmt;

use leadsquared::EmailAddress;
use onboarding::PersonKey;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;

use crate::operate::Place;
use crate::steps::Steps;

/// What was erased, and what is left for others to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Forgotten {
    /// How many of the ledger's items, by kind.
    pub erased: BTreeMap<String, u64>,
    /// How many dead letters.
    pub dead_letters: u64,
    /// How many more dead letters there are, whosever, that could not be looked at.
    pub out_of_sight: u64,
    /// How many messages, whosever, were on the queue of invitations or in the worker's hands.
    pub waiting: u64,
    /// The person's leads in LeadSquared, which stay.
    pub leads: Vec<String>,
}

/// Erases what the stack has of the person with this address. Doing it twice has no second effect.
///
/// # Errors
/// When the stack does not answer; what was left then is erased the next time.
pub async fn forget(place: &Place, email: &EmailAddress, steps: &Steps) -> anyhow::Result<Forgotten> {
    let person = PersonKey::of(email);
    // First, because it goes by what the ledger knows of the person's leads, which the rest erases.
    let held = operator::held::forget(&place.stack().await?, &person, OffsetDateTime::now_utc()).await?;
    let request = json!({"email": email.expose(), "person": person.as_str()});
    let mut forgotten: Forgotten = place.ask("forget", request, steps).await?;
    if held > 0 {
        *forgotten.erased.entry("held".to_owned()).or_default() += held;
    }
    Ok(forgotten)
}

impl fmt::Display for Forgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.erased.is_empty() {
            true => writeln!(f, "The ledger has nothing of this person.")?,
            false => {
                let kinds: Vec<_> = self.erased.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
                writeln!(f, "Erased from the ledger: {}.", kinds.join(", "))?;
            }
        }
        writeln!(f, "Erased dead letters: {}.", self.dead_letters)?;
        if self.out_of_sight > 0 {
            writeln!(
                f,
                "{} more dead letters could not be looked at; do this again in a quarter of an hour.",
                self.out_of_sight
            )?;
        }
        if self.waiting > 0 {
            writeln!(
                f,
                "{} messages are on their way, and nobody can see whose; do this again once there are none.",
                self.waiting
            )?;
        }
        for lead in &self.leads {
            writeln!(f, "LeadSquared still has lead {lead}: delete it there.")?;
        }
        if self.leads.is_empty() {
            writeln!(f, "Whether LeadSquared has a lead with this address is not known here: look there.")?;
        }
        writeln!(
            f,
            "Phone numbers that codes were sent to go within a few days by themselves. Backups of the ledger keep all of it for \
             35 days more. Logs and metrics hold nothing of a person."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_and_what_is_left_to_do_is_said() {
        let all = Forgotten {
            erased: BTreeMap::from([("invitation".to_owned(), 2), ("link".to_owned(), 1)]),
            dead_letters: 1,
            out_of_sight: 3,
            waiting: 4,
            leads: vec!["11111111-1111-4111-8111-111111111111".to_owned()],
        };
        let text = all.to_string();
        let lines: Vec<_> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(text.lines().next(), Some("Erased from the ledger: 2 invitation, 1 link."));
        assert_eq!(lines.len(), 6, "{text}");
        let nothing = Forgotten::default().to_string();
        assert!(nothing.starts_with("The ledger has nothing of this person.\nErased dead letters: 0.\n"), "{nothing}");
        assert_eq!(nothing.lines().count(), 4, "{nothing}");
    }
}

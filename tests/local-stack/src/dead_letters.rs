//! The dead letters of a deployed stack, and the events that could not be handed over: what there is, putting it back, and
//! deleting it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::operate::Place;
use crate::steps::Steps;

/// A message that was laid aside. Holds nothing of a person.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeadLetter {
    /// The queue's id of it.
    pub id: String,
    /// `malformed`, `rejected`, `exhausted`, or `undelivered` where no function laid it aside but AWS.
    pub class: String,
    /// What exactly.
    pub cause: String,
    /// The invitation, when the message is one.
    pub receipt: Option<String>,
    /// When it was laid aside, in Unix milliseconds.
    pub laid_aside: i64,
}

/// The dead letters that could be looked at.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Found {
    /// Each of them, in no order.
    pub letters: Vec<DeadLetter>,
    /// How many more there are: behind the tenth of one person, or in somebody else's hands just now.
    pub out_of_sight: u64,
    /// How many stay, where some were chosen to be put back or deleted.
    #[serde(default)]
    pub kept: u64,
    /// How many of them are events that bus-event does not take, by what it says of them.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
}

/// Which dead letters are meant: those that fit all that is given.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Choice {
    /// Of this class.
    pub class: Option<String>,
    /// With this somewhere in the cause, in any case.
    pub cause: Option<String>,
    /// Of this invitation.
    pub receipt: Option<String>,
}

/// Looks at every dead letter; they stay where they are.
///
/// # Errors
/// When the stack does not answer: says what to check.
pub async fn list(place: &Place, steps: &Steps) -> anyhow::Result<Found> {
    place.ask("dead-letters", Choice::default(), steps).await
}

/// Puts the chosen dead letters on the queue of invitations again, and gives events to bus-event. Doing it twice has no
/// second effect.
///
/// # Errors
/// When the stack does not answer; some may have been put back then, and the rest are where they were.
pub async fn put_back(place: &Place, choice: &Choice, steps: &Steps) -> anyhow::Result<Found> {
    place.ask("put-back", choice, steps).await
}

/// Deletes the chosen dead letters for good; without a confirmation it finds them and deletes none.
///
/// # Errors
/// When the stack does not answer; some may have been deleted then, and the rest are where they were.
pub async fn discard(place: &Place, choice: &Choice, confirmed: bool, steps: &Steps) -> anyhow::Result<Found> {
    #[derive(Serialize)]
    struct Request<'a> {
        #[serde(flatten)]
        choice: &'a Choice,
        confirmed: bool,
    }
    place.ask("discard", Request { choice, confirmed }, steps).await
}

/// A table of the dead letters by class and cause, the most frequent first.
pub fn table(found: &Found, now: OffsetDateTime) -> String {
    let mut groups: BTreeMap<(&str, &str), Vec<&DeadLetter>> = BTreeMap::new();
    for letter in &found.letters {
        groups.entry((&letter.class, &letter.cause)).or_default().push(letter);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, letters)| std::cmp::Reverse(letters.len()));
    let mut table = String::new();
    if groups.is_empty() {
        table.push_str("There are no dead letters.\n");
    } else {
        table.push_str(&format!("{:>6}  {:<11}  {:<11}  {:<11}  cause\n", "count", "class", "oldest", "newest"));
    }
    for ((class, cause), mut letters) in groups {
        letters.sort_by_key(|letter| letter.laid_aside);
        let age = |letter: Option<&&DeadLetter>| letter.map_or(String::new(), |letter| age(letter.laid_aside, now));
        let (oldest, newest) = (age(letters.first()), age(letters.last()));
        table.push_str(&format!("{:>6}  {class:<11}  {oldest:<11}  {newest:<11}  {cause}\n", letters.len()));
        for receipt in letters.iter().filter_map(|letter| letter.receipt.as_deref()).take(RECEIPTS_SHOWN) {
            table.push_str(&format!("{:>6}  receipt {receipt}\n", ""));
        }
    }
    table.push_str(&out_of_sight(found));
    table
}

/// How many receipts of a group are worth the space: enough to ask `explain` for one.
const RECEIPTS_SHOWN: usize = 3;

/// What putting back came to.
pub fn account(found: &Found) -> String {
    let mut account = format!("{} put back, {} left among the dead letters.\n", found.letters.len(), found.kept);
    for (why, count) in &found.refused {
        account.push_str(&format!("{count} of them refused by bus-event, {why}: its log says what is wrong.\n"));
    }
    account + &out_of_sight(found)
}

fn out_of_sight(found: &Found) -> String {
    match found.out_of_sight {
        0 => String::new(),
        more => format!(
            "About {more} more could not be looked at: they wait behind others of the same person, or somebody else looks \
             at them just now. Ask again, if need be in a quarter of an hour.\n"
        ),
    }
}

/// How long ago that was, as exact as people need it.
pub(crate) fn age(unix_milliseconds: i64, now: OffsetDateTime) -> String {
    const HOUR: u64 = 3600;
    let milliseconds = now.unix_timestamp_nanos() / 1_000_000 - i128::from(unix_milliseconds);
    let age = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
    match age.as_secs() {
        0..120 => format!("{} s", age.as_secs()),
        in_seconds @ 120..7200 => format!("{} min", in_seconds / 60),
        in_seconds if in_seconds < 48 * HOUR => format!("{} h", in_seconds / HOUR),
        in_seconds => format!("{} days", in_seconds / (24 * HOUR)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-01-02 03:04:05 UTC);

    fn letter(class: &str, cause: &str, receipt: Option<&str>, minutes_ago: i64) -> DeadLetter {
        DeadLetter {
            id: "1".to_owned(),
            class: class.to_owned(),
            cause: cause.to_owned(),
            receipt: receipt.map(str::to_owned),
            laid_aside: (NOW.unix_timestamp() - 60 * minutes_ago) * 1000,
        }
    }

    #[test]
    fn dead_letters_are_grouped_by_cause_with_the_most_frequent_first() {
        let letters = vec![
            letter("malformed", "not an invitation", None, 3),
            letter("rejected", "mail-unknown", Some("a"), 200),
            letter("rejected", "mail-unknown", Some("b"), 5000),
        ];
        let expected = [
            " count  class        oldest       newest       cause",
            "     2  rejected     3 days       3 h          mail-unknown",
            "        receipt b",
            "        receipt a",
            "     1  malformed    3 min        3 min        not an invitation",
        ];
        assert_eq!(table(&Found { letters, ..Found::default() }, NOW).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_could_not_be_looked_at_is_said() {
        let found = Found { out_of_sight: 4, kept: 2, ..Found::default() };
        assert!(table(&found, NOW).starts_with("There are no dead letters.\nAbout 4 more"), "{}", table(&found, NOW));
        assert!(
            account(&found).starts_with("0 put back, 2 left among the dead letters.\nAbout 4"),
            "{}",
            account(&found)
        );
    }

    #[test]
    fn what_bus_event_does_not_take_is_said() {
        let refused = BTreeMap::from([("EventRefused".to_owned(), 2)]);
        let said = account(&Found { kept: 2, refused, ..Found::default() });
        let expected = "0 put back, 2 left among the dead letters.\n2 of them refused by bus-event, EventRefused: its log says what is wrong.\n";
        assert_eq!(said, expected);
    }

    #[test]
    fn ages_are_as_exact_as_people_need_and_never_negative() {
        let at = |seconds_ago| age((NOW.unix_timestamp() - seconds_ago) * 1000, NOW);
        let ages: Vec<_> = [-5, 0, 119, 120, 7199, 7200, 172_799, 172_800].into_iter().map(at).collect();
        assert_eq!(ages, ["0 s", "0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}

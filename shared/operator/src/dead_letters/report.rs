//! Reports on dead letters as text.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

use time::OffsetDateTime;

use super::{DeadLetter, Found};
use crate::format::ago;

/// How many receipts of a group are shown: enough to ask `explain` for one.
const RECEIPTS_SHOWN: usize = 3;

/// A table of the dead letters by class and cause, the most frequent first.
pub fn table(found: &Found, now: OffsetDateTime) -> String {
    let mut groups: BTreeMap<(&str, &str), Vec<&DeadLetter>> = BTreeMap::new();
    for letter in &found.letters {
        groups.entry((&letter.class, &letter.cause)).or_default().push(letter);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, letters)| Reverse(letters.len()));
    let mut table = String::new();
    let _ = match groups.is_empty() {
        true => writeln!(table, "There are no dead letters."),
        false => writeln!(table, "{:>6}  {:<11}  {:<11}  {:<11}  cause", "count", "class", "oldest", "newest"),
    };
    for ((class, cause), mut letters) in groups {
        letters.sort_by_key(|letter| letter.since);
        let age = |letter: Option<&&DeadLetter>| letter.map_or(String::new(), |letter| ago(letter.since, now));
        let (count, oldest, newest) = (letters.len(), age(letters.first()), age(letters.last()));
        let _ = writeln!(table, "{count:>6}  {class:<11}  {oldest:<11}  {newest:<11}  {cause}");
        for receipt in letters.iter().filter_map(|letter| letter.receipt).take(RECEIPTS_SHOWN) {
            let _ = writeln!(table, "{:>6}  receipt {receipt}", "");
        }
    }
    table + &out_of_sight(found)
}

/// The result of putting back.
pub fn put_back_report(found: &Found) -> String {
    let mut report = format!("{} put back, {} dead letters remain.\n", found.letters.len(), found.kept);
    for (why, count) in &found.refused {
        let _ = writeln!(report, "{count} of them refused by bus-event, {why}: its log says what is wrong.");
    }
    if found.to_enter > 0 {
        let _ = writeln!(
            report,
            "{} of them keep attributes of people who are registered: enter these into the leads, then discard them.",
            found.to_enter
        );
    }
    report + &out_of_sight(found)
}

fn out_of_sight(found: &Found) -> String {
    match found.out_of_sight {
        0 => String::new(),
        more => format!(
            "About {more} more could not be looked at: they wait behind others of the same person, or another consumer \
             has received them. Run the command again, if need be in 15 minutes.\n"
        ),
    }
}

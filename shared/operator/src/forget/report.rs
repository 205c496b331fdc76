//! What was erased of a person, and what stays where and until when.

use std::fmt::Write;

use ledger::{BelongsTo, ItemType};

use super::Forgotten;
use crate::format::roughly;

/// What to do where LeadSquared names no lead.
const BY_LEAD: &str =
    "Items that only name a lead are found by its id: if there was one, run this again with --lead ID";

/// The report of one run.
pub(super) fn report(forgotten: &Forgotten) -> String {
    let mut text = String::new();
    let Forgotten { items, dead_letters, invitations, leads, not_asked, .. } = forgotten;
    let erased: Vec<_> = items.iter().map(|(item_type, count)| format!("{count} {}", item_type.prefix())).collect();
    let _ = match (forgotten.is_empty(), forgotten.is_erased) {
        (true, _) => writeln!(text, "Nothing to erase was found."),
        (false, true) => writeln!(text, "Erased:"),
        (false, false) => writeln!(text, "Found, and not erased (run the same command with --yes to erase it):"),
    };
    if !erased.is_empty() {
        let _ = writeln!(text, "  ledger         {}", erased.join(", "));
    }
    for (count, what) in [(dead_letters, "dead letters"), (invitations, "invitations")] {
        if *count > 0 {
            let _ = writeln!(text, "  {what:<13}  {count}");
        }
    }

    text.push_str("What stays:\n");
    let mut stays = |place: &str, what: &str| {
        let _ = writeln!(text, "  {place:<13}  {what}");
    };
    for lead in leads {
        stays("LeadSquared", &format!("lead {lead}, until you delete it there"));
    }
    match not_asked {
        Some(cause) => stays("LeadSquared", &format!("could not be asked for the person's leads ({cause}). {BY_LEAD}")),
        None if leads.is_empty() => stays("LeadSquared", &format!("no lead with this address. {BY_LEAD}")),
        None => {}
    }
    if forgotten.invitations_unseen > 0 {
        let count = forgotten.invitations_unseen;
        stays("queue", &format!("about {count} invitations, of any person, that are under way. Run this again later"));
    }
    if forgotten.dead_letters_unseen > 0 {
        let count = forgotten.dead_letters_unseen;
        stays("dead letters", &format!("about {count}, of any person, not looked at. Run this again in 15 minutes"));
    }
    stays("ledger", &format!("items that name no person, until they expire: {}", expiring().join(", ")));
    stays("backups", "everything that was erased, for 35 days (point-in-time recovery of the ledger)");
    let days = forgotten.log_days.map_or("the days in LogRetentionDays".to_owned(), |days| format!("{days} days"));
    stays("logs", &format!("lead ids and receipts, for {days}. Metrics hold nothing of a person"));
    text
}

/// The types of items that can name no person, each with the longest time that an item stays: `requests (2 days)`.
fn expiring() -> Vec<String> {
    let kept = |item_type: &ItemType| match item_type.belongs_to() {
        BelongsTo::PersonOnceKnown { kept } | BelongsTo::Sender { kept } => Some(kept),
        BelongsTo::Person | BelongsTo::Account => None,
    };
    let all = ItemType::ALL.iter().filter_map(|item_type| Some((item_type.prefix(), kept(item_type)?)));
    all.map(|(prefix, kept)| format!("{prefix} ({})", roughly(kept.unsigned_abs()))).collect()
}

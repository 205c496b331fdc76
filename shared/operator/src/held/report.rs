//! Reports on held applications as text. They show no personal data: only receipts and the hashes of networks.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use time::OffsetDateTime;

use super::{Accepted, Discarded, Held, Pace};
use crate::format::{ago, exactly, roughly, until};

/// How many groups a table shows: a flood may come from thousands of networks.
const GROUPS_SHOWN: usize = 50;

/// How many receipts of a group are shown: enough to ask `explain` for one.
const RECEIPTS_SHOWN: usize = 3;

/// How many digits of a network's hash a table shows. The operator can choose a network by them.
const NETWORK_DIGITS: usize = 12;

/// The plan before accepting: how many of `all` are accepted now, and how long that takes.
pub(super) fn plan(all: usize, count: usize, pace: &Pace) -> String {
    let mut plan = String::new();
    if count < all {
        let _ = writeln!(
            plan,
            "Of {all}, the oldest {count} are accepted now: more would use over half of the day's mails and calls. \
             Accept the rest tomorrow, or set how many with --limit."
        );
    }
    let _ = match pace.time_for(count) {
        Duration::ZERO => writeln!(plan, "Accepting {count}."),
        time => writeln!(
            plan,
            "Accepting {count}, ten every {}, so that other people's invitations do not wait: it takes about {}. Ctrl-C \
             stops it; accepting again continues.",
            exactly(pace.every),
            roughly(time)
        ),
    };
    plan
}

/// The progress of accepting; empty once all are done.
pub(super) fn progress(done: &Accepted, all: usize) -> String {
    let count = done.accepted + done.continued + done.gone + done.unreadable;
    match done.waiting_for {
        Some(messages) => format!("  {count} of {all}, waiting for {messages} messages on the queue\n"),
        None if count < all as u64 => format!("  {count} of {all}\n"),
        None => String::new(),
    }
}

/// A table of the held applications by cause and network, the largest group first.
pub(super) fn table(applications: &[Held], now: OffsetDateTime) -> String {
    let mut groups: BTreeMap<(&str, &str), Vec<&Held>> = BTreeMap::new();
    for held in applications {
        let network = held.network.as_deref().map_or("-", |network| network.get(..NETWORK_DIGITS).unwrap_or(network));
        groups.entry((&held.cause, network)).or_default().push(held);
    }
    if groups.is_empty() {
        return "No held application waits.\n".to_owned();
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, held)| Reverse(held.len()));
    let heading = ["count", "network", "oldest", "first gone in", "cause"];
    let line = |[count, network, oldest, gone, cause]: [&str; 5]| {
        format!("{count:>6}  {network:<NETWORK_DIGITS$}  {oldest:<11}  {gone:<13}  {cause}\n")
    };
    let mut table = line(heading);
    for ((cause, network), group) in groups.iter().take(GROUPS_SHOWN) {
        let oldest = group.iter().map(|held| held.held_at).min().unwrap_or(now);
        let gone = group.iter().map(|held| held.expires_at).min().unwrap_or(now);
        table.push_str(&line([&group.len().to_string(), network, &ago(oldest, now), &until(gone, now), cause]));
        for held in group.iter().take(RECEIPTS_SHOWN) {
            let note = held.decision.map_or("", |_| ", accepted and not on the queue yet: accept it again");
            let _ = writeln!(table, "{:>6}  receipt {}{note}", "", held.id);
        }
    }
    let more: usize = groups.iter().skip(GROUPS_SHOWN).map(|(_, group)| group.len()).sum();
    if more > 0 {
        let _ = writeln!(table, "{more:>6}  in {} smaller groups", groups.len() - GROUPS_SHOWN);
    }
    table
}

/// The result of accepting.
pub(super) fn accepted(done: &Accepted) -> String {
    let Accepted { accepted, continued, gone, unreadable, waiting_for: _ } = done;
    let mut text = format!("{accepted} accepted and on the queue.\n");
    for (count, what) in [
        (continued, "were accepted by an earlier command and are on the queue now"),
        (gone, "were decided in the meantime, have expired or are forgotten"),
        (unreadable, "still wait, because their messages have a newer version: use the version that is deployed"),
    ] {
        if *count > 0 {
            text.push_str(&format!("{count} {what}.\n"));
        }
    }
    text
}

/// The result of discarding.
pub(super) fn discarded(done: &Discarded) -> String {
    let Discarded { discarded, gone } = done;
    let mut text = format!("{discarded} discarded.\n");
    if *gone > 0 {
        text.push_str(&format!("{gone} were decided earlier, have expired or are forgotten.\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::HeldDecision;
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-01-02 03:04:05 UTC);

    fn held(number: u8, cause: &str, network: Option<&str>, minutes_ago: i64) -> Held {
        let held_at = NOW - time::Duration::minutes(minutes_ago);
        Held {
            id: format!("00000000-0000-8000-8000-0000000000{number:02}").parse().unwrap(),
            cause: cause.to_owned(),
            source: "form".to_owned(),
            network: network.map(|digit| digit.repeat(64)),
            held_at,
            expires_at: held_at + time::Duration::days(14),
            decision: None,
        }
    }

    #[test]
    fn held_applications_are_grouped_by_cause_and_network_with_the_largest_group_first() {
        let accepted = Held { decision: Some((HeldDecision::Accepted, NOW)), ..held(1, "form-key", None, 3) };
        let all = [accepted, held(2, "network", Some("a"), 5000), held(3, "network", Some("a"), 200)];
        let expected = [
            " count  network       oldest       first gone in  cause",
            "     2  aaaaaaaaaaaa  3 days       10 days        network",
            "        receipt 00000000-0000-8000-8000-000000000002",
            "        receipt 00000000-0000-8000-8000-000000000003",
            "     1  -             3 min        13 days        form-key",
            "        receipt 00000000-0000-8000-8000-000000000001, accepted and not on the queue yet: accept it again",
        ];
        assert_eq!(table(&all, NOW).lines().collect::<Vec<_>>(), expected);
        assert_eq!(table(&[], NOW), "No held application waits.\n");
    }

    #[test]
    fn a_flood_from_many_networks_does_not_fill_the_screen() {
        let of = |number: usize| Held { network: Some(format!("{number:064}")), ..held(1, "network", None, 5) };
        let all: Vec<_> = (0..GROUPS_SHOWN + 7).map(|number| of(number * 10_usize.pow(8))).collect();
        let shown = table(&[all, vec![held(2, "honeypot", None, 1)]].concat(), NOW);
        assert!(shown.lines().count() <= 2 * (GROUPS_SHOWN + 1), "{shown}");
        let many: Vec<_> = (0..1000)
            .map(|number| Held {
                network: Some(format!("{number:012}{}", "0".repeat(52))),
                ..held(1, "network", None, 5)
            })
            .collect();
        assert!(table(&many, NOW).ends_with("   950  in 950 smaller groups\n"), "{}", table(&many, NOW));
    }

    #[test]
    fn accepting_reports_beforehand_how_many_it_takes_and_for_how_long() {
        let pace = Pace { every: Duration::from_secs(30), a_day: 1666 };
        assert_eq!(plan(10, 10, &pace), "Accepting 10.\n");
        let many = plan(10_000, 10_000, &pace);
        assert!(many.starts_with("Accepting 10000, ten every 30 s, so that") && many.contains("about 8 h."), "{many}");
        let today = plan(10_000, 1000, &pace);
        assert!(today.starts_with("Of 10000, the oldest 1000 are accepted now"), "{today}");
        assert!(today.contains("\nAccepting 1000, ten every 30 s") && today.contains("about 49 min."), "{today}");
    }

    #[test]
    fn progress_is_reported_until_all_are_accepted() {
        let done = Accepted { accepted: 20, ..Accepted::default() };
        assert_eq!([progress(&done, 30), progress(&done, 20)], ["  20 of 30\n", ""]);
        let waiting = progress(&Accepted { waiting_for: Some(60), ..done }, 30);
        assert_eq!(waiting, "  20 of 30, waiting for 60 messages on the queue\n");
    }

    #[test]
    fn what_was_not_accepted_is_reported_with_what_to_do() {
        let done = Accepted { accepted: 3, continued: 1, gone: 0, unreadable: 2, waiting_for: None };
        let lines: Vec<_> = accepted(&done).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[0], "3 accepted and on the queue.");
        assert!(lines[2].contains("use the version that is deployed"), "{lines:?}");
        assert_eq!(discarded(&Discarded { discarded: 2, gone: 0 }), "2 discarded.\n");
    }
}

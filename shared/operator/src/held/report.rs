//! The held applications of a deployed stack: what waits for a decision, accepting and discarding it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use operator::Stack;
use operator::held::{self, Accepted, Choice, Clock, Discarded, Held, Pace};
use time::OffsetDateTime;

use crate::dead_letters::age;
use crate::operate::Place;
use crate::steps::Steps;

/// How many groups a table shows: a flood may come from thousands of networks.
const GROUPS_SHOWN: usize = 50;

/// How many receipts of a group are worth the space: enough to ask `explain` for one.
const RECEIPTS_SHOWN: usize = 3;

/// The digits of a network's hash that a table shows, and that choose it.
const NETWORK_DIGITS: usize = 12;

/// The system's time.
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// The held applications of a stack that were chosen.
pub struct Chosen {
    stack: Stack,
    /// The oldest first.
    pub applications: Vec<Held>,
}

/// Looks at the held applications; they stay as they are.
///
/// # Errors
/// When the stack does not answer: says what to check.
pub async fn list(place: &Place, choice: &Choice) -> anyhow::Result<Chosen> {
    let stack = place.stack().await?;
    let applications = held::list(&stack, choice, OffsetDateTime::now_utc()).await?;
    Ok(Chosen { stack, applications })
}

impl Chosen {
    /// What accepting them means. Without a limit of the operator's own, no more are accepted in a day than leave half
    /// of the day's mails and calls to other people: the rest is dropped from the choice.
    ///
    /// # Errors
    /// When the stack does not answer, or nothing is left of the day.
    pub async fn plan(&mut self, choice: &Choice) -> anyhow::Result<String> {
        let pace = Pace::of(self.stack.parameters());
        let left = match choice.limit.is_none() && choice.receipt.is_none() {
            true => held::left_today(&self.stack, &pace, OffsetDateTime::now_utc()).await?,
            false => usize::MAX,
        };
        let plan = plan(self.applications.len(), left, &pace)?;
        self.applications.truncate(left);
        Ok(plan)
    }

    /// Accepts them.
    ///
    /// # Errors
    /// When the stack does not answer. Accepting again continues.
    pub async fn accept(&self, steps: &Steps) -> anyhow::Result<Accepted> {
        let pace = Pace::of(self.stack.parameters());
        let (mut step, all) = (steps.begin("Accepting"), self.applications.len());
        let accepted = held::accept(&self.stack, &self.applications, &pace, &SystemClock, |done| {
            let count = done.accepted + done.continued + done.gone + done.unreadable;
            step.note(&match done.waiting_for {
                None => format!("{count} of {all}"),
                Some(messages) => format!("{count} of {all}, waiting for {messages} on the queue"),
            });
        });
        let accepted = accepted.await?;
        step.done();
        Ok(accepted)
    }

    /// Discards them.
    ///
    /// # Errors
    /// When the stack does not answer. Discarding again continues.
    pub async fn discard(&self) -> anyhow::Result<Discarded> {
        Ok(held::discard(&self.stack, &self.applications, &SystemClock).await?)
    }
}

/// What accepting so many means, where so many are left of the day.
fn plan(all: usize, left: usize, pace: &Pace) -> anyhow::Result<String> {
    ensure!(
        left > 0,
        "as many were accepted today as half of the day's mails and calls are enough for, {}; accept the rest tomorrow, or say \
         with --limit how many to accept now",
        pace.a_day
    );
    let mut plan = String::new();
    if left < all {
        plan = format!(
            "Of {all}, the oldest {left} are accepted now: more would take over half of the day's mails and calls. Accept \
             the rest tomorrow, or say with --limit how many.\n"
        );
    }
    let count = all.min(left);
    plan.push_str(&match pace.time_for(count) {
        Duration::ZERO => format!("Accepting {count}.\n"),
        time => format!(
            "Accepting {count}, ten every {}, so that nobody else waits for long: it takes about {}. Ctrl-C stops it; \
             accepting again continues.\n",
            exactly(pace.every),
            roughly(time)
        ),
    });
    Ok(plan)
}

/// A table of the held applications by cause and network, the largest group first. Shows nothing of a person.
pub fn table(applications: &[Held], now: OffsetDateTime) -> String {
    let mut groups: BTreeMap<(&str, &str), Vec<&Held>> = BTreeMap::new();
    for held in applications {
        let network = held.network.as_deref().map_or("-", |network| network.get(..NETWORK_DIGITS).unwrap_or(network));
        groups.entry((&held.cause, network)).or_default().push(held);
    }
    if groups.is_empty() {
        return "No held application waits.\n".to_owned();
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, held)| std::cmp::Reverse(held.len()));
    let heading = ["count", "network", "oldest", "first gone in", "cause"];
    let line = |[count, network, oldest, gone, cause]: [&str; 5]| {
        format!("{count:>6}  {network:<NETWORK_DIGITS$}  {oldest:<11}  {gone:<13}  {cause}\n")
    };
    let mut table = line(heading);
    for ((cause, network), group) in groups.iter().take(GROUPS_SHOWN) {
        let oldest = group.iter().map(|held| held.held_at).min().unwrap_or(now);
        let gone = group.iter().map(|held| held.expires_at).min().unwrap_or(now);
        let gone = roughly((gone - now).try_into().unwrap_or_default());
        table.push_str(&line([&group.len().to_string(), network, &since(oldest, now), &gone, cause]));
        for held in group.iter().take(RECEIPTS_SHOWN) {
            table.push_str(&format!(
                "{:>6}  receipt {}{}\n",
                "",
                held.id,
                match held.decision {
                    None => "",
                    Some(_) => ", accepted and not on the queue yet: accept it again",
                }
            ));
        }
    }
    let more: usize = groups.iter().skip(GROUPS_SHOWN).map(|(_, group)| group.len()).sum();
    if more > 0 {
        table.push_str(&format!("{more:>6}  in {} smaller groups\n", groups.len() - GROUPS_SHOWN));
    }
    table
}

/// What accepting came to.
pub fn accepted(done: &Accepted) -> String {
    let Accepted { accepted, continued, gone, unreadable, waiting_for: _ } = done;
    let mut text = format!("{accepted} accepted and on the queue.\n");
    for (count, what) in [
        (continued, "had been accepted before and are on the queue now"),
        (gone, "were decided on meanwhile, have expired or are forgotten"),
        (unreadable, "have a message that this version cannot read and still wait: use the version that is deployed"),
    ] {
        if *count > 0 {
            text.push_str(&format!("{count} {what}.\n"));
        }
    }
    text
}

/// What discarding came to.
pub fn discarded(done: &Discarded) -> String {
    let Discarded { discarded, gone } = done;
    let mut text = format!("{discarded} discarded.\n");
    if *gone > 0 {
        text.push_str(&format!("{gone} had been decided on before, have expired or are forgotten.\n"));
    }
    text
}

/// A time such as `90m`, `36h` or `3d`.
///
/// # Errors
/// When it is none.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "a time looks like 90m, 36h or 3d";
    let unit = match text.chars().next_back() {
        Some('m') => 60,
        Some('h') => 60 * 60,
        Some('d') => 24 * 60 * 60,
        _ => return Err(EXPECTED),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| EXPECTED)?;
    Ok(Duration::from_secs(u64::from(count) * unit))
}

/// How long ago that was, as exact as people need it.
pub(crate) fn since(at: OffsetDateTime, now: OffsetDateTime) -> String {
    age(at.unix_timestamp() * 1000, now)
}

/// How long that is, as exact as people need it.
pub(crate) fn roughly(time: Duration) -> String {
    let end = OffsetDateTime::UNIX_EPOCH + time;
    since(OffsetDateTime::UNIX_EPOCH, end)
}

/// A short time, exact to the second where it has any.
fn exactly(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use operator::held::HeldDecision;

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
    fn accepting_says_before_how_many_it_takes_and_for_how_long() {
        let pace = Pace { every: Duration::from_secs(30), a_day: 1666 };
        assert_eq!(plan(10, usize::MAX, &pace).unwrap(), "Accepting 10.\n");
        let many = plan(10_000, usize::MAX, &pace).unwrap();
        assert!(
            many.starts_with(
                "Accepting 10000, ten every 30 s, so that nobody else waits for long: it takes about 8 h."
            ),
            "{many}"
        );
        let today = plan(10_000, 1000, &pace).unwrap();
        assert!(today.starts_with("Of 10000, the oldest 1000 are accepted now"), "{today}");
        assert!(today.contains("\nAccepting 1000, ten every 30 s") && today.contains("about 49 min."), "{today}");
        assert!(plan(10, 0, &pace).unwrap_err().to_string().contains("are enough for, 1666; accept the rest tomorrow"));
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

    #[test]
    fn a_time_has_a_unit() {
        let seconds = |text| duration(text).map(|time| time.as_secs());
        assert_eq!([seconds("90m"), seconds("36h"), seconds("3d")], [Ok(5400), Ok(129_600), Ok(259_200)]);
        for text in ["", "3", "d", "-1d", "3 d", "3w", "9999999999d", "3ä"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}

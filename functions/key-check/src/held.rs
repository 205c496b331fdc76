//! Held applications: how many wait for an operator's decision, and how many of them are soon gone.

use std::time::Duration as Wait;

use ledger::{HeldWaiting, Ledger};
use telemetry::Metric;
use time::{Duration, OffsetDateTime};

use crate::check::{Reported, State};

/// An operator hears of held applications again this long before the first of them is gone.
const SOON: Duration = Duration::days(2);

/// Time kept free for remembering the two reminders.
const TO_REMEMBER: Wait = Wait::from_secs(8);

/// Counts the held applications that wait, and reminds the operator of them at most once a day. Says what it found, in
/// two lines; a table that cannot be read is one of them, and no error.
pub(crate) async fn look(ledger: &Ledger, now: OffsetDateTime, time: Wait) -> [Reported; 2] {
    let mut found = HeldWaiting::default();
    let counting = ledger.count_held(now, now + SOON, &mut found);
    let gap = match tokio::time::timeout(time.saturating_sub(TO_REMEMBER), counting).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the ledger is too large to be read in the time there is".to_owned()),
    };
    if let Some(gap) = &gap {
        tracing::warn!(error = gap, "not all held applications could be counted; the next check counts again");
    }
    let HeldWaiting { count, expiring, first_expires } = found;
    if count > 0 && is_due(ledger, "held-waiting", now).await {
        Metric::HeldWaiting(count).record();
    }
    if expiring > 0 && is_due(ledger, "held-expiring", now).await {
        Metric::HeldExpiring(expiring).record();
    }
    let first = first_expires.map_or(Duration::ZERO, |first| first - now);
    [
        line("held applications", count, gap.as_deref(), "none waits for a decision", &|count| {
            format!("{count} wait for a decision; the first is discarded by itself in {}", in_words(first))
        }),
        line("held applications at their end", expiring, gap.as_deref(), "none is gone within two days", &|count| {
            format!("{count} are discarded by themselves within two days, unless they are accepted before")
        }),
    ]
}

async fn is_due(ledger: &Ledger, subject: &'static str, now: OffsetDateTime) -> bool {
    ledger.remind(subject, now).await.unwrap_or_else(|error| {
        tracing::warn!(subject, %error, "nobody knows when the operator was last reminded: they are reminded now");
        true
    })
}

fn line(subject: &str, count: u64, gap: Option<&str>, none: &str, some: &dyn Fn(String) -> String) -> Reported {
    let (state, what, mend) = match (count, gap) {
        (0, None) => (State::Good, none.to_owned(), None),
        (0, Some(gap)) => (State::Unknown, gap.to_owned(), None),
        (count, gap) => {
            let at_least = if gap.is_some() { "at least " } else { "" };
            (State::ToDecide, some(format!("{at_least}{count}")), Some(MEND.to_owned()))
        }
    };
    Reported { subject: subject.to_owned(), state, what, mend, setting: "" }
}

const MEND: &str = "look at them with `cargo run -- held list --stack-name …`, then accept or discard them";

/// As exact as somebody needs it who has days.
fn in_words(time: Duration) -> String {
    match time.whole_hours() {
        hours @ ..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

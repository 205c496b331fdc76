//! Held applications: how many wait for an operator's decision, and how many of them expire soon.

use std::time::Duration as Wait;

use ledger::{HeldWaiting, Ledger};
use telemetry::Metric;
use time::{Duration, OffsetDateTime};

use crate::check::{ReportLine, SubjectState};

/// How long before the first held application expires the operator is notified again.
const SOON: Duration = Duration::days(2);

/// Time kept free to store the two reminders.
const TO_REMEMBER: Wait = Wait::from_secs(8);

/// Counts the held applications, and reminds the operator of them at most once a day. An unreadable table is reported
/// in the two lines, not as an error.
pub(crate) async fn count(ledger: &Ledger, now: OffsetDateTime, time: Wait) -> [ReportLine; 2] {
    let mut found = HeldWaiting::default();
    let counting = ledger.count_held(now, now + SOON, &mut found);
    let gap = match tokio::time::timeout(time.saturating_sub(TO_REMEMBER), counting).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the ledger is too large to be read within the time of a check".to_owned()),
    };
    if let Some(gap) = &gap {
        tracing::warn!(
            error = gap,
            "not all held applications could be counted: the next check counts again; no action needed unless this \
             lasts"
        );
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
            format!("{count} wait for a decision; the first one expires and is discarded in {}", in_words(first))
        }),
        line("held applications about to expire", expiring, gap.as_deref(), "none expires within two days", &|count| {
            format!("{count} expire and are discarded within two days unless an operator accepts them")
        }),
    ]
}

async fn is_due(ledger: &Ledger, subject: &'static str, now: OffsetDateTime) -> bool {
    ledger.remind(subject, now).await.unwrap_or_else(|error| {
        tracing::warn!(
            subject, %error,
            "the time of the last reminder cannot be read: the operator is reminded now; no action needed"
        );
        true
    })
}

fn line(subject: &str, count: u64, gap: Option<&str>, none: &str, some: &dyn Fn(String) -> String) -> ReportLine {
    let (state, what, fix) = match (count, gap) {
        (0, None) => (SubjectState::Good, none.to_owned(), None),
        (0, Some(gap)) => (SubjectState::Unknown, gap.to_owned(), None),
        (count, gap) => {
            let at_least = if gap.is_some() { "at least " } else { "" };
            (SubjectState::ToDecide, some(format!("{at_least}{count}")), Some(DECIDE.to_owned()))
        }
    };
    ReportLine { subject: subject.to_owned(), state, what, fix, setting: "", cause: None }
}

const DECIDE: &str = "look at them with `cargo run -- held list --stack-name …`, then accept or discard them";

/// A time in hours, or in days from two days on.
fn in_words(time: Duration) -> String {
    match time.whole_hours() {
        hours @ ..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

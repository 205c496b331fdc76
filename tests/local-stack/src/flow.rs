//! Records what happens to applicants, as seen from outside the functions.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;

/// An event in the course of an applicant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The application form accepted the application.
    Accepted,
    /// LeadSquared has a new portal user.
    Registered,
    /// LeadSquared sent a mail.
    Mailed,
    /// The applicant signed in to the portal with an auto-login link.
    Opened,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Accepted => "accepted",
            Self::Registered => "registered",
            Self::Mailed => "mailed",
            Self::Opened => "opened",
        })
    }
}

/// An event and its time. It does not show which applicant it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What happened.
    pub event: Event,
    /// When, in UTC.
    pub at: OffsetDateTime,
}

/// All events so far. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Flow(watch::Sender<Vec<Moment>>);

impl Flow {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }

    pub(crate) fn record(&self, event: Event, at: OffsetDateTime) {
        self.0.send_modify(|moments| moments.push(Moment { event, at }));
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Vec<Moment>> {
        self.0.subscribe()
    }
}

/// A table of the moments with the time since `start` and since the moment before.
///
/// ```text
///   accepted     0.21 s
///   registered   0.83 s   + 0.62 s
/// ```
pub(crate) fn timeline(moments: &[Moment], start: OffsetDateTime) -> String {
    let since = |at: OffsetDateTime, earlier: OffsetDateTime| {
        Duration::try_from(at - earlier).unwrap_or_default().as_secs_f64()
    };
    let mut before = None;
    let mut table = String::new();
    for moment in moments {
        table.push_str(&format!("  {:<12}{:>6.2} s", moment.event, since(moment.at, start)));
        if let Some(before) = before.replace(moment.at) {
            table.push_str(&format!("   + {:.2} s", since(moment.at, before)));
        }
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(event: Event, milliseconds: u64) -> Moment {
        Moment { event, at: OffsetDateTime::UNIX_EPOCH + Duration::from_millis(milliseconds) }
    }

    #[test]
    fn a_timeline_counts_from_the_start_and_from_the_moment_before() {
        let moments = [
            moment(Event::Accepted, 1_210),
            moment(Event::Registered, 1_830),
            moment(Event::Mailed, 13_830),
            moment(Event::Opened, 13_835),
        ];
        let expected = "  accepted      0.21 s\n  registered    0.83 s   + 0.62 s\n  mailed       12.83 s   + 12.00 s\n  opened       12.84 s   + 0.01 s\n";
        assert_eq!(timeline(&moments, moment(Event::Accepted, 1_000).at), expected);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_break_the_timeline() {
        assert_eq!(timeline(&[moment(Event::Accepted, 0)], moment(Event::Accepted, 5).at), "  accepted      0.00 s\n");
    }
}

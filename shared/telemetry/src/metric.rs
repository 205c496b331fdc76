//! What is counted and measured.

use std::time::Duration;

use metrics::{Label, Unit};

/// Something that happened and is counted or measured.
///
/// A metric can hold one of our own words or a number and nothing else, so that nothing about a person fits into it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// An invitation was put on the queue.
    Accepted {
        /// Where it came from.
        source: &'static str,
    },
    /// An invitation ended.
    Ended {
        /// How.
        outcome: &'static str,
        /// Where it came from.
        source: &'static str,
        /// How long ago it was put on the queue.
        age: Duration,
    },
    /// An application is held for an operator.
    Held {
        /// Where it came from.
        source: &'static str,
    },
    /// A request for a login link was over a cap, and was dropped.
    LinkRequestDropped,
    /// A password from a form without a form key was discarded.
    PasswordDiscarded,
    /// An event told only of what we did ourselves, and invites nobody.
    Echo,
    /// An attempt at an invitation came to nothing, and there will be another one.
    ComesBack {
        /// What stood in the way.
        cause: &'static str,
        /// Whether somebody has to mend something before it can succeed.
        to_be_mended: bool,
        /// How long ago it was put on the queue.
        age: Duration,
    },
    /// A message that is no invitation was laid aside.
    Malformed,
    /// A call to LeadSquared is over.
    Called {
        /// Which one.
        call: &'static str,
        /// `Ok`, or the name of the error.
        result: &'static str,
        /// How long it waited in the account's call line.
        waited: Duration,
    },
    /// Nobody knows whether a mail was sent.
    MailUnknown,
    /// LeadSquared did not have these many of an application's fields, or refused them.
    FieldsLeftOut(usize),
    /// The regular look at keys, hosts, portal and fields found something that has to be mended.
    KeyCheckFailed,
    /// A form, an event or a request for a link could not be stored, and its sender was told so with a 5xx answer.
    NotStored,
    /// An invitation was rejected for good and became a dead letter.
    Rejected,
    /// A webhook came without an accepted secret.
    WebhookRefused,
    /// An event of LeadSquared's came in a webhook: with a wrong secret, or with an accepted one.
    WebhookSecret {
        /// Whether the secret was wrong.
        is_wrong: bool,
    },
    /// So many events of LeadSquared's, with an accepted secret, could not be read. LeadSquared does not send them
    /// again.
    EventsUnreadable(usize),
    /// So many held applications wait for an operator's decision. Recorded at most once a day.
    HeldWaiting(u64),
    /// So many of them are discarded by themselves within two days. Recorded at most once a day.
    HeldExpiring(u64),
}

/// One of our metrics as CloudWatch has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series<D> {
    /// Its name.
    pub name: &'static str,
    /// Its dimensions' names.
    pub dimensions: D,
    unit: Unit,
}

const fn series<const N: usize>(
    name: &'static str,
    dimensions: [&'static str; N],
    unit: Unit,
) -> Series<[&'static str; N]> {
    Series { name, dimensions, unit }
}

const ACCEPTED: Series<[&str; 1]> = series("Accepted", ["source"], Unit::Count);
const OUTCOMES: Series<[&str; 1]> = series("Outcomes", ["outcome"], Unit::Count);
// An alarm cannot sum over a dimension: what alarms look at has metrics of its own.
const OUTCOMES_BY_SOURCE: Series<[&str; 2]> = series("OutcomesBySource", ["outcome", "source"], Unit::Count);
const QUEUE_AGE: Series<[&str; 0]> = series("QueueAge", [], Unit::Seconds);
const LINK_REQUESTS_DROPPED: Series<[&str; 0]> = series("LinkRequestsDropped", [], Unit::Count);
const PASSWORDS_DISCARDED: Series<[&str; 0]> = series("PasswordsDiscarded", [], Unit::Count);
// Apart from outcomes: there is no message that ended, and alarms look at shares of those.
const ECHOES: Series<[&str; 0]> = series("Echoes", [], Unit::Count);
const COMES_BACK: Series<[&str; 1]> = series("ComesBack", ["cause"], Unit::Count);
// SQS leaves messages that come back again and again out of the age it tells of.
const WAITING_AGE: Series<[&str; 0]> = series("WaitingAge", [], Unit::Seconds);
const TO_BE_MENDED: Series<[&str; 0]> = series("ToBeMended", [], Unit::Count);
const MALFORMED: Series<[&str; 0]> = series("Malformed", [], Unit::Count);
const UPSTREAM_CALLS: Series<[&str; 2]> = series("UpstreamCalls", ["call", "result"], Unit::Count);
const RATE_LIMITED: Series<[&str; 0]> = series("RateLimited", [], Unit::Count);
const ALLOWANCE_WAIT: Series<[&str; 0]> = series("AllowanceWait", [], Unit::Milliseconds);
const MAILS_UNKNOWN: Series<[&str; 0]> = series("MailsUnknown", [], Unit::Count);
const FIELDS_LEFT_OUT: Series<[&str; 0]> = series("FieldsLeftOut", [], Unit::Count);
const KEY_CHECK_FAILED: Series<[&str; 0]> = series("KeyCheckFailed", [], Unit::Count);
const HELD_WAITING: Series<[&str; 0]> = series("HeldWaiting", [], Unit::Count);
const HELD_EXPIRING: Series<[&str; 0]> = series("HeldExpiring", [], Unit::Count);
const COLD_STARTS: Series<[&str; 0]> = series("ColdStarts", [], Unit::Count);
const NOT_STORED: Series<[&str; 0]> = series("NotStored", [], Unit::Count);
const REJECTED: Series<[&str; 0]> = series("Rejected", [], Unit::Count);
const WEBHOOK_REFUSED: Series<[&str; 0]> = series("WebhookRefused", [], Unit::Count);
const WEBHOOK_SECRET_WRONG: Series<[&str; 0]> = series("WebhookSecretWrong", [], Unit::Count);
const EVENTS_UNREADABLE: Series<[&str; 0]> = series("EventsUnreadable", [], Unit::Count);

/// Every metric there is: what an alarm, the dashboard and the README can name.
pub const ALL: [Series<&[&str]>; 25] = [
    ACCEPTED.listed(),
    OUTCOMES.listed(),
    OUTCOMES_BY_SOURCE.listed(),
    QUEUE_AGE.listed(),
    LINK_REQUESTS_DROPPED.listed(),
    PASSWORDS_DISCARDED.listed(),
    ECHOES.listed(),
    COMES_BACK.listed(),
    WAITING_AGE.listed(),
    TO_BE_MENDED.listed(),
    MALFORMED.listed(),
    UPSTREAM_CALLS.listed(),
    RATE_LIMITED.listed(),
    ALLOWANCE_WAIT.listed(),
    MAILS_UNKNOWN.listed(),
    FIELDS_LEFT_OUT.listed(),
    KEY_CHECK_FAILED.listed(),
    HELD_WAITING.listed(),
    HELD_EXPIRING.listed(),
    COLD_STARTS.listed(),
    NOT_STORED.listed(),
    REJECTED.listed(),
    WEBHOOK_REFUSED.listed(),
    WEBHOOK_SECRET_WRONG.listed(),
    EVENTS_UNREADABLE.listed(),
];

impl Metric {
    /// Counts or measures it. It is printed at the end of the invocation ([`invocation`](crate::invocation()));
    /// without [`init`](crate::init), as in most tests, nothing happens.
    pub fn record(self) {
        match self {
            Self::Accepted { source } => ACCEPTED.count(1, [source]),
            Self::Ended { outcome, source, age } => {
                OUTCOMES.count(1, [outcome]);
                OUTCOMES_BY_SOURCE.count(1, [outcome, source]);
                QUEUE_AGE.measure(age.as_secs_f64());
            }
            Self::Held { source } => {
                OUTCOMES.count(1, ["held"]);
                OUTCOMES_BY_SOURCE.count(1, ["held", source]);
            }
            Self::LinkRequestDropped => LINK_REQUESTS_DROPPED.count(1, []),
            Self::PasswordDiscarded => PASSWORDS_DISCARDED.count(1, []),
            Self::Echo => ECHOES.count(1, []),
            Self::ComesBack { cause, to_be_mended, age } => {
                COMES_BACK.count(1, [cause]);
                WAITING_AGE.measure(age.as_secs_f64());
                TO_BE_MENDED.count(to_be_mended.into(), []);
            }
            Self::Malformed => MALFORMED.count(1, []),
            Self::Called { call, result, waited } => {
                UPSTREAM_CALLS.count(1, [call, result]);
                RATE_LIMITED.count((result == "RateLimited").into(), []);
                ALLOWANCE_WAIT.measure(waited.as_secs_f64() * 1000.0);
            }
            Self::MailUnknown => MAILS_UNKNOWN.count(1, []),
            Self::FieldsLeftOut(fields) => FIELDS_LEFT_OUT.count(fields as u64, []),
            Self::KeyCheckFailed => KEY_CHECK_FAILED.count(1, []),
            Self::NotStored => NOT_STORED.count(1, []),
            Self::Rejected => REJECTED.count(1, []),
            Self::WebhookRefused => WEBHOOK_REFUSED.count(1, []),
            // Measured, so that the smallest value of an hour tells whether no accepted secret came in it.
            Self::WebhookSecret { is_wrong } => WEBHOOK_SECRET_WRONG.measure(f64::from(u8::from(is_wrong))),
            Self::EventsUnreadable(events) => EVENTS_UNREADABLE.count(events as u64, []),
            Self::HeldWaiting(count) => HELD_WAITING.count(count, []),
            Self::HeldExpiring(count) => HELD_EXPIRING.count(count, []),
        }
    }
}

impl<const N: usize> Series<[&'static str; N]> {
    const fn listed(&'static self) -> Series<&'static [&'static str]> {
        Series { name: self.name, dimensions: &self.dimensions, unit: self.unit }
    }

    fn count(&self, more: u64, values: [&'static str; N]) {
        // CloudWatch charges for a metric that never was anything but zero as for any other.
        if more > 0 {
            let labels = self.dimensions.iter().zip(values).map(|(name, value)| Label::from_static_parts(name, value));
            metrics::counter!(self.name, labels.collect::<Vec<_>>()).increment(more);
        }
    }
}

impl Series<[&'static str; 0]> {
    fn measure(&self, value: f64) {
        metrics::histogram!(self.name).record(value);
    }
}

/// Tells the collector the units, and counts this process.
pub(crate) fn begin() {
    for Series { name, unit, .. } in ALL {
        metrics::describe_histogram!(name, unit, "");
    }
    COLD_STARTS.count(1, []);
}

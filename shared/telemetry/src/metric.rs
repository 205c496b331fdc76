//! The metrics: every event that is counted or measured, and its name and dimensions in CloudWatch.

use std::time::Duration;

use metrics::{Label, Unit};

/// An event that is counted or measured.
///
/// A metric holds only numbers and words from our own source code, so it cannot hold personal data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// An invitation was put on the queue.
    Accepted {
        /// The invitation's source.
        source: &'static str,
    },
    /// An invitation ended.
    Ended {
        /// The named end.
        outcome: &'static str,
        /// The invitation's source.
        source: &'static str,
        /// The time since the invitation was put on the queue.
        age: Duration,
    },
    /// An application is held for an operator.
    Held {
        /// The application's source.
        source: &'static str,
    },
    /// Whether a form was refused because of its content. Refused forms of one network count once an hour.
    FormRefused(bool),
    /// A request for a login link was over a cap and was dropped.
    LinkRequestDropped,
    /// A password from a form without a form key was discarded.
    PasswordDiscarded,
    /// A webhook reported only a change that this system made itself, and was ignored.
    Echo,
    /// An attempt at an invitation failed and will be repeated.
    Retry {
        /// Why it failed.
        cause: &'static str,
        /// Whether an operator must fix something before an attempt can succeed.
        needs_operator: bool,
        /// The time since the invitation was put on the queue.
        age: Duration,
    },
    /// An invitation waits for a look-up that decides its rules.
    QuestionWaits {
        /// The name of this cause.
        cause: &'static str,
        /// The time since the invitation was put on the queue.
        age: Duration,
    },
    /// A message that is not a valid invitation was dead-lettered.
    Malformed,
    /// A call to LeadSquared ended.
    UpstreamCall {
        /// The name of the call.
        call: &'static str,
        /// `Ok`, or the name of the error.
        result: &'static str,
        /// How long the call waited for its slot in the call allowance.
        waited: Duration,
    },
    /// It is unknown whether a mail was sent.
    MailUnknown,
    /// A mail is sent once more, because it is unknown whether an earlier one was sent.
    MailRepeated,
    /// A person was registered without some fields, because LeadSquared lacks them or refused their values.
    FieldsLeftOut,
    /// The regular check of keys, hosts, portal and fields found a fault that an operator must fix.
    KeyCheckFailed,
    /// A form, an event or a link request could not be stored; the sender got a 5xx answer.
    NotStored,
    /// An invitation was rejected, is not retried, and was dead-lettered.
    Rejected,
    /// A webhook came without an accepted secret.
    WebhookRefused,
    /// A webhook with an event of LeadSquared came with a secret.
    WebhookSecret {
        /// Whether the secret was wrong.
        is_wrong: bool,
    },
    /// This many events in webhooks with an accepted secret could not be read. LeadSquared does not send them again.
    EventsUnreadable(usize),
    /// LeadSquared reported that a user of the account was activated or deactivated. The line starts the key check.
    UserStatusChanged,
    /// This many held applications wait for an operator's decision. Recorded at most once a day.
    HeldWaiting(u64),
    /// This many held applications expire within two days and are then discarded. Recorded at most once a day.
    HeldExpiring(u64),
}

/// The name, dimensions and unit of a metric in CloudWatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series<D> {
    /// The metric's name.
    pub name: &'static str,
    /// The names of its dimensions.
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
// An alarm cannot sum over a dimension, so the figures that alarms need are metrics of their own
// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-search-expressions.html>).
const OUTCOMES_BY_SOURCE: Series<[&str; 2]> = series("OutcomesBySource", ["outcome", "source"], Unit::Count);
const QUEUE_AGE: Series<[&str; 0]> = series("QueueAge", [], Unit::Seconds);
const FORMS_REFUSED: Series<[&str; 0]> = series("FormsRefused", [], Unit::Count);
const LINK_REQUESTS_DROPPED: Series<[&str; 0]> = series("LinkRequestsDropped", [], Unit::Count);
const PASSWORDS_DISCARDED: Series<[&str; 0]> = series("PasswordsDiscarded", [], Unit::Count);
// Not an outcome: no message ended, and alarms compare shares of all outcomes.
const ECHOES: Series<[&str; 0]> = series("Echoes", [], Unit::Count);
const RETRIES: Series<[&str; 1]> = series("Retries", ["cause"], Unit::Count);
// SQS excludes messages that were received often from its own age metric
// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>).
const WAITING_AGE: Series<[&str; 0]> = series("WaitingAge", [], Unit::Seconds);
// Thousands of questions may wait for weeks after a bulk edit, and must not hide other invitations that wait.
const QUESTION_AGE: Series<[&str; 0]> = series("QuestionAge", [], Unit::Seconds);
const NEEDS_OPERATOR: Series<[&str; 0]> = series("OperatorNeeded", [], Unit::Count);
const MALFORMED: Series<[&str; 0]> = series("Malformed", [], Unit::Count);
const UPSTREAM_CALLS: Series<[&str; 2]> = series("UpstreamCalls", ["call", "result"], Unit::Count);
const RATE_LIMITED: Series<[&str; 0]> = series("RateLimited", [], Unit::Count);
const ALLOWANCE_WAIT: Series<[&str; 0]> = series("AllowanceWait", [], Unit::Milliseconds);
const MAILS_REPEATED: Series<[&str; 0]> = series("MailsRepeated", [], Unit::Count);
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
const USER_STATUS_CHANGES: Series<[&str; 0]> = series("UserStatusChanges", [], Unit::Count);

/// Every metric. Alarms, the dashboard and the README can name only these.
pub const ALL: [Series<&[&str]>; 29] = [
    ACCEPTED.listed(),
    OUTCOMES.listed(),
    OUTCOMES_BY_SOURCE.listed(),
    QUEUE_AGE.listed(),
    FORMS_REFUSED.listed(),
    LINK_REQUESTS_DROPPED.listed(),
    PASSWORDS_DISCARDED.listed(),
    ECHOES.listed(),
    RETRIES.listed(),
    WAITING_AGE.listed(),
    QUESTION_AGE.listed(),
    NEEDS_OPERATOR.listed(),
    MALFORMED.listed(),
    UPSTREAM_CALLS.listed(),
    RATE_LIMITED.listed(),
    ALLOWANCE_WAIT.listed(),
    MAILS_REPEATED.listed(),
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
    USER_STATUS_CHANGES.listed(),
];

impl Metric {
    /// Records the event. It is printed at the end of the invocation ([`invocation`](crate::invocation())). Without
    /// [`init`](crate::init), as in most tests, this does nothing.
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
            // A measurement: the minimum over an hour is 1 if no form was accepted in that hour.
            Self::FormRefused(is_refused) => FORMS_REFUSED.measure(f64::from(u8::from(is_refused))),
            Self::LinkRequestDropped => LINK_REQUESTS_DROPPED.count(1, []),
            Self::PasswordDiscarded => PASSWORDS_DISCARDED.count(1, []),
            Self::Echo => ECHOES.count(1, []),
            Self::Retry { cause, needs_operator, age } => {
                RETRIES.count(1, [cause]);
                WAITING_AGE.measure(age.as_secs_f64());
                NEEDS_OPERATOR.count(needs_operator.into(), []);
            }
            Self::QuestionWaits { cause, age } => {
                RETRIES.count(1, [cause]);
                QUESTION_AGE.measure(age.as_secs_f64());
            }
            Self::Malformed => MALFORMED.count(1, []),
            Self::UpstreamCall { call, result, waited } => {
                UPSTREAM_CALLS.count(1, [call, result]);
                RATE_LIMITED.count((result == "RateLimited").into(), []);
                ALLOWANCE_WAIT.measure(waited.as_secs_f64() * 1000.0);
            }
            Self::MailRepeated => MAILS_REPEATED.count(1, []),
            Self::MailUnknown => MAILS_UNKNOWN.count(1, []),
            Self::FieldsLeftOut => FIELDS_LEFT_OUT.count(1, []),
            Self::KeyCheckFailed => KEY_CHECK_FAILED.count(1, []),
            Self::NotStored => NOT_STORED.count(1, []),
            Self::Rejected => REJECTED.count(1, []),
            Self::WebhookRefused => WEBHOOK_REFUSED.count(1, []),
            // A measurement: the minimum over an hour is 1 if no accepted secret came in that hour.
            Self::WebhookSecret { is_wrong } => WEBHOOK_SECRET_WRONG.measure(f64::from(u8::from(is_wrong))),
            Self::EventsUnreadable(events) => EVENTS_UNREADABLE.count(events as u64, []),
            Self::UserStatusChanged => USER_STATUS_CHANGES.count(1, []),
            Self::HeldWaiting(count) => HELD_WAITING.count(count, []),
            Self::HeldExpiring(count) => HELD_EXPIRING.count(count, []),
        }
    }
}

impl<const N: usize> Series<[&'static str; N]> {
    const fn listed(&'static self) -> Series<&'static [&'static str]> {
        Series { name: self.name, dimensions: &self.dimensions, unit: self.unit }
    }

    fn count(&self, increment: u64, values: [&'static str; N]) {
        // Zero is not recorded, because CloudWatch charges for a metric that is always zero as for any other
        // (<https://aws.amazon.com/cloudwatch/pricing/>).
        if increment > 0 {
            let labels = self.dimensions.iter().zip(values).map(|(name, value)| Label::from_static_parts(name, value));
            metrics::counter!(self.name, labels.collect::<Vec<_>>()).increment(increment);
        }
    }
}

impl Series<[&'static str; 0]> {
    fn measure(&self, value: f64) {
        metrics::histogram!(self.name).record(value);
    }
}

/// Registers the unit of every metric with the collector.
pub(crate) fn describe_units() {
    for Series { name, unit, .. } in ALL {
        metrics::describe_histogram!(name, unit, "");
    }
}

/// Counts the start of this process.
pub(crate) fn count_cold_start() {
    COLD_STARTS.count(1, []);
}

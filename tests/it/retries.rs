//! Time-outs, batches, waits and retention fit together: the template's numbers against the worker's.

use std::time::Duration;

use leadsquared::RateLimit;
use leadsquared_account::BACKGROUND_TIMEOUTS;
use onboarding::{
    retry::{self, LONGEST_WAIT, OPERATOR_HORIZON, RETRY_HORIZON},
    worker::{MIN_ATTEMPT_TIME, RECORD_TIME},
};
use serde_json::Value;

use crate::template::Template;

/// LeadSquared calls of one invitation: usually, and at most (a duplicate phone, a known lead that has to be made a
/// portal user, the link, the mail).
const USUAL_CALLS: u32 = 3;
const MOST_CALLS: u32 = 4;

/// The middle of the random range: with it a message waits for the average time.
const MEAN: u32 = u32::MAX / 2;

/// The worker as it is deployed, and its queues.
struct Deployed {
    timeout: Duration,
    batch: u32,
    workers: u32,
    visibility: Duration,
    receives: u32,
    retention: Duration,
    retention_of_dead_letters: Duration,
}

impl Deployed {
    fn read() -> Self {
        let template = Template::read();
        let functions = template.functions();
        let (_, worker) = functions.iter().find(|(name, _)| *name == "invitation").expect("the worker is deployed");
        let trigger = &worker["Events"]["Queue"]["Properties"];
        let queue = &template.target(&trigger["Queue"])["Properties"];
        let redrive = &queue["RedrivePolicy"];
        let dead_letters = &template.target(&redrive["deadLetterTargetArn"])["Properties"];
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("a number, not {value}"));
        let count = |value: &Value| u32::try_from(number(value)).unwrap();
        let seconds = |value: &Value| Duration::from_secs(number(value));
        Self {
            timeout: seconds(&worker["Timeout"]),
            batch: count(&trigger["BatchSize"]),
            workers: count(&trigger["ScalingConfig"]["MaximumConcurrency"]),
            visibility: seconds(&queue["VisibilityTimeout"]),
            receives: count(&redrive["maxReceiveCount"]),
            retention: seconds(&queue["MessageRetentionPeriod"]),
            retention_of_dead_letters: seconds(&dead_letters["MessageRetentionPeriod"]),
        }
    }
}

fn span(time: time::Duration) -> Duration {
    time.try_into().unwrap()
}

#[test]
fn the_slowest_invitation_fits_into_an_invocation() {
    let deployed = Deployed::read();
    let slowest = BACKGROUND_TIMEOUTS.total * MOST_CALLS + RECORD_TIME;
    assert!(slowest <= deployed.timeout, "{slowest:?} for one invitation");
    assert!(
        MIN_ATTEMPT_TIME >= RECORD_TIME + BACKGROUND_TIMEOUTS.connect,
        "the last invitation of a batch has time for a call"
    );
    assert!(deployed.visibility >= 6 * deployed.timeout, "Lambda requires it of an event source");
}

#[test]
fn full_batches_of_all_workers_get_their_calls_within_one_invocation() {
    let deployed = Deployed::read();
    let template = Template::read();
    let default = |parameter| template.default(parameter).parse::<u32>().unwrap();
    let limit = RateLimit {
        calls: default("AllowanceCalls"),
        window: Duration::from_secs(default("AllowanceWindowSeconds").into()),
    };
    let settings = call_allowance::AllowanceSettings {
        share: default("AllowanceShare").try_into().unwrap(),
        ..call_allowance::AllowanceSettings::new(limit)
    };
    let interval = call_allowance::AllowanceRules::new(settings).unwrap().interval();
    let batches = interval * deployed.workers * deployed.batch * USUAL_CALLS;
    assert!(batches + MIN_ATTEMPT_TIME <= deployed.timeout, "{batches:?} of waiting for the call allowance");
}

#[test]
fn the_worker_gives_up_before_the_queue_does() {
    let deployed = Deployed::read();
    assert_eq!(
        (deployed.receives, deployed.retention),
        (retry::MAX_RECEIVES, retry::RETENTION),
        "the domain has the template's numbers"
    );
    // Each kind of wait, and the horizon of the messages that wait in this way.
    type Wait = fn(u32, u32) -> Duration;
    let ways: [(Wait, time::Duration); 4] = [
        (retry::backoff, OPERATOR_HORIZON),
        (retry::after_no_time, OPERATOR_HORIZON),
        (retry::after_throttling, RETRY_HORIZON),
        (|_, _| retry::AFTER_PANIC, RETRY_HORIZON),
    ];
    for (wait, horizon) in ways {
        let deliveries = 1..=retry::LAST_RECEIVE;
        let until_the_queue_gives_up: Duration = deliveries.map(|received| wait(received, MEAN)).sum();
        let margin = span(horizon).mul_f64(1.2);
        assert!(until_the_queue_gives_up > margin, "{until_the_queue_gives_up:?} of waits, {horizon} of retries");
    }
    assert!(RETRY_HORIZON >= time::Duration::hours(24));
    // After the longest wait that starts within the horizon, SQS still has the message. Messages behind it in its group
    // are younger and are handled in the same invocation or the next ones.
    let longest_tried = span(OPERATOR_HORIZON.max(RETRY_HORIZON));
    assert!(longest_tried + LONGEST_WAIT + deployed.visibility <= deployed.retention);
    // SQS keeps a delivered message invisible for twelve hours in all.
    assert!(LONGEST_WAIT + deployed.timeout <= Duration::from_secs(12 * 60 * 60));
    assert!(deployed.retention_of_dead_letters >= deployed.retention, "a dead letter keeps its age");
}

//! The records of one batch, one after another, and what becomes of each.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt;
use onboarding::retry::{AFTER_PANIC, usual_age};
use onboarding::worker::Disposition;

/// One delivery of one message.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The queue's id of the message.
    pub message_id: &'a str,
    /// The message's text.
    pub body: &'a str,
    /// How often it was delivered so far, this time included; 1 where the queue does not say.
    pub receive_count: u32,
    /// When it was put on the queue, if the queue says so.
    pub sent_at: Option<SystemTime>,
    /// When it was delivered the first time, if the queue says so.
    pub first_received_at: Option<SystemTime>,
    /// The handle by which this delivery can be put off.
    pub receipt_handle: &'a str,
    /// Its message group: the person.
    pub group: &'a str,
    /// The X-Ray trace it belongs to, as its sender gave it; empty where there is none.
    pub trace: &'a str,
}

/// The messages of a batch that have to come back, and when.
#[derive(Default)]
pub struct Returns<'a> {
    pub(crate) messages: Vec<(Delivery<'a>, Duration)>,
    /// Whether one of them has no id, by which alone it could be reported.
    pub(crate) whole_batch: bool,
}

/// Hands the records of a batch to `handle` one after another.
///
/// A record that has to come back holds up the later ones of its own group and no others: they come back with it,
/// without being handled, since a FIFO queue would otherwise deliver them out of order. A panic in `handle` is a bug,
/// and costs its own record one delivery instead of taking the whole batch along: `panicked` decides what becomes of
/// that record. It should do less than `handle`, because a record whose second decision panics too can only come back.
pub async fn each_record<'a>(
    event: &'a SqsEvent,
    handle: impl AsyncFn(Delivery<'a>) -> Disposition,
    panicked: impl AsyncFn(Delivery<'a>) -> Disposition,
) -> Returns<'a> {
    let mut returns = Returns::default();
    let mut held_up: HashMap<&str, Duration> = HashMap::new();
    for record in &event.records {
        let delivery = Delivery::of(record);
        let id = delivery.message_id;
        let verdict = match held_up.get(delivery.group) {
            Some(wait) => Disposition::Retry(*wait),
            None => match AssertUnwindSafe(handle(delivery)).catch_unwind().await {
                Ok(verdict) => verdict,
                Err(_) => {
                    tracing::error!(message.id = id, "handling the record panicked: please report this bug");
                    let decided = AssertUnwindSafe(panicked(delivery)).catch_unwind().await;
                    decided.unwrap_or(Disposition::Retry(AFTER_PANIC))
                }
            },
        };
        if let Disposition::Retry(wait) = verdict {
            if id.is_empty() {
                tracing::error!("a record that has to come back has no message id: the whole batch goes back");
                returns.whole_batch = true;
            } else {
                returns.messages.push((delivery, wait));
            }
            if !delivery.group.is_empty() {
                held_up.insert(delivery.group, wait);
            }
        }
    }
    returns
}

/// How far the queue's clock may be ahead of ours. A time beyond that is none.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60 * 60);

impl<'a> Delivery<'a> {
    /// The one delivery of something that did not come from this queue, such as another system's event; of no group
    /// but its own. SQS takes letters, digits and punctuation for an id.
    pub fn from_elsewhere(id: &'a str, body: &'a str, at: SystemTime) -> Self {
        Self {
            message_id: id,
            body,
            receive_count: 1,
            sent_at: Some(at),
            first_received_at: None,
            receipt_handle: "",
            group: id,
            trace: "",
        }
    }

    /// How long ago the message was put on the queue. Where the queue does not say when, at least as long as is known
    /// from its first delivery and from how often it was delivered. None when nothing at all is known.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let since = |time: SystemTime| match now.duration_since(time) {
            Ok(age) => Some(age),
            Err(ahead) => (ahead.duration() <= CLOCKS_DIFFER).then_some(Duration::ZERO),
        };
        self.sent_at.and_then(since).or_else(|| {
            let since_first = self.first_received_at.and_then(since);
            let by_count = (self.receive_count > 1).then(|| usual_age(self.receive_count));
            since_first.max(by_count)
        })
    }

    fn of(record: &'a SqsMessage) -> Self {
        let attribute = |name: &str| record.attributes.get(name).map_or("", String::as_str);
        let time = |name: &str| {
            let since_epoch = attribute(name).parse().ok().map(Duration::from_millis)?;
            SystemTime::UNIX_EPOCH.checked_add(since_epoch)
        };
        Self {
            message_id: record.message_id.as_deref().unwrap_or_default(),
            // A message without a body is as malformed as one with a wrong one, and takes the same way out.
            body: record.body.as_deref().unwrap_or_default(),
            receive_count: attribute("ApproximateReceiveCount").parse().unwrap_or(1),
            sent_at: time("SentTimestamp"),
            first_received_at: time("ApproximateFirstReceiveTimestamp"),
            receipt_handle: record.receipt_handle.as_deref().unwrap_or_default(),
            group: attribute("MessageGroupId"),
            trace: attribute("AWSTraceHeader"),
        }
    }
}

impl Returns<'_> {
    /// What Lambda is told: the messages that it must not delete.
    ///
    /// It only counts when the event source says `ReportBatchItemFailures`
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>). An empty identifier makes
    /// Lambda take the whole batch for failed.
    pub fn response(&self) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        match self.whole_batch {
            true => response.add_failure(""),
            false => response.set_failures(self.messages.iter().map(|(delivery, _)| delivery.message_id)),
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::executor::block_on;

    use super::*;

    fn record(id: &str, group: &str, body: &str) -> SqsMessage {
        let mut record = SqsMessage::default();
        record.message_id = Some(id.to_owned());
        record.body = Some(body.to_owned());
        record.attributes.insert("MessageGroupId".to_owned(), group.to_owned());
        record.attributes.insert("ApproximateReceiveCount".to_owned(), "3".to_owned());
        record
    }

    /// What was handled, what Lambda is told to keep, and the waits in seconds.
    fn handled(records: Vec<SqsMessage>) -> (Vec<String>, Vec<String>, Vec<u64>) {
        let mut event = SqsEvent::default();
        event.records = records;
        let handled = RefCell::new(Vec::new());
        let handle = async |delivery: Delivery<'_>| {
            handled.borrow_mut().push(format!("{} {}", delivery.body, delivery.receive_count));
            match delivery.body {
                "good" => Disposition::Done,
                "bad" => Disposition::Retry(Duration::from_secs(7)),
                other => panic!("{other}"),
            }
        };
        let panicked = async |delivery: Delivery<'_>| match delivery.body {
            "oops" => Disposition::Retry(Duration::from_secs(9)),
            "oops at last" => Disposition::Done,
            other => panic!("{other} again"),
        };
        let returns = block_on(each_record(&event, handle, panicked));
        let waits = returns.messages.iter().map(|(_, wait)| wait.as_secs()).collect();
        let failed =
            returns.response().batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        (handled.into_inner(), failed, waits)
    }

    #[test]
    fn a_bad_record_holds_up_its_own_group_and_no_other() {
        let (handled, failed, waits) = handled(vec![
            record("1", "asha", "bad"),
            record("2", "ravi", "good"),
            record("3", "asha", "good"),
            record("4", "ravi", "bad"),
        ]);
        assert_eq!(handled, ["bad 3", "good 3", "bad 3"]);
        assert_eq!(failed, ["1", "3", "4"]);
        assert_eq!(waits, [7, 7, 7]);
    }

    #[test]
    fn a_panic_costs_only_its_own_record() {
        let (handled, failed, waits) = handled(vec![
            record("1", "asha", "oops"),
            record("2", "ravi", "good"),
            record("3", "meera", "oops at last"),
            record("4", "vikram", "twice"),
            record("5", "leela", "good"),
        ]);
        assert_eq!(handled, ["oops 3", "good 3", "oops at last 3", "twice 3", "good 3"]);
        assert_eq!(failed, ["1", "4"]);
        assert_eq!(waits, [9, AFTER_PANIC.as_secs()]);
    }

    #[test]
    fn a_message_is_as_old_as_the_queue_says_or_as_its_deliveries_tell() {
        const DAY: Duration = Duration::from_secs(86_400);
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
        let age = |attributes: &[(&str, &str)]| {
            let mut message = SqsMessage::default();
            let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            message.attributes = attributes.collect();
            Delivery::of(&message).age(now)
        };
        const SENT: &str = "SentTimestamp";
        const FIRST: &str = "ApproximateFirstReceiveTimestamp";
        const COUNT: &str = "ApproximateReceiveCount";
        assert_eq!(age(&[(SENT, "1699999990000"), (COUNT, "900")]), Some(Duration::from_secs(10)));
        // Its clock is ahead by a minute.
        assert_eq!(age(&[(SENT, "1700000060000")]), Some(Duration::ZERO));
        for no_time in ["", "yesterday", "-1", "1700086400000", "18446744073709551615"] {
            let without = [(SENT, no_time), (FIRST, "1699999990000")];
            assert_eq!(age(&without), Some(Duration::from_secs(10)), "{no_time}");
            let many = age(&[(SENT, no_time), (FIRST, "1700000000000"), (COUNT, "900")]).unwrap();
            assert!(many > 13 * DAY, "{no_time}: {many:?}");
            assert_eq!(age(&[(SENT, no_time)]), None, "{no_time}");
        }
    }

    #[test]
    fn records_without_a_group_do_not_block_each_other() {
        let (_, failed, _) = handled(vec![record("1", "", "bad"), record("2", "", "good")]);
        assert_eq!(failed, ["1"]);
    }

    #[test]
    fn a_record_without_an_id_that_has_to_come_back_takes_the_whole_batch_along() {
        let (handled, failed, _) = handled(vec![record("1", "asha", "good"), record("", "ravi", "bad")]);
        assert_eq!((&*handled, &*failed), (&["good 3".to_owned(), "bad 3".to_owned()][..], &[String::new()][..]));
    }

    #[test]
    fn a_record_without_an_id_can_still_be_done_with() {
        let (_, failed, _) = handled(vec![record("1", "asha", "good"), record("", "ravi", "good")]);
        assert!(failed.is_empty(), "{failed:?}");
    }
}

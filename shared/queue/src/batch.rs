//! Handles the records of one SQS batch one after another, and reports to Lambda which of them it must not delete.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt;
use onboarding::retry::{AFTER_PANIC, usual_age};
use onboarding::worker::{Disposition, handle_in_order};

/// One delivery of a message.
#[derive(Clone, Copy)]
pub struct MessageDelivery<'a> {
    /// The message's id in the queue.
    pub message_id: &'a str,
    /// The message's text.
    pub body: &'a str,
    /// The number of deliveries, this one included, and those before it [made way](crate::Invitations::make_way). 1 if
    /// the record lacks it.
    pub receive_count: u32,
    /// The time at which the message was first put on the queue, if the record has it.
    pub sent_at: Option<SystemTime>,
    /// Whether the message has made way for the person's later ones.
    pub has_own_group: bool,
    /// The time of the first delivery, if the record has it.
    pub first_received_at: Option<SystemTime>,
    /// The handle with which this delivery can be postponed.
    pub receipt_handle: &'a str,
    /// The message group: [`Invitation::message_group`](onboarding::Invitation::message_group).
    pub group: &'a str,
    /// The X-Ray trace that the sender attached, or the empty string.
    pub trace: &'a str,
}

/// The message attribute with the time at which a message that made way was first put on the queue, in milliseconds
/// since the Unix epoch.
pub(crate) const WAITING_SINCE: &str = "waiting_since";

/// The message attribute with the number of its deliveries before that.
pub(crate) const DELIVERIES_BEFORE: &str = "deliveries_before";

/// The messages of a batch that are delivered again, each with its wait.
#[derive(Default)]
pub struct Retries<'a> {
    pub(crate) messages: Vec<(MessageDelivery<'a>, Duration)>,
    /// Whether one of them has no id. Lambda can then only be asked to deliver the whole batch again.
    pub(crate) whole_batch: bool,
}

/// Passes the records of a batch to `handle` in the order of [`handle_in_order`].
///
/// A panic in `handle` is a bug, and costs only the record that caused it one delivery. `panicked` then decides about
/// that record. It should do less than `handle` does: if it panics too, the record is retried.
pub async fn each_record<'a>(
    event: &'a SqsEvent,
    handle: impl AsyncFn(MessageDelivery<'a>) -> Disposition,
    panicked: impl AsyncFn(MessageDelivery<'a>) -> Disposition,
) -> Retries<'a> {
    let deliveries = event.records.iter().map(MessageDelivery::of);
    let group = |delivery: MessageDelivery<'a>| Some(delivery.group).filter(|group| !group.is_empty());
    let handle = async |delivery| match AssertUnwindSafe(handle(delivery)).catch_unwind().await {
        Ok(disposition) => disposition,
        Err(_) => {
            tracing::error!(
                message.id = delivery.message_id,
                cause = "Panicked",
                "handling a message panicked: it is retried; the others of its batch continue; report this bug"
            );
            let decided = AssertUnwindSafe(panicked(delivery)).catch_unwind().await;
            decided.unwrap_or(Disposition::RetryAfter(AFTER_PANIC))
        }
    };
    let mut retries = Retries::default();
    for (delivery, disposition) in handle_in_order(deliveries, group, handle).await {
        let Disposition::RetryAfter(wait) = disposition else { continue };
        if delivery.message_id.is_empty() {
            tracing::error!(
                "a record to be retried has no message id: the whole batch is retried; check what calls the function"
            );
            retries.whole_batch = true;
        } else {
            retries.messages.push((delivery, wait));
        }
    }
    retries
}

/// How far the queue's clock may be ahead of this one. A time further in the future is wrong and is ignored.
const MOST_CLOCK_DIFFERENCE: Duration = Duration::from_secs(60 * 60);

impl<'a> MessageDelivery<'a> {
    /// A delivery of a message that did not come from this queue, such as another system's event. It forms a group of
    /// its own. The id must be letters, digits and punctuation
    /// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>).
    pub fn from_elsewhere(id: &'a str, body: &'a str, at: SystemTime) -> Self {
        Self {
            message_id: id,
            body,
            receive_count: 1,
            sent_at: Some(at),
            has_own_group: true,
            first_received_at: None,
            receipt_handle: "",
            group: id,
            trace: "",
        }
    }

    /// The time since the message was put on the queue. If the record lacks that time, a lower bound from the first
    /// delivery and the number of deliveries. `None` if the record lacks these too.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let since = |time: SystemTime| match now.duration_since(time) {
            Ok(age) => Some(age),
            Err(ahead) => (ahead.duration() <= MOST_CLOCK_DIFFERENCE).then_some(Duration::ZERO),
        };
        self.sent_at.and_then(since).or_else(|| {
            let since_first = self.first_received_at.and_then(since);
            let by_count = (self.receive_count > 1).then(|| usual_age(self.receive_count));
            since_first.max(by_count)
        })
    }

    fn of(record: &'a SqsMessage) -> Self {
        let attribute = |name: &str| record.attributes.get(name).map_or("", String::as_str);
        let time = |text: &str| {
            let since_epoch = text.parse().ok().map(Duration::from_millis)?;
            SystemTime::UNIX_EPOCH.checked_add(since_epoch)
        };
        let of_message = |name| record.message_attributes.get(name).and_then(|value| value.string_value.as_deref());
        let waiting_since = of_message(WAITING_SINCE).and_then(time);
        let deliveries_before = of_message(DELIVERIES_BEFORE).and_then(|count| count.parse().ok()).unwrap_or(0_u32);
        let receive_count: u32 = attribute("ApproximateReceiveCount").parse().unwrap_or(1);
        Self {
            message_id: record.message_id.as_deref().unwrap_or_default(),
            // A message without a body is malformed, and is handled like one with a malformed body.
            body: record.body.as_deref().unwrap_or_default(),
            receive_count: receive_count.saturating_add(deliveries_before),
            sent_at: waiting_since.or_else(|| time(attribute("SentTimestamp"))),
            has_own_group: waiting_since.is_some(),
            first_received_at: time(attribute("ApproximateFirstReceiveTimestamp")),
            receipt_handle: record.receipt_handle.as_deref().unwrap_or_default(),
            group: attribute("MessageGroupId"),
            trace: attribute("AWSTraceHeader"),
        }
    }
}

impl<'a> Retries<'a> {
    /// One message and its wait.
    pub fn of(delivery: MessageDelivery<'a>, wait: Duration) -> Self {
        Self { messages: vec![(delivery, wait)], whole_batch: false }
    }

    /// The response to Lambda: the messages that it must not delete.
    ///
    /// Lambda reads it only if the event source mapping has `ReportBatchItemFailures`. An empty identifier marks the
    /// whole batch as failed (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>).
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

    use aws_lambda_events::sqs::SqsMessageAttribute;
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

    /// The handled messages, the ids that are reported to Lambda as failed, and the waits in seconds.
    fn handled(records: Vec<SqsMessage>) -> (Vec<String>, Vec<String>, Vec<u64>) {
        let mut event = SqsEvent::default();
        event.records = records;
        let handled = RefCell::new(Vec::new());
        let handle = async |delivery: MessageDelivery<'_>| {
            handled.borrow_mut().push(format!("{} {}", delivery.body, delivery.receive_count));
            match delivery.body {
                "good" => Disposition::Done,
                "bad" => Disposition::RetryAfter(Duration::from_secs(7)),
                other => panic!("{other}"),
            }
        };
        let panicked = async |delivery: MessageDelivery<'_>| match delivery.body {
            "oops" => Disposition::RetryAfter(Duration::from_secs(9)),
            "oops at last" => Disposition::Done,
            other => panic!("{other} again"),
        };
        let retries = block_on(each_record(&event, handle, panicked));
        let waits = retries.messages.iter().map(|(_, wait)| wait.as_secs()).collect();
        let failed =
            retries.response().batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        (handled.into_inner(), failed, waits)
    }

    #[test]
    fn a_retried_record_delays_only_its_own_group() {
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
    fn the_age_follows_from_the_time_of_sending_or_else_from_the_deliveries() {
        const DAY: Duration = Duration::from_secs(86_400);
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
        let age = |attributes: &[(&str, &str)]| {
            let mut message = SqsMessage::default();
            let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            message.attributes = attributes.collect();
            MessageDelivery::of(&message).age(now)
        };
        const SENT: &str = "SentTimestamp";
        const FIRST: &str = "ApproximateFirstReceiveTimestamp";
        const COUNT: &str = "ApproximateReceiveCount";
        assert_eq!(age(&[(SENT, "1699999990000"), (COUNT, "900")]), Some(Duration::from_secs(10)));
        // The queue's clock is ahead by a minute.
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
    fn a_message_that_made_way_has_its_first_age_and_all_its_deliveries() {
        let attribute = |value: &str| {
            let mut attribute = SqsMessageAttribute::default();
            attribute.string_value = Some(value.to_owned());
            attribute
        };
        let mut record = record("1", "invitation-1", "");
        record.attributes.insert("SentTimestamp".to_owned(), "1700000000000".to_owned());
        assert!(!MessageDelivery::of(&record).has_own_group);
        record.message_attributes.insert(WAITING_SINCE.to_owned(), attribute("1699990000000"));
        record.message_attributes.insert(DELIVERIES_BEFORE.to_owned(), attribute("7"));
        let delivery = MessageDelivery::of(&record);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!((delivery.has_own_group, delivery.receive_count), (true, 10));
        assert_eq!(delivery.age(now), Some(Duration::from_secs(10_000)));
    }

    #[test]
    fn records_without_a_group_do_not_delay_each_other() {
        let (_, failed, _) = handled(vec![record("1", "", "bad"), record("2", "", "good")]);
        assert_eq!(failed, ["1"]);
    }

    #[test]
    fn a_retried_record_without_an_id_makes_the_whole_batch_fail() {
        let (handled, failed, _) = handled(vec![record("1", "asha", "good"), record("", "ravi", "bad")]);
        assert_eq!((&*handled, &*failed), (&["good 3".to_owned(), "bad 3".to_owned()][..], &[String::new()][..]));
    }

    #[test]
    fn a_record_without_an_id_can_be_done() {
        let (_, failed, _) = handled(vec![record("1", "asha", "good"), record("", "ravi", "good")]);
        assert!(failed.is_empty(), "{failed:?}");
    }
}

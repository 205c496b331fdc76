use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt;

/// One delivery of one message.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The queue's id of the message.
    pub message_id: &'a str,
    /// The message's text.
    pub body: &'a str,
    /// How often it was delivered so far, this time included.
    pub receive_count: u32,
    /// When it was put on the queue.
    pub sent_at: Option<SystemTime>,
    /// The handle by which this delivery can be put off.
    pub receipt_handle: &'a str,
    /// Its message group: the person.
    pub group: &'a str,
    /// The X-Ray trace it belongs to, as its sender gave it; empty where there is none.
    pub trace: &'a str,
}

/// What becomes of a delivered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done with: the queue may delete it.
    Done,
    /// It must come back after this wait.
    ComeBack(Duration),
}

/// The messages of a batch that have to come back, and when.
#[derive(Default)]
pub struct Returns<'a> {
    pub(crate) messages: Vec<(Delivery<'a>, Duration)>,
    /// Whether a record has no id, by which alone it could be reported.
    pub(crate) whole_batch: bool,
}

/// Hands the records of a batch to `handle` one after another.
///
/// A record that has to come back holds up the later ones of its own group and no others: they come back with it, without
/// being handled, since a FIFO queue would otherwise deliver them out of order. A panic in `handle` is a bug, and
/// costs its own record one delivery instead of taking the whole batch along.
pub async fn each_record<'a>(event: &'a SqsEvent, handle: impl AsyncFn(Delivery<'a>) -> Verdict) -> Returns<'a> {
    let mut returns = Returns::default();
    let mut held_up: HashMap<&str, Duration> = HashMap::new();
    for record in &event.records {
        let Some(id) = record.message_id.as_deref().filter(|id| !id.is_empty()) else {
            tracing::error!("a record has no message id: the whole batch goes back");
            returns.whole_batch = true;
            continue;
        };
        let delivery = Delivery::of(id, record);
        let verdict = match held_up.get(delivery.group) {
            Some(wait) => Verdict::ComeBack(*wait),
            None => AssertUnwindSafe(handle(delivery)).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(message.id = id, "handling the record panicked: it comes back");
                Verdict::ComeBack(AFTER_PANIC)
            }),
        };
        if let Verdict::ComeBack(wait) = verdict {
            returns.messages.push((delivery, wait));
            if !delivery.group.is_empty() {
                held_up.insert(delivery.group, wait);
            }
        }
    }
    returns
}

/// A bug is not mended within seconds.
const AFTER_PANIC: Duration = Duration::from_secs(5 * 60);

impl<'a> Delivery<'a> {
    /// The one delivery of something that did not come from this queue, such as another system's event; of no group but its
    /// own. SQS takes letters, digits and punctuation for an id.
    pub fn from_elsewhere(id: &'a str, body: &'a str, at: SystemTime) -> Self {
        Self { message_id: id, body, receive_count: 1, sent_at: Some(at), receipt_handle: "", group: id, trace: "" }
    }

    fn of(message_id: &'a str, record: &'a SqsMessage) -> Self {
        let attribute = |name: &str| record.attributes.get(name).map_or("", String::as_str);
        let sent_at = attribute("SentTimestamp").parse().ok().map(Duration::from_millis);
        Self {
            message_id,
            // A message without a body is as malformed as one with a wrong one, and takes the same way out.
            body: record.body.as_deref().unwrap_or_default(),
            receive_count: attribute("ApproximateReceiveCount").parse().unwrap_or(1),
            sent_at: sent_at.map(|since_epoch| SystemTime::UNIX_EPOCH + since_epoch),
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
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>). An empty identifier makes Lambda
    /// take the whole batch for failed.
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
        let returns = block_on(each_record(&event, async |delivery| {
            handled.borrow_mut().push(format!("{} {}", delivery.body, delivery.receive_count));
            match delivery.body {
                "good" => Verdict::Done,
                "bad" => Verdict::ComeBack(Duration::from_secs(7)),
                other => panic!("{other}"),
            }
        }));
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
        let (handled, failed, waits) = handled(vec![record("1", "asha", "oops"), record("2", "ravi", "good")]);
        assert_eq!(handled, ["oops 3", "good 3"]);
        assert_eq!(failed, ["1"]);
        assert_eq!(waits, [AFTER_PANIC.as_secs()]);
    }

    #[test]
    fn records_without_a_group_do_not_block_each_other() {
        let (_, failed, _) = handled(vec![record("1", "", "bad"), record("2", "", "good")]);
        assert_eq!(failed, ["1"]);
    }

    #[test]
    fn a_record_without_an_id_sends_the_whole_batch_back() {
        let (_, failed, _) = handled(vec![record("1", "asha", "good"), record("", "ravi", "good")]);
        assert_eq!(failed, [""]);
    }
}

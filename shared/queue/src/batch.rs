use std::collections::HashSet;
use std::panic::AssertUnwindSafe;

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
    /// The handle by which this delivery can be put off.
    pub receipt_handle: &'a str,
    /// Its message group: the person.
    pub group: &'a str,
}

/// What becomes of a delivered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done with: the queue may delete it.
    Done,
    /// It must come back.
    ComeBack,
}

/// Hands the records of a batch to `handle` one after another and tells Lambda which ones have to come back.
///
/// A record that has to come back holds up the later ones of its own group and no others: they are reported too, without
/// being handled, since a FIFO queue would otherwise deliver them out of order. A panic in `handle` is a bug, and
/// costs its own record one delivery instead of taking the whole batch along.
///
/// The answer only counts when the event source says `ReportBatchItemFailures`
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>).
pub async fn each_record(event: &SqsEvent, handle: impl AsyncFn(Delivery<'_>) -> Verdict) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    let mut blocked = HashSet::new();
    for record in &event.records {
        let Some(id) = record.message_id.as_deref().filter(|id| !id.is_empty()) else {
            // Lambda deletes what is not reported, and without an id only the whole batch can be.
            tracing::error!("a record has no message id: the whole batch is sent back");
            return every_record(event);
        };
        let delivery = delivery(id, record);
        let verdict = match blocked.contains(delivery.group) {
            true => Verdict::ComeBack,
            false => AssertUnwindSafe(handle(delivery)).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(message.id = id, "handling the record panicked: it comes back");
                Verdict::ComeBack
            }),
        };
        if verdict == Verdict::ComeBack {
            response.add_failure(id);
            if !delivery.group.is_empty() {
                blocked.insert(delivery.group);
            }
        }
    }
    response
}

/// An empty identifier makes Lambda treat the whole batch as failed.
fn every_record(event: &SqsEvent) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.add_failure("");
    tracing::warn!(records = event.records.len(), "batch sent back");
    response
}

fn delivery<'a>(message_id: &'a str, record: &'a SqsMessage) -> Delivery<'a> {
    let attribute = |name: &str| record.attributes.get(name).map_or("", String::as_str);
    Delivery {
        message_id,
        // A message without a body is as malformed as one with a wrong one, and takes the same way out.
        body: record.body.as_deref().unwrap_or_default(),
        receive_count: attribute("ApproximateReceiveCount").parse().unwrap_or(1),
        receipt_handle: record.receipt_handle.as_deref().unwrap_or_default(),
        group: attribute("MessageGroupId"),
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

    fn handled(records: Vec<SqsMessage>) -> (Vec<String>, Vec<String>) {
        let mut event = SqsEvent::default();
        event.records = records;
        let handled = RefCell::new(Vec::new());
        let response = block_on(each_record(&event, async |delivery| {
            handled.borrow_mut().push(format!("{} {}", delivery.body, delivery.receive_count));
            match delivery.body {
                "good" => Verdict::Done,
                "bad" => Verdict::ComeBack,
                other => panic!("{other}"),
            }
        }));
        let failed = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        (handled.into_inner(), failed)
    }

    #[test]
    fn a_bad_record_holds_up_its_own_group_and_no_other() {
        let (handled, failed) = handled(vec![
            record("1", "asha", "bad"),
            record("2", "ravi", "good"),
            record("3", "asha", "good"),
            record("4", "ravi", "bad"),
        ]);
        assert_eq!(handled, ["bad 3", "good 3", "bad 3"]);
        assert_eq!(failed, ["1", "3", "4"]);
    }

    #[test]
    fn a_panic_costs_only_its_own_record() {
        let (handled, failed) = handled(vec![record("1", "asha", "oops"), record("2", "ravi", "good")]);
        assert_eq!(handled, ["oops 3", "good 3"]);
        assert_eq!(failed, ["1"]);
    }

    #[test]
    fn records_without_a_group_do_not_block_each_other() {
        let (_, failed) = handled(vec![record("1", "", "bad"), record("2", "", "good")]);
        assert_eq!(failed, ["1"]);
    }

    #[test]
    fn a_record_without_an_id_sends_the_whole_batch_back() {
        let (_, failed) = handled(vec![record("1", "asha", "good"), record("", "ravi", "good")]);
        assert_eq!(failed, [""]);
    }
}

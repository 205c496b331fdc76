//! The stack that the operator's commands work on: a table and the queues, without functions.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use ledger::Ledger;
use onboarding::Invitation;
use operator::{Clock, Parameters, Stack};
use time::{Duration, OffsetDateTime, macros::datetime};

use crate::aws::{Aws, Queue};

type Item = HashMap<String, AttributeValue>;

/// The time of [`StoppedClock`].
pub(crate) const NOW: OffsetDateTime = datetime!(2026-01-02 12:00:00 UTC);

/// How long an application is held.
pub(crate) const KEPT: Duration = Duration::days(14);

/// A clock that stands still.
pub(crate) struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> OffsetDateTime {
        NOW
    }

    async fn sleep(&self, _: std::time::Duration) {}
}

/// A table and the queues of a stack, as an operator has them.
pub(crate) struct OperatorStack {
    pub(crate) aws: Aws,
    pub(crate) table: String,
    pub(crate) ledger: Ledger,
    pub(crate) invitations: Queue,
    pub(crate) dead: Queue,
    pub(crate) events: Queue,
    pub(crate) outputs: BTreeMap<String, String>,
}

impl OperatorStack {
    pub(crate) async fn new() -> Self {
        let aws = Aws::new().await;
        let table = aws.table().await;
        let (invitations, dead) = (aws.queue("invitations").await, aws.queue("dead-letters").await);
        let events = aws.queue("undelivered").await;
        let ledger = Ledger::new(aws.dynamodb(), table.clone());
        let outputs = BTreeMap::from([
            ("LedgerTable".to_owned(), table.clone()),
            ("InvitationsQueueUrl".to_owned(), invitations.url.clone()),
            ("DeadLettersQueueUrl".to_owned(), dead.url.clone()),
            ("UndeliveredEventsQueueUrl".to_owned(), events.url.clone()),
        ]);
        Self { aws, table, ledger, invitations, dead, events, outputs }
    }

    pub(crate) fn stack(&self) -> Stack {
        self.stack_with(Parameters::default())
    }

    pub(crate) fn stack_with(&self, parameters: Parameters) -> Stack {
        Stack::new("test", self.aws.config(), self.outputs.clone(), parameters).unwrap()
    }

    pub(crate) async fn put(&self, items: impl IntoIterator<Item = Item>) {
        self.aws.put_items(&self.table, items.into_iter().collect()).await;
    }
}

/// The item that intake writes for a held application.
pub(crate) fn held_item(invitation: &Invitation, cause: &str, network: Option<&str>, held_at: OffsetDateTime) -> Item {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let seconds = |time: OffsetDateTime| AttributeValue::N(time.unix_timestamp().to_string());
    let mut item = Item::from([
        ("pk".to_owned(), text(&format!("held#{}", invitation.id))),
        ("person".to_owned(), text(invitation.person().as_str())),
        ("message".to_owned(), text(&invitation.encode())),
        ("cause".to_owned(), text(cause)),
        ("source".to_owned(), text(invitation.source.name())),
        ("held_at".to_owned(), seconds(held_at)),
        ("expires_at".to_owned(), seconds(held_at + KEPT)),
    ]);
    item.extend(network.map(|digit| ("network".to_owned(), text(&digit.repeat(64)))));
    item
}

//! Applications that are held: kept for an operator to decide about, without a mail and without a call to LeadSquared.

use aws_sdk_dynamodb::types::{CancellationReason, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use onboarding::Invitation;
use time::{Duration, OffsetDateTime};

use crate::item::{Condition, Item, Reader, held_key, seconds, text};
use crate::places::Mark;
use crate::{FAILED, Ledger, LedgerError};

/// How long a held application waits for an operator.
pub const HELD_FOR: Duration = Duration::days(14);

/// An application to be held.
pub struct Hold<'a> {
    /// What it asks for. A password in it is sealed.
    pub invitation: &'a Invitation,
    /// Why: the cap that it went over, or `honeypot`.
    pub cause: &'a str,
    /// A hash of the network it came from, in hexadecimal, if it came from one.
    pub network: Option<&'a str>,
    /// The name of this very application.
    pub mark: &'a Mark,
}

/// What came of holding an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// It is held.
    Now,
    /// It was held before, and its item stays as it is.
    Already,
    /// The very same application went to the queue before: it is not held.
    WasAccepted,
    /// Another application with the same id is held or went to the queue. This one is not held.
    OtherPayload,
}

impl Ledger {
    /// Holds an application for [`HELD_FOR`], once.
    ///
    /// # Errors
    /// When DynamoDB does not say. It may be held then; a repeat holds it once.
    pub async fn hold(&self, hold: &Hold<'_>, now: OffsetDateTime) -> Result<Holding, LedgerError> {
        let Hold { invitation, cause, network, mark } = *hold;
        let (pk, expires_at) = (held_key(invitation.id), now + HELD_FOR);
        let mut item = Item::from([
            ("pk".to_owned(), text(&pk)),
            ("person".to_owned(), text(invitation.person().as_str())),
            ("message".to_owned(), text(&invitation.encode())),
            ("cause".to_owned(), text(cause)),
            ("source".to_owned(), text(invitation.source.name())),
            ("held_at".to_owned(), seconds(now)),
            ("expires_at".to_owned(), seconds(expires_at)),
        ]);
        item.extend(network.map(|network| ("network".to_owned(), text(network))));
        let condition = Condition::absent_or_expired(now);
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition.expression)
            .set_expression_attribute_names(Some(condition.names()))
            .set_expression_attribute_values(Some(condition.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = TransactWriteItem::builder().put(put.build().expect("a table and an item are set")).build();
        let Err(reasons) = self.transact(vec![put, self.mark(mark, true, now, expires_at)]).await? else {
            return Ok(Holding::Now);
        };
        let failed = |n: usize| reasons.get(n).filter(|reason: &&CancellationReason| reason.code() == Some(FAILED));
        if failed(1).is_some_and(|marked| mark.is_other(marked)) {
            return Ok(Holding::OtherPayload);
        }
        let Some(before) = failed(0) else { return Ok(Holding::WasAccepted) };
        let empty = Item::new();
        let before = Reader { pk, item: before.item().unwrap_or(&empty) };
        let is_same = before
            .optional_text("message")
            .and_then(|message| Invitation::decode(message).ok())
            .is_none_or(|before| before.payload_hash() == invitation.payload_hash());
        Ok(if is_same { Holding::Already } else { Holding::OtherPayload })
    }
}

//! The events that the worker reports about a delivery. The function turns them into log lines and metrics.

use std::error::Error;
use std::time::Duration;

use super::ServiceFailure;
use crate::retry::AttemptFailure;
use crate::{Completion, FlowEvent, Invitation, InvitationId, MalformedInvitation, Postponed};

/// One event in the handling of a delivery. None of it prints personal data.
#[derive(Debug)]
pub enum WorkerEvent<'a> {
    /// The message is not an invitation. It becomes a dead letter.
    Malformed(&'a MalformedInvitation),
    /// A public form sent a password. It is not used, because any visitor can type a password beside another person's
    /// address.
    PasswordDiscarded(InvitationId),
    /// The chosen password cannot be opened. The invitation continues with a random one.
    PasswordLost {
        /// The invitation.
        receipt: InvitationId,
        /// Why it cannot be opened.
        error: &'a (dyn Error + 'static),
    },
    /// Something in the flow that an operator should know although the invitation continues.
    Flow(&'a FlowEvent<'a>),
    /// An attempt failed.
    Failed {
        /// The invitation, if the message says which it is.
        receipt: Option<InvitationId>,
        /// Why.
        failure: &'a AttemptFailure,
        /// Whether an operator must act.
        needs_operator: bool,
        /// The age of the message.
        age: Duration,
        /// The wait before the next attempt; `None` if the message has reached its horizon and becomes a dead letter.
        retry_in: Option<Duration>,
    },
    /// The message becomes a dead letter, and the ledger could not record it. The ledger records it when the dead
    /// letter is put back.
    NotRecorded {
        /// The invitation, if the message says which it is.
        receipt: Option<InvitationId>,
        /// Why the ledger could not record it.
        error: &'a Postponed,
    },
    /// LeadSquared has not answered this message for so long that it was sent again, into a message group of its own.
    MadeWay {
        /// The invitation.
        receipt: InvitationId,
    },
    /// Such a message could not be sent again. The next delivery tries it again.
    MakeWayFailed {
        /// The invitation.
        receipt: InvitationId,
        /// Why.
        error: &'a ServiceFailure,
    },
    /// A question has waited for a look-up for nearly as long as SQS keeps a message, so it was sent again.
    Requeued {
        /// The invitation.
        receipt: InvitationId,
    },
    /// Such a question could not be sent again. The message is retried until it can be.
    RequeueFailed {
        /// The invitation.
        receipt: InvitationId,
        /// Why.
        error: &'a ServiceFailure,
        /// Whether an operator must act.
        needs_operator: bool,
        /// The age of the message.
        age: Duration,
        /// The wait before the next attempt.
        retry_in: Duration,
    },
    /// The dead letter could not be written. The message is retried until it can be.
    DeadLetterFailed {
        /// Why.
        error: &'a ServiceFailure,
        /// Whether an operator must act.
        needs_operator: bool,
        /// The age of the message.
        age: Duration,
        /// The wait before the next attempt.
        retry_in: Duration,
    },
    /// The message is done.
    Ended {
        /// The invitation, if the message could be read.
        invitation: Option<&'a Invitation>,
        /// The id of the invitation, if the message says which it is.
        receipt: Option<InvitationId>,
        /// How it ended.
        completion: &'a Completion,
        /// Whether it became a dead letter.
        is_dead_letter: bool,
    },
}

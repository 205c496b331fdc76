//! The errors of the operator's commands, each with what to do about it.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Why a command failed. No error text holds personal data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// CloudFormation did not describe the stack.
    #[error("could not look up the stack {name} ({cause}); {advice}")]
    Stack {
        /// The stack's name.
        name: String,
        /// CloudFormation's error code, or what happened on the way.
        cause: String,
        /// What to check.
        advice: String,
    },
    /// The stack belongs to other software, or its template is older than this command.
    #[error("the stack {name} has no {wanted}: check the stack's name, or deploy the current template first")]
    Missing {
        /// The stack's name.
        name: String,
        /// The output, or the function.
        wanted: String,
    },
    /// AWS refused a call, or did not answer.
    #[error("could not call {action} ({cause}); check that your AWS user has this right, then run the command again")]
    Call {
        /// The call's name in IAM policies.
        action: &'static str,
        /// AWS's error code, or what happened on the way.
        cause: String,
    },
    /// The ledger could not be used.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// An accepted application could not be put on the queue. Accepting again sends it.
    #[error(transparent)]
    Queue(#[from] queue::QueueError),
    /// The day's share of mails and calls is used up by applications that were accepted today.
    #[error(
        "{a_day} held applications were accepted today, which is half of the day's mails and calls; accept the rest \
         tomorrow, or set how many to accept now with --limit"
    )]
    DayUsedUp {
        /// How many may be accepted in a day.
        a_day: u64,
    },
    /// Neither the ledger, the logs nor the dead letters have the invitation.
    #[error(
        "nothing is known of {receipt}; check the receipt (the form's answer and every log line of an invitation have \
         it) and the stack. An invitation older than 30 days is no longer known"
    )]
    UnknownReceipt {
        /// The receipt.
        receipt: onboarding::InvitationId,
    },
    /// The output was closed, or could not be written.
    #[error("could not write the output")]
    Output(#[from] std::io::Error),
}

impl OperatorError {
    /// The error of a call to AWS.
    pub(crate) fn call<E: ProvideErrorMetadata, R>(action: &'static str) -> impl Fn(SdkError<E, R>) -> Self {
        move |error| Self::Call { action, cause: aws::cause(&error) }
    }
}

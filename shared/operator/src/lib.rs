//! What an operator asks of a deployed stack, on AWS or on this machine: so far, what becomes of held applications.
//!
//! The answers hold nothing of a person but hashes and receipts.

pub mod held;
mod stack;

pub use stack::{Parameters, Stack, configuration_of};

/// Why an operator's command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// CloudFormation does not say what the stack has.
    #[error("could not look up the stack {name} ({cause})")]
    Stack {
        /// The stack's name.
        name: String,
        /// CloudFormation's error code, or what happened on the way.
        cause: String,
    },
    /// The stack is another one, or older than this command.
    #[error("the stack {name} has no output {output}: it is another stack, or of an older template")]
    Output {
        /// The stack's name.
        name: String,
        /// What it lacks.
        output: &'static str,
    },
    /// The ledger could not be used.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// An accepted application could not be put on the queue. Accepting again sends it.
    #[error(transparent)]
    Queue(#[from] queue::QueueError),
    /// SQS does not say how long the queue is.
    #[error("could not count the messages on the queue of invitations ({0}); check your permissions on it")]
    QueueLength(String),
}

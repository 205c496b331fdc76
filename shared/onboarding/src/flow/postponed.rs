//! Why an attempt stops: the invitation has ended, or a failure may pass.

use std::error::Error as StdError;

use leadsquared::Error;
use time::OffsetDateTime;

use crate::{Outcome, Rejection, Suppression};

/// The invitation is not finished, and nothing of it is lost. It must be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Postponed {
    /// Another attempt at the same invitation is under way.
    #[error("another attempt at this invitation is under way")]
    Held,
    /// A call of LeadSquared failed, or its result is unknown.
    #[error("{step} did not succeed")]
    LeadSquared {
        /// The purpose of the call, in words.
        step: &'static str,
        /// Why the call failed.
        #[source]
        source: Error,
    },
    /// A call of LeadSquared failed for this invitation and works for others.
    #[error("{step} did not succeed, and does for other people")]
    Lone {
        /// The purpose of the call, in words.
        step: &'static str,
        /// Why the call failed.
        #[source]
        source: Error,
    },
    /// An invitation has failed after so many calls that it backs off: it is of an anonymous sender, or a question.
    #[error("the invitation has failed after several calls; after {until} it checks whether it may make another")]
    BackingOff {
        /// When it checks again.
        until: OffsetDateTime,
    },
    /// It is unknown whether the mail was sent. There is one repeat, so it should wait until the cause has passed.
    #[error("it is not known whether the mail was sent")]
    MailUnknown(#[source] Error),
    /// The account's mails of the day are used up. The person is registered, and mailed on the next day.
    #[error("the day's mails are used up; the mail is sent after {until}, or earlier if the budget is raised")]
    MailBudget {
        /// When the next day begins.
        until: OffsetDateTime,
    },
    /// The look-ups for undecided rules that may be taken by now are used up.
    #[error(
        "the look-ups for undecided rules are used up for now; there are {a_day} in a day, and half of them for questions \
         of the last hour and those whose look-up failed"
    )]
    RuleLookups {
        /// How many there are in a day.
        a_day: u32,
        /// Whether the question comes before the waiting ones.
        is_first: bool,
    },
    /// No rule applies yet, and later events of the lead were dropped as repeats of this one.
    #[error("no rule applies yet; the lead is looked up once more after {until}, because it may have changed since")]
    RulesUndecided {
        /// When a new event of the lead is a message of its own again.
        until: OffsetDateTime,
    },
    /// Just before this mail, another mail to the person was begun, or the last mail of the day's budget.
    #[error("another mail was begun at the same moment")]
    MailBookChanged,
    /// A newer function asks for a feature that this worker does not have yet.
    #[error("this worker does not append activities: deploy the newer worker")]
    NotSupported,
    /// The ledger could not be read or written.
    #[error("the ledger could not be used")]
    Ledger(#[source] Box<dyn StdError + Send + Sync>),
}

impl Postponed {
    /// The error's word in metrics and dead letters.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Held => "Held",
            Self::LeadSquared { source, .. } | Self::Lone { source, .. } => source.name(),
            Self::BackingOff { .. } => "BackingOff",
            Self::MailUnknown(_) => "MailUnknown",
            Self::MailBudget { .. } => "MailBudget",
            Self::RuleLookups { .. } => "RuleLookups",
            Self::RulesUndecided { .. } => "RulesUndecided",
            Self::MailBookChanged => "MailBookChanged",
            Self::NotSupported => "NotSupported",
            Self::Ledger(_) => "Ledger",
        }
    }

    /// LeadSquared's error, if LeadSquared failed.
    pub fn leadsquared(&self) -> Option<&Error> {
        match self {
            Self::LeadSquared { source, .. } | Self::Lone { source, .. } | Self::MailUnknown(source) => Some(source),
            Self::Held | Self::BackingOff { .. } | Self::MailBudget { .. } | Self::MailBookChanged => None,
            Self::RuleLookups { .. } | Self::RulesUndecided { .. } => None,
            Self::NotSupported | Self::Ledger(_) => None,
        }
    }

    pub(super) fn ledger(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::Ledger(Box::new(error))
    }
}

/// Why an attempt does not take the next step.
pub(super) enum Stop {
    Ended(Outcome),
    Postponed(Postponed),
}

impl Stop {
    pub(super) fn ledger(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::Postponed(Postponed::ledger(error))
    }

    pub(super) fn suppressed(suppression: Suppression) -> Self {
        Self::Ended(Outcome::Suppressed(suppression))
    }

    /// A final refusal, with LeadSquared's `ExceptionType` or our own word for it.
    pub(super) fn refused(exception_type: impl Into<String>) -> Self {
        Rejection::Refused { exception_type: exception_type.into() }.into()
    }

    /// Whether no answer of LeadSquared itself is the reason.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self, Self::Postponed(Postponed::LeadSquared { source, .. }) if source.is_unanswered())
    }

    /// Whether no call was made, although the step asked for one.
    pub(super) fn is_without_a_call(&self) -> bool {
        let Self::Postponed(Postponed::LeadSquared { source, .. }) = self else { return false };
        matches!(source, Error::TurnedAway(_) | Error::OutOfTime | Error::Unreachable(_))
    }

    /// An error that no step handles. It is final only if neither time nor an operator can change it.
    pub(super) fn because(step: &'static str, error: Error) -> Self {
        if !error.is_refusal() {
            return Self::Postponed(Postponed::LeadSquared { step, source: error });
        }
        match error {
            Error::Refused { exception_type, .. } => Self::refused(exception_type),
            other => Self::refused(other.name()),
        }
    }
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Ended(Outcome::Rejected(rejection))
    }
}

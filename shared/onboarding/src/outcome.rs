//! The named end of an invitation, and its cause.

use std::borrow::Cow;
use std::fmt;

/// The one named end of an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Newly registered, link mailed.
    Invited,
    /// The lead was known; the link was mailed to the address on record.
    InvitedExisting,
    /// This invitation was done before, or the person was mailed a moment ago: nothing was done again.
    AlreadyInvited,
    /// The person was deliberately not mailed.
    Suppressed(Suppression),
    /// LeadSquared or our own rules refuse it; a retry would not help.
    Rejected(Rejection),
    /// It failed for longer than its horizon.
    Exhausted {
        /// The name of the last failure.
        cause: String,
    },
}

/// Why a person is deliberately not mailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    /// The person got as many recent mails as one address may get ([`MailLimits`](crate::MailLimits)).
    MailCap,
    /// A link was requested for an address of no lead. The sender gets the same answer as for any address.
    UnknownPerson,
    /// The lead has no usable e-mail address on record.
    NoEmailAddress,
    /// LeadSquared mails this person nothing: they unsubscribed, or are marked "Do Not Email".
    NoRecipient,
    /// A look-up of the lead decided that no rule asks for the invitation.
    NoRuleApplies,
}

/// Why an invitation is refused. None of it is personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// LeadSquared matched the application to a lead with another e-mail address. A link would open another person's
    /// application.
    IdentityMismatch,
    /// There is no lead with the id that the invitation names: it was deleted or merged.
    NoSuchLead,
    /// The same id came before with another content.
    IdReused,
    /// The permitted number of mails was begun, and it is unknown whether one was sent. An operator has to look:
    /// another mail could be one too many, and without one the applicant could be lost.
    MailUnknown,
    /// LeadSquared gives no answer of its own to this message, even with the identifying attributes only, and does for
    /// others what fails for it.
    Content {
        /// The name of the last failure.
        failure: &'static str,
    },
    /// LeadSquared delivers no mail to this person, and does to others. The person is known to LeadSquared.
    MailRefused,
    /// LeadSquared refused the call.
    Refused {
        /// LeadSquared's `ExceptionType`, or our word for the decision.
        exception_type: String,
    },
}

impl Outcome {
    /// Every [`name`](Self::name).
    pub const NAMES: [&str; 6] =
        ["invited", "invited-existing", "already-invited", "suppressed", "rejected", "exhausted"];

    /// The outcome's word in logs, metrics and the ledger.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::InvitedExisting => "invited-existing",
            Self::AlreadyInvited => "already-invited",
            Self::Suppressed(_) => "suppressed",
            Self::Rejected(_) => "rejected",
            Self::Exhausted { .. } => "exhausted",
        }
    }

    /// The reason for this end, if the name alone does not say it. Holds no personal data.
    pub fn cause(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Invited | Self::InvitedExisting | Self::AlreadyInvited => None,
            Self::Suppressed(Suppression::MailCap) => Some("mail-cap".into()),
            Self::Suppressed(Suppression::UnknownPerson) => Some("unknown-person".into()),
            Self::Suppressed(Suppression::NoEmailAddress) => Some("no-e-mail-address".into()),
            Self::Suppressed(Suppression::NoRecipient) => Some("no-recipient".into()),
            Self::Suppressed(Suppression::NoRuleApplies) => Some("no-rule-applies".into()),
            Self::Rejected(rejection) => Some(rejection.to_string().into()),
            Self::Exhausted { cause } => Some(cause.into()),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdentityMismatch => f.write_str("identity-mismatch"),
            Self::NoSuchLead => f.write_str("no-such-lead"),
            Self::IdReused => f.write_str("id-reused"),
            Self::MailUnknown => f.write_str("mail-unknown"),
            Self::MailRefused => f.write_str("mail-refused"),
            Self::Content { failure } => write!(f, "content: {failure}"),
            Self::Refused { exception_type } => write!(f, "refused: {exception_type}"),
        }
    }
}

//! What happens in the flow that an operator should know although the invitation continues.

use std::error::Error;

use crate::InvitationId;

/// One such event. It prints no personal data.
#[derive(Debug)]
pub enum FlowEvent<'a> {
    /// The ledger did not release the claim of an attempt. The next attempt waits until the lease runs out.
    ClaimNotReleased {
        /// The invitation.
        receipt: InvitationId,
        /// Why.
        error: &'a (dyn Error + 'static),
    },
    /// A look-up of the lead decided the rules that the event did not decide.
    RuleDecided {
        /// The invitation.
        receipt: InvitationId,
        /// The name of the rule that fires.
        rule: &'a str,
    },
    /// A rule did not fire because the looked-up lead does not have a field that it depends on.
    RuleNeedsUnknownField {
        /// The invitation.
        receipt: InvitationId,
        /// The name of the rule.
        rule: &'a str,
        /// The field's name in the rule.
        field: &'a str,
    },
    /// The mail is sent once more, because it is unknown whether an earlier one was sent: its answer was lost, or the
    /// worker crashed.
    MailRepeated {
        /// The invitation.
        receipt: InvitationId,
    },
    /// LeadSquared does not have these lead fields. The person is registered without them.
    UnknownFields {
        /// The invitation.
        receipt: InvitationId,
        /// Their schema names.
        names: &'a [String],
    },
    /// LeadSquared refuses a value of these lead fields. The lead's notes have them.
    ValuesRefused {
        /// The invitation.
        receipt: InvitationId,
        /// Their schema names.
        names: &'a [String],
    },
    /// LeadSquared gave no answer of its own to a registration with these attributes, or refused them in the lead's
    /// notes too, and registered the person without them. A dead letter keeps them.
    Withheld {
        /// The invitation.
        receipt: InvitationId,
        /// Their schema names.
        names: &'a [String],
    },
    /// The person was registered without the mark of unproven identifiers. The identifiers are in the lead's notes.
    Unmarked {
        /// The invitation.
        receipt: InvitationId,
        /// The field of the mark.
        field: &'a str,
        /// What LeadSquared refused.
        refused: RefusedMark,
    },
}

/// What LeadSquared refused when it did not take the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedMark {
    /// The mark's field, by its name.
    Field,
    /// A value, which may be the mark or an identifier.
    Value,
}

//! The calls to LeadSquared that each step of a request can make.

/// A step that calls LeadSquared. The network that sends the request is charged for all calls of a step before the
/// first of them.
///
/// Repeats of a call that got no answer and the renewal of LeadSquared's portal tokens are not charged: no request
/// causes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Checks a password.
    CheckPassword(PhoneLookUp),
    /// Sends a text message with a code.
    SendCode(PhoneLookUp),
    /// Checks a texted code: one call with it, and one without it if that fails.
    CheckCode,
    /// Reads a lead that signs in with something unproven, and mails it a code.
    AskForProof,
    /// Reads the mark of a lead that has proven its mailbox, and writes it.
    WriteMark,
    /// Changes a password: the call, and the mail to the lead that is looked up for it.
    ChangePassword,
    /// Mails a link that sets a password.
    MailResetLink(PhoneLookUp),
    /// Sets a password: the call, and the mail to the lead that is looked up for it.
    ResetPassword,
}

/// Whether LeadSquared's spelling of the identifier is looked up first, because it is a phone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhoneLookUp {
    /// It takes one call.
    Needed,
    /// It takes none.
    NotNeeded,
}

impl Step {
    /// The most calls that the step makes.
    pub(crate) fn calls(self) -> u32 {
        match self {
            Self::CheckPassword(look_up) | Self::SendCode(look_up) | Self::MailResetLink(look_up) => match look_up {
                PhoneLookUp::Needed => 2,
                PhoneLookUp::NotNeeded => 1,
            },
            Self::CheckCode | Self::AskForProof | Self::WriteMark => 2,
            Self::ChangePassword | Self::ResetPassword => 3,
        }
    }
}

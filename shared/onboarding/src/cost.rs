//! What an invitation costs of the day's calls and mails.

use crate::Action;

/// The calls to LeadSquared and the mails that an invitation of a new lead needs, when nothing fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Calls to LeadSquared.
    pub calls: u32,
    /// Mails.
    pub mails: u32,
}

impl Cost {
    /// The cost of an invitation with this action.
    pub fn of(action: Action) -> Self {
        let (calls, mails) = match action {
            Action::Invite => (3, 1),
            Action::MailLink => (2, 1),
            Action::Activity => (1, 0),
        };
        Self { calls, mails }
    }
}

#![doc = include_str!("../../rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod code;
mod content;
mod cost;
mod crm;
mod digest;
mod flow;
mod invitation;
mod ledger;
mod link;
mod mail;
mod mail_limits;
mod mailbox;
mod outcome;
mod password;
mod portal_key;
mod private;
pub mod retry;
pub mod rules;
mod unproven;
pub mod worker;

pub use code::{CODE_TRIES, MAILED_CODE_BYTES, mailed_code, may_be_mailed, plain_code, typed_code};
pub use content::{ContentFailures, LastSuccesses, LoneFailures, Success};
pub use cost::{CallsMade, Cost};
pub use crm::Crm;
pub use digest::digest;
pub use flow::{Attempt, Bookkeeping, Completion, Flow, FlowEvent, Portal, Postponed, RefusedMark};
pub use invitation::{
    Action, INVITATION_ACCEPTED, Invitation, InvitationId, Invitee, MalformedInvitation, MalformedPersonKey, PersonKey,
    Provenance, RuleQuestion, SealedPassword, Source,
};
pub use ledger::{Claim, Ended, Lease, Ledger, LeftOut, MarkSent, Record};
pub use link::{
    CodeHash, LINK_TOKEN_BYTES, LinkHash, LinkMode, LinkTarget, LinkToken, MalformedLinkToken, USED_LINKS, UsedLinks,
};
pub use mail::{LoginLinkMail, Mail, MailError};
pub use mail_limits::{BegunMail, MailHistory, MailLimits, MailReservation};
pub use mailbox::MailboxKey;
pub use outcome::{Outcome, Rejection, Suppression};
pub use password::{PASSWORD_BYTES, generated_password};
pub use portal_key::{PortalKeyError, portal_key};
pub use private::Private;
pub use unproven::{Marking, PASSWORD, Unproven, UnreadableMark, proof};
pub use worker::ServiceFailure;

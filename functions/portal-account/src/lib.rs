//! A portal user's own account: signing in with a password or a one-time code, and changing, forgetting and resetting
//! the password.
//!
//! Trigger: `POST /sign-in`, `/sign-in/code`, `/sign-in/code/verify`, `/password/change`, `/password/forgot`,
//! `/password/reset` and `/sign-out` on the HTTP API (payload 2.0), or a REST API or Function URL. A person waits, so
//! everything has five seconds, and LeadSquared is asked in the interactive lane.
//!
//! **Nobody learns who has an account.** A wrong password, an unknown person and one who is no portal user get the
//! same bytes; asking for a code or a reset link is answered the same for everybody, and LeadSquared is asked about
//! whatever code is typed for anybody. Where the time that LeadSquared takes could tell, the answer waits for a fixed
//! moment ([`wait`]).
//!
//! **What a stranger types signs nobody in.** A lead of a form carries a mark ([`onboarding::Unproven`]). Its
//! identifiers, and a password that was typed in the form, sign in only after one browser has proven them and the
//! lead's mailbox, under one challenge. A link that is pressed proves nothing here. Who may sign in:
//!
#![doc = include_str!("../sign-in-matrix.md")]
//!
//! A lead whose mark cannot be read signs nobody in (503). What was proven is written to the mark and to the ledger.
//!
//! **Guessing is slow and locks nobody out.** Attempts are counted for each person from each address, for each
//! address, and for each person, the last loosely; and where a person signed in before, what strangers used up
//! elsewhere does not count. Places are taken before LeadSquared is asked, so that attempts side by side are counted
//! too, and given back when it was the right person or certainly nothing came of it. Beside that, one network gets a
//! small part of the call allowance, whatever comes of its requests. When the table cannot be reached, attempts are
//! not counted.
//!
//! A repeat does no harm: it is another attempt, another code or another mail, each within its limits. A password that
//! was changed or reset stays so when the process dies before its notice is mailed.

mod answers;
mod body;
mod claim;
mod codes;
mod config;
mod cookie;
mod handler;
mod identity;
mod limits;
mod pace;
mod proof;
mod upstream;
mod visitor;

pub use config::{Config, TIMEOUTS};
pub use handler::PortalAccount;
pub use identity::{Identities, InvalidIdentities};
pub use pace::{BUDGET, wait};

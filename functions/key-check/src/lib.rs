//! Looks at the LeadSquared account as the other functions need it, and says what has to be mended: the keys, their
//! user's role, the region's hosts, the portal, the call for login links, the form's fields, the mail's sender, the
//! allowance. Counts the held applications that wait for an operator as well, and records at most once a day that
//! there are some (`HeldWaiting`), and that some are gone within two days (`HeldExpiring`): each is one alarm a day.
//!
//! Triggers: a schedule, and a change of the secret with the keys. What it finds is in its answer and in its log, a
//! line for each thing, at `ERROR` where there is something to do. So is the number of calls that are permitted in a
//! day.
//!
//! A repeat is safe: it changes nothing but when the operator was last reminded, and its calls stand in the account's
//! call line like everybody's.

mod check;
mod config;
mod held;

pub use check::{DailyCalls, Report, ReportLine, SubjectState, check};
pub use config::Config;

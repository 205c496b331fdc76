//! The account's call line: who may call LeadSquared when, so that the account's allowance is never exceeded.
//!
//! LeadSquared permits an account so many calls in any window of a few seconds, for all its keys and scripts together
//! (<https://apidocs.leadsquared.com/rate-limits/>). It says nothing about what is left, so whoever calls has to keep count,
//! and workers that run side by side have to keep count together.
//!
//! # How it works
//!
//! A [`Line`] is a row of slots on the time axis, one [`interval`](Rules::interval) apart. Who wants to call books the
//! next free slot, waits for it and calls. That is all a line has to remember: where the next free slot is. [`InProcess`]
//! remembers it in memory, for one process on its own; [`DynamoDb`] in one item, for any number of them, with one update
//! for a booking. [`Allowance`] makes either into the [`Admission`](leadsquared::Admission) of a client.
//!
//! **Slots instead of a bucket.** A bucket that holds a window's allowance and refills at its rate lets all of it through
//! at once and then nearly as much again before the window is over: twice the allowance. To be safe it would have to be
//! half as fast. Slots that are evenly spaced hold in *any* window, and cost only a [`margin`](Settings::margin) for calls
//! that do not arrive when they should: `interval = (window + margin) / calls`.
//!
//! **Two lanes.** A person who waits ([`Lane::Interactive`](leadsquared::Lane)) books up to
//! [`patience`](Settings::patience) ahead. The background books only the nearest slots, up to a fifth of a window ahead,
//! and comes back later when those are taken: so a person hardly waits behind more than that, and the background has
//! everything that people leave. When they leave nothing, the background has a turn at a fixed rate
//! ([`background`](Settings::background)) at which it books behind them. People have what remains, as the background's
//! turns are never more than its part.
//!
//! **Complaints.** After a 429 no slot of the next full window is given out. If LeadSquared names a limit that is slower
//! than ours, as after a change of plan, it holds for an hour and is then tried anew.
//!
//! **Days.** With a [`daily`](Settings::daily) cap nobody gets a slot once it is used up, until the next UTC day.
//!
//! # Whose clock
//!
//! Slots are times of day, and each worker waits by its own clock. No service tells the time to the millisecond along with
//! a write, so that clocks which differ are covered by the margin. The bound holds as long as `arrival - slot` of any two
//! calls differs by no more than the margin; to the part of it that is known, leaving late, each worker looks itself: a
//! quarter of the margin late, by DynamoDB's or the machine's doing, and the slot is given up for another. A clock that is
//! minutes ahead does no lasting harm: others recognise a line that nobody can have booked and start anew.
//!
//! # Limits
//!
//! - Workers that do not use this line are not seen, only allowed for by [`share`](Settings::share).
//! - A worker that dies after booking has wasted its own slot; nobody waits for it.
//! - A turn's slot lies behind the people who have booked already, up to their patience ahead. While people fill the line,
//!   each worker in the background therefore gets one call in about that time, and it takes several to use up their part.
//! - Slots that were booked before a complaint stay booked: at most those of the workers that are waiting then.
//! - If DynamoDB cannot be reached nobody gets leave. More calls than allowed would hit everybody who uses the account. For
//!   people who wait, [`WithSpare`] makes an exception of what the background then leaves.

mod admission;
mod clock;
mod dynamodb;
mod in_process;
mod line;
mod settings;
mod spare;

pub use admission::{Allowance, DayUsedUp};
pub use clock::{Clock, SystemClock};
pub use dynamodb::DynamoDb;
pub use in_process::InProcess;
pub use line::{Answer, Ask, Line, LineError};
pub use settings::{InvalidSettings, Rules, Settings};
pub use spare::WithSpare;

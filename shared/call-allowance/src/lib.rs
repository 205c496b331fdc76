//! The account's call line: who may call LeadSquared when, so that the account's allowance is never exceeded.
//!
//! LeadSquared permits an account so many calls in any window of a few seconds, for all its keys and scripts together
//! (<https://apidocs.leadsquared.com/rate-limits/>). It says nothing about what is left, so whoever calls has to keep
//! count, and workers that run side by side have to keep count together.
//!
//! # How it works
//!
//! A [`Line`] is a row of slots on the time axis, one [`interval`](Rules::interval) apart. Who wants to call books the
//! next free slot, waits for it and calls. That is all a line has to remember: where the next free slot is.
//! [`InProcess`] remembers it in memory, for one process on its own; [`SharedLine`] in a [`LineStore`], for any number
//! of them, with one update for a booking. [`Allowance`] makes either into the [`Admission`](leadsquared::Admission) of a
//! client.
//!
//! **Slots instead of a bucket.** A bucket that holds a window's allowance and refills at its rate lets all of it
//! through at once and then nearly as much again before the window is over: twice the allowance. To be safe it would
//! have to be half as fast. Slots that are evenly spaced hold in *any* window, and cost only a
//! [`margin`](Settings::margin) for calls that do not arrive when they should: `interval = (window + margin) / calls`.
//!
//! **Two lanes.** A person who waits ([`Lane::Interactive`](leadsquared::Lane)) books up to
//! [`patience`](Settings::patience) ahead. The background books only the nearest slots, up to a fifth of a window
//! ahead, and comes back later when those are taken: so a person hardly waits behind more than that, and the
//! background has everything that people leave. When they leave nothing, the background has a turn at a fixed rate
//! ([`background`](Settings::background)) at which it books behind them. People have what remains, as the background's
//! turns are never more than its part.
//!
//! **The background's reserve.** A slot behind everybody comes only after the people's patience, too late for a worker
//! that makes its calls one after another. So while the background keeps booking, people who book far ahead leave its
//! part of the slots free on their way, evenly spread: the slots are *reserved*, and the background takes the next
//! one. A reserved slot that is still free half an interval before it comes goes to the next person who asks. Each
//! reserved slot that is used lets people leave two more free, up to what lies within their patience, so a background
//! that needs little has little reserved, and one that stops has nothing soon. No slot is reserved so near that a
//! person who comes alone would wait longer for it. Two workers (what template.yaml has) thus get their 40 % of the
//! slots, less 2 points, whatever crowd is in the interactive lane; `tests/it/crowds.rs` shows it with 20 to 400
//! attempts a second.
//!
//! **Attempts that are turned away** book nothing and write nothing, and neither delay a booking nor use up a slot.
//! But the line does not know who asks: in the interactive lane slots go to those who ask at the right moment, and
//! somebody with 400 attempts a second has nearly all of them. Who calls [`Allowance`] for strangers has to limit the
//! attempts of each network before that. Sign-ins and presses of login links share the lane. A crowd of either books
//! up to the patience ahead, or as far as its own deadline permits if that is less; whoever has less time than the
//! crowd finds no slot but those that the background has not used.
//!
//! **Complaints.** After a 429 no slot of the next full window is given out. If LeadSquared names a limit that is
//! slower than ours, as after a change of plan, it holds for an hour and is then tried anew.
//!
//! **Days.** With a [`daily`](Settings::daily) cap nobody gets a slot once it is used up, until the next UTC day. The
//! background stops earlier: the last [`daily_reserve`](Settings::daily_reserve) percent are for people who wait.
//!
//! The line keeps nothing of the day back from people: whoever calls for strangers has to limit what those use of it.
//!
//! # Whose clock
//!
//! Slots are times of day, and each worker waits by its own clock. No service tells the time to the millisecond along
//! with a write, so that clocks which differ are covered by the margin. The bound holds as long as `arrival - slot` of
//! any two calls differs by no more than the margin; to the part of it that is known, leaving late, each worker looks
//! itself: a quarter of the margin late, by DynamoDB's or the machine's doing, and the slot is given up for another. A
//! clock that is minutes ahead does no lasting harm: others recognise a line that nobody can have booked and start
//! anew.
//!
//! # Limits
//!
//! - Workers that do not use this line are not seen, only allowed for by [`share`](Settings::share).
//! - A worker that dies after booking has wasted its own slot; nobody waits for it.
//! - When a crowd comes before the background has asked, its first call lies behind the crowd, up to the patience
//!   ahead. From then on slots are reserved.
//! - Where a plan or share permits fewer than eight calls in 5 s, slots lie so far apart that none is reserved. The
//!   turns alone then give two workers their part, and a single one about half of it.
//! - Slots that were booked before a complaint stay booked: at most those of the workers that are waiting then.
//! - If DynamoDB cannot be reached nobody gets leave. More calls than allowed would hit everybody who uses the
//!   account. For people who wait, [`WithSpare`] makes an exception of what the background then leaves.

mod admission;
mod clock;
mod in_process;
mod line;
mod settings;
mod shared;
mod spare;

pub use admission::{Allowance, BackgroundDayUsedUp, DayUsedUp, until_next_day};
pub use clock::{Clock, SystemClock};
pub use in_process::InProcess;
pub use line::{Answer, Ask, Booking, Line, LineError, Reserve, State};
pub use settings::{InvalidSettings, NO_DAILY_CAP, Rules, Settings, plan_daily};
pub use shared::{Kept, LineStore, SharedLine, Written};
pub use spare::WithSpare;

#![doc = include_str!("../README.md")]

mod admission;
mod clock;
mod fallback;
mod in_process;
mod schedule;
mod settings;
mod shared;

pub use admission::{Allowance, BackgroundDayUsedUp, DayUsedUp, until_next_day};
pub use clock::{Clock, SystemClock};
pub use fallback::WithFallback;
pub use in_process::InProcess;
pub use schedule::{CallSchedule, Reserve, ScheduleError, ScheduleState, SlotBooking, SlotDecision, SlotRequest};
pub use settings::{AllowanceRules, AllowanceSettings, DEFAULT_CALLS, InvalidAllowance, daily_cap};
pub use shared::{ScheduleStore, SharedSchedule, StoredSchedule, Written};

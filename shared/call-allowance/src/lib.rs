#![doc = include_str!("../README.md")]

mod admission;
mod clock;
mod dynamodb;
mod fallback;
mod in_process;
mod schedule;
mod settings;

pub use admission::{Allowance, BackgroundDayUsedUp, DayUsedUp, until_next_day};
pub use clock::{Clock, SystemClock};
pub use dynamodb::DynamoDb;
pub use fallback::WithFallback;
pub use in_process::InProcess;
pub use schedule::{CallSchedule, ScheduleError, SlotDecision, SlotRequest};
pub use settings::{AllowanceRules, AllowanceSettings, InvalidAllowance, NO_DAILY_CAP, plan_daily};

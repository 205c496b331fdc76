#![doc = include_str!("../../rustdoc-links.md")]
#![doc = include_str!("../README.md")]
#![doc = include_str!("../../../functions/OPERATING.md")]

mod clock;
mod command;
pub mod dead_letters;
mod error;
pub mod explain;
pub mod forget;
mod format;
pub mod held;
mod received;
pub mod restore;
mod signed;
mod stack;

pub use clock::{Clock, SystemClock};
pub use command::{ChosenHeld, ChosenLetters, Command, DeadLettersCommand, ExitStatus, HeldCommand, StackArgs, run};
pub use error::OperatorError;
pub use stack::{Parameters, Stack, StackLocation};

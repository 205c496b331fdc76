//! The line as every form of it has to be, on the clock of a model, and as the admission of a client.

#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, in its helpers as well")]

mod admission;
mod crowds;
mod in_process;
mod model;
mod suite;
mod worker_clock;

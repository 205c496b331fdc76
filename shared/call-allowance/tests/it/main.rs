//! Tests of the call schedule: one suite for every storage, a model of workers and crowds, and the client's admission.

#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, in its helpers as well")]

mod admission;
mod crowds;
mod in_process;
mod model;
mod suite;
mod worker_clock;

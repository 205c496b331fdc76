//! Tests of the flow: single steps, and long simulated runs.

#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, in its helpers as well")]

mod flow;
mod in_memory;
mod simulation;
mod suite;
mod world;

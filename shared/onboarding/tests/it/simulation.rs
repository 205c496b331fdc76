//! Simulates hours and days of the whole system on a virtual clock, with faults at every step.
//!
//! Sources send invitations, a FIFO queue delivers them, and several workers handle them at the same time. LeadSquared
//! and the ledger answer late, never, or after the worker has crashed. The simulation runs the deployed worker
//! ([`onboarding::worker`]). One seed decides the situation (a [`Plan`]) and the fate of every request. After a run,
//! every promise must hold ([`Run::broken_promises`]).
//!
//! `SIMULATION_SEEDS=100000` runs that many seeds instead of the usual number. `SIMULATION_SEED=7` runs only this seed
//! and prints its events.

mod plan;
mod queue;
mod run;
mod timeline;
mod worker;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::world::Flaw as LedgerFlaw;
use run::{Run, Summary};

/// How many seeds an ordinary test runs.
const SEEDS: u64 = 2_000;

/// The number of seeds within which the tests must find a mistake.
const SEEDS_FOR_A_FLAW: u64 = 300;

/// A mistake of the system. A test checks that the promises find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Ledger(LedgerFlaw),
    /// Calls do not wait for the account's call allowance.
    NoAllowance,
    /// A worker deletes the messages that it failed to process.
    FailuresAreDeleted,
    /// No dead letter keeps what a reduced registration left out.
    WithheldIsForgotten,
}

#[test]
fn every_promise_holds_under_every_fault() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    if let Some(seed) = setting("SIMULATION_SEED") {
        let summary = simulate(seed, None, true);
        assert_eq!(summary.broken, [""; 0], "seed {seed}");
        return;
    }
    let seeds = setting("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let (done, steps, broken) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let summary = simulate(seed, None, false);
                    steps.fetch_add(summary.steps, Ordering::Relaxed);
                    if !summary.broken.is_empty() {
                        broken.fetch_add(1, Ordering::Relaxed);
                        say(&format!("seed {seed}: {}; SIMULATION_SEED={seed} shows it", summary.broken.join("; ")));
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if done.is_multiple_of(5_000) {
                        let rate = done as f64 / began.elapsed().as_secs_f64();
                        say(&format!("{done} of {seeds} seeds, {rate:.0} seeds/s"));
                    }
                }
            });
        }
    });
    let (steps, broken) = (steps.into_inner(), broken.into_inner());
    say(&format!("simulation: {seeds} seeds, {steps} steps, invariants broken {broken}"));
    assert_eq!(broken, 0, "seeds with a broken promise; they are printed above");
}

#[test]
fn a_seed_always_runs_the_same() {
    for seed in 0..20 {
        assert_eq!(simulate(seed, None, false), simulate(seed, None, false), "seed {seed}");
    }
}

#[test]
fn every_kind_of_mistake_is_found() {
    let mistakes = [
        (Flaw::Ledger(LedgerFlaw::ClaimsAreForgotten), "mailed too often"),
        (Flaw::Ledger(LedgerFlaw::IntentIsNotKept), "mailed too often"),
        (Flaw::Ledger(LedgerFlaw::CapsAreNotKept), "over the cap"),
        (Flaw::Ledger(LedgerFlaw::OutcomeIsCountedTwice), "counts"),
        (Flaw::Ledger(LedgerFlaw::RegistrationsAreForgotten), "webhook of our own registration"),
        (Flaw::Ledger(LedgerFlaw::LookupsAreNotCounted), "over the day's look-ups"),
        (Flaw::NoAllowance, "over the allowance"),
        (Flaw::FailuresAreDeleted, "lost"),
        (Flaw::WithheldIsForgotten, "left out without a record"),
    ];
    for (flaw, promise) in mistakes {
        let mut seeds = 0..SEEDS_FOR_A_FLAW;
        let found =
            seeds.find(|seed| simulate(*seed, Some(flaw), false).broken.iter().any(|broken| broken.contains(promise)));
        assert!(found.is_some(), "{flaw:?} goes unnoticed");
    }
}

/// Checks that the runs reach the situations that they are meant to test.
#[test]
fn the_seeds_cover_every_outcome_and_every_cause_of_a_retry() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS_FOR_A_FLAW {
        seen.extend(simulate(seed, None, false).seen);
    }
    let expected = [
        "invited",
        "invited-existing",
        "already-invited",
        "suppressed",
        "rejected",
        "exhausted",
        "put back",
        "reduced",
        "died",
        "Held",
        "MailUnknown",
        "MailBudget",
        "RuleLookups",
        "BackingOff",
        "requeued",
        "made way",
        "a question beside another message",
        "Ledger",
        "RateLimited",
        "TurnedAway",
        "BadKeys",
        "NoTime",
        "NoPassword",
        "password discarded",
        "not recorded",
        "dead letter failed",
        "late",
        "echo recognised",
        "echo not recognised yet",
        "rule decided",
        "delivered twice",
    ];
    for what in expected {
        assert!(seen.contains(what), "no seed has {what:?}; they have {seen:?}");
    }
}

fn simulate(seed: u64, flaw: Option<Flaw>, aloud: bool) -> Summary {
    let run = catch_unwind(AssertUnwindSafe(|| Run::new(seed, flaw, aloud).finish()));
    run.unwrap_or_else(|_| Summary { broken: vec!["panicked".to_owned()], ..Summary::default() })
}

#[expect(clippy::print_stdout, reason = "a long run has to show that it goes on, and which seed failed")]
fn say(text: &str) {
    println!("{text}");
}

/// A span of virtual time.
const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

//! Hours and days of the whole system on a virtual clock, with everything that can go wrong going wrong.
//!
//! Sources send, a FIFO queue delivers, workers handle the messages side by side, LeadSquared and the ledger answer:
//! late, never, or after the worker has crashed. The worker is the one that is deployed ([`onboarding::worker`]). One
//! seed decides the situation (a [`Plan`]) and the fate of every request. After a run, every promise must hold
//! ([`Run::broken_promises`]).
//!
//! `SIMULATION_SEEDS=100000` runs so many seeds instead of the usual number; `SIMULATION_SEED=7` runs that one alone and
//! prints what happens in it.

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

/// Within how many seeds a mistake has to be found.
const SEEDS_FOR_A_FLAW: u64 = 300;

/// A mistake that the system could make, to see that it would be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Ledger(LedgerFlaw),
    /// Calls do not stand in the account's line.
    NoLine,
    /// A worker deletes what it could not do.
    FailuresAreDeleted,
}

#[test]
fn whatever_happens_every_promise_holds() {
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
        (Flaw::Ledger(LedgerFlaw::RegistrationsAreForgotten), "news of our own registration"),
        (Flaw::NoLine, "over the allowance"),
        (Flaw::FailuresAreDeleted, "lost"),
    ];
    for (flaw, promise) in mistakes {
        let mut seeds = 0..SEEDS_FOR_A_FLAW;
        let found =
            seeds.find(|seed| simulate(*seed, Some(flaw), false).broken.iter().any(|broken| broken.contains(promise)));
        assert!(found.is_some(), "{flaw:?} goes unnoticed");
    }
}

/// That the runs are about what they are meant to be about.
#[test]
fn the_seeds_cover_every_outcome_and_every_way_to_come_back() {
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
        "died",
        "Held",
        "MailUnknown",
        "MailBudget",
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

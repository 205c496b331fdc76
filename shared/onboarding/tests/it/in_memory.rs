//! Runs the suite on the ledger in memory that the flow and the simulation work with.

use std::cell::RefCell;

use futures::executor::block_on;
use leadsquared::Error;
use onboarding::Ledger;

use crate::suite;
use crate::world::{LeadSquared, LedgerUnavailable, Memory, Outside, Via};

/// A ledger that every request reaches at once.
#[derive(Default)]
struct Reached(RefCell<Memory>);

impl Outside for Reached {
    async fn call<T: 'static>(
        &self,
        name: &'static str,
        _: impl FnOnce(&mut LeadSquared) -> Result<T, Error> + 'static,
    ) -> Result<T, Error> {
        unreachable!("a ledger does not call LeadSquared: {name}")
    }

    async fn store<T: 'static>(
        &self,
        _: &'static str,
        work: impl FnOnce(&mut Memory) -> Result<T, LedgerUnavailable> + 'static,
    ) -> Result<T, LedgerUnavailable> {
        work(&mut self.0.borrow_mut())
    }
}

async fn ledger() -> impl Ledger {
    Via(Box::leak(Box::new(Reached::default())))
}

suite::tests!(block_on, ledger);

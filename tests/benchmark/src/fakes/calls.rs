//! Counts of calls, and of what DynamoDB charges for them.

use std::collections::BTreeMap;

/// The calls of a function, by operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Calls {
    pub(crate) aws: BTreeMap<String, u64>,
    pub(crate) leadsquared: BTreeMap<String, u64>,
    pub(crate) units: Units,
}

/// DynamoDB's units for items of at most 1 KB, which those of an application and an invitation are
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html>).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Units {
    pub(crate) read: f64,
    pub(crate) written: f64,
}

impl Units {
    pub(crate) fn read(&mut self, is_consistent: bool) {
        self.read += if is_consistent { 1.0 } else { 0.5 };
    }

    pub(crate) fn write(&mut self) {
        self.written += 1.0;
    }

    pub(crate) fn write_in_transaction(&mut self) {
        self.written += 2.0;
    }
}

impl Calls {
    pub(crate) fn count_aws(&mut self, operation: &str, units: Units) {
        *self.aws.entry(operation.to_owned()).or_default() += 1;
        self.units.read += units.read;
        self.units.written += units.written;
    }

    pub(crate) fn count_leadsquared(&mut self, call: &str) {
        *self.leadsquared.entry(call.to_owned()).or_default() += 1;
    }

    /// Adds the calls of another event.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sums, others) in [(&mut self.aws, &other.aws), (&mut self.leadsquared, &other.leadsquared)] {
            for (name, count) in others {
                *sums.entry(name.clone()).or_default() += count;
            }
        }
        self.units.read += other.units.read;
        self.units.written += other.units.written;
    }
}

//! What a crowd costs on AWS: requests, DynamoDB's units, Lambda's time.

use std::collections::HashMap;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use crate::cost::PRICES;

/// The memory of each function in the template, in GB.
pub(super) const MEMORY: f64 = 0.25;

/// The write units that DynamoDB accepts for one item in a second
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>).
pub(super) const UNITS_OF_AN_ITEM: u32 = 1_000;

/// An item that many requests write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum SharedItem {
    /// The schedule of the call allowance.
    Allowance,
    /// The day's mails: how many were begun, and when LeadSquared last worked.
    Mails,
    /// How many invitations of the day were accepted.
    Accepted,
    /// How many invitations of the day had one outcome.
    Outcome,
}

impl fmt::Display for SharedItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Allowance => "allowance",
            Self::Mails => "mails",
            Self::Accepted => "accepted",
            Self::Outcome => "outcome",
        })
    }
}

/// A request to DynamoDB. All items are smaller than the size of one unit: 1 KB to write, 4 KB to read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request {
    /// `GetItem` or `BatchGetItem` of this number of items, consistent.
    Read(u32),
    /// `GetItem`, eventually consistent, which costs half a unit.
    ReadAtEase,
    /// `PutItem` or `UpdateItem`. It costs the same if its condition fails.
    Write,
    /// `TransactWriteItems` over this number of items. A write in a transaction costs two units.
    Transaction(u32),
}

impl Request {
    fn write_units(self) -> u32 {
        match self {
            Self::Read(_) | Self::ReadAtEase => 0,
            Self::Write => 1,
            Self::Transaction(items) => items * 2,
        }
    }

    fn read_units(self) -> f64 {
        match self {
            Self::Read(items) => items.into(),
            Self::ReadAtEase => 0.5,
            Self::Write | Self::Transaction(_) => 0.0,
        }
    }

    /// What the request costs each of its items.
    pub(super) fn units_of_each(self) -> u32 {
        match self {
            Self::Transaction(_) => 2,
            other => other.write_units(),
        }
    }
}

/// What was used of AWS.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Requests of the functions, to DynamoDB and SQS.
    pub(super) requests: u32,
    pub(super) write_units: u32,
    pub(super) read_units: f64,
    /// Requests to SQS, with those of Lambda's polling.
    pub(super) queue_requests: u32,
    pub(super) api_requests: u32,
    pub(super) invocations: u32,
    /// The time that Lambda bills.
    pub(super) billed: Duration,
}

impl Usage {
    pub(super) fn count(&mut self, request: Request) {
        self.requests += 1;
        self.write_units += request.write_units();
        self.read_units += request.read_units();
    }

    /// One invocation of a function. Lambda bills whole milliseconds.
    pub(super) fn invoked(&mut self, duration: Duration) {
        self.invocations += 1;
        let milliseconds = duration.as_nanos().div_ceil(1_000_000);
        self.billed += Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX));
    }

    /// The cost in US dollars.
    pub(super) fn dollars(&self) -> f64 {
        let millions: f64 = [
            (self.invocations.into(), PRICES.invocations),
            (self.write_units.into(), PRICES.writes),
            (self.read_units, PRICES.reads),
            (self.queue_requests.into(), PRICES.queue_requests),
            (self.api_requests.into(), PRICES.api_requests),
        ]
        .into_iter()
        .map(|(amount, price)| amount * price)
        .sum();
        self.billed.as_secs_f64() * MEMORY * PRICES.gigabyte_second + millions / 1e6
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.write_units += other.write_units;
        self.read_units += other.read_units;
        self.queue_requests += other.queue_requests;
        self.api_requests += other.api_requests;
        self.invocations += other.invocations;
        self.billed += other.billed;
    }
}

/// The write units of the shared items, by second.
#[derive(Clone, Debug, Default)]
pub(super) struct Heat(HashMap<(SharedItem, u64), u32>);

impl Heat {
    pub(super) fn add(&mut self, item: SharedItem, at: Duration, units: u32) {
        *self.0.entry((item, at.as_secs())).or_default() += units;
    }

    /// The write units of this item in its busiest second.
    pub(super) fn most(&self, item: SharedItem) -> u32 {
        self.of(item).max().unwrap_or_default()
    }

    /// All write units of this item.
    pub(super) fn total(&self, item: SharedItem) -> u32 {
        self.of(item).sum()
    }

    fn of(&self, item: SharedItem) -> impl Iterator<Item = u32> {
        self.0.iter().filter(move |((other, _), _)| *other == item).map(|(_, units)| *units)
    }

    /// The busiest second of any item.
    pub(super) fn hottest(&self) -> Option<(SharedItem, u32)> {
        self.0.iter().map(|((item, _), units)| (*item, *units)).max_by_key(|(item, units)| (*units, *item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_in_a_transaction_costs_two_units_and_a_read_at_ease_half_a_unit() {
        let mut usage = Usage::default();
        for request in [Request::Read(2), Request::ReadAtEase, Request::Write, Request::Transaction(3)] {
            usage.count(request);
        }
        assert_eq!((usage.requests, usage.write_units, usage.read_units), (4, 7, 2.5));
        assert_eq!([Request::Write, Request::Transaction(3)].map(Request::units_of_each), [1, 2]);
    }

    #[test]
    fn lambda_bills_whole_milliseconds_of_a_quarter_of_a_gigabyte() {
        let mut usage = Usage::default();
        usage.invoked(Duration::from_micros(1_200));
        usage.invoked(Duration::from_millis(3_998));
        assert_eq!((usage.invocations, usage.billed), (2, Duration::from_secs(4)));
        let expected = PRICES.gigabyte_second + 2.0 * PRICES.invocations / 1e6;
        assert!((usage.dollars() - expected).abs() < 1e-12, "{}", usage.dollars());
    }

    #[test]
    fn every_kind_of_use_has_its_price() {
        let usage = Usage {
            requests: 9,
            write_units: 1_000_000,
            read_units: 1e6,
            queue_requests: 1_000_000,
            api_requests: 1_000_000,
            invocations: 1_000_000,
            billed: Duration::from_secs(4_000_000),
        };
        assert!((usage.dollars() - (0.625 + 0.125 + 0.5 + 1.0 + 0.2 + 13.333_4)).abs() < 1e-9, "{}", usage.dollars());
        let mut twice = usage.clone();
        twice += usage.clone();
        assert!((twice.dollars() - 2.0 * usage.dollars()).abs() < 1e-9);
    }

    #[test]
    fn the_hottest_item_is_the_one_with_the_busiest_second() {
        let mut heat = Heat::default();
        assert_eq!(heat.hottest(), None);
        for (item, at, units) in [
            (SharedItem::Mails, 0, 2),
            (SharedItem::Mails, 999, 2),
            (SharedItem::Allowance, 1_000, 3),
            (SharedItem::Mails, 1_500, 2),
        ] {
            heat.add(item, Duration::from_millis(at), units);
        }
        assert_eq!(heat.hottest(), Some((SharedItem::Mails, 4)));
        assert_eq!((heat.most(SharedItem::Allowance), heat.total(SharedItem::Mails)), (3, 6));
    }
}

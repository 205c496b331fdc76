//! The prices of AWS, and what a million applications and invitations cost, computed from measured times and counted
//! calls.

use serde::Serialize;

use crate::fakes::calls::Units;

/// Prices in US dollars, us-east-1, on demand, without free tiers.
#[derive(Serialize)]
pub(crate) struct Prices {
    /// A million requests to an HTTP API (<https://aws.amazon.com/api-gateway/pricing/>).
    pub(crate) api_requests: f64,
    /// A million invocations (<https://aws.amazon.com/lambda/pricing/>).
    pub(crate) invocations: f64,
    /// A GB-second of an arm64 function (<https://aws.amazon.com/lambda/pricing/>).
    pub(crate) gigabyte_second: f64,
    /// A million requests to a FIFO queue (<https://aws.amazon.com/sqs/pricing/>).
    pub(crate) queue_requests: f64,
    /// A million write units (<https://aws.amazon.com/dynamodb/pricing/on-demand/>).
    pub(crate) writes: f64,
    /// A million read units (<https://aws.amazon.com/dynamodb/pricing/on-demand/>).
    pub(crate) reads: f64,
}

pub(crate) const PRICES: Prices = Prices {
    api_requests: 1.00,
    invocations: 0.20,
    gigabyte_second: 0.000_013_333_4,
    queue_requests: 0.50,
    writes: 0.625,
    reads: 0.125,
};

/// What one application or one invitation uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    pub(crate) api_requests: f64,
    pub(crate) invocations: f64,
    /// The time of an invocation.
    pub(crate) milliseconds: f64,
    /// The function's memory in MB.
    pub(crate) memory: f64,
    pub(crate) queue_requests: f64,
    pub(crate) units: Units,
}

/// What a million of them cost, in US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Cost {
    pub(crate) requests: f64,
    pub(crate) time: f64,
    pub(crate) queue: f64,
    pub(crate) table: f64,
}

impl Cost {
    pub(crate) fn of_a_million(used: &Use) -> Self {
        // Lambda bills each invocation by the millisecond begun.
        let seconds = used.milliseconds.ceil() / 1000.0;
        Self {
            requests: used.api_requests * PRICES.api_requests + used.invocations * PRICES.invocations,
            time: 1e6 * used.invocations * seconds * used.memory / 1024.0 * PRICES.gigabyte_second,
            queue: used.queue_requests * PRICES.queue_requests,
            table: used.units.written * PRICES.writes + used.units.read * PRICES.reads,
        }
    }

    pub(crate) fn total(&self) -> f64 {
        self.requests + self.time + self.queue + self.table
    }
}

/// The prices in one line.
pub(crate) fn prices() -> String {
    let Prices { api_requests, invocations, gigabyte_second, queue_requests, writes, reads } = PRICES;
    format!(
        "Prices in USD, us-east-1, on demand: HTTP API {api_requests:.2}, Lambda {invocations:.2}, SQS FIFO \
         {queue_requests:.2}, DynamoDB {writes:.3} (writes) and {reads:.3} (reads) for a million; {gigabyte_second:.10} \
         for a GB-second (arm64)."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_costs_its_requests_its_time_its_messages_and_its_items() {
        let units = Units { read: 2.0, written: 8.0 };
        let used =
            Use { api_requests: 1.0, invocations: 1.0, milliseconds: 11.2, memory: 256.0, queue_requests: 2.0, units };
        let cost = Cost::of_a_million(&used);
        let cents = |dollars: f64| (dollars * 100.0).round();
        assert_eq!(
            [cost.requests, cost.time, cost.queue, cost.table, cost.total()].map(cents),
            [120.0, 4.0, 100.0, 525.0, 749.0]
        );
    }

    #[test]
    fn a_batch_shares_its_invocation() {
        let units = Units::default();
        let used = Use {
            api_requests: 0.0,
            invocations: 0.1,
            milliseconds: 100.0,
            memory: 1024.0,
            queue_requests: 0.2,
            units,
        };
        let cost = Cost::of_a_million(&used);
        assert!((cost.time - 0.133_334).abs() < 1e-6 && (cost.requests - 0.02).abs() < 1e-9);
    }
}

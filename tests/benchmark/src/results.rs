//! The figures of a run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cost::Cost;
use crate::fakes::calls::Calls;
use crate::statistics::Summary;

/// The work that functions are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Accepting a form.
    Intake,
    /// Inviting the people of a batch.
    Worker,
}

impl Work {
    pub(crate) const ALL: [Self; 2] = [Self::Intake, Self::Worker];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Worker => "worker",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Intake => "Intake: a form with a phone number",
            Self::Worker => "Worker: invitations with an on-click link",
        }
    }
}

/// Writes the list once: the figures, their key in JSON, their label, and whether more is better.
macro_rules! figures {
    ($($(#[$doc:meta])* $variant:ident: $key:literal, $label:literal, $is_more_better:literal;)*) => {
        /// A figure. The order is that of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Figure {
            $($(#[$doc])* $variant,)*
        }

        impl Figure {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub(crate) const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key,)* }
            }

            /// What the table calls it, with its unit.
            pub(crate) const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            pub(crate) const fn is_more_better(self) -> bool {
                match self { $(Self::$variant => $is_more_better,)* }
            }
        }
    };
}

figures! {
    /// From the start of the process to its first request for an event.
    Start: "start_ms", "start, ms", false;
    FirstFullCore: "first_event_full_core_ms", "first event, full core, ms", false;
    FirstWorst: "first_event_full_core_worst_form_ms", "first event, full core, worst form, ms", false;
    FirstOverTls: "first_event_full_core_tls_ms", "first event, full core, TLS, ms", false;
    First128: "first_event_128_mb_tls_ms", "first event, 128 MB, TLS, ms", false;
    First256: "first_event_256_mb_tls_ms", "first event, 256 MB, TLS, ms", false;
    First512: "first_event_512_mb_tls_ms", "first event, 512 MB, TLS, ms", false;
    /// The sum of the start and the first event of one process.
    ColdAnswer: "cold_answer_256_mb_tls_ms", "COLD ANSWER (start + 256 MB, TLS), ms", false;
    Warm50: "warm_p50_ms", "warm p50, ms", false;
    Warm99: "warm_p99_ms", "warm p99, ms", false;
    PerCpuSecond: "per_cpu_second", "PER CPU-SECOND", true;
    PerCpuSecondOverTls: "per_cpu_second_tls", "per CPU-second, TLS", true;
    /// The mean time of an event at 256 MB's share, back to back.
    Billed: "warm_256_mb_tls_ms", "warm at 256 MB, TLS, mean, ms", false;
    /// After the warm blocks.
    PeakMemory: "peak_memory_mib", "peak memory, MiB", false;
    Growth: "growth_mib", "peak's growth from 10,000 to 100,000, MiB", false;
    Connections: "connections", "connections", false;
    AwsCalls: "aws_calls", "AWS calls for each", false;
    LeadSquaredCalls: "leadsquared_calls", "LeadSquared calls for each", false;
    CostOfAMillion: "usd_per_million", "a million of them, USD", false;
}

/// The part that a function plays in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The least that a function can be.
    Floor,
    Ours,
    Peer,
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
}

/// What the warm events of one function used, as means of one application or invitation.
pub(crate) struct PerEvent {
    pub(crate) calls: Calls,
    pub(crate) events: u64,
    pub(crate) cost: Cost,
}

/// The figures of one work.
#[derive(Default)]
pub(crate) struct Comparison {
    pub(crate) columns: Vec<Column>,
    samples: BTreeMap<(Figure, &'static str), Vec<f64>>,
    pub(crate) used: BTreeMap<&'static str, PerEvent>,
}

impl Comparison {
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Adds a sample. One that is no number is left out: in a short block the kernel may see no CPU time.
    pub(crate) fn add(&mut self, figure: Figure, column: &'static str, sample: f64) {
        if !sample.is_finite() {
            return;
        }
        self.samples.entry((figure, column)).or_default().push(sample);
    }

    pub(crate) fn samples(&self, figure: Figure, column: &'static str) -> &[f64] {
        self.samples.get(&(figure, column)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn summary(&self, figure: Figure, column: &'static str) -> Option<Summary> {
        Summary::of(self.samples(figure, column))
    }

    /// How many times better ours is than the best peer: above 1 it is better. None where one of them has no figure.
    pub(crate) fn lead(&self, figure: Figure) -> Option<f64> {
        let medians = |role| {
            let columns = self.columns.iter().filter(move |column| column.role == role);
            columns.filter_map(|column| Some(self.summary(figure, column.name)?.median))
        };
        let ours = medians(Role::Ours).next()?;
        let lead = match figure.is_more_better() {
            true => ours / medians(Role::Peer).reduce(f64::max)?,
            false => medians(Role::Peer).reduce(f64::min)? / ours,
        };
        Some(lead)
    }

    pub(crate) fn json(&self) -> Value {
        let of_column = |column: &Column| {
            let figures = Figure::ALL.iter().filter_map(|figure| {
                let summary = self.summary(*figure, column.name)?;
                Some((figure.key().to_owned(), serde_json::to_value(summary).ok()?))
            });
            let mut value = json!({"name": column.name, "figures": figures.collect::<serde_json::Map<_, _>>()});
            if let Some(used) = self.used.get(column.name) {
                let events = used.events as f64;
                let mean = |calls: &BTreeMap<String, u64>| -> BTreeMap<String, f64> {
                    calls.iter().map(|(name, count)| (name.clone(), *count as f64 / events)).collect()
                };
                value["aws_calls"] = json!(mean(&used.calls.aws));
                value["leadsquared_calls"] = json!(mean(&used.calls.leadsquared));
                value["cost_of_a_million"] = json!(used.cost);
            }
            value
        };
        self.columns.iter().map(of_column).collect()
    }
}

/// A function's size and start.
pub(crate) struct Size {
    pub(crate) name: String,
    /// In bytes.
    pub(crate) size: u64,
    /// In bytes, in a deployment package.
    pub(crate) zipped: u64,
    /// The times of its starts, in ms.
    pub(crate) starts: Vec<f64>,
    /// The mean number of connections before its first request for an event.
    pub(crate) connections: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_leads_by_the_best_peer() {
        let column = |name, role| Column { name, role };
        let mut comparison = Comparison::new(vec![
            column("echo", Role::Floor),
            column("ours", Role::Ours),
            column("a", Role::Peer),
            column("b", Role::Peer),
        ]);
        for (figure, ours, a, b) in [(Figure::Start, 5.0, 100.0, 250.0), (Figure::PerCpuSecond, 2000.0, 400.0, 500.0)] {
            comparison.add(figure, "echo", 1.0);
            comparison.add(figure, "ours", ours);
            comparison.add(figure, "a", a);
            comparison.add(figure, "b", b);
        }
        assert_eq!(comparison.lead(Figure::Start), Some(20.0));
        assert_eq!(comparison.lead(Figure::PerCpuSecond), Some(4.0));
        assert_eq!(comparison.lead(Figure::Warm50), None);
    }
}

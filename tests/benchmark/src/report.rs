//! What a run reports: a table for people, and JSON.

use std::io::{IsTerminal, Write};

use serde_json::{Value, json};

use crate::cost;
use crate::results::{Comparison, Figure, Role, Size, Work};
use crate::statistics::Summary;

/// The widths of the first column and of the others.
const LABEL: usize = 42;
const COLUMN: usize = 22;

/// The figures of a run, and the machine that they are of.
pub(crate) struct Report {
    pub(crate) machine: String,
    /// Whether processes can be held to a share of a core; if not, why.
    pub(crate) shares: Result<(), String>,
    pub(crate) comparisons: Vec<(Work, Comparison)>,
    pub(crate) sizes: Vec<Size>,
}

impl Report {
    /// A report without figures.
    pub(crate) fn of_this_machine() -> Self {
        Self { machine: machine(), shares: Ok(()), comparisons: Vec::new(), sizes: Vec::new() }
    }

    pub(crate) fn comparison(&self, work: Work) -> Option<&Comparison> {
        self.comparisons.iter().find(|(of, _)| *of == work).map(|(_, comparison)| comparison)
    }

    pub(crate) fn json(&self) -> Value {
        let comparisons = self.comparisons.iter().map(|(work, comparison)| (work.key().to_owned(), comparison.json()));
        let sizes = self.sizes.iter().map(|size| {
            json!({
                "name": size.name,
                "bytes": size.size,
                "zipped_bytes": size.zipped,
                "start_ms": Summary::of(&size.starts),
                "connections_in_start": size.connections,
            })
        });
        json!({
            "machine": self.machine,
            "no_shares_because": self.shares.as_ref().err(),
            "comparisons": comparisons.collect::<serde_json::Map<_, _>>(),
            "functions": sizes.collect::<Value>(),
            "prices_usd": cost::PRICES,
        })
    }
}

/// Processor, number of cores, and kernel.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let name = model.unwrap_or(std::env::consts::ARCH);
    format!("{name}, {cores} cores, {} {}", std::env::consts::OS, kernel.trim())
}

/// Shows what is measured now, if a person watches.
pub(crate) fn progress(text: &str) {
    let mut errors = std::io::stderr();
    if errors.is_terminal() {
        // Nothing can be done about a terminal that takes no output.
        let _ = write!(errors, "\r\x1b[K{text}");
    }
}

pub(crate) fn print(report: &Report) {
    progress("");
    println!("{}\nMedian (10th–90th percentile).", report.machine);
    for (work, comparison) in &report.comparisons {
        println!("\n{}", table(*work, comparison));
    }
    if !report.sizes.is_empty() {
        println!("\n{}", sizes(&report.sizes));
    }
    if let Err(reason) = &report.shares {
        println!("\nLeft out: every figure at a share of a core, because {reason}.");
    }
    println!("\n{}", cost::prices());
}

fn table(work: Work, comparison: &Comparison) -> String {
    let mut lines = Vec::new();
    let names = comparison.columns.iter().map(|column| column.name).chain(["lead"]);
    lines.push(line(work.title(), names.map(str::to_owned)));
    for &figure in Figure::ALL {
        let cells: Vec<Option<String>> =
            comparison.columns.iter().map(|column| Some(cell(&comparison.summary(figure, column.name)?))).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let lead = comparison.lead(figure).map_or(String::new(), |lead| format!("{lead:.1} x"));
        lines.push(line(figure.label(), cells.into_iter().map(Option::unwrap_or_default).chain([lead])));
    }
    for column in comparison.columns.iter().filter(|column| column.role != Role::Floor) {
        let Some(used) = comparison.used.get(column.name) else { continue };
        let calls: Vec<String> = [&used.calls.aws, &used.calls.leadsquared]
            .into_iter()
            .flatten()
            .map(|(name, count)| format!("{name} {}", trimmed(*count as f64 / used.events as f64)))
            .collect();
        lines.push(format!("{}: {}", column.name, calls.join(", ")));
    }
    lines.join("\n")
}

fn line(label: &str, cells: impl Iterator<Item = String>) -> String {
    let mut line = format!("{label:<LABEL$}");
    for cell in cells {
        line += &format!("{cell:>COLUMN$}");
    }
    line.trim_end().to_owned()
}

/// The median; and the spread, where there is one.
fn cell(summary: &Summary) -> String {
    let [median, p10, p90] = [summary.median, summary.p10, summary.p90].map(shown);
    if p10 == p90 { median } else { format!("{median} ({p10}–{p90})") }
}

/// Three digits, or all of a whole number.
fn shown(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// At most two digits behind the point.
fn trimmed(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn sizes(sizes: &[Size]) -> String {
    let names = ["size", "zipped", "start", "times echo", "connections"].map(str::to_owned);
    let mut lines = vec![line("Every function, as deployed", names.into_iter())];
    let floor = sizes.first().and_then(|size| Summary::of(&size.starts)).map_or(f64::NAN, |start| start.median);
    for size in sizes {
        let Some(start) = Summary::of(&size.starts) else { continue };
        let megabytes = |bytes: u64| format!("{:.2} MB", bytes as f64 / 1e6);
        let cells = [
            megabytes(size.size),
            megabytes(size.zipped),
            format!("{} ms", cell(&start)),
            format!("{:.1}", start.median / floor),
            trimmed(size.connections),
        ];
        lines.push(line(&size.name, cells.into_iter()));
    }
    lines.push("`connections` are those before the first request for an event.".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Column;

    #[test]
    fn a_table_has_the_figures_that_were_measured() {
        let column = |name, role| Column { name, role };
        let columns = [("echo", Role::Floor), ("ours", Role::Ours), ("Node", Role::Peer)];
        let mut comparison = Comparison::new(columns.map(|(name, role)| column(name, role)).to_vec());
        for (name, samples) in [("echo", [1.0, 1.0, 1.0]), ("ours", [4.0, 5.0, 6.0]), ("Node", [90.0, 100.0, 110.0])] {
            samples.iter().for_each(|sample| comparison.add(Figure::Start, name, *sample));
        }
        let table = table(Work::Intake, &comparison);
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), 2, "{table}");
        assert_eq!(rows[1], ["start,", "ms", "1.00", "5.00", "(4.20–5.80)", "100", "(92.0–108)", "20.0", "x"]);
    }

    #[test]
    fn numbers_end_with_their_last_digit() {
        assert_eq!([2.0, 0.5, 1.234, 0.0].map(trimmed), ["2", "0.5", "1.23", "0"]);
    }
}

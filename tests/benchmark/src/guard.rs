//! Holds the built functions to `baseline.json`: the size of each, the calls and the instructions of its start, and
//! those of a form and a batch of invitations. None of them depends on how busy the machine is.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use runtime_api::Function;
use serde::{Deserialize, Serialize};

use crate::artifacts::{self, workspace};
use crate::events::Events;
use crate::fakes::Endpoints;
use crate::fakes::calls::Calls;
use crate::report::progress;
use crate::results::Work;
use crate::subjects::{self, Input};
use crate::template::Template;

/// The largest deployment package, in bytes.
const ZIPPED_LIMIT: u64 = 3_000_000;

/// The same for `bus-event`: no person waits for it, and its JSON Schema validator takes 0.6 MB.
const BUS_EVENT_LIMIT: u64 = 3_300_000;

/// How far a count of instructions may be from the baseline, in percent. Two runs differ by less than 0.1 %.
const TOLERANCE: u64 = 5;

/// An event takes milliseconds; Valgrind takes fifty times as long.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The events of a short and of a long run. Their difference is that of warm events.
const EVENTS: [u64; 2] = [5, 35];

#[derive(Args)]
pub(crate) struct Arguments {
    /// Look at the functions in this folder, such as `target/lambda`, instead of building them.
    #[arg(long, value_name = "FOLDER")]
    functions: Option<PathBuf>,
    /// Write what is found to the baseline.
    #[arg(long)]
    update: bool,
}

/// What the functions cost.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Baseline {
    /// Instructions of another compiler or architecture are not comparable.
    compiler: String,
    architecture: String,
    functions: BTreeMap<String, Costs>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Costs {
    start: Cost,
    /// A form, or a batch of ten invitations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Cost>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Cost {
    instructions: u64,
    /// By service and operation.
    calls: BTreeMap<String, u64>,
}

/// Looks, prints what it finds, and returns whether it is as it was.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let template = Template::read()?;
    let names = template.binaries();
    let folder = match &arguments.functions {
        Some(folder) => folder.clone(),
        None => artifacts::build(&names)?,
    };
    let valgrind = Valgrind::new()?;
    let mut found =
        Baseline { compiler: compiler()?, architecture: std::env::consts::ARCH.to_owned(), functions: BTreeMap::new() };
    let mut problems = Vec::new();
    for name in names {
        progress(name);
        let bootstrap = folder.join(name).join("bootstrap");
        let (_, zipped) = artifacts::sizes(&bootstrap).with_context(|| format!("no {}", bootstrap.display()))?;
        problems.extend(size_problem(name, zipped));
        let costs = valgrind.costs(&template, name, &bootstrap).await?;
        progress("");
        println!("{name:<16} {zipped:>9} bytes zipped, start: {}", costs.start.described());
        if let Some(event) = &costs.event {
            println!("{:<16} an event: {}", "", event.described());
        }
        found.functions.insert(name.to_owned(), costs);
    }

    let file = workspace().join("tests/benchmark/baseline.json");
    if arguments.update {
        let text = serde_json::to_string_pretty(&found)?;
        std::fs::write(&file, format!("{text}\n")).with_context(|| format!("could not write {}", file.display()))?;
    }
    let text = std::fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
    let baseline: Baseline = serde_json::from_str(&text).with_context(|| format!("{} is wrong", file.display()))?;
    if !baseline.counts_alike(&found) {
        println!(
            "instructions are not compared: the baseline is of {} on {}, this is {} on {}",
            baseline.compiler, baseline.architecture, found.compiler, found.architecture
        );
    }
    problems.extend(baseline.problems(&found));
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        println!("If that is meant: cargo run -p benchmark -- guard --update, and say in the commit what it buys.");
    }
    Ok(problems.is_empty())
}

fn size_problem(name: &str, zipped: u64) -> Option<String> {
    let limit = if name == "bus-event" { BUS_EVENT_LIMIT } else { ZIPPED_LIMIT };
    (zipped > limit).then(|| format!("{name} has {zipped} bytes zipped, more than {limit}: see what came in"))
}

impl Baseline {
    fn counts_alike(&self, other: &Self) -> bool {
        self.compiler == other.compiler && self.architecture == other.architecture
    }

    /// How what is found differs from this.
    fn problems(&self, found: &Self) -> Vec<String> {
        let counts_alike = self.counts_alike(found);
        let mut problems = Vec::new();
        for name in self.functions.keys().filter(|name| !found.functions.contains_key(*name)) {
            problems.push(format!("{name} is in the baseline and is no function of the template"));
        }
        for (name, costs) in &found.functions {
            let Some(before) = self.functions.get(name) else {
                problems.push(format!("{name} is not in the baseline"));
                continue;
            };
            problems.extend(before.start.problems(&costs.start, &format!("the start of {name}"), counts_alike));
            let of_event = (before.event.clone().unwrap_or_default(), costs.event.clone().unwrap_or_default());
            problems.extend(of_event.0.problems(&of_event.1, &format!("one event of {name}"), counts_alike));
        }
        problems
    }
}

impl Cost {
    fn described(&self) -> String {
        let calls: Vec<_> = self.calls.iter().map(|(call, count)| format!("{count} {call}")).collect();
        let calls = if calls.is_empty() { "no call".to_owned() } else { calls.join(", ") };
        format!("{:.1} million instructions, {calls}", self.instructions as f64 / 1e6)
    }

    fn problems(&self, found: &Self, of: &str, counts_alike: bool) -> Vec<String> {
        let mut problems = Vec::new();
        if self.calls != found.calls {
            problems.push(format!("{of} makes the calls {:?}, before {:?}", found.calls, self.calls));
        }
        let (before, now) = (self.instructions, found.instructions);
        if counts_alike && before.abs_diff(now) * 100 > before * TOLERANCE {
            problems.push(format!("{of} takes {now} instructions, before {before}: more than {TOLERANCE} % apart"));
        }
        problems
    }
}

/// Counts instructions.
struct Valgrind {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Valgrind {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path).map(|folder| folder.join("valgrind")).find(|file| file.exists());
        let program = program.context("there is no valgrind on PATH (Debian: apt-get install valgrind)")?;
        Ok(Self { program, folder: tempfile::tempdir()? })
    }

    async fn costs(&self, template: &Template, name: &str, bootstrap: &Path) -> anyhow::Result<Costs> {
        let input = match name {
            subjects::FORM => Some((Work::Intake, Input::Form)),
            subjects::INVITATION => Some((Work::Worker, Input::Batch(subjects::BATCH))),
            _ => None,
        };
        let start = self.count(template, name, bootstrap, None, 0).await?;
        let Some((work, input)) = input else { return Ok(Costs { start, event: None }) };
        let [short, long] = EVENTS;
        let before = self.count(template, name, bootstrap, Some((work, input)), short).await?;
        let after = self.count(template, name, bootstrap, Some((work, input)), long).await?;
        Ok(Costs { start, event: Some(after.minus(&before).divided_by(long - short)) })
    }

    /// What a process costs from its start to its end after this number of events.
    async fn count(
        &self,
        template: &Template,
        name: &str,
        bootstrap: &Path,
        input: Option<(Work, Input)>,
        events: u64,
    ) -> anyhow::Result<Cost> {
        let endpoints = Endpoints::start(None).await?;
        // Whether a slot that was reserved with another one is still in time would depend on the machine. Once one was
        // too late, each call reserves its own for an hour.
        endpoints.delay_portal(3);
        let environment = subjects::environment(template, &endpoints, Input::Form, "");
        let counts = self.folder.path().join("counts");
        let function = Function::start(&self.wrapper(bootstrap, &counts)?, environment).await;
        let function = function.map_err(|error| anyhow!("{name} did not start: {error:?}"))?;
        let mut made = Events::new()?;
        let mut calls = Calls::default();
        for _ in 0..events {
            let (work, input) = input.context("only forms and invitations are sent")?;
            let answer = function.invoke_bytes(made.of(input).into(), TIMEOUT).await;
            let answer = answer.map_err(|error| anyhow!("{name} did not answer: {error:?}"))?;
            let made = endpoints.take_calls();
            subjects::check(work, input, &answer, &made).with_context(|| format!("{name} did not do its work"))?;
            calls.add(&made);
        }
        calls.add(&endpoints.take_calls());
        // Valgrind writes its counts when a process ends by this signal.
        let id = *function.process_ids().first().context("a started function has a process")?;
        let ended = Command::new("kill").args(["-TERM", &id.to_string()]).status().context("no program `kill`")?;
        ensure!(ended.success(), "{name} ended before the harness ended it");
        function.ended().await;
        let text = std::fs::read_to_string(&counts).with_context(|| format!("Valgrind counted nothing of {name}"))?;
        let instructions = total(&text).with_context(|| format!("Valgrind wrote no total of {name}"))?;
        let named = |service: &str, counts: &BTreeMap<String, u64>| -> BTreeMap<String, u64> {
            counts.iter().map(|(call, count)| (format!("{service} {call}"), *count)).collect()
        };
        let mut all = named("AWS", &calls.aws);
        all.extend(named("LeadSquared", &calls.leadsquared));
        Ok(Cost { instructions, calls: all })
    }

    /// A program that runs the function within Valgrind.
    fn wrapper(&self, bootstrap: &Path, counts: &Path) -> anyhow::Result<PathBuf> {
        let wrapper = self.folder.path().join("bootstrap");
        let script = format!(
            "#!/bin/sh\nexec '{}' --quiet --tool=callgrind --callgrind-out-file='{}' '{}'\n",
            self.program.display(),
            counts.display(),
            bootstrap.canonicalize()?.display(),
        );
        std::fs::write(&wrapper, script)?;
        std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o700))?;
        Ok(wrapper)
    }
}

impl Cost {
    fn minus(&self, other: &Self) -> Self {
        let mut calls = self.calls.clone();
        for (call, count) in &other.calls {
            let left = calls.entry(call.clone()).or_default();
            *left = left.saturating_sub(*count);
        }
        calls.retain(|_, count| *count > 0);
        Self { instructions: self.instructions.saturating_sub(other.instructions), calls }
    }

    /// What one of this number costs, in whole calls: on a busy machine a slot may come too late, and another one is
    /// reserved.
    fn divided_by(&self, number: u64) -> Self {
        let each = self.calls.iter().map(|(call, count)| (call.clone(), (count + number / 2) / number));
        let calls = each.filter(|(_, count)| *count > 0).collect();
        Self { instructions: self.instructions / number, calls }
    }
}

/// The sum in a file of Callgrind (<https://valgrind.org/docs/manual/cl-format.html>).
fn total(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("totals:"))?;
    total.split_whitespace().next()?.parse().ok()
}

/// The name of the Rust compiler.
fn compiler() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("there is no rustc on PATH")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(instructions: u64, calls: &[(&str, u64)]) -> Cost {
        Cost { instructions, calls: calls.iter().map(|(call, count)| ((*call).to_owned(), *count)).collect() }
    }

    fn baseline(start: Cost, event: Option<Cost>) -> Baseline {
        let functions = BTreeMap::from([("form".to_owned(), Costs { start, event })]);
        Baseline { compiler: "rustc 1".to_owned(), architecture: "x86_64".to_owned(), functions }
    }

    #[test]
    fn a_call_more_is_a_problem_and_so_are_more_than_five_percent_of_instructions() {
        let before = baseline(cost(1000, &[]), Some(cost(100, &[("AWS PutItem", 1)])));
        let problems = |start, event| before.problems(&baseline(start, event)).len();
        let event = || Some(cost(100, &[("AWS PutItem", 1)]));
        assert_eq!(problems(cost(1000, &[]), event()), 0);
        assert_eq!(problems(cost(1050, &[]), event()), 0);
        assert_eq!(problems(cost(1051, &[]), event()), 1);
        assert_eq!(problems(cost(949, &[]), event()), 1, "a gain is recorded, so that it cannot be lost unseen");
        assert_eq!(problems(cost(1000, &[("AWS GetSecretValue", 1)]), event()), 1);
        assert_eq!(problems(cost(1000, &[]), Some(cost(100, &[("AWS PutItem", 2)]))), 1);
        assert_eq!(problems(cost(1000, &[]), None), 2);
    }

    #[test]
    fn another_compiler_counts_other_instructions_and_makes_the_same_calls() {
        let before = baseline(cost(1000, &[]), None);
        let mut found = baseline(cost(2000, &[("AWS PutItem", 1)]), None);
        found.compiler = "rustc 2".to_owned();
        assert_eq!(before.problems(&found).len(), 1);
    }

    #[test]
    fn a_function_that_is_new_or_gone_is_a_problem() {
        let mut none = baseline(cost(1, &[]), None);
        none.functions.clear();
        let one = baseline(cost(1, &[]), None);
        assert_eq!((one.problems(&none).len(), none.problems(&one).len()), (1, 1));
    }

    #[test]
    fn a_package_may_have_three_million_bytes() {
        assert_eq!(size_problem("form", 3_000_000), None);
        assert!(size_problem("form", 3_000_001).is_some());
    }

    #[test]
    fn an_event_costs_the_difference_of_two_runs() {
        let after = cost(700, &[("AWS PutItem", 13), ("AWS GetItem", 1), ("AWS GetSecretValue", 1)]);
        let difference = after.minus(&cost(200, &[("AWS PutItem", 2), ("AWS GetSecretValue", 1)]));
        assert_eq!(difference.divided_by(5), cost(100, &[("AWS PutItem", 2)]));
        let fewer = cost(700, &[("AWS PutItem", 11)]).minus(&cost(200, &[("AWS PutItem", 2)]));
        assert_eq!(fewer.divided_by(5), cost(100, &[("AWS PutItem", 2)]));
    }

    #[test]
    fn the_sum_is_read() {
        assert_eq!(total("version: 1\nevents: Ir\nfn=(1) x\n1 2\ntotals: 323305788\n"), Some(323_305_788));
        assert_eq!(total("version: 1\n"), None);
    }
}

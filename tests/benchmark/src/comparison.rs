//! Measures the functions beside their floor and their peers, in turns.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use clap::{Args, ValueEnum};
use runtime_api::Function;

use crate::cost::{Cost, Use};
use crate::cpu_share::CpuShare;
use crate::events::Events;
use crate::fakes::Endpoints;
use crate::fakes::authority::Authority;
use crate::fakes::calls::{Calls, Units};
use crate::process::{cpu_time, peak_memory};
use crate::report::{self, Report};
use crate::results::{Comparison, Figure, PerEvent, Role, Size, Work};
use crate::statistics::quantile;
use crate::subjects::{self, BATCH, ECHO, Input, Process, Subject, Transport};
use crate::template::Template;
use crate::{artifacts, picture};

/// The memory in MB of every function in the template.
const MEMORY: u64 = 256;

/// The events between which the growth of the memory is measured.
const GROWTH: [u64; 2] = [10_000, 100_000];

#[derive(Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Measure these figures only.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Group::value_variants().to_vec())]
    figures: Vec<Group>,
    /// A few rounds of everything but the growth: shows that it works, and the order of magnitude.
    #[arg(long)]
    quick: bool,
    /// The number of cold starts of each kind.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
    /// Measure the functions in this folder, such as another checkout's `target/lambda`, instead of building them.
    #[arg(long, value_name = "FOLDER")]
    functions: Option<PathBuf>,
    /// Writes the figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a picture of the cold answer and of the worker's throughput to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Figures that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Start and first event, in full and with a share of a core.
    Cold,
    /// Answer times, throughput, calls, cost, and memory after 5,000 events.
    Warm,
    /// Growth of the memory from 10,000 to 100,000 events. Takes minutes.
    Growth,
    /// Size and start of every function.
    Size,
}

/// How much is measured.
struct Extent {
    starts: u32,
    /// The number of blocks of warm events.
    blocks: u32,
    /// The applications or invitations in a block.
    block: u64,
    grows: bool,
}

impl Extent {
    fn of(arguments: &Arguments) -> Self {
        match arguments.quick {
            true => Self { starts: 3, blocks: 2, block: 100, grows: false },
            false => Self { starts: arguments.starts, blocks: 4, block: 1000, grows: true },
        }
    }
}

/// Builds, measures and reports.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let extent = Extent::of(arguments);
    let is_wanted = |group| arguments.figures.contains(&group);
    let template = Template::read()?;
    let authority = Authority::new()?;
    let mut report = Report::of_this_machine();
    report.shares = CpuShare::new(MEMORY).map(drop).map_err(|error| format!("{error:#}"));
    let mut bench = Bench { template: &template, events: Events::new()?, extent: &extent, report: &report };
    let mut names = subjects::OURS.to_vec();
    if is_wanted(Group::Size) {
        names.extend(template.binaries());
    }
    let functions = match &arguments.functions {
        Some(folder) => folder.clone(),
        None => artifacts::build(&names)?,
    };
    for name in names {
        let bootstrap = functions.join(name).join("bootstrap");
        ensure!(bootstrap.exists(), "there is no {}", bootstrap.display());
    }
    let works = subjects::all(&authority, &functions).await?;
    let mut comparisons = Vec::new();
    for (work, subjects) in &works {
        let mut comparison = Comparison::new(subjects.iter().map(|subject| subject.column).collect());
        if is_wanted(Group::Cold) {
            bench.cold(*work, subjects, &mut comparison).await?;
        }
        if is_wanted(Group::Warm) || is_wanted(Group::Growth) {
            bench.warm(*work, subjects, &mut comparison, is_wanted(Group::Growth)).await?;
        }
        comparisons.push((*work, comparison));
    }
    let sizes = if is_wanted(Group::Size) { sizes(&template, &functions, extent.starts).await? } else { Vec::new() };
    report.comparisons = comparisons;
    report.sizes = sizes;

    report::print(&report);
    if let Some(file) = &arguments.json {
        std::fs::write(file, format!("{:#}\n", report.json()))
            .with_context(|| format!("could not write {}", file.display()))?;
    }
    if let Some(file) = &arguments.svg {
        let picture = picture::draw(&report).context("the picture needs the figures `cold` and `warm`")?;
        std::fs::write(file, picture).with_context(|| format!("could not write {}", file.display()))?;
    }
    Ok(())
}

struct Bench<'a> {
    template: &'a Template,
    events: Events,
    extent: &'a Extent,
    report: &'a Report,
}

impl Bench<'_> {
    /// Starts each function anew for each kind of first event, in turns.
    async fn cold(&mut self, work: Work, subjects: &[Subject], comparison: &mut Comparison) -> anyhow::Result<()> {
        let first = match work {
            Work::Intake => Input::Form,
            Work::Worker => Input::Batch(1),
        };
        let mut kinds = vec![
            (Figure::FirstFullCore, Transport::Plain, None, first),
            (Figure::FirstOverTls, Transport::Tls, None, first),
        ];
        if work == Work::Intake {
            kinds.push((Figure::FirstWorst, Transport::Plain, None, Input::WorstForm));
        }
        if self.report.shares.is_ok() {
            kinds.extend([
                (Figure::First128, Transport::Tls, Some(128), first),
                (Figure::First256, Transport::Tls, Some(MEMORY), first),
                (Figure::First512, Transport::Tls, Some(512), first),
            ]);
        }
        for round in 0..self.extent.starts {
            report::progress(&format!("{}: cold start {} of {}", work.key(), round + 1, self.extent.starts));
            for &(figure, transport, memory, input) in &kinds {
                for subject in subjects {
                    let (start, first) = self.cold_start(subject, transport, memory, input).await?;
                    let name = subject.column.name;
                    // As deployed, without a file of authorities to read.
                    if transport == Transport::Plain {
                        comparison.add(Figure::Start, name, milliseconds(start));
                    }
                    comparison.add(figure, name, milliseconds(first));
                    if figure == Figure::First256 {
                        comparison.add(Figure::ColdAnswer, name, milliseconds(start + first));
                    }
                }
            }
        }
        Ok(())
    }

    /// The time of a start on a full core, and of a first event at the share of this memory.
    async fn cold_start(
        &mut self,
        subject: &Subject,
        transport: Transport,
        memory: Option<u64>,
        input: Input,
    ) -> anyhow::Result<(Duration, Duration)> {
        let share = memory.map(CpuShare::new).transpose()?;
        let (mut process, start) = subject.start(self.template, transport, input).await?;
        if let Some(share) = share {
            process.hold(share)?;
        }
        let (first, _) = process.send(&mut self.events, input).await?;
        process.stop().await;
        Ok((start, first))
    }

    /// Sends blocks of events to long-lived processes, in turns.
    async fn warm(
        &mut self,
        work: Work,
        subjects: &[Subject],
        comparison: &mut Comparison,
        grows: bool,
    ) -> anyhow::Result<()> {
        let input = match work {
            Work::Intake => Input::Form,
            Work::Worker => Input::Batch(BATCH),
        };
        for transport in [Transport::Plain, Transport::Tls] {
            let mut processes = Vec::new();
            for subject in subjects {
                processes.push(subject.start(self.template, transport, input).await?.0);
            }
            for process in &processes {
                // The first events of a process compile code and open connections.
                self.block(process, input).await?;
            }
            for block in 0..self.extent.blocks {
                report::progress(&format!(
                    "{}: {transport:?} block {} of {}",
                    work.key(),
                    block + 1,
                    self.extent.blocks
                ));
                for process in &processes {
                    self.block(process, input).await?.report(transport, process.subject, comparison);
                }
            }
            for mut process in processes {
                let name = process.subject.column.name;
                match transport {
                    Transport::Plain => {
                        comparison.add(Figure::PeakMemory, name, peak_memory(process.id)?);
                        if grows && self.extent.grows && process.subject.column.role == Role::Ours {
                            comparison.add(Figure::Growth, name, self.growth(work, &process, input).await?);
                        }
                    }
                    Transport::Tls => {
                        if process.subject.column.role != Role::Floor {
                            comparison.add(Figure::Connections, name, process.connections() as f64);
                        }
                        self.billed(work, &mut process, input, comparison).await?;
                    }
                }
                process.stop().await;
            }
        }
        Ok(())
    }

    async fn block(&mut self, process: &Process<'_>, input: Input) -> anyhow::Result<Block> {
        self.some(process, input, self.extent.block).await
    }

    /// Sends this number of applications or invitations.
    async fn some(&mut self, process: &Process<'_>, input: Input, count: u64) -> anyhow::Result<Block> {
        let before = cpu_time(process.id)?;
        let mut block = Block { times: Vec::new(), calls: Calls::default(), count: 0, cpu: Duration::ZERO };
        while block.count < count {
            let (time, calls) = process.send(&mut self.events, input).await?;
            block.times.push(milliseconds(time));
            block.calls.add(&calls);
            block.count += input.count();
        }
        block.cpu = cpu_time(process.id)?.saturating_sub(before);
        Ok(block)
    }

    /// The growth of the peak of the memory between two numbers of events.
    async fn growth(&mut self, work: Work, process: &Process<'_>, input: Input) -> anyhow::Result<f64> {
        let mut sent = self.extent.block * u64::from(self.extent.blocks + 1);
        let mut peaks = [0.0; 2];
        for (peak, until) in peaks.iter_mut().zip(GROWTH) {
            report::progress(&format!("{}: memory after {until} events", work.key()));
            self.some(process, input, until.saturating_sub(sent)).await?;
            sent = until;
            *peak = peak_memory(process.id)?;
        }
        Ok(peaks[1] - peaks[0])
    }

    /// The time of events at 256 MB's share, one after another, and what a million of them cost.
    async fn billed(
        &mut self,
        work: Work,
        process: &mut Process<'_>,
        input: Input,
        comparison: &mut Comparison,
    ) -> anyhow::Result<()> {
        if self.report.shares.is_err() || process.subject.column.role == Role::Floor {
            return Ok(());
        }
        report::progress(&format!("{}: {} at {MEMORY} MB", work.key(), process.subject.column.name));
        process.hold(CpuShare::new(MEMORY)?)?;
        let block = self.some(process, input, (self.extent.block / 10).max(50)).await?;
        let name = process.subject.column.name;
        let milliseconds = block.times.iter().sum::<f64>() / block.times.len() as f64;
        let events = block.count as f64;
        let (api_requests, queue_requests) = match work {
            // The request that sends the message.
            Work::Intake => (1.0, 1.0),
            // Lambda receives a batch with one request, and deletes it with another.
            Work::Worker => (0.0, 2.0 / BATCH as f64),
        };
        let Units { read, written } = block.calls.units;
        let cost = Cost::of_a_million(&Use {
            api_requests,
            invocations: block.times.len() as f64 / events,
            milliseconds,
            memory: MEMORY as f64,
            queue_requests,
            units: Units { read: read / events, written: written / events },
        });
        comparison.add(Figure::Billed, name, milliseconds);
        comparison.add(Figure::CostOfAMillion, name, cost.total());
        comparison.used.insert(name, PerEvent { calls: block.calls, events: block.count, cost });
        Ok(())
    }
}

/// Events that were sent one after another.
struct Block {
    /// The time of each answer, in ms.
    times: Vec<f64>,
    /// The calls of all of them.
    calls: Calls,
    /// The applications or invitations in them.
    count: u64,
    /// The CPU time of the process meanwhile.
    cpu: Duration,
}

impl Block {
    fn report(&self, transport: Transport, subject: &Subject, comparison: &mut Comparison) {
        let name = subject.column.name;
        match transport {
            Transport::Plain => {
                self.times.iter().for_each(|time| comparison.add(Figure::Warm50, name, *time));
                comparison.add(Figure::Warm99, name, quantile(&self.times, 0.99).unwrap_or_default());
                comparison.add(Figure::PerCpuSecond, name, self.per_cpu_second());
            }
            Transport::Tls => {
                comparison.add(Figure::PerCpuSecondOverTls, name, self.per_cpu_second());
                for (figure, calls) in
                    [(Figure::AwsCalls, &self.calls.aws), (Figure::LeadSquaredCalls, &self.calls.leadsquared)]
                {
                    if !calls.is_empty() {
                        comparison.add(figure, name, calls.values().sum::<u64>() as f64 / self.count as f64);
                    }
                }
            }
        }
    }

    fn per_cpu_second(&self) -> f64 {
        self.count as f64 / self.cpu.as_secs_f64()
    }
}

/// The size of every function, and its starts, in turns.
async fn sizes(template: &Template, functions: &Path, starts: u32) -> anyhow::Result<Vec<Size>> {
    let endpoints = Endpoints::start(None).await?;
    let environment = subjects::environment(template, &endpoints, Input::Form, "");
    let mut sizes = Vec::new();
    for name in [ECHO].into_iter().chain(template.binaries()) {
        let (size, zipped) = artifacts::sizes(&functions.join(name).join("bootstrap"))?;
        sizes.push(Size { name: name.to_owned(), size, zipped, starts: Vec::new(), connections: 0.0 });
    }
    // The first start also reads the file from the disk.
    for round in 0..=starts {
        report::progress(&format!("sizes: start {round} of {starts}"));
        for size in &mut sizes {
            let before = endpoints.connections();
            let began = Instant::now();
            let function = Function::start(&functions.join(&size.name).join("bootstrap"), environment.clone()).await;
            let time = began.elapsed();
            let function = function.map_err(|error| anyhow!("{} did not start: {error:?}", size.name))?;
            function.stop().await;
            if round > 0 {
                size.starts.push(milliseconds(time));
                size.connections += (endpoints.connections() - before) as f64 / f64::from(starts);
            }
        }
    }
    Ok(sizes)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

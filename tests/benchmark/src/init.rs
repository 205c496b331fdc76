//! Sizes of the functions, and times from the start of a process to its first request for an event.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use local_stack::yaml;
use runtime_api::Function;
use serde_json::Value;

/// The reference function; it is measured first.
const REFERENCE: &str = "echo";

#[derive(Args)]
pub(crate) struct Arguments {
    /// How often to start each function.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
}

/// A built function and its start-up times.
struct Subject {
    name: String,
    bootstrap: PathBuf,
    times: Vec<Duration>,
    /// The number of connections that it made before its first event.
    calls: usize,
}

/// Builds the functions, starts each in turns, and prints a table.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("this package is not two folders below the workspace")?;
    let template = yaml::read(&std::fs::read_to_string(workspace.join("template.yaml"))?)?;
    let functions: Vec<&Value> = template["Resources"]
        .as_object()
        .context("template.yaml has no resources")?
        .values()
        .filter(|resource| resource["Type"] == "AWS::Serverless::Function")
        .collect();
    let names = functions.iter().filter_map(|function| function["Metadata"]["BuildProperties"]["Binary"].as_str());
    let names: Vec<&str> = [REFERENCE].into_iter().chain(names).collect();
    let built = build(workspace, &names)?;
    let subject = |name: &&str| Subject {
        name: (*name).to_owned(),
        bootstrap: built.join(name).join("bootstrap"),
        times: Vec::new(),
        calls: 0,
    };
    let mut subjects: Vec<Subject> = names.iter().map(subject).collect();

    // Every address that a function may call leads to this listener, which never answers.
    let outside = TcpListener::bind("127.0.0.1:0")?;
    outside.set_nonblocking(true)?;
    let environment = environment(&template, &functions, &format!("http://{}/", outside.local_addr()?));
    for start in 0..=arguments.starts {
        for subject in &mut subjects {
            let time = start_once(subject, &environment).await?;
            // The first start also reads the file from the disk.
            if start > 0 {
                subject.times.push(time);
            }
            subject.calls += arrived(&outside)?;
        }
    }
    print(&mut subjects)
}

/// Builds these binaries as `sam build` does; returns their folder.
fn build(workspace: &Path, names: &[&str]) -> anyhow::Result<PathBuf> {
    let mut command = Command::new("cargo");
    command.args(["lambda", "build", "--release", "--locked"]).current_dir(workspace);
    command.args(names.iter().flat_map(|name| ["--bin", name]));
    let built = command.status().context("could not start cargo")?;
    ensure!(built.success(), "the build failed; it needs cargo-lambda on PATH: pip install cargo-lambda ziglang");
    // This program is in <target>/debug.
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).context("this program is not in cargo's target folder")?.join("lambda"))
}

/// One environment for all functions: every setting with its default in the template, or `address` without a default.
fn environment(template: &Value, functions: &[&Value], address: &str) -> Vec<(String, String)> {
    let settings = functions.iter().flat_map(|function| function["Properties"]["Environment"]["Variables"].as_object());
    let settings = settings.flatten().map(|(name, value)| {
        let parameter = value["Ref"].as_str().unwrap_or_default();
        let value = match &template["Parameters"][parameter]["Default"] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ if parameter == "PortalId" => "00000000-0000-0000-0000-000000000000".to_owned(),
            _ => address.to_owned(),
        };
        (name.clone(), value)
    });
    let aws = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", address),
        ("METRICS_NAMESPACE", REFERENCE),
    ];
    settings.chain(aws.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

async fn start_once(subject: &Subject, environment: &[(String, String)]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let function = Function::start(&subject.bootstrap, environment.to_owned()).await;
    let time = began.elapsed();
    let function = function.map_err(|error| anyhow!("could not start {}: {error:?}", subject.name))?;
    function.stop().await;
    Ok(time)
}

/// The number of connections since the last count.
fn arrived(listener: &TcpListener) -> anyhow::Result<usize> {
    let mut connections = 0;
    loop {
        match listener.accept() {
            Ok(_) => connections += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(connections),
            Err(error) => return Err(error.into()),
        }
    }
}

fn print(subjects: &mut [Subject]) -> anyhow::Result<()> {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    println!(
        "{:<18} {:>8} {:>8} {:>10} {:>8} {:>8} {:>7}",
        "", "size", "zipped", "median", "least", "to echo", "calls"
    );
    let mut reference = None;
    for subject in subjects {
        subject.times.sort();
        let median = milliseconds(subject.times[subject.times.len() / 2]);
        let least = milliseconds(subject.times[0]);
        let reference = *reference.get_or_insert(median);
        let size = megabytes(std::fs::read(&subject.bootstrap)?.len());
        let zipped =
            Command::new("gzip").arg("--stdout").arg(&subject.bootstrap).output().context("could not start gzip")?;
        let (zipped, ratio) = (megabytes(zipped.stdout.len()), median / reference);
        let Subject { name, calls, .. } = subject;
        println!("{name:<18} {size:>5.2} MB {zipped:>5.2} MB {median:>7.1} ms {least:>5.1} ms {ratio:>8.1} {calls:>7}");
    }
    println!(
        "Times from the start of the process to its first request for an event; `calls` are connections until then. A \
         function without calls reads secrets and makes TLS handshakes during its first event."
    );
    Ok(())
}

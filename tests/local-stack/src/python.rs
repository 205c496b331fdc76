//! The Python environment that MiniStack and the deployment run in.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::keeper::{Kept, keep};
use crate::steps::Step;

const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

/// Sets up a virtual environment under `folder` and returns its interpreter.
///
/// The environment is made again only when the requirements or the interpreter have changed. An interrupted set-up is
/// repeated. Two processes that ask at the same time share one set-up.
///
/// # Errors
/// When Python 3.10 or later is missing, or its packages cannot be installed. The error says what to install.
pub(crate) async fn environment(folder: &Path, step: &mut Step) -> anyhow::Result<PathBuf> {
    let system = find().await?;
    tokio::fs::create_dir_all(folder).await.with_context(|| format!("could not make {}", folder.display()))?;
    let _lock = lock(&folder.join("venv.lock"), step).await?;

    let home = folder.join("venv");
    let python = home.join("bin/python");
    let marker = home.join("complete");
    let wanted = fingerprint(&system).await?;
    if tokio::fs::read_to_string(&marker).await.is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    if home.exists() {
        tokio::fs::remove_dir_all(&home).await.with_context(|| format!("could not remove {}", home.display()))?;
    }
    ensure_venv_module(&system, step).await?;
    step.note("making a virtual environment");
    let mut command = keep(&system);
    command.arg(&system).args(["-m", "venv"]).arg(&home);
    complete(command).await.with_context(|| format!("{} could not make {}", system.display(), home.display()))?;
    install(&system, &python, &folder.join("requirements.txt"), step).await?;
    // The marker is written last, so that it exists only when the environment is complete.
    tokio::fs::write(&marker, wanted).await.with_context(|| format!("could not write {}", marker.display()))?;
    Ok(python)
}

/// Runs a program that reads a request from its standard input and writes the answer to its standard output, both JSON.
///
/// # Errors
/// When the program fails. The error has its own explanation.
pub(crate) async fn ask<A: DeserializeOwned>(
    python: &Path,
    program: &str,
    request: &impl Serialize,
) -> anyhow::Result<A> {
    let request = serde_json::to_vec(request)?;
    let mut command = Command::new(python);
    command.args(["-I", "-c", program]).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = command.spawn().with_context(|| format!("could not start {}", python.display()))?;
    let mut input = program.stdin.take().context("the program's input is piped")?;
    // A program that ends before it has read its input explains that on its standard error.
    let _ = input.write_all(&request).await;
    drop(input);
    let output = program.wait_with_output().await.context("could not wait for a program")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    serde_json::from_slice(&output.stdout).context("a program's answer does not have the expected format")
}

/// The machine's Python.
///
/// # Errors
/// When there is none, or it is older than 3.10.
pub(crate) async fn find() -> anyhow::Result<PathBuf> {
    let mut too_old = None;
    for name in ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"] {
        let question = "import sys; print(sys.executable); print('%d.%d' % sys.version_info[:2]); sys.exit(sys.version_info < (3, 10))";
        let Ok(answer) = run(Path::new(name), ["-I", "-S", "-c", question]).await else { continue };
        let answer_text = String::from_utf8_lossy(&answer.stdout);
        let mut lines = answer_text.lines();
        let (Some(path), Some(version)) = (lines.next(), lines.next()) else { continue };
        if answer.status.success() {
            return Ok(PathBuf::from(path));
        }
        too_old.get_or_insert(format!("{path} is Python {version}"));
    }
    match too_old {
        Some(found) => bail!("Python 3.10 or later is needed, and {found}; install a newer python3 and run this again"),
        None => bail!(
            "Python 3.10 or later is needed to run the AWS emulator, and there is no python3 on the PATH; \
             install it (Debian and Ubuntu: apt-get install python3 python3-venv; macOS: brew install python3) and run this again"
        ),
    }
}

/// A text that changes with the requirements and with the interpreter.
async fn fingerprint(system: &Path) -> anyhow::Result<String> {
    let version = run(system, ["-I", "-S", "-c", "import sys; print(sys.version, sys.executable)"]).await?;
    let digest = Sha256::new().chain_update(REQUIREMENTS).chain_update(&version.stdout).finalize();
    Ok(hex::encode(digest))
}

/// Holds the lock until the file is dropped.
async fn lock(path: &Path, step: &mut Step) -> anyhow::Result<File> {
    let file = File::create(path).with_context(|| format!("could not make {}", path.display()))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                step.note("another process is making it");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("could not lock {}", path.display()));
            }
        }
    }
}

/// Debian ships Python without the module that makes virtual environments.
async fn ensure_venv_module(system: &Path, step: &mut Step) -> anyhow::Result<()> {
    if has_venv_module(system).await? {
        return Ok(());
    }
    let by_hand = format!(
        "{} cannot make virtual environments; install its venv module (Debian and Ubuntu: apt-get install python3-venv) and run this again",
        system.display()
    );
    ensure!(succeeds("apt-get", ["--version"]).await, "{by_hand}");
    let prefix: &[&str] = if succeeds("sh", ["-c", "test \"$(id -u)\" = 0"]).await {
        &[]
    } else if succeeds("sudo", ["-n", "true"]).await {
        &["sudo", "-n"]
    } else {
        bail!("{by_hand}");
    };
    step.say("  Installing Debian's python3-venv: this Python cannot make virtual environments without it.");
    step.note("apt-get install python3-venv");
    for task in [&["update", "-q"][..], &["install", "-q", "-y", "--no-install-recommends", "python3-venv"][..]] {
        let mut command = keep(system);
        command.args(prefix).arg("apt-get").args(task).env("DEBIAN_FRONTEND", "noninteractive");
        complete(command).await.with_context(|| by_hand.clone())?;
    }
    ensure!(has_venv_module(system).await?, "{by_hand}");
    Ok(())
}

async fn has_venv_module(system: &Path) -> anyhow::Result<bool> {
    Ok(run(system, ["-I", "-c", "import ensurepip, venv"]).await?.status.success())
}

async fn install(system: &Path, python: &Path, requirements: &Path, step: &mut Step) -> anyhow::Result<()> {
    tokio::fs::write(requirements, REQUIREMENTS)
        .await
        .with_context(|| format!("could not write {}", requirements.display()))?;
    let total =
        REQUIREMENTS.lines().filter(|line| line.contains("==") && !line.contains("python_full_version < ")).count();
    let mut command = keep(system);
    command.arg(python).args(["-I", "-u", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]);
    command.args(["--progress-bar", "off", "--only-binary", ":all:", "--require-hashes", "-r"]).arg(requirements);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut pip = Kept::spawn(command)?;
    let (output, errors) = (pip.process().stdout.take(), pip.process().stderr.take());
    let follow = async {
        let mut lines = BufReader::new(output.context("pip's output is piped")?).lines();
        let mut collected = 0;
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("Collecting ") {
                collected += 1;
                step.note(&format!("package {collected} of {total}"));
            } else if line.starts_with("Installing ") {
                step.note("installing");
            }
        }
        anyhow::Ok(())
    };
    let (followed, complaints) = tokio::join!(follow, last_lines(errors));
    followed?;
    ensure!(
        pip.finished().await?.success(),
        "pip could not install the AWS emulator's packages:\n{complaints}\n\
         They come from PyPI: see to it that pip reaches it (a proxy or mirror goes into pip's own configuration)."
    );
    Ok(())
}

/// Runs a command of which only the success matters. If it fails, the error has its last lines.
async fn complete(mut command: Command) -> anyhow::Result<()> {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut kept = Kept::spawn(command)?;
    let complaints = last_lines(kept.process().stderr.take()).await;
    ensure!(kept.finished().await?.success(), "{complaints}");
    Ok(())
}

/// Reads to the end and keeps the last lines.
async fn last_lines(stream: Option<tokio::process::ChildStderr>) -> String {
    const KEPT: usize = 20;
    let Some(stream) = stream else { return String::new() };
    let mut lines = BufReader::new(stream).lines();
    let mut kept = std::collections::VecDeque::new();
    while let Ok(Some(line)) = lines.next_line().await {
        kept.push_back(line);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
    Vec::from(kept).join("\n")
}

async fn run(program: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.output().await.with_context(|| format!("could not run {}", program.display()))
}

async fn succeeds(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> bool {
    run(Path::new(program), arguments).await.is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_deployments_own_tests_pass() {
        let python = find().await.unwrap();
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/test_deploy.py");
        let output = run(&python, [OsStr::new("-B"), OsStr::new("-S"), tests.as_os_str()]).await.unwrap();
        let report = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && report.trim_end().ends_with("OK"), "{report}");
        assert!(!report.contains("Ran 0 tests"), "{report}");
    }
}

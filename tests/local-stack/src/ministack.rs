//! MiniStack, the AWS emulator that the template is deployed to. It is a Python package.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use tempfile::TempDir;
use tokio::process::Command;

use crate::http::{self, Client};
use crate::keeper::{Kept, keep};
use crate::steps::Steps;
use crate::{ports, python};

/// An empty MiniStack on a loopback port. It ends, together with its functions, when dropped.
pub struct MiniStack {
    // This field is dropped before the folder, so that no process writes into the folder while it is removed.
    kept: Kept,
    address: SocketAddr,
    python: PathBuf,
    folder: TempDir,
    client: Client,
}

/// The permissions of callers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Permissions {
    /// Callers may do what the deployed roles permit.
    AsDeployed,
    /// Callers may do everything.
    All,
}

/// How often a start is tried. Another process can take a free port before MiniStack uses it.
const ATTEMPTS: usize = 5;
const START_TIME: Duration = Duration::from_secs(30);

impl MiniStack {
    /// Installs MiniStack if needed and starts it, on `port` if that is free. The functions deployed there may do only
    /// what their roles permit.
    ///
    /// # Errors
    /// When Python or the packages are not available, or MiniStack does not answer within 30 s. The error has the end
    /// of its log.
    pub async fn start(port: Option<u16>, steps: &Steps) -> anyhow::Result<Self> {
        Self::start_with(Permissions::AsDeployed, port, steps).await
    }

    /// The same for tests that deploy no template. Each 12-digit access key id is a separate account that may do
    /// everything.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_open(steps: &Steps) -> anyhow::Result<Self> {
        Self::start_with(Permissions::All, None, steps).await
    }

    async fn start_with(permissions: Permissions, port: Option<u16>, steps: &Steps) -> anyhow::Result<Self> {
        let home = crate::home();
        let mut step = steps.begin("Python environment");
        let python = python::environment(&home, &mut step).await?;
        step.done();

        let step = steps.begin("MiniStack");
        let mut port = port;
        for _ in 0..ATTEMPTS {
            let folder = tempfile::Builder::new().prefix("ministack-").tempdir_in(&home);
            let folder = folder.with_context(|| format!("could not make a folder in {}", home.display()))?;
            let address = ports::address(port.take(), "MiniStack", steps)?;
            let mut stack = Self::spawn(python.clone(), address, folder, permissions)?;
            if stack.is_ready().await? {
                step.done();
                return Ok(stack);
            }
        }
        bail!("MiniStack found its port taken {ATTEMPTS} times; run this again")
    }

    /// The endpoint of every AWS service, such as `http://127.0.0.1:4303`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port of [`MiniStack::url`].
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Waits until MiniStack ends by itself, which should not happen, and returns the end of its log.
    pub(crate) async fn ended(&mut self) -> String {
        let _ = self.kept.process().wait().await;
        self.log_end().await
    }

    /// Stops MiniStack and returns once its process and the functions' processes are gone.
    pub async fn shutdown(self) {
        self.kept.end().await;
    }

    /// Kills every process of a deployed function, as a crash of its machine would, and returns how many there were.
    ///
    /// # Errors
    /// When the system has no `/proc` to find the processes in. Only Linux has it.
    pub(crate) async fn kill_function(&self, deployed_name: &str) -> anyhow::Result<usize> {
        let processes = std::fs::read_dir("/proc").context("functions can be killed on Linux only")?;
        let name = format!("AWS_LAMBDA_FUNCTION_NAME={deployed_name}");
        let is_one = |process: &Path| {
            let inside = std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.folder.path()));
            let environment = std::fs::read(process.join("environ")).unwrap_or_default();
            inside && environment.split(|byte| *byte == 0).any(|variable| variable == name.as_bytes())
        };
        let found = processes.flatten().filter(|process| is_one(&process.path())).map(|process| process.file_name());
        let found: Vec<_> = found.collect();
        if !found.is_empty() {
            let mut kill = Command::new("sh");
            kill.args(["-c", "kill -KILL \"$@\" 2>/dev/null", "kill"]).args(&found);
            // `kill` fails if a process has ended by itself in the meantime. That failure does not matter.
            kill.status().await.context("could not run kill")?;
        }
        Ok(found.len())
    }

    /// The interpreter that MiniStack runs in, which has boto3 too.
    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    fn spawn(python: PathBuf, address: SocketAddr, folder: TempDir, permissions: Permissions) -> anyhow::Result<Self> {
        let log = std::fs::File::create(log_path(&folder)).context("could not make MiniStack's log")?;
        let mut command = keep(&python);
        command.arg(&python).args(["-I", "-m", "ministack"]).current_dir(folder.path());
        // MiniStack passes its environment to the functions, so it must not contain this machine's AWS settings.
        command.env_clear();
        command.envs(["PATH", "HOME", "LANG"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("TMPDIR", folder.path());
        command.env("BIND_HOST", address.ip().to_string()).env("GATEWAY_PORT", address.port().to_string());
        // MiniStack's MQTT and SFTP listeners would listen on every interface.
        command.env("IOT_MTLS_ENABLED", "0").env("SFTP_ENABLED", "0");
        command.env("AWS_ENDPOINT_URL", format!("http://{address}"));
        // Lambda sets this for a function with JSON in its `LoggingConfig`, as all functions of the template have.
        command.env("AWS_LAMBDA_LOG_FORMAT", "JSON");
        command.env("AUTH", if permissions == Permissions::AsDeployed { "true" } else { "false" });
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.stdout(log.try_clone().context("could not share MiniStack's log")?).stderr(Stdio::from(log));
        Ok(Self { kept: Kept::spawn(command)?, address, python, folder, client: http::client() })
    }

    /// Waits until MiniStack answers. Returns `false` if another process has its port.
    async fn is_ready(&mut self) -> anyhow::Result<bool> {
        let began = Instant::now();
        loop {
            let question = Request::get(format!("{}/_ministack/ready", self.url())).body(Body::empty())?;
            let answer = http::text(&self.client, question).await;
            // This check comes after the answer: if our process still runs, the answer came from it.
            if self.kept.has_ended() {
                let log = self.log_end().await;
                if log.contains("already in use") {
                    return Ok(false);
                }
                bail!("MiniStack ended while it was starting:\n{log}");
            }
            if answer.is_ok_and(|(status, _)| status == StatusCode::OK) {
                return Ok(true);
            }
            if began.elapsed() > START_TIME {
                bail!("MiniStack does not answer after {} s:\n{}", START_TIME.as_secs(), self.log_end().await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The last lines of MiniStack's own log.
    async fn log_end(&self) -> String {
        const KEPT: usize = 20;
        let log = tokio::fs::read(log_path(&self.folder)).await.unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(KEPT)..].join("\n")
    }
}

fn log_path(folder: &TempDir) -> PathBuf {
    folder.path().join("ministack.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The processes that have the folder as their working directory: MiniStack and the processes that it starts.
    fn processes_in(folder: &Path) -> Vec<PathBuf> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .map(|process| process.path())
            .filter(|process| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder)))
            .collect()
    }

    #[tokio::test]
    async fn a_stopped_ministack_leaves_neither_process_nor_folder() {
        let stack = MiniStack::start(None, &Steps::hidden()).await.unwrap();
        let folder = stack.folder.path().to_owned();
        assert!(folder.exists());
        if cfg!(target_os = "linux") {
            assert_eq!(processes_in(&folder).len(), 2, "the keeper and MiniStack");
        }
        stack.shutdown().await;
        assert_eq!(processes_in(&folder), Vec::<PathBuf>::new());
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn two_run_side_by_side_and_a_taken_port_is_no_obstacle() {
        let one = MiniStack::start(None, &Steps::hidden()).await.unwrap();
        let other = MiniStack::start(Some(one.port()), &Steps::hidden()).await.unwrap();
        assert_ne!(one.port(), other.port());
    }
}

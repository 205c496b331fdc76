//! MiniStack, the AWS emulator that the template is deployed to, a Python package.

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

/// A MiniStack on a loopback port, with nothing in it; it ends, with the functions it runs, when dropped.
pub struct MiniStack {
    // Before the folder, so that nobody writes into it any more when it is removed.
    kept: Kept,
    address: SocketAddr,
    python: PathBuf,
    folder: TempDir,
    client: Client,
}

/// What callers may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Permissions {
    /// What the deployed roles say.
    AsDeployed,
    /// Everything.
    All,
}

/// A free port can be taken between finding it and using it.
const ATTEMPTS: usize = 5;
const START_TIME: Duration = Duration::from_secs(30);

impl MiniStack {
    /// Installs MiniStack where that was not done before and starts it, on `port` where that is free. Functions that are
    /// deployed there may do what their roles permit and nothing else.
    ///
    /// # Errors
    /// When Python or the packages cannot be had, or MiniStack does not answer within 30 s: with the end of its log.
    pub async fn start(port: Option<u16>, steps: &Steps) -> anyhow::Result<Self> {
        Self::start_with(Permissions::AsDeployed, port, steps).await
    }

    /// The same for tests that deploy nothing: any 12-digit access key id is an account of its own, and may do everything.
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

    /// Where every AWS service answers, such as `http://127.0.0.1:4303`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port of [`MiniStack::url`].
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Waits until MiniStack ends by itself, which it should not; returns the end of its log.
    pub(crate) async fn ended(&mut self) -> String {
        let _ = self.kept.process().wait().await;
        self.log_end().await
    }

    /// Stops MiniStack and returns once it and the functions are gone.
    pub async fn shutdown(self) {
        self.kept.end().await;
    }

    /// Kills every process of a deployed function, as the machine it runs on might die, and says how many there were.
    ///
    /// # Errors
    /// Where there is no `/proc` to find them in, as on any system but Linux.
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
            // One that has ended by itself in the meantime makes it fail, and is as dead.
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
        // It hands its own environment to the functions: nothing of this machine's AWS settings may be in there.
        command.env_clear();
        command.envs(["PATH", "HOME", "LANG"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("TMPDIR", folder.path());
        command.env("BIND_HOST", address.ip().to_string()).env("GATEWAY_PORT", address.port().to_string());
        // Its MQTT and SFTP listeners would bind every interface.
        command.env("IOT_MTLS_ENABLED", "0").env("SFTP_ENABLED", "0");
        command.env("AWS_ENDPOINT_URL", format!("http://{address}"));
        // Lambda sets this for a function whose LoggingConfig asks for JSON, as all of the template's do.
        command.env("AWS_LAMBDA_LOG_FORMAT", "JSON");
        command.env("AUTH", if permissions == Permissions::AsDeployed { "true" } else { "false" });
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.stdout(log.try_clone().context("could not share MiniStack's log")?).stderr(Stdio::from(log));
        Ok(Self { kept: Kept::spawn(command)?, address, python, folder, client: http::client() })
    }

    /// Waits until MiniStack answers; `false` when somebody else had its port.
    async fn is_ready(&mut self) -> anyhow::Result<bool> {
        let began = Instant::now();
        loop {
            let question = Request::get(format!("{}/_ministack/ready", self.url())).body(Body::empty())?;
            let answer = http::text(&self.client, question).await;
            // Asked after the answer: whoever answers while our own process lives is our own process.
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

    /// Everybody who has the folder as working directory: MiniStack and what it starts.
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

//! Runs commands that leave no process behind, however this program ends.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::process::{Child, ChildStdin, Command};

const KEEPER: &str = include_str!("../python/keep.py");

/// The longest that ending a session may take. The keeper gives it 2 s to end by itself, and 2 s more after a kill.
const LONGEST_END: Duration = Duration::from_secs(6);

/// A command in its own session. All processes of the session end when this value is dropped or this process crashes.
pub(crate) struct Kept {
    keeper: Child,
    /// The keeper's standard input. When it closes, the keeper ends the session.
    pipe: Option<ChildStdin>,
}

/// The start of a command line for [`Kept::spawn`]: add the program, its arguments and its environment.
pub(crate) fn keep(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-I", "-S", "-c", KEEPER]);
    command
}

impl Kept {
    /// Starts the command line that began with [`keep`].
    ///
    /// # Errors
    /// When Python does not start. A program that does not start shows as exit code 127.
    pub(crate) fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let mut keeper = command
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("could not start {}", command.as_std().get_program().display()))?;
        let pipe = keeper.stdin.take();
        Ok(Self { keeper, pipe })
    }

    /// The process whose standard output and error are the command's, where they are piped.
    pub(crate) fn process(&mut self) -> &mut Child {
        &mut self.keeper
    }

    /// Whether the command has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.keeper.try_wait(), Ok(None))
    }

    /// Waits for the command to end by itself.
    pub(crate) async fn finished(mut self) -> anyhow::Result<ExitStatus> {
        let status = self.keeper.wait().await;
        self.pipe = None;
        status.context("could not wait for a command")
    }

    /// Ends the session and returns once all of its processes are gone.
    pub(crate) async fn end(mut self) {
        self.pipe = None;
        // Dropping this value kills a keeper that does not end in time.
        let _ = tokio::time::timeout(LONGEST_END, self.keeper.wait()).await;
    }
}

impl Drop for Kept {
    /// Blocks until the session has ended, so that no process is left after the drop.
    fn drop(&mut self) {
        self.pipe = None;
        let deadline = Instant::now() + LONGEST_END;
        while matches!(self.keeper.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;
    use crate::python;

    /// A shell with a child and a grandchild in the background, and the process ids of all three.
    async fn family() -> (Kept, Vec<String>) {
        let mut command = keep(&python::find().await.unwrap());
        command.args(["sh", "-c", "sleep 600 & a=$!; (sleep 600 & echo $$ $a $!; wait); wait"]).stdout(Stdio::piped());
        let mut kept = Kept::spawn(command).unwrap();
        let output = kept.process().stdout.take().unwrap();
        let line = BufReader::new(output).lines().next_line().await.unwrap().unwrap();
        (kept, line.split(' ').map(str::to_owned).collect())
    }

    fn alive(pid: &str) -> bool {
        std::process::Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status().unwrap().success()
    }

    #[tokio::test]
    async fn ending_a_command_ends_its_children_and_theirs() {
        let (kept, pids) = family().await;
        assert_eq!(pids.len(), 3);
        assert!(pids.iter().all(|pid| alive(pid)));
        kept.end().await;
        assert!(!pids.iter().any(|pid| alive(pid)));
    }

    #[tokio::test]
    async fn dropping_a_command_ends_its_children_and_theirs() {
        let (kept, pids) = family().await;
        assert!(pids.iter().all(|pid| alive(pid)));
        drop(kept);
        assert!(!pids.iter().any(|pid| alive(pid)));
    }

    #[tokio::test]
    async fn a_command_that_ends_by_itself_hands_on_its_exit_code() {
        let python = python::find().await.unwrap();
        for (program, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)] {
            let mut command = keep(&python);
            command.args(["sh", "-c", program]);
            assert_eq!(Kept::spawn(command).unwrap().finished().await.unwrap().code(), Some(code), "{program}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_exit_code_127() {
        let mut command = keep(&python::find().await.unwrap());
        command.arg("no-such-program").stderr(Stdio::null());
        assert_eq!(Kept::spawn(command).unwrap().finished().await.unwrap().code(), Some(127));
    }
}

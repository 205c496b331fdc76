//! Builds the function binaries that the template names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use crate::keeper::{Kept, keep};
use crate::steps::{Step, Steps};
use crate::{python, workspace};

/// Builds every binary of the workspace and returns the functions' binaries by name. One build for all of them compiles
/// each dependency once, with one set of features.
///
/// # Errors
/// When the code does not compile. The error has the compiler's messages.
pub async fn build(steps: &Steps) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut step = steps.begin("Building the functions");
    let binaries = build_noting(&python::find().await?, &mut step).await?;
    step.done();
    Ok(binaries)
}

async fn build_noting(python: &Path, step: &mut Step) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = keep(python);
    command.arg(cargo).args(["build", "--workspace", "--bins", "--locked", "--color", "never"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    // Cargo shows the number of crates only in its progress bar. The bar is parsed here, and not shown.
    command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "100");
    command.current_dir(workspace()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut build = Kept::spawn(command)?;
    let messages = build.process().stdout.take().context("cargo's output is piped")?;
    let errors = build.process().stderr.take().context("cargo's errors are piped")?;
    let (binaries, diagnostics) = tokio::join!(function_binaries(messages), diagnostics(errors, step));
    ensure!(build.finished().await?.success(), "the functions do not build:\n{}", diagnostics?);
    let binaries = binaries?;
    ensure!(!binaries.is_empty(), "there is no function binary in {}", workspace().join("functions").display());
    Ok(binaries)
}

/// The binaries of the packages in `functions/`, from cargo's messages:
/// <https://doc.rust-lang.org/cargo/reference/external-tools.html#artifact-messages>.
async fn function_binaries(messages: impl AsyncRead + Unpin) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    #[derive(Deserialize)]
    struct Message {
        manifest_path: Option<PathBuf>,
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let functions = workspace().join("functions");
    let mut binaries = BTreeMap::new();
    let mut lines = BufReader::new(messages).lines();
    while let Some(line) = lines.next_line().await.context("could not read cargo's messages")? {
        let message: Message = serde_json::from_str(&line).context("cargo wrote a message that is not JSON")?;
        if let Message { manifest_path: Some(manifest), executable: Some(executable), target: Some(target) } = message
            && manifest.starts_with(&functions)
        {
            binaries.insert(target.name, executable);
        }
    }
    Ok(binaries)
}

/// Follows cargo's progress and returns its other messages.
async fn diagnostics(mut errors: impl AsyncRead + Unpin, step: &mut Step) -> anyhow::Result<String> {
    let (mut diagnostics, mut rest, mut chunk) = (String::new(), Vec::new(), [0; 4096]);
    loop {
        let length = errors.read(&mut chunk).await.context("could not read cargo's progress")?;
        if length == 0 {
            return Ok(diagnostics);
        }
        for &byte in &chunk[..length] {
            if byte != b'\r' && byte != b'\n' {
                rest.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&rest).into_owned();
            rest.clear();
            match said(&line) {
                Said::Crates { finished, total } => step.note(&format!("crate {finished} of {total}")),
                Said::Waiting => step.note("waiting for another cargo"),
                Said::Status => {}
                Said::Diagnostic => {
                    diagnostics.push_str(&line);
                    diagnostics.push('\n');
                }
            }
        }
    }
}

/// The kinds of lines on cargo's standard error.
#[derive(Debug, PartialEq)]
enum Said<'a> {
    Crates { finished: &'a str, total: &'a str },
    Waiting,
    Status,
    Diagnostic,
}

fn said(line: &str) -> Said<'_> {
    let line = line.trim_start_matches("\u{1b}[K").trim_end();
    let words = line.trim_start();
    if let Some(bar) = words.strip_prefix("Building [") {
        let count = bar.split_once("] ").and_then(|(_, count)| count.split_once(':')).map_or("", |(count, _)| count);
        return count.split_once('/').map_or(Said::Status, |(finished, total)| Said::Crates { finished, total });
    }
    if words.starts_with("Blocking waiting for file lock") {
        return Said::Waiting;
    }
    // cargo right-aligns its status words to twelve columns; the compiler's messages begin at the margin, and their
    // continuation lines have a `|`, `=`, `-->` or line number first.
    let is_status = line.starts_with(' ')
        && words.starts_with(|first: char| first.is_ascii_uppercase())
        && line.len() - words.len() + words.find(' ').unwrap_or(0) == 12;
    if is_status || line.is_empty() { Said::Status } else { Said::Diagnostic }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_progress_is_told_from_the_compilers_messages() {
        for (line, meaning) in [
            ("    Building [=====>        ] 153/210: serde, tokio", Said::Crates { finished: "153", total: "210" }),
            ("\u{1b}[K    Building [>   ] 0/7: a", Said::Crates { finished: "0", total: "7" }),
            ("    Blocking waiting for file lock on build directory", Said::Waiting),
            ("   Compiling serde v1.0.229", Said::Status),
            ("    Finished `dev` profile [unoptimized] target(s) in 0.03s", Said::Status),
            ("\u{1b}[K", Said::Status),
            ("error[E0308]: mismatched types", Said::Diagnostic),
            (" --> src/main.rs:3:5", Said::Diagnostic),
            ("error: could not compile `invitation` (bin \"invitation\") due to 1 previous error", Said::Diagnostic),
        ] {
            assert_eq!(said(line), meaning, "{line}");
        }
    }

    #[tokio::test]
    async fn only_the_binaries_of_functions_are_functions() {
        let message = |path: &str, name: &str| {
            let manifest = workspace().join(path).join("Cargo.toml");
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":{manifest:?},"target":{{"name":{name:?}}},"executable":"/t/{name}"}}"#
            )
        };
        let messages = [
            r#"{"reason":"compiler-artifact","manifest_path":"/r/serde/Cargo.toml","target":{"name":"serde"},"executable":null}"#,
            &message("functions/invitation", "invitation"),
            &message("tests/local-stack", "local-stack"),
            r#"{"reason":"build-finished","success":true}"#,
        ]
        .join("\n");
        let binaries = function_binaries(messages.as_bytes()).await.unwrap();
        assert_eq!(binaries, BTreeMap::from([("invitation".to_owned(), PathBuf::from("/t/invitation"))]));
    }
}

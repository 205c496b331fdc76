//! What is measured, built: the functions as `sam build` makes them, and the peers as their pages say.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// The root of the repository.
pub(crate) fn workspace() -> &'static Path {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).expect("this package is two folders below the workspace")
}

/// Builds these binaries as `sam build` does; returns the folder that has a folder for each.
pub(crate) fn build(names: &[&str]) -> anyhow::Result<PathBuf> {
    let mut command = Command::new("cargo");
    command.args(["lambda", "build", "--release", "--locked"]).current_dir(workspace());
    command.args(names.iter().flat_map(|name| ["--bin", name]));
    let built = command.status().context("could not start cargo")?;
    ensure!(built.success(), "the build failed; it needs cargo-lambda on PATH: pip install cargo-lambda ziglang");
    Ok(target()?.join("lambda"))
}

/// Installs the peers in a language; returns their folder.
pub(crate) fn install_peers(language: &str) -> anyhow::Result<PathBuf> {
    let folder = target()?.join("benchmark/peers").join(language);
    let script = workspace().join("tests/benchmark/peers").join(language).join("install");
    let installed = Command::new(&script).arg(&folder).status().with_context(|| format!("no {}", script.display()))?;
    ensure!(installed.success(), "{} failed; its page is tests/benchmark/peers/README.md", script.display());
    Ok(folder)
}

/// The size of a file, and its size in a deployment package, which is a zip file: both use DEFLATE.
pub(crate) fn sizes(file: &Path) -> anyhow::Result<(u64, u64)> {
    let zipped = Command::new("gzip").arg("--stdout").arg(file).output().context("could not start gzip")?;
    Ok((std::fs::metadata(file)?.len(), zipped.stdout.len() as u64))
}

/// Cargo's target folder. This program is in `<target>/<profile>`.
fn target() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).context("this program is not in cargo's target folder")?.to_owned())
}

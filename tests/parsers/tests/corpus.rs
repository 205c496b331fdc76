//! Replays the seeds and the finds of fuzzing, and keeps the list of checks complete.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use parsers::CHECKS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn names_in(name: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder(name)).unwrap();
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn the_kept_inputs_pass_their_check() {
    for (name, check) in CHECKS {
        let inputs = fs::read_dir(folder("corpus").join(name)).unwrap();
        let paths: Vec<_> = inputs.map(|input| input.unwrap().path()).collect();
        assert!(!paths.is_empty(), "{name} has no input");
        for path in paths {
            println!("{}", path.display());
            check(&fs::read(path).unwrap());
        }
    }
}

#[test]
fn every_check_has_a_fuzz_target_and_a_corpus() {
    let names: BTreeSet<String> = CHECKS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in("corpus"), names);
    assert_eq!(names_in("fuzz_targets"), names);
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    let targets = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
    let targets: BTreeSet<_> = targets.map(|path| path.trim_end_matches(".rs\"").to_owned()).collect();
    assert_eq!(targets, names);
}

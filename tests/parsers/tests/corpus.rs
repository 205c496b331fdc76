//! Replays the seeds and the finds of fuzzing, and keeps the list of checks complete.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use parsers::CHECKS;
use virtual_clock::Chance;

/// Changed copies of the kept inputs for each check.
const MUTATIONS: usize = 500;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn names_in(name: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder(name)).unwrap();
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// The kept inputs of a check, in the order of their names.
fn inputs(check: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder("corpus").join(check)).unwrap();
    let paths: BTreeSet<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn the_kept_inputs_pass_their_check() {
    for (name, check) in CHECKS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name} has no input");
        for input in inputs {
            println!("{name}: {:?}", String::from_utf8_lossy(&input));
            check(&input);
        }
    }
}

#[test]
fn changed_copies_of_the_kept_inputs_pass_their_check() {
    let seed = std::env::var("MUTATION_SEED").ok().map_or(1, |seed| seed.parse().unwrap());
    for (name, check) in CHECKS {
        let (inputs, mut chance) = (inputs(name), Chance::new(seed));
        for _ in 0..MUTATIONS {
            let mut input = inputs[index(&mut chance, inputs.len())].clone();
            for _ in 0..=chance.below(3) {
                mutate(&mut input, &inputs, &mut chance);
            }
            println!("{name}: {:?}", String::from_utf8_lossy(&input));
            check(&input);
        }
    }
}

/// Removes, repeats or replaces a part of an input. The replacement is a byte, or a part of another input.
fn mutate(input: &mut Vec<u8>, inputs: &[Vec<u8>], chance: &mut Chance) {
    let start = index(chance, input.len() + 1);
    let end = start + index(chance, (input.len() - start).min(16) + 1);
    let other = &inputs[index(chance, inputs.len())];
    let other_start = index(chance, other.len() + 1);
    let other_end = other_start + index(chance, (other.len() - other_start).min(16) + 1);
    let replacement = match chance.below(4) {
        0 => Vec::new(),
        1 => input[start..end].repeat(2),
        2 => vec![chance.below(256) as u8],
        _ => other[other_start..other_end].to_vec(),
    };
    input.splice(start..end, replacement);
}

fn index(chance: &mut Chance, length: usize) -> usize {
    usize::try_from(chance.below(length as u64)).unwrap()
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

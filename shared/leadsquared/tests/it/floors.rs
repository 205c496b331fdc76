//! The floors of the crate: a module imports from floors below its own only.

use std::fs;
use std::path::{Path, PathBuf};

/// From the lowest floor to the highest.
const FLOORS: [&str; 10] =
    ["values", "admission", "hosts", "error", "wire", "options", "client", "portal", "crm", "tools"];

#[test]
fn a_module_imports_from_lower_floors_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = files(&source);
    assert!(files.len() > 20, "the sources are not all there");
    for file in files.iter().filter(|file| !file.ends_with("lib.rs")) {
        let path = file.strip_prefix(&source).unwrap();
        let floor = level(path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs"));
        let text = fs::read_to_string(file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for import in code.flat_map(|line| line.split("crate::").skip(1)) {
            let name = import.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap();
            assert!(level(name) <= floor, "{} imports from {name}, which is above it", path.display());
        }
    }
}

fn level(name: &str) -> usize {
    FLOORS.iter().position(|floor| *floor == name).unwrap_or_else(|| panic!("{name} is on no floor"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

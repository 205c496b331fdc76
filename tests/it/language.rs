//! Rules about the language of comments, documentation and texts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::workspace::{self, root};

/// Phrases that have a plain word instead. They are so unusual that a hit is a mistake, also in code.
const PHRASES: [(&str, &str); 18] = [
    ("laid aside", "dead-lettered"),
    ("lays aside", "dead-letters"),
    ("is away", "is unavailable"),
    ("are away", "are unavailable"),
    ("to mend", "to fix"),
    ("mended", "fixed"),
    ("is put off", "is retried later"),
    ("puts off", "retries later"),
    ("call line", "call allowance"),
    ("front door", "entry point"),
    ("unless said", "default:"),
    ("of nobody", "unowned"),
    ("whoever", "the caller, the applicant, the operator"),
    ("whomever", "the caller, the applicant, the operator"),
    ("is told", "is notified, gets"),
    ("are told", "are notified, get"),
    ("good for a", "valid for"),
    ("good for the", "valid for"),
];

/// The widest comment, as `.rustfmt.toml` has it for code.
const COLUMNS: usize = 120;

/// Every text file that people read, with its content. This file, which has the phrases in it, is not among them.
fn texts() -> Vec<(PathBuf, String)> {
    let folders = ["functions", "shared", "tests"].map(|folder| root().join(folder));
    let found = folders.iter().flat_map(|folder| {
        ["rs", "md", "yaml", "py", "html", "toml"].into_iter().flat_map(|extension| workspace::files(folder, extension))
    });
    let others = ["README.md", "template.yaml", "samconfig.toml", "Cargo.toml", ".ci/run", "tests/run", "tests/long"];
    let files = found.chain(others.map(|name| root().join(name)));
    let files = files.filter(|path| !path.ends_with("tests/it/language.rs"));
    files.map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// The numbered lines of a file that are sentences: comments, or the text of a page outside its tables and examples.
fn sentences<'a>(path: &Path, text: &'a str) -> Vec<(usize, &'a str)> {
    let extension = path.extension().map_or("", |extension| extension.to_str().unwrap());
    let mut is_example = false;
    let mut is_sentence = |line: &str| match extension {
        "md" => {
            let is_fence = line.starts_with("```");
            is_example ^= is_fence;
            !is_example && !is_fence && !line.starts_with('|')
        }
        "rs" => line.starts_with("//"),
        "html" => false,
        _ => line.starts_with('#'),
    };
    (1..).zip(text.lines()).filter(|(_, line)| is_sentence(line.trim_start())).collect()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

#[test]
fn every_source_file_begins_with_what_it_is_for() {
    let without = |(path, text): &(PathBuf, String)| {
        let first = text.lines().next().unwrap_or_default();
        is_rust(path) && !first.starts_with("//! ") && !first.starts_with("#![doc = include_str!(")
    };
    let without: Vec<_> = texts().into_iter().filter(without).map(|(path, _)| path).collect();
    assert!(without.is_empty(), "no `//!` line in {without:#?}");
}

#[test]
fn comments_and_pages_stay_within_the_columns_of_the_formatter() {
    let mut wide = Vec::new();
    for (path, text) in texts() {
        for (number, line) in sentences(&path, &text) {
            // An address cannot be broken.
            let words = line.trim_start().trim_start_matches(['/', '!', '#', '-', ' ']);
            let is_address = !words.contains(' ') && words.contains("https://");
            if !is_address && line.chars().count() > COLUMNS {
                wide.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert!(wide.is_empty(), "wider than {COLUMNS} columns: {wide:#?}");
}

#[test]
fn the_sentences_of_a_file_are_its_comments_or_the_text_of_its_page() {
    for (file, text, expected) in [
        ("a.rs", "//! One.\nlet two = 2; // no\n    // Three.", &[1, 3][..]),
        ("run", "# One.\nset -e\n  # Three.", &[1, 3]),
        ("a.yaml", "Two: # no\n  # Two.", &[2]),
        ("a.md", "One.\n```sh\nno\n```\n| no |\nSix.", &[1, 6]),
        ("a.html", "<p># no", &[]),
    ] {
        let numbers: Vec<_> = sentences(Path::new(file), text).iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, expected, "{file}");
    }
}

#[test]
fn texts_use_plain_words() {
    let mut found = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            for (phrase, instead) in PHRASES.iter().filter(|(phrase, _)| has(line, phrase)) {
                found.push(format!("{}:{}: {phrase:?}, write {instead:?}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Whether a line has this phrase as words of its own, in any letter case.
fn has(line: &str, phrase: &str) -> bool {
    let line = line.to_lowercase();
    line.match_indices(phrase).any(|(start, _)| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let (before, after) = (&line[..start], &line[start + phrase.len()..]);
        !before.chars().next_back().is_some_and(is_word) && !after.chars().next().is_some_and(is_word)
    })
}

#[test]
fn a_phrase_is_found_as_whole_words_only() {
    for (line, is_found) in [
        ("the message is Laid aside.", true),
        ("// laid aside", true),
        ("overlaid aside", false),
        ("laid asides", false),
        ("fn laid_aside()", false),
    ] {
        assert_eq!(has(line, "laid aside"), is_found, "{line}");
    }
}

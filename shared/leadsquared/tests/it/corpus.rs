//! Replays the seeds and the findings of fuzzing.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/check.rs"]
mod check;

#[test]
fn the_kept_fuzzing_inputs_are_decided() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/decode");
    let mut inputs = 0;
    for file in fs::read_dir(folder).unwrap() {
        check::check(&fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 80, "the corpus is not all there");
}

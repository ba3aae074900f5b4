//! Damaged input for every parser: it ends in a value or in findings, and never in a panic.

mod damage;
mod documents;
mod repositories;

pub use damage::{random, setting};

use std::path::{Path, PathBuf};

/// Returns the files below a folder of this project, as paths from there.
fn files_below(folder: &str) -> Vec<String> {
    fn visit(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("the folder is readable") {
            let path = entry.expect("the entry is readable").path();
            if path.is_dir() { visit(&path, found) } else { found.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    visit(&root, &mut found);
    found.sort();
    found.iter().map(|it| it.strip_prefix(&root).expect("is below").to_str().expect("is text").to_owned()).collect()
}

fn file(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

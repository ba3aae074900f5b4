//! A mistake of each kind, and what `check` says of it: `tests/fixtures/mistakes/*/expected.txt`, to be read by a tired person.
//!
//! `reading` has what keeps files from being read, `meaning` what is wrong with what they say. `HEADFAST_REGENERATE=1`
//! writes the files anew.

use crate::host::headfast;
use std::fs;
use std::path::Path;

#[test]
fn x25_a_mistake_of_each_kind_is_told_with_its_place_and_cure() {
    for name in ["reading", "meaning"] {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mistakes").join(name);
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture, dir.path());
        fs::remove_file(dir.path().join("expected.txt")).ok();
        let output = headfast(dir.path(), &["check", "--offline"]).ends(3);
        let told = format!("{}{}", output.stdout, output.stderr);
        if std::env::var_os("HEADFAST_REGENERATE").is_some() {
            fs::write(fixture.join("expected.txt"), &told).unwrap();
        }
        let expected = fs::read_to_string(fixture.join("expected.txt")).unwrap();
        assert_eq!(told, expected, "`{name}`: read what it says now, then run this test with HEADFAST_REGENERATE=1");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

//! Rules about the code itself: who may import whom, and how long a file may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rooms in reading order; a room imports only rooms above it.
const CORE: &[&str] = &[
    "place", "finding", "document", "revision", "manifest", "config", "migrate", "policy", "secrets", "render",
    "record", "plan", "rollback", "trust", "schedule", "wire",
];
/// Edges touch the world, a subject each, and never import each other.
const EDGES: &[&str] = &["settings", "git", "remote", "host", "state", "report", "observe"];
const TOP: &[&str] = &["deploy", "monitor", "folder", "agent", "cli"];

/// What the core may not name: clock, environment, disk, processes, network.
const EFFECTS: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::net::Udp",
    "ToSocketAddrs",
    "std::process",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "rustix::",
    "git2::",
    "rusqlite::",
    "ureq::",
    "tokio::",
    "axum::",
    "notify::",
];

/// What is let through all the same, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    // The interpreter of policies recurses: it gets a thread with a stack of known size, which is waited for.
    ("policy/evaluate.rs", "std::thread"),
];

/// Who else may name a crate that belongs to one room.
const OWNERS: &[(&str, &[&str])] = &[
    ("granit_parser", &["document", "secrets"]),
    ("jsonc_parser", &["document", "secrets"]),
    ("toml_edit", &["document"]),
    ("jsonschema", &["config"]),
    ("regorus", &["policy"]),
    ("age", &["secrets"]),
    ("aes_gcm", &["secrets"]),
    ("minijinja", &["render"]),
    ("ssh_key", &["trust"]),
    ("chrono_tz", &["schedule"]),
    ("git2", &["git"]),
    ("rusqlite", &["state"]),
    ("close_fds", &["host"]),
    ("ureq", &["git", "host", "remote", "report"]),
    ("prometheus_client", &["observe"]),
    ("axum", &["observe"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("annotate_snippets", &["cli"]),
    ("notify", &["monitor"]),
    ("sd_notify", &["agent"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn visit(dir: &Path, all: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(dir).expect("the source folder is readable") {
            let path = entry.expect("the entry is readable").path();
            if path.is_dir() {
                visit(&path, all);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
                all.push((path, text));
            }
        }
    }
    let mut all = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    visit(&src, &mut all);
    all.into_iter().map(|(path, text)| (path.strip_prefix(&src).expect("it is below").to_owned(), text)).collect()
}

fn room(path: &Path) -> String {
    let first = path.components().next().expect("a source has a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file without comments and without its unit tests, which may touch anything.
fn code(path: &Path, text: &str) -> String {
    if is_test(path) {
        return String::new();
    }
    let body = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Whether a file is a module that its parent declares for tests only, or lies below one.
fn is_test(path: &Path) -> bool {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    path.ancestors().filter(|it| it.components().count() > 1).any(|module| {
        let (Some(folder), Some(name)) = (module.parent(), module.file_stem()) else { return false };
        let beside = folder.with_extension("rs");
        let parents = [src.join(folder).join("mod.rs"), src.join(beside)];
        let declared = ["", "pub(crate) "].map(|it| format!("#[cfg(test)]\n{it}mod {};", name.to_string_lossy()));
        let declares = |text: String| declared.iter().any(|it| text.contains(it));
        parents.iter().any(|it| std::fs::read_to_string(it).is_ok_and(declares))
    })
}

/// Which rooms a piece of code imports.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (idx, _) in code.match_indices("crate::") {
        let rest = &code[idx + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let end = group.find('}').unwrap_or(group.len());
            found.extend(group[..end].split(',').map(|it| it.trim().split("::").next().unwrap_or("").to_owned()));
        } else {
            let end = rest.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(rest.len());
            found.push(rest[..end].to_owned());
        }
    }
    found
}

#[test]
fn a_room_imports_only_rooms_above_it() {
    let order: Vec<&str> = CORE.iter().chain(["pipeline"].iter()).chain(EDGES).chain(TOP).copied().collect();
    let position = |name: &str| order.iter().position(|it| *it == name);
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let room = room(&path);
        if room == "lib" || room == "main" {
            continue;
        }
        let here = position(&room).unwrap_or_else(|| panic!("{} belongs to no room", path.display()));
        for import in imports(&code(&path, &text)) {
            let Some(there) = position(&import) else { continue };
            let both_edges = EDGES.contains(&room.as_str()) && EDGES.contains(&import.as_str()) && room != import;
            if there > here || both_edges {
                wrong.push(format!("{}: {room} may not import {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_has_no_effects() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let room = room(&path);
        if !CORE.contains(&room.as_str()) && room != "pipeline" {
            continue;
        }
        let code = code(&path, &text);
        let is_excepted = |it: &str| EXCEPTIONS.iter().any(|(file, name)| path == Path::new(file) && *name == it);
        let named = EFFECTS.iter().filter(|it| code.contains(*it) && !is_excepted(it));
        wrong.extend(named.map(|it| format!("{}: the core may not use {it}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_crate_stays_in_its_room() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let (room, code) = (room(&path), code(&path, &text));
        for (name, rooms) in OWNERS {
            let path_of_crate = format!("{name}::");
            let outside = code.match_indices(&path_of_crate).any(|(idx, _)| {
                let before = code[..idx].chars().next_back();
                before.is_none_or(|it| !it.is_alphanumeric() && it != '_' && it != ':')
            });
            if outside && !rooms.contains(&room.as_str()) {
                wrong.push(format!("{}: {name} belongs to {}", path.display(), rooms.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_cli_prints_and_files_stay_readable() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let (room, code) = (room(&path), code(&path, &text));
        if room != "cli" && room != "main" && ["println!", "eprintln!", "print!("].iter().any(|it| code.contains(it)) {
            wrong.push(format!("{}: only cli prints", path.display()));
        }
        let n_lines = code.lines().count();
        if n_lines > 600 {
            wrong.push(format!(
                "{}: {n_lines} lines of code; a file over 600 is asking for a room of its own",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rooms_are_declared_in_reading_order() {
    let lib = sources().into_iter().find(|it| it.0 == Path::new("lib.rs")).expect("there is a lib.rs").1;
    let declared: Vec<&str> = lib.lines().filter_map(|it| it.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let order: BTreeMap<&str, usize> =
        ["pipeline"].iter().chain(CORE).chain(EDGES).chain(TOP).enumerate().map(|(idx, name)| (*name, idx)).collect();
    let positions: Vec<usize> = declared.iter().map(|it| order[it]).collect();
    assert!(positions.is_sorted(), "declare the rooms in the order of ARCHITECTURE.md: {declared:?}");
}

/// The sections of the list of faults that are in the documents, and their last rows.
const SECTIONS: &[(char, u32)] =
    &[('B', 23), ('D', 18), ('E', 14), ('F', 14), ('H', 32), ('I', 27), ('K', 11), ('L', 17), ('O', 16)];

/// Every row of the list of faults has its line in the documents, and every test that one names exists.
#[test]
fn the_tests_of_reliability_md_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/reliability.md")).expect("the document is there");
    for (section, last) in SECTIONS {
        for row in 1..=*last {
            let line = text.lines().find(|it| it.starts_with(&format!("| {section}{row} |")));
            let line = line.unwrap_or_else(|| panic!("{section}{row} is missing"));
            assert!(!line.contains("**none**"), "{section}{row} names no test, and does not say why");
        }
    }
    let mut n_named = 0;
    for cell in text.lines().filter(|it| it.starts_with("| ")).flat_map(|it| it.split("<br>")) {
        let names: Vec<&str> = cell.split('`').collect();
        // `file`: `test`
        let [.., file, ": ", test, _] = names.as_slice() else { continue };
        let source = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test {test}");
        n_named += 1;
    }
    assert!(n_named > 200, "only {n_named} tests are named");
}

//! Reading the files of a migrations folder.

use super::operation::{KeyPath, Kind, Operation};
use super::{ConfigurationMigrator, Migration};
use crate::document::decode::{self, Fields};
use crate::document::{self, Entry, Format, Limits, MergeKeys, Node};
use crate::finding::{Code, Finding, Findings, nearest};
use crate::manifest::Located;
use crate::place::Place;
use crate::revision::{EntryKind, Tree};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Operations that the documentation has and this version has not.
const LATER: &[&str] = &["convert", "wrap", "unwrap", "split", "merge", "nest", "hoist", "each", "when"];
const KNOWN: &[&str] = &["rename", "move", "add", "remove"];

impl ConfigurationMigrator {
    /// Reads the files of the folder that a configuration's `migrations` names.
    pub fn read(tree: &dyn Tree, folder: &Located<String>, findings: &mut Findings) -> Option<ConfigurationMigrator> {
        let read = || {
            let entries = tree.list(&folder.value).map_err(|it| Finding::from(it).at(&folder.place))?;
            let missing = || tree.missing(Code::SOURCE_MISSING, &folder.value, &folder.place);
            let mut files = Vec::new();
            for entry in entries.ok_or_else(missing)?.iter().filter(|it| matches!(it.kind, EntryKind::File { .. })) {
                let path = format!("{}/{}", folder.value, String::from_utf8_lossy(&entry.name));
                let bytes = tree.content(&path, entry, Limits::default().bytes)?;
                files.push((path, bytes));
            }
            Ok(files)
        };
        let files = read().map_err(|it: Finding| findings.push(it)).ok()?;
        ConfigurationMigrator::load(&folder.value, files, findings)
    }

    /// Reads migrations from pairs of path and content, in any order; files that are neither YAML nor JSON are left alone.
    pub fn load(folder: &str, files: Vec<(String, Vec<u8>)>, findings: &mut Findings) -> Option<ConfigurationMigrator> {
        let n_errors = findings.n_errors();
        let mut migrations: BTreeMap<u32, Migration> = BTreeMap::new();
        for (path, bytes) in files {
            let Some(format @ (Format::Yaml | Format::Json)) = Format::of_path(&path) else { continue };
            let Some(number) = number(&path, findings) else { continue };
            let file: Arc<str> = Arc::from(path.as_str());
            let limits = Limits::default();
            let Some(node) = document::parse(format, &file, &bytes, &limits, MergeKeys::Apply, findings) else {
                continue;
            };
            let Some(operations) = operations(&node, findings) else { continue };
            let migration = Migration { file: path, operations };
            if let Some(other) = migrations.insert(number, migration) {
                let message = format!("`{}` and `{file}` both lead to version {number}", other.file);
                let finding = Finding::error(Code::MIGRATION_PATH, message).at(&Place::whole(&file));
                findings.push(finding.hint("put both into one file, or give one the next number"));
            }
        }
        gaps(&migrations, findings);
        let folder = Place::whole(folder);
        (findings.n_errors() == n_errors).then_some(ConfigurationMigrator { folder, migrations })
    }
}

/// Returns the version that a file leads to: the digits with which its name begins.
fn number(path: &str, findings: &mut Findings) -> Option<u32> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
    let number = digits.parse().ok().filter(|it| *it > 0);
    if number.is_none() {
        let message = "the name of a migration must begin with the version that it leads to";
        let finding = Finding::error(Code::MIGRATION, message).at(&Place::whole(path));
        findings.push(finding.hint("name it like `0002-rename-port.yaml`"));
    }
    number
}

fn gaps(migrations: &BTreeMap<u32, Migration>, findings: &mut Findings) {
    for (number, migration) in migrations.iter().skip(1) {
        if !migrations.contains_key(&(number - 1)) {
            let message = format!("no migration leads to version {}, from which this one starts", number - 1);
            findings.push(Finding::error(Code::MIGRATION_PATH, message).at(&Place::whole(&migration.file)));
        }
    }
}

fn operations(node: &Node, findings: &mut Findings) -> Option<Vec<Operation>> {
    let Some(items) = node.as_list() else {
        let message = format!("a migration is a list of operations, not {}", node.type_name());
        let finding = Finding::error(Code::MIGRATION, message).at(&node.place);
        findings.push(finding.hint("write `- rename: {from: old.key, to: new.key}`, `- add: …` or `- remove: …`"));
        return None;
    };
    // All of them are read before one that is wrong ends it.
    let operations: Vec<Option<Operation>> = items.iter().map(|it| operation(it, findings)).collect();
    operations.into_iter().collect()
}

fn operation(node: &Node, findings: &mut Findings) -> Option<Operation> {
    let map = decode::map(node, "operation", findings)?;
    let entry = match (map.iter().next(), map.len()) {
        (Some(entry), 1) => entry,
        (second, n) => {
            let place = second.map_or(&node.place, |it| &it.place);
            let message = format!("an operation has one key, not {n}");
            findings.push(Finding::error(Code::MIGRATION, message).at(place).hint("begin each operation with `- `"));
            return None;
        }
    };
    let kind = match entry.key.as_str() {
        "rename" | "move" => rename(entry, findings),
        "add" => add(entry, findings),
        "remove" => remove(entry, findings),
        name => {
            findings.push(not_an_operation(name).at(&entry.place));
            None
        }
    }?;
    Some(Operation { kind, place: entry.place.clone() })
}

fn not_an_operation(name: &str) -> Finding {
    if LATER.contains(&name) {
        let message = format!("the operation `{name}` is not supported by this version of headfast");
        return Finding::error(Code::UNSUPPORTED, message).hint(format!("it knows {}", KNOWN.join(", ")));
    }
    let finding = Finding::error(Code::MIGRATION, format!("there is no operation `{name}`"));
    match nearest(name, KNOWN.iter().chain(LATER).copied()) {
        Some(near) => finding.hint(format!("did you mean `{near}`?")),
        None => finding.hint(format!("the operations are {}", KNOWN.join(", "))),
    }
}

fn rename(entry: &Entry, findings: &mut Findings) -> Option<Kind> {
    let mut fields = Fields::new(&entry.node, &entry.key, findings)?;
    let from = path(&mut fields, "from", findings);
    let to = path(&mut fields, "to", findings);
    fields.finish(findings);
    let (from, to) = (from?, to?);
    if from == to {
        findings.push(Finding::error(Code::MIGRATION, "`from` and `to` are the same").at(&entry.place));
        return None;
    }
    Some(Kind::Rename { from, to })
}

fn add(entry: &Entry, findings: &mut Findings) -> Option<Kind> {
    let mut fields = Fields::new(&entry.node, "add", findings)?;
    let path = path(&mut fields, "path", findings);
    let value = fields.required("value", findings).cloned();
    fields.finish(findings);
    Some(Kind::Add { path: path?, value: value? })
}

fn remove(entry: &Entry, findings: &mut Findings) -> Option<Kind> {
    if let Some(text) = entry.node.as_str() {
        return Some(Kind::Remove { path: steps(text, &entry.node, findings)?, default: None });
    }
    let mut fields = Fields::new(&entry.node, "remove", findings)?;
    let path = path(&mut fields, "path", findings);
    let default = fields.take("default").cloned();
    fields.finish(findings);
    Some(Kind::Remove { path: path?, default })
}

fn path(fields: &mut Fields<'_>, key: &str, findings: &mut Findings) -> Option<KeyPath> {
    let what = fields.path(key);
    let node = fields.required(key, findings)?;
    steps(decode::text(node, &what, findings)?, node, findings)
}

fn steps(text: &str, node: &Node, findings: &mut Findings) -> Option<KeyPath> {
    let steps: KeyPath = text.split('.').map(str::to_owned).collect();
    if steps.iter().any(String::is_empty) {
        let finding = Finding::error(Code::MIGRATION, format!("`{text}` is not a path of keys")).at(&node.place);
        findings.push(finding.hint("write keys with dots between them: `server.port`"));
        return None;
    }
    Some(steps)
}

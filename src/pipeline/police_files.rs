//! What policies over rendered files are asked about: each file that has a structure, one by one.

use super::Inputs;
use crate::config::{Loaded, REDACTED};
use crate::document::{self, Format, Limits, MergeKeys, Node, Value};
use crate::finding::{Code, Finding, Findings};
use crate::manifest::{Manifest, OutputKind, Over, path_globs};
use crate::place::Place;
use crate::policy::{Group, Subject};
use crate::render::{Content, OutputFile, RenderedTarget, Rendering};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many files the policies of one group look at.
const MAX_FILES: usize = 2_000;

/// Holds the files of a rendering against the policies that are about files.
pub(super) fn police(
    groups: &[Group],
    manifest: &Manifest,
    inputs: &Inputs,
    rendering: &Rendering,
    loaded: &BTreeMap<String, Loaded>,
    findings: &mut Findings,
) {
    let look = Look { manifest, inputs, loaded };
    for group in groups.iter().filter(|it| it.over == Over::Files && !it.policies.is_empty()) {
        check_matches(group, manifest, findings);
        // Globs that cannot be read have been refused with the manifest.
        let Ok(globs) = path_globs(group.matches.iter().map(|it| it.value.as_str())) else { continue };
        let mut n_files = 0;
        let files = rendering.targets.iter().flat_map(|target| target.files.iter().map(move |it| (target, it)));
        for (target, (path, file)) in files {
            let name = format!("{}/{path}", target.name);
            let format = match group.matches.is_empty() {
                true => structure(path.as_str()),
                false if globs.is_match(&name) => Format::of_path(path.as_str()),
                false => None,
            };
            let Some(format) = format.filter(|_| !matches!(file.content, Content::Link(_))) else { continue };
            n_files += 1;
            if n_files > MAX_FILES {
                let message = format!("policies look at more than {MAX_FILES} files");
                let hint = "say which files they are about with `match`";
                findings.push(Finding::error(Code::TOO_MANY_FILES, message).at(&file.place).hint(hint));
                break;
            }
            if !look.at(group, target, &name, format, file, findings) {
                break;
            }
        }
    }
}

/// Points out globs that can match no file, because no target has the name that they begin with.
fn check_matches(group: &Group, manifest: &Manifest, findings: &mut Findings) {
    for glob in &group.matches {
        let Some((target, _)) = glob.value.trim_start_matches('/').split_once('/') else { continue };
        let is_pattern = target.contains(['*', '?', '[', '{', '\\']);
        if !is_pattern && !manifest.targets.iter().any(|it| it.name == target) {
            let message = format!("`{}` matches no file: there is no target `{target}`", glob.value);
            let names: Vec<String> = manifest.targets.iter().map(|it| format!("`{}`", it.name)).collect();
            let hint = format!("globs with a `/` begin with a target's name; there is {}", names.join(", "));
            findings.push(Finding::warning(Code::POLICY_INVALID, message).at(&glob.place).hint(hint));
        }
    }
}

/// Returns the format of a file that says by its name that it has one; `.conf` means too much to be one.
fn structure(path: &str) -> Option<Format> {
    Format::of_path(path).filter(|it| *it != Format::Ini || path.ends_with(".ini"))
}

struct Look<'a> {
    manifest: &'a Manifest,
    inputs: &'a Inputs<'a>,
    loaded: &'a BTreeMap<String, Loaded>,
}

impl Look<'_> {
    /// Asks about one file. Returns whether it is worth going on.
    fn at(
        &self,
        group: &Group,
        target: &RenderedTarget,
        name: &str,
        format: Format,
        file: &OutputFile,
        findings: &mut Findings,
    ) -> bool {
        let kind = self.manifest.targets.iter().find(|it| it.name == target.name);
        let kind = kind.and_then(|it| it.files.iter().find(|it| it.place == file.place)).map(|it| &it.kind);
        let written = kind.and_then(|it| self.written(it));
        let format = match kind {
            Some(OutputKind::Write { format, .. }) => *format,
            _ => format,
        };
        let document = match self.read(file, format) {
            Ok(document) => document,
            Err(problem) => {
                // What cannot be read may quote a secret.
                let why = if file.sensitive { "details left out, it holds secrets" } else { problem.as_str() };
                let message = format!("policies cannot look at `{name}`: {why}");
                let hint = "mend the file, or leave it out with `match`";
                findings.push(Finding::error(Code::POLICY_INVALID, message).at(&file.place).hint(hint));
                return true;
            }
        };
        if file.sensitive && written.is_none() {
            let message =
                format!("policies do not see the values of `{name}`: it holds secrets, and which is not known");
            let hint = "make it with `write`, of which only the secret values are hidden, or leave it out with `match`";
            findings.push(Finding::warning(Code::POLICY_INVALID, message).at(&file.place).hint(hint));
        }
        let input = match file.sensitive {
            true => redacted(&document, written, &self.plain_names(file), &mut Vec::new()),
            false => document.to_json(),
        };
        let source = Place::whole(&file.source);
        let locate = |path: &[String]| match (written, &file.content) {
            (Some(node), _) => Some(node.at(path)?.place.clone()),
            // A copy: its own lines are those of the file in the repository.
            (None, Content::Blob { .. }) => Some(document.at(path)?.place.clone()),
            (None, _) => document.at(path).map(|_| source.clone()),
        };
        let data = Some(self.data(target, name, file));
        group
            .policies
            .evaluate(Subject { input: input.into(), data, name: Some(name.to_owned()), locate: &locate }, findings)
    }

    /// Returns the part of a configuration that an output writes.
    fn written(&self, kind: &OutputKind) -> Option<&Node> {
        let OutputKind::Write { configuration, select, .. } = kind else { return None };
        let merged = &self.loaded.get(&configuration.value)?.configuration.as_ref()?.merged;
        merged.get(select.as_ref().map_or("", |it| it.value.as_str()))
    }

    /// Returns what says whether a key is known without opening a secret: it stands in the file's source as it is in the
    /// repository, or in a configuration.
    fn plain_names(&self, file: &OutputFile) -> impl Fn(&str) -> bool + use<> {
        let blob = self.inputs.tree.find(&file.source).ok().flatten();
        let bytes = blob.and_then(|it| self.inputs.tree.blob(&it.id).ok()).unwrap_or_default();
        let source = String::from_utf8_lossy(&bytes).into_owned();
        let mut names = BTreeSet::new();
        for configuration in self.loaded.values().filter_map(|it| it.configuration.as_ref()) {
            keys(&configuration.merged, &mut names);
        }
        move |key| names.contains(key) || source.contains(key)
    }

    fn read(&self, file: &OutputFile, format: Format) -> Result<Node, String> {
        let limits = Limits::default();
        let blob;
        let bytes: &[u8] = match &file.content {
            Content::Bytes(bytes) => bytes,
            Content::Blob { size, .. } if *size > limits.bytes as u64 => {
                return Err(format!("it has {size} bytes, more than {}", limits.bytes));
            }
            Content::Blob { id, .. } => {
                blob = self.inputs.tree.blob(id).map_err(|it| it.to_string())?;
                &blob
            }
            Content::Link(_) => return Err("it is a link".to_owned()),
        };
        let mut found = Findings::new();
        let node =
            document::parse(format, &Arc::from(file.source.as_str()), bytes, &limits, MergeKeys::Apply, &mut found);
        let error = found.iter().next().map(|it| match &it.place {
            Some(place) if place.line > 0 => format!("{} (line {})", it.message, place.line),
            _ => it.message.clone(),
        });
        match (node, error) {
            (Some(node), None) => Ok(node),
            (_, error) => Err(error.unwrap_or_else(|| "it cannot be read".to_owned())),
        }
    }

    /// Returns what rules see in `data` about the file.
    fn data(&self, target: &RenderedTarget, name: &str, file: &OutputFile) -> Json {
        let facts = self.inputs.facts;
        let kind = self.manifest.environment(&facts.environment).map(|it| it.kind.as_str());
        let path = name.strip_prefix(&format!("{}/", target.name)).unwrap_or(name);
        let whole = format!("{}/{path}", target.path);
        let (dir, base) = whole.rsplit_once('/').unwrap_or(("", &whole));
        json!({
            "headfast": {
                "environment": {"name": facts.environment, "type": kind},
                "host": facts.host,
                "labels": facts.labels,
                "target": target.name,
                "path": whole,
                "mode": format!("{:04o}", file.mode),
                "sensitive": file.sensitive,
            },
            "conftest": {"file": {"name": base, "dir": dir}},
        })
    }
}

fn keys(node: &Node, names: &mut BTreeSet<String>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|it| keys(it, names)),
        Value::Map(map) => map.iter().for_each(|entry| {
            names.insert(entry.key.clone());
            keys(&entry.node, names);
        }),
        _ => {}
    }
}

/// Returns a document with `<redacted>` in place of every value, and key, that is not known to be plain.
fn redacted(node: &Node, written: Option<&Node>, is_plain: &dyn Fn(&str) -> bool, path: &mut Vec<String>) -> Json {
    match &node.value {
        Value::List(items) => {
            let mut all = Vec::new();
            for (idx, item) in items.iter().enumerate() {
                path.push(idx.to_string());
                all.push(redacted(item, written, is_plain, path));
                path.pop();
            }
            Json::Array(all)
        }
        Value::Map(map) => {
            let mut all = serde_json::Map::new();
            for entry in map.iter() {
                path.push(entry.key.clone());
                let shown = redacted(&entry.node, written, is_plain, path);
                let key = match is_plain(&entry.key) {
                    true => entry.key.clone(),
                    // Different keys stay different.
                    false => format!("{REDACTED} {}", all.len()),
                };
                all.insert(key, shown);
                path.pop();
            }
            Json::Object(all)
        }
        _ => match written.and_then(|it| it.at(path)) {
            Some(source) if !source.holds_secret() => node.to_json(),
            _ => Json::from(REDACTED),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        let mut findings = Findings::new();
        let limits = Limits::default();
        document::parse(Format::Yaml, &"a".into(), text.as_bytes(), &limits, MergeKeys::Apply, &mut findings)
            .expect("it parses")
    }

    #[test]
    fn of_a_file_with_secrets_only_what_is_known_to_be_plain_is_shown() {
        let text = "user: app\npassword: hunter2\nports: [1, 2]\n";
        let mut source = node(text);
        if let Value::Map(map) = &mut source.value
            && let Some(password) = map.get_mut("password")
        {
            password.secret = true;
        }
        let shown = redacted(&node(text), Some(&source), &|_| true, &mut Vec::new());
        assert_eq!(shown, json!({"user": "app", "password": "<redacted>", "ports": [1, 2]}));
        let shown = redacted(&node(text), None, &|key| key != "ports", &mut Vec::new());
        let hidden = "<redacted>";
        assert_eq!(shown, json!({"user": hidden, "password": hidden, "<redacted> 2": [hidden, hidden]}));
    }
}

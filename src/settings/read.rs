//! From the text of agent.yaml to [`Settings`].

use super::file::{Surroundings, read_steering};
use super::repository;
use super::{Error, Listen, Repository, Settings};
use crate::document::decode::{self, Fields};
use crate::document::{Format, Limits, MergeKeys, Node, parse};
use crate::finding::{Code, Finding, Findings};
use crate::manifest::check_name;
use crate::place::Place;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a reader of one file needs besides its text.
pub(super) struct Context<'a> {
    /// The folder of the file, against which its relative paths are resolved.
    pub(super) folder: &'a Path,
    pub(super) around: &'a Surroundings,
}

/// Reads the settings; every mistake in the file is named at once.
pub(super) fn load(path: &Path, around: &Surroundings) -> Result<Settings, Error> {
    let limits = Limits::default();
    let bytes = read_steering(path, limits.bytes, around).map_err(|finding| match finding.code {
        Code::CONFIG => finding.hint("name the file with --config"),
        _ => finding,
    })?;
    let file: Arc<str> = Arc::from(path.to_string_lossy());
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut findings = Findings::new();
    let node = parse(Format::Yaml, &file, &bytes, &limits, MergeKeys::Refuse, &mut findings);
    let context = Context { folder: path.parent().unwrap_or(Path::new("/")), around };
    let settings = node.and_then(|it| settings(&it, &path, &context, &mut findings));
    match settings.filter(|_| !findings.has_errors()) {
        Some(settings) => Ok(settings),
        None => {
            let text: Arc<str> = Arc::from(String::from_utf8_lossy(&bytes));
            // Only of this file: an `env_file` may hold secrets.
            findings.attach_lines(&|name| (*name == *file).then(|| Arc::clone(&text)));
            Err(Error { findings: without_secrets(findings.into_iter().collect()) })
        }
    }
}

fn settings(node: &Node, path: &Path, context: &Context, findings: &mut Findings) -> Option<Settings> {
    if node.as_map().is_none() {
        let message = format!("agent.yaml must be a map, found {}", node.type_name());
        findings.push(Finding::error(Code::SHAPE, message).at(&node.place));
        return None;
    }
    let mut fields = Fields::new(node, "", findings)?;
    let host = match fields.take("host") {
        Some(it) => decode::text(it, "host", findings).map(|name| (name.to_owned(), it.place.clone())),
        None => Some((context.around.host_name.clone(), node.place.clone())),
    };
    if let Some((name, place)) = &host {
        check_name(name, "a host", place, findings);
    }
    let labels = fields.string_map("labels", findings);
    let state_dir = directory(&mut fields, "state_dir", "/var/lib/headfast", context, findings);
    let nodes = fields.required("repositories", findings).map(|it| (it, decode::list(it, "repositories", findings)));
    let mut repositories = Vec::new();
    for (idx, node) in nodes.and_then(|it| it.1).unwrap_or_default().iter().enumerate() {
        repositories.extend(repository::load(node, &format!("repositories.{idx}"), context, findings));
    }
    if let Some((node, Some([]))) = nodes {
        decode::wrong_value(node, "`repositories` names none", findings);
    }
    let listen = fields.take("listen").map(|it| listen(it, findings)).unwrap_or_default();
    let log = fields.optional_string("log", findings).unwrap_or_else(|| "info".into());
    fields.finish(findings);
    check_repositories(&repositories, findings);
    Some(Settings {
        host: host.map(|it| it.0).unwrap_or_default(),
        labels,
        state_dir,
        repositories: repositories.into_iter().map(|it| it.0).collect(),
        listen,
        log,
        path: path.to_owned(),
    })
}

fn directory(fields: &mut Fields, key: &str, default: &str, context: &Context, findings: &mut Findings) -> PathBuf {
    let given = path(fields, key, context, findings);
    given.unwrap_or_else(|| PathBuf::from(default))
}

/// Takes an optional path; a relative one starts at the file's folder.
pub(super) fn path(fields: &mut Fields, key: &str, context: &Context, findings: &mut Findings) -> Option<PathBuf> {
    let node = fields.take(key)?;
    let what = fields.path(key);
    let text = decode::text(node, &what, findings)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        findings.push(Finding::error(Code::PATH, format!("`{what}` is not a path")).at(&node.place));
        return None;
    }
    Some(context.folder.join(text))
}

fn listen(node: &Node, findings: &mut Findings) -> Listen {
    let Some(mut fields) = Fields::new(node, "listen", findings) else { return Listen::default() };
    fields.unsupported("webhook", findings);
    let metrics = fields.take("metrics").and_then(|it| {
        let address = decode::text(it, "listen.metrics", findings)?.parse::<SocketAddr>().ok();
        if address.is_none() {
            decode::wrong_value(it, "`listen.metrics` must be written like 127.0.0.1:9108", findings);
        }
        address
    });
    fields.finish(findings);
    Listen { metrics }
}

/// Refuses repositories that cannot stand beside each other.
fn check_repositories(repositories: &[(Repository, Place)], findings: &mut Findings) {
    for (idx, (repository, place)) in repositories.iter().enumerate() {
        for (earlier, _) in &repositories[..idx] {
            if earlier.name == repository.name {
                let message = format!("two repositories have the name `{}`", repository.name);
                findings.push(Finding::error(Code::DUPLICATE_KEY, message).at(place));
            }
            if earlier.url == repository.url && earlier.environment == repository.environment {
                let message = format!(
                    "`{}` and `{}` are the same repository in the same environment",
                    earlier.name, repository.name
                );
                findings.push(Finding::error(Code::VALUE, message).at(place).hint("remove one of them"));
            }
        }
    }
}

/// Takes out of the findings' lines what may be a secret that was written in the wrong place.
///
/// One such finding shortens the line for all that are on it.
fn without_secrets(mut findings: Vec<Finding>) -> Findings {
    let mut ends: BTreeMap<(Arc<str>, u32), usize> = BTreeMap::new();
    for finding in &findings {
        if let (Some(place), Some(line)) = (&finding.place, &finding.line_text)
            && let Some(end) = secret_start(finding, place, line)
        {
            let known = ends.entry((Arc::clone(&place.file), place.line)).or_insert(end);
            *known = end.min(*known);
        }
    }
    for finding in &mut findings {
        let at = finding.place.as_ref().map(|it| (Arc::clone(&it.file), it.line));
        if let (Some(line), Some(end)) = (&mut finding.line_text, at.and_then(|it| ends.get(&it))) {
            line.truncate(*end);
            line.push_str(" …");
        }
    }
    findings.into_iter().collect()
}

/// Returns where in its line a finding shows a value that may be a secret.
fn secret_start(finding: &Finding, place: &Place, line: &str) -> Option<usize> {
    let is_variable = finding.message.contains("variable");
    if !is_variable && ![Code::UNKNOWN_KEY, Code::DUPLICATE_KEY, Code::URL_SECRET, Code::URL].contains(&finding.code) {
        return None;
    }
    if is_variable && let Some(at) = line.find("variables:") {
        return Some(at + "variables:".len());
    }
    let start = line.char_indices().nth(place.column.saturating_sub(1) as usize).map_or(line.len(), |(idx, _)| idx);
    // A finding about a key points at it, and one about a value behind it.
    Some(line[start..].find(": ").map_or(start, |idx| start + idx + 1))
}

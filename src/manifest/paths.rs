//! Paths, names and globs as the manifest writes them.

use super::{Facts, Located, PathTemplate};
use crate::document::{Node, decode};
use crate::finding::{Code, Finding, Findings};
use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

impl PathTemplate {
    /// Returns the path for a host and a schema version; the error is the name that has no value.
    pub fn expand(&self, facts: &Facts, schema_version: Option<u32>) -> Result<String, String> {
        let mut path = String::new();
        for piece in pieces(&self.0).map_err(str::to_owned)? {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Name("host") => path.push_str(&facts.host),
                Piece::Name("environment") => path.push_str(&facts.environment),
                Piece::Name(name) => {
                    let label = name.strip_prefix("labels.").and_then(|it| facts.labels.get(it).cloned());
                    let version = schema_version.filter(|_| name == "schema_version").map(|it| it.to_string());
                    path.push_str(&label.or(version).ok_or_else(|| name.to_owned())?);
                }
            }
        }
        Ok(path)
    }

    /// Returns whether the path holds `{{ name }}`.
    pub fn uses(&self, name: &str) -> bool {
        pieces(&self.0).is_ok_and(|it| it.iter().any(|it| matches!(it, Piece::Name(it) if *it == name)))
    }
}

enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Splits a template into text and names.
fn pieces(template: &str) -> Result<Vec<Piece<'_>>, &'static str> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or("`{{` is not closed")?;
        pieces.extend([Piece::Text(before), Piece::Name(name.trim())]);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// Reads a path in the repository that may hold `{{ names }}`.
pub(super) fn template(node: &Node, what: &str, findings: &mut Findings) -> Option<PathTemplate> {
    template_text(decode::text(node, what, findings)?, node, what, findings)
}

/// Judges the text of a path in the repository that may hold `{{ names }}`.
pub(super) fn template_text(text: &str, node: &Node, what: &str, findings: &mut Findings) -> Option<PathTemplate> {
    let pieces = match pieces(text) {
        Ok(pieces) => pieces,
        Err(problem) => return refuse(node, Code::TEMPLATE, what, problem, findings),
    };
    let is_known = |it: &str| matches!(it, "host" | "environment" | "schema_version") || it.starts_with("labels.");
    for piece in &pieces {
        if let Piece::Name(name) = piece
            && !is_known(name)
        {
            let message = format!("`{what}` uses `{}`, which does not exist in paths", name.escape_debug());
            let hint = "paths know host, environment, schema_version and labels.NAME";
            findings.push(Finding::error(Code::UNDEFINED, message).at(&node.place).hint(hint));
            return None;
        }
    }
    match relative(text) {
        Ok(path) => Some(PathTemplate(path)),
        Err(problem) => refuse(node, Code::PATH, what, problem, findings),
    }
}

/// Reads a path in the repository.
pub(super) fn repository_path(node: &Node, what: &str, findings: &mut Findings) -> Option<Located<String>> {
    target_path(node, what, findings)
}

/// Reads a relative path, without needless `.` and `/`; the folder itself is the empty path.
pub(super) fn target_path(node: &Node, what: &str, findings: &mut Findings) -> Option<Located<String>> {
    match relative(decode::text(node, what, findings)?) {
        Ok(value) => Some(Located { value, place: node.place.clone() }),
        Err(problem) => refuse(node, Code::PATH, what, problem, findings),
    }
}

fn relative(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("is empty; write `.` for the folder itself");
    }
    if text.starts_with('/') {
        return Err("must be a relative path");
    }
    if text.contains("://") {
        return Err("must be a path; of all that a manifest names, only layers may be URLs");
    }
    clean(text)
}

/// Reads the absolute path of a target, without needless `.` and `/`.
pub(super) fn root(node: &Node, what: &str, findings: &mut Findings) -> Option<Located<String>> {
    let text = decode::text(node, what, findings)?;
    let path = match text.strip_prefix('/').ok_or("must be an absolute path").and_then(clean) {
        Ok(path) => format!("/{path}"),
        Err(problem) if text.starts_with(['/', '~']) || text.trim().is_empty() => {
            return refuse(node, Code::PATH, what, problem, findings);
        }
        Err(problem) => {
            let finding = Finding::error(Code::PATH, format!("`{what}` {problem}")).at(&node.place);
            findings.push(finding.hint(format!("write `/{}`", text.escape_debug())));
            return None;
        }
    };
    let is_forbidden = path == "/" || ["/proc", "/sys", "/dev"].iter().any(|it| covers(it, &path));
    if is_forbidden {
        return refuse(node, Code::TARGET_FORBIDDEN, what, "is never allowed as a target", findings);
    }
    Some(Located { value: path, place: node.place.clone() })
}

fn clean(text: &str) -> Result<String, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("holds a control character");
    }
    let steps: Vec<&str> = text.split('/').filter(|it| !matches!(*it, "" | ".")).collect();
    if steps.contains(&"..") {
        return Err("must not hold `..`");
    }
    Ok(steps.join("/"))
}

fn refuse<T>(node: &Node, code: Code, what: &str, problem: &str, findings: &mut Findings) -> Option<T> {
    findings.push(Finding::error(code, format!("`{what}` {problem}")).at(&node.place));
    None
}

/// Returns whether the folder `outer` is `inner` or holds it; both are absolute.
pub fn covers(outer: &str, inner: &str) -> bool {
    let outer = outer.trim_end_matches('/');
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Pushes an error unless `name` can stand in paths, refs and statuses.
pub fn check_name(name: &str, what: &str, place: &crate::place::Place, findings: &mut Findings) {
    let is_good = name.chars().all(|it| it.is_ascii_alphanumeric() || "._-".contains(it))
        && name.starts_with(|it: char| it.is_ascii_alphanumeric())
        && !name.contains("..")
        && !name.ends_with('.')
        && !name.ends_with(".lock")
        && name.len() <= 100;
    if !is_good {
        let message = format!("`{}` is not a name for {what}", name.escape_debug());
        let hint = "names start with a letter or digit and hold letters, digits, `.`, `_` and `-`";
        findings.push(Finding::error(Code::VALUE, message).at(place).hint(hint));
    }
}

/// Returns the globs of a target (`ignore`, `when`, `match`) as one set over paths in it.
///
/// As in `.gitignore`, a glob without `/` is about names in any folder, and one with a `/` is about whole paths; `*` never
/// crosses a `/`. A glob that ends with `/` is about everything in a folder.
pub fn path_globs<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for text in globs {
        let folder = if text.ends_with('/') { "**" } else { "" };
        let whole = match text.strip_prefix('/').unwrap_or(text) {
            name if !text.contains('/') => format!("**/{name}"),
            path => format!("{path}{folder}"),
        };
        set.add(GlobBuilder::new(&whole).literal_separator(true).build()?);
    }
    set.build()
}

/// Returns whether something that runs for the globs `when`, or for every change when there are none, runs for these paths.
pub fn concerns(when: &[String], changed: &[&str]) -> bool {
    if when.is_empty() || changed.is_empty() {
        return !changed.is_empty();
    }
    // The manifest's loader has refused globs that cannot be read; one that still fails errs on the side of running.
    path_globs(when.iter().map(String::as_str)).map_or(true, |globs| changed.iter().any(|it| globs.is_match(it)))
}

/// Returns the matcher of a glob over host names.
pub(super) fn host_glob(text: &str) -> Result<GlobMatcher, globset::Error> {
    GlobBuilder::new(text).build().map(|it| it.compile_matcher())
}

/// Reads a list of globs over paths.
pub(super) fn globs(
    nodes: Vec<(String, crate::place::Place)>,
    what: &str,
    findings: &mut Findings,
) -> Vec<Located<String>> {
    let mut globs = Vec::new();
    for (value, place) in nodes {
        if value.is_empty() || value.chars().any(char::is_control) {
            findings
                .push(Finding::error(Code::VALUE, format!("`{what}` holds a glob that matches nothing")).at(&place));
        }
        match path_globs([value.as_str()]) {
            Ok(_) => globs.push(Located { value, place }),
            Err(error) => findings.push(bad_glob(what, &error).at(&place)),
        }
    }
    globs
}

/// Returns the finding for a glob that cannot be read.
pub(super) fn bad_glob(what: &str, error: &globset::Error) -> Finding {
    Finding::error(Code::VALUE, format!("`{what}` is not a glob: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::facts;
    use super::*;

    #[test]
    fn path_templates_expand() {
        let facts = facts("web-1", "production");
        let expand = |text: &str, version| PathTemplate(text.into()).expand(&facts, version);
        assert_eq!(
            expand("a/{{host}}/{{ environment }}.{{ labels.role }}.v{{ schema_version }}", Some(3)),
            Ok("a/web-1/production.web.v3".into())
        );
        assert_eq!(expand("{{ labels.region }}", None), Err("labels.region".into()));
        assert_eq!(expand("v{{ schema_version }}", None), Err("schema_version".into()));
    }

    #[test]
    fn globs_without_a_slash_are_about_names() {
        let matches = |glob: &str, path: &str| path_globs([glob]).expect("a glob").is_match(path);
        assert!(matches("*.local", "a.local") && matches("*.local", "x/y/a.local"));
        assert!(matches("cache/**", "cache/a/b") && !matches("cache/**", "x/cache/a"));
        assert!(matches("conf.d/*", "conf.d/a") && !matches("conf.d/*", "conf.d/a/b"));
        assert!(matches("/a", "a") && !matches("/a", "b/a"));
        assert!(matches("cache/", "cache/a/b") && !matches("cache/", "cachet"));
    }
}

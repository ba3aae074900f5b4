//! Templates that call each other, or themselves, more deeply than is allowed.

use super::{Engine, Include, deepest};
use crate::finding::{Code, Finding};
use minijinja::{Error, ErrorKind};
use std::collections::BTreeMap;

/// From so many includes inside each other on, it is them that ran into the limit.
const INCLUDE_DEPTH_SEEN: usize = 15;

impl Engine<'_> {
    /// Returns what is wrong when the templates called each other, or themselves, more deeply than is allowed.
    pub(super) fn recursion(&self, path: &str, error: &Error) -> Option<Finding> {
        let detail = deepest(error).detail().unwrap_or_default();
        if detail.starts_with("cycle in template inheritance") {
            let message = "templates extend each other in a circle";
            return Some(Finding::error(Code::INCLUDE_CYCLE, message));
        }
        if detail != "recursion limit exceeded" {
            return None;
        }
        let files = self.chain(path, error);
        if let Some(circle) = circle(&files) {
            // A secret may have been the name of one.
            let names = if self.scope.trace.secret() { String::new() } else { format!(": {}", circle.join(" → ")) };
            let message = format!("templates include each other in a circle{names}");
            let hint = "a template that includes itself must come to an end, after a few rounds";
            return Some(Finding::error(Code::INCLUDE_CYCLE, message).hint(hint));
        }
        if files.len() >= INCLUDE_DEPTH_SEEN {
            let message =
                format!("{} templates include each other, one inside the other; that is too deep", files.len());
            return Some(Finding::error(Code::INCLUDE_CYCLE, message));
        }
        let hint = "a macro, block or loop that calls itself must come to an end";
        Some(Finding::error(Code::RENDER_FUEL, "the template calls itself too deeply").hint(hint))
    }

    /// Returns the files of the templates that were in work when `error` occurred, the outermost first.
    fn chain(&self, path: &str, error: &Error) -> Vec<String> {
        let library = self.library();
        let file = |name: &str| match library.known.get(name) {
            Some(Include::Found { path, .. }) => path.clone(),
            _ => name.to_owned(),
        };
        let mut files = vec![path.to_owned()];
        let mut next = Some(error);
        while let Some(error) = next {
            // minijinja wraps an error in an include in one whose detail is `error in "name"`.
            let included = error.detail().and_then(|it| it.strip_prefix("error in \"")?.strip_suffix('"'));
            if let Some(name) = included.filter(|_| error.kind() == ErrorKind::BadInclude) {
                files.push(file(name));
            }
            next = std::error::Error::source(error).and_then(|it| it.downcast_ref::<Error>());
        }
        files
    }
}

/// Returns the part of `files` between two that are the same, with both.
fn circle(files: &[String]) -> Option<&[String]> {
    let mut seen = BTreeMap::new();
    for (idx, file) in files.iter().enumerate() {
        if let Some(first) = seen.insert(file, idx) {
            return Some(&files[first..=idx]);
        }
    }
    None
}

//! Differences as a person reads them.

use super::{Action, LiveKind, Operation, Plan};
use crate::render::escaped;
use similar::TextDiff;
use std::fmt::Write;

/// What is compared of one file.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    /// The bytes that are live; `None` when there is no file.
    pub old: Option<Vec<u8>>,
    /// The bytes that shall be; `None` when the file goes away.
    pub new: Option<Vec<u8>>,
}

/// How much of a difference is shown.
#[derive(Clone, Copy, Debug)]
pub struct DiffLimits {
    /// The most files.
    pub files: usize,
    /// The most lines of one file's difference.
    pub lines: usize,
    /// The largest file in bytes that is compared at all.
    pub bytes: usize,
}

impl Default for DiffLimits {
    fn default() -> Self {
        DiffLimits { files: 500, lines: 1000, bytes: 1 << 20 }
    }
}

/// The difference that one operation makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// The target's name.
    pub target: String,
    /// The path in the target.
    pub path: String,
    /// What is done.
    pub action: Action,
    /// Whether the content is kept out of `text`.
    pub sensitive: bool,
    /// The difference; ends with a newline.
    pub text: String,
}

/// Returns the differences of a plan's operations and how many more there are than `limits` lets through.
///
/// `sides` gives the bytes before and after; it is not asked for sensitive files, for links, or where only metadata changes.
/// An error that it returns is shown in place of the difference.
pub fn diffs(
    plan: &Plan,
    limits: DiffLimits,
    sides: &mut dyn FnMut(&Operation) -> Result<Sides, String>,
) -> (Vec<Diff>, usize) {
    let n_writes = plan.writes().count();
    let shown = plan.writes().take(limits.files).map(|it| Diff {
        target: it.target.clone(),
        path: it.at.path.to_string(),
        action: it.action,
        sensitive: it.sensitive,
        text: operation(it, limits, sides),
    });
    (shown.collect(), n_writes.saturating_sub(limits.files))
}

fn operation(
    operation: &Operation,
    limits: DiffLimits,
    sides: &mut dyn FnMut(&Operation) -> Result<Sides, String>,
) -> String {
    let name = format!("{}/{}", operation.at.root, operation.at.path);
    let mut text = header(&name, operation);
    let old = operation.live.as_ref().map(|it| &it.kind);
    let new = operation.wanted.as_ref().map(|it| &it.kind);
    if operation.action == Action::Metadata
        || !matches!((old, new), (None | Some(LiveKind::File), None | Some(LiveKind::File)))
    {
        return text;
    }
    if operation.sensitive {
        text.push_str("content differs (secret)\n");
        return text;
    }
    match sides(operation) {
        Ok(Sides { old, new }) => text.push_str(&unified(&name, old.as_deref(), new.as_deref(), false, limits)),
        Err(reason) => {
            let _ = writeln!(text, "cannot be shown: {}", escaped(&reason));
        }
    }
    text
}

/// Says what changes beside the content.
fn header(name: &str, operation: &Operation) -> String {
    let mut text = format!("{} {}\n", operation.action.as_str(), escaped(name));
    let link = |kind: Option<&LiveKind>| match kind {
        Some(LiveKind::Link(to)) => Some(format!("link to {}", escaped(to))),
        Some(LiveKind::File) => Some("file".to_owned()),
        _ => None,
    };
    let old_kind = operation.live.as_ref().map(|it| &it.kind);
    let new_kind = operation.wanted.as_ref().map(|it| &it.kind);
    let is_link = |kind: Option<&LiveKind>| matches!(kind, Some(LiveKind::Link(_)));
    if is_link(old_kind) || is_link(new_kind) {
        let _ = match (link(old_kind), link(new_kind)) {
            (Some(old), Some(new)) => writeln!(text, "{old} -> {new}"),
            (old, new) => writeln!(text, "{}", old.or(new).unwrap_or_default()),
        };
        return text;
    }
    if let (Some(live), Some(wanted)) = (&operation.live, &operation.wanted) {
        if live.mode != wanted.mode {
            let _ = writeln!(text, "mode {:04o} -> {:04o}", live.mode, wanted.mode);
        }
        if (live.uid, live.gid) != (wanted.uid, wanted.gid) {
            let _ = writeln!(text, "owner {}:{} -> {}:{}", live.uid, live.gid, wanted.uid, wanted.gid);
        }
    }
    text
}

/// Returns the difference between two contents of the file `name` as a unified diff that ends with a newline.
///
/// Binary content is only said to differ, sensitive content does not even show its size, and control characters are
/// escaped, so that a file cannot write to the terminal.
pub fn unified(name: &str, old: Option<&[u8]>, new: Option<&[u8]>, sensitive: bool, limits: DiffLimits) -> String {
    if sensitive {
        return "content differs (secret)\n".to_owned();
    }
    let (Some(old_text), Some(new_text)) = (text_of(old), text_of(new)) else {
        return "binary files differ\n".to_owned();
    };
    if old_text.len().max(new_text.len()) > limits.bytes {
        return format!("content differs ({} -> {} bytes, too large to compare)\n", old_text.len(), new_text.len());
    }
    let name = escaped(name);
    let side = |bytes: Option<&[u8]>| if bytes.is_some() { name.clone() } else { "/dev/null".to_owned() };
    let diff = TextDiff::from_lines(old_text, new_text);
    let unified = diff.unified_diff().context_radius(3).header(&side(old), &side(new)).to_string();
    let mut lines = unified.lines();
    let mut text = String::new();
    for line in lines.by_ref().take(limits.lines) {
        text.push_str(&escaped(line));
        text.push('\n');
    }
    match lines.count() {
        0 => {}
        1 => text.push_str("... 1 more line\n"),
        more => {
            let _ = writeln!(text, "... {more} more lines");
        }
    }
    text
}

/// Returns the text that the bytes are; `None` when they are not text.
fn text_of(bytes: Option<&[u8]>) -> Option<&str> {
    let text = std::str::from_utf8(bytes.unwrap_or_default()).ok()?;
    (!text.contains('\0')).then_some(text)
}

//! Small pieces of wording that several verbs share.

use crate::record::{Changes, Deployment};
use crate::render::escaped;

/// Returns "1 file", "2 files" and so on.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Returns the words joined as in a sentence: "a", "a and b", "a, b and c".
pub fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Returns text of several lines with everything but the line breaks escaped that could act on a terminal.
pub fn escaped_lines(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

/// Returns "3 created, 1 replaced, 12 unchanged"; what did not happen is left out.
pub fn changes(it: &Changes) -> String {
    let parts =
        [(it.created, "created"), (it.replaced, "replaced"), (it.removed, "removed"), (it.unchanged, "unchanged")];
    let said: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if said.is_empty() { "no changes".to_owned() } else { said.join(", ") }
}

/// Returns a moment as people read it: `2026-01-02 03:04:05Z` for `2026-01-02T03:04:05.678Z`.
pub fn moment(rfc3339: &str) -> String {
    let seconds = rfc3339.split('.').next().unwrap_or(rfc3339);
    let zone = if seconds.ends_with('Z') || seconds.len() == rfc3339.len() { "" } else { "Z" };
    escaped(&format!("{}{zone}", seconds.replacen('T', " ", 1)))
}

/// Returns why a deployment did not succeed, on one line; empty when it did.
pub fn failure(deployment: &Deployment) -> String {
    let message = deployment.error.as_ref().map(|it| format!("{}: {}", it.code, it.message));
    message.map(|it| escaped(it.lines().next().unwrap_or_default())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_words() {
        assert_eq!((count(1, "file", "files"), count(0, "file", "files")), ("1 file".into(), "0 files".into()));
        assert_eq!((list(&["a"]), list(&["a", "b", "c"])), ("a".into(), "a, b and c".into()));
    }

    #[test]
    fn text_of_others_cannot_reach_the_terminal() {
        assert_eq!(escaped_lines("a\u{1b}[2J\nb\u{9b}c"), "a\\u{1b}[2J\nb\\u{9b}c");
    }

    #[test]
    fn only_what_changed_is_counted() {
        assert_eq!(changes(&Changes { created: 2, replaced: 0, removed: 1, unchanged: 0 }), "2 created, 1 removed");
        assert_eq!(changes(&Changes::default()), "no changes");
    }

    #[test]
    fn moments_lose_their_fractions() {
        assert_eq!(moment("2026-01-02T03:04:05.678Z"), "2026-01-02 03:04:05Z");
        assert_eq!(moment("2026-01-02T03:04:05Z"), "2026-01-02 03:04:05Z");
    }
}

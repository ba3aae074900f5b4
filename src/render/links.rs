//! Where symbolic links lead.

use super::{Content, OutputFile, TargetPath};
use std::collections::BTreeMap;

/// The number of links after which Linux gives up, too.
const HOPS_MAX: usize = 40;

/// Returns what is wrong with the text of a link, whatever surrounds it.
pub(super) fn text_problem(text: &str) -> Option<&'static str> {
    match text {
        "" => Some("is empty"),
        _ if text.starts_with('/') => Some("is absolute"),
        _ if text.len() > 4095 => Some("is longer than 4095 bytes"),
        _ if text.contains(char::is_control) => Some("holds a control character"),
        _ => None,
    }
}

/// Follows the link at `path` through the links of its target; returns what is wrong with where it leads.
///
/// Reading the text alone is not enough: `sub/link/../..` means another place when `link` leads elsewhere. Names that the
/// rendering does not have are taken for plain folders; what they are is checked again when the link is made.
pub(super) fn follow(path: &TargetPath, files: &BTreeMap<TargetPath, OutputFile>) -> Option<&'static str> {
    let mut here: Vec<&str> = path.as_str().split('/').collect();
    here.pop();
    let mut ahead = vec![link_text(path, files)?];
    let mut n_hops = 0;
    while let Some(text) = ahead.pop() {
        let (step, rest) = text.split_once('/').unwrap_or((text, ""));
        if !rest.is_empty() {
            ahead.push(rest);
        }
        match step {
            "" | "." => {}
            ".." => {
                if here.pop().is_none() {
                    return Some("leads out of the target");
                }
            }
            name => {
                here.push(name);
                if let Some(text) = link_text(&TargetPath(here.join("/")), files) {
                    n_hops += 1;
                    if n_hops > HOPS_MAX {
                        return Some("leads to itself");
                    }
                    here.pop();
                    ahead.push(text);
                }
            }
        }
    }
    None
}

fn link_text<'a>(path: &TargetPath, files: &'a BTreeMap<TargetPath, OutputFile>) -> Option<&'a str> {
    match &files.get(path)?.content {
        Content::Link(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Place;
    use crate::render::Digest;

    fn links(pairs: &[(&str, &str)]) -> BTreeMap<TargetPath, OutputFile> {
        let file = |text: &str| OutputFile {
            content: Content::Link(text.to_owned()),
            mode: 0o777,
            owner: None,
            group: None,
            sensitive: false,
            identity: Digest(String::new()),
            source: String::new(),
            place: Place::whole("m"),
        };
        pairs.iter().map(|(path, text)| (TargetPath((*path).to_owned()), file(text))).collect()
    }

    #[track_caller]
    fn check(pairs: &[(&str, &str)], expected: Option<&str>) {
        assert_eq!(follow(&TargetPath(pairs[0].0.to_owned()), &links(pairs)), expected);
    }

    #[test]
    fn b09_links_that_leave_the_target_are_found() {
        check(&[("a", "..")], Some("leads out of the target"));
        check(&[("a/b", "../../x")], Some("leads out of the target"));
        check(&[("a", "a")], Some("leads to itself"));
        check(&[("a", "b"), ("b", "a")], Some("leads to itself"));
        check(&[("a", "a/a/a/a")], Some("leads to itself"));
        // The text `d/e/l/../../x` stays inside when it is only read, but `l` leads up.
        check(&[("m", "d/e/l/../../x"), ("d/e/l", "../../s")], Some("leads out of the target"));
    }

    #[test]
    fn links_inside_the_target_are_fine() {
        check(&[("a/b", "../c")], None);
        check(&[("current", "releases/1")], None);
        check(&[("a", "b"), ("b", "c/d")], None);
        check(&[("a", "./b//c/")], None);
    }

    #[test]
    fn link_texts_must_be_relative_and_plain() {
        assert_eq!(text_problem("/etc/passwd"), Some("is absolute"));
        assert_eq!(text_problem(""), Some("is empty"));
        assert_eq!(text_problem("a\nb"), Some("holds a control character"));
        assert_eq!(text_problem(&"x/".repeat(2500)), Some("is longer than 4095 bytes"));
        assert_eq!(text_problem("../a b"), None);
    }
}

//! What to go back to; the content of the commit that takes a failed change back.
//!
//! A revert is never merged: its parent is the failed commit and its tree is the last good one. It holds nothing of
//! the host that makes it, so that a thousand hosts that fail alike make the same object.

use crate::revision::{Commit, ObjectId};

/// The name that reverts are made under.
pub const AUTHOR_NAME: &str = "headfast";
/// The address that reverts are made under.
pub const AUTHOR_EMAIL: &str = "headfast@localhost";

const REVERTS: &str = "Headfast-Reverts";
const RESTORES: &str = "Headfast-Restores";

/// A commit that is still to be made; the same values always make the same object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommit {
    /// The id of its tree.
    pub tree: ObjectId,
    /// Its parents, first parent first.
    pub parents: Vec<ObjectId>,
    /// The name of author and committer.
    pub author_name: String,
    /// The address of author and committer.
    pub author_email: String,
    /// Both dates in seconds since the epoch.
    pub time: i64,
    /// The time zone of `time` in minutes east of UTC.
    pub offset: i32,
    /// The whole message.
    pub message: String,
}

/// Returns the commit that takes `failed` back by restoring the tree of `good`.
///
/// `undone` are the commits that are in `failed` and not in `good`, newest first. When `good` has the tree that
/// `failed` has, the commit would change nothing, and the caller should not make it.
pub fn revert_commit(failed: &Commit, good: &Commit, undone: &[Commit]) -> NewCommit {
    NewCommit {
        tree: good.tree.clone(),
        parents: vec![failed.id.clone()],
        author_name: AUTHOR_NAME.to_owned(),
        author_email: AUTHOR_EMAIL.to_owned(),
        time: failed.time.saturating_add(1),
        offset: failed.time_offset_minutes,
        message: message(failed, good, undone),
    }
}

/// Returns the commit that `commit` takes back, when its trailers say that it takes one back.
pub fn reverts(commit: &Commit) -> Option<ObjectId> {
    trailer(&commit.message, REVERTS)
}

/// Returns the commit whose tree `commit` restores, when its trailers say so.
pub fn restores(commit: &Commit) -> Option<ObjectId> {
    trailer(&commit.message, RESTORES)
}

/// Returns whether `commit` says that it takes `failed` back.
pub fn is_revert_of(commit: &Commit, failed: &ObjectId) -> bool {
    reverts(commit).as_ref() == Some(failed)
}

/// Returns the full name of the branch that a revert of `failed` is pushed to when it is not pushed directly.
pub fn branch_of(failed: &ObjectId) -> String {
    format!("refs/heads/headfast/revert/{failed}")
}

/// Returns whether a revert of `undone` may be pushed to the deployed branch itself.
///
/// A longer range goes to a branch of its own, where a person looks at it first.
pub fn is_short_enough(undone: &[Commit], max_commits: u32) -> bool {
    undone.len() as u64 <= u64::from(max_commits)
}

fn message(failed: &Commit, good: &Commit, undone: &[Commit]) -> String {
    let mut text = format!("{}\n\n", subject(failed));
    match undone {
        [] | [_] => text.push_str(&format!("This reverts commit {}.\n", failed.id)),
        _ => {
            text.push_str(&format!("This reverts {} commits:\n\n", undone.len()));
            for commit in undone {
                text.push_str(&format!("- {} {}\n", commit.id.short(), one_line(commit.subject())));
            }
        }
    }
    text.push_str(&format!("\n{REVERTS}: {}\n{RESTORES}: {}\n", failed.id, good.id));
    text
}

/// Words a subject as `git revert` does, which calls the revert of a revert `Reapply`.
fn subject(failed: &Commit) -> String {
    let subject = one_line(failed.subject());
    match subject.strip_prefix("Revert \"") {
        Some(original) if !original.starts_with("Revert \"") => format!("Reapply \"{original}"),
        _ => format!("Revert \"{subject}\""),
    }
}

fn one_line(text: &str) -> String {
    text.trim().chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// Reads one trailer. Only the last paragraph counts, and only when it holds nothing but trailers: a quoted message, or
/// the list of what is undone, may hold a line that looks like one.
fn trailer(message: &str, key: &str) -> Option<ObjectId> {
    let lines: Vec<&str> = message.trim_end().lines().collect();
    let start = lines.iter().rposition(|it| it.trim().is_empty())? + 1;
    let block = &lines[start..];
    if !block.iter().all(|it| it.starts_with([' ', '\t']) || split_trailer(it).is_some()) {
        return None;
    }
    let value = block.iter().filter_map(|it| split_trailer(it)).find(|it| it.0.eq_ignore_ascii_case(key))?.1;
    let is_id = matches!(value.len(), 40 | 64) && value.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then(|| ObjectId::new(value))
}

fn split_trailer(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_token = !key.is_empty() && key.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
    is_token.then(|| (key, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(digit: char, message: &str) -> Commit {
        Commit {
            id: ObjectId::new(&digit.to_string().repeat(40)),
            tree: ObjectId::new(&format!("{digit}0").repeat(20)),
            parents: vec![],
            author: "Ana <ana@example.org>".into(),
            time: 1_700_000_000,
            time_offset_minutes: 120,
            message: message.into(),
        }
    }

    #[test]
    fn a_trailer_outside_the_last_paragraph_is_text() {
        let id = "a".repeat(40);
        for message in [
            format!("Headfast-Reverts: {id}"),
            format!("subject\n\nHeadfast-Reverts: {id}\n\nmore text\n"),
            format!("subject\n\nI quote:\nHeadfast-Reverts: {id}\n"),
            format!("subject\n\n> Headfast-Reverts: {id}\n"),
            "subject\n\nHeadfast-Reverts: abc\n".to_owned(),
            format!("subject\n\nHeadfast-Reverts: {}\n", "A".repeat(40)),
            String::new(),
        ] {
            assert_eq!(reverts(&commit('1', &message)), None, "{message}");
        }
        let signed = format!("subject\n\nheadfast-reverts: {id}\nSigned-off-by: Ana <ana@example.org>\n\n");
        assert_eq!(reverts(&commit('1', &signed)), Some(ObjectId::new(&id)));
    }

    #[test]
    fn a_revert_restores_the_good_tree_on_top_of_the_failed_commit() {
        let (failed, good) = (commit('f', "Raise the limit\n\nBecause.\n"), commit('a', "Start\n"));
        let revert = revert_commit(&failed, &good, std::slice::from_ref(&failed));
        assert_eq!(revert.tree, good.tree);
        assert_eq!(revert.parents, std::slice::from_ref(&failed.id));
        assert_eq!((revert.time, revert.offset), (1_700_000_001, 120));
        assert_eq!((revert.author_name.as_str(), revert.author_email.as_str()), ("headfast", "headfast@localhost"));
        assert_eq!(
            revert.message,
            "Revert \"Raise the limit\"\n\n\
             This reverts commit ffffffffffffffffffffffffffffffffffffffff.\n\n\
             Headfast-Reverts: ffffffffffffffffffffffffffffffffffffffff\n\
             Headfast-Restores: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
        );
        let made = Commit { message: revert.message.clone(), ..commit('b', "") };
        assert!(is_revert_of(&made, &failed.id));
        assert!(!is_revert_of(&made, &good.id));
        assert_eq!(restores(&made), Some(good.id.clone()));
        assert_eq!(revert, revert_commit(&failed, &good, std::slice::from_ref(&failed)));
    }

    #[test]
    fn a_range_lists_what_is_undone() {
        let (failed, good) = (commit('f', "Three\n"), commit('a', "Zero\n"));
        let undone = [failed.clone(), commit('2', "Headfast-Reverts: x\u{1b}[m\n"), commit('1', "One\n")];
        let revert = revert_commit(&failed, &good, &undone);
        assert!(revert.message.starts_with(
            "Revert \"Three\"\n\nThis reverts 3 commits:\n\n\
             - ffffffffffff Three\n- 222222222222 Headfast-Reverts: x [m\n- 111111111111 One\n\nHeadfast-Reverts: f"
        ));
        assert!(is_revert_of(&Commit { message: revert.message, ..commit('b', "") }, &failed.id));
        assert!(is_short_enough(&undone, 3));
        assert!(!is_short_enough(&undone, 2));
    }

    #[test]
    fn the_revert_of_a_revert_reapplies() {
        let good = commit('a', "Start\n");
        let subject = |text: &str| {
            let failed = commit('f', text);
            revert_commit(&failed, &good, &[]).message.lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(subject("Revert \"x\""), "Reapply \"x\"");
        assert_eq!(subject("Reapply \"x\""), "Revert \"Reapply \"x\"\"");
        assert_eq!(subject("Revert \"Revert \"x\"\""), "Revert \"Revert \"Revert \"x\"\"\"");
        assert_eq!(subject(""), "Revert \"\"");
    }

    #[test]
    fn the_branch_of_a_revert_names_the_failed_commit() {
        assert_eq!(branch_of(&ObjectId::new("abc")), "refs/heads/headfast/revert/abc");
    }
}

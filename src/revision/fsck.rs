//! Objects as bytes: what no git program makes, and what is only there to mislead one.
//!
//! `git fsck` would say the same. It is said here, before a ref moves, so that it does not depend on what the remote checks
//! nor on what a reader lets through.

use crate::finding::Code;
use std::collections::HashSet;

/// The largest commit in bytes; its message and signatures are part of it.
pub const COMMIT_BYTES_MAX: usize = 1 << 20;
/// The largest `.gitmodules` that is looked at, in bytes.
pub const MODULES_BYTES_MAX: usize = 64 << 10;
/// The longest name of a tree's entry, in bytes.
const NAME_BYTES_MAX: usize = 4096;
/// The bytes of an object's id.
const ID_BYTES: usize = 20;

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// `E_FSCK`, `E_MODE` or `E_COMMIT`.
    pub code: Code,
    /// The name of the entry that it is about, when it is about one.
    pub name: Vec<u8>,
    /// What is wrong, as a fragment.
    pub reason: &'static str,
}

/// One entry of a tree, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawEntry<'a> {
    /// The mode with its type.
    pub mode: u32,
    /// The name.
    pub name: &'a [u8],
    /// The id.
    pub id: &'a [u8],
}

impl RawEntry<'_> {
    /// Returns whether it is a tree.
    pub fn is_tree(&self) -> bool {
        self.mode == 0o040_000
    }

    /// Returns whether it is a blob: a file or a link.
    pub fn is_blob(&self) -> bool {
        matches!(self.mode & 0o170_000, 0o100_000 | 0o120_000)
    }

    /// Returns whether it says where submodules are.
    pub fn is_modules(&self) -> bool {
        plain(self.name) == ".gitmodules"
    }

    /// What decides the order: trees sort as if their names ended with `/`.
    fn key(&self) -> impl Iterator<Item = u8> {
        self.name.iter().copied().chain(self.is_tree().then_some(b'/'))
    }
}

/// Reads a tree strictly.
pub fn tree(bytes: &[u8]) -> Result<Vec<RawEntry<'_>>, Flaw> {
    let mut entries: Vec<RawEntry<'_>> = Vec::new();
    let mut names = HashSet::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (entry, after) = entry(rest)?;
        let refuse = |code, reason| Err(Flaw { code, name: entry.name.to_vec(), reason });
        if let Some((code, reason)) = entry_problem(&entry) {
            return refuse(code, reason);
        }
        if !names.insert(entry.name) {
            return refuse(Code::FSCK, "is there twice");
        }
        if entries.last().is_some_and(|it| it.key().gt(entry.key())) {
            return refuse(Code::FSCK, "is not in git's order");
        }
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

fn entry(bytes: &[u8]) -> Result<(RawEntry<'_>, &[u8]), Flaw> {
    let broken = |reason| Flaw { code: Code::FSCK, name: Vec::new(), reason };
    let space = bytes.iter().position(|it| *it == b' ').ok_or(broken("ends in the middle of an entry"))?;
    let (mode, rest) = (&bytes[..space], &bytes[space + 1..]);
    let nul = rest.iter().position(|it| *it == 0).ok_or(broken("ends in the middle of an entry"))?;
    let (name, rest) = (&rest[..nul], &rest[nul + 1..]);
    let (id, rest) = rest.split_at_checked(ID_BYTES).ok_or(broken("ends in the middle of an entry"))?;
    let named = |reason| Flaw { code: Code::FSCK, name: name.to_vec(), reason };
    if mode.first() == Some(&b'0') {
        return Err(named("has a mode that starts with a zero"));
    }
    let mode = std::str::from_utf8(mode).ok().filter(|it| it.len() <= 6).and_then(|it| u32::from_str_radix(it, 8).ok());
    let mode = mode.ok_or(named("has a mode that is none"))?;
    Ok((RawEntry { mode, name, id }, rest))
}

fn entry_problem(entry: &RawEntry<'_>) -> Option<(Code, &'static str)> {
    let reason = match entry.name {
        b"" => "has no name",
        b"." | b".." => "is `.` or `..`",
        name if name.contains(&b'/') => "holds a `/`",
        name if name.len() > NAME_BYTES_MAX => "is longer than 4096 bytes",
        name if plain(name) == ".git" => "names a git directory",
        _ if entry.id.iter().all(|it| *it == 0) => "is of no object",
        _ if entry.is_modules() && entry.mode & 0o170_000 == 0o120_000 => "is a symbolic link",
        _ => return mode_problem(entry.mode),
    };
    Some((Code::FSCK, reason))
}

fn mode_problem(mode: u32) -> Option<(Code, &'static str)> {
    match (mode & 0o170_000, mode & 0o7777) {
        (0o040_000 | 0o120_000 | 0o160_000, 0) => None,
        (0o100_000, bits) if bits & 0o7000 != 0 => Some((Code::MODE, "has a set-user-id, set-group-id or sticky bit")),
        (0o100_000, _) => None,
        _ => Some((Code::FSCK, "has a mode that git does not know")),
    }
}

/// Returns a name as a careless file system reads it: without case, and without what HFS+ ignores.
fn plain(name: &[u8]) -> String {
    let is_ignored = |it: &char| matches!(it, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    String::from_utf8_lossy(name).chars().filter(|it| !is_ignored(it)).map(|it| it.to_ascii_lowercase()).collect()
}

/// Returns what is wrong with a commit.
///
/// Its times may be any numbers that fit: they decide nothing. Text may be in any encoding.
pub fn commit_flaw(bytes: &[u8]) -> Option<Flaw> {
    let flaw = |code, reason| Some(Flaw { code, name: Vec::new(), reason });
    if bytes.len() > COMMIT_BYTES_MAX {
        return flaw(Code::COMMIT, "is larger than 1 MiB");
    }
    if bytes.contains(&0) {
        return flaw(Code::FSCK, "holds a NUL");
    }
    let header_end = bytes.windows(2).position(|it| it == b"\n\n").unwrap_or(bytes.len());
    let mut lines = bytes[..header_end].split(|it| *it == b'\n').peekable();
    let is_id = |it: &[u8]| it.len() == 2 * ID_BYTES && it.iter().all(u8::is_ascii_hexdigit);
    if !lines.next().and_then(|it| it.strip_prefix(b"tree ")).is_some_and(is_id) {
        return flaw(Code::COMMIT, "has no tree");
    }
    while let Some(parent) = lines.peek().and_then(|it| it.strip_prefix(b"parent ")) {
        if !is_id(parent) {
            return flaw(Code::COMMIT, "has a parent that is no id");
        }
        lines.next();
    }
    for who in [&b"author "[..], b"committer "] {
        if !lines.next().and_then(|it| it.strip_prefix(who)).is_some_and(is_person) {
            return flaw(Code::COMMIT, "has no author or committer that can be read");
        }
    }
    let known = [&b"tree "[..], b"parent ", b"author ", b"committer "];
    match lines.any(|line| known.iter().any(|it| line.starts_with(it))) {
        true => flaw(Code::COMMIT, "has a header twice"),
        false => None,
    }
}

/// Returns whether a line reads `name <address> seconds zone`.
fn is_person(line: &[u8]) -> bool {
    let Some(end) = line.iter().rposition(|it| *it == b'>') else { return false };
    let time = std::str::from_utf8(&line[end + 1..]).unwrap_or_default();
    let mut words = time.split_ascii_whitespace();
    let seconds = words.next().and_then(|it| it.parse::<i64>().ok());
    let zone = words.next().and_then(|it| it.strip_prefix(['+', '-'])).and_then(|it| it.parse::<u32>().ok());
    line.contains(&b'<') && seconds.is_some() && zone.is_some() && words.next().is_none()
}

/// Returns what is wrong with a `.gitmodules`: we follow none, but whoever clones what we deploy from may.
pub fn modules_flaw(bytes: &[u8]) -> Option<&'static str> {
    for line in String::from_utf8_lossy(bytes).lines().map(str::trim) {
        let name = line.strip_prefix("[submodule \"").map(|it| it.trim_end_matches(['"', ']']));
        if name.is_some_and(|it| it.split(['/', '\\']).any(|it| it == "..")) {
            return Some("names a submodule with `..`");
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim().trim_start_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "url" | "path" if value.starts_with('-') => return Some("has a url or path that starts with `-`"),
            "update" if value.starts_with('!') => return Some("has a command for an update"),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(entries: &[(&str, &[u8])]) -> Vec<u8> {
        entries.iter().flat_map(|(mode, name)| [mode.as_bytes(), b" ", name, b"\0", &[7; 20]].concat()).collect()
    }

    #[track_caller]
    fn refused(entries: &[(&str, &[u8])], code: Code, reason: &str) {
        let flaw = tree(&raw(entries)).expect_err("it is refused");
        assert_eq!((flaw.code, flaw.reason), (code, reason));
    }

    #[test]
    fn b01_trees_that_git_does_not_make_are_refused() {
        for name in [&b".git"[..], b".GIT", ".g\u{200c}it".as_bytes()] {
            refused(&[("40000", name)], Code::FSCK, "names a git directory");
        }
        refused(&[("100644", b"..")], Code::FSCK, "is `.` or `..`");
        refused(&[("100644", b"a/b")], Code::FSCK, "holds a `/`");
        refused(&[("100644", b"")], Code::FSCK, "has no name");
        refused(&[("100644", b"a"), ("100644", b"a")], Code::FSCK, "is there twice");
        refused(&[("100644", b"a"), ("100644", b"a.b"), ("40000", b"a")], Code::FSCK, "is there twice");
        refused(&[("100644", b"b"), ("100644", b"a")], Code::FSCK, "is not in git's order");
        refused(&[("100644", b"a0"), ("40000", b"a")], Code::FSCK, "is not in git's order");
        refused(&[("0100644", b"a")], Code::FSCK, "has a mode that starts with a zero");
        refused(&[("10064x", b"a")], Code::FSCK, "has a mode that is none");
        refused(&[("10644", b"a")], Code::FSCK, "has a mode that git does not know");
        refused(&[("120000", b".gitmodules")], Code::FSCK, "is a symbolic link");
        refused(&[("100644", &[b'x'; 4097])], Code::FSCK, "is longer than 4096 bytes");
        let whole = raw(&[("100644", b"a")]);
        for end in 1..whole.len() {
            assert_eq!(tree(&whole[..end]).expect_err("cut").reason, "ends in the middle of an entry");
        }
        assert_eq!(
            tree(b"100644 a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").expect_err("null").reason,
            "is of no object"
        );
    }

    #[test]
    fn b12_set_id_and_sticky_bits_are_refused_and_other_bits_are_not() {
        for mode in ["104755", "102755", "101644", "106755"] {
            refused(&[(mode, b"a")], Code::MODE, "has a set-user-id, set-group-id or sticky bit");
        }
        for mode in ["100664", "100666", "100600", "100755", "120000", "160000", "40000"] {
            assert!(tree(&raw(&[(mode, b"a")])).is_ok(), "{mode}");
        }
    }

    #[test]
    fn b22_commits_are_read_strictly_where_it_matters() {
        let tree = format!("tree {}\n", "a".repeat(40));
        let who = "author A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n";
        let check = |text: &str| commit_flaw(text.as_bytes()).map(|it| (it.code.name, it.reason));
        assert_eq!(check(&format!("{tree}{who}\nhello")), None);
        assert_eq!(check(&format!("{tree}{who}")), None);
        assert_eq!(check(&format!("{tree}{who}encoding x\n\n\u{1b}")), None);
        let dates = who.replace(" 1 ", " -9223372036854775808 ");
        assert_eq!(check(&format!("{tree}{dates}\n")), None);
        let person = Some(("E_COMMIT", "has no author or committer that can be read"));
        assert_eq!(check(&format!("{tree}{}\n", who.replace(" 1 ", " 99999999999999999999 "))), person);
        assert_eq!(check(&format!("{tree}{}\n", who.replace("<a@x>", ""))), person);
        assert_eq!(check(&format!("{tree}\nhello")), person);
        assert_eq!(check(who), Some(("E_COMMIT", "has no tree")));
        assert_eq!(check(&format!("{tree}parent x\n{who}")), Some(("E_COMMIT", "has a parent that is no id")));
        assert_eq!(check(&format!("{tree}{who}{tree}\n")), Some(("E_COMMIT", "has a header twice")));
        assert_eq!(check(&format!("{tree}{who}\na\0b")), Some(("E_FSCK", "holds a NUL")));
        assert_eq!(check(&"x".repeat(COMMIT_BYTES_MAX + 1)), Some(("E_COMMIT", "is larger than 1 MiB")));
    }

    #[test]
    fn b01_submodules_that_would_harm_who_clones_them_are_refused() {
        let check = |text: &str| modules_flaw(text.as_bytes());
        assert_eq!(check("[submodule \"a\"]\n\tpath = a\n\turl = ../a.git\n"), None);
        assert_eq!(check("[submodule \"../../x\"]\n"), Some("names a submodule with `..`"));
        assert_eq!(check("[submodule \"a\"]\n\turl = -u./payload\n"), Some("has a url or path that starts with `-`"));
        assert_eq!(check("[submodule \"a\"]\n\tupdate = !sh\n"), Some("has a command for an update"));
    }
}

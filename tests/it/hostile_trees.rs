//! Repositories that no honest program makes: each is refused with its own code before anything is written, or deployed
//! exactly as its blobs are.
//!
//! Objects are written byte by byte, past everything that git would check.

use crate::host::{MANIFEST, TestHost};
use git2::{ObjectType, Oid, Repository};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A mode, a name, and what has it.
type Raw<'a> = (&'a str, &'a [u8], Oid);

/// A host with one good deployment, whose remote gets one hostile commit after the other.
struct Bench {
    host: TestHost,
    remote: Repository,
    /// The last commit that was fetched: the next one builds on it, or it would be a rewind.
    good: Cell<Oid>,
    n_cases: Cell<usize>,
}

impl Bench {
    fn new() -> Bench {
        let host = TestHost::with(&[("files/a", "a\n"), ("files/b/c", "c\n")]);
        let remote = Repository::open_bare(host.path("remote.git")).unwrap();
        let good = Cell::new(remote.refname_to_id("refs/heads/main").unwrap());
        Bench { host, remote, good, n_cases: Cell::new(0) }
    }

    fn write(&self, kind: ObjectType, bytes: &[u8]) -> Oid {
        self.remote.odb().unwrap().write(kind, bytes).unwrap()
    }

    fn blob(&self, bytes: &[u8]) -> Oid {
        self.write(ObjectType::Blob, bytes)
    }

    /// Writes a tree whose entries are in the given order.
    fn tree(&self, entries: &[Raw<'_>]) -> Oid {
        let entry = |it: &Raw<'_>| [it.0.as_bytes(), b" ", it.1, b"\0", it.2.as_bytes()].concat();
        self.write(ObjectType::Tree, &entries.iter().flat_map(entry).collect::<Vec<_>>())
    }

    /// Writes a root whose folder `files`, which the target copies, holds the entries.
    fn root(&self, entries: &[Raw<'_>]) -> Oid {
        self.root_with(MANIFEST, &[("40000", b"files", self.tree(entries))])
    }

    fn root_with(&self, manifest: &str, before: &[Raw<'_>]) -> Oid {
        let manifest = self.blob(self.host.filled(manifest).as_bytes());
        self.tree(&[before, &[("100644", b"headfast.yaml", manifest)]].concat())
    }

    fn commit(&self, root: Oid) -> Oid {
        let who = "Ana <ana@example.org> 1700001000 +0000";
        let text = format!("tree {root}\nparent {}\nauthor {who}\ncommitter {who}\n\nhostile\n", self.good.get());
        self.write(ObjectType::Commit, text.as_bytes())
    }

    fn publish(&self, commit: Oid) {
        self.n_cases.set(self.n_cases.get() + 1);
        self.remote.reference("refs/heads/main", commit, true, "a test").unwrap();
    }

    /// Returns the refs of the remote and of the mirror.
    fn refs(&self) -> [BTreeMap<String, Option<Oid>>; 2] {
        [self.host.path("remote.git"), self.host.path("state/mirror/site")].map(|dir| {
            let repository = Repository::open_bare(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
            let all = repository.references().unwrap().flatten();
            all.map(|it| (it.name().unwrap().to_owned(), it.target())).collect()
        })
    }

    #[track_caller]
    fn refuses_commit(&self, what: &str, commit: Oid, code: &str, exit: i32) {
        self.publish(commit);
        let (files, [remote, mirror]) = (self.host.snapshot(), self.refs());
        let output = self.host.run(&["sync"]);
        let said = format!("{what}: exit {}\n{}\n{}", output.status, output.stdout, output.stderr);
        assert!(output.status == exit && output.stderr.contains(&format!("error[{code}]")), "{said}");
        assert!(!output.stderr.contains('\u{1b}') && !output.stdout.contains('\u{1b}'), "{said:?}");
        assert!(output.stderr.len() < 16 << 10, "{what}: {} bytes", output.stderr.len());
        assert_eq!(self.host.snapshot(), files, "{what}");
        let [remote_after, mirror_after] = self.refs();
        assert_eq!(remote_after, remote, "{what}");
        // What can be read is fetched first, and judged then.
        if ["E_FSCK", "E_MODE", "E_COMMIT"].contains(&code) {
            assert_eq!(mirror_after, mirror, "{what}");
        } else {
            self.good.set(commit);
        }
    }

    #[track_caller]
    fn refuses(&self, entries: &[Raw<'_>], code: &str) {
        let what = entries.iter().map(|it| String::from_utf8_lossy(it.1).into_owned()).collect::<Vec<_>>().join(" ");
        let what: String = what.chars().take(80).collect();
        self.refuses_commit(&what, self.commit(self.root(entries)), code, 3);
    }

    /// Refuses one file of this name.
    #[track_caller]
    fn refuses_name(&self, name: &[u8], code: &str) {
        self.refuses(&[("100644", name, self.blob(b"x"))], code);
    }

    #[track_caller]
    fn refuses_link(&self, text: &[u8]) {
        self.refuses(&[("120000", b"link", self.blob(text))], "E_SYMLINK");
    }

    /// Deploys a commit, on which the next ones build.
    #[track_caller]
    fn accepts_commit(&self, commit: Oid) {
        self.publish(commit);
        let output = self.host.run(&["sync"]).ends(0);
        assert!(!output.stderr.contains('\u{1b}') && !output.stdout.contains('\u{1b}'), "{output:?}");
        self.good.set(commit);
    }

    #[track_caller]
    fn accepts(&self, entries: &[Raw<'_>]) {
        self.accepts_commit(self.commit(self.root(entries)));
    }

    fn live(&self, path: &str) -> Vec<u8> {
        fs::read(self.host.path("live").join(path)).unwrap()
    }

    /// Fails unless all that can be asked afterwards is free of what acts on a terminal.
    fn ends(self, at_least: usize) {
        for verb in [&["status"][..], &["history"], &["history", "--json"], &["status", "--json"]] {
            let output = self.host.run(verb).ends(0);
            assert!(!output.stdout.contains('\u{1b}') && !output.stderr.contains('\u{1b}'), "{verb:?}");
        }
        assert!(self.n_cases.get() >= at_least, "{} cases", self.n_cases.get());
    }
}

#[test]
fn b01_trees_that_git_does_not_make_are_refused_and_no_ref_moves() {
    let it = Bench::new();
    let (x, folder) = (it.blob(b"x"), it.tree(&[("100644", b"x", it.blob(b"x"))]));
    for name in [&b".git"[..], b".GIT", b".gIt", ".g\u{200c}it".as_bytes(), ".git\u{feff}".as_bytes()] {
        it.refuses(&[("40000", name, folder)], "E_FSCK");
    }
    for name in [&b".."[..], b".", b"a/b", b"/etc/passwd", b"", b"../../x", &[b'n'; 4097]] {
        it.refuses_name(name, "E_FSCK");
    }
    it.refuses(&[("100644", b"a", x), ("100644", b"a", x)], "E_FSCK");
    it.refuses(&[("100644", b"a", x), ("40000", b"a", folder)], "E_FSCK");
    it.refuses(&[("100644", b"a", x), ("100644", b"a.x", x), ("40000", b"a", folder)], "E_FSCK");
    it.refuses(&[("100644", b"b", x), ("100644", b"a", x)], "E_FSCK");
    it.refuses(&[("0100644", b"a", x)], "E_FSCK");
    it.refuses(&[("040000", b"a", folder)], "E_FSCK");
    it.refuses(&[("10644", b"fifo", x)], "E_FSCK");
    it.refuses(&[("60644", b"device", x)], "E_FSCK");
    it.refuses(&[("100644", b"a", Oid::ZERO_SHA1)], "E_FSCK");
    it.refuses(&[("120000", b".gitmodules", x)], "E_FSCK");
    it.refuses(&[("120000", b".GitModules", x)], "E_FSCK");
    for text in [
        "[submodule \"../../x\"]\n\tpath = a\n",
        "[submodule \"a\"]\n\turl = -u./x\n",
        "[submodule \"a\"]\nupdate=!x\n",
    ] {
        it.refuses(&[("100644", b".gitmodules", it.blob(text.as_bytes()))], "E_FSCK");
    }
    it.refuses(&[("40000", b"a", x)], "E_FSCK");
    // Where no target looks it is refused as well.
    let elsewhere = it.tree(&[("40000", b"deep", it.tree(&[("100644", b".git", x)]))]);
    let root = it.root_with(MANIFEST, &[("40000", b"elsewhere", elsewhere), ("40000", b"files", folder)]);
    it.refuses_commit("elsewhere", it.commit(root), "E_FSCK", 3);
    it.ends(27);
}

#[test]
fn b02_to_b05_names_that_are_not_plain_text_are_refused_and_shown_escaped() {
    let it = Bench::new();
    let names: [&[u8]; 25] = [
        b"git~1",
        b"GIT~1",
        b".git.",
        b".git ",
        b".git::$INDEX_ALLOCATION",
        b"a\nb",
        b"a\rb",
        b"a\tb",
        b"\x01",
        b"a\x7f",
        "a\u{85}b".as_bytes(),
        "a\u{9b}31mb".as_bytes(),
        b"\x1b]0;owned\x07",
        b"\x1b[2J\x1b[31mred",
        b"a\x1b",
        b"\xff",
        b"caf\xe9",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"a\xe2\x80",
        "a\u{202e}txt.exe".as_bytes(),
        "a\u{200b}b".as_bytes(),
        "a\u{2066}b".as_bytes(),
        "\u{feff}a".as_bytes(),
        "a\u{ad}b".as_bytes(),
    ];
    for name in names {
        it.refuses_name(name, "E_PATH");
    }
    let folder = it.tree(&[("100644", b"x", it.blob(b"x"))]);
    it.refuses(&[("40000", b"\x1b[31mfolder", folder)], "E_PATH");
    // Spaces and everything that can be seen are fine.
    let fine = ["  two words ", "-rf", "crème brûlée", "日本語", "❤\u{fe0f}", "*?[x]", "~", "a\\b", "$(id)"];
    let mut fine: Vec<&str> = fine.to_vec();
    fine.sort_unstable();
    let blob = it.blob(b"fine\n");
    it.accepts(&fine.iter().map(|name| ("100644", name.as_bytes(), blob)).collect::<Vec<_>>());
    for name in fine {
        assert_eq!(it.live(name), b"fine\n", "{name}");
    }
    it.ends(27);
}

#[test]
fn b06_b08_b17_b21_names_that_clash_or_are_too_long_or_ours_are_refused() {
    let it = Bench::new();
    let (x, folder) = (it.blob(b"x"), it.tree(&[("100644", b"x", it.blob(b"x"))]));
    let other = it.tree(&[("100644", b"y", x)]);
    for (one, two) in [("README", "readme"), ("cafe\u{301}", "caf\u{e9}"), ("STRASSE", "stra\u{df}e"), ("Σ", "ς")] {
        it.refuses(&[("100644", one.as_bytes(), x), ("100644", two.as_bytes(), x)], "E_PATH_CLASH");
    }
    it.refuses(&[("40000", b"A", folder), ("40000", b"a", other)], "E_PATH_CLASH");
    it.refuses_name(&[b'n'; 256], "E_PATH_LONG");
    it.refuses_name("ü".repeat(128).as_bytes(), "E_PATH_LONG");
    let nested = |depth: usize, name: &[u8]| (0..depth).fold(folder, |inner, _| it.tree(&[("40000", name, inner)]));
    it.refuses(&[("40000", b"d", nested(64, b"d"))], "E_PATH_LONG");
    it.refuses(&[("40000", b"d", nested(17, &[b'd'; 250]))], "E_PATH_LONG");
    it.refuses(&[("40000", b"d", nested(3000, b"d"))], "E_PATH_LONG");
    it.refuses_name(b".headfast-0123456789abcdef", "E_PATH_RESERVED");
    it.refuses_name(b".HeadFast-x", "E_PATH_RESERVED");
    it.refuses(&[("40000", b".headfast-folder", folder)], "E_PATH_RESERVED");
    it.ends(13);
}

#[test]
fn b09_b11_b12_links_submodules_and_modes() {
    let it = Bench::new();
    let x = it.blob(b"x");
    for text in [&b"/etc/passwd"[..], b"..", b"../x", b"a/../../x", b"link", b"", b"a\x1b[31m", b"a\nb", b"\xff"] {
        it.refuses_link(text);
    }
    it.refuses_link(&b"x/".repeat(2500));
    it.refuses_link(&vec![b'x'; 1 << 20]);
    let (one, two) = (it.blob(b"two"), it.blob(b"one"));
    it.refuses(&[("120000", b"one", one), ("120000", b"two", two)], "E_SYMLINK");
    // The text stays inside when it is only read, but the folder that it passes leads up.
    let sub = it.tree(&[("120000", b"up", it.blob(b"../.."))]);
    it.refuses(&[("120000", b"link", it.blob(b"sub/up/x")), ("40000", b"sub", sub)], "E_SYMLINK");
    let gitlink = it.good.get();
    it.refuses(&[("160000", b"module", gitlink)], "E_SUBMODULE");
    it.refuses_commit("files", it.commit(it.root_with(MANIFEST, &[("160000", b"files", gitlink)])), "E_SUBMODULE", 3);
    for mode in ["104755", "102755", "101777", "107777"] {
        it.refuses(&[(mode, b"program", x)], "E_MODE");
    }
    // A relative link inside the target, modes that git once wrote, and a submodule where no target looks.
    let files = it.tree(&[
        ("120000", b"link", it.blob(b"sub/../open")),
        ("100666", b"open", it.blob(b"open\n")),
        ("100664", b"shared", x),
        ("100700", b"tool", x),
    ]);
    let root = it.root_with(MANIFEST, &[("40000", b"files", files), ("160000", b"a-module", gitlink)]);
    // Git sorts `a-module` first.
    let root_sorted = it.root_with(MANIFEST, &[("160000", b"a-module", gitlink), ("40000", b"files", files)]);
    it.refuses_commit("unsorted", it.commit(root), "E_FSCK", 3);
    it.accepts_commit(it.commit(root_sorted));
    let mode =
        |path: &str| fs::symlink_metadata(it.host.path("live").join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("open"), mode("shared"), mode("tool")), (0o644, 0o644, 0o755));
    assert_eq!(fs::read_link(it.host.path("live/link")).unwrap().to_str(), Some("sub/../open"));
    it.ends(21);
}

#[test]
fn b10_a_file_becomes_a_folder_and_a_folder_a_file() {
    let it = Bench::new();
    let (one, two) = (it.blob(b"one\n"), it.blob(b"two\n"));
    let folder = |name: &[u8]| it.tree(&[("100644", name, two)]);
    it.accepts(&[("100644", b"p", one), ("40000", b"q", folder(b"below"))]);
    it.accepts(&[("40000", b"p", folder(b"below")), ("40000", b"q", folder(b"below"))]);
    assert_eq!((it.live("p/below"), it.live("q/below")), (b"two\n".to_vec(), b"two\n".to_vec()));
    // A folder that has something in it makes room in a commit of its own.
    let back = it.commit(it.root(&[("100644", b"p", one), ("40000", b"q", folder(b"below"))]));
    it.refuses_commit("a folder becomes a file", back, "E_TARGET_TYPE", 1);
    it.accepts(&[("40000", b"q", folder(b"below"))]);
    it.accepts(&[("100644", b"p", one), ("40000", b"q", folder(b"below"))]);
    assert_eq!(it.live("p"), b"one\n");
    it.ends(5);
}

#[test]
fn b13_b14_b23_no_attribute_filter_module_pointer_or_replacement_is_obeyed() {
    let it = Bench::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa\
                   5e2ca24d17e2393\nsize 12345\n";
    it.refuses(&[("100644", b"model.bin", it.blob(pointer.as_bytes()))], "E_LFS_POINTER");
    let attributes =
        "* text eol=crlf ident working-tree-encoding=UTF-16 filter=evil export-subst diff=evil\n*.x filter=lfs\n";
    let content = b"$Id$ $Format:%H$\r\nline\n\xff\xfe\0tail";
    let replaced = it.blob(b"the real one\n");
    let entries = [
        ("100644", &b".gitattributes"[..], it.blob(attributes.as_bytes())),
        ("100644", b".gitmodules", it.blob(b"[submodule \"a\"]\n\tpath = a\n\turl = https://example.org/a\n")),
        ("100644", b".lfsconfig", it.blob(b"[lfs]\n\turl = https://example.org/lfs\n")),
        ("100644", b"raw.x", it.blob(content)),
        ("100644", b"real", replaced),
    ];
    let replacement = it.blob(b"another one\n");
    it.remote.reference(&format!("refs/replace/{replaced}"), replacement, true, "a test").unwrap();
    let commit = it.commit(it.root(&entries));
    // A graft, and a replaced commit, that would make the history another one.
    fs::create_dir_all(it.host.path("remote.git/info")).unwrap();
    fs::write(it.host.path("remote.git/info/grafts"), format!("{commit}\n")).unwrap();
    it.accepts_commit(commit);
    assert_eq!(it.live("raw.x"), content);
    assert_eq!(it.live("real"), b"the real one\n");
    assert_eq!(it.live(".gitattributes"), attributes.as_bytes());
    it.ends(2);
}

#[test]
fn b15_p12_more_files_than_the_limit_are_refused_before_they_are_all_looked_at() {
    let it = Bench::new();
    let x = it.blob(b"x");
    let names: Vec<String> = (0..200_001).map(|n| format!("{n:06}")).collect();
    it.refuses(&names.iter().map(|name| ("100644", name.as_bytes(), x)).collect::<Vec<_>>(), "E_TOO_MANY_FILES");
    it.ends(1);
}

/// Ten folders of ten folders of ten …: a handful of objects that are ten thousand million files, or folders alone.
///
/// Each has a host of its own: between two of them `git pack-objects --thin` itself would need for ever.
#[test]
fn b15_p12_a_few_objects_that_are_files_or_folders_without_end_are_refused() {
    for is_of_files in [true, false] {
        let it = Bench::new();
        let names: Vec<String> = (0..10).map(|n| format!("{n}")).collect();
        let all = |mode: &'static str, id: Oid| -> Oid {
            it.tree(&names.iter().map(|name| (mode, name.as_bytes(), id)).collect::<Vec<_>>())
        };
        let leaf = if is_of_files { all("100644", it.blob(b"x")) } else { it.tree(&[]) };
        let bomb = (0..9).fold(leaf, |inner, _| all("40000", inner));
        it.refuses(&[("40000", b"bomb", bomb)], "E_TOO_MANY_FILES");
        it.ends(1);
    }
}

#[test]
fn b18_to_b20_targets_that_overlap_or_are_not_allowed_are_refused() {
    let it = Bench::new();
    let files = it.tree(&[("100644", b"a", it.blob(b"x"))]);
    let refuses = |path: &str, more: &str, code: &str, exit: i32| {
        let manifest = format!("{}{more}", MANIFEST.replace("@LIVE@", path));
        let root = it.root_with(&manifest, &[("40000", b"files", files)]);
        it.refuses_commit(path, it.commit(root), code, exit);
    };
    let second = "  two:\n    path: PATH\n    files: [{copy: files}]\n";
    for path in ["@LIVE@", "@LIVE@/sub", "@LIVE@/sub/../sub"] {
        let code = if path.contains("..") { "E_PATH" } else { "E_TARGET_OVERLAP" };
        refuses("@LIVE@", &second.replace("PATH", path), code, 3);
    }
    for path in ["/srv/elsewhere", "@LIVE@-beside"] {
        refuses(path, "", "E_TARGET_NOT_ALLOWED", 4);
    }
    for path in ["@DIR@", "@DIR@/state", "@DIR@/state/mirror"] {
        refuses(path, "", "E_TARGET_FORBIDDEN", 4);
    }
    for path in ["/", "/proc", "/sys/kernel", "/dev/shm"] {
        let output = MANIFEST.replace("@LIVE@", path);
        let root = it.root_with(&output, &[("40000", b"files", files)]);
        let commit = it.commit(root);
        it.publish(commit);
        it.good.set(commit);
        let before = it.host.snapshot();
        let output = it.host.run(&["sync"]);
        assert!([3, 4].contains(&output.status), "{path}: {output:?}");
        assert!(output.stderr.contains("error[E_TARGET_FORBIDDEN]"), "{path}: {output:?}");
        assert_eq!(it.host.snapshot(), before);
    }
    it.ends(12);
}

#[test]
fn b22_floods_in_commits_are_accepted_or_refused_and_never_reach_a_terminal() {
    let it = Bench::new();
    let raw = |text: &[u8]| it.write(ObjectType::Commit, text);
    let root = |content: &str| it.root(&[("100644", b"a", it.blob(content.as_bytes()))]);
    let head = |content: &str, parents: &str| format!("tree {}\nparent {}\n{parents}", root(content), it.good.get());
    let who = "author Ana <ana@example.org> 1700001000 +0000\ncommitter Ana <ana@example.org> 1700001000 +0000\n";
    let text = |content: &str, who: &str, rest: &str| format!("{}{who}{rest}", head(content, ""));
    let refused: [(&str, String); 8] = [
        ("a huge message", text("1", who, &format!("\n{}", "m".repeat(2 << 20)))),
        ("a header flood", text("1", who, &format!("{}\nm", "x-flood flood\n".repeat(100_000)))),
        ("an overflowing date", text("1", &who.replace("1700001000", "99999999999999999999"), "\nm")),
        ("no committer", text("1", who.split_once('\n').unwrap().0, "\n\nm")),
        ("no address", text("1", &who.replace("<ana@example.org>", "ana"), "\nm")),
        ("two trees", text("1", who, &format!("tree {}\n\nm", root("2")))),
        ("no tree", format!("{who}\nm")),
        ("a bad parent", format!("tree {}\nparent xyz\n{who}\nm", root("1"))),
    ];
    for (what, text) in refused {
        it.refuses_commit(what, raw(text.as_bytes()), "E_COMMIT", 3);
    }
    it.refuses_commit("a NUL", raw(text("1", who, "\nm\0\x1b[31m").as_bytes()), "E_FSCK", 3);
    let parents: String = (0..5000)
        .map(|n| raw(format!("tree {}\n{}\nn", root("1"), who.replace("1700001000", &n.to_string())).as_bytes()))
        .map(|it| format!("parent {it}\n"))
        .collect();
    // Each builds on the one before.
    let accepts = |content: &str, who: &str, rest: &[u8]| {
        it.accepts_commit(raw(&[text(content, who, "").as_bytes(), rest].concat()));
        assert_eq!(it.live("a"), content.as_bytes());
    };
    let long = format!("\n\u{1b}]0;owned\u{7}{}", "long ".repeat(100_000));
    accepts("2", who, long.as_bytes());
    accepts("3", &who.replace("Ana", "\u{1b}[31mAna"), b"encoding \x1b[0m\n\n\xff\xfe\x1b[2J");
    accepts("4", &who.replace("1700001000", "-62135596800"), b"\nbefore the beginning");
    accepts("5", &who.replace("1700001000", "9223372036854775807"), b"\nafter the end");
    accepts("6", &who.replace("+0000", "+9999999"), b"\nfar east");
    it.accepts_commit(raw(format!("{}{who}\nmany parents", head("7", &parents)).as_bytes()));
    assert_eq!(it.live("a"), b"7");
    it.ends(15);
}

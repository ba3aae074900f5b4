//! Compares with git's own blame.

use super::*;
use crate::git::{Asked, Blamed, Checkout};

impl Fixture {
    /// Returns who wrote each line of a file at a commit, as git says it.
    fn git_blame(&self, commit: &str, path: &str) -> Vec<String> {
        let said = self.git(&["blame", "--porcelain", commit, "--", path]);
        let mut ids = Vec::new();
        let mut is_header = true;
        for line in said.lines() {
            if is_header && !line.starts_with('\t') {
                ids.push(line.split(' ').next().expect("an id").to_owned());
            }
            // The text ends what is said about a line.
            is_header = line.starts_with('\t');
        }
        ids
    }

    fn checkout(&self) -> Checkout {
        Checkout::discover(&self.work()).expect("opens").expect("is there")
    }

    /// Returns who wrote each line of a file at a commit, as we say it.
    fn our_blame(&self, commit: &str, path: &str) -> Vec<String> {
        let text = self.git(&["cat-file", "-s", &format!("{commit}:{path}")]);
        let n_lines = self.git(&["show", &format!("{commit}:{path}")]).lines().count();
        let n_lines = if text == "0" { 0 } else { n_lines };
        let asked: Vec<Asked> = (1..=n_lines as u32).map(|line| Asked { path: path.into(), line }).collect();
        let found = self.checkout().blame_at(&ObjectId::new(commit), &asked).expect("reads");
        found.iter().map(shown).collect()
    }

    #[track_caller]
    fn agrees(&self, path: &str) {
        let head = self.head();
        assert_eq!(self.our_blame(head.as_str(), path), self.git_blame(head.as_str(), path), "{path} at {head}");
    }
}

fn shown(blamed: &Blamed) -> String {
    match blamed {
        Blamed::Commit(commit) => commit.id.to_string(),
        other => format!("{other:?}"),
    }
}

fn asked(path: &str, lines: &[u32]) -> Vec<Asked> {
    lines.iter().map(|line| Asked { path: path.into(), line: *line }).collect()
}

#[test]
fn every_line_has_the_commit_that_git_names() {
    let fixture = Fixture::new();
    let path = "config/deep/app.yaml";
    fixture.commit(path, "a: 1\nb: 2\nc: 3\nd: 4\n");
    fixture.commit(path, "a: 1\nnew: 0\nb: 2\nc: 3\nd: 4\n");
    fixture.commit("config/other.yaml", "x: 1\n");
    fixture.commit(path, "a: 1\nnew: 0\nc: 3\nd: 5\n");
    fixture.agrees(path);
    // A merge takes some lines from the one side and some from the other.
    fixture.git(&["checkout", "-q", "-b", "side"]);
    fixture.commit(path, "a: 1\nnew: 0\nc: 3\nd: 5\nside: 1\n");
    fixture.git(&["checkout", "-q", "main"]);
    fixture.commit(path, "a: main\nnew: 0\nc: 3\nd: 5\n");
    fixture.git(&["merge", "-q", "--no-ff", "-m", "merged", "side"]);
    fixture.agrees(path);
    // The other way round, and with a conflict that the merge itself resolved.
    fixture.git(&["checkout", "-q", "-b", "again", "HEAD~1"]);
    fixture.commit(path, "a: again\nnew: 0\nc: 3\nd: 5\n");
    fixture.git(&["merge", "-q", "-s", "ours", "--no-commit", "main"]);
    fixture.commit(path, "a: resolved\nnew: 0\nc: 3\nd: 5\nside: 1\n");
    fixture.agrees(path);
    // Moved lines, no newline at the end, carriage returns, and a file that was written anew.
    fixture.commit(path, "c: 3\nd: 5\nside: 1\na: resolved\nnew: 0");
    fixture.agrees(path);
    fixture.commit(path, "c: 3\r\nd: 5\r\nside: 1\r\na: resolved\r\n");
    fixture.commit(path, "c: 3\r\nd: 6\r\nside: 1\r\na: resolved\r\n");
    fixture.agrees(path);
    fixture.write(path, "\0binary\nd: 6\r\nwhatever\n");
    fixture.commit("config/other.yaml", "x: 2\n");
    fixture.agrees(path);
}

#[test]
fn lines_are_followed_through_a_new_name() {
    let fixture = Fixture::new();
    fixture.commit("config/old.yaml", "a: 1\nb: 2\nc: 3\nd: 4\n");
    fixture.commit("config/old.yaml", "a: 1\nb: two\nc: 3\nd: 4\n");
    fixture.git(&["mv", "config/old.yaml", "new.yaml"]);
    fixture.git(&["commit", "-q", "-m", "moved"]);
    fixture.agrees("new.yaml");
    fixture.git(&["mv", "new.yaml", "newer.yaml"]);
    fixture.commit("newer.yaml", "a: 1\nb: two\nc: 3\nd: changed\n");
    fixture.agrees("newer.yaml");
    fixture.git(&["rm", "-q", "newer.yaml"]);
    fixture.commit("unlike.yaml", "nothing of it\n");
    fixture.agrees("unlike.yaml");
}

/// A random walk of edits over two files and two branches; the numbers come from a fixed seed.
#[test]
fn random_histories_have_the_commits_that_git_names() {
    let fixture = Fixture::new();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    let mut lines: Vec<String> = (0..12).map(|it| format!("line {it}")).collect();
    fixture.commit("d/f", &format!("{}\n", lines.join("\n")));
    fixture.git(&["branch", "side"]);
    for step in 0..70 {
        match random(8) {
            0 => {
                let other = if fixture.git(&["branch", "--show-current"]) == "main" { "side" } else { "main" };
                fixture.git(&["merge", "-q", "-X", "ours", "-m", "merged", other]);
                fixture.git(&["checkout", "-q", other]);
            }
            1 => drop(fixture.commit("d/g", &format!("{step}\n"))),
            _ => {
                let text = std::fs::read_to_string(fixture.work().join("d/f")).expect("reads");
                lines = text.lines().map(str::to_owned).collect();
                let at = random(lines.len());
                match random(3) {
                    0 if lines.len() > 4 => drop(lines.remove(at)),
                    1 => lines.insert(at, format!("inserted {step}")),
                    _ => lines[at] = format!("changed {step}"),
                }
                fixture.commit("d/f", &format!("{}\n", lines.join("\n")));
            }
        }
        if step % 10 == 9 {
            fixture.agrees("d/f");
        }
    }
    fixture.agrees("d/f");
}

#[test]
fn a_mirror_answers_several_questions_at_once() {
    let fixture = Fixture::new();
    let first = fixture.commit("c/a", "1\n2\n");
    let second = fixture.commit("c/b", "1\n");
    let third = fixture.commit("c/a", "1\nzwei\n");
    fixture.commit("unrelated", "x\n");
    fixture.push();
    let mut mirror = fixture.mirror();
    let tip = mirror.fetch(&fixture.remote(), "main").expect("fetches");
    let asked = [
        asked("c/a", &[1, 2, 3, 0]),
        asked("c/b", &[1, 0]),
        asked("c", &[1]),
        asked("c/a/x", &[1]),
        asked("none", &[0]),
        asked("", &[1]),
    ]
    .concat();
    let found: Vec<String> = mirror.blame(&tip, &asked).expect("reads").iter().map(shown).collect();
    let (first, second, third) = (first.as_str(), second.as_str(), third.as_str());
    let absent = "Absent";
    assert_eq!(found, [first, third, absent, third, second, second, absent, absent, absent, absent]);
}

#[test]
fn what_is_not_committed_is_told_apart() {
    let fixture = Fixture::new();
    let head = fixture.commit("d/f", "a\nb\nc\n");
    fixture.write("d/f", "new\na\nb!\nc\n");
    fixture.write("d/untracked", "x\n");
    // The folder may be a part of the repository, and carriage returns may be git's doing.
    let checkout = Checkout::discover(&fixture.work().join("d")).expect("opens").expect("is there");
    let work = |path: &str| std::fs::read(fixture.work().join("d").join(path)).ok();
    let all = [asked("f", &[0, 1, 2, 3, 4, 5]), asked("untracked", &[1]), asked("none", &[1])].concat();
    let found: Vec<String> = checkout.blame(&all, &work).expect("reads").iter().map(shown).collect();
    let (head, new) = (head.as_str(), "Uncommitted");
    assert_eq!(found, [new, new, head, new, head, "Absent", new, "Absent"]);
    fixture.write("d/f", "a\r\nb\r\nc\r\n");
    let found: Vec<String> = checkout.blame(&asked("f", &[0, 2]), &work).expect("reads").iter().map(shown).collect();
    assert_eq!(found, [head, head]);
}

#[test]
fn a_checkout_is_found_from_below_and_read_by_name() {
    let fixture = Fixture::new();
    let head = fixture.commit("d/f", "a\n");
    fixture.git(&["tag", "v1"]);
    let later = fixture.commit("top", "a\n");
    let checkout = Checkout::discover(&fixture.work().join("d")).expect("opens").expect("is there");
    assert_eq!(checkout.head().expect("reads"), Some(later.clone()));
    for (text, expected) in [("v1", &head), ("HEAD~1", &head), ("main", &later), (&later.as_str()[..9], &later)] {
        assert_eq!(&checkout.resolve(text).expect("resolves"), expected, "{text}");
    }
    assert_eq!(code(checkout.resolve("no-such")), Some(Code::NOT_FOUND));
    let mut files = Vec::new();
    read_all(&checkout.tree(&head).expect("reads").expect("has it"), "", &mut files).expect("reads");
    assert_eq!(files, [("f".to_owned(), b"a\n".to_vec())]);
    assert!(checkout.tree(&ObjectId::new(&fixture.git(&["rev-parse", "HEAD~2"]))).expect("reads").is_none());
    assert_eq!(checkout.commit(&head).expect("reads").subject(), "d/f: a");
    // Neither a folder without git, nor one before its first commit, is an error.
    assert!(Checkout::discover(fixture.dir.path()).expect("looks").is_none());
    let empty = Fixture::empty();
    assert_eq!(empty.checkout().head().expect("reads"), None);
    let found = empty.checkout().blame(&asked("f", &[1]), &|_| None).expect("reads");
    assert_eq!(found, [Blamed::Uncommitted]);
}

#[test]
fn a_shallow_clone_says_where_it_ends() {
    let fixture = Fixture::new();
    fixture.commit("f", "a\nb\n");
    fixture.commit("g", "x\n");
    let last = fixture.commit("f", "a\nb\nc\n");
    let url = format!("file://{}", fixture.work().display());
    git(fixture.dir.path(), &["clone", "-q", "--depth", "2", &url, "shallow"]);
    let dir = fixture.dir.path().join("shallow");
    let checkout = Checkout::discover(&dir).expect("opens").expect("is there");
    let work = |path: &str| std::fs::read(dir.join(path)).ok();
    let found: Vec<String> = checkout.blame(&asked("f", &[1, 3]), &work).expect("reads").iter().map(shown).collect();
    assert_eq!(found, ["CutOff", last.as_str()]);
}

/// Returns every file below a folder with its content.
fn snapshot(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut all = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("reads") {
        let path = entry.expect("reads").path();
        match path.is_dir() {
            true => all.extend(snapshot(&path)),
            false => drop(all.insert(path.clone(), std::fs::read(path).expect("reads"))),
        }
    }
    all
}

#[test]
fn a_users_repository_is_never_written_to() {
    let fixture = Fixture::new();
    let head = fixture.commit("d/f", "a\nb\n");
    fixture.write("d/f", "a\nc\n");
    let git_dir = fixture.work().join(".git");
    let before = snapshot(&git_dir);
    let checkout = fixture.checkout();
    checkout.blame(&asked("d/f", &[1, 2]), &|_| Some(b"a\nc\n".to_vec())).expect("reads");
    let tree = checkout.tree(&head).expect("reads").expect("has it");
    assert_eq!(snapshot(&git_dir), before);
    // Damage in it is said, and no note of it is left behind.
    let blob = fixture.git(&["rev-parse", "HEAD:d/f"]);
    let object = git_dir.join("objects").join(&blob[..2]).join(&blob[2..]);
    std::fs::remove_file(&object).expect("removes");
    let checkout = fixture.checkout();
    assert_eq!(code(checkout.blame_at(&head, &asked("d/f", &[1]))), Some(Code::GIT));
    assert!(tree.blob(&ObjectId::new(&blob)).is_err());
    let after = snapshot(&git_dir);
    assert_eq!(after.len() + 1, before.len());
}

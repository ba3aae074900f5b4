//! What is deployed: trees before and after, in one target and in three.

/// How a target is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// Each name is switched.
    InPlace,
    /// A complete tree is made beside the live one, and one link is switched.
    Generations,
}

/// How much of a case is tried when not all of it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Every fault at every call.
    Every,
    /// Every death, and one of the errors at each call, by turns.
    Turns,
    /// Deaths and errors at some of the calls: the others do the same for other files.
    Sampled,
}

/// A tree before and after, spread over targets.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the table calls it.
    pub name: String,
    /// How its targets are published.
    pub publish: Publish,
    /// Whether a check looks at the staged view before the switch.
    pub is_checked: bool,
    /// How much of it fits into a run beside the other tests.
    pub effort: Effort,
    /// The targets, in switching order.
    pub targets: Vec<Target>,
}

/// One target of a case.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Where it is, below the live directory.
    pub path: &'static str,
    /// What is there before; folders are made as needed.
    pub old: Vec<(String, Node)>,
    /// Folders among these that headfast made.
    pub made: Vec<String>,
    /// Files among these that hold a secret.
    pub sensitive: Vec<String>,
    /// What is wanted at each path: a file or link, or nothing.
    pub changes: Vec<(String, Option<Node>)>,
}

/// A file, link or folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its extended attributes of the `user` name space.
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// What a node is, with what it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File(Vec<u8>),
    /// A symbolic link.
    Link(String),
    /// A directory.
    Folder,
}

/// The owner of some of the files: another where that is possible.
fn other_owner() -> (u32, u32) {
    match rustix::process::geteuid().as_raw() {
        0 => (12_345, 23_456),
        uid => (uid, rustix::process::getegid().as_raw()),
    }
}

fn own() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

fn file(content: &str, mode: u32) -> Node {
    let (uid, gid) = own();
    Node { kind: Kind::File(content.as_bytes().to_vec()), mode, uid, gid, attributes: Vec::new() }
}

fn others_file(content: &str, mode: u32) -> Node {
    let (uid, gid) = other_owner();
    Node { uid, gid, ..file(content, mode) }
}

fn tagged(node: Node) -> Node {
    Node { attributes: vec![("user.note".into(), b"someone's".to_vec())], ..node }
}

fn link(text: &str) -> Node {
    Node { kind: Kind::Link(text.to_owned()), ..file("", 0o777) }
}

/// What happens at the `idx`-th file of a target.
#[derive(Clone, Copy)]
enum Turn {
    Replaced,
    CreatedInNewFolders,
    RemovedWithItsFolder,
    GivenAway,
    LinkCreated,
    LinkToFile,
    FileToFolder,
}

impl Turn {
    const ALL: [Turn; 7] = [
        Turn::Replaced,
        Turn::CreatedInNewFolders,
        Turn::RemovedWithItsFolder,
        Turn::GivenAway,
        Turn::LinkCreated,
        Turn::LinkToFile,
        Turn::FileToFolder,
    ];

    fn add(self, target: &mut Target, idx: usize) {
        let at = format!("{}/{idx}", target.path);
        let (old, new) = (format!("old content of {at}\n"), format!("new content, and a little more, of {at}\n"));
        let mut before = |path: String, node: Node| target.old.push((path, node));
        match self {
            Turn::Replaced => {
                before(format!("f{idx}"), tagged(file(&old, 0o644)));
                target.changes.push((format!("f{idx}"), Some(others_file(&new, 0o640))));
            }
            Turn::CreatedInNewFolders => {
                target.changes.push((format!("new{idx}/deep/f"), Some(file(&new, 0o644))));
            }
            Turn::RemovedWithItsFolder => {
                before(format!("made{idx}/f"), tagged(others_file(&old, 0o600)));
                target.made.push(format!("made{idx}"));
                target.changes.push((format!("made{idx}/f"), None));
            }
            Turn::GivenAway => {
                before(format!("given{idx}"), file(&old, 0o755));
                target.changes.push((format!("given{idx}"), Some(others_file(&old, 0o750))));
            }
            Turn::LinkCreated => target.changes.push((format!("link{idx}"), Some(link("f0")))),
            Turn::LinkToFile => {
                before(format!("was-link{idx}"), link("/nowhere"));
                target.changes.push((format!("was-link{idx}"), Some(file(&new, 0o400))));
            }
            Turn::FileToFolder => {
                before(format!("x{idx}"), file(&old, 0o644));
                target.changes.push((format!("x{idx}"), None));
                target.changes.push((format!("x{idx}/inner"), Some(file(&new, 0o644))));
            }
        }
    }
}

fn target(path: &'static str, turns: impl Iterator<Item = Turn>) -> Target {
    let mut target = Target { path, ..Target::default() };
    for (idx, turn) in turns.enumerate() {
        turn.add(&mut target, idx);
    }
    target.changes.sort_by(|a, b| a.0.cmp(&b.0));
    target
}

/// A target in which somebody else has a file too.
fn shared(mut target: Target, publish: Publish) -> Target {
    target.old.push(("others/file".into(), tagged(others_file("not headfast's\n", 0o604))));
    if publish == Publish::Generations {
        // What does not change is a part of the new tree, too.
        target.old.push(("same/secret".into(), file("of the old tree alone\n", 0o600)));
        target.old.push(("same/link".into(), link("secret")));
        target.sensitive.push("same/secret".into());
    }
    target
}

/// Targets by their number; the third does not exist before.
fn targets(publish: Publish, count: usize, turns: impl Fn(usize) -> Vec<Turn>) -> Vec<Target> {
    let paths = ["one", "two", "absent/three"];
    paths
        .iter()
        .take(count)
        .enumerate()
        .map(|(idx, path)| {
            let target = target(path, turns(idx).into_iter());
            if *path == "absent/three" { target } else { shared(target, publish) }
        })
        .collect()
}

fn case(name: &str, publish: Publish, targets: Vec<Target>) -> Case {
    let how = match publish {
        Publish::InPlace => "",
        Publish::Generations => "generations: ",
    };
    Case { name: format!("{how}{name}"), publish, is_checked: false, effort: Effort::Every, targets }
}

/// All cases of a way to publish: 1, 3 and 50 files in 1 and 3 targets.
pub fn all(publish: Publish) -> Vec<Case> {
    let cycle =
        |from: usize, count: usize| -> Vec<Turn> { Turn::ALL.iter().cycle().skip(from).take(count).copied().collect() };
    // What does not exist before can only be created.
    let fresh = |count: usize| -> Vec<Turn> {
        [Turn::CreatedInNewFolders, Turn::LinkCreated].iter().cycle().take(count).copied().collect()
    };
    let one = |turn| targets(publish, 1, |_| vec![turn]);
    let several = |count: usize, from: usize| targets(publish, 1, |_| cycle(from, count));
    let three = |each: usize, from: usize| {
        targets(publish, 3, move |idx| if idx == 2 { fresh(each) } else { cycle(from + each * idx, each) })
    };
    // A new tree takes three times the calls, most of them for what does not change.
    let (often, rarely) = match publish {
        Publish::InPlace => (Effort::Every, Effort::Turns),
        Publish::Generations => (Effort::Turns, Effort::Sampled),
    };
    let with = |effort, case| Case { effort, ..case };
    vec![
        case("1 file, 1 target: replaced", publish, one(Turn::Replaced)),
        with(often, case("1 file, 1 target: made with folders", publish, one(Turn::CreatedInNewFolders))),
        with(often, case("1 file, 1 target: removed with its folder", publish, one(Turn::RemovedWithItsFolder))),
        with(often, case("1 file, 3 targets", publish, three(1, 0))),
        with(often, Case { is_checked: true, ..case("3 files, 1 target: checked", publish, several(3, 0)) }),
        with(often, case("3 files, 1 target: kinds change", publish, several(3, 4))),
        with(rarely, case("3 files, 3 targets", publish, three(3, 2))),
        with(Effort::Sampled, case("50 files, 1 target", publish, several(50, 0))),
        with(Effort::Sampled, case("50 files, 3 targets", publish, three(17, 0))),
    ]
}

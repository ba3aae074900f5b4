use super::*;
use crate::finding::Findings;
use crate::manifest::{Prune, Publish};
use crate::place::Place;
use crate::render::{Content, OutputFile, RenderedTarget, Rendering};

const ROOT: &str = "/srv/app";

/// A target, what was written there, and what is there.
struct World {
    rendering: Rendering,
    ledger: Ledger,
    accounts: Accounts,
    observed: BTreeMap<LivePath, Observation>,
    present: BTreeMap<String, u64>,
    existing_refuse: bool,
    exempt: bool,
}

fn at(path: &str) -> LivePath {
    LivePath { root: ROOT.into(), path: TargetPath::new(path.as_bytes()).unwrap() }
}

fn row(content: &str) -> Recorded {
    Recorded {
        identity: content.into(),
        kind: LiveKind::File,
        digest: format!("keyed {content}"),
        mode: 0o644,
        uid: 0,
        gid: 0,
        sensitive: false,
        stat: Stat::default(),
    }
}

fn live(content: &str) -> LiveEntry {
    LiveEntry {
        kind: LiveKind::File,
        digest: Some(Digest(format!("keyed {content}"))),
        mode: 0o644,
        uid: 0,
        gid: 0,
        stat: Stat::default(),
    }
}

impl World {
    fn new() -> Self {
        let target = RenderedTarget {
            name: "app".into(),
            path: ROOT.into(),
            files: BTreeMap::new(),
            owner: None,
            group: None,
            directory_mode: 0o755,
            publish: Publish::InPlace,
            prune: Prune::Owned,
            ignore: Vec::new(),
            check: Vec::new(),
            reload: Vec::new(),
            probe: Vec::new(),
            drift: None,
            allow_removal: false,
            place: Place::whole("headfast.yaml"),
        };
        World {
            rendering: Rendering { targets: vec![target], digest: Digest(String::new()), released: Vec::new() },
            ledger: Ledger::new(),
            accounts: Accounts::default(),
            observed: BTreeMap::new(),
            present: BTreeMap::new(),
            existing_refuse: false,
            exempt: false,
        }
    }

    fn target(&mut self) -> &mut RenderedTarget {
        &mut self.rendering.targets[0]
    }

    fn wants(mut self, path: &str, content: &str) -> Self {
        let content = match content.strip_prefix("link ") {
            Some(text) => (Content::Link(text.into()), content),
            None => (Content::Bytes(content.as_bytes().into()), content),
        };
        let file = OutputFile {
            content: content.0,
            mode: 0o644,
            owner: None,
            group: None,
            sensitive: content.1.contains("secret"),
            identity: Digest(content.1.into()),
            source: String::new(),
            place: Place::whole("headfast.yaml"),
        };
        self.target().files.insert(at(path).path, file);
        self
    }

    fn wrote(mut self, path: &str, row: Recorded) -> Self {
        self.ledger.insert(at(path), row);
        self
    }

    /// Something is there; `equals_wanted` follows from the contents.
    fn has(mut self, path: &str, entry: LiveEntry) -> Self {
        let wanted = self.target().files.get(&at(path).path).map(|it| format!("keyed {}", it.identity.0));
        let equals_wanted = entry.digest.as_ref().map(|it| it.0.clone()) == wanted
            || matches!(&entry.kind, LiveKind::Link(text) if wanted == Some(format!("keyed link {text}")));
        self.observed.insert(at(path), Observation { live: Some(entry), equals_wanted });
        self
    }

    fn lacks(mut self, path: &str) -> Self {
        self.observed.insert(at(path), Observation { live: None, equals_wanted: false });
        self
    }

    fn holding(mut self, n_files: u64) -> Self {
        self.present.insert(ROOT.into(), n_files);
        self
    }

    fn prune(mut self, prune: Prune) -> Self {
        self.target().prune = prune;
        self
    }

    fn plan(&self) -> (Plan, Vec<String>) {
        let situation = Situation {
            ledger: &self.ledger,
            accounts: &self.accounts,
            observed: &self.observed,
            present: &self.present,
            existing_refuse: self.existing_refuse,
            exempt: self.exempt,
        };
        let mut findings = Findings::new();
        let plan = plan(&self.rendering, &situation, &mut findings);
        (plan, findings.iter().map(|it| format!("{} {}", it.code, it.message)).collect())
    }

    #[track_caller]
    fn gives(&self, expected: &[(&str, Action, Before)]) {
        let (plan, findings) = self.plan();
        assert!(findings.is_empty(), "{findings:?}");
        let found: Vec<_> = plan.operations.iter().map(|it| (it.at.path.as_str(), it.action, it.before)).collect();
        assert_eq!(found, expected);
    }

    #[track_caller]
    fn refuses(&self, expected: &[&str]) {
        assert_eq!(self.plan().1, expected);
    }

    /// A target of `n` files of which the rendering keeps `kept`.
    fn shrinking(n: u32, kept: u32) -> Self {
        let mut world = World::new();
        for idx in 0..n {
            let path = format!("f{idx:05}");
            world = world.wrote(&path, row("x"));
            world = if idx < kept { world.wants(&path, "x") } else { world.has(&path, live("x")) };
        }
        world
    }
}

#[test]
fn what_is_recorded_as_wanted_is_neither_asked_about_nor_touched() {
    let world = World::new().wants("a", "x").wrote("a", row("x"));
    assert!(questions(&world.rendering, &world.ledger, &world.accounts).is_empty());
    world.gives(&[]);
    assert_eq!(world.plan().0.unchanged, 1);
}

#[test]
fn questions_are_about_differences_and_leftovers_only() {
    let mut world = World::new().wants("same", "x").wrote("same", row("x")).wants("new", "x").wants("changed", "y");
    world = world.wrote("changed", row("x")).wrote("gone", row("x")).wants("mode", "x");
    world = world.wrote("mode", Recorded { mode: 0o600, ..row("x") });
    world.ledger.insert(LivePath { root: "/old".into(), ..at("z") }, row("x"));
    let asked = questions(&world.rendering, &world.ledger, &world.accounts);
    let asked: Vec<_> = asked.iter().map(|it| format!("{}/{}", it.root, it.path)).collect();
    assert_eq!(asked, ["/old/z", "/srv/app/changed", "/srv/app/gone", "/srv/app/mode", "/srv/app/new"]);
}

#[test]
fn changed_files_are_replaced_and_say_whether_someone_edited_them() {
    let world = || World::new().wants("a", "new").wrote("a", row("old"));
    world().has("a", live("old")).gives(&[("a", Action::Replace, Before::Clean)]);
    world().has("a", live("edited")).gives(&[("a", Action::Replace, Before::Drifted)]);
    world().has("a", LiveEntry { mode: 0o600, ..live("old") }).gives(&[("a", Action::Replace, Before::Drifted)]);
    world().has("a", LiveEntry { digest: None, ..live("old") }).gives(&[("a", Action::Replace, Before::Clean)]);
    let touched = LiveEntry { digest: None, stat: Stat { ctime_ns: 1, ..Stat::default() }, ..live("old") };
    world().has("a", touched).gives(&[("a", Action::Replace, Before::Drifted)]);
    world().lacks("a").gives(&[("a", Action::Create, Before::Absent)]);
    world().has("a", live("new")).gives(&[("a", Action::Adopt, Before::Drifted)]);
    world().has("a", LiveEntry { uid: 9, ..live("new") }).gives(&[("a", Action::Metadata, Before::Drifted)]);
}

#[test]
fn f12_a_file_that_becomes_empty_is_a_warning() {
    let full = LiveEntry { stat: Stat { size: 5, ..Stat::default() }, ..live("old") };
    let (plan, findings) = World::new().wants("a", "").has("a", full).plan();
    assert_eq!(findings, ["E_EMPTY_FILE `/srv/app/a` becomes empty"]);
    assert_eq!(plan.operations.len(), 1);
    World::new().wants("a", "").has("a", live("old")).gives(&[("a", Action::Replace, Before::Existing)]);
}

#[test]
fn only_metadata_changes_when_the_content_is_right() {
    let world = World::new().wants("a", "x").wrote("a", Recorded { mode: 0o600, ..row("x") });
    world.has("a", LiveEntry { mode: 0o600, ..live("x") }).gives(&[("a", Action::Metadata, Before::Clean)]);
}

#[test]
fn x10_files_found_at_a_first_deployment_are_adopted_or_replaced() {
    let world = || World::new().wants("a", "x");
    world().lacks("a").gives(&[("a", Action::Create, Before::Absent)]);
    world().has("a", live("x")).gives(&[("a", Action::Adopt, Before::Existing)]);
    world().has("a", LiveEntry { gid: 7, ..live("x") }).gives(&[("a", Action::Metadata, Before::Existing)]);
    world().has("a", live("other")).gives(&[("a", Action::Replace, Before::Existing)]);
    let mut strict = world().has("a", live("other"));
    strict.existing_refuse = true;
    strict.refuses(&["E_EXISTING `/srv/app/a` exists, and headfast did not write it"]);
    let mut equal = world().has("a", live("x"));
    equal.existing_refuse = true;
    equal.gives(&[("a", Action::Adopt, Before::Existing)]);
}

#[test]
fn links_have_no_mode_or_owner_but_a_text() {
    let link = |text: &str| LiveEntry { kind: LiveKind::Link(text.into()), digest: None, mode: 0o777, ..live("") };
    let recorded = Recorded { kind: LiveKind::Link("to".into()), mode: 0o777, uid: 5, ..row("link to") };
    World::new().wants("a", "link to").wrote("a", recorded.clone()).gives(&[]);
    World::new().wants("a", "link to").has("a", link("to")).gives(&[("a", Action::Adopt, Before::Existing)]);
    World::new().wants("a", "link to").has("a", link("no")).gives(&[("a", Action::Replace, Before::Existing)]);
    World::new().wants("a", "link to").has("a", live("x")).gives(&[("a", Action::Replace, Before::Existing)]);
    World::new().wants("a", "x").wrote("a", recorded).has("a", link("to")).gives(&[(
        "a",
        Action::Replace,
        Before::Clean,
    )]);
}

#[test]
fn h08_what_is_not_a_file_stands_in_the_way() {
    let entry = |kind| LiveEntry { kind, digest: None, ..live("") };
    World::new()
        .wants("a", "x")
        .has("a", entry(LiveKind::Directory))
        .refuses(&["E_TARGET_TYPE a directory stands at `/srv/app/a`, where a file belongs"]);
    World::new()
        .wants("a", "x")
        .wrote("a", row("y"))
        .has("a", entry(LiveKind::Other))
        .refuses(&["E_TARGET_TYPE a FIFO, socket or device stands at `/srv/app/a`, where a file belongs"]);
}

#[test]
fn j05_files_gone_from_the_repository_are_pruned() {
    let world = || World::new().wants("keep", "x").wrote("keep", row("x")).wrote("a", row("x"));
    let world = || world().holding(2);
    world().has("a", live("x")).gives(&[("a", Action::Remove, Before::Clean)]);
    world().has("a", live("edited")).gives(&[("a", Action::Remove, Before::Drifted)]);
    world().lacks("a").gives(&[("a", Action::Forget, Before::Absent)]);
    world().has("a", live("x")).prune(Prune::Never).gives(&[("a", Action::Forget, Before::Clean)]);
    let mut ignoring = world().has("a", live("x"));
    ignoring.target().ignore = vec!["a".into()];
    ignoring.gives(&[("a", Action::Forget, Before::Clean)]);
    let directory = LiveEntry { kind: LiveKind::Directory, digest: None, ..live("") };
    world().has("a", directory).gives(&[("a", Action::Forget, Before::Drifted)]);
}

#[test]
fn j04_files_that_were_never_ours_stay_unless_prune_is_all() {
    let world = || World::new().wants("keep", "x").wrote("keep", row("x")).has("foreign", live("x"));
    let world = || world().holding(2);
    world().gives(&[]);
    world().prune(Prune::All).gives(&[("foreign", Action::Remove, Before::Existing)]);
    let mut ignoring = world().prune(Prune::All);
    ignoring.target().ignore = vec!["for*".into()];
    ignoring.gives(&[]);
    let fifo = LiveEntry { kind: LiveKind::Other, digest: None, ..live("") };
    World::new().has("fifo", fifo).prune(Prune::All).gives(&[]);
}

#[test]
fn b10_a_file_that_becomes_a_folder_goes_first() {
    let world = World::new().wants("a/b", "x").lacks("a/b").wrote("a", row("x")).has("a", live("x")).holding(1);
    world.gives(&[("a", Action::Remove, Before::Clean), ("a/b", Action::Create, Before::Absent)]);
}

#[test]
fn j06_mass_deletion_is_refused() {
    let removals = |world: &World| {
        let (plan, findings) = world.plan();
        (plan.changes().removed, findings)
    };
    let refused = |message: &str| vec![format!("E_MASS_DELETE {message} files in /srv/app")];
    assert_eq!(removals(&World::shrinking(30, 10)), (20, vec![]));
    assert_eq!(removals(&World::shrinking(30, 9)), (21, refused("this would remove 21 of the 30")));
    assert_eq!(removals(&World::shrinking(100, 70)), (30, vec![]));
    assert_eq!(removals(&World::shrinking(100, 69)), (31, refused("this would remove 31 of the 100")));
    assert_eq!(removals(&World::shrinking(2, 0)), (2, refused("this would remove all 2")));
    let mut shared = World::shrinking(100, 0);
    shared.present.insert(ROOT.into(), 1000);
    assert_eq!(removals(&shared), (100, vec![]));
    let mut allowed = World::shrinking(100, 0);
    allowed.target().allow_removal = true;
    assert_eq!(removals(&allowed), (100, vec![]));
    let mut reverted = World::shrinking(100, 0);
    reverted.exempt = true;
    assert_eq!(removals(&reverted), (100, vec![]));
    let replaced = World::shrinking(2, 0).wants("new", "x").lacks("new");
    assert_eq!(removals(&replaced), (2, vec![]));
}

#[test]
fn j06_a_target_that_vanishes_is_guarded_too() {
    let mut world = World::new();
    world.rendering.targets.clear();
    let old = LivePath { root: "/old".into(), ..at("z") };
    world.ledger.insert(old.clone(), row("x"));
    world.observed.insert(old.clone(), Observation { live: Some(live("x")), equals_wanted: false });
    world.refuses(&["E_MASS_DELETE this would remove all 1 file in /old"]);
    world.rendering.released.push("/old".into());
    let (plan, findings) = world.plan();
    assert!(findings.is_empty());
    assert_eq!((plan.operations[0].target.as_str(), plan.operations[0].action), ("/old", Action::Remove));
    assert_eq!(plan.operations[0].at, old);
}

#[test]
fn h17_a_user_that_the_host_lacks_is_one_finding() {
    let mut world = World::new().wants("a", "x").wants("b", "x").wants("c", "x").lacks("c");
    for (path, owner) in [("a", "nobody-here"), ("b", "nobody-here"), ("c", "33")] {
        world.target().files.get_mut(&at(path).path).unwrap().owner = Some(owner.into());
    }
    let (plan, findings) = world.plan();
    assert_eq!(findings, ["E_OWNER this host has no user `nobody-here`, which `a` needs"]);
    assert_eq!(plan.operations.len(), 1);
    assert_eq!(plan.operations[0].wanted.as_ref().unwrap().uid, 33);
}

#[test]
fn a_path_that_nobody_looked_at_is_not_guessed_about() {
    World::new().wants("a", "x").refuses(&["E_IO `/srv/app/a` was not looked at"]);
}

#[test]
fn changes_are_counted() {
    let world = World::new().wants("new", "x").lacks("new").wants("same", "x").wrote("same", row("x"));
    let world = world.wants("adopted", "x").has("adopted", live("x")).wants("other", "x").has("other", live("y"));
    let changes = world.plan().0.changes();
    assert_eq!(changes, Changes { created: 1, replaced: 1, removed: 0, unchanged: 2 });
}

#[track_caller]
fn shows(world: &World, old: Option<&str>, new: Option<&str>, expected: &str) {
    let (plan, _) = world.plan();
    let bytes = |text: Option<&str>| text.map(|it| it.as_bytes().to_vec());
    let (diffs, _) = diffs(&plan, DiffLimits::default(), &mut |_| Ok(Sides { old: bytes(old), new: bytes(new) }));
    assert_eq!(diffs.iter().map(|it| it.text.as_str()).collect::<String>(), expected);
}

#[test]
fn diffs_are_unified() {
    let world =
        World::new().wants("a", "new").wrote("a", row("old")).has("a", LiveEntry { mode: 0o600, ..live("old") });
    shows(
        &world,
        Some("one\ntwo\n"),
        Some("one\n2"),
        "replace /srv/app/a\nmode 0600 -> 0644\n--- /srv/app/a\n+++ /srv/app/a\n\
        @@ -1,2 +1,2 @@\n one\n-two\n+2\n\\ No newline at end of file\n",
    );
    let world = World::new().wants("a", "new").lacks("a");
    shows(&world, None, Some("x\n"), "create /srv/app/a\n--- /dev/null\n+++ /srv/app/a\n@@ -0,0 +1 @@\n+x\n");
}

#[test]
fn j13_and_j14_binary_and_secret_content_is_not_shown() {
    let world = World::new().wants("a", "new").has("a", live("old"));
    shows(&world, Some("a\0b"), Some("x"), "replace /srv/app/a\nbinary files differ\n");
    shows(
        &world,
        Some("\x1b[31m"),
        Some("x"),
        "replace /srv/app/a\n--- /srv/app/a\n+++ /srv/app/a\n@@ -1 +1 @@\n\
        -\\u{1b}[31m\n\\ No newline at end of file\n+x\n\\ No newline at end of file\n",
    );
    let world = World::new().wants("a", "secret").has("a", live("old"));
    shows(&world, Some("hunter2"), Some("hunter3"), "replace /srv/app/a\ncontent differs (secret)\n");
    // What was secret stays secret when it goes away.
    let mut world = World::new().wrote("a", Recorded { sensitive: true, ..row("x") }).has("a", live("x"));
    world.exempt = true;
    shows(&world, Some("hunter2"), None, "remove /srv/app/a\ncontent differs (secret)\n");
}

#[test]
fn diffs_of_links_and_metadata_need_no_bytes() {
    let link = LiveEntry { kind: LiveKind::Link("old\x07".into()), digest: None, ..live("") };
    let world = World::new().wants("a", "link new").has("a", link);
    shows(&world, None, None, "replace /srv/app/a\nlink to old\\u{7} -> link to new\n");
    let world = World::new().wants("a", "x").has("a", LiveEntry { uid: 1, ..live("x") });
    shows(&world, None, None, "metadata /srv/app/a\nowner 1:0 -> 0:0\n");
}

#[test]
fn j13_long_diffs_are_cut_with_a_count() {
    let new: String = (0..100).map(|it| format!("{it}\n")).collect();
    let limits = DiffLimits { files: 1, lines: 10, bytes: 1000 };
    let text = unified("a", None, Some(new.as_bytes()), false, limits);
    assert_eq!((text.lines().count(), text.lines().last()), (11, Some("... 93 more lines")));
    let text = unified("a", None, Some(&[b'x'; 2000]), false, limits);
    assert_eq!(text, "content differs (0 -> 2000 bytes, too large to compare)\n");
    let world = World::new().wants("a", "x").lacks("a").wants("b", "x").lacks("b");
    let (shown, hidden) = diffs(&world.plan().0, limits, &mut |_| Err("gone\x1b".into()));
    assert_eq!((shown.len(), hidden), (1, 1));
    assert_eq!(shown[0].text, "create /srv/app/a\ncannot be shown: gone\\u{1b}\n");
}

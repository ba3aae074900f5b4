//! What a change of the repository does to a host: one rendering against another, without looking at the host.

use super::Action;
use crate::config::{self, Configuration};
use crate::document::{Map, Node, Value};
use crate::finding::{Code, Finding, Findings};
use crate::manifest::{Prune, ReloadAction, concerns};
use crate::place::Place;
use crate::render::{Content, OutputFile, RenderedTarget, Rendering, TargetPath};
use std::collections::BTreeMap;

/// A revision as a host has it.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// Its files.
    pub rendering: &'a Rendering,
    /// The configurations that they are made from.
    pub configurations: &'a BTreeMap<String, Configuration>,
}

/// What a change does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The files that it writes or removes, by where they are.
    pub files: Vec<FileChange>,
    /// The values that it changes.
    pub keys: Vec<KeyChange>,
    /// What is told about it, in the order in which that is done.
    pub reloads: Vec<ReloadAction>,
}

/// A file that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// The target's name.
    pub target: String,
    /// The target's directory.
    pub root: String,
    /// The path in it.
    pub path: TargetPath,
    /// What is done.
    pub action: Action,
    /// Whether it holds, or held, something that was encrypted.
    pub sensitive: bool,
}

/// A value that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The configuration's name.
    pub configuration: String,
    /// What changes.
    pub change: config::Change,
}

impl Difference {
    /// Returns whether nothing changes at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.keys.is_empty() && self.reloads.is_empty()
    }
}

/// The files of a rendering by where they are on the host, whatever their targets are called.
type Files<'a> = BTreeMap<(&'a str, &'a TargetPath), (&'a RenderedTarget, &'a OutputFile)>;

/// Returns what changes from `old`, which is `None` where nothing was deployed before, to `new`. A file that becomes empty
/// is warned of.
///
/// `equal` says whether a blob of one side and bytes of the other are the same; it is asked about few files.
pub fn compare(
    old: Option<Side<'_>>,
    new: Side<'_>,
    equal: &dyn Fn(&Content, &Content) -> bool,
    findings: &mut Findings,
) -> Difference {
    let (before, after) = (old.map(|it| files_of(it.rendering)).unwrap_or_default(), files_of(new.rendering));
    let mut files = Vec::new();
    for (at, (target, file)) in &after {
        let previous = before.get(at).map(|it| it.1);
        let Some(action) = action(previous, file, equal) else { continue };
        if previous.is_some_and(|it| size(it) != Some(0)) && size(file) == Some(0) {
            let message = format!("`{}/{}` becomes empty", at.0, at.1);
            findings.push(Finding::warning(Code::EMPTY_FILE, message).at(&file.place));
        }
        files.push(change(at, target, action, file.sensitive || previous.is_some_and(|it| it.sensitive)));
    }
    let stays = |root: &str| new.rendering.targets.iter().any(|it| it.path == root && it.prune == Prune::Never);
    for (at, (target, file)) in before.iter().filter(|(at, _)| !after.contains_key(*at) && !stays(at.0)) {
        files.push(change(at, target, Action::Remove, file.sensitive));
    }
    files.sort_by(|a, b| (&a.root, &a.path).cmp(&(&b.root, &b.path)));
    let reloads = reloads(new.rendering, &files);
    Difference { keys: keys(old, new), files, reloads }
}

fn files_of(rendering: &Rendering) -> Files<'_> {
    let files = rendering.targets.iter().flat_map(|it| it.files.iter().map(move |(path, file)| (it, path, file)));
    files.map(|(target, path, file)| ((target.path.as_str(), path), (target, file))).collect()
}

fn change(at: &(&str, &TargetPath), target: &RenderedTarget, action: Action, sensitive: bool) -> FileChange {
    FileChange { target: target.name.clone(), root: at.0.to_owned(), path: at.1.clone(), action, sensitive }
}

/// Returns what is done to a file; `None` when nothing is.
fn action(old: Option<&OutputFile>, new: &OutputFile, equal: &dyn Fn(&Content, &Content) -> bool) -> Option<Action> {
    let Some(old) = old else { return Some(Action::Create) };
    let is_same = match (&old.content, &new.content) {
        (Content::Blob { id: old, .. }, Content::Blob { id: new, .. }) => old == new,
        (Content::Bytes(old), Content::Bytes(new)) => old == new,
        (Content::Link(old), Content::Link(new)) => return (old != new).then_some(Action::Replace),
        (Content::Link(_), _) | (_, Content::Link(_)) => false,
        (old, new) => equal(old, new),
    };
    let is_owned_alike = (old.mode, &old.owner, &old.group) == (new.mode, &new.owner, &new.group);
    match (is_same, is_owned_alike) {
        (false, _) => Some(Action::Replace),
        (true, false) => Some(Action::Metadata),
        (true, true) => None,
    }
}

/// Returns the size of a file; `None` for a link.
fn size(file: &OutputFile) -> Option<u64> {
    match &file.content {
        Content::Blob { size, .. } => Some(*size),
        Content::Bytes(bytes) => Some(bytes.len() as u64),
        Content::Link(_) => None,
    }
}

fn reloads(new: &Rendering, files: &[FileChange]) -> Vec<ReloadAction> {
    let mut reloads = Vec::new();
    for target in &new.targets {
        let changed: Vec<&str> = files.iter().filter(|it| it.root == target.path).map(|it| it.path.as_str()).collect();
        for reload in &target.reload {
            let when: Vec<String> = reload.when.iter().map(|it| it.value.clone()).collect();
            if concerns(&when, &changed) && !reloads.contains(&reload.action) {
                reloads.push(reload.action.clone());
            }
        }
    }
    reloads
}

fn keys(old: Option<Side<'_>>, new: Side<'_>) -> Vec<KeyChange> {
    let empty = Node::new(Value::Map(Map::new()), Place::whole(""));
    let old: BTreeMap<&String, &Configuration> = old.into_iter().flat_map(|it| it.configurations).collect();
    let gone = old.keys().copied().filter(|it| !new.configurations.contains_key(*it));
    let mut names: Vec<&String> = new.configurations.keys().chain(gone).collect();
    names.sort();
    let mut keys = Vec::new();
    for name in names {
        let (old, new) = (old.get(name).copied(), new.configurations.get(name));
        let (old, new) = (old.map_or(&empty, |it| &it.merged), new.map_or(&empty, |it| &it.merged));
        let changes = config::difference(old, new);
        keys.extend(changes.into_iter().map(|change| KeyChange { configuration: name.clone(), change }));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layer;
    use crate::config::testing::{secret_at, tree};
    use crate::manifest::{Located, Publish, Reload};
    use crate::render::Digest;
    use crate::revision::ObjectId;
    use serde_json::json;
    use std::time::Duration;

    fn file(content: Content) -> OutputFile {
        OutputFile {
            content,
            mode: 0o644,
            owner: None,
            group: None,
            sensitive: false,
            identity: Digest(String::new()),
            source: String::new(),
            place: Place::whole("headfast.yaml"),
        }
    }

    fn bytes(text: &str) -> OutputFile {
        file(Content::Bytes(text.as_bytes().into()))
    }

    fn blob(id: &str, size: u64) -> OutputFile {
        file(Content::Blob { id: ObjectId::new(id), size })
    }

    fn link(text: &str) -> OutputFile {
        file(Content::Link(text.to_owned()))
    }

    fn rendering(files: Vec<(&str, OutputFile)>, prune: Prune) -> Rendering {
        let unit = ReloadAction::Unit { unit: "a.service".into(), verb: "restart".into() };
        let when = |it: &str| vec![Located { value: it.to_owned(), place: Place::whole("headfast.yaml") }];
        let reload = |when| Reload {
            action: unit.clone(),
            when,
            within: Duration::from_secs(1),
            place: Place::whole("headfast.yaml"),
        };
        let target = RenderedTarget {
            name: "app".into(),
            path: "/srv".into(),
            files: files.into_iter().map(|(it, file)| (TargetPath::recorded(it).expect("a path"), file)).collect(),
            owner: None,
            group: None,
            directory_mode: 0o755,
            publish: Publish::InPlace,
            prune,
            ignore: Vec::new(),
            check: Vec::new(),
            reload: vec![reload(when("*.conf")), reload(when("a*"))],
            probe: Vec::new(),
            drift: None,
            allow_removal: false,
            place: Place::whole("headfast.yaml"),
        };
        Rendering { targets: vec![target], digest: Digest(String::new()), released: Vec::new() }
    }

    /// Returns lines `action path`, then the number of reloads and the warnings.
    fn changes(old: Vec<(&str, OutputFile)>, new: Vec<(&str, OutputFile)>, prune: Prune) -> Vec<String> {
        let (old, new, none) = (rendering(old, Prune::Owned), rendering(new, prune), BTreeMap::new());
        let side = |rendering| Side { rendering, configurations: &none };
        let equal = |old: &Content, new: &Content| {
            let text = |it: &Content| match it {
                Content::Blob { id, .. } => id.as_str().as_bytes().to_vec(),
                Content::Bytes(bytes) => bytes.to_vec(),
                Content::Link(_) => Vec::new(),
            };
            text(old) == text(new)
        };
        let mut findings = Findings::new();
        let difference = compare(Some(side(&old)), side(&new), &equal, &mut findings);
        let files = difference.files.iter().map(|it| format!("{} {}", it.action.as_str(), it.path));
        let reloads = difference.reloads.iter().map(|_| "restart".to_owned());
        files.chain(reloads).chain(findings.iter().map(|it| it.message.clone())).collect()
    }

    #[test]
    fn files_are_compared_by_what_they_hold() {
        let one = || bytes("one");
        let check = |old, new, expected: &[&str]| assert_eq!(changes(old, new, Prune::Owned), expected);
        check(vec![("b", one())], vec![("b", one())], &[]);
        check(vec![("b", one())], vec![("b", bytes("two"))], &["replace b"]);
        check(vec![("b", blob("one", 3))], vec![("b", one())], &[]);
        check(vec![("b", blob("one", 3))], vec![("b", blob("two", 3))], &["replace b"]);
        check(vec![("b", blob("one", 3))], vec![("b", bytes("two"))], &["replace b"]);
        check(vec![("b", link("x"))], vec![("b", link("x"))], &[]);
        check(vec![("b", link("x"))], vec![("b", link("y"))], &["replace b"]);
        check(vec![("b", link("x"))], vec![("b", bytes("x"))], &["replace b"]);
        check(vec![("b", one())], vec![("b", OutputFile { mode: 0o600, ..one() })], &["metadata b"]);
        check(vec![("c", one())], vec![("b", one())], &["create b", "remove c"]);
        assert_eq!(changes(vec![("c", one())], vec![], Prune::Never), Vec::<String>::new());
    }

    #[test]
    fn a_reload_is_told_once_and_only_when_it_is_concerned() {
        let new = vec![("a.conf", bytes("x")), ("b.conf", bytes("x")), ("c", bytes("x"))];
        assert_eq!(changes(vec![], new, Prune::Owned), ["create a.conf", "create b.conf", "create c", "restart"]);
        assert_eq!(changes(vec![("a.conf", bytes("x"))], vec![], Prune::Owned), ["remove a.conf", "restart"]);
    }

    #[test]
    fn f12_a_file_that_becomes_empty_is_a_warning_once() {
        let check = |old, new, expected: &[&str]| {
            assert_eq!(changes(vec![("b", old)], vec![("b", new)], Prune::Owned), expected);
        };
        check(bytes("x"), bytes(""), &["replace b", "`/srv/b` becomes empty"]);
        check(blob("x", 1), blob("y", 0), &["replace b", "`/srv/b` becomes empty"]);
        check(blob("", 0), bytes(""), &[]);
    }

    #[test]
    fn x05_a_secret_that_changes_is_told_without_its_value() {
        let configuration = |password: &str| {
            let node = secret_at(tree("app.yaml", json!({"password": password, "port": 1})), "password");
            let layers = vec![Layer::new("app.yaml", node)];
            let made = Configuration::assemble("app", "production", layers, None, &|_| None, &mut Findings::new());
            BTreeMap::from([("app".to_owned(), made)])
        };
        let (old, new, files) = (configuration("one"), configuration("two"), rendering(vec![], Prune::Owned));
        let side = |configurations| Side { rendering: &files, configurations };
        let keys = compare(Some(side(&old)), side(&new), &|_, _| true, &mut Findings::new()).keys;
        let keys: Vec<String> = keys.iter().map(|it| format!("{:?}", it.change)).collect();
        assert_eq!(keys.len(), 1, "{keys:?}");
        assert!(keys[0].contains("<redacted>") && !keys[0].contains("one") && !keys[0].contains("two"), "{keys:?}");
        // Where nothing was, all of it is new.
        let keys = compare(None, side(&new), &|_, _| true, &mut Findings::new()).keys;
        assert_eq!(keys.iter().map(|it| it.change.path.as_str()).collect::<Vec<_>>(), ["password", "port"]);
    }
}

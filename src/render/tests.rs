use super::*;
use crate::document::{Entry, Format, Map, Value};
use crate::finding::Severity;
use crate::finding::{Code, Finding};
use crate::manifest::{Located, Manifest, Output, OutputKind, Override, PathTemplate, Selector, Target};
use crate::revision::{EntryKind, MemoryTree};

/// A repository, a manifest of one target, and a host.
struct World {
    tree: MemoryTree,
    target: Target,
    facts: Facts,
    variables: BTreeMap<String, String>,
    configurations: BTreeMap<String, Values>,
    limits: Limits,
}

fn located<T>(value: T, line: u32) -> Located<T> {
    Located { value, place: Place::new(&Arc::from("headfast.yaml"), line, 1) }
}

/// Makes a tree of values; text that starts with `SECRET` is secret.
fn node(json: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let place = Place::whole("app.yaml");
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(it) => Value::Bool(*it),
        Json::Number(it) => it.as_i64().map_or_else(|| Value::Float(it.as_f64().unwrap()), |it| Value::Int(it.into())),
        Json::String(it) => Value::String(it.clone()),
        Json::Array(items) => Value::List(items.iter().map(node).collect()),
        Json::Object(items) => {
            let mut map = Map::new();
            for (key, it) in items {
                map.insert(Entry { key: key.clone(), place: place.clone(), node: node(it) });
            }
            Value::Map(map)
        }
    };
    let secret = json.as_str().is_some_and(|it| it.starts_with("SECRET"));
    Node { value, place, secret }
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        World {
            tree: MemoryTree::new(files.iter().copied()),
            target: Target {
                name: "app".into(),
                path: located("/srv/app".into(), 2),
                on: Selector::default(),
                environments: None,
                files: Vec::new(),
                owner: None,
                group: None,
                mode: None,
                overrides: Vec::new(),
                publish: Publish::InPlace,
                prune: Prune::Owned,
                ignore: Vec::new(),
                check: Vec::new(),
                reload: Vec::new(),
                probe: Vec::new(),
                after: Vec::new(),
                drift: None,
                place: located((), 2).place,
            },
            facts: Facts {
                host: "web-1".into(),
                labels: BTreeMap::from([("role".into(), "web".into())]),
                environment: "production".into(),
                variables: BTreeMap::new(),
            },
            variables: BTreeMap::new(),
            configurations: BTreeMap::new(),
            limits: Limits::default(),
        }
    }

    fn output(mut self, kind: OutputKind, to: Option<&str>) -> Self {
        let line = 10 + u32::try_from(self.target.files.len()).unwrap();
        let to = to.map(|it| located(it.to_owned(), line));
        self.target.files.push(Output { kind, to, place: located((), line).place });
        self
    }

    fn copy(self, source: &str, to: Option<&str>) -> Self {
        let source = located(PathTemplate(source.into()), 10);
        self.output(OutputKind::Copy { source }, to)
    }

    fn template(self, source: &str, configuration: Option<&str>) -> Self {
        let source = located(PathTemplate(source.into()), 10);
        let configuration = configuration.map(|it| located(it.to_owned(), 10));
        self.output(OutputKind::Template { source, configuration }, None)
    }

    fn write(self, file: &str, select: Option<&str>) -> Self {
        let format = Format::of_path(file).unwrap();
        let kind = OutputKind::Write {
            file: located(file.to_owned(), 10),
            configuration: located("app".to_owned(), 10),
            select: select.map(|it| located(it.to_owned(), 10)),
            format,
        };
        self.output(kind, None)
    }

    fn config(mut self, json: serde_json::Value) -> Self {
        let values = Values {
            node: node(&json).into(),
            inputs: vec!["config/app.yaml".into()],
            sealed: vec![ObjectId::new("5ea1ed")],
        };
        self.configurations.insert("app".into(), values);
        self
    }

    fn executable(mut self, path: &str, text: &str) -> Self {
        self.tree.insert(path, EntryKind::File { executable: true }, text.as_bytes());
        self
    }

    fn link(mut self, path: &str, text: &str) -> Self {
        self.tree.insert(path, EntryKind::Link, text.as_bytes());
        self
    }

    fn mode(mut self, mode: u32) -> Self {
        self.target.mode = Some(mode);
        self
    }

    fn exception(mut self, matches: &str, mode: Option<u32>, owner: Option<&str>) -> Self {
        let owner = owner.map(|it| located(it.to_owned(), 5));
        self.target.overrides.push(Override { matches: located(matches.into(), 5), owner, group: None, mode });
        self
    }

    fn run(&self) -> (Option<Rendering>, Findings) {
        let open = |_: &str, bytes: &[u8], findings: &mut Findings| match bytes {
            _ if bytes.starts_with(b"broken") => {
                findings.push(Finding::error(Code::SOPS_MAC, "altered"));
                Opened::Failed
            }
            _ if bytes.starts_with(b"sealed") => Opened::Secret(b"plaintext".to_vec()),
            _ => Opened::Plain,
        };
        let revision = |paths: &[String]| format!("last change of {}", paths.join(" "));
        let scene = Scene {
            tree: &self.tree,
            facts: &self.facts,
            variables: &self.variables,
            configurations: &self.configurations,
            open: &open,
            revision: &revision,
            limits: self.limits,
            on_use: None,
        };
        let manifest = Manifest {
            environments: BTreeMap::new(),
            configurations: BTreeMap::new(),
            policies: Vec::new(),
            hosts: BTreeMap::new(),
            targets: Vec::new(),
            allow_removal: Vec::new(),
        };
        let mut findings = Findings::new();
        let rendering = render(&[&self.target], &manifest, &scene, &mut findings);
        (rendering, findings)
    }

    #[track_caller]
    fn rendered(&self) -> RenderedTarget {
        let (rendering, findings) = self.run();
        assert!(findings.is_empty(), "{:?}", list(&findings));
        rendering.unwrap().targets.remove(0)
    }

    /// Renders one template `t/x.j2` and returns its text.
    #[track_caller]
    fn text(&self) -> String {
        text(&self.rendered(), "x")
    }

    #[track_caller]
    fn refused(&self, expected: &[&str]) {
        let (rendering, findings) = self.run();
        assert_eq!(list(&findings), expected);
        assert!(rendering.is_none());
    }
}

fn list(findings: &Findings) -> Vec<String> {
    let line = |it: &Finding| {
        let place = it.place.as_ref().map(|it| format!("{it} ")).unwrap_or_default();
        let severity = if it.severity == Severity::Error { "" } else { "warning " };
        let hint = it.hint.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
        format!("{place}{severity}{} {}{hint}", it.code, it.message)
    };
    findings.iter().map(line).collect()
}

fn file<'a>(target: &'a RenderedTarget, path: &str) -> &'a OutputFile {
    target.files.get(&TargetPath::new(path.as_bytes()).unwrap()).unwrap_or_else(|| panic!("no {path}"))
}

#[track_caller]
fn text(target: &RenderedTarget, path: &str) -> String {
    match &file(target, path).content {
        Content::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn template(source: &str) -> World {
    World::new(&[("t/x.j2", source)]).template("t", Some("app")).config(serde_json::json!({
        "server": {"port": 8080, "name": "a b", "tls": true, "none": null, "ratio": 1.5, "hosts": ["a", "b"]},
        "password": "SECRET-hunter2",
        "users": [{"name": "ana", "key": "SECRET-ana"}],
    }))
}

mod copies;
mod inject;
mod outputs;
mod secrets;
mod templates;

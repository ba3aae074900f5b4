use super::*;
use crate::document::{self, Format, MergeKeys};
use crate::finding::{Finding, Severity};
use crate::place::Place;
use crate::render::{Content, RenderedTarget, TargetPath};
use crate::revision::{EntryKind, MemoryTree};
use std::sync::Arc;

/// A repository and a host.
struct World {
    tree: MemoryTree,
    facts: Facts,
    secrets: SecretManager,
    remotes: Box<dyn Remotes>,
    targets: Option<Node>,
}

impl World {
    /// Reads a repository from text: each file starts with a line `//- PATH`.
    fn new(fixture: &str) -> Self {
        let files = fixture.split("//- ").skip(1).map(|it| it.split_once('\n').expect("a path and a text"));
        World {
            tree: MemoryTree::new(files),
            facts: Facts {
                host: "web-1".into(),
                labels: BTreeMap::from([("role".into(), "web".into())]),
                environment: "production".into(),
                variables: BTreeMap::new(),
            },
            secrets: SecretManager::default(),
            remotes: Box::new(NoRemotes),
            targets: None,
        }
    }

    /// A repository with a manifest of one environment and, below it, what `rest` says.
    fn manifest(rest: &str, files: &str) -> Self {
        let head = "version: 1\nenvironments:\n  production: {type: production, variables: {domain: example.org}}\n";
        World::new(&format!("//- headfast.yaml\n{head}{rest}\n{files}"))
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.facts.variables.insert(name.into(), value.into());
        self
    }

    fn agent_targets(mut self, text: &str) -> Self {
        let mut findings = Findings::new();
        let file = Arc::from("/etc/headfast/agent.yaml");
        let limits = document::Limits::default();
        self.targets = document::parse(Format::Yaml, &file, text.as_bytes(), &limits, MergeKeys::Refuse, &mut findings);
        assert!(findings.is_empty());
        self
    }

    fn run(&self) -> (Option<Rendered>, Findings) {
        let revision = |paths: &[String]| format!("[{}]", paths.join(" "));
        let inputs = Inputs {
            tree: &self.tree,
            facts: &self.facts,
            secrets: &self.secrets,
            remotes: self.remotes.as_ref(),
            targets: self.targets.as_ref(),
            revision: &revision,
            on_phase: &|_| {},
        };
        let mut findings = Findings::new();
        let rendered = render(&inputs, &mut findings);
        (rendered, findings)
    }

    #[track_caller]
    fn rendered(&self) -> Rendered {
        let (rendered, findings) = self.run();
        assert_eq!(list(&findings), Vec::<String>::new());
        rendered.unwrap()
    }

    /// Returns the paths and texts of the only target's files.
    #[track_caller]
    fn files(&self) -> Vec<(String, String)> {
        let rendered = self.rendered();
        rendered.rendering.targets.iter().flat_map(|it| self.texts(it)).collect()
    }

    fn texts(&self, target: &RenderedTarget) -> Vec<(String, String)> {
        let text = |content: &Content| match content {
            Content::Blob { id, .. } => String::from_utf8(self.tree.blob(id).unwrap()).unwrap(),
            Content::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Content::Link(text) => format!("-> {text}"),
        };
        target.files.iter().map(|(path, file)| (path.to_string(), text(&file.content))).collect()
    }

    #[track_caller]
    fn refused(&self, expected: &[&str]) {
        let (rendered, findings) = self.run();
        assert_eq!(list(&findings), expected);
        assert!(rendered.is_none());
        assert!(findings.iter().all(|it| it.environment.as_deref() == Some("production")));
    }
}

/// One line a finding: `place code message (hint) | the line's text`.
fn list(findings: &Findings) -> Vec<String> {
    let line = |it: &Finding| {
        let place = it.place.as_ref().map(Place::to_string).unwrap_or_default();
        let severity = if it.severity == Severity::Error { "" } else { "warning " };
        let hint = it.hint.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
        let text = it.line_text.as_ref().map(|it| format!(" | {}", it.trim())).unwrap_or_default();
        format!("{place} {severity}{} {}{hint}{text}", it.code, it.message)
    };
    findings.iter().map(line).collect()
}

mod bad;
mod good;
mod remote;
mod secret;
mod why;

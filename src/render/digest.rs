//! Digests of what a rendering holds.

use super::{Content, Digest, OutputFile, RenderedTarget};
use crate::document::{Node, Value};
use crate::manifest::{Check, Located, Probe, ProbeKind, Prune, Publish, Reload, ReloadAction};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// SHA-256 over parts that cannot run into each other: each is preceded by its length.
pub(crate) struct Hasher(Sha256);

impl Hasher {
    /// Starts a digest whose meaning is `domain`; digests of different domains never meet.
    pub(crate) fn new(domain: &str) -> Self {
        let mut hasher = Hasher(Sha256::new());
        hasher.text(domain);
        hasher
    }

    /// Adds bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// Adds text.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    /// Adds a text that may be absent.
    pub(crate) fn optional(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        self.text(text.unwrap_or_default());
    }

    /// Adds texts and their number.
    pub(crate) fn texts<'a>(&mut self, texts: impl ExactSizeIterator<Item = &'a str>) {
        self.number(texts.len() as u64);
        texts.for_each(|it| self.text(it));
    }

    /// Adds a tree of values in which every secret one counts only as being secret.
    pub(crate) fn redacted(&mut self, node: &Node) {
        if node.secret {
            return self.text("secret");
        }
        match &node.value {
            Value::List(items) => {
                self.text("list");
                self.number(items.len() as u64);
                items.iter().for_each(|it| self.redacted(it));
            }
            Value::Map(map) => {
                self.text("map");
                self.number(map.len() as u64);
                for entry in map.iter() {
                    self.text(&entry.key);
                    self.redacted(&entry.node);
                }
            }
            Value::String(text) => {
                self.text("string");
                self.text(text);
            }
            scalar => {
                self.text("scalar");
                self.text(&format!("{scalar:?}"));
            }
        }
    }

    /// Returns the digest.
    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Returns the identity of a rendered file that may be compared by anyone: the digest of its bytes.
pub(super) fn of_bytes(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new("bytes");
    hasher.bytes(bytes);
    hasher.finish()
}

/// Returns the identity of a link.
pub(super) fn of_link(text: &str) -> Digest {
    let mut hasher = Hasher::new("link");
    hasher.text(text);
    hasher.finish()
}

/// Returns the digest of a whole rendering.
///
/// It covers what a host would see and do; places, sources and the sizes of blobs are left out, since they do not change
/// what is deployed.
pub(super) fn of_rendering(targets: &[RenderedTarget]) -> Digest {
    let mut hasher = Hasher::new("rendering 1");
    hasher.number(targets.len() as u64);
    targets.iter().for_each(|it| add_target(&mut hasher, it));
    hasher.finish()
}

fn add_target(hasher: &mut Hasher, target: &RenderedTarget) {
    hasher.text(&target.name);
    hasher.text(&target.path);
    hasher.optional(target.owner.as_deref());
    hasher.optional(target.group.as_deref());
    hasher.number(u64::from(target.directory_mode));
    hasher.text(match target.publish {
        Publish::InPlace => "in-place",
        Publish::Generations => "generations",
    });
    hasher.text(match target.prune {
        Prune::Owned => "owned",
        Prune::All => "all",
        Prune::Never => "never",
    });
    hasher.texts(target.ignore.iter().map(String::as_str));
    hasher.number(target.files.len() as u64);
    for (path, file) in &target.files {
        hasher.text(path.as_str());
        add_file(hasher, file);
    }
    hasher.number(target.check.len() as u64);
    target.check.iter().for_each(|it| add_check(hasher, it));
    hasher.number(target.reload.len() as u64);
    target.reload.iter().for_each(|it| add_reload(hasher, it));
    hasher.number(target.probe.len() as u64);
    target.probe.iter().for_each(|it| add_probe(hasher, it));
}

fn add_file(hasher: &mut Hasher, file: &OutputFile) {
    match &file.content {
        Content::Link(text) => {
            hasher.text("link");
            hasher.text(text);
        }
        Content::Blob { .. } | Content::Bytes(_) => {
            hasher.text("file");
            hasher.number(u64::from(file.mode));
        }
    }
    hasher.text(&file.identity.0);
    hasher.optional(file.owner.as_deref());
    hasher.optional(file.group.as_deref());
    hasher.number(u64::from(file.sensitive));
}

fn add_check(hasher: &mut Hasher, check: &Check) {
    add_command(hasher, &check.command);
    add_when(hasher, &check.when, check.within);
}

fn add_reload(hasher: &mut Hasher, reload: &Reload) {
    match &reload.action {
        ReloadAction::Unit { unit, verb } => {
            hasher.text("unit");
            hasher.text(unit);
            hasher.text(verb);
        }
        ReloadAction::Command(command) => add_command(hasher, command),
    }
    add_when(hasher, &reload.when, reload.within);
}

fn add_probe(hasher: &mut Hasher, probe: &Probe) {
    match &probe.kind {
        ProbeKind::Http { url, expect } => {
            hasher.text("http");
            hasher.text(url);
            hasher.number(u64::from(*expect));
        }
        ProbeKind::Tcp(address) => {
            hasher.text("tcp");
            hasher.text(address);
        }
        ProbeKind::Command(command) => add_command(hasher, command),
        ProbeKind::Unit(unit) => {
            hasher.text("unit");
            hasher.text(unit);
        }
    }
    add_when(hasher, &[], probe.within);
    hasher.number(u64::try_from(probe.settle.as_millis()).unwrap_or(u64::MAX));
}

fn add_command(hasher: &mut Hasher, command: &[String]) {
    hasher.text("command");
    hasher.texts(command.iter().map(String::as_str));
}

fn add_when(hasher: &mut Hasher, when: &[Located<String>], within: Duration) {
    hasher.texts(when.iter().map(|it| it.value.as_str()));
    hasher.number(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
}

//! From the entries of the manifest to the files of a rendering.

use super::copy::{self, Leaf};
use super::scope::{self, Scope};
use super::target::{Builder, Draft};
use super::template::{Engine, Tank};
use super::{Content, Digest, Rendering, Scene, TargetPath, Values, digest, join, shown, write};
use crate::document::Format;
use crate::finding::{Code, Finding, Findings};
use crate::manifest::{Located, Manifest, Output, OutputKind, PathTemplate, Target};
use crate::place::Place;
use crate::revision::EntryKind;
use std::collections::BTreeSet;

/// The suffix of templates.
const TEMPLATE_SUFFIX: &str = ".j2";

/// Renders `targets`, the ones of `manifest` that the host selects, in their order.
///
/// `None` when there was an error; all of them are in `findings`.
pub fn render(targets: &[&Target], manifest: &Manifest, scene: &Scene, findings: &mut Findings) -> Option<Rendering> {
    let n_errors = findings.n_errors();
    warn_of_clashes(targets, scene, findings);
    let mut room = Room { tank: Tank(scene.limits.fuel_total), bytes: scene.limits.rendered_bytes, is_full: false };
    let mut rendered = Vec::new();
    for target in targets {
        let Some(mut builder) = Builder::new(target, scene.limits, findings) else { continue };
        for output in &target.files {
            Entry { scene, output, findings, builder: &mut builder, room: &mut room }.render();
        }
        let allow_removal = manifest.allow_removal.iter().any(|it| it.value == target.name);
        rendered.push(builder.finish(allow_removal, findings));
    }
    if findings.n_errors() > n_errors {
        return None;
    }
    let digest = digest::of_rendering(&rendered);
    Some(Rendering { targets: rendered, digest, released: released(manifest) })
}

/// Returns the directories that `allow_removal` names, by target or, for a target that is gone, by its path.
fn released(manifest: &Manifest) -> Vec<String> {
    let path = |name: &str| match manifest.targets.iter().find(|it| it.name == name) {
        Some(target) => Some(target.path.value.clone()),
        None => name.starts_with('/').then(|| name.to_owned()),
    };
    manifest.allow_removal.iter().filter_map(|it| path(&it.value)).collect()
}

fn warn_of_clashes(targets: &[&Target], scene: &Scene, findings: &mut Findings) {
    let used: BTreeSet<&str> = targets
        .iter()
        .flat_map(|it| &it.files)
        .filter_map(|it| match &it.kind {
            OutputKind::Template { configuration, .. } => configuration.as_ref().map(|it| it.value.as_str()),
            _ => None,
        })
        .collect();
    for name in used {
        if let Some(values) = scene.configurations.get(name) {
            scope::warn_of_clashes(name, values, scene.variables, findings);
        }
    }
}

/// What is left of the limits that hold for a rendering as a whole.
struct Room {
    tank: Tank,
    bytes: usize,
    is_full: bool,
}

/// One entry of a target's `files` on its way to files.
struct Entry<'a, 'b> {
    scene: &'a Scene<'a>,
    output: &'a Output,
    findings: &'b mut Findings,
    builder: &'b mut Builder<'a>,
    room: &'b mut Room,
}

impl<'a> Entry<'a, '_> {
    fn render(mut self) {
        match &self.output.kind {
            OutputKind::Copy { source } => self.copy(source),
            OutputKind::Template { source, configuration } => self.template(source, configuration.as_ref()),
            OutputKind::Write { file, configuration, select, format } => {
                self.write(file, configuration, select.as_ref(), *format);
            }
        }
    }

    fn copy(&mut self, source: &Located<PathTemplate>) {
        let (Some(source), Some(folder)) = (self.source(source), self.folder()) else { return };
        for leaf in self.leaves(&source) {
            if let Some(path) = self.path_of(&folder, &leaf, false)
                && let Some(draft) = copy::copy(self.scene, &leaf, &self.output.place, self.findings)
            {
                self.builder.add(path, draft, &self.output.place, self.findings);
            }
        }
    }

    fn template(&mut self, source: &Located<PathTemplate>, configuration: Option<&Located<String>>) {
        let values = match configuration.map(|it| self.scene.configurations.get(&it.value)) {
            // The configuration could not be made, and a finding says so already.
            Some(None) => return,
            Some(Some(values)) => Some(values),
            None => None,
        };
        let (Some(source), Some(folder)) = (self.source(source), self.folder()) else { return };
        let leaves = self.leaves(&source);
        let engine = self.engine(&source, &leaves, values);
        for leaf in &leaves {
            let is_template = leaf.relative.is_empty() || leaf.relative.ends_with(TEMPLATE_SUFFIX);
            let Some(path) = self.path_of(&folder, leaf, is_template) else { continue };
            let draft = match leaf.kind {
                EntryKind::File { executable } if is_template => self.render_template(&engine, leaf, executable, &path),
                _ => copy::copy(self.scene, leaf, &self.output.place, self.findings),
            };
            if let Some(draft) = draft {
                self.builder.add(path, draft, &self.output.place, self.findings);
            }
        }
    }

    /// Returns the engine of the entry's templates, which look for includes in the folder that they are in.
    fn engine(&self, source: &str, leaves: &[Leaf], values: Option<&'a Values>) -> Engine<'a> {
        let is_single = leaves.first().is_some_and(|it| it.relative.is_empty());
        let root = if is_single { source.rsplit_once('/').map_or("", |(folder, _)| folder) } else { source };
        let scene = self.scene;
        let scope = Scope::new(scene.facts, scene.variables, values, scene.on_use.is_some());
        let inputs = values.map_or(&[][..], |it| &it.inputs);
        Engine::new(scene.tree, root, scope, inputs, scene.revision, scene.limits)
    }

    fn render_template(&mut self, engine: &Engine, leaf: &Leaf, executable: bool, path: &TargetPath) -> Option<Draft> {
        if self.room.is_full {
            return None;
        }
        let text = copy::template_text(self.scene, leaf, &self.output.place, self.findings)?;
        let path = format!("{}/{path}", self.builder.root());
        let output = engine.render(&leaf.source, &text, &path, &mut self.room.tank, self.findings);
        if self.room.tank.0 == 0 {
            self.room.is_full = true;
            let message = "the templates of this rendering together run for too long";
            self.findings.push(Finding::error(Code::RENDER_FUEL, message).at(&self.output.place));
        }
        let output = output?;
        if let Some(on_use) = self.scene.on_use {
            on_use(&self.output.place, &leaf.source, engine.uses(&leaf.source));
        }
        let identity = output.secret.clone().unwrap_or_else(|| digest::of_bytes(&output.bytes));
        self.draft(output.bytes, executable, output.secret.is_some(), identity, &leaf.source)
    }

    fn write(
        &mut self,
        file: &Located<String>,
        configuration: &Located<String>,
        select: Option<&Located<String>>,
        format: Format,
    ) {
        let Some(values) = self.scene.configurations.get(&configuration.value) else { return };
        let Some(folder) = self.folder() else { return };
        let Some(path) = self.path(&join(&folder, relative(&file.value)), &file.place) else { return };
        let Some(written) = write::write(values, configuration, select, format, self.findings) else { return };
        let draft = self.draft(written.bytes, false, written.sensitive, written.identity, &configuration.value);
        if let Some(draft) = draft {
            self.builder.add(path, draft, &self.output.place, self.findings);
        }
    }

    /// Returns a rendered file, when there is room for its bytes.
    fn draft(
        &mut self,
        bytes: Vec<u8>,
        executable: bool,
        sensitive: bool,
        identity: Digest,
        source: &str,
    ) -> Option<Draft> {
        match self.room.bytes.checked_sub(bytes.len()) {
            Some(left) => self.room.bytes = left,
            None => {
                if !std::mem::replace(&mut self.room.is_full, true) {
                    let limit = self.scene.limits.rendered_bytes >> 20;
                    let message = format!("the rendered files together are larger than {limit} MiB");
                    self.findings.push(Finding::error(Code::RENDER_SIZE, message).at(&self.output.place));
                }
                return None;
            }
        }
        Some(Draft {
            content: Content::Bytes(bytes.into()),
            executable,
            sensitive,
            identity,
            source: source.to_owned(),
        })
    }

    /// Returns a source's path in the repository.
    fn source(&mut self, source: &Located<PathTemplate>) -> Option<String> {
        let text = match source.value.expand(self.scene.facts, None) {
            Ok(text) => text,
            Err(name) => {
                let message = format!("the path `{}` uses `{name}`, which is not known here", source.value.0);
                self.findings.push(Finding::error(Code::REFERENCE, message).at(&source.place));
                return None;
            }
        };
        let path = relative(&text);
        if path.is_empty() {
            return Some(String::new());
        }
        if path.split('/').any(|it| matches!(it, "" | "." | "..")) || path.contains(char::is_control) {
            let message = format!("the source `{}` is not a path inside the repository", shown(text.as_bytes()));
            self.findings.push(Finding::error(Code::PATH, message).at(&source.place));
            return None;
        }
        Some(path.to_owned())
    }

    /// Returns the files under `source`, and says so when they are too many for the target.
    fn leaves(&mut self, source: &str) -> Vec<Leaf> {
        let place = &self.output.place;
        let room = self.builder.room();
        let found = copy::leaves(self.scene, source, place, room, self.findings).unwrap_or_default();
        if found.is_too_much {
            self.builder.overflow(place, self.findings);
            return Vec::new();
        }
        found.all
    }

    /// Returns the folder in the target that `to` names.
    fn folder(&mut self) -> Option<String> {
        let Some(to) = &self.output.to else { return Some(String::new()) };
        match relative(&to.value) {
            "" => Some(String::new()),
            folder => self.path(folder, &to.place).map(|it| it.as_str().to_owned()),
        }
    }

    /// Returns where a leaf goes: below the folder that `to` names, or, for a single file, to that name.
    fn path_of(&mut self, folder: &str, leaf: &Leaf, is_template: bool) -> Option<TargetPath> {
        let is_single = leaf.relative.is_empty();
        let names_file = !folder.is_empty() && self.output.to.as_ref().is_some_and(|it| !it.value.ends_with('/'));
        if is_single && names_file {
            return self.path(folder, &self.output.place);
        }
        let name = if is_single { leaf.source.rsplit('/').next().unwrap_or_default() } else { &leaf.relative };
        let name = if is_template { name.strip_suffix(TEMPLATE_SUFFIX).unwrap_or(name) } else { name };
        self.path(&join(folder, name), &self.output.place)
    }

    fn path(&mut self, text: &str, place: &Place) -> Option<TargetPath> {
        match TargetPath::new(text.as_bytes()) {
            Ok(path) => Some(path),
            Err(problem) => {
                self.findings.push(Finding::error(problem.code, problem.to_string()).at(place));
                None
            }
        }
    }
}

/// Takes away what a person may write around a relative path: `./` before it and `/` after it; `.` is the empty path.
fn relative(path: &str) -> &str {
    let path = if path.starts_with('/') { path } else { path.trim_end_matches('/') };
    let path = path.strip_prefix("./").unwrap_or(path);
    if path == "." { "" } else { path }
}

//! Where the values of an output come from: one target is rendered, and what went into one of its files is told.

mod values;

use super::{Inputs, Memory, documents, load, needs, texts};
use crate::config::{ConfigurationManager, Loaded};
use crate::finding::{Code, Finding, Findings, nearest};
use crate::manifest::{MANIFEST, Manifest, OutputKind, Publish, Target};
use crate::place::Place;
use crate::render::{Limits, OutputFile, RenderedTarget, Scene, Uses};
use std::cell::RefCell;
use std::collections::BTreeMap;
use values::Teller;

/// Where the files of a target are that is published by generations.
const CURRENT: &str = "current/";

/// Where a file of a target, and the values in it, come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The target's name.
    pub target: String,
    /// The path in the target.
    pub path: String,
    /// The absolute path on the host.
    pub live: String,
    /// The entry of the manifest that asks for the file.
    pub entry: Place,
    /// What the file is made from.
    pub source: Source,
    /// Whether it holds something that was encrypted.
    pub sensitive: bool,
    /// What its template used, when it is rendered.
    pub uses: Option<Uses>,
    /// The value that was asked for.
    pub asked: Option<ExplainedValue>,
    /// The values in the file, or those below the one that was asked for.
    pub values: Vec<ExplainedValue>,
}

/// What a file is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of the repository, verbatim.
    Copied(String),
    /// A template.
    Rendered {
        /// Its path.
        template: String,
        /// The configuration that it sees.
        configuration: Option<String>,
    },
    /// A configuration, or a part of it.
    Written {
        /// Its name.
        configuration: String,
        /// The part.
        select: Option<String>,
    },
}

/// A value, and all that had a say in it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedValue {
    /// The configuration; `None` for a variable and for a value of a copied file.
    pub configuration: Option<String>,
    /// Its dotted path there.
    pub key: String,
    /// The value as it is shown to people; a secret is redacted.
    pub shown: String,
    /// The value; null when it is secret.
    pub json: serde_json::Value,
    /// Every layer that sets it: the one that wins first, then from the highest to the lowest.
    pub origins: Vec<LayerOrigin>,
    /// The variables that it went through.
    pub references: Vec<ReferenceUse>,
}

/// A layer that sets a value.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerOrigin {
    /// The layer's name.
    pub layer: String,
    /// Where in it.
    pub place: Place,
    /// The line whose last change is the value's: that of `place`, or for a remote layer the manifest's with its digest.
    pub changed_at: Place,
    /// Whether it is this layer's value that counts.
    pub wins: bool,
    /// Its value as it is shown to people, before variables are substituted; a secret is redacted.
    pub shown: String,
    /// Which migrations the layer's document went through, in words.
    pub migrated: Option<String>,
}

/// A variable that a value went through.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceUse {
    /// Its name.
    pub name: String,
    /// Its value as it is shown to people; `None` when it is not set, so that a default counts.
    pub shown: Option<String>,
    /// Where it is set.
    pub place: Option<Place>,
}

/// Explains `what`: `TARGET/FILE`, or the file's absolute path on the host, and perhaps `:KEY`.
///
/// Only the target that is asked about is loaded and rendered. `None` when that cannot be done, or there is no such file or
/// key; `findings` say why.
pub fn explain(inputs: &Inputs, what: &str, findings: &mut Findings) -> Option<Explanation> {
    let mut found = Findings::new();
    let manifest = load::manifest(inputs, &Memory::default(), &mut found);
    let explanation = manifest.as_deref().and_then(|it| steps(it, inputs, what, &mut found));
    let mut found = found.distinct();
    texts::attach(inputs.tree, manifest.as_deref(), inputs.remotes, &mut found);
    found.in_environment(&inputs.facts.environment);
    findings.extend(found);
    explanation
}

fn steps(manifest: &Manifest, inputs: &Inputs, what: &str, findings: &mut Findings) -> Option<Explanation> {
    let (target, rest) = target_of(manifest, inputs, what, findings)?;
    let manager = ConfigurationManager::new(inputs.tree, manifest, inputs.facts, inputs.secrets);
    let manager = manager.with_remotes(inputs.remotes);
    let mut loaded = BTreeMap::new();
    for name in needs::configurations(&[target]).into_iter().filter(|it| manifest.configurations.contains_key(*it)) {
        loaded.insert(name.to_owned(), manager.load(name, findings));
    }
    let variables = manifest.variables_for(inputs.facts);
    let used: RefCell<Vec<(Place, String, Uses)>> = RefCell::default();
    let rendered = render(inputs, manifest, target, &loaded, &variables, &used, findings)?;
    let (path, file, key) = file_of(&rendered, rest, findings)?;
    let output = target.files.iter().find(|it| it.place == file.place)?;
    let uses = used.into_inner().into_iter().find(|it| it.0 == file.place && it.1 == file.source).map(|it| it.2);
    let source = match &output.kind {
        OutputKind::Write { configuration, select, .. } => Source::Written {
            configuration: configuration.value.clone(),
            select: select.as_ref().map(|it| it.value.clone()),
        },
        OutputKind::Template { configuration, .. } if uses.is_some() => Source::Rendered {
            template: file.source.clone(),
            configuration: configuration.as_ref().map(|it| it.value.clone()),
        },
        _ => Source::Copied(file.source.clone()),
    };
    let teller = Teller { inputs, manifest, loaded: &loaded, variables: &variables };
    let (asked, values) = match (&source, key) {
        (Source::Copied(path), Some(key)) => teller.of_copy(path, file, key, findings)?,
        (Source::Copied(_), None) => (None, Vec::new()),
        (Source::Written { configuration, select }, key) => {
            teller.of_part(configuration, select.as_deref().unwrap_or_default(), key, findings)?
        }
        (Source::Rendered { configuration, .. }, Some(key)) => {
            teller.of_name(configuration.as_deref(), key, findings)?
        }
        (Source::Rendered { configuration, .. }, None) => {
            (None, teller.of_uses(configuration.as_deref(), uses.as_ref()?))
        }
    };
    Some(Explanation {
        target: target.name.clone(),
        path: path.to_owned(),
        live: match target.publish {
            Publish::InPlace => format!("{}/{path}", target.path.value),
            Publish::Generations => format!("{}/{CURRENT}{path}", target.path.value),
        },
        entry: file.place.clone(),
        source,
        sensitive: file.sensitive,
        uses,
        asked,
        values,
    })
}

fn render(
    inputs: &Inputs,
    manifest: &Manifest,
    target: &Target,
    loaded: &BTreeMap<String, Loaded>,
    variables: &BTreeMap<String, String>,
    used: &RefCell<Vec<(Place, String, Uses)>>,
    findings: &mut Findings,
) -> Option<RenderedTarget> {
    let scene = Scene {
        tree: inputs.tree,
        facts: inputs.facts,
        variables,
        configurations: &loaded.iter().filter_map(|(name, it)| Some((name.clone(), super::values(it)?))).collect(),
        open: &|path, bytes, findings| documents::open_copy(inputs.secrets, path, bytes, findings),
        revision: inputs.revision,
        limits: Limits::default(),
        on_use: Some(&|entry, template, uses| used.borrow_mut().push((entry.clone(), template.to_owned(), uses))),
    };
    let rendering = crate::render::render(&[target], manifest, &scene, findings)?;
    rendering.targets.into_iter().next()
}

/// Finds the target that `what` begins with, by its name or by its directory, and returns the rest.
fn target_of<'a, 'b>(
    manifest: &'a Manifest,
    inputs: &Inputs,
    what: &'b str,
    findings: &mut Findings,
) -> Option<(&'a Target, &'b str)> {
    let below = |it: &Target| Some(what.strip_prefix(it.path.value.as_str())?.strip_prefix('/')?.len());
    let (name, rest) = what.split_once('/').unwrap_or((what, ""));
    let is_path = what.starts_with('/');
    let is_meant = |it: &&Target| if is_path { below(it).is_some() } else { it.name == name };
    let here = manifest.targets.iter().filter(|it| it.is_for(inputs.facts)).filter(is_meant);
    // The longest directory leaves the shortest rest.
    if let Some(target) = here.min_by_key(|it| below(it)) {
        let rest = if is_path { &what[what.len() - below(target)?..] } else { rest };
        let is_linked = is_path && target.publish == Publish::Generations;
        let rest = rest.strip_prefix(CURRENT).filter(|_| is_linked).unwrap_or(rest);
        return Some((target, rest));
    }
    let (host, environment) = (&inputs.facts.host, &inputs.facts.environment);
    let missing = |message: String| Finding::error(Code::NOT_FOUND, message);
    findings.push(match manifest.targets.iter().find(is_meant) {
        Some(other) => missing(format!("`{host}` in `{environment}` does not have the target `{}`", other.name))
            .at(&other.place)
            .hint("name a host that `on` and `environments` let have it"),
        None => {
            let names = || manifest.targets.iter().map(|it| it.name.as_str());
            let message = match is_path {
                true => format!("no target's directory holds `{what}`"),
                false => format!("there is no target `{name}`"),
            };
            let hint = match nearest(name, names()) {
                Some(near) if !is_path => format!("did you mean `{near}`?"),
                _ => format!("the targets are {}", listed(names())),
            };
            missing(message).at(&Place::whole(MANIFEST)).hint(hint)
        }
    });
    None
}

/// Splits `rest` into a file that exists and a key: at the last colon that leaves one.
fn file_of<'a, 'b>(
    target: &'a RenderedTarget,
    rest: &'b str,
    findings: &mut Findings,
) -> Option<(&'a str, &'a OutputFile, Option<&'b str>)> {
    let colons = rest.rmatch_indices(':').map(|it| it.0);
    let splits = std::iter::once((rest, None)).chain(colons.map(|at| (&rest[..at], Some(&rest[at + 1..]))));
    for (path, key) in splits {
        if let Some((path, file)) = target.files.iter().find(|it| it.0.as_str() == path) {
            return Some((path.as_str(), file, key.filter(|it| !it.is_empty())));
        }
    }
    let wanted = rest.split(':').next().unwrap_or(rest);
    let message = format!("the target `{}` has no file `{wanted}`", target.name);
    let finding = Finding::error(Code::NOT_FOUND, message).at(&target.place);
    findings.push(match nearest(wanted, target.files.keys().map(|it| it.as_str())) {
        Some(near) => finding.hint(format!("did you mean `{near}`?")),
        None => finding.hint("`headfast render` shows which files it has"),
    });
    None
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

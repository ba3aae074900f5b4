//! `set`: one value of a configuration, in the layer that it belongs into, and nothing else changed.

use super::checkout::Checkout;
use super::exit::{Exit, Failure};
use super::scene::{Place, PlaceArgs, key};
use super::ui::Ui;
use crate::config::{Configuration, Layer, difference, owner, value_of};
use crate::document::{self, Format, KeyPath, Limits, MergeKeys, Node, Value, edit};
use crate::finding::{Code, Finding, Findings, Severity};
use crate::folder::replace;
use crate::manifest::LayerSource;
use crate::plan::{self, DiffLimits};
use crate::render::escaped;
use crate::revision::{EntryKind, Overlay};
use crate::secrets;
use crate::wire;
use std::sync::Arc;

/// Change one value of a configuration in its file, and nothing else in it
///
/// The value is written into the layer whose value counts now; a new key goes into the last layer that is a file. Comments,
/// order, quotes and line ends stay. Refused is what would not count, what is encrypted, what is written elsewhere through
/// an alias, and what the schema refuses.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The key, as in `server.port`, `users.0.name` or `"a.b".c`
    #[arg(value_name = "KEY")]
    key: String,
    /// The value, of the type that the schema wants; without a schema as in YAML: `5`, `true`, `[a, b]`, or text
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,
    /// The layer to write into: one of the configuration's files
    #[arg(long, value_name = "FILE")]
    layer: Option<String>,
    /// Take the value for text, whatever it looks like
    #[arg(long)]
    string: bool,
    /// Show the change of the file as a diff, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A file with the value in it.
struct Edited {
    layer: String,
    old: Option<Vec<u8>>,
    new: Vec<u8>,
}

impl Edited {
    fn is_change(&self) -> bool {
        self.old.as_ref() != Some(&self.new)
    }

    fn diff(&self) -> String {
        plan::unified(&self.layer, self.old.as_deref(), Some(&self.new), false, DiffLimits::default())
    }
}

/// Sets the value.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let key = key(&args.key)?;
    if key.steps().is_empty() {
        return Err(Failure::usage("say which key is to be set, as in `server.port`"));
    }
    let place = args.place.open()?;
    let mut before = Findings::new();
    let Some(old) = place.load(place.checkout.tree(), &mut before) else { return Err(Failure::Findings(before)) };
    let value = match args.string {
        true => Value::String(args.value.clone()),
        false => value_of(&old, key.steps(), &args.value).map_err(Failure::new)?,
    };
    let layer = layer(args, &place, &old, &key)?;
    let edited = edited(&place.checkout, layer, &key, &value)?;
    if let Some(finding) = renamed(&old, &edited, &key) {
        return Err(Failure::new(finding));
    }
    let new = judged(&place, &edited, &before, &key, &value)?;
    if edited.is_change() && !args.dry_run {
        replace(&args.place.repo.join(&edited.layer), edited.old.as_deref(), &edited.new).map_err(Failure::new)?;
    }
    said(args, ui, &edited, &key, (&old, &new))
}

/// Returns the file that the value goes into.
fn layer(args: &Args, place: &Place, configuration: &Configuration, key: &KeyPath) -> Result<String, Failure> {
    let is_sealed = |it: &str| is_sealed(&place.checkout, it);
    let Some(layer) = &args.layer else {
        return owner(configuration, key.steps(), &is_sealed).map(str::to_owned).map_err(Failure::new);
    };
    let spec = place.manifest.configurations.get(&place.name);
    let version = spec.and_then(|it| it.schema_version.of(&place.facts.environment));
    let files = spec.iter().flat_map(|it| &it.layers).filter_map(|it| match &it.source {
        LayerSource::File { path, .. } => path.expand(&place.facts, version).ok(),
        LayerSource::Variables { .. } | LayerSource::Remote(_) => None,
    });
    let files: Vec<String> = files.collect();
    if layer.contains("://") {
        let message = format!("{layer:?} is not in this repository");
        return Err(Failure::new(refusal(message).hint("change it there, and write its new digest into the manifest")));
    }
    if !files.contains(layer) {
        let message = format!("{layer:?} is no file among the layers of `{}`", place.name);
        return Err(Failure::new(refusal(message).hint(format!("its files are {}", files.join(", ")))));
    }
    match is_sealed(layer) {
        true => Err(Failure::new(refusal(format!("`{layer}` is encrypted")).hint("change it with `sops edit`"))),
        false => Ok(layer.clone()),
    }
}

fn refusal(message: String) -> Finding {
    Finding::error(Code::SET, message)
}

fn read(checkout: &Checkout, path: &str) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |error: crate::revision::ReadError| Failure::new(Finding::error(Code::IO, error.to_string()));
    match checkout.tree().find(path).map_err(failed)? {
        Some(entry) if matches!(entry.kind, EntryKind::File { .. }) => {
            checkout.tree().blob(&entry.id).map(Some).map_err(failed)
        }
        Some(_) => Err(Failure::new(refusal(format!("`{path}` is not a regular file")))),
        None => Ok(None),
    }
}

/// A file that cannot be read is taken for an encrypted one: it is not written.
fn is_sealed(checkout: &Checkout, path: &str) -> bool {
    read(checkout, path).map_or(true, |it| it.is_some_and(|it| secrets::is_sops_text(&it, Format::of_path(path))))
}

fn edited(checkout: &Checkout, layer: String, key: &KeyPath, value: &Value) -> Result<Edited, Failure> {
    let old = read(checkout, &layer)?;
    let Some(format) = Format::of_path(&layer) else {
        return Err(Failure::new(refusal(format!("the extension of `{layer}` does not tell its format"))));
    };
    let text = old.as_deref().unwrap_or_default();
    let new = edit::set(format, &Arc::from(layer.as_str()), text, key.steps(), value).map_err(Failure::new)?;
    Ok(Edited { layer, old, new })
}

/// Returns why a key cannot be set that a migration moves: in the file it has another name.
fn renamed(old: &Configuration, edited: &Edited, key: &KeyPath) -> Option<Finding> {
    let layer = old.layers.iter().find(|it| it.name == edited.layer && it.migrated.is_some())?;
    let (file, limits) = (Arc::from(edited.layer.as_str()), Limits::default());
    let (format, text) = (Format::of_path(&edited.layer)?, edited.old.as_deref()?);
    let written = document::parse(format, &file, text, &limits, MergeKeys::Apply, &mut Findings::new())?;
    let is_there = |it: &Node| it.at(key.steps()).is_some();
    (is_there(&written) != is_there(&layer.node)).then(|| other_name(layer, key))
}

fn other_name(layer: &Layer, key: &KeyPath) -> Finding {
    let note = layer.migrated.as_deref().unwrap_or("is migrated");
    let message = format!("`{key}` has another name in `{}`, which {note}", layer.name);
    refusal(message).hint("change the file with an editor, or bring it to the newest version first")
}

/// Loads the configuration with the changed file, and refuses the change when its value does not count or is wrong.
fn judged(
    place: &Place,
    edited: &Edited,
    before: &Findings,
    key: &KeyPath,
    value: &Value,
) -> Result<Configuration, Failure> {
    let overlay = Overlay::new(place.checkout.tree(), &edited.layer, &edited.new);
    let mut after = Findings::new();
    let new = place.load(&overlay, &mut after);
    // The places move with the text.
    let is_known = |it: &Finding| {
        before.iter().any(|old| (old.code, &old.message, &old.pointer) == (it.code, &it.message, &it.pointer))
    };
    let fresh: Findings = after.into_iter().filter(|it| it.severity == Severity::Error && !is_known(it)).collect();
    if fresh.has_errors() {
        return Err(Failure::Findings(fresh));
    }
    let Some(new) = new else { return Err(Failure::Findings(before.clone())) };
    match hiding(&new, &edited.layer, key, value) {
        None => Ok(new),
        Some(finding) => Err(Failure::new(finding)),
    }
}

/// Returns why a value that stands in a layer would not count.
fn hiding(configuration: &Configuration, name: &str, key: &KeyPath, value: &Value) -> Option<Finding> {
    let layer: Option<&Layer> = configuration.layers.iter().find(|it| it.name == name);
    let wanted = Node::new(value.clone(), configuration.merged.place.clone());
    let is_text_only = matches!(Format::of_path(name), Some(Format::Env | Format::Ini));
    let stands = layer.and_then(|it| it.node.at(key.steps()));
    if !stands.is_some_and(|it| is_text_only || it.to_json() == wanted.to_json()) {
        return Some(match layer {
            Some(layer) => other_name(layer, key),
            None => refusal(format!("`{name}` is no layer of this environment")),
        });
    }
    let origins = configuration.origins_at(key.steps());
    let winner = origins.iter().find(|it| it.wins);
    if winner.is_some_and(|it| it.layer == name) {
        return None;
    }
    let above = winner.map_or("a layer above it", |it| it.layer);
    let finding = refusal(format!("`{key}` of `{name}` would not count: `{above}` wins"));
    Some(match winner {
        Some(winner) if above.contains("://") => {
            finding.at(winner.place).hint("change it there, and write its new digest into the manifest")
        }
        Some(winner) => {
            finding.at(winner.place).hint(format!("name the layer with `--layer {above}`, or remove it there"))
        }
        None => finding,
    })
}

fn said(
    args: &Args,
    ui: &Ui,
    edited: &Edited,
    key: &KeyPath,
    (old, new): (&Configuration, &Configuration),
) -> Result<Exit, Failure> {
    let origins = new.origins_at(key.steps());
    let line = origins.iter().find(|it| it.wins).map_or(0, |it| it.place.line);
    if args.json {
        ui.json(&wire::ConfigurationSet {
            version: wire::VERSION,
            configuration: new.name.clone(),
            key: key.to_string(),
            layer: edited.layer.clone(),
            line,
            changed: edited.is_change(),
            diff: args.dry_run.then(|| if edited.is_change() { edited.diff() } else { String::new() }),
        })?;
    } else if args.dry_run && edited.is_change() {
        super::plan::unified(ui, &edited.diff())?;
    } else {
        let what = if edited.is_change() { "set" } else { "stands already" };
        ui.print(format_args!("{}:{line}: `{}` {what}", escaped(&edited.layer), escaped(&key.to_string())))?;
    }
    let own = key.steps().join(".");
    let is_other = |it: &&str| !(own.starts_with(it) || it.starts_with(&own));
    let changes = difference(&old.merged, &new.merged);
    for path in changes.iter().map(|it| it.path.as_str()).filter(is_other) {
        ui.note(&format!("`{path}` changes with it, through an alias"));
    }
    Ok(Exit::Done)
}

//! A folder of configurations, for programs that read their settings as headfast does and have no config repository.
//!
//! `NAME.yaml` (or `.yml .json .toml .ini .env`) is the base of the configuration `NAME`, `environments/ENVIRONMENT/NAME.*`
//! lies above it, variables that begin with `NAME_` above both; `schemas/NAME.json` or `.yaml` is what it is held against.

mod file;
mod report;
mod save;

pub(crate) use file::replace;
pub use report::Report;

use crate::config::{self, Configuration};
use crate::document::{self, Format, KeyPath, Limits, MergeKeys, Value, edit};
use crate::finding::{Code, Finding, Findings, Severity};
use crate::git::{self, WorkTree};
use crate::manifest::{self, Facts, Manifest};
use crate::pipeline;
use crate::place::Place;
use crate::remote::RemoteStore;
use crate::revision::{EntryKind, Overlay, Tree, TreeEntry};
use crate::secrets::{self, SecretManager};
use crate::settings::{AgeSources, Surroundings};
use chrono::Utc;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The variable that names the environment.
const ENVIRONMENT: &str = "ENVIRONMENT";
/// The environment where no variable names one.
const DEFAULT_ENVIRONMENT: &str = "development";
/// What places say of the sources that a program names.
const SOURCES: &str = "sources";
/// The layer of a configuration that has none, for a manifest must name one: `.git` is no part of a tree.
const ABSENT: &str = ".git/none.yaml?";
/// The extensions of schemas.
const SCHEMAS: [&str; 3] = ["json", "yaml", "yml"];

/// A folder of configurations, and those that were loaded from it.
#[derive(Debug)]
pub struct ConfigurationFolder {
    dir: PathBuf,
    facts: Facts,
    secrets: SecretManager,
    remotes: RemoteStore,
    loaded: BTreeMap<String, Loaded>,
}

#[derive(Debug)]
struct Loaded {
    /// The sources that were named; those that are found, when none were.
    sources: Option<Vec<String>>,
    configuration: Configuration,
}

impl ConfigurationFolder {
    /// Opens a folder, which is made when it does not exist, in the environment that the variable `ENVIRONMENT` names, or
    /// `development`. What cannot be the name of a folder there is refused.
    ///
    /// References and sources see the variables of the process; the identities for SOPS files come from `SOPS_AGE_KEY` and
    /// `SOPS_AGE_KEY_FILE`, and none are needed where no file is encrypted.
    pub fn open(dir: &Path) -> Result<ConfigurationFolder, Finding> {
        Self::open_in(dir, &Surroundings::of_process())
    }

    /// Does the same with the variables of `around`.
    pub fn open_in(dir: &Path, around: &Surroundings) -> Result<ConfigurationFolder, Finding> {
        fs::create_dir_all(dir).map_err(|it| file::failed("make", dir, &it))?;
        let identities = AgeSources::of_environment(around).read();
        let first = |it: crate::settings::Error| it.findings.into_iter().next();
        let identities =
            identities.map_err(|it| first(it).unwrap_or_else(|| Finding::error(Code::KEY, "no identity")))?;
        let text = |it: &std::ffi::OsString| it.to_str().map(str::to_owned);
        let variables: BTreeMap<String, String> =
            around.variables.iter().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
        let environment = variables.get(ENVIRONMENT).filter(|it| !it.is_empty());
        let environment = environment.cloned().unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        named(&environment, "an environment", &Place::whole(&format!("env:{ENVIRONMENT}")))?;
        let facts = Facts { host: around.host_name.clone(), labels: BTreeMap::new(), environment, variables };
        Ok(ConfigurationFolder {
            dir: dir.to_owned(),
            facts,
            secrets: SecretManager::new(&identities)?,
            remotes: RemoteStore::new(around.cache_dir().map(|it| it.join("headfast/remote")), around.ca_file()),
            loaded: BTreeMap::new(),
        })
    }

    /// Returns the active environment.
    pub fn environment(&self) -> &str {
        &self.facts.environment
    }

    /// Returns a configuration that was loaded.
    pub fn get(&self, name: &str) -> Option<&Configuration> {
        self.loaded.get(name).map(|it| &it.configuration)
    }

    /// Loads a configuration from all sources that the folder and the variables have for it; without any it is empty.
    ///
    /// What is wrong is pushed. A source that cannot be used does not keep the others from being loaded; when none can, or
    /// the schema cannot, there is no configuration, and one that was loaded before stays.
    pub fn load(&mut self, name: &str, findings: &mut Findings) -> Option<&Configuration> {
        self.take_in(name, None, findings)
    }

    /// Does the same with sources that a program names, the lowest first: `file://app.yaml` (below the folder), `env://APP_`,
    /// `https://…#sha256=…`, or one as a manifest has it under `layers`.
    pub fn load_from(&mut self, name: &str, sources: &[&str], findings: &mut Findings) -> Option<&Configuration> {
        self.take_in(name, Some(sources.iter().map(|it| (*it).to_owned()).collect()), findings)
    }

    /// Loads a configuration; there is none when anything but a warning was found.
    pub fn load_valid(&mut self, name: &str, findings: &mut Findings) -> Option<&Configuration> {
        let n_errors = findings.n_errors();
        let configuration = self.make(name, None, findings).filter(|_| findings.n_errors() == n_errors)?;
        Some(self.keep(name, None, configuration))
    }

    /// Loads a configuration again from the sources that it was loaded from. Returns whether it could be; when not, it stays
    /// as it was.
    pub fn reload(&mut self, name: &str, findings: &mut Findings) -> bool {
        let Some(sources) = self.loaded.get(name).map(|it| it.sources.clone()) else {
            findings.push(unknown(name));
            return false;
        };
        let n_errors = findings.n_errors();
        let Some(configuration) = self.make(name, sources.as_deref(), findings) else { return false };
        if findings.n_errors() > n_errors {
            return false;
        }
        self.keep(name, sources, configuration);
        true
    }

    /// Sets one value in the file that it belongs into, and nothing else in there; then loads the configuration again.
    ///
    /// A configuration without a file gets `NAME.yaml`. Refused is what would not count, and what the schema refuses.
    pub fn set(&mut self, name: &str, key: &str, value: &Value) -> Result<(), Findings> {
        let key = KeyPath::parse(key).map_err(only)?;
        let sources = self.loaded.get(name).ok_or_else(|| only(unknown(name)))?.sources.clone();
        let (mut before, tree) = (Findings::new(), self.tree().map_err(only)?);
        let layers = self.layers(name, sources.as_deref(), &tree).map_err(only)?;
        let configuration = self.assemble(name, &layers, &tree, &mut before).ok_or_else(|| before.clone())?;
        let files: &dyn Tree = &tree;
        let bytes = |path: &str| files.read_file(path, Limits::default().bytes, &Place::whole(path));
        let is_sealed = |path: &str| {
            let read = bytes(path).ok().flatten();
            read.is_none_or(|it| secrets::is_sops_text(&it.1, Format::of_path(path)))
        };
        let is_given = configuration.layers.iter().any(|it| config::is_file_layer(&it.name));
        let file = match config::owner(&configuration, key.steps(), &is_sealed) {
            Ok(layer) => layer.to_owned(),
            Err(_) if !is_given && sources.is_none() => format!("{name}.yaml"),
            Err(finding) => return Err(only(finding)),
        };
        let format = Format::of_path(&file).ok_or_else(|| only(unknown(name)))?;
        let old = bytes(&file).map_err(only)?.map(|it| it.1);
        let text = old.as_deref().unwrap_or_default();
        let new = edit::set(format, &Arc::from(file.as_str()), text, key.steps(), value).map_err(only)?;
        let overlay = Overlay::new(&tree, &file, &new);
        let layers = self.layers(name, sources.as_deref(), &overlay).map_err(only)?;
        let mut after = Findings::new();
        let changed = self.assemble(name, &layers, &overlay, &mut after);
        let is_known = |it: &Finding| before.iter().any(|old| (old.code, &old.message) == (it.code, &it.message));
        let fresh: Findings = after.into_iter().filter(|it| it.severity == Severity::Error && !is_known(it)).collect();
        let Some(changed) = changed.filter(|_| !fresh.has_errors()) else { return Err(fresh) };
        let origins = changed.origins_at(key.steps());
        let winner = origins.iter().find(|it| it.wins);
        if winner.is_none_or(|it| it.layer != file) {
            let above = winner.map_or("a layer above it", |it| it.layer);
            let message = format!("`{key}` of `{file}` would not count: `{above}` wins");
            return Err(only(Finding::error(Code::SET, message).hint(format!("change it in `{above}`"))));
        }
        replace(&self.dir.join(&file), old.as_deref(), &new).map_err(only)?;
        self.keep(name, sources, changed);
        Ok(())
    }

    fn take_in(&mut self, name: &str, sources: Option<Vec<String>>, findings: &mut Findings) -> Option<&Configuration> {
        let configuration = self.make(name, sources.as_deref(), findings)?;
        Some(self.keep(name, sources, configuration))
    }

    fn keep(&mut self, name: &str, sources: Option<Vec<String>>, configuration: Configuration) -> &Configuration {
        let loaded = Loaded { sources, configuration };
        &self.loaded.entry(name.to_owned()).insert_entry(loaded).into_mut().configuration
    }

    fn make(&self, name: &str, sources: Option<&[String]>, findings: &mut Findings) -> Option<Configuration> {
        let mut found = Findings::new();
        let configuration = self.made(name, sources, &mut found);
        findings.extend(found.distinct());
        configuration
    }

    fn made(&self, name: &str, sources: Option<&[String]>, findings: &mut Findings) -> Option<Configuration> {
        let refused = |it: Finding| findings.push(Finding { place: None, ..it });
        named(name, "a configuration", &Place::whole(SOURCES)).map_err(refused).ok()?;
        let tree = self.tree().map_err(|it| findings.push(it)).ok()?;
        let mut refuse = |it: Finding| findings.push(it);
        let layers: Vec<String> = match sources {
            None => self.found(name, &tree).map_err(refuse).ok()?,
            Some(sources) => sources.iter().filter_map(|it| self.layer(it).map_err(&mut refuse).ok()).collect(),
        };
        if layers.is_empty() && sources.is_some_and(|it| !it.is_empty()) {
            return None;
        }
        if let Some(configuration) = self.assemble(name, &layers, &tree, findings) {
            return Some(configuration);
        }
        // One source that cannot be used does not block the others.
        let is_usable = |it: &&String| self.assemble(name, &[String::clone(it)], &tree, &mut Findings::new()).is_some();
        let usable: Vec<String> = layers.iter().filter(is_usable).cloned().collect();
        match usable.is_empty() || usable.len() == layers.len() {
            true => None,
            false => self.assemble(name, &usable, &tree, findings),
        }
    }

    fn assemble(
        &self,
        name: &str,
        layers: &[String],
        tree: &dyn Tree,
        findings: &mut Findings,
    ) -> Option<Configuration> {
        let mut found = Findings::new();
        let configuration = self
            .manifest(name, layers, tree, &mut found)
            .and_then(|it| pipeline::load(tree, &it, &self.facts, &self.secrets, &self.remotes, name, &mut found));
        // Nobody wrote the manifest, so that its lines mean nothing to anybody.
        let placed = |it: Finding| match &it.place {
            Some(place) if *place.file == *SOURCES => Finding { line_text: None, ..it.at(&Place::whole(SOURCES)) },
            _ => it,
        };
        findings.extend(found.into_iter().map(placed).collect());
        let mut configuration = configuration?;
        configuration.loaded_at = Some(Utc::now());
        configuration.version = self.commit();
        Some(configuration)
    }

    /// Returns a manifest that declares one configuration.
    fn manifest(&self, name: &str, layers: &[String], tree: &dyn Tree, findings: &mut Findings) -> Option<Manifest> {
        let schema = self.found_in("schemas/", name, &SCHEMAS, tree).map_err(|it| findings.push(it)).ok()?;
        let mut configuration = match layers {
            [] => json!({"layers": [ABSENT]}),
            layers => json!({"layers": layers}),
        };
        if let Some(schema) = schema.into_iter().next() {
            configuration["schema"] = schema.into();
        }
        let text = json!({
            "version": 1,
            "environments": {&self.facts.environment: {"type": "development"}},
            "configurations": {name: configuration},
            "targets": {},
        });
        let (file, limits) = (Arc::from(SOURCES), Limits::default());
        let text = text.to_string();
        let node = document::parse(Format::Json, &file, text.as_bytes(), &limits, MergeKeys::Refuse, findings)?;
        let n_errors = findings.n_errors();
        manifest::load(&node, findings).filter(|_| findings.n_errors() == n_errors)
    }

    /// Returns the layers of a configuration as a manifest has them.
    fn layers(&self, name: &str, sources: Option<&[String]>, tree: &dyn Tree) -> Result<Vec<String>, Finding> {
        let Some(sources) = sources else { return self.found(name, tree) };
        sources.iter().map(|it| self.layer(it)).collect()
    }

    fn layer(&self, source: &str) -> Result<String, Finding> {
        if let Some(prefix) = source.strip_prefix("env://") {
            return Ok(format!("env:{prefix}"));
        }
        let Some(path) = source.strip_prefix("file://") else { return Ok(source.to_owned()) };
        match Path::new(path).is_absolute() {
            false => Ok(path.to_owned()),
            true => Path::new(path).strip_prefix(&self.dir).ok().and_then(Path::to_str).map(str::to_owned).ok_or_else(
                || {
                    let message = format!("`{path}` is not below {}", self.dir.display());
                    Finding::error(Code::PATH, message).at(&Place::whole(SOURCES)).hint("copy the file into the folder")
                },
            ),
        }
    }

    /// Finds what the folder and the variables have for a configuration.
    fn found(&self, name: &str, tree: &dyn Tree) -> Result<Vec<String>, Finding> {
        let mut layers = Vec::new();
        for folder in [String::new(), format!("environments/{}/", self.facts.environment)] {
            layers.extend(self.found_in(&folder, name, &Format::EXTENSIONS, tree)?);
        }
        let upper = |it: char| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' };
        let prefix: String = name.chars().map(upper).chain(['_']).collect();
        if self.facts.variables.keys().any(|it| it.len() > prefix.len() && it.starts_with(&prefix)) {
            layers.push(format!("env:{prefix}"));
        }
        Ok(layers)
    }

    /// Finds the files of a configuration in one folder, whose path is empty or ends with `/`. No other file is looked at.
    fn found_in(&self, folder: &str, name: &str, extensions: &[&str], tree: &dyn Tree) -> Result<Vec<String>, Finding> {
        let is_link = |it: TreeEntry| it.kind == EntryKind::Link;
        for (end, _) in folder.match_indices('/') {
            if tree.find(&folder[..end]).is_ok_and(|it| it.is_some_and(is_link)) {
                let message = format!("`{}` is a symbolic link, which is not followed", &folder[..end]);
                return Err(Finding::error(Code::SHAPE, message).at(&Place::whole(&folder[..end])));
            }
        }
        let mut files = Vec::new();
        for extension in extensions {
            let file = format!("{folder}{name}.{extension}");
            // Of one that cannot be read, the loader says why.
            let is_there = |it: Option<TreeEntry>| it.is_some_and(|it| it.kind != EntryKind::Directory);
            if tree.find(&file).map_or(true, is_there) {
                files.push(file);
            }
        }
        Ok(files)
    }

    fn tree(&self) -> Result<WorkTree, Finding> {
        WorkTree::open(&self.dir).map_err(|it| Finding::error(Code::IO, it.to_string()))
    }

    /// Returns the commit that is checked out, when the folder is part of a repository.
    fn commit(&self) -> Option<String> {
        let checkout = git::Checkout::discover(&self.dir).ok()??;
        Some(checkout.head().ok()??.to_string())
    }
}

/// Refuses what cannot stand in paths.
fn named(name: &str, what: &str, place: &Place) -> Result<(), Finding> {
    let mut findings = Findings::new();
    manifest::check_name(name, what, place, &mut findings);
    findings.into_iter().next().map_or(Ok(()), Err)
}

fn unknown(name: &str) -> Finding {
    Finding::error(Code::REFERENCE, format!("no configuration `{name}` was loaded"))
}

fn only(finding: Finding) -> Findings {
    [finding].into_iter().collect()
}

//! From the files of a revision to configurations.

mod memory;

pub use memory::Memory;

use self::memory::{Asked, Ingredient, Ingredients};
use super::{
    BUILTIN, ConfigSchema, Configuration, Layer, NoRemotes, Ready, Remotes, Rules, merge, remotes, variables_layer,
};
use crate::document::{Format, Limits, Map, Node, Value, decode};
use crate::finding::{Code, Finding, Findings, nearest};
use crate::manifest::{
    ConfigurationSpec, Facts, LayerSource, LayerSpec, Located, MANIFEST, Manifest, PathTemplate, RemoteLayer,
};
use crate::place::Place;
use crate::revision::{ObjectId, Tree, TreeEntry};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the layer that holds what migrations supply.
const MIGRATIONS: &str = "migrations";

/// How documents are opened and brought to another version: what the rooms below this one know.
pub trait Documents {
    /// Parses a document, and decrypts it when it is encrypted.
    fn open(&self, file: &Arc<str>, bytes: &[u8], format: Format, findings: &mut Findings) -> Option<Document>;

    /// Reads the migrations in a folder of the repository; they depend on its own files and on nothing else.
    fn migrations(
        &self,
        tree: &dyn Tree,
        folder: &Located<String>,
        findings: &mut Findings,
    ) -> Option<Box<dyn Migrations>>;
}

/// A document that was opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it holds.
    pub node: Arc<Node>,
    /// Whether it was encrypted.
    pub is_sealed: bool,
}

/// The migrations of one configuration.
pub trait Migrations {
    /// Brings a document, without its version, from one schema version to another.
    fn document(&self, node: Node, from: u32, to: u32, findings: &mut Findings) -> Option<MigratedDocument>;
}

/// A document that was brought to another version.
#[derive(Clone, Debug, PartialEq)]
pub struct MigratedDocument {
    /// The document.
    pub node: Node,
    /// What the migrations supply, to be laid below all layers.
    pub below: Option<Node>,
    /// What happened, in words; see [`Layer::migrated`].
    pub note: Option<String>,
}

/// What became of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The configuration; `None` when one of its layers or its schema cannot be used.
    pub configuration: Option<Configuration>,
    /// The paths of the files, and of the folder of migrations, that it is made from. The manifest is one where it has the
    /// digest of a remote layer.
    pub inputs: Vec<String>,
    /// The addresses of its remote layers.
    pub remotes: Vec<String>,
    /// The ids of those that are encrypted.
    pub sealed: Vec<ObjectId>,
}

/// Loads and validates the configurations of one revision for one host. Each document is opened once.
pub struct ConfigurationManager<'a> {
    tree: &'a dyn Tree,
    manifest: &'a Manifest,
    facts: &'a Facts,
    documents: &'a dyn Documents,
    remotes: &'a dyn Remotes,
    rules: BTreeMap<String, Rules>,
    memory: Arc<Memory>,
}

/// A layer's document, a map, unless it cannot be used; and what was found in opening it.
type Opened = (Option<Document>, Findings);

impl<'a> ConfigurationManager<'a> {
    /// Returns a manager; `documents` is a [`SecretManager`](crate::secrets::SecretManager), unless a program has its own.
    pub fn new(tree: &'a dyn Tree, manifest: &'a Manifest, facts: &'a Facts, documents: &'a dyn Documents) -> Self {
        let (remotes, rules) = (&NoRemotes, BTreeMap::new());
        ConfigurationManager { tree, manifest, facts, documents, remotes, rules, memory: Arc::default() }
    }

    /// Adds where remote layers come from; without, they are refused.
    #[must_use]
    pub fn with_remotes(self, remotes: &'a dyn Remotes) -> Self {
        ConfigurationManager { remotes, ..self }
    }

    /// Adds rules of a program that one configuration is held against after its schema.
    #[must_use]
    pub fn with_rules(mut self, name: &str, rules: Rules) -> Self {
        self.rules.insert(name.to_owned(), rules);
        self
    }

    /// Makes it share what it reads and makes with other managers, whose documents are opened in the same way.
    #[must_use]
    pub fn with_memory(self, memory: &Arc<Memory>) -> Self {
        ConfigurationManager { memory: Arc::clone(memory), ..self }
    }

    /// Reads, migrates and merges one configuration.
    ///
    /// There is no configuration when a layer or the schema cannot be read, because what would be missing then would show
    /// as violations that nobody made. Callers judge `findings` as well: an unset variable leaves a configuration.
    pub fn load(&self, name: &str, findings: &mut Findings) -> Loaded {
        self.make(name, false, findings)
    }

    /// Does the same, and holds what comes out against its schema. What does not fit is there all the same.
    pub fn load_judged(&self, name: &str, findings: &mut Findings) -> Loaded {
        self.make(name, true, findings)
    }

    fn make(&self, name: &str, is_judged: bool, findings: &mut Findings) -> Loaded {
        let Some(spec) = self.manifest.configurations.get(name) else {
            let finding = Finding::error(Code::REFERENCE, format!("there is no configuration `{name}`"));
            let names: Vec<&str> = self.manifest.configurations.keys().map(String::as_str).collect();
            findings.push(match nearest(name, names.iter().copied()) {
                Some(near) => finding.hint(format!("did you mean `{near}`?")),
                None if names.is_empty() => finding.hint("declare it under `configurations` in the manifest"),
                None => finding.hint(format!("the manifest has {}", names.join(", "))),
            });
            return Loaded::default();
        };
        let version = spec.schema_version.of(&self.facts.environment);
        let loaded = Loaded::default();
        let ingredients = Ingredients {
            name: name.to_owned(),
            version,
            version_key: spec.version_key.clone(),
            schema: None,
            migrations: Vec::new(),
            layers: Vec::new(),
            is_judged,
        };
        let mut loader =
            Loader { manager: self, name, spec, version, loaded, migrations: None, below: None, ingredients };
        let configuration = loader.run(findings);
        Loaded { configuration, ..loader.loaded }
    }

    /// Loads one configuration and holds it against its schema and its rules; there is a result only when nothing is wrong
    /// with it, which warnings do not change. It has the defaults of its rules.
    pub fn load_valid(&self, name: &str, findings: &mut Findings) -> Option<Configuration> {
        let n_errors = findings.n_errors();
        let mut configuration = self.load_judged(name, findings).configuration?;
        if let Some(rules) = self.rules.get(name) {
            rules.validate(&configuration.merged, findings);
            configuration.merged = Arc::new(rules.apply(&configuration.merged));
        }
        (findings.n_errors() == n_errors).then_some(configuration)
    }

    /// Loads and validates all configurations; returns the findings of those that have any.
    pub fn validate_all(&self) -> BTreeMap<String, Findings> {
        let names = self.manifest.configurations.keys();
        let judge = |name: &String| {
            let mut findings = Findings::new();
            self.load_valid(name, &mut findings);
            (!findings.is_empty()).then(|| (name.clone(), findings))
        };
        names.filter_map(judge).collect()
    }

    /// Opens a layer's document; who asks for it again is told again what is wrong with it.
    fn open(
        &self,
        (name, id): (&str, &ObjectId),
        read: &dyn Fn() -> Result<Vec<u8>, Finding>,
        format: Format,
        findings: &mut Findings,
    ) -> Result<Option<Document>, Finding> {
        let (document, found) = self.memory.documents.get((name.to_owned(), id.clone()), || {
            let bytes = read()?;
            let mut found = Findings::new();
            let document = self.documents.open(&Arc::from(name), &bytes, format, &mut found);
            Ok((document.and_then(|it| with_map(it, &mut found)), found))
        })?;
        findings.extend(found);
        Ok(document)
    }
}

/// Holds a configuration against its schema; returns whether it fits.
pub fn validate_configuration(configuration: &Configuration, findings: &mut Findings) -> bool {
    configuration.validate(findings)
}

/// Something could not be read; the findings say why.
struct Failed;

fn failed(problem: Finding, findings: &mut Findings) -> Failed {
    findings.push(problem);
    Failed
}

/// One configuration on its way from files to a value.
struct Loader<'a> {
    manager: &'a ConfigurationManager<'a>,
    name: &'a str,
    spec: &'a ConfigurationSpec,
    version: Option<u32>,
    loaded: Loaded,
    migrations: Option<Box<dyn Migrations>>,
    below: Option<Node>,
    ingredients: Ingredients,
}

impl Loader<'_> {
    fn run(&mut self, findings: &mut Findings) -> Option<Configuration> {
        let (manager, spec) = (self.manager, self.spec);
        let schema = self.schema(findings);
        self.read_migrations(findings);
        // All layers are read before one that cannot be ends it.
        let known_schema = schema.as_ref().ok().and_then(Option::as_ref);
        let layers: Vec<_> = spec.layers.iter().map(|it| self.layer(it, known_schema, findings)).collect();
        let layers = layers.into_iter().filter_map(Result::transpose).collect::<Result<Vec<Layer>, Failed>>().ok()?;
        let below = self.below.take().map(|it| Layer::new(MIGRATIONS, it));
        let layers = below.into_iter().chain(layers).collect();
        let variables = manager.manifest.variables_for(manager.facts);
        let (environment, lookup) = (&manager.facts.environment, |name: &str| variables.get(name).cloned());
        let schema = schema.ok()?;
        let make = || {
            let asked: RefCell<Asked> = RefCell::default();
            let noted = |name: &str| {
                let value = lookup(name);
                asked.borrow_mut().push((name.to_owned(), value.clone()));
                value
            };
            let mut found = Findings::new();
            let configuration = Configuration::assemble(self.name, environment, layers, schema, &noted, &mut found);
            if self.ingredients.is_judged {
                configuration.validate(&mut found);
            }
            (asked.into_inner(), (configuration, found))
        };
        let (mut configuration, found) = manager.memory.made(&self.ingredients, &lookup, make);
        findings.extend(found);
        configuration.environment.clone_from(environment);
        Some(configuration)
    }

    fn schema(&mut self, findings: &mut Findings) -> Result<Option<ConfigSchema>, Failed> {
        let Some(declared) = &self.spec.schema else { return Ok(None) };
        let path = self.expand(&declared.value, &declared.place, findings)?;
        if path.starts_with(BUILTIN) {
            self.ingredients.schema = Some((path.clone(), ObjectId::new("")));
            return self.ready(&path, &declared.place, findings).map(Some);
        }
        let Some(entry) = self.find(&path, &declared.place, findings)? else {
            findings.push(self.manager.tree.missing(Code::SOURCE_MISSING, &path, &declared.place));
            return Err(Failed);
        };
        let key = (path.clone(), entry.id.clone());
        self.ingredients.schema = Some(key.clone());
        let opened = self.manager.memory.schemas.get(key, || {
            let bytes = self.manager.tree.content(&path, &entry, Limits::default().bytes)?;
            let mut found = Findings::new();
            let schema = ConfigSchema::parse(&Arc::from(path.as_str()), &bytes, &mut found);
            Ok((schema, found))
        });
        let (schema, found) = opened.map_err(|it| failed(it, findings))?;
        findings.extend(found);
        schema.ok_or(Failed).map(Some)
    }

    fn ready(&self, path: &str, place: &Place, findings: &mut Findings) -> Result<ConfigSchema, Failed> {
        let Some(ready) = Ready::of_path(path) else {
            let names: Vec<String> = Ready::ALL.iter().map(|it| format!("{BUILTIN}{}", it.name())).collect();
            let finding = Finding::error(Code::REFERENCE, format!("there is no ready schema `{path}`")).at(place);
            findings.push(match nearest(path, names.iter().map(String::as_str)) {
                Some(near) => finding.hint(format!("did you mean `{near}`?")),
                None => finding.hint(format!("there are {}", names.join(", "))),
            });
            return Err(Failed);
        };
        ConfigSchema::ready(ready, findings).ok_or(Failed)
    }

    /// Reads the migrations where the configuration has versions, also when no document needs them today.
    fn read_migrations(&mut self, findings: &mut Findings) {
        if let (Some(folder), Some(_)) = (&self.spec.migrations, self.version) {
            self.loaded.inputs.push(folder.value.clone());
            self.migrations = self.manager.documents.migrations(self.manager.tree, folder, findings);
            // A folder that cannot be listed is an error that was pushed already.
            let files = self.manager.tree.list(&folder.value).ok().flatten().unwrap_or_default();
            self.ingredients.migrations =
                files.into_iter().map(|it| (format!("{}/{}", folder.value, it.name.escape_ascii()), it.id)).collect();
        }
    }

    /// Returns a layer, or `None` for an optional one that is absent.
    fn layer(
        &mut self,
        layer: &LayerSpec,
        schema: Option<&ConfigSchema>,
        findings: &mut Findings,
    ) -> Result<Option<Layer>, Failed> {
        let manager = self.manager;
        let (path, optional) = match &layer.source {
            LayerSource::Variables { prefix } => {
                let own = manager.facts.variables.iter().filter(|it| it.0.starts_with(prefix));
                let own = own.map(|(name, value)| (name.clone(), value.clone())).collect();
                self.ingredients.layers.push(Ingredient::Variables(prefix.clone(), own));
                return Ok(Some(variables_layer(prefix, &manager.facts.variables, schema, findings)));
            }
            LayerSource::Remote(remote) => return self.remote(remote, &layer.place, findings).map(Some),
            LayerSource::File { path, optional } => (self.expand(path, &layer.place, findings)?, *optional),
        };
        let Some(entry) = self.find(&path, &layer.place, findings)? else {
            if optional {
                return Ok(None);
            }
            let finding = manager.tree.missing(Code::LAYER_MISSING, &path, &layer.place);
            let hint = match &finding.hint {
                Some(near) => format!("{near} A layer that may be absent ends in `?`"),
                None => "add the file, or end the layer in `?` when it may be absent".to_owned(),
            };
            findings.push(finding.hint(hint));
            return Err(Failed);
        };
        let Some(format) = Format::of_path(&path) else {
            let message = format!("the extension of `{path}` does not tell its format");
            let hint = "the name must end in .yaml, .yml, .json, .toml, .env, .ini, .cfg or .conf";
            findings.push(Finding::error(Code::VALUE, message).at(&layer.place).hint(hint));
            return Err(Failed);
        };
        let read = || manager.tree.content(&path, &entry, Limits::default().bytes);
        let document = manager.open((&path, &entry.id), &read, format, findings);
        let document = document.map_err(|it| failed(it, findings))?.ok_or(Failed)?;
        let id = entry.id.clone();
        self.ingredients.layers.push(Ingredient::File(path.clone(), id.clone()));
        self.loaded.sealed.extend(document.is_sealed.then_some(id));
        self.migrated(path, document.node, findings).ok_or(Failed).map(Some)
    }

    /// Returns a layer that comes from a server.
    fn remote(&mut self, remote: &RemoteLayer, place: &Place, findings: &mut Findings) -> Result<Layer, Failed> {
        let (manager, url, id) = (self.manager, &remote.url, remote.id());
        // Which bytes it has is written in the manifest, and changes there.
        self.loaded.inputs.push(MANIFEST.to_owned());
        self.loaded.remotes.push(url.clone());
        let read = || remotes::fetch(manager.remotes, remote);
        let document = manager.open((url, &id), &read, remote.format, findings);
        let document = document.map_err(|it| failed(it.at(place), findings))?.ok_or(Failed)?;
        self.loaded.sealed.extend(document.is_sealed.then(|| ObjectId::new(&remote.sha256)));
        self.ingredients.layers.push(Ingredient::File(url.clone(), id));
        self.migrated(url.clone(), document.node, findings).ok_or(Failed)
    }

    /// Brings a layer to the environment's schema version, and takes its own version out of it.
    ///
    /// Where the configuration has no versions, the key is one like any other.
    fn migrated(&mut self, path: String, node: Arc<Node>, findings: &mut Findings) -> Option<Layer> {
        let has_own = node.as_map().is_some_and(|it| it.get(&self.spec.version_key).is_some());
        let Some(wanted) = self.version.filter(|_| has_own) else { return Some(Layer::new(path, node)) };
        let mut node = Node::clone(&node);
        let Value::Map(map) = &mut node.value else { return None };
        let own = map.remove(&self.spec.version_key)?;
        let own = u32::try_from(decode::number(&own.node, &own.key, 1..=u64::from(u32::MAX), findings)?).ok()?;
        if own == wanted {
            return Some(Layer::new(path, node));
        }
        let Some(migrations) = &self.migrations else {
            if self.spec.migrations.is_none() {
                findings.push(self.no_migrations(&path, own, wanted, &node.place));
            }
            return None;
        };
        let migrated = migrations.document(node, own, wanted, findings)?;
        self.below = self.below.take().into_iter().chain(migrated.below).reduce(merge);
        Some(Layer { name: path, node: Arc::new(migrated.node), migrated: migrated.note })
    }

    fn no_migrations(&self, path: &str, own: u32, wanted: u32, place: &Place) -> Finding {
        let environment = &self.manager.facts.environment;
        let message = format!("`{path}` has schema version {own}, but `{environment}` is at {wanted}");
        let hint = format!("name the folder of the migrations in `configurations.{}.migrations`", self.name);
        Finding::error(Code::MIGRATION_PATH, message).at(place).hint(hint)
    }

    /// Finds a file, which is then one of the inputs, or returns `None` when it does not exist.
    fn find(&mut self, path: &str, asked_at: &Place, findings: &mut Findings) -> Result<Option<TreeEntry>, Failed> {
        let found = self.manager.tree.find_file(path, asked_at);
        if !matches!(found, Ok(None)) {
            self.loaded.inputs.push(path.to_owned());
        }
        found.map_err(|it| failed(it, findings))
    }

    fn expand(&self, path: &PathTemplate, place: &Place, findings: &mut Findings) -> Result<String, Failed> {
        path.expand(self.manager.facts, self.version).map_err(|name| {
            let message = format!("the path `{}` uses `{name}`, which has no value here", path.0);
            let hint = match name.strip_prefix("labels.") {
                Some(label) => format!("give the host the label `{label}`"),
                None => format!("give the configuration `{}` a `schema_version`", self.name),
            };
            findings.push(Finding::error(Code::UNDEFINED, message).at(place).hint(hint));
            Failed
        })
    }
}

/// A layer without any value changes nothing; any other document must be a map.
fn with_map(document: Document, findings: &mut Findings) -> Option<Document> {
    let node = &document.node;
    if node.as_map().is_some() {
        return Some(document);
    }
    if node.value != Value::Null || node.place.line != 0 {
        let message = format!("a layer must be a map, found {}", node.type_name());
        findings.push(Finding::error(Code::SHAPE, message).at(&node.place));
        return None;
    }
    let node = Arc::new(Node { value: Value::Map(Map::new()), ..Node::clone(node) });
    Some(Document { node, ..document })
}

#[cfg(test)]
mod tests;

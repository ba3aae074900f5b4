//! `headfast.yaml`, typed.

mod actions;
mod load;
mod order;
mod paths;
mod policies;
mod remote;
mod target;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

pub use actions::{is_protected_unit, is_unit};
pub use load::{load, load_targets, read, variables};
pub use paths::{check_name, concerns, covers, path_globs};
pub use policies::{Over, Packages, PolicySpec};
pub use remote::{RemoteLayer, remote_prefix};

use crate::document::Format;
use crate::place::Place;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The file that makes a repository a config repository.
pub const MANIFEST: &str = "headfast.yaml";

/// What a host declares about itself; with the revision, all that a rendering depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The host's name.
    pub host: String,
    /// The host's labels.
    pub labels: BTreeMap<String, String>,
    /// The name of the environment that the host belongs to.
    pub environment: String,
    /// The host's own variables.
    pub variables: BTreeMap<String, String>,
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub place: Place,
}

/// The kind of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnvironmentType {
    /// For developers.
    Development,
    /// For tests.
    Testing,
    /// Like production, for trying out.
    Staging,
    /// The real thing.
    Production,
}

/// The manifest of a config repository.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The environments by name.
    pub environments: BTreeMap<String, Environment>,
    /// The configurations by name.
    pub configurations: BTreeMap<String, ConfigurationSpec>,
    /// Folders or files of Rego policies, and what they are asked about.
    pub policies: Vec<PolicySpec>,
    /// The hosts that `check` and previews render for, by name.
    pub hosts: BTreeMap<String, HostSpec>,
    /// The targets, in `after` order.
    pub targets: Vec<Target>,
    /// The names of the targets for which the mass-deletion guard is disarmed.
    pub allow_removal: Vec<Located<String>>,
}

impl Manifest {
    /// Returns the environment with a name.
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments.get(name)
    }

    /// Returns the variables that `${VAR}` and templates read: the environment's, then the host's.
    pub fn variables_for(&self, facts: &Facts) -> BTreeMap<String, String> {
        let mut variables = facts.variables.clone();
        variables.extend(self.environment(&facts.environment).into_iter().flat_map(|it| it.variables.clone()));
        variables
    }

    /// Returns the targets that a host has, in `after` order.
    pub fn targets_for<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = &'a Target> {
        self.targets.iter().filter(|it| it.is_for(facts))
    }
}

/// An environment of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its kind.
    pub kind: EnvironmentType,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
    /// Where each of them is set.
    pub places: BTreeMap<String, Place>,
}

/// A host that the manifest declares for previews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSpec {
    /// The environment it belongs to.
    pub environment: Located<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
}

impl EnvironmentType {
    /// Returns the name that manifests use.
    pub fn as_str(self) -> &'static str {
        match self {
            EnvironmentType::Development => "development",
            EnvironmentType::Testing => "testing",
            EnvironmentType::Staging => "staging",
            EnvironmentType::Production => "production",
        }
    }
}

/// How a configuration is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationSpec {
    /// Where the layers come from, later ones win.
    pub layers: Vec<LayerSpec>,
    /// The JSON Schema's path in the repository; may hold `{{ schema_version }}`.
    pub schema: Option<Located<PathTemplate>>,
    /// The folder of migrations.
    pub migrations: Option<Located<String>>,
    /// The schema version by environment, and for all others.
    pub schema_version: SchemaVersion,
    /// The document key that holds a document's schema version; `schema_version` unless set.
    pub version_key: String,
    /// Where the configuration is declared.
    pub place: Place,
}

/// The schema version that each environment's programs understand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaVersion {
    /// For environments that are not named.
    pub default: Option<u32>,
    /// For the environments that are.
    pub environments: BTreeMap<String, u32>,
}

impl SchemaVersion {
    /// Returns the version that `environment` asks for, or `None` when the configuration is not versioned.
    pub fn of(&self, environment: &str) -> Option<u32> {
        self.environments.get(environment).copied().or(self.default)
    }
}

/// One layer of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// Where it comes from.
    pub source: LayerSource,
    /// Where it is declared.
    pub place: Place,
}

/// Where a layer comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerSource {
    /// A file of the repository.
    File {
        /// Its path.
        path: PathTemplate,
        /// Whether it may be absent (a trailing `?`).
        optional: bool,
    },
    /// The host's declared variables that start with a prefix: `APP_SERVER__PORT` sets `server.port`.
    Variables {
        /// The prefix, for example `APP_`.
        prefix: String,
    },
    /// A file on a server.
    Remote(RemoteLayer),
}

/// A path that may hold `{{ host }}`, `{{ environment }}`, `{{ schema_version }}` and `{{ labels.NAME }}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate(pub String);

/// A directory on the host and what belongs in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its name in the manifest.
    pub name: String,
    /// The absolute path of the directory.
    pub path: Located<String>,
    /// The hosts that have it.
    pub on: Selector,
    /// The environments that have it; `None` means all.
    pub environments: Option<Vec<Located<String>>>,
    /// What is written.
    pub files: Vec<Output>,
    /// The default owner.
    pub owner: Option<Located<String>>,
    /// The default group.
    pub group: Option<Located<String>>,
    /// The mode of files, permission bits only.
    pub mode: Option<u32>,
    /// Exceptions by path; later ones win.
    pub overrides: Vec<Override>,
    /// How the files are published.
    pub publish: Publish,
    /// What is removed.
    pub prune: Prune,
    /// Globs of what is neither written, pruned nor drift.
    pub ignore: Vec<Located<String>>,
    /// Commands that may veto, before the switch.
    pub check: Vec<Check>,
    /// What is told about the change, after the switch.
    pub reload: Vec<Reload>,
    /// What must hold after the reloads.
    pub probe: Vec<Probe>,
    /// The targets that are switched before this one.
    pub after: Vec<Located<String>>,
    /// The most that may be done about drift here; the host's `drift.mode` is the ceiling.
    pub drift: Option<DriftMode>,
    /// Where the target is declared.
    pub place: Place,
}

impl Target {
    /// Returns whether a host has this target.
    pub fn is_for(&self, facts: &Facts) -> bool {
        let is_in = self.environments.as_ref().is_none_or(|it| it.iter().any(|it| it.value == facts.environment));
        is_in && self.on.matches(&facts.host, &facts.labels)
    }
}

/// What is done about drift, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriftMode {
    /// Nothing; it is not even looked for.
    Off,
    /// It is reported.
    Report,
    /// It is reported and healed.
    Heal,
}

/// The hosts that a target is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// A glob over host names; `None` means every host.
    pub host: Option<Located<String>>,
    /// Labels that the host must have.
    pub labels: BTreeMap<String, String>,
}

impl Selector {
    /// Returns whether a host with a name and labels is meant.
    pub fn matches(&self, host: &str, labels: &BTreeMap<String, String>) -> bool {
        let is_host = |glob: &Located<String>| paths::host_glob(&glob.value).is_ok_and(|it| it.is_match(host));
        self.host.as_ref().is_none_or(is_host) && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// One entry of a target's `files`.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// What is written.
    pub kind: OutputKind,
    /// Where in the target; the target's root when absent.
    pub to: Option<Located<String>>,
    /// Where the entry is declared.
    pub place: Place,
}

/// What an output entry writes.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputKind {
    /// A tree's contents or one file, verbatim.
    Copy {
        /// The path in the repository.
        source: Located<PathTemplate>,
    },
    /// A tree in which `*.j2` are rendered, or one template.
    Template {
        /// The path in the repository.
        source: Located<PathTemplate>,
        /// The configuration whose values the templates see.
        configuration: Option<Located<String>>,
    },
    /// A configuration, or a part of it, serialised.
    Write {
        /// The file's path in the target.
        file: Located<String>,
        /// The configuration.
        configuration: Located<String>,
        /// The dotted path of the part to write.
        select: Option<Located<String>>,
        /// The format; from the file's extension unless given.
        format: Format,
    },
}

impl OutputKind {
    /// Returns the name of the configuration that the entry uses.
    pub fn configuration(&self) -> Option<&Located<String>> {
        match self {
            OutputKind::Copy { .. } => None,
            OutputKind::Template { configuration, .. } => configuration.as_ref(),
            OutputKind::Write { configuration, .. } => Some(configuration),
        }
    }
}

/// An exception to a target's owner, group and mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// A glob over paths in the target.
    pub matches: Located<String>,
    /// The owner.
    pub owner: Option<Located<String>>,
    /// The group.
    pub group: Option<Located<String>>,
    /// The mode, permission bits only.
    pub mode: Option<u32>,
}

/// How the files of a target become visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Publish {
    /// Each file is renamed over the live one.
    InPlace,
    /// A complete tree beside the others, and one symbolic link, `current`, that is switched.
    Generations,
}

/// Which files are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// Those that headfast wrote.
    Owned,
    /// All that the rendering does not have.
    All,
    /// None.
    Never,
}

/// A command that may veto a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The program and its arguments; `{{ staged }}` is the staged view of the target.
    pub command: Vec<String>,
    /// Globs: the check runs when one of the changed paths matches; always when empty.
    pub when: Vec<Located<String>>,
    /// How long it may take.
    pub within: Duration,
    /// Where it is declared.
    pub place: Place,
}

/// What is told about a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// What is run.
    pub action: ReloadAction,
    /// Globs: it runs when one of the changed paths matches; on every change when empty.
    pub when: Vec<Located<String>>,
    /// How long it may take.
    pub within: Duration,
    /// Where it is declared.
    pub place: Place,
}

/// What a reload runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadAction {
    /// A systemd unit job.
    Unit {
        /// The unit's name.
        unit: String,
        /// The systemctl verb: `reload`, `restart`, `reload-or-restart`, `try-restart`, `try-reload-or-restart` or `start`.
        verb: String,
    },
    /// A program and its arguments.
    Command(Vec<String>),
}

/// What must hold after the reloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is looked at.
    pub kind: ProbeKind,
    /// How long it may take until it holds.
    pub within: Duration,
    /// After how long it must hold a second time; zero when once is enough.
    ///
    /// Most services reload in the background, so that the first answer may still come from what ran before.
    pub settle: Duration,
    /// Where it is declared.
    pub place: Place,
}

/// What a probe looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// A GET request's status.
    Http {
        /// The URL, `http` or `https`.
        url: String,
        /// The status that is expected.
        expect: u16,
    },
    /// A TCP connection.
    Tcp(String),
    /// A program that exits 0.
    Command(Vec<String>),
    /// A unit that is active.
    Unit(String),
}

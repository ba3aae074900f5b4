//! For which host a checkout is looked at, and which of its configurations.

use super::checkout::Checkout;
use super::exit::Failure;
use super::words::list;
use crate::config::Configuration;
use crate::document::KeyPath;
use crate::finding::{Code, Finding, Findings};
use crate::manifest::{Facts, Manifest};
use crate::pipeline;
use crate::revision::Tree;
use std::path::PathBuf;

/// The words that say for which host a checkout is looked at.
#[derive(clap::Args, Debug)]
pub struct SceneArgs {
    /// The environment; that of the host under `hosts`, or the only one, by default
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The host's name; its labels and variables are those under `hosts` in the manifest
    #[arg(long, value_name = "NAME", default_value = "any-host")]
    host: String,
    /// A label of the host (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// A variable of the host (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    variable: Vec<(String, String)>,
    /// Ask no server: remote layers come from the cache
    #[arg(long)]
    pub offline: bool,
}

/// Reads `KEY=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    if key.is_empty() { Err("the key is empty".into()) } else { Ok((key.to_owned(), value.to_owned())) }
}

impl SceneArgs {
    /// Returns what the host declares.
    pub fn facts(&self, manifest: &Manifest) -> Result<Facts, Failure> {
        let declared = manifest.hosts.get(&self.host);
        let names: Vec<&str> = manifest.environments.keys().map(String::as_str).collect();
        let environment = match (&self.environment, declared, names.as_slice()) {
            (Some(name), _, _) => name.clone(),
            (None, Some(host), _) => host.environment.value.clone(),
            (None, None, [only]) => (*only).to_owned(),
            (None, None, _) => {
                return Err(Failure::usage(format!("say which environment with `--environment`: {}", list(&names))));
            }
        };
        let mut labels = declared.map(|it| it.labels.clone()).unwrap_or_default();
        let mut variables = declared.map(|it| it.variables.clone()).unwrap_or_default();
        labels.extend(self.label.iter().cloned());
        variables.extend(self.variable.iter().cloned());
        Ok(Facts { host: self.host.clone(), labels, environment, variables })
    }
}

/// Which configuration, of which checkout, for which host.
#[derive(clap::Args, Debug)]
pub struct PlaceArgs {
    /// The configuration; the only one by default
    #[arg(long, value_name = "NAME")]
    configuration: Option<String>,
    /// The repository's folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub repo: PathBuf,
    #[command(flatten)]
    scene: SceneArgs,
}

/// A configuration's place in a checkout.
pub struct Place {
    pub checkout: Checkout,
    pub manifest: Manifest,
    pub facts: Facts,
    pub name: String,
}

impl PlaceArgs {
    /// Opens the checkout, and finds out which configuration is meant.
    pub fn open(&self) -> Result<Place, Failure> {
        let checkout = Checkout::open(&self.repo, self.scene.offline)?;
        let mut findings = Findings::new();
        let Some(manifest) = checkout.manifest(&mut findings).filter(|_| !findings.has_errors()) else {
            return Err(Failure::Findings(findings));
        };
        let facts = self.scene.facts(&manifest)?;
        let names: Vec<&str> = manifest.configurations.keys().map(String::as_str).collect();
        let name = match (&self.configuration, names.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, [only]) => (*only).to_owned(),
            (None, []) => return Err(Failure::usage("the repository has no configuration")),
            (None, _) => {
                let message = format!("say which configuration with `--configuration`: {}", list(&names));
                return Err(Failure::usage(message));
            }
        };
        Ok(Place { checkout, manifest, facts, name })
    }
}

impl Place {
    /// Loads the configuration from a tree, with all that is wrong with it.
    pub fn load(&self, tree: &dyn Tree, findings: &mut Findings) -> Option<Configuration> {
        let (secrets, remotes) = (self.checkout.secrets(), self.checkout.remotes());
        pipeline::load(tree, &self.manifest, &self.facts, secrets, remotes, &self.name, findings)
    }
}

/// Reads the key that a person typed.
pub fn key(text: &str) -> Result<KeyPath, Failure> {
    KeyPath::parse(text).map_err(|it| Failure::new(Finding { code: Code::USAGE, ..it }))
}

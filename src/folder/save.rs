//! Configurations written to files again.

use super::{ConfigurationFolder, file, replace, unknown};
use crate::config::{Configuration, is_file_layer, merge};
use crate::document::{Format, Map, Node, Value, emit};
use crate::finding::{Code, Finding};
use crate::place::Place;
use crate::secrets;
use std::fs;
use std::path::{Path, PathBuf};

/// Where backups go, in the folder.
const BACKUPS: &str = "backups";

impl ConfigurationFolder {
    /// Writes a configuration to a file, whose extension says the format; folders on the way are made.
    ///
    /// What comes from variables, from the schema and out of encrypted files is not written, and references stay
    /// references: who loads the file in the same surroundings gets the same values, and no secret lies about. A file that
    /// is there is replaced, unless it is encrypted: its secrets would be gone.
    pub fn save(&self, name: &str, path: &Path) -> Result<(), Finding> {
        let configuration = self.get(name).ok_or_else(|| unknown(name))?;
        let format = path.to_str().and_then(Format::of_path).ok_or_else(|| {
            let message = format!("the extension of {} does not tell its format", path.display());
            Finding::error(Code::VALUE, message).hint("the name must end in .yaml, .yml, .json, .toml, .env, .ini")
        })?;
        let text = emit(&written(configuration), format)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|it| file::failed("make", folder, &it))?;
        }
        let old = file::current(path)?;
        if old.as_ref().is_some_and(|it| secrets::is_sops_text(it, Some(format))) {
            let message = format!("{} is encrypted, and its secrets would be gone", path.display());
            return Err(Finding::error(Code::SET, message).hint("save under another name"));
        }
        replace(path, old.as_deref(), text.as_bytes())
    }

    /// Saves a copy of a configuration as `backups/NAME-VERSION.yaml`, where the version is the commit that it was read
    /// from, or `unknown`; returns its path.
    pub fn backup(&self, name: &str) -> Result<PathBuf, Finding> {
        let version = self.get(name).ok_or_else(|| unknown(name))?.version.as_deref().unwrap_or("unknown");
        let path = self.dir.join(BACKUPS).join(format!("{name}-{version}.yaml"));
        self.save(name, &path)?;
        Ok(path)
    }
}

/// Returns what people wrote of a configuration.
fn written(configuration: &Configuration) -> Node {
    let empty = Node::new(Value::Map(Map::new()), Place::whole(&configuration.name));
    let is_written = |name: &str| name == "set" || is_file_layer(name);
    let layers = configuration.layers.iter().filter(|it| is_written(&it.name));
    plain(layers.fold(empty, |base, it| merge(base, Node::clone(&it.node))))
}

/// Takes out what was encrypted.
fn plain(node: Node) -> Node {
    let value = match node.value {
        Value::Map(map) => Value::Map(Map::of_distinct(
            map.into_iter()
                .filter(|it| !it.node.secret)
                .map(|mut it| {
                    it.node = plain(it.node);
                    it
                })
                .collect(),
        )),
        Value::List(items) => Value::List(items.into_iter().filter(|it| !it.secret).map(plain).collect()),
        value => value,
    };
    Node { value, ..node }
}

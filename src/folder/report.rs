//! What a configuration is, and what is wrong with it.

use super::ConfigurationFolder;
use crate::config::{ConfigSchema, Configuration, Ready};
use crate::finding::Findings;

/// What can be said about a configuration.
#[derive(Clone, Debug)]
pub struct Report {
    /// The ready schema whose settings it has, when it has those of one.
    pub shape: Option<Ready>,
    /// What its own schema, or else that one, finds wrong with it.
    pub findings: Findings,
}

impl ConfigurationFolder {
    /// Judges a configuration that was loaded; `None` when it was not.
    pub fn report(&self, name: &str) -> Option<Report> {
        let configuration = self.get(name)?;
        let (shape, mut findings) = (shape(configuration), Findings::new());
        match (&configuration.schema, shape) {
            (Some(_), _) => {
                configuration.validate(&mut findings);
            }
            (None, Some(ready)) => {
                if let Some(schema) = ConfigSchema::ready(ready, &mut findings) {
                    schema.validate(&configuration.merged, &mut findings);
                }
            }
            (None, None) => {}
        }
        Some(Report { shape, findings })
    }
}

/// Returns the ready schema that knows the most of the keys; most of them it must know, and two at least.
fn shape(configuration: &Configuration) -> Option<Ready> {
    let keys: Vec<&str> = configuration.merged.as_map()?.iter().map(|it| it.key.as_str()).collect();
    let n_known = |ready: Ready| {
        let schema = ConfigSchema::ready(ready, &mut Findings::new());
        schema.map_or(0, |it| it.names_at(&[]).iter().filter(|name| keys.contains(name)).count())
    };
    let counted = Ready::ALL.into_iter().map(|it| (n_known(it), it));
    // Of two with as many, the first.
    let (n_known, ready) = counted.rev().max_by_key(|it| it.0)?;
    (n_known >= 2 && n_known * 2 > keys.len()).then_some(ready)
}

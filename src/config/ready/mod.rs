//! Schemas that come with headfast, for settings that nearly every program has.

use super::ConfigSchema;
use crate::finding::Findings;
use std::sync::Arc;

/// What the name of a ready schema begins with, in `schema` of a manifest and on the command line.
pub const BUILTIN: &str = "builtin:";

/// A ready schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// What a program logs, how and where to.
    Logging,
    /// How a program reaches its database.
    Database,
    /// Where a network service listens and how it is reached.
    Service,
    /// A language model that a program asks.
    Model,
}

impl Ready {
    /// All of them.
    pub const ALL: [Ready; 4] = [Ready::Logging, Ready::Database, Ready::Service, Ready::Model];

    /// Returns its name, without `builtin:`.
    pub fn name(self) -> &'static str {
        match self {
            Ready::Logging => "logging",
            Ready::Database => "database",
            Ready::Service => "service",
            Ready::Model => "model",
        }
    }

    /// Returns the schema's text, JSON.
    pub fn text(self) -> &'static str {
        match self {
            Ready::Logging => include_str!("logging.json"),
            Ready::Database => include_str!("database.json"),
            Ready::Service => include_str!("service.json"),
            Ready::Model => include_str!("model.json"),
        }
    }

    /// Returns the one that a name such as `builtin:service` means.
    pub fn of_path(path: &str) -> Option<Ready> {
        let name = path.strip_prefix(BUILTIN)?;
        Ready::ALL.into_iter().find(|it| it.name() == name)
    }
}

impl ConfigSchema {
    /// Returns a ready schema; `findings` stay as they are, because these are in order.
    pub fn ready(ready: Ready, findings: &mut Findings) -> Option<ConfigSchema> {
        // The name has an extension for the parser, which goes by it.
        ConfigSchema::parse(&Arc::from(format!("{BUILTIN}{}.json", ready.name())), ready.text().as_bytes(), findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{lines, tree};
    use serde_json::{Value as Json, json};

    fn judged(ready: Ready, document: Json) -> Vec<String> {
        let mut findings = Findings::new();
        let schema = ConfigSchema::ready(ready, &mut findings).expect("it is in order");
        assert_eq!(lines(&findings), [""; 0]);
        schema.validate(&tree("app.yaml", document), &mut findings);
        lines(&findings)
    }

    #[test]
    fn m26_ready_schemas_accept_what_is_usual_and_refuse_what_is_wrong() {
        let accepted = [
            (Ready::Logging, json!({})),
            (
                Ready::Logging,
                json!({"level": "debug", "output": "file", "file": "/var/log/a", "levels": {"db": "error"}}),
            ),
            (
                Ready::Database,
                json!({"name": "app", "host": "db", "port": 3306, "driver": "mysql", "pool": {"max": 5}}),
            ),
            (Ready::Service, json!({"port": 443, "scheme": "https", "tls": {"certificate": "/c", "key": "/k"}})),
            (Ready::Model, json!({"provider": "local", "model": "small", "temperature": 0.2})),
        ];
        for (ready, document) in accepted {
            assert_eq!(judged(ready, document.clone()), [""; 0], "{ready:?} {document}");
        }
        let refused = [
            (Ready::Logging, json!({"level": "inf"}), "did you mean \"info\"?"),
            (Ready::Logging, json!({"output": "file"}), "file: it is required"),
            (Ready::Logging, json!({"levels": {"db": "loud"}}), "levels.db"),
            (Ready::Database, json!({}), "name: it is required"),
            (Ready::Database, json!({"name": "a", "port": 70_000}), "greater than the maximum 65535"),
            (Ready::Database, json!({"name": "a", "pasword": "x"}), "did you mean `password`?"),
            (Ready::Service, json!({"port": "80"}), "write 80 without quotes"),
            (Ready::Service, json!({"base_url": "localhost"}), "base_url"),
            (Ready::Service, json!({"tls": {"certificate": "/c"}}), "tls.key: it is required"),
            (Ready::Model, json!({"provider": "x"}), "model: it is required"),
            (Ready::Model, json!({"provider": "x", "model": "y", "temperature": 3}), "greater than the maximum 2"),
        ];
        for (ready, document, text) in refused {
            let found = judged(ready, document.clone());
            assert!(found.iter().any(|it| it.contains(text)), "{ready:?} {document}: {found:?}");
        }
    }

    #[test]
    fn m61_ready_defaults_are_local_numeric_and_agree() {
        let mut findings = Findings::new();
        let mut defaults = |ready| ConfigSchema::ready(ready, &mut findings).expect("in order").defaults().to_json();
        let service = defaults(Ready::Service);
        assert_eq!(
            (&service["host"], service["port"].as_u64(), &service["scheme"]),
            (&json!("localhost"), Some(8080), &json!("http"))
        );
        assert_eq!(service["base_url"], format!("http://localhost:{}", service["port"]));
        let database = defaults(Ready::Database);
        assert_eq!((&database["host"], database["port"].as_u64()), (&json!("localhost"), Some(5432)));
    }
}

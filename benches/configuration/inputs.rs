//! What is measured: always the same.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The environments of a repository.
const ENVIRONMENTS: usize = 50;

/// How the 1,000 documents of a repository belong to its environments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Twenty for each.
    Own,
    /// All but one shared.
    Shared,
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes documents and their schema into a folder; returns the names of the documents.
pub fn documents(dir: &Path, n: usize) -> Vec<String> {
    let schema = r#"{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object", "required": ["host", "port", "upstreams"], "additionalProperties": false,
  "properties": {
    "host": {"type": "string", "pattern": "^h[0-9]+$"},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "workers": {"type": "integer", "minimum": 1},
    "names": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    "upstreams": {"type": "array", "items": {
      "type": "object", "required": ["name", "servers"],
      "properties": {
        "name": {"type": "string"},
        "servers": {"type": "array", "minItems": 1, "items": {
          "type": "object", "required": ["ip", "port"], "additionalProperties": false,
          "properties": {
            "ip": {"type": "string", "pattern": "^[0-9.]+$"}, "port": {"type": "integer"},
            "backup": {"type": "boolean"}, "weight": {"type": "integer"}
          }
        }}
      }
    }}
  }
}
"#;
    put(&dir.join("schema.json"), schema);
    let document = |idx: usize| {
        let mut text = format!("host: h{idx:04}\nport: {}\nworkers: {}\n", 1024 + idx % 60_000, 1 + idx % 32);
        text.push_str("names: [a.example, b.example, c.example, d.example]\nupstreams:\n");
        for upstream in 0..6 {
            writeln!(text, "  - name: Up{upstream}\n    servers:").unwrap();
            for server in 0..5 {
                let port = 1024 + (idx * 31 + server) % 8000;
                writeln!(text, "      - ip: 10.0.{upstream}.{server}\n        port: {port}").unwrap();
                writeln!(text, "        backup: {}\n        weight: {}", server == 4, 1 + server).unwrap();
            }
        }
        text
    };
    let names: Vec<String> = (0..n).map(|it| format!("{it:04}.yaml")).collect();
    names.iter().enumerate().for_each(|(idx, name)| put(&dir.join(name), &document(idx)));
    names
}

/// Writes a repository of 50 environments and 1,000 documents, with a schema and a policy, whose configurations are all
/// written to files.
pub fn repository(dir: &Path, shape: Shape) {
    let schema = r#"{
  "type": "object", "additionalProperties": {
    "type": "object", "required": ["name", "port"], "additionalProperties": false,
    "properties": {
      "name": {"type": "string", "pattern": "^[a-z0-9-]+$"},
      "port": {"type": "integer", "minimum": 1, "maximum": 65535},
      "hosts": {"type": "array", "items": {"type": "string"}},
      "enabled": {"type": "boolean"}
    }
  }
}
"#;
    put(&dir.join("schemas/app.json"), schema);
    let policy = "package main\n\ndeny contains msg if {\n  some name, sections in input.configurations\n  \
        some section in sections\n  section.port < 10\n  msg := sprintf(\"%s: port %d\", [name, section.port])\n}\n";
    put(&dir.join("policies/ports.rego"), policy);
    let document = |idx: usize| {
        let mut text = String::new();
        for section in 0..6 {
            writeln!(text, "section{section}:\n  name: service-{idx}-{section}\n  port: {}", 1024 + idx).unwrap();
            writeln!(text, "  hosts: [a{idx}, b{idx}, c]\n  enabled: true").unwrap();
        }
        text
    };
    let (n_all, n_shared) = match shape {
        Shape::Own => (20, 0),
        Shape::Shared => (951, 950),
    };
    let mut manifest = "version: 1\nenvironments:\n".to_owned();
    for environment in 0..ENVIRONMENTS {
        writeln!(manifest, "  env{environment}: {{type: staging}}").unwrap();
        for own in n_shared..n_all {
            let idx = n_shared + environment * (n_all - n_shared) + own - n_shared;
            put(&dir.join(format!("config/env{environment}/c{own}.yaml")), &document(idx));
        }
    }
    manifest.push_str("configurations:\n");
    for idx in 0..n_all {
        let path = match idx < n_shared {
            true => format!("config/c{idx}.yaml"),
            false => format!("config/{{{{ environment }}}}/c{idx}.yaml"),
        };
        writeln!(manifest, "  c{idx}: {{layers: ['{path}'], schema: schemas/app.json}}").unwrap();
        if idx < n_shared {
            put(&dir.join(path), &document(idx));
        }
    }
    manifest.push_str("policies: [policies]\ntargets:\n  app:\n    path: /srv/app\n    files:\n");
    for idx in 0..n_all {
        writeln!(manifest, "      - {{write: c{idx}.json, configuration: c{idx}}}").unwrap();
    }
    put(&dir.join("headfast.yaml"), &manifest);
}

/// Makes a repository whose history has so many commits, each of which changes a line of one of so many files.
pub fn chain(dir: &Path, n_commits: usize, n_files: usize) {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(dir).args(arguments).stdout(Stdio::null());
        command
    };
    fs::create_dir_all(dir).unwrap();
    assert!(git(&["init", "-q", "-b", "main"]).status().unwrap().success());
    let keys = |value: usize| (0..50).fold(String::new(), |text, key| format!("{text}key{key}: {}\n", value + key));
    let template = (0..50).fold(String::new(), |text, key| format!("{text}key{key} = {{{{ key{key} }}}}\n"));
    let manifest = format!(
        "version: 1\nenvironments: {{production: {{type: production}}}}\nconfigurations:\n  app: {{layers: [app.yaml]}}\n\
        targets:\n  app:\n    path: {}\n    files:\n      - {{template: app.conf.j2, configuration: app}}\n",
        dir.with_extension("live").display()
    );
    let mut stream = Vec::new();
    for commit in 0..n_commits {
        let who = format!("committer A <a@example.org> {} +0000", 1_700_000_000 + commit * 60);
        writeln!(stream, "commit refs/heads/main\n{who}\ndata 6\nchange").unwrap();
        let mut file = |path: &str, text: &str| {
            writeln!(stream, "M 100644 inline {path}\ndata {}\n{text}", text.len()).unwrap();
        };
        if commit == 0 {
            file("headfast.yaml", &manifest);
            file("app.conf.j2", &template);
            file("app.yaml", &keys(0));
        }
        let changed = commit % n_files;
        file(&format!("files/{}/f{changed}.txt", changed % 20), &format!("commit {commit}\n"));
        if commit % 100 == 50 {
            // One more line is new.
            let texts: Vec<String> = keys(0).lines().map(str::to_owned).collect();
            let of = |(idx, line): (usize, &String)| match idx * 100 + 50 <= commit {
                true => format!("{line}1\n"),
                false => format!("{line}\n"),
            };
            file("app.yaml", &texts.iter().enumerate().map(of).collect::<String>());
        }
    }
    let mut import = git(&["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(&stream).unwrap();
    assert!(import.wait().unwrap().success());
    assert!(git(&["reset", "-q", "--hard"]).status().unwrap().success());
}

/// Sets up a host that has deployed the repository that [`chain`] made in `dir`; returns its agent.yaml, and a commit in the
/// middle of the history.
pub fn host(dir: &Path, program: &Path) -> (PathBuf, String) {
    let (config, live) = (dir.with_extension("yaml"), dir.with_extension("live"));
    fs::create_dir_all(&live).unwrap();
    let text = format!(
        "host: web-1\nstate_dir: {}\nrepositories:\n  - name: site\n    url: {}\n    branch: main\n    \
        environment: production\n    allow: {{paths: [{}]}}\n",
        dir.with_extension("state").display(),
        dir.display(),
        live.display()
    );
    put(&config, &text);
    fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
    let synced = Command::new(program).args(["sync", "--config"]).arg(&config).output().unwrap();
    assert!(synced.status.success(), "{synced:?}");
    let middle = Command::new("git").current_dir(dir).args(["rev-parse", "HEAD~2500"]).output().unwrap();
    (config, String::from_utf8(middle.stdout).unwrap().trim().to_owned())
}

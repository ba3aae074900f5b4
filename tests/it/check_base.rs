//! `check` for every host and label set, and `check --base`: what a change does.

use crate::host::{Output, headfast};
use crate::servers::repository::git;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "\
version: 1
environments:
  production: {type: production}
  staging: {type: staging}
configurations:
  app: {layers: [app.yaml, 'env/{{ environment }}.yaml?']}
hosts:
  web-1: {environment: production, labels: {role: web}}
  web-2: {environment: production, labels: {role: web}}
  web-3: {environment: staging, labels: {role: web}}
targets:
  app:
    path: /srv/app
    files:
      - {template: templates, configuration: app}
      - {copy: files, to: static}
    reload: [{unit: app.service, action: restart, when: ['app.conf']}, {command: [/bin/flush], when: ['static/**']}]
  db:
    path: /srv/db
    on: {host: 'db-*', labels: {role: db}}
    environments: [production]
    files: [{copy: db}]
";

/// A git repository with one commit.
struct Repo {
    dir: tempfile::TempDir,
}

impl Repo {
    fn new() -> Repo {
        let repo = Repo { dir: tempfile::tempdir().unwrap() };
        git(repo.root(), &["init", "-q", "-b", "main"]);
        repo.write("headfast.yaml", MANIFEST);
        repo.write("app.yaml", "port: 80\nold: 1\n");
        repo.write("templates/app.conf.j2", "port {{ port }}\n");
        repo.write("files/a.css", "a\n");
        repo.write("db/db.conf", "x\n");
        repo
    }

    fn committed() -> Repo {
        let repo = Repo::new();
        repo.commit();
        repo
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.root().join(path)).unwrap();
    }

    fn commit(&self) {
        git(self.root(), &["add", "-A"]);
        git(self.root(), &["commit", "-q", "-m", "x"]);
    }

    fn check(&self, arguments: &[&str]) -> Output {
        headfast(self.root(), &[&["check"], arguments].concat())
    }

    fn changes(&self) -> Vec<Value> {
        let document = self.check(&["--base", "HEAD", "--json"]).ends(0).json();
        document["changes"].as_array().unwrap().clone()
    }

    /// Everything below `.git`, with its content.
    fn git_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn visit(dir: &Path, all: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { visit(&path, all) } else { all.push((path.clone(), fs::read(&path).unwrap())) }
            }
        }
        let mut all = Vec::new();
        visit(&self.root().join(".git"), &mut all);
        all.sort();
        all
    }
}

#[test]
fn every_target_is_rendered_at_least_once() {
    let repo = Repo::new();
    let all = repo.check(&["--json"]).ends(0);
    assert!(all.stderr.contains("ok: 2 environments, 4 hosts, 9 files"), "{}", all.stderr);
    // Of the target that no declared host has, every mistake is found, too.
    repo.write("headfast.yaml", &MANIFEST.replace("{copy: db}", "{copy: nothing}"));
    repo.check(&[]).ends(3).says(&["E_SOURCE_MISSING", "environment production", "failed: 1 error"]);
    // What only a real host can say is no mistake.
    repo.write(
        "headfast.yaml",
        &MANIFEST.replace("{copy: db}", "{copy: 'db/{{ host }}'}, {copy: 'db/{{ labels.disk }}'}"),
    );
    repo.check(&[]).ends(0).says(&[
        "note: target db was not rendered in production: it needs the label `disk` and the name of its hosts",
        "ok: 2 environments, 4 hosts",
    ]);
    repo.write("headfast.yaml", &MANIFEST.replace("{copy: db}", "{template: db}"));
    repo.write("db/t.j2", "{{ labels.rack }}\n");
    repo.check(&[]).ends(0).says(&["note: target db was not rendered in production: it needs the label `rack`"]);
    // Of a declared host it is one.
    let declared = "hosts:\n  db-1: {environment: production, labels: {role: db}}\n";
    repo.write("headfast.yaml", &MANIFEST.replace("{copy: db}", "{template: db}").replace("hosts:\n", declared));
    repo.check(&[]).ends(3).says(&["E_UNDEFINED", "labels.rack"]);
}

#[test]
fn a_check_can_be_narrowed() {
    let repo = Repo::new();
    repo.check(&["--environment", "staging"]).ends(0).says(&["ok: 1 environment, 1 host, 2 files"]);
    repo.check(&["--host", "web-2"]).ends(0).says(&["ok: 1 environment, 1 host, 2 files"]);
    repo.check(&["--label", "role=db"]).ends(0).says(&["ok: 1 environment, 1 host, 3 files"]);
    let unknown = ["--host", "db-7", "--label", "role=db", "--environment", "production"];
    repo.check(&unknown).ends(0).says(&["ok: 1 environment, 1 host, 3 files"]);
    repo.check(&["--environment", "stagin"]).ends(2).says(&["no environment `stagin`", "did you mean `staging`?"]);
}

#[test]
fn x05_check_base_shows_files_keys_and_restarts_per_environment() {
    let repo = Repo::committed();
    let before = repo.git_files();
    assert_eq!(
        repo.check(&["--base", "HEAD"]).ends(0).stdout.lines().next(),
        Some("nothing changes in production and staging")
    );
    repo.write("env/production.yaml", "port: 8080\nnew: {a: 1}\n");
    repo.write("files/b.css", "b\n");
    repo.remove("db/db.conf");
    repo.write("db/other.conf", "x\n");
    let output = repo.check(&["--base", "HEAD"]).ends(0);
    insta::assert_snapshot!(output.stdout, @r#"
    production: web-1 and web-2
      files
        ~ /srv/app/app.conf
        + /srv/app/static/b.css
      keys
        ~ app: port = 80 -> 8080
        + app: new = a map of 1 key
      restarts
        app.service (restart)
        /bin/flush
    production: db-any (role=db)
      files
        ~ /srv/app/app.conf
        + /srv/app/static/b.css
        - /srv/db/db.conf
        + /srv/db/other.conf
      keys
        ~ app: port = 80 -> 8080
        + app: new = a map of 1 key
      restarts
        app.service (restart)
        /bin/flush
    staging: web-3
      files
        + /srv/app/static/b.css
      restarts
        /bin/flush
    ok: 2 environments, 4 hosts, 13 files
    "#);
    assert_eq!(repo.git_files(), before, "nothing is written into the repository");

    let changes = repo.changes();
    let of = |environment: &str, n: usize| {
        changes.iter().filter(|it| it["environment"] == environment).nth(n).cloned().unwrap_or_default()
    };
    let production = of("production", 0);
    assert_eq!(production["hosts"], serde_json::json!(["web-1", "web-2"]));
    assert_eq!(production["keys"][0]["key"], "port");
    assert_eq!((&production["keys"][0]["old"], &production["keys"][0]["new"]), (&"80".into(), &"8080".into()));
    assert_eq!(production["files"][0]["live"], "/srv/app/app.conf");
    assert_eq!(
        production["reloads"],
        serde_json::json!([
            {"unit": "app.service", "action": "restart"}, {"command": ["/bin/flush"]},
        ])
    );
    assert_eq!(of("production", 1)["hosts"], serde_json::json!(["db-any (role=db)"]));
    assert_eq!(of("staging", 0)["keys"], serde_json::json!([]));
}

#[test]
fn f12_check_against_a_base_warns_of_a_file_that_becomes_empty() {
    let repo = Repo::committed();
    repo.write("files/a.css", "");
    repo.check(&["--base", "HEAD"]).ends(0).says(&["warning[E_EMPTY_FILE]: `/srv/app/static/a.css` becomes empty"]);
    assert!(!repo.check(&[]).ends(0).stderr.contains("E_EMPTY_FILE"));
}

#[test]
fn a_base_is_found_from_a_folder_of_the_repository() {
    let repo = Repo::new();
    for name in ["headfast.yaml", "app.yaml", "templates/app.conf.j2", "files/a.css", "db/db.conf"] {
        let text = fs::read_to_string(repo.root().join(name)).unwrap();
        repo.write(&format!("ops/{name}"), &text);
    }
    repo.commit();
    repo.write("ops/files/a.css", "b\n");
    let output = headfast(repo.root(), &["check", "ops", "--base", "main"]).ends(0);
    assert!(output.stdout.contains("~ /srv/app/static/a.css\n"), "{}", output.stdout);
    repo.write("more/headfast.yaml", MANIFEST);
    for name in ["app.yaml", "templates/app.conf.j2", "files/a.css", "db/db.conf"] {
        repo.write(&format!("more/{name}"), "x: 1\n");
    }
    // The commit does not have the folder: all of it is new.
    repo.write("more/templates/app.conf.j2", "x\n");
    let output = headfast(repo.root(), &["check", "more", "--base", "main"]).ends(0);
    assert!(output.stdout.contains("+ /srv/app/app.conf\n"), "{}", output.stdout);
}

#[test]
fn a_base_that_is_wrong_itself_is_nothing_to_compare_with() {
    let repo = Repo::new();
    repo.write("env/staging.yaml", "port: ${NOBODY}\n");
    repo.commit();
    repo.write("env/staging.yaml", "port: 1\n");
    let output = repo.check(&["--base", "HEAD"]).ends(0);
    let output =
        output.says(&["staging: web-3\n", "cannot be rendered itself (1 error)", "0 findings are new and 1 gone"]);
    assert!(output.stdout.contains("nothing changes in production"), "{}", output.stdout);
    assert!(!output.stderr.contains("NOBODY"), "{}", output.stderr);
    repo.write("headfast.yaml", "version: [\n");
    repo.commit();
    repo.write("headfast.yaml", MANIFEST);
    repo.check(&["--base", "HEAD"]).ends(0).says(&["production: web-1, web-2 and db-any (role=db)\n"]);
    repo.check(&["--base", "nowhere"]).ends(2).says(&["E_NOT_FOUND", "nowhere"]);
    let alone = tempfile::tempdir().unwrap();
    fs::write(alone.path().join("headfast.yaml"), "version: 1\n").unwrap();
    headfast(alone.path(), &["check", "--base", "HEAD"]).ends(2).says(&["E_USAGE", "needs a git repository"]);
}

#[test]
fn a_target_with_another_name_changes_no_file() {
    let repo = Repo::committed();
    repo.write("headfast.yaml", &MANIFEST.replace("  app:\n    path", "  web:\n    path"));
    repo.check(&["--base", "HEAD"]).ends(0).says(&["nothing changes in production and staging"]);
    // Gone targets, and gone environments, are told.
    let without = MANIFEST.split("  db:\n").next().unwrap().replace("  staging: {type: staging}\n", "");
    repo.write("headfast.yaml", &without.replace("  web-3: {environment: staging, labels: {role: web}}\n", ""));
    repo.check(&["--base", "HEAD"]).ends(0).says(&[
        "production: db-any (role=db)\n",
        "- /srv/db/db.conf\n",
        "staging is gone: hosts that deploy it keep what they have",
    ]);
}

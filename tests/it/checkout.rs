//! The verbs that need no host: init, check, render, demo, and the reference.

use crate::host::headfast;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

const MANIFEST: &str = "\
version: 1
environments:
  production: {type: production}
  staging: {type: staging}
configurations:
  app: {layers: [app.yaml], schema: app.json}
hosts:
  web-1: {environment: production}
targets:
  app:
    path: /srv/app
    files: [{template: templates, configuration: app}]
";

const SCHEMA: &str = r#"{"type": "object", "properties": {"port": {"type": "integer", "maximum": 65535}}}"#;

/// A repository with one mistake.
fn wrong() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let files = [("headfast.yaml", MANIFEST), ("app.yaml", "port: 99999\n"), ("app.json", SCHEMA)];
    write(dir.path(), &files);
    write(dir.path(), &[("templates/a.j2", "{{ port }}\n")]);
    dir
}

#[test]
fn the_starter_passes_check_and_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    headfast(dir.path(), &["init", "new"]).ends(0).says(&["wrote", "git init"]);
    headfast(dir.path(), &["check", "new"]).ends(0).says(&["ok: 2 environments, 2 hosts"]);
    headfast(dir.path(), &["render", "new", "--host", "web-1"])
        .ends(0)
        .says(&["==> /srv/app/settings.toml <==", "workers = 8"]);
    fs::write(dir.path().join("new/headfast.yaml"), "mine").unwrap();
    fs::remove_file(dir.path().join("new/README.md")).unwrap();
    headfast(dir.path(), &["init", "new"]).ends(2).says(&["E_USAGE", "headfast.yaml", "nothing was written"]);
    assert_eq!(fs::read_to_string(dir.path().join("new/headfast.yaml")).unwrap(), "mine");
    assert!(!dir.path().join("new/README.md").exists());
}

#[test]
fn the_starter_has_the_schemas_that_its_files_name() {
    let dir = tempfile::tempdir().unwrap();
    headfast(dir.path(), &["init"]).ends(0).says(&["wrote 12 files to ."]);
    for (file, schema) in [("headfast.yaml", "manifest"), ("agent.example.yaml", "agent")] {
        let text = fs::read_to_string(dir.path().join(file)).unwrap();
        let named = text.lines().next().and_then(|it| it.strip_prefix("# yaml-language-server: $schema="));
        let there = fs::read_to_string(dir.path().join(named.expect("the first line names a schema"))).unwrap();
        assert_eq!(headfast(dir.path(), &["schema", "show", schema]).ends(0).stdout, there, "{file}");
        // What is completed in an editor is also checked anywhere else.
        fs::write(dir.path().join("schema.json"), there).unwrap();
        headfast(dir.path(), &["schema", "check", "schema.json", file]).ends(0).says(&["all fit"]);
    }
    fs::write(dir.path().join("bad.yaml"), "version: 1\nenvironments: {}\nhots: {}\ntargets: {}\n").unwrap();
    fs::write(dir.path().join("schema.json"), headfast(dir.path(), &["schema", "show", "manifest"]).stdout).unwrap();
    let bad = headfast(dir.path(), &["schema", "check", "schema.json", "bad.yaml"]).ends(3);
    bad.says(&["bad.yaml:3:1", "did you mean `hosts`?"]);
    headfast(dir.path(), &["schema", "show", "manifst"])
        .ends(2)
        .says(&["there is no ready schema", "manifest and agent"]);
    // They are on no host.
    let rendered = headfast(dir.path(), &["render", "--host", "web-1"]).ends(0).stdout;
    assert!(!rendered.contains(".editor") && !rendered.contains("schema.json"), "{rendered}");
}

#[test]
fn check_shows_one_mistake_of_two_environments_once() {
    let dir = wrong();
    let output = headfast(dir.path(), &["check"]).ends(3);
    insta::assert_snapshot!(output.stderr, @r"
    error[E_SCHEMA]: port: 99999 is greater than the maximum 65535
     --> app.yaml:1:7
      |
    1 | port: 99999
      |       ^^^^^
      |
      = in: environments production and staging

    failed: 1 error
    ");
    assert_eq!(output.stdout, "");
}

#[test]
fn check_prints_for_machines() {
    let dir = wrong();
    let json = headfast(dir.path(), &["check", "--json"]).ends(3).json();
    assert_eq!(json["version"], 1);
    let finding = &json["findings"][0];
    assert_eq!((&finding["code"], &finding["severity"]), (&"E_SCHEMA".into(), &"error".into()));
    assert_eq!((&finding["file"], &finding["line"], &finding["column"]), (&"app.yaml".into(), &1.into(), &7.into()));
    assert_eq!(finding["environment"], "production");
    let sarif = headfast(dir.path(), &["check", "--format", "sarif"]).ends(3).json();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "E_SCHEMA");
    headfast(dir.path(), &["check", "--format", "github"])
        .ends(3)
        .says(&["::error file=app.yaml,line=1,col=7,title=E_SCHEMA::"]);
}

#[test]
fn x07_pointers_are_printed() {
    let dir = wrong();
    write(dir.path(), &[("app.yaml", "port: nine\n")]);
    let json = headfast(dir.path(), &["check", "--json"]).ends(3).json();
    let finding = &json["findings"][0];
    assert_eq!((&finding["pointer"], &finding["rule"]), (&"/port".into(), &"/properties/port/type".into()));
    assert_eq!((&finding["expected"], &finding["found"]), (&"an integer".into(), &"\"nine\"".into()));
}

#[test]
fn check_tells_each_finding_once_in_every_format() {
    let dir = wrong();
    let check = |format: &str| headfast(dir.path(), &["check", "--format", format]).ends(3);
    let message = "port: 99999 is greater than the maximum 65535";
    for format in ["human", "json", "sarif", "github"] {
        let output = check(format);
        let text = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(text.matches(message).count(), 1, "{format}: {text}");
        assert!(text.contains("production") && text.contains("staging"), "{format}: {text}");
        assert!(output.stderr.contains("failed: 1 error"), "{format}: {text}");
    }
    insta::assert_snapshot!(check("junit").stdout, @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="headfast check" tests="3" failures="2">
      <testsuite name="headfast.yaml" tests="1" failures="0">
        <testcase classname="headfast.yaml" name="manifest"/>
      </testsuite>
      <testsuite name="production" tests="1" failures="1">
        <testcase classname="production" name="web-1">
          <failure type="E_SCHEMA" message="port: 99999 is greater than the maximum 65535">error[E_SCHEMA]: port: 99999 is greater than the maximum 65535
     --&gt; app.yaml:1:7
      |
    1 | port: 99999
      |       ^^^^^
      |
      = in: environments production and staging
    </failure>
        </testcase>
      </testsuite>
      <testsuite name="staging" tests="1" failures="1">
        <testcase classname="staging" name="any-host">
          <failure type="E_SCHEMA" message="port: 99999 is greater than the maximum 65535">1 error of this host, told at production / web-1
    </failure>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
}

#[test]
fn warnings_do_not_fail_a_check() {
    let dir = wrong();
    let template = ("templates/a.j2", "{{ host }} {{ port }}\n");
    write(dir.path(), &[("app.yaml", "port: 80\nhost: clash\n"), template]);
    headfast(dir.path(), &["check"]).ends(0).says(&["warning[E_NAME_CLASH]", "ok: 2 environments, 2 hosts, 2 files, "]);
}

/// Environments are looked at side by side, and told in their order.
#[test]
fn check_says_the_same_on_one_processor_and_on_all() {
    let dir = tempfile::tempdir().unwrap();
    let of_environment = |idx: usize| format!("  env{idx}: {{type: staging}}\n");
    let environments: String = (0..24).map(of_environment).collect();
    let manifest = format!(
        "version: 1\nenvironments:\n{environments}configurations:\n  app: {{layers: [app.yaml, 'own/{{{{ environment }}}}.yaml?'], \
        schema: app.json}}\ntargets:\n  app:\n    path: /srv/app\n    files: [{{template: t, configuration: app}}]\n"
    );
    write(dir.path(), &[("headfast.yaml", &manifest), ("app.yaml", "port: 1\n"), ("app.json", SCHEMA)]);
    write(dir.path(), &[("t/a.j2", "{{ port }} {{ labels.x }}\n"), ("t/b.j2", "{{ prt }}\n")]);
    for idx in (0..24).step_by(3) {
        write(dir.path(), &[(&format!("own/env{idx}.yaml"), &format!("port: {idx}99999\n"))]);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|it| it.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let first: String = allowed.chars().take_while(char::is_ascii_digit).collect();
    for format in ["json", "junit", "human"] {
        let program = Path::new(env!("CARGO_BIN_EXE_headfast"));
        let mut on_one = Command::new("taskset");
        let on_one =
            on_one.args(["-c", &first]).arg(program).args(["check", "--format", format]).current_dir(dir.path());
        let on_one = on_one.output().unwrap();
        let on_all =
            Command::new(program).args(["check", "--format", format]).current_dir(dir.path()).output().unwrap();
        assert_eq!(on_all.status.code(), Some(3));
        assert_eq!(on_all, on_one);
    }
}

#[test]
fn check_of_what_is_no_repository() {
    let dir = tempfile::tempdir().unwrap();
    headfast(dir.path(), &["check"]).ends(3).says(&["E_MANIFEST_MISSING", "headfast init"]);
    headfast(dir.path(), &["check", "nowhere"]).ends(2).says(&["E_NOT_FOUND", "nowhere"]);
}

#[test]
fn render_writes_a_tree() {
    let dir = wrong();
    write(dir.path(), &[("app.yaml", "port: 80\n")]);
    headfast(dir.path(), &["render", "--environment", "staging", "--output", "out"]).ends(0);
    assert_eq!(fs::read_to_string(dir.path().join("out/srv/app/a")).unwrap(), "80\n");
    let mode = fs::metadata(dir.path().join("out/srv/app/a")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    headfast(dir.path(), &["render", "--environment", "staging", "--output", "out"]).ends(2).says(&["is not empty"]);
    headfast(dir.path(), &["render"]).ends(2).says(&["--environment", "production and staging"]);
    headfast(dir.path(), &["render", "--host", "web-1"]).ends(0).says(&["==> /srv/app/a <=="]);
    let json = headfast(dir.path(), &["render", "--host", "web-1", "--json"]).ends(0).json();
    assert_eq!((&json["files"][0]["path"], &json["files"][0]["mode"]), (&"/srv/app/a".into(), &"0644".into()));
}

#[test]
fn the_demo_tells_the_truth_and_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let output = headfast(dir.path(), &["demo"]).ends(0).says(&[
        "is deployed to production: 4 created",
        "-workers = 4\n+workers = 40\n",
        "is back in production",
        "E_PROBE",
        "is rolled back",
        "headfast: Revert \"Save some memory\"",
        "no file was touched",
        "is removed again",
    ]);
    assert!(!output.stdout.contains('\u{1b}'), "a pipe gets no colours");
    assert_eq!(output.stderr, "");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_reference_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let says = headfast(Path::new("/"), &["markdown-help"]).ends(0).stdout;
    if std::env::var_os("HEADFAST_REGENERATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &says).unwrap();
    }
    let is_same = fs::read_to_string(&path).is_ok_and(|it| it == says);
    assert!(is_same, "docs/cli.md is not what `headfast markdown-help` says: run the tests with HEADFAST_REGENERATE=1");
}

#[test]
fn completions_and_manual_pages_are_generated() {
    let root = Path::new("/");
    headfast(root, &["completions", "bash"]).ends(0).says(&["_headfast"]);
    headfast(root, &["man"]).ends(0).says(&[".TH headfast"]);
    headfast(root, &["man", "sync"]).ends(0).says(&["Fetch and deploy once"]);
    headfast(root, &["man", "synk"]).ends(2).says(&["E_USAGE"]);
    headfast(root, &["--version"]).ends(0).says(&[env!("CARGO_PKG_VERSION")]);
    headfast(root, &[]).ends(2);
}

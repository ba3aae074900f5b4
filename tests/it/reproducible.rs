//! One rendering everywhere (row F7), made of the repository and of nothing else (rows E1, E2, F3).

use crate::host::{Output, headfast};
use crate::servers::{is_left_out, program};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Templates, copies and written files, in which orders, cases, numbers and times could differ.
const FILES: &[(&str, &str)] = &[
    (
        "headfast.yaml",
        "\
version: 1
environments:
  production: {type: production, variables: {domain: i.example, zone: UTC}}
configurations:
  app: {layers: [app.yaml, more.toml, 'env:APP_'], schema: app.json}
policies: [policies]
hosts:
  web-1: {environment: production, labels: {role: web, rack: i1, zone: II}}
targets:
  app:
    path: /srv/app
    files:
      - {template: templates, configuration: app}
      - {copy: files}
      - {write: app.yml, configuration: app}
      - {write: app.json, configuration: app}
      - {write: app.toml, configuration: app, select: server}
    mode: '0640'
    overrides: [{match: 'bin/**', mode: '0755'}]
",
    ),
    (
        "app.yaml",
        "title: Istanbul ISSIZ iı İI\nsize: 1234567.5\nkeys: {i: 1, I: 2, ı: 3, İ: 4, ä: 5, z: 6}\nwhen: 2024-01-01\n",
    ),
    ("more.toml", "[server]\nport = 8080\nhosts = ['b', 'A', 'a', 'B']\n"),
    ("app.json", r#"{"type": "object", "properties": {"server": {"properties": {"threads": {"default": 4}}}}}"#),
    (
        "policies/p.rego",
        "package main\n\nimport rego.v1\n\ndeny contains \"no port\" if not input.configurations.app.server.port\n",
    ),
    (
        "templates/page.j2",
        "\
{{ title | upper }} {{ title | lower }} {{ title | capitalize }} {{ title | title }}
{{ size }} {{ size | round(1) }} {{ '%.3f %d' | format(size, 7) }}
{% for key, value in keys | items %}{{ key }}={{ value }} {% endfor %}
{% for key, value in keys | dictsort %}{{ key }}={{ value }} {% endfor %}
{{ server.hosts | sort | join(',') }} {{ server.hosts | unique | join(',') }} {{ keys | tojson }}
{{ labels | items | map('join', '=') | join(' ') }} {{ host }} {{ revision }} {{ when }}
{{ config | toyaml }}
",
    ),
    ("templates/run.sh.j2", "#!/bin/sh\nexec app {{ title | quote }} {{ domain }}\n"),
    ("files/bin/tool", "#!/bin/sh\n"),
    ("files/a", "a\n"),
];

fn repository(files: &[(&str, &str)], backwards: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files.to_vec();
    if backwards {
        files.reverse();
    }
    for (path, content) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

/// Every file below a folder with its bytes and mode.
fn found(dir: &Path, below: &str, all: &mut BTreeMap<String, (Vec<u8>, u32)>) {
    for entry in fs::read_dir(dir.join(below)).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            found(dir, &path, all);
        } else {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
            all.insert(path, (fs::read(entry.path()).unwrap(), mode));
        }
    }
}

fn elsewhere(dir: &Path, arguments: &[&str]) -> Output {
    let output = Command::new("/bin/sh")
        .args(["-c", "umask 000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_headfast")])
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .envs([("LC_ALL", "tr_TR.UTF-8"), ("LANG", "tr_TR.UTF-8"), ("LANGUAGE", "tr"), ("TZ", "Pacific/Kiritimati")])
        .envs([("HOME", "/nonexistent"), ("APP_SERVER__PORT", "1"), ("domain", "other"), ("HOSTNAME", "other")])
        .stdin(Stdio::null())
        .output();
    Output::of(output.unwrap())
}

#[test]
fn f07_another_locale_zone_umask_folder_and_process_give_the_same_bytes() {
    let here = repository(FILES, false);
    let there = repository(FILES, true);
    let out = tempfile::tempdir().unwrap();
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    let (first, second) = (path("first"), path("second"));
    headfast(here.path(), &["render", "--host", "web-1", "--output", &first]).ends(0);
    let repo = there.path().to_str().unwrap().to_owned();
    elsewhere(out.path(), &["render", &repo, "--host", "web-1", "--output", &second]).ends(0);
    let (mut these, mut those) = (BTreeMap::new(), BTreeMap::new());
    found(Path::new(&first), "", &mut these);
    found(Path::new(&second), "", &mut those);
    assert_eq!(these.len(), 7, "{:?}", these.keys());
    assert_eq!(these, those);
    let page = String::from_utf8(these["srv/app/page"].0.clone()).unwrap();
    assert!(page.contains("A,a,b,B") && page.contains("i=1 I=2 ı=3 İ=4 ä=5 z=6"), "{page}");
    // The digest covers modes and the rest; every process has a hash seed of its own.
    let digest = headfast(here.path(), &["render", "--host", "web-1", "--json"]).ends(0).json();
    for _ in 0..3 {
        assert_eq!(elsewhere(out.path(), &["render", &repo, "--host", "web-1", "--json"]).ends(0).json(), digest);
    }
}

/// Renders a repository under strace; returns how it ended and the calls that name files or the network.
fn traced(repo: &Path) -> (Output, Vec<String>) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(program("strace", "strace", "strace"))
        .args(["-f", "-qqq", "-s", "4096", "-e", "trace=%file,%network", "-o"])
        .arg(log.path())
        .arg(env!("CARGO_BIN_EXE_headfast"))
        .args(["check", "."])
        .current_dir(repo)
        .env_clear()
        .envs([("HOME", "/nonexistent"), ("PATH", "/nonexistent")])
        .stdin(Stdio::null())
        .output();
    let calls = fs::read_to_string(log.path()).unwrap();
    (Output::of(output.unwrap()), calls.lines().map(str::to_owned).collect())
}

/// Fails if anything but the repository and what the program and its libraries need to start was opened, or a socket made.
#[track_caller]
fn stays_inside(repo: &Path, calls: &[String]) {
    const START: &[&str] = &[
        "/lib",
        "/usr/lib",
        "/etc/ld.so",
        "/proc/self/maps",
        "/proc/self/cgroup",
        "/sys/fs/cgroup",
        "/dev/null",
        "/dev/urandom",
    ];
    assert!(calls.iter().any(|it| it.contains("headfast.yaml")), "nothing was traced: {calls:?}");
    let repo = repo.canonicalize().unwrap();
    for call in calls {
        let call = call.trim_start_matches(|it: char| it.is_ascii_digit()).trim_start();
        let name = call.split('(').next().unwrap_or_default();
        assert!(!matches!(name, "socket" | "connect" | "sendto" | "sendmsg" | "bind"), "{call}");
        let Some(path) = call.split('"').nth(1).filter(|_| name.starts_with("open")) else { continue };
        let is_inside =
            !path.starts_with('/') && !path.split('/').any(|it| it == "..") || Path::new(path).starts_with(&repo);
        assert!(is_inside || START.iter().any(|it| path.starts_with(it)), "{call}");
    }
}

#[test]
fn f03_no_include_opens_a_file_outside_the_repository() {
    if is_left_out("strace") {
        return;
    }
    let names = [
        "/etc/hostname",
        "../outside",
        "a/../../outside",
        "/proc/self/environ",
        "./x",
        "link",
        "linked/hostname",
        "~/x",
    ];
    let mut files = vec![("headfast.yaml".to_owned(), "version: 1\nenvironments: {e: {type: staging}}\ntargets:\n  app: {path: /srv/app, files: [{template: templates}]}\n".to_owned())];
    for (idx, name) in names.iter().enumerate() {
        for (kind, tag) in ["include 'N' ignore missing", "extends 'N'", "import 'N' as x"].iter().enumerate() {
            let tag = tag.replace('N', name);
            files.push((format!("templates/{idx}{kind}.j2"), format!("{{% set n = '{name}' %}}{{% {tag} %}}")));
            files.push((
                format!("templates/{idx}{kind}-dynamic.j2"),
                format!("{{% set n = '{name}' %}}{{% include n ~ '' %}}"),
            ));
        }
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let dir = repository(&files, false);
    std::os::unix::fs::symlink("/etc/hostname", dir.path().join("templates/link")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("templates/linked")).unwrap();
    let (output, calls) = traced(dir.path());
    output.ends(3).says(&["E_INCLUDE", "is a symbolic link", "`/proc/self/environ` names another place"]);
    stays_inside(dir.path(), &calls);
    // Nor through a link, which would lead out.
    assert!(!calls.iter().any(|it| it.contains(" open") && it.contains("templates/link")), "{calls:?}");
}

#[test]
fn e1_e2_no_reference_of_a_schema_opens_a_file_or_a_socket() {
    if is_left_out("strace") {
        return;
    }
    let references = [
        "http://127.0.0.1:9/s.json",
        "https://example.org/s.json#/a",
        "file:///etc/hostname",
        "../outside.json",
        "/etc/hostname",
        r"\\\\host\\share\\s.json",
        "urn:x:y",
        "other.json",
    ];
    let mut files = vec![("app.yaml".to_owned(), "a: 1\n".to_owned()), ("other.json".to_owned(), "{}".to_owned())];
    let mut configurations = String::new();
    for (idx, reference) in references.iter().enumerate() {
        let keyword = if idx % 2 == 0 { "$ref" } else { "$dynamicRef" };
        files.push((format!("s{idx}.json"), format!(r#"{{"properties": {{"a": {{"{keyword}": "{reference}"}}}}}}"#)));
        files.push((format!("m{idx}.json"), format!(r#"{{"$schema": "{reference}"}}"#)));
        configurations += &format!("  c{idx}: {{layers: [app.yaml], schema: s{idx}.json}}\n");
        configurations += &format!("  m{idx}: {{layers: [app.yaml], schema: m{idx}.json}}\n");
    }
    let outputs: String = (0..references.len())
        .map(|idx| {
            format!("{{write: c{idx}.json, configuration: c{idx}}}, {{write: m{idx}.json, configuration: m{idx}}}, ")
        })
        .collect();
    files.push(("headfast.yaml".to_owned(), format!("version: 1\nenvironments: {{e: {{type: staging}}}}\nconfigurations:\n{configurations}targets:\n  app: {{path: /srv/app, files: [{outputs}]}}\n")));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let dir = repository(&files, false);
    let (output, calls) = traced(dir.path());
    output.ends(3).says(&["E_REF_REMOTE", "s0.json", "s2.json", "s3.json"]);
    stays_inside(dir.path(), &calls);
}

//! Remote layers of a checkout.

use crate::host::{Output, headfast};
use crate::remote::digest;
use crate::servers::files::Files;
use crate::servers::https::{Https, NAME};
use crate::servers::is_left_out;
use std::fs;
use std::path::Path;
use std::process::Command;

const MANIFEST: &str = "\
version: 1
environments:
  production: {type: production}
  staging: {type: staging}
configurations:
  app:
    layers:
      - app.yaml
      - @LAYER@
    schema: app.json
targets:
  app:
    path: /srv/app
    files: [{write: all.json, configuration: app}]
";

const SCHEMA: &str = r#"{"type": "object", "properties": {"port": {"type": "integer", "maximum": 65535}}}"#;

/// A checkout with a plain layer below a remote one.
fn checkout(url: &str, content: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let layer = format!("{url}#sha256={}", digest(content));
    let manifest = MANIFEST.replace("@LAYER@", &layer);
    for (path, text) in
        [("headfast.yaml", manifest.as_str()), ("app.yaml", "port: 80\nname: one\n"), ("app.json", SCHEMA)]
    {
        fs::write(dir.path().join(path), text).unwrap();
    }
    dir
}

fn cached(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn x24_a_rendering_with_a_remote_layer_needs_no_network_twice() {
    let mut server = Files::start();
    server.put("/shared/app.yaml", b"# shared\nport: 81\n");
    let dir = checkout(&server.url("/shared/app.yaml"), b"# shared\nport: 81\n");
    let run = |arguments: &[&str]| headfast(dir.path(), arguments);
    run(&["check", "--offline"]).ends(1).says(&["E_REMOTE_FETCH", "headfast.yaml:9:9", "--offline"]);
    assert_eq!(server.n_connections(), 0);
    run(&["check"]).ends(0).says(&["ok: 2 environments"]);
    // Once for both environments, unless they are looked at side by side.
    assert!((1..=2).contains(&server.n_connections()), "{}", server.n_connections());
    assert_eq!(cached(&dir.path().join(".cache/headfast/remote")), [digest(b"# shared\nport: 81\n")]);
    server.stop();
    for offline in [&[][..], &["--offline"]] {
        run(&[&["check"], offline].concat()).ends(0);
        let production = &["--environment", "production"];
        run(&[&["render"], &production[..], offline].concat()).ends(0).says(&["\"port\": 81", "\"name\": \"one\""]);
        run(&[&["get", "port"], &production[..], offline].concat()).ends(0).says(&["81"]);
        run(&[&["why", "app/all.json:port"], &production[..], offline].concat())
            .ends(0)
            .says(&[&format!("set   {}:2:7  81", server.url("/shared/app.yaml")), "over  app.yaml:1:7  80"]);
    }
}

#[test]
fn x24_set_never_writes_a_remote_layer() {
    let server = Files::start();
    server.put("/app.yaml", b"port: 81\n");
    let url = server.url("/app.yaml");
    let dir = checkout(&url, b"port: 81\n");
    let set = |arguments: &[&str]| headfast(dir.path(), &[&["set", "--environment", "production"], arguments].concat());
    set(&["port", "82"]).ends(4).says(&[
        "E_SET",
        &format!("`port` comes from {url}, which is not in this repository"),
        "new digest",
    ]);
    set(&["port", "82", "--layer", &url]).ends(4).says(&["E_SET", "is not in this repository"]);
    set(&["port", "82", "--layer", "app.yaml"]).ends(4).says(&["E_SET", "would not count", "new digest"]);
    set(&["name", "two"]).ends(0).says(&["app.yaml:2: `name` set"]);
    set(&["other", "new"]).ends(0).says(&["app.yaml:3: `other` set"]);
}

#[test]
fn x24_findings_in_a_remote_layer_name_its_address_in_every_format() {
    let server = Files::start();
    let content = b"# shared\nport: 99999\n";
    server.put("/app.yaml", content);
    let url = server.url("/app.yaml");
    let dir = checkout(&url, content);
    let check = |format: &str| headfast(dir.path(), &["check", "--format", format]).ends(3);
    check("human").says(&["E_SCHEMA", &format!("--> {url}:2:7"), "2 | port: 99999"]);
    let json = check("json").json();
    assert_eq!((&json["findings"][0]["file"], &json["findings"][0]["line"]), (&url.as_str().into(), &2.into()));
    let sarif = check("sarif").json();
    let location = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"], serde_json::json!({"uri": url}));
    assert_eq!(location["region"]["startLine"], 2);
    let escaped = url.replace(':', "%3A");
    check("github").says(&[&format!("::error file={escaped},line=2,col=7,title=E_SCHEMA::")]);
    check("junit").says(&[&url]);
}

#[test]
fn x24_certificates_of_a_checkout_come_from_the_environment_and_a_cache_that_cannot_be_written_is_done_without() {
    if is_left_out(NAME) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("layers")).unwrap();
    fs::write(root.path().join("layers/app.yaml"), "port: 81\n").unwrap();
    let server = Https::start(root.path(), "");
    let dir = checkout(&server.url("layers/app.yaml"), b"port: 81\n");
    fs::write(dir.path().join("file"), "").unwrap();
    let check = |ca: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headfast"));
        command.arg("check").current_dir(dir.path()).env_clear().env("SSL_CERT_FILE", server.file(ca));
        Output::of(command.env("XDG_CACHE_HOME", dir.path().join("file")).output().unwrap())
    };
    check("other_ca.pem").ends(1).says(&["E_REMOTE_FETCH", "certificate", "SSL_CERT_FILE"]);
    check("ca.pem").ends(0);
}

//! `why`: on a host, in a checkout, and what it never says.

use crate::host::{AGENT, TestHost, headfast};
use crate::servers::repository::git;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const MANIFEST: &str = "\
version: 1
environments:
  production:
    type: production
    variables: {domain: example.org}
configurations:
  app:
    layers:
      - config/app.yaml
      - config/{{ environment }}.yaml
targets:
  app:
    path: @LIVE@
    files:
      - {write: app.json, configuration: app}
      - {template: templates, configuration: app}
";

const BASE: &str = "server:\n  port: 80\n  name: ${NAME:-www}.${domain}\n";

/// A host with two commits deployed and a third one that is not; returns the ids of all.
fn host() -> (TestHost, [String; 3]) {
    let host = TestHost::new();
    let first = host.commit(&[
        ("headfast.yaml", MANIFEST),
        ("config/app.yaml", BASE),
        ("config/production.yaml", "# ours\nserver: {port: 81}\n"),
        ("templates/site.j2", "{{ server.port }} {{ domain }}\n"),
    ]);
    let second = host.commit(&[("config/production.yaml", "# ours\nserver: {port: 8080}\n")]);
    host.run(&["sync"]).ends(0);
    let third = host.commit(&[("config/production.yaml", "# ours\nserver: {port: 9090}\n")]);
    (host, [first, second, third])
}

#[test]
fn x21_why_on_a_host_is_about_what_is_deployed() {
    let (host, [first, second, third]) = host();
    let why = host.run(&["why", "app/app.json:server.port", "--json"]).ends(0).json();
    assert_eq!((&why["version"], &why["target"], &why["path"]), (&1.into(), &"app".into(), &"app.json".into()));
    assert_eq!((&why["key"], &why["value"]), (&"server.port".into(), &8080.into()));
    assert_eq!(why["revision"], second);
    let origins = why["origins"].as_array().unwrap();
    let told = origins
        .iter()
        .map(|it| (it["layer"].as_str(), it["line"].as_u64(), it["commit"].as_str(), it["wins"].as_bool()));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (Some("config/production.yaml"), Some(2), Some(second.as_str()), Some(true)),
            (Some("config/app.yaml"), Some(2), Some(first.as_str()), Some(false)),
        ]
    );
    assert_eq!((&origins[0]["author"], &origins[0]["column"]), (&"Ana <ana@example.org>".into(), &16.into()));
    // The newest commit that was fetched, and any other, can be asked about as well.
    host.run(&["plan"]).ends(0);
    for (revision, value, commit) in [("head", 9090, &third), (&second[..8], 8080, &second), (&first[..12], 81, &first)]
    {
        let why = host.run(&["why", "app/app.json:server.port", "--revision", revision, "--json"]).ends(0).json();
        assert_eq!((&why["value"], &why["origins"][0]["commit"]), (&value.into(), &commit.as_str().into()));
    }
    // The absolute path means the same, and nothing in the state changes.
    let live = host.path("live/app.json:server.port");
    let before = fs::read(host.path("state/headfast.db")).unwrap();
    let said = host.run(&["why", live.to_str().unwrap()]).ends(0);
    assert_eq!(fs::read(host.path("state/headfast.db")).unwrap(), before);
    let text = said.stdout.replace(host.path("").to_str().unwrap(), "/HOST/");
    let text = text.replace(&first[..12], "(first)").replace(&second, "(second)").replace(&second[..12], "(second)");
    insta::assert_snapshot!(text, @r"
    /HOST/live/app.json: the configuration app
    target app, headfast.yaml:15:9, revision (second)

    server.port = 8080
      set   config/production.yaml:2:16  8080  ((second) 2023-11-14 Ana <ana@example.org>: Change 2)
      over  config/app.yaml:2:9  80  ((first) 2023-11-14 Ana <ana@example.org>: Change 1)
    ");
}

#[test]
fn why_of_a_file_tells_of_its_template_and_variables() {
    let (host, _) = host();
    host.run(&["why", "app/site"]).ends(0).says(&[
        "rendered from templates/site.j2",
        "uses server.port",
        "variables domain",
        "domain = \"example.org\"",
        "variables of the environment: headfast.yaml:5:25",
    ]);
    host.run(&["why", "app/app.json"]).ends(0).says(&[
        "server.name = \"www.example.org\"",
        "through ${NAME} is not set: its default counts",
        "through ${domain} = \"example.org\", from headfast.yaml:5:25",
    ]);
    host.run(&["why", "app/nothing"]).ends(2).says(&["E_NOT_FOUND", "has no file `nothing`"]);
    host.run(&["why", "app/app.json:server.prt"]).ends(2).says(&["E_NOT_FOUND", "did you mean `server.port`?"]);
    let new = TestHost::new();
    new.run(&["why", "app/app.json"]).ends(2).says(&["E_NOT_FOUND", "nothing was ever deployed"]);
}

#[test]
fn why_in_a_checkout_is_about_the_working_tree() {
    let (host, [first, _, third]) = host();
    let work = host.path("work");
    let text = "# mine\nserver:\n  port: 1\n  name: x\n";
    fs::write(work.join("config/production.yaml"), text).unwrap();
    let ask = |dir: &Path, arguments: &[&str]| headfast(dir, &[&["why"], arguments].concat());
    let why = ask(&work, &["app/app.json:server.port", "--json"]).ends(0).json();
    assert_eq!((&why["value"], &why["revision"]), (&1.into(), &serde_json::Value::Null));
    assert_eq!(
        (&why["origins"][0]["uncommitted"], &why["origins"][0]["commit"]),
        (&true.into(), &serde_json::Value::Null)
    );
    assert_eq!(
        (&why["origins"][1]["uncommitted"], &why["origins"][1]["commit"]),
        (&false.into(), &first.as_str().into())
    );
    ask(&work, &["app/app.json:server.port"]).ends(0).says(&["(not committed yet)"]);
    // From elsewhere, for another host, with a variable.
    let repo = work.to_str().unwrap();
    git(&work, &["checkout", "-q", "config"]);
    let of_name = ["app/app.json:server.name", "--repo", repo, "--variable", "NAME=db", "--json"];
    let why = ask(&host.path(""), &of_name).ends(0).json();
    assert_eq!((&why["value"], &why["references"][0]["shown"]), (&"db.example.org".into(), &"\"db\"".into()));
    ask(&work, &["app/app.json", "--environment", "nope"]).ends(3).says(&["E_ENVIRONMENT"]);
    ask(&work, &["app/app.json", "--revision", "HEAD"]).ends(2).says(&["for hosts"]);
    // A shallow clone says where it ends, and a folder without git has no commits to name.
    git(&host.path(""), &["clone", "-q", "--depth", "1", &format!("file://{repo}"), "shallow"]);
    let said = ask(&host.path("shallow"), &["app/app.json:server.port", "--json"]).ends(0).says(&["unshallow"]);
    assert_eq!(said.json()["origins"][0]["commit"], serde_json::Value::Null);
    fs::remove_dir_all(host.path("shallow/.git")).unwrap();
    let plain = ask(&host.path("shallow"), &["app/app.json:server.port", "--json"]).ends(0).json();
    assert_eq!((&plain["value"], &plain["origins"][0]["commit"]), (&9090.into(), &serde_json::Value::Null));
    assert_ne!(first, third);
}

#[test]
fn x05_why_says_no_secret_in_text_or_json() {
    let fixture = |name: &str| {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sops").join(name)).unwrap()
    };
    let host = TestHost::new();
    let key = host.path("age.key");
    fs::write(&key, fixture("keys/k1.txt")).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    host.agent(&AGENT.replace("    branch:", "    age: {identity: @DIR@/age.key}\n    branch:"));
    let layers = "      - config/app.yaml\n      - config/{{ environment }}.yaml\n";
    host.commit(&[
        ("headfast.yaml", &MANIFEST.replace(layers, "      - plain.yaml\n      - secret.sops.yaml\n")),
        ("secret.sops.yaml", &fixture("valid/encrypted-regex.enc.yaml")),
        ("plain.yaml", "data: {pass: 'NOLEAK${P:-NOLEAK}'}\n"),
        ("templates/pass.j2", "pass={{ data.pass }}\n"),
    ]);
    host.run(&["sync"]).ends(0);
    for what in ["app/pass", "app/pass:data.pass", "app/app.json", "app/app.json:data", "app/app.json:data.pass"] {
        for json in [&["--json"][..], &[]] {
            let said = host.run(&[&["why", what], json].concat()).ends(0).says(&["<redacted>", "secret.sops.yaml"]);
            for canary in ["cGFzcw", "NOLEAK"] {
                assert!(!said.stdout.contains(canary) && !said.stderr.contains(canary), "{what} {canary}: {said:?}");
            }
        }
    }
}

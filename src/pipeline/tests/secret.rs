use super::*;

/// `data`, `stringData` and what is in them are encrypted for `age.key`; the rest is plain.
pub(super) const LAYER: &str = include_str!("fixtures/secret.sops.yaml");
/// The file `hello`, encrypted as a whole.
const TEXT: &str = include_str!("fixtures/text.enc");
pub(super) const KEY: &str = include_str!("fixtures/age.key");
pub(super) const OTHER_KEY: &str = include_str!("fixtures/other.key");

/// What must not be seen anywhere.
const CANARIES: [&str; 3] = ["cGFzcw", "YWRtaW4", "hello"];

const REST: &str = "
configurations: {app: {layers: [plain.yaml, secret.yaml], schema: s.json}}
targets:
  app:
    path: /srv/app
    files:
      - template: t
        configuration: app
      - {write: all.json, configuration: app}
      - {write: kind.json, configuration: app, select: kind}
      - {copy: f/text.pem}
";

fn world(template: &str) -> World {
    let files = format!(
        "//- plain.yaml\nport: 80\n//- secret.yaml\n{LAYER}//- t/x.j2\n{template}//- s.json\n{{}}\n//- f/text.pem\n{TEXT}"
    );
    opened_by(KEY, World::manifest(REST, &files))
}

pub(super) fn opened_by(key: &str, mut world: World) -> World {
    world.secrets = SecretManager::new(&[key]).unwrap_or_else(|it| panic!("{}", it.message));
    world
}

#[test]
fn secrets_of_a_layer_reach_files_which_are_then_sensitive() {
    let world = world("{{ data.pass }} {{ port }}");
    let rendered = world.rendered();
    let target = &rendered.rendering.targets[0];
    let files: BTreeMap<String, String> = world.texts(target).into_iter().collect();
    assert_eq!(files["x"], "cGFzcw== 80");
    assert_eq!(files["text.pem"], "hello\n");
    assert!(files["all.json"].contains("\"pass\": \"cGFzcw==\""));
    let sensitive: Vec<_> = target.files.iter().map(|(path, it)| (path.as_str(), it.sensitive, it.mode)).collect();
    assert_eq!(
        sensitive,
        [("all.json", true, 0o600), ("kind.json", false, 0o644), ("text.pem", true, 0o600), ("x", true, 0o600)]
    );
    assert!(
        !rendered.rendering.targets[0]
            .files
            .values()
            .any(|it| CANARIES.iter().any(|canary| it.identity.0.contains(canary)))
    );
}

#[test]
fn a_template_that_uses_only_plain_values_is_not_sensitive() {
    let rendered = world("{{ port }} {{ kind }} {{ metadata.name }}").rendered();
    let path = TargetPath::new(b"x").unwrap();
    assert!(!rendered.rendering.targets[0].files[&path].sensitive);
}

#[test]
fn g01_without_the_key_everything_is_refused_and_the_targets_named() {
    let refused = |world: World| {
        let (rendered, findings) = world.run();
        assert!(rendered.is_none());
        let lines = list(&findings);
        assert!(
            lines.iter().all(|it| it.contains("E_KEY") && it.ends_with("(needed by the target `app`)")
                || it.contains("(needed by the target `app`) (")),
            "{lines:#?}"
        );
        assert_eq!(lines.len(), 2, "{lines:#?}");
    };
    refused(opened_by(OTHER_KEY, world("{{ port }}")));
    let mut keyless = world("{{ port }}");
    keyless.secrets = SecretManager::default();
    refused(keyless);
}

#[test]
fn g01_the_library_opens_what_the_agent_opens_and_refuses_what_it_refuses() {
    let load = |world: &World, name: &str| {
        let mut findings = Findings::new();
        let configuration = load_configuration(&world.tree, &world.facts, &world.secrets, name, &mut findings);
        (configuration.map(|it| it.merged.get("data.pass").and_then(Node::as_str).map(str::to_owned)), list(&findings))
    };
    let mut world = world("");
    assert_eq!(load(&world, "app"), (Some(Some("cGFzcw==".to_owned())), Vec::new()));
    assert_eq!(load(&world, "ap").1, [" E_REFERENCE there is no configuration `ap` (did you mean `app`?)"]);
    world.tree.insert("secret.yaml", EntryKind::File { executable: false }, b"a: 1\nsops: {mac: x}\n");
    let (configuration, findings) = load(&world, "app");
    assert!(configuration.is_none() && findings.len() == 1 && findings[0].contains("E_SOPS"), "{findings:?}");
    world.tree = MemoryTree::default();
    assert!(
        load(&world, "app").1[0].starts_with("headfast.yaml E_MANIFEST_MISSING the repository has no headfast.yaml")
    );
}

#[test]
fn g03_an_altered_file_is_refused() {
    let mut world = world("{{ port }}");
    let altered = LAYER.replace("kind: Secret", "kind: Public");
    assert_ne!(altered, LAYER);
    world.tree.insert("secret.yaml", EntryKind::File { executable: false }, altered.as_bytes());
    let (rendered, findings) = world.run();
    assert!(rendered.is_none());
    assert_eq!(findings.iter().map(|it| it.code.name).collect::<Vec<_>>(), ["E_SOPS_MAC"]);
}

#[test]
fn e08_and_g19_findings_show_no_secret() {
    let schema = r#"{"properties": {"data": {"properties": {"pass": {"type": "integer"}, "user": {"enum": ["a"]}}},
        "kind": {"const": "x"}}}"#;
    for template in
        ["{{ data.pass | int }}", "{{ data.pass + 1 }}", "{{ data }}", "{{ data.pass.nope.x }}", "{{ nope }}"]
    {
        let mut world = world(template);
        world.tree.insert("s.json", EntryKind::File { executable: false }, schema.as_bytes());
        world.tree.insert("plain.yaml", EntryKind::File { executable: false }, b"port: ${data}\n");
        let (rendered, findings) = world.run();
        assert!(rendered.is_none());
        let lines = list(&findings).join("\n");
        assert!(findings.n_errors() >= 4, "{lines}");
        assert!(!CANARIES.iter().any(|it| lines.contains(it)), "{lines}");
        // A line of a file with secrets is not shown: someone may have left one plain.
        assert!(!lines.contains("apiVersion"), "{lines}");
    }
}

#[test]
fn keys_do_not_change_what_a_rendering_is() {
    let digest = |it: World| it.rendered().rendering.digest;
    assert_eq!(digest(world("{{ data.pass }}")), digest(world("{{ data.pass }}")));
}

#[test]
fn x05_why_never_shows_a_secret() {
    let mut world = world("{{ data.pass }}{{ data.user }}{{ port }}{% if data %}{% endif %}");
    let plain = "port: ${PORT}\ndata: {pass: 'canary-${PASS:-canary-default}', user: canary-user}\n";
    world.tree.insert("plain.yaml", EntryKind::File { executable: false }, plain.as_bytes());
    let world = world.variable("PASS", "canary-variable").variable("PORT", "80");
    for (what, n_redacted) in [
        ("app/all.json", 2),
        ("app/all.json:data", 2),
        ("app/all.json:data.pass", 1),
        ("app/x", 2),
        ("app/x:data.user", 1),
        ("app/text.pem", 0),
        ("app/kind.json", 0),
    ] {
        let (explanation, findings) = world.why(what);
        assert_eq!(findings, [""; 0], "{what}");
        let text = format!("{explanation:?}");
        for canary in CANARIES.iter().chain(&["canary"]) {
            assert!(!text.contains(canary), "{what}: {canary} in {text}");
        }
        let n_seen = text.matches("<redacted>").count();
        assert!(n_seen >= n_redacted, "{what}: {text}");
    }
    // What cannot be told of a secret says no more.
    for what in ["app/all.json:data.pas", "app/all.json:data.pass.x", "app/text.pem:hello", "app/x:canary"] {
        let (explanation, findings) = world.why(what);
        assert!(explanation.is_none(), "{what}");
        assert!(!findings.concat().contains("cGFzcw") && !findings.concat().contains("canary-"), "{findings:?}");
    }
}

#[test]
fn policies_say_where_they_see_no_values() {
    let rest = "
policies: [{path: policies, over: files}]
configurations: {app: {layers: [secret.yaml]}}
targets:
  app:
    path: /srv/app
    files:
      - {template: t.yaml.j2, to: t.yaml, configuration: app}
      - {write: all.json, configuration: app}
";
    let policy = "package main\nimport rego.v1\ndeny contains input.kind if input.kind\ndeny contains input.data.pass if true\nwarn contains concat(\" \", object.keys(input)) if true\n";
    let files = format!(
        "//- secret.yaml\n{LAYER}//- t.yaml.j2\nkind: {{{{ kind }}}}\npass: {{{{ data.pass }}}}\n{{{{ data.pass }}}}: {{a: 1}}\n//- policies/a.rego\n{policy}"
    );
    let told = list(&opened_by(KEY, World::manifest(rest, &files)).run().1).join("\n");
    assert!(!CANARIES.iter().any(|it| told.contains(it)), "{told}");
    insta::assert_snapshot!(told, @r#"
    policies/a.rego E_POLICY <redacted> (in `app/all.json`) (`main.deny` says so, at policies/a.rego:3:1 or 4:1)
    policies/a.rego E_POLICY Secret (in `app/all.json`) (`main.deny` says so, at policies/a.rego:3:1 or 4:1)
    policies/a.rego:5:1 warning E_POLICY apiVersion data kind metadata stringData type (in `app/all.json`) | warn contains concat(" ", object.keys(input)) if true
    headfast.yaml:11:9 warning E_POLICY_INVALID policies do not see the values of `app/t.yaml`: it holds secrets, and which is not known (make it with `write`, of which only the secret values are hidden, or leave it out with `match`) | - {template: t.yaml.j2, to: t.yaml, configuration: app}
    policies/a.rego E_POLICY <redacted> (in `app/t.yaml`) (`main.deny` says so, at policies/a.rego:3:1 or 4:1)
    policies/a.rego:5:1 warning E_POLICY <redacted> 2 kind pass (in `app/t.yaml`) | warn contains concat(" ", object.keys(input)) if true
    "#);
}

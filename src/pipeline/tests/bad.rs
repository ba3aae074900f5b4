use super::*;

const SCHEMA: &str = "//- s.json\n{\"type\": \"object\", \"properties\": {\"port\": {\"type\": \"integer\", \
    \"maximum\": 65535}, \"name\": {\"type\": \"string\"}}, \"required\": [\"name\"]}\n";

#[test]
fn a_missing_manifest_is_refused() {
    World::new("//- readme.md\nx").refused(&["headfast.yaml E_MANIFEST_MISSING the repository has no headfast.yaml \
        (add one (`headfast init` makes a commented one), or declare `targets:` in agent.yaml)"]);
    World::new("")
        .agent_targets("[]")
        .refused(&["headfast.yaml E_MANIFEST_MISSING the repository has no headfast.yaml \
        (add one (`headfast init` makes a commented one), or declare `targets:` in agent.yaml)"]);
}

#[test]
fn mistakes_in_the_hosts_targets_are_shown_where_the_host_declares_them() {
    let targets = "site:\n  path: /srv/site\n  files:\n    - copy: nowher\n    - {write: a.yaml, configuration: app}\n    - template: t\n";
    World::new("//- nowhere/x\n//- t/a.j2\n{{ SIZE }}\n").agent_targets(targets).refused(&[
        "/etc/headfast/agent.yaml:5:38 E_REFERENCE there is no configuration `app`",
        "/etc/headfast/agent.yaml:4:7 E_SOURCE_MISSING the repository has no `nowher` (did you mean `nowhere`?)",
        "t/a.j2:1:4 E_UNDEFINED `SIZE` is not defined (use `| default(\"…\")` when it may be absent) | {{ SIZE }}",
    ]);
}

#[test]
fn d11_a_manifest_that_says_nothing_is_refused() {
    for text in ["", "# nothing\n", "null\n", "[]\n", "text\n"] {
        let (rendered, findings) = World::new(&format!("//- headfast.yaml\n{text}")).run();
        assert!(rendered.is_none());
        assert_eq!(findings.iter().map(|it| it.code.name).collect::<Vec<_>>(), ["E_SHAPE"], "{text:?}");
    }
    let mut world = World::new("");
    world.tree.insert("headfast.yaml", EntryKind::Link, b"other.yaml");
    world.refused(&["headfast.yaml E_SHAPE `headfast.yaml` is a symbolic link, not a file"]);
}

#[test]
fn d12_unknown_keys_are_refused_with_the_nearest_name() {
    World::manifest("tragets: {}\ntargets: {}", "").refused(&[
        "headfast.yaml:4:1 E_UNKNOWN_KEY the key `tragets` does not exist (did you mean `targets`?) | tragets: {}",
    ]);
}

#[test]
fn d13_a_newer_manifest_is_refused() {
    World::new("//- headfast.yaml\nversion: 2\nnew: things\n").refused(&[
        "headfast.yaml:1:10 E_VERSION_NEWER the manifest has version 2; this headfast knows versions up to 1 \
        (install a newer headfast) | version: 2",
    ]);
}

#[test]
fn an_environment_that_does_not_exist_is_refused() {
    let mut world = World::manifest("targets: {}", "");
    world.facts.environment = "prodcution".into();
    let (rendered, findings) = world.run();
    assert!(rendered.is_none());
    assert_eq!(
        list(&findings),
        ["headfast.yaml E_ENVIRONMENT the manifest has no environment `prodcution` (did you mean `production`?)"]
    );
}

#[test]
fn x07_two_schema_violations_are_both_shown() {
    let rest = "
configurations: {app: {layers: [a.yaml], schema: s.json}}
targets: {app: {path: /srv/app, files: [{write: out.json, configuration: app}]}}";
    World::manifest(rest, &format!("//- a.yaml\nport: 99999\nname: 5\n{SCHEMA}")).refused(&[
        "a.yaml:1:7 E_SCHEMA port: 99999 is greater than the maximum 65535 | port: 99999",
        "a.yaml:2:7 E_SCHEMA name: it must be text, not 5 (write it in quotes: \"5\") | name: 5",
    ]);
}

#[test]
fn a_schema_that_cannot_be_used_is_shown_and_blames_no_template() {
    let rest = "
configurations: {app: {layers: [a.yaml, 'env:APP_'], schema: s.json}}
targets: {app: {path: /srv/app, files: [{template: t, configuration: app}]}}";
    let files = "//- a.yaml\nport: 1\n//- t/x.j2\n{{ APP.SIZE + 1 }} {{ size + 1 }}\n//- s.json\n{\n  \"type\": \"objekt\"\n}\n";
    let (_, findings) = World::manifest(rest, files).variable("APP_SIZE", "1").run();
    let lines = list(&findings);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].starts_with("s.json:2:11 E_SCHEMA_INVALID") && lines[0].ends_with(" | \"type\": \"objekt\""),
        "{lines:#?}"
    );
    World::manifest(&rest.replace("s.json", "s.jso"), files)
        .refused(&["headfast.yaml:5:62 E_SOURCE_MISSING the repository has no `s.jso` (did you mean `s.json`?) \
        | configurations: {app: {layers: [a.yaml, 'env:APP_'], schema: s.jso}}"]);
}

#[test]
fn broken_migrations_are_refused_also_when_no_document_needs_them() {
    let rest = "
configurations: {app: {layers: [a.yaml], migrations: m, schema_version: 2}}
targets: {app: {path: /srv/app, files: [{write: out.json, configuration: app}]}}";
    World::manifest(rest, "//- a.yaml\nschema_version: 2\n//- m/0002-a.yaml\n- remove: {pth: a}\n").refused(&[
        "m/0002-a.yaml:1:11 E_MISSING_KEY `remove.path` is missing | - remove: {pth: a}",
        "m/0002-a.yaml:1:12 E_UNKNOWN_KEY the key `remove.pth` does not exist (did you mean `path`?) | - remove: {pth: a}",
    ]);
}

#[test]
fn an_undefined_template_variable_is_refused() {
    let rest = "
configurations: {app: {layers: [a.yaml]}}
targets: {app: {path: /srv/app, files: [{template: t, configuration: app}]}}";
    World::manifest(rest, "//- a.yaml\nport: 1\n//- t/x.conf.j2\nlisten {{ prot }};\n")
        .refused(&["t/x.conf.j2:1:11 E_UNDEFINED `prot` is not defined (did you mean `port`?) | listen {{ prot }};"]);
}

#[test]
fn b18_targets_that_overlap_are_refused() {
    let rest = "targets:\n  a: {path: /srv/app, files: [{copy: f}]}\n  b: {path: /srv/app/sub, files: [{copy: f}]}\n";
    World::manifest(rest, "//- f/x\n").refused(&[
        "headfast.yaml:6:13 E_TARGET_OVERLAP the targets `a` (/srv/app) and `b` \
        (/srv/app/sub) overlap (give each its own folder, or hosts or environments that exclude each other) \
        | b: {path: /srv/app/sub, files: [{copy: f}]}",
    ]);
}

#[test]
fn paths_that_climb_are_absolute_or_hold_nul_are_refused() {
    let rest = r#"targets:
  a: {path: srv/app, files: [{copy: ../f}]}
  b: {path: /srv/../etc, files: [{copy: /f}]}
  c: {path: "/srv/c\0", files: [{copy: f, to: ../up}]}
  d: {path: /proc, files: [{copy: f, to: /abs}]}
"#;
    let (rendered, findings) = World::manifest(rest, "//- f/x\n").run();
    assert!(rendered.is_none());
    let places: Vec<_> = findings.iter().map(|it| format!("{} {}", it.place.as_ref().unwrap(), it.code)).collect();
    let expected = [
        "5:13 E_PATH",
        "5:37 E_PATH",
        "6:13 E_PATH",
        "6:41 E_PATH",
        "7:13 E_PATH",
        "7:47 E_PATH",
        "8:13 E_TARGET_FORBIDDEN",
        "8:42 E_PATH",
    ];
    let mut sorted: Vec<_> = expected.iter().map(|it| format!("headfast.yaml:{it}")).collect();
    sorted.sort();
    let mut places = places;
    places.sort();
    assert_eq!(places, sorted);
}

#[test]
fn a_missing_layer_is_refused() {
    let rest = "
configurations: {app: {layers: [config/ap.yaml, 'config/{{ host }}.yaml?', 'config/{{ labels.zone }}.yaml']}}
targets: {app: {path: /srv/app, files: [{write: out.json, configuration: app}]}}";
    World::manifest(rest, "//- config/app.yaml\na: 1\n").refused(&[
        "headfast.yaml:5:33 E_LAYER_MISSING the repository has no `config/ap.yaml` (did you mean `config/app.yaml`? \
         A layer that may be absent ends in `?`) \
         | configurations: {app: {layers: [config/ap.yaml, 'config/{{ host }}.yaml?', 'config/{{ labels.zone }}.yaml']}}",
        "headfast.yaml:5:76 E_UNDEFINED the path `config/{{ labels.zone }}.yaml` uses `labels.zone`, which has no value here \
         (give the host the label `zone`) \
         | configurations: {app: {layers: [config/ap.yaml, 'config/{{ host }}.yaml?', 'config/{{ labels.zone }}.yaml']}}",
    ]);
}

#[test]
fn layers_that_are_no_maps_or_no_documents_are_refused() {
    let rest = "
configurations: {app: {layers: [list.yaml, null.yaml, broken.yaml, dup.yaml, folder, text.txt]}}
targets: {app: {path: /srv/app, files: [{write: out.json, configuration: app}]}}";
    let files = "//- list.yaml\n- a\n//- null.yaml\nnull\n//- broken.yaml\na: [\n//- dup.yaml\na: 1\na: 2\n//- folder/x\n//- text.txt\nx";
    let (rendered, findings) = World::manifest(rest, files).run();
    assert!(rendered.is_none());
    let found: Vec<_> = findings.iter().map(|it| format!("{} {}", it.place.as_ref().unwrap(), it.code)).collect();
    assert_eq!(
        found,
        [
            "list.yaml:1:1 E_SHAPE",
            "null.yaml:1:1 E_SHAPE",
            "broken.yaml:1:4 E_SYNTAX",
            "dup.yaml:2:1 E_DUPLICATE_KEY",
            "headfast.yaml:5:78 E_SHAPE",
            "headfast.yaml:5:86 E_VALUE",
        ]
    );
}

#[test]
fn x09_a_variable_without_value_is_refused() {
    let rest = "
configurations: {app: {layers: [a.yaml]}}
targets: {app: {path: /srv/app, files: [{write: out.json, configuration: app}]}}";
    let (_, findings) = World::manifest(rest, "//- a.yaml\nurl: http://${HOTS}/${PORT:-80}\n").run();
    let found: Vec<_> = findings.iter().map(|it| format!("{} {}", it.place.as_ref().unwrap(), it.code)).collect();
    assert_eq!(found, ["a.yaml:1:6 E_VARIABLE"]);
}

#[test]
fn one_run_shows_the_mistakes_of_all_steps() {
    let rest = "
tragets: {}
configurations: {app: {layers: [a.yaml, missing.yaml], schema: s.json}, web: {layers: [web.yaml], schema: s.json}}
targets:
  app: {path: /srv/app, files: [{template: t, configuration: web}, {copy: nowhere}, {write: o.json, configuration: app}]}
";
    let files =
        "//- a.yaml\nport: 1\n//- web.yaml\nport: 99999\nname: x\n//- t/x.j2\n{{ nope }}\n//- t/y.j2\n{% if %}\n";
    let (rendered, findings) = World::manifest(rest, &format!("{files}{SCHEMA}")).run();
    assert!(rendered.is_none());
    let mut found: Vec<_> = findings.iter().map(|it| it.code.name).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        ["E_LAYER_MISSING", "E_SCHEMA", "E_SOURCE_MISSING", "E_TEMPLATE_PARSE", "E_UNDEFINED", "E_UNKNOWN_KEY"]
    );
}

#[test]
fn a_broken_file_of_two_configurations_is_reported_once() {
    let rest = "
configurations: {a: {layers: [x.yaml]}, b: {layers: [x.yaml]}}
targets: {app: {path: /srv/app, files: [{write: a.json, configuration: a}, {write: b.json, configuration: b}]}}";
    let (_, findings) = World::manifest(rest, "//- x.yaml\na: 1\na: 2\n").run();
    assert_eq!(findings.iter().map(|it| it.code.name).collect::<Vec<_>>(), ["E_DUPLICATE_KEY"]);
}

#[test]
fn d14_and_d15_broken_manifests_never_panic() {
    let good = "version: 1\nenvironments: {production: {type: production}}\ntargets: {a: {path: /srv/a, files: [{copy: f}]}}\n";
    for end in 0..good.len() {
        World::new(&format!("//- headfast.yaml\n{}", &good[..end])).run();
        let mut bytes = good.as_bytes().to_vec();
        bytes[end] ^= 0x15;
        let mut world = World::new("//- f/x\n");
        world.tree.insert("headfast.yaml", EntryKind::File { executable: false }, &bytes);
        world.run();
    }
}

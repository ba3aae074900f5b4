use super::*;

const APP: &str = "
configurations:
  app:
    layers:
      - config/app.yaml
      - config/{{ environment }}/app.yaml
      - config/hosts/{{ host }}.yaml?
      - env:APP_
    schema: schemas/app.json
targets:
  app:
    path: /srv/app
    files:
      - copy: files/app
      - template: templates/app
        configuration: app
      - write: settings.json
        configuration: app
        select: server
";

const FILES: &str = r#"
//- config/app.yaml
server:
  port: 80
  name: ${domain}
  hosts: [a]
//- config/production/app.yaml
server: {hosts: [b, c]}
//- schemas/app.json
{"type": "object", "properties": {"server": {"type": "object", "properties": {
  "port": {"type": "integer", "maximum": 65535}, "tls": {"type": "boolean", "default": true}}}}}
//- files/app/static.txt
{{ verbatim }}
//- templates/app/conf.d/site.conf.j2
# {{ environment }} {{ host }} {{ labels.role }}
listen {{ server.port }}; name {{ server.name }}; {{ domain }}
{% for host in server.hosts %}{{ host }} {% endfor %}{{ server.tls }}
"#;

#[test]
fn a_repository_becomes_files() {
    let world = World::manifest(APP, FILES).variable("APP_SERVER__PORT", "8081").variable("OTHER", "x");
    let json = "{\n  \"tls\": true,\n  \"port\": 8081,\n  \"name\": \"example.org\",\n  \"hosts\": [\n    \"b\",\n    \"c\"\n  ]\n}\n";
    let site = "# production web-1 web\nlisten 8081; name example.org; example.org\nb c true\n";
    let files: Vec<_> = world.files();
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert_eq!(files, [("conf.d/site.conf", site), ("settings.json", json), ("static.txt", "{{ verbatim }}\n")]);
}

#[test]
fn the_configurations_come_along_with_their_origins() {
    let rendered = World::manifest(APP, FILES).variable("APP_SERVER__PORT", "8081").rendered();
    let origins = rendered.configurations["app"].origins("server.port");
    let origins: Vec<_> = origins.iter().map(|it| (it.layer, it.place.to_string(), it.wins)).collect();
    assert_eq!(
        origins,
        [
            ("config/app.yaml", "config/app.yaml:2:9".to_owned(), false),
            ("env:APP_", "env:APP_SERVER__PORT".to_owned(), true),
        ]
    );
    assert_eq!(rendered.manifest.targets.len(), 1);
}

#[test]
fn f07_equal_inputs_give_equal_renderings() {
    let world = || World::manifest(APP, FILES).variable("A", "1").variable("B", "2");
    let (one, other) = (world().rendered(), world().rendered());
    assert_eq!(one.rendering, other.rendering);
    // Every thread has other hash seeds.
    let elsewhere = std::thread::spawn(move || world().rendered().rendering.digest).join().unwrap();
    assert_eq!(one.rendering.digest, elsewhere);
}

#[test]
fn a_change_of_facts_changes_the_rendering_only_where_it_shows() {
    let digest = |world: World| world.rendered().rendering.digest;
    let base = digest(World::manifest(APP, FILES));
    assert_eq!(base, digest(World::manifest(APP, FILES).variable("UNUSED", "1")));
    assert_ne!(base, digest(World::manifest(APP, FILES).variable("APP_SERVER__PORT", "1")));
}

#[test]
fn the_environments_variables_come_before_the_hosts() {
    let rest = "targets: {app: {path: /srv/app, files: [{template: t}]}}";
    let world = World::manifest(rest, "//- t/a.j2\n{{ domain }} {{ own }}");
    assert_eq!(world.variable("domain", "host.example").variable("own", "1").files()[0].1, "example.org 1");
}

#[test]
fn only_selected_targets_are_made_and_only_their_files_opened() {
    let rest = "
configurations:
  broken: {layers: [config/broken.yaml]}
targets:
  other: {path: /srv/other, on: {host: 'db-*'}, files: [{write: a.yaml, configuration: broken}]}
  labelled: {path: /srv/labelled, on: {labels: {role: db}}, files: [{copy: nowhere}]}
  staged: {path: /srv/app, environments: [staging], files: [{copy: nowhere}]}
  second: {path: /srv/second, after: [first], files: [{copy: f}]}
  first: {path: /srv/first, files: [{copy: f}]}
";
    let world = World::new(&format!(
        "//- headfast.yaml\nversion: 1\nenvironments: {{production: {{type: production}}, staging: {{type: staging}}}}\n{rest}
//- f/a\nx\n//- config/broken.yaml\na: [\n"
    ));
    let rendered = world.rendered();
    let names: Vec<_> = rendered.rendering.targets.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
}

#[test]
fn a_repository_without_a_manifest_is_deployed_by_the_hosts_targets() {
    let targets = "- {name: site, path: /srv/site, files: [{copy: .}], mode: '0640'}";
    let world = World::new("//- a b.txt\nx//- sub/ü\ny").agent_targets(targets);
    let rendered = world.rendered();
    let target = &rendered.rendering.targets[0];
    assert_eq!(target.files.keys().map(TargetPath::as_str).collect::<Vec<_>>(), ["a b.txt", "sub/ü"]);
    assert_eq!((target.directory_mode, target.name.as_str()), (0o750, "site"));
}

#[test]
fn the_hosts_targets_use_its_variables_and_labels_and_only_those_that_select_it() {
    let targets = "
site: {path: /srv/site, on: {labels: {role: web}}, files: [{template: 't/{{ labels.role }}', to: conf}]}
data: {path: /srv/data, on: {host: 'db-*'}, files: [{copy: nowhere}]}
";
    let world =
        World::new("//- t/web/a.j2\n{{ environment }} {{ host }} {{ labels.role }} {{ SIZE }} {{ revision }}\n");
    let world = world.agent_targets(targets).variable("SIZE", "5");
    assert_eq!(world.files(), [("conf/a".to_owned(), "production web-1 web 5 [t/web/a.j2]\n".to_owned())]);
}

#[test]
fn a_manifest_that_turns_up_takes_nothing_over_from_the_host() {
    let targets = "- {name: site, path: /srv/site, files: [{copy: f}]}";
    let (rendered, findings) = World::new("//- f/a\nx//- headfast.yaml\n[nonsense").agent_targets(targets).run();
    assert_eq!(
        list(&findings),
        [
            "headfast.yaml warning E_UNSUPPORTED this file is not used, because agent.yaml declares the repository's targets"
        ]
    );
    assert_eq!(rendered.unwrap().rendering.targets[0].path, "/srv/site");
}

#[test]
fn m04_and_m15_empty_layers_change_nothing() {
    let rest = "
configurations: {app: {layers: [a.yaml, empty.yaml, comments.yaml, b.json]}}
targets: {app: {path: /srv/app, files: [{write: out.json, configuration: app}]}}";
    let files = "//- a.yaml\nx: 1\n//- empty.yaml\n//- comments.yaml\n# nothing\n//- b.json\n{\"y\": 2}\n";
    assert_eq!(World::manifest(rest, files).files()[0].1, "{\n  \"x\": 1,\n  \"y\": 2\n}\n");
}

#[test]
fn x21_a_reference_as_a_whole_value_becomes_what_the_schema_wants() {
    let rest = "
configurations: {app: {layers: [a.yaml], schema: s.json}}
targets: {app: {path: /srv/app, files: [{write: out.json, configuration: app}]}}";
    let files = r#"
//- a.yaml
port: ${PORT}
name: ${PORT}
url: http://localhost:${PORT}/
tls: ${TLS:-true}
//- s.json
{"properties": {"port": {"type": "integer"}, "name": {"type": "string"}, "tls": {"type": "boolean"}}}
"#;
    let json =
        "{\n  \"port\": 8081,\n  \"name\": \"8081\",\n  \"url\": \"http://localhost:8081/\",\n  \"tls\": true\n}\n";
    assert_eq!(World::manifest(rest, files).variable("PORT", "8081").files()[0].1, json);
    World::manifest(rest, files)
        .variable("PORT", "many")
        .refused(&["a.yaml:1:7 E_SCHEMA port: it must be an integer, not the text \"many\" | port: ${PORT}"]);
}

#[test]
fn revision_names_the_inputs_of_a_template() {
    let rest = "
configurations: {app: {layers: [a.yaml, b.yaml?], schema: s.yaml}}
targets: {app: {path: /srv/app, files: [{template: t, configuration: app}]}}";
    let files = "//- a.yaml\nx: 1\n//- s.yaml\ntype: object\n//- t/a.j2\n{{ revision }}{% include 'inc' %}//- t/inc\n//- t/other.j2\n-";
    assert_eq!(World::manifest(rest, files).files()[0].1, "[a.yaml s.yaml t/a.j2 t/inc]");
    // A migration that is added or removed changes what becomes of documents, so the folder counts as a whole.
    let rest = rest.replace("schema: s.yaml", "schema: s.yaml, migrations: m, schema_version: 2");
    let files = format!("{files}//- m/0002-a.yaml\n[]\n");
    assert_eq!(World::manifest(&rest, &files).files()[0].1, "[a.yaml m s.yaml t/a.j2 t/inc]");
}

#[test]
fn files_with_odd_names_and_bits_pass_through() {
    let mut world =
        World::manifest("targets: {app: {path: /srv/app, files: [{copy: f, to: 'in here'}]}}", "//- f/a b\nx");
    world.tree.insert("f/bin/日本", EntryKind::File { executable: true }, b"\x00\xff\r\n");
    world.tree.insert("f/link", EntryKind::Link, b"a b");
    let rendered = world.rendered();
    let target = &rendered.rendering.targets[0];
    let modes: Vec<_> = target.files.iter().map(|(path, it)| (path.as_str(), it.mode)).collect();
    assert_eq!(modes, [("in here/a b", 0o644), ("in here/bin/日本", 0o755), ("in here/link", 0o777)]);
}

const VERSIONED: &str = "
configurations:
  app: {layers: [old.yaml, new.yaml, plain.yaml], migrations: m, schema: 's{{ schema_version }}.json', schema_version: VERSION}
targets: {app: {path: /srv/app, files: [{write: out.json, configuration: app}]}}";

const VERSIONED_FILES: &str = r#"
//- old.yaml
schema_version: 1
server: {port: 80}
legacy: x
//- new.yaml
schema_version: 2
server: {listen_port: 81}
//- plain.yaml
name: app
//- m/0002-rename.yaml
- rename: {from: server.port, to: server.listen_port}
- remove: {path: legacy}
- add: {path: server.tls, value: false}
//- s1.json
{"properties": {"server": {"properties": {"port": {"type": "integer"}}, "additionalProperties": false}}}
//- s2.json
{"properties": {"server": {"properties": {"listen_port": {"type": "integer"}, "tls": {"type": "boolean"}},
  "additionalProperties": false}}, "additionalProperties": false}
"#;

#[test]
fn x20_each_layer_is_migrated_to_the_environments_version() {
    let world = |version: &str| World::manifest(&VERSIONED.replace("VERSION", version), VERSIONED_FILES);
    let json = |world: World| serde_json::from_str::<serde_json::Value>(&world.files()[0].1).unwrap();
    let (_, findings) = world("2").run();
    // `name` is unknown to schema 2, and the migrated layer is blamed for nothing.
    assert_eq!(
        findings.iter().map(|it| it.place.as_ref().unwrap().to_string()).collect::<Vec<_>>(),
        ["plain.yaml:1:1"]
    );
    let down = json(world("{default: 2, production: 1}"));
    assert_eq!(down, serde_json::json!({"server": {"port": 81}, "legacy": "x", "name": "app"}));
}

#[test]
fn x20_one_tree_serves_two_environments_whose_programs_are_at_different_versions() {
    let manifest = "version: 1
environments: {staging: {type: staging}, production: {type: production}}
configurations:
  app:
    layers: [a.yaml, b.yaml, '{{ environment }}.yaml', plain.yaml]
    migrations: m
    schema: 's{{ schema_version }}.json'
    schema_version: {staging: 3, production: 1}
targets: {app: {path: /srv/app, files: [{write: out.json, configuration: app}]}}
";
    let files = r#"
//- a.yaml
schema_version: 1
server: {port: 1, host: a}
legacy: true
//- b.yaml
schema_version: 2
server: {listen_port: 2}
//- staging.yaml
schema_version: 3
server: {listen_port: 3}
//- production.yaml
schema_version: 3
server: {listen_port: 4, tls: true}
//- plain.yaml
server: {host: plain}
//- m/0002-rename.yaml
- rename: {from: server.port, to: server.listen_port}
//- m/0003-tls.yaml
- add: {path: server.tls, value: false}
- remove: {path: legacy}
//- s1.json
{"properties": {"legacy": {}, "server": {"properties": {"port": {}, "host": {}}, "additionalProperties": false}},
  "additionalProperties": false}
//- s3.json
{"properties": {"server": {"properties": {"listen_port": {}, "host": {}, "tls": {}}, "required": ["tls"]}},
  "additionalProperties": false}
"#;
    let deployed = |environment: &str| {
        let mut world = World::new(&format!("//- headfast.yaml\n{manifest}{files}"));
        world.facts.environment = environment.into();
        let source = world.rendered().configurations["app"].source();
        (source, serde_json::from_str::<serde_json::Value>(&world.files()[0].1).unwrap())
    };
    let new = serde_json::json!({"server": {"tls": false, "listen_port": 3, "host": "plain"}});
    assert_eq!(deployed("staging"), ("migrations, a.yaml, b.yaml, staging.yaml, plain.yaml".to_owned(), new));
    let old = serde_json::json!({"server": {"port": 4, "host": "plain"}, "legacy": true});
    assert_eq!(deployed("production"), ("a.yaml, b.yaml, production.yaml, plain.yaml".to_owned(), old));
}

#[test]
fn x20_documents_without_migrations_cannot_change_their_version() {
    let rest = VERSIONED.replace("VERSION", "2").replace("migrations: m, ", "");
    let (rendered, findings) = World::manifest(&rest, VERSIONED_FILES).run();
    assert!(rendered.is_none());
    assert_eq!(
        list(&findings),
        ["old.yaml:1:1 E_MIGRATION_PATH `old.yaml` has schema version 1, but `production` is at 2 \
          (name the folder of the migrations in `configurations.app.migrations`) | schema_version: 1"]
    );
}

#[test]
fn policies_see_what_would_be_deployed() {
    let policy = "package main
deny contains msg if {
  input.environment.type == \"production\"
  input.targets.app.mode == \"0644\"
  msg := sprintf(\"%s on %s is open, port %d\", [input.targets.app.path, input.host, input.configurations.app.port])
}
";
    let rest = "
policies: [policies]
configurations: {app: {layers: [a.yaml]}}
targets: {app: {path: /srv/app, mode: '0644', files: [{write: out.json, configuration: app}]}}";
    let world = World::manifest(rest, &format!("//- a.yaml\nport: 80\n//- policies/modes.rego\n{policy}"));
    world.refused(&["policies/modes.rego:2:1 E_POLICY /srv/app on web-1 is open, port 80 | deny contains msg if {"]);
    let world = World::manifest(
        &rest.replace("0644", "0640"),
        &format!("//- a.yaml\nport: 80\n//- policies/modes.rego\n{policy}"),
    );
    assert_eq!(world.files().len(), 1);
}

#[test]
fn a_final_slash_puts_a_single_file_into_a_folder() {
    let path = |to: &str| {
        let rest = format!("targets: {{app: {{path: /srv/app, files: [{{copy: f/a.conf, to: {to}}}]}}}}");
        World::manifest(&rest, "//- f/a.conf\nx").files().remove(0).0
    };
    assert_eq!(path("conf.d/"), "conf.d/a.conf");
    assert_eq!(path("conf.d/b.conf"), "conf.d/b.conf");
    assert_eq!(path("."), "a.conf");
}

#[test]
fn policies_look_at_rendered_files_one_by_one() {
    let policy = "package main
import rego.v1
deny contains {\"msg\": sprintf(\"port %v\", [input.server.port]), \"path\": \"server.port\"} if to_number(input.server.port) < 1024
warn contains msg if { not input.server; msg := sprintf(\"no server on %s\", [data.headfast.host]) }
";
    let rest = "
policies: [{path: policies, over: files}]
configurations: {app: {layers: [a.yaml]}}
targets:
  app:
    path: /srv/app
    files:
      - {write: out.json, configuration: app}
      - {write: out.env, configuration: app, select: server}
      - {copy: files}
      - {template: t.toml.j2, to: t.toml}
      - {copy: free.conf}
";
    let files = format!(
        "//- a.yaml\nserver:\n  port: 80\n//- files/b.yaml\n# a copy\nserver: {{port: 443}}\n\
         //- t.toml.j2\n[server]\nport = 22\n//- free.conf\nthis {{ is not INI;\n//- policies/a.rego\n{policy}"
    );
    let world = World::manifest(rest, &files);
    insta::assert_snapshot!(list(&world.run().1).join("\n"), @r#"
        files/b.yaml:2:16 E_POLICY port 443 (in `app/b.yaml`) (`main.deny` says so, at policies/a.rego:3:1) | server: {port: 443}
        policies/a.rego:4:1 warning E_POLICY no server on web-1 (in `app/out.env`) | warn contains msg if { not input.server; msg := sprintf("no server on %s", [data.headfast.host]) }
        a.yaml:2:9 E_POLICY port 80 (in `app/out.json`) (`main.deny` says so, at policies/a.rego:3:1) | port: 80
        t.toml.j2 E_POLICY port 22 (in `app/t.toml`) (`main.deny` says so, at policies/a.rego:3:1)
    "#);
    let chosen = rest.replace("over: files", "over: files, match: ['app/out.*', '*.conf']");
    insta::assert_snapshot!(list(&World::manifest(&chosen, &files).run().1).join("\n"), @r#"
        headfast.yaml:15:9 E_POLICY_INVALID policies cannot look at `app/free.conf`: expected `[section]`, `key = value` or a comment (line 1) (mend the file, or leave it out with `match`) | - {copy: free.conf}
        policies/a.rego:4:1 warning E_POLICY no server on web-1 (in `app/out.env`) | warn contains msg if { not input.server; msg := sprintf("no server on %s", [data.headfast.host]) }
        a.yaml:2:9 E_POLICY port 80 (in `app/out.json`) (`main.deny` says so, at policies/a.rego:3:1) | port: 80
    "#);
}

#[test]
fn globs_of_policies_that_can_match_nothing_are_pointed_out() {
    let rest = "
policies: [{path: policies, over: files, match: ['ap/*.json', '*/x.json', 'app/out.json', 'x.json', '/app/**']}]
configurations: {app: {layers: [a.yaml]}}
targets: {app: {path: /srv/app, files: [{write: out.json, configuration: app}]}}";
    let files = "//- a.yaml\nport: 80\n//- policies/a.rego\npackage main\ndeny contains \"x\" if input.x\n";
    insta::assert_snapshot!(list(&World::manifest(rest, files).run().1).join("\n"), @"headfast.yaml:5:50 warning E_POLICY_INVALID `ap/*.json` matches no file: there is no target `ap` (globs with a `/` begin with a target's name; there is `app`) | policies: [{path: policies, over: files, match: ['ap/*.json', '*/x.json', 'app/out.json', 'x.json', '/app/**']}]");
}

#[test]
fn policies_point_at_the_value_of_a_configuration() {
    let rest = "
policies: [policies]
configurations: {app: {layers: [a.yaml]}}
targets: {app: {path: /srv/app, mode: '0644', files: [{write: out.json, configuration: app}]}}";
    let policy =
        "package main\ndeny contains {\"msg\": \"too low\", \"path\": [\"configurations\", \"app\", \"port\"]}\n";
    let world = World::manifest(rest, &format!("//- a.yaml\n# the port\nport: 80\n//- policies/a.rego\n{policy}"));
    world.refused(&["a.yaml:2:7 E_POLICY too low (`main.deny` says so, at policies/a.rego:2:1) | port: 80"]);
}

#[test]
fn what_policies_read_and_is_never_there_is_pointed_out() {
    let rest = "
policies: [policies]
configurations: {app: {layers: [a.yaml]}}
targets: {app: {path: /srv/app, mode: '0644', files: [{write: out.json, configuration: app}]}}";
    let policy = "package main
import rego.v1
deny contains \"port\" if {
\tinput.server.port < 1024
\tinput.enviroment.name == \"production\"
\tinput.environment.kind == \"production\"
\tinput.configurations.ap.port == 80
\tinput.targets.web.mode == \"0777\"
}
warn contains \"fine\" if {
\tnot input.configurations.app.nothing
\tsome name
\tinput.configurations[name].port == 1
\tinput.targets[\"app\"].path == \"/\"
\tinput.labels.whatever
}
";
    let world = World::manifest(rest, &format!("//- a.yaml\nport: 80\n//- policies/a.rego\n{policy}"));
    insta::assert_snapshot!(list(&world.run().1).join("\n"), @r#"
        policies/a.rego:4:2 warning E_POLICY_INVALID `input.server` is never there (`input` holds `environment`, `host`, `labels`, `configurations`, `targets`; policies over rendered files have `over: files`) | input.server.port < 1024
        policies/a.rego:5:2 warning E_POLICY_INVALID `input.enviroment` is never there (`input` holds `environment`, `host`, `labels`, `configurations`, `targets`; policies over rendered files have `over: files`) | input.enviroment.name == "production"
        policies/a.rego:6:2 warning E_POLICY_INVALID `input.environment.kind` is never there (`input.environment` holds `name`, `type`) | input.environment.kind == "production"
        policies/a.rego:7:2 warning E_POLICY_INVALID `input.configurations.ap` is never there (`input.configurations` holds `app`) | input.configurations.ap.port == 80
        policies/a.rego:8:2 warning E_POLICY_INVALID `input.targets.web` is never there (`input.targets` holds `app`) | input.targets.web.mode == "0777"
    "#);
}

use super::*;
use crate::document::{Format, Limits, MergeKeys, parse};
use crate::finding::{Code, Findings};
use std::sync::Arc;

/// The example of DESIGN.md section 4.
pub(super) const EXAMPLE: &str = r#"
version: 1
environments:
  staging: {type: staging}
  production: {type: production, variables: {domain: example.org}}

configurations:
  app:
    layers:                               # later wins
      - config/app.yaml
      - config/{{ environment }}/app.yaml
      - config/hosts/{{ host }}.yaml?     # `?`: may be absent
      - secrets/{{ environment }}.sops.yaml
      - env:APP_
    schema: schemas/app.v{{ schema_version }}.json
    migrations: migrations/app
    schema_version: {default: 3, staging: 4}
policies: [policies/]
hosts:
  web-1: {environment: production, labels: {role: web}}

targets:
  app:
    path: /srv/app
    on: {host: "web-*", labels: {role: web}}
    environments: [staging, production]
    files:
      - copy: files/app
        to: .
      - template: templates/app
        configuration: app
      - write: settings.toml
        configuration: app
        select: server
    owner: root
    group: www-data
    mode: "0640"
    overrides: [{match: "bin/**", mode: "0755"}]
    publish: in-place
    prune: owned
    ignore: ["*.local", "cache/**"]
    check:  [{command: [/usr/sbin/nginx, -t, -c, "{{ staged }}/nginx.conf"]}]
    reload: [{unit: nginx.service, action: reload, when: ["conf.d/**"]}]
    probe:  [{http: "http://127.0.0.1/healthz", expect: 200, within: 30s}]
    after: [base]
  base:
    path: /srv/base
    files: [{copy: files/base}]
allow_removal: [app]
"#;

pub(super) fn read(text: &str) -> (Option<Manifest>, Findings) {
    let mut findings = Findings::new();
    let (file, limits) = (Arc::from("headfast.yaml"), Limits::default());
    let node = parse(Format::Yaml, &file, text.as_bytes(), &limits, MergeKeys::Refuse, &mut findings);
    let manifest = node.and_then(|it| load(&it, &mut findings));
    (manifest, findings)
}

#[track_caller]
fn loads(text: &str) -> Manifest {
    let (manifest, findings) = read(text);
    assert!(findings.is_empty(), "{}", shown(&findings));
    manifest.expect("a manifest")
}

pub(super) fn shown(findings: &Findings) -> String {
    let line = |it: &crate::finding::Finding| {
        let place = it.place.as_ref().map_or("-".into(), |it| format!("{}:{}", it.line, it.column));
        let hint = it.hint.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
        format!("{place} {}: {}{hint}", it.code, it.message)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns all findings for a manifest with one target, whose keys are `target`, indented by four.
fn with_target(target: &str) -> String {
    shown(&read(&format!("version: 1\nenvironments: {{p: {{type: production}}}}\ntargets:\n  a:\n{target}")).1)
}

/// Returns all findings for a good target with one more line.
fn with_line(line: &str) -> String {
    with_target(&format!("    path: /srv/a\n    files: []\n    {line}\n"))
}

pub(super) fn facts(host: &str, environment: &str) -> Facts {
    Facts {
        host: host.into(),
        environment: environment.into(),
        labels: [("role".to_owned(), "web".to_owned())].into(),
        ..Facts::default()
    }
}

#[test]
fn the_example_of_the_design_loads() {
    let manifest = loads(EXAMPLE);
    assert_eq!(manifest.targets.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["base", "app"]);
    assert_eq!(manifest.environment("staging").map(|it| it.kind), Some(EnvironmentType::Staging));
    assert!(manifest.environment("testing").is_none());
    let app = &manifest.configurations["app"];
    assert_eq!(
        app.layers[2].source,
        LayerSource::File { path: PathTemplate("config/hosts/{{ host }}.yaml".into()), optional: true }
    );
    assert_eq!(app.layers[4].source, LayerSource::Variables { prefix: "APP_".into() });
    assert_eq!((app.schema_version.of("staging"), app.schema_version.of("production")), (Some(4), Some(3)));
    assert_eq!(manifest.policies[0].path.value, "policies");
    let target = &manifest.targets[1];
    assert_eq!((target.mode, target.overrides[0].mode, target.prune), (Some(0o640), Some(0o755), Prune::Owned));
    assert_eq!(target.files[0].to, None);
    assert!(matches!(&target.files[2].kind, OutputKind::Write { format: Format::Toml, .. }));
    assert_eq!(target.check[0].within, Duration::from_secs(60));
    assert_eq!(target.place.to_string(), "headfast.yaml:23:3");
    let selected = |facts: &Facts| manifest.targets_for(facts).map(|it| it.name.clone()).collect::<Vec<_>>();
    assert_eq!(selected(&facts("web-1", "production")), ["base", "app"]);
    assert_eq!(selected(&facts("db-1", "production")), ["base"]);
    assert_eq!(selected(&facts("web-1", "testing")), ["base"]);
    assert_eq!(selected(&Facts { labels: BTreeMap::new(), ..facts("web-1", "staging") }), ["base"]);
}

#[test]
fn d11_a_manifest_is_never_empty() {
    for text in ["", "# c\n", "null", "5", "[]", "- version: 1"] {
        let (manifest, findings) = read(text);
        assert!(manifest.is_none(), "{text:?}");
        assert_eq!(findings.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::SHAPE], "{text:?}");
    }
    insta::assert_snapshot!(shown(&read("{}").1), @"
    1:1 E_MISSING_KEY: `version` is missing
    1:1 E_MISSING_KEY: `environments` is missing
    1:1 E_MISSING_KEY: `targets` is missing
    ");
    insta::assert_snapshot!(shown(&read("version: 1\nenvironments:\ntargets:\n").1), @"
    2:13 E_TYPE: `environments` must be a map, found null
    3:8 E_TYPE: `targets` must be a map, found null
    ");
}

#[test]
fn d12_unknown_keys_have_a_suggestion() {
    let text = "version: 1\nenviroments: {}\nenvironments: {p: {type: production, tpye: x}}\ntragets: {}\ntargets:\n  a:\n    path: /srv/a\n    files: [{copy: f, too: x}, {write: a.yaml, configuraton: x}]\n    modes: x\n    reload: [{unit: a.service, acton: reload}]\n    probe: [{tcp: 'a:1', expect: 200}]\n";
    insta::assert_snapshot!(shown(&read(text).1), @"
    3:38 E_UNKNOWN_KEY: the key `environments.p.tpye` does not exist (did you mean `type`?)
    8:23 E_UNKNOWN_KEY: the key `targets.a.files.0.too` does not exist (did you mean `to`?)
    8:32 E_MISSING_KEY: `targets.a.files.1.configuration` is missing
    8:48 E_UNKNOWN_KEY: the key `targets.a.files.1.configuraton` does not exist (did you mean `configuration`?)
    10:32 E_UNKNOWN_KEY: the key `targets.a.reload.0.acton` does not exist (did you mean `action`?)
    11:26 E_UNKNOWN_KEY: the key `targets.a.probe.0.expect` does not exist (the keys here are within, settle, http, tcp, command, unit)
    9:5 E_UNKNOWN_KEY: the key `targets.a.modes` does not exist (did you mean `mode`?)
    2:1 E_UNKNOWN_KEY: the key `enviroments` does not exist (did you mean `environments`?)
    4:1 E_UNKNOWN_KEY: the key `tragets` does not exist (did you mean `targets`?)
    ");
}

#[test]
fn d13_a_newer_manifest_is_refused_at_once() {
    insta::assert_snapshot!(shown(&read("version: 2\nnew_key: 1\n").1), @"1:10 E_VERSION_NEWER: the manifest has version 2; this headfast knows versions up to 1 (install a newer headfast)");
    insta::assert_snapshot!(shown(&read("version: one\nenvironments: {}\ntargets: {}\nx: 1").1), @"
    1:10 E_TYPE: `version` must be a whole number, found text
    4:1 E_UNKNOWN_KEY: the key `x` does not exist (the keys here are version, environments, configurations, policies, hosts, targets, allow_removal)
    ");
    assert!(shown(&read("version: 0\nenvironments: {}\ntargets: {}").1).contains("E_VALUE"));
}

#[test]
fn d04_d03_merge_keys_and_duplicates() {
    let text = "version: 1\nenvironments: {}\ntargets: {}\ntargets: {}\nx-base: &b {}\npolicies: []\n<<: *b\n";
    insta::assert_snapshot!(shown(&read(text).1), @"
    4:1 E_DUPLICATE_KEY: the key `targets` stands twice, first on line 3 (remove one of them)
    7:1 E_YAML_MERGE: the merge key `<<` is not allowed in this file (write the keys out)
    5:1 E_UNKNOWN_KEY: the key `x-base` does not exist (the keys here are version, environments, configurations, policies, hosts, targets, allow_removal)
    ");
}

#[test]
fn d06_modes_are_quoted_octal_numbers() {
    let modes =
        ["0640", "640", "0o640", "'0640'", "'640'", "'0999'", "rw-r--r--", "'4755'", "'01777'", "'64'", "true", "1e3"];
    let shown: Vec<String> = modes.iter().map(|it| format!("{it}: {}", with_line(&format!("mode: {it}")))).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    0640: 7:11 E_MODE_TYPE: `targets.a.mode` must be an octal number in quotes, found a number (write it like "0640")
    640: 7:11 E_MODE_TYPE: `targets.a.mode` must be an octal number in quotes, found a number (write it like "0640")
    0o640: 7:11 E_MODE_TYPE: `targets.a.mode` must be an octal number in quotes, found a number (write it like "0640")
    '0640': 
    '640': 
    '0999': 7:11 E_MODE_TYPE: `targets.a.mode` is not an octal file mode: `0999` (write it like "0640")
    rw-r--r--: 7:11 E_MODE_TYPE: `targets.a.mode` is not an octal file mode: `rw-r--r--` (write it like "0640")
    '4755': 7:11 E_VALUE: `targets.a.mode` must not set the setuid, setgid or sticky bit
    '01777': 7:11 E_MODE_TYPE: `targets.a.mode` is not an octal file mode: `01777` (write it like "0640")
    '64': 7:11 E_MODE_TYPE: `targets.a.mode` is not an octal file mode: `64` (write it like "0640")
    true: 7:11 E_MODE_TYPE: `targets.a.mode` must be an octal number in quotes, found a boolean (write it like "0640")
    1e3: 7:11 E_MODE_TYPE: `targets.a.mode` must be an octal number in quotes, found a number (write it like "0640")
    "#);
}

#[test]
fn b20_paths_and_forbidden_targets() {
    let paths = [
        "/",
        "//",
        "/.",
        "/proc",
        "/proc/x",
        "/sys",
        "/dev/shm",
        "/developer",
        "srv",
        "/srv/../etc",
        "''",
        "\"/a\\0b\"",
        "\"/a\\nb\"",
        "/srv//a/./b/",
        "5",
        "null",
    ];
    let shown: Vec<String> =
        paths.iter().map(|it| format!("{it}: {}", with_target(&format!("    path: {it}\n    files: []\n")))).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    /: 5:11 E_TARGET_FORBIDDEN: `targets.a.path` is never allowed as a target
    //: 5:11 E_TARGET_FORBIDDEN: `targets.a.path` is never allowed as a target
    /.: 5:11 E_TARGET_FORBIDDEN: `targets.a.path` is never allowed as a target
    /proc: 5:11 E_TARGET_FORBIDDEN: `targets.a.path` is never allowed as a target
    /proc/x: 5:11 E_TARGET_FORBIDDEN: `targets.a.path` is never allowed as a target
    /sys: 5:11 E_TARGET_FORBIDDEN: `targets.a.path` is never allowed as a target
    /dev/shm: 5:11 E_TARGET_FORBIDDEN: `targets.a.path` is never allowed as a target
    /developer: 
    srv: 5:11 E_PATH: `targets.a.path` must be an absolute path (write `/srv`)
    /srv/../etc: 5:11 E_PATH: `targets.a.path` must not hold `..`
    '': 5:11 E_PATH: `targets.a.path` must be an absolute path
    "/a\0b": 5:11 E_PATH: `targets.a.path` holds a control character
    "/a\nb": 5:11 E_PATH: `targets.a.path` holds a control character
    /srv//a/./b/: 
    5: 5:11 E_TYPE: `targets.a.path` must be text, found a number (put the value in quotes)
    null: 5:11 E_TYPE: `targets.a.path` must be text, found null
    "#);
    assert_eq!(
        loads("version: 1\nenvironments: {}\ntargets: {a: {path: /srv//a/./b/, files: []}}").targets[0].path.value,
        "/srv/a/b"
    );
    insta::assert_snapshot!(with_target("    path: /etc\n    files: []\n    prune: all\n"), @"7:12 E_TARGET_FORBIDDEN: `targets.a.prune: all` is never allowed on /etc itself (use `owned`)");
    insta::assert_snapshot!(with_target("    path: /etc\n    files: []\n    publish: generations\n"), @"7:14 E_TARGET_FORBIDDEN: `targets.a.publish: generations` is never allowed on /etc itself (use `in-place`)");
    assert_eq!(with_target("    path: /etc\n    files: []\n    prune: owned\n"), "");
}

#[test]
fn b18_overlapping_targets_are_refused() {
    let two = |a: &str, b: &str| {
        let text = format!(
            "version: 1\nenvironments: {{p: {{type: production}}, s: {{type: staging}}}}\ntargets:\n  a: {{files: [], {a}}}\n  b: {{files: [], {b}}}\n"
        );
        shown(&read(&text).1)
    };
    insta::assert_snapshot!(two("path: /srv/a", "path: /srv/a/"), @"5:24 E_TARGET_OVERLAP: the targets `a` (/srv/a) and `b` (/srv/a) overlap (give each its own folder, or hosts or environments that exclude each other)");
    for (a, b) in [
        ("path: /srv/a", "path: /srv/a/b"),
        ("path: /srv/a/b", "path: /srv/a"),
        ("path: /srv, on: {host: 'web-*'}", "path: /srv, on: {host: '*-1'}"),
        ("path: /srv, on: {labels: {x: '1'}}", "path: /srv, on: {labels: {y: '1'}}"),
        ("path: /srv, environments: [p, s]", "path: /srv, environments: [s]"),
    ] {
        assert!(two(a, b).contains("E_TARGET_OVERLAP"), "{a} {b}");
    }
    for (a, b) in [
        ("path: /srv/a", "path: /srv/ab"),
        ("path: /srv, on: {host: 'web-*'}", "path: /srv, on: {host: 'db-*'}"),
        ("path: /srv, on: {host: web}", "path: /srv, on: {host: web-1}"),
        ("path: /srv, on: {labels: {x: '1'}}", "path: /srv, on: {labels: {x: '2'}}"),
        ("path: /srv, environments: [p]", "path: /srv, environments: [s]"),
    ] {
        assert_eq!(two(a, b), "", "{a} {b}");
    }
}

#[test]
fn targets_come_in_after_order_or_not_at_all() {
    let order = |targets: &[(&str, &str)]| {
        let targets: String = targets
            .iter()
            .map(|(name, after)| format!("  {name}: {{path: /{name}, files: [], after: [{after}]}}\n"))
            .collect();
        let (manifest, findings) = read(&format!("version: 1\nenvironments: {{}}\ntargets:\n{targets}"));
        let names: Vec<String> = manifest.into_iter().flat_map(|it| it.targets).map(|it| it.name).collect();
        format!("{} {}", names.join(" "), shown(&findings))
    };
    assert_eq!(order(&[("z", ""), ("c", "a, b"), ("b", "a"), ("a", "")]), "z a b c ");
    insta::assert_snapshot!(order(&[("a", "c"), ("b", "a"), ("c", "b"), ("d", "a"), ("e", "")]), @"e a b c d 4:3 E_TARGET_CYCLE: targets wait for each other: a after c after b after a");
    insta::assert_snapshot!(order(&[("a", "a")]), @"a 4:3 E_TARGET_CYCLE: targets wait for each other: a after a");
    insta::assert_snapshot!(order(&[("alpha", ""), ("b", "alhpa")]), @"alpha b 5:36 E_REFERENCE: there is no target `alhpa` (did you mean `alpha`?)");
}

#[test]
fn names_that_refer_to_nothing() {
    let text = "version: 1\nenvironments: {prod: {type: production}}\nconfigurations: {app: {layers: [a.yaml], schema_version: {default: 1, prd: 2}}}\nhosts: {web: {environment: prood}}\ntargets:\n  web: {path: /srv, environments: [dev], files: [{template: t, configuration: ap}]}\nallow_removal: [wbe]\n";
    insta::assert_snapshot!(shown(&read(text).1), @"
    4:28 E_REFERENCE: there is no environment `prood` (did you mean `prod`?)
    3:18 E_REFERENCE: there is no environment `prd` (did you mean `prod`?)
    6:36 E_REFERENCE: there is no environment `dev`
    6:79 E_REFERENCE: there is no configuration `ap` (did you mean `app`?)
    7:17 E_REFERENCE: there is no target `wbe` (did you mean `web`?)
    ");
}

#[test]
fn wrong_values_are_named() {
    let lines = [
        "publish: inplace",
        "prune: some",
        "drift: fix",
        "owner: 'a:b'",
        "owner: 0",
        "ignore: ['[']",
        "overrides: [{match: 'a/**', drift: off}, {mode: '0600'}]",
        "on: {host: '{', lables: {}}",
        "on: web",
        "check: [{command: []}, {command: [nginx]}, {command: [/a, '{{ stage }}']}, {}]",
        "reload: [{unit: nginx}, {unit: a.service, command: [/a]}, {unit: a/b.service}, {command: [/a, '{{ staged }}']}]",
        "reload: [{unit: a.service, action: stop, within: 5}]",
        "probe: [{http: 'ftp://x'}, {http: 'http://u:p@x/'}, {tcp: x}, {tcp: 'x:99999'}, {http: 'http://x', expect: 99}]",
    ];
    let shown: Vec<String> = lines.iter().map(|it| with_line(it)).collect();
    insta::assert_snapshot!(shown.join("\n"), @"
    7:14 E_VALUE: `targets.a.publish` cannot be `inplace` (it is one of in-place, generations)
    7:12 E_VALUE: `targets.a.prune` cannot be `some` (it is one of owned, all, never)
    7:12 E_VALUE: `targets.a.drift` cannot be `fix` (it is one of off, report, heal)
    7:12 E_VALUE: `targets.a.owner` cannot be `a:b` (write the name of an account, or its number in quotes)
    7:12 E_TYPE: `targets.a.owner` must be text, found a number (put the value in quotes)
    7:14 E_VALUE: `targets.a.ignore` is not a glob: unclosed character class; missing ']'
    7:33 E_UNSUPPORTED: `targets.a.overrides.0.drift` is not supported by this version of headfast (remove it)
    7:46 E_MISSING_KEY: `targets.a.overrides.1.match` is missing
    7:16 E_VALUE: `targets.a.on.host` is not a glob: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)
    7:21 E_UNKNOWN_KEY: the key `targets.a.on.lables` does not exist (did you mean `labels`?)
    7:9 E_TYPE: `targets.a.on` must be a map, found text
    7:23 E_VALUE: `targets.a.check.0.command` must start with the absolute path of a program
    7:38 E_VALUE: `targets.a.check.1.command` must start with the absolute path of a program
    7:63 E_UNDEFINED: `targets.a.check.2.command` uses `stage`, which does not exist here
    7:80 E_MISSING_KEY: `targets.a.check.3.command` is missing
    7:21 E_UNIT: `targets.a.reload.0.unit` is not a unit name: `nginx` (write it like nginx.service)
    7:29 E_SHAPE: exactly one of `unit`, `command` must be given
    7:70 E_UNIT: `targets.a.reload.2.unit` is not a unit name: `a/b.service` (write it like nginx.service)
    7:99 E_UNDEFINED: `targets.a.reload.3.command` uses `staged`, which does not exist here
    7:54 E_TYPE: `targets.a.reload.0.within` must be a duration, found a number (write it like 30s, 2m or 1h30m)
    7:40 E_VALUE: `targets.a.reload.0.action` cannot be `stop` (it is one of reload-or-restart, reload, restart, try-restart, try-reload-or-restart, start)
    7:20 E_VALUE: `targets.a.probe.0.http` must be an http:// or https:// URL without a user name
    7:39 E_VALUE: `targets.a.probe.1.http` must be an http:// or https:// URL without a user name
    7:63 E_VALUE: `targets.a.probe.2.tcp` must be written like 127.0.0.1:8080 or [::1]:8080
    7:73 E_VALUE: `targets.a.probe.3.tcp` must be written like 127.0.0.1:8080 or [::1]:8080
    7:112 E_VALUE: `targets.a.probe.4.expect` must be between 100 and 599, found 99
    ");
}

#[test]
fn wrong_files_and_layers_are_named() {
    let text = "version: 1\nenvironments: {'p/q': {type: prod}, p: 5}\nconfigurations:\n  c:\n    layers: [/etc/x, ../x, 'a/{{ hots }}', 'a/{{ host', 'env:', 'env:A-', 5, '']\n    schema_version: 0\n  d: {layers: []}\n  e: {schema: x, migrations: m}\ntargets:\n  a:\n    path: /srv/a\n    files: [{copy: /x}, {copy: ../x}, {copy: a, template: b}, {}, 5, {copy: a, to: /x}, {write: x.conf.j2, configuration: c}, {write: ., configuration: c}, {write: x, format: xml, configuration: c}, {write: a.yaml}]\n";
    insta::assert_snapshot!(shown(&read(text).1), @"
    2:16 E_VALUE: `p/q` is not a name for an environment (names start with a letter or digit and hold letters, digits, `.`, `_` and `-`)
    2:30 E_VALUE: `environments.p/q.type` cannot be `prod` (it is one of development, testing, staging, production)
    2:40 E_TYPE: `environments.p` must be a map, found a number
    5:14 E_PATH: `configurations.c.layers` must be a relative path
    5:22 E_PATH: `configurations.c.layers` must not hold `..`
    5:28 E_UNDEFINED: `configurations.c.layers` uses `hots`, which does not exist in paths (paths know host, environment, schema_version and labels.NAME)
    5:44 E_TEMPLATE: `configurations.c.layers` `{{` is not closed
    5:57 E_VALUE: `env:` must name a prefix of variables, as in `env:APP_`
    5:65 E_VALUE: `env:A-` must name a prefix of variables, as in `env:APP_`
    5:75 E_TYPE: `configurations.c.layers` must be text, found a number (put the value in quotes)
    5:78 E_PATH: `configurations.c.layers` is empty; write `.` for the folder itself
    6:21 E_VALUE: `configurations.c.schema_version` must be between 1 and 4294967295, found 0
    7:3 E_VALUE: `configurations.d.layers` names no layer
    8:6 E_MISSING_KEY: `configurations.e.layers` is missing
    8:30 E_MISSING_KEY: `configurations.e.migrations` has no effect without `schema_version`
    12:20 E_PATH: `targets.a.files.0.copy` must be a relative path
    12:32 E_PATH: `targets.a.files.1.copy` must not hold `..`
    12:39 E_SHAPE: `targets.a.files.2` must have exactly one of `copy`, `template` and `write`
    12:63 E_SHAPE: `targets.a.files.3` must have exactly one of `copy`, `template` and `write`
    12:67 E_TYPE: `targets.a.files.4` must be a map, found a number
    12:84 E_PATH: `targets.a.files.5.to` must be a relative path
    12:97 E_VALUE: the extension of `x.conf.j2` does not tell its format (add `format:` with one of yaml, json, toml, env, ini)
    12:135 E_PATH: `targets.a.files.7.write` must name a file
    12:176 E_VALUE: `targets.a.files.8.format` cannot be `xml` (it is one of yaml, json, toml, env, ini)
    12:200 E_MISSING_KEY: `targets.a.files.9.configuration` is missing
    ");
}

#[test]
fn targets_of_agent_yaml_are_a_list_or_a_map() {
    let read = |text: &str| {
        let mut findings = Findings::new();
        let node = parse(
            Format::Yaml,
            &Arc::from("agent.yaml"),
            text.as_bytes(),
            &Limits::default(),
            MergeKeys::Refuse,
            &mut findings,
        );
        let manifest = load_targets(&node.expect("parses"), &mut findings);
        (manifest.map(|it| it.targets.into_iter().map(|it| it.name).collect::<Vec<_>>()), shown(&findings))
    };
    let names = Some(vec!["a".to_owned()]);
    assert_eq!(read("[{name: a, path: /srv/a, files: [{copy: .}]}]"), (names.clone(), String::new()));
    assert_eq!(read("a: {path: /srv/a, files: [{copy: .}], environments: [any]}"), (names, String::new()));
    insta::assert_snapshot!(read("[{path: /srv/a, files: [{write: a.yaml, configuration: c}]}, {name: '../x', path: /x, files: []}]").1, @"
    1:2 E_MISSING_KEY: `targets.0.name` is missing
    1:69 E_VALUE: `../x` is not a name for a target (names start with a letter or digit and hold letters, digits, `.`, `_` and `-`)
    ");
    assert_eq!(read("5").0, None);
}

#[test]
fn a_target_is_published_in_place_unless_it_says_generations() {
    let text = "version: 1\nenvironments: {prod: {type: production}}\ntargets:\n  a: {path: /a, files: [{copy: a}]}\n  b: {path: /b, files: [{copy: b}], publish: generations}\n";
    let (manifest, findings) = read(text);
    assert!(findings.is_empty(), "{}", shown(&findings));
    let publish: Vec<Publish> = manifest.unwrap().targets.iter().map(|it| it.publish).collect();
    assert_eq!(publish, [Publish::InPlace, Publish::Generations]);
}

#[test]
fn x24_a_url_among_the_layers_is_never_taken_for_a_path() {
    let digest = "0123456789abcdef".repeat(4);
    let layers = format!(
        "https://h/a.yaml#sha256={digest}, https://h/a.yaml, 'https://h/a.yaml#sha256={digest}?', ftp://h/a.yaml, 'https:h', \
         'https://ana:s3cr3t@h/a.yaml#sha256={digest}', 'https://h/{{{{ host }}}}.yaml#sha256={digest}'"
    );
    let text = format!(
        "version: 1\nenvironments: {{p: {{type: production}}}}\nconfigurations:\n  c:\n    layers: [{layers}]\n    \
         schema: https://h/s.json\ntargets:\n  t: {{path: /srv/t, files: [{{copy: 'https://h/x'}}]}}\n"
    );
    let (manifest, findings) = read(&text);
    let layers = manifest.expect("it is read").configurations["c"].layers.clone();
    let expected = RemoteLayer { url: "https://h/a.yaml".into(), sha256: digest.clone(), format: Format::Yaml };
    assert_eq!(layers.iter().map(|it| &it.source).collect::<Vec<_>>(), [&LayerSource::Remote(expected)]);
    assert!(!format!("{findings:?}").contains("s3cr3t"), "{findings:?}");
    insta::assert_snapshot!(shown(&findings), @"
    5:104 E_VALUE: `configurations.c.layers`: the remote layer https://h/a.yaml has no digest, so its server could change it unseen (look at the file, then add `#sha256=` and what `curl -sSf https://h/a.yaml | sha256sum` prints)
    5:122 E_VALUE: `configurations.c.layers`: the remote layer https://h/a.yaml ends in `?`, but no remote layer is optional (leave the `?` out, or put the file into the repository: what a commit means must not depend on whether a server answers)
    5:215 E_VALUE: `configurations.c.layers`: layers do not come from `ftp://` (a layer is a path in the repository, `env:PREFIX`, or remote; a remote layer is written as `https://HOST/PATH#sha256=DIGEST`)
    5:231 E_VALUE: `configurations.c.layers`: the remote layer https:h lacks two slashes behind its scheme (a remote layer is written as `https://HOST/PATH#sha256=DIGEST`)
    5:242 E_VALUE: `configurations.c.layers`: the remote layer https://h/a.yaml has a user name or password in it (take it out, and change it: everyone who reads the repository has it; remote layers are fetched without)
    5:345 E_VALUE: `configurations.c.layers`: the remote layer https://h/{{ host }}.yaml holds `{{ }}`, and a digest is of one file (write each file with its own digest, in a configuration of its own)
    6:13 E_PATH: `configurations.c.schema` must be a path; of all that a manifest names, only layers may be URLs
    8:36 E_PATH: `targets.t.files.0.copy` must be a path; of all that a manifest names, only layers may be URLs
    ");
}

mod schema;

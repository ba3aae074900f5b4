use super::*;

#[track_caller]
fn check(source: &str, sensitive: bool) {
    let mut world = template(source);
    world.tree.insert("t/inc", EntryKind::File { executable: false }, b"{{ password }}");
    let target = world.exception("inc", Some(0o600), None).rendered();
    let file = file(&target, "x");
    assert_eq!((file.sensitive, file.mode), (sensitive, if sensitive { 0o600 } else { 0o644 }), "{source}");
}

#[test]
fn a_file_is_sensitive_whichever_way_the_secret_got_in() {
    for source in [
        "{{ password }}",
        "{{ config.password }}",
        "{{ config['pass' ~ 'word'] }}",
        "{{ password | upper | replace('S', 'x') }}",
        "{{ password[:2] }}",
        "{{ password | b64encode }}",
        "{{ 'on' if password == 'x' else 'off' }}",
        "{{ config | tojson }}",
        "{{ users | tojson }}",
        "{{ users | toyaml }}",
        "{{ users[0].key }}",
        "{{ users | map(attribute='key') | join(',') }}",
        "{% for u in users %}{{ u.key }}{% endfor %}",
        "{% for u in users %}{% for k, v in u | items %}{{ k }}={{ v }}{% endfor %}{% endfor %}",
        "{% for k in config %}{% if k == 'password' %}{{ config[k] }}{% endif %}{% endfor %}",
        "{% set p = password %}{{ p }}",
        "{% macro m() %}{{ password }}{% endmacro %}{{ m() }}",
        "{% include 'inc' %}",
        "{{ ('' ~ config) | length }}",
        "{{ config.values() | tojson }}",
        "{{ config.get('password') }}",
        "{{ config | dictsort | tojson }}",
        "{{ dict(a=password).a }}",
        "{{ (users | first).key }}",
        "{{ password | length }}",
        "{{ {'a': config} | tojson }}",
        "{{ users | sort(attribute='key') | length }}",
    ] {
        check(source, true);
    }
}

#[test]
fn a_file_that_used_no_secret_is_not_sensitive() {
    for source in [
        "{{ server.port }}",
        "{{ config.server | tojson }}",
        "{{ users[0].name }}",
        "{% for u in users %}{{ u.name }}{% endfor %}",
        "{{ users | length }} {{ config | length }}",
        "{% for k in config %}{{ k }}{% endfor %}",
        "{{ users | map(attribute='name') | join(',') }}",
    ] {
        check(source, false);
    }
}

#[test]
fn sensitive_files_are_private_and_never_open_to_everyone() {
    let world = |mode| template("{{ password }}").mode(mode).rendered();
    assert_eq!(file(&world(0o640), "x").mode, 0o640);
    template("{{ password }}")
        .mode(0o644)
        .refused(&["headfast.yaml:10:1 E_SECRET_MODE `x` holds a secret, and mode 0644 \
        opens it to everyone (give it its own mode: `overrides: [{match: \"x\", mode: \"0600\"}]`)"]);
    let target = template("{{ password }}").mode(0o644).exception("x", Some(0o600), None).rendered();
    assert_eq!(file(&target, "x").mode, 0o600);
}

#[test]
fn p09_errors_never_show_a_secret() {
    for source in [
        "{{ password + 1 }}",
        "{{ password | int }}",
        "{{ password | nope }}",
        "{{ password.nope.nope }}",
        "{{ config[password] }}",
        "{% include password %}",
        "{% include password ~ '/../x' %}",
        "{{ password % 1 }}",
        "{{ (password | length) ** 999999 }}",
        "{{ password() }}",
        "{{ password.method() }}",
        "{{ users }}",
        "{{ config }}",
        "{% for a in users %}{{ a }}{% endfor %}",
        "{{ range(password) }}",
        "{{ password | b64decode }}",
        "{{ password | tojson(indent='x') }}",
        "{{ 'x' | replace(password) }}",
        "{{ nope[password] }}",
    ] {
        let (rendering, findings) = template(source).run();
        assert!(rendering.is_none(), "{source}");
        let lines = list(&findings).join("\n");
        assert!(!lines.to_lowercase().contains("hunter2") && !lines.contains("SECRET"), "{source}: {lines}");
    }
}

#[test]
fn sensitive_identities_follow_the_inputs_and_not_the_bytes() {
    let identity = |world: &World| file(&world.rendered(), "x").identity.clone();
    let base = template("{{ password }}");
    assert_eq!(identity(&base), identity(&template("{{ password }}")));
    assert_ne!(identity(&base), identity(&template("{{ password }} ")));
    let mut resealed = template("{{ password }}");
    resealed.configurations.get_mut("app").unwrap().sealed = vec![ObjectId::new("0ther")];
    assert_ne!(identity(&base), identity(&resealed));
    // The value itself is no part of it: a short secret could be guessed from its digest.
    let mut guessed = template("{{ password }}");
    let config = guessed.configurations.get_mut("app").unwrap();
    config.node = node(&serde_json::json!({"password": "SECRET-other", "unused": 1})).into();
    assert_eq!(identity(&base), identity(&guessed));
    // Facts count only when the template reads them.
    let mut elsewhere = template("{{ password }}");
    elsewhere.facts.host = "web-2".into();
    assert_eq!(identity(&base), identity(&elsewhere));
    let mut here = template("{{ password }}{{ host }}");
    let first = identity(&here);
    here.facts.host = "web-2".into();
    assert_ne!(first, identity(&here));
}

#[test]
fn written_parts_are_sensitive_when_they_hold_a_secret() {
    let config = serde_json::json!({"server": {"port": 1}, "db": {"password": "SECRET-x"}});
    let target = World::new(&[]).config(config).write("a.json", Some("server")).write("b.json", Some("db")).rendered();
    assert!(!file(&target, "a.json").sensitive);
    assert!(file(&target, "b.json").sensitive);
    assert_eq!(file(&target, "b.json").mode, 0o600);
    assert_ne!(file(&target, "b.json").identity, super::digest::of_bytes(text(&target, "b.json").as_bytes()));
}

#[test]
fn copied_files_that_sops_encrypted_are_decrypted() {
    let world = World::new(&[("f/a.key", "sealed"), ("f/b.txt", "plain")]);
    let target = world.copy("f", None).rendered();
    assert_eq!(text(&target, "a.key"), "plaintext");
    assert_eq!((file(&target, "a.key").sensitive, file(&target, "a.key").mode), (true, 0o600));
    assert!(matches!(file(&target, "b.txt").content, Content::Blob { .. }));
    World::new(&[("f/a.yaml", "broken")]).copy("f", None).refused(&["E_SOPS_MAC altered"]);
}

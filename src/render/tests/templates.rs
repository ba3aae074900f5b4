use super::*;

#[test]
fn values_are_printed_plainly() {
    let source = "{{ server.port }} {{ server.name }} {{ server.tls }} {{ server.ratio }} {{ 'x' if false }}\n\n";
    assert_eq!(template(source).text(), "8080 a b true 1.5 \n\n");
    let source =
        "{{ server.hosts | join(',') }} {{ [true, 1] | join(' ') }} {{ server.tls | string }} {{ server | tojson }}";
    let json = r#"{"port":8080,"name":"a b","tls":true,"none":null,"ratio":1.5,"hosts":["a","b"]}"#;
    assert_eq!(template(source).text(), format!("a,b true 1 true {json}"));
    assert_eq!(template("{{ server.hosts | tojson(indent=2) }}").text(), "[\n  \"a\",\n  \"b\"\n]");
    assert_eq!(template("{{ 'a&<b>' | tojson }} {{ \"it's\" | quote }}").text(), r#""a&<b>" 'it'\''s'"#);
    assert_eq!(template("{{ 'a b' | b64encode }} {{ 'YSBi' | b64decode }}").text(), "YSBi a b");
    assert_eq!(
        template("{% for k, v in server.items() %}{{ k }} {% endfor %}").text(),
        "port name tls none ratio hosts "
    );
    assert_eq!(
        template("{{ server.get('zzz', 3) }}{{ server.keys() | join(',') }}").text(),
        "3port,name,tls,none,ratio,hosts"
    );
}

#[test]
fn what_has_no_plain_form_is_refused_with_a_hint() {
    let at = "t/x.j2:1:4 E_TEMPLATE";
    template("{{ server.none }}").refused(&[&format!(
        "{at} null cannot be printed as it is \
        (use `| default(\"\", true)` when it may be null, or test it with `is none`)"
    )]);
    template("{{ server.hosts }}").refused(&[&format!(
        "{at} a list cannot be printed as it is \
        (use `| join(\", \")`, `| tojson` or `| toyaml`, or a `for` loop)"
    )]);
    template("{{ server }}").refused(&[&format!(
        "{at} a map cannot be printed as it is \
        (use `| tojson` or `| toyaml`, or print its parts)"
    )]);
}

#[test]
fn f05_undefined_names_are_refused_with_the_place_and_the_nearest_name() {
    template("a\n  {{ servr.port }}\n{{ x }}")
        .refused(&["t/x.j2:2:6 E_UNDEFINED `servr` is not defined (did you mean `server`?)"]);
    template("{{ server.prot }}")
        .refused(&["t/x.j2:1:4 E_UNDEFINED `server.prot` is not defined (did you mean `server.port`?)"]);
    template("{{ config.server.prot }}")
        .refused(&["t/x.j2:1:4 E_UNDEFINED `config.server.prot` is not defined (did you mean `config.server.port`?)"]);
    template("{% if zzzzzz %}{% endif %}")
        .refused(&["t/x.j2:1:7 E_UNDEFINED `zzzzzz` is not defined (use `| default(\"…\")` when it may be absent)"]);
    assert_eq!(template("{{ zzzzzz | default('d') }}{{ zzzzzz is defined }}").text(), "dfalse");
}

#[test]
fn errors_of_several_templates_are_shown_at_once() {
    let files = [("t/a.j2", "{{ a }}"), ("t/b.j2", "{% if %}"), ("t/c.j2", "\n{{ 1 | nope }}"), ("t/d.j2", "fine")];
    let (_, findings) = World::new(&files).template("t", None).run();
    let lines = list(&findings);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("t/a.j2:1:4 E_UNDEFINED"), "{lines:?}");
    assert!(lines[1].starts_with("t/b.j2:1:7 E_TEMPLATE_PARSE unexpected end of block"), "{lines:?}");
    assert!(lines[2].starts_with("t/c.j2:2:8 E_TEMPLATE filter nope is unknown"), "{lines:?}");
}

#[test]
fn f06_nothing_but_declared_facts_is_in_scope() {
    assert_eq!(template("{{ host }} {{ labels.role }} {{ environment }}").text(), "web-1 web production");
    for name in ["env", "environ", "now", "time", "random", "debug", "lipsum", "hostname", "request", "self"] {
        let (_, findings) = template(&format!("{{{{ {name} }}}}")).run();
        assert_eq!(findings.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::UNDEFINED], "{name}");
    }
}

#[test]
fn the_scope_has_an_order_and_clashes_are_warnings() {
    let mut world = World::new(&[("t/x.j2", "{{ host }} {{ config.host }} {{ port }} {{ domain }} {{ config.port }}")])
        .template("t", Some("app"))
        .config(serde_json::json!({"host": "mine", "port": 1}));
    world.variables = BTreeMap::from([("port".into(), "2".into()), ("domain".into(), "example.org".into())]);
    let (rendering, findings) = world.run();
    assert_eq!(text(&rendering.unwrap().targets[0], "x"), "web-1 mine 1 example.org 1");
    assert_eq!(
        list(&findings),
        [
            "app.yaml warning E_NAME_CLASH in templates `host` is headfast's own, not this key of `app` \
        (write `config.host` for this one, or rename it)",
            "app.yaml warning E_NAME_CLASH in templates this key of `app` hides the variable `port` (rename one of the two)",
        ]
    );
}

#[test]
fn revision_is_asked_for_only_by_templates_that_use_it() {
    let world = World::new(&[
        ("t/x.j2", "{{ revision }}{% include 'part' %}{% include 'pa' ~ 'rt2' %}"),
        ("t/y.j2", "no"),
        ("t/part", "."),
        ("part2", "!"),
    ]);
    let target = world.template("t", Some("app")).config(serde_json::json!({})).rendered();
    assert_eq!(text(&target, "x"), "last change of config/app.yaml part2 t/part t/x.j2.!");
    assert_eq!(text(&target, "y"), "no");
}

#[test]
fn includes_come_from_the_templates_folder_or_the_repository() {
    let files = [
        (
            "t/x.j2",
            "{% extends 'base.html' %}{% block b %}{% from 'shared/m.j2' import f %}{{ f(host) }}{% endblock %}",
        ),
        ("t/base.html", "<{% block b %}{% endblock %}>{% include 'none' ignore missing %}\n"),
        ("shared/m.j2", "{% macro f(x) %}[{{ x }}]{% endmacro %}"),
    ];
    assert_eq!(World::new(&files).template("t", None).text(), "<[web-1]>\n");
    let single = World::new(&[("t/x.j2", "{% include 'y' %}"), ("t/y", "y")]).template("t/x.j2", None);
    assert_eq!(single.text(), "y");
}

#[test]
fn f03_includes_outside_the_repository_are_refused() {
    let hint = "(includes are looked up in `t`, then from the repository's root)";
    for name in ["/etc/passwd", "../x", "a/../../x", "/proc/self/environ", "./y"] {
        template(&format!("\n{{% include '{name}' %}}")).refused(&[&format!(
            "t/x.j2:2:4 E_INCLUDE `{name}` names another place than the repository's folders {hint}"
        )]);
    }
    let (_, findings) = template("{% include 's/link' ignore missing %}").link("s/link", "/etc/passwd").run();
    assert_eq!(list(&findings), [format!("t/x.j2:1:4 E_INCLUDE `s/link` is a symbolic link {hint}")]);
    let (_, findings) = template("{% include 'zzz' %}").run();
    assert_eq!(findings.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::TEMPLATE]);
}

#[test]
fn errors_in_an_include_have_the_includes_place() {
    let world =
        World::new(&[("t/x.j2", "{% include 'y.inc' %}"), ("t/y.inc", "\n {{ nope }}")]).template("t/x.j2", None);
    let (_, findings) = world.run();
    assert!(list(&findings)[0].starts_with("t/y.inc:2:5 E_UNDEFINED `nope` is not defined"), "{:?}", list(&findings));
}

#[test]
fn f04_include_cycles_name_the_files() {
    let hint = "(a template that includes itself must come to an end, after a few rounds)";
    let world = World::new(&[("t/x.j2", "{% include 'y' %}"), ("t/y", "\n{% include 'y' %}")]).template("t/x.j2", None);
    let cycle = "E_INCLUDE_CYCLE templates include each other in a circle:";
    world.refused(&[&format!("t/y:2:4 {cycle} t/y → t/y {hint}")]);
    // By import, by a name that is put together, and by way of the template itself, whose name is another one there.
    let files =
        [("t/x.j2", "{% import 'a' as a %}"), ("t/a", "{% include 'b' %}"), ("t/b", "{% from 'x' ~ '.j2' import f %}")];
    let (_, findings) = World::new(&files).template("t/x.j2", None).run();
    assert_eq!(findings.n_errors(), 1, "{:?}", list(&findings));
    assert!(
        list(&findings)[0].contains(&format!("{cycle} t/x.j2 → t/a → t/b → t/x.j2 {hint}")),
        "{:?}",
        list(&findings)
    );
    let files = [("t/x.j2", "{% extends 'a' %}"), ("t/a", "{% extends 'b' %}"), ("t/b", "{% extends 'a' %}")];
    World::new(&files)
        .template("t/x.j2", None)
        .refused(&["t/b:1:4 E_INCLUDE_CYCLE templates extend each other in a circle"]);
    // What comes to an end is none.
    let once = "{{ n }}{% if n < 3 %}{% set n = n + 1 %}{% include 'y' %}{% endif %}";
    let files = [("t/x.j2", "{% set n = 1 %}{% include 'y' %}"), ("t/y", once)];
    assert_eq!(World::new(&files).template("t/x.j2", None).text(), "123");
}

#[test]
fn f04_includes_a_thousand_deep_are_refused() {
    let files: Vec<(String, String)> = (0..1000)
        .map(|idx| (format!("t/{idx:04}.j2"), format!("{{% include '{:04}.j2' %}}", idx + 1)))
        .chain([("t/1000.j2".to_owned(), "end".to_owned())])
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let (_, findings) = World::new(&files).template("t/0000.j2", None).run();
    let lines = list(&findings);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let words = "E_INCLUDE_CYCLE 25 templates include each other, one inside the other; that is too deep";
    assert!(lines[0].contains(words), "{lines:?}");
    // Twenty are not too many.
    assert_eq!(text(&World::new(&files[981..]).template("t/0981.j2", None).rendered(), "0981"), "end");
}

#[test]
fn f01_endless_work_ends() {
    for source in [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(1000000000) %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for a in range(1000) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% macro f(n) %}{{ g(n) }}{% endmacro %}{% macro g(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    ] {
        let (_, findings) = template(source).run();
        let codes: Vec<_> = findings.iter().map(|it| it.code).collect();
        assert_eq!(codes, [Code::RENDER_FUEL], "{source}: {:?}", list(&findings));
    }
    // Without optimisations a block takes eight times the stack.
    let block = || template("{% block a %}{{ self.a() }}{% endblock %}").run().1;
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(block).unwrap();
    assert_eq!(thread.join().unwrap().iter().map(|it| it.code).collect::<Vec<_>>(), [Code::RENDER_FUEL]);
}

#[test]
fn f02_large_output_stops_while_it_is_made() {
    let mut world = template("\n{% for a in range(1000) %}0123456789{% endfor %}");
    world.limits.output_bytes = 5000;
    let (_, findings) = world.run();
    assert_eq!(list(&findings), ["t/x.j2 E_RENDER_SIZE the output is larger than 0 MiB"]);
    let (_, findings) = template("{{ 'x' * 10000000000 }}").run();
    assert_eq!(findings.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::RENDER_FUEL]);
}

#[test]
fn all_templates_together_have_a_limit_too() {
    let mut world =
        World::new(&[("t/a.j2", "0123456789"), ("t/b.j2", "0123456789"), ("t/c.j2", "0")]).template("t", None);
    world.limits.rendered_bytes = 15;
    world.refused(&["headfast.yaml:10:1 E_RENDER_SIZE the rendered files together are larger than 0 MiB"]);
}

#[test]
fn f09_what_cannot_be_parsed_is_refused() {
    let deep = [
        format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{{{{ {}1 }}}}", "-".repeat(100_000)),
        format!("{{{{ {}true }}}}", "not ".repeat(100_000)),
        "{% if true %}".repeat(100_000),
        "{% for a in".to_owned(),
        "{{ 'a' b }}".to_owned(),
        "{# not closed".to_owned(),
        r"{{ '\uD800' }}".to_owned(),
    ];
    for source in deep {
        let (_, findings) = template(&source).run();
        let codes: Vec<_> = findings.iter().map(|it| it.code).collect();
        assert_eq!(codes, [Code::TEMPLATE_PARSE], "{}: {:?}", &source[..20.min(source.len())], list(&findings));
    }
    let included = World::new(&[("t/x.j2", "{% include 'y' %}"), ("t/y", "\n{% if %}")]).template("t/x.j2", None);
    let (_, findings) = included.run();
    assert!(list(&findings)[0].starts_with("t/y:2:7 E_TEMPLATE_PARSE "), "{:?}", list(&findings));
    template(&"x".repeat(5 << 20)).refused(&["t/x.j2 E_TEMPLATE_PARSE the template is larger than 4 MiB"]);
    // A long row is not deep.
    let long = format!("{{{{ 1{} }}}}", " + 1".repeat(100));
    assert_eq!(template(&long).text(), "101");
}

#[test]
fn f09_long_rows_are_no_stack_overflow() {
    let sources = |n: usize| {
        [
            format!("{{{{ 1{} }}}}", " + 1".repeat(n)),
            format!("{{{{ server{} }}}}", ".y".repeat(n)),
            format!("{{{{ 'x'{} }}}}", " | upper".repeat(n)),
            format!("{{{{ {}1 }}}}", "1 if true else ".repeat(n)),
            format!("{{{{ {}1 }}}}", "1 ** ".repeat(n / 2)),
            format!("{{{{ f{} }}}}", "(1)".repeat(n)),
            format!("{{{{ {}1 }}}}", "true and ".repeat(n)),
            format!("{{{{ 1{} }}}}", " is odd".repeat(n)),
            format!("{{% set x = 'x'{} %}}", " ~ 'y'".repeat(n)),
            format!("{{% filter upper{} %}}x{{% endfilter %}}", " | lower".repeat(n - 1)),
            format!("{{% if host %}}{}{{% endif %}}", "{% elif host %}".repeat(n)),
        ]
    };
    // As many as are let through come to a value or an error of their own; more are refused, in an include as well.
    for source in sources(290) {
        let (rendering, findings) = template(&source).run();
        assert!(rendering.is_some() || findings.has_errors(), "{}", &source[..20]);
        assert!(findings.iter().all(|it| it.code != Code::TEMPLATE_PARSE), "{}: {:?}", &source[..20], list(&findings));
    }
    for source in sources(10_000) {
        let (_, findings) = template(&source).run();
        let codes: Vec<_> = findings.iter().map(|it| it.code).collect();
        assert_eq!(codes, [Code::TEMPLATE_PARSE], "{}", &source[..20]);
        let world = World::new(&[("t/x.j2", "{% include 'y' %}"), ("t/y", &source)]).template("t/x.j2", None);
        let (_, findings) = world.run();
        assert!(list(&findings)[0].starts_with("t/y:1 E_TEMPLATE_PARSE"), "{:?}", list(&findings));
    }
}

#[test]
fn f07_two_runs_are_equal() {
    let world = || template("{% for k, v in config | items %}{{ k }}{{ v | tojson }}{% endfor %}{{ labels | tojson }}");
    assert_eq!(world().run().0, world().run().0);
}

#[test]
fn trees_keep_other_files_and_bits() {
    let world = World::new(&[("t/a.conf.j2", "{{ host }}"), ("t/b.txt", "{{ raw }}")]).executable("t/bin/run.j2", "#!");
    let target = world.template("t", None).rendered();
    assert_eq!(target.files.keys().map(TargetPath::as_str).collect::<Vec<_>>(), ["a.conf", "b.txt", "bin/run"]);
    assert_eq!(text(&target, "a.conf"), "web-1");
    assert!(matches!(file(&target, "b.txt").content, Content::Blob { .. }));
    assert_eq!(file(&target, "bin/run").mode, 0o755);
}

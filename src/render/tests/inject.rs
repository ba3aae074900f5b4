//! Values through templates into files of every kind (rows F8 and D17).

use super::*;

/// A template for the file `name`, and the values that people and enemies write.
fn of(name: &str, source: &str) -> World {
    World::new(&[(&format!("t/{name}.j2"), source)]).template("t", Some("app")).config(serde_json::json!({
        "plain": "eu-1",
        "words": "a b",
        "url": "https://example.org:8443/a?b=c&d=e#f",
        "path": "/etc/x",
        "quoted": "say \"hi\"",
        "apostrophe": "it's",
        "money": "pa$$word",
        "percent": "p%40ss",
        "lines": "one\ntwo: 2\n",
        "attack": "x\nExecStartPre=/bin/evil",
        "empty": "",
        "port": 80,
        "list": ["a", "b c", "d"],
        "hosts": ["h1", "h2"],
        "jobs": [{"name": "n1", "command": "run \"x y\" >/dev/null 2>&1"}],
        "map": {"k1": "v1", "k\"2": "v2"},
        "password": "SECRET-hunter\"2",
    }))
}

#[track_caller]
fn gives(name: &str, source: &str, expected: &str) {
    assert_eq!(text(&of(name, source).rendered(), name), expected, "{source}");
}

/// The place of the finding and a part of what it says.
#[track_caller]
fn refuses(name: &str, source: &str, at: &str, says: &str) {
    let (rendering, findings) = of(name, source).run();
    let lines = list(&findings);
    assert!(rendering.is_none() && lines.len() == 1, "{source}: {lines:?}");
    let start = format!("t/{name}.j2:{at} E_INJECT ");
    assert!(lines[0].starts_with(&start) && lines[0].contains(says), "{source}: {lines:?}");
}

#[test]
fn f08_ordinary_values_in_ordinary_templates_are_printed_as_they_are() {
    for name in ["a.ini", "a.env", "a.sh", "a.service", "a.cron", "a.conf", "a", "a.txt"] {
        gives(name, "{{ plain }} {{ port }} {{ path }} {{ true }}", "eu-1 80 /etc/x true");
    }
    gives(
        "site.conf",
        "server_name {{ words }};\nreturn 301 {{ url }};\n",
        "server_name a b;\nreturn 301 https://example.org:8443/a?b=c&d=e#f;\n",
    );
    gives(
        "a.service",
        "[Service]\nExecStart={{ path }} --port {{ port }}\n",
        "[Service]\nExecStart=/etc/x --port 80\n",
    );
    gives(
        "a.json",
        r#"{"key": "{{ words }}", "url": "{{ url }}", "p": {{ port }}, "a": "{{ apostrophe }}"}"#,
        r#"{"key": "a b", "url": "https://example.org:8443/a?b=c&d=e#f", "p": 80, "a": "it's"}"#,
    );
    gives(
        "a.yaml",
        "key: {{ words }}\nurl: {{ url }}\nq: {{ quoted }}\na: {{ apostrophe }}\n",
        "key: a b\nurl: https://example.org:8443/a?b=c&d=e#f\nq: say \"hi\"\na: it's\n",
    );
    gives("a.env", "A={{ words }}\nU={{ url }}\n", "A=a b\nU=https://example.org:8443/a?b=c&d=e#f\n");
    gives("a.sh", "A=\"{{ words }}\"\nU='{{ url }}'\n", "A=\"a b\"\nU='https://example.org:8443/a?b=c&d=e#f'\n");
}

#[test]
fn f08_a_value_that_breaks_out_is_refused_where_it_is_printed() {
    refuses(
        "run.sh",
        "x\n  echo \"{{ words }}\" {{ words }}\n",
        "2:25",
        "a blank in this value is not in quotes, in a shell script (use `| quote` without quotes around it, or `| safe` when it is meant)",
    );
    refuses(
        "a.json",
        "{\n  \"a\": \"{{ quoted }}\"\n}",
        "2:12",
        "`\"` in this value would change what the document says, in JSON (use `| tojson`",
    );
    refuses(
        "a.yaml",
        "a: {{ plain }}\nb: {{ lines }}\n",
        "2:7",
        "(use `| tojson` without quotes around it, `| indent(…)` in a block, or",
    );
    refuses("a.toml", "a = \"{{ quoted }}\"\n", "1:9", "in TOML");
    refuses("a.ini", "a = {{ attack }}\n", "1:8", "a line break in this value would break the line, in an INI file");
    refuses(
        "site.conf",
        "server_name {{ attack }};\n",
        "1:16",
        "in a file of lines (loop over `| lines`, use `| indent(…)`",
    );
}

#[test]
fn d17_control_characters_in_lines_are_refused_or_escaped() {
    refuses(
        "a.service",
        "[Service]\nEnvironment=A={{ attack }}\n",
        "2:18",
        "a line break in this value would break the line, in a systemd unit (use `| systemd`",
    );
    gives("a.service", "Environment=A={{ attack | systemd }}\n", "Environment=A=\"x\\nExecStartPre=/bin/evil\"\n");
    gives(
        "a.service",
        "Environment=A={{ percent | systemd }} {{ quoted | systemd }}\n",
        "Environment=A=\"p%%40ss\" \"say \\\"hi\\\"\"\n",
    );
    refuses("a.service", "Environment=A={{ percent }}\n", "1:18", "`%` in this value would be acted on");
    refuses(
        "a.cron",
        "0 3 * * * root run {{ attack }}\n",
        "1:23",
        "a line break in this value would break the line, in a crontab (use `| crontab`",
    );
    gives("a.cron", "0 3 * * * root run {{ percent | crontab }}\n", "0 3 * * * root run 'p\\%40ss'\n");
    let (_, findings) = of("a.cron", "0 3 * * * root run {{ attack | crontab }}\n").run();
    assert!(list(&findings)[0].contains("a crontab cannot hold line breaks"), "{:?}", list(&findings));
    refuses(
        "a.sh",
        "echo '{{ attack }}'\n",
        "1:10",
        "a line break in this value would break the line, in a shell script (use `| quote`",
    );
    gives(
        "a.sh",
        "echo {{ attack | quote }} {{ apostrophe | quote }} {{ port | quote }}\n",
        "echo 'x\nExecStartPre=/bin/evil' 'it'\\''s' '80'\n",
    );
    refuses(
        "a.env",
        "A={{ attack }}\n",
        "1:6",
        "a line break in this value would break the line, in a file of environment variables (use `| dotenv`",
    );
    gives(
        "a.env",
        "A={{ attack | dotenv }}\nB={{ money | dotenv }}\nC={{ plain | dotenv }}\n",
        "A='x\nExecStartPre=/bin/evil'\nB='pa$$word'\nC=eu-1\n",
    );
    refuses("a.env", "A={{ money }}\n", "1:6", "`$` in this value is not in quotes");
}

#[test]
fn f08_what_the_template_itself_says_is_trusted() {
    gives("a.conf", "{{ list | join('\\n') }}\n", "a\nb c\nd\n");
    gives("a.conf", "x {{ hosts | join(' \\\\\\n  ') }}\n", "x h1 \\\n  h2\n");
    gives(
        "a.sh",
        "for h in {{ hosts | join(' ') }}; do {{ 'exec \"$h\" 2>&1' if true }}; done\n",
        "for h in h1 h2; do exec \"$h\" 2>&1; done\n",
    );
    gives(
        "a.json",
        "{\"a\": [{{ '\"' ~ plain ~ '\", ' }}\"b\"], \"c\": {{ '\"%s\"' | format(words) }}}",
        "{\"a\": [\"eu-1\", \"b\"], \"c\": \"a b\"}",
    );
    gives("a.json", "[{{ list | map('tojson') | join(', ') }}]", "[\"a\", \"b c\", \"d\"]");
    refuses("a.sh", "for h in {{ list | join(' ') }}; do x; done\n", "1:13", "a blank in this value");
    refuses("a.conf", "x {{ list | join(lines) }}\n", "1:6", "a line break");
    refuses("a.json", "[{{ '\"' ~ quoted ~ '\"' }}]", "1:5", "`\"` in this value");
}

#[test]
fn f08_values_are_followed_through_everything_that_a_template_does() {
    for source in [
        "{% set x = attack %}a {{ x }};",
        "a {{ attack ~ '' }};",
        "a {{ ('b' ~ attack) | upper }};",
        "a {{ '%s' | format(attack) }};",
        "a {{ '%(x)s' | format(x=attack) }};",
        "a {{ '%s' | safe | format(attack) }};",
        "a {{ [attack] | join(', ') }};",
        "a {{ [attack, 'x' | safe] | join(', ') }};",
        "a {{ ('x' | safe) ~ attack }};",
        "a {{ ('x' | safe) + attack }};",
        "a {{ 'y' | safe | replace('y', attack) }};",
        "a {{ 'y' | replace('y', attack) }};",
        "a {{ attack | replace('x', 'y') }};",
        "a {{ attack | trim | lower | title }};",
        "a {{ attack | capitalize }};",
        "a {{ attack | reverse }};",
        "a {{ attack[0:10] }};",
        "a {{ attack * 2 }};",
        "a {{ (attack | split('=')) | first }};",
        "a {{ attack | list | join('') }};",
        "a {{ attack | string }};",
        "a {{ attack | default('x') }};",
        "a {{ nothing | default(attack) }};",
        "a {{ attack | escape }};",
        "a {{ attack | e }};",
        "a {{ attack | b64encode | b64decode }};",
        "a {{ 'eAp5' | b64decode }};",
        "a {{ [attack] | map('upper') | first }};",
        "a {{ [{'x': attack}] | map(attribute='x') | join }};",
        "a {{ {'x': attack} | dictsort | first | last }};",
        "a {{ {attack: 1} | list | first }};",
        "a {{ attack if true }};",
        "a {{ config.attack }};",
        "a {{ config['attack'] }};",
        "a {{ config.get('attack') }};",
        "a {{ config | items | selectattr('0', 'equalto', 'attack') | map('last') | first }};",
        "{% macro f(x) %}b {{ x }}{% endmacro %}a {{ f(attack) }};",
        "{% macro f(x) %}b {{ x }}{% endmacro %}a {{ f(attack) | upper }};",
        "{% macro f() %}b {{ caller() }}{% endmacro %}a {% call f() %}{{ attack }}{% endcall %};",
        "{% set x %}b {{ attack }}{% endset %}a {{ x }};",
        "{% set x %}b {{ attack }}{% endset %}a {{ x | safe }};{{ attack }};",
        "{% filter upper %}a {{ attack }};{% endfilter %}",
        "{% for c in [attack] %}a {{ c }};{% endfor %}",
        "{% for c in [1, [2, [attack]]] recursive %}{{ loop(c) if c is sequence else c }};{% endfor %}",
        "{% with x = attack %}a {{ x }};{% endwith %}",
        "{% set ns = namespace(x='') %}{% set ns.x = ns.x ~ attack %}a {{ ns.x }};",
        "{% autoescape true %}a {{ 'y' | safe | replace('y', attack) }};{% endautoescape %}",
        "{% autoescape false %}a {{ attack }};{% endautoescape %}",
        "{% autoescape false %}{% macro f(x) %}{{ x }}{% endmacro %}a {{ f(attack) }};{% endautoescape %}",
        "{% block b %}a {{ attack }};{% endblock %}",
        "a {{ attack }}{% if attack == 'x' %}{% endif %};",
        // What a template looks at cannot be followed, but is seen when it is printed.
        "{% if '\n' in attack %}a {{ attack }};{% endif %}",
        "{% if config[plain | replace('eu-1', 'attack')] == attack %}a {{ attack }};{% endif %}",
        "{% set k = {attack: attack} %}a {{ k[config.attack] }};",
        "a {{ {'x\nExecStartPre=/bin/evil': attack}[attack] }};",
    ] {
        let (rendering, findings) = of("a.conf", source).run();
        let lines = list(&findings);
        assert!(rendering.is_none() && lines.iter().all(|it| it.contains("E_INJECT")), "{source}: {lines:?}");
    }
    for mode in ["'html'", "'json'"] {
        let source =
            format!("{{% autoescape {mode} %}}a {{{{ 'y' | safe | replace('y', attack) }}}};{{% endautoescape %}}");
        let (_, findings) = of("a.conf", &source).run();
        assert!(list(&findings)[0].contains("E_TEMPLATE `autoescape` is not supported"), "{:?}", list(&findings));
    }
    let (_, findings) = of("a.conf", "{{ '%c' | format(10) }}").run();
    assert!(list(&findings)[0].contains("`%c` is not supported"), "{:?}", list(&findings));
}

#[test]
fn f08_where_a_value_ends_up_counts_and_not_where_it_is_printed_first() {
    // A macro that quotes, in quotes of another kind, and one that does not, in quotes.
    let macros = "{% macro single(x) %}'{{ x }}'{% endmacro %}{% macro bare(x) %}{{ x }}{% endmacro %}";
    gives(
        "a.sh",
        &format!("{macros}echo {{{{ single(money) }}}} \"{{{{ bare(words) }}}}\"\n"),
        "echo 'pa$$word' \"a b\"\n",
    );
    refuses(
        "a.sh",
        &format!("{macros}echo \"{{{{ single(money) }}}}\"\n"),
        "1:26",
        "`$` in this value would be acted on",
    );
    refuses("a.sh", &format!("{macros}echo {{{{ bare(words) }}}}\n"), "1:67", "a blank in this value is not in quotes");
    // An include is a part of the output that includes it.
    let files = [("t/run.sh.j2", "\n{% include 'part.txt' %}\n"), ("t/part.txt", "echo {{ host ~ config.x }}")];
    let world = World::new(&files).template("t/run.sh.j2", Some("app")).config(serde_json::json!({"x": "; id"}));
    let (_, findings) = world.run();
    assert!(list(&findings)[0].starts_with("t/part.txt:1:9 E_INJECT `;` in this value"), "{:?}", list(&findings));
    // The first line that counts is the output's.
    let files = [
        ("t/tool.j2", "{% extends 'base' %}{% block b %}{{ host ~ config.x }}{% endblock %}"),
        ("t/base", "#!/bin/sh\necho {% block b %}{% endblock %}\n"),
    ];
    let world = World::new(&files).template("t/tool.j2", Some("app")).config(serde_json::json!({"x": "; id"}));
    let (_, findings) = world.run();
    assert!(list(&findings)[0].starts_with("t/tool.j2:1:37 E_INJECT `;` in this value"), "{:?}", list(&findings));
    // What is looked at and not printed, or printed and thrown away, is nobody's business.
    gives(
        "a.conf",
        "{% if attack == 'x' %}a{% else %}b{% endif %}{% set x %}{{ attack }}{% endset %}{{ attack | length }}",
        "b24",
    );
}

#[test]
fn f08_what_is_meant_is_said() {
    gives("a.conf", "{{ attack | safe }}\n", "x\nExecStartPre=/bin/evil\n");
    gives("a.conf", "a {\n    {{ lines | indent(4) }}\n}\n", "a {\n    one\n    two: 2\n}\n");
    gives("a.conf", "{% for line in lines | lines %}{{ line }};\n{% endfor %}", "one;\ntwo: 2;\n");
    gives("a.yaml", "a:\n  b: |\n    {{ lines | indent(4) }}\n  c: 1\n", "a:\n  b: |\n    one\n    two: 2\n  c: 1\n");
    gives(
        "a.yaml",
        "a: {{ lines | tojson }}\nb:\n  {{ map | toyaml | indent(2) }}\n",
        "a: \"one\\ntwo: 2\\n\"\nb:\n  k1: v1\n  \"k\\\"2\": v2\n",
    );
    // Less than the block is indented leads out of it.
    refuses(
        "a.yaml",
        "a:\n  b: |\n    {{ lines | indent(2) }}\n",
        "3:8",
        "`:` in this value would change what the document says",
    );
    // In these a line break is what breaks out, however it is indented.
    refuses("a.service", "ExecStart=x \\\n    {{ attack | indent(4) }}\n", "2:8", "a line break");
    refuses("a.sh", "    '{{ attack | indent(4) }}'\n", "1:9", "a line break");
    gives("a.txt", "{{ attack }} {{ quoted }}\n", "x\nExecStartPre=/bin/evil say \"hi\"\n");
    gives("a.html", "<p>{{ '<b>' | e }} {{ '<b>' | e | e }}</p>\n", "<p>&lt;b&gt; &lt;b&gt;</p>\n");
}

#[test]
fn f08_several_values_are_told_at_once_and_a_secret_shows_nothing() {
    let (_, findings) = of("a.sh", "echo {{ words }}\necho {{ url }} {{ words }}\n").run();
    let lines = list(&findings);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("t/a.sh.j2:1:9 ") && lines[1].starts_with("t/a.sh.j2:2:9 "), "{lines:?}");
    refuses(
        "a.json",
        "{\"p\": \"{{ password }}\"}",
        "1:11",
        "a character in this value would change what the document says",
    );
    let (_, findings) = of("a.json", "{\"p\": \"{{ password }}\"}").run();
    assert!(!format!("{:?}", list(&findings)).contains("hunter"));
}

#[test]
fn f08_jobs_of_a_crontab_are_commands() {
    let source = "{% for job in jobs %}*/5 * * * * root {{ job.command }}\n{% endfor %}";
    gives("a.cron", source, "*/5 * * * * root run \"x y\" >/dev/null 2>&1\n");
}

#[test]
fn what_is_not_a_document_is_a_warning() {
    let warned = |name: &str, source: &str| {
        let (rendering, findings) = of(name, source).run();
        assert!(rendering.is_some(), "{:?}", list(&findings));
        list(&findings)
    };
    let lines = warned("a.json", "{\"a\": {{ words }}\n");
    assert!(
        lines[0].starts_with("t/a.json.j2 warning E_FORMAT what comes of this template is not JSON: line 1"),
        "{lines:?}"
    );
    assert!(warned("a.toml", "a = = 1\n")[0].contains("is not TOML"));
    assert!(warned("a.yaml", "a: [1\n")[0].contains("is not YAML"));
    for (name, source) in [
        ("a.yaml", "--- \na: 1\n---\nb: !Ref x\n"),
        ("a.yaml", "b: !secret x\n"),
        ("a.yaml", "a: 1\na: 2\n"),
        ("a.json", "// comments are fine\n{\"a\": [1,],}\n"),
        ("a.ini", "whatever\n"),
        ("a.yaml", ""),
        ("a.toml", ""),
    ] {
        assert!(warned(name, source).is_empty(), "{source}: {:?}", warned(name, source));
    }
}

use super::*;
use crate::document::Format;

/// Judges `text`, in which `⟦…⟧` stands around what was printed of values; returns what breaks out, with its number.
#[track_caller]
fn judged(context: Context, text: &str) -> Vec<String> {
    let (mut glyphs, mut number, mut is_value) = (Vec::new(), 0, false);
    let start = text.char_indices().filter(|(_, it)| *it == '⟦');
    let ends = text.char_indices().filter(|(_, it)| *it == '⟧');
    let mut matters = std::collections::BTreeSet::new();
    for ((start, open), (end, _)) in start.zip(ends) {
        matters.extend(context.matters(&text[start + open.len_utf8()..end]));
    }
    for char in text.chars() {
        match char {
            '⟦' => (number, is_value) = (number + 1, true),
            '⟧' => is_value = false,
            // As in a render: characters that cannot matter have no stand-in.
            _ => glyphs.push(Glyph { char, from: (is_value && matters.contains(&char)).then_some(number) }),
        }
    }
    judge(context, &glyphs).iter().map(|it| format!("{}: {}", it.from, it.message(context, false))).collect()
}

#[track_caller]
fn fine(context: Context, texts: &[&str]) {
    for text in texts {
        assert!(judged(context, text).is_empty(), "{text}: {:?}", judged(context, text));
    }
}

/// Each text has a value that breaks out, for the reason given.
#[track_caller]
fn refused(context: Context, cases: &[(&str, &str)]) {
    for (text, why) in cases {
        let found = judged(context, text);
        assert!(found.first().is_some_and(|it| it.contains(why)), "{text}: {found:?} does not say {why:?}");
    }
}

#[test]
fn f08_the_kind_of_a_file_is_told_by_its_name_its_folder_or_its_first_line() {
    let cases = [
        ("/srv/app/app.json", Context::Document(Format::Json)),
        ("/srv/app/App.YML", Context::Document(Format::Yaml)),
        ("/srv/app/app.toml", Context::Document(Format::Toml)),
        ("/etc/php/php.ini", Context::Ini),
        ("/etc/app/.env", Context::Env),
        ("/etc/app/.env.production", Context::Env),
        ("/etc/app/app.env", Context::Env),
        ("/srv/app/run.sh", Context::Shell),
        ("/root/.bashrc", Context::Shell),
        ("/srv/app/.envrc", Context::Shell),
        ("/etc/systemd/system/app.service", Context::Systemd),
        ("/srv/units/backup.timer", Context::Systemd),
        ("/etc/systemd/system/app.service.d/10-limits.conf", Context::Systemd),
        ("/srv/units/app.service.d/override.conf", Context::Systemd),
        ("/etc/systemd/journald.conf", Context::Systemd),
        ("/etc/systemd/journald.conf.d/size.conf", Context::Systemd),
        ("/etc/cron.d/backup", Context::Crontab),
        ("/etc/cron.d/backup.sh", Context::Crontab),
        ("/etc/crontab", Context::Crontab),
        ("/var/spool/cron/crontabs/root", Context::Crontab),
        ("/etc/nginx/conf.d/site.conf", Context::Lines),
        ("/etc/hosts", Context::Lines),
        ("/root/.ssh/authorized_keys", Context::Lines),
        ("/etc/motd", Context::Free),
        ("/srv/www/index.html", Context::Free),
        ("/etc/ssl/server.pem", Context::Free),
    ];
    for (path, context) in cases {
        assert_eq!(Context::of(path, "x\n"), context, "{path}");
    }
    for (first, context) in [
        ("#!/bin/sh\n", Context::Shell),
        ("#!/usr/bin/env bash\nx", Context::Shell),
        ("#!/usr/bin/env -S bash -e\n", Context::Shell),
        ("#!/usr/bin/python3\n", Context::Lines),
        ("# sh\n", Context::Lines),
    ] {
        assert_eq!(Context::of("/usr/local/bin/tool", first), context, "{first}");
    }
}

#[test]
fn f08_in_lines_a_value_holds_no_line_break() {
    fine(
        Context::Lines,
        &[
            "server_name ⟦a b; \"c\" 'd' $e %f \\⟧;\n",
            "tab ⟦a\tb⟧\n",
            "⟦ssh-rsa AAAA me@here\n⟧\nnext\n",
            "⟦the last line\n⟧",
            "⟦two\n\n⟧\r\n",
        ],
    );
    refused(
        Context::Lines,
        &[
            ("a ⟦b\nc⟧;\n", "a line break in this value would break the line, in a file of lines"),
            ("a ⟦b\n⟧;\n", "would break the line"),
            ("a ⟦b\rc⟧;\n", "would break the line"),
            ("a ⟦b\0⟧\n", "U+0000"),
            ("a ⟦b\u{1b}[0m⟧\n", "U+001B"),
            ("a ⟦b\u{2028}⟧\n", "U+2028"),
            ("⟦a\n⟧⟦b⟧\n", "would break the line"),
        ],
    );
}

#[test]
fn f08_a_shell_acts_on_no_value() {
    fine(
        Context::Shell,
        &[
            "exec ⟦/usr/bin/app⟧ --port ⟦8080⟧ --name=⟦eu-1⟧ ⟦https://example.org:8443/a,b@c%20d+e⟧ ⟦größe⟧\n",
            "name=\"⟦a b; (c) 'd' & | < > * ? # ~ {e}⟧\"\n",
            "name='⟦a \"b\" $c `d` \\⟧'\n",
            "# ⟦it's \"anything\" $(here)⟧\nx\n",
            "echo \"$(cat \"⟦a b⟧\")\" '⟦c d⟧'\n",
            "x=${y:-\"⟦a b⟧\"}\ncase $x in a) echo \"⟦a b⟧\";; esac\n",
            "cat <<EOF\nit's ⟦a b \"c\" 'd'⟧\nEOF\necho \"⟦a b⟧\"\n",
            "cat <<-'EOF'\n\t⟦$a `b` \\c⟧ don't\n\tEOF\necho '⟦a b⟧'\n",
            "x=$(( 1 << 3 ))\ny=\"⟦a b⟧\"\n",
            "x=$'it\\'s'\ny=\"⟦a b⟧\"\n",
            "echo \\\" \"⟦a b⟧\" $# ${#x} a#b '⟦c d⟧'\n",
            "cat <<< \"⟦a b⟧\"\n",
            "echo `echo \"⟦a b⟧\"`\n",
        ],
    );
    refused(
        Context::Shell,
        &[
            ("echo ⟦a b⟧\n", "a blank in this value is not in quotes, in a shell script"),
            ("echo ⟦a;b⟧\n", "`;` in this value is not in quotes"),
            ("echo ⟦$(id)⟧\n", "`$`"),
            ("cd ⟦~root⟧\n", "`~`"),
            ("echo ⟦*⟧\n", "`*`"),
            ("echo \"⟦a\" b⟧\"\n", "`\"` in this value would end the quotes around it"),
            ("echo \"⟦$(id)⟧\"\n", "`$` in this value would be acted on"),
            ("echo \"⟦`id`⟧\"\n", "``` in this value would be acted on"),
            ("echo \"⟦a\\⟧\"\n", "`\\` in this value would be acted on"),
            ("echo '⟦it's⟧'\n", "`'` in this value would end the quotes"),
            ("echo `echo '⟦`id`⟧'`\n", "``` in this value would be acted on"),
            ("echo `echo '⟦a\\⟧'`\n", "`\\` in this value would be acted on"),
            ("echo $'⟦a\\⟧'\n", "`\\` in this value"),
            ("echo \"$(cat ⟦a b⟧)\"\n", "a blank in this value is not in quotes"),
            ("echo \"${x:-⟦}; id⟧}\"\n", "`}` in this value is not in quotes"),
            ("cat <<EOF\n⟦$(id)⟧\nEOF\n", "would be acted on"),
            ("cat <<EOF\n⟦a\nEOF\nid⟧\nEOF\n", "would break the line"),
            ("echo '⟦a\nb⟧'\n", "would break the line"),
            ("# ⟦a\nid⟧\n", "would break the line"),
            // Quotes that are not closed are not believed.
            ("echo \"⟦a b⟧\n", "a blank in this value is not in quotes"),
            ("echo it's \"⟦a;b⟧\"\n", "is not in quotes"),
        ],
    );
}

#[test]
fn f08_documents_say_what_they_said() {
    let json = Context::Document(Format::Json);
    fine(
        json,
        &[
            r#"{"a": "⟦x, [y] {z}: // https://example.org/*⟧", "n": ⟦80⟧, "b": ⟦true⟧, "⟦key⟧": ["⟦a b⟧"]}"#,
            r#"{"a": "⟦it's⟧"} // ⟦a comment⟧"#,
            r#"{"a": ⟦-5⟧, "b": ⟦1.5⟧}"#,
        ],
    );
    refused(
        json,
        &[
            (r#"{"a": "⟦x", "admin": "y⟧"}"#, "`\"` in this value would change what the document says, in JSON"),
            (r#"{"a": "⟦C:\new⟧"}"#, "`\\` in this value would change"),
            (r#"{"a": "⟦x\⟧", "b": 1}"#, "`\\` in this value would change"),
            (r#"{"a": ⟦1, "admin": true⟧}"#, "in this value would change"),
            (r#"{"a": ⟦[1]⟧}"#, "`[` in this value would change"),
            ("{\"a\": \"⟦x\ty⟧\"}", "U+0009"),
            ("{\"a\": \"⟦x\ny⟧\"}", "a line break in this value would change"),
            // No document at all: one of lines.
            (r#"{"a": "⟦x"y⟧" oops"#, "`\"` in this value would end the quotes"),
        ],
    );
    let toml = Context::Document(Format::Toml);
    fine(toml, &["a = \"⟦x [y] {z} = # 'q'⟧\"\nb = '⟦\"w\" \\⟧'\nc = ⟦5⟧\n[⟦t⟧]\n# ⟦it's [a]⟧\n"]);
    refused(
        toml,
        &[
            ("a = \"⟦x\"\nadmin = \"y⟧\"\n", "in this value would change what the document says, in TOML"),
            ("a = '⟦it's⟧'\n", "`'`"),
            ("a = ⟦[1]⟧\n", "`[`"),
            ("[⟦a]\n[b⟧]\n", "in this value would change"),
        ],
    );
}

#[test]
fn f08_yaml_says_what_it_said() {
    let yaml = Context::Document(Format::Yaml);
    fine(
        yaml,
        &[
            "key: ⟦eu-1⟧\nurl: ⟦https://example.org:80/a#b⟧\ntime: ⟦08:00⟧\nn: ⟦-5⟧\np: ⟦C:\\dir⟧\nw: ⟦a b⟧\n",
            "key: ⟦it's \"quoted\", [or] {not}⟧\nitems:\n  - ⟦a, b⟧\n  - '⟦- a: b # c⟧'\n  - \"⟦- it's: # c⟧\"\n",
            "block: |\n  ⟦a: b # c⟧\n  - ⟦\"x\" 'y'⟧\n",
            "---\na: '⟦x: y⟧'\n---\nb: ⟦x, y⟧\n",
            "⟦key⟧: 1\n# ⟦a: 'b⟧\n",
            "a: [⟦x⟧, \"⟦y, z⟧\"]\n",
            // Tags that only its reader knows.
            "a: !secret x\nb: ⟦it's, \"this\"⟧\n",
        ],
    );
    refused(
        yaml,
        &[
            ("key: ⟦a: b⟧\n", "`:` in this value would change what the document says, in YAML"),
            ("key: ⟦a # b⟧\n", "`#`"),
            ("key: ⟦a\nadmin: true⟧\n", "a line break"),
            ("key: \"⟦a\nb⟧\"\n", "a line break"),
            ("key: \"⟦a\"⟧\"\n", "`\"`"),
            ("key: '⟦it's⟧'\n", "`'`"),
            ("key: \"⟦C:\\dir⟧\"\n", "`\\`"),
            ("key: ⟦\"x\"⟧\n", "`\"`"),
            ("key: ⟦*x⟧\nother: &x 1\n", "`*`"),
            ("key: ⟦&x⟧\n", "`&`"),
            ("key: ⟦!x y⟧\n", "`!`"),
            ("key: ⟦[a]⟧\n", "`[`"),
            ("key: ⟦{a}⟧\n", "`{`"),
            ("key: ⟦# all of it⟧\n", "`#`"),
            ("key: ⟦|⟧\nother: 1\n", "`|`"),
            ("- ⟦- a⟧\n", "`-`"),
            ("key: [⟦a, b⟧]\n", "`,`"),
            ("block: |\n  ⟦a\nadmin: true⟧\n", "a line break"),
            ("⟦a: 1, b⟧: 2\n", "in this value would change"),
            ("a: !secret x\nb: ⟦c: d⟧\n", "`:`"),
            ("a: ⟦!secret x⟧\n", "`!`"),
        ],
    );
}

#[test]
fn f08_d17_units_keep_their_lines_quotes_and_percents() {
    fine(
        Context::Systemd,
        &[
            "[Unit]\nDescription=⟦It's the \"app\" of eu-1; 50% off⟧\n",
            "ExecStart=⟦/usr/bin/app⟧ --port ⟦8080⟧ --name ⟦a b⟧\n",
            "ExecStart=⟦/bin/sh -c \"exec app 'x y'\"⟧\nExecReload=⟦/bin/kill -HUP $MAINPID⟧\n",
            "CPUQuota=⟦20%⟧\nMemoryMax=⟦50%⟧\nEnvironment=\"A=⟦it's 100%%u⟧\"\n",
            "# don't ⟦\"x⟧\nEnvironment='A=⟦\"b\"⟧'\n",
            "ExecStart=/bin/x \\\n    --a=⟦b⟧ \\\n    --c \"⟦d e⟧\"\n",
            "Description=Don't ⟦'panic'⟧\n",
        ],
    );
    refused(
        Context::Systemd,
        &[
            (
                "ExecStart=/bin/x ⟦a\nExecStartPre=/bin/evil⟧\n",
                "a line break in this value would break the line, in a systemd unit",
            ),
            ("ExecStart=/bin/x \"⟦a\" b⟧\"\n", "`\"` in this value would end the quotes"),
            ("ExecStart=/bin/x \"⟦a\\⟧\"\n", "`\\` in this value would end the quotes"),
            ("ExecStart=/bin/x ⟦it's⟧ --b\n", "`'` in this value would open quotes that it does not close"),
            ("Environment=A=⟦\"x⟧\n", "would open quotes"),
            ("Environment=A=⟦p%40ss⟧\n", "`%` in this value would be acted on"),
            ("Environment=\"A=⟦%h⟧\"\n", "`%` in this value would be acted on"),
            ("Description=⟦a\\⟧\nUser=x\n", "`\\` in this value would be acted on"),
            ("ExecStart=⟦/bin/a ; /bin/b⟧\n", "`;` in this value would be acted on"),
            ("ExecStart=/bin/x \\\n  \"⟦a\"b⟧\"\n", "would end the quotes"),
        ],
    );
}

#[test]
fn f08_d17_crontabs_ini_and_environment_files() {
    fine(
        Context::Crontab,
        &[
            "⟦*/5 * * * *⟧ ⟦root⟧ ⟦cd /srv && ./run \"a b\" >/dev/null 2>&1⟧\n",
            "0 3 * * * root backup --name '⟦a \"b\" $c⟧' --day ⟦\\%F⟧\n",
            "# it's ⟦50%⟧\n",
        ],
    );
    refused(
        Context::Crontab,
        &[
            (
                "0 3 * * * root run ⟦a\n* * * * * root evil⟧\n",
                "a line break in this value would break the line, in a crontab",
            ),
            ("0 3 * * * root date ⟦+%F⟧\n", "`%` in this value would be acted on"),
            ("0 3 * * * root run '⟦it's⟧'\n", "would end the quotes"),
            ("0 3 * * * root run \"⟦$(id)⟧\"\n", "`$` in this value would be acted on"),
            ("0 3 * * * root run ⟦it's⟧ -x\n", "would open quotes"),
        ],
    );
    fine(Context::Ini, &["[⟦a⟧]\nkey = ⟦it's \"x\"; y # [z] = \\⟧\nq = \"⟦it's⟧\"\n; don't ⟦\"x⟧\n"]);
    refused(
        Context::Ini,
        &[
            ("key = ⟦a\n[admin]⟧\n", "a line break in this value would break the line, in an INI file"),
            ("key = \"⟦a\" b⟧\"\n", "would end the quotes"),
            ("key = \"⟦a\\⟧\"\n", "would end the quotes"),
            ("[⟦a]b⟧]\n", "`]` in this value would change"),
        ],
    );
    fine(
        Context::Env,
        &[
            "A=⟦a b⟧\nB=\"⟦it's⟧\"\nC='⟦\"x\" $y \\⟧'\n# ⟦it's $x⟧\nURL=⟦postgres://u:p@h/db?a=b&c=d⟧\n",
            "A=\"⟦a b⟧\nof the template\"\nB=⟦c⟧\n",
        ],
    );
    refused(
        Context::Env,
        &[
            ("A=⟦a\nADMIN=1⟧\n", "a line break in this value would break the line, in a file of environment variables"),
            ("A=\"⟦a\" b⟧\"\n", "would end the quotes"),
            ("A=\"⟦pa$$word⟧\"\n", "`$` in this value would be acted on"),
            ("A=\"⟦a\\⟧\"\n", "`\\` in this value would be acted on"),
            ("A=⟦pa$word⟧\n", "`$` in this value is not in quotes"),
            ("A=⟦\"x⟧\n", "`\"` in this value is not in quotes"),
            ("A='⟦it's⟧'\n", "would end the quotes"),
        ],
    );
}

#[test]
fn f08_a_secret_is_not_even_hinted_at() {
    let breach = Breach { char: '$', from: 1, why: Why::Acts };
    assert_eq!(
        breach.message(Context::Env, false),
        "`$` in this value would be acted on, in a file of environment variables"
    );
    let secret = "a character in this value would be acted on, in a file of environment variables";
    assert_eq!(breach.message(Context::Env, true), secret);
}

/// A shell is asked whether it agrees: it must print each value that is let through, and do nothing else.
#[test]
fn f08_a_shell_prints_what_is_let_through() {
    const PLACES: &[&str] = &[
        "printf %s \"V\"",
        "printf %s 'V'",
        "printf %s V",
        "x=V; printf %s \"$x\"",
        "# don't V\nprintf %s \"V\"",
        "printf %s \"$(printf %s \"V\")\"",
        "printf %s \"`printf %s 'V'`\"",
        "printf %s \"${nope:-V}\"",
        "case a in a) printf %s 'V';; esac",
        "(printf %s \"V\")",
        "cat <<END\nV it's\nEND",
        "cat <<'END'\nV it's\nEND",
        "printf %s \"$(cat <<-END\n\tV\n\tEND\n)\"",
    ];
    const PARTS: &[&str] = &[
        "a", "b", " ", "\"", "'", "\\", "$", "`", ";", "&", "|", "(", ")", "<", ">", "#", "*", "~", "{", "}", "!", "=",
        "-", "$(id)", "`id`", "${x}", "\" \"", "' '", "é", "END", "%", "[", "?",
    ];
    let mut state = 7_u64;
    let mut next = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % n
    };
    let (mut script, mut expected, mut n_refused) = (String::new(), Vec::new(), 0);
    for round in 0..1500 {
        let value: String = (0..=next(4)).map(|_| PARTS[next(PARTS.len())]).collect();
        let place = PLACES[round % PLACES.len()];
        let snippet = format!("{}\nprintf '\\0'\n", place.replace('V', &format!("⟦{value}⟧")));
        // The one thing that is not judged, see docs/manifest.md.
        if value == "END" {
            continue;
        }
        if !judged(Context::Shell, &snippet).is_empty() {
            n_refused += 1;
            continue;
        }
        script += &snippet.replace(['⟦', '⟧'], "");
        expected.push(if place.starts_with("cat") { format!("{value} it's\n") } else { value });
    }
    assert!(n_refused > 300 && expected.len() > 300, "{n_refused} {}", expected.len());
    let output = std::process::Command::new("/bin/sh").args(["-c", &script]).env_clear().output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = printed.trim_end_matches('\0').split('\0').collect();
    assert_eq!(printed, expected);
    assert!(output.stderr.is_empty() && output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

use super::*;
use crate::pipeline::{ExplainedValue, Explanation, LayerOrigin, Source, explain};

impl World {
    pub(super) fn why(&self, what: &str) -> (Option<Explanation>, Vec<String>) {
        let inputs = Inputs {
            tree: &self.tree,
            facts: &self.facts,
            secrets: &self.secrets,
            remotes: self.remotes.as_ref(),
            targets: self.targets.as_ref(),
            revision: &|_| "r".to_owned(),
            on_phase: &|_| {},
        };
        let mut findings = Findings::new();
        let explanation = explain(&inputs, what, &mut findings);
        (explanation, list(&findings))
    }

    #[track_caller]
    pub(super) fn told(&self, what: &str) -> Explanation {
        let (explanation, findings) = self.why(what);
        assert_eq!(findings, [""; 0], "{what}");
        explanation.expect("it is explained")
    }

    #[track_caller]
    fn untold(&self, what: &str, expected: &str) {
        let (explanation, findings) = self.why(what);
        assert_eq!(findings, [expected], "{what}");
        assert!(explanation.is_none());
    }
}

/// One line a value, one a layer, one a variable.
pub(super) fn lines(values: &[ExplainedValue]) -> Vec<String> {
    let mut lines = Vec::new();
    for value in values {
        lines.push(format!("{} = {}", value.key, value.shown));
        let origin = |it: &LayerOrigin| {
            let layer = if it.layer == *it.place.file { String::new() } else { format!("{}: ", it.layer) };
            format!("  {} {layer}{} {}", if it.wins { "set" } else { "over" }, it.place, it.shown)
        };
        lines.extend(value.origins.iter().map(origin));
        let place = |it: &Option<Place>| it.as_ref().map(Place::to_string);
        lines.extend(value.references.iter().map(|it| format!("  ${} {:?} {:?}", it.name, it.shown, place(&it.place))));
    }
    lines
}

const REST: &str = "\
configurations:
  app: {layers: [a.yaml, b.yaml, 'env:APP_'], schema: s.json}
targets:
  app:
    path: /srv/app
    files:
      - {write: all.yaml, configuration: app}
      - {write: part.json, configuration: app, select: server}
      - {template: t, configuration: app, to: t}
      - {copy: files}
  other: {path: /srv/other, publish: generations, files: [{copy: files}]}
  elsewhere: {path: /opt, on: {host: db-1}, files: [{copy: files}]}
";

const FILES: &str = "\
//- a.yaml
server: {port: 1, hosts: [a, b], 'dotted.key': x}
url: http://a/
//- b.yaml
server:
  port: ${PORT}
url: https://${SUB:-www}.${domain}/
//- s.json
{\"properties\": {\"server\": {\"properties\": {\"port\": {\"type\": \"integer\", \"default\": 80}}}}}
//- t/x.j2
{% include 'part' %}{% for it in server.hosts %}{{ it }}{% endfor %}{{ domain }}{{ host }}{{ config.url }}
//- t/part
{% macro m(it) %}{{ it }}{% endmacro %}{{ m(server.port) }}
//- t/maps.j2
{% for key in server %}{{ key }}{% endfor %}
//- t/none.j2
text
//- files/c.yaml
a:
  b: 5
//- files/x:y.txt
text
";

fn world() -> World {
    World::manifest(REST, FILES).variable("PORT", "8080").variable("APP_SERVER__WORKERS", "4")
}

#[test]
fn x21_why_names_every_layer_the_winner_and_the_variable() {
    let told = world().told("app/part.json:port");
    let written = Source::Written { configuration: "app".into(), select: Some("server".into()) };
    assert_eq!((&told.source, told.live.as_str(), told.entry.line), (&written, "/srv/app/part.json", 11));
    let port = [
        "server.port = 8080",
        "  set b.yaml:2:9 \"${PORT}\"",
        "  over a.yaml:1:16 1",
        "  over defaults: s.json:1:82 80",
        "  $PORT Some(\"\\\"8080\\\"\") Some(\"variables of the host\")",
    ];
    assert_eq!(lines(told.asked.as_slice()), port);
    assert_eq!(told.asked.as_ref().map(|it| it.json.clone()), Some(8080.into()));
    let url = world().told("/srv/app/all.yaml:url");
    assert_eq!(
        lines(url.asked.as_slice()),
        [
            "url = \"https://www.example.org/\"",
            "  set b.yaml:3:6 \"https://${SUB:-www}.${domain}/\"",
            "  over a.yaml:2:6 \"http://a/\"",
            "  $SUB None None",
            "  $domain Some(\"\\\"example.org\\\"\") Some(\"headfast.yaml:3:54\")",
        ]
    );
}

#[test]
fn why_of_a_file_or_a_map_tells_of_every_value_in_it() {
    let told = world().told("app/part.json");
    let keys: Vec<&str> = told.values.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["server.port", "server.hosts", "server.dotted.key", "server.workers"]);
    assert_eq!(lines(&told.values[3..])[1], "  set env:APP_: env:APP_SERVER__WORKERS \"4\"");
    let dotted = world().told("app/part.json:dotted.key");
    assert_eq!(lines(dotted.asked.as_slice())[1], "  set a.yaml:1:48 \"x\"");
    let map = world().told("app/all.yaml:server");
    assert_eq!((map.values.len(), map.asked.map(|it| it.shown)), (4, Some("a map of 4 keys".into())));
}

#[test]
fn why_of_a_template_lists_the_keys_it_uses() {
    let told = world().told("app/t/x");
    let uses = told.uses.expect("it is a template");
    assert_eq!(uses.keys, ["server.hosts", "server.port", "url"]);
    assert_eq!(
        (uses.facts, uses.variables, uses.includes),
        (vec!["host".to_owned()], vec!["domain".to_owned()], vec!["t/part".to_owned()],)
    );
    let keys: Vec<&str> = told.values.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["server.hosts", "server.port", "url", "domain"]);
    assert_eq!(
        lines(&told.values[3..]),
        ["domain = \"example.org\"", "  set variables of the environment: headfast.yaml:3:54 \"example.org\""]
    );
    assert_eq!(world().told("app/t/maps").uses.expect("it is a template").keys, ["server"]);
    let none = world().told("app/t/none");
    assert_eq!((none.uses, none.values.len()), (Some(Default::default()), 0));
    for (key, expected) in [("url", "url"), ("config.url", "url"), ("domain", "domain"), ("server.port", "server.port")]
    {
        let told = world().told(&format!("app/t/x:{key}"));
        assert_eq!(told.asked.map(|it| it.key).as_deref(), Some(expected));
    }
    assert_eq!(world().told("app/t/part").source, Source::Copied("t/part".into()));
}

#[test]
fn why_of_a_copy_knows_its_file_and_its_keys() {
    let told = world().told("app/c.yaml:a.b");
    assert_eq!(told.source, Source::Copied("files/c.yaml".into()));
    assert_eq!(lines(told.asked.as_slice()), ["a.b = 5", "  set files/c.yaml:2:6 5"]);
    assert_eq!(world().told("app/x:y.txt").path, "x:y.txt");
    assert_eq!(world().told("/srv/other/c.yaml").target, "other");
    assert_eq!(world().told("/srv/app/c.yaml").target, "app");
    assert_eq!(world().told("/srv/other/current/c.yaml").live, "/srv/other/current/c.yaml");
}

#[test]
fn why_says_what_was_probably_meant() {
    let world = world();
    world.untold("ap/c.yaml", "headfast.yaml E_NOT_FOUND there is no target `ap` (did you mean `app`?)");
    world.untold(
        "elsewhere/c.yaml",
        "headfast.yaml:15:3 E_NOT_FOUND `web-1` in `production` does not have the target `elsewhere` \
         (name a host that `on` and `environments` let have it) | \
         elsewhere: {path: /opt, on: {host: db-1}, files: [{copy: files}]}",
    );
    world.untold(
        "app/d.yaml",
        "headfast.yaml:7:3 E_NOT_FOUND the target `app` has no file `d.yaml` (did you mean `c.yaml`?) | app:",
    );
    world.untold("app/part.json:prt", " E_NOT_FOUND there is no `prt` (did you mean `port`?)");
    world.untold("app/all.yaml:server.prt", " E_NOT_FOUND there is no `server.prt` (did you mean `server.port`?)");
    world.untold("app/t/x:domian", " E_NOT_FOUND there is no `domian` (did you mean `domain`?)");
    world.untold(
        "app/x:y.txt:a",
        "files/x:y.txt E_NOT_FOUND `files/x:y.txt` is copied as it is, and is no document with keys (ask without a key)",
    );
}

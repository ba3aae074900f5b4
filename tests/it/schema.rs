//! `schema`: template, infer, check and show, and ready schemas in a manifest.

use crate::host::headfast;
use std::fs;

const SCHEMA: &str = r#"{
  "title": "App",
  "required": ["name", "token"],
  "additionalProperties": false,
  "properties": {
    "name": {"type": "string", "description": "What it is called.", "default": "app"},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "token": {"type": "string", "minLength": 8}
  }
}
"#;

#[test]
fn m29_a_template_is_printed_and_says_what_only_a_person_knows() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("app.json"), SCHEMA).unwrap();
    let template = headfast(dir.path(), &["schema", "template", "app.json"]).ends(0).says(&["only you know token"]);
    let expected = "# App\n\n# What it is called.\nname: app\n\n# (at least 1; at most 65535)\n# port: 1\n\n\
                    # (characters, at least 8; required)\ntoken: \"\"  # CHANGE ME\n";
    assert_eq!(template.stdout, expected);
    let json = headfast(dir.path(), &["schema", "template", "app.json", "--format", "json"]).ends(0);
    assert_eq!(json.json(), serde_json::json!({"name": "app", "token": ""}));
    let ready = headfast(dir.path(), &["schema", "template", "builtin:service"]).ends(0);
    fs::write(dir.path().join("service.yaml"), ready.stdout).unwrap();
    headfast(dir.path(), &["schema", "check", "builtin:service", "service.yaml"])
        .ends(0)
        .says(&["1 document checked: all fit"]);
    headfast(dir.path(), &["schema", "template", "builtin:servce"]).ends(2).says(&["there is no ready schema"]);
    fs::write(dir.path().join("bad.json"), "{\"type\": \"intger\"}").unwrap();
    headfast(dir.path(), &["schema", "template", "bad.json"]).ends(3).says(&["E_SCHEMA_INVALID", "bad.json:1:10"]);
}

#[test]
fn a_schema_is_inferred_and_its_documents_fit_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), "port: 80\nhosts: [a]\n").unwrap();
    fs::write(dir.path().join("b.toml"), "port = 81\nlevel = 'info'\n").unwrap();
    let inferred = headfast(dir.path(), &["schema", "infer", "a.yaml", "b.toml", "--closed"]).ends(0);
    assert_eq!(inferred.json()["required"], serde_json::json!(["port"]));
    fs::write(dir.path().join("s.json"), &inferred.stdout).unwrap();
    headfast(dir.path(), &["schema", "check", "s.json", "a.yaml", "b.toml"]).ends(0);
    fs::write(dir.path().join("c.yaml"), "hsots: 1\nport: x\n").unwrap();
    let wrong = headfast(dir.path(), &["schema", "check", "s.json", "c.yaml"]).ends(3);
    wrong.says(&["c.yaml:1:1", "did you mean `hosts`?", "c.yaml:2:7", "2 | port: x", "1 document checked: 2 errors"]);
    let json = headfast(dir.path(), &["schema", "check", "s.json", "c.yaml", "--json"]).ends(3).json();
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(2));
    fs::write(dir.path().join("d.yaml"), "a: [\n").unwrap();
    headfast(dir.path(), &["schema", "infer", "d.yaml"]).ends(3).says(&["E_SYNTAX", "d.yaml:"]);
    headfast(dir.path(), &["schema", "infer", "none.yaml"]).ends(1).says(&["E_IO", "none.yaml"]);
    fs::write(dir.path().join("e.yaml"), "a: ENC[AES256_GCM,data:YQ==,iv:YQ==,tag:YQ==,type:str]\nsops: {mac: x}\n")
        .unwrap();
    headfast(dir.path(), &["schema", "infer", "e.yaml"]).ends(3).says(&["E_SOPS", "is encrypted"]);
}

#[test]
fn m26_a_ready_schema_is_named_in_a_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = |schema: &str| {
        format!(
            "version: 1\nenvironments: {{production: {{type: production}}}}\nconfigurations:\n  app: {{layers: [app.yaml], schema: \"{schema}\"}}\n\
             targets:\n  app:\n    path: /srv/app\n    files: [{{write: app.json, configuration: app}}]\n"
        )
    };
    fs::write(dir.path().join("headfast.yaml"), manifest("builtin:service")).unwrap();
    fs::write(dir.path().join("app.yaml"), "port: 81\n").unwrap();
    assert_eq!(headfast(dir.path(), &["get", "scheme"]).ends(0).stdout, "http\n", "its defaults count");
    fs::write(dir.path().join("app.yaml"), "prot: 81\n").unwrap();
    headfast(dir.path(), &["check"]).ends(3).says(&["app.yaml:1:1", "did you mean `port`?"]);
    fs::write(dir.path().join("headfast.yaml"), manifest("builtin:servce")).unwrap();
    headfast(dir.path(), &["check"]).ends(3).says(&[
        "E_REFERENCE",
        "headfast.yaml:4",
        "did you mean `builtin:service`?",
    ]);
    let shown = headfast(dir.path(), &["schema", "show", "logging"]).ends(0).json();
    assert_eq!(shown["title"], "Logging");
}

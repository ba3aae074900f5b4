use super::secret::{KEY, LAYER, OTHER_KEY, opened_by};
use super::*;
use crate::finding::Code;
use crate::manifest::RemoteLayer;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::rc::Rc;

const URL: &str = "https://conf.example.org/shared/app.yaml";

/// Servers that send what a test wants, whatever is asked for.
#[derive(Default)]
struct Sent {
    files: BTreeMap<String, Vec<u8>>,
    asked: Rc<RefCell<Vec<String>>>,
}

impl Remotes for Sent {
    fn fetch(&self, layer: &RemoteLayer) -> Result<Vec<u8>, Finding> {
        self.asked.borrow_mut().push(layer.url.clone());
        let gone = || Finding::error(Code::REMOTE_FETCH, format!("cannot fetch {}: gone", layer.url));
        self.files.get(&layer.url).cloned().ok_or_else(gone)
    }

    fn fetched(&self, layer: &RemoteLayer) -> Option<Vec<u8>> {
        self.files.get(&layer.url).cloned().filter(|it| layer.is(it))
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|it| format!("{it:02x}")).collect()
}

/// A world whose configuration has a plain layer, a remote one that is to hold `meant` and for which `sent` comes, and a third.
fn world(meant: &str, sent: Option<&str>) -> World {
    let rest = format!(
        "configurations:\n  app:\n    layers:\n      - plain.yaml\n      - {URL}#sha256={}\n      - last.yaml\n    \
         schema: s.json\ntargets:\n  app:\n    path: /srv/app\n    files:\n      \
         - {{template: t, configuration: app}}\n      - {{write: all.json, configuration: app}}\n",
        digest(meant)
    );
    let files = "//- plain.yaml\nport: 80\nname: one\n//- last.yaml\n{}\n//- t/x.j2\n{{ port }} {{ name }} {{ revision }}\n\
        //- s.json\n{\"properties\": {\"port\": {\"maximum\": 65535}}}\n";
    let mut world = World::manifest(&rest, files);
    let files = sent.map(|it| (URL.to_owned(), it.as_bytes().to_vec())).into_iter().collect();
    world.remotes = Box::new(Sent { files, ..Sent::default() });
    world
}

#[test]
fn x24_a_remote_layer_is_a_layer_like_any_other() {
    let files: BTreeMap<String, String> = world("port: 81\n", Some("port: 81\n")).files().into_iter().collect();
    // The digest stands in the manifest, so a change of it is a change of the output.
    assert_eq!(files["x"], "81 one [headfast.yaml last.yaml plain.yaml s.json t/x.j2]\n");
    assert!(files["all.json"].contains("\"port\": 81"));
}

#[test]
fn x24_what_is_wrong_in_a_remote_layer_has_its_line() {
    let text = "# shared\nport: 99999\n";
    world(text, Some(text)).refused(&[
        "https://conf.example.org/shared/app.yaml:2:7 E_SCHEMA port: 99999 is greater than the maximum 65535 | port: 99999",
    ]);
    world("port: [\n", Some("port: [\n"))
        .refused(&["https://conf.example.org/shared/app.yaml:1:7 E_SYNTAX unclosed bracket '[' | port: ["]);
    world("- 1\n", Some("- 1\n"))
        .refused(&["https://conf.example.org/shared/app.yaml:1:1 E_SHAPE a layer must be a map, found a list | - 1"]);
}

#[test]
fn x24_the_core_believes_nobody_about_digest_and_size() {
    let (_, findings) = world("port: 81\n", Some("port: 82\n")).run();
    let [line] = list(&findings).try_into().expect("one finding");
    let line: String = line;
    assert!(
        line.starts_with("headfast.yaml:8:9 E_REMOTE_DIGEST https://conf.example.org/shared/app.yaml is not"),
        "{line}"
    );
    assert!(line.contains(&digest("port: 81\n")) && line.contains(&digest("port: 82\n")), "{line}");
    let large = format!("a: 1\n#{}", "x".repeat(document::Limits::default().bytes));
    let (_, findings) = world(&large, Some(&large)).run();
    let lines = list(&findings);
    assert!(lines.len() == 1 && lines[0].starts_with("headfast.yaml:8:9 E_FILE_TOO_BIG"), "{lines:?}");
    let (_, findings) = world("port: 81\n", None).run();
    let lines = list(&findings);
    assert!(lines.len() == 1 && lines[0].starts_with("headfast.yaml:8:9 E_REMOTE_FETCH"), "{lines:?}");
}

#[test]
fn x24_programs_that_allow_none_refuse_remote_layers() {
    let mut world = world("port: 81\n", Some("port: 81\n"));
    world.remotes = Box::new(NoRemotes);
    let (_, findings) = world.run();
    assert_eq!(findings.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::REMOTE_NOT_ALLOWED]);
}

#[test]
fn x24_no_line_is_shown_of_what_is_encrypted_or_of_one_of_two_files() {
    let text = "# shared\nport: 99999\n";
    let mut two = world(text, Some(text));
    let manifest = |world: &World| {
        let id = world.tree.find("headfast.yaml").unwrap().unwrap().id;
        String::from_utf8(world.tree.blob(&id).unwrap()).unwrap()
    };
    let rewrite = |world: &mut World, text: &str| {
        world.tree.insert("headfast.yaml", crate::revision::EntryKind::File { executable: false }, text.as_bytes());
    };
    let other = format!("configurations:\n  other: {{layers: [\"{URL}#sha256={}\"]}}\n", digest("other"));
    let with_other = manifest(&two).replace("configurations:\n", &other);
    rewrite(&mut two, &with_other);
    two.refused(&[
        "https://conf.example.org/shared/app.yaml:2:7 E_SCHEMA port: 99999 is greater than the maximum 65535",
    ]);
    // What it is says the manifest, not its name.
    let mut nameless = opened_by(OTHER_KEY, world(LAYER, Some(LAYER)));
    let url = "https://conf.example.org/shared/app";
    let text = manifest(&nameless).replace(URL, url).replace(&digest(LAYER), &format!("{}&format=yaml", digest(LAYER)));
    rewrite(&mut nameless, &text);
    let files = [(url.to_owned(), LAYER.as_bytes().to_vec())].into();
    nameless.remotes = Box::new(Sent { files, ..Sent::default() });
    let (_, findings) = nameless.run();
    assert!(findings.has_errors() && list(&findings).iter().all(|it| it.ends_with(" | …")), "{:?}", list(&findings));
}

#[test]
fn x24_several_hosts_fetch_once() {
    let world = world("port: 81\n", Some("port: 81\n"));
    let remotes = Sent { files: [(URL.to_owned(), b"port: 81\n".to_vec())].into(), asked: Rc::default() };
    let memory = Memory::default();
    for host in ["web-1", "web-2"] {
        let facts = Facts { host: host.to_owned(), ..world.facts.clone() };
        let (tree, secrets, revision) = (&world.tree, &world.secrets, |_: &[String]| String::new());
        let inputs = Inputs {
            tree,
            facts: &facts,
            secrets,
            remotes: &remotes,
            targets: None,
            revision: &revision,
            on_phase: &|_| {},
        };
        let mut findings = Findings::new();
        assert!(render_with(&inputs, &memory, &mut findings).is_some(), "{:?}", list(&findings));
    }
    assert_eq!(*remotes.asked.borrow(), [URL]);
}

#[test]
fn x24_why_names_the_address_and_line_of_a_remote_layer() {
    let told = world("# shared\nport: 81\n", Some("# shared\nport: 81\n")).told("app/all.json:port");
    let value = told.asked.expect("there is one");
    assert_eq!(
        super::why::lines(&[value]),
        ["port = 81", "  set https://conf.example.org/shared/app.yaml:2:7 81", "  over plain.yaml:1:7 80"]
    );
}

#[test]
fn x24_an_encrypted_remote_layer_is_decrypted_and_stays_secret() {
    let sealed = opened_by(KEY, world(LAYER, Some(LAYER)));
    let rendered = sealed.rendered();
    let target = &rendered.rendering.targets[0];
    let path = TargetPath::new(b"all.json").unwrap();
    assert!(sealed.texts(target).iter().any(|(path, text)| path == "all.json" && text.contains("cGFzcw==")));
    assert!(target.files[&path].sensitive && target.files[&path].mode == 0o600);
    let (rendered, findings) = opened_by(OTHER_KEY, world(LAYER, Some(LAYER))).run();
    assert!(rendered.is_none());
    let lines = list(&findings);
    assert!(lines.iter().all(|it| it.contains("E_KEY") && it.contains("needed by the target `app`")), "{lines:?}");
    assert!(lines.iter().all(|it| it.starts_with(URL) && it.ends_with(" | …")), "no line of it is shown: {lines:?}");
}

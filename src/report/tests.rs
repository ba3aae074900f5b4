use super::*;
use crate::record::{Changes, Deployment, DeploymentStatus, Failure, Phase, Trigger};

mod drain;
mod github;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn deployment(status: DeploymentStatus) -> Deployment {
    Deployment {
        id: 7,
        repository: "site".into(),
        environment: "production".into(),
        revision: ObjectId::new(COMMIT),
        digest: None,
        status,
        phase: Phase::Switch,
        trigger: Trigger::Poll,
        started_at: "2026-11-23T10:00:00Z".into(),
        finished_at: None,
        changes: Changes { created: 3, replaced: 1, removed: 0, unchanged: 9 },
        keys: Default::default(),
        error: None,
        kept: Vec::new(),
        log: vec!["output of an action".into()],
        previous: None,
    }
}

fn failed(status: DeploymentStatus, code: &str, message: &str) -> Deployment {
    Deployment { error: Some(Failure { code: code.into(), message: message.into() }), ..deployment(status) }
}

fn drifted() -> DriftSummary {
    DriftSummary { modified: 3, missing: 1, ..DriftSummary::none(ObjectId::new(COMMIT), "production") }
}

fn said(it: &Deployment) -> (&'static str, String) {
    let status = say::deployment("web-1", it);
    assert_eq!(status.context, "headfast/production/web-1");
    assert_eq!(status.commit.as_str(), COMMIT);
    assert!(status.description.chars().count() <= MOST_CHARACTERS, "{}", status.description);
    (status.state.as_str(), status.description)
}

#[test]
fn a_deployment_is_said_in_the_words_of_a_person() {
    use DeploymentStatus as S;
    let probe = "probe http://127.0.0.1/healthz failed: status 500, not 200";
    let cases = [
        (deployment(S::Pending), "pending", "waiting"),
        (failed(S::Pending, "E_SUSPENDED", "suspended by ana: freeze"), "pending", "waiting: suspended by ana: freeze"),
        (deployment(S::InProgress), "pending", "deploying: switch"),
        (deployment(S::Success), "success", "deployed: 3 files created, 1 replaced"),
        (deployment(S::Unchanged), "success", "deployed: nothing to change here"),
        (deployment(S::Superseded), "pending", "superseded: a newer commit came first"),
        (failed(S::RolledBack, "E_PROBE", probe), "failure", &format!("rolled back: {probe}")),
        (failed(S::Failed, "E_NO_SPACE", "the disk is full"), "error", "failed: E_NO_SPACE the disk is full"),
        (deployment(S::Failed), "error", "failed"),
        (failed(S::Failed, "E_ROLLBACK_FAILED", "x"), "error", "stuck, a person is needed: E_ROLLBACK_FAILED x"),
        (
            failed(S::Refused, "E_SCHEMA", "config/app.yaml:3:7 server.port is too large"),
            "failure",
            "refused: E_SCHEMA config/app.yaml:3:7 server.port is too large",
        ),
    ];
    for (it, state, text) in cases {
        assert_eq!(said(&it), (state, text.to_owned()));
    }
}

#[test]
fn what_was_done_depends_on_what_asked_for_it() {
    let it = Deployment { changes: Changes::default(), ..deployment(DeploymentStatus::Success) };
    assert_eq!(said(&it).1, "deployed: no file changed");
    assert_eq!(
        said(&Deployment { trigger: Trigger::Rollback, ..it.clone() }).1,
        "deployed by a rollback: no file changed"
    );
    let changes = Changes { replaced: 1, ..Changes::default() };
    assert_eq!(said(&Deployment { trigger: Trigger::Heal, changes, ..it }).1, "healed: 1 file replaced");
}

#[test]
fn drift_is_said_in_numbers() {
    let text = |it: &DriftSummary| (say::drift("web-1", it).state, say::drift("web-1", it).description);
    assert_eq!(text(&drifted()), (State::Failure, "drift: 3 files modified, 1 missing".into()));
    assert_eq!(say::drift("web-1", &drifted()).context, "headfast/production/web-1/drift");
    let none = DriftSummary::none(ObjectId::new(COMMIT), "production");
    assert_eq!(text(&none), (State::Success, "no drift".into()));
    let healed = DriftSummary { missing: 1, healed: true, ..none.clone() };
    assert_eq!(text(&healed), (State::Success, "drift healed: 1 file missing".into()));
    let all = DriftSummary { missing: 1, extra: 2, mode: 3, owner: 4, kind: 5, ..none };
    let words = "drift: 1 file missing, 2 extra, 3 with another mode, 4 with another owner, 5 of another type";
    assert_eq!(text(&all), (State::Failure, words.into()));
    assert_eq!(all.count(), 15);
}

#[test]
fn a_commit_that_waits_says_for_what() {
    let it = say::pending("web-1", "production", &ObjectId::new(COMMIT), "window opens 02:00");
    assert_eq!((it.state, it.description.as_str()), (State::Pending, "waiting: window opens 02:00"));
    assert_eq!(it.context, "headfast/production/web-1");
}

#[test]
fn m15_a_description_is_one_short_visible_line_that_mentions_nobody() {
    let hostile = "a\nb\t\u{1b}[31mc\0 \u{202e}evil\u{200b} @ana (@ops/team) ana@example.org\u{2028}end";
    let (_, text) = said(&failed(DeploymentStatus::RolledBack, "E_PROBE", hostile));
    assert_eq!(text, "rolled back: a b [31mc evil @\u{200b}ana (@\u{200b}ops/team) ana@example.org end");
    assert!(!text.contains("@ana") && !text.contains("@ops"));
}

#[test]
fn m15_a_description_is_cut_by_characters_and_not_by_bytes() {
    for filler in ["x", "ü", "😀", "@"] {
        let (_, text) = said(&failed(DeploymentStatus::Refused, "E_SCHEMA", &filler.repeat(500)));
        assert_eq!(text.chars().count(), 140, "{filler}");
        assert!(text.starts_with("refused: E_SCHEMA ") && text.ends_with('…'));
    }
    let exact = "x".repeat(140 - "rolled back: ".len());
    let (_, text) = said(&failed(DeploymentStatus::RolledBack, "E_PROBE", &exact));
    assert!(text.ends_with('x') && text.chars().count() == 140);
}

#[test]
fn m18_contexts_of_two_hosts_differ_even_when_they_must_be_cut() {
    assert_eq!(context("production", "web-1", ""), "headfast/production/web-1");
    let long = |tail: &str| format!("{}{tail}", "ü".repeat(300));
    let (one, other) = (context("e", &long("1"), "drift"), context("e", &long("2"), "drift"));
    assert_ne!(one, other);
    assert_eq!((one.chars().count(), other.chars().count()), (255, 255));
    assert!(one.starts_with("headfast/e/üü") && one.ends_with("/drift"));
    assert_ne!(context("e", &long("1"), ""), one);
    assert_eq!(context("e", "a\nb", ""), "headfast/e/a b");
    let fits = "h".repeat(255 - "headfast/e/".len());
    assert_eq!(context("e", &fits, ""), format!("headfast/e/{fits}"));
}

#[test]
fn problems_only_lets_problems_through_and_what_takes_them_back() {
    use State::{Error, Failure, Pending, Success};
    let lets = |state, last| Filter::Problems.lets(state, last);
    assert!(lets(Failure, None) && lets(Error, Some(Success)) && lets(Failure, Some(Failure)));
    assert!(lets(Success, Some(Failure)) && lets(Success, Some(Error)) && lets(Pending, Some(Failure)));
    assert!(
        !lets(Success, None) && !lets(Pending, None) && !lets(Success, Some(Pending)) && !lets(Success, Some(Success))
    );
    assert!(Filter::All.lets(Pending, None) && Filter::All.lets(Success, Some(Success)));
}

#[test]
fn a_delivery_survives_the_outbox() {
    let status = say::deployment("web-1", &deployment(DeploymentStatus::Success));
    let github = Delivery::github(None, "ops", "config", &status);
    let notes = note("web-1", &deployment(DeploymentStatus::Success), None);
    for it in [&github, &notes] {
        assert_eq!(&Delivery::parse(&it.payload()).unwrap(), it);
        assert!(it.payload().starts_with(&format!("{{\"provider\":\"{}\"", it.provider())), "{}", it.payload());
    }
    assert_eq!(github.key(), format!("github https://api.github.com ops/config {COMMIT} headfast/production/web-1"));
    assert_eq!(notes.key(), format!("notes refs/notes/headfast/production/web-1 {COMMIT}"));
    assert_eq!((github.state(), notes.state()), (Some(State::Success), None));
    let error = Delivery::parse("{\"provider\":\"carrier pigeon\"}").unwrap_err();
    assert_eq!(error.code(), Code::STATUS);
}

#[test]
fn a_key_does_not_depend_on_what_is_said() {
    let key = |it| Delivery::github(Some("https://ghe.example/api/v3/"), "o", "r", &say::deployment("h", &it)).key();
    assert_eq!(key(deployment(DeploymentStatus::Success)), key(deployment(DeploymentStatus::Failed)));
    assert!(key(deployment(DeploymentStatus::Success)).starts_with("github https://ghe.example/api/v3 o/r "));
}

#[test]
fn a_note_holds_the_record_and_nothing_that_must_stay_here() {
    let it = failed(DeploymentStatus::RolledBack, "E_PROBE", "a\nb");
    let Delivery::Notes { reference, commit, text } = note("web-1", &it, Some(&drifted())) else { panic!() };
    assert_eq!((reference.as_str(), commit.as_str()), ("refs/notes/headfast/production/web-1", COMMIT));
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["version"], 1);
    assert_eq!(record["state"], "failure");
    assert_eq!(record["description"], "rolled back: a b");
    assert_eq!(record["deployment"]["status"], "rolled_back");
    assert_eq!(record["deployment"]["error"], serde_json::json!({"code": "E_PROBE", "message": "a b"}));
    assert_eq!(record["deployment"]["changes"]["created"], 3);
    assert_eq!((&record["drift"]["count"], &record["drift"]["missing"]), (&4.into(), &1.into()));
    assert!(text.ends_with("}\n") && !text.contains("output of an action"));
}

#[test]
fn a_ref_of_notes_is_one_that_git_accepts() {
    let reference = |host: &str| {
        let Delivery::Notes { reference, .. } = note(host, &deployment(DeploymentStatus::Success), None) else {
            panic!()
        };
        reference
    };
    assert_eq!(reference("web-1.example.org"), "refs/notes/headfast/production/web-1.example.org");
    let odd =
        ["", ".", "..", "a..b", "a/b", "a b", "a.lock", ".a", "a.", "@{x", "a~^:?*[\\", "ü", "a\n", &"x".repeat(300)];
    let mut seen = std::collections::BTreeSet::new();
    for host in odd {
        let it = reference(host);
        let last = it.strip_prefix("refs/notes/headfast/production/").unwrap();
        assert!(last.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it)), "{host:?} {it}");
        assert!(last.len() <= 120 && seen.insert(it), "{host:?}");
    }
}

#[test]
fn owner_and_repository_are_taken_from_any_kind_of_address() {
    let found = Some(("ops".to_owned(), "config.d".to_owned()));
    for url in [
        "https://github.com/ops/config.d.git",
        "https://github.com/ops/config.d",
        "https://github.com/ops/config.d/",
        "ssh://git@github.com/ops/config.d.git",
        "ssh://git@github.com:22/ops/config.d.git",
        "git@github.com:ops/config.d.git",
        "git@github.com:/ops/config.d.git",
    ] {
        assert_eq!(owner_and_repository(url), found, "{url}");
    }
    for url in [
        "/srv/git/ops/config.git",
        "file:///srv/git/config.git",
        "https://github.com/config",
        "https://gitlab.com/group/sub/config",
        "https://github.com/ops/..",
        "https://github.com/ops/a%2fb",
        "./a:b/c",
        "https://github.com",
        "",
    ] {
        assert_eq!(owner_and_repository(url), None, "{url}");
    }
    let status = say::pending("h", "e", &ObjectId::new(COMMIT), "x");
    assert_eq!(status.to_github(None, "/srv/git").unwrap_err().code(), Code::STATUS);
    assert!(status.to_github(None, "git@github.com:o/r").is_ok());
}

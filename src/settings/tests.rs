use super::*;
use crate::manifest::load_targets;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// The example of DESIGN.md section 3, without `test_branch`, `openpgp_keys` and `listen.webhook`.
const EXAMPLE: &str = r#"
host: web-1                       # default: the machine's host name
labels: {role: web, region: eu}
state_dir: /var/lib/headfast
repositories:
  - name: site
    url: ssh://git@forge.example/ops/config.git
    branch: main
    environment: production
    variables: {APP_SERVER__PORT: "8081"}
    auth:
      ssh_key: /etc/headfast/id_ed25519
      known_hosts: /etc/headfast/known_hosts
    poll: 60s
    rewind: refuse
    verify:
      mode: range
      allowed_signers: /etc/headfast/allowed_signers
    allow:
      paths: [/etc/nginx, /srv/app]
      units: [nginx.service]
      commands: [/usr/sbin/nginx]
      users: [root, www-data]
    age: {identity: /etc/headfast/age.key}
    existing: keep
    drift:
      mode: report
      scan: "*/10 * * * *"
    windows:
      - {allow: "0 2 * * *", for: 3h, timezone: Europe/Paris}
    rollback:
      automatic: true
      push: branch
      max_commits: 20
      sign: false
    status:
      - {provider: github, token_file: /etc/headfast/token, post: all}
    targets: []
listen:
  metrics: 127.0.0.1:9108
log: info
"#;

pub(super) struct Host {
    folder: TempDir,
    around: Surroundings,
}

impl Host {
    fn new() -> Self {
        let mut around = Surroundings { host_name: "machine".into(), ..Surroundings::of_process() };
        around.variables.clear();
        Host { folder: tempfile::tempdir().expect("a folder"), around }
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("sets the mode");
        path
    }

    fn load(&self, text: &str) -> Result<Settings, Error> {
        read::load(&self.write("agent.yaml", text, 0o600), &self.around)
    }

    /// Returns the findings as lines, without the name of the folder.
    fn shown(&self, error: &Error) -> String {
        let line = |it: &crate::finding::Finding| {
            let place = it.place.as_ref().map(ToString::to_string).unwrap_or_default();
            let hint = it.hint.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
            let line = it.line_text.as_ref().map(|it| format!(" |{it}|")).unwrap_or_default();
            format!("{place} {}: {}{hint}{line}", it.code, it.message)
        };
        let lines: Vec<String> = error.findings.iter().map(line).collect();
        lines.join("\n").replace(&format!("{}/", self.folder.path().display()), "")
    }

    #[track_caller]
    fn refused(&self, text: &str) -> String {
        self.shown(&self.load(text).expect_err("is refused"))
    }
}

/// Returns a file with one repository that has some more keys.
fn with(more: &str) -> String {
    format!("repositories:\n  - name: site\n    url: /srv/git\n    branch: main\n    environment: p\n{more}")
}

#[test]
fn the_example_of_the_design_loads() {
    let host = Host::new();
    let settings = host.load(EXAMPLE).expect("loads");
    let site = settings.repository("site").expect("the repository");
    assert_eq!(
        settings.facts(site),
        Facts {
            host: "web-1".into(),
            labels: [("role".into(), "web".into()), ("region".into(), "eu".into())].into(),
            environment: "production".into(),
            variables: [("APP_SERVER__PORT".into(), "8081".into())].into(),
        }
    );
    assert_eq!(site.wanted, Wanted::Branch("main".into()));
    assert_eq!(site.poll, Some(Duration::from_secs(60)));
    assert_eq!(site.verify.mode, VerifyMode::Range);
    assert_eq!(site.windows.len(), 1);
    assert_eq!(site.drift.scan.as_ref().map(Cron::text), Some("*/10 * * * *"));
    assert_eq!(site.rollback, RollbackSettings { automatic: true, push: Push::Branch, max_commits: 20 });
    assert_eq!(site.status[0].provider, Provider::Github);
    assert_eq!((&site.targets, settings.listen.metrics.is_some()), (&None, true));
    assert_eq!(settings.path, host.folder.path().join("agent.yaml"));
}

#[test]
fn defaults_are_safe() {
    let settings = Host::new().load(&with("")).expect("loads");
    assert_eq!((settings.host.as_str(), settings.log.as_str()), ("machine", "info"));
    assert_eq!(settings.state_dir, Path::new("/var/lib/headfast"));
    let site = &settings.repositories[0];
    assert_eq!((site.rewind, site.existing, site.allow.clone()), (Rewind::Refuse, Existing::Keep, None));
    assert_eq!((site.drift.mode, site.poll), (DriftMode::Report, Some(Duration::from_secs(60))));
    assert_eq!(Host::new().load(&with("    poll: 0\n")).expect("loads").repositories[0].poll, None);
}

#[test]
fn what_the_design_has_and_this_version_has_not_is_refused() {
    let more = "    test_branch: x\n    verify: {mode: tip, allowed_signers: s, openpgp_keys: [a]}\n    rollback: {sign: true}\n    status: [{provider: gitlab, token_file: t}]\nlisten: {webhook: {address: '127.0.0.1:1', secret_file: s}}\n";
    insta::assert_snapshot!(Host::new().refused(&with(more)), @"
    agent.yaml:6:5 E_UNSUPPORTED: `repositories.0.test_branch` is not supported by this version of headfast (remove it) |    test_branch: x|
    agent.yaml:7:45 E_UNSUPPORTED: `repositories.0.verify.openpgp_keys` is not supported by this version of headfast (remove it) |    verify: {mode: tip, allowed_signers: s, openpgp_keys: [a]}|
    agent.yaml:8:22 E_UNSUPPORTED: `repositories.0.rollback.sign: true` is not supported by this version of headfast (use `false`) |    rollback: {sign: true}|
    agent.yaml:9:25 E_UNSUPPORTED: `repositories.0.status.0.provider` is not supported by this version of headfast (use `github` or `notes`) |    status: [{provider: gitlab, token_file: t}]|
    agent.yaml:10:10 E_UNSUPPORTED: `listen.webhook` is not supported by this version of headfast (remove it) |listen: {webhook: {address: '127.0.0.1:1', secret_file: s}}|
    ");
}

#[test]
fn all_mistakes_are_named_in_one_run() {
    let text = "hots: x\nhost: a b\nrepositories:\n  - nmae: x\n    url: ssh://-oProxyCommand=x/y\n    branch: main\n    tag: v*\n    environment: 5\n    pol: 60s\n    drift: {mode: fix, scan: '* *', timezone: Mars}\n    windows: [{allow: '0 2 * * *', deny: '0 2 * * *', for: 1h}, {allow: '0 2 * * *'}]\n    verify: {mode: range}\n    allow: {paths: [srv, /a/../b], units: [nginx], commands: [ls], users: [''], path: [x]}\n    rewind: folow\n    status: [{provider: github}, {provider: notes, token_file: x}, {provider: github, token_file: t, api_url: 'http://x'}]\nlisten: {metrics: localhost}\n";
    insta::assert_snapshot!(Host::new().refused(text), @"
    agent.yaml:2:7 E_VALUE: `a b` is not a name for a host (names start with a letter or digit and hold letters, digits, `.`, `_` and `-`) |host: a b|
    agent.yaml:4:5 E_MISSING_KEY: `repositories.0.name` is missing |  - nmae: …|
    agent.yaml:5:10 E_URL: remote `ssh://-oProxyCommand=x/y` is not accepted: a host name that is empty, begins with `-` or has unusual characters |    url:  …|
    agent.yaml:7:10 E_VALUE: `repositories.0.tag` cannot stand beside `branch` |    tag: v*|
    agent.yaml:8:18 E_TYPE: `repositories.0.environment` must be text, found a number (put the value in quotes) |    environment: 5|
    agent.yaml:14:13 E_VALUE: `repositories.0.rewind` cannot be `folow` (it is one of refuse, follow) |    rewind: folow|
    agent.yaml:12:13 E_MISSING_KEY: `repositories.0.verify.allowed_signers` is missing |    verify: {mode: range}|
    agent.yaml:13:21 E_PATH: `repositories.0.allow.paths` holds no absolute path: `srv` |    allow: {paths: [srv, /a/../b], units: [nginx], commands: [ls], users: [''], path: …|
    agent.yaml:13:26 E_PATH: `repositories.0.allow.paths` holds no absolute path: `/a/../b` |    allow: {paths: [srv, /a/../b], units: [nginx], commands: [ls], users: [''], path: …|
    agent.yaml:13:44 E_UNIT: `repositories.0.allow.units` holds no unit name: `nginx` |    allow: {paths: [srv, /a/../b], units: [nginx], commands: [ls], users: [''], path: …|
    agent.yaml:13:63 E_PATH: `repositories.0.allow.commands` holds no absolute path: `ls` |    allow: {paths: [srv, /a/../b], units: [nginx], commands: [ls], users: [''], path: …|
    agent.yaml:13:76 E_VALUE: `repositories.0.allow.users` holds no name: `` |    allow: {paths: [srv, /a/../b], units: [nginx], commands: [ls], users: [''], path: …|
    agent.yaml:13:81 E_UNKNOWN_KEY: the key `repositories.0.allow.path` does not exist (did you mean `paths`?) |    allow: {paths: [srv, /a/../b], units: [nginx], commands: [ls], users: [''], path: …|
    agent.yaml:10:19 E_VALUE: `repositories.0.drift.mode` cannot be `fix` (it is one of off, report, heal) |    drift: {mode: fix, scan: '* *', timezone: Mars}|
    agent.yaml:10:47 E_VALUE: there is no time zone `Mars` (write an IANA name such as `Europe/Paris`, or `UTC`) |    drift: {mode: fix, scan: '* *', timezone: Mars}|
    agent.yaml:10:30 E_VALUE: `* *` is not a cron time: it has 2 fields instead of five, or six with the seconds first (write crontab(5) fields: minute, hour, day of the month, month, day of the week) |    drift: {mode: fix, scan: '* *', timezone: Mars}|
    agent.yaml:11:15 E_SHAPE: `repositories.0.windows.0` must have exactly one of `allow` and `deny` |    windows: [{allow: '0 2 * * *', deny: '0 2 * * *', for: 1h}, {allow: '0 2 * * *'}]|
    agent.yaml:11:65 E_MISSING_KEY: `repositories.0.windows.1.for` is missing |    windows: [{allow: '0 2 * * *', deny: '0 2 * * *', for: 1h}, {allow: '0 2 * * *'}]|
    agent.yaml:15:14 E_MISSING_KEY: `repositories.0.status.0.token_file` is missing |    status: [{provider: github}, {provider: notes, token_file: …|
    agent.yaml:15:52 E_UNKNOWN_KEY: the key `repositories.0.status.1.token_file` does not exist (the keys here are provider, post) |    status: [{provider: github}, {provider: notes, token_file: …|
    agent.yaml:15:111 E_URL: `repositories.0.status.2.api_url` must be an https:// URL, or an http:// one of this very host |    status: [{provider: github}, {provider: notes, token_file: …|
    agent.yaml:4:5 E_UNKNOWN_KEY: the key `repositories.0.nmae` does not exist (did you mean `name`?) |  - nmae: …|
    agent.yaml:9:5 E_UNKNOWN_KEY: the key `repositories.0.pol` does not exist (did you mean `poll`?) |    pol: …|
    agent.yaml:16:19 E_VALUE: `listen.metrics` must be written like 127.0.0.1:9108 |listen: {metrics: localhost}|
    agent.yaml:1:1 E_UNKNOWN_KEY: the key `hots` does not exist (did you mean `host`?) |hots: …|
    ");
}

#[test]
fn d11_an_empty_file_is_refused() {
    let host = Host::new();
    for text in ["", "# c\n", "5", "[]"] {
        assert!(host.refused(text).contains("E_SHAPE"), "{text:?}");
    }
    insta::assert_snapshot!(host.refused("{}"), @"agent.yaml:1:1 E_MISSING_KEY: `repositories` is missing |{}|");
    insta::assert_snapshot!(host.refused("repositories: []"), @"agent.yaml:1:15 E_VALUE: `repositories` names none |repositories: []|");
}

#[test]
fn d04_merge_keys_are_refused_in_agent_yaml() {
    assert!(Host::new().refused("a: &a {}\n<<: *a\n").contains("E_YAML_MERGE"));
}

#[test]
fn secrets_in_the_wrong_place_are_not_shown() {
    let host = Host::new();
    let texts = [
        "repositories:\n  - name: site\n    url: https://ana:s3cr3t@forge.example/x.git\n    branch: main\n    environment: p\n".to_owned(),
        with("    auth: {token: s3cr3t}\n"),
        with("    token: s3cr3t\n"),
        with("    auth: {token: s3cr3t, usernam: x, ssh_key: 5}\n"),
        with("    variables: {A_B: s3cr3t, a-b: s3cr3t, PIN: 53141}\n"),
        with("    status: [{provider: github, token_file: t, api_url: 'https://s3cr3t@x/'}]\n"),
        with("    allow:\n      remotes:\n        - https://ana:s3cr3t@conf.example/\n"),
    ];
    for text in texts {
        let shown = host.refused(&text);
        assert!(!shown.contains("s3cr3t") && !shown.contains("53141"), "{shown}");
        assert!(shown.contains(" …|"), "{shown}");
    }
}

#[test]
fn a05_a01_urls_are_judged() {
    for url in ["ext::sh -c x", "--upload-pack=x", "http://forge.example/x", "relative/path"] {
        let text = format!("repositories: [{{name: a, url: '{url}', branch: b, environment: p}}]");
        assert!(Host::new().refused(&text).contains("E_URL:"), "{url}");
    }
}

#[test]
fn n12_a_file_that_others_may_write_is_refused() {
    let host = Host::new();
    for mode in [0o620, 0o602, 0o666, 0o660] {
        let error = read::load(&host.write("agent.yaml", EXAMPLE, mode), &host.around).expect_err("is refused");
        assert_eq!(
            host.shown(&error),
            "agent.yaml E_CONFIG_MODE: the file can be written by others (take the right away: chmod go-w)"
        );
        assert_eq!(error.code(), Code::CONFIG_MODE);
    }
    for mode in [0o600, 0o644, 0o400] {
        read::load(&host.write("agent.yaml", EXAMPLE, mode), &host.around).expect("is read");
    }
    let path = host.write("agent.yaml", EXAMPLE, 0o600);
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&path).expect("exists"));
    let other = Surroundings { user: owner + 1, ..host.around.clone() };
    let loaded = read::load(&path, &other);
    if owner == 0 {
        loaded.expect("root's files are fine for everybody");
        std::os::unix::fs::chown(&path, Some(4242), None).expect("root may");
        assert_eq!(read::load(&path, &other).expect_err("a stranger's").code(), Code::CONFIG_MODE);
    } else {
        assert_eq!(loaded.expect_err("a stranger's").code(), Code::CONFIG_MODE);
    }
}

#[test]
fn what_is_not_a_file_is_refused() {
    let host = Host::new();
    let error = read::load(&host.folder.path().join("none.yaml"), &host.around).expect_err("is absent");
    insta::assert_snapshot!(host.shown(&error), @"none.yaml E_CONFIG: cannot be read: No such file or directory (os error 2) (name the file with --config)");
    let error = read::load(host.folder.path(), &host.around).expect_err("is a folder");
    assert!(host.shown(&error).contains("E_CONFIG: is not a regular file"));
    let fifo = host.folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("makes a FIFO");
    assert!(read::load(&fifo, &host.around).is_err());
    let large = host.write("agent.yaml", &"# x\n".repeat(2_000_000), 0o600);
    assert_eq!(read::load(&large, &host.around).expect_err("too large").code(), Code::FILE_TOO_BIG);
}

#[test]
fn paths_start_at_the_files_folder() {
    let host = Host::new();
    host.write("site.env", "PORT=1\nexport NAME='a b'\n", 0o644);
    let more = "    env_file: site.env\n    variables: {PORT: '2'}\n    auth: {ssh_key: keys/id, known_hosts: /k}\nstate_dir: state\n";
    let settings = host.load(&with(more)).expect("loads");
    let site = &settings.repositories[0];
    assert_eq!(settings.state_dir, host.folder.path().join("state"));
    assert_eq!(site.auth.ssh_key, Some(host.folder.path().join("keys/id")));
    assert_eq!(site.auth.known_hosts, Some(PathBuf::from("/k")));
    assert_eq!(site.variables, [("NAME".into(), "a b".into()), ("PORT".into(), "2".into())].into());
}

#[test]
fn a_file_of_variables_is_judged_too() {
    let host = Host::new();
    assert!(host.refused(&with("    env_file: none.env\n")).contains("none.env E_CONFIG: cannot be read"));
    host.write("site.env", "PORT=1\n", 0o666);
    assert!(host.refused(&with("    env_file: site.env\n")).contains("site.env E_CONFIG_MODE"));
    host.write("site.env", "PIN 53141\n", 0o600);
    assert_eq!(
        host.refused(&with("    env_file: site.env\n")),
        "site.env:1:1 E_SYNTAX: expected `KEY=value` or a comment"
    );
}

#[test]
fn tags_and_commits_have_no_branch_to_push_to() {
    let host = Host::new();
    let text = |wanted: &str| format!("repositories: [{{name: a, url: /g, environment: p, {wanted}}}]");
    let wanted =
        |it: &str| host.load(&text(it)).map(|it| (it.repositories[0].wanted.clone(), it.repositories[0].rollback.push));
    let id = "0123456789abcdef0123456789ABCDEF01234567";
    assert_eq!(wanted("tag: '>=1.2, <2'"), Ok((Wanted::Tag(">=1.2, <2".into()), Push::Off)));
    assert_eq!(wanted(&format!("commit: '{id}'")), Ok((Wanted::Commit(ObjectId::new(&id.to_lowercase())), Push::Off)));
    assert!(host.refused(&text("tag: v*, rollback: {push: direct}")).contains("must be `off`"));
    assert!(host.refused(&text("commit: abc123")).contains("whole commit id"));
    assert!(host.refused(&text("poll: 60s")).contains("branch` is missing"));
    for branch in ["-x", "a..b", "a b", "/a", "a/", "refs/heads/a", "HEAD", "a.lock", "''", "a~1", "@{u}", "\"a\\nb\""]
    {
        assert!(host.refused(&text(&format!("branch: {branch}"))).contains("E_"), "{branch}");
    }
    assert_eq!(wanted("branch: feature/x-1").map(|it| it.0), Ok(Wanted::Branch("feature/x-1".into())));
}

#[test]
fn repositories_must_differ() {
    let text = "repositories:\n  - {name: a, url: /g, branch: main, environment: p}\n  - {name: b, url: /g, branch: dev, environment: p}\n  - {name: a, url: /g, branch: main, environment: q}\n";
    insta::assert_snapshot!(Host::new().refused(text), @"
    agent.yaml:3:12 E_VALUE: `a` and `b` are the same repository in the same environment (remove one of them) |  - {name: b, url: /g, branch: dev, environment: p}|
    agent.yaml:4:12 E_DUPLICATE_KEY: two repositories have the name `a` |  - {name: a, url: …|
    ");
}

#[test]
fn targets_of_agent_yaml_are_checked_and_kept() {
    let host = Host::new();
    let settings = host.load(&with("    targets: [{name: t, path: /srv/t, files: [{copy: .}]}]\n")).expect("loads");
    let node = settings.repositories[0].targets.clone().expect("targets");
    assert_eq!(load_targets(&node, &mut Findings::new()).map(|it| it.targets.len()), Some(1));
    assert!(host.refused(&with("    targets: [{name: t, path: /proc, files: []}]\n")).contains("E_TARGET_FORBIDDEN"));
}

#[test]
fn credentials_of_systemd_fill_what_is_not_named() {
    let mut host = Host::new();
    for name in ["ssh-key", "site.ssh-key", "age-key", "forge-token"] {
        host.write(name, "x", 0o440);
    }
    host.around.variables.insert("CREDENTIALS_DIRECTORY".into(), host.folder.path().into());
    let settings = host.load(&with("    status: [{provider: github}]\n")).expect("loads");
    let site = &settings.repositories[0];
    assert_eq!(site.auth.ssh_key, Some(host.folder.path().join("site.ssh-key")));
    assert_eq!(site.age.identity, Some(host.folder.path().join("age-key")));
    assert_eq!(site.status[0].token_file, Some(host.folder.path().join("forge-token")));
    assert_eq!(site.auth.known_hosts, None);
    assert_eq!(site.age.read_in(&host.around).expect("reads")[0].as_str(), "x");
}

#[test]
fn g01_identities_are_read_from_files_that_nobody_else_reads() {
    let mut host = Host::new();
    let key = host.write("age.key", "AGE-1", 0o600);
    host.around.variables.insert("SOPS_AGE_KEY".into(), "AGE-2".into());
    host.around.variables.insert("SOPS_AGE_KEY_FILE".into(), host.write("other.key", "AGE-3", 0o400).into());
    let sources = host.load(&with("    age: {identity: age.key}\n")).expect("loads").repositories[0].age.clone();
    let texts = |it: Vec<zeroize::Zeroizing<String>>| it.iter().map(|it| it.to_string()).collect::<Vec<_>>();
    assert_eq!(texts(sources.read_in(&host.around).expect("reads")), ["AGE-2", "AGE-1", "AGE-3"]);
    assert!(!format!("{sources:?} {:?}", host.around).contains("AGE-"));
    host.write("age.key", "AGE-1", 0o644);
    insta::assert_snapshot!(host.shown(&sources.read_in(&host.around).expect_err("open to all")), @"age.key E_KEY_MODE: the file can be read by others (take the right away: chmod 600)");
    std::fs::remove_file(key).expect("removes");
    assert_eq!(sources.read_in(&host.around).expect_err("absent").code(), Code::KEY);
    host.around.variables = [("SOPS_AGE_KEY_CMD".into(), "pass age".into())].into();
    let sources = AgeSources::of_environment(&host.around);
    assert_eq!(sources.read_in(&host.around).expect_err("not yet").code(), Code::UNSUPPORTED);
    assert_eq!(texts(AgeSources::default().read_in(&host.around).expect("nothing is fine")), [""; 0]);
}

#[test]
fn b19_b20_targets_are_judged() {
    let host = Host::new();
    let more = "    auth: {ssh_key: /keys/id}\n    allow: {paths: [/srv, /etc, /var/lib, /keys]}\n";
    let settings = host.load(&with(more)).expect("loads");
    let judge = |target: &str| match settings.judge_target(&settings.repositories[0], target) {
        Ok(()) => "ok",
        Err(finding) => finding.code.name,
    };
    for target in ["/srv", "/srv/app", "/etc", "/etc/nginx", "/var/lib/app", "/keys/other"] {
        assert_eq!(judge(target), "ok", "{target}");
    }
    for target in ["/opt", "/srvx", "/var"] {
        let expected = if target == "/var" { "E_TARGET_FORBIDDEN" } else { "E_TARGET_NOT_ALLOWED" };
        assert_eq!(judge(target), expected, "{target}");
    }
    let forbidden = [
        "/var/lib/headfast",
        "/var/lib/headfast/kept",
        "/var/lib",
        "/etc/headfast",
        "/etc/headfast/x",
        "/keys",
        "/etc/systemd/system",
        "/etc/systemd/system/headfast.service.d",
    ];
    for target in forbidden {
        assert_eq!(judge(target), "E_TARGET_FORBIDDEN", "{target}");
    }
    assert_eq!(judge(&host.folder.path().to_string_lossy()), "E_TARGET_FORBIDDEN");
    let bare = host.load(&with("")).expect("loads");
    let finding = bare.judge_target(&bare.repositories[0], "/srv/app").expect_err("nothing is allowed");
    assert_eq!(finding.code, Code::TARGET_NOT_ALLOWED);
    assert!(finding.hint.is_some_and(|it| it.contains("allow.paths")));
    let narrow = host.load(&with("    allow: {paths: [/]}\n")).expect("loads");
    assert!(narrow.judge_target(&narrow.repositories[0], "/etc").is_err(), "/etc is listed by itself or not at all");
}

#[test]
fn x24_remote_layers_are_judged_by_the_beginning_of_their_addresses() {
    let host = Host::new();
    let digest = "0123456789abcdef".repeat(4);
    let judge = |allow: &str, url: &str| {
        let settings = host.load(&with(allow)).expect("loads");
        let layer = crate::manifest::RemoteLayer::parse(&format!("{url}#sha256={digest}")).expect("parses");
        settings.judge_remote(&settings.repositories[0], &layer).map_err(|it| (it.code, it.hint.unwrap_or_default()))
    };
    let allow = "    allow: {paths: [/srv/app], remotes: ['https://Conf.example.org:443/shared/']}\n";
    for path in ["app.yaml", "deep/app.yaml"] {
        assert_eq!(judge(allow, &format!("https://conf.example.org/shared/{path}")), Ok(()));
    }
    for url in [
        "https://conf.example.org/private/app.yaml",
        "https://conf.example.org/shared.yaml",
        "https://conf.example.org:8443/shared/app.yaml",
        "https://conf.example.org.evil.example/shared/app.yaml",
        "http://127.0.0.1/shared/app.yaml",
    ] {
        let (code, hint) = judge(allow, url).expect_err(url);
        assert_eq!(code, Code::REMOTE_NOT_ALLOWED);
        assert!(hint.contains(&format!("add {}/ to `allow.remotes`", url.rsplit_once('/').unwrap().0)), "{hint}");
    }
    for allow in ["", "    allow: {paths: [/srv/app]}\n"] {
        let (_, hint) = judge(allow, "https://conf.example.org/shared/app.yaml").expect_err("nothing is allowed");
        assert!(hint.contains("write `remotes: [https://conf.example.org/shared/]` under `allow`"), "{hint}");
    }
    for text in ["https://conf.example.org/shared", "conf.example.org/", "http://conf.example.org/", "https://h/?x/"] {
        let shown = host.refused(&with(&format!("    allow:\n      remotes: ['{text}']\n")));
        assert!(
            shown.contains("E_URL: `repositories.0.allow.remotes` holds no beginning of https addresses"),
            "{shown}"
        );
    }
}

mod schema;

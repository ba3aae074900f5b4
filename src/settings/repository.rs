//! One entry of `repositories`.

use super::age::AgeSources;
use super::file::read_steering;
use super::read::{Context, path};
use super::{
    Allow, Auth, DriftSettings, Existing, Post, Provider, Push, Repository, Rewind, RollbackSettings, StatusTarget,
    Verify, VerifyMode, Wanted,
};
use crate::document::decode::{self, Fields};
use crate::document::{Format, Limits, MergeKeys, Node, Value, parse};
use crate::finding::{Code, Finding, Findings};
use crate::manifest::{self, DriftMode, check_name, is_unit, load_targets};
use crate::place::Place;
use crate::revision::{ObjectId, RemoteUrl};
use crate::schedule::{Cron, Window, WindowKind, timezone};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often a remote is asked unless the file says so.
const POLL: Duration = Duration::from_secs(60);
/// When everything is compared unless the file says so.
const SCAN: &str = "*/10 * * * *";

/// Reads a repository; `None` when it lacks what the rest depends on. The place is its name's.
pub(super) fn load(node: &Node, what: &str, context: &Context, findings: &mut Findings) -> Option<(Repository, Place)> {
    let mut fields = Fields::new(node, what, findings)?;
    let name = name(&mut fields, "name", "a repository", findings);
    let url = url(&mut fields, findings);
    let wanted = wanted(&mut fields, findings);
    fields.unsupported("test_branch", findings);
    let environment = self::name(&mut fields, "environment", "an environment", findings);
    let (env_file, variables) = variables(&mut fields, context, findings);
    let credential = |it: &str| context.around.credential(name.as_ref().map_or("", |it| &it.0), it);
    let auth = match fields.take("auth") {
        Some(it) => auth(it, &fields.path("auth"), context, findings),
        None => Auth::default(),
    };
    let auth = Auth {
        ssh_key: auth.ssh_key.or_else(|| credential("ssh-key")),
        known_hosts: auth.known_hosts.or_else(|| credential("known-hosts")),
        token_file: auth.token_file.or_else(|| credential("git-token")),
        ca_file: auth.ca_file.or_else(|| credential("git-ca")),
        username: auth.username,
    };
    let poll = poll(&mut fields, findings);
    let rewinds = [("refuse", Rewind::Refuse), ("follow", Rewind::Follow)];
    let rewind = fields.optional_choice("rewind", &rewinds, findings).unwrap_or_default();
    let verify = fields.take("verify").map(|it| verify(it, &fields.path("verify"), context, findings));
    let allow = fields.take("allow").map(|it| allow(it, &fields.path("allow"), findings));
    let age = fields.take("age").and_then(|it| age(it, &fields.path("age"), context, findings));
    let age =
        AgeSources { identity: age.or_else(|| credential("age-key")), ..AgeSources::of_environment(context.around) };
    let existings = [("keep", Existing::Keep), ("refuse", Existing::Refuse)];
    let existing = fields.optional_choice("existing", &existings, findings).unwrap_or_default();
    let drift = drift(fields.take("drift"), &fields.path("drift"), findings);
    let windows = windows(&mut fields, findings);
    let rollback = rollback(fields.take("rollback"), &fields.path("rollback"), wanted.as_ref(), findings);
    let status = status(&mut fields, context, &credential, findings);
    let targets = targets(&mut fields, findings);
    fields.finish(findings);
    let (name, place) = name?;
    let repository = Repository {
        name,
        url: url?,
        wanted: wanted?,
        environment: environment?.0,
        variables,
        env_file,
        auth,
        poll,
        rewind,
        verify: verify.unwrap_or_default(),
        allow,
        age,
        existing,
        drift: drift?,
        windows,
        rollback,
        status,
        targets,
    };
    Some((repository, place))
}

fn name(fields: &mut Fields, key: &str, kind: &str, findings: &mut Findings) -> Option<(String, Place)> {
    let node = fields.required(key, findings)?;
    let name = decode::text(node, &fields.path(key), findings)?;
    check_name(name, kind, &node.place, findings);
    Some((name.to_owned(), node.place.clone()))
}

fn url(fields: &mut Fields, findings: &mut Findings) -> Option<RemoteUrl> {
    let node = fields.required("url", findings)?;
    let text = decode::text(node, &fields.path("url"), findings)?;
    RemoteUrl::parse(text).map_err(|finding| findings.push(finding.at(&node.place))).ok()
}

fn wanted(fields: &mut Fields, findings: &mut Findings) -> Option<Wanted> {
    let keys = ["branch", "tag", "commit"];
    let given: Vec<(&str, &Node)> = keys.into_iter().filter_map(|key| Some((key, fields.take(key)?))).collect();
    let (key, node) = match given[..] {
        [one] => one,
        [] => {
            fields.required("branch", findings);
            return None;
        }
        [_, (key, node), ..] => {
            let message = format!("`{}` cannot stand beside `{}`", fields.path(key), given[0].0);
            decode::wrong_value(node, message, findings);
            return None;
        }
    };
    let what = fields.path(key);
    let text = decode::text(node, &what, findings)?;
    let is_clean = !text.is_empty() && !text.chars().any(char::is_control) && !text.starts_with('-');
    let is_hex = matches!(text.len(), 40 | 64) && text.bytes().all(|it| it.is_ascii_hexdigit());
    let wanted = match key {
        "branch" if is_clean && is_branch(text) => Wanted::Branch(text.to_owned()),
        "tag" if is_clean => Wanted::Tag(text.to_owned()),
        "commit" if is_hex => Wanted::Commit(ObjectId::new(&text.to_ascii_lowercase())),
        "commit" => {
            decode::wrong_value(node, format!("`{what}` must be a whole commit id in hexadecimal"), findings);
            return None;
        }
        _ => {
            decode::wrong_value(node, format!("`{what}` is not the name of a {key}"), findings);
            return None;
        }
    };
    Some(wanted)
}

/// Follows `git check-ref-format --branch`.
fn is_branch(name: &str) -> bool {
    let is_good_step = |it: &str| !it.is_empty() && !it.starts_with('.') && !it.ends_with(".lock");
    !name.contains([' ', '~', '^', ':', '?', '*', '[', '\\'])
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !matches!(name, "@" | "HEAD")
        && !name.starts_with("refs/")
        && name.split('/').all(is_good_step)
}

/// Takes the variables; those of agent.yaml itself win over those of `env_file`.
fn variables(
    fields: &mut Fields,
    context: &Context,
    findings: &mut Findings,
) -> (Option<PathBuf>, BTreeMap<String, String>) {
    let own = manifest::variables(fields, findings);
    let Some(file) = path(fields, "env_file", context, findings) else { return (None, own) };
    let limits = Limits::default();
    let node = match read_steering(&file, limits.bytes, context.around) {
        Ok(bytes) => {
            let name = Arc::from(file.to_string_lossy());
            parse(Format::Env, &name, &bytes, &limits, MergeKeys::Refuse, findings)
        }
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    let entries = node.iter().filter_map(Node::as_map).flat_map(|it| it.iter());
    let mut variables: BTreeMap<String, String> =
        entries.filter_map(|it| Some((it.key.clone(), it.node.as_str()?.to_owned()))).collect();
    variables.extend(own);
    (Some(file), variables)
}

fn auth(node: &Node, what: &str, context: &Context, findings: &mut Findings) -> Auth {
    let Some(mut fields) = Fields::new(node, what, findings) else { return Auth::default() };
    let auth = Auth {
        ssh_key: path(&mut fields, "ssh_key", context, findings),
        known_hosts: path(&mut fields, "known_hosts", context, findings),
        token_file: path(&mut fields, "token_file", context, findings),
        username: fields.optional_string("username", findings),
        ca_file: path(&mut fields, "ca_file", context, findings),
    };
    fields.finish(findings);
    auth
}

fn poll(fields: &mut Fields, findings: &mut Findings) -> Option<Duration> {
    let node = fields.take("poll");
    let poll = fields.optional_duration("poll", findings).unwrap_or(POLL);
    if let Some(node) = node
        && !poll.is_zero()
        && poll < Duration::from_secs(1)
    {
        decode::wrong_value(node, format!("`{}` must be at least 1s, or 0 for never", fields.path("poll")), findings);
    }
    Some(poll).filter(|it| !it.is_zero())
}

fn verify(node: &Node, what: &str, context: &Context, findings: &mut Findings) -> Verify {
    let Some(mut fields) = Fields::new(node, what, findings) else { return Verify::default() };
    let modes = [("off", VerifyMode::Off), ("tip", VerifyMode::Tip), ("range", VerifyMode::Range)];
    let mode = fields.required("mode", findings);
    let mode = mode.and_then(|it| decode::choice(it, &fields.path("mode"), &modes, findings));
    let allowed_signers = path(&mut fields, "allowed_signers", context, findings);
    fields.unsupported("openpgp_keys", findings);
    if matches!(mode, Some(VerifyMode::Tip | VerifyMode::Range)) && allowed_signers.is_none() {
        fields.required("allowed_signers", findings);
    }
    fields.finish(findings);
    Verify { mode: mode.unwrap_or_default(), allowed_signers }
}

fn allow(node: &Node, what: &str, findings: &mut Findings) -> Allow {
    let Some(mut fields) = Fields::new(node, what, findings) else { return Allow::default() };
    let mut refuse = |what: String, problem: &str, text: &str, place: &Place, code: Code| {
        let message = format!("`{what}` {problem}: `{}`", text.escape_debug());
        findings.push(Finding::error(code, message).at(place));
    };
    let mut lists: [Vec<String>; 5] = Default::default();
    let (mut problems, mut bad_remotes) = (Findings::new(), Findings::new());
    for (list, key) in lists.iter_mut().zip(["paths", "units", "commands", "users", "remotes"]) {
        for (text, place) in fields.strings(key, &mut problems) {
            let steps = text.split('/').filter(|it| !matches!(*it, "" | "."));
            let path = format!("/{}", steps.clone().collect::<Vec<_>>().join("/"));
            let is_path =
                text.starts_with('/') && !text.chars().any(char::is_control) && steps.clone().all(|it| it != "..");
            match key {
                "paths" | "commands" if is_path => list.push(path),
                "paths" | "commands" => refuse(fields.path(key), "holds no absolute path", &text, &place, Code::PATH),
                "remotes" => match manifest::remote_prefix(&text) {
                    Some(prefix) => list.push(prefix),
                    // It may hold a secret, so it is not repeated.
                    None => {
                        let message = format!("`{}` holds no beginning of https addresses", fields.path(key));
                        let hint = "write as much of the address as all of them have, up to a `/`: https://HOST/PATH/";
                        bad_remotes.push(Finding::error(Code::URL, message).at(&place).hint(hint));
                    }
                },
                "units" if !is_unit(&text) => refuse(fields.path(key), "holds no unit name", &text, &place, Code::UNIT),
                _ if text.is_empty() => refuse(fields.path(key), "holds no name", &text, &place, Code::VALUE),
                _ => list.push(text),
            }
        }
    }
    fields.finish(&mut problems);
    findings.extend(problems);
    findings.extend(bad_remotes);
    let [paths, units, commands, users, remotes] = lists;
    Allow { paths, units, commands, users, remotes }
}

fn age(node: &Node, what: &str, context: &Context, findings: &mut Findings) -> Option<PathBuf> {
    let mut fields = Fields::new(node, what, findings)?;
    let identity = path(&mut fields, "identity", context, findings);
    if identity.is_none() {
        fields.required("identity", findings);
    }
    fields.finish(findings);
    identity
}

fn drift(node: Option<&Node>, what: &str, findings: &mut Findings) -> Option<DriftSettings> {
    const MODES: [(&str, DriftMode); 3] =
        [("off", DriftMode::Off), ("report", DriftMode::Report), ("heal", DriftMode::Heal)];
    let empty = Node::new(Value::Map(crate::document::Map::new()), Place::whole(""));
    let mut fields = Fields::new(node.unwrap_or(&empty), what, findings)?;
    let mode = fields.optional_choice("mode", &MODES, findings).unwrap_or(DriftMode::Report);
    fields.unsupported("watch", findings);
    let zone = zone(&mut fields, findings);
    let scan = fields.take("scan");
    let scan = match (scan, mode) {
        (Some(it), _) => decode::text(it, &fields.path("scan"), findings)
            .and_then(|text| Cron::parse(text, zone).map_err(|finding| findings.push(finding.at(&it.place))).ok()),
        (None, DriftMode::Off) => None,
        (None, _) => Cron::parse(SCAN, zone).ok(),
    };
    fields.finish(findings);
    Some(DriftSettings { mode, scan })
}

fn zone(fields: &mut Fields, findings: &mut Findings) -> crate::schedule::Tz {
    let node = fields.take("timezone");
    let zone = node.and_then(|it| {
        let name = decode::text(it, &fields.path("timezone"), findings)?;
        timezone(name).map_err(|finding| findings.push(finding.at(&it.place))).ok()
    });
    zone.unwrap_or(crate::schedule::UTC)
}

fn windows(fields: &mut Fields, findings: &mut Findings) -> Vec<Window> {
    let path = fields.path("windows");
    let nodes = fields.list("windows", findings).iter().enumerate();
    nodes.filter_map(|(idx, it)| window(it, &format!("{path}.{idx}"), findings)).collect()
}

fn window(node: &Node, what: &str, findings: &mut Findings) -> Option<Window> {
    let mut fields = Fields::new(node, what, findings)?;
    let kinds = [("allow", WindowKind::Allow), ("deny", WindowKind::Deny)];
    let given: Vec<_> = kinds.into_iter().filter_map(|(key, kind)| Some((key, kind, fields.take(key)?))).collect();
    let zone = zone(&mut fields, findings);
    let lasts = fields.required("for", findings).and_then(|it| {
        let lasts = decode::duration(it, &fields.path("for"), findings)?;
        if lasts.is_zero() {
            decode::wrong_value(it, format!("`{}` must be longer than nothing", fields.path("for")), findings);
        }
        Some(lasts)
    });
    let start = match given[..] {
        [(key, kind, it)] => decode::text(it, &fields.path(key), findings)
            .and_then(|text| Cron::parse(text, zone).map_err(|finding| findings.push(finding.at(&it.place))).ok())
            .map(|it| (kind, it)),
        _ => {
            let message = format!("`{what}` must have exactly one of `allow` and `deny`");
            findings.push(Finding::error(Code::SHAPE, message).at(&node.place));
            None
        }
    };
    fields.finish(findings);
    let (kind, start) = start?;
    Some(Window { kind, start, lasts: lasts? })
}

fn rollback(node: Option<&Node>, what: &str, wanted: Option<&Wanted>, findings: &mut Findings) -> RollbackSettings {
    // Tags and commits have no branch to push to.
    let has_branch = matches!(wanted, None | Some(Wanted::Branch(_)));
    let push = if has_branch { Push::Branch } else { Push::Off };
    let mut rollback = RollbackSettings { automatic: true, push, max_commits: 20 };
    let Some(mut fields) = node.and_then(|it| Fields::new(it, what, findings)) else { return rollback };
    rollback.automatic = fields.optional_bool("automatic", findings).unwrap_or(true);
    if let Some(node) = fields.take("push") {
        let pushes = [("direct", Push::Direct), ("branch", Push::Branch), ("off", Push::Off)];
        match decode::choice(node, &fields.path("push"), &pushes, findings) {
            Some(Push::Direct | Push::Branch) if !has_branch => {
                let message =
                    format!("`{}` must be `off`: a tag or commit has no branch to push to", fields.path("push"));
                decode::wrong_value(node, message, findings);
            }
            Some(push) => rollback.push = push,
            None => {}
        }
    }
    let max_commits = fields.optional_number("max_commits", 1..=100_000, findings);
    rollback.max_commits = max_commits.and_then(|it| u32::try_from(it).ok()).unwrap_or(20);
    if let Some(node) = fields.take("sign")
        && decode::boolean(node, &fields.path("sign"), findings) == Some(true)
    {
        let message = format!("`{}: true` is not supported by this version of headfast", fields.path("sign"));
        findings.push(Finding::error(Code::UNSUPPORTED, message).at(&node.place).hint("use `false`"));
    }
    fields.finish(findings);
    rollback
}

fn status(
    fields: &mut Fields,
    context: &Context,
    credential: &dyn Fn(&str) -> Option<PathBuf>,
    findings: &mut Findings,
) -> Vec<StatusTarget> {
    let path = fields.path("status");
    let nodes = fields.list("status", findings).iter().enumerate();
    nodes.filter_map(|(idx, it)| status_target(it, &format!("{path}.{idx}"), context, credential, findings)).collect()
}

fn status_target(
    node: &Node,
    what: &str,
    context: &Context,
    credential: &dyn Fn(&str) -> Option<PathBuf>,
    findings: &mut Findings,
) -> Option<StatusTarget> {
    const PROVIDERS: [(&str, Option<Provider>); 7] = [
        ("github", Some(Provider::Github)),
        ("notes", Some(Provider::Notes)),
        ("gitlab", None),
        ("gitea", None),
        ("forgejo", None),
        ("bitbucket", None),
        ("azure", None),
    ];
    let mut fields = Fields::new(node, what, findings)?;
    let provider = fields.required("provider", findings).and_then(|it| {
        let provider = decode::choice(it, &fields.path("provider"), &PROVIDERS, findings)?;
        if provider.is_none() {
            let message = format!("`{}` is not supported by this version of headfast", fields.path("provider"));
            let hint = "use `github` or `notes`";
            findings.push(Finding::error(Code::UNSUPPORTED, message).at(&it.place).hint(hint));
        }
        provider
    });
    let post = fields.optional_choice("post", &[("all", Post::All), ("problems", Post::Problems)], findings);
    let (mut token_file, mut api_url) = (None, None);
    if provider != Some(Provider::Notes) {
        token_file = path(&mut fields, "token_file", context, findings).or_else(|| credential("forge-token"));
        api_url = fields.take("api_url").and_then(|it| self::api_url(it, &fields.path("api_url"), findings));
    }
    if provider == Some(Provider::Github) && token_file.is_none() {
        fields.required("token_file", findings);
    }
    fields.finish(findings);
    Some(StatusTarget { provider: provider?, token_file, post: post.unwrap_or(Post::All), api_url })
}

fn api_url(node: &Node, what: &str, findings: &mut Findings) -> Option<String> {
    let text = decode::text(node, what, findings)?.trim_end_matches('/');
    // The rules for remotes fit, except that an API may be a host without a path.
    match RemoteUrl::parse(&format!("{text}/x")) {
        Ok(RemoteUrl::Https(_)) => Some(text.to_owned()),
        Err(finding) if finding.code == Code::URL_SECRET => {
            findings.push(finding.at(&node.place));
            None
        }
        _ => {
            let message = format!("`{what}` must be an https:// URL, or an http:// one of this very host");
            findings.push(Finding::error(Code::URL, message).at(&node.place));
            None
        }
    }
}

fn targets(fields: &mut Fields, findings: &mut Findings) -> Option<Node> {
    let node = fields.take("targets")?;
    load_targets(node, findings);
    let is_empty = node.as_list().is_some_and(<[Node]>::is_empty) || node.as_map().is_some_and(|it| it.is_empty());
    (!is_empty).then(|| node.clone())
}

//! A target's `check`, `reload` and `probe`.

use super::paths::globs;
use super::{Check, Probe, ProbeKind, Reload, ReloadAction};
use crate::document::Node;
use crate::document::decode::{self, Fields};
use crate::finding::{Code, Finding, Findings};
use std::time::Duration;

/// How long a check or reload may take unless it says so itself.
const WITHIN: Duration = Duration::from_secs(60);
/// How long a probe is tried unless it says so itself.
const PROBE_WITHIN: Duration = Duration::from_secs(30);
/// After how long a probe must hold a second time.
const SETTLE: Duration = Duration::from_secs(1);
/// The systemctl verbs of a reload, the default first.
const VERBS: [&str; 6] = ["reload-or-restart", "reload", "restart", "try-restart", "try-reload-or-restart", "start"];

/// Takes the list `check`.
pub(super) fn checks(fields: &mut Fields, findings: &mut Findings) -> Vec<Check> {
    each(fields, "check", findings, |node, fields, findings| {
        let command = fields.required("command", findings);
        let command = command.and_then(|it| self::command(it, &fields.path("command"), &["staged"], findings));
        let when = globs(fields.strings("when", findings), &fields.path("when"), findings);
        let within = within(fields, WITHIN, findings);
        Some(Check { command: command?, when, within, place: node.place.clone() })
    })
}

/// Takes the list `reload`.
pub(super) fn reloads(fields: &mut Fields, findings: &mut Findings) -> Vec<Reload> {
    each(fields, "reload", findings, |node, fields, findings| {
        let when = globs(fields.strings("when", findings), &fields.path("when"), findings);
        let within = within(fields, WITHIN, findings);
        let action = match one_of(node, fields, &["unit", "command"], findings)? {
            ("unit", value) => {
                let unit = unit(value, &fields.path("unit"), findings).filter(|it| !is_protected(it, value, findings));
                let verbs = VERBS.map(|it| (it, it));
                let verb = fields.optional_choice("action", &verbs, findings).unwrap_or(VERBS[0]).to_owned();
                unit.map(|unit| ReloadAction::Unit { unit, verb })
            }
            (_, value) => command(value, &fields.path("command"), &[], findings).map(ReloadAction::Command),
        };
        Some(Reload { action: action?, when, within, place: node.place.clone() })
    })
}

/// Takes the list `probe`.
pub(super) fn probes(fields: &mut Fields, findings: &mut Findings) -> Vec<Probe> {
    each(fields, "probe", findings, |node, fields, findings| {
        let within = within(fields, PROBE_WITHIN, findings);
        let settle = fields.optional_duration("settle", findings).unwrap_or(SETTLE);
        let (key, value) = one_of(node, fields, &["http", "tcp", "command", "unit"], findings)?;
        let what = fields.path(key);
        let kind = match key {
            "http" => {
                let expect = fields.optional_number("expect", 100..=599, findings).unwrap_or(200);
                let expect = u16::try_from(expect).unwrap_or(200);
                http(value, &what, findings).map(|url| ProbeKind::Http { url, expect })
            }
            "tcp" => tcp(value, &what, findings).map(ProbeKind::Tcp),
            "command" => command(value, &what, &[], findings).map(ProbeKind::Command),
            _ => unit(value, &what, findings).map(ProbeKind::Unit),
        };
        Some(Probe { kind: kind?, within, settle, place: node.place.clone() })
    })
}

/// Reads each element of a list of maps.
fn each<'a, T>(
    fields: &mut Fields<'a>,
    key: &str,
    findings: &mut Findings,
    read: impl Fn(&'a Node, &mut Fields<'a>, &mut Findings) -> Option<T>,
) -> Vec<T> {
    let path = fields.path(key);
    let mut items = Vec::new();
    for (idx, node) in fields.list(key, findings).iter().enumerate() {
        if let Some(mut fields) = Fields::new(node, &format!("{path}.{idx}"), findings) {
            let n_findings = findings.iter().len();
            let item = read(node, &mut fields, findings);
            // What an entry is not is no reason to call its other keys unknown.
            if item.is_some() || findings.iter().len() == n_findings {
                fields.finish(findings);
            }
            items.extend(item);
        }
    }
    items
}

/// Returns the one key among `keys` that an entry has, with its value.
fn one_of<'a, 'k>(
    node: &Node,
    fields: &mut Fields<'a>,
    keys: &[&'k str],
    findings: &mut Findings,
) -> Option<(&'k str, &'a Node)> {
    let found: Vec<_> = keys.iter().filter_map(|key| Some((*key, fields.take(key)?))).collect();
    if let [one] = found[..] {
        return Some(one);
    }
    let names: Vec<String> = keys.iter().map(|it| format!("`{it}`")).collect();
    let message = format!("exactly one of {} must be given", names.join(", "));
    findings.push(Finding::error(Code::SHAPE, message).at(&node.place));
    None
}

fn within(fields: &mut Fields, default: Duration, findings: &mut Findings) -> Duration {
    fields.optional_duration("within", findings).unwrap_or(default)
}

/// Reads a program and its arguments, in which `{{ name }}` may stand for `names`.
fn command(node: &Node, what: &str, names: &[&str], findings: &mut Findings) -> Option<Vec<String>> {
    let nodes = decode::list(node, what, findings)?;
    let words: Vec<&str> = nodes.iter().map(|it| decode::text(it, what, findings)).collect::<Option<_>>()?;
    match words.first() {
        Some(program) if program.starts_with('/') => {}
        _ => {
            let message = format!("`{what}` must start with the absolute path of a program");
            decode::wrong_value(node, message, findings);
            return None;
        }
    }
    for (word, node) in words.iter().zip(nodes) {
        if word.contains('\0') {
            decode::wrong_value(node, format!("`{what}` holds a NUL"), findings);
            return None;
        }
        for piece in word.split("{{").skip(1) {
            let name = piece.split_once("}}").map_or("", |(name, _)| name.trim());
            if !names.contains(&name) {
                let message = format!("`{what}` uses `{}`, which does not exist here", name.escape_debug());
                findings.push(Finding::error(Code::UNDEFINED, message).at(&node.place));
                return None;
            }
        }
    }
    Some(words.into_iter().map(str::to_owned).collect())
}

fn unit(node: &Node, what: &str, findings: &mut Findings) -> Option<String> {
    let text = decode::text(node, what, findings)?;
    if is_unit(text) {
        return Some(text.to_owned());
    }
    let message = format!("`{what}` is not a unit name: `{}`", text.escape_debug());
    findings.push(Finding::error(Code::UNIT, message).at(&node.place).hint("write it like nginx.service"));
    None
}

/// Returns whether a text is the full name of a systemd unit.
pub fn is_unit(text: &str) -> bool {
    const TYPES: [&str; 11] =
        ["service", "socket", "timer", "target", "path", "mount", "automount", "swap", "slice", "scope", "device"];
    let Some((stem, suffix)) = text.rsplit_once('.') else { return false };
    TYPES.contains(&suffix)
        && text.len() <= 255
        && !stem.starts_with(['-', '.', '@'])
        && !stem.is_empty()
        && !stem.ends_with('@')
        && stem.chars().all(|it| it.is_ascii_alphanumeric() || ":_.\\@-".contains(it))
}

/// Units that other programs are asked through, or that end or isolate the whole host.
const PROTECTED: [&str; 20] = [
    "dbus.service",
    "dbus.socket",
    "dbus-broker.service",
    "init.scope",
    "ctrl-alt-del.target",
    "default.target",
    "emergency.service",
    "emergency.target",
    "exit.target",
    "final.target",
    "halt.target",
    "kexec.target",
    "poweroff.target",
    "reboot.target",
    "rescue.service",
    "rescue.target",
    "runlevel0.target",
    "runlevel6.target",
    "shutdown.target",
    "soft-reboot.target",
];

/// The services of systemd that do no more than to bring a configuration into effect, which is what one deploys.
const CONFIGURABLE: [&str; 11] = [
    "systemd-binfmt.service",
    "systemd-journal-remote.service",
    "systemd-journal-upload.service",
    "systemd-modules-load.service",
    "systemd-networkd.service",
    "systemd-oomd.service",
    "systemd-resolved.service",
    "systemd-sysctl.service",
    "systemd-sysusers.service",
    "systemd-timesyncd.service",
    "systemd-tmpfiles-setup.service",
];

/// Returns whether a unit is one that no repository may restart: headfast's own, in whose middle of a deployment it would
/// be ended; those through which systemd is asked; and those that end the host.
pub fn is_protected_unit(unit: &str) -> bool {
    let is_ours = unit.starts_with("headfast.") || unit.starts_with("headfast-") || unit.starts_with("headfast@");
    let is_systemd = unit.starts_with("systemd-") && !unit.starts_with("systemd-nspawn@");
    is_ours || PROTECTED.contains(&unit) || (is_systemd && !CONFIGURABLE.contains(&unit))
}

fn is_protected(unit: &str, node: &Node, findings: &mut Findings) -> bool {
    let is_protected = is_protected_unit(unit);
    if is_protected {
        let message = format!("the unit {unit:?} is one that headfast itself needs, or that would stop the host");
        let hint = "no repository may restart it; do it by hand, or let a timer of your own do it";
        findings.push(Finding::error(Code::UNIT_SELF, message).at(&node.place).hint(hint));
    }
    is_protected
}

fn http(node: &Node, what: &str, findings: &mut Findings) -> Option<String> {
    let text = decode::text(node, what, findings)?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.map(|it| it.split(['/', '?', '#']).next().unwrap_or(""));
    let is_clean = text.chars().all(|it| it.is_ascii_graphic());
    match host {
        Some(host) if is_clean && !host.is_empty() && !host.starts_with(':') && !host.contains('@') => {
            Some(text.to_owned())
        }
        _ => {
            let message = format!("`{what}` must be an http:// or https:// URL without a user name");
            decode::wrong_value(node, message, findings);
            None
        }
    }
}

fn tcp(node: &Node, what: &str, findings: &mut Findings) -> Option<String> {
    let text = decode::text(node, what, findings)?;
    let is_address = text.rsplit_once(':').is_some_and(|(host, port)| {
        let host_is_good =
            !host.is_empty() && host.chars().all(|it| it.is_ascii_alphanumeric() || ".-[]:".contains(it));
        host_is_good && (host.starts_with('[') || !host.contains(':')) && port.parse::<u16>().is_ok_and(|it| it != 0)
    });
    if !is_address {
        decode::wrong_value(node, format!("`{what}` must be written like 127.0.0.1:8080 or [::1]:8080"), findings);
        return None;
    }
    Some(text.to_owned())
}

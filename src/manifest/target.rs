//! One target of a manifest.

use super::load::{located, text};
use super::paths::{bad_glob, check_name, globs, host_glob, root, target_path, template};
use super::{DriftMode, Located, Output, OutputKind, Override, Prune, Publish, Selector, Target, actions};
use crate::document::decode::{self, Fields};
use crate::document::{Format, Node, Value};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;

/// The formats of `write` by name.
const FORMATS: [(&str, Format); 5] = [
    ("yaml", Format::Yaml),
    ("json", Format::Json),
    ("toml", Format::Toml),
    ("env", Format::Env),
    ("ini", Format::Ini),
];

/// Reads a target of a map of targets.
pub(super) fn load(name: &str, place: &Place, node: &Node, what: &str, findings: &mut Findings) -> Option<Target> {
    read(Fields::new(node, what, findings)?, name.to_owned(), place, findings)
}

/// Reads a target of a list of targets, which says its own name.
pub(super) fn load_named(node: &Node, what: &str, findings: &mut Findings) -> Option<Target> {
    let mut fields = Fields::new(node, what, findings)?;
    let name = fields.required("name", findings);
    let name = name.and_then(|it| text(it, &fields.path("name"), findings));
    if let Some(name) = &name {
        check_name(&name.value, "a target", &name.place, findings);
    }
    let target = read(fields, name.as_ref().map(|it| it.value.clone()).unwrap_or_default(), &node.place, findings);
    target.filter(|_| name.is_some())
}

fn read(mut fields: Fields, name: String, place: &Place, findings: &mut Findings) -> Option<Target> {
    let path = fields.required("path", findings);
    let path = path.and_then(|it| root(it, &fields.path("path"), findings));
    let on = fields.take("on").and_then(|it| selector(it, &fields.path("on"), findings)).unwrap_or_default();
    let environments = fields.take("environments").map(|it| {
        let nodes = decode::list(it, &fields.path("environments"), findings).unwrap_or_default();
        nodes.iter().filter_map(|it| text(it, &fields.path("environments"), findings)).collect()
    });
    let files = files(&mut fields, findings);
    let owner = account(&mut fields, "owner", findings);
    let group = account(&mut fields, "group", findings);
    let mode = mode(&mut fields, findings);
    let overrides = overrides(&mut fields, findings);
    let publish = publish(&mut fields, path.as_ref(), findings);
    let prune = prune(&mut fields, path.as_ref(), findings);
    let ignore = globs(fields.strings("ignore", findings), &fields.path("ignore"), findings);
    let target = Target {
        name,
        path: path.clone().unwrap_or(Located { value: String::new(), place: place.clone() }),
        on,
        environments,
        files,
        owner,
        group,
        mode,
        overrides,
        publish,
        prune,
        ignore,
        check: actions::checks(&mut fields, findings),
        reload: actions::reloads(&mut fields, findings),
        probe: actions::probes(&mut fields, findings),
        after: located(fields.strings("after", findings)),
        drift: fields.optional_choice(
            "drift",
            &[("off", DriftMode::Off), ("report", DriftMode::Report), ("heal", DriftMode::Heal)],
            findings,
        ),
        place: place.clone(),
    };
    fields.finish(findings);
    // A target without a usable path still has a name that others refer to; the error is in `findings`.
    Some(target)
}

fn selector(node: &Node, what: &str, findings: &mut Findings) -> Option<Selector> {
    let mut fields = Fields::new(node, what, findings)?;
    let host = fields.take("host").and_then(|it| {
        let glob = text(it, &fields.path("host"), findings)?;
        if glob.value.is_empty() {
            decode::wrong_value(it, format!("`{}` is empty; write `*` for every host", fields.path("host")), findings);
        }
        if let Err(error) = host_glob(&glob.value) {
            findings.push(bad_glob(&fields.path("host"), &error).at(&glob.place));
        }
        Some(glob)
    });
    let labels = fields.string_map("labels", findings);
    fields.finish(findings);
    Some(Selector { host, labels })
}

fn files(fields: &mut Fields, findings: &mut Findings) -> Vec<Output> {
    let path = fields.path("files");
    let nodes = fields.required("files", findings).and_then(|it| decode::list(it, &path, findings));
    let nodes = nodes.unwrap_or_default().iter().enumerate();
    nodes.filter_map(|(idx, it)| output(it, &format!("{path}.{idx}"), findings)).collect()
}

fn output(node: &Node, what: &str, findings: &mut Findings) -> Option<Output> {
    let mut fields = Fields::new(node, what, findings)?;
    let kinds: Vec<&str> = ["copy", "template", "write"].into_iter().filter(|it| fields.take(it).is_some()).collect();
    let [kind] = kinds[..] else {
        let message = format!("`{what}` must have exactly one of `copy`, `template` and `write`");
        findings.push(Finding::error(Code::SHAPE, message).at(&node.place));
        return None;
    };
    let kind = match kind {
        "copy" => source(&mut fields, "copy", findings).map(|source| OutputKind::Copy { source }),
        "template" => {
            let configuration = name(&mut fields, "configuration", findings);
            source(&mut fields, "template", findings).map(|source| OutputKind::Template { source, configuration })
        }
        _ => write(&mut fields, findings),
    };
    // `write` names its file in full.
    let to = match kind {
        Some(OutputKind::Write { .. }) => None,
        _ => fields.take("to").and_then(|it| destination(it, &fields.path("to"), findings)),
    };
    fields.finish(findings);
    Some(Output { kind: kind?, to: to.filter(|it| !it.value.is_empty()), place: node.place.clone() })
}

/// Reads where a source goes. A final `/` is kept: it says that a single file goes into a folder of that name.
fn destination(node: &Node, what: &str, findings: &mut Findings) -> Option<Located<String>> {
    let mut path = target_path(node, what, findings)?;
    if !path.value.is_empty() && node.as_str().is_some_and(|it| it.ends_with('/')) {
        path.value.push('/');
    }
    Some(path)
}

fn source(fields: &mut Fields, key: &str, findings: &mut Findings) -> Option<Located<super::PathTemplate>> {
    let node = fields.take(key)?;
    Some(Located { value: template(node, &fields.path(key), findings)?, place: node.place.clone() })
}

fn name(fields: &mut Fields, key: &str, findings: &mut Findings) -> Option<Located<String>> {
    fields.take(key).and_then(|it| text(it, &fields.path(key), findings))
}

fn write(fields: &mut Fields, findings: &mut Findings) -> Option<OutputKind> {
    let configuration = fields.required("configuration", findings);
    let configuration = configuration.and_then(|it| text(it, &fields.path("configuration"), findings));
    let select = name(fields, "select", findings);
    let format = fields.optional_choice("format", &FORMATS, findings);
    let has_format_key = fields.take("format").is_some();
    let file = fields.take("write").and_then(|it| target_path(it, &fields.path("write"), findings))?;
    if file.value.is_empty() {
        let message = format!("`{}` must name a file", fields.path("write"));
        findings.push(Finding::error(Code::PATH, message).at(&file.place));
        return None;
    }
    let format = format.or_else(|| Format::of_path(&file.value));
    if format.is_none() && !has_format_key {
        let message = format!("the extension of `{}` does not tell its format", file.value);
        let hint = "add `format:` with one of yaml, json, toml, env, ini";
        findings.push(Finding::error(Code::VALUE, message).at(&file.place).hint(hint));
    }
    Some(OutputKind::Write { file, configuration: configuration?, select, format: format? })
}

/// Takes a user or group, by name or by number in quotes.
fn account(fields: &mut Fields, key: &str, findings: &mut Findings) -> Option<Located<String>> {
    let account = name(fields, key, findings)?;
    let text = account.value.as_str();
    let is_number = text.parse::<u32>().is_ok_and(|it| it != u32::MAX) && text.bytes().all(|it| it.is_ascii_digit());
    let is_name = text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
        && text.strip_suffix('$').unwrap_or(text).chars().all(|it| it.is_ascii_alphanumeric() || "_.@-".contains(it));
    if !is_number && !is_name {
        let message = format!("`{}` cannot be `{}`", fields.path(key), text.escape_debug());
        let finding = Finding::error(Code::VALUE, message).at(&account.place);
        findings.push(finding.hint("write the name of an account, or its number in quotes"));
        return None;
    }
    Some(account)
}

/// Takes permission bits, written as a quoted octal number.
fn mode(fields: &mut Fields, findings: &mut Findings) -> Option<u32> {
    let node = fields.take("mode")?;
    let what = fields.path("mode");
    let Value::String(text) = &node.value else {
        let message = format!("`{what}` must be an octal number in quotes, found {}", node.type_name());
        findings.push(Finding::error(Code::MODE_TYPE, message).at(&node.place).hint("write it like \"0640\""));
        return None;
    };
    let is_octal = matches!(text.len(), 3 | 4) && text.bytes().all(|it| (b'0'..=b'7').contains(&it));
    let Some(bits) = u32::from_str_radix(text, 8).ok().filter(|_| is_octal) else {
        let message = format!("`{what}` is not an octal file mode: `{}`", text.escape_debug());
        findings.push(Finding::error(Code::MODE_TYPE, message).at(&node.place).hint("write it like \"0640\""));
        return None;
    };
    if bits > 0o777 {
        decode::wrong_value(node, format!("`{what}` must not set the setuid, setgid or sticky bit"), findings);
        return None;
    }
    Some(bits)
}

fn overrides(fields: &mut Fields, findings: &mut Findings) -> Vec<Override> {
    let path = fields.path("overrides");
    let mut overrides = Vec::new();
    for (idx, node) in fields.list("overrides", findings).iter().enumerate() {
        let Some(mut fields) = Fields::new(node, &format!("{path}.{idx}"), findings) else { continue };
        let pattern = fields.required("match", findings);
        let pattern = pattern.and_then(|it| text(it, &fields.path("match"), findings));
        let pattern = pattern.map(|it| globs(vec![(it.value, it.place)], &fields.path("match"), findings));
        let owner = account(&mut fields, "owner", findings);
        let group = account(&mut fields, "group", findings);
        let mode = mode(&mut fields, findings);
        fields.unsupported("drift", findings);
        fields.finish(findings);
        overrides.extend(pattern.into_iter().flatten().map(|matches| Override {
            matches,
            owner: owner.clone(),
            group: group.clone(),
            mode,
        }));
    }
    overrides
}

fn publish(fields: &mut Fields, path: Option<&Located<String>>, findings: &mut Findings) -> Publish {
    let choices = [("in-place", Publish::InPlace), ("generations", Publish::Generations)];
    let node = fields.take("publish");
    let publish = fields.optional_choice("publish", &choices, findings).unwrap_or(Publish::InPlace);
    if let (Publish::Generations, true, Some(node)) = (publish, is_etc(path), node) {
        findings.push(never_on_etc(&format!("{}: generations", fields.path("publish")), "in-place", node));
    }
    publish
}

fn prune(fields: &mut Fields, path: Option<&Located<String>>, findings: &mut Findings) -> Prune {
    let choices = [("owned", Prune::Owned), ("all", Prune::All), ("never", Prune::Never)];
    let node = fields.take("prune");
    let prune = fields.optional_choice("prune", &choices, findings).unwrap_or(Prune::Owned);
    if let (Prune::All, true, Some(node)) = (prune, is_etc(path), node) {
        findings.push(never_on_etc(&format!("{}: all", fields.path("prune")), "owned", node));
    }
    prune
}

fn is_etc(path: Option<&Located<String>>) -> bool {
    path.is_some_and(|it| it.value == "/etc")
}

fn never_on_etc(what: &str, instead: &str, node: &Node) -> Finding {
    let message = format!("`{what}` is never allowed on /etc itself");
    Finding::error(Code::TARGET_FORBIDDEN, message).at(&node.place).hint(format!("use `{instead}`"))
}

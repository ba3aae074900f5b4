//! `get`: one value of a configuration of a checkout.

use super::exit::{Exit, Failure};
use super::scene::{PlaceArgs, key};
use super::ui::Ui;
use super::words::escaped_lines;
use crate::config::{Configuration, REDACTED, redacted};
use crate::document::{Format, KeyPath, Node, Value, emit};
use crate::finding::{Code, Finding, Findings, nearest};
use crate::wire;

/// Print a value of a configuration, as a host would see it
///
/// A value without parts is printed bare, a map or list as YAML. Values that were decrypted are redacted. A configuration
/// that does not fit its schema, or cannot be read, is an error.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The key, as in `server.port`, `users.0.name` or `"a.b".c`; the whole configuration by default
    #[arg(value_name = "KEY", default_value = "")]
    key: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// The format of a map or list
    #[arg(long, value_name = "FORMAT", default_value = "yaml", value_parser = format)]
    format: Format,
    /// Print this when there is no such key
    #[arg(long, value_name = "TEXT", conflicts_with = "json")]
    default: Option<String>,
    /// Print decrypted values as well
    #[arg(long)]
    reveal: bool,
    /// Print JSON; a key that does not exist is null then
    #[arg(long)]
    json: bool,
}

pub(super) fn format(text: &str) -> Result<Format, String> {
    match text {
        "yaml" => Ok(Format::Yaml),
        "json" => Ok(Format::Json),
        "toml" => Ok(Format::Toml),
        "env" => Ok(Format::Env),
        "ini" => Ok(Format::Ini),
        _ => Err("it must be yaml, json, toml, env or ini".into()),
    }
}

/// Prints the value.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let key = key(&args.key)?;
    let place = args.place.open()?;
    let mut findings = Findings::new();
    let configuration = place.load(place.checkout.tree(), &mut findings);
    ui.findings(&findings);
    let Some(configuration) = configuration.filter(|_| !findings.has_errors()) else { return Ok(Exit::of(&findings)) };
    let found = configuration.merged.at(key.steps());
    if args.json {
        let json = |it: &Node| if args.reveal { it.to_json() } else { redacted(it) };
        ui.json(&wire::ConfigurationValue {
            version: wire::VERSION,
            configuration: configuration.name.clone(),
            environment: configuration.environment.clone(),
            key: key.to_string(),
            found: found.is_some(),
            value: found.map(json).unwrap_or_default(),
        })?;
        return Ok(Exit::Done);
    }
    match (found, &args.default) {
        (Some(node), _) => print(args, &shown(node, args.reveal), ui)?,
        (None, Some(text)) => ui.print(escaped_lines(text))?,
        (None, None) => return Err(missing(&configuration, &key)),
    }
    Ok(Exit::Done)
}

fn print(args: &Args, node: &Node, ui: &Ui) -> Result<(), Failure> {
    let text = match &node.value {
        Value::String(text) => format!("{text}\n"),
        Value::List(_) | Value::Map(_) => emit(node, args.format).map_err(Failure::new)?,
        value => format!("{}\n", Node::new(value.clone(), node.place.clone()).to_json()),
    };
    match ui.is_terminal() {
        true => ui.print(escaped_lines(text.trim_end_matches('\n'))),
        false => ui.write(text.as_bytes()),
    }
}

/// Returns a value as it may be seen.
fn shown(node: &Node, reveal: bool) -> Node {
    let mut node = node.clone();
    if !reveal {
        redact(&mut node);
    }
    node
}

fn redact(node: &mut Node) {
    match &mut node.value {
        value if node.secret => *value = Value::String(REDACTED.to_owned()),
        Value::List(items) => items.iter_mut().for_each(redact),
        Value::Map(map) => map.iter_mut().for_each(|it| redact(&mut it.node)),
        _ => {}
    }
}

/// Returns the failure for a key that does not exist, with the nearest one that does.
fn missing(configuration: &Configuration, key: &KeyPath) -> Failure {
    let message = format!("`{}` has no value `{key}`", configuration.name);
    let steps = key.steps();
    let parents = (0..steps.len()).rev();
    let deepest = parents.filter_map(|it| Some((it, configuration.merged.at(&steps[..it])?.as_map()?))).next();
    let near = deepest.and_then(|(depth, map)| {
        let near = nearest(&steps[depth], map.iter().map(|it| it.key.as_str()))?;
        Some([&steps[..depth], &[near.to_owned()]].concat())
    });
    let finding = Finding::error(Code::NOT_FOUND, message);
    Failure::new(match near {
        Some(near) => finding.hint(format!("did you mean `{}`?", near.join("."))),
        None => finding,
    })
}

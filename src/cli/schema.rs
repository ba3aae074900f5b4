//! `schema`: documents from schemas, schemas from documents, and the one held against the other.

use super::exit::{Exit, Failure};
use super::formats;
use super::ui::Ui;
use super::words::{count, list};
use crate::config::{BUILTIN, ConfigSchema, InferOptions, Ready, infer};
use crate::document::{self, Format, Limits, MergeKeys, Node};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use crate::secrets;
use crate::wire;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The schema of headfast.yaml.
pub(super) const MANIFEST: &str = include_str!("../../docs/schema/headfast.schema.json");
/// The schema of agent.yaml.
pub(super) const SETTINGS: &str = include_str!("../../docs/schema/agent.schema.json");

/// Make documents from schemas and schemas from documents, and hold the one against the other
#[derive(clap::Subcommand, Debug)]
pub enum Verb {
    Template(TemplateArgs),
    Infer(InferArgs),
    Check(CheckArgs),
    Show(ShowArgs),
}

/// Print a commented document to begin with
///
/// Each key has its description, limits and options as a comment; optional keys without a default are commented out. Values
/// that only you know are marked `CHANGE ME`.
#[derive(clap::Args, Debug)]
pub struct TemplateArgs {
    /// The schema's file, or `builtin:` with logging, database, service or model
    #[arg(value_name = "SCHEMA")]
    schema: String,
    /// The format; only YAML has comments
    #[arg(long, value_name = "FORMAT", default_value = "yaml", value_parser = super::get::format)]
    format: Format,
}

/// Print a JSON Schema that all given documents fit
///
/// It has types, required keys, and formats of texts. No value of the documents is in it, unless `--enums` is given.
#[derive(clap::Args, Debug)]
pub struct InferArgs {
    /// The documents: YAML, JSON, TOML, INI or dotenv
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Make texts that have few different values an `enum`
    #[arg(long)]
    enums: bool,
    /// Refuse keys that none of the documents has
    #[arg(long)]
    closed: bool,
}

/// Hold documents against a schema
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// The schema's file, or `builtin:` with logging, database, service or model
    #[arg(value_name = "SCHEMA")]
    schema: String,
    /// The documents: YAML, JSON, TOML, INI or dotenv
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Output::Human)]
    format: Output,
    /// Print JSON; the same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// Print a ready schema, or the one of headfast.yaml or agent.yaml
///
/// `manifest` and `agent` are for editors and for checks elsewhere; `headfast init` writes them into `.editor`. headfast
/// itself checks more than a schema can say.
#[derive(clap::Args, Debug)]
pub struct ShowArgs {
    /// logging, database, service or model; manifest for headfast.yaml, agent for agent.yaml
    #[arg(value_name = "NAME")]
    name: String,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people, on stderr
    Human,
    /// The documented shape
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Workflow commands, for annotations in a pull request on GitHub
    Github,
}

/// Does what was asked for.
pub fn run(verb: &Verb, ui: &Ui) -> Result<Exit, Failure> {
    match verb {
        Verb::Template(args) => template(args, ui),
        Verb::Infer(args) => inferred(args, ui),
        Verb::Check(args) => check(args, ui),
        Verb::Show(args) => show(args, ui),
    }
}

fn template(args: &TemplateArgs, ui: &Ui) -> Result<Exit, Failure> {
    let mut findings = Findings::new();
    let schema = schema(&args.schema, &mut findings)?;
    ui.findings(&findings);
    let Some(schema) = schema else { return Ok(Exit::of(&findings)) };
    let template = schema.template(args.format).map_err(Failure::new)?;
    ui.write(template.text.as_bytes())?;
    if !template.unfilled.is_empty() {
        let names: Vec<&str> = template.unfilled.iter().map(String::as_str).collect();
        ui.note(&format!("only you know {}: as it stands, the document does not fit", list(&names)));
    }
    Ok(Exit::Done)
}

fn inferred(args: &InferArgs, ui: &Ui) -> Result<Exit, Failure> {
    let mut findings = Findings::new();
    let mut documents = Vec::new();
    for file in &args.files {
        documents.extend(document(file, &mut findings)?);
    }
    ui.findings(&findings);
    if !findings.has_errors() {
        let schema = infer(&documents, InferOptions { enums: args.enums, closed: args.closed });
        ui.json(&schema)?;
    }
    Ok(Exit::of(&findings))
}

fn check(args: &CheckArgs, ui: &Ui) -> Result<Exit, Failure> {
    let mut findings = Findings::new();
    if let Some(schema) = schema(&args.schema, &mut findings)? {
        for file in &args.files {
            if let Some(document) = document(file, &mut findings)? {
                schema.validate(&document, &mut findings);
            }
        }
    }
    findings.attach_lines(&|file| text(Path::new(file)).ok().and_then(|it| String::from_utf8(it).ok()).map(Arc::from));
    let merged = findings.merged();
    match if args.json { Output::Json } else { args.format } {
        Output::Human => drop(ui.findings(&findings)),
        Output::Json => ui.json(&wire::Check::new(&merged))?,
        Output::Sarif => ui.json(&formats::sarif(&merged))?,
        Output::Github => ui.write(formats::github(&merged).as_bytes())?,
    }
    if args.format == Output::Human && !args.json {
        let documents = count(args.files.len() as u64, "document", "documents");
        match findings.has_errors() {
            true => ui.note(&format!("{documents} checked: {}", count(findings.n_errors() as u64, "error", "errors"))),
            false => ui.print(format_args!("{documents} checked: all fit"))?,
        }
    }
    Ok(Exit::of(&findings))
}

fn show(args: &ShowArgs, ui: &Ui) -> Result<Exit, Failure> {
    let text = match args.name.as_str() {
        "manifest" => MANIFEST,
        "agent" => SETTINGS,
        name => {
            let name = name.strip_prefix(BUILTIN).unwrap_or(name);
            let ready = Ready::of_path(&format!("{BUILTIN}{name}"));
            ready.ok_or_else(|| unknown(name, &["manifest", "agent"]))?.text()
        }
    };
    ui.write(text.as_bytes())?;
    Ok(Exit::Done)
}

fn unknown(name: &str, others: &[&str]) -> Failure {
    let names: Vec<&str> = Ready::ALL.map(Ready::name).into_iter().chain(others.iter().copied()).collect();
    Failure::usage(format!("there is no ready schema {name:?}; there are {}", list(&names)))
}

fn schema(named: &str, findings: &mut Findings) -> Result<Option<ConfigSchema>, Failure> {
    if let Some(name) = named.strip_prefix(BUILTIN) {
        let ready = Ready::of_path(named).ok_or_else(|| unknown(name, &[]))?;
        return Ok(ConfigSchema::ready(ready, findings));
    }
    let bytes = text(Path::new(named))?;
    let schema = ConfigSchema::parse(&Arc::from(named), &bytes, findings);
    findings.attach_lines(&|_| String::from_utf8(bytes.clone()).ok().map(Arc::from));
    Ok(schema)
}

fn document(path: &Path, findings: &mut Findings) -> Result<Option<Node>, Failure> {
    let shown: Arc<str> = Arc::from(path.to_string_lossy());
    let Some(format) = Format::of_path(&shown) else {
        let finding = Finding::error(Code::FORMAT, "the extension does not tell the format").at(&Place::whole(&shown));
        findings.push(finding.hint("name it `.yaml`, `.json`, `.toml`, `.ini` or `.env`"));
        return Ok(None);
    };
    let bytes = text(path)?;
    if secrets::is_sops_text(&bytes, Some(format)) {
        let finding = Finding::error(Code::SOPS, "the document is encrypted").at(&Place::whole(&shown));
        findings.push(finding.hint("`headfast check` opens the layers of a repository"));
        return Ok(None);
    }
    Ok(document::parse(format, &shown, &bytes, &Limits::default(), MergeKeys::Apply, findings))
}

/// Reads a file that is not larger than a document may be.
fn text(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: &std::io::Error| Failure::io("read", path, error);
    let limit = Limits::default().bytes as u64;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|it| failed(&it))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|it| failed(&it))?;
    if bytes.len() as u64 > limit {
        let finding = Finding::error(Code::FILE_TOO_BIG, format!("the file is larger than {limit} bytes"));
        return Err(Failure::new(finding.at(&Place::whole(&path.to_string_lossy()))));
    }
    Ok(bytes)
}

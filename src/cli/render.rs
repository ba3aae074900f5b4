//! `render`: the output files of a checkout for one host.

use super::checkout::Checkout;
use super::exit::{Exit, Failure};
use super::scene::SceneArgs;
use super::ui::{HEAD, Ui};
use super::words::{count, escaped_lines};
use crate::finding::Findings;
use crate::pipeline::Rendered;
use crate::render::{Content, OutputFile, RenderedTarget, escaped};
use crate::wire;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Render the output files of a config repository for one host
///
/// Prints them, or writes them below a folder. Files that hold decrypted secrets are left out unless asked for. In templates
/// `revision` is all zeros, because a working tree is no commit yet.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The repository's folder
    #[arg(value_name = "REPO", default_value = ".")]
    repo: PathBuf,
    #[command(flatten)]
    scene: SceneArgs,
    /// Write the files below this folder, which must be empty or not exist yet
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Include files that hold decrypted secrets
    #[arg(long)]
    with_secrets: bool,
    /// Print JSON: the files' metadata without their content
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// Renders a checkout and prints or writes the files.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let checkout = Checkout::open(&args.repo, args.scene.offline)?;
    let mut findings = Findings::new();
    let Some(manifest) = checkout.manifest(&mut findings) else { return Err(Failure::Findings(findings)) };
    let facts = args.scene.facts(&manifest)?;
    // The rendering reads the manifest again and says everything there is to say about it.
    let mut findings = Findings::new();
    let rendered = checkout.render(&facts, &mut findings);
    ui.findings(&findings);
    let Some(rendered) = rendered else { return Ok(Exit::of(&findings)) };
    let withheld = withheld(args, &rendered);
    match &args.output {
        Some(dir) => write_all(args, &checkout, &rendered, dir)?,
        None if args.json => ui.json(&wire::Rendering::from(&rendered.rendering))?,
        None => print_all(args, &checkout, &rendered, ui)?,
    }
    if withheld > 0 && !args.json {
        let files = count(withheld, "file holds", "files hold");
        ui.note(&format!(
            "{files} decrypted secrets and {} left out; see --with-secrets",
            if withheld == 1 { "is" } else { "are" }
        ));
    }
    Ok(Exit::Done)
}

fn is_shown(args: &Args, file: &OutputFile) -> bool {
    args.with_secrets || !file.sensitive
}

fn withheld(args: &Args, rendered: &Rendered) -> u64 {
    let files = rendered.rendering.targets.iter().flat_map(|it| it.files.values());
    files.filter(|it| !is_shown(args, it)).count() as u64
}

fn print_all(args: &Args, checkout: &Checkout, rendered: &Rendered, ui: &Ui) -> Result<(), Failure> {
    for target in &rendered.rendering.targets {
        for (path, file) in target.files.iter().filter(|it| is_shown(args, it.1)) {
            let shown = escaped(&format!("{}/{path}", target.path));
            let bytes = checkout.content(&file.content)?;
            match &file.content {
                Content::Link(text) => ui.print(format_args!("{HEAD}==> {shown} -> {} <=={HEAD:#}", escaped(text)))?,
                _ => {
                    ui.print(format_args!("{HEAD}==> {shown} <=={HEAD:#}"))?;
                    print_content(&bytes, ui)?;
                }
            }
        }
    }
    Ok(())
}

/// Prints a file: as it is into a pipe, and in a way that cannot act on it to a terminal.
fn print_content(bytes: &[u8], ui: &Ui) -> Result<(), Failure> {
    match std::str::from_utf8(bytes) {
        _ if !ui.is_terminal() => ui.write(bytes)?,
        Ok(text) => return ui.print(escaped_lines(text)),
        Err(_) => return ui.print(format_args!("({} bytes that are not text)", bytes.len())),
    }
    if bytes.last().is_some_and(|it| *it != b'\n') { ui.write(b"\n") } else { Ok(()) }
}

fn write_all(args: &Args, checkout: &Checkout, rendered: &Rendered, dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir).map_err(|error| Failure::io("make", dir, &error))?;
    let mut entries = fs::read_dir(dir).map_err(|error| Failure::io("read", dir, &error))?;
    if entries.next().is_some() {
        return Err(Failure::usage(format!("{} is not empty", dir.display())));
    }
    let mut links = BTreeMap::new();
    for target in &rendered.rendering.targets {
        for (path, file) in target.files.iter().filter(|it| is_shown(args, it.1)) {
            let place = place(dir, target, path.as_str());
            match &file.content {
                Content::Link(text) => drop(links.insert(place, text.clone())),
                content => write_file(&place, &checkout.content(content)?, file)?,
            }
        }
    }
    // Last, so that nothing is ever written through one.
    for (place, text) in links {
        make_folder(&place)?;
        symlink(text, &place).map_err(|error| Failure::io("make", &place, &error))?;
    }
    Ok(())
}

fn place(dir: &Path, target: &RenderedTarget, path: &str) -> PathBuf {
    dir.join(target.path.trim_start_matches('/')).join(path)
}

fn make_folder(place: &Path) -> Result<(), Failure> {
    let folder = place.parent().unwrap_or(place);
    fs::create_dir_all(folder).map_err(|error| Failure::io("make", folder, &error))
}

fn write_file(place: &Path, bytes: &[u8], file: &OutputFile) -> Result<(), Failure> {
    make_folder(place)?;
    let mode = fs::Permissions::from_mode(file.mode);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(place)
        .and_then(|mut it| it.write_all(bytes).and_then(|()| it.set_permissions(mode)))
        .map_err(|error| Failure::io("write", place, &error))
}

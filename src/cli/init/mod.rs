//! `init`: a commented starter repository that passes `check`.

use super::exit::{Exit, Failure};
use super::schema;
use super::ui::{GOOD, HINT, Ui};
use super::words::count;
use crate::render::escaped;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Write a commented starter repository
///
/// It passes `headfast check`. Nothing that exists is overwritten.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder; made when it does not exist
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

macro_rules! starter {
    ($($path:literal)*) => {
        &[$(($path, include_str!(concat!("starter/", $path)))),*]
    };
}

/// The starter's files.
const STARTER: &[(&str, &str)] = starter! {
    "README.md"
    "agent.example.yaml"
    "config/app.yaml"
    "config/production.yaml"
    "config/staging.yaml"
    "files/app/robots.txt"
    "headfast.yaml"
    "policies/app.rego"
    "schemas/app.json"
    "templates/app/motd.j2"
};

/// What editors read, beside the starter: the first lines of the manifest and of agent.example.yaml name it.
const EDITOR: [(&str, &str); 2] =
    [(".editor/headfast.schema.json", schema::MANIFEST), (".editor/agent.schema.json", schema::SETTINGS)];

/// Writes the starter.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let files = || STARTER.iter().chain(&EDITOR);
    let there: Vec<&str> = files().map(|it| it.0).filter(|it| args.dir.join(it).symlink_metadata().is_ok()).collect();
    if !there.is_empty() {
        let dir = args.dir.display();
        let message = format!("{dir} has {} already; nothing was written", super::words::list(&there));
        return Err(Failure::usage(message));
    }
    for (path, content) in files() {
        write(&args.dir.join(path), content)?;
    }
    let dir = escaped(&args.dir.to_string_lossy());
    ui.print(format_args!("{GOOD}wrote{GOOD:#} {} to {dir}", count(files().count() as u64, "file", "files")))?;
    let cd = if dir == "." { String::new() } else { format!("cd {dir} && ") };
    ui.say(format_args!("next: {HINT}{cd}git init && git add . && git commit -m 'Start' && headfast check{HINT:#}"));
    Ok(Exit::Done)
}

fn write(place: &Path, content: &str) -> Result<(), Failure> {
    let folder = place.parent().unwrap_or(place);
    fs::create_dir_all(folder).map_err(|error| Failure::io("make", folder, &error))?;
    fs::File::create_new(place)
        .and_then(|mut it| it.write_all(content.as_bytes()))
        .map_err(|error| Failure::io("write", place, &error))
}

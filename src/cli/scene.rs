//! The host that a checkout is looked at for.

use super::exit::Failure;
use super::words::list;
use crate::manifest::{Facts, Manifest};

/// Which host.
#[derive(clap::Args, Clone, Debug)]
pub struct SceneArgs {
    /// The environment; that of the host under `hosts`, or the only one, by default
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// The host's name; its labels and variables are those under `hosts` in the manifest
    #[arg(long, value_name = "NAME", default_value = "any-host")]
    pub host: String,
    /// A label of the host (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub label: Vec<(String, String)>,
    /// A variable of the host (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub variable: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    if key.is_empty() { Err("the key is empty".into()) } else { Ok((key.to_owned(), value.to_owned())) }
}

/// Returns what the host declares: what the manifest says of it, and what the command line adds.
pub fn facts(args: &SceneArgs, manifest: &Manifest) -> Result<Facts, Failure> {
    let declared = manifest.hosts.get(&args.host);
    let names: Vec<&str> = manifest.environments.keys().map(String::as_str).collect();
    let environment = match (&args.environment, declared, names.as_slice()) {
        (Some(name), _, _) => name.clone(),
        (None, Some(host), _) => host.environment.value.clone(),
        (None, None, [only]) => (*only).to_owned(),
        (None, None, _) => {
            return Err(Failure::usage(format!("say which environment with `--environment`: {}", list(&names))));
        }
    };
    let mut labels = declared.map(|it| it.labels.clone()).unwrap_or_default();
    let mut variables = declared.map(|it| it.variables.clone()).unwrap_or_default();
    labels.extend(args.label.iter().cloned());
    variables.extend(args.variable.iter().cloned());
    Ok(Facts { host: args.host.clone(), labels, environment, variables })
}

//! What the verbs of a host have in common: agent.yaml, its repositories, and the state.

use super::exit::{Exit, Failure};
use super::ui::Ui;
use crate::deploy::ConfigurationDeployer;
use crate::finding::{Code, Finding, nearest};
use crate::host::transaction;
use crate::settings::{self, Repository, Settings};
use crate::state::{self, Store};
use std::path::PathBuf;

/// Which host, and which of its repositories.
#[derive(clap::Args, Clone, Debug)]
pub struct HostArgs {
    /// The settings of this host
    #[arg(long, value_name = "FILE", default_value = settings::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Only this repository of agent.yaml (can be repeated); all of them by default
    #[arg(long, value_name = "NAME")]
    pub repository: Vec<String>,
}

/// A host as its agent.yaml describes it.
pub struct Host {
    /// What agent.yaml says.
    pub settings: Settings,
    chosen: Vec<String>,
}

impl Host {
    /// Reads agent.yaml.
    pub fn load(args: &HostArgs) -> Result<Host, Failure> {
        let settings = settings::load(&args.config)?;
        super::owner::become_owner_of(&settings.state_dir)?;
        Host::of(settings, &args.repository)
    }

    /// Returns the host of some settings, or those of its repositories that are named.
    pub fn of(settings: Settings, chosen: &[String]) -> Result<Host, Failure> {
        for name in chosen {
            if settings.repository(name).is_none() {
                let finding = Finding::error(Code::NOT_FOUND, format!("agent.yaml has no repository {name:?}"));
                let known = || settings.repositories.iter().map(|it| it.name.as_str());
                return Err(Failure::new(match nearest(name, known()) {
                    Some(near) => finding.hint(format!("did you mean {near:?}?")),
                    None => finding.hint(format!("it has {}", super::words::list(&known().collect::<Vec<_>>()))),
                }));
            }
        }
        Ok(Host { settings, chosen: chosen.to_vec() })
    }

    /// Returns the names of the repositories that were asked for; none when all were.
    pub fn chosen(&self) -> &[String] {
        &self.chosen
    }

    /// Iterates over the repositories that were asked for, in the order of agent.yaml.
    pub fn repositories(&self) -> impl Iterator<Item = &Repository> {
        let is_chosen = |it: &&Repository| self.chosen.is_empty() || self.chosen.contains(&it.name);
        self.settings.repositories.iter().filter(is_chosen)
    }

    /// Returns the one repository that was asked for; an error when agent.yaml has several and none was named.
    pub fn one(&self) -> Result<&Repository, Failure> {
        let all: Vec<&Repository> = self.repositories().collect();
        match all.as_slice() {
            [one] => Ok(one),
            _ => {
                let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
                let message = format!("say which repository with `--repository`: {}", super::words::list(&names));
                Err(Failure::usage(message))
            }
        }
    }

    /// Opens the state for a verb that only reads it; `None` when there is none yet.
    ///
    /// What a crash left behind is brought to an end first, unless another process is at work.
    pub fn read(&self, ui: &Ui, verb: &str) -> Result<Option<Store>, Failure> {
        let dir = &self.settings.state_dir;
        let Some(snapshot) = Store::snapshot(dir)? else { return Ok(None) };
        let mut is_cut_short = false;
        for repository in &self.settings.repositories {
            let is_pending = transaction::is_pending(&dir.to_string_lossy(), &repository.name);
            is_cut_short |= snapshot.in_progress(&repository.name)?.is_some() || is_pending.unwrap_or(false);
        }
        if !is_cut_short {
            return Ok(Some(snapshot));
        }
        drop(snapshot);
        match Store::open(dir, verb) {
            Ok(store) => self.recover(ui, &store)?,
            Err(state::Error::Locked { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Store::snapshot(dir)?)
    }

    fn recover(&self, ui: &Ui, store: &Store) -> Result<(), Failure> {
        for repository in &self.settings.repositories {
            let recovered =
                ConfigurationDeployer::new(&self.settings, repository, store, &|_| {}).and_then(|it| it.recover());
            match recovered {
                Ok(Some(note)) => ui.note(&format!("{}: {note}", repository.name)),
                Ok(None) => {}
                Err(error) => {
                    ui.findings(&error.findings);
                }
            }
        }
        Ok(())
    }

    /// Opens the state for a verb that looks at the host: with the right to fetch, or, while another process holds it, as that
    /// process left it last.
    pub fn look(&self, ui: &Ui, verb: &str) -> Result<Seeing, Failure> {
        let dir = &self.settings.state_dir;
        let locked = match Store::open(dir, verb) {
            Ok(store) => {
                self.recover(ui, &store)?;
                return Ok(Seeing { store, held: None });
            }
            Err(error @ state::Error::Locked { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        match Store::snapshot(dir)? {
            Some(store) => Ok(Seeing { store, held: Some(locked.to_string()) }),
            None => Err(locked.into()),
        }
    }

    /// Does something for each repository that was asked for. What fails for one does not keep the others from their turn;
    /// the gravest exit is returned.
    pub fn each(
        &self,
        ui: &Ui,
        store: &Store,
        mut work: impl FnMut(&Repository, &ConfigurationDeployer<'_>) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        for repository in self.repositories() {
            let on_phase = |phase| ui.phase(&repository.name, phase);
            let done = ConfigurationDeployer::new(&self.settings, repository, store, &on_phase)
                .map_err(Failure::from)
                .and_then(|deployer| work(repository, &deployer));
            ui.quiet();
            exit = exit.worst(match done {
                Ok(exit) => exit,
                Err(failure @ Failure::Output(_)) => return Err(failure),
                Err(failure) => ui.failure(&failure),
            });
        }
        Ok(exit)
    }
}

/// A state that is looked at.
pub struct Seeing {
    /// The state.
    pub store: Store,
    /// Who holds it, in a sentence, when it is a snapshot.
    pub held: Option<String>,
}

impl Seeing {
    /// Returns whether the state is ours to change.
    pub fn may_write(&self) -> bool {
        self.held.is_none()
    }
}

/// Returns who gives an order, for the record: the user behind sudo, or the one who is logged in.
pub fn author() -> String {
    let of =
        |name: &str| std::env::var_os(name).map(|it| it.to_string_lossy().into_owned()).filter(|it| !it.is_empty());
    of("SUDO_USER").or_else(|| of("USER")).unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()))
}

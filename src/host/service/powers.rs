//! What the transaction process may do, judged by itself: whoever asks may have been taken over.

use crate::finding::Finding;
use crate::host::Error;
use crate::host::action::{Job, Look, Task};
use crate::host::transaction::{Journal, Request};

/// Something that is about to be done for a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish<'a> {
    /// Files in this directory are looked at or changed.
    Path(&'a str),
    /// This program is run.
    Command(&'a str),
    /// This unit is controlled, or asked after.
    Unit(&'a str),
    /// A file is given to the user with this number.
    User(u32),
    /// A file is given to the group with this number.
    Group(u32),
}

/// Says whether a repository, named as in agent.yaml, may have a wish.
pub type Judge = Box<dyn Fn(&str, Wish<'_>) -> Result<(), Finding> + Send>;

/// Where the state lies, and what each repository may touch.
pub struct Powers {
    /// The state directory.
    pub state_dir: String,
    /// The program that talks to systemd.
    pub systemctl: String,
    /// Who says yes or no.
    pub judge: Judge,
}

/// The bits that let a program run with another's rights; no deployed file has them.
const SET_ID_BITS: u32 = 0o6000;

impl Powers {
    /// Refuses what a repository may not have.
    pub(super) fn allow(&self, repository: &str, wish: Wish<'_>) -> Result<(), Error> {
        (self.judge)(repository, wish).map_err(|finding| Error::Told { code: finding.code, message: finding.message })
    }

    /// Refuses a plan that touches what the repository may not have.
    pub(super) fn allow_request(&self, repository: &str, request: &Request) -> Result<(), Error> {
        for target in &request.targets {
            self.allow(repository, Wish::Path(&target.root))?;
            for change in &target.changes {
                let Some((_, row)) = &change.incoming else { continue };
                // What was live may come back as it was; nobody gains a file that he did not have.
                let known = change.outgoing.as_ref().map(|it| (it.uid, it.gid));
                if known.map(|it| it.0) != Some(row.uid) {
                    self.allow(repository, Wish::User(row.uid))?;
                }
                if known.map(|it| it.1) != Some(row.gid) {
                    self.allow(repository, Wish::Group(row.gid))?;
                }
                if row.mode & SET_ID_BITS != 0 {
                    let message = format!("{}/{} would get a set-id bit", target.root, change.path);
                    return Err(Error::Told { code: crate::finding::Code::MODE_TYPE, message });
                }
            }
        }
        Ok(())
    }

    /// Refuses to finish what the repository may not have any more.
    pub(super) fn allow_journal(&self, repository: &str, journal: &Journal) -> Result<(), Error> {
        for root in &journal.roots {
            // Whoever owns the state could have written this: what it says must stay in the target it names.
            if !root.is_consistent() {
                let what = format!("it would touch something else than {}", root.path);
                return Err(Error::Journal { path: format!("of {repository:?}"), what });
            }
            self.allow(repository, Wish::Path(&root.path))?;
        }
        Ok(())
    }

    /// Refuses to run what the repository may not run.
    pub(super) fn allow_job(&self, repository: &str, job: &Job) -> Result<(), Error> {
        match &job.what {
            Task::Command(argv) => self.allow_command(repository, argv),
            Task::Unit { unit, .. } => self.allow(repository, Wish::Unit(unit)),
            Task::DaemonReload(units) => units.iter().try_for_each(|it| self.allow(repository, Wish::Unit(it))),
        }
    }

    /// Refuses to look at what the repository may not ask after.
    pub(super) fn allow_look(&self, repository: &str, look: &Look) -> Result<(), Error> {
        match look {
            Look::Command(argv) => self.allow_command(repository, argv),
            Look::Unit(unit) => self.allow(repository, Wish::Unit(unit)),
            // They are looked at where the network is, not here.
            Look::Http { .. } | Look::Tcp(_) => Ok(()),
        }
    }

    fn allow_command(&self, repository: &str, argv: &[String]) -> Result<(), Error> {
        self.allow(repository, Wish::Command(argv.first().map_or("", String::as_str)))
    }
}

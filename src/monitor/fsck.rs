//! Whether what headfast knows is whole: the state directory, the transactions, the ledger, the mirrors.
//!
//! Nothing is removed but what can be made again; what cannot be used is moved aside in the state directory, and no deployed
//! file is touched.

use crate::deploy::{ConfigurationDeployer, Error, client_of};
use crate::finding::Verdict;
use crate::git::Mirror;
use crate::host::service::Ask;
use crate::host::{self, DigestKey, Dir, transaction};
use crate::plan::{LiveKind, LivePath, Recorded, Stat};
use crate::settings::{Repository, Settings};
use crate::state::{self, Fault, Store};

/// What a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// The files of the state directory.
    Directory,
    /// The database.
    Database,
    /// Transactions that were cut short.
    Transactions,
    /// The kept copies.
    Kept,
    /// What was written, against what is live.
    Ledger,
    /// The mirrors of the repositories.
    Mirror,
}

impl Area {
    /// Returns the area's name as the JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Area::Directory => "directory",
            Area::Database => "database",
            Area::Transactions => "transactions",
            Area::Kept => "kept",
            Area::Ledger => "ledger",
            Area::Mirror => "mirror",
        }
    }
}

/// What it takes to mend a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Needs {
    /// A repair does it.
    Repair,
    /// Another verb does it.
    Verb,
    /// Only a person can.
    Person,
}

impl Needs {
    /// Returns the word that the JSON has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Needs::Repair => "repair",
            Needs::Verb => "verb",
            Needs::Person => "person",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is about.
    pub area: Area,
    /// The file, or the thing.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
    /// What a repair does, or what to do.
    pub cure: String,
    /// What it takes.
    pub needs: Needs,
    /// Whether it was repaired.
    pub repaired: bool,
}

impl Problem {
    fn new(area: Area, needs: Needs, subject: impl Into<String>, problem: &str, cure: &str) -> Problem {
        let (subject, problem, cure) = (subject.into(), problem.to_owned(), cure.to_owned());
        Problem { area, subject, problem, cure, needs, repaired: false }
    }

    /// Takes in how a repair went.
    fn after<E: std::fmt::Display>(mut self, done: Result<(), E>) -> Problem {
        match done {
            Ok(()) => self.repaired = true,
            Err(error) => {
                self.needs = Needs::Person;
                self.cure = format!("the repair failed: {error}");
            }
        }
        self
    }
}

/// Looks at the whole state, and repairs what can be when asked to. The caller holds the state.
pub fn fsck(settings: &Settings, store: &Store, repair: bool) -> Result<Vec<Problem>, Error> {
    let mut problems: Vec<Problem> =
        store.check()?.iter().map(|it| damaged_database(&settings.state_dir, it)).collect();
    // What a transaction holds decides what else is in order.
    for repository in &settings.repositories {
        problems.extend(transactions(settings, repository, store, repair)?);
    }
    problems.extend(abandoned(settings)?);
    for fault in store.faults()? {
        let found = of_fault(&fault);
        problems.push(if repair { found.after(store.mend(&fault)) } else { found });
    }
    for repository in &settings.repositories {
        problems.extend(ledger(settings, repository, store, repair)?);
        problems.extend(mirror(settings, repository, store, repair)?);
    }
    Ok(problems)
}

fn damaged_database(dir: &std::path::Path, problem: &str) -> Problem {
    let file = dir.join("headfast.db").display().to_string();
    let cure = format!(
        "put back a backup of the state directory, or move `{file}*` out of the way and run again: deployed files stay and \
         are adopted, the history, suspensions and quarantine are forgotten"
    );
    Problem::new(Area::Database, Needs::Person, file, problem, &cure)
}

fn of_fault(fault: &Fault) -> Problem {
    let file = |path: &std::path::Path| path.display().to_string();
    let repair =
        |area, subject: String, problem: &str, cure: &str| Problem::new(area, Needs::Repair, subject, problem, cure);
    match fault {
        Fault::Open(path) => repair(Area::Directory, file(path), "others have rights on it", "take them away"),
        Fault::Unfinished(path) => {
            repair(Area::Directory, file(path), "it was being written when its writer was stopped", "remove it")
        }
        Fault::Damaged(path) => {
            repair(Area::Transactions, file(path), "it is damaged, and was not needed", "move it aside")
        }
        Fault::BadCopy(path) => repair(Area::Kept, file(path), "it is not what was kept", "move it aside"),
        Fault::Orphan(path) => repair(Area::Kept, file(path), "no record knows this copy", "move it aside"),
        Fault::LostCopy { id, path } => {
            repair(Area::Kept, format!("{path} ({id})"), "the copy is damaged or gone", "forget the record of it")
        }
    }
}

/// What a crash has left: it is brought to an end, or given up where that cannot be.
fn transactions(
    settings: &Settings,
    repository: &Repository,
    store: &Store,
    repair: bool,
) -> Result<Vec<Problem>, Error> {
    let state_dir = settings.state_dir.to_string_lossy().into_owned();
    let folder = format!("{state_dir}/transactions/{}", repository.name);
    let mut problems = Vec::new();
    let deployer = || ConfigurationDeployer::new(settings, repository, store, &|_| {});
    let cut_short = match transaction::left(&state_dir, &repository.name, &DigestKey::new(store.host_key())) {
        Ok(None) => store.in_progress(&repository.name)?.map(|_| "a deployment was cut short".to_owned()),
        Ok(Some(id)) => Some(format!("the transaction of deployment {id} was cut short")),
        Err(error @ (host::Error::Journal { .. } | host::Error::Foreign { .. })) => Some(error.to_string()),
        Err(error) => return Err(error.into()),
    };
    if let Some(what) = cut_short {
        let cure = "finish it, or keep every file that it holds and give it up";
        let found = Problem::new(Area::Transactions, Needs::Repair, folder, &what, cure);
        problems.push(match repair {
            true => found.after(deployer().and_then(|it| end(&it))),
            false => found,
        });
        if !repair {
            return Ok(problems);
        }
    }
    let found = client_of(settings, repository, store).strays(&store.roots(&repository.name)?)?.into_iter().map(
        |(base, name)| {
            let (what, cure) = ("it belongs to no transaction", "keep every file in it and remove it");
            Problem::new(Area::Transactions, Needs::Repair, format!("{base}/{name}"), what, cure)
        },
    );
    let found: Vec<Problem> = found.collect();
    let cleared = (repair && !found.is_empty()).then(|| deployer().and_then(|it| it.clear_strays()));
    let failed = match cleared {
        None => None,
        Some(Ok(_)) => Some(None),
        Some(Err(error)) => Some(Some(error.to_string())),
    };
    problems.extend(found.into_iter().map(|it| match &failed {
        None => it,
        Some(None) => it.after(Ok::<(), String>(())),
        Some(Some(why)) => it.after(Err::<(), String>(why.clone())),
    }));
    Ok(problems)
}

/// Transactions of repositories that agent.yaml no longer has: nobody finishes them.
fn abandoned(settings: &Settings) -> Result<Vec<Problem>, Error> {
    let state_dir = settings.state_dir.to_string_lossy().into_owned();
    let Some(shelves) = Dir::open(&state_dir)?.map(|it| it.below("transactions")).transpose()?.flatten() else {
        return Ok(Vec::new());
    };
    let names = shelves.names()?.into_iter().filter_map(|it| String::from_utf8(it).ok());
    let mut problems = Vec::new();
    for name in names.filter(|it| settings.repository(it).is_none()) {
        if transaction::is_pending(&state_dir, &name)? {
            let what = "a transaction was cut short, and agent.yaml has no such repository any more";
            let cure = "put the repository back into agent.yaml until `headfast fsck --repair` has ended it";
            let subject = format!("{state_dir}/transactions/{name}");
            problems.push(Problem::new(Area::Transactions, Needs::Person, subject, what, cure));
        }
    }
    Ok(problems)
}

fn end(deployer: &ConfigurationDeployer<'_>) -> Result<(), Error> {
    match deployer.recover() {
        Err(error) if error.verdict() == Verdict::Stuck => deployer.give_up().map(drop),
        other => other.map(drop),
    }
}

/// Reads every file that was written; what differs in spite of an unchanged stat is seen by no scan.
fn ledger(settings: &Settings, repository: &Repository, store: &Store, repair: bool) -> Result<Vec<Problem>, Error> {
    let files: Vec<_> =
        store.ledger(&repository.name)?.into_iter().filter(|(_, row)| row.kind != LiveKind::Directory).collect();
    let asks = files.iter().map(|(at, _)| Ask { at: at.clone(), known: None }).collect();
    let sights = client_of(settings, repository, store).look(asks)?;
    let mut problems = Vec::new();
    for ((at, row), sight) in files.into_iter().zip(sights) {
        let subject = format!("{}/{}", at.root, at.path);
        let live = sight.entry();
        let drift = |what: &str| Problem::new(Area::Ledger, Needs::Verb, &subject, what, "see `headfast drift`");
        let found = match live {
            Ok(None) => drift("it is missing"),
            Ok(Some(it)) if it.kind == row.kind && it.digest.as_ref().is_some_and(|it| it.0 == row.digest) => continue,
            Ok(Some(it)) if it.stat != row.stat => drift("it is not what was deployed"),
            Ok(Some(_)) => {
                let what = "its content changed and its times did not: the disk, or someone who hides it";
                let cure = "have the next `headfast drift` read it, and look at the disk";
                let found = Problem::new(Area::Ledger, Needs::Repair, &subject, what, cure);
                if repair { found.after(read_again(repository, store, &at, &row)) } else { found }
            }
            Err(error) => drift(&error.to_string()),
        };
        problems.push(found);
    }
    Ok(problems)
}

fn read_again(repository: &Repository, store: &Store, at: &LivePath, row: &Recorded) -> Result<(), state::Error> {
    // No file has this stat.
    let row = Recorded { stat: Stat { size: u64::MAX, ..Stat::default() }, ..row.clone() };
    store.change_ledger(&repository.name, &[(at.clone(), row)], &[])
}

/// The mirror is a cache: damage to it heals at the next fetch, which a repair does not wait for.
fn mirror(settings: &Settings, repository: &Repository, store: &Store, repair: bool) -> Result<Vec<Problem>, Error> {
    let dir = settings.state_dir.join("mirror").join(&repository.name);
    let subject = dir.display().to_string();
    let cure = "fetch it anew, as the next pass does by itself";
    let faults = match Mirror::view(&dir) {
        Ok(None) if store.live(&repository.name)?.is_none() => return Ok(Vec::new()),
        Ok(None) => vec!["it is missing".to_owned()],
        Ok(Some(mirror)) => {
            let faults = mirror.verify();
            if repair && !faults.is_empty() {
                mirror.distrust();
            }
            faults
        }
        Err(error) => vec![error.to_string()],
    };
    let Some(first) = faults.first() else { return Ok(Vec::new()) };
    let what = match faults.len() {
        1 => first.clone(),
        n => format!("{first} (and {} more)", n - 1),
    };
    let found = Problem::new(Area::Mirror, Needs::Repair, subject, &what, cure);
    let fetch = || ConfigurationDeployer::new(settings, repository, store, &|_| {})?.fetch().map(drop);
    Ok(vec![match repair.then(fetch) {
        None => found,
        Some(Ok(())) => found.after(Ok::<(), Error>(())),
        // The next fetch does it, whenever the remote answers again.
        Some(Err(error)) => Problem { cure: format!("{cure}; now it cannot be: {error}"), ..found },
    }])
}

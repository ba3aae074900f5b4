//! The side that touches targets. One message after the other, in one thread.

use super::channel::{Channel, read_sealed};
use super::message::{Answer, Ask, Copy, Failed, Message, Question, Recovery, Sight, Span, Switch, VERSION, Wreckage};
use super::powers::{Powers, Wish};
use crate::host::action::{Actions, Job, Task};
use crate::host::dir::{Dir, split};
use crate::host::process::{self, Outcome};
use crate::host::scan::{self, DigestKey};
use crate::host::transaction::{self, CommitError, Recovered, Request, Staged, Surprise, Switched, Wreck};
use crate::host::{Error, fitness, live, view};
use crate::manifest::path_globs;
use crate::plan::{LiveKind, LivePath};
use crate::render::TargetPath;
use crate::revision::{ObjectId, ReadError};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a lock is waited for, and how long between two tries.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Answers questions about targets, and changes them.
pub struct Server {
    powers: Powers,
    actions: Actions,
    held: Held,
}

/// The transaction that is going on.
enum Held {
    Nothing,
    Staged(Box<Staged>),
    Switched(Box<Switched>),
}

/// An answer and the bytes that go with it.
pub(super) struct Reply {
    pub(super) answer: Answer,
    pub(super) body: Vec<u8>,
}

/// Returns the socket that is this process's standard input. A listening one, as systemd hands it over, takes the first
/// that calls; the service manager starts another process for the next.
pub fn from_standard_input() -> Result<UnixStream, Error> {
    let not_ours = |_| Error::Gone { what: "its standard input is no socket: it is started by headfast itself".into() };
    let stdin = rustix::stdio::stdin().try_clone_to_owned().map_err(Error::std("take", "the standard input"))?;
    match rustix::net::sockopt::socket_acceptconn(&stdin).map_err(not_ours)? {
        true => rustix::net::accept(&stdin).map(UnixStream::from).map_err(Error::io("accept on", "the standard input")),
        false => Ok(UnixStream::from(stdin)),
    }
}

/// Answers what is asked over a socket, until the other side goes away. A transaction that is not finished then stays as
/// it is, for recovery.
pub fn serve(stream: UnixStream, powers: Powers) -> Result<(), Error> {
    let asker = stream.try_clone().map_err(Error::std("keep", "the connection"))?;
    let mut channel = Channel::new(stream);
    let mut server = Server::new(powers);
    server.actions.asker = Some(Arc::new(asker.into()));
    while let Some(received) = channel.receive::<Message>()? {
        let Reply { answer, body } = server.answer(received.message, received.file);
        channel.send(&answer, &body, None)?;
    }
    Ok(())
}

impl Server {
    /// Returns a server that may do what `powers` say.
    pub fn new(powers: Powers) -> Server {
        let actions = Actions { systemctl: powers.systemctl.clone(), asker: None };
        Server { powers, actions, held: Held::Nothing }
    }

    /// Does what is asked. `plan` holds the contents of a [`Question::Stage`].
    pub(super) fn answer(&mut self, message: Message, plan: Option<File>) -> Reply {
        let Message { version, repository, key, question } = message;
        if version != VERSION {
            let what = format!("it is headfast {VERSION} and is asked by {version}; restart headfast.service");
            return Reply { answer: Answer::Failed(before(Error::Gone { what })), body: Vec::new() };
        }
        let mut body = Vec::new();
        let mut turn = Turn { repository: &repository, key: DigestKey::new(key), body: &mut body };
        let answer = self.dispatch(&mut turn, question, plan).unwrap_or_else(Answer::Failed);
        Reply { answer, body }
    }

    fn dispatch(&mut self, turn: &mut Turn<'_>, question: Question, plan: Option<File>) -> Result<Answer, Failed> {
        match question {
            Question::Whoami => Ok(Answer::Account {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
            }),
            Question::Look(asks) => self.look(turn, &asks).map_err(before),
            Question::Walk { root, skip } => self.walk(turn, &root, &skip).map_err(before),
            Question::Examine { request, known } => self.examine(turn, &request, &known).map_err(before),
            Question::FileSystem(root) => {
                let judged = self.powers.allow(turn.repository, Wish::Path(&root));
                judged.and_then(|()| fitness::identity(&root)).map(Answer::FileSystem).map_err(before)
            }
            Question::Judge { root, publish, recorded } => {
                let recorded = recorded.iter().map(TargetPath::as_str);
                let judged = self.powers.allow(turn.repository, Wish::Path(&root));
                judged.and_then(|()| live::judge(&root, publish, recorded)).map(|()| Answer::Done).map_err(before)
            }
            Question::Read(at) => self.read(turn, &at).map_err(before),
            Question::Stage { request, blobs } => self.stage(turn, &request, blobs, plan).map_err(before),
            Question::Check { root, jobs } => self.check(turn, &root, jobs).map_err(before),
            Question::Abandon => self.take_staged().and_then(|it| it.abandon()).map(|()| Answer::Done).map_err(before),
            Question::Commit => self.commit(turn),
            Question::Settle => self.switched().and_then(Switched::settle).map(|()| Answer::Done).map_err(after),
            Question::Restore => self.restore(turn).map_err(after),
            Question::Finish => self.take_switched().and_then(|it| it.finish()).map(Answer::Finished).map_err(after),
            Question::Recover => self.recover(turn).map_err(after),
            Question::Whereabouts => self.whereabouts(turn).map_err(before),
            Question::Wreck { roots } => self.wreck(turn, &roots).map_err(after),
            Question::GiveUp { roots } => self.give_up(turn, &roots).map_err(after),
            Question::Strays { roots } => self.strays(turn, &roots).map(Answer::Strays).map_err(before),
            Question::WreckOfStrays { roots } => self.wreck_of_strays(turn, &roots).map_err(before),
            Question::ClearStrays { roots } => self.clear_strays(turn, &roots).map_err(after),
            Question::Run(job) => self.run(turn, &job).map(|it| Answer::Outcomes(vec![it])).map_err(before),
            Question::Try { what, within } => {
                self.powers.allow_look(turn.repository, &what).map_err(before)?;
                Ok(Answer::Tried(self.actions.look(&what, within).err()))
            }
        }
    }

    fn look(&self, turn: &Turn<'_>, asks: &[Ask]) -> Result<Answer, Error> {
        let mut roots: BTreeMap<&str, Root> = BTreeMap::new();
        let mut sights = Vec::with_capacity(asks.len());
        for ask in asks {
            if !roots.contains_key(ask.at.root.as_str()) {
                roots.insert(&ask.at.root, self.root(turn.repository, &ask.at.root)?);
            }
            sights.push(match roots.get(ask.at.root.as_str()) {
                Some(Root::Open(root)) => sight(root, ask, &turn.key)?,
                Some(Root::Blocked(why)) => Sight::Blocked(why.clone()),
                Some(Root::Forbidden) => Sight::Forbidden,
                Some(Root::Missing) | None => Sight::Nothing,
            });
        }
        Ok(Answer::Sights(sights))
    }

    /// Opens a target, when it is the repository's.
    fn root(&self, repository: &str, root: &str) -> Result<Root, Error> {
        if self.powers.allow(repository, Wish::Path(root)).is_err() {
            return Ok(Root::Forbidden);
        }
        match live::open(root) {
            Ok(Some(dir)) => Ok(Root::Open(dir)),
            Ok(None) => Ok(Root::Missing),
            Err(error @ (Error::Symlink { .. } | Error::WrongType { .. })) => {
                Ok(Root::Blocked(Failed::of(&error, false)))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a target that must be the repository's; `None` when it does not exist.
    fn allowed_root(&self, repository: &str, root: &str) -> Result<Option<Dir>, Error> {
        self.powers.allow(repository, Wish::Path(root))?;
        live::open(root)
    }

    fn walk(&self, turn: &Turn<'_>, root: &str, skip: &[String]) -> Result<Answer, Error> {
        let Some(dir) = self.allowed_root(turn.repository, root)? else {
            return Ok(Answer::Walk { entries: Vec::new(), unnameable: Vec::new() });
        };
        let globs = path_globs(skip.iter().map(String::as_str)).ok();
        let walk = scan::walk(&dir, &|path| globs.as_ref().is_some_and(|it| it.is_match(path)))?;
        Ok(Answer::Walk { entries: walk.entries.into_iter().collect(), unnameable: walk.unnameable })
    }

    fn examine(&self, turn: &Turn<'_>, request: &Request, known: &BTreeMap<String, String>) -> Result<Answer, Error> {
        self.powers.allow_request(turn.repository, request)?;
        let found = fitness::examine(request, &self.powers.state_dir, known)?;
        Ok(Answer::Unfit(found.iter().map(|it| Failed::of(it, false)).collect()))
    }

    fn read(&self, turn: &mut Turn<'_>, at: &LivePath) -> Result<Answer, Error> {
        let Some(root) = self.allowed_root(turn.repository, &at.root)? else { return Ok(Answer::Copy(None)) };
        let (folder, name) = split(at.path.as_str());
        let Some(dir) = root.below(folder)? else { return Ok(Answer::Copy(None)) };
        turn.copy(&dir, name).map(Answer::Copy)
    }

    fn stage(
        &mut self,
        turn: &Turn<'_>,
        request: &Request,
        blobs: Vec<(String, Span)>,
        plan: Option<File>,
    ) -> Result<Answer, Error> {
        if !matches!(self.held, Held::Nothing) || request.repository != turn.repository {
            return Err(out_of_order("stage"));
        }
        self.powers.allow_request(turn.repository, request)?;
        // What was left before its commit point is cleared away first.
        self.allow_left_over(turn)?;
        let blobs: HashMap<String, Span> = blobs.into_iter().collect();
        let blob = |id: &ObjectId| {
            let missing = || ReadError { what: format!("the content {id}"), reason: "it was not handed over".into() };
            let (plan, span) = plan.as_ref().zip(blobs.get(id.as_str())).ok_or_else(missing)?;
            read_sealed(plan, *span)
                .map_err(|error| ReadError { what: format!("the content {id}"), reason: error.to_string() })
        };
        let staged = patiently(|| transaction::stage(&self.powers.state_dir, request, &turn.key, &blob))?;
        self.held = Held::Staged(Box::new(staged));
        Ok(Answer::Done)
    }

    fn check(&mut self, turn: &Turn<'_>, root: &str, jobs: Vec<Job>) -> Result<Answer, Error> {
        jobs.iter().try_for_each(|it| self.powers.allow_job(turn.repository, it))?;
        let Held::Staged(staged) = &self.held else { return Err(out_of_order("check")) };
        let view = view::build(staged, root)?;
        let mut outcomes = Vec::new();
        for job in jobs {
            let Task::Command(argv) = job.what else { return Err(out_of_order("check")) };
            let argv = argv.iter().map(|it| in_view(it, &view)).collect();
            let outcome = self.actions.run(&Job { what: Task::Command(argv), ..job });
            // The view is gone when someone reads this: what it shows is the target.
            let outcome = Outcome { output: outcome.output.replace(&view, root), ..outcome };
            let goes_on = outcome.is_success();
            outcomes.push(outcome);
            if !goes_on {
                break;
            }
        }
        Ok(Answer::Outcomes(outcomes))
    }

    fn commit(&mut self, turn: &mut Turn<'_>) -> Result<Answer, Failed> {
        let staged = self.take_staged().map_err(before)?;
        let switched = staged.commit(&turn.key).map_err(|error| match error {
            CommitError::Before(error) => before(error),
            CommitError::After(error) => after(error),
        })?;
        self.hold(turn, switched).map(Answer::Switched).map_err(after)
    }

    fn restore(&mut self, turn: &mut Turn<'_>) -> Result<Answer, Error> {
        let restored = self.take_switched()?.restore(&turn.key)?;
        self.hold(turn, restored).map(Answer::Switched)
    }

    /// Refuses to touch what a transaction that was cut short names and the repository may not have.
    fn allow_left_over(&self, turn: &Turn<'_>) -> Result<(), Error> {
        let left = transaction::left_over(&self.powers.state_dir, turn.repository, &turn.key)?;
        left.map_or(Ok(()), |it| self.powers.allow_journal(turn.repository, &it))
    }

    fn recover(&mut self, turn: &mut Turn<'_>) -> Result<Answer, Error> {
        // Whatever was under way here is for recovery to judge, like after a crash.
        self.held = Held::Nothing;
        self.allow_left_over(turn)?;
        let recovered = patiently(|| transaction::recover(&self.powers.state_dir, turn.repository, &turn.key))?;
        Ok(Answer::Recovered(match recovered {
            Recovered::Nothing => Recovery::Nothing,
            Recovered::Abandoned(_) => Recovery::Abandoned,
            Recovered::Forward(it) => Recovery::Forward(self.hold(turn, it)?),
            Recovered::Unproven(it) => Recovery::Unproven(self.hold(turn, it)?),
            Recovered::Restored(it) => Recovery::Restored(self.hold(turn, it)?),
        }))
    }

    fn whereabouts(&self, turn: &Turn<'_>) -> Result<Answer, Error> {
        let journal = transaction::left_over(&self.powers.state_dir, turn.repository, &turn.key)?;
        let files = journal.map(|journal| {
            self.powers.allow_journal(turn.repository, &journal)?;
            Ok(transaction::whereabouts(&journal))
        });
        files.transpose().map(|it| Answer::Whereabouts(it.unwrap_or_default()))
    }

    fn wreck(&self, turn: &mut Turn<'_>, roots: &[String]) -> Result<Answer, Error> {
        let Some(wreck) = self.found_wreck(turn, roots)? else { return Ok(Answer::Wreck(None)) };
        turn.wreckage(wreck).map(|it| Answer::Wreck(Some(it)))
    }

    fn give_up(&self, turn: &Turn<'_>, roots: &[String]) -> Result<Answer, Error> {
        if let Some(wreck) = self.found_wreck(turn, roots)? {
            wreck.give_up(&self.powers.state_dir, turn.repository)?;
        }
        Ok(Answer::Done)
    }

    fn found_wreck(&self, turn: &Turn<'_>, roots: &[String]) -> Result<Option<Wreck>, Error> {
        // A journal that can be read says where its folders are; one that cannot is searched for in what is allowed.
        if let Ok(Some(journal)) = transaction::left_over(&self.powers.state_dir, turn.repository, &turn.key) {
            self.powers.allow_journal(turn.repository, &journal)?;
        }
        transaction::wreck(&self.powers.state_dir, turn.repository, &self.allowed(turn, roots), &turn.key)
    }

    fn strays(&self, turn: &Turn<'_>, roots: &[String]) -> Result<Vec<(String, String)>, Error> {
        transaction::stray(&self.allowed(turn, roots))
    }

    fn wreck_of_strays(&self, turn: &mut Turn<'_>, roots: &[String]) -> Result<Answer, Error> {
        let wreck = Wreck::of_strays(&self.strays(turn, roots)?)?;
        turn.wreckage(wreck).map(|it| Answer::Wreck(Some(it)))
    }

    fn clear_strays(&self, turn: &Turn<'_>, roots: &[String]) -> Result<Answer, Error> {
        Wreck::of_strays(&self.strays(turn, roots)?)?.clear()?;
        Ok(Answer::Done)
    }

    /// Returns the targets that the repository may have.
    fn allowed(&self, turn: &Turn<'_>, roots: &[String]) -> Vec<String> {
        let is_allowed = |it: &&String| self.powers.allow(turn.repository, Wish::Path(it)).is_ok();
        roots.iter().filter(is_allowed).cloned().collect()
    }

    /// Keeps a switch for what is asked next, and says what came of it.
    fn hold(&mut self, turn: &mut Turn<'_>, switched: Switched) -> Result<Switch, Error> {
        let surprises = turn.held(switched.surprises(&turn.key)?)?;
        let switch = Switch {
            deployment: switched.journal.deployment,
            actions: switched.journal.actions.clone(),
            rows: switched.rows(),
            surprises,
            file_systems: file_systems(&switched),
            settled: switched.is_settled(),
        };
        self.held = Held::Switched(Box::new(switched));
        Ok(switch)
    }

    fn run(&self, turn: &Turn<'_>, job: &Job) -> Result<Outcome, Error> {
        self.powers.allow_job(turn.repository, job)?;
        Ok(self.actions.run(job))
    }

    fn take_staged(&mut self) -> Result<Staged, Error> {
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Staged(staged) => Ok(*staged),
            other => {
                self.held = other;
                Err(out_of_order("commit"))
            }
        }
    }

    fn take_switched(&mut self) -> Result<Switched, Error> {
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Switched(switched) => Ok(*switched),
            other => {
                self.held = other;
                Err(out_of_order("restore or finish"))
            }
        }
    }

    fn switched(&mut self) -> Result<&mut Switched, Error> {
        match &mut self.held {
            Held::Switched(switched) => Ok(switched),
            Held::Nothing | Held::Staged(_) => Err(out_of_order("settle")),
        }
    }
}

/// One question, while it is answered.
struct Turn<'a> {
    repository: &'a str,
    key: DigestKey,
    /// The bytes that go with the answer.
    body: &'a mut Vec<u8>,
}

impl Turn<'_> {
    /// Adds what files in staging folders hold to the answer.
    fn held(&mut self, files: Vec<Surprise>) -> Result<Vec<(LivePath, bool, Copy)>, Error> {
        let mut copies = Vec::new();
        for Surprise { at, held: (folder, name), sensitive } in files {
            let Some(dir) = Dir::open(&folder)? else { continue };
            if let Some(copy) = self.copy(&dir, &name)? {
                copies.push((at, sensitive, copy));
            }
        }
        Ok(copies)
    }

    fn wreckage(&mut self, wreck: Wreck) -> Result<Wreckage, Error> {
        let folders = wreck.folders();
        let Wreck { deployment, files, is_known, rows, .. } = wreck;
        Ok(Wreckage { deployment, is_known, files: self.held(files)?, rows, folders })
    }

    /// Adds the content of a file or link to the answer; `None` when it is neither.
    fn copy(&mut self, dir: &Dir, name: &str) -> Result<Option<Copy>, Error> {
        let Some(found) = scan::entry(dir, name, None)? else { return Ok(None) };
        let bytes = match &found.kind {
            LiveKind::Link(text) => text.clone().into_bytes(),
            LiveKind::File => scan::read(dir, name)?,
            LiveKind::Directory | LiveKind::Other => return Ok(None),
        };
        let content = Span { at: self.body.len() as u64, len: bytes.len() as u64 };
        self.body.extend_from_slice(&bytes);
        let link = matches!(found.kind, LiveKind::Link(_));
        Ok(Some(Copy { link, mode: found.mode, uid: found.uid, gid: found.gid, content }))
    }
}

/// Waits a little for whoever has a target's lock: the process of an agent that was killed goes away just after it.
fn patiently<T>(mut work: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match work() {
            Err(Error::Owned { .. }) if Instant::now() < deadline => process::pause(LOCK_PAUSE),
            other => return other,
        }
    }
}

/// Returns the targets of a switch and where they are. What cannot be told is told the next time.
fn file_systems(switched: &Switched) -> Vec<(String, String)> {
    let roots = switched.journal.roots.iter();
    roots.filter_map(|it| Some((it.path.clone(), fitness::identity(&it.path).ok()?))).collect()
}

enum Root {
    Open(Dir),
    Missing,
    Blocked(Failed),
    Forbidden,
}

/// Looks at one path; a file is read unless its metadata says that it is the one that is known.
fn sight(root: &Dir, ask: &Ask, key: &DigestKey) -> Result<Sight, Error> {
    let path = ask.at.path.as_str();
    let seen = match ask.known {
        None => scan::observe(root, path, key),
        Some(known) => match scan::look(root, path) {
            Ok(Some(live)) if live.kind == LiveKind::File && live.stat != known => scan::observe(root, path, key),
            other => other,
        },
    };
    match seen {
        Ok(Some(live)) => Ok(Sight::Entry(live)),
        Ok(None) => Ok(Sight::Nothing),
        Err(error @ Error::Symlink { .. }) => Ok(Sight::Blocked(Failed::of(&error, false))),
        Err(error) => Err(error),
    }
}

fn before(error: Error) -> Failed {
    Failed::of(&error, false)
}

fn after(error: Error) -> Failed {
    Failed::of(&error, true)
}

fn out_of_order(what: &str) -> Error {
    Error::Gone { what: format!("it was asked to {what} out of turn") }
}

/// Fills in the staged view, however the blanks are set.
fn in_view(argument: &str, view: &str) -> String {
    ["{{ staged }}", "{{staged}}", "{{staged }}", "{{ staged}}"]
        .iter()
        .fold(argument.to_owned(), |it, name| it.replace(name, view))
}

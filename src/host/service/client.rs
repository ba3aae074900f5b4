//! The side that decides: asks the transaction process, in the same program or in another.

use super::channel::{Channel, Memory};
use super::message::{Answer, Ask, Copy, Failed, Message, Question, Recovery, Sight, Switch, VERSION, Wreckage};
use super::powers::Powers;
use super::server::{Reply, Server};
use crate::finding::Code;
use crate::host::Error;
use crate::host::action::{self, Job, Look, Miss, Trial};
use crate::host::process::{Fault, Outcome};
use crate::host::scan::{DigestKey, Walk};
use crate::host::transaction::{ReadBlob, Request, Rows, Which};
use crate::manifest::Publish;
use crate::plan::{LivePath, Recorded, Restat};
use crate::render::{Content, TargetPath};
use crate::revision::ObjectId;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How the transaction process is reached.
pub enum Way {
    /// In this program, with the powers it says.
    Here(Powers),
    /// As a child: `PROGRAM transaction --config CONFIG`.
    Child {
        /// The headfast program.
        program: PathBuf,
        /// The agent.yaml from which it takes its powers.
        config: PathBuf,
    },
    /// At a socket, where a service manager has started it.
    Socket(PathBuf),
}

/// Asks on behalf of one repository. Nothing is started before the first question.
pub struct Client {
    repository: String,
    key: DigestKey,
    link: RefCell<Link>,
    is_lost: Cell<bool>,
}

enum Link {
    Idle(Way),
    Here(Box<Server>),
    There { connection: Connection, way: Way },
}

/// A process that answers. It ends when it is hung up on.
struct Connection {
    channel: Option<Channel>,
    child: Option<Child>,
}

/// The content of a file or link, and its metadata.
#[derive(Clone, PartialEq, Eq)]
pub struct FileCopy {
    /// Whether it is a symbolic link; the content is its text then.
    pub link: bool,
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The content.
    pub bytes: Vec<u8>,
}

/// What was live when the names were switched, but was not what the plan had seen.
pub struct Surprise {
    /// Where.
    pub at: LivePath,
    /// Whether the change it was part of is sensitive.
    pub sensitive: bool,
    /// What it holds.
    pub copy: FileCopy,
}

/// What a transaction left behind that cannot be finished.
pub struct Wreck {
    /// The deployment that it belongs to, when the journal can be read.
    pub deployment: Option<i64>,
    /// Whether it is known which of the files are sensitive.
    pub is_known: bool,
    /// What waits in its staging folders and is not made from the repository.
    pub files: Vec<Surprise>,
    /// The ledger's rows of the paths that it may have changed, as they would be after it or were before.
    pub rows: Vec<(LivePath, Recorded)>,
    /// The paths of its staging folders.
    pub folders: Vec<String>,
}

/// The account that owns what nobody else is named for.
pub struct Account {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// New files wait beside the live ones; nothing has changed yet.
pub struct Staged<'a> {
    client: &'a Client,
}

/// The names are switched; what was live waits.
pub struct Switched<'a> {
    client: &'a Client,
    /// The deployment that the transaction belongs to.
    pub deployment: i64,
    /// What runs next, as the deployer wrote it down.
    pub actions: serde_json::Value,
    /// The ledger's rows as they are now.
    pub rows: Rows,
    /// The targets, and the file systems that they are on.
    pub file_systems: Vec<(String, String)>,
    /// What has to be kept before the ledger is written.
    pub surprises: Vec<Surprise>,
    settled: bool,
}

/// What a crash had left.
pub enum Recovered<'a> {
    /// Nothing: the last transaction ended well.
    Nothing,
    /// It was cut short before the commit point; the old files are as they were.
    Abandoned,
    /// It was cut short after the commit point; the new files are in place now, but not recorded yet.
    Forward(Switched<'a>),
    /// It was cut short between the switch and its probes.
    Unproven(Switched<'a>),
    /// It was cut short while the previous files went back; they are back now.
    Restored(Switched<'a>),
}

/// Why a commit failed, and on which side of the commit point.
#[derive(Debug, thiserror::Error)]
pub enum CommitFailed {
    /// The old files are in place.
    #[error(transparent)]
    Before(Error),
    /// Recovery has to finish the switch.
    #[error(transparent)]
    After(Error),
}

impl Client {
    /// Returns a client for a repository of agent.yaml.
    pub fn new(way: Way, repository: &str, key: DigestKey) -> Client {
        Client {
            repository: repository.to_owned(),
            key,
            link: RefCell::new(Link::Idle(way)),
            is_lost: Cell::new(false),
        }
    }

    /// Returns the account that the transaction process runs as.
    pub fn whoami(&self) -> Result<Account, Error> {
        match self.ask(Question::Whoami)?.answer {
            Answer::Account { uid, gid } => Ok(Account { uid, gid }),
            other => Err(unexpected(other)),
        }
    }

    /// Looks at paths, in their order.
    pub fn look(&self, asks: Vec<Ask>) -> Result<Vec<Sight>, Error> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = asks.len();
        match self.ask(Question::Look(asks))?.answer {
            Answer::Sights(sights) if sights.len() == wanted => Ok(sights),
            other => Err(unexpected(other)),
        }
    }

    /// Lists everything in a target but what the globs match.
    pub fn walk(&self, root: &str, skip: &[String]) -> Result<Walk, Error> {
        match self.ask(Question::Walk { root: root.to_owned(), skip: skip.to_vec() })?.answer {
            Answer::Walk { entries, unnameable } => Ok(Walk { entries: entries.into_iter().collect(), unnameable }),
            other => Err(unexpected(other)),
        }
    }

    /// Returns everything that keeps the host from carrying out a request, as far as that can be seen without writing.
    /// `known` holds, by target, the file system that it was on when it was deployed last.
    pub fn examine(&self, request: &Request, known: BTreeMap<String, String>) -> Result<Vec<Error>, Error> {
        match self.ask(Question::Examine { request: without_contents(request), known })?.answer {
            Answer::Unfit(found) => Ok(found.into_iter().map(Failed::error).collect()),
            other => Err(unexpected(other)),
        }
    }

    /// Returns the file system that a target is on.
    pub fn file_system(&self, root: &str) -> Result<String, Error> {
        match self.ask(Question::FileSystem(root.to_owned()))?.answer {
            Answer::FileSystem(name) => Ok(name),
            other => Err(unexpected(other)),
        }
    }

    /// Refuses a target that cannot be published as it shall be; `recorded` are the paths that headfast wrote in it.
    pub fn judge(&self, root: &str, publish: Publish, recorded: Vec<TargetPath>) -> Result<(), Error> {
        self.done(self.ask(Question::Judge { root: root.to_owned(), publish, recorded })?)
    }

    /// Reads a file or link; `None` when neither is there.
    pub fn read(&self, at: &LivePath) -> Result<Option<FileCopy>, Error> {
        let reply = self.ask(Question::Read(at.clone()))?;
        match reply.answer {
            Answer::Copy(copy) => copy.map(|it| file_copy(it, &reply.body)).transpose(),
            other => Err(unexpected(other)),
        }
    }

    /// Runs a reload to its end.
    pub fn run(&self, job: &Job) -> Result<Outcome, Error> {
        match self.ask(Question::Run(job.clone()))?.answer {
            Answer::Outcomes(outcomes) => outcomes.into_iter().next().ok_or_else(|| unexpected(Answer::Done)),
            other => Err(unexpected(other)),
        }
    }

    /// Looks once whether something holds; returns why it does not. What needs the network is looked at from here.
    pub fn try_once(&self, what: &Look, within: Duration) -> Result<(), Miss> {
        match what {
            Look::Http { .. } | Look::Tcp(_) => action::reach(what, within),
            Look::Command(_) | Look::Unit(_) => {
                let asked = self.ask(Question::Try { what: what.clone(), within }).map(|it| it.answer);
                let failed = |error: Error| Miss { why: error.to_string(), fault: Fault::Host };
                match asked.map_err(failed)? {
                    Answer::Tried(miss) => miss.map_or(Ok(()), Err),
                    other => Err(failed(unexpected(other))),
                }
            }
        }
    }

    /// Tries until the trial holds or its time is over; returns why it does not hold.
    pub fn probe(&self, trial: &Trial) -> Result<(), Miss> {
        action::until(trial, &|what, within| self.try_once(what, within))
    }

    /// Hands a plan over, whose new files are then written beside the live ones.
    pub fn stage(&self, request: &Request, blob: ReadBlob<'_>) -> Result<Staged<'_>, Error> {
        let mut memory = Memory::new()?;
        let mut blobs = Vec::new();
        let mut request = request.clone();
        for (idx, change) in request.targets.iter_mut().flat_map(|it| &mut it.changes).enumerate() {
            let Some((content, _)) = &mut change.incoming else { continue };
            let bytes = match content {
                Content::Link(_) => continue,
                Content::Blob { id, .. } => blob(id)?,
                Content::Bytes(bytes) => bytes.to_vec(),
            };
            let name = idx.to_string();
            *content = Content::Blob { id: ObjectId::new(&name), size: bytes.len() as u64 };
            blobs.push((name, memory.add(&bytes)?));
        }
        let plan = memory.seal()?;
        self.done(self.ask_with(Question::Stage { request, blobs }, Some(plan))?)?;
        Ok(Staged { client: self })
    }

    /// Returns whether a process went away in the middle of what it was asked, since the last recovery: what it held is for
    /// the next recovery to judge.
    pub fn is_lost(&self) -> bool {
        self.is_lost.get()
    }

    /// Finishes or removes what a crash left. Safe to repeat.
    pub fn recover(&self) -> Result<Recovered<'_>, Error> {
        self.is_lost.set(false);
        let reply = self.ask(Question::Recover)?;
        match reply.answer {
            Answer::Recovered(Recovery::Nothing) => Ok(Recovered::Nothing),
            Answer::Recovered(Recovery::Abandoned) => Ok(Recovered::Abandoned),
            Answer::Recovered(Recovery::Forward(it)) => self.switched(it, &reply.body).map(Recovered::Forward),
            Answer::Recovered(Recovery::Unproven(it)) => self.switched(it, &reply.body).map(Recovered::Unproven),
            Answer::Recovered(Recovery::Restored(it)) => self.switched(it, &reply.body).map(Recovered::Restored),
            other => Err(unexpected(other)),
        }
    }

    /// Returns which files of the transaction that was left are live, by their whole paths; none when there is none.
    pub fn whereabouts(&self) -> Result<Vec<(String, Which)>, Error> {
        match self.ask(Question::Whereabouts)?.answer {
            Answer::Whereabouts(files) => Ok(files),
            other => Err(unexpected(other)),
        }
    }

    /// Returns what a transaction left behind that cannot be finished; `None` when there is none. `roots` are where to look for
    /// staging folders when the journal does not say.
    pub fn wreck(&self, roots: &[String]) -> Result<Option<Wreck>, Error> {
        self.wreck_of(Question::Wreck { roots: roots.to_vec() })
    }

    /// Gives it up. The caller has kept what it holds.
    pub fn give_up(&self, roots: &[String]) -> Result<(), Error> {
        self.done(self.ask(Question::GiveUp { roots: roots.to_vec() })?)
    }

    /// Returns the staging folders in targets that belong to no transaction: the directory that holds each, and its name.
    pub fn strays(&self, roots: &[String]) -> Result<Vec<(String, String)>, Error> {
        match self.ask(Question::Strays { roots: roots.to_vec() })?.answer {
            Answer::Strays(folders) => Ok(folders),
            other => Err(unexpected(other)),
        }
    }

    /// Returns what is in those folders.
    pub fn wreck_of_strays(&self, roots: &[String]) -> Result<Option<Wreck>, Error> {
        self.wreck_of(Question::WreckOfStrays { roots: roots.to_vec() })
    }

    /// Removes those folders. The caller has kept what they hold.
    pub fn clear_strays(&self, roots: &[String]) -> Result<(), Error> {
        self.done(self.ask(Question::ClearStrays { roots: roots.to_vec() })?)
    }

    fn wreck_of(&self, question: Question) -> Result<Option<Wreck>, Error> {
        let reply = self.ask(question)?;
        let Answer::Wreck(wreckage) = reply.answer else { return Err(unexpected(reply.answer)) };
        let Some(Wreckage { deployment, is_known, files, rows, folders }) = wreckage else { return Ok(None) };
        let files = surprises(files, &reply.body)?;
        Ok(Some(Wreck { deployment, is_known, files, rows, folders }))
    }

    fn switched(&self, switch: Switch, body: &[u8]) -> Result<Switched<'_>, Error> {
        let Switch { deployment, actions, rows, surprises, file_systems, settled } = switch;
        let surprises = self::surprises(surprises, body)?;
        Ok(Switched { client: self, deployment, actions, rows, file_systems, surprises, settled })
    }

    fn done(&self, reply: Reply) -> Result<(), Error> {
        match reply.answer {
            Answer::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    fn ask(&self, question: Question) -> Result<Reply, Error> {
        self.ask_with(question, None)
    }

    fn ask_with(&self, question: Question, plan: Option<File>) -> Result<Reply, Error> {
        let message = Message {
            version: VERSION.to_owned(),
            repository: self.repository.clone(),
            key: self.key.to_bytes(),
            question,
        };
        let mut link = self.link.borrow_mut();
        link.open()?;
        let result = match &mut *link {
            Link::Here(server) => Ok(server.answer(message, plan)),
            Link::There { connection, .. } => connection.converse(&message, plan.as_ref()),
            Link::Idle(_) => Err(gone("it could not be started")),
        };
        if result.is_err() {
            // It knows nothing of what was said before: the next question begins anew, with recovery.
            link.close();
            self.is_lost.set(true);
        }
        result
    }
}

impl Connection {
    fn converse(&mut self, message: &Message, plan: Option<&File>) -> Result<Reply, Error> {
        let Some(channel) = &mut self.channel else { return Err(gone("it has gone")) };
        channel.send(message, &[], plan)?;
        let received = channel.receive::<Answer>()?.ok_or_else(|| gone("it ended without an answer"))?;
        Ok(Reply { answer: received.message, body: received.body })
    }
}

impl Drop for Connection {
    /// Hangs up and waits until the process has ended, so that its locks are free.
    fn drop(&mut self) {
        self.channel = None;
        if let Some(child) = &mut self.child {
            let _its_end_is_all_we_want = child.wait();
        }
    }
}

impl Link {
    fn open(&mut self) -> Result<(), Error> {
        let Link::Idle(way) = self else { return Ok(()) };
        let way = std::mem::replace(way, Way::Socket(PathBuf::new()));
        match way {
            Way::Here(powers) => *self = Link::Here(Box::new(Server::new(powers))),
            Way::Child { program, config } => {
                let started = start(&program, &config);
                let way = Way::Child { program, config };
                *self = match started {
                    Ok(connection) => Link::There { connection, way },
                    Err(error) => {
                        *self = Link::Idle(way);
                        return Err(error);
                    }
                };
            }
            Way::Socket(path) => {
                let connected = UnixStream::connect(&path);
                let shown = path.to_string_lossy().into_owned();
                let way = Way::Socket(path);
                *self = match connected {
                    Ok(stream) => {
                        let connection = Connection { channel: Some(Channel::new(stream)), child: None };
                        Link::There { connection, way }
                    }
                    Err(error) => {
                        *self = Link::Idle(way);
                        return Err(Error::std("connect to", shown)(error));
                    }
                };
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Link::There { .. } = self
            && let Link::There { connection, way } = std::mem::replace(self, Link::Idle(Way::Socket(PathBuf::new())))
        {
            drop(connection);
            *self = Link::Idle(way);
        }
    }
}

/// Starts the program with one end of a pair of sockets as its standard input. It inherits nothing else, and has a
/// process group of its own, so that an interrupt on the terminal does not cut a switch short.
fn start(program: &std::path::Path, config: &std::path::Path) -> Result<Connection, Error> {
    let (ours, theirs) = UnixStream::pair().map_err(Error::std("make", "a pair of sockets"))?;
    let child = Command::new(program)
        .arg("transaction")
        .arg("--config")
        .arg(config)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(Error::std("start", program.to_string_lossy()))?;
    Ok(Connection { channel: Some(Channel::new(ours)), child: Some(child) })
}

impl<'a> Staged<'a> {
    /// Runs checks against the staged view of a target, up to the first that fails; `{{ staged }}` in them is the view.
    pub fn check(&self, root: &str, jobs: Vec<Job>) -> Result<Vec<Outcome>, Error> {
        match self.client.ask(Question::Check { root: root.to_owned(), jobs })?.answer {
            Answer::Outcomes(outcomes) => Ok(outcomes),
            other => Err(unexpected(other)),
        }
    }

    /// Removes what was staged; the old files were never touched.
    pub fn abandon(self) -> Result<(), Error> {
        self.client.done(self.client.ask(Question::Abandon)?)
    }

    /// Makes the change. Where the process is lost on the way, only recovery can tell on which side of the commit point.
    pub fn commit(self) -> Result<Switched<'a>, CommitFailed> {
        let reply = self.client.ask(Question::Commit).map_err(CommitFailed::After)?;
        match reply.answer {
            Answer::Switched(it) => self.client.switched(it, &reply.body).map_err(CommitFailed::After),
            Answer::Failed(failed) if !failed.after => Err(CommitFailed::Before(failed.error())),
            other => Err(CommitFailed::After(unexpected(other))),
        }
    }
}

impl Switched<'_> {
    /// Notes that the ledger has the rows; from here on a crash leads back to the reloads, not to the switch.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.client.done(self.client.ask(Question::Settle)?)?;
        self.settled = true;
        Ok(())
    }

    /// Returns whether the ledger has the rows already.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// Puts the previous files back, the same inodes under the same names.
    pub fn restore(self) -> Result<Self, Error> {
        let reply = self.client.ask(Question::Restore)?;
        match reply.answer {
            Answer::Switched(it) => self.client.switched(it, &reply.body),
            other => Err(unexpected(other)),
        }
    }

    /// Ends the transaction: what was live before is removed. Returns what live files are known by now that lost another
    /// name.
    pub fn finish(self) -> Result<Vec<Restat>, Error> {
        match self.client.ask(Question::Finish)?.answer {
            Answer::Finished(moved) => Ok(moved),
            other => Err(unexpected(other)),
        }
    }
}

/// Returns the request with the sizes of its contents alone.
fn without_contents(request: &Request) -> Request {
    let mut request = request.clone();
    for (content, _) in request.targets.iter_mut().flat_map(|it| &mut it.changes).filter_map(|it| it.incoming.as_mut())
    {
        if let Content::Bytes(bytes) = content {
            *content = Content::Blob { id: ObjectId::new(""), size: bytes.len() as u64 };
        }
    }
    request
}

fn surprises(files: Vec<(LivePath, bool, Copy)>, body: &[u8]) -> Result<Vec<Surprise>, Error> {
    let files = files.into_iter();
    files.map(|(at, sensitive, copy)| Ok(Surprise { at, sensitive, copy: file_copy(copy, body)? })).collect()
}

fn file_copy(copy: Copy, body: &[u8]) -> Result<FileCopy, Error> {
    let Copy { link, mode, uid, gid, content } = copy;
    let from = usize::try_from(content.at).unwrap_or(usize::MAX);
    let len = usize::try_from(content.len).unwrap_or(usize::MAX);
    let bytes = body.get(from..from.saturating_add(len)).ok_or_else(|| gone("a content is missing"))?.to_vec();
    Ok(FileCopy { link, mode, uid, gid, bytes })
}

/// Turns what is not the answer into an error: mostly that it could not be done.
fn unexpected(answer: Answer) -> Error {
    match answer {
        Answer::Failed(failed) => failed.error(),
        _ => gone("it answers another question"),
    }
}

fn gone(what: &str) -> Error {
    Error::Gone { what: what.to_owned() }
}

impl Sight {
    /// Returns what is there; an error when something that does not belong there stands on the way.
    pub fn entry(self) -> Result<Option<crate::plan::LiveEntry>, Error> {
        match self {
            Sight::Entry(live) => Ok(Some(live)),
            Sight::Nothing | Sight::Forbidden => Ok(None),
            Sight::Blocked(failed) => Err(failed.error()),
        }
    }
}

impl Failed {
    /// Returns the documented code.
    pub fn code(&self) -> Code {
        Code::named(&self.code).unwrap_or(Code::IO)
    }
}

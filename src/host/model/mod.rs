//! A file system in memory that can crash, lose its power and fail, for unit tests of the code that uses [`Dir`].
//!
//! It is as harsh as a file system may be. A flush of a file makes its bytes and metadata durable and not its name; a flush
//! of a directory makes the names in it durable; everything else is lost or kept in any combination, file data also torn.
//! Three things it does not do, because no file system that keeps a journal or a log does: tear a rename or an exchange,
//! undo a change of a name while a later change of the same name stays, and lose what was moved into a directory together
//! with the directory.
//!
//! A test boots a [`Machine`] from a [`Disk`]; until that is dropped, `Dir::open` in this thread opens directories there.
//!
//! [`Dir`]: super::Dir

mod disk;
mod opened;
mod power;
mod tests;

pub use disk::{Access, Attributes, Disk, Ino, Kind, Listed, hash_of};
pub use opened::Opened;
pub use power::Dice;

use super::dir::Handle;
use disk::ROOT;
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The system calls, as faults know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Open,
    Create,
    Stat,
    Read,
    Write,
    ReadLink,
    MakeLink,
    MakeDir,
    Unlink,
    RemoveDir,
    Rename,
    Link,
    Reflink,
    ChangeOwner,
    ChangeMode,
    SetTime,
    Attributes,
    SetAttribute,
    Names,
    Flush,
    FlushFileSystem,
    Lock,
}

impl Call {
    /// Whether the disk, or what of it is durable, is another one afterwards.
    fn changes(self) -> bool {
        !matches!(
            self,
            Call::Open | Call::Stat | Call::Read | Call::ReadLink | Call::Attributes | Call::Names | Call::Lock
        )
    }
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One call fails.
    Once,
    /// One call reports a failure although it did its work.
    Late,
    /// From then on every call of that kind fails.
    Kind,
    /// From then on every call fails.
    All,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The call with this number fails.
    Error(usize, Errno, Reach),
    /// The call with this number says that it worked, and did not: a byte is written wrong, a mode or owner not set.
    Silent(usize),
    /// No write takes more than a few bytes.
    ShortWrites,
    /// No flush flushes anything.
    LyingFlush,
}

/// What keeps a promise, and what a test takes away to see whether it would be missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The flush of a staged file.
    StagedFlush,
    /// The flush of the journal's bytes.
    JournalFlush,
    /// The flush of directories.
    DirectoryFlush,
    /// The flush of a new tree, files and directories.
    TreeFlush,
    /// The flush of the folder in which a new tree has got its place.
    PlaceFlush,
    /// The comparison of what was written.
    ReadBack,
    /// The lock on a target.
    Lock,
    /// The lock on a target that the transaction has made.
    LockOfMade,
}

thread_local! {
    static MACHINE: RefCell<Option<Machine>> = const { RefCell::new(None) };
    static MISSING: Cell<Option<Guard>> = const { Cell::new(None) };
}

/// Returns whether a test has taken this guard away.
pub fn lacks(guard: Guard) -> bool {
    MISSING.get() == Some(guard)
}

/// Takes a guard away for as long as the result lives.
pub fn without(guard: Guard) -> impl Drop {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            MISSING.set(None);
        }
    }
    MISSING.set(Some(guard));
    Back
}

/// Returns the machine that this thread's files are on, when a test has booted one.
pub fn machine() -> Option<Machine> {
    MACHINE.with_borrow(Clone::clone)
}

/// A running system.
#[derive(Clone, Debug)]
pub struct Machine(Rc<RefCell<Kernel>>);

#[derive(Debug)]
struct Kernel {
    disk: Disk,
    clock: i64,
    /// How many handles are open on an inode.
    open: BTreeMap<Ino, usize>,
    /// Which handle holds an inode's lock.
    locks: BTreeMap<Ino, u64>,
    handles: u64,
    /// How many random numbers were asked for.
    rolled: u64,
    calls: Vec<Call>,
    fault: Option<Fault>,
    /// The disk before every call that changed it, and the test's own mark at that time.
    past: Vec<(Disk, usize)>,
    mark: usize,
}

/// Keeps a machine running.
#[derive(Debug)]
pub struct Running(pub Machine);

impl Drop for Running {
    fn drop(&mut self) {
        MACHINE.set(None);
    }
}

impl Machine {
    /// Starts a system with this disk, on which nothing is open or locked. All that happens in it happens at one time.
    pub fn boot(disk: &Disk, clock: i64) -> Running {
        let kernel = Kernel {
            disk: disk.clone(),
            clock,
            open: BTreeMap::new(),
            locks: BTreeMap::new(),
            handles: 0,
            rolled: 0,
            calls: Vec::new(),
            fault: None,
            past: Vec::new(),
            mark: 0,
        };
        let machine = Machine(Rc::new(RefCell::new(kernel)));
        MACHINE.set(Some(machine.clone()));
        Running(machine)
    }

    /// Notes in the machine's past what the test knows from here on; this, too, is a moment to die in.
    pub fn mark(&self, mark: usize) {
        let kernel = &mut *self.0.borrow_mut();
        kernel.past.push((kernel.disk.clone(), kernel.mark));
        kernel.mark = mark;
    }

    /// Lets something go wrong from here on; calls are counted anew.
    pub fn arm(&self, fault: Option<Fault>) {
        let kernel = &mut *self.0.borrow_mut();
        kernel.calls.clear();
        kernel.fault = fault;
    }

    /// Returns the disk as it is now.
    pub fn disk(&self) -> Disk {
        self.0.borrow().disk.clone()
    }

    /// Returns every call that was made.
    pub fn calls(&self) -> Vec<Call> {
        self.0.borrow().calls.clone()
    }

    /// Returns the disk before every call that changed it, with the mark of that time; each is a moment to die in.
    pub fn past(&self) -> Vec<(Disk, usize)> {
        self.0.borrow().past.clone()
    }

    /// Opens the directory at an absolute path.
    pub fn open_path(&self, path: &str) -> Result<Handle, Errno> {
        let found = self.run(Call::Open, ROOT, |kernel| kernel.disk.walk(ROOT, path))?;
        Ok(Handle::Model(Opened::new(self, found)))
    }

    /// Returns a number that is the same in every run of a test.
    pub fn random(&self) -> u64 {
        let mut kernel = self.0.borrow_mut();
        kernel.rolled += 1;
        kernel.clock as u64 * 1000 + kernel.rolled
    }

    /// Makes one call: counts it, remembers the disk before it, and lets it fail where a fault says so.
    fn run<T>(&self, call: Call, ino: Ino, work: impl FnOnce(&mut Kernel) -> Result<T, Errno>) -> Result<T, Errno> {
        let kernel = &mut *self.0.borrow_mut();
        let number = kernel.calls.len();
        kernel.calls.push(call);
        if call.changes() {
            kernel.past.push((kernel.disk.clone(), kernel.mark));
        }
        let Some(Fault::Error(at, errno, reach)) = kernel.fault else { return work(kernel) };
        let fails = match reach {
            Reach::Once | Reach::Late => number == at,
            Reach::Kind => number >= at && call == kernel.calls[at],
            Reach::All => number >= at,
        };
        match (fails, reach) {
            (false, _) => work(kernel),
            (true, Reach::Late) => work(kernel).and(Err(errno)),
            (true, _) => {
                match call {
                    Call::Flush => kernel.disk.spoil(Some(ino)),
                    Call::FlushFileSystem => kernel.disk.spoil(None),
                    _ => {}
                }
                Err(errno)
            }
        }
    }
}

impl Kernel {
    /// Whether the call that is being made only pretends.
    fn pretends(&self) -> bool {
        matches!(self.fault, Some(Fault::Silent(at)) if self.calls.len().checked_sub(1) == Some(at))
    }

    fn opened(&self) -> BTreeSet<Ino> {
        self.open.keys().copied().collect()
    }
}

//! Something goes wrong at a system call.
//!
//! Syscall user dispatch (prctl(2), Linux 5.11) turns every call into a signal. Its handler counts the calls over all kinds and
//! asks what becomes of each; a call that is to happen is made from the one place that is exempt. ptrace(2) would do the same
//! with two changes of process for each call: ten times slower.

#![allow(unsafe_code, reason = "fork, prctl and signal handlers have no safe form")]

use std::io;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

/// Memory, signals and clocks: they say nothing to a disk. Everything else stops, so that a call added later is covered too.
const UNWATCHED: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    // Only std's debug builds ask it, before they close.
    libc::SYS_fcntl,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The system calls that change nothing on a disk when they are given the flags that the transaction gives them.
const READ_ONLY: &[i64] = &[
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_close,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_flock,
    libc::SYS_getrandom,
    libc::SYS_fstatfs,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
];

/// A system call that is about to be made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    /// Which one of the process this is, from 1.
    pub count: usize,
    /// The kernel's number for the call.
    pub number: i64,
    creates: bool,
}

impl Call {
    /// Whether it may change what is on a disk, or make it last.
    pub fn is_mutating(&self) -> bool {
        match self.number {
            libc::SYS_openat | libc::SYS_openat2 => self.creates,
            number => !READ_ONLY.contains(&number),
        }
    }

    /// Whether it makes what was written last.
    pub fn is_flush(&self) -> bool {
        [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_syncfs, libc::SYS_sync].contains(&self.number)
    }

    /// Whether it writes bytes to a file.
    pub fn is_write(&self) -> bool {
        [libc::SYS_write, libc::SYS_pwrite64].contains(&self.number)
    }

    /// Whether it writes or gives a file its owner, mode or attribute, which some file systems do in word only.
    pub fn is_change(&self) -> bool {
        let others = [libc::SYS_fchmod, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_fsetxattr];
        self.is_write() || others.contains(&self.number)
    }

    /// Whether it reads bytes of a file.
    pub fn is_read(&self) -> bool {
        [libc::SYS_read, libc::SYS_pread64].contains(&self.number)
    }

    /// Whether it renames.
    pub fn is_rename(&self) -> bool {
        [libc::SYS_renameat, libc::SYS_renameat2].contains(&self.number)
    }

    /// Whether it takes or gives back a lock.
    pub fn is_lock(&self) -> bool {
        self.number == libc::SYS_flock
    }

    /// What it is called, for messages.
    pub fn name(&self) -> String {
        let known = [
            (libc::SYS_read, "read"),
            (libc::SYS_write, "write"),
            (libc::SYS_close, "close"),
            (libc::SYS_openat, "openat"),
            (libc::SYS_openat2, "openat2"),
            (libc::SYS_newfstatat, "newfstatat"),
            (libc::SYS_fstat, "fstat"),
            (libc::SYS_statx, "statx"),
            (libc::SYS_getdents64, "getdents64"),
            (libc::SYS_readlinkat, "readlinkat"),
            (libc::SYS_flock, "flock"),
            (libc::SYS_fsync, "fsync"),
            (libc::SYS_fdatasync, "fdatasync"),
            (libc::SYS_syncfs, "syncfs"),
            (libc::SYS_fchmod, "fchmod"),
            (libc::SYS_fchown, "fchown"),
            (libc::SYS_fchownat, "fchownat"),
            (libc::SYS_mkdirat, "mkdirat"),
            (libc::SYS_unlinkat, "unlinkat"),
            (libc::SYS_renameat, "renameat"),
            (libc::SYS_renameat2, "renameat2"),
            (libc::SYS_symlinkat, "symlinkat"),
            (libc::SYS_linkat, "linkat"),
            (libc::SYS_getrandom, "getrandom"),
            (libc::SYS_lseek, "lseek"),
            (libc::SYS_ioctl, "ioctl"),
            (libc::SYS_fgetxattr, "fgetxattr"),
            (libc::SYS_fsetxattr, "fsetxattr"),
            (libc::SYS_flistxattr, "flistxattr"),
            (libc::SYS_fremovexattr, "fremovexattr"),
            (libc::SYS_utimensat, "utimensat"),
        ];
        known.iter().find(|it| it.0 == self.number).map_or(format!("call {}", self.number), |it| it.1.to_owned())
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is made.
    Happens,
    /// The process is killed before it is made.
    Kills,
    /// It is not made and fails.
    Fails(i32),
    /// It is made and fails all the same, as over a network.
    HappensAndFails(i32),
    /// It is not made and succeeds: whatever was to be written is lost.
    Lies,
    /// A read of an empty file finds what the last lie lost.
    Recalls,
    /// A write takes one byte only.
    IsShort,
    /// It is made once somebody has continued the process.
    Waits,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It came to its end.
    Exited,
    /// It was killed.
    Killed,
    /// It panicked, or died of a signal of its own.
    Died,
}

/// What is asked about each call.
type Fates<'a> = &'a mut dyn FnMut(&Call) -> Fate;

/// The fates: they are asked in a signal handler, which takes no arguments.
static FATES: AtomicPtr<Fates<'static>> = AtomicPtr::new(std::ptr::null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// What the kernel looks at before each call: does it become a signal?
static SELECTOR: AtomicU8 = AtomicU8::new(ALLOW);

// From the kernel's include/uapi/linux/prctl.h, which the libc crate does not have.
const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
const PR_SYS_DISPATCH_ON: i32 = 1;
const ALLOW: u8 = 0;
const BLOCK: u8 = 1;

std::arch::global_asm!(
    ".globl faults_gate, faults_return, faults_gate_end",
    // i64 faults_gate(i64 number, const u64 arguments[6]): makes a call.
    "faults_gate:",
    "mov rax, rdi",
    "mov r11, rsi",
    "mov rdi, [r11]",
    "mov rsi, [r11 + 8]",
    "mov rdx, [r11 + 16]",
    "mov r10, [r11 + 24]",
    "mov r8, [r11 + 32]",
    "mov r9, [r11 + 40]",
    "syscall",
    "ret",
    // Where the handler returns to: rt_sigreturn must not become a signal itself.
    "faults_return:",
    "mov eax, 15",
    "syscall",
    // The kernel compares the address after the call.
    "ud2",
    "faults_gate_end:",
);

unsafe extern "C" {
    fn faults_gate(number: i64, arguments: *const u64) -> i64;
    fn faults_return();
    static faults_gate_end: u8;
}

/// Does `work` here, with the fate that `fates` gives each of its calls.
pub fn within(work: impl FnOnce(), mut fates: impl FnMut(&Call) -> Fate) -> End {
    let mut fates: Fates<'_> = &mut fates;
    COUNT.store(0, Relaxed);
    FATES.store((&raw mut fates).cast::<Fates<'static>>(), Relaxed);
    dispatch().expect("this kernel has syscall user dispatch");
    // What hangs must not hang the suite.
    // SAFETY: a plain call on this process.
    unsafe { libc::alarm(120) };
    SELECTOR.store(BLOCK, SeqCst);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    SELECTOR.store(ALLOW, SeqCst);
    // SAFETY: a plain call on this process.
    unsafe { libc::alarm(0) };
    if done.is_ok() { End::Exited } else { End::Died }
}

/// A child that has been started.
pub struct Child {
    pid: libc::pid_t,
    is_running: bool,
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.is_running {
            // SAFETY: the child has not been waited for, so its number is still its own.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            self.wait();
        }
    }
}

impl Child {
    /// Starts `work` in a child, with the fate that `fates` gives each of its calls. Both run in the child: what they have to
    /// say must go through memory that is shared with it.
    pub fn start(work: impl FnOnce(), fates: impl FnMut(&Call) -> Fate) -> Child {
        // SAFETY: this process has one thread, so that the child may go on with all that it had.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "a child can be started");
        if pid == 0 {
            // SAFETY: a plain call on this process.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let end = within(work, fates);
            // SAFETY: ends the child without running what belongs to its parent.
            unsafe { libc::_exit(i32::from(end != End::Exited)) }
        }
        Child { pid, is_running: true }
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> End {
        let status = self.status(0);
        self.is_running = false;
        match status {
            it if libc::WIFEXITED(it) && libc::WEXITSTATUS(it) == 0 => End::Exited,
            it if libc::WIFSIGNALED(it) && libc::WTERMSIG(it) == libc::SIGKILL => End::Killed,
            _ => End::Died,
        }
    }

    /// Waits until a call waits, and returns whether one does.
    pub fn is_waiting(&mut self) -> bool {
        let status = self.status(libc::WUNTRACED);
        self.is_running = libc::WIFSTOPPED(status);
        self.is_running
    }

    /// Lets the call that waits happen.
    pub fn go_on(&self) {
        // SAFETY: the child has not been waited for, so its number is still its own.
        unsafe { libc::kill(self.pid, libc::SIGCONT) };
    }

    fn status(&self, options: i32) -> i32 {
        let mut status = 0;
        // SAFETY: waits for a child of ours.
        while unsafe { libc::waitpid(self.pid, &raw mut status, options) } == -1 {
            let error = io::Error::last_os_error();
            assert_eq!(error.kind(), io::ErrorKind::Interrupted, "{error}");
        }
        status
    }
}

/// Runs `work` in a child to its end.
pub fn run(work: impl FnOnce(), fates: impl FnMut(&Call) -> Fate) -> End {
    Child::start(work, fates).wait()
}

/// The kernel's own form of a signal's action, which has a place for where the handler returns to.
#[repr(C)]
struct Action {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// Makes system calls signals, whenever the selector says so.
fn dispatch() -> io::Result<()> {
    const SA_RESTORER: u64 = 0x0400_0000;
    let action = Action {
        handler: on_call as extern "C" fn(_, _, _) as usize,
        flags: (libc::SA_SIGINFO | libc::SA_NODEFER) as u64 | SA_RESTORER,
        restorer: faults_return as unsafe extern "C" fn() as usize,
        mask: 0,
    };
    let begin = faults_gate as unsafe extern "C" fn(_, _) -> _ as usize;
    let length = &raw const faults_gate_end as usize - begin;
    // SAFETY: the handler has the right form, the structs outlive the calls that read them, the selector stays for ever.
    unsafe {
        check(libc::syscall(libc::SYS_rt_sigaction, libc::SIGSYS, &raw const action, 0usize, size_of::<u64>()))?;
        let selector = SELECTOR.as_ptr();
        check(libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, begin, length, selector).into())
    }
}

fn check(result: i64) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes the place of a call: what it leaves in the register is what the caller gets.
extern "C" fn on_call(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a handler with SA_SIGINFO the registers of what it interrupted.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let register = |which: i32| registers[which as usize] as u64;
    let (rax, rdi, rsi, rdx) = (libc::REG_RAX, libc::REG_RDI, libc::REG_RSI, libc::REG_RDX);
    let arguments = [rdi, rsi, rdx, libc::REG_R10, libc::REG_R8, libc::REG_R9].map(register);
    let number = registers[rax as usize];
    registers[rax as usize] = answer(number, arguments);
}

fn answer(number: i64, mut arguments: [u64; 6]) -> i64 {
    // SAFETY: makes the call that the caller asked for, with its own arguments.
    let make = |arguments: &[u64; 6]| unsafe { faults_gate(number, arguments.as_ptr()) };
    if UNWATCHED.contains(&number) {
        return make(&arguments);
    }
    let call = Call { count: COUNT.fetch_add(1, Relaxed) + 1, number, creates: creates(number, &arguments) };
    SELECTOR.store(ALLOW, SeqCst);
    // SAFETY: set before the selector, and not moved until it is set back; the errno is this thread's own.
    let fate = unsafe {
        let errno = *libc::__errno_location();
        let fate = (*FATES.load(Relaxed))(&call);
        *libc::__errno_location() = errno;
        fate
    };
    SELECTOR.store(BLOCK, SeqCst);
    match fate {
        Fate::Happens => make(&arguments),
        Fate::Kills => end_here(libc::SIGKILL),
        Fate::Waits => {
            end_here(libc::SIGSTOP);
            make(&arguments)
        }
        // The kernel always closes, whatever it then says.
        Fate::Fails(errno) if number != libc::SYS_close => -i64::from(errno),
        Fate::Fails(errno) | Fate::HappensAndFails(errno) => {
            make(&arguments);
            -i64::from(errno)
        }
        Fate::Lies if call.is_write() => {
            // SAFETY: the caller is about to hand this memory to the kernel, to be read.
            unsafe { lose(std::slice::from_raw_parts(arguments[1] as *const u8, arguments[2] as usize)) }
        }
        Fate::Recalls => match make(&arguments) {
            // SAFETY: the caller has handed this memory to the kernel, to be written.
            0 => unsafe {
                recall(arguments[0], std::slice::from_raw_parts_mut(arguments[1] as *mut u8, arguments[2] as usize))
            },
            other => other,
        },
        Fate::Lies => 0,
        Fate::IsShort => {
            arguments[2] = arguments[2].min(1);
            make(&arguments)
        }
    }
}

/// What was lost: its length, its bytes, and the file that was last told that it has them.
static LOST: (AtomicUsize, [AtomicU8; 1024], AtomicUsize) =
    (AtomicUsize::new(0), [const { AtomicU8::new(0) }; 1024], AtomicUsize::new(usize::MAX));

fn lose(bytes: &[u8]) -> i64 {
    let (length, lost, _) = &LOST;
    bytes.iter().zip(lost).for_each(|(byte, place)| place.store(*byte, Relaxed));
    length.store(bytes.len().min(lost.len()), Relaxed);
    bytes.len() as i64
}

/// Fills a buffer with what was lost, if the file is at its beginning; says that this is all when it is asked again.
fn recall(file: u64, buffer: &mut [u8]) -> i64 {
    let (length, lost, told) = &LOST;
    // SAFETY: asks for a position, with plain numbers.
    let position = unsafe { faults_gate(libc::SYS_lseek, [file, 0, libc::SEEK_CUR as u64, 0, 0, 0].as_ptr()) };
    if position != 0 || told.swap(usize::MAX, Relaxed) == file as usize {
        return 0;
    }
    told.store(file as usize, Relaxed);
    let length = length.load(Relaxed).min(buffer.len());
    buffer.iter_mut().zip(lost).take(length).for_each(|(place, byte)| *place = byte.load(Relaxed));
    length as i64
}

/// Sends this process a signal that it cannot refuse.
fn end_here(signal: i32) -> i64 {
    // SAFETY: both calls take plain numbers.
    unsafe {
        let pid = faults_gate(libc::SYS_getpid, [0u64; 6].as_ptr());
        faults_gate(libc::SYS_kill, [pid as u64, signal as u64, 0, 0, 0, 0].as_ptr())
    }
}

fn creates(number: i64, arguments: &[u64; 6]) -> bool {
    let flags = match number {
        libc::SYS_openat => arguments[2],
        // SAFETY: the caller is about to hand this pointer to the kernel.
        libc::SYS_openat2 => unsafe { *(arguments[2] as *const u64) },
        _ => 0,
    };
    flags & libc::O_CREAT as u64 != 0
}

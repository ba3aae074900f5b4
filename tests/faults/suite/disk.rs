//! A disk of our own whose power can be cut: a file system in an image, mounted through a loop device.

#![allow(unsafe_code, reason = "unshare and ioctl have no safe form")]

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4 that flushes nothing by itself: neither renamed files nor, within the test's time, its journal.
    Ext4,
    /// xfs.
    Xfs,
    /// btrfs, which cannot be shut down: a copy of the image is what was left on the disk.
    Btrfs,
}

impl FileSystem {
    /// All of them.
    pub const ALL: [FileSystem; 3] = [FileSystem::Ext4, FileSystem::Xfs, FileSystem::Btrfs];

    /// What the kernel calls it.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
            FileSystem::Btrfs => "btrfs",
        }
    }

    fn options(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "noauto_da_alloc,commit=300",
            FileSystem::Xfs => "",
            FileSystem::Btrfs => "commit=300",
        }
    }

    /// The smallest that its mkfs makes, in MiB.
    fn megabytes(self) -> u64 {
        match self {
            FileSystem::Ext4 => 32,
            FileSystem::Xfs => 300,
            FileSystem::Btrfs => 128,
        }
    }
}

/// A mounted disk. Everything about it goes when it is dropped, or with the process.
pub struct Disk {
    kind: FileSystem,
    image: PathBuf,
    device: Option<(File, PathBuf)>,
    mounted: PathBuf,
}

impl Disk {
    /// Makes a disk whose image and mount point are below `base`; says why when this host cannot.
    pub fn new(base: &Path, kind: FileSystem) -> Result<Disk, String> {
        own_mounts()?;
        let (image, mounted) = (base.join("image"), base.join("mounted"));
        std::fs::create_dir_all(&mounted).map_err(|it| it.to_string())?;
        let mut disk = Disk { kind, image, device: None, mounted };
        disk.make()?;
        Ok(disk)
    }

    /// Makes the file system, and mounts it.
    fn make(&mut self) -> Result<(), String> {
        let kind = self.kind;
        let made = File::create(&self.image).and_then(|it| it.set_len(kind.megabytes() << 20));
        made.map_err(|error| format!("no image of {} MiB: {error}", kind.megabytes()))?;
        let quiet = if kind == FileSystem::Ext4 { ["-q", "-F"] } else { ["-q", "-f"] };
        run(Command::new(format!("mkfs.{}", kind.name())).args(quiet).arg(&self.image))?;
        self.attach()?;
        self.mount()
    }

    /// Makes a fresh file system in the place of one that does not survive many cuts in a row: an ext4 that is shut down just
    /// after it was recovered gets checksums wrong in the end.
    pub fn renew(&mut self) {
        if self.kind == FileSystem::Ext4 {
            self.unmount();
            self.device = None;
            self.make().expect("what was made once can be made again");
            self.root();
        }
    }

    /// Returns a directory on the disk.
    pub fn root(&self) -> PathBuf {
        let root = self.mounted.join("root");
        std::fs::create_dir_all(&root).unwrap();
        root
    }

    /// Cuts the power and switches it on again: what was not flushed is gone.
    pub fn cut(&mut self) {
        match self.kind {
            FileSystem::Ext4 | FileSystem::Xfs => {
                shut_down(&self.mounted).expect("the file system can be shut down");
                self.unmount();
            }
            FileSystem::Btrfs => {
                let copy = self.image.with_extension("copy");
                run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&copy)).unwrap();
                self.unmount();
                self.device = None;
                std::fs::rename(copy, &self.image).unwrap();
                self.attach().unwrap();
            }
        }
        self.mount().expect("what a power cut leaves can be mounted");
    }

    /// The device goes with the last that has it open, so that nothing stays when this process is killed.
    fn attach(&mut self) -> Result<(), String> {
        let path = PathBuf::from(run(Command::new("losetup").args(["--find", "--show"]).arg(&self.image))?.trim());
        let opened = File::open(&path).map_err(|error| format!("{}: {error}", path.display()));
        run(Command::new("losetup").arg("--detach").arg(&path))?;
        self.device = Some((opened?, path));
        Ok(())
    }

    fn mount(&self) -> Result<(), String> {
        let device = &self.device.as_ref().expect("it is attached").1;
        let options = std::ffi::CString::new(self.kind.options()).expect("options have no zero");
        rustix::mount::mount(device, &self.mounted, self.kind.name(), MountFlags::empty(), Some(options.as_c_str()))
            .map_err(|error| format!("{} cannot be mounted: {error}", self.kind.name()))
    }

    fn unmount(&self) {
        rustix::mount::unmount(&self.mounted, UnmountFlags::empty()).expect("nothing is open on the disk");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.mounted, UnmountFlags::DETACH).ok();
        self.device = None;
        std::fs::remove_file(&self.image).ok();
    }
}

/// What is mounted here is seen by this process and its children alone.
fn own_mounts() -> Result<(), String> {
    // SAFETY: a plain call on this process, which has one thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } == -1 {
        return Err(format!("no mounts of its own: {}", std::io::Error::last_os_error()));
    }
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).map_err(|error| format!("no private mounts: {error}"))
}

/// Drops everything that has not reached the device (`FS_IOC_SHUTDOWN` with `NOLOGFLUSH`).
fn shut_down(mounted: &Path) -> std::io::Result<()> {
    const FS_IOC_SHUTDOWN: u64 = 0x8004_587d;
    let no_log_flush = 2u32;
    let folder = File::open(mounted)?;
    // SAFETY: the kernel reads one number, which outlives the call.
    match unsafe { libc::ioctl(folder.as_raw_fd(), FS_IOC_SHUTDOWN, &raw const no_log_flush) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Runs a program of the system and returns what it printed.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let path = std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned();
    let output = command.env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

//! Attackers that are allowed to write in a target, at work while headfast deploys there.

use super::*;
use crate::host::{Error, PREFIX, scan};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Returns how often a race is run; `HEADFAST_RACE` multiplies it.
fn rounds(few: u64) -> u64 {
    let times = std::env::var_os("HEADFAST_RACE").and_then(|it| it.to_str()?.parse().ok());
    few * times.unwrap_or(1)
}

/// Runs attackers until `work` is done; as another user when this one is root.
fn under_attack<T>(attackers: &[&(dyn Fn() + Sync)], work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for attack in attackers {
            scope.spawn(|| {
                if rustix::process::geteuid().is_root() {
                    become_nobody();
                }
                while !over.load(Ordering::Relaxed) {
                    attack();
                }
            });
        }
        // Also when the work fails, or the attackers would go on for ever.
        let _end = Finally(|| over.store(true, Ordering::Relaxed));
        work()
    })
}

struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Waits for up to so many microseconds: an attacker who never rests lets no deployment get beyond its first step.
fn rest(longest: u64) {
    static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    let mut next = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    next = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: ((next >> 20) % longest * 1000) as i64 };
    rustix::event::poll(&mut [], Some(&timeout)).ok();
}

/// Makes a folder outside the target that nothing may happen to, and a target that the attackers own.
fn scene() -> (World, PathBuf) {
    let world = World::new();
    let victim = world.outside.join("victim");
    std::fs::create_dir(&victim).unwrap();
    for name in ["f", "passwd", "sub"] {
        std::fs::write(victim.join(name), format!("the victim's {name}\n")).unwrap();
        set_mode(&victim.join(name), 0o644);
    }
    let d = world.target.join("d");
    std::fs::create_dir(&d).unwrap();
    for name in ["link", "lure"] {
        std::os::unix::fs::symlink(&victim, world.target.join(name)).unwrap();
    }
    set_mode(&world.outside, 0o755);
    if rustix::process::geteuid().is_root() {
        for path in [&world.target, &d, &world.target.join("link"), &world.target.join("lure")] {
            std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    (world, victim)
}

/// What writing, changing a mode or owner, making or removing a name would change.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    path: String,
    content: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
    inode: u64,
    mtime: (i64, i64),
}

/// Returns the state of a folder and of everything in it.
fn state_of(victim: &Path) -> Vec<State> {
    let state = |path: &Path| {
        let found = std::fs::symlink_metadata(path).unwrap();
        let content = if found.is_dir() { Vec::new() } else { std::fs::read(path).unwrap() };
        let (owner, mtime) = ((found.uid(), found.gid()), (found.mtime(), found.mtime_nsec()));
        State { path: text(path), content, mode: found.mode(), owner, inode: found.ino(), mtime }
    };
    let mut all: Vec<_> = std::fs::read_dir(victim).unwrap().map(|it| state(&it.unwrap().path())).collect();
    all.push(state(victim));
    all.sort();
    all
}

#[test]
fn h05_no_handle_ever_leads_out_of_a_target() {
    let (world, victim) = scene();
    let before = state_of(&victim);
    let target = world.dir();
    let swap = || {
        rustix::fs::renameat_with(CWD, world.target.join("d"), CWD, world.target.join("link"), RenameFlags::EXCHANGE)
            .ok();
    };
    let (mut inside, mut refused) = (0u64, 0u64);
    under_attack(&[&swap], || {
        // Until it took place, however seldom this machine lets the other thread run.
        for round in 0u64.. {
            if round >= rounds(10_000) && inside > 0 && refused > 0 {
                break;
            }
            let below = if round.is_multiple_of(2) { target.below("d") } else { target.below_by_walking("d") };
            match below {
                Ok(Some(dir)) => {
                    inside += 1;
                    work_in(&dir);
                }
                Ok(None) => panic!("an exchange leaves no moment without the name"),
                Err(Error::Symlink { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            // The same through the functions that look at a whole path.
            match scan::observe(&target, "d/f", &world.key) {
                Ok(found) => assert!(found.is_none(), "the victim's file was seen"),
                Err(error) => assert!(matches!(error, Error::Symlink { .. }), "{error}"),
            }
        }
    });
    assert_eq!(state_of(&victim), before);
}

/// Does everything that a deployment does to a folder.
fn work_in(dir: &Dir) {
    assert!(dir.look("f").unwrap().is_none(), "the victim's file was seen");
    let mut made = dir.create("sub").unwrap();
    std::io::Write::write_all(&mut made, b"x").unwrap();
    dir.rename("sub", dir, "passwd", RenameFlags::empty()).unwrap();
    assert!(dir.unlink("passwd").unwrap());
    assert!(dir.make_dir("folder").unwrap());
    assert!(dir.remove_dir("folder").unwrap());
}

#[test]
fn h05_h06_deployments_under_attack_harm_nothing_outside() {
    if !is_root() {
        // Attackers that are the same user could write to the victim themselves.
        return;
    }
    let (world, victim) = scene();
    let before = state_of(&victim);
    let at = |path: &str| world.target.join(path);
    let exchange = |a: &Path, b: &Path| {
        rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).ok();
    };
    let swap = || {
        exchange(&at("d"), &at("link"));
        rest(300);
        exchange(&at("d"), &at("link"));
        rest(20_000);
    };
    // Links, FIFOs and hard links where files belong, and in headfast's own name space.
    let plant = || {
        for name in ["d/a", "top", ".headfast-0000000000000000"] {
            std::fs::remove_file(at(name)).ok();
            std::os::unix::fs::symlink(victim.join("passwd"), at(name)).ok();
            std::fs::remove_file(at(name)).ok();
            rustix::fs::mknodat(CWD, at(name), FileType::Fifo, Mode::from_raw_mode(0o666), 0).ok();
            std::fs::remove_file(at(name)).ok();
            std::fs::hard_link(victim.join("f"), at(name)).ok();
            rest(500);
            std::fs::remove_file(at(name)).ok();
            rest(20_000);
        }
    };
    // The staging folder itself is renamed away, and a folder or a link has its name.
    let steal = || {
        let Ok(entries) = std::fs::read_dir(&world.target) else { return };
        let own = entries.flatten().filter(|it| it.file_name().to_string_lossy().starts_with(PREFIX));
        for entry in own.filter(|it| it.path().is_dir()) {
            exchange(&entry.path(), &at("lure"));
            rest(300);
            exchange(&entry.path(), &at("lure"));
        }
        rest(40_000);
    };
    let mut n_new = 0;
    let mut errors = std::collections::BTreeMap::new();
    under_attack(&[&swap, &plant, &steal], || {
        // An attempt that meets the link is over at once, so attempts alone say little: some must get through.
        for round in 0..rounds(100_000) {
            if n_new >= rounds(30) && !errors.is_empty() {
                break;
            }
            let content = format!("round {round}");
            match world.deploy(&[file("d/a", &content), file("d/n/b", &content), file("top", &content)]) {
                Ok(()) => n_new += 1,
                Err(error) => *errors.entry(error.code().name).or_insert(0) += 1,
            }
            tidy_up(&world);
        }
    });
    assert_eq!(state_of(&victim), before, "after {n_new} deployments and {errors:?}");
    assert!(n_new > 0 && !errors.is_empty(), "{n_new} deployments and {errors:?}: the race did not take place");
    // In peace it works again.
    for name in ["d", "top"] {
        if std::fs::symlink_metadata(at(name)).is_ok_and(|it| !it.is_file() && !it.is_dir()) {
            std::fs::remove_file(at(name)).unwrap();
        }
    }
    world.deploy(&[file("d/a", "peace"), file("d/n/b", "peace"), file("top", "peace")]).unwrap();
    assert_eq!(std::fs::read_to_string(at("d/n/b")).unwrap(), "peace");
    assert_eq!(state_of(&victim), before);
}

/// Ends what was cut short, as the next pass does, and as a person does who is told of a conflict.
fn tidy_up(world: &World) {
    match transaction::recover(&world.state, "site", &world.key) {
        Ok(transaction::Recovered::Nothing | transaction::Recovered::Abandoned(_)) => {}
        Ok(
            transaction::Recovered::Forward(switched)
            | transaction::Recovered::Unproven(switched)
            | transaction::Recovered::Restored(switched),
        ) => {
            if switched.finish().is_ok() {
                return;
            }
            std::fs::remove_dir_all(Path::new(&world.state).join("transactions")).ok();
        }
        Err(_) => {
            std::fs::remove_dir_all(Path::new(&world.state).join("transactions")).ok();
        }
    }
}

#[test]
fn h06_a_foreign_folder_with_our_prefix_is_left_alone() {
    let world = World::new();
    let planted = world.target.join(".headfast-0123456789abcdef");
    std::fs::create_dir(&planted).unwrap();
    std::fs::write(planted.join("0"), "someone's").unwrap();
    std::os::unix::fs::symlink("/etc", world.target.join(".headfast-link")).unwrap();
    world.deploy(&[file("a", "x")]).unwrap();
    assert_eq!(std::fs::read_to_string(planted.join("0")).unwrap(), "someone's");
    assert!(world.target.join(".headfast-link").is_symlink());
}

#[test]
fn h06_a_staging_folder_that_was_exchanged_is_neither_used_nor_emptied() {
    let world = World::new();
    if !is_root() {
        return;
    }
    world.deploy(&[file("a", "old")]).unwrap();
    let staged = world.stage(&world.request(&[file("a", "new")]).unwrap()).unwrap();
    let staging = world.target.join(&staged.journal().roots[0].staging);
    std::fs::rename(&staging, world.outside.join("stolen")).unwrap();
    std::fs::create_dir(&staging).unwrap();
    std::fs::write(staging.join("0"), "forged").unwrap();
    std::os::unix::fs::chown(&staging, Some(NOBODY), Some(NOBODY)).unwrap();
    let error = staged.commit(&world.key).unwrap_err();
    assert!(error.to_string().contains("the staging folder is gone"), "{error}");
    assert_eq!(std::fs::read_to_string(world.target.join("a")).unwrap(), "old");
    assert_eq!(std::fs::read_to_string(staging.join("0")).unwrap(), "forged");
}

#[test]
fn h09_a_fifo_that_takes_a_files_place_never_blocks() {
    let (world, _victim) = scene();
    let (f, fifo) = (world.target.join("f"), world.target.join("fifo"));
    std::fs::write(&f, "x").unwrap();
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    if rustix::process::geteuid().is_root() {
        for path in [&f, &fifo] {
            std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let swap = || {
        rustix::fs::renameat_with(CWD, &f, CWD, &fifo, RenameFlags::EXCHANGE).ok();
    };
    let target = world.dir();
    let mut refused = 0;
    under_attack(&[&swap], || {
        // Until it took place, however seldom this machine lets the other thread run.
        for round in 0u64.. {
            if round >= rounds(10_000) && refused > 0 {
                break;
            }
            match scan::observe(&target, "f", &world.key) {
                Ok(found) => assert!(found.is_some()),
                Err(error) => {
                    assert!(matches!(error, Error::WrongType { found: "a FIFO", .. }), "{error}");
                    refused += 1;
                }
            }
            scan::read(&target, "f").ok();
        }
    });
}

#[test]
fn h08_what_is_no_regular_file_is_refused_unopened() {
    let world = World::new();
    let at = |name: &str| world.target.join(name);
    rustix::fs::mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    let mut names = vec!["fifo", "socket", "folder"];
    if is_root() && rustix::fs::mknodat(CWD, at("null"), FileType::CharacterDevice, Mode::RWXU, 0x103).is_ok() {
        names.push("null");
    }
    for name in names {
        let error = world.dir().read(name).unwrap_err();
        // The kernel itself says no to a socket.
        let is_refused = matches!(error, Error::WrongType { .. }) || name == "socket";
        assert!(is_refused, "{name}: {error}");
        let live = world.live(name).unwrap().unwrap();
        assert!(matches!(live.kind, LiveKind::Other | LiveKind::Directory) && live.digest.is_none(), "{name}");
    }
}

#[test]
fn p10_a_secret_is_never_readable_to_others_while_it_is_written() {
    const SECRET: &[u8] = b"tr0ub4dor&3";
    let world = World::new();
    if !is_root() {
        return;
    }
    set_mode(&world.outside, 0o755);
    let (looks, seen) = (AtomicU64::new(0), AtomicU64::new(0));
    let watch = || {
        read_all(&world.outside, &mut |bytes| {
            looks.fetch_add(1, Ordering::Relaxed);
            if bytes.windows(SECRET.len()).any(|it| it == SECRET) {
                seen.fetch_add(1, Ordering::Relaxed);
            }
        });
    };
    let deploy = |round: u64| {
        let content = [SECRET, round.to_string().as_bytes()].concat();
        let mode = if round.is_multiple_of(2) { 0o600 } else { 0o640 };
        let secret = |path| File { path, content: &content, mode, sensitive: true };
        let public = File { mode: 0o644, ..file("public", "public") };
        world.deploy(&[secret("d/secret"), public, secret("secret")]).unwrap();
    };
    under_attack(&[&watch], || (0..rounds(100)).for_each(deploy));
    assert!(looks.load(Ordering::Relaxed) > 0, "the watcher saw nothing at all");
    assert_eq!(seen.load(Ordering::Relaxed), 0);
}

/// Hands on whatever can be read below a directory, a few levels deep.
fn read_all(dir: &Path, found: &mut dyn FnMut(&[u8])) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
            Ok(fd) => {
                let kind = rustix::fs::fstat(&fd).map(|it| FileType::from_raw_mode(it.st_mode));
                let mut bytes = Vec::new();
                if kind == Ok(FileType::RegularFile) {
                    std::io::Read::read_to_end(&mut std::fs::File::from(fd), &mut bytes).ok();
                    found(&bytes);
                } else if kind == Ok(FileType::Directory) {
                    read_all(&path, found);
                }
            }
            Err(_) => {
                // A name that cannot be opened can still be guessed at.
                rustix::fs::statat(CWD, path.join("0"), AtFlags::empty()).ok();
            }
        }
    }
}

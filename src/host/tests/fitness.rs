use super::*;
use crate::finding::Code;
use crate::host::{Error, fitness};
use rustix::fs::IFlags;
use std::collections::BTreeMap;

impl World {
    /// Returns the codes of all that is wrong.
    fn examined(&self, files: &[File]) -> Vec<Code> {
        self.errors(files).iter().map(Error::code).collect()
    }

    fn errors(&self, files: &[File]) -> Vec<Error> {
        fitness::examine(&self.request(files).unwrap(), &self.state, &BTreeMap::new()).unwrap()
    }
}

/// Sets or takes a flag of chattr(1); `false` where the file system has none.
fn set_flag(path: &Path, flag: IFlags, on: bool) -> bool {
    let file = std::fs::File::open(path).unwrap();
    let Ok(flags) = rustix::fs::ioctl_getflags(&file) else { return false };
    let wanted = if on { flags | flag } else { flags - flag };
    rustix::fs::ioctl_setflags(&file, wanted).is_ok()
}

#[test]
fn a_fit_target_passes() {
    let world = World::new();
    std::fs::write(world.target.join("a"), "old").unwrap();
    let secret = File { sensitive: true, ..file("d/b", "x") };
    assert_eq!(world.examined(&[file("a", "x"), secret]), []);
}

#[test]
fn h02_a_target_that_is_a_link_is_refused_and_so_is_one_behind_a_link() {
    let mut world = World::new();
    std::os::unix::fs::symlink(&world.target, world.outside.join("link")).unwrap();
    for target in ["link", "link/deeper"] {
        let mut request = world.request(&[file("a", "x")]).unwrap();
        request.targets[0].root = text(&world.outside.join(target));
        let found = fitness::examine(&request, &world.state, &BTreeMap::new()).unwrap();
        assert_eq!(found.iter().map(Error::code).collect::<Vec<_>>(), [Code::TARGET_SYMLINK], "{target}");
    }
    std::fs::create_dir(world.target.join("real")).unwrap();
    std::os::unix::fs::symlink("real", world.target.join("inner")).unwrap();
    let request = world.request(&[file("real/a", "x")]).unwrap();
    world.target = world.target.join("inner");
    let mut request = Request { targets: request.targets, ..request };
    request.targets[0].changes[0].path = TargetPath::new(b"inner/a").unwrap();
    let found = fitness::examine(&request, &world.state, &BTreeMap::new()).unwrap();
    assert_eq!(found.iter().map(Error::code).collect::<Vec<_>>(), [Code::TARGET_SYMLINK]);
}

#[test]
fn h03_a_directory_on_the_way_that_others_can_write_is_refused() {
    let world = World::new();
    set_mode(&world.outside, 0o777);
    let found = world.errors(&[file("a", "x")]);
    assert_eq!(found.iter().map(Error::code).collect::<Vec<_>>(), [Code::TARGET_PARENT]);
    let message = found[0].to_string();
    assert!(message.contains(&text(&world.outside)) && message.contains("by everyone"), "{message}");
    set_mode(&world.outside, 0o1777);
    assert_eq!(world.examined(&[file("a", "x")]), [], "nobody can take away what is another's in a sticky directory");
    if is_root() {
        let owner = Some(Uid::from_raw(NOBODY));
        std::os::unix::fs::chown(&world.outside, owner.map(Uid::as_raw), None).unwrap();
        assert_eq!(world.examined(&[file("a", "x")]), [Code::TARGET_PARENT], "its owner can, sticky or not");
    }
}

#[test]
fn h04_a_sensitive_file_is_not_written_where_others_can_write() {
    let world = World::new();
    std::fs::create_dir(world.target.join("d")).unwrap();
    set_mode(&world.target.join("d"), 0o777);
    let secret = || File { sensitive: true, ..file("d/secret", "x") };
    assert_eq!(world.examined(&[file("d/plain", "x")]), []);
    assert_eq!(world.examined(&[secret()]), [Code::TARGET_WRITABLE]);
    set_mode(&world.target.join("d"), 0o755);
    assert_eq!(world.examined(&[secret()]), []);
    if is_root() {
        std::os::unix::fs::chown(&world.target, Some(NOBODY), None).unwrap();
        assert_eq!(world.examined(&[secret()]), [Code::TARGET_WRITABLE]);
        let mut request = world.request(&[secret()]).unwrap();
        request.targets[0].directories.1 = NOBODY;
        let found = fitness::examine(&request, &world.state, &BTreeMap::new()).unwrap();
        assert!(found.is_empty(), "whom the manifest makes its owner may write there: {found:?}");
    }
}

#[test]
fn h10_flags_of_files_and_folders_are_seen_before_anything_is_written() {
    let world = World::new();
    let (a, d) = (world.target.join("a"), world.target.join("d"));
    std::fs::create_dir(&d).unwrap();
    std::fs::write(&a, "old").unwrap();
    for (path, flag, files) in [
        (&a, IFlags::IMMUTABLE, [file("a", "new")]),
        (&a, IFlags::APPEND, [file("a", "new")]),
        (&d, IFlags::APPEND, [file("d/b", "new")]),
        (&d, IFlags::IMMUTABLE, [file("d/e/b", "new")]),
        (&world.target, IFlags::IMMUTABLE, [file("d/e/b", "new")]),
    ] {
        if !is_root() || !set_flag(path, flag, true) {
            return left_out("root and a file system with chattr");
        }
        let found = world.examined(&files);
        assert!(set_flag(path, flag, false));
        assert_eq!(found, [Code::IMMUTABLE], "{}", path.display());
        assert_eq!(world.examined(&files), []);
    }
}

#[test]
fn h10_a_flag_set_after_the_plan_leaves_the_old_files() {
    let world = World::new();
    for folder in ["d", "e"] {
        std::fs::create_dir(world.target.join(folder)).unwrap();
    }
    let old = |it| file(it, "old");
    world.deploy(&[old("a"), old("d/b"), old("e/c")]).unwrap();
    let request = world.request(&[file("a", "new"), file("d/b", "new"), file("e/c", "new")]).unwrap();
    for path in ["e", "e/c"] {
        let staged = world.stage(&request).unwrap();
        let flagged = world.target.join(path);
        let flag = if path == "e" { IFlags::APPEND } else { IFlags::IMMUTABLE };
        if !is_root() || !set_flag(&flagged, flag, true) {
            return left_out("root and a file system with chattr");
        }
        let result = staged.commit(&world.key);
        assert!(set_flag(&flagged, flag, false));
        assert!(matches!(result, Err(transaction::CommitError::Before(_))), "{path}: {result:?}");
        for path in ["a", "d/b", "e/c"] {
            assert_eq!(std::fs::read_to_string(world.target.join(path)).unwrap(), "old");
        }
        assert!(names(&world.target).iter().all(|it| !it.starts_with(crate::host::PREFIX)));
    }
}

fn names(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn h12_too_little_space_and_too_few_inodes_are_seen_before_anything_is_written() {
    let world = World::new();
    if !is_root() {
        return;
    }
    let _mounted = Mounted::tmpfs(&world.target, "size=96k,nr_inodes=20");
    let large = "x".repeat(60 * 1024);
    assert_eq!(world.examined(&[file("a", &large)]), [Code::NO_SPACE], "twice the size is not there");
    let half = "x".repeat(40 * 1024);
    assert_eq!(world.examined(&[file("a", &half)]), []);
    world.deploy(&[file("a", &half)]).unwrap();
    let paths: Vec<String> = (0..18).map(|it| it.to_string()).collect();
    let many: Vec<File> = paths.iter().map(|it| file(it, "")).collect();
    assert_eq!(world.examined(&many), [Code::NO_SPACE]);
    assert_eq!(world.examined(&many[..10]), []);
}

#[test]
fn h12_a_disk_that_fills_up_meanwhile_keeps_the_old_files_and_nothing_else() {
    let world = World::new();
    if !is_root() {
        return;
    }
    let _mounted = Mounted::tmpfs(&world.target, "size=96k,nr_inodes=20");
    world.deploy(&[file("a", "old")]).unwrap();
    let new = "x".repeat(40 * 1024);
    let request = world.request(&[file("a", &new), file("b", "x")]).unwrap();
    std::fs::write(world.target.join("hog"), vec![0; 64 * 1024]).unwrap();
    let error = world.stage(&request).unwrap_err();
    assert_eq!(error.code(), Code::NO_SPACE);
    assert_eq!(std::fs::read_to_string(world.target.join("a")).unwrap(), "old");
    let mut left = names(&world.target);
    left.sort();
    assert_eq!(left, ["a", "hog"]);
    std::fs::remove_file(world.target.join("hog")).unwrap();
    world.deploy(&[file("a", &new), file("b", "x")]).unwrap();
}

#[test]
fn h11_a_remount_read_only_in_the_middle_leaves_old_or_new() {
    let world = World::new();
    if !is_root() {
        return;
    }
    let _mounted = Mounted::tmpfs(&world.target, "size=1m");
    world.deploy(&[file("a", "old")]).unwrap();
    let remount = |flags| rustix::mount::mount_remount(&world.target, flags, "").unwrap();
    let staged = world.stage(&world.request(&[file("a", "new"), file("b", "new")]).unwrap()).unwrap();
    remount(rustix::mount::MountFlags::RDONLY);
    assert_eq!(world.examined(&[file("a", "new")]), [Code::TARGET_READONLY]);
    assert!(matches!(staged.commit(&world.key), Err(transaction::CommitError::After(_))));
    assert_eq!(std::fs::read_to_string(world.target.join("a")).unwrap(), "old");
    let error = transaction::recover(&world.state, "site", &world.key).unwrap_err();
    assert_eq!(error.code(), Code::TARGET_READONLY, "{error}");
    remount(rustix::mount::MountFlags::empty());
    // The names had been put back already; what was left are the new files beside them.
    let found = transaction::recover(&world.state, "site", &world.key).unwrap();
    assert!(matches!(found, transaction::Recovered::Nothing), "{found:?}");
    assert_eq!(names(&world.target), ["a"]);
    assert_eq!(std::fs::read_to_string(world.target.join("a")).unwrap(), "old");
}

#[test]
fn h15_a_mount_inside_a_target_is_refused_also_when_it_is_the_same_file_system() {
    let world = World::new();
    let (d, other) = (world.target.join("d"), world.outside.join("other"));
    for dir in [&d, &other] {
        std::fs::create_dir(dir).unwrap();
    }
    if !is_root() {
        return;
    }
    for (n, mounted) in [Mounted::bind(&other, &d), Mounted::tmpfs(&d, "")].into_iter().enumerate() {
        let mut request = world.request(&[file("a", "x")]).unwrap();
        request.targets[0].changes[0].path = TargetPath::new(b"d/a").unwrap();
        let found = fitness::examine(&request, &world.state, &BTreeMap::new()).unwrap();
        assert_eq!(found.iter().map(Error::code).collect::<Vec<_>>(), [Code::XDEV], "{n}");
        for below in [world.dir().below("d"), world.dir().below_by_walking("d")] {
            assert!(matches!(below, Err(Error::MountPoint { .. })), "{n}: {below:?}");
        }
        drop(mounted);
    }
}

#[test]
fn h15_a_file_that_is_a_mount_point_is_refused() {
    let world = World::new();
    let other = world.outside.join("other");
    std::fs::write(&other, "other").unwrap();
    std::fs::write(world.target.join("a"), "old").unwrap();
    if !is_root() {
        return;
    }
    let _mounted = Mounted::bind(&other, &world.target.join("a"));
    assert_eq!(world.examined(&[file("a", "new")]), [Code::XDEV]);
}

#[test]
fn h16_another_file_system_than_the_last_time_is_refused() {
    let world = World::new();
    if !is_root() {
        return;
    }
    let request = world.request(&[file("a", "x")]).unwrap();
    let before = fitness::identity(&world.root()).unwrap();
    let known = |identity: &str| BTreeMap::from([(world.root(), identity.to_owned())]);
    let codes = |known: &BTreeMap<String, String>| {
        let found = fitness::examine(&request, &world.state, known).unwrap();
        found.iter().map(Error::code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&known(&before)), []);
    let mounted = Mounted::tmpfs(&world.target, "");
    let mounted_identity = fitness::identity(&world.root()).unwrap();
    assert_eq!(codes(&known(&before)), [Code::TARGET_DEVICE]);
    assert_eq!(codes(&known(&mounted_identity)), []);
    drop(mounted);
    assert_eq!(codes(&known(&mounted_identity)), [Code::TARGET_DEVICE], "it is not mounted any more");
    // A second tmpfs is as good as the first: after a restart it is always a new one.
    let _mounted = Mounted::tmpfs(&world.target, "");
    assert_eq!(codes(&known(&mounted_identity)), []);
}

#[test]
fn h24_a_file_system_that_says_what_it_is_is_refused() {
    let world = World::new();
    let mut request = world.request(&[file("a", "x")]).unwrap();
    request.targets[0].root = "/proc/sys/kernel/x".into();
    let found = fitness::examine(&request, &world.state, &BTreeMap::new()).unwrap();
    assert!(found.iter().any(|it| it.code() == Code::FS_UNFIT), "{found:?}");
}

#[test]
fn h18_an_owner_that_cannot_be_given_is_refused_once() {
    let world = World::new();
    if !is_root() {
        return;
    }
    for dir in [&world.outside, &world.target, &PathBuf::from(&world.state)] {
        std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let request = world.request(&[file("a", "x"), file("b", "x")]).unwrap();
    let found = as_nobody(|| fitness::examine(&request, &world.state, &BTreeMap::new()).unwrap());
    assert_eq!(found.iter().map(Error::code).collect::<Vec<_>>(), [Code::CAP], "{found:?}");
    let own = as_nobody(|| {
        let request = world.request(&[file("a", "x")]).unwrap();
        fitness::examine(&request, &world.state, &BTreeMap::new()).unwrap()
    });
    assert!(own.is_empty(), "{own:?}");
}

use super::*;
use rustix::fs::XattrFlags;
use std::os::unix::fs::MetadataExt;

const ACCESS_LIST: &str = "system.posix_acl_access";
const DEFAULT_LIST: &str = "system.posix_acl_default";
const CAPABILITY: &str = "security.capability";
const LABEL: &str = "security.selinux";

/// `cap_net_bind_service=ep`, as the kernel stores it.
const BIND: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// An access list with one entry for `user` beside the three that the mode has, as the kernel stores it.
fn access_list(user: u32, rights: u16) -> Vec<u8> {
    let none = u32::MAX;
    let entries = [(0x01, 6, none), (0x02, rights, user), (0x04, 4, none), (0x10, rights | 4, none), (0x20, 0, none)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        let (tag, rights, id): (u16, u16, u32) = (tag, rights, id);
        bytes.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Sets an attribute; `false` where the file system or this user cannot have it.
fn set(path: &Path, name: &str, value: &[u8]) -> bool {
    rustix::fs::setxattr(path, name, value, XattrFlags::empty()).is_ok()
}

fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut buffer = [0; 256];
    let n = rustix::fs::getxattr(path, name, &mut buffer).ok()?;
    Some(buffer[..n].to_vec())
}

/// Returns what the access list lets a user do, without the mask.
fn rights_of(path: &Path, user: u32) -> Option<u16> {
    let list = get(path, ACCESS_LIST)?;
    let entry = list[4..].chunks(8).find(|it| it[..2] == [2, 0] && it[4..] == user.to_le_bytes())?;
    Some(u16::from_le_bytes([entry[2], entry[3]]))
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn h19_a_new_file_takes_over_access_list_user_attributes_and_label() {
    let world = World::new();
    let a = world.target.join("a");
    world.deploy(&[file("a", "old")]).unwrap();
    if !set(&a, "user.note", b"mine") || !set(&a, ACCESS_LIST, &access_list(NOBODY, 4)) {
        return left_out("a file system with extended attributes");
    }
    let has_label = set(&a, LABEL, b"system_u:object_r:etc_t:s0\0");
    world.deploy(&[file("a", "new")]).unwrap();
    assert_eq!(std::fs::read_to_string(&a).unwrap(), "new");
    assert_eq!(get(&a, "user.note").as_deref(), Some(b"mine".as_slice()));
    assert_eq!(rights_of(&a, NOBODY), Some(4));
    assert_eq!(mode(&a), 0o640);
    if has_label {
        assert_eq!(get(&a, LABEL).as_deref(), Some(b"system_u:object_r:etc_t:s0\0".as_slice()));
    }
    // The mode is exactly what is declared: it is the list's mask, so the list gives no more than it.
    world.deploy(&[File { mode: 0o600, ..file("a", "newer") }]).unwrap();
    assert_eq!((mode(&a), rights_of(&a, NOBODY)), (0o600, Some(4)));
}

#[test]
fn h19_a_file_capability_stays_only_while_the_content_does() {
    let world = World::new();
    let a = world.target.join("a");
    world.deploy(&[file("a", "program")]).unwrap();
    if !is_root() || !set(&a, CAPABILITY, BIND) {
        return left_out("file capabilities");
    }
    world.deploy(&[File { mode: 0o750, ..file("a", "program") }]).unwrap();
    assert_eq!(get(&a, CAPABILITY).as_deref(), Some(BIND), "only its mode changed");
    world.deploy(&[file("a", "another program")]).unwrap();
    assert_eq!(get(&a, CAPABILITY), None);
}

#[test]
fn h19_a_file_that_becomes_sensitive_forgets_whom_its_access_list_let_in() {
    let world = World::new();
    let a = world.target.join("a");
    world.deploy(&[file("a", "plain")]).unwrap();
    if !set(&a, ACCESS_LIST, &access_list(NOBODY, 4)) {
        return left_out("a file system with access lists");
    }
    let mut request = world.request(&[File { sensitive: true, ..file("a", "secret") }]).unwrap();
    request.targets[0].changes[0].row_before.as_mut().unwrap().sensitive = false;
    let mut switched = world.stage(&request).unwrap().commit(&world.key).unwrap();
    switched.settle().unwrap();
    switched.finish().unwrap();
    assert_eq!(rights_of(&a, NOBODY), None);
    // What someone gave to the secret itself stays.
    assert!(set(&a, ACCESS_LIST, &access_list(NOBODY, 4)));
    world.deploy(&[File { sensitive: true, ..file("a", "newer secret") }]).unwrap();
    assert_eq!(rights_of(&a, NOBODY), Some(4));
}

#[test]
fn h19_attributes_are_part_of_what_is_read_back() {
    let world = World::new();
    let a = world.target.join("a");
    world.deploy(&[file("a", "old")]).unwrap();
    if !set(&a, "user.note", b"mine") {
        return left_out("a file system with extended attributes");
    }
    let staged = world.stage(&world.request(&[file("a", "new")]).unwrap()).unwrap();
    let staging = std::fs::read_dir(&world.target).unwrap().map(|it| it.unwrap().path());
    let slot = staging.filter(|it| it.is_dir()).map(|it| it.join("0")).next().unwrap();
    assert!(set(&slot, "user.note", b"forged"));
    let error = staged.commit(&world.key).unwrap_err();
    assert!(error.to_string().contains("extended attributes differ"), "{error}");
    assert_eq!(std::fs::read_to_string(&a).unwrap(), "old");
}

#[test]
fn h21_a_default_access_list_and_setgid_do_not_change_what_is_declared() {
    let world = World::new();
    let (plain, shared) = (world.target.join("plain"), world.target.join("shared"));
    for dir in [&plain, &shared] {
        std::fs::create_dir(dir).unwrap();
    }
    if !set(&shared, DEFAULT_LIST, &access_list(NOBODY, 6)) || !set(&world.target, DEFAULT_LIST, &access_list(1, 6)) {
        return left_out("a file system with access lists");
    }
    if is_root() {
        std::os::unix::fs::chown(&shared, None, Some(NOBODY)).unwrap();
    }
    set_mode(&shared, 0o2755);
    let all = [file("plain/a", "x"), file("shared/b", "x"), file("shared/new/c", "x"), file("top", "x")];
    let secret = File { mode: 0o600, sensitive: true, ..file("shared/secret", "x") };
    world.deploy(&all.into_iter().chain([secret]).collect::<Vec<_>>()).unwrap();
    let own = rustix::process::getegid().as_raw();
    for path in ["plain/a", "shared/b", "shared/new/c", "top"] {
        let found = std::fs::metadata(world.target.join(path)).unwrap();
        assert_eq!((found.mode() & 0o7777, found.gid()), (0o640, own), "{path}");
    }
    let at = |path: &str| world.target.join(path);
    assert_eq!((mode(&at("shared/new")), mode(&at("shared/secret"))), (0o755, 0o600));
    // Whom the folder's list names is named in what is made in it, within the mode; nobody is named for other folders.
    assert_eq!(rights_of(&at("shared/b"), NOBODY), Some(6));
    assert_eq!(rights_of(&at("shared/new/c"), NOBODY), Some(6));
    assert_eq!((rights_of(&at("top"), 1), rights_of(&at("shared/b"), 1)), (Some(6), None));
    assert_eq!((get(&at("plain/a"), ACCESS_LIST), get(&at("shared/secret"), ACCESS_LIST)), (None, None));
    assert!(get(&at("shared/new"), DEFAULT_LIST).is_some());
}

#[test]
fn h19_a_new_file_gets_its_folders_label() {
    let world = World::new();
    let d = world.target.join("d");
    std::fs::create_dir(&d).unwrap();
    if !is_root() || !set(&d, LABEL, b"system_u:object_r:web_t:s0\0") {
        return left_out("root and labels");
    }
    world.deploy(&[file("d/e/a", "x"), file("b", "x")]).unwrap();
    assert_eq!(get(&d.join("e/a"), LABEL).as_deref(), Some(b"system_u:object_r:web_t:s0\0".as_slice()));
    assert_eq!(get(&world.target.join("b"), LABEL), None);
}

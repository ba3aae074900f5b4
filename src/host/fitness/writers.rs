//! Who can write in a directory besides root and this process.

use super::Access;
use crate::host::Error;
use crate::host::dir::Dir;

/// Whom a directory may belong to without harm.
pub(super) struct Writers {
    uid: u32,
    /// In a user namespace that root is not part of, its files seem to belong to this user.
    unmapped: Option<u32>,
    /// This process's own group, when nobody else is in it.
    private_gid: Option<u32>,
}

impl Writers {
    pub(super) fn known() -> Writers {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let map = read("/proc/self/uid_map");
        let overflow = || read("/proc/sys/kernel/overflowuid").trim().parse().ok();
        let is_private = uid != 0 && is_private(gid, uid, &read("/etc/passwd"), &read("/etc/group"));
        Writers {
            uid,
            unmapped: if maps_root(&map) { None } else { overflow() },
            private_gid: is_private.then_some(gid),
        }
    }

    /// Returns every directory on the way to a target in which someone else could give another directory its name.
    pub(super) fn on_the_way(&self, target: &str) -> Result<Vec<Error>, Error> {
        let mut found = Vec::new();
        let ends = target.match_indices('/').map(|it| it.0);
        for path in ends.map(|end| if end == 0 { "/" } else { &target[..end] }) {
            let Some(dir) = Dir::open_to_look(path)? else { break };
            // Asking for an access list takes a right to read; where that lacks, the bits are taken for its mask.
            let access = match Dir::open(path) {
                Ok(Some(dir)) => Access::of(&dir)?,
                _ => Access { has_list: true, ..Access::without_list(&dir)? },
            };
            if let Some(why) = self.besides(&access, &[], &[], true) {
                found.push(Error::Parent { path: path.to_owned(), target: target.to_owned(), why });
            }
        }
        Ok(found)
    }

    /// Returns who else can write in a directory. In one with the sticky bit nobody can take away what belongs to others.
    pub(super) fn besides(&self, access: &Access, uids: &[u32], gids: &[u32], sticky_helps: bool) -> Option<String> {
        let Access { mode, uid, gid, has_list } = *access;
        let known_group = gid == 0 || Some(gid) == self.private_gid || gids.contains(&gid);
        if uid != 0 && uid != self.uid && Some(uid) != self.unmapped && !uids.contains(&uid) {
            Some(format!("belongs to user {uid}"))
        } else if sticky_helps && mode & 0o1000 != 0 {
            None
        } else if mode & 0o002 != 0 {
            Some("can be written by everyone".to_owned())
        } else if mode & 0o020 != 0 && has_list {
            Some("can be written by those in its access list".to_owned())
        } else {
            (mode & 0o020 != 0 && !known_group).then(|| format!("can be written by group {gid}"))
        }
    }
}

/// Returns whether a user namespace's map (user_namespaces(7)) has root in it; without one nothing is mapped away.
fn maps_root(map: &str) -> bool {
    let outside = |line: &str| line.split_ascii_whitespace().nth(1).map(str::to_owned);
    map.is_empty() || map.lines().any(|line| outside(line).as_deref() == Some("0"))
}

/// Returns whether a group has one user alone: the distributions that give each user a group of his own let it write.
fn is_private(gid: u32, uid: u32, passwd: &str, group: &str) -> bool {
    let numbered = |line: &&str, field: usize, number: u32| line.split(':').nth(field) == Some(&number.to_string());
    let Some(user) = passwd.lines().find(|it| numbered(it, 2, uid)).and_then(|it| it.split(':').next()) else {
        return false;
    };
    let Some(members) = group.lines().find(|it| numbered(it, 2, gid)).and_then(|it| it.split(':').nth(3)) else {
        return false;
    };
    members.split(',').all(|it| it.is_empty() || it == user)
        && passwd.lines().filter(|it| numbered(it, 3, gid)).all(|it| numbered(&it, 2, uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Writers = Writers { uid: 1000, unmapped: None, private_gid: Some(1000) };

    fn judged(mode: u32, uid: u32, gid: u32, has_list: bool) -> Option<String> {
        ME.besides(&Access { mode, uid, gid, has_list }, &[], &[], true)
    }

    #[test]
    fn h03_only_root_and_oneself_may_write_on_the_way() {
        for (mode, uid, gid) in [(0o755, 0, 0), (0o755, 1000, 1000), (0o775, 1000, 1000), (0o775, 0, 0), (0o1777, 0, 0)]
        {
            assert_eq!(judged(mode, uid, gid, false), None, "{mode:o} {uid} {gid}");
        }
        for (mode, uid, gid) in [
            (0o755, 1001, 0),
            (0o777, 0, 0),
            (0o757, 1000, 1000),
            (0o775, 0, 50),
            (0o1777, 1001, 0),
            (0o770, 1000, 100),
        ] {
            assert!(judged(mode, uid, gid, false).is_some(), "{mode:o} {uid} {gid}");
        }
        assert!(judged(0o775, 0, 0, true).is_some(), "the group's bits are the mask of an access list");
        assert_eq!(judged(0o755, 0, 0, true), None);
    }

    #[test]
    fn h04_the_declared_owner_may_write_and_sticky_does_not_help() {
        let access = |mode, uid, gid| Access { mode, uid, gid, has_list: false };
        assert_eq!(ME.besides(&access(0o775, 33, 33), &[33], &[33], false), None);
        assert!(ME.besides(&access(0o775, 33, 34), &[33], &[33], false).is_some());
        assert!(ME.besides(&access(0o1777, 0, 0), &[33], &[33], false).is_some());
    }

    #[test]
    fn a_private_group_has_one_user() {
        let passwd = "root:x:0:0::/:\nana:x:1000:1000::/:\nben:x:1001:100::/:\ncy:x:1002:100::/:\n";
        let group = "root:x:0:\nana:x:1000:\nusers:x:100:\nteam:x:200:ana,ben\n";
        assert!(is_private(1000, 1000, passwd, group));
        assert!(!is_private(100, 1001, passwd, group), "two users have it");
        assert!(!is_private(200, 1000, passwd, group), "it has another member");
        assert!(!is_private(4000, 1000, passwd, group) && !is_private(1000, 4000, passwd, group));
    }

    #[test]
    fn n21_root_outside_a_user_namespace_is_known_by_the_overflow_user() {
        assert!(maps_root("         0          0 4294967295\n") && maps_root(""));
        assert!(maps_root("0 0 1\n1000 1000 1\n"));
        assert!(!maps_root("         0       1000          1\n"));
    }
}

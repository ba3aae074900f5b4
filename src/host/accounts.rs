//! Users and groups by name.

use super::Error;
use crate::plan::Accounts;
use std::collections::{BTreeMap, BTreeSet};

/// Looks up the numbers of users and groups. A number stands for itself; a name is looked for in `/etc/passwd` or
/// `/etc/group` (passwd(5), group(5)), and then asked of the name service through getent(1).
pub fn resolve(users: &BTreeSet<String>, groups: &BTreeSet<String>) -> Result<Accounts, Error> {
    Ok(Accounts {
        users: numbers("user", "/etc/passwd", "passwd", users)?,
        groups: numbers("group", "/etc/group", "group", groups)?,
        default_uid: rustix::process::geteuid().as_raw(),
        default_gid: rustix::process::getegid().as_raw(),
    })
}

fn numbers(
    kind: &'static str,
    file: &str,
    database: &str,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, u32>, Error> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let table = std::fs::read_to_string(file).unwrap_or_default();
    let number_of = |name: &String| {
        let number = name.parse().ok().or_else(|| number_in(&table, name)).or_else(|| ask(database, name));
        number.map(|it| (name.clone(), it)).ok_or_else(|| Error::Account { kind, name: name.clone() })
    };
    names.iter().map(number_of).collect()
}

/// Returns the third field of the line that begins with the name.
fn number_in(table: &str, name: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1))??.parse().ok()
    })
}

fn ask(database: &str, name: &str) -> Option<u32> {
    if name.starts_with('-') {
        return None;
    }
    let output =
        std::process::Command::new("getent").args([database, name]).stdin(std::process::Stdio::null()).output();
    number_in(&String::from_utf8_lossy(&output.ok()?.stdout), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|it| it.to_string()).collect()
    }

    #[test]
    fn h17_an_unknown_owner_is_an_error() {
        let error = resolve(&set(&["no-such-user-here"]), &set(&[])).unwrap_err();
        assert_eq!(error.to_string(), "this host has no user named \"no-such-user-here\"");
    }

    #[test]
    fn names_and_numbers_are_found() {
        let accounts = resolve(&set(&["root", "1234"]), &set(&["root"])).unwrap();
        assert_eq!((accounts.users["root"], accounts.users["1234"], accounts.groups["root"]), (0, 1234, 0));
    }
}

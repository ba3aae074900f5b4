//! The model does what it says, so that an exploration that finds nothing means something.

use super::*;
use crate::host::Dir;
use rustix::fs::RenameFlags;
use std::io::Write;

/// Boots an empty disk, does `work` in its root and returns what every power loss may leave: the root's files by name.
fn losses(prepare: impl FnOnce(&Dir), work: impl FnOnce(&Dir)) -> BTreeSet<Vec<(String, String)>> {
    let machine = Machine::boot(&Disk::new(), 1);
    let root = Dir::open("/").unwrap().unwrap();
    prepare(&root);
    root.flush_file_system().unwrap();
    work(&root);
    let all = machine.0.disk().after_power_loss(1000, &mut Dice(1)).0;
    all.iter().map(|disk| disk.files("/").into_iter().map(|it| (it.path, it.text)).collect()).collect()
}

fn write(dir: &Dir, name: &str, text: &str, flush: bool) {
    let mut file = dir.create(name).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    if flush {
        file.flush_to_disk().unwrap();
    }
}

fn set(all: &[&[(&str, &str)]]) -> BTreeSet<Vec<(String, String)>> {
    all.iter().map(|one| one.iter().map(|it| (it.0.into(), it.1.into())).collect()).collect()
}

#[test]
fn what_is_not_flushed_is_lost_empty_torn_or_kept() {
    let found = losses(|_| {}, |root| write(root, "a", "text", false));
    assert_eq!(found, set(&[&[], &[("a", "")], &[("a", "te")], &[("a", "text")]]));
}

#[test]
fn a_flushed_file_may_still_lose_its_name() {
    let found = losses(|_| {}, |root| write(root, "a", "text", true));
    assert_eq!(found, set(&[&[], &[("a", "text")]]));
    let found = losses(
        |_| {},
        |root| {
            write(root, "a", "text", true);
            root.flush().unwrap();
        },
    );
    assert_eq!(found, set(&[&[("a", "text")]]));
}

#[test]
fn changes_of_different_names_are_independent_and_an_exchange_is_atomic() {
    let prepare = |root: &Dir| {
        write(root, "a", "1", true);
        write(root, "b", "2", true);
        write(root, "c", "3", true);
    };
    let found = losses(prepare, |root| {
        root.rename("a", root, "b", RenameFlags::EXCHANGE).unwrap();
        root.unlink("c").unwrap();
    });
    let (old, new, c) = ([("a", "1"), ("b", "2")], [("a", "2"), ("b", "1")], ("c", "3"));
    assert_eq!(found, set(&[&old, &new, &[old[0], old[1], c], &[new[0], new[1], c]]));
}

#[test]
fn a_file_that_moves_is_never_lost() {
    let found = losses(
        |root| write(root, "a", "1", true),
        |root| {
            root.make_dir("d").unwrap();
            let dir = root.below("d").unwrap().unwrap();
            root.rename("a", &dir, "a", RenameFlags::NOREPLACE).unwrap();
        },
    );
    assert_eq!(found, set(&[&[("a", "1")], &[("a", "1"), ("d/", "")], &[("d/", ""), ("d/a", "1")]]));
}

#[test]
fn a_directory_goes_only_with_what_was_in_it() {
    let prepare = |root: &Dir| {
        root.make_dir("d").unwrap();
        write(&root.below("d").unwrap().unwrap(), "f", "1", true);
    };
    let found = losses(prepare, |root| {
        root.below("d").unwrap().unwrap().unlink("f").unwrap();
        assert!(root.remove_dir("d").unwrap());
    });
    assert_eq!(found, set(&[&[], &[("d/", "")], &[("d/", ""), ("d/f", "1")]]));
}

#[test]
fn a_directory_moves_with_all_that_is_in_it() {
    let prepare = |root: &Dir| {
        ["d", "e"].iter().for_each(|it| assert!(root.make_dir(it).unwrap()));
        root.below("d").unwrap().unwrap().make_dir("t").unwrap();
        write(&root.below("d/t").unwrap().unwrap(), "f", "1", true);
    };
    let found = losses(prepare, |root| {
        let [from, to] = ["d", "e"].map(|it| root.below(it).unwrap().unwrap());
        from.rename("t", &to, "t", RenameFlags::NOREPLACE).unwrap();
    });
    let (d, e) = (("d/", ""), ("e/", ""));
    assert_eq!(found, set(&[&[d, ("d/t/", ""), ("d/t/f", "1"), e], &[d, e, ("e/t/", ""), ("e/t/f", "1")]]));
}

#[test]
fn a_second_name_is_lost_alone_and_holds_what_is_written_by_the_first() {
    let found = losses(
        |root| write(root, "a", "1", true),
        |root| {
            root.make_dir("d").unwrap();
            root.link("a", &root.below("d").unwrap().unwrap(), "b").unwrap();
            root.unlink("a").unwrap();
        },
    );
    let (a, d, b) = (("a", "1"), ("d/", ""), ("d/b", "1"));
    // Nothing keeps a name that went from being gone before the other is there; nothing may rely on it.
    assert_eq!(found, set(&[&[], &[a], &[d], &[a, d], &[d, b], &[a, d, b]]));
}

#[test]
fn blocks_are_shared_where_the_disk_can_and_are_as_little_durable_as_written_ones() {
    // The new file is left empty, torn or whole.
    for reflinks in [false, true] {
        let machine = Machine::boot(&Disk { reflinks, ..Disk::new() }, 1);
        let root = Dir::open("/").unwrap().unwrap();
        write(&root, "a", "text", true);
        let copy = root.create("b").unwrap();
        root.flush().unwrap();
        assert_eq!(copy.reflink(&root.read("a").unwrap()).unwrap(), reflinks);
        assert_eq!(machine.0.disk().after_power_loss(100, &mut Dice(1)).0.len(), if reflinks { 3 } else { 1 });
    }
}

#[test]
fn an_attribute_is_durable_once_the_file_is_flushed() {
    let machine = Machine::boot(&Disk::new(), 1);
    let root = Dir::open("/").unwrap().unwrap();
    write(&root, "a", "text", true);
    root.flush().unwrap();
    let file = root.read("a").unwrap();
    file.opened().set_attribute(b"user.a", b"1").unwrap();
    let kept = || {
        let all = machine.0.disk().after_power_loss(100, &mut Dice(1)).0;
        all.iter().map(|it| it.files("/")[0].attributes.len()).collect::<BTreeSet<_>>()
    };
    assert_eq!(kept(), BTreeSet::from([0, 1]));
    file.flush_to_disk().unwrap();
    assert_eq!(kept(), BTreeSet::from([1]));
}

#[test]
fn after_a_failed_flush_no_later_one_writes_the_data() {
    let machine = Machine::boot(&Disk::new(), 1);
    let root = Dir::open("/").unwrap().unwrap();
    machine.0.arm(Some(Fault::Error(2, Errno::IO, Reach::Once)));
    let mut file = root.create("a").unwrap();
    file.write_all(b"text").unwrap();
    assert!(file.flush_to_disk().is_err());
    file.flush_to_disk().unwrap();
    root.flush().unwrap();
    assert_eq!(machine.0.disk().after_power_loss(100, &mut Dice(1)).0.len(), 3);
}

#[test]
fn a_lock_belongs_to_a_handle_and_ends_with_it() {
    let _machine = Machine::boot(&Disk::new(), 1);
    let open = || Dir::open("/").unwrap().unwrap();
    let first = open();
    assert!(first.lock().unwrap() && first.lock().unwrap());
    assert!(!open().lock().unwrap());
    drop(first);
    assert!(open().lock().unwrap());
}

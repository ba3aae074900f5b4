//! Where a target is live: in its own directory, or in the generation that its link `current` names.
//!
//! The disk alone says which: a target with a folder of generations is published by them, and any other in place.

use super::Error;
use super::dir::{Dir, type_name};
use crate::manifest::Publish;
use rustix::fs::FileType;

/// The folder of a target that holds its generations; the name begins with [`PREFIX`](super::PREFIX), which is headfast's own.
pub const GENERATIONS: &str = ".headfast-generations";

/// The link in a target that names the generation that is live.
pub const CURRENT: &str = "current";

/// How a target directory is published, as it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The files are in the directory itself.
    InPlace,
    /// The files are in the generation with a number; `None` when the link that would name it is missing.
    Generations(Option<u64>),
}

/// Opens the directory in which a target's files are live; `None` when there is none.
///
/// The link is not followed: its text must name a generation of the same target, which is then opened beneath it.
pub fn open(root: &str) -> Result<Option<Dir>, Error> {
    let Some(target) = Dir::open(root)? else { return Ok(None) };
    match published(&target)? {
        Published::InPlace => Ok(Some(target)),
        Published::Generations(None) => Ok(None),
        Published::Generations(Some(number)) => target.below(&text_of(number)),
    }
}

/// Returns how a target is published. A `current` beside generations that is not headfast's own link is an error.
pub fn published(target: &Dir) -> Result<Published, Error> {
    let link = target.look(CURRENT)?;
    if link.as_ref().is_some_and(|it| it.kind == FileType::Symlink)
        && let Some(number) = number_of(&target.link_text(CURRENT)?)
    {
        return Ok(Published::Generations(Some(number)));
    }
    match (link, target.look(GENERATIONS)?) {
        (_, None) => Ok(Published::InPlace),
        (None, Some(_)) => Ok(Published::Generations(None)),
        (Some(foreign), Some(_)) => Err(foreign_link(target, foreign.kind)),
    }
}

/// Refuses a target that cannot be published as it shall be; `recorded` are the paths that headfast wrote in it.
pub fn judge<'a>(root: &str, wanted: Publish, recorded: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let Some(target) = Dir::open(root)? else { return Ok(()) };
    match (published(&target)?, wanted) {
        (Published::InPlace, Publish::InPlace) | (Published::Generations(_), Publish::Generations) => Ok(()),
        (Published::Generations(_), Publish::InPlace) => {
            Err(Error::Publish { path: root.to_owned(), found: "by generations", wanted: "in-place" })
        }
        (Published::InPlace, Publish::Generations) => {
            for path in recorded {
                if super::scan::look(&target, path)?.is_some() {
                    return Err(Error::Publish { path: root.to_owned(), found: "in place", wanted: "generations" });
                }
            }
            no_foreign_link(&target)
        }
    }
}

/// Refuses a target in which something else has the name of the link.
pub(super) fn no_foreign_link(target: &Dir) -> Result<(), Error> {
    match target.look(CURRENT)? {
        Some(foreign) => Err(foreign_link(target, foreign.kind)),
        None => Ok(()),
    }
}

fn foreign_link(target: &Dir, kind: FileType) -> Error {
    let found = if kind == FileType::Symlink { "a link that headfast did not make" } else { type_name(kind) };
    Error::WrongType { path: target.path_of(CURRENT), found }
}

/// Returns the link's text that names a generation, which is also its path in the target.
pub(super) fn text_of(number: u64) -> String {
    format!("{GENERATIONS}/{number}")
}

/// Returns the generation that a link's text names.
pub(super) fn number_of(text: &str) -> Option<u64> {
    let name = text.strip_prefix(GENERATIONS)?.strip_prefix('/')?;
    let number: u64 = name.parse().ok()?;
    // No other spelling of the number, such as `+7` or `07`, leads to a folder that headfast made.
    (number.to_string() == name).then_some(number)
}

/// Returns the generations that a target has, the newest first.
pub(super) fn numbers(target: &Dir) -> Result<Vec<u64>, Error> {
    let Some(folder) = target.below(GENERATIONS)? else { return Ok(Vec::new()) };
    let names = folder.names()?;
    let named = names.iter().filter_map(|it| number_of(&format!("{GENERATIONS}/{}", std::str::from_utf8(it).ok()?)));
    let mut numbers: Vec<u64> = named.collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().to_str().unwrap().to_owned();
        (dir, path)
    }

    fn link(root: &str, text: &str) {
        std::fs::remove_file(format!("{root}/current")).ok();
        std::os::unix::fs::symlink(text, format!("{root}/current")).unwrap();
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_refused() {
        let (_dir, root) = target();
        std::fs::create_dir_all(format!("{root}/{GENERATIONS}/7")).unwrap();
        for text in ["/tmp", "..", ".headfast-generations", ".headfast-generations/", ".headfast-generations/../x"] {
            link(&root, text);
            let error = open(&root).unwrap_err();
            assert!(matches!(error, Error::WrongType { .. }), "{text}: {error}");
        }
        for text in [".headfast-generations/+7", ".headfast-generations/07", "./.headfast-generations/7"] {
            link(&root, text);
            assert!(open(&root).is_err(), "{text}");
        }
        std::fs::remove_file(format!("{root}/current")).unwrap();
        std::fs::create_dir(format!("{root}/current")).unwrap();
        let error = open(&root).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{root}/current is a directory; move it away, headfast does not replace it")
        );
    }

    #[test]
    fn h06_a_generation_that_is_a_link_is_refused() {
        let (_dir, root) = target();
        std::fs::create_dir(format!("{root}/{GENERATIONS}")).unwrap();
        std::os::unix::fs::symlink("/tmp", format!("{root}/{GENERATIONS}/7")).unwrap();
        link(&root, ".headfast-generations/7");
        assert!(matches!(open(&root), Err(Error::Symlink { .. })));
        std::fs::rename(format!("{root}/{GENERATIONS}"), format!("{root}/elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", format!("{root}/{GENERATIONS}")).unwrap();
        assert!(matches!(open(&root), Err(Error::Symlink { .. })));
        assert!(matches!(numbers(&Dir::open(&root).unwrap().unwrap()), Err(Error::Symlink { .. })));
    }

    #[test]
    fn the_disk_says_where_a_target_is_live() {
        let (_dir, root) = target();
        assert_eq!(open(&root).unwrap().unwrap().path(), root);
        link(&root, "/tmp");
        assert_eq!(open(&root).unwrap().unwrap().path(), root, "without generations a link is like any other");
        std::fs::remove_file(format!("{root}/current")).unwrap();
        for number in [9, 10] {
            std::fs::create_dir_all(format!("{root}/{GENERATIONS}/{number}")).unwrap();
        }
        assert!(open(&root).unwrap().is_none(), "the link is missing");
        link(&root, ".headfast-generations/9");
        assert_eq!(open(&root).unwrap().unwrap().path(), format!("{root}/{GENERATIONS}/9"));
        link(&root, ".headfast-generations/11");
        assert!(open(&root).unwrap().is_none(), "the generation is missing");
        assert_eq!(numbers(&Dir::open(&root).unwrap().unwrap()).unwrap(), [10, 9]);
    }

    #[test]
    fn how_a_target_is_published_cannot_change() {
        let (_dir, root) = target();
        let recorded = || ["gone", "a"].into_iter();
        judge(&root, Publish::Generations, recorded()).unwrap();
        std::fs::write(format!("{root}/a"), "").unwrap();
        assert!(matches!(judge(&root, Publish::Generations, recorded()), Err(Error::Publish { .. })));
        std::fs::remove_file(format!("{root}/a")).unwrap();
        std::fs::write(format!("{root}/current"), "").unwrap();
        assert!(matches!(judge(&root, Publish::Generations, recorded()), Err(Error::WrongType { .. })));
        judge(&root, Publish::InPlace, recorded()).unwrap();
        std::fs::remove_file(format!("{root}/current")).unwrap();
        std::fs::create_dir(format!("{root}/{GENERATIONS}")).unwrap();
        judge(&root, Publish::Generations, recorded()).unwrap();
        assert!(matches!(judge(&root, Publish::InPlace, recorded()), Err(Error::Publish { .. })));
    }
}

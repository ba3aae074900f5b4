//! What may come.

use super::model::Files;
use super::*;
use crate::deploy::tests::faults::{Until, died};
use crate::deploy::{Error, RollbackTo};
use std::os::unix::fs::PermissionsExt;

/// The paths that come and go. Each target keeps one file more, so that it never becomes empty.
const PATHS: [&str; 7] = ["app/a", "app/b", "app/d/e", "app/d/f", "app/x/y", "other/a", "other/d/e"];

impl Simulation {
    /// Lets one event happen, and looks whether the promises hold.
    pub(super) fn event(&mut self) {
        let fuse = self.chance.one_in(3).then(|| 1 + self.chance.below(14));
        match self.chance.below(20) {
            0..=3 => self.push(),
            4..=6 => self.edit(),
            7..=10 => self.sync(fuse),
            11 | 12 => self.drift(fuse),
            13 => self.roll_back(fuse),
            14 => self.retry(fuse),
            15 => self.suspend_or_resume(),
            16 => self.go_away_or_come_back(),
            17 | 18 => self.die(),
            _ => self.damage(),
        }
    }

    /// Someone pushes.
    pub(super) fn push(&mut self) {
        let Some(head) = self.head() else {
            let files = ["app/keep", "app/a", "app/d/e", "other/keep", "other/a"];
            let files = files.map(|it| (it.to_owned(), self.content("start"))).into();
            self.commit("start", Fate::Good, &files);
            return self.tell("push: start");
        };
        let (fate, mut files) = match self.chance.below(10) {
            0..=3 => (Fate::Good, self.changed(&head)),
            4..=6 => (Fate::Bad, self.changed(&head)),
            7 => (Fate::Invalid, self.changed(&head)),
            8 => {
                let commit = self.chance.of(&self.commits);
                self.revision(&commit)
            }
            _ => (Fate::Good, self.revision(&head).1),
        };
        // Where no file changes nothing is probed: a commit that fails differs from every good one.
        let keep = files.get_mut("app/keep").unwrap();
        if (fate == Fate::Bad) != keep.starts_with("fails") {
            *keep = format!("{} {}", if fate == Fate::Bad { "fails" } else { "works" }, self.commits.len());
        }
        let subject = format!("{fate:?} {}", self.commits.len());
        let id = self.commit(&subject, fate, &files);
        self.tell(format!("push: {subject} {}", &id[..12]));
    }

    /// Returns the files of a commit with some changes.
    fn changed(&mut self, commit: &str) -> Files {
        let (_, mut files) = self.revision(commit);
        for _ in 0..1 + self.chance.below(3) {
            let path = self.chance.of(&PATHS).to_owned();
            match files.contains_key(&path) && self.chance.one_in(3) {
                true => files.remove(&path),
                false => files.insert(path, self.content("pushed")),
            };
        }
        files
    }

    fn content(&mut self, origin: &str) -> String {
        self.n_contents += 1;
        format!("{origin} {}", self.n_contents)
    }

    /// Someone changes a live file, or one that is none of headfast's business.
    fn edit(&mut self) {
        let path = self.chance.of(&[PATHS.as_slice(), &["app/keep", "other/keep", "app/mine"]].concat()).to_owned();
        let place = self.place(&path);
        let Some(folder) = place.parent().filter(|it| it.exists()) else { return };
        let how = self.chance.below(5);
        if how > 2 && !place.exists() {
            return;
        }
        if how == 4 {
            self.tell(format!("chmod: {path}"));
            self.touched.insert(path);
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o600)).unwrap();
            return self.promises(false);
        }
        // Whoever overwrites his own words does not want them back.
        let before = std::fs::read_to_string(&place).unwrap_or_default();
        self.edits.retain(|it| *it != (path.clone(), before.clone()));
        if how == 3 {
            self.tell(format!("remove: {path}"));
            self.touched.insert(path);
            std::fs::remove_file(&place).unwrap();
            return self.promises(false);
        }
        let content = self.content("edited");
        match how {
            0 => std::fs::write(&place, &content).unwrap(),
            _ => {
                std::fs::write(folder.join("saving"), &content).unwrap();
                std::fs::rename(folder.join("saving"), &place).unwrap();
            }
        }
        self.tell(format!("{}: {path} {content}", if how == 0 { "edit in place" } else { "save over" }));
        self.written.entry(path.clone()).or_default().insert(content.clone());
        self.edits.push((path, content));
        self.promises(false);
    }

    pub(super) fn sync(&mut self, fuse: Option<usize>) {
        let trigger = self.chance.of(&[Trigger::Manual, Trigger::Poll, Trigger::Push]);
        self.tell(format!("sync by {}", trigger.as_str()));
        let made = self.with(fuse, |it| it.sync(trigger));
        self.after(made);
    }

    fn drift(&mut self, fuse: Option<usize>) {
        self.tell("drift");
        let made = self.with(fuse, |it| ConfigurationMonitor::new(it).pass());
        if let Some(Err(error)) = &made {
            self.hold(self.is_damaged, || format!("the drift pass fails: {error}"));
        }
        self.promises(made.is_some());
    }

    fn roll_back(&mut self, fuse: Option<usize>) {
        self.tell("roll back");
        let made = self.with(fuse, |it| it.rollback(&RollbackTo::Previous, "ana"));
        self.after(made);
    }

    fn retry(&mut self, fuse: Option<usize>) {
        self.tell("retry");
        let made = self.with(fuse, |it| it.retry());
        self.after(made);
    }

    fn after(&mut self, made: Option<Result<ConfigDeployment, Error>>) {
        match &made {
            None => {}
            Some(Ok(it)) => self.tell(format!("  {:?} {:?} {:?}", status(it), codes(it), it.notes)),
            Some(Err(error)) => self.tell(format!("  {}", error.failure().message)),
        }
        self.promises(made.is_some());
        if let Some(Ok(result)) = &made {
            self.no_false_success(result);
        }
    }

    fn suspend_or_resume(&mut self) {
        let was_suspended = self.host.with(|it| it.resume()).unwrap();
        if !was_suspended {
            self.host.with(|it| it.suspend("exams", None, "ana")).unwrap();
        }
        self.tell(if was_suspended { "resume" } else { "suspend" });
    }

    fn go_away_or_come_back(&mut self) {
        let (here, away) = (self.world.root.join("remote.git"), self.world.root.join("away.git"));
        match self.is_away {
            true => std::fs::rename(away, here).unwrap(),
            false => std::fs::rename(here, away).unwrap(),
        }
        self.is_away = !self.is_away;
        self.tell(if self.is_away { "the remote goes away" } else { "the remote comes back" });
    }

    /// The machine dies in the middle of deploying the tip, between phases too.
    fn die(&mut self) {
        let head = self.head().unwrap();
        let mut points = vec![Until::Staged, Until::Committed, Until::Recorded];
        points.push(if self.revision(&head).0 == Fate::Bad { Until::Restoring } else { Until::Succeeded });
        let until = self.chance.of(&points);
        if self.host.with(|it| it.recover()).is_err() || !died(&self.host, &head, until) {
            return;
        }
        self.n_crashes += 1;
        self.tell(format!("died after {until:?} of {}", &head[..12]));
        self.promises(false);
    }

    /// A file of the mirror is damaged, or all of it is gone.
    fn damage(&mut self) {
        let mirror = self.host.settings.state_dir.join("mirror/site");
        let mut files = Vec::new();
        files_below(&mirror, &mut files);
        if files.is_empty() {
            return;
        }
        files.sort();
        let file = self.chance.of(&files);
        // Objects are read-only; root does not mind.
        let how = self.chance.below(4);
        match how {
            0 => std::fs::remove_file(&file).unwrap(),
            1 => std::fs::write(&file, "").unwrap(),
            2 => std::fs::write(&file, "damaged").unwrap(),
            _ => std::fs::remove_dir_all(&mirror).unwrap(),
        }
        self.is_damaged = true;
        let name = file.strip_prefix(&mirror).unwrap().display().to_string();
        self.tell(format!("damage: {name} {}", ["removed", "emptied", "overwritten", "and all else removed"][how]));
    }

    /// The faults stop: three passes must be enough, and a fourth has nothing to do.
    pub(super) fn calm_down(&mut self) {
        self.tell("calm");
        if self.is_away {
            self.go_away_or_come_back();
        }
        self.host.with(|it| it.resume()).unwrap();
        let mut waits = None;
        for _ in 0..3 {
            waits = self.pass();
            if waits.is_none() {
                break;
            }
        }
        self.hold(waits.is_none(), || format!("not converged: {}", waits.unwrap_or_default()));
        self.is_damaged = false;
        let state = |it: &Simulation| (it.live(), it.host.history(), it.host.kept(), it.head());
        let before = state(self);
        self.pass();
        self.hold(state(self) == before, || "a pass more changes something".to_owned());
    }

    /// What the agent does by itself; returns what is still missing.
    fn pass(&mut self) -> Option<String> {
        self.tell("pass");
        let made = self.with(None, |it| it.sync(Trigger::Poll))?;
        let codes = match &made {
            Ok(result) => codes(result),
            Err(error) => error.findings.iter().map(|it| it.code.name).collect(),
        };
        self.after(Some(made));
        self.drift(None);
        self.missing(&codes)
    }
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files_below(&entry.path(), files),
            false => files.push(entry.path()),
        }
    }
}

//! The lock on a target that a transaction has made.

use super::*;

#[test]
fn o08_a_target_that_was_made_is_held_until_the_outcome_is_known() {
    for publish in [Publish::InPlace, Publish::Generations] {
        let world = world(&[]);
        let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "lost".into() });
        let stage_in = |state: &str| {
            let mut request = world.request(&[("a", Some("new a"))]);
            request.targets[0].publish = Some(publish);
            stage(state, &request, &world.key, &blob)
        };
        let second = tempfile::tempdir().unwrap();
        let other = second.path().canonicalize().unwrap().to_str().unwrap().to_owned();
        let is_held = || match stage_in(&other) {
            Err(Error::Owned { path, holder }) => {
                assert_eq!(path, world.root());
                assert!(holder.contains(&std::process::id().to_string()), "{holder}");
                true
            }
            Ok(staged) => staged.abandon().is_err(),
            Err(error) => panic!("{error}"),
        };
        let switched = stage_in(&world.state).unwrap().commit(&world.key).unwrap();
        assert!(world.target.exists() && is_held(), "between switch and probes");
        // The process dies, and its locks with it.
        drop(switched);
        let Ok(Recovered::Forward(mut switched)) = recover(&world.state, "site", &world.key) else { panic!() };
        assert!(is_held(), "in recovery");
        switched.settle().unwrap();
        let mut restored = switched.restore(&world.key).unwrap();
        assert!(!world.target.exists() && is_held(), "on the way back");
        restored.settle().unwrap();
        restored.finish().unwrap();
        assert!(!is_held(), "afterwards");
    }
}

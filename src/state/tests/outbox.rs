//! The outbox.

use super::*;

const NOW: i64 = 1_700_000_000;

fn item(key: &str, payload: &str) -> OutboxItem {
    OutboxItem::new("site", key.into(), "github", payload.into())
}

fn due(store: &Store) -> Vec<OutboxItem> {
    store.outbox_due(NOW).unwrap()
}

fn say(store: &Store, key: &str, payload: &str) {
    assert!(store.outbox_put(&item(key, payload)).unwrap());
    let it = due(store).into_iter().find(|it| it.key == key).unwrap();
    store.outbox_trying(it.id).unwrap();
    store.outbox_done(&it).unwrap();
}

#[test]
fn an_item_waits_across_restarts_until_it_is_said() {
    let home = Home::new();
    let store = home.open();
    assert!(store.outbox_put(&item("a", "1")).unwrap());
    drop(store);
    let store = home.open();
    let found = due(&store);
    assert_eq!(found, [OutboxItem { id: 1, ..item("a", "1") }]);
    store.outbox_trying(1).unwrap();
    store.outbox_done(&found[0]).unwrap();
    assert_eq!((due(&store).len(), store.outbox_len().unwrap(), store.outbox_next().unwrap()), (0, 0, None));
    assert_eq!(store.outbox_last("site", "a").unwrap().as_deref(), Some("1"));
    assert_eq!(store.outbox_last("site", "b").unwrap(), None);
}

#[test]
fn m14_of_several_items_with_one_key_only_the_newest_is_said() {
    let home = Home::new();
    let store = home.open();
    for (key, payload) in [("a", "pending"), ("b", "other"), ("a", "success")] {
        store.outbox_put(&item(key, payload)).unwrap();
    }
    let said: Vec<_> = due(&store).into_iter().map(|it| (it.id, it.payload)).collect();
    assert_eq!(said, [(2, "other".into()), (3, "success".into())]);
    assert_eq!(store.outbox_last("site", "a").unwrap().as_deref(), Some("success"));
}

#[test]
fn an_item_that_comes_while_an_older_one_is_being_said_is_not_lost() {
    let home = Home::new();
    let store = home.open();
    store.outbox_put(&item("a", "pending")).unwrap();
    let sending = due(&store).remove(0);
    store.outbox_trying(sending.id).unwrap();
    store.outbox_put(&item("a", "success")).unwrap();
    store.outbox_done(&sending).unwrap();
    let left = due(&store);
    assert_eq!((left.len(), left[0].payload.as_str(), left[0].posts), (1, "success", 1));
}

#[test]
fn the_same_is_not_said_twice_in_a_row() {
    let home = Home::new();
    let store = home.open();
    say(&store, "a", "success");
    assert!(!store.outbox_put(&item("a", "success")).unwrap());
    say(&store, "a", "failure");
    say(&store, "a", "success");
    assert_eq!(store.outbox_len().unwrap(), 0);
}

#[test]
fn what_was_never_tried_is_dropped_when_things_are_as_they_were_said() {
    let home = Home::new();
    let store = home.open();
    say(&store, "a", "success");
    store.outbox_put(&item("a", "failure")).unwrap();
    assert!(!store.outbox_put(&item("a", "success")).unwrap());
    assert_eq!(store.outbox_len().unwrap(), 0);
}

#[test]
fn what_was_tried_may_have_arrived_so_the_old_truth_is_said_again() {
    let home = Home::new();
    let store = home.open();
    say(&store, "a", "success");
    store.outbox_put(&item("a", "failure")).unwrap();
    store.outbox_trying(due(&store)[0].id).unwrap();
    assert!(store.outbox_put(&item("a", "success")).unwrap());
    assert_eq!(due(&store)[0].payload, "success");
}

#[test]
fn a_forge_that_asked_for_patience_gets_it_for_newer_items_too() {
    let home = Home::new();
    let store = home.open();
    store.outbox_put(&item("a", "pending")).unwrap();
    let it = due(&store).remove(0);
    store.outbox_trying(it.id).unwrap();
    store.outbox_put(&item("a", "failure")).unwrap();
    store.outbox_failed(&it, NOW + 60).unwrap();
    store.outbox_put(&item("a", "success")).unwrap();
    assert_eq!((due(&store).len(), store.outbox_next().unwrap()), (0, Some(NOW + 60)));
    let later = store.outbox_due(NOW + 60).unwrap();
    assert_eq!((later[0].payload.as_str(), later[0].attempts), ("success", 1));
}

#[test]
fn an_item_that_never_succeeds_lets_others_go_first() {
    let home = Home::new();
    let store = home.open();
    store.outbox_put(&item("bad", "1")).unwrap();
    store.outbox_trying(1).unwrap();
    store.outbox_put(&item("good", "1")).unwrap();
    let order: Vec<_> = due(&store).into_iter().map(|it| it.key).collect();
    assert_eq!(order, ["good", "bad"]);
}

#[test]
fn a_clock_that_was_wrong_does_not_hold_an_item_up_for_years() {
    let home = Home::new();
    let store = home.open();
    store.outbox_put(&OutboxItem { not_before: NOW + 30 * 365 * 86400, ..item("a", "1") }).unwrap();
    store.outbox_put(&OutboxItem { not_before: NOW + 3600, ..item("b", "1") }).unwrap();
    assert_eq!(due(&store).into_iter().map(|it| it.key).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_dropped_item_does_not_come_back() {
    let home = Home::new();
    let store = home.open();
    store.outbox_put(&item("a", "1")).unwrap();
    store.outbox_drop(1).unwrap();
    store.outbox_drop(1).unwrap();
    assert_eq!(store.outbox_len().unwrap(), 0);
}

#[test]
fn m17_a_crash_loses_the_change_and_its_report_or_neither() {
    let home = Home::new();
    let store = home.open();
    let it = begin(&store, "site");
    let done = Deployment { status: DeploymentStatus::Success, ..it };
    let cut_short: Result<(), Error> = store.together(|store| {
        store.save(&done)?;
        store.outbox_put(&item("a", "success"))?;
        Err(Error::NotFound { what: "power".into() })
    });
    cut_short.unwrap_err();
    assert_eq!((store.live("site").unwrap(), store.outbox_len().unwrap()), (None, 0));
    let all = store.together(|store| {
        store.save(&done)?;
        store.outbox_put(&item("a", "success"))
    });
    assert!(all.unwrap());
    drop(store);
    let store = home.open();
    assert_eq!((store.live("site").unwrap(), store.outbox_len().unwrap()), (Some(done), 1));
}

#[test]
fn only_the_latest_words_are_remembered() {
    let home = Home::new();
    let store = home.open();
    let filled = store.together(|store| {
        for n in 0..10_010 {
            store.outbox_done(&item(&n.to_string(), "x"))?;
        }
        Ok(())
    });
    filled.unwrap();
    assert_eq!(store.outbox_last("site", "9").unwrap(), None);
    assert_eq!(store.outbox_last("site", "10").unwrap().as_deref(), Some("x"));
}

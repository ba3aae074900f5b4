//! What becomes of the items of the outbox.

use super::*;

const NOW: i64 = 1_700_000_000;

fn queued(id: i64, context: &str) -> Queued {
    let status = Status {
        commit: ObjectId::new(COMMIT),
        context: context.into(),
        state: State::Success,
        description: id.to_string(),
    };
    let delivery = Delivery::github(None, "o", "r", &status);
    Queued { id, repository: "site".into(), delivery, attempts: 0, posts: 0 }
}

fn run(items: Vec<Queued>, answer: impl Fn(i64) -> Outcome) -> (Vec<i64>, Vec<(i64, Decision)>) {
    let (mut sent, mut settled) = (Vec::new(), Vec::new());
    let mut send = |it: &Queued| {
        sent.push(it.id);
        answer(it.id)
    };
    super::super::drain(items, NOW, &mut || 0.5, &mut send, &mut |it, decision| settled.push((it.id, decision)));
    (sent, settled)
}

fn retry(wait: Option<u64>) -> Outcome {
    Outcome::RetryAfter { wait: wait.map(std::time::Duration::from_secs), reason: "no".into() }
}

fn waits(decision: &Decision) -> (i64, bool) {
    match decision {
        Decision::Later { not_before, reason } => (not_before - NOW, reason.is_some()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_due_is_said_and_done() {
    let (sent, settled) = run(vec![queued(2, "b"), queued(1, "a")], |_| Outcome::Done);
    assert_eq!(sent, [1, 2]);
    assert_eq!(settled, [(1, Decision::Done), (2, Decision::Done)]);
    assert_eq!(run(Vec::new(), |_| Outcome::Done), (vec![], vec![]));
}

#[test]
fn m14_only_the_newest_of_one_context_is_sent() {
    let (sent, settled) = run(vec![queued(1, "a"), queued(3, "a"), queued(2, "b")], |_| Outcome::Done);
    assert_eq!(sent, [2, 3]);
    assert!(settled.contains(&(1, Decision::Drop { reason: None })));
}

#[test]
fn m13_a_rate_limit_holds_up_all_items_of_the_credential_and_no_other() {
    let other = Queued { repository: "other".into(), ..queued(3, "a") };
    let (sent, settled) = run(vec![queued(1, "a"), queued(2, "b"), other], |id| match id {
        3 => Outcome::Done,
        _ => retry(Some(120)),
    });
    assert_eq!(sent, [1, 3]);
    assert_eq!(waits(&settled[0].1), (150, true));
    assert_eq!(waits(&settled[1].1), (150, false));
    assert_eq!(settled[2].1, Decision::Done);
}

#[test]
fn m16_a_token_without_rights_is_tried_and_logged_once_and_then_rests() {
    let (sent, settled) = run(vec![queued(1, "a"), queued(2, "b")], |_| Outcome::AuthProblem("403".into()));
    assert_eq!(sent, [1]);
    assert_eq!((waits(&settled[0].1), waits(&settled[1].1)), ((3780, true), (3780, false)));
}

#[test]
fn m13_what_never_works_is_dropped_with_a_line_and_the_rest_goes_on() {
    let (sent, settled) = run(vec![queued(1, "a"), queued(2, "b")], |id| match id {
        1 => Outcome::Permanent("422 description is too long".into()),
        _ => Outcome::Done,
    });
    assert_eq!(sent, [1, 2]);
    let Decision::Drop { reason: Some(line) } = &settled[0].1 else { panic!() };
    assert!(line.starts_with("422 description is too long: github ") && line.contains(COMMIT), "{line}");
}

#[test]
fn m13_the_wait_doubles_up_to_an_hour_with_the_half_of_it_by_chance() {
    let wait = |attempts, chance: f64| {
        let mut settled = Vec::new();
        let items = vec![Queued { attempts, ..queued(1, "a") }];
        super::super::drain(items, NOW, &mut || chance, &mut |_| retry(None), &mut |_, it| settled.push(waits(&it).0));
        settled[0]
    };
    assert_eq!([0, 1, 2, 3, 9, 10, 40, u32::MAX].map(|it| wait(it, 1.0)), [5, 10, 20, 40, 2560, 3600, 3600, 3600]);
    assert_eq!((wait(3, 0.0), wait(3, 0.5)), (20, 30));
    assert_eq!((wait(3, -7.0), wait(3, f64::MAX)), (20, 40));
}

#[test]
fn a_forge_cannot_make_us_wait_for_ever() {
    let (_, settled) = run(vec![queued(1, "a")], |_| retry(Some(u64::MAX)));
    assert_eq!(waits(&settled[0].1), (6 * 3600 + 30, true));
}

#[test]
fn an_item_that_always_fails_goes_last() {
    let (sent, _) = run(vec![Queued { attempts: 3, ..queued(1, "a") }, queued(2, "b")], |id| match id {
        1 => retry(None),
        _ => Outcome::Done,
    });
    assert_eq!(sent, [2, 1]);
}

#[test]
fn a_context_is_posted_to_fifty_times() {
    let items = vec![Queued { posts: 49, ..queued(1, "a") }, Queued { posts: 50, ..queued(2, "b") }];
    let (sent, settled) = run(items, |_| Outcome::Done);
    assert_eq!(sent, [1]);
    assert!(matches!(&settled[1].1, Decision::Drop { reason: Some(line) } if line.starts_with("50 statuses")));
    let delivery = note("h", &deployment(DeploymentStatus::Success), None);
    let (sent, _) = run(vec![Queued { posts: 500, delivery, ..queued(1, "a") }], |_| Outcome::Done);
    assert_eq!(sent, [1], "notes have no such limit");
}

#[test]
fn not_all_of_a_long_outbox_goes_out_at_once() {
    let items = (1..=40).map(|it| queued(it, &it.to_string())).collect();
    let (sent, settled) = run(items, |_| Outcome::Done);
    assert_eq!((sent.len(), settled.len()), (30, 40));
    assert_eq!(waits(&settled[39].1), (60, false));
}

//! Pauses: holds that the supervisor obeys.

use super::*;
use arsenal_runtime::hold::{HoldKind, Holder};

#[test]
fn the_end_of_a_pauses_lease_restarts_what_is_owed() {
    let node = node();
    let supervisor = start(&node, &spec(Strategy::OneForOne, vec![worker("a")]));
    let old = pause_and_kill(&node, supervisor, &[Holder::Principal("me".into())]);
    node.advance(Duration::from_secs(59));
    assert_eq!(state(&node, supervisor, "a"), ChildState::Owed(Some(old)));
    node.advance(Duration::from_secs(2));
    assert!(matches!(state(&node, supervisor, "a"), ChildState::Running(_)));
}

/// Takes a pause of a minute for each holder, and kills `a`; gives the pid that it had.
fn pause_and_kill(node: &Node, supervisor: Pid, holders: &[Holder]) -> Pid {
    for holder in holders {
        let lease = Duration::from_secs(60);
        node.hold(supervisor, HoldKind::PauseSupervision, holder.clone(), lease, false).unwrap();
        assert_eq!(ask(node, supervisor, SupervisorRequest::Pause), Ok(SupervisorReply::Done));
    }
    let old = pid(node, supervisor, "a");
    kill(node, old);
    assert_eq!(state(node, supervisor, "a"), ChildState::Owed(Some(old)));
    old
}

#[test]
fn a_pause_ends_with_its_holder_and_by_whoever_releases_it() {
    let node = node();
    let supervisor = start(&node, &spec(Strategy::OneForOne, vec![worker("a")]));
    let holder = start(&node, &spec(Strategy::OneForOne, Vec::new()));
    let old = pause_and_kill(&node, supervisor, &[Holder::Process(holder), Holder::Principal("me".into())]);
    let holds = node.holds();
    assert_eq!(holds.iter().map(|(held, _)| *held).collect::<Vec<_>>(), [supervisor, supervisor]);
    kill(&node, holder);
    assert_eq!(node.holds().len(), 1);
    assert_eq!(state(&node, supervisor, "a"), ChildState::Owed(Some(old)), "another holds it");
    node.change_hold(node.holds()[0].1.id, None).unwrap();
    node.run_until_idle();
    assert!(matches!(state(&node, supervisor, "a"), ChildState::Running(_)));
    assert_eq!(node.holds(), []);
}

#[test]
fn a_resume_answers_with_what_was_owed_once_nobody_else_holds() {
    let node = node();
    let supervisor = start(&node, &spec(Strategy::OneForOne, vec![worker("a")]));
    let holders = ["me", "you"].map(|name| Holder::Principal(name.into()));
    pause_and_kill(&node, supervisor, &holders);
    let resume = |holder: &Holder| match ask(
        &node,
        supervisor,
        SupervisorRequest::Resume { holder: holder.clone() },
    ) {
        Ok(SupervisorReply::Resumed { resumed, restarted }) => (resumed, restarted.len()),
        other => panic!("{other:?}"),
    };
    assert_eq!(resume(&Holder::Principal("nobody".into())), (false, 0));
    assert_eq!(resume(&holders[1]), (true, 0));
    assert_eq!(resume(&holders[0]), (true, 1));
    assert_eq!(resume(&holders[0]), (false, 0));
}

//! Starts, ends and what follows from them.

use super::*;

#[test]
fn children_start_in_order_and_stop_in_reverse() {
    let mut world = World::unstarted(spec(Strategy::OneForOne, vec![child("a"), child("b")]));
    world.feed(Event::Begin);
    assert_eq!(world.took(), "+a +b");
    world.feed(Event::Terminate(Term::SHUTDOWN));
    assert_eq!(world.took(), "-b -a");
    assert_eq!(world.ended, Some(Term::SHUTDOWN));
}

#[test]
fn a_child_that_fails_to_start_undoes_those_before_it() {
    let mut world = World::unstarted(spec(Strategy::OneForOne, vec![child("a"), child("b"), child("c")]));
    world.script.insert("b".into(), vec![Err("nope")]);
    world.feed(Event::Begin);
    assert_eq!(world.took(), "+a -a");
    assert!(!world.acknowledged);
    let failed = [Term::Atom("failed_to_start_child"), "b".into(), "nope".into()].into();
    assert_eq!(world.ended, Some(Term::tagged("shutdown", failed)));
}

#[test]
fn a_child_that_ignores_keeps_its_spec_unless_it_is_temporary() {
    let specs = vec![child("a"), child("b").with_restart(Restart::Temporary)];
    let mut world = World::unstarted(spec(Strategy::OneForOne, specs));
    world.script.insert("a".into(), vec![Ok(false)]);
    world.script.insert("b".into(), vec![Ok(false)]);
    world.feed(Event::Begin);
    assert!(world.acknowledged);
    assert_eq!(world.children(), [("a".to_owned(), ChildState::Stopped)]);
}

#[test]
fn each_strategy_restarts_whom_it_concerns() {
    for (strategy, expected) in [
        (Strategy::OneForOne, "+b"),
        (Strategy::RestForOne, "-c +b +c"),
        (Strategy::OneForAll, "-c -a +a +b +c"),
    ] {
        let mut world = three(strategy);
        world.end("b", "killed");
        assert_eq!(world.took(), expected, "{strategy:?}");
    }
}

#[test]
fn a_permanent_child_is_restarted_after_a_normal_exit_and_a_transient_one_is_not() {
    let specs = vec![child("p"), child("t").with_restart(Restart::Transient)];
    let mut world = World::new(spec(Strategy::OneForOne, specs));
    world.end("p", "normal");
    world.end("t", "shutdown");
    assert_eq!(world.took(), "+p");
    assert_eq!(world.children()[0], ("t".to_owned(), ChildState::Stopped));
}

#[test]
fn a_temporary_child_is_never_restarted() {
    for strategy in [Strategy::OneForOne, Strategy::RestForOne, Strategy::OneForAll] {
        let specs = vec![child("a"), child("t").with_restart(Restart::Temporary)];
        let mut world = World::new(spec(strategy, specs));
        world.end("t", "killed");
        assert_eq!(world.took(), "");
        assert_eq!(world.counts().specs, 1);
    }
}

#[test]
fn a_group_restart_stops_temporary_siblings_for_good_and_wakes_stopped_ones() {
    let specs = vec![child("a"), child("t").with_restart(Restart::Temporary), child("c")];
    let mut world = World::new(spec(Strategy::OneForAll, specs));
    world.ask(Request::TerminateChild("c".into())).unwrap();
    world.took();
    world.end("a", "killed");
    assert_eq!(world.took(), "-t +a +c");
}

#[test]
fn one_restart_too_many_ends_the_supervisor_after_its_children() {
    let mut specs = spec(Strategy::OneForOne, vec![child("a"), child("b")]);
    specs.flags.intensity = 1;
    let mut world = World::new(specs);
    world.end("a", "killed");
    assert_eq!(world.ended, None);
    world.took();
    world.end("a", "killed");
    assert_eq!(world.took(), "-b");
    assert_eq!(world.ended, Some(Term::SHUTDOWN));
    assert!(world.occurrences.contains(&Occurrence::Escalated { id: "a".into(), restarts: 2 }));
}

#[test]
fn a_restart_that_fails_is_tried_again_and_counts_each_time() {
    let mut specs = spec(Strategy::OneForOne, vec![child("a")]);
    specs.flags.intensity = 3;
    let mut world = World::new(specs);
    world.script.insert("a".into(), vec![Err("nope"), Err("nope")]);
    world.end("a", "killed");
    assert!(matches!(world.children()[0].1, ChildState::Restarting(Some(_))));
    world.turn();
    world.turn();
    assert!(matches!(world.children()[0].1, ChildState::Running(_)));
    assert_eq!(world.core.restarts_used(world.now), 3);
    world.script.insert("a".into(), vec![Err("nope")]);
    world.end("a", "killed");
    assert_eq!(world.ended, Some(Term::SHUTDOWN));
}

#[test]
fn a_group_whose_restart_fails_in_the_middle_is_stopped_again_before_the_next_try() {
    let mut world = three(Strategy::OneForAll);
    world.script.insert("b".into(), vec![Err("nope")]);
    world.end("b", "killed");
    assert_eq!(world.took(), "-c -a +a");
    world.turn();
    assert_eq!(world.took(), "-a +a +b +c");

    let mut world = three(Strategy::RestForOne);
    world.script.insert("b".into(), vec![Err("nope")]);
    world.end("b", "killed");
    assert_eq!(world.took(), "-c");
    world.turn();
    assert_eq!(world.took(), "+b +c");
}

#[test]
fn a_child_that_is_terminated_while_restarting_stays_down() {
    let mut world = three(Strategy::OneForOne);
    world.script.insert("b".into(), vec![Err("nope")]);
    world.end("b", "killed");
    assert_eq!(world.ask(Request::RestartChild("b".into())), Err(SupervisorError::Restarting));
    assert_eq!(world.ask(Request::DeleteChild("b".into())), Err(SupervisorError::Restarting));
    assert_eq!(world.ask(Request::TerminateChild("b".into())), Ok(SupervisorReply::Done));
    world.turn();
    assert_eq!(world.children()[1], ("b".to_owned(), ChildState::Stopped));
}

fn significant(auto_shutdown: AutoShutdown) -> World {
    let member = |id| child(id).with_restart(Restart::Transient).significant();
    let mut specs = spec(Strategy::OneForOne, vec![child("w"), member("a"), member("b")]);
    specs.flags.auto_shutdown = auto_shutdown;
    World::new(specs)
}

#[test]
fn the_end_of_any_significant_child_ends_the_supervisor() {
    let mut world = significant(AutoShutdown::AnySignificant);
    world.end("a", "normal");
    assert_eq!(world.took(), "-b -w");
    assert_eq!(world.ended, Some(Term::SHUTDOWN));
}

#[test]
fn the_end_of_the_last_significant_child_ends_the_supervisor() {
    let mut world = significant(AutoShutdown::AllSignificant);
    world.end("a", "normal");
    assert_eq!(world.ended, None);
    world.end("b", "killed");
    assert_eq!(world.ended, None, "a crash restarts it");
    world.end("b", "normal");
    assert_eq!(world.took(), "+b -w");
    assert_eq!(world.ended, Some(Term::SHUTDOWN));
}

#[test]
fn terminating_a_significant_child_does_not_end_the_supervisor() {
    let mut world = significant(AutoShutdown::AnySignificant);
    world.ask(Request::TerminateChild("a".into())).unwrap();
    assert_eq!(world.ended, None);
}

#[test]
fn instances_are_restarted_alone_and_go_when_they_end_in_order() {
    let mut world = simple(Restart::Transient);
    let (first, second) = (world.started(add()), world.started(add()));
    world.took();
    world.end_pid(first, "killed");
    assert_eq!(world.took(), "+t");
    world.end_pid(second, "normal");
    assert_eq!(world.counts(), ChildCounts { specs: 1, active: 1, supervisors: 0, workers: 1 });
}

#[test]
fn an_instance_that_cannot_restart_is_found_under_its_last_pid() {
    let mut world = simple(Restart::Permanent);
    let pid = world.started(add());
    world.script.insert("t".into(), vec![Err("nope")]);
    world.end_pid(pid, "killed");
    assert_eq!(world.children(), [("undefined".to_owned(), ChildState::Restarting(Some(pid)))]);
    assert_eq!(world.counts(), ChildCounts { specs: 1, active: 0, supervisors: 0, workers: 1 });
    assert_eq!(world.ask(Request::TerminateChild(pid.into())), Ok(SupervisorReply::Done));
    world.turn();
    assert_eq!(world.children(), []);
}

#[test]
fn a_stranger_is_ignored() {
    let mut world = three(Strategy::OneForAll);
    world.feed(Event::Exited { pid: Pid::new(9, 9, 9), reason: Term::KILLED });
    assert_eq!(world.took(), "");
}

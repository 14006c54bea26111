//! To and from `simple_one_for_one`, and the model.

use super::*;

fn with_args(id: &'static str, n: i64) -> ChildSpec {
    ChildSpec::worker(id, "counter", Term::map([("n", Term::Int(n)), ("trap", Term::Bool(true))]))
}

#[test]
fn a_second_conversion_changes_nothing() {
    let mut world = three(Strategy::OneForOne);
    for changed in [true, false] {
        let reply = world.ask(Request::Convert(Strategy::RestForOne));
        assert!(matches!(reply, Ok(SupervisorReply::Changed { changed: c, .. }) if c == changed));
    }
}

#[test]
fn an_instance_becomes_a_child_whose_id_is_its_pid() {
    let mut world = simple(Restart::Permanent);
    let (first, second) = (world.started(add()), world.started(add()));
    world.ask(Request::Convert(Strategy::RestForOne)).unwrap();
    assert_eq!(world.children()[0], (second.to_string(), ChildState::Running(second)));
    world.took();
    world.end_pid(first, "killed");
    assert_eq!(world.took(), format!("-t +\"{first}\" +\"{second}\""));
    assert_eq!(world.ask(Request::TerminateChild(first.into())), Ok(SupervisorReply::Done));
    assert_eq!(world.ask(add()), Err(SupervisorError::NotSimpleOneForOne(Strategy::RestForOne)));
}

#[test]
fn children_with_one_spec_become_instances_and_keep_their_args() {
    let specs = vec![with_args("a", 1), with_args("b", 2)];
    let mut world = World::new(spec(Strategy::OneForOne, specs));
    let pid = world.pid("a").unwrap();
    world.ask(Request::Convert(Strategy::SimpleOneForOne)).unwrap();
    assert_eq!(world.took(), "");
    assert!(world.children().iter().all(|(id, state)| id == "undefined" && state.pid().is_some()));
    let actions = world.core.step(Event::Exited { pid, reason: Term::KILLED }, world.now);
    let args = actions.iter().find_map(|action| match action {
        Action::Start { args, .. } => Some(args.clone()),
        _ => None,
    });
    assert_eq!(args, Some(with_args("a", 1).args));
    world.core.step(Event::Started(Ok(Some(Pid::new(1, 1, 99)))), world.now);
    let Ok(SupervisorReply::ChildSpec(template)) = world.ask(Request::GetChildSpec("a".into())) else {
        panic!()
    };
    assert_eq!(template.args, Term::map([("trap", Term::Bool(true))]), "what they have in common");
}

#[test]
fn mixed_children_are_not_converted_and_the_odd_ones_named() {
    let specs = vec![child("a"), child("b").with_restart(Restart::Transient), child("c")];
    let mut world = World::new(spec(Strategy::OneForOne, specs));
    let refused = world.ask(Request::Convert(Strategy::SimpleOneForOne));
    assert_eq!(refused, Err(SupervisorError::MixedChildren(vec!["b".into()])));
    let mut empty = World::new(spec(Strategy::OneForOne, vec![]));
    assert_eq!(empty.ask(Request::Convert(Strategy::SimpleOneForOne)), Err(SupervisorError::NoTemplate));
}

#[test]
fn a_core_made_from_a_model_decides_alike() {
    for strategy in [Strategy::OneForAll, Strategy::SimpleOneForOne] {
        let mut world =
            if strategy == Strategy::OneForAll { three(strategy) } else { simple(Restart::Permanent) };
        if strategy == Strategy::SimpleOneForOne {
            world.started(add());
        }
        let pid = *world.alive.keys().next().unwrap();
        let model = world.core.model(world.now);
        let mut copy = SupervisorCore::from_model(model.clone());
        assert_eq!(copy.model(world.now), model);
        let event = Event::Exited { pid, reason: Term::KILLED };
        let (mut ours, mut theirs) = (world.core.step(event.clone(), world.now), copy.step(event, world.now));
        for actions in [&mut ours, &mut theirs] {
            actions.retain(|action| !matches!(action, Action::Publish(_)));
        }
        assert_eq!(ours, theirs);
    }
}

//! Requests about single children, and paging.

use super::*;

fn start(id: &'static str) -> Request {
    Request::StartChild(Box::new(child(id)))
}

#[test]
fn a_new_child_is_last_in_the_order_and_first_in_the_list() {
    let mut world = three(Strategy::RestForOne);
    world.started(start("d"));
    assert_eq!(world.children()[0].0, "d");
    world.took();
    world.end("b", "killed");
    assert_eq!(world.took(), "-d -c +b +c +d");
}

#[test]
fn an_id_is_taken_while_its_spec_is_there() {
    let mut world = three(Strategy::OneForOne);
    let pid = world.pid("a").unwrap();
    assert_eq!(world.ask(start("a")), Err(SupervisorError::AlreadyStarted(pid)));
    world.ask(Request::TerminateChild("a".into())).unwrap();
    assert_eq!(world.ask(start("a")), Err(SupervisorError::AlreadyPresent("a".into())));
    world.ask(Request::DeleteChild("a".into())).unwrap();
    world.started(start("a"));
}

#[test]
fn a_child_whose_first_start_fails_is_not_kept() {
    let mut world = three(Strategy::OneForOne);
    world.script.insert("d".into(), vec![Err("nope")]);
    let error = SupervisorError::StartFailed { child: Some("d".into()), reason: "nope".into() };
    assert_eq!(world.ask(start("d")), Err(error));
    assert_eq!(world.counts().specs, 3);
}

#[test]
fn a_stopped_child_whose_restart_fails_stays_stopped() {
    let mut world = three(Strategy::OneForOne);
    world.ask(Request::TerminateChild("a".into())).unwrap();
    world.script.insert("a".into(), vec![Err("nope")]);
    let error = SupervisorError::StartFailed { child: None, reason: "nope".into() };
    assert_eq!(world.ask(Request::RestartChild("a".into())), Err(error));
    assert_eq!(world.children()[2], ("a".to_owned(), ChildState::Stopped));
    world.started(Request::RestartChild("a".into()));
    assert!(matches!(world.ask(Request::RestartChild("a".into())), Err(SupervisorError::Running(_))));
}

#[test]
fn a_running_child_is_not_deleted_and_an_unknown_one_not_found() {
    let mut world = three(Strategy::OneForOne);
    assert!(matches!(world.ask(Request::DeleteChild("a".into())), Err(SupervisorError::Running(_))));
    for request in
        [Request::DeleteChild, Request::RestartChild, Request::TerminateChild, Request::GetChildSpec]
    {
        assert_eq!(world.ask(request("x".into())), Err(SupervisorError::NotFound("x".into())));
    }
}

#[test]
fn a_terminated_temporary_child_is_gone() {
    let mut world = World::new(spec(Strategy::OneForOne, vec![child("t").with_restart(Restart::Temporary)]));
    world.ask(Request::TerminateChild("t".into())).unwrap();
    assert_eq!(world.children(), []);
}

#[test]
fn under_simple_one_for_one_only_a_pid_names_a_child() {
    let mut world = simple(Restart::Permanent);
    let pid = world.started(add());
    for request in [Request::DeleteChild, Request::RestartChild, Request::TerminateChild] {
        assert_eq!(world.ask(request("t".into())), Err(SupervisorError::SimpleOneForOne));
    }
    assert_eq!(world.ask(start("x")), Err(SupervisorError::SimpleOneForOne));
    assert_eq!(world.ask(Request::TerminateChild(Term::from(pid.to_string()))), Ok(SupervisorReply::Done));
    assert_eq!(world.took(), "+t -t");
    assert!(world.ask(Request::GetChildSpec("t".into())).is_ok());
}

#[test]
fn a_pid_names_the_child_to_terminate_under_any_strategy() {
    for strategy in [Strategy::OneForAll, Strategy::SimpleOneForOne] {
        let mut world =
            if strategy == Strategy::OneForAll { three(strategy) } else { simple(Restart::Permanent) };
        let pid =
            if strategy == Strategy::OneForAll { world.pid("b").unwrap() } else { world.started(add()) };
        assert_eq!(world.ask(Request::TerminateProcess(pid)), Ok(SupervisorReply::Done));
        assert!(!world.alive.contains_key(&pid));
        assert_eq!(world.ask(Request::TerminateProcess(pid)), Err(SupervisorError::NotFound(pid.into())));
    }
}

#[test]
fn a_dynamic_child_needs_a_template_and_room() {
    let mut world = three(Strategy::OneForOne);
    assert_eq!(world.ask(add()), Err(SupervisorError::NotSimpleOneForOne(Strategy::OneForOne)));
    let mut specs = spec(Strategy::SimpleOneForOne, vec![child("t")]);
    specs.flags.children_max = Some(2);
    let mut world = World::new(specs);
    world.started(add());
    world.started(add());
    assert_eq!(world.ask(add()), Err(SupervisorError::MaxChildren(2)));
    let pid = world.pid("t").unwrap();
    world.ask(Request::TerminateChild(pid.into())).unwrap();
    world.started(add());
}

#[test]
fn an_instance_may_have_a_name_of_its_own_and_keeps_it_when_it_or_the_template_changes() {
    let mut core = simple(Restart::Permanent).core;
    let name = arsenal_runtime::start::ProcessName { name: "first".into(), global: false };
    let own = crate::supervisor::spec::Instance { name: Some(name.clone()), ..Default::default() };
    let started = |actions: Vec<Action>| {
        actions.into_iter().find_map(|action| match action {
            Action::Start { spec, .. } => Some(spec),
            _ => None,
        })
    };
    let spec = started(core.step(Event::Request(Box::new(Request::AddDynamicChild(Box::new(own)))), SECOND));
    assert_eq!(spec.unwrap().name, Some(name.clone()));
    let pid = Pid::new(1, 1, 1);
    core.step(Event::Started(Ok(Some(pid))), SECOND);
    let spec = Box::new(ChildSpec::worker("t", "echo", Term::Null));
    let request = Request::ReplaceChildSpec { child: "t".into(), spec, etag: None, restart: false };
    core.step(Event::Request(Box::new(request)), SECOND);
    let again = started(core.step(Event::Exited { pid, reason: Term::KILLED }, SECOND)).unwrap();
    assert_eq!((&again.name, &*again.module), (&Some(name), "echo"));
}

#[test]
fn pages_cover_all_children_once_and_tell_a_change_between_them() {
    let mut world = three(Strategy::OneForOne);
    let page = |world: &mut World, before| match world.ask(Request::WhichChildren { before, limit: Some(2) })
    {
        Ok(SupervisorReply::Children(page)) => page,
        other => panic!("{other:?}"),
    };
    let first = page(&mut world, None);
    let second = page(&mut world, first.next);
    let ids: Vec<_> =
        first.children.iter().chain(&second.children).map(|child| child.id.to_string()).collect();
    assert_eq!(ids, [r#""c""#, r#""b""#, r#""a""#]);
    assert_eq!((second.next, second.as_of), (None, first.as_of));
    world.end("a", "killed");
    assert_ne!(page(&mut world, first.next).as_of, first.as_of);
}

#[test]
fn a_hundred_thousand_instances_come_and_go_in_little_time() {
    const INSTANCES: u64 = 100_000;
    let mut core = simple(Restart::Temporary).core;
    for serial in 1..=INSTANCES {
        core.step(Event::Request(Box::new(add())), SECOND);
        core.step(Event::Started(Ok(Some(Pid::new(1, 1, serial)))), SECOND);
    }
    assert_eq!(core.children().counts().active, 100_000);
    for serial in 1..=INSTANCES {
        core.step(Event::Exited { pid: Pid::new(1, 1, serial), reason: Term::KILLED }, SECOND);
    }
    assert_eq!(core.children().len(), 0);
}

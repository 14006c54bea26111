use super::*;
use arsenal_runtime::body::{Body, Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::module::{Description, Hooks};
use arsenal_runtime::start::{ProcessName, StartOptions};
use arsenal_runtime::{Message, NodeConfig};

struct Idle;

impl Body for Idle {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        if let Event::Start = event {
            context.started();
        }
        Step::Wait(Receive::none())
    }

    fn state_name(&self) -> Option<Term> {
        Some("on".into())
    }
}

fn node_with(options: StartOptions) -> (Node, ProcessRef) {
    let node = Node::deterministic(NodeConfig::default());
    let mut description = Description::native("idle", Behaviour::GenStatem);
    description.hooks = Hooks { inspect: true, ..Hooks::default() };
    let process = node.spawn(&Arc::new(description), Box::new(Idle), options).unwrap();
    node.run_until_idle();
    (node, process)
}

#[test]
fn every_name_of_the_contract_has_a_value_and_no_other_has() {
    let (node, process) = node_with(StartOptions::default());
    let view = ProcessView::new(&node, &process);
    for name in NAMES {
        assert!(view.value(name).is_some(), "{name}");
    }
    assert!(view.value("pids").is_none());
}

#[test]
fn every_value_has_the_type_that_its_name_is_said_to_have() {
    let options = StartOptions {
        mailbox: Some(arsenal_runtime::limits::MailboxLimit::messages(5)),
        ..StartOptions::default()
    };
    let (node, process) = node_with(options);
    let view = ProcessView::new(&node, &process);
    for name in NAMES.into_iter().filter(|name| *name != "state_name") {
        let is = match view.value(name).unwrap() {
            Term::Bool(_) => FieldType::Flag,
            Term::Int(_) => FieldType::Number,
            Term::List(_) => FieldType::List,
            Term::Map(_) => FieldType::Map,
            // nothing to tell of this process
            Term::Null => continue,
            term => term.as_str().map(|_| FieldType::Text).unwrap(),
        };
        assert_eq!(type_of(name), Some(is), "{name}");
    }
    assert_eq!((type_of("state_name"), type_of("pids")), (None, None));
}

#[test]
fn only_what_an_expression_refers_to_is_bound() {
    let (node, process) = node_with(StartOptions::default());
    let names = BTreeSet::from(["module".to_owned(), "nonsense".to_owned()]);
    let bindings = bind(&node, &process, &names);
    assert_eq!(bindings.get("module"), Some(&Term::from("idle")));
    assert!(bindings.get("nonsense").is_none());
    assert!(bindings.get("pid").is_none());
}

#[test]
fn what_the_header_tells_does_not_touch_the_signal_state() {
    let (node, process) = node_with(StartOptions::default());
    let view = ProcessView::new(&node, &process);
    for name in HEADER_NAMES {
        view.value(name);
    }
    assert!(view.info.get().is_none() && view.glimpse.get().is_none() && view.bytes.get().is_none());
}

#[test]
fn values_follow_the_process() {
    let (node, process) = node_with(StartOptions {
        name: Some(ProcessName { name: "idler".into(), global: false }),
        ..StartOptions::default()
    });
    let before = ProcessView::new(&node, &process);
    assert_eq!(before.value("message_queue_len"), Some(Term::Int(0)));
    assert_eq!(before.value("registered_name"), Some("idler".into()));
    assert_eq!(before.value("status"), Some("WAITING".into()));
    assert_eq!(before.value("state_name"), Some("on".into()));
    let mailbox_before = before.bytes().mailbox;
    node.send(process.pid(), Message::info(Pid::NONE, Term::Int(1)));
    node.run_until_idle();
    node.unregister("idler", None, 0).unwrap();
    let after = ProcessView::new(&node, &process);
    assert_eq!(after.value("message_queue_len"), Some(Term::Int(1)));
    assert_eq!(after.value("registered_name"), Some("".into()));
    assert!(after.bytes().mailbox > mailbox_before);
}

#[test]
fn a_child_has_the_group_leader_of_its_starter() {
    let (node, parent) = node_with(StartOptions::default());
    let options = StartOptions { parent: Some(parent.pid()), ..StartOptions::default() };
    let child = node
        .spawn(&Arc::new(Description::native("idle", Behaviour::Plain)), Box::new(Idle), options)
        .unwrap();
    let leader = |process| ProcessView::new(&node, process).group_leader();
    assert_eq!(leader(&parent), parent.pid());
    assert_eq!(leader(&child), parent.pid());
}

#[test]
fn a_bare_process_is_isolated_and_a_named_or_linked_one_is_not() {
    let (node, process) = node_with(StartOptions::default());
    let isolated = || ProcessView::new(&node, &process).is_isolated();
    assert!(isolated());
    node.register("idler", process.pid(), Term::Null, 0).unwrap();
    assert!(!isolated());
    node.unregister("idler", None, 0).unwrap();
    let other = node.spawn(
        &Arc::new(Description::native("idle", Behaviour::Plain)),
        Box::new(Idle),
        StartOptions::default(),
    );
    node.link(process.pid(), other.unwrap().pid()).unwrap();
    node.run_until_idle();
    assert!(!isolated());
}

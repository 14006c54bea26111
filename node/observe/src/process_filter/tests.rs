use super::*;
use arsenal_runtime::body::{Body, Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::module::{Behaviour, Description};
use arsenal_runtime::start::StartOptions;
use arsenal_runtime::{Message, Node, NodeConfig, Pid, Priority, Term};
use proptest::prelude::*;
use std::sync::Arc;

struct Idle;

impl Body for Idle {
    fn step(&mut self, _: Event, _: &mut Context<'_>) -> Step {
        Step::Wait(Receive::none())
    }
}

fn a_few_processes() -> Node {
    let node = Node::deterministic(NodeConfig::default());
    let modules =
        [("counter", Behaviour::GenServer), ("switch", Behaviour::GenStatem), ("plain", Behaviour::Plain)];
    for index in 0..24_i64 {
        let (name, behaviour) = modules[usize::try_from(index).unwrap() % 3];
        let options = StartOptions {
            trap_exit: index % 2 == 0,
            priority: if index % 5 == 0 { Priority::High } else { Priority::Normal },
            ..StartOptions::default()
        };
        let process =
            node.spawn(&Arc::new(Description::native(name, behaviour)), Box::new(Idle), options).unwrap();
        for _ in 0..index % 4 {
            node.send(process.pid(), Message::info(Pid::NONE, Term::Null));
        }
    }
    node.run_until_idle();
    node
}

fn admitted(node: &Node, mut admits: impl FnMut(&ProcessView<'_>) -> bool) -> Vec<Pid> {
    let mut pids = Vec::new();
    node.visit_processes(0, |process| {
        if admits(&ProcessView::new(node, process)) {
            pids.push(process.pid());
        }
        true
    });
    pids
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("trap_exit".to_owned()),
        Just("hibernating".to_owned()),
        (
            "(module|behaviour|status|priority|kind)",
            "(==|!=)",
            "(counter|GEN_SERVER|WAITING|HIGH|NATIVE|nothing)"
        )
            .prop_map(|(name, operator, text)| format!("{name} {operator} '{text}'")),
        ("(message_queue_len|turns|reductions)", "(==|!=|<|<=|>|>=)", 0..4)
            .prop_map(|(name, operator, number)| format!("{name} {operator} {number}")),
        (0..4, "(<|>=)").prop_map(|(number, operator)| format!("{number} {operator} message_queue_len")),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), "(&&|\\|\\|)", inner.clone())
                .prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn the_compiled_test_and_the_interpreter_agree_on_every_process(source in condition()) {
        let node = a_few_processes();
        let filter = ProcessFilter::compile(&source).unwrap();
        prop_assert!(filter.test.is_some(), "{} is not compiled", source);
        let compiled = admitted(&node, |view| filter.admits(view).unwrap());
        let interpreted = admitted(&node, |view| filter.interpret(view).unwrap());
        prop_assert_eq!(compiled, interpreted);
    }
}

#[test]
fn what_the_header_does_not_tell_is_interpreted_and_filters_all_the_same() {
    let node = a_few_processes();
    let filter =
        ProcessFilter::compile("size(links) == 0 && module.startsWith('count') && memory > 0").unwrap();
    assert!(filter.test.is_none());
    assert_eq!(admitted(&node, |view| filter.admits(view).unwrap()).len(), 8);
    assert!(
        admitted(&node, |view| ProcessFilter::compile("links == ['x']").unwrap().admits(view).unwrap())
            .is_empty()
    );
}

#[test]
fn a_comparison_with_a_fraction_or_of_what_may_be_absent_is_left_to_the_interpreter() {
    for source in ["message_queue_len > 1.5", "scheduler == 1"] {
        assert!(ProcessFilter::compile(source).unwrap().test.is_none(), "{source}");
    }
    assert!(ProcessFilter::compile("no_such_name == 1").is_err());
}

#[test]
fn a_condition_is_decided_by_the_values_that_are_known_or_not_at_all() {
    let known = Bindings::default().set("module", "counter");
    let admits = |source| ProcessFilter::compile(source).unwrap().admits_values(&known);
    assert_eq!(admits("module == 'counter'"), Some(true));
    assert_eq!(admits("module == 'plain'"), Some(false));
    assert_eq!(admits("module == 'counter' && turns > 1"), None);
}

#[test]
fn a_comparison_that_can_never_hold_is_refused_with_both_types() {
    for (source, words) in [
        ("module == 3", "`module` is a string and is compared with a number"),
        (
            "trap_exit && 'x' != message_queue_len",
            "`message_queue_len` is a number and is compared with a string",
        ),
        ("!(labels == ['a'])", "`labels` is a map and is compared with a list"),
        ("trap_exit == 'true'", "`trap_exit` is a bool and is compared with a string"),
    ] {
        let error = ProcessFilter::compile(source).unwrap_err().to_string();
        assert!(error.contains(words), "{source}: {error}");
    }
    for source in [
        "module == 'x' && message_queue_len > 3",
        "scheduler == null",
        "state_name == 3",
        "dictionary.x == 3",
        "links.exists(module, module == 'n1.1.1')",
        "size(links) == 0 || memory > 1.5",
    ] {
        assert!(ProcessFilter::compile(source).is_ok(), "{source}");
    }
}

//! The modules that ship with a node do what their pages say.

use super::{Ground, list};
use arsenal_behaviours::gen_event::EventRequest;
use arsenal_behaviours::modules::native_modules;
use arsenal_runtime::{Kind, Pid, StartError, StartOptions, Term};

#[test]
fn the_shipped_modules_are_in_the_order_of_their_names_and_none_hides_another() {
    let names: Vec<_> = native_modules().iter().map(|module| module.describe().name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    assert!(names.iter().any(|name| &**name == "supervisor"));
}

#[test]
fn echo_answers_with_the_request() {
    let ground = Ground::new();
    let echo = ground.start("echo", Term::Null);
    let request = list(["anything".into(), Term::Int(1)]);
    assert_eq!(ground.call(echo, request.clone()), request);
}

#[test]
fn kv_keeps_what_was_put_until_it_is_deleted() {
    let ground = Ground::new();
    let kv = ground.start("kv", Term::Null);
    let put = |key: &'static str, value: i64| list(["put".into(), key.into(), value.into()]);
    ground.cast(kv, put("b", 2));
    assert_eq!(ground.call(kv, put("a", 1)), Term::OK);
    assert_eq!(ground.call(kv, Term::tagged("get", "b".into())), Term::tagged("ok", Term::Int(2)));
    assert_eq!(ground.call(kv, "keys"), list(["a".into(), "b".into()]));
    assert_eq!(ground.call(kv, Term::tagged("delete", "b".into())), Term::OK);
    assert_eq!(ground.call(kv, Term::tagged("get", "b".into())), Term::from("not_found"));
    assert_eq!(ground.call(kv, "size"), Term::Int(1));
    assert_eq!(ground.state(kv), Term::map([("a", Term::Int(1))]));
}

#[test]
fn kv_refuses_a_state_that_is_no_map_and_keeps_its_own() {
    let ground = Ground::new();
    let kv = ground.start("kv", Term::map([("entries", Term::map([("a", Term::Int(1))]))]));
    assert!(ground.system(kv, list(["replace_state".into(), 7.into()])).is_err());
    assert_eq!(ground.call(kv, "size"), Term::Int(1));
}

#[test]
fn a_recorder_keeps_the_newest_and_counts_the_rest() {
    let ground = Ground::new();
    let recorder = ground.start("recorder", Term::map([("messages_max", Term::Int(2))]));
    ground.send(recorder, Kind::Info, "one");
    ground.cast(recorder, "two");
    assert_eq!(ground.call(recorder, "three"), Term::OK);
    let kept = list([Term::tagged("cast", "two".into()), Term::tagged("call_received", "three".into())]);
    let state = Term::map([("messages", kept), ("dropped", Term::Int(1))]);
    assert_eq!(ground.call(recorder, list(["recorder".into(), "read".into()])), state);
    assert_eq!(ground.state(recorder), state);
}

#[test]
fn a_relay_hands_a_call_on_and_the_answer_comes_back() {
    let ground = Ground::new();
    let echo = ground.start("echo", Term::Null);
    let relay = ground.start("relay", Term::map([("to", echo.into())]));
    assert_eq!(ground.call(relay, "ping"), Term::from("ping"));
    let refused = ground.try_start("relay", Term::Null, StartOptions::default());
    assert_eq!(refused, Err(StartError::Init(Term::tagged("badarg", "to".into()))));
}

#[test]
fn a_switch_goes_off_by_itself() {
    let ground = Ground::new();
    let switch = ground.start("switch", Term::Null);
    assert_eq!(ground.call(switch, list(["on".into(), 100.into()])), Term::from("on"));
    ground.pass(99);
    assert_eq!(ground.call(switch, "get"), list(["on".into(), Term::Int(1)]));
    ground.pass(1);
    assert_eq!(ground.call(switch, "get"), list(["off".into(), Term::Int(2)]));
    assert_eq!(ground.call(switch, list(["on".into(), 100.into()])), Term::from("on"));
    assert_eq!(ground.call(switch, "on"), Term::from("on"));
    ground.pass(200);
    assert_eq!(ground.state(switch), list(["on".into(), Term::Int(3)]), "the plain `on` has no end");
}

#[test]
fn a_busy_process_burns_its_rounds_and_ends() {
    let ground = Ground::new();
    let busy = ground.start("busy", Term::map([("rounds", Term::Int(10_000))]));
    assert_eq!(ground.exit_of(busy), Term::NORMAL);
}

#[test]
fn tasks_end_as_their_function_says() {
    let ground = Ground::new();
    let recorder = ground.recorder();
    let run = |function: &str, args: Term| {
        ground.node.spawn_function("task", function, &args, StartOptions::default()).unwrap().pid()
    };
    let reason = || Term::map([("reason", Term::from("bad"))]);
    assert_eq!(ground.exit_of(run("return", Term::Null)), Term::NORMAL);
    assert_eq!(ground.exit_of(run("crash", reason())), Term::crash("bad".into()));
    assert_eq!(ground.exit_of(run("exit", reason())), Term::from("bad"));
    let sleeper = run("sleep", Term::map([("ms", Term::Int(50))]));
    ground.pass(49);
    assert!(ground.node.is_alive(sleeper));
    ground.pass(1);
    assert_eq!(ground.exit_of(sleeper), Term::NORMAL);
    run("send", Term::map([("to", recorder.into()), ("message", "hello".into())]));
    ground.node.run_until_idle();
    assert_eq!(ground.received(recorder), [Term::from("hello")]);
}

#[test]
fn the_shipped_handlers_count_log_and_relay() {
    let ground = Ground::new();
    let recorder = ground.recorder();
    let manager = ground.start("event_manager", Term::Null);
    let add = |handler: &'static str, args: Term| {
        let request = EventRequest::Add { handler: handler.into(), args, owner: None };
        assert_eq!(ground.call(manager, request.to_term()), Term::OK);
    };
    add("counter", Term::Null);
    add("log", Term::map([("events_max", Term::Int(1))]));
    add("relay", Term::map([("to", recorder.into())]));
    ground.send(manager, Kind::Notify, "one");
    ground.send(manager, Kind::Notify, "two");
    let ask = |handler: &'static str, request: &'static str| {
        let request = EventRequest::Call { handler: handler.into(), request: request.into() };
        ground.call(manager, request.to_term())
    };
    assert_eq!(ask("counter", "count"), Term::Int(2));
    assert_eq!(ask("log", "events"), list(["two".into()]));
    assert_eq!(ground.received(recorder), ["one", "two"].map(Term::from));
    let counter = list(["counter".into(), Term::Bool(false), Term::Int(2)]);
    assert!(ground.state(manager).as_list().unwrap().contains(&counter));
}

#[test]
fn a_plain_process_leaves_its_mailbox_alone() {
    let ground = Ground::new();
    let plain = ground.start("plain", Term::Null);
    for word in ["one", "two"] {
        ground.send(plain, Kind::Info, word);
    }
    assert_eq!(ground.node.queue_kinds(&ground.node.process(plain).unwrap()).len(), 2);
    ground.node.exit(Pid::NONE, plain, "other".into());
    assert_eq!(ground.exit_of(plain), Term::from("other"));
}

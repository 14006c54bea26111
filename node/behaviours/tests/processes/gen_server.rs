//! `gen_server` as OTP has it, seen on the shipped counter.

use super::{Ground, Log, list};
use arsenal_behaviours::gen_server::{GenServer, GenServerModule, Init, Next, Outcome, Termination};
use arsenal_behaviours::pause::Pause;
use arsenal_runtime::{
    Context, Kind, Message, Node, NodeConfig, Pid, ReplyTo, StartError, StartOptions, Started, Term,
};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

fn counting(ground: &Ground, members: &[(&'static str, Term)]) -> Pid {
    ground.start("counter", Term::map(members.to_vec()))
}

/// A counter that tells `recorder` of its terminate, with more args.
fn told(ground: &Ground, recorder: Pid, mut members: Vec<(&'static str, Term)>) -> Pid {
    members.push(("terminate_notify", recorder.into()));
    counting(ground, &members)
}

fn terminated(pid: Pid, reason: Term) -> Term {
    list(["terminate".into(), pid.into(), reason])
}

#[test]
fn a_call_is_answered_and_a_cast_is_not() {
    let ground = Ground::new();
    let counter = counting(&ground, &[("initial", 3.into())]);
    assert_eq!(ground.call(counter, "incr"), Term::Int(4));
    ground.cast(counter, list(["add".into(), 6.into()]));
    assert_eq!(ground.call(counter, "get"), Term::Int(10));
}

#[test]
fn one_call_is_one_turn() {
    let ground = Ground::new();
    let counter = counting(&ground, &[]);
    let turns = || ground.node.reductions(&ground.node.process(counter).unwrap());
    let before = turns();
    ground.call(counter, "get");
    assert_eq!(turns() - before, 1);
}

#[test]
fn an_init_that_stops_exits_crashes_or_ignores_leaves_nothing_running() {
    let ground = Ground::new();
    let start =
        |init: Term| ground.try_start("counter", Term::map([("init", init)]), StartOptions::default());
    let failure = |key: &'static str| Term::map([(key, Term::from("boom"))]);
    assert_eq!(start(failure("stop")), Err(StartError::Init("boom".into())));
    assert_eq!(start(failure("exit")), Err(StartError::Init("boom".into())));
    assert_eq!(start(failure("crash")), Err(StartError::Init(Term::crash("boom".into()))));
    assert_eq!(start("ignore".into()), Ok(Started::Ignored));
    ground.node.run_until_idle();
    assert_eq!(ground.node.process_count(), 0);
}

#[test]
fn an_init_that_sleeps_answers_its_starter_afterwards() {
    let ground = Ground::new();
    let before = ground.node.now_ms();
    let counter = counting(&ground, &[("init_sleep", 50.into()), ("initial", 1.into())]);
    assert!(ground.node.now_ms() - before >= 50);
    assert_eq!(ground.call(counter, "get"), Term::Int(1));
}

#[test]
fn a_crash_an_exit_and_a_bad_return_run_terminate_and_reach_the_caller() {
    for (request, reason) in [
        (Term::from("crash"), Term::crash("crash".into())),
        (list(["exit".into(), "bye".into()]), "bye".into()),
        (list(["throw".into(), "foo".into()]), Term::tagged("bad_return_value", "foo".into())),
    ] {
        let ground = Ground::new();
        let recorder = ground.recorder();
        let counter = told(&ground, recorder, vec![]);
        assert_eq!(ground.call_exit(counter, request), reason);
        assert_eq!(ground.received(recorder), [terminated(counter, reason.clone())]);
        assert_eq!(ground.exit_of(counter), reason);
    }
}

#[test]
fn a_crash_from_outside_is_a_crash_of_its_own_to_terminate_and_to_the_caller() {
    let ground = Ground::new();
    let recorder = ground.recorder();
    let raise = |class: &'static str| list(["raise".into(), class.into(), "drill".into()]);
    for (class, reason) in [
        ("error", Term::crash("drill".into())),
        ("exit", "drill".into()),
        ("throw", Term::tagged("bad_return_value", "drill".into())),
    ] {
        let counter = told(&ground, recorder, vec![]);
        ground.send(counter, Kind::System, raise(class));
        assert_eq!(ground.received(recorder).last(), Some(&terminated(counter, reason.clone())));
        assert_eq!(ground.exit_of(counter), reason);
    }
    let plain = ground.start("plain", Term::Null);
    ground.send(plain, Kind::System, raise("error"));
    assert_eq!(ground.exit_of(plain), Term::crash("drill".into()));
}

#[test]
fn a_stop_with_a_reply_answers_before_it_exits() {
    let ground = Ground::new();
    let counter = counting(&ground, &[]);
    let request = list(["stop_reply".into(), "bye".into(), "farewell".into()]);
    assert_eq!(ground.call(counter, request), Term::from("farewell"));
    assert_eq!(ground.exit_of(counter), Term::from("bye"));
}

#[test]
fn neither_a_kill_nor_an_untrapped_exit_signal_runs_terminate() {
    let ground = Ground::new();
    let recorder = ground.recorder();
    for (trap, reason) in [(true, "kill"), (false, "other")] {
        let counter = told(&ground, recorder, vec![("trap_exit", trap.into())]);
        ground.node.exit(Pid::NONE, counter, reason.into());
        ground.node.run_until_idle();
        assert!(!ground.node.is_alive(counter));
    }
    assert_eq!(ground.received(recorder), []);
}

#[test]
fn the_exit_of_the_parent_terminates_a_server_that_traps_and_another_exit_does_not() {
    let ground = Ground::new();
    let recorder = ground.recorder();
    let [parent, friend] = [(); 2].map(|()| ground.start("plain", Term::Null));
    let args = Term::map([("terminate_notify", recorder.into()), ("trap_exit", true.into())]);
    let options = StartOptions { parent: Some(parent), link: true, ..StartOptions::default() };
    let counter = ground.start_with("counter", args, options);
    ground.node.link(friend, counter).unwrap();
    ground.node.exit(Pid::NONE, friend, "bad".into());
    ground.node.run_until_idle();
    assert!(ground.node.is_alive(counter));
    ground.node.exit(Pid::NONE, parent, "bad".into());
    assert_eq!(ground.exit_of(counter), Term::from("bad"));
    assert_eq!(ground.received(recorder), [terminated(counter, "bad".into())]);
}

#[test]
fn a_stop_waits_for_its_turn_and_gives_terminate_its_reason() {
    let ground = Ground::new();
    let recorder = ground.recorder();
    let counter = told(&ground, recorder, vec![]);
    ground.cast(counter, list(["sleep".into(), 300.into()]));
    ground.stop(counter, Term::SHUTDOWN);
    ground.pass(200);
    assert!(ground.node.is_alive(counter), "it is in the middle of a callback");
    ground.pass(200);
    assert_eq!(ground.exit_of(counter), Term::SHUTDOWN);
    assert_eq!(ground.received(recorder), [terminated(counter, Term::SHUTDOWN)]);
}

#[test]
fn an_exit_or_a_crash_in_terminate_replaces_the_reason_even_after_a_sleep() {
    let ground = Ground::new();
    for (key, reason) in [("terminate_exit", "oops".into()), ("terminate_crash", Term::crash("oops".into()))]
    {
        let counter = counting(&ground, &[(key, "oops".into()), ("terminate_sleep", 20.into())]);
        ground.stop(counter, Term::NORMAL);
        assert!(ground.node.is_alive(counter));
        ground.pass(20);
        assert_eq!(ground.exit_of(counter), reason);
    }
}

#[test]
fn a_continue_runs_before_messages_that_are_queued_already() {
    let ground = Ground::new();
    let counter = counting(&ground, &[]);
    ground.cast(counter, list(["sleep".into(), 100.into()]));
    ground.cast(counter, list(["continue".into(), list(["add".into(), 10.into()])]));
    assert_eq!(ground.call(counter, "incr"), Term::Int(11));
}

#[test]
fn a_server_that_sleeps_leaves_its_mailbox_alone_and_others_run() {
    let ground = Ground::new();
    let [sleeper, other] = [(); 2].map(|()| counting(&ground, &[]));
    ground.cast(sleeper, list(["sleep".into(), 400.into()]));
    ground.cast(sleeper, "incr");
    assert_eq!(ground.call(other, "incr"), Term::Int(1));
    assert_eq!(ground.state(other), Term::Int(1));
    assert!(ground.node.is_alive(sleeper));
    assert_eq!(ground.call(sleeper, "get"), Term::Int(1));
}

#[test]
fn a_call_inside_a_callback_gets_the_reply_or_the_reason_why_there_is_none() {
    let ground = Ground::new();
    let [caller, server] = [(); 2].map(|()| counting(&ground, &[]));
    let ask = |to: Pid, request: Term, ms: i64| {
        ground.call(caller, list(["call".into(), to.into(), request, ms.into()]))
    };
    let exit = |reason: Term| Term::tagged("EXIT", reason);
    assert_eq!(ask(server, "incr".into(), 100), Term::Int(1));
    assert_eq!(ask(server, "noreply".into(), 100), exit(Term::TIMEOUT));
    assert_eq!(ask(caller, "get".into(), 100), exit("calling_self".into()));
    assert_eq!(ask(server, list(["exit".into(), "bye".into()]), 100), exit("bye".into()));
    assert_eq!(ask(server, "get".into(), 100), exit(Term::NOPROC));
    let nested = list(["call".into(), caller.into(), "get".into(), 30.into()]);
    let deadlocked = counting(&ground, &[]);
    assert_eq!(ask(deadlocked, nested, 500), exit(Term::TIMEOUT));
}

#[test]
fn the_idle_timeout_is_a_message_and_any_other_message_cancels_it() {
    let log = Log::default();
    let ground = Ground::new();
    ground.node.add_module(Arc::new(logger(&log)));
    let server = ground.start("logger", Term::Null);
    ground.call(server, list(["timeout".into(), 100.into()]));
    ground.pass(50);
    ground.send(server, Kind::Info, "hello");
    ground.pass(200);
    assert_eq!(log.take(), [Term::from("hello")]);
    ground.call(server, list(["timeout".into(), 60.into()]));
    ground.pass(59);
    assert_eq!(log.take(), []);
    ground.pass(1);
    assert_eq!(log.take(), [Term::TIMEOUT]);
}

#[test]
fn a_panic_is_a_crash_with_its_words_and_terminate_runs() {
    let ground = Ground::new();
    let log = Log::default();
    ground.node.add_module(Arc::new(logger(&log)));
    let server = ground.start("logger", Term::Null);
    assert_eq!(ground.call_exit(server, "panic"), Term::crash("as told".into()));
    assert_eq!(log.take(), [Term::tagged("terminate", Term::crash("as told".into()))]);
}

#[test]
fn work_that_blocks_runs_elsewhere_and_its_result_comes_back() {
    // Blocking work runs on real threads, which virtual time does not wait for.
    let config = NodeConfig {
        schedulers: 1,
        modules: vec![Arc::new(logger(&Log::default()))],
        ..NodeConfig::default()
    };
    let node = Node::start(config).unwrap();
    let started = block_on(node.start_process("logger", &Term::Null, StartOptions::default(), None));
    let Ok(Started::Running(server)) = started else { panic!("{started:?}") };
    assert_eq!(block_on(node.call(server, "block".into(), None, 0)), Ok(Term::from("done")));
    node.close();
}

/// Waits on this thread until `future` is ready.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_server_that_always_continues_gives_way() {
    let ground = Ground::new();
    let log = Log::default();
    ground.node.add_module(Arc::new(logger(&log)));
    let server = ground.start("logger", Term::Null);
    assert_eq!(ground.call(server, "spin"), Term::OK);
    assert_eq!(log.take().len(), 100_000, "each continue ran");
}

#[test]
fn a_state_is_read_replaced_stored_and_restored() {
    let ground = Ground::new();
    let counter = counting(&ground, &[("initial", 3.into())]);
    assert_eq!(ground.state(counter), Term::Int(3));
    ground.system(counter, list(["replace_state".into(), 50.into()])).unwrap();
    assert!(ground.system(counter, list(["replace_state".into(), "no number".into()])).is_err());
    ground.cast(counter, "hibernate");
    assert_eq!(ground.call(counter, "incr"), Term::Int(51));
}

/// A server that logs what it does.
struct Logger {
    log: Log,
}

fn logger(log: &Log) -> GenServerModule<Logger> {
    let log = log.clone();
    GenServerModule::new("logger", move |_, _| Init::ok(Logger { log: log.clone() }))
}

impl GenServer for Logger {
    fn handle_call(&mut self, request: &Term, _from: ReplyTo, _cx: &mut Context<'_>) -> Outcome<Self> {
        let ms = request.as_list().and_then(|terms| u64::try_from(terms[1].as_int()?).ok());
        match request.tag() {
            Some("panic") => panic!("as told"),
            Some("block") => {
                Pause::block(|| "done".into(), |_: &mut Self, result, _| Outcome::reply(result)).into()
            }
            Some("spin") => Outcome::reply(Term::OK).then(Next::Continue(Term::Int(1))),
            _ => {
                let timeout = Duration::from_millis(ms.unwrap_or_default());
                Outcome::reply(Term::OK).then(Next::Timeout(timeout))
            }
        }
    }

    fn handle_info(&mut self, message: &Message, cx: &mut Context<'_>) -> Outcome<Self> {
        self.log.push(message.to_term(cx.me()));
        Outcome::no_reply()
    }

    fn handle_continue(&mut self, round: &Term, _cx: &mut Context<'_>) -> Outcome<Self> {
        self.log.push(round.clone());
        match round.as_int() {
            Some(100_000) | None => Outcome::no_reply(),
            Some(round) => Outcome::no_reply().then(Next::Continue(Term::Int(round + 1))),
        }
    }

    fn terminate(&mut self, reason: &Term, _cx: &mut Context<'_>) -> Termination<Self> {
        self.log.push(Term::tagged("terminate", reason.clone()));
        Termination::Done
    }
}

#[test]
fn a_server_without_a_parent_takes_its_own_exit_signal_for_its_parents() {
    let ground = Ground::new();
    let trapping = || [("trap_exit", Term::Bool(true))];
    let (alone, other) = (counting(&ground, &trapping()), counting(&ground, &trapping()));
    ground.node.exit(other, alone, Term::NORMAL);
    ground.node.run_until_idle();
    assert!(ground.node.is_alive(alone));
    ground.node.exit(alone, alone, Term::NORMAL);
    ground.node.run_until_idle();
    assert!(!ground.node.is_alive(alone));
}

#[test]
fn a_watcher_from_the_start_hears_of_an_end_and_never_of_a_failed_start() {
    let ground = Ground::new();
    let watcher = ground.recorder();
    let monitored =
        || StartOptions { monitor: Some((watcher, ground.node.new_ref())), ..StartOptions::default() };
    let failing = Term::map([("init", Term::map([("stop", Term::from("nope"))]))]);
    assert_eq!(ground.try_start("counter", failing, monitored()), Err(StartError::Init("nope".into())));
    ground.node.run_until_idle();
    assert_eq!(ground.received(watcher), []);
    let counter = ground.start_with("counter", Term::Null, monitored());
    assert_eq!(ground.node.info(watcher).unwrap().monitors.len(), 1);
    ground.node.kill(counter, Term::KILLED);
    ground.node.run_until_idle();
    let [down] = &ground.received(watcher)[..] else { panic!("one DOWN") };
    assert_eq!(down.as_list().unwrap()[3..], [counter.into(), Term::KILLED]);
}

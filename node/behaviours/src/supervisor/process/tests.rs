//! Supervisors as processes, on a deterministic node with virtual time.

mod pauses;

use super::*;
use crate::supervisor::core::{ChildCounts, ChildState};
use crate::supervisor::error::SupervisorError;
use crate::supervisor::spec::{Restart, SUPERVISOR_MODULE, Shutdown, Strategy, SupervisorSpec};
use arsenal_runtime::module::{Behaviour, Description, Module};
use arsenal_runtime::node::{Node, NodeConfig};
use arsenal_runtime::start::{ProcessName, StartError, Started};
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Task, Poll, Waker};

/// A worker whose args say how its starts go (`starts`, the last one repeats) and whether it obeys (`stubborn`).
struct Worker {
    args: Term,
    attempt: usize,
}

/// Counts the attempts of each worker by its args.
#[derive(Default)]
struct Workers(Mutex<Vec<(Term, Arc<AtomicUsize>)>>);

impl Module for Workers {
    fn describe(&self) -> Description {
        Description::native("worker", Behaviour::Plain)
    }

    fn start(&self, args: &Term) -> Box<dyn Body> {
        let mut known = self.0.lock().unwrap();
        let attempts = match known.iter().find(|(other, _)| other == args) {
            Some((_, attempts)) => Arc::clone(attempts),
            None => {
                known.push((args.clone(), Arc::default()));
                Arc::clone(&known.last().unwrap().1)
            }
        };
        Box::new(Worker { args: args.clone(), attempt: attempts.fetch_add(1, Ordering::Relaxed) })
    }
}

impl Body for Worker {
    fn step(&mut self, event: Event, cx: &mut Context<'_>) -> Step {
        let stubborn = self.args.get("stubborn").is_some();
        match event {
            Event::Start => {
                cx.trap_exit(stubborn);
                let starts = self.args.get("starts").and_then(Term::as_list).unwrap_or_default();
                match starts.get(self.attempt).or(starts.last()).and_then(Term::as_str) {
                    Some("ignore") => {
                        cx.ignore();
                        return Step::Exit(Term::NORMAL);
                    }
                    Some("hang") => return Step::Wait(Receive::none()),
                    Some("stop") => {
                        cx.start_failed("nope".into());
                        return Step::Exit("nope".into());
                    }
                    _ => cx.started(),
                }
            }
            Event::Message(message) if message.kind == Kind::Info => return Step::Exit(message.payload),
            _ => {}
        }
        Step::Wait(Receive::any())
    }
}

fn node() -> Node {
    let modules: Vec<Arc<dyn Module>> =
        vec![Arc::new(SupervisorModule::default()), Arc::<Workers>::default()];
    Node::deterministic(NodeConfig { modules, ..NodeConfig::default() })
}

/// Runs the node until the future is done.
fn finish<T>(node: &Node, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut task = Task::from_waker(Waker::noop());
    for _ in 0..10 {
        if let Poll::Ready(result) = work.as_mut().poll(&mut task) {
            return result;
        }
        node.run_until_idle();
    }
    panic!("it is not done");
}

fn start_with(node: &Node, spec: &SupervisorSpec, options: StartOptions) -> Result<Pid, StartError> {
    match finish(node, node.start_process(SUPERVISOR_MODULE, &spec.to_term(), options, None))? {
        Started::Running(pid) => Ok(pid),
        Started::Ignored => panic!("a specification is never ignored"),
    }
}

fn start(node: &Node, spec: &SupervisorSpec) -> Pid {
    start_with(node, spec, StartOptions::default()).unwrap()
}

fn ask(node: &Node, supervisor: Pid, request: SupervisorRequest) -> Outcome {
    let reply = finish(node, node.call(supervisor, request.to_term(), None, 0)).unwrap();
    SupervisorRequest::read_reply(&reply).expect("a supervisor answers")
}

fn worker(id: &'static str) -> ChildSpec {
    worker_with(id, Term::Null)
}

fn worker_with(id: &'static str, args: Term) -> ChildSpec {
    ChildSpec::worker(id, "worker", args)
}

fn starts(id: &'static str, starts: &[&'static str]) -> ChildSpec {
    worker_with(id, Term::map([("starts", Term::list(starts.iter().copied().map(Term::Atom)))]))
}

fn stubborn(id: &'static str) -> ChildSpec {
    worker_with(id, Term::map([("stubborn", Term::Bool(true))]))
}

fn spec(strategy: Strategy, children: Vec<ChildSpec>) -> SupervisorSpec {
    SupervisorSpec::new(strategy, children).with_intensity(10, Duration::from_secs(5))
}

fn state(node: &Node, supervisor: Pid, id: &str) -> ChildState {
    match ask(node, supervisor, SupervisorRequest::WhichChildren { before: None, limit: None }) {
        Ok(SupervisorReply::Children(page)) => page.children.into_iter().find(|c| c.id.is(id)).unwrap().state,
        other => panic!("{other:?}"),
    }
}

fn pid(node: &Node, supervisor: Pid, id: &str) -> Pid {
    state(node, supervisor, id).pid().unwrap()
}

fn kill(node: &Node, pid: Pid) {
    node.exit(Pid::NONE, pid, Term::KILL);
    node.run_until_idle();
}

/// What the supervisors did after `after`, in order: `+a` a start, `-a` a stop.
fn starts_and_stops(node: &Node, after: u64) -> String {
    let events = node.events().after(after, usize::MAX).events;
    let sign = |kind| match kind {
        "supervisor.child_started" | "supervisor.child_restarted" => Some('+'),
        "supervisor.child_stopped" => Some('-'),
        _ => None,
    };
    let lines = events.iter().filter_map(|event| {
        Some(format!("{}{}", sign(event.kind)?, event.detail.get("id").and_then(Term::as_str).unwrap_or("?")))
    });
    lines.collect::<Vec<_>>().join(" ")
}

fn reason_of(node: &Node, pid: Pid) -> Reason {
    node.events().exit_of(pid).expect("it has ended").reason
}

#[test]
fn children_start_in_order_and_a_stop_takes_them_down_in_reverse() {
    let node = node();
    let supervisor = start(&node, &spec(Strategy::OneForOne, vec![worker("a"), worker("b"), worker("c")]));
    assert_eq!(starts_and_stops(&node, 0), "+a +b +c");
    let (mark, first) = (node.events().last_sequence(), pid(&node, supervisor, "a"));
    assert_eq!(ask(&node, supervisor, SupervisorRequest::Stop("bye".into())), Ok(SupervisorReply::Done));
    node.run_until_idle();
    assert_eq!(starts_and_stops(&node, mark), "-c -b -a");
    assert_eq!(reason_of(&node, first), Term::SHUTDOWN);
    assert_eq!(reason_of(&node, supervisor), "bye".into());
}

#[test]
fn each_strategy_restarts_whom_it_concerns() {
    for (strategy, expected) in [
        (Strategy::OneForOne, "+b"),
        (Strategy::RestForOne, "-c +b +c"),
        (Strategy::OneForAll, "-c -a +a +b +c"),
    ] {
        let node = node();
        let supervisor = start(&node, &spec(strategy, vec![worker("a"), worker("b"), worker("c")]));
        let (mark, old) = (node.events().last_sequence(), pid(&node, supervisor, "b"));
        kill(&node, old);
        assert_eq!(starts_and_stops(&node, mark), expected);
        let new = pid(&node, supervisor, "b");
        assert_ne!(new, old);
        assert_eq!(node.incarnation_of(&node.process(new).unwrap()), Some(2));
        assert_eq!(node.events().exit_of(old).unwrap().incarnation, 1);
    }
}

#[test]
fn a_child_that_cannot_start_fails_the_start_and_undoes_those_before_it() {
    let node = node();
    let inner = spec(Strategy::OneForOne, vec![worker("b"), starts("c", &["stop"])]);
    let outer = spec(Strategy::OneForOne, vec![worker("a"), ChildSpec::supervisor("s", &inner)]);
    let error = start_with(&node, &outer, StartOptions::default()).unwrap_err();
    let expected =
        r#"["shutdown",["failed_to_start_child","s",["shutdown",["failed_to_start_child","c","nope"]]]]"#;
    assert_eq!(error.to_term().to_json().to_string(), expected);
    node.run_until_idle();
    assert_eq!(starts_and_stops(&node, 0), "+a +b -b -a");
    assert_eq!(node.process_count(), 0);
}

#[test]
fn a_specification_that_is_none_fails_the_start() {
    let node = node();
    let args = Term::map([("strategy", Term::Atom("sometimes"))]);
    let error = finish(&node, node.start_process(SUPERVISOR_MODULE, &args, StartOptions::default(), None));
    let expected = r#"["supervisor_data",["invalid_strategy","sometimes"]]"#;
    assert_eq!(error.unwrap_err().to_term().to_json().to_string(), expected);
}

#[test]
fn a_supervisor_that_restarts_too_often_escalates_to_its_own() {
    let node = node();
    let inner = SupervisorSpec::new(Strategy::OneForOne, vec![worker("w")]);
    let outer = spec(Strategy::OneForOne, vec![ChildSpec::supervisor("s", &inner)]);
    let top = start(&node, &outer);
    let inner = pid(&node, top, "s");
    for _ in 0..2 {
        kill(&node, pid(&node, inner, "w"));
    }
    assert_eq!(reason_of(&node, inner), Term::SHUTDOWN);
    let again = pid(&node, top, "s");
    assert_ne!(again, inner);
    assert!(matches!(state(&node, again, "w"), ChildState::Running(_)));
}

#[test]
fn a_child_that_does_not_end_in_time_is_killed() {
    let node = node();
    let mut child = stubborn("a");
    child.shutdown = Shutdown::Timeout(Duration::from_millis(150));
    let supervisor = start(&node, &spec(Strategy::OneForOne, vec![child]));
    let pid = pid(&node, supervisor, "a");
    let mut call =
        pin!(node.call(supervisor, SupervisorRequest::TerminateChild("a".into()).to_term(), None, 0));
    let mut task = Task::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut task).is_pending());
    node.advance(Duration::from_millis(140));
    assert!(node.is_alive(pid));
    node.advance(Duration::from_millis(20));
    assert_eq!(reason_of(&node, pid), Term::KILLED);
    assert!(call.as_mut().poll(&mut task).is_ready());
}

#[test]
fn brutal_kill_asks_nobody() {
    let node = node();
    let mut child = stubborn("a");
    child.shutdown = Shutdown::BrutalKill;
    let supervisor = start(&node, &spec(Strategy::OneForOne, vec![child]));
    let pid = pid(&node, supervisor, "a");
    ask(&node, supervisor, SupervisorRequest::TerminateChild("a".into())).unwrap();
    assert_eq!(reason_of(&node, pid), Term::KILLED);
}

#[test]
fn a_start_that_takes_too_long_is_killed_and_fails_with_timeout() {
    let node = node();
    let supervisor = start(&node, &spec(Strategy::OneForOne, vec![]));
    let mut child = starts("a", &["hang"]);
    child.start_timeout = Some(Duration::from_millis(50));
    let request = SupervisorRequest::StartChild(Box::new(child)).to_term();
    let mut call = pin!(node.call(supervisor, request, None, 0));
    let mut task = Task::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut task).is_pending());
    node.advance(Duration::from_millis(60));
    let Poll::Ready(reply) = call.as_mut().poll(&mut task) else { panic!("it is not answered") };
    let refused = SupervisorError::StartFailed { child: Some("a".into()), reason: Term::TIMEOUT };
    assert_eq!(SupervisorRequest::read_reply(&reply.unwrap()), Some(Err(refused)));
    assert_eq!(node.process_count(), 1);
}

#[test]
fn a_named_child_finds_its_name_free_when_its_restart_is_tried_again() {
    let node = node();
    let mut child = starts("a", &["ok", "stop", "ok"]);
    child.name = Some(ProcessName { name: "foo".into(), global: false });
    let supervisor = start(&node, &spec(Strategy::OneForOne, vec![child]));
    kill(&node, pid(&node, supervisor, "a"));
    assert!(matches!(state(&node, supervisor, "a"), ChildState::Running(_)));
}

#[test]
fn the_end_of_its_parent_takes_the_tree_down_and_a_brutal_end_too() {
    let node = node();
    let parent = start(&node, &spec(Strategy::OneForOne, vec![]));
    let options = || StartOptions { parent: Some(parent), link: true, ..StartOptions::default() };
    let tree = spec(Strategy::OneForOne, vec![worker("a"), worker("b")]);
    let supervisor = start_with(&node, &tree, options()).unwrap();
    let mark = node.events().last_sequence();
    kill(&node, parent);
    assert_eq!(starts_and_stops(&node, mark), "-b -a");
    assert_eq!(reason_of(&node, supervisor), Term::KILLED);

    let supervisor = start(&node, &tree);
    let child = pid(&node, supervisor, "a");
    kill(&node, supervisor);
    assert_eq!(reason_of(&node, child), Term::KILLED);
    assert_eq!(node.process_count(), 0);
}

#[test]
fn instances_come_and_go_by_pid_and_end_together() {
    let node = node();
    let mut specs = spec(Strategy::SimpleOneForOne, vec![stubborn("t").with_restart(Restart::Transient)]);
    specs.children[0].shutdown = Shutdown::Timeout(Duration::from_millis(100));
    let supervisor = start(&node, &specs);
    let pids: Vec<Pid> = (0..1_000)
        .map(|_| match ask(&node, supervisor, SupervisorRequest::AddDynamicChild(Box::default())) {
            Ok(SupervisorReply::Started { pid: Some(pid), .. }) => pid,
            other => panic!("{other:?}"),
        })
        .collect();
    node.send(pids[0], Message::info(Pid::NONE, Term::NORMAL));
    kill(&node, pids[1]);
    assert_eq!(
        ask(&node, supervisor, SupervisorRequest::CountChildren),
        Ok(SupervisorReply::Counts(ChildCounts { specs: 1, active: 999, supervisors: 0, workers: 999 }))
    );
    let gone = SupervisorRequest::TerminateChild(pids[0].into());
    assert_eq!(ask(&node, supervisor, gone), Ok(SupervisorReply::Done), "it ended before");
    let spec_of = |child: Pid| ask(&node, supervisor, SupervisorRequest::GetChildSpec(child.into()));
    assert_eq!(spec_of(pids[0]), spec_of(pids[2]));
    let stranger = SupervisorRequest::TerminateChild(supervisor.into());
    assert_eq!(ask(&node, supervisor, stranger), Err(SupervisorError::NotFound(supervisor.into())));
    node.exit(Pid::NONE, supervisor, Term::SHUTDOWN);
    node.run_until_idle();
    assert!(node.is_alive(supervisor), "a stranger's exit signal is no order");
    node.send(supervisor, Message::of(Kind::System, Pid::NONE, Term::tagged("terminate", Term::SHUTDOWN)));
    node.advance(Duration::from_millis(110));
    assert_eq!(node.process_count(), 0);
    assert_eq!(reason_of(&node, supervisor), Term::SHUTDOWN);
}

#[test]
fn a_plain_call_is_answered_in_otps_shape_and_nonsense_changes_nothing() {
    let node = node();
    let supervisor = start(&node, &spec(Strategy::OneForOne, vec![worker("a")]));
    let call = |request: Term| finish(&node, node.call(supervisor, request, None, 0)).unwrap();
    let started = call(Term::tagged("start_child", worker("b").to_term()));
    assert_eq!(started, Term::tagged("ok", pid(&node, supervisor, "b").into()));
    assert_eq!(call("which_children".into()).as_list().map(<[_]>::len), Some(2));
    assert_eq!(call(Term::tagged("delete_child", "b".into())), Term::tagged("error", "running".into()));
    assert_eq!(call("jump".into()), Term::tagged("error", "unknown_request".into()));
    for kind in [Kind::Info, Kind::Cast, Kind::Notify] {
        node.send(supervisor, Message::of(kind, Pid::NONE, Term::tagged("try_again_restart", Term::Int(0))));
    }
    node.run_until_idle();
    assert!(node.is_alive(supervisor));
}

#[test]
fn a_dry_run_tells_what_the_live_tree_then_does() {
    use crate::supervisor::simulate::{Ending, TimedFailure, simulate};
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let node = node();
        let mut specs =
            spec(strategy, vec![worker("a"), worker("b"), worker("c").with_restart(Restart::Temporary)]);
        specs.flags.intensity = 2;
        let supervisor = start(&node, &specs);
        let failures: Vec<TimedFailure> = [(1, "b"), (3, "a"), (12, "a"), (13, "b"), (14, "b"), (15, "a")]
            .map(|(second, child)| TimedFailure {
                after: Duration::from_secs(second),
                child: child.into(),
                reason: Term::KILLED,
                failed_starts: 0,
            })
            .into();
        let Ok(SupervisorReply::Model(model)) = ask(&node, supervisor, SupervisorRequest::GetModel) else {
            panic!()
        };
        let dry = simulate(*model, Default::default(), false, &failures).unwrap();
        let (mark, begin) = (node.events().last_sequence(), node.now_ns());
        for failure in &failures {
            let due = begin + u64::try_from(failure.after.as_nanos()).unwrap();
            node.advance(Duration::from_nanos(due - node.now_ns()));
            if node.is_alive(supervisor) {
                kill(&node, pid(&node, supervisor, failure.child.as_str().unwrap()));
            }
        }
        let live = node.events().after(mark, usize::MAX).events;
        let live: Vec<_> = live
            .iter()
            .filter_map(|event| {
                let kind = event.kind.strip_prefix("supervisor.")?;
                let kind = match kind.strip_prefix("child_").unwrap_or(kind) {
                    "exited" => "failed",
                    "restarted" => "started",
                    other => other,
                };
                Some(format!("{kind} {}", event.detail.get("id")?))
            })
            .collect();
        let dry_lines: Vec<_> =
            dry.entries.iter().map(|entry| format!("{} {}", entry.event.as_str(), entry.child)).collect();
        assert_eq!(dry_lines, live, "{strategy:?}");
        assert_eq!(dry.ending, Ending::Escalated);
        assert!(!node.is_alive(supervisor));
    }
}

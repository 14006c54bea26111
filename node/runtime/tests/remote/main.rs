//! Processes of two nodes that are joined by a carrier in memory, each node deterministic: what OTP promises of links,
//! monitors, calls and messages between nodes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod requests;
mod room;

use arsenal_runtime::codec::Reader;
use arsenal_runtime::control::ControlError;
use arsenal_runtime::dead_letters::DeadLetterReason;
use arsenal_runtime::info::Status;
use arsenal_runtime::remote::{Carried, Carrier, Parcel, Queue};
use arsenal_runtime::request::{CallError, Sent};
use arsenal_runtime::timer::TimerTarget;
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Kind, Message, Node, NodeConfig, Pid, ProcessName, Receive,
    StartOptions, Step, Term,
};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

type Log = Arc<Mutex<Vec<Term>>>;
/// What a process does in one turn, for a test.
type Deed = Box<dyn FnOnce(&mut Context<'_>) -> Step + Send>;
/// What processes are to do: a closure is no message.
type Deeds = Arc<Mutex<Vec<(Pid, Deed)>>>;

/// Carries encoded signals in a queue until the test moves them; while `cut` it knows no way.
#[derive(Default)]
struct Wire {
    queue: Mutex<VecDeque<Vec<u8>>>,
    cut: std::sync::atomic::AtomicBool,
    crowded_from: AtomicUsize,
    full_from: AtomicUsize,
    signal_bytes_max: AtomicUsize,
}

impl Carrier for Wire {
    fn carry(&self, parcel: &Parcel) -> Carried {
        if self.cut.load(Relaxed) {
            return Carried::NoConnection;
        }
        if parcel.size_bytes() > self.signal_bytes_max.load(Relaxed) {
            return Carried::TooBig;
        }
        let mut queue = self.queue.lock().unwrap();
        if parcel.may_be_refused() && queue.len() >= self.full_from.load(Relaxed) {
            return Carried::Full(0);
        }
        let mut bytes = Vec::new();
        parcel.encode(&mut bytes);
        queue.push_back(bytes);
        if queue.len() >= self.crowded_from.load(Relaxed) { Carried::Crowded(0) } else { Carried::Sent }
    }

    fn has_room(&self, _queue: Queue) -> bool {
        self.queue.lock().unwrap().len() < self.crowded_from.load(Relaxed)
    }
}

/// Two nodes and the wires from each to the other.
struct Pair {
    nodes: [Node; 2],
    wires: [Arc<Wire>; 2],
    deeds: Deeds,
}

impl Pair {
    fn new() -> Self {
        Self::with_incarnations([1, 1])
    }

    fn with_incarnations(incarnations: [u32; 2]) -> Self {
        let wires = [(); 2].map(|()| {
            let wire = Wire::default();
            wire.crowded_from.store(usize::MAX, Relaxed);
            wire.full_from.store(usize::MAX, Relaxed);
            wire.signal_bytes_max.store(usize::MAX, Relaxed);
            Arc::new(wire)
        });
        let nodes = [0, 1].map(|at| {
            let config =
                NodeConfig { id: at as u32 + 1, incarnation: incarnations[at], ..NodeConfig::default() };
            let node = Node::deterministic(config);
            node.set_carrier(Arc::clone(&wires[at]) as Arc<dyn Carrier>);
            node
        });
        Self { nodes, wires, deeds: Deeds::default() }
    }

    /// Runs both and moves signals until nothing happens any more.
    fn settle(&self) {
        loop {
            let ran: usize = self.nodes.iter().map(Node::run_until_idle).sum();
            let moved: usize = (0..2).map(|from| self.transfer(from)).sum();
            if ran + moved == 0 {
                return;
            }
        }
    }

    /// Moves what node `from` has sent so far.
    fn transfer(&self, from: usize) -> usize {
        let sent: Vec<_> = self.wires[from].queue.lock().unwrap().drain(..).collect();
        let parcels = sent.iter().map(|bytes| Parcel::decode(&mut Reader::new(bytes)).unwrap());
        self.nodes[1 - from].deliver(parcels);
        sent.len()
    }

    /// Loses the connection, and what is on its way.
    fn cut(&self) {
        for wire in &self.wires {
            wire.cut.store(true, Relaxed);
            wire.queue.lock().unwrap().clear();
        }
        self.nodes[0].connection_lost(2);
        self.nodes[1].connection_lost(1);
        self.settle();
    }

    fn spawn(&self, at: usize, options: StartOptions) -> (Pid, Log) {
        let log = Log::default();
        let body = Box::new(Doer { log: Arc::clone(&log), deeds: Arc::clone(&self.deeds) });
        let description = Arc::new(Description::native("doer", Behaviour::Plain));
        let process = self.nodes[at].spawn(&description, body, options).unwrap();
        self.settle();
        (process.pid(), log)
    }

    fn trapping(&self, at: usize) -> (Pid, Log) {
        self.spawn(at, StartOptions { trap_exit: true, ..StartOptions::default() })
    }

    /// Has a process do something in a turn of its own, when it runs next.
    fn order(&self, pid: Pid, deed: impl FnOnce(&mut Context<'_>) -> Step + Send + 'static) {
        self.deeds.lock().unwrap().push((pid, Box::new(deed)));
        let node = &self.nodes[pid.node as usize - 1];
        assert_eq!(node.send(pid, Message::info(Pid::NONE, Term::Atom("act"))), Sent::Delivered);
    }

    /// Has it do so now.
    fn act(&self, pid: Pid, deed: impl FnOnce(&mut Context<'_>) -> Step + Send + 'static) {
        self.order(pid, deed);
        self.settle();
    }
}

/// Does deeds, keeps all else that it receives, and answers calls with what they ask.
struct Doer {
    log: Log,
    deeds: Deeds,
}

impl Body for Doer {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        let Event::Message(message) = event else { return Step::Wait(Receive::any()) };
        if message.payload.is("act") {
            let deed = {
                let mut deeds = self.deeds.lock().unwrap();
                let at = deeds.iter().position(|(pid, _)| *pid == context.me());
                deeds.remove(at.unwrap()).1
            };
            return deed(context);
        }
        self.log.lock().unwrap().push(message.to_term(context.me()));
        if let (Kind::Call, Some(call)) = (message.kind, message.reply_to())
            && !message.payload.is("never answer")
        {
            context.reply(call, message.payload);
        }
        Step::Wait(Receive::any())
    }
}

fn wait() -> Step {
    Step::Wait(Receive::any())
}

fn read(log: &Log) -> Vec<Term> {
    log.lock().unwrap().clone()
}

fn exit(from: Pid, reason: &'static str) -> Term {
    [Term::Atom("EXIT"), from.into(), reason.into()].into()
}

/// The object and reason of each DOWN in a log.
fn downs(log: &Log) -> Vec<(Term, Term)> {
    let down = |term: &Term| match term.as_list() {
        Some([tag, _, _, object, reason]) if tag.is("DOWN") => Some((object.clone(), reason.clone())),
        _ => None,
    };
    read(log).iter().filter_map(down).collect()
}

#[test]
fn messages_from_one_process_to_one_of_another_node_are_handled_in_order() {
    let pair = Pair::new();
    let ((sender, _), (receiver, log)) = (pair.trapping(0), pair.trapping(1));
    pair.act(sender, move |context| {
        (0..500).for_each(|n| context.send(receiver, Term::Int(n)));
        wait()
    });
    assert_eq!(read(&log), (0..500).map(Term::Int).collect::<Vec<_>>());
}

#[test]
fn a_link_to_another_node_tells_each_end_why_the_other_ended() {
    let pair = Pair::new();
    let ((here, log), (there, _)) = (pair.trapping(0), pair.trapping(1));
    pair.nodes[0].link(here, there).unwrap();
    pair.settle();
    pair.nodes[1].exit(Pid::NONE, there, Term::KILL);
    pair.settle();
    assert_eq!(read(&log), [exit(there, "killed")]);

    let ((here, _), (there, log)) = (pair.trapping(0), pair.trapping(1));
    pair.nodes[0].link(here, there).unwrap();
    pair.settle();
    pair.act(here, |_| Step::Exit(Term::Atom("done")));
    assert_eq!(read(&log), [exit(here, "done")]);
}

#[test]
fn a_link_or_a_monitor_of_a_dead_process_of_another_node_answers_noproc() {
    let pair = Pair::new();
    let ((here, log), (there, _)) = (pair.trapping(0), pair.trapping(1));
    pair.nodes[1].kill(there, Term::KILLED);
    pair.settle();
    pair.nodes[0].link(here, there).unwrap();
    pair.nodes[0].monitor(here, Some(there), None).unwrap();
    pair.settle();
    assert_eq!(read(&log)[0], exit(there, "noproc"));
    assert_eq!(downs(&log), [(Term::Pid(there), Term::NOPROC)]);
}

#[test]
fn a_pid_of_a_former_life_of_a_node_is_noproc_there_and_at_home() {
    let pair = Pair::with_incarnations([2, 2]);
    let (here, log) = pair.trapping(0);
    let (elsewhere, before) = (Pid::new(2, 1, 1), Pid::new(1, 1, 1));
    pair.nodes[0].monitor(here, Some(elsewhere), None).unwrap();
    pair.nodes[0].monitor(here, Some(before), None).unwrap();
    pair.settle();
    let mut seen = downs(&log);
    seen.sort_by_key(|(object, _)| object.as_pid());
    assert_eq!(seen, [(Term::Pid(before), Term::NOPROC), (Term::Pid(elsewhere), Term::NOPROC)]);
}

#[test]
fn unlink_and_demonitor_reach_the_other_node() {
    let pair = Pair::new();
    let ((here, log), (there, other)) = (pair.trapping(0), pair.trapping(1));
    pair.nodes[0].link(here, there).unwrap();
    let monitor = pair.nodes[0].monitor(here, Some(there), None).unwrap();
    pair.settle();
    pair.nodes[0].unlink(here, there).unwrap();
    assert!(pair.nodes[0].demonitor(here, monitor, true).unwrap());
    pair.settle();
    pair.act(there, |_| Step::Exit(Term::Atom("gone")));
    pair.nodes[0].kill(here, Term::KILLED);
    pair.settle();
    assert_eq!((read(&log), read(&other)), (vec![], vec![]));
}

#[test]
fn a_call_to_another_node_is_answered_and_one_to_a_dead_process_is_noproc() {
    let pair = Pair::new();
    let ((here, log), (there, _)) = (pair.trapping(0), pair.trapping(1));
    pair.act(here, move |context| {
        context.request(there, Term::Int(7));
        wait()
    });
    assert_eq!(read(&log).pop().unwrap().as_list().unwrap()[1], Term::Int(7));
    pair.nodes[1].kill(there, Term::KILLED);
    pair.settle();
    pair.act(here, move |context| {
        context.request(there, Term::Int(8));
        wait()
    });
    assert_eq!(downs(&log), [(Term::Pid(there), Term::NOPROC)]);
}

/// Polls a request once more whenever the pair has settled.
fn call_from_outside(pair: &Pair, to: Pid, request: Term, then: impl FnOnce()) -> Result<Term, CallError> {
    let mut call = Box::pin(pair.nodes[0].call(to, request, None, 0));
    let mut context = TaskContext::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());
    pair.settle();
    then();
    match call.as_mut().poll(&mut context) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("no answer"),
    }
}

#[test]
fn a_request_from_outside_is_answered_across_nodes_and_aborted_by_a_lost_connection() {
    let pair = Pair::new();
    let (there, _) = pair.trapping(1);
    assert_eq!(call_from_outside(&pair, there, Term::Int(3), || ()), Ok(Term::Int(3)));
    let lost = call_from_outside(&pair, there, "never answer".into(), || pair.cut());
    assert_eq!(lost, Err(CallError::Died { process: there, reason: "noconnection".into() }));
    assert_eq!(pair.nodes[0].waiting_requests(), 0);
    let mut call = Box::pin(pair.nodes[0].call(there, Term::Int(3), None, 0));
    let refused = call.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
    assert_eq!(refused, Poll::Ready(Err(CallError::NoConnection(there))));
}

#[test]
fn a_call_by_name_finds_who_has_it_on_the_other_node_and_says_who_answered() {
    let pair = Pair::new();
    let name = Some(ProcessName { name: "there".into(), global: false });
    let (there, _) = pair.spawn(1, StartOptions { name, ..StartOptions::default() });
    let mut context = TaskContext::from_waker(Waker::noop());
    let mut answers = ["there", "nobody"].map(|name| {
        let mut call = Box::pin(pair.nodes[0].call_on(2, name, Term::Int(4), None, 0));
        assert!(call.as_mut().poll(&mut context).is_pending());
        pair.settle();
        match call.as_mut().poll(&mut context) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("no answer"),
        }
    });
    assert_eq!(std::mem::replace(&mut answers[0], Ok((there, Term::Null))), Ok((there, Term::Int(4))));
    assert_eq!(answers[1], Err(CallError::NoProcess(Pid::new(2, 0, 0))));
}

#[test]
fn a_lost_connection_ends_each_link_monitor_and_call_across_it_once() {
    let pair = Pair::new();
    let ((here, log), (there, other)) = (pair.trapping(0), pair.trapping(1));
    let (bystander, quiet) = pair.trapping(0);
    pair.nodes[0].link(here, there).unwrap();
    pair.nodes[0].monitor(here, Some(there), None).unwrap();
    pair.nodes[1].monitor(there, Some(here), None).unwrap();
    pair.act(here, move |context| {
        context.request(there, "never answer".into());
        context.link(bystander);
        wait()
    });
    pair.cut();
    pair.cut();
    let exits = |log: &Log| read(log).iter().filter(|term| term.tag() == Some("EXIT")).count();
    assert_eq!(exits(&log), 1);
    assert_eq!(downs(&log), vec![(Term::Pid(there), "noconnection".into()); 2]);
    assert_eq!(downs(&other), [(Term::Pid(here), "noconnection".into())]);
    assert_eq!(exits(&other), 1);
    assert_eq!(read(&quiet), [], "a link on the node itself is none of its business");
}

#[test]
fn what_a_node_that_is_out_of_reach_held_is_forgotten() {
    let pair = Pair::new();
    let ((here, _), (there, other)) = (pair.trapping(0), pair.trapping(1));
    pair.nodes[0].monitor(here, Some(there), None).unwrap();
    pair.nodes[0].link(here, there).unwrap();
    pair.settle();
    pair.cut();
    assert_eq!(read(&other).len(), 1, "the link's end");
    pair.wires.iter().for_each(|wire| wire.cut.store(false, Relaxed));
    pair.nodes[1].kill(there, Term::KILLED);
    pair.nodes[1].run_until_idle();
    assert!(pair.wires[1].queue.lock().unwrap().is_empty(), "nobody is told of an end that nobody watches");
}

#[test]
fn without_a_connection_who_links_or_monitors_hears_so_and_a_message_is_a_dead_letter() {
    let pair = Pair::new();
    let ((here, log), (there, _)) = (pair.trapping(0), pair.trapping(1));
    pair.cut();
    pair.nodes[0].link(here, there).unwrap();
    pair.nodes[0].monitor(here, Some(there), None).unwrap();
    pair.settle();
    assert_eq!(read(&log)[0], exit(there, "noconnection"));
    assert_eq!(downs(&log), [(Term::Pid(there), "noconnection".into())]);
    assert_eq!(pair.nodes[0].send(there, Message::info(here, Term::OK)), Sent::NoConnection);
    let letters = pair.nodes[0].dead_letters().list();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].to, letters[0].reason), (there, DeadLetterReason::DeadProcess));
}

#[test]
fn a_monitor_by_name_on_another_node_fires_with_that_name_and_ends_with_a_demonitor() {
    let pair = Pair::new();
    let name = Some(ProcessName { name: "there".into(), global: false });
    let (here, log) = pair.trapping(0);
    let (there, _) = pair.spawn(1, StartOptions { name: name.clone(), ..StartOptions::default() });
    let object = Term::map([("name", Term::from("there")), ("node", "n2".into())]);
    pair.nodes[0].monitor_name_on(here, 2, "nobody").unwrap();
    pair.nodes[0].monitor_name_on(here, 2, "there").unwrap();
    let undone = pair.nodes[0].monitor_name_on(here, 2, "there").unwrap();
    pair.settle();
    let nobody = Term::map([("name", Term::from("nobody")), ("node", "n2".into())]);
    assert_eq!(downs(&log), [(nobody, Term::NOPROC)]);
    assert!(pair.nodes[0].demonitor(here, undone, true).unwrap());
    pair.settle();
    pair.nodes[1].kill(there, Term::KILLED);
    pair.settle();
    assert_eq!(downs(&log)[1..], [(object.clone(), Term::KILLED)]);

    pair.spawn(1, StartOptions { name, ..StartOptions::default() });
    pair.nodes[0].monitor_name_on(here, 2, "there").unwrap();
    pair.settle();
    pair.cut();
    assert_eq!(downs(&log)[2..], [(object, "noconnection".into())]);
}

#[test]
fn a_timer_sends_to_a_process_and_to_a_name_of_another_node() {
    let pair = Pair::new();
    let name = Some(ProcessName { name: "there".into(), global: false });
    let (there, log) = pair.spawn(1, StartOptions { name, ..StartOptions::default() });
    let node = &pair.nodes[0];
    let targets = [TimerTarget::Process(there), TimerTarget::Name("there@n2".into())];
    for target in targets {
        node.start_timer(target, Message::info(Pid::NONE, Term::OK), Duration::from_secs(1)).unwrap();
    }
    node.advance(Duration::from_secs(1));
    pair.settle();
    assert_eq!(read(&log), [Term::OK, Term::OK]);
}

#[test]
fn a_child_of_a_parent_on_another_node_is_linked_to_it() {
    let pair = Pair::new();
    let (parent, _) = pair.trapping(0);
    let options =
        StartOptions { parent: Some(parent), link: true, trap_exit: true, ..StartOptions::default() };
    let (_, log) = pair.spawn(1, options);
    pair.nodes[0].kill(parent, Term::SHUTDOWN);
    pair.settle();
    assert_eq!(read(&log), [exit(parent, "shutdown")]);
}

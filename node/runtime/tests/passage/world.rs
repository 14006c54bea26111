//! Three deterministic nodes, the lanes between them, and processes that can move.
//!
//! A lane is what one process sends to one node: it keeps its order, and no two lanes have one between them. Which lane
//! moves, or which node runs, is drawn by the world's dice.

use arsenal_runtime::codec::Reader;
use arsenal_runtime::module::Module;
use arsenal_runtime::passage::{Departure, Luggage, PassageError, read_messages, write_messages};
use arsenal_runtime::remote::{Carried, Carrier, Parcel, Queue};
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Hooks, Kind, Message, Node, NodeConfig, Pid, ProcessRef,
    Receive, StartOptions, Step, Term,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

const NODES: u32 = 3;

pub(crate) type Log = Arc<Mutex<Vec<Term>>>;
/// What a process does in one turn, for a test.
type Deed = Box<dyn FnOnce(&mut Context<'_>) -> Step + Send>;
/// What processes are to do: a closure is no message.
type Deeds = Arc<Mutex<VecDeque<(u64, Deed)>>>;

/// What waits to be moved, by receiving node and who has it leave.
type Lanes = BTreeMap<(u32, Pid), VecDeque<Vec<u8>>>;

/// Carries the signals of one node.
struct Wires {
    lanes: Mutex<Lanes>,
    cut: Mutex<BTreeSet<u32>>,
    /// Messages that wait at most.
    room: AtomicUsize,
    signal_bytes_max: AtomicUsize,
}

impl Wires {
    fn waiting(&self) -> usize {
        self.lanes.lock().unwrap().values().map(VecDeque::len).sum()
    }
}

impl Carrier for Wires {
    fn carry(&self, parcel: &Parcel) -> Carried {
        if self.cut.lock().unwrap().contains(&parcel.node()) {
            return Carried::NoConnection;
        }
        if parcel.size_bytes() > self.signal_bytes_max.load(Relaxed) {
            return Carried::TooBig;
        }
        let room = self.room.load(Relaxed);
        if parcel.may_be_refused() && self.waiting() >= room {
            return Carried::Full(0);
        }
        let mut bytes = Vec::new();
        parcel.encode(&mut bytes);
        self.lanes.lock().unwrap().entry((parcel.node(), parcel.from())).or_default().push_back(bytes);
        if self.waiting() >= room { Carried::Crowded(0) } else { Carried::Sent }
    }

    fn has_room(&self, _queue: Queue) -> bool {
        self.waiting() < self.room.load(Relaxed)
    }
}

pub(crate) struct World {
    nodes: Vec<Node>,
    wires: Vec<Arc<Wires>>,
    deeds: Deeds,
    /// One log of all lives of one mover.
    logs: Arc<Mutex<BTreeMap<u64, Log>>>,
    dice: AtomicU64,
    /// The pids that movers have had, by the number that each keeps.
    numbers: Mutex<BTreeMap<Pid, u64>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let (deeds, logs) = (Deeds::default(), Arc::default());
        let wires = (0..NODES).map(|_| {
            let [room, signal_bytes_max] = [(); 2].map(|()| AtomicUsize::new(usize::MAX));
            Arc::new(Wires { lanes: Mutex::default(), cut: Mutex::default(), room, signal_bytes_max })
        });
        let wires: Vec<_> = wires.collect();
        let nodes = (1..=NODES).zip(&wires).map(|(id, wires)| {
            let module = Arc::new(Movers { deeds: Arc::clone(&deeds), logs: Arc::clone(&logs) });
            let node = Node::deterministic(NodeConfig { id, modules: vec![module], ..NodeConfig::default() });
            node.set_carrier(Arc::clone(wires) as Arc<dyn Carrier>);
            node
        });
        let nodes = nodes.collect();
        let dice = AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { nodes, wires, deeds, logs, dice, numbers: Mutex::default() }
    }

    pub(crate) fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize - 1]
    }

    pub(crate) fn process(&self, pid: Pid) -> ProcessRef {
        self.node(pid.node).process(pid).unwrap()
    }

    fn draw(&self, below: usize) -> usize {
        let mut state = self.dice.load(Relaxed);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.dice.store(state, Relaxed);
        (state >> 16) as usize % below
    }

    /// Runs a node, or moves a signal of some lane; whether there was anything to do.
    fn once(&self) -> bool {
        let mut choices: Vec<(usize, Option<(u32, Pid)>)> = Vec::new();
        for (at, wires) in self.wires.iter().enumerate() {
            let lanes = wires.lanes.lock().unwrap();
            choices.extend(lanes.keys().map(|lane| (at, Some(*lane))));
            choices.push((at, None));
        }
        let (at, lane) = choices[self.draw(choices.len())];
        let Some(lane) = lane else { return self.nodes[at].run_until_idle() > 0 };
        let mut lanes = self.wires[at].lanes.lock().unwrap();
        let bytes = lanes.get_mut(&lane).and_then(VecDeque::pop_front);
        if lanes.get(&lane).is_some_and(VecDeque::is_empty) {
            lanes.remove(&lane);
        }
        drop(lanes);
        let parcel = bytes.map(|bytes| Parcel::decode(&mut Reader::new(&bytes)).unwrap());
        self.node(lane.0).deliver(parcel);
        let queue = Queue { node: lane.0, number: 0 };
        if self.wires[at].has_room(queue) {
            self.nodes[at].room_again(queue);
        }
        true
    }

    /// Does so many things.
    pub(crate) fn step(&self, times: usize) {
        for _ in 0..times {
            self.once();
        }
    }

    /// Does things until nothing happens any more.
    pub(crate) fn settle(&self) {
        loop {
            let ran: usize = self.nodes.iter().map(Node::run_until_idle).sum();
            let waiting: usize = self.wires.iter().map(|wires| wires.waiting()).sum();
            if ran + waiting == 0 {
                return;
            }
            self.step(waiting + 1);
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.settle();
        self.nodes.iter().for_each(|node| node.advance(by));
        self.settle();
    }

    /// Loses all connections of a node.
    pub(crate) fn cut(&self, lost: u32) {
        for other in (1..=NODES).filter(|other| *other != lost) {
            for (here, there) in [(lost, other), (other, lost)] {
                let wires = &self.wires[here as usize - 1];
                wires.cut.lock().unwrap().insert(there);
                wires.lanes.lock().unwrap().retain(|(node, _), _| *node != there);
            }
            self.node(lost).connection_lost(other);
            self.node(other).connection_lost(lost);
        }
        self.settle();
    }

    /// From now on so many messages of a node wait to be moved at most.
    pub(crate) fn narrow(&self, node: u32, room: usize) {
        self.wires[node as usize - 1].room.store(room, Relaxed);
    }

    /// From now on a signal that leaves a node may have so many bytes.
    pub(crate) fn limit_signals(&self, node: u32, bytes: usize) {
        self.wires[node as usize - 1].signal_bytes_max.store(bytes, Relaxed);
    }

    pub(crate) fn spawn(&self, at: u32) -> (Pid, Log) {
        self.mover_with(at, StartOptions::default())
    }

    pub(crate) fn trapping(&self, at: u32) -> (Pid, Log) {
        self.mover_with(at, StartOptions { trap_exit: true, ..StartOptions::default() })
    }

    pub(crate) fn mover(&self, at: u32) -> (Pid, Log) {
        self.spawn(at)
    }

    pub(crate) fn trapping_mover(&self, at: u32) -> (Pid, Log) {
        self.trapping(at)
    }

    fn mover_with(&self, at: u32, options: StartOptions) -> (Pid, Log) {
        let mut numbers = self.numbers.lock().unwrap();
        let number = numbers.len() as u64 + 1;
        let log = Log::default();
        self.logs.lock().unwrap().insert(number, Arc::clone(&log));
        let state = Term::Int(number.cast_signed());
        let pid = self.node(at).start_restored("mover", &state, options).unwrap().pid();
        numbers.insert(pid, number);
        drop(numbers);
        self.settle();
        (pid, log)
    }

    /// Has a process do something in a turn of its own, when it runs next.
    pub(crate) fn order(&self, pid: Pid, deed: impl FnOnce(&mut Context<'_>) -> Step + Send + 'static) {
        let number = self.numbers.lock().unwrap()[&pid];
        self.deeds.lock().unwrap().push_back((number, Box::new(deed)));
        self.node(pid.node).send(pid, Message::info(Pid::NONE, Term::Atom("act")));
    }

    /// Has it do so now.
    pub(crate) fn act(&self, pid: Pid, deed: impl FnOnce(&mut Context<'_>) -> Step + Send + 'static) {
        self.order(pid, deed);
        self.settle();
    }

    pub(crate) fn poll<F: Future>(&self, future: Pin<&mut F>) -> bool {
        future.poll(&mut TaskContext::from_waker(Waker::noop())).is_ready()
    }

    /// Holds a process that is about to leave; it is in the middle of nothing.
    pub(crate) fn depart(&self, pid: Pid) -> Result<Departure, PassageError> {
        let process = self.process(pid);
        let mut departing = std::pin::pin!(self.node(pid.node).depart(&process, Duration::ZERO));
        match departing.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(departure) => departure,
            Poll::Pending => panic!("{pid} is busy"),
        }
    }

    /// Moves a process; gives its new pid.
    pub(crate) fn migrate(&self, pid: Pid, to: u32) -> Pid {
        let departure = self.depart(pid).unwrap();
        self.complete(departure, to)
    }

    /// Moves a process that is about to leave, with other things happening in between.
    pub(crate) fn complete(&self, departure: Departure, to: u32) -> Pid {
        let process = departure.process().clone();
        let node = self.node(to);
        let coming = node.admit(departure.cargo(), 0).unwrap().pid();
        let number = self.numbers.lock().unwrap()[&process.pid()];
        self.numbers.lock().unwrap().insert(coming, number);
        self.step(3);
        let epoch = number * 1_000 + coming.serial;
        let (luggage, messages) = departure.leave(coming, epoch).unwrap();
        self.step(3);
        let mut bytes = Vec::new();
        write_messages(messages.iter(), &mut bytes);
        node.take_tail(coming, 0, read_messages(&mut Reader::new(&bytes)).unwrap()).unwrap();
        let mut bytes = Vec::new();
        luggage.encode(&mut bytes);
        self.step(3);
        node.arrive(Luggage::decode(&mut Reader::new(&bytes)).unwrap()).unwrap();
        self.step(3);
        self.node(process.pid().node).passage_is_open(&process);
        coming
    }
}

/// The module of all processes here: their state is the number of their log.
struct Movers {
    deeds: Deeds,
    logs: Arc<Mutex<BTreeMap<u64, Log>>>,
}

impl Module for Movers {
    fn describe(&self) -> Description {
        let hooks = Hooks { snapshot: true, ..Hooks::default() };
        Description { hooks, ..Description::native("mover", Behaviour::Plain) }
    }

    fn start(&self, _args: &Term) -> Box<dyn Body> {
        unreachable!("they are all restored")
    }

    fn restore(&self, snapshot: &Term) -> Option<Box<dyn Body>> {
        let number = snapshot.as_int()?.cast_unsigned();
        let log = Arc::clone(self.logs.lock().unwrap().get(&number)?);
        Some(Box::new(Mover { number, log, deeds: Arc::clone(&self.deeds) }))
    }
}

/// Does deeds, keeps all else that it receives, and answers calls with what they ask.
struct Mover {
    number: u64,
    log: Log,
    deeds: Deeds,
}

impl Body for Mover {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        let message = match event {
            Event::Message(message) => message,
            Event::Timeout => {
                self.log.lock().unwrap().push(Term::Atom("timed out"));
                return wait();
            }
            _ => return wait(),
        };
        if message.payload.is("act") {
            let deed = {
                let mut deeds = self.deeds.lock().unwrap();
                let at = deeds.iter().position(|(number, _)| *number == self.number).unwrap();
                deeds.remove(at).unwrap().1
            };
            return deed(context);
        }
        self.log.lock().unwrap().push(message.to_term(context.me()));
        if let (Kind::Call, Some(call)) = (message.kind, message.reply_to())
            && !message.payload.is("never answer")
        {
            context.reply(call, message.payload);
        }
        wait()
    }

    fn snapshot(&self) -> Option<Term> {
        Some(Term::Int(self.number.cast_signed()))
    }
}

pub(crate) fn wait() -> Step {
    Step::Wait(Receive::any())
}

pub(crate) fn read(log: &Log) -> Vec<Term> {
    log.lock().unwrap().clone()
}

pub(crate) fn exit(from: Pid, reason: &'static str) -> Term {
    [Term::Atom("EXIT"), from.into(), reason.into()].into()
}

/// The object and reason of each DOWN in a log.
pub(crate) fn downs(log: &Log) -> Vec<(Term, Term)> {
    let down = |term: &Term| match term.as_list() {
        Some([tag, _, _, object, reason]) if tag.is("DOWN") => Some((object.clone(), reason.clone())),
        _ => None,
    };
    read(log).iter().filter_map(down).collect()
}

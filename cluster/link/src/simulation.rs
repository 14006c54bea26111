//! Two nodes and the link between them in virtual time: random traffic over lines that are slow, break, fall silent and
//! come back. The same seed gives the same run.

mod tests;

use crate::config::LinkConfig;
use crate::frame::{Frame, Head, Life};
use crate::outgoing::Outgoing;
use crate::peer::{Action, Event, Line, Peer};
use arsenal_runtime::codec::Reader;
use arsenal_runtime::remote::{Carried, Carrier, Parcel, Queue};
use arsenal_runtime::{Node, NodeConfig};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Numbers that look random.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }

    fn micros(&mut self, below: u64) -> Duration {
        Duration::from_micros(self.below(below))
    }
}

/// One end of the link.
pub(crate) struct End {
    pub(crate) node: Node,
    pub(crate) outgoing: Arc<Outgoing>,
    peer: Peer,
    /// How often a loss was told.
    pub(crate) losses: usize,
}

struct Put(Arc<Outgoing>);

impl Carrier for Put {
    fn carry(&self, parcel: &Parcel) -> Carried {
        self.0.put(parcel)
    }

    fn has_room(&self, queue: Queue) -> bool {
        self.0.has_room(queue.number)
    }
}

/// Frames on their way in one direction of a line; nothing in place of one where the line was closed.
type Way = VecDeque<(Duration, Option<Frame>)>;

struct Wire {
    /// To end 0, and to end 1.
    ways: [Way; 2],
    /// The end that accepts has seen its first frame.
    greeted: bool,
    dialer: usize,
    /// Frames vanish, and nobody is told.
    silent: bool,
    is_data: bool,
}

pub(crate) struct World {
    pub(crate) ends: [End; 2],
    pub(crate) now: Duration,
    pub(crate) random: Random,
    wires: BTreeMap<Line, Wire>,
    last_line: Line,
    dials: Vec<(Duration, usize, u32)>,
    /// Lines can be opened.
    pub(crate) reachable: bool,
    /// When and why a loss was told.
    pub(crate) reasons: Vec<String>,
    /// The longest that a frame takes, in microseconds.
    delay_us: u64,
}

impl World {
    pub(crate) fn new(seed: u64, config: &LinkConfig) -> Self {
        let ends = [0, 1].map(|at: usize| {
            let (own, other) = (at as u32 + 1, 2 - at as u32);
            let node = Node::deterministic(NodeConfig { id: own, ..NodeConfig::default() });
            let outgoing = Arc::new(Outgoing::new(config.clone()));
            node.set_carrier(Arc::new(Put(Arc::clone(&outgoing))));
            let own = Life { node: own, incarnation: 1 };
            let peer = Peer::new(own, other, config.clone(), Arc::clone(&outgoing));
            End { node, outgoing, peer, losses: 0 }
        });
        let mut random = Random::new(seed);
        let delay_us = [50, 1_000, 30_000][random.below(3) as usize];
        Self {
            ends,
            now: Duration::ZERO,
            random,
            wires: BTreeMap::new(),
            last_line: 0,
            dials: Vec::new(),
            reachable: true,
            reasons: Vec::new(),
            delay_us,
        }
    }

    /// Moves everything until this moment.
    pub(crate) fn run_until(&mut self, until: Duration) {
        loop {
            self.run_nodes();
            let Some(next) = self.next_moment().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.happen();
        }
        self.now = until;
    }

    fn run_nodes(&mut self) {
        for at in 0..2 {
            self.ends[at].node.run_until_idle();
            self.step(at, Event::Queued);
            for number in self.ends[at].outgoing.room_came() {
                self.ends[at].node.room_again(Queue { node: 2 - at as u32, number });
                self.ends[at].node.run_until_idle();
            }
        }
    }

    fn next_moment(&self) -> Option<Duration> {
        let frames = self.wires.values().flat_map(|wire| &wire.ways).filter_map(|way| way.front());
        let frames = frames.map(|(at, _)| *at);
        let dials = self.dials.iter().map(|(at, ..)| *at);
        frames.chain(dials).chain(self.ends.iter().filter_map(|end| end.peer.deadline())).min()
    }

    fn happen(&mut self) {
        if let Some(at) = self.dials.iter().position(|(at, ..)| *at <= self.now) {
            let (_, end, attempt) = self.dials.remove(at);
            return self.dial(end, attempt);
        }
        let due = |(line, wire): (&Line, &Wire)| {
            let to = (0..2).find(|to| wire.ways[*to].front().is_some_and(|(at, _)| *at <= self.now))?;
            Some((*line, to))
        };
        if let Some((line, to)) = self.wires.iter().find_map(due) {
            return self.arrive(line, to);
        }
        for end in 0..2 {
            if self.ends[end].peer.deadline().is_some_and(|at| at <= self.now) {
                self.step(end, Event::Tick);
            }
        }
    }

    fn dial(&mut self, end: usize, attempt: u32) {
        if !self.reachable {
            return self.step(end, Event::DialFailed { attempt, reason: "unreachable".into() });
        }
        let mut open = |is_data| {
            self.last_line += 1;
            let wire = Wire { ways: Default::default(), greeted: false, dialer: end, silent: false, is_data };
            self.wires.insert(self.last_line, wire);
            self.last_line
        };
        let (control, data) = (open(false), open(true));
        self.step(end, Event::Dialed { attempt, control, data });
    }

    fn arrive(&mut self, line: Line, to: usize) {
        let Some(wire) = self.wires.get_mut(&line) else { return };
        let Some((_, frame)) = wire.ways[to].pop_front() else { return };
        let Some(frame) = frame else {
            self.wires.remove(&line);
            return self.step(to, Event::Closed { line });
        };
        if to != wire.dialer && !wire.greeted {
            wire.greeted = true;
            let head = Head::read(&frame.head).unwrap();
            return self.step(to, Event::Accepted { line, head });
        }
        self.step(to, Event::Frame { line, frame });
    }

    pub(crate) fn step(&mut self, end: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.ends[end].peer.step(event, self.now) {
                self.perform(end, action, &mut events);
            }
        }
        self.pull(end);
    }

    fn perform(&mut self, end: usize, action: Action, events: &mut VecDeque<Event>) {
        match action {
            Action::Dial { attempt } => {
                let at = self.now + self.random.micros(self.delay_us);
                self.dials.push((at, end, attempt));
            }
            Action::Send { line, frame } => self.send(end, line, Some(frame)),
            Action::Close { line } => self.send(end, line, None),
            Action::Deliver(arrived) => {
                let mut from = Reader::of_shared(&arrived.signals);
                let parcels =
                    std::iter::from_fn(|| (!from.is_empty()).then(|| Parcel::decode(&mut from).unwrap()));
                let toll = self.ends[end].node.deliver(parcels);
                events.push_back(Event::Delivered { lane: arrived.lane, toll });
            }
            Action::Lost { reason } => {
                self.reasons.push(format!("{:?} end {end}: {reason}", self.now));
                let end = &mut self.ends[end];
                end.losses += 1;
                end.node.connection_lost(3 - end.node.id());
                end.outgoing.accept();
            }
        }
    }

    /// Frames of one way stay in order, whatever each takes.
    fn send(&mut self, end: usize, line: Line, frame: Option<Frame>) {
        let delay = self.random.micros(self.delay_us);
        let Some(wire) = self.wires.get_mut(&line) else { return };
        if wire.silent {
            return;
        }
        let way = &mut wire.ways[1 - end];
        let after = way.back().map_or(Duration::ZERO, |(at, _)| *at);
        way.push_back(((self.now + delay).max(after), frame));
    }

    fn pull(&mut self, end: usize) {
        const ON_THE_WAY: usize = 3;
        while let Some(line) = self.ends[end].peer.data_line()
            && self.wires.get(&line).is_some_and(|wire| wire.ways[1 - end].len() < ON_THE_WAY)
            && let Some(frame) = self.ends[end].peer.next_data()
        {
            self.send(end, line, Some(frame));
        }
    }

    /// Something happens to the lines: one or both break, at once or in silence.
    pub(crate) fn disturb(&mut self) {
        let (which, silent) = (self.random.below(3), self.random.below(3) == 0);
        let hit: Vec<Line> = self
            .wires
            .iter()
            .filter(|(_, wire)| which == 2 || wire.is_data == (which == 1))
            .map(|(line, _)| *line)
            .collect();
        for line in hit {
            if silent {
                if let Some(wire) = self.wires.get_mut(&line) {
                    wire.silent = true;
                    wire.ways = Default::default();
                }
                continue;
            }
            self.wires.remove(&line);
            for end in 0..2 {
                self.step(end, Event::Closed { line });
            }
        }
    }

    /// Nothing gets through any more.
    pub(crate) fn cut_for_good(&mut self) {
        self.reachable = false;
        for wire in self.wires.values_mut() {
            wire.silent = true;
            wire.ways = Default::default();
        }
    }
}

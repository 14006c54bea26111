//! Leaving: a process is held between two of its turns, and either stays after all or becomes a relay.

use super::{Bonds, Cargo, Luggage, Passage, PassageError, Relay};
use crate::body::Filter;
use crate::core::{Core, Ready};
use crate::message::{Kind, Message};
use crate::module::{Behaviour, ProcessKind};
use crate::node::Node;
use crate::pid::{Pid, Ref};
use crate::process::{Process, ProcessRef, flag};
use crate::term::{Reason, Term};
use crate::timer::TimerTarget;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How long a process in the middle of something is left alone before it is looked at again: nobody tells when it is done.
const PATIENCE: Duration = Duration::from_millis(1);

/// A process that is about to leave. It is held, and stays where it is if this is dropped.
pub struct Departure {
    node: Node,
    process: ProcessRef,
    cargo: Cargo,
    since_ns: u64,
    left: bool,
}

/// What of a process is frozen.
enum Frozen {
    /// Its state.
    State(Term),
    /// It is in the middle of something.
    Busy,
}

impl Node {
    /// Holds a process between two of its turns, with its state in hand.
    ///
    /// # Errors
    /// As [`PassageError`] says; the process goes on.
    pub async fn depart(&self, process: &ProcessRef, timeout: Duration) -> Result<Departure, PassageError> {
        let began = Instant::now();
        let pid = process.pid();
        self.begin_leaving(process)?;
        let mut departure = Departure {
            node: self.clone(),
            process: process.clone(),
            cargo: Cargo::default(),
            since_ns: self.now_ns(),
            left: false,
        };
        loop {
            if let Frozen::State(state) = self.freeze(process)? {
                departure.since_ns = self.now_ns();
                departure.cargo = self.cargo(process, state);
                return Ok(departure);
            }
            if began.elapsed() >= timeout {
                return Err(PassageError::Timeout { process: pid, timeout });
            }
            // it goes on with what it is in the middle of
            process.0.set(flag::PAUSED, false);
            self.nudge(&process.0);
            tokio::time::sleep(PATIENCE.min(timeout)).await;
            process.0.set(flag::PAUSED, true);
        }
    }

    fn begin_leaving(&self, process: &ProcessRef) -> Result<(), PassageError> {
        let pid = process.pid();
        let fixed = |why| Err(PassageError::Fixed { process: pid, why });
        let description = &process.0.code.description;
        if description.kind == ProcessKind::Session || process.0.has(flag::SESSION) {
            return fixed("a client reads its mailbox by way of this node");
        }
        if description.behaviour == Behaviour::Supervisor {
            return fixed("a supervisor stays with its children");
        }
        if process.0.code.module.is_none() || !description.hooks.snapshot {
            return Err(PassageError::NoHook(pid));
        }
        let mut core = process.0.core.lock();
        if process.0.is_dead() || core.exiting.is_some() {
            return Err(PassageError::NoProcess(pid));
        }
        if core.passage().is_some() {
            return Err(PassageError::Underway(pid));
        }
        if core.extras().is_some_and(|extras| !extras.holds.is_empty()) {
            return fixed("somebody holds it here");
        }
        core.set_passage(&process.0, Some(Passage::Leaving));
        Ok(())
    }

    /// The state, if the process waits for whatever message comes.
    fn freeze(&self, process: &ProcessRef) -> Result<Frozen, PassageError> {
        let pid = process.pid();
        let mut core = process.0.core.lock();
        if process.0.is_dead() || core.exiting.is_some() {
            return Err(PassageError::NoProcess(pid));
        }
        let waits = matches!(core.receive.filter, Filter::Any) && matches!(core.ready, Ready::No);
        if !process.0.settle_body(&mut core) || !waits || process.0.has(flag::BLOCKING) {
            return Ok(Frozen::Busy);
        }
        let state = match &core.body {
            Some(body) => body.snapshot(),
            // hibernated
            None => core.extras().and_then(|extras| extras.snapshot.as_ref()?.unpack()),
        };
        state.map(Frozen::State).ok_or(PassageError::NoHook(pid))
    }

    fn cargo(&self, process: &ProcessRef, state: Term) -> Cargo {
        let mailbox = self.mailbox_limit(process);
        let core = process.0.core.lock();
        let extras = core.extras();
        Cargo {
            former: process.pid(),
            module: process.0.code.description.name.clone(),
            state,
            parent: process.0.parent,
            key: extras.and_then(|extras| extras.key.clone()),
            child_id: extras.and_then(|extras| extras.child_id.clone()),
            incarnation: extras.map_or(0, |extras| extras.incarnation),
            memory_bytes_max: extras.and_then(|extras| extras.memory_bytes_max),
            mailbox,
        }
    }

    /// The process takes what is sent on: from here on the old pid stands for the new one.
    pub fn passage_is_open(&self, process: &ProcessRef) {
        self.with_core(&process.0, |core, outbox| core.open_relay(process.pid(), self, outbox));
        self.nudge(&process.0);
    }

    /// The process did not survive its passage: whoever knew it by its old pid hears of its end.
    pub fn passage_is_lost(&self, process: &ProcessRef, reason: Reason) {
        self.with_core(&process.0, |core, _| {
            core.exiting.get_or_insert(reason);
        });
    }
}

impl Departure {
    /// What it is made of.
    pub fn cargo(&self) -> &Cargo {
        &self.cargo
    }

    /// The process.
    pub fn process(&self) -> &ProcessRef {
        &self.process
    }

    /// Since when it has not run, in nanoseconds of the node's clock.
    pub fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// It has become `to`, in this epoch: gives all else that it has, and its messages. What comes for it from now on is
    /// kept until [`Node::passage_is_open`].
    ///
    /// # Errors
    /// If it has ended.
    pub fn leave(mut self, to: Pid, epoch: u64) -> Result<(Luggage, Vec<Message>), PassageError> {
        self.left = true;
        let node = self.node.clone();
        let process = self.process.clone();
        let way = node.new_ref();
        node.note_relay();
        if node.is_remote(to) {
            node.remote().ties.note(to.node, &process.0);
        }
        let left = node.with_core(&process.0, |core, _| {
            if process.0.is_dead() || core.exiting.is_some() {
                return None;
            }
            let luggage = node.luggage(&process.0, core, (to, epoch, way));
            core.body = None;
            let messages: Vec<Message> = core.inner.drain_all().collect();
            let calls = messages.iter().filter(|message| matches!(message.kind, Kind::Call | Kind::System));
            calls.filter_map(Message::reply_to).for_each(|call| core.open_call(call));
            core.become_relay(&process.0, Relay::new(to, way));
            core.add_monitor(way, to);
            Some((luggage, messages))
        });
        left.ok_or(PassageError::NoProcess(process.pid()))
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let process = &self.process.0;
        process.core.lock().set_passage(process, None);
        self.node.nudge(process);
    }
}

impl Core {
    fn become_relay(&mut self, process: &Process, relay: Relay) {
        self.receive = crate::body::Receive::any();
        self.deadline_ns = 0;
        self.extras_mut().snapshot = None;
        self.set_passage(process, Some(Passage::Relay(relay)));
        // whoever sends must never have to wait for a relay's signal state, as it does at a bound
        process.inbound.lock().messages_max = 0;
    }
}

impl Node {
    fn luggage(&self, process: &Process, core: &mut Core, (to, epoch, way): (Pid, u64, Ref)) -> Luggage {
        let me = process.pid;
        let now_ns = self.now_ns();
        let mut former = core.bonds().map(|bonds: &Bonds| bonds.former.clone()).unwrap_or_default();
        former.push(me);
        let timers = self.timers().take_of(&TimerTarget::Process(me)).into_iter();
        let timers = timers.map(|(due_ns, number, message)| (number, due_ns.saturating_sub(now_ns), message));
        let extras = core.extras();
        Luggage {
            pid: to,
            epoch,
            former,
            way,
            refs: self.refs_given(),
            trap_exit: process.has(flag::TRAP_EXIT),
            priority: process.priority(),
            labels: extras.map(|extras| extras.labels.clone()).unwrap_or_default(),
            dictionary: extras.map(|extras| extras.dictionary.clone()).unwrap_or_default(),
            group_leader: extras.and_then(|extras| extras.group_leader),
            watched_names: extras.map(|extras| extras.remote_names.clone()).unwrap_or_default(),
            links: core.links().collect(),
            monitors: core.monitors().collect(),
            pending: core.pending().collect(),
            open_calls: core.open_calls().to_vec(),
            receive_ns: core.receive.timeout.map(|own| {
                let own = u64::try_from(own.as_nanos()).unwrap_or(u64::MAX);
                (own, core.deadline_ns.saturating_sub(now_ns))
            }),
            timers: timers.collect(),
            turns: process.turns.load(Relaxed),
        }
    }
}

//! Bringing processes to life: the options become a process in the table, known to its parent, in a run queue.
//!
//! What the starter waits for is in `handshake.rs`.

use crate::body::Body;
use crate::core::{Core, Ready};
use crate::extras::Extras;
use crate::inbound::Inbound;
use crate::limits::MailboxLimit;
use crate::lineage::{Lineage, above_children_of};
use crate::lock::Lock;
use crate::message::Signal;
use crate::module::{Behaviour, Description};
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::Pid;
use crate::process::{Code, Process, ProcessRef, UNPINNED, flag, schedule, stage};
use crate::registry::Command;
use crate::start::{ProcessName, StartError, StartOptions};
use crate::term::Term;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

impl Node {
    /// Runs the exported function `function` of `module` in a new process, with no handshake. A function or a module
    /// that does not exist exits `undef` in the new process.
    ///
    /// # Errors
    /// Where nothing was started at all.
    pub fn spawn_function(
        &self,
        module: &str,
        function: &str,
        args: &Term,
        options: StartOptions,
    ) -> Result<ProcessRef, StartError> {
        let unknown = || {
            Arc::new(Code { description: Description::native(module, Behaviour::Plain).into(), module: None })
        };
        let code = self.code(module).unwrap_or_else(unknown);
        let body = code.module.as_ref().and_then(|module| module.function(function, args));
        let body = body.unwrap_or_else(|| Box::new(Undefined));
        self.with_outbox(|outbox| self.spawn_code(code, body, options, outbox, None))
    }

    /// Spawns a body of your own under a description, with no handshake.
    ///
    /// # Errors
    /// Where it cannot live: a taken name, a dead parent, a full table.
    pub fn spawn(
        &self,
        description: &Arc<Description>,
        body: Box<dyn Body>,
        options: StartOptions,
    ) -> Result<ProcessRef, StartError> {
        self.with_outbox(|outbox| self.spawn_in(description, body, options, outbox, None))
    }

    /// Starts a process of a module with the state of a [`snapshot`](crate::body::Body::snapshot) in place of arguments:
    /// there is no init.
    ///
    /// # Errors
    /// As [`Node::spawn`], for a module that is not here, and as a failed init where the module takes no such state.
    pub fn start_restored(
        &self,
        module: &str,
        state: &Term,
        options: StartOptions,
    ) -> Result<ProcessRef, StartError> {
        self.restored(module, state, options, |_| ())
    }

    /// As [`Node::start_restored`], with something done to the process before it runs.
    pub(crate) fn restored(
        &self,
        module: &str,
        state: &Term,
        options: StartOptions,
        prepare: impl FnOnce(&Process),
    ) -> Result<ProcessRef, StartError> {
        let code = self.code(module).ok_or_else(|| StartError::UnknownModule(module.to_owned()))?;
        let restored = code.module.as_ref().and_then(|module| module.restore(state));
        let refused = || StartError::Init(Term::crash(crate::system::RESTORE_FAILED.into()));
        let body = restored.ok_or_else(refused)?;
        self.with_outbox(|outbox| {
            let process = self.spawn_code(code, body, options, outbox, None)?;
            // it gets into a run queue when the outbox is emptied
            prepare(&process.0);
            Ok(process)
        })
    }

    /// As [`Node::start_process`] without waiting. `by` is who starts it, where it is at hand.
    pub(crate) fn start_in(
        &self,
        module: &str,
        args: &Term,
        options: StartOptions,
        outbox: &mut Outbox,
        by: Option<&Arc<Process>>,
    ) -> Result<Pid, StartError> {
        let code = self.code(module).ok_or_else(|| StartError::UnknownModule(module.to_owned()))?;
        let Some(module) = code.module.clone() else {
            return Err(StartError::UnknownModule(module.to_owned()));
        };
        let body = module.start(args);
        self.spawn_code(code, body, options, outbox, by).map(|process| process.pid())
    }

    pub(crate) fn spawn_in(
        &self,
        description: &Arc<Description>,
        body: Box<dyn Body>,
        options: StartOptions,
        outbox: &mut Outbox,
        by: Option<&Arc<Process>>,
    ) -> Result<ProcessRef, StartError> {
        // who spawns one spawns more of the kind
        let code = match &outbox.spawned {
            Some(code) if Arc::ptr_eq(&code.description, description) => Arc::clone(code),
            _ => {
                let code = Arc::new(Code { description: Arc::clone(description), module: None });
                outbox.spawned = Some(Arc::clone(&code));
                code
            }
        };
        self.spawn_code(code, body, options, outbox, by)
    }

    fn spawn_code(
        &self,
        code: Arc<Code>,
        body: Box<dyn Body>,
        mut options: StartOptions,
        outbox: &mut Outbox,
        by: Option<&Arc<Process>>,
    ) -> Result<ProcessRef, StartError> {
        if self.is_stopping() {
            return Err(StartError::Stopping);
        }
        let serial = self.table().reserve().ok_or(StartError::TooManyProcesses(self.table().max()))?;
        let pid = Pid::new(self.id(), self.incarnation(), serial);
        let global = options.name.take_if(|name| name.global);
        let now_ns = self.now_ns();
        if let Some(name) = &options.name
            && let Err(holder) = self.names().insert(&name.name, pid, Term::Null, now_ns)
        {
            self.table().release(pid);
            return Err(StartError::NameTaken { name: name.name.to_string(), holder });
        }
        let (parent, operation) = (options.parent.unwrap_or(Pid::NONE), options.operation);
        let linked_elsewhere = options.link && self.is_remote(parent);
        // whoever waits for init is told by the one who is started
        let watched_from =
            options.monitor.filter(|(watcher, _)| options.ack.is_none() && self.is_remote(*watcher));
        let bytes_bound = options.mailbox.filter(|limit| limit.bytes_max > 0);
        if let Some(key) = &options.key {
            self.keys().insert(key, pid);
        }
        let process = Arc::new(self.new_process(pid, code, body, options, by, now_ns));
        self.table().insert(&process);
        let handle = ProcessRef(Arc::clone(&process));
        if linked_elsewhere {
            // the parent's end of the link is a signal away
            outbox.send(self, parent, Signal::Link { from: pid });
        }
        if let Some((watcher, reference)) = watched_from {
            self.tell_watcher(watcher, reference, pid, None, outbox);
        }
        if bytes_bound.is_some() {
            self.set_mailbox_limit(&handle, bytes_bound);
        }
        self.events().record(now_ns, "process.started", pid, parent, Term::Null, operation);
        match global {
            Some(name) => self.register_before_start(&process, &name),
            None => outbox.ready.push(process),
        }
        Ok(handle)
    }

    fn new_process(
        &self,
        pid: Pid,
        code: Arc<Code>,
        body: Box<dyn Body>,
        options: StartOptions,
        by: Option<&Arc<Process>>,
        now_ns: u64,
    ) -> Process {
        let parent = options.parent.unwrap_or(Pid::NONE);
        let mut flags = if options.trap_exit { flag::TRAP_EXIT } else { 0 };
        let mut core = Core::default();
        core.ready = Ready::Start;
        core.body = Some(body);
        core.ack = options.ack;
        // whoever waits for init hears from there that it failed, and of no DOWN: that monitor begins with the answer
        let start_monitor = options.monitor.filter(|_| options.ack.is_some());
        if let Some((watcher, reference)) = options.monitor.filter(|_| start_monitor.is_none()) {
            core.add_watcher(watcher, reference, None);
            self.adopt(watcher, by, |_, of| of.add_monitor(reference, pid));
        }
        let (above, leader) = self.join_family(pid, &mut core, &options, by);
        if let Some(name) = options.name {
            core.name = Some(name.name);
            flags |= flag::NAMED;
        }
        let needs_extras = options.key.is_some()
            || !options.labels.is_empty()
            || leader.is_some()
            || options.child_id.is_some()
            || start_monitor.is_some()
            || options.memory_bytes_max.is_some();
        if needs_extras {
            *core.extras_mut() = Extras {
                key: options.key,
                labels: options.labels,
                group_leader: leader,
                child_id: options.child_id,
                incarnation: options.incarnation,
                start_monitor,
                memory_bytes_max: options.memory_bytes_max,
                ..Extras::default()
            };
        }
        let messages_max = options.mailbox.map_or(0, MailboxLimit::of_inbound);
        Process {
            pid,
            parent,
            above,
            code,
            schedule: AtomicU8::new(schedule::QUEUED),
            priority: AtomicU8::new(options.priority as u8),
            flags: AtomicU16::new(flags),
            home: AtomicU16::new(UNPINNED),
            pinned: AtomicU16::new(UNPINNED),
            in_turn: AtomicBool::new(false),
            moving: AtomicBool::new(false),
            passed_over: AtomicU8::new(0),
            stage: AtomicU8::new(stage::HERE),
            queue_len: AtomicU32::new(0),
            turns: AtomicU32::new(0),
            started_ms: (now_ns / 1_000_000) as u32,
            reductions: AtomicU64::new(0),
            inbound: Lock::new(Inbound::new(messages_max)),
            core: Lock::new(core),
        }
    }

    /// The other end of a link or monitor that exists from the first moment. A dead one is told by the exit path.
    pub(crate) fn adopt<R>(
        &self,
        pid: Pid,
        at_hand: Option<&Arc<Process>>,
        change: impl FnOnce(&Process, &mut Core) -> R,
    ) -> Option<R> {
        match at_hand.filter(|process| process.pid == pid) {
            Some(process) => Some(change(process, &mut process.core.lock())),
            None => self.process(pid).map(|process| change(&process.0, &mut process.0.core.lock())),
        }
    }

    /// Makes it known to its parent; gives what it has above that one, and its group leader.
    fn join_family(
        &self,
        pid: Pid,
        core: &mut Core,
        options: &StartOptions,
        by: Option<&Arc<Process>>,
    ) -> (Option<Arc<Lineage>>, Option<Pid>) {
        let Some(parent) = options.parent else { return (None, options.group_leader) };
        if options.link {
            core.add_link(parent);
        }
        let of_parent = self.adopt(parent, by, |process, of| {
            if options.link {
                of.add_link(pid);
            }
            (above_children_of(process, of), of.extras().and_then(|extras| extras.group_leader))
        });
        let (above, leader) = of_parent.unwrap_or_default();
        (above, options.group_leader.or(leader))
    }

    /// A process with a global name runs once the name is its own.
    fn register_before_start(&self, process: &Arc<Process>, name: &ProcessName) {
        process.core.lock().ready = Ready::No;
        process.await_nudge();
        let command = Command::Register {
            name: Arc::clone(&name.name),
            pid: process.pid,
            replace: false,
            allow_multiple: false,
            metadata: Term::Null,
            at_ms: self.calendar_ms(),
        };
        let (node, process) = (self.downgrade(), Arc::clone(process));
        let done = move |outcome: Result<_, crate::registry::RegistryError>| {
            let Some(node) = node.upgrade() else { return };
            let mut core = process.core.lock();
            match outcome {
                Ok(_) => core.ready = Ready::Start,
                Err(error) => core.exiting = Some(crate::names_api::global_start_error(&error)),
            }
            drop(core);
            node.nudge(&process);
        };
        self.registry().propose(command, Box::new(done));
    }

    /// Kills one whose start took too long; its links are not told why.
    pub fn abort_start(&self, pid: Pid) {
        self.send_signal(pid, Signal::Kill { from: Pid::NONE, reason: Term::KILLED });
    }
}

/// A function that its module does not have.
struct Undefined;

impl Body for Undefined {
    fn step(
        &mut self,
        _event: crate::body::Event,
        _context: &mut crate::context::Context<'_>,
    ) -> crate::body::Step {
        crate::body::Step::Exit(Term::crash("undef".into()))
    }
}

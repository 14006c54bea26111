//! A process as expressions see it: one value for each field of the contract's `ProcessInfo`, under its name.
//!
//! Lives here: what each name means and what it costs. Does not live here: the wire format, and what is done with the
//! values (filters, orders, answers).
//!
//! Invariants: a value is computed when it is asked for and not before; what the header tells is never paid for with
//! the signal state, and nothing here sends a message or wakes a process. Enums are their names (`"WAITING"`,
//! `"GEN_SERVER"`), processes and ids their texts, a time RFC 3339 in UTC with nine decimals, so that texts sort as times do.

mod text;

pub use text::rfc3339;

use crate::predicate::{Bindings, FieldType};
use arsenal_runtime::glimpse::{Glimpse, ProcessBytes, Sight};
use arsenal_runtime::hold::HoldKind;
use arsenal_runtime::info::{Header, ProcessInfo};
use arsenal_runtime::limits::MailboxLimit;
use arsenal_runtime::{Behaviour, Node, OwnedId, Pid, ProcessRef, Term};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Every name, in the order of the contract's fields.
pub const NAMES: [&str; 38] = [
    "pid",
    "node",
    "kind",
    "module",
    "behaviour",
    "status",
    "registered_name",
    "global_names",
    "message_queue_len",
    "mailbox_bytes",
    "reductions",
    "turns",
    "memory",
    "links",
    "monitors",
    "monitored_by",
    "trap_exit",
    "priority",
    "initial_call",
    "current_function",
    "group_leader",
    "parent",
    "ancestors",
    "dictionary",
    "labels",
    "holds",
    "scheduler",
    "pinned_scheduler",
    "hibernating",
    "hooks",
    "key",
    "start_time",
    "groups",
    "application",
    "incarnation",
    "state_name",
    "event_handlers",
    "limits",
];

/// The names that the header answers: cheap enough for lists of a million.
pub const HEADER_NAMES: [&str; 17] = [
    "pid",
    "node",
    "kind",
    "module",
    "behaviour",
    "status",
    "message_queue_len",
    "reductions",
    "turns",
    "trap_exit",
    "priority",
    "initial_call",
    "parent",
    "scheduler",
    "pinned_scheduler",
    "hibernating",
    "start_time",
];

/// What type a name's values have; nothing for `state_name`, which may be anything, and for what is no name.
pub fn type_of(name: &str) -> Option<FieldType> {
    Some(match name {
        "state_name" => return None,
        "trap_exit" | "hibernating" => FieldType::Flag,
        "message_queue_len" | "mailbox_bytes" | "reductions" | "turns" | "memory" | "scheduler"
        | "pinned_scheduler" | "incarnation" => FieldType::Number,
        "global_names" | "links" | "monitors" | "monitored_by" | "ancestors" | "holds" | "hooks"
        | "groups" | "event_handlers" => FieldType::List,
        "dictionary" | "labels" | "limits" => FieldType::Map,
        name if NAMES.contains(&name) => FieldType::Text,
        _ => return None,
    })
}

/// One process, looked at as far as somebody asks.
#[derive(Debug)]
pub struct ProcessView<'a> {
    node: &'a Node,
    process: &'a ProcessRef,
    header: OnceCell<Header>,
    info: OnceCell<Option<Box<ProcessInfo>>>,
    bytes: OnceCell<ProcessBytes>,
    glimpse: OnceCell<Option<Glimpse>>,
}

impl<'a> ProcessView<'a> {
    /// Looks at this process, and never waits for the end of its turn.
    pub fn new(node: &'a Node, process: &'a ProcessRef) -> Self {
        let (header, info, bytes, glimpse) =
            (OnceCell::new(), OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { node, process, header, info, bytes, glimpse }
    }

    /// The same with what was seen of it between two turns, which whoever asked has waited for.
    pub fn of_sight(node: &'a Node, process: &'a ProcessRef, sight: Sight) -> Self {
        let view = Self::new(node, process);
        Self { bytes: OnceCell::from(sight.bytes), glimpse: OnceCell::from(sight.glimpse), ..view }
    }

    /// Its pid.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// What the header tells.
    pub fn header(&self) -> &Header {
        self.header.get_or_init(|| self.node.header(self.process))
    }

    /// What the signal state tells; nothing once the process has ended.
    pub fn info(&self) -> Option<&ProcessInfo> {
        self.info.get_or_init(|| self.node.info(self.pid()).map(Box::new)).as_deref()
    }

    /// What it weighs.
    pub fn bytes(&self) -> ProcessBytes {
        *self.bytes.get_or_init(|| self.node.bytes_of(self.process))
    }

    /// Bytes that it holds, of all kinds that can be told.
    pub fn memory(&self) -> usize {
        let bytes = self.bytes();
        bytes.mailbox + bytes.state.unwrap_or_default() + bytes.dictionary + bytes.control
    }

    /// What its body tells; nothing in mid turn.
    pub fn glimpse(&self) -> Option<&Glimpse> {
        self.glimpse.get_or_init(|| self.node.glimpse(self.process)).as_ref()
    }

    /// The value of one name; nothing for a name that is none of [`NAMES`], null for what cannot be told.
    pub fn value(&self, name: &str) -> Option<Term> {
        self.of_header(name).or_else(|| self.of_state(name)).or_else(|| self.of_body(name))
    }

    fn of_header(&self, name: &str) -> Option<Term> {
        let header = || self.header();
        Some(match name {
            "pid" => text(self.pid()),
            "node" => Term::Str(Arc::clone(self.node.name())),
            "kind" => text::kind(header()).into(),
            "module" => Term::Str(Arc::clone(&header().code.name)),
            "behaviour" => text::behaviour(header().code.behaviour).into(),
            "status" => text::status(header().status).into(),
            "message_queue_len" => count(header().queue_len),
            "reductions" => number(header().reductions),
            "turns" => number(u64::from(header().turns)),
            "trap_exit" => header().trap_exit.into(),
            "priority" => text::priority(header().priority).into(),
            "initial_call" => text::initial_call(header()).into(),
            "parent" => header().parent.map_or_else(empty, text),
            "scheduler" => header().scheduler.map_or(Term::Null, |id| number(u64::from(id))),
            "pinned_scheduler" => header().pinned.map_or(Term::Null, |id| number(u64::from(id))),
            "hibernating" => header().hibernating.into(),
            "hooks" => Term::list(text::hooks(header()).into_iter().map(Term::from)),
            "start_time" => {
                rfc3339(self.node.clock().calendar(u64::from(header().started_ms) * 1_000_000)).into()
            }
            // no application runs yet that a process could belong to
            "application" => empty(),
            _ => return None,
        })
    }

    fn of_state(&self, name: &str) -> Option<Term> {
        let pids = |of: fn(&ProcessInfo) -> &[Pid]| {
            Term::list(self.info().map(of).unwrap_or_default().iter().map(|pid| text(*pid)))
        };
        Some(match name {
            "registered_name" => self.node.name_of(self.process).map_or_else(empty, Term::Str),
            "global_names" => {
                let names = self.info().map(|info| info.global_names.as_slice()).unwrap_or_default();
                let sorted: BTreeSet<_> = names.iter().cloned().collect();
                Term::list(sorted.into_iter().map(Term::Str))
            }
            "mailbox_bytes" => count(self.bytes().mailbox),
            "links" => pids(|info| &info.links),
            "monitors" => self.monitors(|info| &info.monitors),
            "monitored_by" => self.monitors(|info| &info.monitored_by),
            "group_leader" => text(self.group_leader()),
            "ancestors" => pids(|info| &info.ancestors),
            "dictionary" => {
                let entries = self.info().map(|info| info.dictionary.clone()).unwrap_or_default();
                Term::map(entries)
            }
            "labels" => {
                let labels = self.node.labels_of(self.process);
                Term::map(labels.into_iter().map(|(key, value)| (key, Term::Str(value))))
            }
            "holds" => {
                let holds = self.info().map(|info| info.holds.as_slice()).unwrap_or_default();
                Term::list(holds.iter().map(|hold| id(hold.id)))
            }
            "incarnation" => self.incarnation().map_or(Term::Null, number),
            "limits" => self.limits().map_or(Term::Null, limits),
            "key" => self.node.key_of(self.process).map_or_else(empty, Term::Str),
            "groups" => Term::list(self.groups().into_iter().map(Term::Str)),
            _ => return None,
        })
    }

    fn of_body(&self, name: &str) -> Option<Term> {
        Some(match name {
            "memory" => count(self.memory()),
            "current_function" => self.current_function().into(),
            "state_name" => self.glimpse().and_then(|seen| seen.state_name.clone()).unwrap_or_default(),
            "event_handlers" => {
                let handlers = self.glimpse().and_then(|seen| seen.handlers.as_deref()).unwrap_or_default();
                Term::list(handlers.iter().map(|handler| text::handler(handler).into()))
            }
            _ => return None,
        })
    }

    fn monitors(&self, of: fn(&ProcessInfo) -> &[(OwnedId, Pid)]) -> Term {
        Term::list(self.info().map(of).unwrap_or_default().iter().map(|(monitor, pid)| {
            Term::map([
                ("monitor", id(*monitor)),
                ("pid", pid.some().map_or_else(empty, text)),
                ("name", empty()),
                ("node", pid.some().map_or_else(empty, |pid| format!("n{}", pid.node).into())),
            ])
        }))
    }

    /// Its group leader; of one that has ended it is not known any more.
    pub fn group_leader(&self) -> Pid {
        self.info().map_or_else(|| self.pid(), |info| info.group_leader)
    }

    /// The groups that it is a member of, sorted.
    pub fn groups(&self) -> Vec<Arc<str>> {
        self.node.read_registry(|state| state.groups_of(self.pid()).cloned().collect())
    }

    /// Its life number under its supervisor; nothing for one that has none.
    pub fn incarnation(&self) -> Option<u64> {
        self.node.incarnation_of(self.process)
    }

    /// What it runs or waits in: the innermost function that its body names, else what its behaviour waits in.
    pub fn current_function(&self) -> String {
        let frame = self.glimpse().and_then(|seen| seen.frames.first());
        frame.map_or_else(|| text::loop_of(self.header()), |frame| text::function(frame))
    }

    /// Whether nothing ties it to anything: no supervisor, link, monitor, name, group or session.
    /// Timers are the caller's to know: they are in a table of their own.
    pub fn is_isolated(&self) -> bool {
        if self.header().session || self.node.is_registered(self.process) {
            return false;
        }
        let Some(info) = self.info() else { return false };
        info.child_id.is_none()
            && info.links.is_empty()
            && info.monitors.is_empty()
            && info.monitored_by.is_empty()
            && self.groups().is_empty()
    }

    /// The limits that it was given; nothing for a process without.
    pub fn limits(&self) -> Option<(MailboxLimit, u64)> {
        let mailbox = self.node.mailbox_limit(self.process).unwrap_or_default();
        let memory = self.info().and_then(|info| info.memory_bytes_max).unwrap_or_default();
        (mailbox != MailboxLimit::default() || memory > 0).then_some((mailbox, memory))
    }

    /// The pause that keeps it off the run queue, if there is one.
    pub fn pause(&self) -> Option<OwnedId> {
        let holds = &self.info()?.holds;
        holds.iter().find(|hold| hold.kind == HoldKind::PauseScheduling).map(|hold| hold.id)
    }

    /// Whether its behaviour is this.
    pub fn has_behaviour(&self, behaviour: Behaviour) -> bool {
        self.header().code.behaviour == behaviour
    }
}

/// Binds what an expression over a process refers to, and nothing else. A name that no process has stays unbound.
pub fn bind(node: &Node, process: &ProcessRef, names: &BTreeSet<String>) -> Bindings {
    bind_view(&ProcessView::new(node, process), names)
}

/// The same of a process that is being looked at already.
pub fn bind_view(view: &ProcessView<'_>, names: &BTreeSet<String>) -> Bindings {
    let mut bindings = Bindings::default();
    for name in names {
        if let Some(value) = view.value(name) {
            bindings.insert(name.clone(), value);
        }
    }
    bindings
}

fn text(pid: Pid) -> Term {
    Term::from(pid.to_string())
}

fn id(id: OwnedId) -> Term {
    Term::from(id.to_string())
}

const fn empty() -> Term {
    Term::Atom("")
}

fn limits((mailbox, memory): (MailboxLimit, u64)) -> Term {
    Term::map([
        ("mailbox_messages_max", Term::Int(mailbox.messages_max.into())),
        ("mailbox_bytes_max", number(mailbox.bytes_max)),
        ("memory_bytes_max", number(memory)),
    ])
}

fn number(value: u64) -> Term {
    Term::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn count(value: usize) -> Term {
    Term::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;

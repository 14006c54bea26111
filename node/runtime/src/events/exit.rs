//! How a process ended: the record as it is read, and as it is kept.
//!
//! Most processes have neither name nor labels and belong to no supervisor, so what only some have is kept apart.

use crate::module::Description;
use crate::pid::Pid;
use crate::process::Code;
use crate::term::{Reason, Term};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a process ended.
#[derive(Clone, Debug)]
pub struct ExitRecord {
    /// The process.
    pub pid: Pid,
    /// Why.
    pub reason: Reason,
    /// When, in nanoseconds of the node's clock.
    pub at_ns: u64,
    /// When it began, in milliseconds of the node's clock.
    pub started_ms: u32,
    /// What it ran.
    pub code: Arc<Description>,
    /// Its local name.
    pub name: Option<Arc<str>>,
    /// Its key.
    pub key: Option<Arc<str>>,
    /// Who started it.
    pub parent: Pid,
    /// Its id under its supervisor.
    pub child_id: Option<Term>,
    /// What is told of a crash: the module, the callback, the message in hand, the reason.
    pub error: Option<Arc<str>>,
    /// Messages that were lost with it.
    pub messages_lost: usize,
    /// Its labels at the end.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Turns that it had.
    pub turns: u32,
    /// Which life of its supervised child it was, from 1; 0 where nobody supervised it.
    pub incarnation: u64,
    /// The operation that ended it, 0 for none.
    pub operation: u64,
}

/// The record as it is kept.
pub(crate) struct Exit {
    pub(crate) pid: Pid,
    pub(crate) parent: Pid,
    pub(crate) reason: Reason,
    pub(crate) at_ns: u64,
    pub(crate) started_ms: u32,
    pub(crate) turns: u32,
    pub(crate) messages_lost: u32,
    pub(crate) code: Arc<Code>,
    pub(crate) notes: Option<Box<Notes>>,
}

/// What only some records have.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) child_id: Option<Term>,
    pub(crate) error: Option<Arc<str>>,
    pub(crate) labels: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) incarnation: u64,
    pub(crate) operation: u64,
}

impl Exit {
    pub(super) fn record(&self) -> ExitRecord {
        let none = Notes::default();
        let notes = self.notes.as_deref().unwrap_or(&none);
        ExitRecord {
            pid: self.pid,
            reason: self.reason.clone(),
            at_ns: self.at_ns,
            started_ms: self.started_ms,
            code: Arc::clone(&self.code.description),
            name: notes.name.clone(),
            key: notes.key.clone(),
            parent: self.parent,
            child_id: notes.child_id.clone(),
            error: notes.error.clone(),
            messages_lost: self.messages_lost as usize,
            labels: notes.labels.clone(),
            turns: self.turns,
            incarnation: notes.incarnation,
            operation: notes.operation,
        }
    }
}

// Twenty thousand are kept, and each end writes one.
const _: () = assert!(size_of::<Exit>() <= 112);

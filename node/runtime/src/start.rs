//! How a process is started: the options, and what can go wrong before it lives.

use crate::limits::MailboxLimit;
use crate::message::ReplyTo;
use crate::pid::{Pid, Ref};
use crate::priority::Priority;
use crate::term::{Reason, Term};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Options of a start or spawn. The default is an unlinked process without parent, name or limits.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// Registered before the process runs; the start fails if it is taken.
    pub name: Option<ProcessName>,
    /// What its persistent things belong to.
    pub key: Option<Arc<str>>,
    /// Who started it: its `$ancestors` begin here.
    pub parent: Option<Pid>,
    /// Linked to the parent from the first moment.
    pub link: bool,
    /// Monitored from the first moment by this process under this reference.
    pub monitor: Option<(Pid, Ref)>,
    /// Who is told when init has ended: a reply of `["ok", pid]`, `"ignore"` or `["error", reason]`.
    pub ack: Option<ReplyTo>,
    /// Scheduling priority.
    pub priority: Priority,
    /// Whether exit signals become messages.
    pub trap_exit: bool,
    /// Bound of the mailbox.
    pub mailbox: Option<MailboxLimit>,
    /// Free labels, for filters.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Its group leader; default its parent's.
    pub group_leader: Option<Pid>,
    /// Its id under its supervisor.
    pub child_id: Option<Term>,
    /// Which life of its supervised child it is, from 1; 0 where nobody supervises it.
    pub incarnation: u64,
    /// Bytes of state it may hold; recorded for the limits' sake.
    pub memory_bytes_max: Option<u64>,
    /// The operation that started it.
    pub operation: u64,
}

/// A name and where it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessName {
    /// The name itself.
    pub name: Arc<str>,
    /// Whether it is unique in the cluster instead of on the node.
    pub global: bool,
}

/// Why a start failed. Nothing is left running.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StartError {
    /// No module has this name.
    #[error("no module is called `{0}`")]
    UnknownModule(String),
    /// The module has no such function.
    #[error("module `{module}` has no function `{function}`")]
    UnknownFunction {
        /// The module asked.
        module: String,
        /// What it lacks.
        function: String,
    },
    /// The name is held by another process.
    #[error("name `{name}` is held by {holder}")]
    NameTaken {
        /// The name.
        name: String,
        /// Who holds it.
        holder: Pid,
    },
    /// The parent or watcher is not alive.
    #[error("process {0} is not alive")]
    NoProcess(Pid),
    /// The table of processes is full.
    #[error("the node runs its maximum of {0} processes")]
    TooManyProcesses(usize),
    /// Init ended with this reason, OTP's `{error, Reason}`.
    #[error("init failed: {0}")]
    Init(Reason),
    /// The parent was linked to a child that failed to start, and ended of it.
    #[error("the parent {parent} ended with the child that it started: {reason}")]
    ParentDied {
        /// The parent.
        parent: Pid,
        /// Why it ended.
        reason: Reason,
    },
    /// Init took longer than this and the process was killed.
    #[error("init did not end within {0:?}; the process was killed")]
    Timeout(Duration),
    /// The node is stopping.
    #[error("the node is stopping and starts no more processes")]
    Stopping,
}

impl StartError {
    /// OTP's term for it, the `Reason` of `{error, Reason}`. Where OTP's `undef` has a stack beside it, whose first entry
    /// is what was not there, ours has that alone.
    pub fn to_term(&self) -> Term {
        match self {
            Self::UnknownModule(module) => Term::tagged("undef", Term::str(module.as_str())),
            Self::UnknownFunction { module, function } => {
                let function = Term::from([Term::str(module.as_str()), Term::str(function.as_str())]);
                Term::tagged("undef", function)
            }
            Self::NameTaken { holder, .. } => Term::tagged("already_started", (*holder).into()),
            Self::NoProcess(_) => Term::NOPROC,
            Self::TooManyProcesses(_) => Term::Atom("system_limit"),
            Self::Init(reason) | Self::ParentDied { reason, .. } => reason.clone(),
            Self::Timeout(_) => Term::TIMEOUT,
            Self::Stopping => Term::SHUTDOWN,
        }
    }
}

/// What a start came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Started {
    /// It runs.
    Running(Pid),
    /// Its init answered `ignore`; it has ended.
    Ignored,
}

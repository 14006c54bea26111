//! What is seen of a process from outside between two of its turns: what its body tells of itself, where it waits,
//! what it weighs.
//!
//! Nothing here sends a message or wakes anybody. A body is only looked at while no turn is under way; whoever asks
//! for one in mid turn gets nothing and may ask again.

use crate::body::Filter;
use crate::core::Core;
use crate::node::Node;
use crate::pid::{OwnedId, Pid};
use crate::process::{Process, ProcessRef, flag};
use crate::term::Term;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What a body tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Glimpse {
    /// The current state of a `gen_statem`.
    pub state_name: Option<Term>,
    /// The handlers of a `gen_event`.
    pub handlers: Option<Vec<Term>>,
    /// Function names, innermost first.
    pub frames: Vec<String>,
    /// The message that it is in the middle of handling.
    pub message: Option<Term>,
}

/// What a process waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitPoint {
    /// Any message.
    AnyMessage,
    /// The messages that its code chose.
    ChosenMessages,
    /// The answer, the DOWN or the timeout with this reference; and who is asked, if anybody is.
    Reference(OwnedId, Option<Pid>),
    /// No message: it leaves its mailbox unread.
    NoMessage,
}

/// What a process weighs, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProcessBytes {
    /// Messages that wait, and the room for them.
    pub mailbox: usize,
    /// The body and what it says of its heap; nothing if it does not say, or is in mid turn.
    pub state: Option<usize>,
    /// The process dictionary.
    pub dictionary: usize,
    /// The process itself.
    pub control: usize,
}

/// Bytes of a process dictionary.
pub(crate) fn dictionary_bytes(dictionary: &BTreeMap<Arc<str>, Term>) -> usize {
    dictionary.iter().map(|(key, value)| 32 + key.len() + value.size_bytes()).sum()
}

fn bytes(core: &Core, state: Option<usize>) -> ProcessBytes {
    let extras = core.extras();
    ProcessBytes {
        mailbox: core.inner.bytes(),
        state,
        dictionary: extras.map_or(0, |extras| dictionary_bytes(&extras.dictionary)),
        control: size_of::<Process>() + extras.map_or(0, size_of_val),
    }
}

/// A look at a process that somebody waits for.
pub(crate) struct Look {
    look: Box<dyn FnOnce(&Core) + Send>,
    /// Gone once nobody waits for it.
    waiter: std::sync::Weak<()>,
}

impl Look {
    /// Takes the look, unless whoever asked for it has given up.
    pub(crate) fn take(self, core: &Core) {
        if self.waiter.strong_count() > 0 {
            (self.look)(core);
        }
    }
}

/// What is seen of a process between two of its turns, all at the same moment.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// What the body tells of itself; nothing if no moment between two turns came.
    pub glimpse: Option<Glimpse>,
    /// What the process weighs.
    pub bytes: ProcessBytes,
}

fn glimpse(core: &Core) -> Glimpse {
    match &core.body {
        Some(body) => Glimpse {
            state_name: body.state_name(),
            handlers: body.handlers(),
            frames: body.backtrace(),
            message: body.in_hand(),
        },
        None => Glimpse::default(),
    }
}

fn whole_bytes(core: &Core) -> ProcessBytes {
    bytes(core, crate::system::state_bytes(core.body.as_deref(), core))
}

impl Node {
    /// What the body tells of itself; nothing in mid turn. That of a hibernated process tells nothing.
    pub fn glimpse(&self, process: &ProcessRef) -> Option<Glimpse> {
        self.between_turns(process, glimpse)
    }

    /// What is seen of a process at once or, of one in mid turn, at its next preemption point; as far as can be told
    /// without one if none comes within `patience`.
    pub async fn sight(&self, process: &ProcessRef, patience: Duration) -> Sight {
        // what has arrived weighs too, though no turn has seen it
        self.with_core(&process.0, |_, _| ());
        let whole = |core: &Core| Sight { glimpse: Some(glimpse(core)), bytes: whole_bytes(core) };
        if let Some(seen) = self.between_turns(process, whole) {
            return seen;
        }
        let waiter = Arc::new(());
        let (sender, seen) = tokio::sync::oneshot::channel();
        let look = move |core: &Core| drop(sender.send(whole(core)));
        {
            let mut core = process.0.core.lock();
            let looks = &mut core.extras_mut().looks;
            // code that never yields is asked again and again
            looks.retain(|look| look.waiter.strong_count() > 0);
            looks.push(Look { look: Box::new(look), waiter: Arc::downgrade(&waiter) });
            process.0.set(flag::LOOKED_AT, true);
        }
        self.nudge(&process.0);
        match tokio::time::timeout(patience, seen).await {
            Ok(Ok(seen)) => seen,
            _ => Sight { glimpse: None, bytes: self.bytes_of(process) },
        }
    }

    /// Looks at the signal state with the body in it; nothing in mid turn.
    pub(crate) fn between_turns<R>(&self, process: &ProcessRef, look: impl FnOnce(&Core) -> R) -> Option<R> {
        let mut core = process.0.core.lock();
        process.0.settle_body(&mut core).then(|| look(&core))
    }

    /// What a process waits for, whether or not it is in a turn just now.
    pub fn wait_point(&self, process: &ProcessRef) -> WaitPoint {
        let core = process.0.core.lock();
        match &core.receive.filter {
            Filter::Any => WaitPoint::AnyMessage,
            Filter::Nothing => WaitPoint::NoMessage,
            Filter::Matching(_) => WaitPoint::ChosenMessages,
            Filter::Reference(reference) => {
                let asked =
                    core.pending().find(|(pending, _)| pending == reference).map(|(_, server)| server);
                WaitPoint::Reference(self.owned(b'r', reference.number()), asked)
            }
        }
    }

    /// What a process weighs; without its state in mid turn.
    pub fn bytes_of(&self, process: &ProcessRef) -> ProcessBytes {
        // what has arrived weighs too, though no turn has seen it
        self.with_core(&process.0, |_, _| ());
        let seen = self.between_turns(process, whole_bytes);
        seen.unwrap_or_else(|| bytes(&process.0.core.lock(), None))
    }

    /// `$ancestors`: who started a process and who started those, nearest first, dead ones too.
    pub fn ancestors_of(&self, process: &ProcessRef) -> Vec<Pid> {
        process.0.ancestors().collect()
    }

    /// The id of a process under its supervisor.
    pub fn child_id_of(&self, process: &ProcessRef) -> Option<Term> {
        process.0.core.lock().extras().and_then(|extras| extras.child_id.clone())
    }

    /// The life number of a supervised process: 1 for the first start, one more with each restart. Nothing for one that
    /// is no supervisor's child.
    pub fn incarnation_of(&self, process: &ProcessRef) -> Option<u64> {
        let core = process.0.core.lock();
        let extras = core.extras().filter(|extras| extras.child_id.is_some())?;
        Some(extras.incarnation.max(1))
    }

    /// Whether a process has a local or a global name.
    pub fn is_registered(&self, process: &ProcessRef) -> bool {
        let registered = |core: &Core| {
            core.name.is_some() || core.extras().is_some_and(|extras| !extras.global_names.is_empty())
        };
        (process.0.has(flag::NAMED) || process.0.has(flag::GLOBAL)) && registered(&process.0.core.lock())
    }

    /// For a process in a turn: since when it has been in this slice, in milliseconds of the node's clock, to the tick.
    pub fn in_slice_since(&self, process: &ProcessRef) -> Option<u32> {
        let runs =
            |counters: &crate::schedulers::Counters| counters.current.load(Relaxed) == process.0.pid.serial;
        let shared = self.schedulers().shared.iter().find(|shared| runs(&shared.counters))?;
        Some(shared.counters.slice_since_ms.load(Relaxed))
    }

    /// How many monitors a process has of others.
    pub fn monitor_count(&self, process: &ProcessRef) -> usize {
        process.0.core.lock().monitors().count()
    }

    /// Threads of the blocking pool.
    pub fn blocking_threads(&self) -> usize {
        self.blocking().threads()
    }
}

//! The end of a process: its name is freed first, then everybody who has to know is told.

use crate::core::{Core, Remains, WatchedName, Watcher};
use crate::dead_letters::DeadLetterReason;
use crate::events::{Exit, Notes};
use crate::lock::Guard;
use crate::log::Speaker;
use crate::message::{Message, Signal};
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::Pid;
use crate::process::{Process, flag};
use crate::term::{Reason, Term};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Ends `process` with `reason`.
pub(crate) fn finish(
    node: &Node,
    process: &Arc<Process>,
    mut core: Guard<'_, Core>,
    reason: Reason,
    error: Option<Arc<str>>,
    outbox: &mut Outbox,
) {
    process.die();
    let mut remains = core.dissolve();
    drop(core);
    if process.has(flag::NAMED)
        && let Some(name) = &remains.name
    {
        node.names().remove(name, process.pid);
    }
    if let Some(key) = remains.extras.as_ref().and_then(|extras| extras.key.as_ref()) {
        node.keys().remove(key, process.pid);
    }
    if remains.extras.as_ref().is_some_and(|extras| extras.bonds.is_some() || extras.passage.is_some()) {
        // a relay watches from afar, and may ask a second time: it must not be told `noproc` before it is told why
        tell_watchers(node, process.pid, std::mem::take(&mut remains.watchers), &reason, outbox);
        outbox.flush(node);
    }
    record(node, process, &mut remains, &reason, error);
    node.table().release(process.pid);
    if process.has(flag::GLOBAL) || process.has(flag::GROUPED) {
        node.registry().release(process.pid);
    }
    // whoever is told `noproc` from here on finds neither process nor name
    let late = process.inbound.lock().close();
    node.byte_bounds().forget(process);
    let mut left = std::mem::take(&mut remains.left);
    tell(node, process.pid, remains, &reason, outbox);
    if process.has(flag::WATCHER) {
        node.remote().ties.forget(process.pid);
        node.holder_died(process.pid);
    }
    if process.has(flag::SESSION)
        && let Some(session) = node.sessions().lock().remove(&process.pid)
    {
        session.news.notify_waiters();
    }
    for signal in late {
        match signal {
            Signal::Message(message) if message.kind.is_one_way() => left.push(message),
            signal => outbox.bounce(node, process.pid, signal),
        }
    }
    if !left.is_empty() {
        node.lost(process.pid, left, DeadLetterReason::LeftBehind);
    }
    outbox.flush(node);
}

fn record(node: &Node, process: &Process, remains: &mut Remains, reason: &Reason, error: Option<Arc<str>>) {
    let leader = remains.extras.as_ref().and_then(|extras| extras.group_leader);
    let special = remains.extras.is_some() || remains.name.is_some() || error.is_some();
    let notes = special.then(|| {
        let extras = remains.extras.take().map(|extras| *extras).unwrap_or_default();
        Box::new(Notes {
            name: remains.name.take(),
            key: extras.key,
            child_id: extras.child_id,
            error: extras.crash.or(error),
            labels: extras.labels,
            incarnation: extras.incarnation,
            operation: extras.ending_operation,
        })
    });
    if let Some(report) = notes.as_ref().and_then(|notes| notes.error.as_deref()) {
        let group_leader = process.group_leader(leader);
        node.log_crash(&Speaker { process, group_leader }, report);
    }
    node.events().record_exit(Exit {
        pid: process.pid,
        parent: process.parent,
        reason: reason.clone(),
        at_ns: node.now_ns(),
        started_ms: process.started_ms,
        turns: process.turns.load(Relaxed),
        messages_lost: u32::try_from(remains.messages).unwrap_or(u32::MAX),
        code: Arc::clone(&process.code),
        notes,
    });
}

fn tell(node: &Node, me: Pid, remains: Remains, reason: &Reason, outbox: &mut Outbox) {
    if let Some(ack) = remains.ack {
        let failed = Message::of(crate::message::Kind::Reply, me, Term::tagged("error", reason.clone()));
        outbox.send(node, ack.to, Signal::Message(failed.with_reference(ack.reference)));
    }
    // the youngest first, so that those who were started last go first, as on BEAM where the links are few
    for (to, ()) in remains.links.into_iter().rev() {
        outbox.send(node, to, Signal::LinkExit { from: me, reason: reason.clone() });
    }
    // a caller whose request was never read hears of the end before those who only watch
    for call in remains.callers {
        let down =
            Signal::Down { reference: call.reference, from: me, object: me.into(), reason: reason.clone() };
        outbox.send(node, call.to, down);
    }
    tell_watchers(node, me, remains.watchers, reason, outbox);
    for (reference, of) in remains.monitors.into_iter().chain(remains.pending) {
        outbox.send(node, of, Signal::Demonitor { watcher: me, reference });
    }
}

fn tell_watchers(
    node: &Node,
    me: Pid,
    watchers: Vec<(Watcher, WatchedName)>,
    reason: &Reason,
    outbox: &mut Outbox,
) {
    for ((watcher, reference), name) in watchers {
        let object = name.map_or(Term::Pid(me), |name| *name);
        outbox.send(node, watcher, Signal::Down { reference, from: me, object, reason: reason.clone() });
    }
}

//! System messages (`sys`): handled by the runtime between two turns, for every body alike.
//!
//! A system message takes its place in the mailbox, so that it sees the effect of what its sender sent before. A body
//! sees only `terminate` and `raise`, and only if it has a behaviour to end in order.

use crate::body::Body;
use crate::core::Core;
use crate::message::{Kind, Message, Signal};
use crate::module::Behaviour;
use crate::node::Node;
use crate::outbox::Outbox;
use crate::process::{Process, flag};
use crate::term::pack::Packed;
use crate::term::{Reason, Term};

/// The tags of system requests.
pub(crate) mod request {
    pub(crate) const GET_STATE: &str = "get_state";
    pub(crate) const REPLACE_STATE: &str = "replace_state";
    pub(crate) const TERMINATE: &str = "terminate";
    /// `["raise", class, reason]`: fail as if the callback in hand had.
    pub(crate) const RAISE: &str = "raise";
    pub(crate) const SNAPSHOT: &str = "snapshot";
    pub(crate) const HIBERNATE: &str = "hibernate";
    pub(crate) const WAKE: &str = "wake";
    pub(crate) const SHRINK: &str = "shrink";
    pub(crate) const COMPACT: &str = "compact";
    pub(crate) const MEMORY: &str = "memory";
}

/// The error of a hook that a process lacks.
pub(crate) fn no_hook(hook: &'static str) -> Term {
    Term::tagged("error", Term::tagged("no_hook", hook.into()))
}

pub(crate) fn is_for_body(process: &Process, message: &Message) -> bool {
    process.code.description.behaviour != Behaviour::Plain
        && matches!(message.payload.tag(), Some(request::TERMINATE | request::RAISE))
}

/// Bytes that the state holds: the body itself, or its snapshot.
pub(crate) fn state_bytes(body: Option<&dyn Body>, core: &Core) -> Option<usize> {
    match body {
        Some(body) => body.heap_bytes().map(|heap| heap + size_of_val(body)),
        None => core.extras().and_then(|extras| extras.snapshot.as_ref()).map(Packed::size_bytes),
    }
}

/// Whether the state holds more than the process may. A body that cannot tell holds nothing.
pub(crate) fn outgrew(body: Option<&dyn Body>, core: &Core) -> bool {
    let Some(max) = core.extras().and_then(|extras| extras.memory_bytes_max) else { return false };
    let held = state_bytes(body, core).unwrap_or_default();
    u64::try_from(held).is_ok_and(|held| held > max)
}

fn bytes_term(bytes: Option<usize>) -> Term {
    bytes.map_or(Term::Null, |bytes| Term::Int(i64::try_from(bytes).unwrap_or(i64::MAX)))
}

/// Handles a system request and answers it.
pub(crate) fn handle(
    node: &Node,
    process: &Process,
    body: &mut Option<Box<dyn Body>>,
    core: &mut Core,
    message: &Message,
    outbox: &mut Outbox,
) {
    let answer = answer(node, process, body, core, message);
    if let Some(to) = message.reply_to() {
        let reply = Message::of(Kind::Reply, process.pid, answer).with_reference(to.reference);
        outbox.send(node, to.to, Signal::Message(reply));
    }
}

fn answer(
    node: &Node,
    process: &Process,
    body: &mut Option<Box<dyn Body>>,
    core: &mut Core,
    message: &Message,
) -> Term {
    let argument = message.payload.as_list().and_then(|terms| terms.get(1)).cloned().unwrap_or_default();
    match message.payload.tag() {
        Some(request::HIBERNATE) => return hibernate_request(process, body, core),
        Some(request::WAKE) => return wake_request(process, body, core),
        Some(request::MEMORY) => return memory(body, core),
        _ => {}
    }
    // the state is needed from here on; as in sys, whoever slept sleeps on
    let hibernated = process.has(flag::HIBERNATED);
    if hibernated && let Err(reason) = wake(process, body, core) {
        return Term::tagged("error", reason);
    }
    let Some(awake) = body.as_mut() else { return Term::tagged("error", Term::NOPROC) };
    let answer = on_state(node, process, awake, core, message, argument);
    if hibernated && core.exiting.is_none() {
        hibernate(process, body, core);
    }
    answer
}

/// Handles a request that needs the state.
fn on_state(
    node: &Node,
    process: &Process,
    body: &mut Box<dyn Body>,
    core: &mut Core,
    message: &Message,
    argument: Term,
) -> Term {
    match message.payload.tag() {
        Some(request::GET_STATE) => match body.inspect() {
            Some(state) => Term::map([
                ("state", state),
                ("state_name", body.state_name().unwrap_or_default()),
                ("handlers", body.handlers().map(Term::from).unwrap_or_default()),
            ]),
            None => no_hook("inspect"),
        },
        Some(request::REPLACE_STATE) if body.replace(&argument) => Term::OK,
        Some(request::REPLACE_STATE) => no_hook("replace"),
        Some(request::SNAPSHOT) => {
            body.snapshot().map_or_else(|| no_hook("snapshot"), |state| Term::tagged("ok", state))
        }
        Some(request::SHRINK) => {
            let before = memory_bytes(Some(&**body), core);
            body.shrink();
            core.inner.shrink();
            Term::map([("before", before), ("after", memory_bytes(Some(&**body), core))])
        }
        Some(request::COMPACT) => compact(node, process, body, core),
        Some(request::TERMINATE) => {
            core.exiting = Some(argument);
            Term::OK
        }
        Some(request::RAISE) => {
            core.exiting = Some(raised(&message.payload));
            Term::OK
        }
        _ => Term::tagged("error", "unknown_system_request".into()),
    }
}

/// The exit reason of a process without a behaviour in which an exception of this class is raised.
fn raised(payload: &Term) -> Reason {
    let (class, reason) = match payload.as_list() {
        Some([_, class, reason]) => (class.as_str().unwrap_or_default(), reason.clone()),
        _ => ("error", Term::UNDEFINED),
    };
    match class {
        "exit" => reason,
        "throw" => Term::crash(Term::tagged("nocatch", reason)),
        _ => Term::crash(reason),
    }
}

/// State and mailbox together.
fn memory_bytes(body: Option<&dyn Body>, core: &Core) -> Term {
    let state = state_bytes(body, core).unwrap_or_default();
    bytes_term(Some(state + core.inner.bytes()))
}

fn memory(body: &mut Option<Box<dyn Body>>, core: &Core) -> Term {
    let dictionary: usize = core
        .extras()
        .map(|extras| extras.dictionary.iter().map(|(key, value)| 32 + key.len() + value.size_bytes()).sum())
        .unwrap_or_default();
    Term::map([
        ("state", bytes_term(state_bytes(body.as_deref(), core))),
        ("mailbox", bytes_term(Some(core.inner.bytes()))),
        ("dictionary", bytes_term(Some(dictionary))),
        ("control", bytes_term(Some(size_of::<Process>()))),
    ])
}

/// The error of a fresh instance that refused the state.
pub(crate) const RESTORE_FAILED: &str = "restore_failed";

fn compact(node: &Node, process: &Process, body: &mut Box<dyn Body>, core: &Core) -> Term {
    let began_ns = node.now_ns();
    if !process.code.description.hooks.snapshot {
        return no_hook("snapshot");
    }
    let Some(snapshot) = body.snapshot() else { return no_hook("snapshot") };
    let Some(module) = &process.code.module else { return no_hook("restore") };
    let before = memory_bytes(Some(&**body), core);
    let Some(fresh) = module.restore(&snapshot) else { return Term::tagged("error", RESTORE_FAILED.into()) };
    *body = fresh;
    let pause_ns = i64::try_from(node.now_ns() - began_ns).unwrap_or(i64::MAX);
    Term::map([
        ("before", before),
        ("after", memory_bytes(Some(&**body), core)),
        ("pause_ns", Term::Int(pause_ns)),
    ])
}

fn hibernate_request(process: &Process, body: &mut Option<Box<dyn Body>>, core: &mut Core) -> Term {
    let before = memory_bytes(body.as_deref(), core);
    if !process.has(flag::HIBERNATED) {
        let can = process.code.module.is_some() && process.code.description.hooks.snapshot;
        if !can || !hibernate(process, body, core) {
            return no_hook("snapshot");
        }
    }
    Term::map([("before", before), ("after", memory_bytes(body.as_deref(), core))])
}

fn wake_request(process: &Process, body: &mut Option<Box<dyn Body>>, core: &mut Core) -> Term {
    let before = memory_bytes(body.as_deref(), core);
    let woken = process.has(flag::HIBERNATED);
    if woken && let Err(reason) = wake(process, body, core) {
        // there is no state to go on with
        core.exiting = Some(reason.clone());
        return Term::tagged("error", reason);
    }
    Term::map([
        ("woken", Term::Bool(woken)),
        ("before", before),
        ("after", memory_bytes(body.as_deref(), core)),
    ])
}

/// Frees what can be freed until the next message: the body, if it can be made again of its snapshot. Tells whether it
/// could.
pub(crate) fn hibernate(process: &Process, body: &mut Option<Box<dyn Body>>, core: &mut Core) -> bool {
    process.set(flag::HIBERNATED, true);
    core.inner.shrink();
    if process.code.module.is_none() || !process.code.description.hooks.snapshot {
        return false;
    }
    let Some(snapshot) = body.as_ref().and_then(|body| body.snapshot()) else { return false };
    core.extras_mut().snapshot = Some(Packed::new(&snapshot));
    *body = None;
    true
}

/// Makes the body again, if hibernation took it.
pub(crate) fn wake(
    process: &Process,
    body: &mut Option<Box<dyn Body>>,
    core: &mut Core,
) -> Result<(), Reason> {
    process.set(flag::HIBERNATED, false);
    if body.is_some() {
        return Ok(());
    }
    let snapshot = core.extras_mut().snapshot.take().and_then(|packed| packed.unpack());
    let module = process.code.module.as_ref();
    let restored = snapshot.as_ref().and_then(|snapshot| module.and_then(|module| module.restore(snapshot)));
    *body = Some(restored.ok_or_else(|| Term::crash(RESTORE_FAILED.into()))?);
    Ok(())
}

//! What a frame of the client does: the same as the RPC of that name, for the session's process.

use crate::process::{end, relations};
use crate::session::mailbox::answer_call;
use crate::status::{of_call, of_control};
use crate::{payload, reference, time};
use arsenal_proto::v1::open_session_request::{self as request, Frame};
use arsenal_proto::v1::open_session_response::{Result as Answer, result::Payload};
use arsenal_runtime::request::CallError;
use arsenal_runtime::{Kind, Message, Node, OwnedId, Pid, Term};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use tonic::Status;

/// How long a call waits where the frame does not say, as `gen_server:call/2`.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls under way; each gives its result, if the client wants one.
pub(super) type Calls = FuturesUnordered<BoxFuture<'static, Option<Answer>>>;

/// What a frame came to.
#[derive(Default)]
pub(super) struct Done {
    pid: Option<Pid>,
    monitor: Option<OwnedId>,
    found: bool,
    old_trap_exit: bool,
    reply: Option<Term>,
}

impl Done {
    fn to(pid: Pid) -> Self {
        Self { pid: Some(pid), ..Self::default() }
    }
}

/// The result for the client; nothing where it did not ask for one and the frame did not fail.
pub(super) fn result(id: u64, done: Result<Done, Status>) -> Option<Answer> {
    match done {
        Ok(_) if id == 0 => None,
        Ok(done) => Some(Answer {
            id,
            error: None,
            payload: done.reply.map(|reply| match reply.view() {
                Term::Bytes(bytes) => Payload::ReplyBytes((**bytes).clone()),
                _ => Payload::Reply(payload::to_value(&reply)),
            }),
            monitor: done.monitor.map(|monitor| monitor.to_string()).unwrap_or_default(),
            found: done.found,
            old_trap_exit: done.old_trap_exit,
            pid: done.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        }),
        Err(status) => {
            Some(Answer { id, error: Some(crate::status::to_proto(&status)), ..Answer::default() })
        }
    }
}

/// Runs any frame but `open`, `call`, `close` and `ack`.
pub(super) fn run(node: &Node, me: Pid, frame: Frame) -> Result<Done, Status> {
    match frame {
        Frame::Reply(reply) => {
            use request::reply::Payload;
            let answer = match reply.payload {
                Some(Payload::Reply(reply)) => payload::to_term(&reply),
                Some(Payload::ReplyBytes(bytes)) => payload::bytes_to_term(bytes),
                None => Term::Null,
            };
            answer_call(node, me, &reply.reference, answer).map(|pid| Done { pid, ..Done::default() })
        }
        Frame::Send(send) => {
            use request::send::Payload;
            let content = match send.payload {
                Some(Payload::Message(message)) => payload::to_term(&message),
                Some(Payload::MessageBytes(bytes)) => payload::bytes_to_term(bytes),
                None => Term::Null,
            };
            post(node, me, &send.process, Kind::Info, content)
        }
        Frame::Cast(cast) => {
            use request::cast::Payload;
            let content = match cast.payload {
                Some(Payload::Message(message)) => payload::to_term(&message),
                Some(Payload::MessageBytes(bytes)) => payload::bytes_to_term(bytes),
                None => Term::Null,
            };
            post(node, me, &cast.process, Kind::Cast, content)
        }
        Frame::Link(link) => relations::link_from(node, me, &link.process, 0).map(Done::to),
        Frame::Unlink(unlink) => relations::unlink_from(node, me, &unlink.process, 0).map(Done::to),
        Frame::Monitor(monitor) => {
            let (monitor, pid) = relations::monitor_by(node, me, &monitor.process, 0)?;
            Ok(Done { pid, monitor: Some(monitor), ..Done::default() })
        }
        Frame::Demonitor(demonitor) => {
            let monitor = relations::monitor_id(&demonitor.monitor)?;
            let found = node.demonitor(me, monitor, demonitor.flush);
            Ok(Done { found: found.map_err(|error| of_control(node, &error))?, ..Done::default() })
        }
        Frame::TrapExit(trap) => {
            let old = node.set_trap_exit(me, trap.trap_exit);
            Ok(Done { old_trap_exit: old.map_err(|error| of_control(node, &error))?, ..Done::default() })
        }
        Frame::Exit(exit) => {
            let pid = end::ever_lived(node, "process", &exit.process)?;
            let reason = exit.reason.as_ref().map_or(Term::NORMAL, payload::to_term);
            node.exit(me, pid, reason);
            Ok(Done::to(pid))
        }
        // the connection does these itself
        Frame::Open(_) | Frame::Call(_) | Frame::Close(_) | Frame::Ack(_) => Ok(Done::default()),
    }
}

fn post(node: &Node, me: Pid, to: &str, kind: Kind, content: Term) -> Result<Done, Status> {
    let pid = reference::pid(node, "process", to)?;
    node.send_as(me, pid, Message::of(kind, me, content)).map_err(|error| of_control(node, &error))?;
    Ok(Done::to(pid))
}

/// A call under way. What the session sent before arrives before it.
pub(super) fn call(
    node: &Node,
    me: Pid,
    id: u64,
    call: request::Call,
) -> Result<BoxFuture<'static, Option<Answer>>, Status> {
    use request::call::Payload;
    let content = match call.payload {
        Some(Payload::Message(message)) => payload::to_term(&message),
        Some(Payload::MessageBytes(bytes)) => payload::bytes_to_term(bytes),
        None => Term::Null,
    };
    let timeout = time::duration("timeout", call.timeout.as_ref())?.unwrap_or(CALL_TIMEOUT);
    let pid = reference::pid(node, "process", &call.process)?;
    if pid == me {
        // the session would wait for its own answer
        return Err(of_call(node, &CallError::Died { process: pid, reason: Term::Atom("calling_self") }));
    }
    let node = node.clone();
    let mut answer = async move {
        let reply = node.call(pid, content, Some(timeout), 0).await;
        let done = reply.map(|reply| Done { reply: Some(reply), ..Done::to(pid) });
        result(id, done.map_err(|error| of_call(&node, &error)))
    }
    .boxed();
    // the request leaves with the first poll: now, so that it keeps its place among the frames
    Ok(match (&mut answer).now_or_never() {
        Some(answer) => async move { answer }.boxed(),
        None => answer,
    })
}

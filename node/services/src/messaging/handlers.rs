//! Handlers of event managers: requests to the manager, and what its answers mean.

use super::call::{no_connection, timeout};
use super::carried::{self, Carried};
use super::deadline::Deadline;
use crate::caller::Caller;
use crate::status::{failure, no_process, of_call};
use crate::{Shared, payload, reference};
use arsenal_behaviours::gen_event::EventRequest;
use arsenal_proto::v1;
use arsenal_runtime::request::{CallError, Sent};
use arsenal_runtime::{Behaviour, Kind, Message, Node, Pid, Term};
use std::time::Duration;
use tonic::{Code, Status};

/// An event manager at hand.
struct Manager<'a> {
    node: &'a Node,
    pid: Pid,
    timeout: Option<Duration>,
    operation: u64,
}

/// A handler as the manager names it.
struct Installed {
    handler: Term,
    owner: Option<Pid>,
}

impl<'a> Manager<'a> {
    fn of(node: &'a Node, process: &str, caller: &Caller, timeout: Option<Duration>) -> Result<Self, Status> {
        let pid = reference::pid(node, "process", process)?;
        if pid.node != node.id() {
            return Err(no_connection(pid));
        }
        let header =
            node.process(pid).map(|process| node.header(&process)).ok_or_else(|| no_process(node, pid))?;
        check_behaviour(pid, header.code.behaviour)?;
        Ok(Self { node, pid, timeout, operation: caller.operation })
    }

    async fn ask(&self, request: &EventRequest) -> Result<Term, Status> {
        let reply = self.node.call(self.pid, request.to_term(), self.timeout, self.operation).await;
        reply.map_err(|error| of_call(self.node, &error))
    }

    /// Its handlers, the newest first.
    async fn installed(&self) -> Result<Vec<Installed>, Status> {
        let reply = self.ask(&EventRequest::Installed).await?;
        let entry = |entry: &Term| match entry.as_list() {
            Some([handler, owner]) => Some(Installed { handler: handler.clone(), owner: owner.as_pid() }),
            _ => None,
        };
        Ok(reply.as_list().unwrap_or_default().iter().filter_map(entry).collect())
    }

    /// The handler with this id.
    async fn find(&self, id: &str) -> Result<Option<Installed>, Status> {
        Ok(self.installed().await?.into_iter().find(|installed| id_of(&installed.handler) == id))
    }

    fn record(&self, kind: &'static str, handler: &Term) {
        self.node.record(kind, self.pid, Pid::NONE, handler.clone(), self.operation);
    }

    fn no_handler(&self, id: &str) -> Status {
        let message = format!("event manager {} has no handler `{id}`", self.pid);
        failure(Code::NotFound, "NO_HANDLER", message).resource("handler", id).status()
    }

    fn crashed(&self, id: &str, reason: &Term) -> Status {
        let message = format!("handler `{id}` of event manager {} crashed: {reason}", self.pid);
        failure(Code::Aborted, "HANDLER_CRASHED", message).exit(reason, self.pid, None).status()
    }

    /// What the manager answers to an add or a swap.
    fn added(&self, id: &str, module: &str, reply: &Term) -> Result<(), Status> {
        match (reply.tag(), reply.as_list()) {
            (Some("ok"), None) => Ok(()),
            (Some("error"), Some([_, reason])) => {
                let message = format!("handler `{id}` was refused by its own init: {reason}");
                let refused = failure(Code::FailedPrecondition, "HANDLER_REFUSED", message);
                Err(refused.exit(reason, self.pid, None).precondition("HANDLER_REFUSED", id).status())
            }
            (Some("EXIT"), Some([_, reason])) if is_undefined(reason) => {
                let message = format!("event manager {} knows no handler module `{module}`", self.pid);
                Err(failure(Code::NotFound, "UNKNOWN_MODULE", message).resource("module", module).status())
            }
            (Some("EXIT"), Some([_, reason])) => Err(self.crashed(id, reason)),
            _ => Err(self.crashed(id, reply)),
        }
    }
}

fn check_behaviour(pid: Pid, behaviour: Behaviour) -> Result<(), Status> {
    if behaviour == Behaviour::GenEvent {
        return Ok(());
    }
    let message = format!("process {pid} is no event manager");
    let failed = failure(Code::FailedPrecondition, "NOT_EVENT_MANAGER", message);
    Err(failed.precondition("BEHAVIOUR", &pid.to_string()).status())
}

/// The error of calling a module that is not there.
fn is_undefined(reason: &Term) -> bool {
    reason.get("crash").is_some_and(|crash| crash.is("undef"))
}

/// A handler's id: that of `[module, id]`, else its module's name.
fn id_of(handler: &Term) -> String {
    let id = match handler.as_list() {
        Some([_, id]) => id,
        _ => handler,
    };
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// A handler as the manager names it: its module, or `[module, id]`.
fn handler(module: &str, id: &str) -> Term {
    if id.is_empty() || id == module { Term::str(module) } else { [Term::str(module), Term::str(id)].into() }
}

fn encode(handler: &Term, owner: Option<Pid>) -> v1::EventHandler {
    v1::EventHandler {
        handler: id_of(handler),
        module: handler.tag().unwrap_or_default().to_owned(),
        owner: owner.map(|pid| pid.to_string()).unwrap_or_default(),
    }
}

/// Whom a supervised handler is tied to; nothing for one that is not.
fn owner(node: &Node, caller: &Caller, supervised: bool, owner: &str) -> Result<Option<Pid>, Status> {
    if !supervised {
        return Ok(None);
    }
    let owner = caller.acting(node, "owner", owner)?;
    owner.map(Some).ok_or_else(|| {
        let message =
            "`supervised` ties the handler to a process, and neither `owner` nor a session names one";
        failure(Code::InvalidArgument, "NO_OWNER", message).field("owner").status()
    })
}

fn default_timeout(deadline: Deadline) -> Result<Option<Duration>, Status> {
    Ok(deadline.bound(Some(timeout(None)?)))
}

pub(super) async fn add(
    shared: &Shared,
    caller: &Caller,
    deadline: Deadline,
    request: v1::AddEventHandlerRequest,
) -> Result<v1::AddEventHandlerResponse, Status> {
    let node = &shared.node;
    let owner = owner(node, caller, request.supervised, &request.owner)?;
    let args = carried::term(node, request.payload)?;
    let manager = Manager::of(node, &request.process, caller, default_timeout(deadline)?)?;
    let handler = handler(&request.module, &request.handler);
    let reply = manager.ask(&EventRequest::Add { handler: handler.clone(), args, owner }).await?;
    manager.added(&id_of(&handler), &request.module, &reply)?;
    manager.record("event_handler.added", &handler);
    Ok(v1::AddEventHandlerResponse { pid: manager.pid.to_string(), handler: Some(encode(&handler, owner)) })
}

pub(super) async fn delete(
    shared: &Shared,
    caller: &Caller,
    deadline: Deadline,
    request: v1::DeleteEventHandlerRequest,
) -> Result<v1::DeleteEventHandlerResponse, Status> {
    let manager = Manager::of(&shared.node, &request.process, caller, default_timeout(deadline)?)?;
    let id = &request.handler;
    let handler = manager.find(id).await?.ok_or_else(|| manager.no_handler(id))?.handler;
    let argument = payload::to_term_or_null(request.args.as_ref());
    let reply = manager.ask(&EventRequest::Delete { handler: handler.clone(), argument }).await?;
    match (reply.tag(), reply.as_list()) {
        (Some("error"), Some([_, why])) if why.is("module_not_found") => return Err(manager.no_handler(id)),
        (Some("EXIT"), Some([_, reason])) => return Err(manager.crashed(id, reason)),
        _ => manager.record("event_handler.deleted", &handler),
    }
    Ok(v1::DeleteEventHandlerResponse {
        pid: manager.pid.to_string(),
        payload: Some(Carried::of_term(&reply)),
    })
}

pub(super) async fn swap(
    shared: &Shared,
    caller: &Caller,
    deadline: Deadline,
    request: v1::SwapEventHandlerRequest,
) -> Result<v1::SwapEventHandlerResponse, Status> {
    let node = &shared.node;
    let owner = owner(node, caller, request.supervised, &request.owner)?;
    let args = carried::term(node, request.payload)?;
    let manager = Manager::of(node, &request.process, caller, default_timeout(deadline)?)?;
    let old = manager.find(&request.handler).await?;
    let (swapped, inherited) = (old.is_some(), old.as_ref().and_then(|old| old.owner));
    let old = old.map_or_else(|| Term::str(&*request.handler), |old| old.handler);
    let new = handler(&request.module, &request.to_handler);
    let argument = payload::to_term_or_null(request.args.as_ref());
    let reply = manager.ask(&EventRequest::Swap { old, argument, new: new.clone(), args, owner }).await?;
    manager.added(&id_of(&new), &request.module, &reply)?;
    manager.record("event_handler.swapped", &new);
    let handler = Some(encode(&new, owner.or(inherited)));
    Ok(v1::SwapEventHandlerResponse { pid: manager.pid.to_string(), handler, swapped })
}

pub(super) async fn list(
    shared: &Shared,
    caller: &Caller,
    deadline: Deadline,
    request: v1::ListEventHandlersRequest,
) -> Result<v1::ListEventHandlersResponse, Status> {
    let manager = Manager::of(&shared.node, &request.process, caller, default_timeout(deadline)?)?;
    let installed = manager.installed().await?;
    let handlers = installed.iter().map(|installed| encode(&installed.handler, installed.owner)).collect();
    Ok(v1::ListEventHandlersResponse { pid: manager.pid.to_string(), handlers })
}

pub(super) async fn notify(
    shared: &Shared,
    caller: &Caller,
    deadline: Deadline,
    request: v1::NotifyEventManagerRequest,
) -> Result<v1::NotifyEventManagerResponse, Status> {
    let node = &shared.node;
    let from = caller.acting(node, "from", &request.from)?.unwrap_or_default();
    let event = carried::term(node, request.payload)?;
    if request.sync {
        let manager = Manager::of(node, &request.process, caller, deadline.bound(None))?;
        manager.ask(&EventRequest::SyncNotify(event)).await?;
        return Ok(v1::NotifyEventManagerResponse { pid: manager.pid.to_string() });
    }
    let pid = reference::pid(node, "process", &request.process)?;
    if let Some(process) = node.process(pid) {
        check_behaviour(pid, node.header(&process).code.behaviour)?;
        let message = Message::of(Kind::Notify, from, event).with_operation(caller.operation);
        if node.send_to(&process, message) == Sent::MailboxFull {
            return Err(of_call(node, &CallError::MailboxFull(pid)));
        }
    }
    Ok(v1::NotifyEventManagerResponse { pid: pid.to_string() })
}

pub(super) async fn call(
    shared: &Shared,
    caller: &Caller,
    deadline: Deadline,
    request: v1::CallEventHandlerRequest,
) -> Result<v1::CallEventHandlerResponse, Status> {
    let node = &shared.node;
    // who calls does not matter to a handler, but has to be alive
    caller.acting(node, "from", &request.from)?;
    let asked = carried::term(node, request.payload)?;
    let timeout = deadline.bound(Some(timeout(request.timeout.as_ref())?));
    let manager = Manager::of(node, &request.process, caller, timeout)?;
    let id = &request.handler;
    let handler = manager.find(id).await?.ok_or_else(|| manager.no_handler(id))?.handler;
    let reply = manager.ask(&EventRequest::Call { handler, request: asked }).await?;
    if let (Some("error"), Some([_, why])) = (reply.tag(), reply.as_list()) {
        match why.as_list() {
            _ if why.is("bad_module") => return Err(manager.no_handler(id)),
            Some([exit, reason]) if exit.is("EXIT") => return Err(manager.crashed(id, reason)),
            // a handler may answer so; one that is gone returned a bad value
            _ if manager.find(id).await?.is_none() => return Err(manager.crashed(id, why)),
            _ => {}
        }
    }
    Ok(v1::CallEventHandlerResponse { payload: Some(Carried::of_term(&reply)), pid: manager.pid.to_string() })
}

//! The process of a session: it waits, reads nothing, and ends when its lease does.
//!
//! A session whose lease ends exits `noconnection`, as one whose stream breaks: its client is not heard of any more.

use crate::caller::{Caller, session_id, session_process};
use crate::listing::{Query, Row};
use crate::process::options::{self, Labels};
use crate::status::{failure, of_call, of_control, of_start};
use crate::{payload, reference, time};
use arsenal_observe::predicate::{Field, FieldType};
use arsenal_proto::v1;
use arsenal_runtime::limits::MailboxLimit;
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Hooks, Node, Pid, ProcessKind, ProcessName, ProcessRef,
    Receive, StartOptions, Started, Step, Term,
};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tonic::{Code, Status};

/// Messages that the mailbox of a session holds where nothing else is asked for.
const MESSAGES_MAX: u32 = 65_536;
/// Links and monitors in an answer at most.
const RELATIONS_MAX: usize = 1_000;
/// How long an end is waited for.
pub(super) const ENDING_MAX: Duration = Duration::from_secs(5);

/// The exit reason of a session whose client is not heard of any more.
pub(super) const LOST: Term = Term::Atom("noconnection");

static DESCRIPTION: LazyLock<Arc<Description>> = LazyLock::new(|| {
    Arc::new(Description {
        name: "session".into(),
        behaviour: Behaviour::Plain,
        kind: ProcessKind::Session,
        hooks: Hooks::default(),
        functions: Vec::new(),
    })
});

struct Session {
    /// Nothing for one that lives by its stream.
    lease: Option<Duration>,
}

impl Body for Session {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        match event {
            Event::Start => context.started(),
            Event::Timeout => return Step::Exit(LOST),
            _ => {}
        }
        Step::Wait(Receive::none().within(self.lease))
    }
}

/// What a session is opened with.
pub(super) struct Opening {
    pub(super) name: Option<ProcessName>,
    pub(super) trap_exit: bool,
    pub(super) lease: Option<Duration>,
    pub(super) labels: Labels,
    pub(super) mailbox: Option<MailboxLimit>,
    pub(super) memory_bytes_max: Option<u64>,
}

/// Its mailbox is bounded in messages whatever the client says.
fn bounded(mailbox: Option<MailboxLimit>) -> MailboxLimit {
    let mut mailbox = mailbox.unwrap_or_default();
    if mailbox.messages_max == 0 {
        mailbox.messages_max = MESSAGES_MAX;
    }
    mailbox
}

/// Starts a session's process.
pub(super) async fn open(node: &Node, caller: &Caller, opening: Opening) -> Result<ProcessRef, Status> {
    let options = StartOptions {
        name: opening.name,
        trap_exit: opening.trap_exit,
        labels: opening.labels,
        mailbox: Some(bounded(opening.mailbox)),
        memory_bytes_max: opening.memory_bytes_max,
        operation: caller.operation,
        ..StartOptions::default()
    };
    let body = Box::new(Session { lease: opening.lease });
    let ended = |pid| ended(node, pid);
    match node.start_body(&DESCRIPTION, body, options, None).await {
        Ok(Started::Running(pid)) => {
            node.open_mailbox(pid);
            node.set_session_owner(pid, caller.authenticated());
            // it waits, and its lease counts, once its first turn has ended: between two turns it answers
            let settled = node.system_request(pid, Term::Atom("memory"), Some(ENDING_MAX)).await;
            settled.map_err(|error| of_call(node, &error))?;
            node.process(pid).ok_or_else(|| ended(pid))
        }
        Ok(Started::Ignored) => Err(ended(Pid::NONE)),
        Err(error) => Err(of_start(node, &error)),
    }
}

/// `ABORTED EXITED`: the session's process has ended.
pub(super) fn ended(node: &Node, pid: Pid) -> Status {
    let reason = node.events().exit_of(pid).map_or(Term::NOPROC, |record| record.reason);
    let message = format!("session {} has ended: {reason}", session_id(pid));
    failure(Code::Aborted, "EXITED", message).exit(&reason, pid, None).status()
}

/// The live process of a session.
pub(super) fn find(node: &Node, session: &str) -> Result<ProcessRef, Status> {
    let pid = session_process(node, session)?;
    node.process(pid).ok_or_else(|| ended(node, pid))
}

/// The live process of a session that the caller may use.
pub(super) fn find_own(node: &Node, caller: &Caller, session: &str) -> Result<ProcessRef, Status> {
    let pid = caller.own_session(node, session)?;
    node.process(pid).ok_or_else(|| ended(node, pid))
}

/// Whether a session lives by a stream.
pub(super) fn has_stream(node: &Node, process: &ProcessRef) -> bool {
    node.receive_timeout(process).is_none()
}

/// `FAILED_PRECONDITION HAS_STREAM` for a session that lives by its stream.
pub(super) fn without_stream(node: &Node, process: &ProcessRef) -> Result<(), Status> {
    let has_stream = has_stream(node, process);
    let session = session_id(process.pid()).to_string();
    if !process.is_alive() {
        // what has ended waits for nothing, as one with a stream
        return find(node, &session).map(|_| ());
    }
    if !has_stream {
        return Ok(());
    }
    let message = format!("session {session} lives by its stream, which receives its messages");
    Err(failure(Code::FailedPrecondition, "HAS_STREAM", message).precondition("NO_STREAM", &session).status())
}

/// When the lease ends; nothing for a session with a stream.
pub(super) fn expire_time(node: &Node, process: &ProcessRef) -> Option<prost_types::Timestamp> {
    node.receive_deadline(process).map(|deadline_ns| time::timestamp(node, deadline_ns))
}

/// A session without its links and monitors.
pub(super) fn encode(node: &Node, process: &ProcessRef) -> v1::Session {
    let header = node.header(process);
    let global = || node.global_names_of(header.pid).into_iter().next();
    let name = node.name_of(process).or_else(global);
    let labels = node.labels_of(process);
    v1::Session {
        session: session_id(header.pid).to_string(),
        pid: header.pid.to_string(),
        name: name.map(|name| name.to_string()).unwrap_or_default(),
        node: node.name().to_string(),
        trap_exit: header.trap_exit,
        stream: has_stream(node, process),
        expire_time: expire_time(node, process),
        create_time: Some(time::timestamp_ms(node, header.started_ms)),
        queue_length: node.queue_length(process) as u64,
        links: Vec::new(),
        monitors: Vec::new(),
        principal: node.session_owner(header.pid).to_string(),
        labels: labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect::<HashMap<_, _>>(),
    }
}

pub(super) async fn create(
    node: &Node,
    caller: &Caller,
    request: v1::CreateSessionRequest,
) -> Result<v1::Session, Status> {
    reference::check_node(node, &request.node)?;
    let (mailbox, memory_bytes_max) = options::limits(request.limits.as_ref())?;
    let opening = Opening {
        name: options::name(&request.name, request.name_scope)?,
        trap_exit: request.trap_exit.unwrap_or(true),
        lease: Some(time::lease("lease", request.lease.as_ref())?),
        labels: options::labels(request.labels)?,
        mailbox,
        memory_bytes_max,
    };
    let process = open(node, caller, opening).await?;
    Ok(encode(node, &process))
}

pub(super) fn get(node: &Node, request: &v1::GetSessionRequest) -> Result<v1::Session, Status> {
    let process = find(node, &request.session)?;
    let mut session = encode(node, &process);
    if let Some(info) = node.info(process.pid()) {
        session.links = info.links.iter().take(RELATIONS_MAX).map(Pid::to_string).collect();
        session.monitors = info.monitors.iter().take(RELATIONS_MAX).map(|(id, _)| id.to_string()).collect();
    }
    Ok(session)
}

struct Listed<'a> {
    node: &'a Node,
    pid: Pid,
    session: v1::Session,
}

impl Row for Listed<'_> {
    const FIELDS: &'static [Field] = &[
        ("session", FieldType::Text),
        ("pid", FieldType::Text),
        ("name", FieldType::Text),
        ("node", FieldType::Text),
        ("trap_exit", FieldType::Flag),
        ("stream", FieldType::Flag),
        ("expire_time", FieldType::Text),
        ("create_time", FieldType::Text),
        ("queue_length", FieldType::Number),
        ("principal", FieldType::Text),
        ("labels", FieldType::Map),
    ];

    fn field(&self, name: &str) -> Term {
        let Self { node, pid, session } = self;
        let time =
            |time: Option<prost_types::Timestamp>| time.map_or(Term::Null, |time| time.to_string().into());
        match name {
            "session" => session_id(*pid).into(),
            "pid" => (*pid).into(),
            "name" => session.name.clone().into(),
            "node" => Term::Str(Arc::clone(node.name())),
            "trap_exit" => session.trap_exit.into(),
            "stream" => session.stream.into(),
            "expire_time" => time(session.expire_time),
            "create_time" => time(session.create_time),
            "queue_length" => Term::Int(i64::try_from(session.queue_length).unwrap_or(i64::MAX)),
            "principal" => session.principal.clone().into(),
            _ => {
                Term::map(session.labels.iter().map(|(key, value)| (key.as_str(), Term::str(value.as_str()))))
            }
        }
    }
}

pub(super) fn list(
    node: &Node,
    request: &v1::ListSessionsRequest,
) -> Result<v1::ListSessionsResponse, Status> {
    reference::check_node(node, &request.node)?;
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: &request.node,
    };
    let found = node.open_mailboxes().into_iter().filter_map(|pid| node.process(pid));
    let rows = found.map(|process| Listed { node, pid: process.pid(), session: encode(node, &process) });
    let (page, next_page_token) = query.page(rows.collect())?;
    Ok(v1::ListSessionsResponse {
        sessions: page.into_iter().map(|listed| listed.session).collect(),
        next_page_token,
        unreached: Vec::new(),
        node: node.name().to_string(),
    })
}

pub(super) fn renew(
    node: &Node,
    caller: &Caller,
    request: &v1::RenewSessionRequest,
) -> Result<v1::Session, Status> {
    let process = find_own(node, caller, &request.session)?;
    without_stream(node, &process)?;
    let lease = match &request.lease {
        Some(lease) => Some(time::lease("lease", Some(lease))?),
        None => node.receive_timeout(&process),
    };
    node.renew_receive(process.pid(), lease).map_err(|error| of_control(node, &error))?;
    Ok(encode(node, &process))
}

pub(super) async fn close(
    node: &Node,
    caller: &Caller,
    request: v1::CloseSessionRequest,
) -> Result<v1::CloseSessionResponse, Status> {
    let pid = find_own(node, caller, &request.session)?.pid();
    let reason = request.reason.as_ref().map_or(Term::NORMAL, payload::to_term);
    node.kill_by(pid, reason.clone(), caller.operation);
    let reason = node.await_exit_within(pid, ENDING_MAX).await.unwrap_or(reason);
    let messages_lost = node.events().exit_of(pid).map_or(0, |record| record.messages_lost as u64);
    Ok(v1::CloseSessionResponse {
        pid: pid.to_string(),
        reason: Some(payload::to_value(&reason)),
        messages_lost,
    })
}

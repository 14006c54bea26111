//! Timers that send a message later.

use super::carried::{self, Carried};
use crate::caller::Caller;
use crate::listing::{Query, Row};
use crate::reference::{Reference, check_node, unknown_node};
use crate::status::{bad_argument, failure, no_name, of_control};
use crate::{Shared, time};
use arsenal_observe::predicate::{Field, FieldType};
use arsenal_observe::process_variables::rfc3339;
use arsenal_proto::v1;
use arsenal_runtime::timer::{TimerInfo, TimerTarget};
use arsenal_runtime::{Kind, Message, Node, OwnedId, Pid, Term};
use std::time::{Duration, SystemTime};
use tonic::{Code, Status};
use v1::send_message_after_request::Due;

/// The longest time from now: OTP's, 2^32 - 1 milliseconds.
const AFTER_MAX: Duration = Duration::from_millis(u32::MAX as u64);

fn after(node: &Node, due: Option<&Due>) -> Result<Duration, Status> {
    let after = match due {
        None => return Err(bad_argument("after", "neither `after` nor `at` says when to send the message")),
        Some(Due::After(after)) => time::duration("after", Some(after))?.unwrap_or_default(),
        Some(Due::At(at)) => {
            let at = SystemTime::try_from(*at).map_err(|_| bad_argument("at", "`at` is no time"))?;
            at.duration_since(node.clock().calendar(node.now_ns())).unwrap_or_default()
        }
    };
    if after > AFTER_MAX {
        let field = if matches!(due, Some(Due::At(_))) { "at" } else { "after" };
        return Err(bad_argument(
            field,
            format!("`{field}` is {after:?} from now; a timer runs {AFTER_MAX:?} at most"),
        ));
    }
    Ok(after)
}

/// Whom a timer is for; a name is looked up when it fires.
fn target(node: &Node, process: &str) -> Result<TimerTarget, Status> {
    Ok(match Reference::parse("process", process)? {
        Reference::Pid(pid) => TimerTarget::Process(pid),
        Reference::Name(name) => TimerTarget::Name(name.into()),
        Reference::NameOn(name, on) if *on == **node.name() => TimerTarget::Name(name.into()),
        Reference::NameOn(_, on) => return Err(unknown_node(&on)),
        Reference::Global(name) => TimerTarget::Name(format!("{name}@global").into()),
        key @ Reference::Key(_) => TimerTarget::Process(key.lookup(node)?.ok_or_else(|| no_name(process))?),
    })
}

pub(super) fn start(
    shared: &Shared,
    caller: &Caller,
    request: v1::SendMessageAfterRequest,
) -> Result<v1::SendMessageAfterResponse, Status> {
    let node = &shared.node;
    let after = after(node, request.due.as_ref())?;
    let target = target(node, &request.process)?;
    let from = caller.acting(node, "from", &request.from)?.unwrap_or_default();
    let payload = carried::term(node, request.payload)?;
    let kind = if request.with_reference { Kind::Timeout } else { Kind::Info };
    let message = Message::of(kind, from, payload).with_operation(caller.operation);
    let fire_time = time::timestamp(node, node.now_ns().saturating_add(nanos(after)));
    let to = pid_of(&target);
    let timer = node.start_timer(target, message, after).map_err(|error| of_control(node, &error))?;
    node.record("timer.started", to, from, Term::Id(timer), caller.operation);
    Ok(v1::SendMessageAfterResponse { timer: timer.to_string(), fire_time: Some(fire_time) })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn pid_of(target: &TimerTarget) -> Pid {
    match target {
        TimerTarget::Process(pid) => *pid,
        TimerTarget::Name(_) => Pid::NONE,
    }
}

/// The id of a timer of this node, as `text` names it.
fn id(node: &Node, text: &str) -> Result<OwnedId, Status> {
    let id = text
        .parse::<OwnedId>()
        .ok()
        .filter(|id| (id.node, id.incarnation, id.kind()) == (node.id(), node.incarnation(), b't'));
    id.ok_or_else(|| no_timer(text))
}

fn no_timer(text: &str) -> Status {
    failure(Code::NotFound, "NO_TIMER", format!("no timer `{text}` is pending"))
        .resource("timer", text)
        .status()
}

fn process_of(timer: &TimerInfo) -> String {
    match &timer.target {
        TimerTarget::Process(pid) => pid.to_string(),
        TimerTarget::Name(name) => name.to_string(),
    }
}

fn sender(message: &Message) -> String {
    message.from.some().map(|pid| pid.to_string()).unwrap_or_default()
}

fn encode(node: &Node, timer: &TimerInfo) -> v1::Timer {
    v1::Timer {
        timer: timer.id.to_string(),
        process: process_of(timer),
        from: sender(&timer.message),
        remaining: Some(time::to_proto(timer.remaining)),
        fire_time: Some(time::timestamp(node, timer.due_ns)),
        payload: Some(Carried::of_term(&timer.message.payload)),
        with_reference: timer.message.kind == Kind::Timeout,
        node: node.name().to_string(),
    }
}

pub(super) fn get(shared: &Shared, request: &v1::GetTimerRequest) -> Result<v1::GetTimerResponse, Status> {
    let node = &shared.node;
    let timer = node.timer(id(node, &request.timer)?).ok_or_else(|| no_timer(&request.timer))?;
    Ok(v1::GetTimerResponse { timer: Some(encode(node, &timer)) })
}

pub(super) fn cancel(
    shared: &Shared,
    caller: &Caller,
    request: v1::CancelTimerRequest,
) -> Result<v1::CancelTimerResponse, Status> {
    let node = &shared.node;
    let timer = node.cancel_timer(id(node, &request.timer)?).ok_or_else(|| no_timer(&request.timer))?;
    node.record("timer.cancelled", pid_of(&timer.target), Pid::NONE, Term::Id(timer.id), caller.operation);
    Ok(v1::CancelTimerResponse { remaining: Some(time::to_proto(timer.remaining)) })
}

/// A timer in a list.
struct TimerRow<'a> {
    node: &'a Node,
    timer: TimerInfo,
}

impl Row for TimerRow<'_> {
    const FIELDS: &'static [Field] = &[
        ("timer", FieldType::Text),
        ("process", FieldType::Text),
        ("from", FieldType::Text),
        ("remaining", FieldType::Number),
        ("fire_time", FieldType::Text),
        ("message", FieldType::Any),
        ("with_reference", FieldType::Flag),
        ("node", FieldType::Text),
    ];

    fn field(&self, name: &str) -> Term {
        match name {
            "timer" => self.timer.id.to_string().into(),
            "process" => process_of(&self.timer).into(),
            "from" => sender(&self.timer.message).into(),
            "remaining" => Term::Float(self.timer.remaining.as_secs_f64()),
            "fire_time" => rfc3339(self.node.clock().calendar(self.timer.due_ns)).into(),
            "message" => self.timer.message.payload.clone(),
            "with_reference" => (self.timer.message.kind == Kind::Timeout).into(),
            _ => Term::Str(self.node.name().clone()),
        }
    }
}

pub(super) fn list(
    shared: &Shared,
    request: &v1::ListTimersRequest,
) -> Result<v1::ListTimersResponse, Status> {
    let node = &shared.node;
    check_node(node, &request.node)?;
    let wanted = |timer: &TimerInfo| request.process.is_empty() || process_of(timer) == request.process;
    let rows =
        node.pending_timers().into_iter().filter(wanted).map(|timer| TimerRow { node, timer }).collect();
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: &request.process,
    };
    let (rows, next_page_token) = query.page(rows)?;
    Ok(v1::ListTimersResponse {
        timers: rows.iter().map(|row| encode(node, &row.timer)).collect(),
        next_page_token,
        unreached: Vec::new(),
        node: node.name().to_string(),
    })
}

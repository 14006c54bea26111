//! What changes a queue: flush, drain, filter, prioritize, compact.

use super::envelope::{self, condition, encode, matching};
use super::queue::number;
use super::send::check_count;
use crate::caller::Caller;
use crate::status::{bad_argument, failure};
use crate::{Shared, reference};
use arsenal_observe::mailbox::{Envelope, Order, RankError, envelopes, rank};
use arsenal_observe::predicate::Predicate;
use arsenal_proto::v1;
use arsenal_runtime::dead_letters::DeadLetterReason;
use arsenal_runtime::surgery::Extraction;
use arsenal_runtime::{Message, Node, Pid, ProcessRef, Term};
use std::collections::HashMap;
use tonic::{Code, Status};

/// Envelopes of a dry run of a flush at most.
const PREVIEW_MAX: usize = 1_000;
/// Messages taken at once where nothing is asked for.
const TAKE_DEFAULT: u32 = 1_000;
/// Messages taken at once at most.
const TAKE_MAX: u32 = 10_000;

fn max(asked: u32) -> Result<usize, Status> {
    match asked {
        0 => Ok(TAKE_DEFAULT as usize),
        max if max > TAKE_MAX => {
            Err(bad_argument("max", format!("`max` is {max}; at most {TAKE_MAX} are taken")))
        }
        max => Ok(max as usize),
    }
}

/// Takes messages out in one step.
fn extract(
    node: &Node,
    process: &ProcessRef,
    how: &Extraction,
    doomed: impl FnMut(&Message) -> bool,
) -> Result<Vec<Message>, Status> {
    node.extract_expected(process, how, doomed).map_err(|error| {
        failure(Code::Aborted, "COUNT_MISMATCH", format!("{error}; none was removed")).into()
    })
}

fn record(node: &Node, kind: &'static str, pid: Pid, count: usize, operation: u64) {
    node.record(kind, pid, Pid::NONE, Term::Int(number(count).into()), operation);
}

pub(super) fn flush(
    shared: &Shared,
    caller: &Caller,
    request: v1::FlushMessageQueueRequest,
) -> Result<v1::FlushMessageQueueResponse, Status> {
    let node = &shared.node;
    let process = reference::process(node, "process", &request.process)?;
    let pid = process.pid();
    let how = Extraction {
        signals: request.include_signals,
        expected: request.expected_count.map(|count| count as usize),
        operation: caller.operation,
        ..Extraction::new(DeadLetterReason::Flushed)
    };
    if request.dry_run {
        let going = node.mailbox(&process, |position, message| {
            how.may_take(message).then(|| Envelope::of(node, pid, position, message))
        });
        check_count(request.expected_count, number(going.len()), "messages")?;
        let messages = going.iter().take(PREVIEW_MAX).map(|envelope| encode(envelope, false)).collect();
        return Ok(v1::FlushMessageQueueResponse {
            pid: pid.to_string(),
            count: number(going.len()),
            messages,
        });
    }
    let taken = extract(node, &process, &how, |_| true)?;
    record(node, "mailbox.flushed", pid, taken.len(), caller.operation);
    Ok(v1::FlushMessageQueueResponse {
        pid: pid.to_string(),
        count: number(taken.len()),
        messages: Vec::new(),
    })
}

/// What is to be taken, as drain and filter ask for it.
struct Taking<'a> {
    process: &'a str,
    condition: Option<Predicate>,
    how: Extraction,
    dry_run: bool,
    event: &'static str,
}

/// Pid, envelopes of what was or would be taken, and how many are left.
fn take(node: &Node, taking: &Taking<'_>) -> Result<(String, Vec<v1::MailboxMessage>, u32), Status> {
    let process = reference::process(node, "process", taking.process)?;
    let (pid, how) = (process.pid(), &taking.how);
    let mut chosen = node.mailbox(&process, |position, message| {
        how.may_take(message).then(|| Envelope::of(node, pid, position, message))
    });
    if let Some(condition) = &taking.condition {
        chosen = matching("filter", condition, chosen)?;
    }
    chosen.truncate(how.max);
    if taking.dry_run {
        let expected = how.expected.map(number);
        check_count(expected, number(chosen.len()), "messages")?;
        let left = node.queue_length(&process).saturating_sub(chosen.len());
        return Ok((
            pid.to_string(),
            chosen.iter().map(|envelope| encode(envelope, true)).collect(),
            number(left),
        ));
    }
    let places: HashMap<u32, usize> =
        chosen.iter().map(|envelope| (envelope.number, envelope.position)).collect();
    let taken = extract(node, &process, how, |message| places.contains_key(&message.number))?;
    record(node, taking.event, pid, taken.len(), how.operation);
    let encoded = taken.iter().map(|message| {
        let position = places.get(&message.number).copied().unwrap_or_default();
        encode(&Envelope::of(node, pid, position, message), true)
    });
    Ok((pid.to_string(), encoded.collect(), number(node.queue_length(&process))))
}

pub(super) fn drain(
    shared: &Shared,
    caller: &Caller,
    request: v1::DrainMessageQueueRequest,
) -> Result<v1::DrainMessageQueueResponse, Status> {
    let how = Extraction {
        signals: request.include_signals,
        max: max(request.max)?,
        expected: request.expected_count.map(|count| count as usize),
        operation: caller.operation,
        reason: DeadLetterReason::Drained,
    };
    let (process, dry_run) = (&*request.process, request.dry_run);
    let taking = Taking { process, condition: None, how, dry_run, event: "mailbox.drained" };
    let (pid, messages, remaining) = take(&shared.node, &taking)?;
    Ok(v1::DrainMessageQueueResponse { pid, messages, remaining })
}

pub(super) fn filter(
    shared: &Shared,
    caller: &Caller,
    request: v1::FilterMessageQueueRequest,
) -> Result<v1::FilterMessageQueueResponse, Status> {
    let condition = Some(condition("filter", &request.filter)?);
    let how = Extraction {
        signals: request.include_signals,
        max: max(request.max)?,
        expected: request.expected_count.map(|count| count as usize),
        operation: caller.operation,
        reason: DeadLetterReason::Filtered,
    };
    let (process, dry_run) = (&*request.process, request.dry_run);
    let taking = Taking { process, condition, how, dry_run, event: "mailbox.filtered" };
    let (pid, messages, remaining) = take(&shared.node, &taking)?;
    Ok(v1::FilterMessageQueueResponse { pid, messages, remaining })
}

/// The order that is asked for.
fn order(request: &v1::PrioritizeMessageQueueRequest) -> Result<Order, Status> {
    match (request.key.is_empty(), request.order.is_empty()) {
        (false, true) => {
            let key = envelope::key("key", &request.key)?;
            Ok(if request.descending { Order::Descending(key) } else { Order::Key(key) })
        }
        (true, false) => {
            let conditions = request.order.iter().map(|source| condition("order", source));
            Ok(Order::Conditions(conditions.collect::<Result<_, _>>()?))
        }
        _ => {
            let message = "exactly one of `key` and `order` says how to order messages";
            Err(failure(Code::InvalidArgument, "BAD_FILTER", message).field("key").into())
        }
    }
}

pub(super) fn prioritize(
    shared: &Shared,
    caller: &Caller,
    request: v1::PrioritizeMessageQueueRequest,
) -> Result<v1::PrioritizeMessageQueueResponse, Status> {
    let node = &shared.node;
    let order = order(&request)?;
    let process = reference::process(node, "process", &request.process)?;
    let ranks = rank(&envelopes(node, &process), &order).map_err(|error| match &error {
        RankError::Expression(wrong) => envelope::bad_expression("order", wrong),
        RankError::Keys(message) => {
            failure(Code::InvalidArgument, "BAD_KEY", message.clone()).field("key").into()
        }
    })?;
    // what arrived meanwhile has no rank, and comes last
    let moved = node.reorder(&process, |message| ranks.get(&message.number).copied().unwrap_or(usize::MAX));
    record(node, "mailbox.prioritized", process.pid(), moved, caller.operation);
    Ok(v1::PrioritizeMessageQueueResponse {
        pid: process.pid().to_string(),
        moved: number(moved),
        length: number(node.queue_length(&process)),
    })
}

pub(super) fn compact(
    shared: &Shared,
    caller: &Caller,
    request: v1::CompactMailboxRequest,
) -> Result<v1::CompactMailboxResponse, Status> {
    let process = reference::process(&shared.node, "process", &request.process)?;
    let compaction = shared.node.compact_mailbox(&process);
    record(&shared.node, "mailbox.compacted", process.pid(), compaction.shared, caller.operation);
    Ok(v1::CompactMailboxResponse {
        pid: process.pid().to_string(),
        bytes_before: compaction.bytes_before as u64,
        bytes_after: compaction.bytes_after as u64,
        shared: number(compaction.shared),
    })
}

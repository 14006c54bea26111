//! `WatchSupervisor`: what one supervisor does, read from the node's event log.
//!
//! The log's numbers are the items' `sequence`, so that a watch which goes on after one needs nothing kept for it. The
//! stream ends with the supervisor.

use super::ask::target;
use super::spec::id_text;
use crate::listing::{Row, admits, bad_filter};
use crate::status::failure;
use crate::{payload, time};
use arsenal_observe::predicate::{Field, FieldType, Predicate};
use arsenal_proto::v1::{self, supervisor_event::Kind};
use arsenal_runtime::events::EventRecord;
use arsenal_runtime::{Node, Pid, Term};
use futures_util::stream;
use std::collections::VecDeque;
use std::pin::Pin;
use tonic::{Code, Status};

/// Events that are read at a time.
const BATCH: usize = 256;

/// The items of a watch.
pub(super) type Stream = Pin<Box<dyn stream::Stream<Item = Result<v1::SupervisorEvent, Status>> + Send>>;

struct Watch {
    node: Node,
    supervisor: Pid,
    filter: Option<Predicate>,
    /// The last event that was looked at.
    position: u64,
    /// Restarts within the period, as the supervisor last told.
    restarts_used: u32,
    items: VecDeque<v1::SupervisorEvent>,
    /// The supervisor has ended; what is in `items` is the rest.
    ended: bool,
}

/// Follows a supervisor.
pub(super) async fn watch(node: &Node, request: &v1::WatchSupervisorRequest) -> Result<Stream, Status> {
    let supervisor = target(node, &request.supervisor)?;
    let filter = match request.filter.as_str() {
        "" => None,
        text => Some(Predicate::condition(text, EventRow::FIELDS).map_err(|error| bad_filter(&error))?),
    };
    let last = node.events().last_sequence();
    let position = request.after.unwrap_or(last);
    if position > last {
        let message = format!("`after` is {position}; the last event is {last}");
        return Err(failure(Code::OutOfRange, "BAD_SEQUENCE", message).field("after").status());
    }
    let restarts_used = super::ask::flags(node, supervisor).await?.restarts_used;
    let watch = Watch {
        node: node.clone(),
        supervisor,
        filter,
        position,
        restarts_used: super::spec::bound(restarts_used),
        items: VecDeque::new(),
        ended: false,
    };
    Ok(Box::pin(stream::unfold(watch, |mut watch| async move {
        let item = watch.next().await?;
        Some((Ok(item), watch))
    })))
}

impl Watch {
    async fn next(&mut self) -> Option<v1::SupervisorEvent> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(item);
            }
            if self.ended {
                return None;
            }
            let node = self.node.clone();
            let _follower = node.events().follow();
            let mut changed = std::pin::pin!(node.events().changed());
            // what is recorded from here on wakes us
            changed.as_mut().enable();
            let read = node.events().after(self.position, BATCH);
            if read.dropped > 0 {
                let kind = Kind::Dropped.into();
                self.position += read.dropped;
                let (sequence, count) = (self.position, read.dropped);
                self.items.push_back(v1::SupervisorEvent { sequence, kind, count, ..Default::default() });
            }
            let waits = read.events.is_empty() && read.dropped == 0;
            for event in read.events {
                self.position = event.sequence;
                self.take(&event);
            }
            if waits {
                changed.await;
            }
        }
    }

    fn take(&mut self, event: &EventRecord) {
        if event.pid != self.supervisor {
            return;
        }
        if event.kind == "process.exited" {
            self.ended = true;
        }
        if let Some(restarts) = event.detail.get("restarts").and_then(Term::as_int) {
            self.restarts_used = u32::try_from(restarts).unwrap_or(u32::MAX);
        }
        let Some(kind) = kind(event.kind).filter(|_| !self.ended) else { return };
        let row = EventRow(self.encode(event, kind));
        // what is wrong with one event is no match
        if self.filter.as_ref().is_none_or(|filter| admits(filter, &row).unwrap_or(false)) {
            self.items.push_back(row.0);
        }
    }

    fn encode(&self, event: &EventRecord, kind: Kind) -> v1::SupervisorEvent {
        let incarnation = event.detail.get("incarnation").and_then(Term::as_int);
        v1::SupervisorEvent {
            sequence: event.sequence,
            time: Some(time::timestamp(&self.node, event.at_ns)),
            kind: kind.into(),
            child: event.detail.get("id").map(id_text).unwrap_or_default(),
            pid: event.other.some().map(|pid| pid.to_string()).unwrap_or_default(),
            incarnation: incarnation.and_then(|number| u64::try_from(number).ok()).unwrap_or_default(),
            reason: event.detail.get("reason").map(payload::to_value),
            restarts_used: self.restarts_used,
            count: 0,
            operation_id: match event.operation {
                0 => String::new(),
                operation => self.node.owned(b'o', operation).to_string(),
            },
        }
    }
}

/// The kind of an event; nothing for what only leads to another one.
fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "supervisor.child_started" => Kind::Started,
        "supervisor.child_exited" => Kind::Exited,
        "supervisor.child_restarted" => Kind::Restarted,
        "supervisor.child_start_failed" => Kind::RestartFailed,
        "supervisor.child_stopped" => Kind::Terminated,
        "supervisor.child_deleted" => Kind::Deleted,
        "supervisor.child_owed" => Kind::Owed,
        "supervisor.escalated" => Kind::Escalated,
        "supervisor.auto_shutdown" => Kind::AutoShutdown,
        "supervisor.paused" => Kind::Paused,
        "supervisor.resumed" => Kind::Resumed,
        "supervisor.changed" => Kind::Changed,
        _ => return None,
    })
}

/// An event as filters see it.
struct EventRow(v1::SupervisorEvent);

impl Row for EventRow {
    const FIELDS: &'static [Field] = &[
        ("sequence", FieldType::Number),
        ("time", FieldType::Text),
        ("kind", FieldType::Text),
        ("child", FieldType::Text),
        ("pid", FieldType::Text),
        ("incarnation", FieldType::Number),
        ("reason", FieldType::Any),
        ("restarts_used", FieldType::Number),
        ("operation_id", FieldType::Text),
    ];

    fn field(&self, name: &str) -> Term {
        let integer = |number: u64| Term::Int(i64::try_from(number).unwrap_or(i64::MAX));
        match name {
            "sequence" => integer(self.0.sequence),
            "time" => self.0.time.map(|time| Term::from(time.to_string())).unwrap_or_default(),
            "kind" => self.0.kind().as_str_name().into(),
            "child" => Term::str(self.0.child.as_str()),
            "pid" => Term::str(self.0.pid.as_str()),
            "incarnation" => integer(self.0.incarnation),
            "reason" => payload::to_term_or_null(self.0.reason.as_ref()),
            "restarts_used" => integer(self.0.restarts_used.into()),
            _ => Term::str(self.0.operation_id.as_str()),
        }
    }
}

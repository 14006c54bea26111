//! How processes ended: waiting for it, and the records of it.

use super::end::ever_lived;
use crate::listing::{Query, Row};
use crate::status::{bad_argument, failure, no_process};
use crate::{payload, reference, time};
use arsenal_observe::predicate::{Field, FieldType};
use arsenal_proto::v1;
use arsenal_runtime::events::ExitRecord;
use arsenal_runtime::{Node, Pid, Term};
use std::sync::Arc;
use tonic::{Code, Status};

/// One record, as filters see it.
struct Exit<'a> {
    node: &'a Node,
    record: ExitRecord,
}

impl Row for Exit<'_> {
    const FIELDS: &'static [Field] = &[
        ("process", FieldType::Text),
        ("reason", FieldType::Any),
        ("exit_time", FieldType::Text),
        ("start_time", FieldType::Text),
        ("incarnation", FieldType::Number),
        ("name", FieldType::Text),
        ("key", FieldType::Text),
        ("module", FieldType::Text),
        ("error", FieldType::Text),
        ("parent", FieldType::Text),
        ("node", FieldType::Text),
        ("labels", FieldType::Map),
        ("turns", FieldType::Number),
        ("messages_lost", FieldType::Number),
        ("operation_id", FieldType::Text),
    ];

    fn field(&self, name: &str) -> Term {
        let Self { node, record } = self;
        let text = |text: &Option<Arc<str>>| Term::Str(text.clone().unwrap_or_default());
        let count = |count: u64| Term::Int(i64::try_from(count).unwrap_or(i64::MAX));
        match name {
            "process" => record.pid.into(),
            "reason" => record.reason.clone(),
            "exit_time" => time_term(node, record.at_ns),
            "start_time" => time_term(node, u64::from(record.started_ms) * 1_000_000),
            "incarnation" => count(record.incarnation),
            "name" => text(&record.name),
            "key" => text(&record.key),
            "module" => Term::Str(Arc::clone(&record.code.name)),
            "error" => text(&record.error),
            "parent" => record.parent.some().map_or_else(|| "".into(), Term::Pid),
            "node" => Term::Str(Arc::clone(node.name())),
            "labels" => Term::map(
                record.labels.iter().map(|(key, value)| (Arc::clone(key), Term::Str(Arc::clone(value)))),
            ),
            "turns" => Term::Int(record.turns.into()),
            "messages_lost" => count(record.messages_lost as u64),
            _ => operation_id(node, record.operation).into(),
        }
    }
}

/// A time as text that sorts: nine digits behind the point, as `CloudEvents` have it.
pub(super) fn time_term(node: &Node, ns: u64) -> Term {
    let time = time::timestamp(node, ns);
    let whole = prost_types::Timestamp { nanos: 0, ..time }.to_string();
    format!("{}.{:09}Z", whole.trim_end_matches('Z'), time.nanos).into()
}

fn operation_id(node: &Node, operation: u64) -> String {
    if operation == 0 { String::new() } else { node.owned(b'o', operation).to_string() }
}

fn encode(node: &Node, record: &ExitRecord) -> v1::ExitRecord {
    let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    v1::ExitRecord {
        process: record.pid.to_string(),
        reason: Some(payload::to_value(&record.reason)),
        exit_time: Some(time::timestamp(node, record.at_ns)),
        start_time: Some(time::timestamp_ms(node, record.started_ms)),
        incarnation: record.incarnation,
        name: text(&record.name),
        key: text(&record.key),
        module: record.code.name.to_string(),
        error: text(&record.error),
        parent: record.parent.some().map(|pid| pid.to_string()).unwrap_or_default(),
        node: node.name().to_string(),
        labels: record.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        turns: record.turns.into(),
        messages_lost: record.messages_lost as u64,
        operation_id: operation_id(node, record.operation),
    }
}

pub(super) async fn await_exit(
    node: &Node,
    request: &v1::AwaitExitRequest,
) -> Result<v1::ExitRecord, Status> {
    let pid = ever_lived(node, "process", &request.process)?;
    let timeout = time::duration("timeout", request.timeout.as_ref())?;
    if node.is_alive(pid) {
        let ended = match timeout {
            Some(timeout) => node.await_exit_within(pid, timeout).await.is_some(),
            None => {
                node.await_exit(pid).await;
                true
            }
        };
        if !ended {
            let message = format!("process {pid} lives on after {:?}", timeout.unwrap_or_default());
            return Err(failure(Code::DeadlineExceeded, "TIMEOUT", message)
                .exit(&Term::TIMEOUT, pid, None)
                .status());
        }
    }
    let record = node.events().exit_of(pid).ok_or_else(|| no_process(node, pid))?;
    Ok(encode(node, &record))
}

pub(super) fn list(node: &Node, request: &v1::ListExitsRequest) -> Result<v1::ListExitsResponse, Status> {
    reference::check_node(node, &request.node)?;
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: &request.node,
    };
    let records = node.events().exits(|_| true, usize::MAX);
    let rows = records.into_iter().map(|record| Exit { node, record }).collect();
    let (page, next_page_token) = query.page(rows)?;
    Ok(v1::ListExitsResponse {
        exits: page.iter().map(|exit| encode(node, &exit.record)).collect(),
        next_page_token,
        unreached: Vec::new(),
        node: node.name().to_string(),
        dropped: node.events().exits_dropped(),
    })
}

pub(super) fn get(node: &Node, request: &v1::GetExitRequest) -> Result<v1::ExitRecord, Status> {
    let wrong = |_| bad_argument("process", format!("`{}` is no pid", request.process));
    let pid: Pid = request.process.parse().map_err(wrong)?;
    if let Some(record) = node.events().exit_of(pid) {
        return Ok(encode(node, &record));
    }
    Err(if node.is_alive(pid) {
        let message = format!("process {pid} lives");
        failure(Code::FailedPrecondition, "ALIVE", message).precondition("ENDED", &pid.to_string()).status()
    } else {
        let message = format!("there is no record of the end of {pid}");
        failure(Code::NotFound, "NO_RECORD", message).resource("exit", &pid.to_string()).status()
    })
}

//! What is told of the messages in a mailbox: page by page, counted, searched.

use super::envelope::{self, bad_expression, condition, encode, matching};
use super::queue::number;
use crate::status::bad_argument;
use crate::{Shared, page, reference};
use arsenal_observe::mailbox::{Envelope, count as count_keys, envelopes};
use arsenal_observe::predicate::{Fault, Predicate};
use arsenal_proto::v1;
use arsenal_proto::v1::count_mailbox_messages_response::Count;
use arsenal_runtime::{Kind, Node, ProcessRef};
use tonic::Status;

/// A page by arrival, then in the order of handling; and the token of the next one. A message that is handled between
/// two pages shifts nothing, as the token is the number of the last message that was shown.
fn page(
    node: &Node,
    process: &ProcessRef,
    mut waiting: Vec<Envelope>,
    (page_size, page_token): (i32, &str),
    bound: &[&str],
) -> Result<(Vec<Envelope>, String), Status> {
    let size = page::size(page_size)?;
    // ages in numbers grow into the past, so that a wrap of the numbers makes no difference
    let received = node.messages_received(process);
    let age = |number: u32| received.wrapping_sub(number);
    waiting.sort_by_key(|envelope| std::cmp::Reverse(age(envelope.number)));
    if let Some(position) = page::position(bound, page_token)? {
        let last: u32 = position.parse().map_err(|_| bad_argument("page_token", "not a position"))?;
        waiting.retain(|envelope| age(envelope.number) < age(last));
    }
    let more = waiting.len() > size;
    waiting.truncate(size);
    let next = match waiting.last() {
        Some(last) if more => page::token(bound, &last.number.to_string()),
        _ => String::new(),
    };
    waiting.sort_by_key(|envelope| envelope.position);
    Ok((waiting, next))
}

pub(super) fn inspect(
    shared: &Shared,
    request: &v1::InspectMailboxRequest,
) -> Result<v1::InspectMailboxResponse, Status> {
    let node = &shared.node;
    let process = reference::process(node, "process", &request.process)?;
    let pid = process.pid().to_string();
    let waiting = envelopes(node, &process);
    let length = number(waiting.len());
    let asked = (request.page_size, &*request.page_token);
    let (shown, next_page_token) = page(node, &process, waiting, asked, &["inspect", &pid])?;
    let messages = shown.iter().map(|envelope| encode(envelope, request.include_payload)).collect();
    Ok(v1::InspectMailboxResponse { pid, messages, next_page_token, length })
}

pub(super) fn search(
    shared: &Shared,
    request: &v1::SearchMailboxRequest,
) -> Result<v1::SearchMailboxResponse, Status> {
    let node = &shared.node;
    let condition = condition("filter", &request.filter)?;
    let process = reference::process(node, "process", &request.process)?;
    let pid = process.pid().to_string();
    let mut waiting = envelopes(node, &process);
    // no filter takes these, so that none is found here
    waiting.retain(|envelope| !matches!(envelope.kind, Kind::System | Kind::Reply));
    let found = matching("filter", &condition, waiting)?;
    let asked = (request.page_size, &*request.page_token);
    let (shown, next_page_token) = page(node, &process, found, asked, &["search", &pid, &request.filter])?;
    let messages = shown.iter().map(|envelope| encode(envelope, request.include_payload)).collect();
    Ok(v1::SearchMailboxResponse { pid, messages, next_page_token })
}

/// The value of `key` for each message as text; empty where a message has none.
fn keys(waiting: &[Envelope], key: &Predicate) -> Result<Vec<String>, Status> {
    let names = key.variables();
    let text = |envelope: &Envelope| match key.evaluate(&envelope.bind(&names)) {
        Ok(value) => Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        Err(error) if error.fault == Fault::Values => Ok(String::new()),
        Err(error) => Err(bad_expression("key", &error)),
    };
    waiting.iter().map(text).collect()
}

pub(super) fn count(
    shared: &Shared,
    request: &v1::CountMailboxMessagesRequest,
) -> Result<v1::CountMailboxMessagesResponse, Status> {
    let key = if request.key.is_empty() { None } else { Some(envelope::key("key", &request.key)?) };
    let process = reference::process(&shared.node, "process", &request.process)?;
    let waiting = envelopes(&shared.node, &process);
    let keyed: Vec<(i32, String)> = match &key {
        Some(key) => keys(&waiting, key)?.into_iter().map(|text| (0, text)).collect(),
        None => waiting.iter().map(|one| (envelope::kind(one.kind).into(), one.tag())).collect(),
    };
    let counts = count_keys(keyed).into_iter();
    let counts = counts.map(|((kind, r#type), count)| Count { kind, r#type, count: number(count) }).collect();
    Ok(v1::CountMailboxMessagesResponse {
        pid: process.pid().to_string(),
        counts,
        length: number(waiting.len()),
    })
}

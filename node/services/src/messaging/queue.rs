//! What is told of a queue without changing it: its length, its first messages, its rates.

use super::carried::Carried;
use crate::status::bad_argument;
use crate::{Shared, reference, time};
use arsenal_observe::mailbox::envelopes;
use arsenal_observe::queue_history::{QueueHistory, Window};
use arsenal_proto::v1::{self, evidence::State};
use std::time::Duration;
use tonic::Status;

/// Messages of a peek where nothing is asked for.
const PEEK_DEFAULT: u32 = 10;
/// Messages of a peek at most.
const PEEK_MAX: u32 = 1_000;

/// A number of messages for the wire.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(super) fn length(
    shared: &Shared,
    request: &v1::GetMessageQueueLengthRequest,
) -> Result<v1::GetMessageQueueLengthResponse, Status> {
    let process = reference::process(&shared.node, "process", &request.process)?;
    let length = number(shared.node.queue_length(&process));
    Ok(v1::GetMessageQueueLengthResponse { pid: process.pid().to_string(), length })
}

pub(super) fn peek(
    shared: &Shared,
    request: &v1::PeekMessageQueueRequest,
) -> Result<v1::PeekMessageQueueResponse, Status> {
    let count = match request.count {
        0 => PEEK_DEFAULT,
        count if count > PEEK_MAX => {
            return Err(bad_argument(
                "count",
                format!("`count` is {count}; at most {PEEK_MAX} are peeked at"),
            ));
        }
        count => count,
    };
    let process = reference::process(&shared.node, "process", &request.process)?;
    let waiting = envelopes(&shared.node, &process);
    let payload = |payload| v1::MessagePayload { payload: Some(Carried::of_term(payload)) };
    Ok(v1::PeekMessageQueueResponse {
        pid: process.pid().to_string(),
        messages: waiting.iter().take(count as usize).map(|envelope| payload(&envelope.payload)).collect(),
        length: number(waiting.len()),
    })
}

/// What the rates of a window rest on.
pub(super) fn evidence(window: Option<&Window>) -> v1::Evidence {
    let method = "differences of the mailbox's counters between two readings, at most a minute apart; the first \
                  reading of a process starts them";
    v1::Evidence {
        method: method.into(),
        window: window.map(|window| time::to_proto(window.span())),
        sample_count: window.map_or(0, |window| i64::from(window.arrived()) + i64::from(window.handled())),
        events: Vec::new(),
        confidence: if window.is_some() { 1.0 } else { 0.0 },
    }
}

pub(super) fn stats(
    shared: &Shared,
    history: &QueueHistory,
    request: &v1::GetMessageQueueStatsRequest,
) -> Result<v1::GetMessageQueueStatsResponse, Status> {
    let node = &shared.node;
    let process = reference::process(node, "process", &request.process)?;
    let (counters, window) = history.observe(node, &process);
    let now = node.now_ms();
    let waiting = node.mailbox(&process, |_, message| {
        Some((message.payload.content_bytes() as u64, now.wrapping_sub(message.arrived_ms)))
    });
    let oldest = waiting.iter().map(|(_, age_ms)| *age_ms).max();
    Ok(v1::GetMessageQueueStatsResponse {
        pid: process.pid().to_string(),
        length: number(waiting.len()),
        bytes: waiting.iter().map(|(bytes, _)| bytes).sum(),
        state: if window.is_some() { State::Sufficient } else { State::InsufficientData }.into(),
        arrival_rate: window.map(|window| window.arrival_rate()),
        service_rate: window.map(|window| window.service_rate()),
        oldest_age: oldest.map(|age_ms| time::to_proto(Duration::from_millis(age_ms.into()))),
        mean_wait: window.and_then(|window| window.mean_wait()).map(time::to_proto),
        high_water_mark: counters.high_water,
        drops: counters.removed + counters.refused,
        arrived: counters.received.into(),
        handled: counters.handled().into(),
        evidence: Some(evidence(window.as_ref())),
    })
}

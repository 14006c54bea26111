//! Why a mailbox is as it is.

use super::queue::number;
use crate::{Shared, reference, time};
use arsenal_observe::mailbox::envelopes;
use arsenal_observe::mailbox::patterns::{self, Cause, Circumstances, MESSAGES_MIN, Patterns};
use arsenal_observe::queue_history::{QueueHistory, Window};
use arsenal_proto::v1::analyze_mailbox_patterns_response as wire;
use arsenal_proto::v1::{self, evidence::State};
use tonic::Status;

fn cause(cause: Cause) -> wire::Cause {
    match cause {
        Cause::None => wire::Cause::None,
        Cause::Flood => wire::Cause::Flood,
        Cause::Slow => wire::Cause::Slow,
        Cause::Unmatched => wire::Cause::Unmatched,
        Cause::Held => wire::Cause::Held,
        Cause::Stuck => wire::Cause::Stuck,
    }
}

fn shares(shares: Vec<patterns::Share>) -> Vec<wire::Share> {
    let share = |share: patterns::Share| wire::Share {
        name: share.name,
        count: number(share.count),
        share: share.share,
    };
    shares.into_iter().map(share).collect()
}

fn evidence(messages: usize, window: Option<&Window>, found: Option<&Patterns>) -> v1::Evidence {
    let method = format!(
        "shares of types and senders among the messages that wait ({MESSAGES_MIN} at least), against an even mix; equal \
         payloads; gaps in the arrival numbers; growth from two readings of the counters"
    );
    v1::Evidence {
        method,
        window: window.map(|window| time::to_proto(window.span())),
        sample_count: i64::try_from(messages).unwrap_or(i64::MAX),
        events: Vec::new(),
        confidence: found.map_or(0.0, |found| found.confidence),
    }
}

pub(super) fn analyze(
    shared: &Shared,
    history: &QueueHistory,
    request: &v1::AnalyzeMailboxPatternsRequest,
) -> Result<v1::AnalyzeMailboxPatternsResponse, Status> {
    let node = &shared.node;
    let process = reference::process(node, "process", &request.process)?;
    let waiting = envelopes(node, &process);
    let (counters, window) = history.observe(node, &process);
    let circumstances = Circumstances {
        header: &node.header(&process),
        waits_for_any: node.waits_for_any(&process),
        window: window.as_ref(),
        removed: counters.removed,
    };
    let found = patterns::analyze(&waiting, circumstances);
    let evidence = Some(evidence(waiting.len(), window.as_ref(), found.as_ref()));
    let pid = process.pid().to_string();
    let Some(found) = found else {
        let state = State::InsufficientData.into();
        return Ok(v1::AnalyzeMailboxPatternsResponse { pid, state, evidence, ..Default::default() });
    };
    Ok(v1::AnalyzeMailboxPatternsResponse {
        pid,
        state: State::Sufficient.into(),
        dominant_types: shares(found.dominant_types),
        dominant_senders: shares(found.dominant_senders),
        growth_rate: window.map(|window| window.growth_rate()),
        duplicates: number(found.duplicates),
        starved_types: found.starved_types,
        likely_cause: cause(found.cause).into(),
        evidence,
    })
}

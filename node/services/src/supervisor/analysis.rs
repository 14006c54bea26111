//! Trying a strategy on a virtual clock, and asking which one would have served best.

use super::ask::{ask, target, unexpected};
use super::encode;
use super::spec::{bound, child_id, encode_strategy, id_text, masked_changes};
use crate::caller::Caller;
use crate::status::{bad_argument, failure, of_supervisor};
use crate::{payload, time};
use arsenal_behaviours::supervisor::SupervisorError;
use arsenal_behaviours::supervisor::model::SupervisorModel;
use arsenal_behaviours::supervisor::optimize::{Advice, Evaluation, FAILURES_MIN, OptimizeError, optimize};
use arsenal_behaviours::supervisor::request::FlagChanges;
use arsenal_behaviours::supervisor::simulate::{
    Ending, TimedFailure, TimelineEntry, TimelineEvent, simulate,
};
use arsenal_behaviours::supervisor::{SupervisorReply, SupervisorRequest};
use arsenal_proto::v1::{
    self, evidence, optimize_restart_strategy_response as advice_response, supervisor_event::Kind,
    test_restart_strategy_request as trial, test_restart_strategy_response as trial_response,
};
use arsenal_runtime::{Node, Pid, Term};
use std::time::Duration;
use tonic::{Code, Status};

/// Failures in one trial.
const FAILURES_MAX: usize = 10_000;
/// Ids of events behind a suggestion that are named.
const EVENTS_NAMED_MAX: usize = 1_000;
/// Events that are looked through for them.
const EVENTS_MAX: usize = 100_000;

async fn model(node: &Node, supervisor: Pid) -> Result<SupervisorModel, Status> {
    match ask(node, supervisor, &SupervisorRequest::GetModel, 0).await? {
        SupervisorReply::Model(model) => Ok(*model),
        other => Err(unexpected(&other)),
    }
}

/// The failures of a trial, with when they come.
fn failures(given: &[trial::Failure]) -> Result<Vec<TimedFailure>, Status> {
    if given.is_empty() {
        return Err(bad_argument("failures", "`failures` is empty; without a failure nothing is tried"));
    }
    if given.len() > FAILURES_MAX {
        let message = format!("`failures` has {} entries; {FAILURES_MAX} are the most", given.len());
        return Err(failure(Code::ResourceExhausted, "TOO_MANY_FAILURES", message)
            .field("failures")
            .status());
    }
    let mut last = Duration::ZERO;
    let read = |(index, failure): (usize, &trial::Failure)| {
        let after =
            time::duration(&format!("failures[{index}].at"), failure.at.as_ref())?.unwrap_or_default();
        if after < last {
            let message = format!("failure {index} comes at {after:?}, before the one above it at {last:?}");
            return Err(bad_argument(&format!("failures[{index}].at"), message));
        }
        last = after;
        Ok(TimedFailure {
            after,
            child: child_id(&failure.child),
            reason: failure.reason.as_ref().map_or(Term::Atom("crash"), payload::to_term),
            failed_starts: failure.failed_starts,
        })
    };
    given.iter().enumerate().map(read).collect()
}

/// Runs failures through the supervisor's own decisions on a virtual clock.
pub(super) async fn test(
    node: &Node,
    request: &v1::TestRestartStrategyRequest,
) -> Result<v1::TestRestartStrategyResponse, Status> {
    let pid = target(node, &request.supervisor)?;
    let failures = failures(&request.failures)?;
    let changes = match &request.flags {
        Some(flags) => masked_changes(flags, &[])?,
        None => FlagChanges::default(),
    };
    let mut report = super::ask::flags(node, pid).await?;
    let model = model(node, pid).await?;
    let timeline =
        simulate(model, changes, request.keep_history, &failures).map_err(|error| match &error {
            SupervisorError::NotFound(child) => {
                let index = failures.iter().position(|failure| failure.child == *child).unwrap_or_default();
                bad_argument(
                    &format!("failures[{index}].child"),
                    format!("the supervisor has no child {child}"),
                )
            }
            _ => of_supervisor(&error),
        })?;
    let outcome = match timeline.ending {
        Ending::Running => trial_response::Outcome::Running,
        Ending::Escalated => trial_response::Outcome::Escalated,
        Ending::AutoShutdown => trial_response::Outcome::AutoShutdown,
    };
    let children =
        timeline.children.iter().rev().map(|child| v1::Child { pid: String::new(), ..encode::child(child) });
    (report.flags, report.etag) = (timeline.flags, String::new());
    report.restarts_used = timeline.entries.last().map_or(0, |entry| entry.restarts);
    Ok(v1::TestRestartStrategyResponse {
        timeline: timeline.entries.iter().filter_map(entry).collect(),
        outcome: outcome.into(),
        children: children.collect(),
        flags: Some(encode::flags(node, pid, &report)),
        failures_ignored: bound(timeline.failures_ignored),
        node: node.name().to_string(),
    })
}

/// A line of the timeline; nothing for what has no kind of its own: that a restart begins is seen in what follows.
fn entry(entry: &TimelineEntry) -> Option<trial_response::Entry> {
    let (kind, detail) = match entry.event {
        TimelineEvent::Failed => (Kind::Exited, "it fails"),
        TimelineEvent::Stopped => (Kind::Terminated, "it is stopped by its supervisor"),
        TimelineEvent::Started => (Kind::Restarted, "it runs again"),
        TimelineEvent::RestartFailed => (Kind::RestartFailed, "its start fails, and is tried again"),
        TimelineEvent::Owed => (Kind::Owed, "its restart is owed"),
        TimelineEvent::Escalated => (Kind::Escalated, "one restart too many: the supervisor ends"),
        TimelineEvent::AutoShutdown => (Kind::AutoShutdown, "its end ends the supervisor"),
        TimelineEvent::Restarting | TimelineEvent::NotRunning => return None,
    };
    Some(trial_response::Entry {
        at: Some(time::to_proto(entry.after)),
        kind: kind.into(),
        child: id_text(&entry.child),
        reason: entry.reason.as_ref().map(payload::to_value),
        restarts_used: bound(entry.restarts),
        detail: detail.to_owned(),
    })
}

/// Replays the recorded failures against other flags, and sets the best ones if asked to.
pub(super) async fn optimize_strategy(
    node: &Node,
    caller: &Caller,
    request: &v1::OptimizeRestartStrategyRequest,
) -> Result<v1::OptimizeRestartStrategyResponse, Status> {
    let window = time::duration("window", request.window.as_ref())?;
    if window.is_some_and(|window| window.is_zero()) {
        return Err(bad_argument("window", "`window` is zero; it must be positive"));
    }
    let pid = target(node, &request.supervisor)?;
    let etag = super::ask::flags(node, pid).await?.etag;
    let model = model(node, pid).await?;
    let advice = match optimize(&model, window) {
        Ok(advice) => advice,
        Err(error) => return insufficient(node, &error, window, request.apply),
    };
    let suggestion = advice.suggested();
    let applied = request.apply && !suggestion.current;
    if applied {
        apply(node, caller, pid, suggestion, etag).await?;
    }
    Ok(v1::OptimizeRestartStrategyResponse {
        state: evidence::State::Sufficient.into(),
        suggestion: Some(candidate(suggestion)),
        candidates: advice.evaluations.iter().map(candidate).collect(),
        evidence: Some(v1::Evidence {
            method: METHOD.to_owned(),
            window: Some(time::to_proto(window.unwrap_or(advice.span))),
            sample_count: count(advice.failures),
            events: events(node, pid, advice.failures),
            confidence: advice.confidence,
        }),
        applied,
        explanation: explanation(&advice),
        node: node.name().to_string(),
    })
}

const METHOD: &str =
    "replay of the recorded failures through the supervisor's own decisions, once for each choice of flags";

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn insufficient(
    node: &Node,
    error: &OptimizeError,
    window: Option<Duration>,
    apply: bool,
) -> Result<v1::OptimizeRestartStrategyResponse, Status> {
    let OptimizeError::InsufficientData { failures } = error;
    if apply {
        let message = format!("{error}; there is nothing to apply");
        return Err(failure(Code::FailedPrecondition, "INSUFFICIENT_DATA", message).status());
    }
    Ok(v1::OptimizeRestartStrategyResponse {
        state: evidence::State::InsufficientData.into(),
        evidence: Some(v1::Evidence {
            method: METHOD.to_owned(),
            window: window.map(time::to_proto),
            sample_count: count(*failures),
            ..Default::default()
        }),
        explanation: error.to_string(),
        node: node.name().to_string(),
        ..Default::default()
    })
}

async fn apply(
    node: &Node,
    caller: &Caller,
    supervisor: Pid,
    suggestion: &Evaluation,
    etag: String,
) -> Result<(), Status> {
    let flags = suggestion.flags;
    let changes = FlagChanges {
        strategy: Some(flags.strategy),
        intensity: Some(flags.intensity),
        period: Some(flags.period),
        ..FlagChanges::default()
    };
    let set = SupervisorRequest::SetFlags { changes, etag: Some(etag) };
    ask(node, supervisor, &set, caller.operation).await.map(|_| ())
}

fn candidate(evaluation: &Evaluation) -> advice_response::Candidate {
    advice_response::Candidate {
        strategy: encode_strategy(evaluation.flags.strategy),
        intensity: evaluation.flags.intensity,
        period: Some(time::to_proto(evaluation.flags.period)),
        order: evaluation.order.iter().map(id_text).collect(),
        restarts: evaluation.restarts as u64,
        collateral_restarts: evaluation.collateral as u64,
        escalations: evaluation.escalations as u64,
        failures_prevented: evaluation.avoided as u64,
        cost: evaluation.cost,
        current: evaluation.current,
    }
}

/// Ids of the latest restarts that the event log still has.
fn events(node: &Node, supervisor: Pid, failures: usize) -> Vec<String> {
    let events = node.events().after(0, EVENTS_MAX).events.into_iter();
    let exits = events.filter(|event| event.pid == supervisor && event.kind == "supervisor.child_exited");
    let ids: Vec<String> = exits.map(|event| node.owned(b'e', event.sequence).to_string()).collect();
    let from = ids.len().saturating_sub(failures.min(EVENTS_NAMED_MAX));
    ids[from..].to_vec()
}

fn explanation(advice: &Advice) -> String {
    let suggested = advice.suggested();
    let follows = advice.dependencies.iter().map(|dependency| {
        let (leader, follower) = (id_text(&dependency.leader), id_text(&dependency.follower));
        format!(
            "{} of {} failures of {follower} follow one of {leader}",
            dependency.followed, dependency.failures
        )
    });
    let follows: Vec<String> = follows.collect();
    let why = if follows.is_empty() {
        "no child's failures follow another's".to_owned()
    } else {
        follows.join("; ")
    };
    let what = if suggested.current { "the present flags do best" } else { "other flags do better" };
    format!(
        "{what} over {} failures (at least {FAILURES_MIN} are needed): {why}; {} would restart {} times, {} of them children \
         that had not failed, and give up {} times",
        advice.failures,
        suggested.flags.strategy.as_str(),
        suggested.restarts + suggested.collateral,
        suggested.collateral,
        suggested.escalations
    )
}

//! Answers to and from terms: a map with the member `reply` or `error`; or what OTP's `supervisor` would say.

use super::{count, read_count};
use crate::supervisor::core::{ChildCounts, ChildState, Place};
use crate::supervisor::error::SupervisorError;
use crate::supervisor::history::{Failure, History};
use crate::supervisor::model::{ModelChild, SupervisorModel};
use crate::supervisor::request::{ChildInfo, ChildrenPage, FlagsReport, Outcome, SupervisorReply};
use crate::supervisor::spec::{ChildKind, ChildSpec, Restart, Shutdown, SupervisorFlags, modules_from_term};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::Term;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn write(outcome: &Outcome) -> Term {
    let reply = match outcome {
        Ok(reply) => reply,
        Err(error) => return error.to_term(),
    };
    let (tag, mut members) = match reply {
        SupervisorReply::Done => ("done", Vec::new()),
        SupervisorReply::Started { pid, id } => {
            ("started", vec![("pid", pid_term(*pid)), ("id", id.clone())])
        }
        SupervisorReply::Children(page) => ("children", page_members(page)),
        SupervisorReply::Counts(counts) => ("counts", counts_members(counts)),
        SupervisorReply::ChildSpec(spec) => ("childspec", vec![("spec", spec.to_term())]),
        SupervisorReply::Flags(report) => ("flags", flags_members(report)),
        SupervisorReply::Changed { changed, flags } => {
            let mut members = flags_members(flags);
            members.push(("changed", Term::Bool(*changed)));
            ("changed", members)
        }
        SupervisorReply::Resumed { resumed, restarted } => {
            ("resumed", vec![("resumed", Term::Bool(*resumed)), ("children", infos(restarted))])
        }
        SupervisorReply::Replaced { etag, pid } => {
            ("replaced", vec![("etag", Term::str(etag.as_str())), ("pid", pid_term(*pid))])
        }
        SupervisorReply::Restarted(children) => ("restarted", vec![("children", infos(children))]),
        SupervisorReply::Model(model) => ("model", model_members(model)),
    };
    members.push(("reply", Term::Atom(tag)));
    Term::map(members)
}

pub(super) fn read(term: &Term) -> Option<Outcome> {
    let Some(tag) = term.get("reply") else { return SupervisorError::from_term(term).map(Err) };
    Some(Ok(match tag.as_str()? {
        "done" => SupervisorReply::Done,
        "started" => SupervisorReply::Started { pid: read_pid(term)?, id: term.get("id")?.clone() },
        "children" => SupervisorReply::Children(ChildrenPage {
            children: read_infos(term)?,
            next: term
                .get("next")
                .and_then(Term::as_int)
                .and_then(|next| u64::try_from(next).ok())
                .map(Place),
            as_of: u64::try_from(term.get("as_of")?.as_int()?).ok()?,
        }),
        "counts" => SupervisorReply::Counts(ChildCounts {
            specs: read_count(term.get("specs")?)?,
            active: read_count(term.get("active")?)?,
            supervisors: read_count(term.get("supervisors")?)?,
            workers: read_count(term.get("workers")?)?,
        }),
        "childspec" => SupervisorReply::ChildSpec(Box::new(ChildSpec::from_term(term.get("spec")?).ok()?)),
        "flags" => SupervisorReply::Flags(read_flags(term)?),
        "changed" => {
            SupervisorReply::Changed { changed: term.get("changed")?.as_bool()?, flags: read_flags(term)? }
        }
        "resumed" => SupervisorReply::Resumed {
            resumed: term.get("resumed")?.as_bool()?,
            restarted: read_infos(term)?,
        },
        "replaced" => {
            SupervisorReply::Replaced { etag: term.get("etag")?.as_str()?.to_owned(), pid: read_pid(term)? }
        }
        "restarted" => SupervisorReply::Restarted(read_infos(term)?),
        "model" => SupervisorReply::Model(Box::new(read_model(term)?)),
        _ => return None,
    }))
}

/// The answer as OTP's `supervisor` gives it.
pub(super) fn write_otp(outcome: &Outcome) -> Term {
    match outcome {
        Err(error) => Term::tagged("error", error.to_otp()),
        Ok(SupervisorReply::Done) => Term::OK,
        Ok(SupervisorReply::Started { pid, .. }) => {
            Term::tagged("ok", pid.map_or(Term::UNDEFINED, Term::Pid))
        }
        Ok(SupervisorReply::Children(page)) => Term::list(page.children.iter().map(|child| {
            let pid = match child.state {
                ChildState::Running(pid) => pid.into(),
                ChildState::Restarting(_) => Term::Atom("restarting"),
                ChildState::Starting | ChildState::Stopped | ChildState::Owed(_) => Term::UNDEFINED,
            };
            Term::from([child.id.clone(), pid, child.kind.as_str().into(), modules_term(child)])
        })),
        Ok(SupervisorReply::Counts(counts)) => {
            Term::list(counts_members(counts).into_iter().map(|(key, value)| Term::tagged(key, value)))
        }
        Ok(SupervisorReply::ChildSpec(spec)) => Term::tagged("ok", spec.to_term()),
        Ok(_) => Term::tagged("ok", write(outcome)),
    }
}

fn modules_term(child: &ChildInfo) -> Term {
    match &child.modules {
        None => Term::list([Term::str(Arc::clone(&child.module))]),
        Some(modules) if modules.is_empty() => Term::Atom("dynamic"),
        Some(modules) => Term::list(modules.iter().map(|module| Term::str(Arc::clone(module)))),
    }
}

fn pid_term(pid: Option<Pid>) -> Term {
    pid.map_or(Term::Null, Term::Pid)
}

/// A pid that may be absent; nothing at all if it is there and none.
#[expect(clippy::option_option, reason = "absent and unreadable are two things")]
fn read_pid(term: &Term) -> Option<Option<Pid>> {
    match term.get("pid").filter(|pid| !pid.is_null()) {
        None => Some(None),
        Some(pid) => pid.as_pid().map(Some),
    }
}

fn counts_members(counts: &ChildCounts) -> Vec<(&'static str, Term)> {
    vec![
        ("specs", count(counts.specs)),
        ("active", count(counts.active)),
        ("supervisors", count(counts.supervisors)),
        ("workers", count(counts.workers)),
    ]
}

fn number(value: u64) -> Term {
    Term::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn page_members(page: &ChildrenPage) -> Vec<(&'static str, Term)> {
    let next = page.next.map_or(Term::Null, |place| number(place.0));
    vec![("children", infos(&page.children)), ("next", next), ("as_of", number(page.as_of))]
}

fn state_members(state: ChildState) -> [(&'static str, Term); 2] {
    let name = match state {
        ChildState::Starting => "starting",
        ChildState::Running(_) => "running",
        ChildState::Stopped => "stopped",
        ChildState::Restarting(_) => "restarting",
        ChildState::Owed(_) => "owed",
    };
    [("state", Term::Atom(name)), ("pid", pid_term(state.last_pid()))]
}

fn read_state(term: &Term) -> Option<ChildState> {
    let pid = read_pid(term)?;
    Some(match term.get("state")?.as_str()? {
        "starting" => ChildState::Starting,
        "running" => ChildState::Running(pid?),
        "stopped" => ChildState::Stopped,
        "restarting" => ChildState::Restarting(pid),
        "owed" => ChildState::Owed(pid),
        _ => return None,
    })
}

fn infos(children: &[ChildInfo]) -> Term {
    Term::list(children.iter().map(|child| {
        let mut members = vec![
            ("id", child.id.clone()),
            ("type", Term::Atom(child.kind.as_str())),
            ("module", Term::str(Arc::clone(&child.module))),
            ("modules", if child.modules.is_some() { modules_term(child) } else { Term::Null }),
            ("restart", Term::Atom(child.restart.as_str())),
            ("shutdown", child.shutdown.to_term()),
            ("significant", Term::Bool(child.significant)),
            ("incarnation", Term::Int(i64::from(child.incarnation))),
        ];
        members.extend(state_members(child.state));
        Term::map(members)
    }))
}

fn read_infos(term: &Term) -> Option<Vec<ChildInfo>> {
    let read = |term: &Term| {
        Some(ChildInfo {
            id: term.get("id")?.clone(),
            state: read_state(term)?,
            kind: ChildKind::from_name(term.get("type")?.as_str()?)?,
            module: term.get("module")?.as_str()?.into(),
            modules: term.get("modules").and_then(modules_from_term),
            restart: Restart::from_term(term.get("restart")?)?,
            shutdown: Shutdown::from_term(term.get("shutdown")?)?,
            significant: term.get("significant")?.as_bool()?,
            incarnation: read_incarnation(term)?,
        })
    };
    term.get("children")?.as_list()?.iter().map(read).collect()
}

fn read_incarnation(term: &Term) -> Option<u32> {
    u32::try_from(term.get("incarnation")?.as_int()?).ok()
}

fn flags_members(report: &FlagsReport) -> Vec<(&'static str, Term)> {
    vec![
        ("flags", report.flags.to_term()),
        ("etag", Term::str(report.etag.as_str())),
        ("paused", Term::Bool(report.paused)),
        ("restarts_total", number(report.restarts_total)),
        ("restarts_used", count(report.restarts_used)),
        ("owed", Term::list(report.owed.iter().cloned())),
        ("template", report.template.as_ref().map_or(Term::Null, |template| template.to_term())),
    ]
}

fn read_flags(term: &Term) -> Option<FlagsReport> {
    Some(FlagsReport {
        flags: SupervisorFlags::from_term(term.get("flags")?).ok()?,
        etag: term.get("etag")?.as_str()?.to_owned(),
        paused: term.get("paused")?.as_bool()?,
        restarts_total: u64::try_from(term.get("restarts_total")?.as_int()?).ok()?,
        restarts_used: read_count(term.get("restarts_used")?)?,
        owed: term.get("owed")?.as_list()?.to_vec(),
        template: read_template(term)?.map(Box::new),
    })
}

/// A template that may be absent; nothing at all if it is there and none.
#[expect(clippy::option_option, reason = "absent and unreadable are two things")]
fn read_template(term: &Term) -> Option<Option<ChildSpec>> {
    match term.get("template").filter(|template| !template.is_null()) {
        None => Some(None),
        Some(template) => ChildSpec::from_term(template).ok().map(Some),
    }
}

/// A reading of the node's clock, in microseconds.
fn instant(at: Duration) -> Term {
    Term::Int(i64::try_from(at.as_micros()).unwrap_or(i64::MAX))
}

fn read_instant(term: &Term) -> Option<Duration> {
    u64::try_from(term.as_int()?).ok().map(Duration::from_micros)
}

fn model_members(model: &SupervisorModel) -> Vec<(&'static str, Term)> {
    let children = model.children.iter().map(|child| {
        let mut members =
            vec![("spec", child.spec.to_term()), ("incarnation", Term::Int(i64::from(child.incarnation)))];
        members.extend(state_members(child.state));
        Term::map(members)
    });
    let failures = model.history.iter().map(|failure| {
        Term::map([
            ("at_us", instant(failure.at)),
            ("child", failure.child.clone()),
            ("reason", failure.reason.clone()),
        ])
    });
    vec![
        ("flags", model.flags.to_term()),
        ("template", model.template.as_ref().map_or(Term::Null, ChildSpec::to_term)),
        ("children", Term::list(children)),
        ("paused", Term::Bool(model.paused)),
        ("restarts_us", Term::list(model.restarts.iter().copied().map(instant))),
        ("history", Term::list(failures)),
        ("now_us", instant(model.now)),
    ]
}

fn read_model(term: &Term) -> Option<SupervisorModel> {
    let child = |term: &Term| {
        Some(ModelChild {
            spec: ChildSpec::from_term(term.get("spec")?).ok()?,
            state: read_state(term)?,
            incarnation: read_incarnation(term)?,
        })
    };
    let failure = |term: &Term| {
        Some(Failure {
            at: read_instant(term.get("at_us")?)?,
            child: term.get("child")?.clone(),
            reason: term.get("reason")?.clone(),
        })
    };
    Some(SupervisorModel {
        flags: SupervisorFlags::from_term(term.get("flags")?).ok()?,
        template: read_template(term)?,
        children: term.get("children")?.as_list()?.iter().map(child).collect::<Option<_>>()?,
        paused: term.get("paused")?.as_bool()?,
        restarts: term.get("restarts_us")?.as_list()?.iter().map(read_instant).collect::<Option<_>>()?,
        history: term.get("history")?.as_list()?.iter().map(failure).collect::<Option<History>>()?,
        now: read_instant(term.get("now_us")?)?,
    })
}

//! Requests and answers to and from terms.

mod reply;

use super::{FlagChanges, Outcome, Place, SupervisorRequest};
use crate::supervisor::error::SupervisorError;
use crate::supervisor::spec::{
    AutoShutdown, ChildSpec, Instance, SpecError, Strategy, duration_from_ms, field, labels_from_term,
    labels_term, milliseconds, name_from_term, name_term,
};
use arsenal_runtime::hold::Holder;
use arsenal_runtime::term::Term;
use std::sync::Arc;

/// The tag of a typed request.
const TYPED: &str = "supervisor";

/// In which shape the caller wants its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// That of [`SupervisorRequest::read_reply`].
    Typed,
    /// That of OTP's `supervisor`: `["ok", pid]`, `["error", reason]`, ...
    Otp,
}

fn count(value: usize) -> Term {
    Term::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn read_count(term: &Term) -> Option<usize> {
    usize::try_from(term.as_int()?).ok()
}

fn optional(text: Option<&str>) -> Term {
    text.map_or(Term::Null, Term::str)
}

impl SupervisorRequest {
    /// The payload of the `gen_server` call that makes this request, answered in [`Form::Typed`].
    pub fn to_term(&self) -> Term {
        Term::tagged(TYPED, self.bare())
    }

    /// Reads the answer to a typed request; nothing if no supervisor wrote it.
    pub fn read_reply(term: &Term) -> Option<Outcome> {
        reply::read(term)
    }

    fn bare(&self) -> Term {
        match self {
            Self::WhichChildren { before, limit } => {
                let place =
                    before.and_then(|place| i64::try_from(place.0).ok()).map_or(Term::Null, Term::Int);
                let page = [("before", place), ("limit", limit.map_or(Term::Null, count))];
                Term::tagged("which_children", Term::map(page))
            }
            Self::CountChildren => "count_children".into(),
            Self::StartChild(spec) => Term::tagged("start_child_spec", spec.to_term()),
            Self::AddDynamicChild(instance) => Term::tagged("add_dynamic_child", instance.to_term()),
            Self::StartChildTerm(term) => Term::tagged("start_child", term.clone()),
            Self::TerminateChild(child) => Term::tagged("terminate_child", child.clone()),
            Self::TerminateProcess(pid) => Term::tagged("terminate_process", (*pid).into()),
            Self::RestartChild(child) => Term::tagged("restart_child", child.clone()),
            Self::DeleteChild(child) => Term::tagged("delete_child", child.clone()),
            Self::GetChildSpec(child) => Term::tagged("get_childspec", child.clone()),
            Self::ReplaceChildSpec { child, spec, etag, restart } => {
                let arguments = Term::map([
                    ("child", child.clone()),
                    ("spec", spec.to_term()),
                    ("etag", optional(etag.as_deref())),
                    ("restart", Term::Bool(*restart)),
                ]);
                Term::tagged("replace_child_spec", arguments)
            }
            Self::GetFlags => "get_flags".into(),
            Self::SetFlags { changes, etag } => {
                let arguments = [("changes", changes.to_term()), ("etag", optional(etag.as_deref()))];
                Term::tagged("set_flags", Term::map(arguments))
            }
            Self::Convert(strategy) => Term::tagged("convert", strategy.as_str().into()),
            Self::Pause => "pause".into(),
            Self::Resume { holder } => {
                let holder = match holder {
                    Holder::Process(pid) => Term::Pid(*pid),
                    Holder::Principal(name) => Term::str(Arc::clone(name)),
                };
                Term::tagged("resume", Term::map([("holder", holder)]))
            }
            Self::Restart { keep_history, instances, dry_run } => {
                let arguments = [
                    ("keep_history", Term::Bool(*keep_history)),
                    ("instances", Term::Bool(*instances)),
                    ("dry_run", Term::Bool(*dry_run)),
                ];
                Term::tagged("restart", Term::map(arguments))
            }
            Self::Stop(reason) => Term::tagged("stop", reason.clone()),
            Self::GetModel => "get_model".into(),
        }
    }

    /// Reads a request and in which form it wants its answer.
    ///
    /// # Errors
    /// What is no request, or holds a specification that is none.
    pub fn from_term(term: &Term) -> (Form, Result<Self, SupervisorError>) {
        match term.as_list() {
            Some([tag, request]) if tag.is(TYPED) => (Form::Typed, Self::read(request)),
            _ => (Form::Otp, Self::read(term)),
        }
    }

    fn read(term: &Term) -> Result<Self, SupervisorError> {
        let unknown = || SupervisorError::UnknownRequest(term.clone());
        let argument = match term.as_list() {
            Some([_, argument]) => Some(argument),
            Some([_]) | None => None,
            Some(_) => return Err(unknown()),
        };
        let needed = || argument.cloned().ok_or_else(unknown);
        let flag = |key| argument.and_then(|a| a.get(key)).and_then(Term::as_bool).unwrap_or_default();
        let text = |key| argument.and_then(|a| a.get(key)).and_then(Term::as_str).map(str::to_owned);
        Ok(match term.tag().ok_or_else(unknown)? {
            "which_children" => Self::WhichChildren {
                before: argument
                    .and_then(|page| u64::try_from(page.get("before")?.as_int()?).ok())
                    .map(Place),
                limit: argument.and_then(|page| read_count(page.get("limit")?)),
            },
            "count_children" => Self::CountChildren,
            "start_child_spec" => Self::StartChild(Box::new(ChildSpec::from_term(&needed()?)?)),
            "add_dynamic_child" => Self::AddDynamicChild(Box::new(Instance::from_term(&needed()?)?)),
            "start_child" => Self::StartChildTerm(needed()?),
            "terminate_child" => Self::TerminateChild(needed()?),
            "terminate_process" => Self::TerminateProcess(needed()?.as_pid().ok_or_else(unknown)?),
            "restart_child" => Self::RestartChild(needed()?),
            "delete_child" => Self::DeleteChild(needed()?),
            "get_childspec" => Self::GetChildSpec(needed()?),
            "replace_child_spec" => {
                let arguments = needed()?;
                Self::ReplaceChildSpec {
                    child: arguments.get("child").cloned().ok_or_else(unknown)?,
                    spec: Box::new(ChildSpec::from_term(arguments.get("spec").ok_or_else(unknown)?)?),
                    etag: text("etag"),
                    restart: flag("restart"),
                }
            }
            "get_flags" => Self::GetFlags,
            "set_flags" => Self::SetFlags {
                changes: FlagChanges::from_term(needed()?.get("changes").ok_or_else(unknown)?)?,
                etag: text("etag"),
            },
            "convert" => {
                let strategy = needed()?;
                Self::Convert(Strategy::from_term(&strategy).ok_or(SpecError::Invalid {
                    field: "strategy",
                    atom: "invalid_strategy",
                    value: strategy,
                })?)
            }
            "pause" => Self::Pause,
            "resume" => {
                let arguments = needed()?;
                let holder = arguments.get("holder").ok_or_else(unknown)?;
                let name = || Some(Holder::Principal(holder.as_str()?.into()));
                let holder = holder.as_pid().map(Holder::Process).or_else(name);
                Self::Resume { holder: holder.ok_or_else(unknown)? }
            }
            "restart" => Self::Restart {
                keep_history: flag("keep_history"),
                instances: flag("instances"),
                dry_run: flag("dry_run"),
            },
            "stop" => Self::Stop(argument.cloned().unwrap_or(Term::NORMAL)),
            "get_model" => Self::GetModel,
            _ => return Err(unknown()),
        })
    }
}

impl Instance {
    fn to_term(&self) -> Term {
        let mut members = vec![("args", self.args.clone())];
        if let Some(name) = &self.name {
            members.push(("name", name_term(name)));
        }
        if let Some(key) = &self.key {
            members.push(("key", Term::str(Arc::clone(key))));
        }
        if !self.labels.is_empty() {
            members.push(("labels", labels_term(&self.labels)));
        }
        Term::map(members)
    }

    fn from_term(term: &Term) -> Result<Self, SpecError> {
        Ok(Self {
            args: term.get("args").cloned().unwrap_or_default(),
            name: field(term, "name", "invalid_name", name_from_term)?,
            key: field(term, "key", "invalid_key", |value| Some(Arc::from(value.as_str()?)))?,
            labels: field(term, "labels", "invalid_labels", labels_from_term)?.unwrap_or_default(),
        })
    }
}

impl FlagChanges {
    fn to_term(self) -> Term {
        let mut members = Vec::new();
        if let Some(strategy) = self.strategy {
            members.push(("strategy", strategy.as_str().into()));
        }
        if let Some(intensity) = self.intensity {
            members.push(("intensity", Term::Int(i64::from(intensity))));
        }
        if let Some(period) = self.period {
            members.push(("period_ms", milliseconds(period)));
        }
        if let Some(auto_shutdown) = self.auto_shutdown {
            members.push(("auto_shutdown", auto_shutdown.as_str().into()));
        }
        if let Some(max) = self.children_max {
            members.push(("max_children", max.map_or(Term::Atom("infinity"), count)));
        }
        Term::map(members)
    }

    fn from_term(term: &Term) -> Result<Self, SpecError> {
        let max = |value: &Term| if value.is("infinity") { Some(None) } else { read_count(value).map(Some) };
        Ok(Self {
            strategy: field(term, "strategy", "invalid_strategy", Strategy::from_term)?,
            intensity: field(term, "intensity", "invalid_intensity", |value| {
                u32::try_from(value.as_int()?).ok()
            })?,
            period: field(term, "period_ms", "invalid_period", duration_from_ms)?,
            auto_shutdown: field(term, "auto_shutdown", "invalid_auto_shutdown", AutoShutdown::from_term)?,
            children_max: field(term, "max_children", "invalid_max_children", max)?,
        })
    }
}

/// The payload of the answer, in the form that the caller asked for.
pub(in crate::supervisor) fn write_reply(outcome: &Outcome, form: Form) -> Term {
    match form {
        Form::Typed => reply::write(outcome),
        Form::Otp => reply::write_otp(outcome),
    }
}

#[cfg(test)]
mod tests;

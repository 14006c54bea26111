//! Child specifications and flags between the wire and the behaviours' own types.
//!
//! What a value may be is decided here as far as the wire can say more than the behaviours' types can hold; all else is
//! the behaviours' own check. Every refusal is `BAD_SPEC`, names the field and carries OTP's term.

use crate::process::options;
use crate::status::bad_spec;
use crate::{payload, time};
use arsenal_behaviours::supervisor::request::FlagChanges;
use arsenal_behaviours::supervisor::spec::{
    AutoShutdown, ChildKind, ChildSpec, Restart, SUPERVISOR_MODULE, Shutdown, SpecError, Strategy,
    SupervisorFlags, SupervisorSpec,
};
use arsenal_proto::v1::{self, child_spec, supervisor_spec};
use arsenal_runtime::{Pid, ProcessName, Term};
use prost_types::Duration as ProtoDuration;
use std::time::Duration;
use tonic::Status;

/// The id of a child in a request: a pid where it is the text of one, so that both name the same child.
pub(super) fn child_id(text: &str) -> Term {
    text.parse::<Pid>().map_or_else(|_| Term::str(text), Term::Pid)
}

/// A child's id for the wire: empty for an instance, which has none.
pub(super) fn id_text(id: &Term) -> String {
    match (id.view(), id.as_str()) {
        (_, Some("undefined")) => String::new(),
        (_, Some(text)) => text.to_owned(),
        (Term::Pid(pid), _) => pid.to_string(),
        (other, _) => other.to_json().to_string(),
    }
}

fn invalid(field: &'static str, atom: &'static str, value: Term) -> Status {
    bad_spec(&SpecError::Invalid { field, atom, value })
}

fn number(value: i32) -> Term {
    Term::Int(value.into())
}

/// A duration that an OTP spec can hold: whole milliseconds, not negative.
fn duration(
    field: &'static str,
    atom: &'static str,
    value: Option<&ProtoDuration>,
) -> Result<Option<Duration>, Status> {
    let Some(value) = value else { return Ok(None) };
    let millis = Duration::try_from(*value).ok().filter(|duration| duration.subsec_nanos() % 1_000_000 == 0);
    let text = || Term::from(format!("{}.{:09}s", value.seconds, value.nanos.unsigned_abs()));
    millis.map(Some).ok_or_else(|| invalid(field, atom, text()))
}

/// A strategy; nothing where none is given.
pub(super) fn strategy(value: i32) -> Result<Option<Strategy>, Status> {
    use supervisor_spec::Strategy as Wire;
    Ok(match Wire::try_from(value) {
        Ok(Wire::Unspecified) => None,
        Ok(Wire::OneForOne) => Some(Strategy::OneForOne),
        Ok(Wire::OneForAll) => Some(Strategy::OneForAll),
        Ok(Wire::RestForOne) => Some(Strategy::RestForOne),
        Ok(Wire::SimpleOneForOne) => Some(Strategy::SimpleOneForOne),
        Err(_) => return Err(invalid("strategy", "invalid_strategy", number(value))),
    })
}

/// A strategy for the wire.
pub(super) fn encode_strategy(strategy: Strategy) -> i32 {
    use supervisor_spec::Strategy as Wire;
    let wire = match strategy {
        Strategy::OneForOne => Wire::OneForOne,
        Strategy::OneForAll => Wire::OneForAll,
        Strategy::RestForOne => Wire::RestForOne,
        Strategy::SimpleOneForOne => Wire::SimpleOneForOne,
    };
    wire.into()
}

fn auto_shutdown(value: i32) -> Result<Option<AutoShutdown>, Status> {
    use supervisor_spec::AutoShutdown as Wire;
    Ok(match Wire::try_from(value) {
        Ok(Wire::Unspecified) => None,
        Ok(Wire::Never) => Some(AutoShutdown::Never),
        Ok(Wire::AnySignificant) => Some(AutoShutdown::AnySignificant),
        Ok(Wire::AllSignificant) => Some(AutoShutdown::AllSignificant),
        Err(_) => return Err(invalid("auto_shutdown", "invalid_auto_shutdown", number(value))),
    })
}

/// `auto_shutdown` for the wire.
pub(super) fn encode_auto_shutdown(auto_shutdown: AutoShutdown) -> i32 {
    use supervisor_spec::AutoShutdown as Wire;
    let wire = match auto_shutdown {
        AutoShutdown::Never => Wire::Never,
        AutoShutdown::AnySignificant => Wire::AnySignificant,
        AutoShutdown::AllSignificant => Wire::AllSignificant,
    };
    wire.into()
}

/// A restart type; nothing where none is given.
pub(super) fn restart(value: i32) -> Result<Option<Restart>, Status> {
    use child_spec::Restart as Wire;
    Ok(match Wire::try_from(value) {
        Ok(Wire::Unspecified) => None,
        Ok(Wire::Permanent) => Some(Restart::Permanent),
        Ok(Wire::Transient) => Some(Restart::Transient),
        Ok(Wire::Temporary) => Some(Restart::Temporary),
        Err(_) => return Err(invalid("restart", "invalid_restart_type", number(value))),
    })
}

/// A restart type for the wire.
pub(super) fn encode_restart(restart: Restart) -> i32 {
    use child_spec::Restart as Wire;
    let wire = match restart {
        Restart::Permanent => Wire::Permanent,
        Restart::Transient => Wire::Transient,
        Restart::Temporary => Wire::Temporary,
    };
    wire.into()
}

/// Worker or supervisor, for the wire.
pub(super) fn encode_kind(kind: ChildKind) -> i32 {
    let wire = match kind {
        ChildKind::Worker => child_spec::Type::Worker,
        ChildKind::Supervisor => child_spec::Type::Supervisor,
    };
    wire.into()
}

/// The flags that a request gives, the others absent. `period` must be positive and whole milliseconds.
pub(super) fn flag_changes(
    strategy: i32,
    intensity: Option<u32>,
    period: Option<&ProtoDuration>,
    auto_shutdown: i32,
    max_children: Option<u32>,
) -> Result<FlagChanges, Status> {
    let changes = FlagChanges {
        strategy: self::strategy(strategy)?,
        intensity,
        period: duration("period", "invalid_period", period)?,
        auto_shutdown: self::auto_shutdown(auto_shutdown)?,
        children_max: max_children.map(|max| Some(max as usize)),
    };
    changes.apply(SupervisorFlags::default()).check().map_err(|error| bad_spec(&error))?;
    Ok(changes)
}

/// Fields of `SupervisorFlags` that tell and set nothing, `etag` among them, which guards. A mask may name them, as one
/// does that was made of what an answer held.
const TOLD: [&str; 5] = ["supervisor", "restarts_used", "paused", "pause_expire_time", "etag"];

/// The changes in a `SupervisorFlags`: those that it sets, or those that the mask names.
pub(super) fn masked_changes(flags: &v1::SupervisorFlags, mask: &[String]) -> Result<FlagChanges, Status> {
    let period = flags.period.as_ref();
    let given =
        flag_changes(flags.strategy, flags.intensity, period, flags.auto_shutdown, flags.max_children)?;
    if mask.is_empty() {
        return Ok(given);
    }
    let default = SupervisorFlags::default();
    let mut changes = FlagChanges::default();
    for path in mask {
        match path.as_str() {
            "strategy" => changes.strategy = Some(given.strategy.unwrap_or(default.strategy)),
            "intensity" => changes.intensity = Some(given.intensity.unwrap_or(default.intensity)),
            "period" => changes.period = Some(given.period.unwrap_or(default.period)),
            "auto_shutdown" => changes.auto_shutdown = Some(given.auto_shutdown.unwrap_or_default()),
            "max_children" => changes.children_max = Some(given.children_max.flatten()),
            told if TOLD.contains(&told) => {}
            other => {
                let message = format!("`update_mask` has `{other}`, which is no flag that can be set");
                return Err(crate::status::bad_argument("update_mask", message));
            }
        }
    }
    Ok(changes)
}

/// A nested supervisor's specification.
fn supervisor(spec: v1::SupervisorSpec) -> Result<SupervisorSpec, Status> {
    let v1::SupervisorSpec { strategy, intensity, period, auto_shutdown, children, max_children } = spec;
    let changes = flag_changes(strategy, intensity, period.as_ref(), auto_shutdown, max_children)?;
    Ok(SupervisorSpec {
        flags: changes.apply(SupervisorFlags::default()),
        children: children.into_iter().map(child).collect::<Result<_, _>>()?,
    })
}

/// A child specification.
///
/// # Errors
/// `BAD_SPEC` for the first field that cannot be what it is.
pub(super) fn child(spec: v1::ChildSpec) -> Result<ChildSpec, Status> {
    if spec.id.parse::<Pid>().is_ok() {
        return Err(invalid("id", "invalid_id", Term::from(spec.id)));
    }
    known_child(spec)
}

/// As [`child`], of one that is there already: its id may be the pid that it had as an instance.
pub(super) fn known_child(spec: v1::ChildSpec) -> Result<ChildSpec, Status> {
    if spec.id.is_empty() {
        return Err(bad_spec(&SpecError::Missing("id")));
    }
    if spec.id.len() > 255 || spec.id.contains(['/', ':']) {
        return Err(invalid("id", "invalid_id", Term::from(spec.id)));
    }
    let (module, args) = program(spec.module, spec.payload, spec.supervisor)?;
    let kind = match child_spec::Type::try_from(spec.r#type) {
        Ok(child_spec::Type::Unspecified) if module == SUPERVISOR_MODULE => ChildKind::Supervisor,
        Ok(child_spec::Type::Unspecified | child_spec::Type::Worker) => ChildKind::Worker,
        Ok(child_spec::Type::Supervisor) => ChildKind::Supervisor,
        Err(_) => return Err(invalid("type", "invalid_child_type", number(spec.r#type))),
    };
    let (mailbox, memory_bytes_max) = options::limits(spec.limits.as_ref())?;
    Ok(ChildSpec {
        id: child_id(&spec.id),
        restart: restart(spec.restart)?.unwrap_or_default(),
        shutdown: shutdown(spec.stop, kind)?,
        kind,
        significant: spec.significant,
        name: name(&spec.name, spec.name_scope)?,
        start_timeout: duration("start_timeout", "invalid_start_timeout", spec.start_timeout.as_ref())?,
        labels: options::labels(spec.labels)?,
        key: (!spec.key.is_empty()).then(|| spec.key.into()),
        priority: options::priority(spec.priority)?.unwrap_or_default(),
        mailbox,
        memory_bytes_max,
        modules: match (spec.dynamic_modules, spec.modules.is_empty()) {
            (true, _) => Some(Vec::new()),
            (false, true) => None,
            (false, false) => Some(spec.modules.into_iter().map(Into::into).collect()),
        },
        ..ChildSpec::worker("", &module, args)
    })
}

/// A name to register, in its scope; nothing for an empty one.
pub(super) fn name(text: &str, scope: i32) -> Result<Option<ProcessName>, Status> {
    options::name(text, scope).map_err(|_| invalid("name", "invalid_name", Term::str(text)))
}

/// What a child runs, and what its init gets.
fn program(
    module: String,
    args: Option<child_spec::Payload>,
    nested: Option<v1::SupervisorSpec>,
) -> Result<(String, Term), Status> {
    match nested {
        Some(_) if !module.is_empty() => {
            let first = ("supervisor", Term::Bool(true));
            Err(bad_spec(&SpecError::BadCombination { first, second: ("module", Term::from(module)) }))
        }
        Some(spec) => Ok((SUPERVISOR_MODULE.to_owned(), supervisor(spec)?.to_term())),
        None if module.is_empty() => Err(bad_spec(&SpecError::Missing("module"))),
        None => Ok((module, child_args(args))),
    }
}

fn child_args(args: Option<child_spec::Payload>) -> Term {
    match args {
        Some(child_spec::Payload::Args(value)) => payload::to_term(&value),
        Some(child_spec::Payload::ArgsBytes(bytes)) => payload::bytes_to_term(bytes),
        None => Term::Null,
    }
}

fn shutdown(stop: Option<child_spec::Stop>, kind: ChildKind) -> Result<Shutdown, Status> {
    Ok(match stop {
        Some(child_spec::Stop::BrutalKill(true)) => Shutdown::BrutalKill,
        Some(child_spec::Stop::Infinity(true)) => Shutdown::Infinity,
        Some(child_spec::Stop::Shutdown(timeout)) => {
            Shutdown::Timeout(duration("shutdown", "invalid_shutdown", Some(&timeout))?.unwrap_or_default())
        }
        // false says nothing
        Some(child_spec::Stop::BrutalKill(false) | child_spec::Stop::Infinity(false)) | None => match kind {
            ChildKind::Worker => Shutdown::WORKER_DEFAULT,
            ChildKind::Supervisor => Shutdown::Infinity,
        },
    })
}

/// A child specification for the wire, with its etag. A nested supervisor's args are shown as what they say.
pub(crate) fn encode_child(spec: &ChildSpec) -> v1::ChildSpec {
    let nested =
        (&*spec.module == SUPERVISOR_MODULE).then(|| SupervisorSpec::from_term(&spec.args).ok()).flatten();
    let args = match spec.args.view() {
        _ if nested.is_some() => None,
        Term::Null => None,
        Term::Bytes(bytes) => Some(child_spec::Payload::ArgsBytes((**bytes).clone())),
        _ => Some(child_spec::Payload::Args(payload::to_value(&spec.args))),
    };
    let (name, global) =
        spec.name.as_ref().map_or((String::new(), false), |name| (name.name.to_string(), name.global));
    let limits = options::encode_limits(spec.mailbox, spec.memory_bytes_max);
    v1::ChildSpec {
        id: id_text(&spec.id),
        module: if nested.is_some() { String::new() } else { spec.module.to_string() },
        payload: args,
        restart: encode_restart(spec.restart),
        stop: Some(match spec.shutdown {
            Shutdown::BrutalKill => child_spec::Stop::BrutalKill(true),
            Shutdown::Infinity => child_spec::Stop::Infinity(true),
            Shutdown::Timeout(timeout) => child_spec::Stop::Shutdown(time::to_proto(timeout)),
        }),
        r#type: encode_kind(spec.kind),
        significant: spec.significant,
        name,
        name_scope: if global { v1::name_scope::Scope::Global } else { v1::name_scope::Scope::Local }.into(),
        supervisor: nested.map(|nested| encode_supervisor(&nested)),
        start_timeout: spec.start_timeout.map(time::to_proto),
        labels: spec.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        key: spec.key.as_deref().unwrap_or_default().to_owned(),
        priority: options::level(spec.priority),
        limits: (limits != v1::ProcessLimits::default()).then_some(limits),
        modules: modules(spec.modules.as_deref(), &spec.module),
        dynamic_modules: spec.modules.as_ref().is_some_and(Vec::is_empty),
        etag: spec.etag(),
    }
}

/// The modules that a child is made of; none where they are only known at run time.
pub(super) fn modules(listed: Option<&[std::sync::Arc<str>]>, module: &str) -> Vec<String> {
    listed.map_or_else(|| vec![module.to_owned()], |listed| listed.iter().map(ToString::to_string).collect())
}

fn encode_supervisor(spec: &SupervisorSpec) -> v1::SupervisorSpec {
    v1::SupervisorSpec {
        strategy: encode_strategy(spec.flags.strategy),
        intensity: Some(spec.flags.intensity),
        period: Some(time::to_proto(spec.flags.period)),
        auto_shutdown: encode_auto_shutdown(spec.flags.auto_shutdown),
        children: spec.children.iter().map(encode_child).collect(),
        max_children: spec.flags.children_max.map(bound),
    }
}

/// A bound of children for the wire.
pub(super) fn bound(max: usize) -> u32 {
    u32::try_from(max).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

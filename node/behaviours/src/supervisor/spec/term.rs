//! Specifications to and from terms, with OTP's checks in OTP's order.
//!
//! Keys are OTP's. Durations are milliseconds where OTP has milliseconds (`shutdown`); `period` is in seconds, with
//! `period_ms` beside it for what is no whole second.

use super::{
    AutoShutdown, ChildKind, ChildSpec, Restart, Shutdown, SpecError, Strategy, SupervisorFlags,
    SupervisorSpec,
};
use arsenal_runtime::limits::MailboxLimit;
use arsenal_runtime::priority::Priority;
use arsenal_runtime::start::ProcessName;
use arsenal_runtime::term::Term;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// An enum whose values are atoms.
macro_rules! atoms {
    ($type:ty { $($variant:ident => $atom:literal),+ $(,)? }) => {
        impl $type {
            /// OTP's atom for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $atom),+ }
            }

            /// The value with that atom.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($atom => Some(Self::$variant),)+ _ => None }
            }

            pub(in crate::supervisor) fn from_term(term: &Term) -> Option<Self> {
                Self::from_name(term.as_str()?)
            }
        }
    };
}

atoms!(Restart { Permanent => "permanent", Transient => "transient", Temporary => "temporary" });
atoms!(ChildKind { Worker => "worker", Supervisor => "supervisor" });
atoms!(Strategy {
    OneForOne => "one_for_one",
    OneForAll => "one_for_all",
    RestForOne => "rest_for_one",
    SimpleOneForOne => "simple_one_for_one",
});
atoms!(AutoShutdown {
    Never => "never",
    AnySignificant => "any_significant",
    AllSignificant => "all_significant",
});

impl Shutdown {
    /// `brutal_kill`, `infinity` or milliseconds.
    pub fn to_term(self) -> Term {
        match self {
            Self::BrutalKill => Term::Atom("brutal_kill"),
            Self::Infinity => Term::Atom("infinity"),
            Self::Timeout(timeout) => milliseconds(timeout),
        }
    }

    pub(in crate::supervisor) fn from_term(term: &Term) -> Option<Self> {
        match term.as_int() {
            // OTP has no timeout of zero: that is what brutal_kill is for.
            Some(ms) => {
                Some(Self::Timeout(Duration::from_millis(u64::try_from(ms).ok().filter(|ms| *ms > 0)?)))
            }
            None if term.is("brutal_kill") => Some(Self::BrutalKill),
            None if term.is("infinity") => Some(Self::Infinity),
            None => None,
        }
    }
}

/// A duration in whole milliseconds.
pub(in crate::supervisor) fn milliseconds(duration: Duration) -> Term {
    Term::Int(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// The field `key`, unless it is absent or null, read by `read`.
pub(in crate::supervisor) fn field<T>(
    term: &Term,
    key: &'static str,
    atom: &'static str,
    read: impl FnOnce(&Term) -> Option<T>,
) -> Result<Option<T>, SpecError> {
    match term.get(key).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(SpecError::Invalid { field: key, atom, value: value.clone() }),
        },
    }
}

impl ChildSpec {
    /// The specification as a map with OTP's keys.
    pub fn to_term(&self) -> Term {
        let mut members = vec![
            ("id", self.id.clone()),
            ("module", Term::str(Arc::clone(&self.module))),
            ("args", self.args.clone()),
            ("restart", Term::Atom(self.restart.as_str())),
            ("shutdown", self.shutdown.to_term()),
            ("type", Term::Atom(self.kind.as_str())),
            ("significant", Term::Bool(self.significant)),
        ];
        if let Some(name) = &self.name {
            members.push(("name", name_term(name)));
        }
        if let Some(timeout) = self.start_timeout {
            members.push(("start_timeout", milliseconds(timeout)));
        }
        if let Some(key) = &self.key {
            members.push(("key", Term::str(Arc::clone(key))));
        }
        if !self.labels.is_empty() {
            members.push(("labels", labels_term(&self.labels)));
        }
        if self.priority != Priority::Normal {
            members.push(("priority", Term::Atom(self.priority.as_str())));
        }
        let mailbox = self.mailbox.unwrap_or_default();
        if mailbox.messages_max > 0 {
            members.push(("mailbox_messages_max", Term::Int(mailbox.messages_max.into())));
        }
        if mailbox.bytes_max > 0 {
            members.push(("mailbox_bytes_max", bytes_term(mailbox.bytes_max)));
        }
        if let Some(max) = self.memory_bytes_max {
            members.push(("memory_bytes_max", bytes_term(max)));
        }
        if self.modules.is_some() {
            members.push(("modules", self.modules_term()));
        }
        Term::map(members)
    }

    /// Reads a specification; what it may not be under a supervisor's flags is [`ChildSpec::check`]'s matter.
    ///
    /// # Errors
    /// The first field that cannot be what it is, in the order in which OTP looks.
    pub fn from_term(term: &Term) -> Result<Self, SpecError> {
        if term.as_map().is_none() {
            return Err(SpecError::NotASpec(term.clone()));
        }
        let id = term.get("id").filter(|id| !id.is_null()).ok_or(SpecError::Missing("id"))?.clone();
        let module = field(term, "module", "invalid_module", |value| Some(Arc::from(value.as_str()?)))?
            .ok_or(SpecError::Missing("module"))?;
        let restart = field(term, "restart", "invalid_restart_type", Restart::from_term)?.unwrap_or_default();
        let significant =
            field(term, "significant", "invalid_significant", Term::as_bool)?.unwrap_or_default();
        let default_kind =
            if &*module == super::SUPERVISOR_MODULE { ChildKind::Supervisor } else { ChildKind::Worker };
        let kind = field(term, "type", "invalid_child_type", ChildKind::from_term)?.unwrap_or(default_kind);
        let default_shutdown =
            if kind == ChildKind::Worker { Shutdown::WORKER_DEFAULT } else { Shutdown::Infinity };
        let shutdown =
            field(term, "shutdown", "invalid_shutdown", Shutdown::from_term)?.unwrap_or(default_shutdown);
        Ok(Self {
            id,
            module,
            args: term.get("args").cloned().unwrap_or_default(),
            restart,
            shutdown,
            kind,
            significant,
            name: field(term, "name", "invalid_name", name_from_term)?,
            start_timeout: field(term, "start_timeout", "invalid_start_timeout", duration_from_ms)?,
            labels: field(term, "labels", "invalid_labels", labels_from_term)?.unwrap_or_default(),
            key: field(term, "key", "invalid_key", |value| Some(Arc::from(value.as_str()?)))?,
            priority: field(term, "priority", "invalid_priority", |value| {
                Priority::from_name(value.as_str()?)
            })?
            .unwrap_or_default(),
            mailbox: mailbox_from_term(term)?,
            memory_bytes_max: field(term, "memory_bytes_max", "invalid_limit", bytes_from_term)?,
            modules: field(term, "modules", "invalid_modules", modules_from_term)?,
        })
    }

    /// Checks what only the supervisor's flags can tell.
    ///
    /// # Errors
    /// A significant child that is permanent, or under a supervisor that never shuts itself down.
    pub fn check(&self, auto_shutdown: AutoShutdown) -> Result<(), SpecError> {
        let significant = || ("significant", Term::Bool(true));
        match (self.significant, auto_shutdown, self.restart) {
            (true, AutoShutdown::Never, _) => Err(SpecError::BadCombination {
                first: ("auto_shutdown", Term::Atom(auto_shutdown.as_str())),
                second: significant(),
            }),
            (true, _, Restart::Permanent) => Err(SpecError::BadCombination {
                first: ("restart", Term::Atom(self.restart.as_str())),
                second: significant(),
            }),
            _ => Ok(()),
        }
    }
}

fn bytes_term(max: u64) -> Term {
    Term::Int(i64::try_from(max).unwrap_or(i64::MAX))
}

fn bytes_from_term(term: &Term) -> Option<u64> {
    u64::try_from(term.as_int()?).ok()
}

fn mailbox_from_term(term: &Term) -> Result<Option<MailboxLimit>, SpecError> {
    let messages =
        field(term, "mailbox_messages_max", "invalid_limit", |value| u32::try_from(value.as_int()?).ok())?;
    let bytes = field(term, "mailbox_bytes_max", "invalid_limit", bytes_from_term)?;
    let limit =
        MailboxLimit { messages_max: messages.unwrap_or_default(), bytes_max: bytes.unwrap_or_default() };
    Ok((limit != MailboxLimit::default()).then_some(limit))
}

pub(in crate::supervisor) fn modules_from_term(term: &Term) -> Option<Vec<Arc<str>>> {
    if term.is("dynamic") {
        return Some(Vec::new());
    }
    term.as_list()?.iter().map(|module| Some(Arc::from(module.as_str()?))).collect()
}

pub(in crate::supervisor) fn labels_term(labels: &BTreeMap<Arc<str>, Arc<str>>) -> Term {
    Term::map(labels.iter().map(|(key, value)| (Arc::clone(key), Term::str(Arc::clone(value)))))
}

pub(in crate::supervisor) fn name_term(name: &ProcessName) -> Term {
    let text = Term::str(Arc::clone(&name.name));
    if name.global { Term::map([("name", text), ("global", Term::Bool(true))]) } else { text }
}

pub(in crate::supervisor) fn name_from_term(term: &Term) -> Option<ProcessName> {
    match term.as_str() {
        Some(name) => Some(ProcessName { name: name.into(), global: false }),
        None => Some(ProcessName {
            name: term.get("name")?.as_str()?.into(),
            global: term.get("global").and_then(Term::as_bool).unwrap_or_default(),
        }),
    }
}

pub(in crate::supervisor) fn labels_from_term(term: &Term) -> Option<BTreeMap<Arc<str>, Arc<str>>> {
    term.as_map()?.iter().map(|(key, value)| Some((Arc::clone(key), Arc::from(value.as_str()?)))).collect()
}

pub(in crate::supervisor) fn duration_from_ms(term: &Term) -> Option<Duration> {
    term.as_int().and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis)
}

fn duration_from_seconds(term: &Term) -> Option<Duration> {
    Duration::try_from_secs_f64(term.as_f64()?).ok()
}

impl SupervisorFlags {
    /// The flags as a map with OTP's keys.
    pub fn to_term(&self) -> Term {
        let mut members = self.members();
        if let Some(max) = self.children_max {
            members.push(("max_children", Term::Int(i64::try_from(max).unwrap_or(i64::MAX))));
        }
        Term::map(members)
    }

    fn members(&self) -> Vec<(&'static str, Term)> {
        vec![
            ("strategy", Term::Atom(self.strategy.as_str())),
            ("intensity", Term::Int(i64::from(self.intensity))),
            ("period_ms", milliseconds(self.period)),
            ("auto_shutdown", Term::Atom(self.auto_shutdown.as_str())),
        ]
    }

    /// Reads flags; absent ones are OTP's defaults.
    ///
    /// # Errors
    /// The first flag that cannot be what it is, in the order in which OTP looks.
    pub fn from_term(term: &Term) -> Result<Self, SpecError> {
        let default = Self::default();
        let flags = Self {
            strategy: field(term, "strategy", "invalid_strategy", Strategy::from_term)?.unwrap_or_default(),
            intensity: field(term, "intensity", "invalid_intensity", |value| {
                u32::try_from(value.as_int()?).ok()
            })?
            .unwrap_or(default.intensity),
            period: match field(term, "period_ms", "invalid_period", duration_from_ms)? {
                Some(period) => period,
                None => {
                    field(term, "period", "invalid_period", duration_from_seconds)?.unwrap_or(default.period)
                }
            },
            auto_shutdown: field(term, "auto_shutdown", "invalid_auto_shutdown", AutoShutdown::from_term)?
                .unwrap_or_default(),
            children_max: field(term, "max_children", "invalid_max_children", |value| {
                usize::try_from(value.as_int()?).ok()
            })?,
        };
        flags.check()?;
        Ok(flags)
    }

    /// Checks each flag for itself.
    ///
    /// # Errors
    /// A period of no length.
    pub fn check(&self) -> Result<(), SpecError> {
        if self.period.is_zero() {
            return Err(SpecError::Invalid { field: "period", atom: "invalid_period", value: Term::Int(0) });
        }
        Ok(())
    }
}

impl SupervisorSpec {
    /// Flags and `children` in one map.
    pub fn to_term(&self) -> Term {
        let mut members = self.flags.to_term().as_map().unwrap_or_default().to_vec();
        members.push(("children".into(), Term::list(self.children.iter().map(ChildSpec::to_term))));
        Term::Map(members.into())
    }

    /// Reads and checks a specification.
    ///
    /// # Errors
    /// The first thing that OTP would refuse, in OTP's order.
    pub fn from_term(term: &Term) -> Result<Self, SpecError> {
        if term.as_map().is_none() && !term.is_null() {
            return Err(SpecError::NotASpec(term.clone()));
        }
        let flags = SupervisorFlags::from_term(term)?;
        let children = match term.get("children").filter(|children| !children.is_null()) {
            None => &[],
            Some(children) => children.as_list().ok_or_else(|| SpecError::NotASpec(children.clone()))?,
        };
        if flags.strategy == Strategy::SimpleOneForOne && children.len() != 1 {
            let ids = children.iter().map(|child| child.get("id").cloned().unwrap_or_default());
            return Err(SpecError::BadStartSpec(ids.collect()));
        }
        let children = children.iter().map(ChildSpec::from_term).collect::<Result<Vec<_>, _>>()?;
        let spec = Self { flags, children };
        spec.check()?;
        Ok(spec)
    }
}

#[cfg(test)]
mod tests;

//! Child specifications and supervisor flags: what a supervisor is started from, as plain data.
//!
//! What the values mean lives in [`core`](super::core); how they travel as terms, and what is refused, in `spec/term.rs`.

mod error;
mod term;

pub use error::SpecError;
pub(super) use term::{
    duration_from_ms, field, labels_from_term, labels_term, milliseconds, modules_from_term, name_from_term,
    name_term,
};

use arsenal_runtime::limits::MailboxLimit;
use arsenal_runtime::priority::Priority;
use arsenal_runtime::start::ProcessName;
use arsenal_runtime::term::Term;
use fnv::FnvHasher;
use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::sync::Arc;
use std::time::Duration;

/// The name of the module whose processes are supervisors.
pub const SUPERVISOR_MODULE: &str = "supervisor";

/// When a child that ended is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Unless it ended with `normal`, `shutdown` or `[shutdown, _]`.
    Transient,
    /// Never; its spec goes with it.
    Temporary,
}

/// How a child is told to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Killed at once.
    BrutalKill,
    /// Told `shutdown`, killed if it has not ended by then.
    Timeout(Duration),
    /// Told `shutdown` and waited for.
    Infinity,
}

impl Shutdown {
    /// What a worker has unless its spec says otherwise.
    pub const WORKER_DEFAULT: Self = Self::Timeout(Duration::from_secs(5));
}

/// Whether a child is itself a supervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ChildKind {
    /// It is not.
    #[default]
    Worker,
    /// It is.
    Supervisor,
}

/// Which children the end of one concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Strategy {
    /// It alone is started again.
    #[default]
    OneForOne,
    /// All are stopped and started again.
    OneForAll,
    /// It and those started after it are stopped and started again.
    RestForOne,
    /// One template, any number of instances, each known by its pid.
    SimpleOneForOne,
}

/// Whether the end of significant children ends the supervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AutoShutdown {
    /// It does not.
    #[default]
    Never,
    /// The end of any of them does.
    AnySignificant,
    /// The end of the last of them does.
    AllSignificant,
}

/// What a child is started from.
#[derive(Clone, PartialEq, Debug)]
pub struct ChildSpec {
    /// Unique among its siblings.
    pub id: Term,
    /// The module to start; [`SUPERVISOR_MODULE`] for a nested supervisor, whose `args` are a [`SupervisorSpec`].
    pub module: Arc<str>,
    /// What the module's init is given.
    pub args: Term,
    /// When it is started again.
    pub restart: Restart,
    /// How it is told to end.
    pub shutdown: Shutdown,
    /// Whether it is a supervisor.
    pub kind: ChildKind,
    /// Whether its end counts for `auto_shutdown`.
    pub significant: bool,
    /// Registered at each start.
    pub name: Option<ProcessName>,
    /// How long its init may take.
    pub start_timeout: Option<Duration>,
    /// Free labels of its process.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// What its persistent things belong to.
    pub key: Option<Arc<str>>,
    /// Scheduling priority.
    pub priority: Priority,
    /// What its mailbox holds at most.
    pub mailbox: Option<MailboxLimit>,
    /// Bytes of state that it may hold.
    pub memory_bytes_max: Option<u64>,
    /// The modules that it is made of, for code changes: absent for its own alone, empty if they are only known at run
    /// time, OTP's `dynamic`.
    pub modules: Option<Vec<Arc<str>>>,
}

/// What one instance has of its own, over its template.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Instance {
    /// Put to the template's args, as [`ChildSpec::args_with`] says; null for none.
    pub args: Term,
    /// Registered instead of the template's.
    pub name: Option<ProcessName>,
    /// Its key, where the template has none.
    pub key: Option<Arc<str>>,
    /// Put over the template's.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
}

impl Instance {
    /// An instance that differs by its args alone.
    pub fn with_args(args: Term) -> Self {
        Self { args, ..Self::default() }
    }

    /// Whether it is told apart by more than its args.
    pub(super) fn is_special(&self) -> bool {
        self.name.is_some() || self.key.is_some() || !self.labels.is_empty()
    }
}

impl ChildSpec {
    /// A permanent worker of `module` with the defaults of OTP.
    pub fn worker(id: impl Into<Term>, module: &str, args: Term) -> Self {
        Self {
            id: id.into(),
            module: module.into(),
            args,
            restart: Restart::Permanent,
            shutdown: Shutdown::WORKER_DEFAULT,
            kind: ChildKind::Worker,
            significant: false,
            name: None,
            start_timeout: None,
            labels: BTreeMap::new(),
            key: None,
            priority: Priority::Normal,
            mailbox: None,
            memory_bytes_max: None,
            modules: None,
        }
    }

    /// A permanent nested supervisor with the defaults of OTP.
    pub fn supervisor(id: impl Into<Term>, spec: &SupervisorSpec) -> Self {
        Self {
            shutdown: Shutdown::Infinity,
            kind: ChildKind::Supervisor,
            ..Self::worker(id, SUPERVISOR_MODULE, spec.to_term())
        }
    }

    /// The same with another restart type.
    #[must_use]
    pub fn with_restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// The same, counting for `auto_shutdown`.
    #[must_use]
    pub fn significant(mut self) -> Self {
        self.significant = true;
        self
    }

    /// Identifies this very content: what a caller who has read it may present to change it.
    pub fn etag(&self) -> String {
        etag(&self.to_term())
    }

    /// Whether it differs from `other` in nothing but id and args.
    pub fn same_but_id_and_args(&self, other: &Self) -> bool {
        let alike = Self { id: other.id.clone(), args: other.args.clone(), ..self.clone() };
        alike == *other
    }

    /// The modules that it is made of: a list, or `dynamic`.
    pub fn modules_term(&self) -> Term {
        match &self.modules {
            None => Term::list([Term::str(Arc::clone(&self.module))]),
            Some(modules) if modules.is_empty() => Term::Atom("dynamic"),
            Some(modules) => Term::list(modules.iter().map(|module| Term::str(Arc::clone(module)))),
        }
    }

    /// The same with what an instance has of its own, but for its args.
    pub(super) fn of_instance(&self, instance: &Instance) -> Self {
        let mut spec = self.clone();
        if let Some(name) = &instance.name {
            spec.name = Some(name.clone());
        }
        spec.key = spec.key.or_else(|| instance.key.clone());
        let labels = instance.labels.iter().map(|(key, value)| (Arc::clone(key), Arc::clone(value)));
        spec.labels.extend(labels);
        spec
    }

    /// What a dynamic start gives the module: `extra` appended if both it and the template's args are lists, merged
    /// over them if both are maps, in place of them otherwise.
    pub fn args_with(&self, extra: &Term) -> Term {
        match (self.args.view(), extra.view()) {
            (_, Term::Null) => self.args.clone(),
            (Term::List(own), Term::List(extra)) => Term::list(own.iter().chain(extra.iter()).cloned()),
            (Term::Map(own), Term::Map(more)) => {
                let kept = own.iter().filter(|(key, _)| extra.get(key).is_none());
                Term::map(kept.chain(more.iter()).map(|(key, value)| (Arc::clone(key), value.clone())))
            }
            _ => extra.clone(),
        }
    }
}

/// A supervisor's flags: all but its children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SupervisorFlags {
    /// Which children the end of one concerns.
    pub strategy: Strategy,
    /// Restarts allowed within `period`.
    pub intensity: u32,
    /// The window in which restarts count.
    pub period: Duration,
    /// Whether the end of significant children ends the supervisor.
    pub auto_shutdown: AutoShutdown,
    /// Children it may have at most.
    pub children_max: Option<usize>,
}

impl Default for SupervisorFlags {
    fn default() -> Self {
        Self {
            strategy: Strategy::OneForOne,
            intensity: 1,
            period: Duration::from_secs(5),
            auto_shutdown: AutoShutdown::Never,
            children_max: None,
        }
    }
}

impl SupervisorFlags {
    /// Identifies these very flags: what a caller who has read them may present to change them.
    pub fn etag(&self) -> String {
        etag(&self.to_term())
    }
}

/// What a supervisor is started from.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SupervisorSpec {
    /// Its flags.
    pub flags: SupervisorFlags,
    /// Its children in start order; the template alone under [`Strategy::SimpleOneForOne`].
    pub children: Vec<ChildSpec>,
}

impl SupervisorSpec {
    /// A supervisor with this strategy, these children and OTP's other defaults.
    pub fn new(strategy: Strategy, children: Vec<ChildSpec>) -> Self {
        Self { flags: SupervisorFlags { strategy, ..SupervisorFlags::default() }, children }
    }

    /// The same with another restart intensity.
    #[must_use]
    pub fn with_intensity(mut self, intensity: u32, period: Duration) -> Self {
        self.flags.intensity = intensity;
        self.flags.period = period;
        self
    }

    /// Checks flags and children together, as `supervisor:init` does.
    ///
    /// # Errors
    /// The first thing that OTP would refuse, in OTP's order.
    pub fn check(&self) -> Result<(), SpecError> {
        self.flags.check()?;
        if self.flags.strategy == Strategy::SimpleOneForOne && self.children.len() != 1 {
            return Err(SpecError::BadStartSpec(
                self.children.iter().map(|child| child.id.clone()).collect(),
            ));
        }
        let mut seen = std::collections::HashSet::with_capacity(self.children.len());
        for child in &self.children {
            child.check(self.flags.auto_shutdown)?;
            if !seen.insert(id_text(&child.id)) {
                return Err(SpecError::DuplicateChild(child.id.clone()));
            }
        }
        Ok(())
    }
}

/// The text by which a child id is looked up: equal ids have equal texts.
pub(super) fn id_text(id: &Term) -> Box<str> {
    id.to_json().to_string().into()
}

/// Of the canonical JSON: the same on every node.
fn etag(term: &Term) -> String {
    let mut hasher = FnvHasher::default();
    hasher.write(term.to_json().to_string().as_bytes());
    format!("{:016x}", hasher.finish())
}

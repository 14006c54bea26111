//! Modules whose processes are supervisors: the one that every node knows, and those with an init of their own.

use super::{EventLog, Observer, Supervisor};
use crate::supervisor::spec::{SUPERVISOR_MODULE, SupervisorSpec};
use arsenal_runtime::body::Body;
use arsenal_runtime::context::Context;
use arsenal_runtime::module::{Behaviour, Description, Module};
use arsenal_runtime::term::{Reason, Term};
use std::fmt;
use std::sync::Arc;

/// What a supervisor's init decides, as `supervisor:init/1` does.
#[derive(Debug)]
pub enum Init {
    /// It supervises these children: `{ok, {Flags, ChildSpecs}}`.
    Supervise(SupervisorSpec),
    /// It is not wanted after all: `ignore`.
    Ignore,
    /// It cannot start.
    Stop(Reason),
}

/// A supervisor's callback module. The one that every node knows reads the specification from its args.
pub trait SupervisorCallback: Send + Sync + 'static {
    /// Decides what to supervise, before any child starts.
    fn init(&self, args: &Term, context: &mut Context<'_>) -> Init;
}

impl<F: Fn(&Term, &mut Context<'_>) -> Init + Send + Sync + 'static> SupervisorCallback for F {
    fn init(&self, args: &Term, context: &mut Context<'_>) -> Init {
        self(args, context)
    }
}

/// A module whose processes are supervisors.
///
/// ```
/// use arsenal_behaviours::supervisor::spec::{ChildSpec, Strategy, SupervisorSpec};
/// use arsenal_behaviours::supervisor::{Init, SupervisorModule};
/// use arsenal_runtime::context::Context;
/// use arsenal_runtime::term::Term;
///
/// // A shop has as many tills as its args say, and none of them goes on alone.
/// let shop = SupervisorModule::new("shop", |args: &Term, _: &mut Context<'_>| match args.as_int() {
///     Some(tills) if tills > 0 => {
///         let till = |n| ChildSpec::worker(format!("till-{n}"), "counter", Term::Null);
///         Init::Supervise(SupervisorSpec::new(Strategy::OneForAll, (1..=tills).map(till).collect()))
///     }
///     _ => Init::Ignore,
/// });
/// # use arsenal_runtime::module::Module;
/// # assert_eq!(&*shop.describe().name, "shop");
/// ```
pub struct SupervisorModule {
    name: Arc<str>,
    callback: Arc<dyn SupervisorCallback>,
    observer: Arc<dyn Observer>,
}

impl SupervisorModule {
    /// The module `name`, whose supervisors decide with `callback` what to supervise.
    pub fn new(name: &str, callback: impl SupervisorCallback) -> Self {
        Self { name: name.into(), callback: Arc::new(callback), observer: Arc::new(EventLog) }
    }

    /// The same, with somebody else to tell what happens; default is the node's event log.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Observer) -> Self {
        self.observer = Arc::new(observer);
        self
    }
}

impl Default for SupervisorModule {
    /// The module [`SUPERVISOR_MODULE`], whose args are a [`SupervisorSpec`].
    fn default() -> Self {
        Self::new(SUPERVISOR_MODULE, |args: &Term, _: &mut Context<'_>| {
            match SupervisorSpec::from_term(args) {
                Ok(spec) => Init::Supervise(spec),
                Err(error) => Init::Stop(error.to_start_reason()),
            }
        })
    }
}

impl fmt::Debug for SupervisorModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorModule").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Module for SupervisorModule {
    fn describe(&self) -> Description {
        let mut description = Description::native(&self.name, Behaviour::Supervisor);
        description.hooks.inspect = true;
        description
    }

    fn start(&self, args: &Term) -> Box<dyn Body> {
        Box::new(Supervisor::new(Arc::clone(&self.callback), args.clone(), Arc::clone(&self.observer)))
    }
}

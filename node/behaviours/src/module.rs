//! A behaviour as a module: its name, its init and what its processes can be asked for.
//!
//! What `gen_server` and `gen_statem` have in common stands here; which process runs the callbacks, and what its snapshot
//! looks like, is each one's [`Loop`].

use crate::functions::Functions;
use crate::start::{Init, InitFunction};
use arsenal_runtime::body::Body;
use arsenal_runtime::context::Context;
use arsenal_runtime::module::{Behaviour, Description, Module};
use arsenal_runtime::term::Term;
use std::sync::Arc;

/// Reads what a snapshot holds of the state of the callbacks.
type RestoreFunction<S> = dyn Fn(&Term) -> Option<S> + Send + Sync;

/// The process that runs the callbacks of a behaviour.
pub trait Loop: 'static {
    /// What the callbacks keep: a server's state, a machine's data.
    type State: 'static;
    /// What init results in.
    type Ready: 'static;
    /// Which behaviour it is.
    const BEHAVIOUR: Behaviour;

    /// A process that begins with `init`.
    fn start(init: Arc<InitFunction<Self::Ready>>, args: Term) -> Box<dyn Body>;

    /// A process that goes on from a snapshot; nothing if that is none.
    fn restored(snapshot: &Term, restore: &dyn Fn(&Term) -> Option<Self::State>) -> Option<Box<dyn Body>>;
}

/// A module of which every process runs the loop `L`.
pub struct BehaviourModule<L: Loop> {
    description: Description,
    init: Arc<InitFunction<L::Ready>>,
    restore: Option<Box<RestoreFunction<L::State>>>,
    functions: Functions,
}

impl<L: Loop> BehaviourModule<L> {
    /// A module of this name whose processes begin with `init`, which may carry what they share.
    pub fn new(
        name: &str,
        init: impl Fn(&Term, &mut Context<'_>) -> Init<L::Ready> + Send + Sync + 'static,
    ) -> Self {
        Self {
            description: Description::native(name, L::BEHAVIOUR),
            init: Arc::new(init),
            restore: None,
            functions: Functions::default(),
        }
    }

    /// Its processes show what they keep: the callbacks implement `inspect`.
    #[must_use]
    pub fn inspectable(mut self) -> Self {
        self.description.hooks.inspect = true;
        self
    }

    /// Its processes take another state: the callbacks implement `replace`.
    #[must_use]
    pub fn replaceable(mut self) -> Self {
        self.description.hooks.replace = true;
        self
    }

    /// Its processes can be stored and made again: the callbacks implement `snapshot`, which `restore` reads.
    /// A machine with postponed events or timeouts has no snapshot, for it would lose them.
    #[must_use]
    pub fn restorable(mut self, restore: impl Fn(&Term) -> Option<L::State> + Send + Sync + 'static) -> Self {
        self.description.hooks.snapshot = true;
        self.restore = Some(Box::new(restore));
        self
    }

    /// Exports a function.
    #[must_use]
    pub fn function(
        mut self,
        name: &'static str,
        body: impl Fn(&Term) -> Box<dyn Body> + Send + Sync + 'static,
    ) -> Self {
        self.functions.add(&mut self.description, name, body);
        self
    }
}

impl<L: Loop> Module for BehaviourModule<L> {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn start(&self, args: &Term) -> Box<dyn Body> {
        L::start(Arc::clone(&self.init), args.clone())
    }

    fn function(&self, name: &str, args: &Term) -> Option<Box<dyn Body>> {
        self.functions.body(name, args)
    }

    fn restore(&self, snapshot: &Term) -> Option<Box<dyn Body>> {
        L::restored(snapshot, self.restore.as_ref()?)
    }
}

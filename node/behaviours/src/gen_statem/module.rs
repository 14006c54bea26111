//! A `gen_statem` as a module: its name, its init and what it can be asked for.

use super::process::Machine;
use super::{GenStatem, Init, Ready};
use crate::functions::Functions;
use crate::start::InitFunction;
use arsenal_runtime::body::Body;
use arsenal_runtime::context::Context;
use arsenal_runtime::module::{Behaviour, Description, Module};
use arsenal_runtime::term::Term;
use std::sync::Arc;

type RestoreFunction<S> = dyn Fn(&Term) -> Option<S> + Send + Sync;

/// A module of which every process is a machine of `S`.
pub struct GenStatemModule<S> {
    description: Description,
    init: Arc<InitFunction<Ready<S>>>,
    restore: Option<Box<RestoreFunction<S>>>,
    functions: Functions,
}

impl<S: GenStatem> GenStatemModule<S> {
    /// A module of this name whose processes begin with `init`, which may carry what the machines share.
    pub fn new(
        name: &str,
        init: impl Fn(&Term, &mut Context<'_>) -> Init<S> + Send + Sync + 'static,
    ) -> Self {
        Self {
            description: Description::native(name, Behaviour::GenStatem),
            init: Arc::new(init),
            restore: None,
            functions: Functions::default(),
        }
    }

    /// Its machines show their data: they implement [`GenStatem::inspect`].
    #[must_use]
    pub fn inspectable(mut self) -> Self {
        self.description.hooks.inspect = true;
        self
    }

    /// Its machines take another state and other data: they implement [`GenStatem::replace`].
    #[must_use]
    pub fn replaceable(mut self) -> Self {
        self.description.hooks.replace = true;
        self
    }

    /// Its machines can be stored and made again: they implement [`GenStatem::snapshot`], which `restore` reads.
    /// A machine with postponed events or timeouts has no snapshot, for it would lose them.
    #[must_use]
    pub fn restorable(mut self, restore: impl Fn(&Term) -> Option<S> + Send + Sync + 'static) -> Self {
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

impl<S: GenStatem> Module for GenStatemModule<S> {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn start(&self, args: &Term) -> Box<dyn Body> {
        Box::new(Machine::new(Arc::clone(&self.init), args.clone()))
    }

    fn function(&self, name: &str, args: &Term) -> Option<Box<dyn Body>> {
        self.functions.body(name, args)
    }

    fn restore(&self, snapshot: &Term) -> Option<Box<dyn Body>> {
        let [state, data] = snapshot.as_list()? else { return None };
        let data = self.restore.as_ref()?(data)?;
        Some(Box::new(Machine::restored(state.clone(), data)))
    }
}

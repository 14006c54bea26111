//! An event manager as a module.

use super::handler::HandlerModules;
use super::process::Manager;
use arsenal_runtime::body::Body;
use arsenal_runtime::module::{Behaviour, Description, Module};
use arsenal_runtime::term::Term;
use std::sync::Arc;

/// A module of which every process is an event manager that knows these handler modules.
pub struct EventManagerModule {
    description: Description,
    handlers: Arc<HandlerModules>,
}

impl EventManagerModule {
    /// A module of this name.
    pub fn new(name: &str, handlers: HandlerModules) -> Self {
        let mut description = Description::native(name, Behaviour::GenEvent);
        description.hooks.inspect = true;
        Self { description, handlers: Arc::new(handlers) }
    }
}

impl Module for EventManagerModule {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn start(&self, _args: &Term) -> Box<dyn Body> {
        Box::new(Manager::new(Arc::clone(&self.handlers)))
    }
}

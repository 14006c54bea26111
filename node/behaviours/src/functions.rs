//! Raw processes: bodies from closures, and modules and functions made of them.
//!
//! What needs more than one behaviour's loop, or none, is written with these instead of a type of its own.

use crate::raise::catch;
use arsenal_runtime::body::{Body, Event, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::module::{Behaviour, Description, Module};
use arsenal_runtime::term::Term;

type BodyFunction = dyn Fn(&Term) -> Box<dyn Body> + Send + Sync;
/// Makes a body with the state of a snapshot; nothing if that is none.
type RestoreFunction = dyn Fn(&Term) -> Option<Box<dyn Body>> + Send + Sync;

/// A body whose turns are calls of `step`, which keeps its state itself.
pub fn body(step: impl FnMut(Event, &mut Context<'_>) -> Step + Send + 'static) -> Box<dyn Body> {
    Box::new(Closure(step))
}

/// A body that runs `function` in one turn; the process exits `normal`.
pub fn run(function: impl FnOnce(&mut Context<'_>) + Send + 'static) -> Box<dyn Body> {
    let mut function = Some(function);
    body(move |_, cx| {
        if let Some(function) = function.take() {
            function(cx);
        }
        Step::Exit(Term::NORMAL)
    })
}

struct Closure<F>(F);

impl<F: FnMut(Event, &mut Context<'_>) -> Step + Send + 'static> Body for Closure<F> {
    fn step(&mut self, event: Event, cx: &mut Context<'_>) -> Step {
        catch(|| (self.0)(event, cx)).unwrap_or_else(|exception| Step::Exit(exception.into_exit_reason()))
    }
}

/// The functions that a module exports.
#[derive(Default)]
pub(crate) struct Functions(Vec<(&'static str, Box<BodyFunction>)>);

impl Functions {
    /// Adds one, and says so in the module's description.
    pub(crate) fn add(
        &mut self,
        description: &mut Description,
        name: &'static str,
        body: impl Fn(&Term) -> Box<dyn Body> + Send + Sync + 'static,
    ) {
        description.functions.push(name.into());
        self.0.push((name, Box::new(body)));
    }

    /// The body that runs the function `name`.
    pub(crate) fn body(&self, name: &str, args: &Term) -> Option<Box<dyn Body>> {
        let (_, body) = self.0.iter().find(|(known, _)| *known == name)?;
        Some(body(args))
    }
}

/// A module of raw processes: without a behaviour's loop, with the body that its function makes.
pub struct PlainModule {
    description: Description,
    start: Box<BodyFunction>,
    restore: Option<Box<RestoreFunction>>,
    functions: Functions,
}

impl PlainModule {
    /// A module of this name. The body must answer its starter, as [`Module::start`] says.
    pub fn new(name: &str, start: impl Fn(&Term) -> Box<dyn Body> + Send + Sync + 'static) -> Self {
        Self {
            description: Description::native(name, Behaviour::Plain),
            start: Box::new(start),
            restore: None,
            functions: Functions::default(),
        }
    }

    /// Its bodies implement [`Body::inspect`].
    #[must_use]
    pub fn inspectable(mut self) -> Self {
        self.description.hooks.inspect = true;
        self
    }

    /// Its bodies implement [`Body::snapshot`], of which this makes one again.
    #[must_use]
    pub fn restorable(
        mut self,
        restore: impl Fn(&Term) -> Option<Box<dyn Body>> + Send + Sync + 'static,
    ) -> Self {
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

impl Module for PlainModule {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn start(&self, args: &Term) -> Box<dyn Body> {
        (self.start)(args)
    }

    fn function(&self, name: &str, args: &Term) -> Option<Box<dyn Body>> {
        self.functions.body(name, args)
    }

    fn restore(&self, snapshot: &Term) -> Option<Box<dyn Body>> {
        self.restore.as_ref()?(snapshot)
    }
}

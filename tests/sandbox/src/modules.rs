//! The tests' own native modules, written with nothing but the public traits of the runtime and the behaviours.
//!
//! They are the processes of the conformance oracle: each keeps to the behaviour of the same name in the oracle's
//! description, and tells a [`Chronicle`] what happens to it, so that a test can compare that with what Erlang did.
//! Their args carry the id under which the scenario knows them as [`ID`].

pub mod chronicle;
mod counter;
mod dictionary;
mod echo;
mod handler;
mod raw;
mod start;
mod statem;
mod supervisor;
mod twofold;

pub use chronicle::{Chronicle, Happening};

use arsenal_behaviours::gen_event::HandlerModules;
use arsenal_runtime::module::Module;
use arsenal_runtime::term::Term;
use std::sync::Arc;

/// The member of the args that holds a process's, or a handler's, id in its scenario.
pub const ID: &str = "$id";
/// The member of a handler's args that holds the id of its manager.
pub const MANAGER: &str = "$manager";
/// The member of a supervisor's args that says how its init ends.
pub const INIT: &str = "$init";
/// The tag of what a test tells a process to do, apart from the messages that it handles.
pub const COMMAND: &str = "$command";
/// The name of the handler module.
pub const HANDLER_MODULE: &str = "oracle_handler";

/// The modules, with a chronicle that nobody reads.
pub fn test_modules() -> Vec<Arc<dyn Module>> {
    modules_with(&Arc::default())
}

/// The modules `oracle_plain`, `oracle_recorder`, `oracle_echo`, `oracle_counter`, `oracle_statem` and
/// `oracle_event_manager`, which write this chronicle, and `dictionary` and `twofold`, which do not.
pub fn modules_with(chronicle: &Arc<Chronicle>) -> Vec<Arc<dyn Module>> {
    let handlers = HandlerModules::new().with(HANDLER_MODULE, handler::init(Arc::clone(chronicle)));
    vec![
        Arc::new(raw::plain(chronicle)),
        Arc::new(raw::recorder(chronicle)),
        Arc::new(echo::module(chronicle)),
        Arc::new(counter::module(chronicle)),
        Arc::new(dictionary::module()),
        Arc::new(statem::module(chronicle)),
        Arc::new(twofold::module()),
        Arc::new(handler::ManagerModule::new(handlers, Arc::clone(chronicle))),
    ]
}

/// The module `supervisor` in place of the shipped one: the same supervisor, whose init writes this chronicle.
pub fn supervisor_with(chronicle: &Arc<Chronicle>) -> Arc<dyn Module> {
    Arc::new(supervisor::module(chronicle))
}

/// The tag and the arguments of a message: `["add", 1]` is `add` with `[1]`, `"get"` is `get` with none.
fn request(message: &Term) -> (&str, &[Term]) {
    match message.as_list() {
        Some([tag, arguments @ ..]) => (tag.as_str().unwrap_or_default(), arguments),
        _ => (message.as_str().unwrap_or_default(), &[]),
    }
}

/// What a message of the tag [`COMMAND`] tells a process to do.
fn command(message: &Term) -> Option<&[Term]> {
    match message.as_list() {
        Some([tag, command @ ..]) if tag.is(COMMAND) => Some(command),
        _ => None,
    }
}

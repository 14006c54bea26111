//! `oracle_event_manager`, and the handlers that are installed in it.
//!
//! A handler logs under the manager's id and its own. An event `[id, what, ..]` tells the handler with that id alone to
//! do something with itself.

use super::start::{self, Verdict, milliseconds};
use super::{Chronicle, HANDLER_MODULE, ID, MANAGER, request};
use arsenal_behaviours::gen_event::{
    EventHandler, EventManagerModule, Handled, HandlerModules, Init, Removed, Swap,
};
use arsenal_behaviours::pause::Pause;
use arsenal_behaviours::raise;
use arsenal_runtime::body::{Body, Event, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::module::{Description, Module};
use arsenal_runtime::term::Term;
use std::sync::Arc;

pub(super) struct Handler {
    chronicle: Arc<Chronicle>,
    id: Term,
    manager: Term,
    count: i64,
}

/// The init of the handler module.
pub(super) fn init(
    chronicle: Arc<Chronicle>,
) -> impl Fn(&Term, Option<&Term>, &mut Context<'_>) -> Init<Handler> + Send + Sync + 'static {
    move |args, handed_over, _| {
        // a swap by way of the service hands over both in one, as OTP does
        let (args, inside) = match args.as_list() {
            Some([args, left]) => (args, Some(left)),
            _ => (args, None),
        };
        let member = |key| args.get(key).cloned().unwrap_or_default();
        let handler =
            Handler { chronicle: Arc::clone(&chronicle), id: member(ID), manager: member(MANAGER), count: 0 };
        match start::read(args.get("init"), 0).1 {
            Verdict::Ok => {}
            Verdict::Ignore => return Init::Ignore,
            Verdict::Stop(reason) => return Init::Stop(reason),
            Verdict::Crash(reason) => return Init::Crash(reason),
            Verdict::Exit(reason) => return Init::Exit(reason),
        }
        if let Some(left) = handed_over.or(inside) {
            handler.log(Term::tagged("swapped_in", left.clone()));
        }
        Init::Ok(handler)
    }
}

impl Handler {
    fn log(&self, entry: Term) {
        let text = |term: &Term| term.as_str().unwrap_or_default().to_owned();
        self.chronicle.log_under(&format!("{}/{}", text(&self.manager), text(&self.id)), entry);
    }

    /// Does what an event tells this handler to do; nothing if it tells none, or another one.
    fn obey(&self, event: &Term) -> Option<Handled<Self>> {
        let [id, orders @ ..] = event.as_list()? else { return None };
        if *id != self.id {
            return None;
        }
        let (what, arguments) = orders.split_first()?;
        Some(match (what.as_str()?, arguments) {
            ("crash", []) => Handled::Crash("crash".into()),
            ("exit", [reason]) => raise::exit(reason.clone()),
            ("remove", []) => Handled::Remove,
            ("bad_return", []) => Handled::BadReturn("foo".into()),
            ("sleep", [pause]) => Pause::sleep(milliseconds(pause), |_, _| Handled::Ok).into(),
            ("swap", [to]) => Handled::Swap(Swap {
                argument: "swapped".into(),
                handler: Term::tagged(HANDLER_MODULE, to.clone()),
                args: Term::map([(ID, to.clone()), (MANAGER, self.manager.clone())]),
            }),
            _ => return None,
        })
    }
}

impl EventHandler for Handler {
    fn handle_event(&mut self, event: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        self.log(Term::tagged("event", event.clone()));
        if let Some(handled) = self.obey(event) {
            return handled;
        }
        self.count += 1;
        Handled::Ok
    }

    fn handle_call(&mut self, message: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        match request(message) {
            ("count", []) => Handled::Reply(self.count.into()),
            ("crash", []) => Handled::Crash("crash".into()),
            ("remove", []) => Handled::RemoveReply("removed".into()),
            ("bad_return", []) => Handled::BadReturn("foo".into()),
            ("sleep", [pause]) => Pause::sleep(milliseconds(pause), |_, _| Handled::Reply(Term::OK)).into(),
            _ => Handled::Reply(message.clone()),
        }
    }

    fn handle_info(&mut self, info: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        self.log(Term::tagged("info", info.clone()));
        Handled::Ok
    }

    fn terminate(&mut self, argument: &Term, _cx: &mut Context<'_>) -> Removed<Self> {
        self.log(Term::tagged("terminate", argument.clone()));
        Removed::Value(Term::tagged("terminated", self.count.into()))
    }
}

/// An event manager that writes the chronicle when it starts; all else is the behaviour's own.
pub(super) struct ManagerModule {
    module: EventManagerModule,
    chronicle: Arc<Chronicle>,
}

impl ManagerModule {
    pub(super) fn new(handlers: HandlerModules, chronicle: Arc<Chronicle>) -> Self {
        Self { module: EventManagerModule::new("oracle_event_manager", handlers), chronicle }
    }
}

impl Module for ManagerModule {
    fn describe(&self) -> Description {
        self.module.describe()
    }

    fn start(&self, args: &Term) -> Box<dyn Body> {
        let id = args.get(ID).and_then(Term::as_str).unwrap_or("?").into();
        Box::new(Manager { body: self.module.start(args), chronicle: Arc::clone(&self.chronicle), id })
    }
}

struct Manager {
    body: Box<dyn Body>,
    chronicle: Arc<Chronicle>,
    id: Arc<str>,
}

impl Body for Manager {
    fn step(&mut self, event: Event, cx: &mut Context<'_>) -> Step {
        if let Event::Start = event {
            self.chronicle.attempt(&self.id, cx);
            self.chronicle.started(&self.id, cx);
        }
        self.body.step(event, cx)
    }

    fn inspect(&self) -> Option<Term> {
        self.body.inspect()
    }

    fn handlers(&self) -> Option<Vec<Term>> {
        self.body.handlers()
    }

    fn backtrace(&self) -> Vec<String> {
        self.body.backtrace()
    }
}

//! `oracle_statem`: a `gen_statem` whose table of states, events and actions is in its args.

use super::start::{self, Ending, milliseconds};
use super::{Chronicle, command};
use arsenal_behaviours::gen_statem::{
    Action, Change, Event, EventKind, GenStatem, GenStatemModule, Init, Termination, TimeoutChange,
    TimeoutKind, Transition,
};
use arsenal_behaviours::raise;
use arsenal_runtime::context::Context;
use arsenal_runtime::message::ReplyTo;
use arsenal_runtime::module::Module;
use arsenal_runtime::term::{Reason, Term};
use std::sync::Arc;

struct Machine {
    chronicle: Arc<Chronicle>,
    table: Term,
    count: i64,
    ending: Ending,
}

pub(super) fn module(chronicle: &Arc<Chronicle>) -> impl Module {
    let chronicle = Arc::clone(chronicle);
    let init = move |args: &Term, cx: &mut Context<'_>| {
        let table = args.get("machine").cloned().unwrap_or_default();
        let initial = table.get("initial").cloned().unwrap_or_default();
        let begin = actions(table.get("init_actions"), None);
        let machine =
            Machine { chronicle: Arc::clone(&chronicle), table, count: 0, ending: Ending::of(args) };
        start::init(args, &chronicle, cx, move || Init::ok_with(initial, machine, begin))
    };
    GenStatemModule::new("oracle_statem", init).inspectable().replaceable()
}

/// The actions that a table lists; `caller` is whom a reply goes to.
fn actions(list: Option<&Term>, caller: Option<ReplyTo>) -> Vec<Action> {
    let list = list.and_then(Term::as_list).unwrap_or_default();
    list.iter().filter_map(|action| read(action, caller)).collect()
}

fn read(action: &Term, caller: Option<ReplyTo>) -> Option<Action> {
    let next = |kind, content: &Term| Action::NextEvent(Event { kind, content: content.clone() });
    let after = |ms: &Term| if ms.is("infinity") { None } else { Some(milliseconds(ms)) };
    let set = |kind, ms: &Term, content: &Term| {
        Action::Timeout(kind, TimeoutChange::Set(after(ms), content.clone()))
    };
    Some(match super::request(action) {
        ("postpone", []) => Action::Postpone,
        ("hibernate", []) => Action::Hibernate,
        ("reply", [reply]) => Action::Reply(caller?, reply.clone()),
        ("next_event", [content]) => next(EventKind::Internal, content),
        ("next_cast", [content]) => next(EventKind::Cast, content),
        ("state_timeout", [cancel]) if cancel.is("cancel") => {
            Action::Timeout(TimeoutKind::State, TimeoutChange::Cancel)
        }
        ("state_timeout", [update, content]) if update.is("update") => {
            Action::Timeout(TimeoutKind::State, TimeoutChange::Update(content.clone()))
        }
        ("state_timeout", [ms, content]) => set(TimeoutKind::State, ms, content),
        ("timeout", [ms, content]) => set(TimeoutKind::Event, ms, content),
        ("named_timeout", [name, cancel]) if cancel.is("cancel") => {
            Action::Timeout(TimeoutKind::Named(name.clone()), TimeoutChange::Cancel)
        }
        ("named_timeout", [name, ms, content]) => set(TimeoutKind::Named(name.clone()), ms, content),
        _ => return None,
    })
}

/// The event's type as the log has it, and whom a reply goes to.
fn kind_of(event: &Event) -> (Term, Option<ReplyTo>) {
    match &event.kind {
        EventKind::Call(from) => ("call".into(), Some(*from)),
        EventKind::Cast => ("cast".into(), None),
        EventKind::Info => ("info".into(), None),
        EventKind::Internal => ("internal".into(), None),
        EventKind::Timeout(TimeoutKind::Event) => ("timeout".into(), None),
        EventKind::Timeout(TimeoutKind::State) => ("state_timeout".into(), None),
        EventKind::Timeout(TimeoutKind::Named(name)) => (Term::tagged("timeout", name.clone()), None),
    }
}

impl Machine {
    fn state(&self, state: &Term) -> Option<&Term> {
        self.table.get("states")?.get(state.as_str()?)
    }

    fn row(&self, state: &Term, event: &Event) -> Option<Term> {
        let rows = self.state(state)?;
        event.content.tag().and_then(|tag| rows.get(tag)).or_else(|| rows.get("*")).cloned()
    }
}

impl GenStatem for Machine {
    const STATE_ENTER: bool = true;

    fn handle_event(&mut self, event: &Event, state: &Term, cx: &mut Context<'_>) -> Transition<Self> {
        let (kind, caller) = kind_of(event);
        if let Some(caller) = caller
            && event.content.is("get")
        {
            return Transition::keep().reply(caller, [state.clone(), self.count.into()]);
        }
        if let Some([verb, class, reason]) = command(&event.content)
            && verb.is("raise")
            && let Some(class) = class.as_str().and_then(raise::Class::from_name)
        {
            raise::raise(class, reason.clone());
        }
        self.chronicle.log([state.clone(), kind, event.content.clone()].into(), cx);
        let Some(row) = self.row(state, event) else { return Transition::keep() };
        self.count += row.get("add").and_then(Term::as_int).unwrap_or(0);
        if let Some(reason) = row.get("crash") {
            return Transition::Crash(reason.clone());
        }
        if let Some(reason) = row.get("exit") {
            return Transition::Exit(reason.clone());
        }
        let start = match (row.get("stop"), row.get("next")) {
            (Some(reason), _) => Transition::stop(reason.clone()),
            (None, None) => Transition::keep(),
            (None, Some(next)) if next.is("@repeat") => Transition::repeat(),
            (None, Some(next)) => Transition::Go(Change::To(next.clone()), Vec::new()),
        };
        actions(row.get("actions"), caller).into_iter().fold(start, Transition::with)
    }

    fn enter(&mut self, _previous: &Term, state: &Term, cx: &mut Context<'_>) -> Transition<Self> {
        if self.table.get("enter_log").and_then(Term::as_bool) == Some(true) {
            self.chronicle.log([state.clone(), "enter".into(), "none".into()].into(), cx);
        }
        let on_entry = actions(self.state(state).and_then(|rows| rows.get("enter")), None);
        on_entry.into_iter().fold(Transition::keep(), Transition::with)
    }

    fn terminate(&mut self, reason: &Reason, state: &Term, cx: &mut Context<'_>) -> Termination<Self> {
        self.chronicle.terminated([state.clone(), reason.clone()].into(), cx);
        self.ending.termination()
    }

    fn inspect(&self) -> Option<Term> {
        Some(self.count.into())
    }

    fn replace(&mut self, data: &Term) -> bool {
        let Some(count) = data.as_int() else { return false };
        self.count = count;
        true
    }
}

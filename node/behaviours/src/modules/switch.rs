//! `switch`: a state machine with the states `off` and `on`.
//!
//! Call or cast `on`, `["on", ms]` (it goes off by itself then), `off`, `toggle`; a call is answered with the new state.
//! The call `get` is answered `[state, switched]`. Its data is how often it has been switched. Args: `initial`, the
//! first state.

use super::args::{milliseconds, request};
use crate::gen_statem::{Event, EventKind, GenStatem, GenStatemModule, Init, TimeoutKind, Transition};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::ReplyTo;
use arsenal_runtime::module::Module;
use arsenal_runtime::term::Term;

const ON: &str = "on";
const OFF: &str = "off";

struct Switch {
    switched: i64,
}

pub(super) fn module() -> impl Module {
    GenStatemModule::new("switch", |args, _| {
        let initial = if args.get("initial").is_some_and(|state| state.is(ON)) { ON } else { OFF };
        Init::ok(initial, Switch { switched: 0 })
    })
    .inspectable()
    .replaceable()
    .restorable(|data| Some(Switch { switched: data.as_int()? }))
}

impl Switch {
    fn turn(&mut self, state: &Term, to: &'static str, from: Option<ReplyTo>) -> Transition<Self> {
        self.switched += i64::from(!state.is(to));
        let transition = Transition::next(to);
        match from {
            Some(from) => transition.reply(from, to),
            None => transition,
        }
    }
}

impl GenStatem for Switch {
    fn handle_event(&mut self, event: &Event, state: &Term, _cx: &mut Context<'_>) -> Transition<Self> {
        let from = match event.kind {
            EventKind::Call(from) => Some(from),
            _ => None,
        };
        match (request(&event.content), from) {
            ((ON, []), from) => self.turn(state, ON, from).cancel_timeout(TimeoutKind::State),
            ((ON, [ms]), from) => match milliseconds(ms) {
                Some(after) => self.turn(state, ON, from).state_timeout(after, OFF),
                None => Transition::Crash(Term::Atom("badarg")),
            },
            ((OFF, []), from) => self.turn(state, OFF, from),
            (("toggle", []), from) => {
                let to = if state.is(ON) { OFF } else { ON };
                self.turn(state, to, from)
            }
            (("get", []), Some(from)) => {
                Transition::keep().reply(from, Term::from([state.clone(), self.switched.into()]))
            }
            (_, Some(from)) => {
                Transition::keep().reply(from, Term::tagged("error", Term::Atom("unknown_request")))
            }
            (_, None) => Transition::keep(),
        }
    }

    fn inspect(&self) -> Option<Term> {
        Some(self.switched.into())
    }

    fn replace(&mut self, data: &Term) -> bool {
        let Some(switched) = data.as_int() else { return false };
        self.switched = switched;
        true
    }

    fn snapshot(&self) -> Option<Term> {
        Some(self.switched.into())
    }
}

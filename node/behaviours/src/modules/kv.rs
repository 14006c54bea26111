//! `kv`: a server that keeps terms under keys.
//!
//! Calls: `["put", key, value]` answers `ok`; `["get", key]` `["ok", value]` or `not_found`; `["delete", key]` `ok` or
//! `not_found`; `keys` the keys in order; `size` their number. `put` and `delete` may be cast. Args: the first members,
//! a map, under `entries`. Its state is the map.

use super::args::request;
use crate::gen_server::{GenServer, GenServerModule, Init, Outcome};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::ReplyTo;
use arsenal_runtime::module::Module;
use arsenal_runtime::term::Term;
use std::collections::BTreeMap;
use std::sync::Arc;

struct Store(BTreeMap<Arc<str>, Term>);

pub(super) fn module() -> impl Module {
    GenServerModule::new("kv", Store::init).inspectable().replaceable().restorable(Store::of)
}

impl Store {
    fn init(args: &Term, _cx: &mut Context<'_>) -> Init<Self> {
        match args.get("entries") {
            None => Init::ok(Self(BTreeMap::new())),
            Some(entries) => match Self::of(entries) {
                Some(store) => Init::ok(store),
                None => Init::Stop(Term::tagged("bad_entries", entries.clone())),
            },
        }
    }

    fn of(entries: &Term) -> Option<Self> {
        Some(Self(entries.as_map()?.iter().cloned().collect()))
    }

    /// Changes the store as asked; nothing if that is no change.
    fn change(&mut self, message: &Term) -> Option<Term> {
        match request(message) {
            ("put", [key, value]) => {
                self.0.insert(key.as_str()?.into(), value.clone());
                Some(Term::OK)
            }
            ("delete", [key]) => {
                let removed = self.0.remove(key.as_str()?).is_some();
                Some(if removed { Term::OK } else { Term::Atom("not_found") })
            }
            _ => None,
        }
    }

    fn read(&self, message: &Term) -> Option<Term> {
        match request(message) {
            ("get", [key]) => Some(match self.0.get(key.as_str()?) {
                Some(value) => Term::tagged("ok", value.clone()),
                None => Term::Atom("not_found"),
            }),
            ("keys", []) => Some(Term::list(self.0.keys().cloned().map(Term::Str))),
            ("size", []) => Some(Term::Int(i64::try_from(self.0.len()).unwrap_or(i64::MAX))),
            _ => None,
        }
    }

    fn entries(&self) -> Term {
        Term::Map(self.0.iter().map(|(key, value)| (Arc::clone(key), value.clone())).collect())
    }
}

impl GenServer for Store {
    fn handle_call(&mut self, message: &Term, _from: ReplyTo, _cx: &mut Context<'_>) -> Outcome<Self> {
        let answer = self.change(message).or_else(|| self.read(message));
        Outcome::reply(answer.unwrap_or_else(|| Term::tagged("error", Term::Atom("unknown_request"))))
    }

    fn handle_cast(&mut self, message: &Term, _cx: &mut Context<'_>) -> Outcome<Self> {
        self.change(message);
        Outcome::no_reply()
    }

    fn inspect(&self) -> Option<Term> {
        Some(self.entries())
    }

    fn replace(&mut self, state: &Term) -> bool {
        match Self::of(state) {
            Some(store) => {
                *self = store;
                true
            }
            None => false,
        }
    }

    fn snapshot(&self) -> Option<Term> {
        Some(self.entries())
    }

    fn heap_bytes(&self) -> Option<usize> {
        Some(self.0.iter().map(|(key, value)| 32 + key.len() + value.size_bytes()).sum())
    }
}

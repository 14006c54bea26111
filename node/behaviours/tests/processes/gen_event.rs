//! Event managers as processes: what owners, callers and handlers see.

use super::{Ground, Log, list};
use arsenal_behaviours::gen_event::{
    EventHandler, EventManagerModule, EventRequest, Handled, HandlerModules, Init, Removed, Swap,
};
use arsenal_behaviours::pause::Pause;
use arsenal_runtime::{Context, Kind, Pid, Term};
use std::sync::Arc;
use std::time::Duration;

/// A handler that logs what it sees and obeys `[name, word]`.
struct Scripted {
    name: Term,
    log: Log,
}

impl Scripted {
    fn log(&self, entry: Term) {
        self.log.push(list([self.name.clone(), entry]));
    }
}

impl EventHandler for Scripted {
    fn handle_event(&mut self, event: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        self.log(event.clone());
        match event.as_list() {
            Some([name, word]) if *name == self.name => match word.as_str() {
                Some("crash") => Handled::Crash("boom".into()),
                Some("exit") => Handled::Exit("bye".into()),
                Some("remove") => Handled::Remove,
                Some("bad_return") => Handled::BadReturn("foo".into()),
                Some("sleep") => Pause::sleep(Duration::from_millis(50), |handler: &mut Self, _| {
                    handler.log("rested".into());
                    Handled::Ok
                })
                .into(),
                _ => Handled::Swap(Swap {
                    argument: "swapped".into(),
                    handler: list(["scripted".into(), word.clone()]),
                    args: word.clone(),
                }),
            },
            _ => Handled::Ok,
        }
    }

    fn handle_call(&mut self, request: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        match request.as_str() {
            Some("crash") => Handled::Crash("crash".into()),
            Some("remove") => Handled::RemoveReply("removed".into()),
            _ => Handled::Reply(request.clone()),
        }
    }

    fn handle_info(&mut self, info: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        self.log(Term::tagged("info", info.clone()));
        Handled::Ok
    }

    fn terminate(&mut self, argument: &Term, _cx: &mut Context<'_>) -> Removed<Self> {
        self.log(Term::tagged("terminate", argument.clone()));
        Removed::Value("left".into())
    }
}

struct Scene {
    ground: Ground,
    manager: Pid,
    log: Log,
}

impl Scene {
    fn new() -> Self {
        let ground = Ground::new();
        let log = Log::default();
        let shared = log.clone();
        let handlers =
            HandlerModules::new().with("scripted", move |args: &Term, left: Option<&Term>, _: &mut _| {
                let handler = Scripted { name: args.clone(), log: shared.clone() };
                if let Some(left) = left {
                    handler.log(Term::tagged("swapped_in", left.clone()));
                }
                match args.as_str() {
                    Some("bad") => Init::Stop("nope".into()),
                    Some("broken") => Init::Crash("boom".into()),
                    _ => Init::Ok(handler),
                }
            });
        ground.node.add_module(Arc::new(EventManagerModule::new("scene", handlers)));
        let manager = ground.start("scene", Term::Null);
        Self { ground, manager, log }
    }

    fn ask(&self, request: EventRequest) -> Term {
        self.ground.call(self.manager, request.to_term())
    }

    fn add(&self, name: &'static str, owner: Option<Pid>) -> Term {
        self.ask(EventRequest::Add { handler: handler(name), args: name.into(), owner })
    }

    fn with(self, names: &[&'static str]) -> Self {
        for name in names {
            assert_eq!(self.add(name, None), Term::OK);
        }
        self
    }

    fn notify(&self, event: impl Into<Term>) {
        self.ground.send(self.manager, Kind::Notify, event);
    }

    fn call(&self, name: &'static str, request: &'static str) -> Term {
        self.ask(EventRequest::Call { handler: handler(name), request: request.into() })
    }

    fn installed(&self) -> Term {
        self.ask(EventRequest::Which)
    }

    fn read(&self) -> Vec<Term> {
        self.log.take()
    }
}

fn handler(name: &'static str) -> Term {
    list(["scripted".into(), name.into()])
}

fn said(name: &'static str, entry: impl Into<Term>) -> Term {
    list([name.into(), entry.into()])
}

fn order(name: &'static str, word: &'static str) -> Term {
    list([name.into(), word.into()])
}

#[test]
fn each_handler_sees_each_event_and_any_other_message() {
    let scene = Scene::new().with(&["h1", "h2"]);
    scene.notify("ping");
    assert_eq!(scene.ask(EventRequest::SyncNotify("pong".into())), Term::OK);
    scene.ground.send(scene.manager, Kind::Info, "raw");
    let raw = || Term::tagged("info", "raw".into());
    let expected = [
        said("h2", "ping"),
        said("h1", "ping"),
        said("h2", "pong"),
        said("h1", "pong"),
        said("h2", raw()),
        said("h1", raw()),
    ];
    assert_eq!(scene.read(), expected);
}

#[test]
fn a_handler_that_fails_is_removed_and_the_manager_lives() {
    let exit = |reason: Term| Term::tagged("EXIT", reason);
    for (word, value) in [
        ("crash", exit(Term::crash("boom".into()))),
        ("exit", exit("bye".into())),
        ("bad_return", "foo".into()),
    ] {
        let scene = Scene::new().with(&["h1", "h2"]);
        let recorder = scene.ground.recorder();
        scene.add("h3", Some(recorder));
        scene.notify(order("h3", word));
        assert_eq!(scene.installed(), list([handler("h2"), handler("h1")]));
        let argument = Term::tagged("error", value.clone());
        assert_eq!(scene.read()[1], said("h3", Term::tagged("terminate", argument)));
        let told = list(["gen_event_EXIT".into(), handler("h3"), value]);
        assert_eq!(scene.ground.received(recorder), [told]);
    }
}

#[test]
fn an_init_that_fails_installs_nothing() {
    let scene = Scene::new();
    assert_eq!(scene.add("bad", None), Term::tagged("error", "nope".into()));
    assert_eq!(scene.add("broken", None), Term::tagged("EXIT", Term::crash("boom".into())));
    let unknown = EventRequest::Add { handler: "nobody".into(), args: Term::Null, owner: None };
    assert_eq!(scene.ask(unknown), Term::tagged("EXIT", Term::crash("undef".into())));
    assert_eq!(scene.installed(), list([]));
}

#[test]
fn a_call_is_answered_by_its_handler_alone() {
    let scene = Scene::new().with(&["h1", "h2", "h3"]);
    assert_eq!(scene.call("h1", "echo"), Term::from("echo"));
    assert_eq!(scene.call("h1", "remove"), Term::from("removed"));
    let crash = Term::tagged("EXIT", Term::crash("crash".into()));
    assert_eq!(scene.call("h2", "crash"), Term::tagged("error", crash));
    assert_eq!(scene.call("h2", "echo"), Term::tagged("error", "bad_module".into()));
    assert_eq!(scene.installed(), list([handler("h3")]));
    let nonsense = scene.ground.call(scene.manager, "nonsense");
    assert_eq!(nonsense, Term::tagged("error", Term::tagged("bad_request", "nonsense".into())));
}

#[test]
fn a_swap_by_a_handler_hands_over_what_terminate_left() {
    let scene = Scene::new().with(&["h1"]);
    scene.notify(order("h1", "h2"));
    assert_eq!(scene.installed(), list([handler("h2")]));
    assert_eq!(
        scene.read()[1..],
        [
            said("h1", Term::tagged("terminate", "swapped".into())),
            said("h2", Term::tagged("swapped_in", "left".into())),
        ]
    );
}

#[test]
fn a_handler_that_sleeps_holds_up_the_next_and_the_mailbox() {
    let scene = Scene::new().with(&["h1", "h2"]);
    scene.notify(order("h2", "sleep"));
    scene.notify("later");
    assert_eq!(scene.read().len(), 1);
    scene.ground.pass(50);
    let words: Vec<Term> = scene.read();
    assert_eq!(words[0], said("h2", "rested"));
    assert_eq!(words.len(), 4);
    assert_eq!(words[3], said("h1", "later"));
}

#[test]
fn an_owner_is_linked_and_its_end_removes_its_handlers() {
    let scene = Scene::new().with(&["h2"]);
    let owner = scene.ground.start("plain", Term::Null);
    scene.add("h1", Some(owner));
    scene.ground.node.exit(Pid::NONE, owner, "bad".into());
    scene.ground.node.run_until_idle();
    assert_eq!(scene.installed(), list([handler("h2")]));
    let exit = list(["EXIT".into(), owner.into(), "bad".into()]);
    let gone = Term::tagged("terminate", Term::tagged("stop", "bad".into()));
    assert_eq!(scene.read(), [said("h1", gone), said("h2", Term::tagged("info", exit))]);
}

#[test]
fn a_manager_that_stops_tells_its_owners_without_an_exit() {
    let scene = Scene::new();
    let recorder = scene.ground.recorder();
    scene.add("h1", Some(recorder));
    scene.ground.stop(scene.manager, Term::SHUTDOWN);
    assert_eq!(scene.ground.exit_of(scene.manager), Term::SHUTDOWN);
    assert_eq!(scene.read(), [said("h1", Term::tagged("terminate", "stop".into()))]);
    let told = list(["gen_event_EXIT".into(), handler("h1"), Term::SHUTDOWN]);
    assert_eq!(scene.ground.received(recorder), [told]);
}

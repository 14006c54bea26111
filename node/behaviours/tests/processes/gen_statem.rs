//! `gen_statem` on real timers: what the core decides is what happens.

use super::{Ground, Log, list};
use arsenal_behaviours::gen_statem::{
    Event, EventKind, GenStatem, GenStatemModule, Init, TimeoutKind, Transition,
};
use arsenal_behaviours::pause::Pause;
use arsenal_runtime::{Context, Kind, Pid, StartOptions, Term};
use std::sync::Arc;
use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A door that logs what it sees: closed, opened, and locked again after 100 ms closed.
struct Door {
    log: Log,
}

impl GenStatem for Door {
    const STATE_ENTER: bool = true;

    fn handle_event(&mut self, event: &Event, state: &Term, _cx: &mut Context<'_>) -> Transition<Self> {
        if let (EventKind::Call(from), true) = (&event.kind, event.content.is("get")) {
            return Transition::keep().reply(*from, state.clone());
        }
        self.log.push(list([state.clone(), event.content.clone()]));
        match (state.as_str(), event.content.tag(), &event.kind) {
            (_, Some("bang"), _) => Transition::Crash("boom".into()),
            (_, Some("nap"), EventKind::Call(from)) => {
                let from = *from;
                Pause::sleep(ms(50), move |_: &mut Self, _| Transition::next("opened").reply(from, "rested"))
                    .into()
            }
            (_, Some("arm"), _) => Transition::keep()
                .named_timeout("t", ms(120), "named")
                .state_timeout(ms(150), "state")
                .event_timeout(ms(50), "event"),
            (_, Some("cancel"), _) => Transition::keep().cancel_timeout(TimeoutKind::State),
            (Some("locked"), Some("unlock"), _) => Transition::next("closed"),
            (Some("locked"), Some("open"), _) => Transition::keep().postpone(),
            (Some("closed"), Some("open"), _) => Transition::next("opened"),
            (Some("closed"), Some("relock"), _) => Transition::next("locked"),
            (Some("opened"), Some("close"), _) => {
                Transition::next("closed").next_event(EventKind::Internal, "click")
            }
            _ => Transition::keep(),
        }
    }

    fn enter(&mut self, previous: &Term, state: &Term, _cx: &mut Context<'_>) -> Transition<Self> {
        self.log.push(list([state.clone(), "enter".into(), previous.clone()]));
        if state.is("closed") {
            Transition::keep().state_timeout(ms(100), "relock")
        } else {
            Transition::keep()
        }
    }

    fn terminate(
        &mut self,
        reason: &Term,
        state: &Term,
        _cx: &mut Context<'_>,
    ) -> arsenal_behaviours::gen_statem::Termination<Self> {
        self.log.push(list(["terminate".into(), state.clone(), reason.clone()]));
        arsenal_behaviours::gen_statem::Termination::Done
    }

    fn inspect(&self) -> Option<Term> {
        Some(Term::Null)
    }
}

fn door(ground: &Ground, options: StartOptions) -> (Pid, Log) {
    let log = Log::default();
    let shared = log.clone();
    let module = GenStatemModule::new("door", move |_, _| Init::ok("locked", Door { log: shared.clone() }));
    ground.node.add_module(Arc::new(module.inspectable()));
    let pid = ground.start_with("door", Term::Null, options);
    log.take();
    (pid, log)
}

fn entry<const N: usize>(words: [&'static str; N]) -> Term {
    words.map(Term::from).into()
}

#[test]
fn a_timeout_of_the_state_entered_fires_and_enters_the_next() {
    let ground = Ground::new();
    let (door, log) = door(&ground, StartOptions::default());
    ground.cast(door, "unlock");
    ground.pass(99);
    assert_eq!(ground.call(door, "get"), Term::from("closed"));
    ground.pass(1);
    assert_eq!(ground.call(door, "get"), Term::from("locked"));
    let expected = [
        entry(["locked", "unlock"]),
        entry(["closed", "enter", "locked"]),
        entry(["closed", "relock"]),
        entry(["locked", "enter", "closed"]),
    ];
    assert_eq!(log.take(), expected);
}

#[test]
fn a_postponed_event_is_handled_in_the_next_state() {
    let ground = Ground::new();
    let (door, log) = door(&ground, StartOptions::default());
    ground.cast(door, "open");
    ground.cast(door, "unlock");
    assert_eq!(ground.call(door, "get"), Term::from("opened"));
    ground.pass(200);
    assert_eq!(ground.call(door, "get"), Term::from("opened"), "the state timeout went with its state");
    ground.cast(door, "close");
    assert_eq!(log.take().last(), Some(&entry(["closed", "click"])));
}

#[test]
fn the_three_kinds_of_timeout_run_side_by_side() {
    let ground = Ground::new();
    let (door, log) = door(&ground, StartOptions::default());
    ground.cast(door, "arm");
    ground.pass(250);
    let seen: Vec<Term> = ["arm", "event", "named", "state"].map(|word| entry(["locked", word])).into();
    assert_eq!(log.take(), seen);
}

#[test]
fn a_timeout_that_fired_while_the_machine_was_busy_is_not_seen_once_it_is_cancelled() {
    let ground = Ground::new();
    let (door, log) = door(&ground, StartOptions::default());
    ground.cast(door, "unlock");
    ground.pass(80);
    log.take();
    // The timer fires in the middle of the nap, which ends in another state.
    assert_eq!(ground.call(door, "nap"), Term::from("rested"));
    ground.pass(200);
    assert_eq!(log.take(), [entry(["closed", "nap"]), entry(["opened", "enter", "closed"])]);
}

#[test]
fn a_crash_shows_terminate_the_bare_error_and_the_caller_the_crash() {
    let ground = Ground::new();
    let (door, log) = door(&ground, StartOptions::default());
    assert_eq!(ground.call_exit(door, "bang"), Term::crash("boom".into()));
    assert_eq!(log.take().last(), Some(&entry(["terminate", "locked", "boom"])));
}

#[test]
fn a_stop_and_the_parents_exit_run_terminate_in_the_state() {
    let ground = Ground::new();
    let (first, log) = door(&ground, StartOptions::default());
    ground.stop(first, Term::NORMAL);
    assert_eq!(log.take(), [entry(["terminate", "locked", "normal"])]);
    assert_eq!(ground.exit_of(first), Term::NORMAL);
    let parent = ground.start("plain", Term::Null);
    let options =
        StartOptions { parent: Some(parent), link: true, trap_exit: true, ..StartOptions::default() };
    let (second, log) = door(&ground, options);
    ground.node.exit(Pid::NONE, parent, "bad".into());
    assert_eq!(ground.exit_of(second), Term::from("bad"));
    assert_eq!(log.take(), [entry(["terminate", "locked", "bad"])]);
}

#[test]
fn the_state_is_shown_beside_the_data_and_another_message_is_an_info_event() {
    let ground = Ground::new();
    let (door, log) = door(&ground, StartOptions::default());
    ground.send(door, Kind::Info, "knock");
    assert_eq!(log.take(), [entry(["locked", "knock"])]);
    assert_eq!(ground.state(door), list(["locked".into(), Term::Null]));
}

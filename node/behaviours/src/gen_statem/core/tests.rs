//! The rules of a state machine against a small model of them.

use super::*;
use proptest::prelude::*;

fn cast(content: &'static str) -> Event {
    Event { kind: EventKind::Cast, content: content.into() }
}

fn internal(content: &'static str) -> Event {
    Event { kind: EventKind::Internal, content: content.into() }
}

fn timeout(kind: TimeoutKind, content: &'static str) -> Event {
    Event { kind: EventKind::Timeout(kind), content: content.into() }
}

fn to(state: &'static str) -> Change {
    Change::To(state.into())
}

fn set(kind: TimeoutKind, ms: u64, content: &'static str) -> Action {
    Action::set_timeout(kind, Duration::from_millis(ms), content)
}

/// A machine in state `a`, and the next event handled with this result.
fn machine() -> Core {
    Core::new("a".into(), false)
}

fn handle(core: &mut Core, change: Change, actions: Vec<Action>) -> Event {
    let event = core.next_event().expect("an event is due");
    assert_eq!(core.handled(event.clone(), change, actions), Progress::Done);
    event
}

#[test]
fn postponed_events_come_back_in_order_before_newer_ones_and_after_inserted_ones() {
    let mut core = machine();
    for content in ["l1", "l2", "go", "newer"] {
        core.arrived(cast(content));
    }
    handle(&mut core, Change::Keep, vec![Action::Postpone]);
    handle(&mut core, Change::Keep, vec![Action::Postpone]);
    handle(&mut core, to("b"), vec![Action::NextEvent(internal("i1")), Action::NextEvent(internal("i2"))]);
    let rest: Vec<Event> = std::iter::from_fn(|| core.next_event()).collect();
    assert_eq!(rest, [internal("i1"), internal("i2"), cast("l1"), cast("l2"), cast("newer")]);
}

#[test]
fn an_event_postponed_with_a_state_change_comes_back_at_once() {
    let mut core = machine();
    core.arrived(cast("both"));
    handle(&mut core, to("b"), vec![Action::Postpone]);
    assert_eq!(core.next_event(), Some(cast("both")));
}

#[test]
fn neither_the_same_state_nor_a_repeated_one_replays_anything() {
    for change in [to("a"), Change::Repeat] {
        let mut core = machine();
        core.arrived(cast("later"));
        handle(&mut core, Change::Keep, vec![Action::Postpone, set(TimeoutKind::State, 5, "tick")]);
        core.take_effects();
        core.arrived(cast("go"));
        handle(&mut core, change, Vec::new());
        assert_eq!(core.next_event(), None);
        assert_eq!(core.take_effects(), [], "the state timeout goes on");
    }
}

#[test]
fn a_state_change_ends_the_state_timeout_and_spares_the_named_one() {
    let mut core = machine();
    core.arrived(cast("go"));
    let named = TimeoutKind::Named("t".into());
    handle(&mut core, Change::Keep, vec![set(TimeoutKind::State, 5, "tick"), set(named, 6, "named")]);
    let started = core.take_effects();
    let [Effect::Start(state, _), Effect::Start(named, _)] = started[..] else { panic!("{started:?}") };
    core.arrived(cast("leave"));
    handle(&mut core, to("b"), Vec::new());
    assert_eq!(core.take_effects(), [Effect::Cancel(state)]);
    assert_eq!(core.fired(state), None, "what was cancelled does not fire");
    assert_eq!(core.fired(named), Some(timeout(TimeoutKind::Named("t".into()), "named")));
}

#[test]
fn a_state_timeout_set_with_the_change_belongs_to_the_new_state() {
    let mut core = machine();
    core.arrived(cast("go"));
    handle(&mut core, to("b"), vec![set(TimeoutKind::State, 5, "tick")]);
    assert!(matches!(core.take_effects()[..], [Effect::Start(..)]));
}

#[test]
fn any_event_ends_the_event_timeout_and_the_change_of_state_alone_does_not() {
    let mut core = machine();
    core.arrived(cast("go"));
    handle(&mut core, to("b"), vec![set(TimeoutKind::Event, 5, "idle")]);
    let [Effect::Start(token, _)] = core.take_effects()[..] else { panic!("one timer") };
    core.arrived(cast("unhandled"));
    handle(&mut core, Change::Keep, Vec::new());
    assert_eq!(core.take_effects(), [Effect::Cancel(token)]);
}

#[test]
fn timeouts_of_zero_come_in_order_after_all_events_and_an_event_ends_the_event_timeout_of_zero() {
    let mut core = machine();
    core.arrived(cast("go"));
    core.arrived(cast("queued"));
    let zero = |kind, content| set(kind, 0, content);
    handle(
        &mut core,
        Change::Keep,
        vec![
            zero(TimeoutKind::Event, "idle"),
            zero(TimeoutKind::State, "st"),
            zero(TimeoutKind::Named("n".into()), "nm"),
        ],
    );
    assert_eq!(handle(&mut core, Change::Keep, Vec::new()), cast("queued"));
    assert_eq!(handle(&mut core, Change::Keep, Vec::new()), timeout(TimeoutKind::State, "st"));
    assert_eq!(core.next_event(), Some(timeout(TimeoutKind::Named("n".into()), "nm")));
    assert_eq!(core.next_event(), None, "the event timeout was ended by the queued event");
}

#[test]
fn an_update_changes_the_content_and_fires_at_once_if_nothing_runs() {
    let mut core = machine();
    core.arrived(cast("go"));
    handle(&mut core, Change::Keep, vec![set(TimeoutKind::State, 5, "old")]);
    let [Effect::Start(token, _)] = core.take_effects()[..] else { panic!("one timer") };
    core.arrived(cast("update"));
    let update = |content: &'static str| {
        vec![Action::Timeout(TimeoutKind::State, TimeoutChange::Update(content.into()))]
    };
    handle(&mut core, Change::Keep, update("new"));
    assert_eq!(core.take_effects(), []);
    let fired = core.fired(token).expect("it runs");
    core.arrived(fired);
    assert_eq!(handle(&mut core, Change::Keep, update("now")), timeout(TimeoutKind::State, "new"));
    assert_eq!(core.next_event(), Some(timeout(TimeoutKind::State, "now")));
}

#[test]
fn of_two_changes_to_one_timeout_the_last_counts_and_infinity_cancels() {
    let mut core = machine();
    core.arrived(cast("go"));
    let infinity = Action::Timeout(TimeoutKind::State, TimeoutChange::Set(None, Term::Null));
    handle(&mut core, Change::Keep, vec![set(TimeoutKind::State, 5, "first"), infinity]);
    assert_eq!(core.take_effects(), []);
    assert!(core.is_at_rest());
}

#[test]
fn states_are_entered_at_the_start_on_a_change_and_on_a_repeat_but_not_on_the_same_state() {
    let mut core = Core::new("a".into(), true);
    assert_eq!(core.begin(Vec::new()), Ok(Progress::Enter { previous: "a".into() }));
    assert_eq!(core.entered(Change::Keep, Vec::new()), Ok(Progress::Done));
    for (change, previous) in [(to("a"), None), (Change::Repeat, Some("a")), (to("b"), Some("a"))] {
        core.arrived(cast("go"));
        let event = core.next_event().unwrap();
        let progress = core.handled(event, change, Vec::new());
        match previous {
            None => assert_eq!(progress, Progress::Done),
            Some(previous) => {
                assert_eq!(progress, Progress::Enter { previous: previous.into() });
                assert_eq!(core.entered(Change::Keep, Vec::new()), Ok(Progress::Done));
            }
        }
    }
}

#[test]
fn a_state_enter_call_may_set_timeouts_but_neither_postpone_nor_insert_nor_leave() {
    let enter = || {
        let mut core = Core::new("a".into(), true);
        assert!(matches!(core.begin(Vec::new()), Ok(Progress::Enter { .. })));
        core
    };
    let mut core = enter();
    assert_eq!(core.entered(Change::Keep, vec![set(TimeoutKind::State, 5, "leave")]), Ok(Progress::Done));
    assert!(matches!(core.take_effects()[..], [Effect::Start(..)]));
    assert_eq!(
        enter().entered(Change::Keep, vec![Action::Postpone]),
        Err(TransitionError::ActionOnEntry("postpone"))
    );
    assert!(enter().entered(Change::Keep, vec![Action::NextEvent(internal("i"))]).is_err());
    assert_eq!(enter().entered(to("b"), Vec::new()), Err(TransitionError::ChangeOnEntry("b".into())));
}

/// What a machine of the property does with one event.
#[derive(Clone, Debug)]
struct Decision {
    to: Option<&'static str>,
    postpone: bool,
    inserts: usize,
}

fn decision() -> impl Strategy<Value = Decision> {
    let state = prop_oneof![Just(None), Just(Some("a")), Just(Some("b")), Just(Some("c"))];
    (state, any::<bool>(), 0_usize..3).prop_map(|(to, postpone, inserts)| Decision { to, postpone, inserts })
}

/// The rules as the manual states them, on one flat list.
#[derive(Default)]
struct Model {
    state: &'static str,
    queue: Vec<Event>,
    postponed: Vec<Event>,
}

impl Model {
    fn handle(&mut self, decision: &Decision, inserted: &[Event]) -> Event {
        let event = self.queue.remove(0);
        if decision.postpone {
            self.postponed.push(event.clone());
        }
        let state = decision.to.unwrap_or(self.state);
        let replayed = if state == self.state { Vec::new() } else { std::mem::take(&mut self.postponed) };
        self.state = state;
        self.queue = [inserted.to_vec(), replayed, std::mem::take(&mut self.queue)].concat();
        event
    }
}

proptest! {
    #[test]
    fn events_are_handled_in_the_order_of_the_model_and_none_is_lost(
        decisions in prop::collection::vec((decision(), 0_usize..3), 1..60),
    ) {
        let mut core = machine();
        let mut model = Model { state: "a", ..Model::default() };
        let mut made = 0;
        let mut number = |kind| { made += 1; Event { kind, content: Term::Int(made) } };
        for (decision, arriving) in decisions {
            for _ in 0..arriving {
                let event = number(EventKind::Cast);
                core.arrived(event.clone());
                model.queue.push(event);
            }
            let Some(event) = core.next_event() else {
                prop_assert!(model.queue.is_empty());
                continue;
            };
            let inserted: Vec<Event> = (0..decision.inserts).map(|_| number(EventKind::Internal)).collect();
            let mut actions: Vec<Action> = inserted.iter().cloned().map(Action::NextEvent).collect();
            actions.extend(decision.postpone.then_some(Action::Postpone));
            let change = decision.to.map_or(Change::Keep, to);
            prop_assert_eq!(model.handle(&decision, &inserted), event.clone());
            prop_assert_eq!(core.handled(event, change, actions), Progress::Done);
            prop_assert_eq!(core.state(), &Term::from(model.state));
        }
        let rest: Vec<Event> = std::iter::from_fn(|| core.next_event()).collect();
        prop_assert_eq!(rest, model.queue);
        prop_assert_eq!(core.postponed, model.postponed);
    }

    #[test]
    fn a_state_timeout_fires_only_in_the_stay_that_set_it(
        steps in prop::collection::vec((prop::option::of(0_usize..3), any::<bool>(), any::<bool>()), 1..60),
    ) {
        let states = ["a", "b", "c"];
        let (mut core, mut stay, mut running) = (machine(), 0, None);
        for (state, sets, fires) in steps {
            if let Some((token, set_in)) = running.filter(|_| fires) {
                let fired = core.fired(token);
                prop_assert_eq!(fired.is_some(), set_in == stay, "set in stay {} and now is {}", set_in, stay);
                running = None;
                if let Some(event) = fired {
                    core.arrived(event);
                }
            } else {
                core.arrived(cast("go"));
            }
            let Some(event) = core.next_event() else { continue };
            let change = state.map_or(Change::Keep, |index| to(states[index]));
            let left = core.state().clone();
            let actions = if sets { vec![set(TimeoutKind::State, 5, "tick")] } else { Vec::new() };
            prop_assert_eq!(core.handled(event, change, actions), Progress::Done);
            stay += i32::from(*core.state() != left);
            for effect in core.take_effects() {
                if let Effect::Start(token, _) = effect {
                    running = Some((token, stay));
                }
            }
        }
    }
}

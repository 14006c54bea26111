//! The rules of an event manager: what is run in which order, and what owners and callers are told.

use super::*;
use arsenal_runtime::pid::{OwnedId, Ref};
use proptest::prelude::*;

const OWNER: Pid = Pid::new(1, 1, 7);

fn reference() -> Ref {
    OwnedId::new(1, 1, b'm', 1).reference().expect("1 is not 0")
}

fn caller() -> ReplyTo {
    ReplyTo { to: Pid::new(1, 1, 1), reference: reference() }
}

fn add(handler: &Term, owner: Option<Pid>) -> EventRequest {
    EventRequest::Add { handler: handler.clone(), args: Term::Null, owner }
}

/// Does all acts; each callback ends well, but those of `verdicts`.
fn settle(core: &mut Core, verdict: impl Fn(&Term) -> Verdict) -> Vec<Act> {
    let mut acts = Vec::new();
    while let Some(act) = core.next_act() {
        match &act {
            Act::Handle { callback: Callback::Call, content, .. } => {
                core.handled(Verdict::Reply(content.clone()))
            }
            Act::Handle { content, .. } => core.handled(verdict(content)),
            Act::Terminate { .. } => core.terminated(Ok("left".into())),
            Act::Install { .. } => core.installed(Ok(())),
            _ => {}
        }
        acts.push(act);
    }
    acts
}

fn settled(core: &mut Core) -> Vec<Act> {
    settle(core, |_| Verdict::Ok)
}

fn installed(core: &Core) -> Vec<Term> {
    core.handlers().map(|(_, handler)| handler.clone()).collect()
}

fn with_handlers(handlers: &[(&'static str, Option<Pid>)]) -> Core {
    let mut core = Core::default();
    for (handler, owner) in handlers {
        core.request(add(&(*handler).into(), *owner), caller());
        settled(&mut core);
    }
    core
}

fn told(handler: &'static str, reason: Term) -> Act {
    Act::Tell(OWNER, [Term::from("gen_event_EXIT"), handler.into(), reason].into())
}

#[test]
fn the_newest_handler_is_first_and_the_same_one_may_be_added_twice() {
    let core = with_handlers(&[("h1", None), ("h2", None), ("h1", None)]);
    assert_eq!(installed(&core), ["h1", "h2", "h1"].map(Term::from));
}

#[test]
fn a_failing_handler_alone_is_removed_and_its_owner_is_told_why() {
    let mut core = with_handlers(&[("h1", Some(OWNER)), ("h2", None)]);
    let first = core.handlers().last().map(|(key, _)| key).unwrap();
    core.notify("ping".into());
    let failure = Term::tagged("EXIT", Term::crash("boom".into()));
    let mut acts = Vec::new();
    while let Some(act) = core.next_act() {
        match &act {
            Act::Handle { key, .. } if *key == first => core.handled(Verdict::Failed(failure.clone())),
            Act::Handle { .. } => core.handled(Verdict::Ok),
            Act::Terminate { argument, .. } => {
                assert_eq!(*argument, Term::tagged("error", failure.clone()));
                core.terminated(Ok(Term::OK));
            }
            _ => {}
        }
        acts.push(act);
    }
    assert_eq!(installed(&core), [Term::from("h2")]);
    assert_eq!(acts.last(), Some(&told("h1", failure)));
}

#[test]
fn what_is_not_there_can_be_neither_deleted_nor_called() {
    let mut core = Core::default();
    core.request(EventRequest::Delete { handler: "h1".into(), argument: Term::Null }, caller());
    core.request(EventRequest::Call { handler: "h1".into(), request: Term::Null }, caller());
    let error = |reason: &'static str| Act::Reply(caller(), Term::tagged("error", reason.into()));
    assert_eq!(settled(&mut core), [error("module_not_found"), error("bad_module")]);
}

#[test]
fn a_deleted_handler_leaves_its_value_to_the_caller_and_its_owner_stays_linked() {
    let mut core = with_handlers(&[("h1", Some(OWNER))]);
    core.request(EventRequest::Delete { handler: "h1".into(), argument: "args".into() }, caller());
    let acts = settled(&mut core);
    assert_eq!(acts[1..], [told("h1", Term::NORMAL), Act::Reply(caller(), "left".into())]);
}

#[test]
fn a_swap_hands_over_what_was_left_and_keeps_the_owner() {
    let mut core = with_handlers(&[("h1", Some(OWNER)), ("other", None)]);
    let swap = |old: &'static str| EventRequest::Swap {
        old: old.into(),
        argument: "swap".into(),
        new: "h2".into(),
        args: Term::Null,
        owner: None,
    };
    core.request(swap("h1"), caller());
    let acts = settled(&mut core);
    let reason = [Term::from("swapped"), "h2".into(), OWNER.into()].into();
    assert_eq!(acts[1..3], [told("h1", reason), Act::Link(OWNER)]);
    assert!(matches!(&acts[3], Act::Install { handed_over: Some(left), .. } if left.is("left")));
    assert_eq!(installed(&core), ["h2", "other"].map(Term::from));
    core.request(swap("nobody"), caller());
    let acts = settled(&mut core);
    assert!(matches!(&acts[0], Act::Install { handed_over: Some(left), .. } if left.is("error")));
}

#[test]
fn a_swap_from_within_keeps_the_place_and_the_new_one_misses_the_event() {
    let mut core = with_handlers(&[("old", None), ("h1", None), ("new", None)]);
    core.notify("h1".into());
    let key = core.handlers().nth(1).map(|(key, _)| key).unwrap();
    let mut handled = 0;
    while let Some(act) = core.next_act() {
        match act {
            Act::Handle { key: this, .. } => {
                handled += 1;
                let swap = Swap { argument: Term::Null, handler: "h2".into(), args: Term::Null };
                core.handled(if this == key { Verdict::Swap(swap) } else { Verdict::Ok });
            }
            Act::Terminate { .. } => core.terminated(Ok(Term::Null)),
            Act::Install { .. } => core.installed(Ok(())),
            _ => {}
        }
    }
    assert_eq!(handled, 3);
    assert_eq!(installed(&core), ["new", "h2", "old"].map(Term::from));
}

#[test]
fn the_end_of_an_owner_takes_its_handlers_and_the_others_see_it() {
    let mut core = with_handlers(&[("h1", Some(OWNER)), ("h2", None)]);
    core.owner_ended(OWNER, &"bad".into(), "info".into());
    let acts = settled(&mut core);
    assert!(
        matches!(&acts[0], Act::Terminate { argument, .. } if *argument == Term::tagged("stop", "bad".into()))
    );
    assert!(matches!(&acts[2], Act::Handle { callback: Callback::Info, .. }));
    assert_eq!(installed(&core), [Term::from("h2")]);
}

#[test]
fn a_manager_that_stops_tells_owners_first_and_unlinks_all_but_its_parent() {
    let parent = Pid::new(1, 1, 2);
    let mut core = with_handlers(&[("h1", Some(OWNER)), ("h2", Some(parent))]);
    core.stop(Term::SHUTDOWN, Some(parent));
    let acts = settled(&mut core);
    assert!(acts.contains(&told("h1", Term::SHUTDOWN)));
    assert_eq!(acts[acts.len() - 2..], [Act::Unlink(OWNER), Act::Exit(Term::SHUTDOWN)]);
    assert!(!acts.contains(&Act::Unlink(parent)));
}

#[test]
fn a_call_that_gives_no_answer_is_an_error_and_removes_the_handler() {
    let mut core = with_handlers(&[("h1", None)]);
    core.request(EventRequest::Call { handler: "h1".into(), request: Term::Null }, caller());
    assert!(matches!(core.next_act(), Some(Act::Handle { callback: Callback::Call, .. })));
    assert_eq!(core.next_act(), None, "nothing else before it has ended");
    core.handled(Verdict::Ok);
    let acts = settled(&mut core);
    assert_eq!(acts.last(), Some(&Act::Reply(caller(), Term::tagged("error", Term::OK))));
    assert_eq!(installed(&core), []);
}

#[derive(Clone, Debug)]
enum Move {
    Add(i64, bool),
    Delete(i64),
    Swap(i64, i64),
    Remove(i64),
    OwnerEnds,
}

fn moves() -> impl Strategy<Value = Move> {
    let handler = || 0_i64..4;
    prop_oneof![
        (handler(), any::<bool>()).prop_map(|(handler, owned)| Move::Add(handler, owned)),
        handler().prop_map(Move::Delete),
        (handler(), handler()).prop_map(|(old, new)| Move::Swap(old, new)),
        handler().prop_map(Move::Remove),
        Just(Move::OwnerEnds),
    ]
}

fn name(handler: i64) -> Term {
    Term::tagged("h", Term::Int(handler))
}

/// The list as the manual describes it.
fn apply(model: &mut Vec<(i64, bool)>, step: &Move) {
    let first = |model: &[(i64, bool)], handler| model.iter().position(|(known, _)| *known == handler);
    match step {
        Move::Add(handler, owned) => model.insert(0, (*handler, *owned)),
        Move::Delete(handler) => {
            if let Some(index) = first(model, *handler) {
                model.remove(index);
            }
        }
        Move::Swap(old, new) => {
            let owned = first(model, *old).is_some_and(|index| model.remove(index).1);
            model.insert(0, (*new, owned));
        }
        Move::Remove(handler) => model.retain(|(known, _)| known != handler),
        Move::OwnerEnds => model.retain(|(_, owned)| !owned),
    }
}

proptest! {
    #[test]
    fn the_list_of_handlers_is_that_of_the_model_and_each_one_sees_each_event_once(
        steps in prop::collection::vec(moves(), 1..40),
    ) {
        let mut core = Core::default();
        let mut model = Vec::new();
        for step in steps {
            apply(&mut model, &step);
            match step {
                Move::Add(handler, owned) => core.request(add(&name(handler), owned.then_some(OWNER)), caller()),
                Move::Delete(handler) => {
                    core.request(EventRequest::Delete { handler: name(handler), argument: Term::Null }, caller());
                }
                Move::Swap(old, new) => core.request(
                    EventRequest::Swap {
                        old: name(old),
                        argument: Term::Null,
                        new: name(new),
                        args: Term::Null,
                        owner: None,
                    },
                    caller(),
                ),
                Move::Remove(handler) => {
                    let keys: Vec<Key> =
                        core.handlers().filter(|(_, known)| **known == name(handler)).map(|(key, _)| key).collect();
                    core.notify("remove".into());
                    while let Some(act) = core.next_act() {
                        match act {
                            Act::Handle { key, .. } if keys.contains(&key) => core.handled(Verdict::Remove),
                            Act::Handle { .. } => core.handled(Verdict::Ok),
                            Act::Terminate { .. } => core.terminated(Ok(Term::Null)),
                            _ => {}
                        }
                    }
                }
                Move::OwnerEnds => core.owner_ended(OWNER, &Term::NORMAL, Term::Null),
            }
            settled(&mut core);
            let expected: Vec<Term> = model.iter().map(|(handler, _)| name(*handler)).collect();
            prop_assert_eq!(installed(&core), expected);
            let keys: Vec<Key> = core.handlers().map(|(key, _)| key).collect();
            core.notify("ping".into());
            let seen: Vec<Key> = settled(&mut core)
                .into_iter()
                .filter_map(|act| match act {
                    Act::Handle { key, .. } => Some(key),
                    _ => None,
                })
                .collect();
            prop_assert_eq!(seen, keys);
        }
    }
}

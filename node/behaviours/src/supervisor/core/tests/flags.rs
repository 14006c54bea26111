//! Flags, pause and resume, replaced specs, the restart of a whole tree.

use super::*;
use crate::supervisor::request::FlagChanges;

fn flags(world: &mut World) -> crate::supervisor::request::FlagsReport {
    match world.ask(Request::GetFlags) {
        Ok(SupervisorReply::Flags(report)) => report,
        other => panic!("{other:?}"),
    }
}

fn set(changes: FlagChanges) -> Request {
    Request::SetFlags { changes, etag: None }
}

#[test]
fn the_next_failure_follows_the_new_strategy() {
    let mut world = three(Strategy::OneForOne);
    world.ask(set(FlagChanges { strategy: Some(Strategy::OneForAll), ..FlagChanges::default() })).unwrap();
    assert_eq!(world.took(), "");
    world.end("b", "killed");
    assert_eq!(world.took(), "-c -a +a +b +c");
}

#[test]
fn a_lowered_intensity_is_judged_at_the_next_failure() {
    let mut world = three(Strategy::OneForOne);
    world.end("a", "killed");
    world.end("a", "killed");
    world.ask(set(FlagChanges { intensity: Some(1), ..FlagChanges::default() })).unwrap();
    assert_eq!(world.ended, None);
    assert_eq!(flags(&mut world).restarts_used, 2);
    world.end("a", "killed");
    assert_eq!(world.ended, Some(Term::SHUTDOWN));
}

#[test]
fn a_changed_period_decides_which_restarts_count() {
    let mut world = three(Strategy::OneForOne);
    world.end("a", "killed");
    world.now += SECOND * 3;
    let changes = FlagChanges { intensity: Some(1), period: Some(SECOND * 2), ..FlagChanges::default() };
    world.ask(set(changes)).unwrap();
    world.end("a", "killed");
    assert_eq!(world.ended, None);
}

#[test]
fn an_invalid_mix_of_flags_changes_nothing() {
    let mut world = three(Strategy::OneForOne);
    let before = flags(&mut world);
    let bad = FlagChanges { intensity: Some(9), period: Some(Duration::ZERO), ..FlagChanges::default() };
    assert!(
        matches!(world.ask(set(bad)), Err(SupervisorError::InvalidSpec { field, .. }) if field == "period")
    );
    let simple = FlagChanges { strategy: Some(Strategy::SimpleOneForOne), ..FlagChanges::default() };
    assert!(matches!(world.ask(set(simple)), Err(SupervisorError::NeedsConversion { .. })));
    assert_eq!(flags(&mut world), before);
}

#[test]
fn a_stale_etag_changes_nothing() {
    let mut world = three(Strategy::OneForOne);
    let etag = flags(&mut world).etag;
    let changes = FlagChanges { intensity: Some(9), ..FlagChanges::default() };
    world.ask(Request::SetFlags { changes, etag: Some(etag.clone()) }).unwrap();
    let again = FlagChanges { intensity: Some(10), ..FlagChanges::default() };
    let refused = world.ask(Request::SetFlags { changes: again, etag: Some(etag) });
    assert!(matches!(refused, Err(SupervisorError::StaleEtag { .. })));
    assert_eq!(flags(&mut world).flags.intensity, 9);
}

#[test]
fn while_paused_what_dies_is_owed_and_costs_no_intensity() {
    let specs = vec![child("a"), child("t").with_restart(Restart::Temporary), child("c")];
    let mut world = World::new(spec(Strategy::OneForOne, specs));
    world.ask(Request::Pause).unwrap();
    world.end("a", "killed");
    world.end("t", "killed");
    assert_eq!(world.took(), "");
    let report = flags(&mut world);
    assert_eq!((report.paused, report.owed), (true, vec!["a".into()]));
    world.ask(resume()).unwrap();
    assert_eq!(world.took(), "+a");
    assert_eq!(flags(&mut world).restarts_used, 0);
    world.end("a", "killed");
    assert_eq!(world.took(), "+a");
}

#[test]
fn a_resume_restarts_what_is_owed_by_the_strategy() {
    for (strategy, expected) in [(Strategy::RestForOne, "-c +b +c"), (Strategy::OneForAll, "-c -a +a +b +c")]
    {
        let mut world = three(strategy);
        world.ask(Request::Pause).unwrap();
        world.end("b", "killed");
        world.ask(resume()).unwrap();
        assert_eq!(world.took(), expected);
    }
}

#[test]
fn the_end_of_the_last_hold_restarts_what_is_owed_once() {
    let mut world = three(Strategy::OneForOne);
    world.ask(Request::Pause).unwrap();
    world.ask(Request::Pause).unwrap();
    world.end("a", "killed");
    assert_eq!(world.took(), "");
    world.feed(Event::Unpaused);
    assert_eq!(world.took(), "+a");
    world.feed(Event::Unpaused);
    let again = world.ask(resume());
    assert_eq!(again, Ok(SupervisorReply::Resumed { resumed: false, restarted: Vec::new() }));
    assert_eq!(world.took(), "");
}

#[test]
fn a_resume_whose_group_fails_to_start_is_answered_all_the_same() {
    let mut world = three(Strategy::OneForAll);
    world.ask(Request::Pause).unwrap();
    world.end("b", "killed");
    world.script.insert("a".into(), vec![Err("nope")]);
    assert!(matches!(world.ask(resume()), Ok(SupervisorReply::Resumed { resumed: true, .. })));
    world.turn();
    assert_eq!(world.took(), "-c -a +a +b +c");
}

fn replace(spec: ChildSpec, etag: Option<String>, restart: bool) -> Request {
    Request::ReplaceChildSpec { child: spec.id.clone(), spec: Box::new(spec), etag, restart }
}

#[test]
fn a_replaced_spec_takes_effect_at_the_next_start_in_the_old_place() {
    let mut world = three(Strategy::OneForOne);
    let etag = child("b").etag();
    let other = ChildSpec::worker("b", "echo", Term::Null);
    world.ask(replace(other.clone(), Some(etag.clone()), false)).unwrap();
    assert_eq!(world.took(), "");
    assert!(matches!(world.ask(replace(other, Some(etag), false)), Err(SupervisorError::StaleEtag { .. })));
    world.ask(replace(child("b"), None, true)).unwrap();
    assert_eq!(world.took(), "-b +b");
    assert_eq!(world.children()[1].0, "b");
    assert_eq!(world.core.restarts_used(world.now), 0);
}

#[test]
fn a_restarted_tree_has_new_incarnations_and_a_clean_record() {
    let mut world = three(Strategy::OneForOne);
    world.end("a", "killed");
    world.ask(Request::TerminateChild("c".into())).unwrap();
    world.took();
    let request = |dry_run| Request::Restart { keep_history: false, instances: false, dry_run };
    assert!(matches!(world.ask(request(true)), Ok(SupervisorReply::Restarted(list)) if list.len() == 3));
    assert_eq!(world.took(), "");
    world.ask(request(false)).unwrap();
    assert_eq!(world.took(), "-b -a +a +b +c");
    assert_eq!(world.core.restarts_used(world.now), 0);
    assert!(world.core.history().is_empty());
}

#[test]
fn instances_come_back_with_a_restarted_tree_only_when_asked() {
    let mut world = simple(Restart::Temporary);
    world.started(add());
    world.started(add());
    world.took();
    world.ask(Request::Restart { keep_history: true, instances: true, dry_run: false }).unwrap();
    assert_eq!(world.took(), "-t -t +t +t");
    world.ask(Request::Restart { keep_history: true, instances: false, dry_run: false }).unwrap();
    assert_eq!(world.took(), "-t -t");
    assert_eq!(world.children(), []);
}

#[test]
fn a_stop_answers_after_the_children_are_gone_and_before_the_end() {
    let mut world = three(Strategy::OneForOne);
    assert_eq!(world.ask(Request::Stop("bye".into())), Ok(SupervisorReply::Done));
    assert_eq!(world.took(), "-c -b -a");
    assert_eq!(world.ended, Some("bye".into()));
}

use super::*;
use crate::supervisor::model::ModelChild;
use crate::supervisor::spec::{ChildSpec, SupervisorFlags};
use TimelineEvent::{Escalated, Failed, NotRunning, Restarting, Started, Stopped};

fn model(strategy: Strategy, intensity: u32) -> SupervisorModel {
    let child = |(n, id): (u64, &'static str)| ModelChild {
        spec: ChildSpec::worker(id, "counter", Term::Null),
        state: ChildState::Running(Pid::new(1, 1, n)),
        incarnation: 1,
    };
    SupervisorModel {
        flags: SupervisorFlags { strategy, intensity, ..SupervisorFlags::default() },
        template: None,
        children: (1..).zip(["a", "b", "c"]).map(child).collect(),
        holds: Vec::new(),
        restarts: Vec::new(),
        history: crate::supervisor::history::History::default(),
        now: Duration::from_secs(100),
    }
}

fn crash(seconds: u64, child: &'static str) -> TimedFailure {
    TimedFailure { after: Duration::from_secs(seconds), child: child.into(), reason: Term::KILLED }
}

fn events(timeline: &Timeline) -> Vec<(TimelineEvent, String)> {
    timeline.entries.iter().map(|entry| (entry.event, entry.child.to_string().replace('"', ""))).collect()
}

fn expected(events: &[(TimelineEvent, &str)]) -> Vec<(TimelineEvent, String)> {
    events.iter().map(|(event, child)| (*event, (*child).to_owned())).collect()
}

#[test]
fn other_flags_give_another_timeline() {
    let run = |changes| simulate(model(Strategy::OneForOne, 3), changes, &[crash(1, "b")]).unwrap();
    let own = run(FlagChanges::default());
    assert_eq!(events(&own), expected(&[(Failed, "b"), (Restarting, "b"), (Started, "b")]));
    assert_eq!(own.entries[2].incarnation, Some(2));
    let other = run(FlagChanges { strategy: Some(Strategy::RestForOne), ..FlagChanges::default() });
    let rest = [(Failed, "b"), (Restarting, "b"), (Stopped, "c"), (Started, "b"), (Started, "c")];
    assert_eq!(events(&other), expected(&rest));
}

#[test]
fn the_window_runs_on_the_virtual_clock() {
    let close = [crash(1, "a"), crash(3, "a")];
    let timeline = simulate(model(Strategy::OneForOne, 1), FlagChanges::default(), &close).unwrap();
    assert_eq!(timeline.ended, Some(Term::SHUTDOWN));
    let tail = [(Failed, "a"), (Escalated, "a"), (Stopped, "c"), (Stopped, "b")];
    assert_eq!(events(&timeline)[3..], expected(&tail));
    let far = [crash(1, "a"), crash(7, "a")];
    let timeline = simulate(model(Strategy::OneForOne, 1), FlagChanges::default(), &far).unwrap();
    assert_eq!(timeline.ended, None);
}

#[test]
fn restarts_that_count_in_the_model_count_in_the_dry_run() {
    let mut model = model(Strategy::OneForOne, 1);
    model.restarts = vec![model.now - Duration::from_secs(1)];
    let timeline = simulate(model, FlagChanges::default(), &[crash(1, "a")]).unwrap();
    assert_eq!(timeline.ended, Some(Term::SHUTDOWN));
}

#[test]
fn the_failure_of_an_unknown_child_does_nothing() {
    let timeline = simulate(model(Strategy::OneForAll, 1), FlagChanges::default(), &[crash(1, "x")]).unwrap();
    assert_eq!(events(&timeline), expected(&[(NotRunning, "x")]));
}

#[test]
fn instances_are_named_by_the_pids_they_have() {
    let mut model = model(Strategy::SimpleOneForOne, 3);
    model.template = Some(model.children[0].spec.clone());
    let pid: Term = Pid::new(1, 1, 2).into();
    let failure = TimedFailure { after: Duration::ZERO, child: pid.clone(), reason: Term::KILLED };
    let timeline = simulate(model, FlagChanges::default(), &[failure]).unwrap();
    assert!(timeline.entries.iter().all(|entry| entry.child == pid));
    assert_eq!(timeline.entries.last().map(|entry| entry.event), Some(Started));
}

use super::*;
use crate::supervisor::core::ChildState;
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
        paused: false,
        restarts: Vec::new(),
        history: crate::supervisor::history::History::default(),
        now: Duration::from_secs(100),
    }
}

fn crash(seconds: u64, child: &'static str) -> TimedFailure {
    TimedFailure {
        after: Duration::from_secs(seconds),
        child: child.into(),
        reason: Term::KILLED,
        failed_starts: 0,
    }
}

fn events(timeline: &Timeline) -> Vec<(TimelineEvent, String)> {
    timeline.entries.iter().map(|entry| (entry.event, entry.child.to_string().replace('"', ""))).collect()
}

fn expected(events: &[(TimelineEvent, &str)]) -> Vec<(TimelineEvent, String)> {
    events.iter().map(|(event, child)| (*event, (*child).to_owned())).collect()
}

#[test]
fn other_flags_give_another_timeline() {
    let run = |changes| simulate(model(Strategy::OneForOne, 3), changes, false, &[crash(1, "b")]).unwrap();
    let own = run(FlagChanges::default());
    assert_eq!(events(&own), expected(&[(Failed, "b"), (Restarting, "b"), (Started, "b")]));
    assert_eq!(own.entries[2].restarts, 1);
    let other = run(FlagChanges { strategy: Some(Strategy::RestForOne), ..FlagChanges::default() });
    let rest = [(Failed, "b"), (Restarting, "b"), (Stopped, "c"), (Started, "b"), (Started, "c")];
    assert_eq!(events(&other), expected(&rest));
}

#[test]
fn the_window_runs_on_the_virtual_clock() {
    let close = [crash(1, "a"), crash(3, "a")];
    let timeline = simulate(model(Strategy::OneForOne, 1), FlagChanges::default(), false, &close).unwrap();
    assert_eq!(timeline.ending, Ending::Escalated);
    let tail = [(Failed, "a"), (Escalated, "a"), (Stopped, "c"), (Stopped, "b")];
    assert_eq!(events(&timeline)[3..], expected(&tail));
    let far = [crash(1, "a"), crash(7, "a")];
    let timeline = simulate(model(Strategy::OneForOne, 1), FlagChanges::default(), false, &far).unwrap();
    assert_eq!(timeline.ending, Ending::Running);
}

#[test]
fn restarts_that_count_in_the_model_count_only_if_the_history_is_kept() {
    let mut model = model(Strategy::OneForOne, 1);
    model.restarts = vec![model.now - Duration::from_secs(1)];
    let run = |keep| simulate(model.clone(), FlagChanges::default(), keep, &[crash(1, "a")]).unwrap().ending;
    assert_eq!((run(true), run(false)), (Ending::Escalated, Ending::Running));
}

#[test]
fn a_child_that_fails_to_start_is_tried_again_and_counts_each_time() {
    let mut failure = crash(1, "b");
    failure.failed_starts = 2;
    let run = |intensity| {
        let model = model(Strategy::RestForOne, intensity);
        simulate(model, FlagChanges::default(), false, std::slice::from_ref(&failure)).unwrap()
    };
    let timeline = run(3);
    let failed = timeline.entries.iter().filter(|entry| entry.event == TimelineEvent::RestartFailed).count();
    assert_eq!((failed, timeline.ending), (2, Ending::Running));
    assert!(timeline.children.iter().all(|child| child.state.pid().is_some()));
    assert_eq!(run(2).ending, Ending::Escalated);
}

#[test]
fn the_failure_of_an_unknown_child_is_an_error_and_that_of_a_stopped_one_ignored() {
    let unknown = simulate(model(Strategy::OneForAll, 1), FlagChanges::default(), false, &[crash(1, "x")]);
    assert_eq!(unknown, Err(SupervisorError::NotFound("x".into())));
    let mut model = model(Strategy::OneForOne, 1);
    model.children[0].state = ChildState::Stopped;
    let timeline = simulate(model, FlagChanges::default(), false, &[crash(1, "a")]).unwrap();
    assert_eq!(events(&timeline), expected(&[(NotRunning, "a")]));
    assert_eq!(timeline.failures_ignored, 1);
}

#[test]
fn instances_are_named_by_the_pids_they_have() {
    let mut model = model(Strategy::SimpleOneForOne, 3);
    model.template = Some(model.children[0].spec.clone());
    let pid: Term = Pid::new(1, 1, 2).into();
    let failure =
        TimedFailure { after: Duration::ZERO, child: pid.clone(), reason: Term::KILLED, failed_starts: 0 };
    let timeline = simulate(model, FlagChanges::default(), false, &[failure]).unwrap();
    assert!(timeline.entries.iter().all(|entry| entry.child == pid));
    assert_eq!(timeline.entries.last().map(|entry| entry.event), Some(Started));
}

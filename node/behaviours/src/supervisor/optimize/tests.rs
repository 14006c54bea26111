use super::*;
use crate::supervisor::spec::ChildSpec;

fn model(children: &[&'static str], failures: &[(u64, &'static str)]) -> SupervisorModel {
    let child = |(n, id): (u64, &&'static str)| ModelChild {
        spec: ChildSpec::worker(*id, "counter", Term::Null),
        state: ChildState::Running(Pid::new(1, 1, n)),
        incarnation: 1,
    };
    let failure = |(ms, id): &(u64, &'static str)| Failure {
        at: Duration::from_millis(*ms),
        child: Term::Atom(id),
        reason: Term::KILLED,
    };
    SupervisorModel {
        flags: SupervisorFlags { intensity: 100, ..SupervisorFlags::default() },
        template: None,
        children: (1..).zip(children).map(child).collect(),
        paused: false,
        restarts: Vec::new(),
        history: failures.iter().map(failure).collect(),
        now: Duration::from_secs(100),
    }
}

fn present(advice: &Advice) -> &Evaluation {
    advice.evaluations.iter().find(|evaluation| evaluation.current).unwrap()
}

#[test]
fn too_little_history_suggests_nothing() {
    let refused = optimize(&model(&["a"], &[(1, "a"), (2, "a")]), None);
    assert_eq!(refused, Err(OptimizeError::InsufficientData { failures: 2 }));
}

#[test]
fn siblings_that_always_die_after_a_lead_to_rest_for_one_with_a_first() {
    let rounds = [(0, "a"), (10, "b"), (20, "c"), (9_000, "a"), (9_010, "b"), (9_020, "c")];
    let more = rounds.iter().map(|(ms, id)| (ms + 20_000, *id));
    let failures: Vec<_> = rounds.iter().copied().chain(more).collect();
    let advice = optimize(&model(&["c", "b", "a"], &failures), None).unwrap();
    assert_eq!(advice.suggested().flags.strategy, Strategy::RestForOne);
    assert_eq!(advice.suggested().order, ["a".into(), "b".into(), Term::Atom("c")]);
    assert_eq!((advice.suggested().restarts, advice.suggested().avoided), (4, 8));
    assert!(advice.suggested().cost < present(&advice).cost);
}

#[test]
fn rounds_without_a_pause_between_them_still_show_who_is_first() {
    let failures: Vec<_> = (0..12).map(|n| (n * 10, ["a", "b", "c"][n as usize % 3])).collect();
    let advice = optimize(&model(&["b", "c", "a"], &failures), None).unwrap();
    assert_eq!(advice.suggested().order.first(), Some(&"a".into()));
    assert_eq!(advice.suggested().flags.strategy, Strategy::RestForOne);
}

#[test]
fn independent_failures_stay_with_one_for_one() {
    let failures = [(0, "a"), (5_000, "b"), (13_000, "a"), (22_000, "c"), (30_000, "b")];
    let advice = optimize(&model(&["a", "b", "c"], &failures), None).unwrap();
    assert_eq!(advice.suggested().flags.strategy, Strategy::OneForOne);
    assert_eq!((advice.suggested().collateral, advice.dependencies.len()), (0, 0));
}

#[test]
fn a_burst_above_the_intensity_suggests_a_higher_one() {
    let failures: Vec<_> = (0..8).map(|n| (n * 1_500, "a")).collect();
    let mut model = model(&["a", "b"], &failures);
    model.flags.intensity = 1;
    let advice = optimize(&model, None).unwrap();
    assert!(present(&advice).escalations > 0);
    assert_eq!(advice.suggested().escalations, 0);
}

#[test]
fn only_failures_within_the_window_are_replayed() {
    let failures = [(0, "a"), (1_000, "a"), (2_000, "a"), (98_000, "b"), (99_000, "b")];
    let model = model(&["a", "b"], &failures);
    let window = |seconds| optimize(&model, Some(Duration::from_secs(seconds))).map(|advice| advice.failures);
    assert_eq!(window(200), Ok(5));
    assert_eq!(window(10), Err(OptimizeError::InsufficientData { failures: 2 }));
}

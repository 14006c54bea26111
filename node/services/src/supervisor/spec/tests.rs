use super::*;
use prost_types::Duration as Wire;

fn spec() -> v1::ChildSpec {
    v1::ChildSpec {
        id: "db".into(),
        module: "kv".into(),
        payload: Some(child_spec::Payload::Args(payload::to_value(&Term::map([("size", Term::Int(1))])))),
        restart: child_spec::Restart::Transient.into(),
        stop: Some(child_spec::Stop::Shutdown(Wire { seconds: 1, nanos: 500_000_000 })),
        significant: true,
        name: "db".into(),
        name_scope: v1::name_scope::Scope::Global.into(),
        start_timeout: Some(Wire { seconds: 3, nanos: 0 }),
        labels: [("tier".to_owned(), "back".to_owned())].into(),
        key: "db-key".into(),
        priority: v1::priority::Level::High.into(),
        limits: Some(v1::ProcessLimits {
            mailbox_messages_max: 5,
            mailbox_bytes_max: 4_096,
            memory_bytes_max: 0,
        }),
        modules: vec!["kv".into(), "kv_util".into()],
        ..Default::default()
    }
}

#[test]
fn a_spec_comes_back_as_it_was_given() {
    let given = v1::ChildSpec { r#type: child_spec::Type::Worker.into(), ..spec() };
    let shown = encode_child(&child(given.clone()).unwrap());
    assert!(!shown.etag.is_empty());
    assert_eq!(v1::ChildSpec { etag: String::new(), ..shown }, given);
}

#[test]
fn a_nested_supervisor_comes_back_as_one() {
    let nested = v1::SupervisorSpec {
        strategy: supervisor_spec::Strategy::RestForOne.into(),
        intensity: Some(0),
        period: Some(Wire { seconds: 7, nanos: 0 }),
        children: vec![v1::ChildSpec { significant: false, ..spec() }],
        ..Default::default()
    };
    let given = v1::ChildSpec { id: "sup".into(), supervisor: Some(nested), ..Default::default() };
    let read = child(given).unwrap();
    assert_eq!((read.kind, read.shutdown), (ChildKind::Supervisor, Shutdown::Infinity));
    let shown = encode_child(&read).supervisor.unwrap();
    assert_eq!((shown.intensity, shown.children[0].id.as_str()), (Some(0), "db"));
    assert_eq!(shown.strategy(), supervisor_spec::Strategy::RestForOne);
}

#[test]
fn what_no_spec_can_be_is_refused() {
    let bad: [fn(&mut v1::ChildSpec); 8] = [
        |spec| spec.id.clear(),
        |spec| spec.id = "a/b".into(),
        |spec| spec.id = "n1.1.1".into(),
        |spec| spec.module.clear(),
        |spec| spec.restart = 9,
        |spec| spec.r#type = 9,
        |spec| spec.stop = Some(child_spec::Stop::Shutdown(Wire { seconds: -1, nanos: 0 })),
        |spec| spec.supervisor = Some(v1::SupervisorSpec::default()),
    ];
    for spoil in bad {
        let mut given = spec();
        spoil(&mut given);
        assert!(child(given.clone()).is_err(), "{given:?}");
    }
    assert!(flag_changes(0, None, Some(&Wire::default()), 0, None).is_err(), "a period of no length");
}

#[test]
fn a_mask_decides_which_flags_change() {
    let flags = v1::SupervisorFlags { intensity: Some(7), max_children: Some(3), ..Default::default() };
    let mask = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let all = masked_changes(&flags, &[]).unwrap();
    assert_eq!((all.intensity, all.children_max, all.period), (Some(7), Some(Some(3)), None));
    let some = masked_changes(&flags, &mask(&["intensity", "period"])).unwrap();
    assert_eq!((some.intensity, some.children_max), (Some(7), None));
    assert_eq!(some.period, Some(Duration::from_secs(5)));
    let told = masked_changes(&flags, &mask(&["supervisor", "etag", "paused", "intensity"])).unwrap();
    assert_eq!((told.intensity, told.children_max), (Some(7), None), "what only tells is overlooked");
    assert!(masked_changes(&flags, &mask(&["colour"])).is_err());
}

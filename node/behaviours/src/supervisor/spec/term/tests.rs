use super::*;

fn pairs(pairs: &[(&'static str, Term)]) -> Term {
    Term::map(pairs.iter().cloned())
}

fn start_error(spec: &Term) -> Term {
    SupervisorSpec::from_term(spec).unwrap_err().to_start_reason()
}

fn child(extra: &[(&'static str, Term)]) -> Term {
    let mut members = vec![("id", Term::Atom("a")), ("module", Term::Atom("counter"))];
    members.extend(extra.iter().cloned());
    Term::map(members)
}

fn with_child(extra: &[(&'static str, Term)]) -> Term {
    pairs(&[("children", Term::list([child(extra)]))])
}

#[test]
fn a_specification_reads_back_as_it_was_written() {
    let mut worker =
        ChildSpec::worker("w", "counter", Term::list([Term::Int(1)])).with_restart(Restart::Transient);
    worker.shutdown = Shutdown::BrutalKill;
    worker.significant = true;
    worker.name = Some(ProcessName { name: "foo".into(), global: true });
    worker.start_timeout = Some(Duration::from_millis(70));
    worker.labels.insert("tier".into(), "front".into());
    worker.key = Some("orders".into());
    worker.priority = arsenal_runtime::priority::Priority::High;
    worker.mailbox = Some(MailboxLimit { messages_max: 5, bytes_max: 4_096 });
    worker.memory_bytes_max = Some(1 << 20);
    worker.modules = Some(vec!["counter".into(), "shared".into()]);
    let inner = SupervisorSpec::new(Strategy::RestForOne, vec![ChildSpec::worker("x", "echo", Term::Null)]);
    let mut spec = SupervisorSpec::new(Strategy::OneForAll, vec![worker, ChildSpec::supervisor("s", &inner)])
        .with_intensity(7, Duration::from_millis(1_500));
    spec.flags.auto_shutdown = AutoShutdown::AllSignificant;
    spec.flags.children_max = Some(9);
    let read = SupervisorSpec::from_term(&spec.to_term());
    assert_eq!(read, Ok(spec));
}

#[test]
fn absent_fields_have_the_defaults_of_otp() {
    let spec = SupervisorSpec::from_term(&with_child(&[])).unwrap();
    assert_eq!(spec.flags, SupervisorFlags::default());
    assert_eq!(spec.children, [ChildSpec::worker("a", "counter", Term::Null)]);
    let nested = child(&[("type", Term::Atom("supervisor"))]);
    assert_eq!(ChildSpec::from_term(&nested).unwrap().shutdown, Shutdown::Infinity);
}

#[test]
fn what_otp_refuses_is_refused_in_its_words() {
    let invalid = |atom, value: Term| Term::tagged("start_spec", Term::tagged(atom, value));
    let cases = [
        (with_child(&[("restart", "sometimes".into())]), invalid("invalid_restart_type", "sometimes".into())),
        (with_child(&[("shutdown", Term::Int(-1))]), invalid("invalid_shutdown", Term::Int(-1))),
        (with_child(&[("shutdown", Term::Int(0))]), invalid("invalid_shutdown", Term::Int(0))),
        (with_child(&[("shutdown", "whenever".into())]), invalid("invalid_shutdown", "whenever".into())),
        (with_child(&[("type", "boss".into())]), invalid("invalid_child_type", "boss".into())),
        (
            pairs(&[("auto_shutdown", "sometimes".into())]),
            Term::tagged("supervisor_data", Term::tagged("invalid_auto_shutdown", "sometimes".into())),
        ),
        (
            pairs(&[("intensity", Term::Int(-1))]),
            Term::tagged("supervisor_data", Term::tagged("invalid_intensity", Term::Int(-1))),
        ),
        (
            pairs(&[("period", Term::Int(0))]),
            Term::tagged("supervisor_data", Term::tagged("invalid_period", Term::Int(0))),
        ),
        (
            pairs(&[("children", Term::list([child(&[]), child(&[])]))]),
            Term::tagged("start_spec", Term::tagged("duplicate_child_name", "a".into())),
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(start_error(&spec), expected);
    }
}

#[test]
fn a_permanent_child_cannot_be_significant() {
    let spec = pairs(&[
        ("auto_shutdown", "any_significant".into()),
        ("children", Term::list([child(&[("significant", Term::Bool(true))])])),
    ]);
    let pairs = [Term::tagged("restart", "permanent".into()), Term::tagged("significant", Term::Bool(true))];
    let expected = Term::tagged("bad_combination", Term::map([("list", Term::from(pairs))]));
    assert_eq!(start_error(&spec), Term::tagged("start_spec", expected));
}

#[test]
fn simple_one_for_one_needs_exactly_one_template() {
    let spec = |children| pairs(&[("strategy", "simple_one_for_one".into()), ("children", children)]);
    assert_eq!(start_error(&spec(Term::list([]))).tag(), Some("bad_start_spec"));
    assert!(SupervisorSpec::from_term(&spec(Term::list([child(&[])]))).is_ok());
}

#[test]
fn extra_args_are_appended_to_lists_and_merged_into_maps() {
    let spec = |args| ChildSpec::worker("t", "counter", args);
    let list = |numbers: &[i64]| Term::list(numbers.iter().copied().map(Term::Int));
    assert_eq!(spec(list(&[1])).args_with(&list(&[2, 3])), list(&[1, 2, 3]));
    let own = pairs(&[("a", Term::Int(1)), ("b", Term::Int(1))]);
    let merged = pairs(&[("a", Term::Int(1)), ("b", Term::Int(2))]);
    assert_eq!(spec(own).args_with(&pairs(&[("b", Term::Int(2))])), merged);
    assert_eq!(spec(list(&[1])).args_with(&Term::Int(2)), Term::Int(2));
    assert_eq!(spec(list(&[1])).args_with(&Term::Null), list(&[1]));
}

#[test]
fn an_etag_follows_the_content() {
    let spec = ChildSpec::worker("a", "counter", Term::Null);
    assert_eq!(spec.etag(), spec.clone().etag());
    assert_ne!(spec.etag(), spec.with_restart(Restart::Temporary).etag());
}

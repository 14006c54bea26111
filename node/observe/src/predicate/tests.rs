use super::*;
use proptest::prelude::*;

fn message() -> Bindings {
    let payload = Term::map([
        ("user", Term::str("ada")),
        ("count", Term::Int(3)),
        ("price", Term::Float(2.5)),
        ("tags", Term::list([Term::str("a"), Term::str("b")])),
    ]);
    Bindings::default().set("message", payload).set("kind", "INFO").set("age", Term::Float(1.5))
}

const KIND: [Field; 1] = [("kind", FieldType::Text)];

fn holds(source: &str) -> bool {
    Predicate::compile(source).unwrap().matches(&message()).unwrap()
}

#[test]
fn an_expression_matches_what_it_is_true_of_and_nothing_else() {
    assert!(holds("message.user == 'ada' && kind == 'INFO'"));
    assert!(!holds("message.user == 'bob'"));
    assert!(holds("message.count > 2.5 && message.price < 3"));
    assert!(holds("message.tags.exists(t, t == 'b') && size(message.tags) == 2"));
    assert!(holds("'b' in message.tags && message.tags[0] == 'a'"));
    assert!(holds("message.user.matches('^a.a$') && message.user.startsWith('ad')"));
    assert!(holds("age > 1 && duration('1s') < duration('2s')"));
    assert!(holds("message == {'user': 'ada', 'count': 3, 'price': 2.5, 'tags': ['a', 'b']}"));
    assert!(holds("type(message.count) == int"));
}

#[test]
fn a_member_that_is_missing_is_no_match_and_no_error() {
    assert!(!holds("message.absent == 1"));
    assert!(!holds("message.user > 1"));
    assert!(!holds("message.tags[7] == 'a'"));
    assert!(holds("!has(message.absent)"));
    assert!(!holds("message.user"));
}

#[test]
fn an_unknown_name_is_an_error_with_its_position() {
    let error = Predicate::compile("kind == 'INFO' && knid == 'x'").unwrap().matches(&message()).unwrap_err();
    assert_eq!((error.position, error.fault), (18, Fault::Expression));
    let error = Predicate::condition("'äöü' == kind || knid", &KIND).unwrap_err();
    assert_eq!(error.position, 17);
    assert!(Predicate::condition("'äöü' == kind", &KIND).is_ok());
    let error = Predicate::condition("true && 3 == kind", &KIND).unwrap_err();
    assert_eq!(
        (error.position, error.message.contains("a string") && error.message.contains("a number")),
        (13, true)
    );
    assert!(
        Predicate::condition("message == 3 && kind == null", &[KIND[0], ("message", FieldType::Any)]).is_ok()
    );
}

#[test]
fn a_syntax_error_and_an_unknown_function_have_positions() {
    assert_eq!(Predicate::compile("kind == == 2").unwrap_err().position, 8);
    assert_eq!(Predicate::compile("kind ==\n  ) 2").unwrap_err().position, 10);
    let error = Predicate::compile("kind == lower('X')").unwrap_err();
    assert!(error.message.contains("lower") && error.position >= 8, "{error}");
    assert!(Predicate::compile("  ").is_err());
}

#[test]
fn literals_that_fail_whatever_the_values_are_refused() {
    for (source, position) in [
        ("message.user.matches('(')", 20),
        ("matches(kind, '[')", 7),
        ("kind == 'x' || 1 / 0 > 2", 17),
        ("duration('soon') > duration('1s')", 8),
        ("'a' < 1", 4),
    ] {
        let error = Predicate::compile(source).unwrap_err();
        assert!(error.position.abs_diff(position) <= 1, "{source}: {error}");
    }
    assert!(holds("duration('1m') > duration('1s') && 1 < 2 && 'abc'.matches('b')"));
}

#[test]
fn what_can_never_be_true_is_no_condition_but_is_a_key() {
    assert!(Predicate::condition("1 + 1", &[]).is_err());
    assert!(Predicate::compile("'x'").unwrap().matches(&message()).is_err());
    assert_eq!(
        Predicate::key("message.count + 1", &[("message", FieldType::Any)])
            .unwrap()
            .evaluate(&message())
            .unwrap(),
        Term::Int(4)
    );
    let error = Predicate::compile("message.absent").unwrap().evaluate(&message()).unwrap_err();
    assert_eq!(error.fault, Fault::Values);
}

#[test]
fn names_that_a_loop_binds_are_none_that_it_refers_to() {
    let predicate = Predicate::compile("message.tags.map(t, t + kind).exists(t, t == age)").unwrap();
    assert_eq!(predicate.variables(), BTreeSet::from(["message", "kind", "age"].map(str::to_owned)));
}

#[test]
fn every_function_that_is_allowed_is_one_of_cels() {
    for function in syntax::FUNCTIONS {
        let calls = [format!("{function}(kind)"), format!("kind.{function}(kind)")];
        let known = |call: &String| match Predicate::compile(call).unwrap().evaluate(&message()) {
            Err(error) => error.fault == Fault::Values,
            Ok(_) => true,
        };
        assert!(calls.iter().any(known), "{function}");
    }
    for name in syntax::TYPES {
        Predicate::compile(&format!("type(kind) == {name}")).unwrap().evaluate(&message()).unwrap();
    }
}

/// A thread with the stack that the smallest of ours have.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn depth_is_refused_before_it_costs_a_stack() {
    on_a_small_stack(|| {
        let wide = |part: &str| part.repeat(SOURCE_BYTES_MAX / part.len());
        let deep = [
            wide("("),
            wide("["),
            wide("{"),
            wide("!"),
            wide("-"),
            wide("! "),
            wide("- "),
            wide("a?"),
            wide("a?b:"),
            format!("a{}", wide(".b")).chars().take(SOURCE_BYTES_MAX).collect(),
            format!("a{}", wide("[0]")).chars().take(SOURCE_BYTES_MAX - 2).collect(),
            format!("1{}", wide("+1")).chars().take(SOURCE_BYTES_MAX - 1).collect(),
            format!("1{}", wide("<1")).chars().take(SOURCE_BYTES_MAX - 1).collect(),
            format!("a{}", wide(".f()")).chars().take(SOURCE_BYTES_MAX - 3).collect(),
        ];
        for source in deep {
            assert!(Predicate::compile(&source).is_err(), "{source}");
        }
        let flat = format!("a{}", wide("||a"));
        let flat: String = flat.chars().take(SOURCE_BYTES_MAX - 3).collect();
        Predicate::compile(&flat).unwrap();
        let brackets = 40;
        let nested = format!("{}true{}", "(".repeat(brackets), ")".repeat(brackets));
        assert!(Predicate::compile(&nested).unwrap().matches(&Bindings::default()).unwrap());
    });
}

#[test]
fn loops_within_loops_are_bounded() {
    assert!(Predicate::compile("[1].all(a, [1].all(b, a == b))").is_ok());
    assert!(Predicate::compile("[1].all(a, [1].all(b, [1].all(c, a == b)))").is_err());
}

proptest! {
    #[test]
    fn no_text_panics(source in ".{0,200}") {
        if let Ok(predicate) = Predicate::compile(&source) {
            drop(predicate.matches(&message()));
            drop(predicate.evaluate(&message()));
        }
    }

    #[test]
    fn no_mix_of_tokens_panics(tokens in prop::collection::vec(prop::sample::select(vec![
        "message", "kind", ".", ".user", "[", "]", "(", ")", "{", "}", "?", ":", ",", "'a'", "b'\\xff'", "\"", "'", "\\",
        "1", "-9223372036854775808", "9223372036854775807", "1.5e300", "0", "0u", "-", "!", "+", "*", "/", "%", "==",
        "<", "in", "&&", "||", "has(", "size(", ".map(x,", ".all(x,", ".exists(x,", "matches(", "'('", "int(", "uint(",
        "timestamp(", "duration(", "'1h'", "null", "true", "\n", "\u{e4}", "\u{1f980}", "`",
    ]), 0..30)) {
        let source = tokens.concat();
        if let Ok(predicate) = Predicate::compile(&source) {
            drop(predicate.matches(&message()));
            drop(predicate.evaluate(&message()));
        }
    }
}

//! Our checker and stateright's agree on small random histories, right and wrong ones.

use super::checker::{Operation, is_linearizable};
use super::model::{Input, Output, State, step};
use proptest::prelude::*;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// The model as stateright wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Name(State);

impl SequentialSpec for Name {
    type Op = Input;
    type Ret = Output;

    /// Stateright calls this for operations without an outcome alone.
    fn invoke(&mut self, input: &Input) -> Output {
        self.0 = step(&self.0, input, None).flatten();
        Output::Nobody
    }

    fn is_valid_step(&mut self, input: &Input, output: &Output) -> bool {
        let after = step(&self.0, input, Some(output));
        let valid = after.is_some();
        self.0 = after.flatten();
        valid
    }
}

/// What a client does: an operation, how long its call waits before it takes effect and then before it returns, whether
/// the outcome is seen, and how it is falsified.
type Act = (u8, usize, usize, bool, u8);

fn input(act: &Act, place: usize) -> Input {
    match act.0 {
        0 | 1 => Input::Register { pid: place as u64 },
        2 => Input::Unregister,
        3 => Input::SetMetadata { value: place as i64, version: None },
        4 => Input::SetMetadata { value: place as i64, version: Some(act.4.into()) },
        _ => Input::Whereis,
    }
}

/// What a right name answers; `index` is the place in its log.
fn answer(state: &mut State, input: &Input, index: u64) -> Output {
    let output = match (input, &*state) {
        (Input::Register { .. }, None) => Output::Registered { token: index },
        (Input::Register { .. }, Some(held)) => Output::Taken { holder: held.pid },
        (Input::Unregister, Some(_)) => Output::Unregistered,
        (Input::Unregister | Input::SetMetadata { .. }, None) => Output::NotRegistered,
        (Input::SetMetadata { version: Some(asked), .. }, Some(held)) if Some(*asked) != held.version => {
            Output::Stale { version: held.version.unwrap_or_default() }
        }
        (Input::SetMetadata { .. }, Some(_)) => Output::Changed { version: index },
        (Input::Whereis, None) => Output::Nobody,
        (Input::Whereis, Some(held)) => Output::Holder {
            pid: held.pid,
            token: held.token.unwrap_or_default(),
            version: held.version.unwrap_or_default(),
            metadata: held.metadata,
        },
    };
    *state = step(state, input, Some(&output)).unwrap_or_else(|| panic!("{input:?} {output:?} {state:?}"));
    output
}

fn falsified(output: Output, how: u8) -> Output {
    match (how, output) {
        (0, Output::Nobody) => Output::Holder { pid: 1, token: 1, version: 1, metadata: 0 },
        (0, Output::Holder { .. }) => Output::Nobody,
        (0, Output::Registered { .. }) => Output::Taken { holder: 3 },
        (1, Output::Taken { holder }) => Output::Taken { holder: holder + 1 },
        (_, output) => output,
    }
}

/// Calls, effects and returns of three clients, mixed by their waiting times.
fn history(clients: &[Vec<Act>]) -> Vec<(usize, Operation)> {
    let mut events: Vec<(usize, usize, usize, u8)> = Vec::new();
    for (client, acts) in clients.iter().enumerate() {
        let mut now = client;
        for (place, act) in acts.iter().enumerate() {
            let times = [now, now + 1 + act.1, now + 2 + act.1 + act.2];
            events.extend((0u8..).zip(times).map(|(kind, at)| (at, client, place, kind)));
            now = times[2] + 1;
        }
    }
    events.sort_unstable();
    let mut state = None;
    let mut operations: Vec<(usize, usize, Operation, Option<Output>)> = Vec::new();
    for ((_, client, place, kind), at) in events.into_iter().zip(1u64..) {
        let act = &clients[client][place];
        let number = client * 10 + place;
        if kind == 0 {
            let operation = Operation { input: input(act, number), called: at, returned: None };
            operations.push((client, number, operation, None));
            continue;
        }
        let (_, _, operation, output) = operations.iter_mut().find(|(_, n, ..)| *n == number).unwrap();
        if kind == 1 {
            *output = Some(falsified(answer(&mut state, &operation.input, at), act.4));
        } else if act.3 {
            operation.returned = output.take().map(|output| (at, output));
        }
    }
    operations.into_iter().map(|(client, _, operation, _)| (client, operation)).collect()
}

fn stateright_says(history: &[(usize, Operation)]) -> bool {
    let mut events: Vec<(u64, usize, &Operation, bool)> = Vec::new();
    for (place, (_, operation)) in history.iter().enumerate() {
        events.push((operation.called, place, operation, true));
        events.extend(operation.returned.as_ref().map(|(at, _)| (*at, place, operation, false)));
    }
    events.sort_unstable_by_key(|event| event.0);
    let mut tester = LinearizabilityTester::new(Name::default());
    for (_, place, operation, is_call) in events {
        // a client of its own for each: real time alone orders them, as in ours
        if is_call {
            tester.on_invoke(place, operation.input.clone()).unwrap();
        } else {
            let (_, output) = operation.returned.clone().unwrap();
            tester.on_return(place, output).unwrap();
        }
    }
    tester.is_consistent()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn both_checkers_give_the_same_verdict(
        clients in prop::collection::vec(
            prop::collection::vec((0u8..7, 0usize..6, 0usize..6, prop::bool::weighted(0.85), 0u8..12), 1..4),
            1..4,
        ),
    ) {
        let history = history(&clients);
        let operations: Vec<Operation> = history.iter().map(|(_, operation)| operation.clone()).collect();
        prop_assert_eq!(is_linearizable(&operations), stateright_says(&history), "{:#?}", operations);
    }
}

#[test]
fn a_read_of_what_was_already_replaced_is_not_linearizable() {
    let operation = |input, called, output| Operation { input, called, returned: Some((called + 1, output)) };
    let holder = |pid, token| Output::Holder { pid, token, version: token, metadata: 0 };
    let mut history = vec![
        operation(Input::Register { pid: 1 }, 1, Output::Registered { token: 1 }),
        operation(Input::Unregister, 3, Output::Unregistered),
        operation(Input::Register { pid: 2 }, 5, Output::Registered { token: 3 }),
        operation(Input::Whereis, 7, holder(1, 1)),
    ];
    assert!(!is_linearizable(&history));
    history[3] = operation(Input::Whereis, 7, holder(2, 3));
    assert!(is_linearizable(&history));
}

//! What one global name does, one operation at a time: what histories are held against.

/// A name: who holds it, if anybody does.
pub(crate) type State = Option<Held>;

/// A name that is held. What an operation of unknown outcome left is known once it is seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) pid: u64,
    pub(crate) token: Option<u64>,
    pub(crate) version: Option<u64>,
    pub(crate) metadata: i64,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    Register { pid: u64 },
    Unregister,
    Whereis,
    SetMetadata { value: i64, version: Option<u64> },
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    Registered { token: u64 },
    Taken { holder: u64 },
    Unregistered,
    NotRegistered,
    Changed { version: u64 },
    Stale { version: u64 },
    Nobody,
    Holder { pid: u64, token: u64, version: u64, metadata: i64 },
}

/// Whether what is seen is what is known; from here on it is known.
fn is_seen(known: &mut Option<u64>, seen: u64) -> bool {
    *known.get_or_insert(seen) == seen
}

/// The state after an operation; nothing if it cannot have had this outcome. Without an outcome, the state after it took
/// effect.
pub(crate) fn step(state: &State, input: &Input, output: Option<&Output>) -> Option<State> {
    let Some(output) = output else { return Some(effect(state, input)) };
    match (input, output, state.clone()) {
        (Input::Register { pid }, Output::Registered { token }, None) => {
            Some(Some(Held { pid: *pid, token: Some(*token), version: Some(*token), metadata: 0 }))
        }
        (Input::Register { .. }, Output::Taken { holder }, Some(held)) => {
            (held.pid == *holder).then_some(Some(held))
        }
        (Input::Unregister, Output::Unregistered, Some(_))
        | (Input::Unregister | Input::SetMetadata { .. }, Output::NotRegistered, None)
        | (Input::Whereis, Output::Nobody, None) => Some(None),
        (Input::SetMetadata { value, version }, Output::Changed { version: next }, Some(mut held)) => {
            let fits = version.is_none_or(|version| is_seen(&mut held.version, version));
            fits.then_some(Some(Held { version: Some(*next), metadata: *value, ..held }))
        }
        (Input::SetMetadata { version: Some(asked), .. }, Output::Stale { version }, Some(mut held)) => {
            (asked != version && is_seen(&mut held.version, *version)).then_some(Some(held))
        }
        (Input::Whereis, Output::Holder { pid, token, version, metadata }, Some(mut held)) => {
            let fits = held.pid == *pid
                && held.metadata == *metadata
                && is_seen(&mut held.token, *token)
                && is_seen(&mut held.version, *version);
            fits.then_some(Some(held))
        }
        _ => None,
    }
}

fn effect(state: &State, input: &Input) -> State {
    match (input, state.clone()) {
        (Input::Register { pid }, None) => Some(Held { pid: *pid, token: None, version: None, metadata: 0 }),
        (Input::Unregister, _) => None,
        // where the version is unknown it may not have fitted; then the operation had no effect, which is looked at too
        (Input::SetMetadata { value, version }, Some(held))
            if version.is_none() || held.version.is_none() || held.version == *version =>
        {
            Some(Held { version: None, metadata: *value, ..held })
        }
        (_, state) => state,
    }
}

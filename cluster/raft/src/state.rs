//! The replicated state: a pure function of the commands, the same on every voter.

use crate::codec::{DecodeError, Encode, Reader};
use crate::command::{Command, Outcome};
use arsenal_runtime::registry::RegistryState;

/// All that the voters agree on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    registry: RegistryState,
}

impl State {
    /// Global names and process groups.
    pub fn registry(&self) -> &RegistryState {
        &self.registry
    }

    /// Applies one command.
    pub fn apply(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Registry(command) => Outcome::Registry(self.registry.apply(command)),
        }
    }
}

impl Encode for State {
    fn encode(&self, out: &mut Vec<u8>) {
        self.registry.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { registry: RegistryState::decode(from)? })
    }
}

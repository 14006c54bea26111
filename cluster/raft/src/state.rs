//! The replicated state: a pure function of the commands, the same on every voter.

use crate::codec::nodes::read_protocol;
use crate::codec::{DecodeError, Encode, Reader};
use crate::command::{Command, NodeOutcome, Outcome};
use crate::nodes::{NodeCommand, NodeTable};
use crate::versions::PROTOCOL_FIRST;
use arsenal_runtime::Pid;
use arsenal_runtime::registry::{self, RegistryError, RegistryState};
use std::collections::BTreeMap;

/// All that the voters agree on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    registry: RegistryState,
    nodes: NodeTable,
}

impl State {
    /// Global names and process groups.
    pub fn registry(&self) -> &RegistryState {
        &self.registry
    }

    /// The nodes of the cluster.
    pub fn nodes(&self) -> &NodeTable {
        &self.nodes
    }

    /// Applies one command.
    pub fn apply(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Registry(command) => Outcome::Registry(self.apply_registry(command)),
            Command::Node(command) => Outcome::Node(self.apply_node(command)),
        }
    }

    /// A name given to a life that is over would never be dropped: that life's end has been applied already.
    fn apply_registry(&mut self, command: &registry::Command) -> Result<registry::Applied, RegistryError> {
        let passage;
        let newcomers: &[Pid] = match command {
            registry::Command::Register { pid, .. } => std::slice::from_ref(pid),
            registry::Command::Join { pids, .. } => pids,
            // nor does a process leave a life that is over: it ended with it
            registry::Command::Move { from, to, .. } => {
                passage = [*from, *to];
                &passage
            }
            _ => &[],
        };
        match newcomers.iter().find(|pid| !self.nodes.is_alive(pid.node, pid.incarnation)) {
            Some(pid) => Err(RegistryError::Unavailable(format!("the session of the node of {pid} is over"))),
            None => self.registry.apply(command),
        }
    }

    fn apply_node(&mut self, command: &NodeCommand) -> NodeOutcome {
        let before = match command {
            NodeCommand::Open { node, .. } => self.nodes.nodes().get(node).map(|record| record.incarnation),
            _ => None,
        };
        let node = self.nodes.apply(command)?;
        let ended = match command {
            NodeCommand::Open { incarnation, .. } => {
                before.filter(|before| before < incarnation && *before > 0)
            }
            NodeCommand::Down { incarnation, .. } => Some(*incarnation),
            _ => None,
        };
        let dropped = ended.map(|incarnation| registry::Command::NodeDown { node, incarnation });
        // what drops names is never refused
        Ok((node, dropped.and_then(|command| self.registry.apply(&command).ok())))
    }
}

impl Encode for State {
    fn encode(&self, out: &mut Vec<u8>) {
        self.registry.encode(out);
        self.nodes.encode(out);
        // at the end and only where there is any, so that a build which knows of neither reads what has none
        let protocol = self.nodes.protocol();
        if protocol > PROTOCOL_FIRST || !self.registry.owners().is_empty() {
            self.registry.owners().encode(out);
        }
        if protocol > PROTOCOL_FIRST {
            protocol.encode(out);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut registry, mut nodes) = (RegistryState::decode(from)?, NodeTable::decode(from)?);
        if !from.is_empty() {
            registry = registry.with_owners(BTreeMap::decode(from)?);
        }
        if !from.is_empty() {
            nodes = nodes.with_protocol(read_protocol(from)?);
        }
        Ok(Self { registry, nodes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::Candidate;
    use arsenal_runtime::Term;
    use std::sync::Arc;

    fn open(incarnation: u32) -> Command {
        let (address, zone) = (Arc::from("127.0.0.1:1"), Arc::from(""));
        Command::Node(NodeCommand::Open { node: 1, incarnation, life: 5, address, zone, keeper: 1 })
    }

    fn register(incarnation: u32) -> Command {
        Command::Registry(registry::Command::Register {
            name: "n".into(),
            pid: Pid::new(1, incarnation, 1),
            replace: false,
            allow_multiple: true,
            metadata: Term::Null,
            at_ms: 0,
        })
    }

    fn one_node() -> State {
        let mut state = State::default();
        let candidate =
            Candidate { identity: 1, name: "a".into(), address: "127.0.0.1:1".into(), zone: Arc::from("") };
        state.apply(&Command::Node(NodeCommand::Found { nodes: vec![candidate] }));
        state
    }

    #[test]
    fn the_end_of_a_life_drops_its_names_and_lets_no_later_one_in() {
        let mut state = one_node();
        state.apply(&open(1));
        assert!(matches!(state.apply(&register(1)), Outcome::Registry(Ok(_))));
        let down = Command::Node(NodeCommand::Down { node: 1, incarnation: 1, keeper: None });
        assert!(matches!(state.apply(&down), Outcome::Node(Ok((1, Some(_))))));
        assert!(state.registry().names().is_empty());
        let late = state.apply(&register(1));
        assert!(matches!(late, Outcome::Registry(Err(RegistryError::Unavailable(_)))), "{late:?}");
    }

    #[test]
    fn a_later_life_of_a_node_drops_the_names_of_the_former() {
        let mut state = one_node();
        state.apply(&open(1));
        state.apply(&register(1));
        state.apply(&open(2));
        assert!(state.registry().names().is_empty());
        assert!(matches!(state.apply(&register(2)), Outcome::Registry(Ok(_))));
        state.apply(&open(2));
        assert_eq!(state.registry().names().len(), 1, "a session that goes on drops nothing");
    }
}

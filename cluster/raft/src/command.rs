//! What the voters agree on, one command after the other, and what each command gave.
//!
//! A command names who proposed it, so that its proposer learns the outcome from its own copy of the state once the
//! command is applied there: no outcome travels, and a proposer's own view is as new as what it was told.

use crate::codec::{DecodeError, Encode, Reader, put_bytes};
use crate::nodes::{NodeCommand, NodeRefusal};
use arsenal_runtime::registry;
use bytes::Bytes;

/// A change of the replicated state.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Of global names and process groups.
    Registry(registry::Command),
    /// Of the table of nodes.
    Node(NodeCommand),
}

/// What a command gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Of a command on global names and process groups.
    Registry(Result<registry::Applied, registry::RegistryError>),
    /// Of a command on the table of nodes.
    Node(NodeOutcome),
}

/// The number of the node that a command was about, and what dropping the names of a life that ended with it did.
pub type NodeOutcome = Result<(u32, Option<registry::Applied>), NodeRefusal>;

mod tag {
    pub(super) const REGISTRY: u8 = 1;
    pub(super) const NODE: u8 = 2;
}

impl Encode for Command {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Registry(command) => {
                out.push(tag::REGISTRY);
                command.encode(out);
            }
            Self::Node(command) => {
                out.push(tag::NODE);
                command.encode(out);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(from)? {
            tag::REGISTRY => registry::Command::decode(from).map(Self::Registry),
            tag::NODE => NodeCommand::decode(from).map(Self::Node),
            tag => Err(DecodeError::Tag { what: "command", tag }),
        }
    }
}

/// Who proposed a command: a life of a voter, by a number drawn when it began, and the proposal's place in that life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) life: u64,
    pub(crate) serial: u64,
}

/// A command with its origin, as it stands in a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proposal {
    pub(crate) origin: Origin,
    pub(crate) command: Command,
}

impl Encode for Proposal {
    fn encode(&self, out: &mut Vec<u8>) {
        self.origin.life.encode(out);
        self.origin.serial.encode(out);
        self.command.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let origin = Origin { life: u64::decode(from)?, serial: u64::decode(from)? };
        Ok(Self { origin, command: Command::decode(from)? })
    }
}

/// Puts encoded proposals into one batch.
pub(crate) fn join<'a>(proposals: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = Vec::new();
    proposals.into_iter().for_each(|proposal| put_bytes(proposal, &mut out));
    out.into()
}

/// Reads a batch.
pub(crate) fn split(batch: &[u8]) -> Result<Vec<Proposal>, DecodeError> {
    let mut from = Reader::new(batch);
    let mut proposals = Vec::new();
    while !from.is_empty() {
        proposals.push(Proposal::from_bytes(from.bytes()?)?);
    }
    Ok(proposals)
}

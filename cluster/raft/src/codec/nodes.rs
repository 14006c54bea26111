//! Commands on the table of nodes, and the whole of it for a snapshot.

use super::{DecodeError, Encode, Reader};
use crate::nodes::{Candidate, NodeCommand, NodePhase, NodeRecord, NodeTable};
use crate::versions::PROTOCOL_NEWEST;
use std::collections::BTreeMap;
use std::sync::Arc;

mod tag {
    pub(super) const FOUND: u8 = 1;
    pub(super) const JOIN: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const LEAVE: u8 = 4;
    pub(super) const DOWN: u8 = 5;
    pub(super) const REMOVE: u8 = 6;
    pub(super) const RAISE: u8 = 7;
}

macro_rules! put {
    ($out:ident, $($value:expr),*) => {{ $($value.encode($out);)* }};
}

impl Encode for NodeCommand {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Found { nodes } => put!(out, tag::FOUND, nodes),
            Self::Join(candidate) => put!(out, tag::JOIN, candidate),
            Self::Open { node, incarnation, life, address, zone, keeper } => {
                put!(out, tag::OPEN, node, incarnation, life, address, zone, keeper);
            }
            Self::Leave { node, incarnation } => put!(out, tag::LEAVE, node, incarnation),
            Self::Down { node, incarnation, keeper } => put!(out, tag::DOWN, node, incarnation, keeper),
            Self::Remove { node } => put!(out, tag::REMOVE, node),
            Self::Raise { protocol } => put!(out, tag::RAISE, protocol),
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(from)? {
            tag::FOUND => Self::Found { nodes: Vec::decode(from)? },
            tag::JOIN => Self::Join(Candidate::decode(from)?),
            tag::OPEN => Self::Open {
                node: u32::decode(from)?,
                incarnation: u32::decode(from)?,
                life: u64::decode(from)?,
                address: Arc::decode(from)?,
                zone: Arc::decode(from)?,
                keeper: u64::decode(from)?,
            },
            tag::LEAVE => Self::Leave { node: u32::decode(from)?, incarnation: u32::decode(from)? },
            tag::DOWN => Self::Down {
                node: u32::decode(from)?,
                incarnation: u32::decode(from)?,
                keeper: Option::decode(from)?,
            },
            tag::REMOVE => Self::Remove { node: u32::decode(from)? },
            tag::RAISE => Self::Raise { protocol: read_protocol(from)? },
            tag => return Err(DecodeError::Tag { what: "node command", tag }),
        })
    }
}

/// A version of the protocol between nodes that this build speaks: of a later one there may be what it cannot read.
pub(crate) fn read_protocol(from: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let found = u32::decode(from)?;
    if found > PROTOCOL_NEWEST {
        return Err(DecodeError::Version { found, newest: PROTOCOL_NEWEST });
    }
    Ok(found)
}

impl Encode for Candidate {
    fn encode(&self, out: &mut Vec<u8>) {
        put!(out, self.identity, self.name, self.address, self.zone);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            identity: u64::decode(from)?,
            name: Arc::decode(from)?,
            address: Arc::decode(from)?,
            zone: Arc::decode(from)?,
        })
    }
}

impl Encode for NodePhase {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Joined => 1,
            Self::Up => 2,
            Self::Leaving => 3,
            Self::Down => 4,
        });
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(from)? {
            1 => Ok(Self::Joined),
            2 => Ok(Self::Up),
            3 => Ok(Self::Leaving),
            4 => Ok(Self::Down),
            tag => Err(DecodeError::Tag { what: "phase of a node", tag }),
        }
    }
}

impl Encode for NodeRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        put!(out, self.candidate, self.incarnation, self.life, self.keeper, self.phase);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            candidate: Candidate::decode(from)?,
            incarnation: u32::decode(from)?,
            life: u64::decode(from)?,
            keeper: u64::decode(from)?,
            phase: NodePhase::decode(from)?,
        })
    }
}

impl Encode for NodeTable {
    fn encode(&self, out: &mut Vec<u8>) {
        put!(out, self.next(), self.changes(), self.nodes());
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_parts(u32::decode(from)?, u64::decode(from)?, BTreeMap::decode(from)?))
    }
}

//! Commands on names and groups, and the whole of them for a snapshot.

use super::{DecodeError, Encode, Reader, put_count};
use arsenal_runtime::registry::{Command, GlobalName, Group, RegistryState};
use arsenal_runtime::{Pid, Term};
use std::collections::BTreeMap;
use std::sync::Arc;

mod tag {
    pub(super) const REGISTER: u8 = 1;
    pub(super) const UNREGISTER: u8 = 2;
    pub(super) const SET_METADATA: u8 = 3;
    pub(super) const CREATE_GROUP: u8 = 4;
    pub(super) const DELETE_GROUP: u8 = 5;
    pub(super) const JOIN: u8 = 6;
    pub(super) const LEAVE: u8 = 7;
    pub(super) const PROCESSES_DOWN: u8 = 8;
    pub(super) const NODE_DOWN: u8 = 9;
    pub(super) const MOVE: u8 = 10;
}

macro_rules! put {
    ($out:ident, $($value:expr),*) => {{ $($value.encode($out);)* }};
}

impl Encode for Command {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Register { name, pid, replace, allow_multiple, metadata, at_ms } => {
                put!(out, tag::REGISTER, name, pid, replace, allow_multiple, metadata, at_ms);
            }
            Self::Unregister { name, token } => put!(out, tag::UNREGISTER, name, token),
            Self::SetMetadata { name, version, patch } => put!(out, tag::SET_METADATA, name, version, patch),
            Self::CreateGroup { group, metadata, members_max, at_ms } => {
                put!(out, tag::CREATE_GROUP, group, metadata, members_max, at_ms);
            }
            Self::DeleteGroup { group, version, expected_count } => {
                put!(out, tag::DELETE_GROUP, group, version, expected_count);
            }
            Self::Join { group, pids } => put!(out, tag::JOIN, group, pids),
            Self::Leave { group, pids } => put!(out, tag::LEAVE, group, pids),
            Self::Move { from, to, epoch } => put!(out, tag::MOVE, from, to, epoch),
            Self::ProcessesDown { pids } => put!(out, tag::PROCESSES_DOWN, pids),
            Self::NodeDown { node, incarnation } => put!(out, tag::NODE_DOWN, node, incarnation),
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(from)? {
            tag::REGISTER => Self::Register {
                name: Arc::decode(from)?,
                pid: Pid::decode(from)?,
                replace: bool::decode(from)?,
                allow_multiple: bool::decode(from)?,
                metadata: Term::decode(from)?,
                at_ms: u64::decode(from)?,
            },
            tag::UNREGISTER => Self::Unregister { name: Arc::decode(from)?, token: Option::decode(from)? },
            tag::SET_METADATA => Self::SetMetadata {
                name: Arc::decode(from)?,
                version: Option::decode(from)?,
                patch: Term::decode(from)?,
            },
            tag::CREATE_GROUP => Self::CreateGroup {
                group: Arc::decode(from)?,
                metadata: Term::decode(from)?,
                members_max: Option::decode(from)?,
                at_ms: u64::decode(from)?,
            },
            tag::DELETE_GROUP => Self::DeleteGroup {
                group: Arc::decode(from)?,
                version: Option::decode(from)?,
                expected_count: Option::decode(from)?,
            },
            tag::JOIN => Self::Join { group: Arc::decode(from)?, pids: Vec::decode(from)? },
            tag::LEAVE => Self::Leave { group: Arc::decode(from)?, pids: Vec::decode(from)? },
            tag::MOVE => {
                Self::Move { from: Pid::decode(from)?, to: Pid::decode(from)?, epoch: u64::decode(from)? }
            }
            tag::PROCESSES_DOWN => Self::ProcessesDown { pids: Vec::decode(from)? },
            tag::NODE_DOWN => Self::NodeDown { node: u32::decode(from)?, incarnation: u32::decode(from)? },
            tag => return Err(DecodeError::Tag { what: "registry command", tag }),
        })
    }
}

impl Encode for GlobalName {
    fn encode(&self, out: &mut Vec<u8>) {
        put!(out, self.pid, self.token, self.metadata, self.version, self.registered_ms);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            pid: Pid::decode(from)?,
            token: u64::decode(from)?,
            metadata: Term::decode(from)?,
            version: u64::decode(from)?,
            registered_ms: u64::decode(from)?,
        })
    }
}

impl Encode for Group {
    fn encode(&self, out: &mut Vec<u8>) {
        put!(out, self.created, self.metadata, self.members_max, self.version, self.created_ms, self.members);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            created: bool::decode(from)?,
            metadata: Term::decode(from)?,
            members_max: Option::decode(from)?,
            version: u64::decode(from)?,
            created_ms: u64::decode(from)?,
            members: BTreeMap::decode(from)?,
        })
    }
}

impl<K: Encode + Ord, V: Encode> Encode for BTreeMap<K, V> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_count(self.len(), out);
        for (key, value) in self {
            put!(out, key, value);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        (0..u32::decode(from)?).map(|_| Ok((K::decode(from)?, V::decode(from)?))).collect()
    }
}

impl Encode for RegistryState {
    fn encode(&self, out: &mut Vec<u8>) {
        put!(out, self.index(), self.names(), self.groups());
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_tables(u64::decode(from)?, BTreeMap::decode(from)?, BTreeMap::decode(from)?))
    }
}

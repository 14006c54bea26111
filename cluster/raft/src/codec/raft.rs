//! What openraft keeps and sends: log ids, votes, memberships, entries, requests and answers.

use super::{DecodeError, Encode, Reader, put_count};
use crate::types::{Batch, Entry, LogId, NodeId, Types, Vote, Voter};
use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use openraft::{CommittedLeaderId, EntryPayload, LeaderId, Membership, SnapshotMeta, StoredMembership};
use std::collections::{BTreeMap, BTreeSet};

impl Encode for LogId {
    fn encode(&self, out: &mut Vec<u8>) {
        self.leader_id.term.encode(out);
        self.leader_id.node_id.encode(out);
        self.index.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::new(CommittedLeaderId::new(u64::decode(from)?, u64::decode(from)?), u64::decode(from)?))
    }
}

impl Encode for Vote {
    fn encode(&self, out: &mut Vec<u8>) {
        self.leader_id.term.encode(out);
        self.leader_id.node_id.encode(out);
        self.committed.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            leader_id: LeaderId::new(u64::decode(from)?, u64::decode(from)?),
            committed: bool::decode(from)?,
        })
    }
}

impl Encode for Voter {
    fn encode(&self, out: &mut Vec<u8>) {
        self.address.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { address: String::decode(from)? })
    }
}

impl Encode for Membership<NodeId, Voter> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_count(self.get_joint_config().len(), out);
        for config in self.get_joint_config() {
            put_count(config.len(), out);
            config.iter().for_each(|id| id.encode(out));
        }
        let nodes: BTreeMap<NodeId, Voter> = self.nodes().map(|(id, voter)| (*id, voter.clone())).collect();
        nodes.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let configs = (0..u32::decode(from)?)
            .map(|_| (0..u32::decode(from)?).map(|_| u64::decode(from)).collect::<Result<BTreeSet<_>, _>>())
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(configs, BTreeMap::<NodeId, Voter>::decode(from)?))
    }
}

impl Encode for StoredMembership<NodeId, Voter> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.log_id().encode(out);
        self.membership().encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::new(Option::decode(from)?, Membership::decode(from)?))
    }
}

impl Encode for SnapshotMeta<NodeId, Voter> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.last_log_id.encode(out);
        self.last_membership.encode(out);
        self.snapshot_id.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            last_log_id: Option::decode(from)?,
            last_membership: StoredMembership::decode(from)?,
            snapshot_id: String::decode(from)?,
        })
    }
}

mod payload {
    pub(super) const BLANK: u8 = 0;
    pub(super) const BATCH: u8 = 1;
    pub(super) const MEMBERSHIP: u8 = 2;
}

impl Encode for Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        self.log_id.encode(out);
        match &self.payload {
            EntryPayload::Blank => out.push(payload::BLANK),
            EntryPayload::Normal(batch) => {
                out.push(payload::BATCH);
                batch.bytes().encode(out);
            }
            EntryPayload::Membership(membership) => {
                out.push(payload::MEMBERSHIP);
                membership.encode(out);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let log_id = LogId::decode(from)?;
        let payload = match u8::decode(from)? {
            payload::BLANK => EntryPayload::Blank,
            payload::BATCH => EntryPayload::Normal(Batch::from_bytes(Bytes::decode(from)?)),
            payload::MEMBERSHIP => EntryPayload::Membership(Membership::decode(from)?),
            tag => return Err(DecodeError::Tag { what: "kind of entry", tag }),
        };
        Ok(Self { log_id, payload })
    }
}

impl Encode for AppendEntriesRequest<Types> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.vote.encode(out);
        self.prev_log_id.encode(out);
        self.leader_commit.encode(out);
        self.entries.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            vote: Vote::decode(from)?,
            prev_log_id: Option::decode(from)?,
            leader_commit: Option::decode(from)?,
            entries: Vec::decode(from)?,
        })
    }
}

mod append {
    pub(super) const SUCCESS: u8 = 0;
    pub(super) const PARTIAL: u8 = 1;
    pub(super) const CONFLICT: u8 = 2;
    pub(super) const HIGHER_VOTE: u8 = 3;
}

impl Encode for AppendEntriesResponse<NodeId> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Success => out.push(append::SUCCESS),
            Self::PartialSuccess(matching) => {
                out.push(append::PARTIAL);
                matching.encode(out);
            }
            Self::Conflict => out.push(append::CONFLICT),
            Self::HigherVote(vote) => {
                out.push(append::HIGHER_VOTE);
                vote.encode(out);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(from)? {
            append::SUCCESS => Self::Success,
            append::PARTIAL => Self::PartialSuccess(Option::decode(from)?),
            append::CONFLICT => Self::Conflict,
            append::HIGHER_VOTE => Self::HigherVote(Vote::decode(from)?),
            tag => return Err(DecodeError::Tag { what: "answer to entries", tag }),
        })
    }
}

impl Encode for VoteRequest<NodeId> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.vote.encode(out);
        self.last_log_id.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { vote: Vote::decode(from)?, last_log_id: Option::decode(from)? })
    }
}

impl Encode for VoteResponse<NodeId> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.vote.encode(out);
        self.vote_granted.encode(out);
        self.last_log_id.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            vote: Vote::decode(from)?,
            vote_granted: bool::decode(from)?,
            last_log_id: Option::decode(from)?,
        })
    }
}

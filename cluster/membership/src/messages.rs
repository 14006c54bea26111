//! What nodes say to each other about themselves, as it travels and as it is meant.

use crate::directory::Founder;
use arsenal_proto::internal::v1;
use arsenal_raft::Group;
use arsenal_raft::nodes::Candidate;

pub(crate) fn candidate_to(candidate: &Candidate) -> v1::Candidate {
    v1::Candidate {
        identity: candidate.identity,
        name: candidate.name.to_string(),
        address: candidate.address.to_string(),
        zone: candidate.zone.to_string(),
    }
}

pub(crate) fn candidate_from(candidate: v1::Candidate) -> Candidate {
    Candidate {
        identity: candidate.identity,
        name: candidate.name.into(),
        address: candidate.address.into(),
        zone: candidate.zone.into(),
    }
}

pub(crate) fn founder(candidate: &Candidate) -> Founder {
    Founder {
        identity: candidate.identity,
        name: candidate.name.to_string(),
        address: candidate.address.to_string(),
        zone: candidate.zone.to_string(),
    }
}

pub(crate) fn founder_candidate(founder: &Founder) -> Candidate {
    Candidate {
        identity: founder.identity,
        name: founder.name.as_str().into(),
        address: founder.address.as_str().into(),
        zone: founder.zone.as_str().into(),
    }
}

/// Who votes, and where each serves.
pub(crate) fn voter_addresses(group: &Group) -> Vec<v1::VoterAddress> {
    let addresses = group.voters().into_iter();
    addresses.map(|(node, voter)| v1::VoterAddress { node, address: voter.address }).collect()
}

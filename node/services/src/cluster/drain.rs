//! When a node can be spared.

use super::list;
use crate::Shared;
use crate::status::failure;
use crate::time::duration;
use arsenal_membership::{Membership, NodeState};
use arsenal_proto::v1;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};

/// How long is waited where nothing else is said.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// Voters that are up beside this node.
fn others(membership: &Membership, id: u32) -> Vec<u32> {
    let up = membership.nodes.values().filter(|node| node.voter && node.state == NodeState::Up);
    up.map(|node| node.id).filter(|other| *other != id).collect()
}

/// Whether a majority of the voters is up without this node, or it makes no difference to them.
fn can_be_spared(membership: &Membership, id: u32) -> bool {
    let votes = membership.nodes.get(&id).is_some_and(|node| node.voter);
    let voters = membership.nodes.values().filter(|node| node.voter).count();
    !votes || voters == 1 || others(membership, id).len() >= list::quorum(membership)
}

pub(super) async fn drain(
    shared: &Shared,
    request: &v1::DrainNodeRequest,
) -> Result<v1::DrainNodeResponse, Status> {
    let timeout = duration("timeout", request.timeout.as_ref())?.unwrap_or(TIMEOUT_DEFAULT);
    let id = match request.node.as_str() {
        "" => shared.nodes.own(),
        name => list::known(shared, "node", name)?.0.id,
    };
    let mut nodes = shared.nodes.watch();
    let spared = nodes.wait_for(|membership| can_be_spared(membership, id));
    let outcome =
        tokio::time::timeout(timeout, spared).await.map(|membership| membership.map(|now| Arc::clone(&now)));
    let name = list::name(id);
    match outcome {
        Ok(Ok(membership)) => Ok(v1::DrainNodeResponse {
            node: name,
            other_voters: others(&membership, id).into_iter().map(list::name).collect(),
            quorum: u32::try_from(list::quorum(&membership)).unwrap_or(u32::MAX),
        }),
        Ok(Err(_)) => Err(failure(Code::Unavailable, "STOPPING", "the node is stopping").status()),
        Err(_) => {
            let membership = shared.nodes.membership();
            let message = format!(
                "{} voters are up beside {name}, and {} have to agree; that did not change within {timeout:?}",
                others(&membership, id).len(),
                list::quorum(&membership)
            );
            Err(failure(Code::DeadlineExceeded, "TIMEOUT", message).resource("node", &name).status())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_membership::Node;

    fn voters(states: &[NodeState]) -> Membership {
        let node = |(id, state): (u32, &NodeState)| {
            (
                id,
                Node {
                    id,
                    incarnation: 1,
                    address: "a:1".into(),
                    zone: "".into(),
                    state: *state,
                    voter: true,
                },
            )
        };
        Membership { index: 1, nodes: (1..).zip(states).map(node).collect() }
    }

    #[test]
    fn of_three_voters_one_can_be_spared_while_the_other_two_are_up() {
        use NodeState::{Down, Leaving, Up};
        assert!(can_be_spared(&voters(&[Up, Up, Up]), 1));
        assert!(!can_be_spared(&voters(&[Up, Up, Down]), 1));
        assert!(!can_be_spared(&voters(&[Up, Leaving, Up]), 1), "another one is on its way out");
        assert!(can_be_spared(&voters(&[Down, Up, Up]), 1), "it is down already");
        assert!(can_be_spared(&voters(&[Up, Up, Up, Up, Down]), 1));
        assert!(!can_be_spared(&voters(&[Up, Up, Up, Down, Down]), 1));
    }

    #[test]
    fn who_does_not_vote_or_votes_alone_is_not_waited_for() {
        assert!(can_be_spared(&voters(&[NodeState::Up]), 1));
        let mut with_member = voters(&[NodeState::Up, NodeState::Down, NodeState::Down]);
        let member = Node { id: 9, voter: false, ..with_member.nodes[&1].clone() };
        with_member.nodes.insert(9, member);
        assert!(can_be_spared(&with_member, 9));
    }
}

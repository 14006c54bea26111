//! What the voters say to a command on the table of nodes, as whoever asked for it is told.
//!
//! Invariant: that a life of a node is over is said by the voters' own word alone, and marked as such: whoever serves at an
//! address where they were thought to be may refuse the same request for reasons of its own.

use arsenal_raft::nodes::{NodeCommand, NodeRefusal};
use arsenal_raft::{Command, Group, NodeOutcome, Outcome};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// Has a command on the table of nodes agreed on.
///
/// # Errors
/// `UNAVAILABLE` if it was not, as far as is known.
pub(crate) async fn propose(group: &Group, command: NodeCommand) -> Result<NodeOutcome, Status> {
    match group.propose(Command::Node(command)).await {
        Ok(Outcome::Node(outcome)) => Ok(outcome),
        Ok(Outcome::Registry(_)) => Err(Status::internal("the outcome is another command's")),
        Err(error) => Err(Status::unavailable(error.to_string())),
    }
}

/// Header of a refusal by which the voters themselves say that this life of a node is over, and not whoever serves where
/// they were thought to be.
const LIFE_OVER: &str = "arsenal-life-over";

/// What a refusal of the voters is to who asked.
pub(crate) fn refused(refusal: &NodeRefusal) -> Status {
    match refusal {
        NodeRefusal::NotFounded => Status::unavailable(refusal.to_string()),
        NodeRefusal::Unknown(_) | NodeRefusal::Superseded { .. } => {
            let mut metadata = MetadataMap::new();
            metadata.insert(LIFE_OVER, MetadataValue::from_static("1"));
            Status::with_metadata(Code::FailedPrecondition, refusal.to_string(), metadata)
        }
        _ => Status::failed_precondition(refusal.to_string()),
    }
}

/// Whether the voters refuse a renewal for good.
pub(crate) fn is_over(refused: &Status) -> bool {
    refused.code() == Code::FailedPrecondition && refused.metadata().contains_key(LIFE_OVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_over_by_the_word_of_the_voters_alone() {
        let superseded = NodeRefusal::Superseded { node: 4, incarnation: 2 };
        assert!([NodeRefusal::Unknown(4), superseded].iter().all(|refusal| is_over(&refused(refusal))));
        assert!(!is_over(&refused(&NodeRefusal::NotFounded)));
        assert!(!is_over(&Status::failed_precondition("one belongs to cluster 1, the other to cluster 2")));
    }
}

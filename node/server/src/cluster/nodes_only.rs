//! The door to what nodes say to each other: whoever is no node of the cluster is refused before anything of the request is
//! read. Where nobody is asked who it is, whoever gets to the port gets in.

use arsenal_membership::{PeerNode, Recognition};
use arsenal_services::caller::Principal;
use arsenal_services::layer::Guard;
use arsenal_services::status::failure;
use arsenal_services::wire::Call;
use http::Extensions;
use tonic::{Code, Status};

/// Lets only nodes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodesOnly {
    /// Anybody may be a node.
    open: bool,
}

impl NodesOnly {
    /// Lets those in that are recognized.
    pub(crate) fn new(recognition: &Recognition) -> Self {
        Self { open: recognition.is_open() }
    }

    fn recognizes(self, path: &str, extensions: &Extensions) -> Result<(), Status> {
        if self.open || PeerNode::of(extensions).is_some() {
            return Ok(());
        }
        let refused = match extensions.get::<Principal>() {
            Some(principal) => {
                let message =
                    format!("only nodes of the cluster call `{path}`, and `{}` is none", principal.name());
                failure(Code::PermissionDenied, "NOT_A_NODE", message)
            }
            None => {
                let message =
                    format!("only nodes of the cluster call `{path}`, and nothing tells who this is");
                failure(Code::Unauthenticated, "NO_IDENTITY", message)
            }
        };
        Err(refused.status())
    }
}

impl Guard for NodesOnly {
    fn admit(&self, call: &mut Call) -> Result<(), Status> {
        self.recognizes(call.request.uri().path(), call.request.extensions())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_tls::PeerIdentity;

    fn admitted(recognition: &Recognition, identity: Option<&PeerIdentity>) -> Code {
        let mut extensions = Extensions::new();
        if let Some(identity) = identity {
            extensions.insert(Principal::new(identity.name()));
        }
        if let Some(peer) = recognition.recognize(identity) {
            extensions.insert(peer);
        }
        NodesOnly::new(recognition)
            .recognizes("/p.S/M", &extensions)
            .err()
            .map_or(Code::Ok, |status| status.code())
    }

    #[test]
    fn a_client_with_a_certificate_is_denied_and_one_without_is_unknown() {
        let named = |name: &str| PeerIdentity { dns: vec![name.to_owned()], ..PeerIdentity::default() };
        let nodes = Recognition::Named("nodes.test".into());
        assert_eq!(admitted(&nodes, Some(&named("nodes.test"))), Code::Ok);
        assert_eq!(admitted(&nodes, Some(&named("orders.test"))), Code::PermissionDenied);
        assert_eq!(admitted(&nodes, None), Code::Unauthenticated);
        assert_eq!(admitted(&Recognition::default(), Some(&named("nodes.test"))), Code::PermissionDenied);
    }

    #[test]
    fn where_nobody_is_asked_anybody_gets_in() {
        assert_eq!(admitted(&Recognition::Anybody, None), Code::Ok);
    }
}

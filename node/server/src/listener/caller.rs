//! What is known of the other end of a connection, told to each of its requests: by the connection itself and by TLS,
//! never by what a request says. Whether it is a node of the cluster is decided here, once for a connection.

use arsenal_gateway::Peer;
use arsenal_membership::{PeerNode, Recognition};
use arsenal_services::caller::Principal;
use arsenal_tls::PeerIdentity;
use http::Extensions;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    peer: Option<Peer>,
    principal: Option<Principal>,
    node: Option<PeerNode>,
}

impl Caller {
    pub(super) fn new(
        peer: Option<Peer>,
        identity: Option<&PeerIdentity>,
        recognition: &Recognition,
    ) -> Self {
        let principal = identity.map(|identity| Principal::new(identity.name()));
        Self { peer, principal, node: recognition.recognize(identity) }
    }

    /// Adds what is known to a request. Where nothing is asked for and nothing known, that costs nothing.
    pub(super) fn introduce(&self, extensions: &mut Extensions) {
        if let Some(peer) = &self.peer {
            extensions.insert(peer.clone());
        }
        if let Some(principal) = &self.principal {
            extensions.insert(principal.clone());
        }
        if let Some(node) = &self.node {
            extensions.insert(node.clone());
        }
    }
}

//! Whom a node takes for a node of its cluster: by the certificate that the other end of a connection has shown, and by
//! nothing that is said on the connection.
//!
//! Invariants: where clients show certificates, only who has the nodes' common name is a node, and nobody is while there is
//! no such name; a certificate that names the addresses of some nodes speaks for no other one.

use arsenal_tls::PeerIdentity;
use http::Extensions;
use std::sync::Arc;

/// How nodes are told from clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// Nobody is asked who it is: whoever gets in may be a node. For networks that let nobody else in.
    Anybody,
    /// The certificates of nodes, and of nobody else, have this DNS name or address; empty where there are no other nodes.
    Named(Arc<str>),
}

impl Default for Recognition {
    /// Nobody is a node.
    fn default() -> Self {
        Self::Named(Arc::from(""))
    }
}

impl Recognition {
    /// The other end of a connection as a node, by its certificate; nothing if it is none, or nobody is asked.
    pub fn recognize(&self, identity: Option<&PeerIdentity>) -> Option<PeerNode> {
        let (Self::Named(name), Some(identity)) = (self, identity) else { return None };
        if name.is_empty() || !identity.is_called(name) {
            return None;
        }
        Some(PeerNode(Arc::new(identity.clone())))
    }

    /// Whether somebody may be a node that is not known to be one.
    pub fn is_open(&self) -> bool {
        *self == Self::Anybody
    }
}

/// A node at the other end of a connection, in the extensions of each of its requests. Whoever accepts connections puts it
/// there.
#[derive(Clone, Debug)]
pub struct PeerNode(Arc<PeerIdentity>);

impl PeerNode {
    /// Who sent a request, if that was a node that is known to be one.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The one name by which it is known.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Whether it may say that it is this node, of the nodes at these addresses: its certificate names the host of this
    /// one's address, or that of none.
    pub fn may_be<'a>(&self, node: u32, addresses: impl IntoIterator<Item = (u32, &'a str)>) -> bool {
        let (mut names_another, mut names_it) = (false, false);
        for (id, address) in addresses {
            if self.0.is_called(host(address)) {
                (names_it, names_another) = (names_it || id == node, names_another || id != node);
            }
        }
        names_it || !names_another
    }
}

/// The host of `HOST:PORT`.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(dns: &[&str], addresses: &[&str]) -> PeerIdentity {
        PeerIdentity {
            dns: dns.iter().map(|name| (*name).to_owned()).collect(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            ..PeerIdentity::default()
        }
    }

    #[test]
    fn only_who_has_the_name_of_the_nodes_is_one() {
        let nodes = Recognition::Named("nodes.test".into());
        for (identity, is_node) in [
            (shown(&["n1.test", "Nodes.test"], &[]), true),
            (shown(&["orders.test"], &["10.0.0.1"]), false),
            (shown(&["x.nodes.test", "*.test"], &[]), false),
            (PeerIdentity { subject: "CN=nodes.test".to_owned(), ..PeerIdentity::default() }, false),
            (PeerIdentity { uris: vec!["spiffe://nodes.test".to_owned()], ..PeerIdentity::default() }, false),
        ] {
            assert_eq!(nodes.recognize(Some(&identity)).is_some(), is_node, "{identity:?}");
        }
        assert!(nodes.recognize(None).is_none());
        assert!(!nodes.is_open());
    }

    #[test]
    fn without_a_name_of_the_nodes_nobody_is_one() {
        for identity in [shown(&[""], &[]), shown(&["nodes.test"], &[]), PeerIdentity::default()] {
            assert!(Recognition::default().recognize(Some(&identity)).is_none(), "{identity:?}");
        }
        assert!(!Recognition::default().is_open());
    }

    #[test]
    fn where_nobody_is_asked_nobody_is_known_to_be_a_node_and_anybody_may_be() {
        assert!(Recognition::Anybody.recognize(Some(&shown(&["nodes.test"], &[]))).is_none());
        assert!(Recognition::Anybody.is_open());
    }

    #[test]
    fn a_certificate_that_names_one_node_speaks_for_no_other() {
        let addresses = [(1, "a.test:7450"), (2, "b.test:7450"), (3, "10.0.0.3:7450"), (4, "[::4]:7450")];
        let nodes = Recognition::Named("nodes.test".into());
        let may_be = |dns: &[&str], ips: &[&str]| {
            let identity = shown(&[&["nodes.test"][..], dns].concat(), ips);
            let peer = nodes.recognize(Some(&identity)).unwrap();
            [1, 2, 3, 4, 5].map(|node| peer.may_be(node, addresses))
        };
        assert_eq!(may_be(&["a.test"], &[]), [true, false, false, false, false]);
        assert_eq!(may_be(&[], &["10.0.0.3"]), [false, false, true, false, false]);
        assert_eq!(may_be(&["a.test"], &["::4"]), [true, false, false, true, false]);
        assert_eq!(may_be(&[], &[]), [true; 5], "a certificate that all nodes have");
        assert_eq!(may_be(&["c.test", "*.test"], &[]), [true; 5], "one that names none of them");
    }

    #[test]
    fn nodes_of_one_host_may_each_be_any_of_that_host() {
        let nodes = Recognition::Named("nodes.test".into());
        let peer = nodes.recognize(Some(&shown(&["nodes.test"], &["127.0.0.1"]))).unwrap();
        let addresses = [(1, "127.0.0.1:7450"), (2, "127.0.0.1:7451"), (3, "127.0.0.2:7450")];
        assert_eq!([1, 2, 3].map(|node| peer.may_be(node, addresses)), [true, true, false]);
    }
}

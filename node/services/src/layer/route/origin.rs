//! What one node tells another about a request that it sends on: how often it may go on, which process it means, who asked.
//!
//! Invariant: only the word of a node counts. From anybody else these headers say nothing, here or on the next node, whose
//! sender writes its own. Where nobody is asked who it is, anybody may be a node, and nobody is a principal.

use super::Router;
use super::forward::Hop;
use crate::caller::Principal;
use crate::wire::Call;
use arsenal_membership::PeerNode;
use arsenal_runtime::Pid;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::{BinaryMetadataValue, MetadataMap};

/// How often a request may still be sent on, as the node that sent it on allows.
const HOPS: HeaderName = HeaderName::from_static("arsenal-hops-left");
/// The process that the node which sent the request on resolved field 1 to.
const MEANT: HeaderName = HeaderName::from_static("arsenal-process");
/// The principal that asked the node which sent the request on; none if it is not known. Its bytes, since a name may have
/// any.
const PRINCIPAL_HEADER: &str = "arsenal-principal-bin";
const PRINCIPAL: HeaderName = HeaderName::from_static(PRINCIPAL_HEADER);

impl Router {
    /// Whether another node has sent this request on.
    pub(super) fn is_sent_on(&self, call: &Call) -> bool {
        call.request.headers().contains_key(&HOPS)
            && (self.shared.recognition.is_open() || PeerNode::of(call.request.extensions()).is_some())
    }

    /// Takes the word of a node for who asked it: what it has executed here is done in that principal's name.
    pub(super) fn take_principal(call: &mut Call) {
        if PeerNode::of(call.request.extensions()).is_none() {
            return;
        }
        let headers = call.request.headers();
        let (told, sent_on) = (principal(headers), headers.contains_key(&HOPS));
        let extensions = call.request.extensions_mut();
        match told {
            Some(principal) => drop(extensions.insert(principal)),
            // whoever asked the other node is not this node's acquaintance, and not the other node either
            None if sent_on => drop(extensions.remove::<Principal>()),
            None => {}
        }
    }
}

/// Whether the node that sent this request on allows one more hop.
pub(super) fn may_go_on(headers: &HeaderMap) -> bool {
    headers.get(&HOPS).is_some_and(|left| left == "1")
}

/// The process that the node which sent this request on took it to mean.
pub(super) fn meant(headers: &HeaderMap) -> Option<Pid> {
    headers.get(&MEANT)?.to_str().ok()?.parse().ok()
}

/// Writes what the next node is told, in place of what anybody else has written there.
pub(super) fn tell(headers: &mut HeaderMap, hop: &Hop, extensions: &Extensions) {
    headers.insert(HOPS, HeaderValue::from(u16::from(hop.hops_left)));
    headers.remove(&MEANT);
    if let Some(meant) = hop.meant.and_then(|pid| HeaderValue::try_from(pid.to_string()).ok()) {
        headers.insert(MEANT, meant);
    }
    headers.remove(&PRINCIPAL);
    if let Some(principal) = extensions.get::<Principal>().and_then(encoded) {
        headers.insert(PRINCIPAL, principal);
    }
}

/// Adds who asks to a question that this node asks another in somebody's name.
pub(crate) fn ask_for(principal: Option<&Principal>, metadata: &mut MetadataMap) {
    if let Some(principal) = principal {
        let name = BinaryMetadataValue::from_bytes(principal.name().as_bytes());
        metadata.insert_bin(PRINCIPAL_HEADER, name);
    }
}

fn encoded(principal: &Principal) -> Option<HeaderValue> {
    let name = BinaryMetadataValue::from_bytes(principal.name().as_bytes());
    HeaderValue::from_bytes(name.as_encoded_bytes()).ok()
}

fn principal(headers: &HeaderMap) -> Option<Principal> {
    let mut only = HeaderMap::with_capacity(1);
    only.insert(PRINCIPAL, headers.get(&PRINCIPAL)?.clone());
    let name = MetadataMap::from_headers(only).get_bin(PRINCIPAL_HEADER)?.to_bytes().ok()?;
    std::str::from_utf8(&name).ok().map(Principal::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_of_any_name_arrives_as_it_is() {
        for name in ["spiffe://test/orders", "CN=Bäcker, O=\u{1}\n", "", "a,b"] {
            let mut extensions = Extensions::new();
            extensions.insert(Principal::new(name));
            let hop = Hop { node: 2, meant: None, hops_left: 0, since: std::time::Instant::now() };
            let mut headers = HeaderMap::new();
            tell(&mut headers, &hop, &extensions);
            assert_eq!(principal(&headers).as_ref().map(Principal::name), Some(name));
            let mut asked = MetadataMap::new();
            ask_for(Some(&Principal::new(name)), &mut asked);
            assert_eq!(principal(asked.as_ref()).as_ref().map(Principal::name), Some(name));
        }
    }

    #[test]
    fn what_a_client_has_written_is_not_told_to_the_next_node() {
        let mut headers = HeaderMap::new();
        for (name, value) in [(&HOPS, "1"), (&MEANT, "n1.1.7"), (&PRINCIPAL, "YWRtaW4")] {
            headers.append(name, HeaderValue::from_static(value));
            headers.append(name, HeaderValue::from_static(value));
        }
        assert_eq!(principal(&headers).as_ref().map(Principal::name), Some("admin"));
        let hop = Hop { node: 2, meant: None, hops_left: 0, since: std::time::Instant::now() };
        tell(&mut headers, &hop, &Extensions::new());
        let left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(left, [("arsenal-hops-left", &b"0"[..])]);
    }
}

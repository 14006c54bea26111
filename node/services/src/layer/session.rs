//! The session that a request acts for: found once, for every RPC, whether its handler asks for it or not.
//!
//! Invariants: a request whose header names a session that is not there, or is another's, is refused before anything is
//! done; every request that names one of this node renews its lease. Of a session of another node
//! [`route`](super::route) has made sure. It lies beneath the answers to repeats, so that a repeat is answered though its
//! session has ended meanwhile.

use super::guard::Guard;
use super::route::ForeignSession;
use crate::caller::{Acting, Principal, SESSION_HEADER, no_session, own_session};
use crate::wire::Call;
use arsenal_runtime::{Node, OwnedId, Pid};
use http::HeaderName;
use tonic::Status;

/// As a name that needs no parsing at each request.
const SESSION: HeaderName = HeaderName::from_static(SESSION_HEADER);

/// Knows the sessions of this node, and tells handlers which one a request acts for.
#[derive(Clone, Debug)]
pub struct ActingSession(pub Node);

impl Guard for ActingSession {
    fn admit(&self, call: &mut Call) -> Result<(), Status> {
        if let Some(pid) = session_of(&self.0, call)? {
            call.request.extensions_mut().insert(Acting(pid));
        }
        Ok(())
    }
}

/// The process of the session that a request names.
fn session_of(node: &Node, call: &Call) -> Result<Option<Pid>, Status> {
    let Some(header) = call.request.headers().get(&SESSION) else { return Ok(None) };
    let session = String::from_utf8_lossy(header.as_bytes());
    let extensions = call.request.extensions();
    if extensions.get::<ForeignSession>().is_some() {
        let id: OwnedId = session.parse().map_err(|_| no_session(&session))?;
        return Ok(Some(Pid::new(id.node, id.incarnation, id.number())));
    }
    let pid = own_session(node, &session, extensions.get::<Principal>())?;
    // one that ended just now has no lease
    let _ = node.renew_receive(pid, None);
    Ok(Some(pid))
}

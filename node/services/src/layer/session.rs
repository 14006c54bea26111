//! The session that a request acts for: found once, for every RPC, whether its handler asks for it or not.
//!
//! Invariants: a request whose header names a session that is not there, or is another's, is refused before anything is
//! done; every request that names one of this node renews its lease. Of a session of another node
//! [`route`](super::route) has made sure. It lies beneath the answers to repeats, so that a repeat is answered though its
//! session has ended meanwhile.

use super::route::ForeignSession;
use crate::caller::{Acting, Principal, SESSION_HEADER, no_session, own_session};
use crate::wire::Call;
use arsenal_runtime::{Node, OwnedId, Pid};
use axum::body::Body;
use futures_util::future::Either;
use http::{HeaderName, Response};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tonic::Status;
use tower::{Layer, Service};

/// As a name that needs no parsing at each request.
const SESSION: HeaderName = HeaderName::from_static(SESSION_HEADER);

/// Tells handlers which session a request acts for.
#[derive(Clone, Debug)]
pub struct SessionLayer {
    node: Node,
}

impl SessionLayer {
    /// Knows the sessions of this node.
    pub fn new(node: Node) -> Self {
        Self { node }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { node: self.node.clone(), inner }
    }
}

/// See [`SessionLayer`].
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    node: Node,
    inner: S,
}

impl<S> Service<Call> for SessionService<S>
where
    S: Service<Call, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        match session_of(&self.node, &call) {
            Ok(None) => {}
            Ok(Some(pid)) => {
                call.request.extensions_mut().insert(Acting(pid));
            }
            Err(status) => return Either::Right(ready(Ok(status.into_http()))),
        }
        Either::Left(self.inner.call(call))
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

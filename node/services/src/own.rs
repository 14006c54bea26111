//! The way from a service of this node to the RPCs of the same node: in process, through the layers that every request
//! passes, so that its answer is the one that a client would get.
//!
//! Invariant: services are behind that way themselves, so they hold it weakly; it ends with whoever serves the node.

use crate::routes::Layered;
use crate::status::failure;
use crate::wire::{Answering, Wire};
use axum::body::Body;
use futures_util::FutureExt as _;
use http::{Request, Response};
use std::convert::Infallible;
use std::fmt;
use std::future::ready;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use tonic::Code;
use tower::Service;

/// Answers the requests of a node's own services.
pub trait Serve: Send + Sync {
    /// Answers one.
    fn serve(&self, request: Request<Body>) -> Answering;
}

impl<S: Layered> Serve for Wire<S> {
    fn serve(&self, request: Request<Body>) -> Answering {
        let mut wire = self.clone();
        Box::pin(async move { wire.call(request).await })
    }
}

/// Whoever serves the node, once somebody does. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Own(Arc<OnceLock<Weak<dyn Serve>>>);

impl Own {
    /// From now on this answers, for as long as somebody else has it.
    pub(crate) fn set(&self, serve: &Arc<dyn Serve>) {
        // a node is served once
        let _ = self.0.set(Arc::downgrade(serve));
    }
}

impl Service<Request<tonic::body::Body>> for Own {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Answering {
        match self.0.get().and_then(Weak::upgrade) {
            Some(serve) => serve.serve(request.map(Body::new)),
            None => {
                let away = failure(Code::Unavailable, "STOPPING", "the node serves no requests").status();
                ready(Ok(away.into_http())).boxed()
            }
        }
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}

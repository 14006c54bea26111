//! What comes to the REST port: the gateway, and what is counted beside it.

use arsenal_gateway::Hosts;
use axum::Router;
use axum::body::Body;
use futures_util::future::Either;
use http::{Request, Response};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::task::{Context, Poll};
use tower::Service;

/// Where what is counted is told.
pub(crate) const METRICS_PATH: &str = "/metrics";

/// The service of the REST port.
#[derive(Clone, Debug)]
pub(crate) struct RestPort<G> {
    gateway: G,
    /// Serves `/metrics`.
    metrics: Router,
    /// Whom that is told.
    hosts: Hosts,
}

impl<G> RestPort<G> {
    /// `gateway` is one that stays as it is, or one that follows its descriptors.
    pub(crate) fn new(gateway: G, metrics: Router, hosts: Hosts) -> Self {
        Self { gateway, metrics, hosts }
    }
}

impl<G> Service<Request<Incoming>> for RestPort<G>
where
    G: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<G::Future, <Router as Service<Request<Incoming>>>::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // neither makes a request wait for its turn
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        // the gateway refuses whoever is not admitted, and says why
        if request.uri().path() == METRICS_PATH && self.hosts.admit(&request) {
            return Either::Right(self.metrics.call(request));
        }
        Either::Left(self.gateway.call(request.map(Body::new)))
    }
}

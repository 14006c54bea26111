//! A layer that looks at a request before anything is done for it, and hands it on or answers with a status.

use crate::wire::Call;
use axum::body::Body;
use futures_util::future::Either;
use http::Response;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tonic::Status;
use tower::{Layer, Service};

/// Decides whether a request goes on.
pub trait Guard: Clone {
    /// Lets a request through, with what it may tell the handler of it.
    ///
    /// # Errors
    /// The status that is answered in its place.
    fn admit(&self, call: &mut Call) -> Result<(), Status>;
}

/// Has a [`Guard`] before whatever it is put around.
#[derive(Clone, Copy, Debug)]
pub struct GuardLayer<G>(pub G);

impl<S, G: Guard> Layer<S> for GuardLayer<G> {
    type Service = Guarded<S, G>;

    fn layer(&self, inner: S) -> Guarded<S, G> {
        Guarded { guard: self.0.clone(), inner }
    }
}

/// See [`GuardLayer`].
#[derive(Clone, Debug)]
pub struct Guarded<S, G> {
    guard: G,
    inner: S,
}

impl<S, G> Service<Call> for Guarded<S, G>
where
    S: Service<Call, Response = Response<Body>, Error = Infallible>,
    G: Guard,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        match self.guard.admit(&mut call) {
            Ok(()) => Either::Left(self.inner.call(call)),
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

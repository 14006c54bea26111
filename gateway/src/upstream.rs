//! Where calls go: anything that answers gRPC over `http` types.
//!
//! In process it is a tonic `Routes` or an axum `Router`, called without a socket ([`service`]); over the wire it is a
//! [`Remote`], or a [`Pool`] of them, which a [`Discovery`] may keep up to what their names stand for. Anything else is a layer around the service that is handed in.

mod channel;
mod dial;
mod dice;
mod discovery;
pub(crate) mod health;
mod line;
mod pool;
mod redial;
mod remote;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use tower::{BoxError, Service, ServiceExt as _};

pub use discovery::{Discovery, Resolver, Resolving, SystemResolver};
pub use pool::{CircuitLimits, Pool, PoolConfig};
pub use remote::{Address, Remote, RemoteConfig, RemoteError};

/// An answer to come.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

/// The call never left, or the server said that it did nothing with it: it was not done, and may be made elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("no connection: {why}")]
pub struct Unsent {
    #[source]
    why: BoxError,
    /// Behind a lock since a body cannot be shared, as an error has to be.
    request: Mutex<Option<Box<Request<Body>>>>,
    busy: bool,
}

impl Unsent {
    /// A call of which nothing is left.
    pub fn new(why: impl Into<BoxError>) -> Self {
        Self { why: why.into(), request: Mutex::new(None), busy: false }
    }

    /// A call whose request is still whole.
    pub fn with(why: impl Into<BoxError>, request: Request<Body>) -> Self {
        Self { why: why.into(), request: Mutex::new(Some(Box::new(request))), busy: false }
    }

    /// It was not taken by a server that is there, and has as much to do as it likes.
    #[must_use]
    pub fn by_busy(self) -> Self {
        Self { busy: true, ..self }
    }

    /// Whether the server is there, and only takes no more now.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// The request, if it is still whole: it can be sent elsewhere, body and all.
    pub fn take_request(&self) -> Option<Request<Body>> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner).take().map(|request| *request)
    }
}

/// The request broke off by itself, and the call with it: nothing can be said of the server.
#[derive(Debug, thiserror::Error)]
#[error("the request broke off")]
pub struct BrokeOff;

/// The answer, or another one on its connection, was no HTTP/2 that is taken, as one with very much in its trailers: asked again,
/// it would be no better.
#[derive(Debug, thiserror::Error)]
#[error("the answer cannot be read: {0}")]
pub struct Unreadable(#[source] h2::Error);

/// Something that answers gRPC requests: a POST to `/package.Service/Method` with framed messages.
pub trait Upstream: Send + Sync + 'static {
    /// Begins a call; dropping the answer cancels it.
    fn call(&self, request: Request<Body>) -> Answer;

    /// Whether a request's extensions mean anything to it: what the server that the gateway runs in knows of the client. Over
    /// a wire they do not.
    fn takes_extensions(&self) -> bool {
        true
    }
}

impl<U: Upstream + ?Sized> Upstream for Arc<U> {
    fn call(&self, request: Request<Body>) -> Answer {
        (**self).call(request)
    }

    fn takes_extensions(&self) -> bool {
        (**self).takes_extensions()
    }
}

/// A tower service as upstream; it is cloned for each call.
pub fn service<S, B>(service: S) -> InProcess<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    InProcess { service }
}

/// See [`service`].
#[derive(Clone, Debug)]
pub struct InProcess<S> {
    service: S,
}

impl<S, B> Upstream for InProcess<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn call(&self, request: Request<Body>) -> Answer {
        let answer = self.service.clone().oneshot(request);
        Box::pin(async move { answer.await.map(|response| response.map(Body::new)).map_err(Into::into) })
    }
}

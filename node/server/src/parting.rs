//! What open streams are told when the node, or a gateway of its own, stops: UNAVAILABLE STOPPING, so that a client goes
//! elsewhere, and not an end that looks like the last item.

use arsenal_gateway::Gateway;
use arsenal_gateway::upstream::{Answer, Upstream};
use arsenal_services::operations;
use arsenal_services::status::failure;
use arsenal_services::wire::{Answering, Call};
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use parking_lot::RwLock;
use prost_reflect::MethodDescriptor;
use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::watch;
use tonic::Code;
use tower::{Layer, Service};

/// Streams of standard services, which the contract does not list.
const STANDARD: [&str; 3] = [
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Ends streams when the node stops.
#[derive(Clone, Debug)]
pub(crate) struct PartingLayer(Arc<Stop>);

#[derive(Debug)]
struct Stop {
    /// What stops, in the status message.
    who: &'static str,
    stopped: watch::Receiver<bool>,
}

impl PartingLayer {
    pub(crate) fn new(who: &'static str, stopped: watch::Receiver<bool>) -> Self {
        Self(Arc::new(Stop { who, stopped }))
    }

    /// The answer of a stream that ends when the stop comes.
    fn follow(&self, response: Response<Body>) -> Response<Body> {
        let mut stopped = self.0.stopped.clone();
        let stopped = async move {
            // the sender's drop is a stop too
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let who = self.0.who;
        response.map(|inner| Body::new(Stream { inner, who, stopped: Some(Box::pin(stopped)) }))
    }
}

impl<S> Layer<S> for PartingLayer {
    type Service = Parting<S>;

    fn layer(&self, inner: S) -> Parting<S> {
        Parting { layer: self.clone(), inner }
    }
}

/// See [`PartingLayer`].
#[derive(Clone, Debug)]
pub(crate) struct Parting<S> {
    layer: PartingLayer,
    inner: S,
}

impl<S> Service<Call> for Parting<S>
where
    S: Service<Call, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Answering>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let streaming = call.rpc.server_streaming;
        let answer = self.inner.call(call);
        if !streaming {
            return Either::Left(answer);
        }
        let layer = self.layer.clone();
        Either::Right(Box::pin(async move { Ok(layer.follow(answer.await?)) }))
    }
}

/// An upstream whose streams end when its gateway stops.
#[derive(Clone, Debug)]
pub(crate) struct PartingUpstream<U> {
    layer: PartingLayer,
    streams: Streams,
    inner: U,
}

impl<U> PartingUpstream<U> {
    /// Whose streams are told of the stop, `streams` says from now on.
    pub(crate) fn new(layer: PartingLayer, streams: Streams, inner: U) -> Self {
        Self { layer, streams, inner }
    }
}

/// The paths of RPCs whose answers are streams. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Streams(Arc<RwLock<HashSet<String>>>);

impl Streams {
    /// Those of the contract and of standard services, which are called whatever a gateway's descriptors have.
    pub(crate) fn known() -> Self {
        Self(Arc::new(RwLock::new(known().collect())))
    }

    /// And, from now on, those that this gateway serves.
    pub(crate) fn follow(&self, gateway: &Gateway) {
        let services = gateway.schema().pool().services();
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        let served = methods
            .filter(MethodDescriptor::is_server_streaming)
            .map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name()));
        *self.0.write() = known().chain(served).collect();
    }

    fn contain(&self, path: &str) -> bool {
        self.0.read().contains(path)
    }
}

fn known() -> impl Iterator<Item = String> {
    let ours = operations::all().into_iter().filter(|operation| operation.method.is_server_streaming());
    ours.map(|operation| operation.path()).chain(STANDARD.into_iter().map(str::to_owned))
}

impl<U: Upstream> Upstream for PartingUpstream<U> {
    fn call(&self, request: Request<Body>) -> Answer {
        let streaming = self.streams.contain(request.uri().path());
        let answer = self.inner.call(request);
        if !streaming {
            return answer;
        }
        let layer = self.layer.clone();
        Box::pin(async move { Ok(layer.follow(answer.await?)) })
    }
}

struct Stream {
    inner: Body,
    who: &'static str,
    /// Nothing once the client was told.
    stopped: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { inner, who, stopped } = &mut *self;
        let Some(stop) = stopped else { return Poll::Ready(None) };
        // what is there already is delivered first
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        ready!(stop.as_mut().poll(context));
        *stopped = None;
        let mut trailers = HeaderMap::new();
        let status = failure(Code::Unavailable, "STOPPING", format!("the {who} is stopping")).status();
        // a status of ours is a valid header
        let _ = status.add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stopped.is_none() || http_body::Body::is_end_stream(&self.inner)
    }
}

#[cfg(test)]
mod tests;

//! A request on its way to another node, and its answer on the way back.
//!
//! Invariants: the bytes of neither are looked at; `UNAVAILABLE` is said only if no byte of a message can have left; the
//! other node gets what remains of the deadline. An answer of one message is taken in whole, as far as the account of
//! answers allows, so that a client that does not read it holds up nobody else on the connection between the nodes; streams
//! hold each other back as HTTP/2 does.

use super::{NODE, Router, never_sent, origin, outcome_unknown};
use crate::layer::deadline;
use crate::wire::{Call, Relayed, Rpc, Unfinished, read_whole};
use arsenal_runtime::Pid;
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tonic::transport::Channel;
use tower::{Service as _, ServiceExt as _};
use tracing::Instrument as _;

/// Where a request goes.
pub(super) struct Hop {
    /// The node.
    pub(super) node: u32,
    /// The process that field 1 means.
    pub(super) meant: Option<Pid>,
    /// How often it may go on from there.
    pub(super) hops_left: u8,
    /// When it came.
    pub(super) since: Instant,
}

impl Router {
    /// Has a request answered by another node.
    pub(super) async fn forward(&self, call: Call, hop: Hop) -> Response<Body> {
        let node = hop.node;
        let channel = match self.shared.nodes.channel(node) {
            Ok(channel) => channel,
            Err(error) => return never_sent(node, &error.to_string()).into_http(),
        };
        let span = tracing::info_span!(
            "hop",
            otel.name = call.rpc.path.trim_start_matches('/'),
            otel.kind = "client",
            rpc.system = "grpc",
            server.address = format!("n{node}"),
        );
        let (mut parts, body) = call.ahead.put_back(call.request).into_parts();
        prepare(&mut parts, &hop);
        span.in_scope(|| (self.propagate)(&mut parts.headers));
        parts.version = Version::HTTP_2;
        parts.uri =
            Uri::from_maybe_shared(Bytes::copy_from_slice(call.rpc.path.as_bytes())).unwrap_or_default();
        parts.extensions.clear();
        let left = Arc::new(AtomicBool::new(false));
        let body = Leaving { body, left: Arc::clone(&left) };
        let request = Request::from_parts(parts, tonic::body::Body::new(body));
        match send(channel, request).instrument(span).await {
            Ok(mut response) => {
                response.extensions_mut().insert(Relayed);
                self.pass_on(&call.rpc, node, response).await
            }
            Err(error) if left.load(Relaxed) => outcome_unknown(node, &words(&error)).into_http(),
            Err(error) => never_sent(node, &words(&error)).into_http(),
        }
    }
}

impl Router {
    /// The answer of another node as this one's.
    async fn pass_on(&self, rpc: &Rpc, node: u32, response: Response<tonic::body::Body>) -> Response<Body> {
        if !rpc.is_unary() {
            return response.map(|body| Body::new(Coming { body, node, ended: false }));
        }
        let (parts, body) = response.into_parts();
        match read_whole(body, &self.answers.of(rpc.changes)).await {
            Ok(whole) => Response::from_parts(parts, Body::new(whole)),
            Err(Unfinished::Full(status)) => status.into_http(),
            Err(Unfinished::Broken(error)) => outcome_unknown(node, error.message()).into_http(),
        }
    }
}

async fn send(
    mut channel: Channel,
    request: Request<tonic::body::Body>,
) -> Result<Response<tonic::body::Body>, tonic::transport::Error> {
    channel.ready().await?.call(request).await
}

/// An error and what is behind it.
fn words(error: &tonic::transport::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

/// The headers with which a request goes on: what concerned the connection that it came by stays behind.
fn prepare(parts: &mut Parts, hop: &Hop) {
    let headers = &mut parts.headers;
    for name in [&HOST, &CONTENT_LENGTH, &NODE] {
        headers.remove(name);
    }
    headers.insert(TE, HeaderValue::from_static("trailers"));
    origin::tell(headers, hop, &parts.extensions);
    if let Some(timeout) = deadline::timeout(headers) {
        deadline::set(headers, timeout.saturating_sub(hop.since.elapsed()));
    }
}

/// The request's body, which notes whether anything of it has left.
struct Leaving {
    body: Body,
    left: Arc<AtomicBool>,
}

impl HttpBody for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.left.store(true, Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a stream of answers: one that breaks off ends with a status that says so.
struct Coming {
    body: tonic::body::Body,
    node: u32,
    ended: bool,
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let error = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Err(error)) => error,
            frame => return Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new))),
        };
        self.ended = true;
        let mut trailers = HeaderMap::new();
        let status = outcome_unknown(self.node, error.message());
        let told = status.add_header(&mut trailers).map(|()| Frame::trailers(trailers));
        Poll::Ready(Some(told.map_err(axum::Error::new)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
